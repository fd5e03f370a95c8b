"""The plan as a value: what it refuses, what defaults do to it, and its trip through JSON."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from plan_strategies import plans
from pydantic import ValidationError

from orchestrator.errors import InvalidFileError
from orchestrator.plan.claims import Claim
from orchestrator.plan.document import parse
from orchestrator.plan.model import Plan
from orchestrator.plan.phases import PHASE_SETTINGS, Defaults

RENAME = {"kind": "rename_column", "table": "books", "column": "published_year", "to": "publication_year"}


def plan(**more):
    return Plan.model_validate({"plan": "years", "changes": [RENAME], **more})


@given(plans)
def test_a_plan_survives_json(any_plan):
    """The journal keeps plans as JSON; what comes back is the same plan."""
    assert any_plan == Plan.model_validate(json.loads(json.dumps(any_plan.model_dump(mode="json"))))


def test_a_plan_does_not_change():
    """A change is a new value."""
    with pytest.raises(ValidationError):
        plan().plan = "other"


@pytest.mark.parametrize(
    "second",
    [
        RENAME,
        {**RENAME, "column": "other"},
        {**RENAME, "to": "other"},
        {**RENAME, "table": "public.books"},
        {**RENAME, "column": "publication_year", "to": "year"},
    ],
)
def test_two_changes_may_not_share_a_column(second):
    """The same column, or the same target, twice in a plan is told at the second change."""
    text = json.dumps({"plan": "years", "changes": [RENAME, second]}, indent=1)
    with pytest.raises(InvalidFileError) as caught:
        parse(text, file="p", model=Plan)
    places = {detail.split(": ", 1)[0] for detail in caught.value.details}
    assert places == {f"p:{text[: text.rindex('{')].count(chr(10)) + 1}:3"}
    assert "changes[1] and changes[0] both change or make column books." in caught.value.details[0]


def test_the_same_column_of_two_tables_is_fine():
    """Columns are told apart by their table."""
    both = Plan.model_validate({"plan": "years", "changes": [RENAME, {**RENAME, "table": "films"}]})
    assert len(both.changes) == 2


def test_null_sections_say_nothing():
    """A section whose lines are commented out is as good as absent."""
    assert plan() == plan(expand=None, backfill=None, migrate_reads=None, contract=None)


def test_a_phase_is_had_by_name():
    """Every phase that the lifecycle knows has its settings."""
    told = plan(migrate_reads={"soak": "1h"})
    assert told.phase("migrate_reads") == told.migrate_reads
    with pytest.raises(KeyError):
        told.phase("celebrate")


def test_defaults_go_where_the_file_says_nothing():
    """A default reaches every phase that has the key; what the file says stands, even if it is ecm's own default."""
    defaults = Defaults.model_validate({"lock_timeout": "2s", "soak": "1h"})
    told = plan(expand={"lock_timeout": "1s"}).with_defaults(defaults)
    assert told.expand.lock_timeout == timedelta(seconds=1)
    assert told.contract.lock_timeout == timedelta(seconds=2)
    assert told.migrate_reads.soak == timedelta(hours=1)
    assert told.backfill.batch_time == timedelta(milliseconds=200)


def test_defaults_ask_for_nothing_before_it_can_be_so():
    """A word and a quiet time that defaults ask for are asked for from the phase on that can have them."""
    asked = {"attestations": ["writes-both", "reads-new"], "no_readers": "10m", "verified": "1h"}
    told = plan().with_defaults(Defaults.model_validate({"require": asked}))
    assert [told.phase(name).require.attestations for name in PHASE_SETTINGS] == [
        (),
        (Claim.WRITES_BOTH,),
        (Claim.WRITES_BOTH,),
        (Claim.WRITES_BOTH, Claim.READS_NEW),
    ]
    quiet = [told.phase(name).require.no_readers for name in PHASE_SETTINGS]
    assert quiet == [None, None, None, timedelta(minutes=10)]
    assert Plan.model_validate(told.model_dump(mode="json")) == told


@pytest.mark.parametrize(
    ("phase", "asked", "why"),
    [
        ("expand", {"attestations": ["writes-both"]}, "nothing can be attested of a plan before it is expanded"),
        ("migrate_reads", {"no_readers": "10m"}, "no_readers is for contract"),
    ],
)
def test_a_requirement_that_no_gate_could_meet_is_refused(phase: str, asked: dict[str, object], why: str):
    """What would keep a plan from ever beginning, or be passed over in silence, is no setting."""
    with pytest.raises(ValidationError, match=why):
        plan(**{phase: {"require": asked}})


@given(plans)
def test_defaults_that_say_nothing_change_nothing(any_plan):
    """An absent `defaults:` leaves every plan as it is."""
    assert any_plan == any_plan.with_defaults(Defaults())
