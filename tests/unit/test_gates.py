"""May a plan enter a phase on a branch? Every rule as a table."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.gates import Case, CheckResult, Passage, completed, judge
from orchestrator.plan.lifecycle import PHASES, STATES, Direction, Phase, Position, State

NOON = datetime(2024, 11, 20, 12, tzinfo=UTC)
EXPAND, BACKFILL, MIGRATE_READS, CONTRACT = PHASES


def passage(*phases: Phase, branch: str = "development", checksum: str = "sha256:1", back: bool = False) -> Passage:
    """Return a completed move in short."""
    direction = Direction.BACK if back else Direction.FORWARD
    return Passage(branch=branch, checksum=checksum, direction=direction, phases=phases, at=NOON)


ALL = tuple(passage(phase) for phase in PHASES)


def case(phase: Phase, *passages: Passage, **settings: object) -> Case:
    """Return what is weighed when rename-year asks to enter a phase on production."""
    base = Case(
        plan="rename-year",
        branch="production",
        phase=phase,
        position=Position(state=STATES[PHASES.index(phase)]),
        checksum="sha256:1",
        recorded_checksum=None if phase is EXPAND else "sha256:1",
        required=("development",),
        passages=passages,
        now=NOON,
    )
    return replace(base, **settings)


def codes(weighed: Case) -> list[str]:
    """Return the codes of what is not met."""
    return [reason.code for reason in judge(weighed)]


@pytest.mark.parametrize(
    ("phase", "history", "allowed"),
    [
        pytest.param(EXPAND, (), False, id="nothing done"),
        pytest.param(EXPAND, ALL[:1], True, id="expand after expand"),
        pytest.param(BACKFILL, ALL[:1], False, id="backfill after expand"),
        pytest.param(BACKFILL, ALL[:2], True, id="backfill after backfill"),
        pytest.param(MIGRATE_READS, ALL[:3], True, id="reads after reads"),
        pytest.param(CONTRACT, ALL[:3], False, id="contract needs the full cycle"),
        pytest.param(CONTRACT, ALL, True, id="contract after contract"),
        pytest.param(EXPAND, [passage(EXPAND, checksum="sha256:2")], False, id="another text does not count"),
        pytest.param(EXPAND, [passage(EXPAND, branch="staging")], False, id="another branch does not count"),
        pytest.param(EXPAND, [passage(EXPAND, branch="production")], False, id="its own does not count"),
        pytest.param(BACKFILL, [passage(BACKFILL)], False, id="a phase in the middle is missing"),
        pytest.param(EXPAND, [*ALL[:1], passage(EXPAND, back=True)], False, id="rolled back"),
        pytest.param(
            BACKFILL, [*ALL[:2], passage(BACKFILL, EXPAND, back=True), ALL[0]], False, id="rolled back, half done again"
        ),
        pytest.param(
            BACKFILL, [*ALL[:2], passage(BACKFILL, EXPAND, back=True), *ALL[:2]], True, id="rolled back, done again"
        ),
        pytest.param(
            EXPAND,
            [*ALL[:1], passage(EXPAND, back=True, checksum="sha256:2")],
            True,
            id="a rollback of another text takes nothing away",
        ),
        pytest.param(EXPAND, [*ALL, ALL[0], passage(EXPAND, back=True)], False, id="a later rollback does"),
    ],
)
def test_required_branch_is_ahead(phase: Phase, history: tuple[Passage, ...], *, allowed: bool) -> None:
    """A branch follows those it requires: the same text, every phase up to this one, not rolled back since."""
    assert codes(case(phase, *history)) == ([] if allowed else ["requires"])


def test_evidence_outlives_a_reset() -> None:
    """After the full cycle the branch is reset and begins again: what it proved before is still proven."""
    history = [*ALL, passage(EXPAND)]
    assert [codes(case(phase, *history)) for phase in PHASES] == [[], [], [], []]


def test_the_refusal_says_what_is_missing_and_the_next_command() -> None:
    """The message counts the phases and names those that are missing."""
    (reason,) = judge(case(MIGRATE_READS, *ALL[:1]))
    assert reason.message.startswith("development has completed 1 of 4 phases of the plan")
    assert "backfill and migrate reads are missing" in reason.message
    assert reason.remedy == "ecm advance rename-year --branch development"
    (other,) = judge(case(EXPAND, passage(EXPAND, checksum="sha256:2")))
    assert "of this text of the plan" in other.message


def test_every_required_branch_counts() -> None:
    """Each branch that is behind is a reason of its own."""
    weighed = case(EXPAND, passage(EXPAND, branch="staging"), required=("development", "staging", "qa"))
    assert [reason.remedy for reason in judge(weighed)] == [
        "ecm advance rename-year --branch development",
        "ecm advance rename-year --branch qa",
    ]


@pytest.mark.parametrize(
    ("position", "recorded", "expected"),
    [
        (Position(), None, []),
        (Position(), "sha256:2", []),
        (Position(state=State.EXPANDED), "sha256:1", []),
        (Position(state=State.EXPANDED), "sha256:2", ["plan_changed"]),
        (Position(phase=EXPAND, direction=Direction.FORWARD), "sha256:2", ["plan_changed"]),
    ],
)
def test_the_text_stays_what_was_begun(position: Position, recorded: str | None, expected: list[str]) -> None:
    """A plan that was edited after it began goes no further; one that was rolled back entirely may begin anew."""
    assert codes(case(EXPAND, position=position, recorded_checksum=recorded, required=())) == expected


@pytest.mark.parametrize(
    ("phase", "soak", "since", "expected"),
    [
        (CONTRACT, timedelta(0), NOON, []),
        (CONTRACT, timedelta(hours=1), NOON - timedelta(minutes=59), ["soak"]),
        (CONTRACT, timedelta(hours=1), NOON - timedelta(minutes=60), []),
        (CONTRACT, timedelta(hours=1), None, ["soak"]),
        (MIGRATE_READS, timedelta(hours=1), NOON, []),
    ],
)
def test_soak(phase: Phase, soak: timedelta, since: datetime | None, expected: list[str]) -> None:
    """Contract waits until the branch has been in reads migrated for as long as the plan says."""
    assert codes(case(phase, required=(), soak=soak, state_since=since)) == expected


def test_soak_counts_in_reads_migrated_only() -> None:
    """On the way to contract from further back, no time has passed yet."""
    weighed = case(
        CONTRACT,
        required=(),
        soak=timedelta(hours=1),
        state_since=NOON - timedelta(days=9),
        position=Position(state=State.BACKFILLED),
    )
    (reason,) = judge(weighed)
    assert "1:00:00 left" in reason.message


@pytest.mark.parametrize(
    ("left", "hurried", "expected"),
    [
        (timedelta(hours=2), False, ["undo_window"]),
        (timedelta(hours=2), True, []),
        (timedelta(0), False, []),
        (timedelta(hours=-2), False, []),
    ],
)
def test_finalize_waits_for_the_undo_window(left: timedelta, hurried: bool, expected: list[str]) -> None:
    """What contract keeps is dropped once its time is over, or at once where that is said; nothing else counts."""
    kept = Position(state=State.CONTRACTED, kept=True)
    weighed = replace(case(CONTRACT, position=kept, undo_until=NOON + left, hurried=hurried), phase=Phase.FINALIZE)
    assert codes(weighed) == expected
    for reason in judge(weighed):
        assert reason.message.endswith("2 h left")
        assert reason.remedy == "ecm finalize rename-year --branch production --now"


def test_checks() -> None:
    """Each check that found something else is a reason; the others are not."""
    good = CheckResult(name="no orphans", expected="0", found="0", passed=True)
    bad = CheckResult(name="no doubles", expected="0", found="3", passed=False)
    (reason,) = judge(case(EXPAND, required=(), checks=(good, bad)))
    assert (reason.code, reason.message) == ("check", "check 'no doubles' found 3, not 0")


def test_overlap() -> None:
    """A plan under way on the same columns is a reason."""
    (reason,) = judge(case(EXPAND, required=(), open_plans={"split-year": ("books.year",)}))
    assert (reason.code, reason.remedy) == ("overlap", "ecm advance split-year --branch production")
    assert reason.message == "split-year is under way on production and changes books.year too"


def test_overlap_names_the_columns() -> None:
    """What both plans change is told."""
    (reason,) = judge(case(EXPAND, required=(), open_plans={"split-year": ("books.title", "books.year")}))
    assert reason.message == "split-year is under way on production and changes books.title and books.year too"


def test_all_reasons_at_once() -> None:
    """Nobody has to come back four times to learn of four reasons."""
    weighed = case(
        CONTRACT,
        recorded_checksum="sha256:2",
        soak=timedelta(days=1),
        state_since=NOON,
        open_plans={"other": ("books.year",)},
        checks=(CheckResult(name="c", expected="0", found="1", passed=False),),
    )
    assert codes(weighed) == ["plan_changed", "requires", "overlap", "soak", "check"]
    assert all(reason.message and reason.remedy for reason in judge(weighed))


PASSAGES = st.lists(
    st.builds(
        Passage,
        branch=st.sampled_from(["development", "staging"]),
        checksum=st.sampled_from(["sha256:1", "sha256:2"]),
        direction=st.sampled_from(Direction),
        phases=st.lists(st.sampled_from(PHASES), min_size=1, max_size=2, unique=True).map(tuple),
        at=st.just(NOON),
    )
)


@given(PASSAGES)
def test_what_counts_as_completed(history: list[Passage]) -> None:
    """A phase is completed when the last word on it, of this branch and text, is forward; a reset has no word."""
    expected = set[Phase]()
    for phase in PHASES:
        words = [
            p.direction for p in history if phase in p.phases and (p.branch, p.checksum) == ("development", "sha256:1")
        ]
        if words and words[-1] is Direction.FORWARD:
            expected.add(phase)
    assert completed(history, branch="development", checksum="sha256:1") == expected


@given(PASSAGES, st.sampled_from(PHASES))
def test_never_ahead(history: list[Passage], phase: Phase) -> None:
    """No history lets a branch enter a phase that the branch it requires has not completed."""
    done = completed(history, branch="development", checksum="sha256:1")
    assert (codes(case(phase, *history)) == []) == (set(PHASES[: PHASES.index(phase) + 1]) <= done)
