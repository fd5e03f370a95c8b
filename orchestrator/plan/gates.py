"""Decide whether a plan may enter a phase on a branch.

Pure: takes the recorded history and what was measured, returns every unmet condition at once.
Nothing here opens a connection, so every rule can be read, and tested, as a table.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from orchestrator.plan.durations import humanize
from orchestrator.plan.lifecycle import PHASES, Direction, Phase, Position, State
from orchestrator.words import listed


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One unmet condition: a code for scripts, what is not so, and what would make it so."""

    code: str
    message: str
    remedy: str = ""
    subject: str = ""
    """What it is about, where there may be several of a code: a branch, a plan, a check."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """One move that was completed on a branch, as the ledger tells it, oldest first."""

    branch: str
    checksum: str
    direction: Direction
    phases: tuple[Phase, ...]
    at: datetime


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What a check's query gave, and what the plan expects."""

    name: str
    expected: str
    found: str
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Case:
    """Everything that is weighed when a plan asks to enter a phase on a branch.

    Attributes:
        checksum: of the plan's text as it is now.
        recorded_checksum: of the text that was begun on this branch; None where nothing was.
        required: the branches that have to be ahead.
        passages: what the ledger holds of this plan, on any branch and of any text.
        state_since: when the branch reached its state (its database's clock), for the soak.
        now: by the same clock.
    """

    plan: str
    branch: str
    phase: Phase
    position: Position
    checksum: str
    recorded_checksum: str | None
    required: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    soak: timedelta = timedelta(0)
    state_since: datetime | None = None
    now: datetime | None = None
    open_plans: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Other plans under way on this branch that touch the same columns, with these, as table.column."""
    paused_by: str | None = None
    """Who asked the backfill to pause, where somebody did."""
    undo_until: datetime | None = None
    """Until when contract can be undone, by the same clock."""
    hurried: bool = False
    """Whether it is said to be dropped for good before that (`ecm finalize --now`)."""


def completed(passages: Iterable[Passage], *, branch: str, checksum: str) -> frozenset[Phase]:
    """Return the phases a branch has completed for a text and not rolled back since.

    A reset of the branch is no passage, so what it proved before stays proven.
    """
    done: set[Phase] = set()
    for passage in passages:
        if passage.branch != branch or passage.checksum != checksum:
            continue
        if passage.direction is Direction.FORWARD:
            done.update(passage.phases)
        else:
            done.difference_update(passage.phases)
    return frozenset(done)


def judge(case: Case) -> tuple[Reason, ...]:
    """Return every condition that is not met; none means the phase may be entered."""
    if case.phase is Phase.FINALIZE:
        return tuple(_undo_window_over(case))
    return (
        *_text_unchanged(case),
        *_required_ahead(case),
        *_no_neighbour(case),
        *_not_paused(case),
        *_soaked(case),
        *_checked(case),
    )


def _text_unchanged(case: Case) -> Iterable[Reason]:
    begun = case.position != Position()
    if begun and case.recorded_checksum is not None and case.recorded_checksum != case.checksum:
        yield Reason(
            code="plan_changed",
            message=f"the plan was edited after it began on {case.branch}",
            remedy=f"restore its text, or ecm rollback {case.plan} --branch {case.branch} and begin again",
        )


def _required_ahead(case: Case) -> Iterable[Reason]:
    for branch in case.required:
        done = completed(case.passages, branch=branch, checksum=case.checksum).intersection(PHASES)
        needed = PHASES[: PHASES.index(case.phase) + 1]
        if missing := [phase for phase in needed if phase not in done]:
            other_text = any(p.branch == branch and p.checksum != case.checksum for p in case.passages)
            text = "this text of the plan" if other_text else "the plan"
            lacking = " and ".join(phase.words for phase in missing) + (" is" if len(missing) == 1 else " are")
            yield Reason(
                code="requires",
                message=f"{branch} has completed {len(done)} of {len(PHASES)} phases of {text}: {lacking} missing",
                remedy=f"ecm advance {case.plan} --branch {branch}",
                subject=branch,
            )


def _no_neighbour(case: Case) -> Iterable[Reason]:
    for other, shared in case.open_plans.items():
        yield Reason(
            code="overlap",
            message=f"{other} is under way on {case.branch} and changes {listed(shared)} too",
            remedy=f"ecm advance {other} --branch {case.branch}",
            subject=other,
        )


def _not_paused(case: Case) -> Iterable[Reason]:
    if case.phase is Phase.BACKFILL and case.paused_by is not None:
        yield Reason(
            code="paused",
            message=f"the backfill was paused by {case.paused_by}",
            remedy=f"ecm resume {case.plan} --branch {case.branch}",
        )


def _soaked(case: Case) -> Iterable[Reason]:
    if case.phase is not Phase.CONTRACT or not case.soak:
        return
    since = case.state_since if case.position.state is State.READS_MIGRATED else None
    passed = case.now - since if since is not None and case.now is not None else timedelta(0)
    if passed < case.soak:
        left = timedelta(seconds=round((case.soak - passed).total_seconds()))
        yield Reason(
            code="soak",
            message=f"the soak of {case.soak} in reads migrated is not over: {left} left",
            remedy="wait",
        )


def _undo_window_over(case: Case) -> Iterable[Reason]:
    if case.hurried or case.undo_until is None or case.now is None or case.now >= case.undo_until:
        return
    left = humanize(timedelta(seconds=max(1, round((case.undo_until - case.now).total_seconds()))))
    yield Reason(
        code="undo_window",
        message=f"the time in which contract can be undone is not over: {left} left",
        remedy=f"ecm finalize {case.plan} --branch {case.branch} --now",
    )


def _checked(case: Case) -> Iterable[Reason]:
    for check in case.checks:
        if not check.passed:
            yield Reason(
                code="check",
                message=f"check {check.name!r} found {check.found}, not {check.expected}",
                remedy="make it so, or correct the check in the plan",
                subject=check.name,
            )
