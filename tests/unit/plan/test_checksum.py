"""The checksum is over the meaning: the same for every way to write it, another for anything else."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_strategies import contents, plans

from orchestrator.plan.checksum import checksum, differences, meaning
from orchestrator.plan.document import parse
from orchestrator.plan.model import Plan
from orchestrator.plan.schema import render_plan

RENAME = {"kind": "rename_column", "table": "books", "column": "published_year", "to": "publication_year"}
CHECK = {"name": "quiet", "sql": "select 0", "expect": 0}
BASE = {
    "plan": "years",
    "changes": [RENAME, {**RENAME, "table": "films"}],
    "expand": {"acknowledge": ["public.a", "public.b"], "checks": [CHECK]},
    "migrate_reads": {"soak": "1h"},
}


def changed(*path, to):
    """Return the base plan with the value at a path replaced."""
    values = json.loads(json.dumps(BASE))
    place = values
    for step in path[:-1]:
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
    place[path[-1]] = to
    return Plan.model_validate(values)


def test_the_checksum_of_a_text_stays_what_it_is():
    """Journals and ledgers hold checksums: a later ecm must come to the same one."""
    plan = Plan.model_validate({"plan": "rename-published-year", "changes": [RENAME]})
    assert checksum(plan) == "sha256:1264b4d5cb8ca0a81162995a853b729a787f0ce40d69febea71d704200a26d2b"


def test_the_meaning_is_what_was_said():
    """What equals its default is left out, so that settings to come do not change what is hashed today."""
    plan = Plan.model_validate({"plan": "years", "changes": [RENAME], "expand": {"strategy": "copy"}})
    assert meaning(plan) == {"plan": "years", "changes": [RENAME]}


@given(contents, st.randoms())
def test_the_order_of_keys_means_nothing(values, random):
    """Keys may stand in any order, at every level."""

    def shuffled(value):
        if isinstance(value, dict):
            items = [(key, shuffled(item)) for key, item in value.items()]
            random.shuffle(items)
            return dict(items)
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    assert checksum(Plan.model_validate(values)) == checksum(Plan.model_validate(shuffled(values)))


@given(plans)
def test_defaults_written_out_mean_nothing(plan):
    """A plan that says every default means what the short one does."""
    assert checksum(plan) == checksum(Plan.model_validate(plan.model_dump(mode="json")))


@given(plans)
def test_comments_and_spacing_mean_nothing(plan):
    """The commented file and the bare JSON of a plan have one checksum."""
    text = "# a comment\n\n" + render_plan(plan).replace("\nchanges:", "\n\n# more\n\nchanges:   # and more")
    assert checksum(plan) == checksum(parse(text, file="p", model=Plan))


@pytest.mark.parametrize(
    "same",
    [
        changed("description", to="for people"),
        changed("expand", "deploy", to="nothing yet"),
        changed("contract", "lock_timeout", to="5s"),
        changed("backfill", "batch_time", to="1s"),
        changed("expand", "acknowledge", to=["public.b", "public.a", "public.b"]),
        changed("migrate_reads", "soak", to="60m"),
    ],
)
def test_words_for_people_and_tuning_mean_nothing(same):
    """What does not change what is run may change in the middle of a plan."""
    assert checksum(Plan.model_validate(BASE)) == checksum(same)


OTHERS = {
    "name": changed("plan", to="others"),
    "column": changed("changes", 0, "column", to="x"),
    "to": changed("changes", 0, "to", to="x"),
    "table": changed("changes", 0, "table", to="x"),
    "order": changed("changes", to=BASE["changes"][::-1]),
    "fewer": changed("changes", to=BASE["changes"][:1]),
    "acknowledge": changed("expand", "acknowledge", to=["public.a"]),
    "soak": changed("migrate_reads", "soak", to="2h"),
    "check name": changed("expand", "checks", 0, "name", to="x"),
    "check sql": changed("expand", "checks", 0, "sql", to="x"),
    "check expect": changed("expand", "checks", 0, "expect", to=1),
    "check expects false": changed("expand", "checks", 0, "expect", to=False),
    "check expects nothing": changed("expand", "checks", 0, "expect", to=None),
    "check expects text": changed("expand", "checks", 0, "expect", to="0"),
    "check elsewhere": changed("contract", "checks", to=[CHECK]),
}


def test_whatever_changes_what_is_run_changes_the_checksum():
    """No two of these plans do the same, so no two have one checksum."""
    sums = {checksum(plan) for plan in (Plan.model_validate(BASE), *OTHERS.values())}
    assert len(sums) == len(OTHERS) + 1


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_every_difference_is_told(other):
    """Where checksums differ, there is a line that says why, with two sides that look different."""
    lines = differences(meaning(Plan.model_validate(BASE)), meaning(other))
    assert lines
    for line in lines:
        before, after = line.split(": ", 1)[1].split(" → ")
        assert before != after


@given(plans, plans)
def test_plans_differ_exactly_when_their_checksums_do(one, other):
    """The explanation and the checksum never disagree."""
    assert (checksum(one) == checksum(other)) == (differences(meaning(one), meaning(other)) == ())


def test_differences_read_well():
    """Text stands without quotes, unless they tell it from something else."""
    before = meaning(Plan.model_validate(BASE))
    assert differences(before, meaning(OTHERS["to"])) == ("changes[0].to: publication_year → x",)
    assert differences(before, meaning(changed("migrate_reads", "soak", to="0s"))) == (
        "migrate_reads.soak: 1h → not set",
    )
    assert differences(before, meaning(OTHERS["check expects text"])) == ('expand.checks[0].expect: 0 → "0"',)
    assert differences(before, meaning(OTHERS["check expects false"])) == ("expand.checks[0].expect: 0 → false",)


def test_tuning_still_reaches_the_run():
    """What the checksum leaves out is part of the plan all the same."""
    assert changed("contract", "lock_timeout", to="5s").contract.lock_timeout == timedelta(seconds=5)
