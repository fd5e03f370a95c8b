"""May a plan enter a phase on a branch? Every rule as a table."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.plan.claims import Claim
from orchestrator.plan.drift import Drift
from orchestrator.plan.evidence import Approval, Attestation, History, Override, Passage
from orchestrator.plan.gates import Case, CheckResult, digest, evidence, judge, overridable
from orchestrator.plan.lifecycle import PHASES, STATES, Direction, Phase, Position, State
from orchestrator.plan.phases import Requirements

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
        history=History(passages=passages),
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
    assert reason.message == "the soak of 1 h in reads migrated is not over: 1 h left"


@pytest.mark.parametrize(
    ("soak", "passed", "said"),
    [
        (timedelta(days=7), timedelta(hours=1), "the soak of 7 days in reads migrated is not over: 6 days 23 h left"),
        (timedelta(seconds=2), timedelta(seconds=1.9), "the soak of 2 s in reads migrated is not over: 1 s left"),
    ],
)
def test_time_is_told_as_a_plan_writes_it(soak: timedelta, passed: timedelta, said: str) -> None:
    """In the units of a plan's file, and never as nothing left while something is."""
    (reason,) = judge(case(CONTRACT, required=(), soak=soak, state_since=NOON - passed))
    assert reason.message == said


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
        assert reason.remedy.endswith(": ecm finalize rename-year --branch production --now")


def test_checks() -> None:
    """Each check that found something else is a reason; the others are not."""
    good = CheckResult(name="no orphans", expected="0", found="0", passed=True)
    bad = CheckResult(name="no doubles", expected="0", found="3", passed=False)
    (reason,) = judge(case(EXPAND, required=(), checks=(good, bad)))
    assert (reason.code, reason.message) == ("check", "check 'no doubles' found 3, not 0")


@pytest.mark.parametrize(
    ("position", "check", "attestation"),
    [
        (Position(), "make it so, or correct the check in the plan", "ecm advance rename-year --branch production"),
        (
            Position(state=State.READS_MIGRATED),
            "make it so; or let it pass: --override check --reason …",
            "ecm attest rename-year --branch production --as reads-new --version VERSION",
        ),
    ],
)
def test_what_would_meet_a_condition_can_be_done_now(position: Position, check: str, attestation: str) -> None:
    """Nothing can be attested of a plan that has not begun, and the text of one that has stays as it is."""
    bad = CheckResult(name="no doubles", expected="0", found="3", passed=False)
    asked = Requirements(attestations=(Claim.READS_NEW,))
    reasons = judge(case(CONTRACT, required=(), position=position, checks=(bad,), require=asked))
    assert {reason.code: reason.remedy for reason in reasons} == {"check": check, "attestation": attestation}


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


HOUR = timedelta(hours=1)


def attestation(claim: Claim, seq: int = 9, **settings: object) -> Attestation:
    """Return somebody's word on the application beside production."""
    said = Attestation(
        branch="production", checksum="sha256:1", claim=claim, version="4f2c9e1", actor="ana", at=NOON, seq=seq
    )
    return replace(said, **settings)


ROLLED_BACK = Passage(
    branch="production",
    checksum="sha256:1",
    direction=Direction.BACK,
    phases=(MIGRATE_READS,),
    at=NOON,
    seq=12,
)


@pytest.mark.parametrize(
    ("said", "back", "met"),
    [
        pytest.param([], (), False, id="nobody said so"),
        pytest.param([attestation(Claim.READS_NEW)], (), True, id="said"),
        pytest.param([attestation(Claim.WRITES_BOTH)], (), False, id="another thing said"),
        pytest.param([attestation(Claim.READS_NEW, branch="staging")], (), False, id="said of another branch"),
        pytest.param([attestation(Claim.READS_NEW, checksum="sha256:2")], (), False, id="said of another text"),
        pytest.param(
            [attestation(Claim.READS_NEW), attestation(Claim.READS_NEW, 10, withdrawn=True)], (), False, id="withdrawn"
        ),
        pytest.param(
            [attestation(Claim.READS_NEW, withdrawn=True), attestation(Claim.READS_NEW, 10)], (), True, id="said again"
        ),
        pytest.param([attestation(Claim.READS_NEW)], (ROLLED_BACK,), False, id="said before a rollback"),
        pytest.param([attestation(Claim.READS_NEW, 13)], (ROLLED_BACK,), True, id="said after a rollback"),
    ],
)
def test_what_is_attested(said: list[Attestation], back: tuple[Passage, ...], *, met: bool) -> None:
    """A phase that asks for somebody's word is entered only with it, and a rollback takes the word back."""
    weighed = case(
        CONTRACT,
        history=History(passages=(*ALL, *back), attestations=tuple(said)),
        require=Requirements(attestations=(Claim.READS_NEW,)),
    )
    assert codes(weighed) == ([] if met else ["attestation"])


@pytest.mark.parametrize(
    ("verified_at", "met"),
    [
        pytest.param(None, False, id="never"),
        pytest.param(NOON - 2 * HOUR, False, id="too long ago"),
        pytest.param(NOON - HOUR, True, id="just in time"),
    ],
)
def test_verified_lately(verified_at: datetime | None, *, met: bool) -> None:
    """Where a plan asks for it, every row was proven not longer ago than it says."""
    weighed = case(CONTRACT, *ALL, require=Requirements(verified=HOUR), verified_at=verified_at)
    assert codes(weighed) == ([] if met else ["verified"])


def test_drift_is_told_line_by_line() -> None:
    """What differs from the branch that the plan was proven on is said, each difference on a line."""
    drift = Drift(branch="development", known=True, lines=("index books_isbn_idx is only on production",))
    (reason,) = judge(case(EXPAND, *ALL, drift=(drift, replace(drift, lines=()))))
    assert (reason.code, reason.details) == ("drift", drift.lines)


def test_drift_that_was_accepted_stays_so() -> None:
    """What somebody let pass before an earlier phase is no reason again; what is new is."""
    old, new = "index books_isbn_idx is only on production", "column books.year: integer, bigint"
    accepted = Override(
        branch="production",
        checksum="sha256:1",
        phase=EXPAND,
        code="drift",
        message="",
        reason="it is to go",
        actor="ana",
        at=NOON,
        details=(old,),
    )
    drift = Drift(branch="development", known=True, lines=(old, new))
    weighed = case(BACKFILL, drift=(drift,), history=History(passages=ALL, overrides=(accepted,)))
    (reason,) = judge(weighed)
    assert reason.details == (new,)
    assert codes(replace(weighed, drift=(replace(drift, lines=(old,)),))) == []


def approval(weighed: Case, **settings: object) -> Approval:
    """Return ben's approval of what is shown."""
    given = Approval(
        branch="production",
        checksum="sha256:1",
        actor="ben",
        at=NOON,
        expires_at=NOON + HOUR,
        shown=digest(evidence(weighed)),
    )
    return replace(given, **settings)


def test_approvals() -> None:
    """Only another person's counts, once, of this text and what is shown, until it expires; why others do not is said."""
    weighed = case(CONTRACT, *ALL, approvals=2, actor="ana", state_since=NOON)
    ben = approval(weighed)

    def with_approvals(*given: Approval, now: datetime = NOON) -> list[tuple[str, tuple[str, ...]]]:
        reasons = judge(replace(weighed, history=replace(weighed.history, approvals=given), now=now))
        return [(reason.message, reason.details) for reason in reasons]

    assert with_approvals() == [("0 of 2 approvals by others than ana", ())]
    assert with_approvals(ben, ben) == [("1 of 2 approvals by others than ana (ben)", ())]
    assert with_approvals(ben, replace(ben, actor="eva")) == []
    ((_, (own,)),) = with_approvals(ben, replace(ben, actor="ana"))
    ((_, (text,)),) = with_approvals(replace(ben, checksum="sha256:2"))
    ((_, (other,)),) = with_approvals(replace(ben, shown="0"))
    ((_, (late,)),) = with_approvals(ben, now=NOON + HOUR)
    assert "is your own" in own
    assert "is of another text" in text
    assert "the evidence was another" in other
    assert "has expired" in late


def test_an_approval_is_bound_to_all_that_was_shown() -> None:
    """Another state, another move of the branch that goes first, another word on the application, another table: void."""
    weighed = case(CONTRACT, *ALL, state_since=NOON)
    others = (
        replace(weighed, checksum="sha256:2"),
        replace(weighed, state_since=NOON + HOUR),
        replace(weighed, history=History(passages=ALL[:3])),
        replace(weighed, history=replace(weighed.history, attestations=(attestation(Claim.READS_NEW),))),
        replace(weighed, drift=(Drift(branch="development", known=True, lines=("column year: integer, bigint",)),)),
    )
    shown = {digest(evidence(each)) for each in (weighed, *others)}
    assert len(shown) == 1 + len(others)
    assert digest(evidence(replace(weighed, now=NOON + HOUR, actor="eva"))) == digest(evidence(weighed))


def test_what_cannot_be_overridden() -> None:
    """What could lose a value, or would put production first, is for nobody to let pass."""
    assert overridable(["soak", "drift"]) == {"soak", "drift"}
    for code in ("requires", "plan_changed", "overlap", "approval"):
        with pytest.raises(UsageError, match=f"{code} cannot be overridden"):
            overridable([code])
    with pytest.raises(UsageError, match="there is no condition sok"):
        overridable(["sok"])
    assert overridable("soak") == {"soak"}  # a script's one code is not a list of letters
    with pytest.raises(UsageError) as unknown:
        overridable(["zzz"])
    assert len(unknown.value.details) == 1  # what there is is listed once


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
    assert History(passages=tuple(history)).completed(branch="development", checksum="sha256:1") == expected


@given(PASSAGES, st.sampled_from(PHASES))
def test_never_ahead(history: list[Passage], phase: Phase) -> None:
    """No history lets a branch enter a phase that the branch it requires has not completed."""
    done = History(passages=tuple(history)).completed(branch="development", checksum="sha256:1")
    assert (codes(case(phase, *history)) == []) == (set(PHASES[: PHASES.index(phase) + 1]) <= done)
