"""A phase that asks for a rehearsal: which one counts, and what is said of one that does not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.plan.evidence import History, Rehearsal
from orchestrator.plan.gates import Case, judge
from orchestrator.plan.lifecycle import Direction, Phase, Position, State
from orchestrator.plan.phases import Requirements

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
PASSED = Rehearsal(branch="production", checksum="sha256:a", at=NOW - timedelta(days=2))
CASE = Case(
    plan="split-full-name",
    branch="production",
    phase=Phase.CONTRACT,
    position=Position(state=State.READS_MIGRATED),
    checksum="sha256:a",
    recorded_checksum="sha256:a",
    require=Requirements.model_validate({"rehearsal": "7d"}),
    now=NOW,
)


def unmet(*rehearsals: Rehearsal, case: Case = CASE) -> list[str]:
    """Return what is said of a case with these rehearsals."""
    reasons = judge(replace(case, history=History(rehearsals=rehearsals)))
    assert {each.code for each in reasons} <= {"rehearsal"}
    assert all(each.remedy == "ecm rehearse split-full-name --from production" for each in reasons)
    return [each.message.partition("; ")[2] for each in reasons]


@pytest.mark.parametrize(
    ("rehearsals", "said"),
    [
        ((), ["it was not"]),
        ((PASSED,), []),
        ((replace(PASSED, at=NOW - timedelta(days=8)),), ["the last time was 8 days ago, and passed"]),
        ((replace(PASSED, checksum="sha256:b"),), ["it was, but with another text"]),
        ((replace(PASSED, branch="development"),), ["it was not"]),
        (
            (PASSED, replace(PASSED, at=NOW - timedelta(hours=3), stopped="backfill, expanded → backfilled")),
            ["the last time was 3 h ago, and stopped at backfill, expanded → backfilled"],
        ),
        ((replace(PASSED, at=NOW - timedelta(days=3), stopped="expand, planned → expanded"), PASSED), []),
    ],
    ids=["none", "lately", "too long ago", "another text", "another branch", "failed since", "passed since"],
)
def test_the_last_rehearsal_of_this_text_from_this_branch_counts(
    rehearsals: tuple[Rehearsal, ...], said: list[str]
) -> None:
    """It has to have passed, and within the time; what is said names its age and outcome, or that there was none."""
    assert unmet(*rehearsals) == said


def test_a_phase_that_was_begun_goes_on() -> None:
    """That the rehearsal is older by then is no reason to stop half way."""
    under_way = Position(state=State.READS_MIGRATED, phase=Phase.CONTRACT, direction=Direction.FORWARD)
    assert unmet(case=replace(CASE, position=under_way)) == []
