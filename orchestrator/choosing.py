"""Which plan is meant where a command names none: the only one that the command could act on."""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.errors import UsageError
from orchestrator.plan.lifecycle import Direction, Phase, State
from orchestrator.reports import BranchStatus, PlanStatus, StatusReport

Look = Callable[[str | None], StatusReport]
"""Gives where every plan is on a branch, or on all."""


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """What a command acts on.

    Attributes:
        fits: whether a plan that is so on a branch is one of them.
        several: what is said where there are several; `{}` is where, ` on development` say.
        none: the same where there is none.
        unasked: whether the only plan's file is taken without a look at the branch.
    """

    fits: Callable[[BranchStatus], bool]
    several: str
    none: str
    unasked: bool = False


def _is_open(status: BranchStatus) -> bool:
    """Whether a plan has something left to do on a branch."""
    return status.state != State.CONTRACTED or status.undo_until is not None


def _is_kept(status: BranchStatus) -> bool:
    """Whether contract keeps the old structure there."""
    return status.undo_until is not None


def _goes_forward(status: BranchStatus) -> bool:
    under_way = status.in_progress
    return _is_open(status) and (under_way is None or under_way.direction != Direction.BACK)


def _is_begun(status: BranchStatus) -> bool:
    """Whether a plan was begun on a branch, and neither taken back nor contracted for good."""
    begun = status.state not in (None, State.PLANNED, State.CONTRACTED)
    return begun or status.in_progress is not None or _is_kept(status)


def _has_two_sides(status: BranchStatus) -> bool:
    return status.state in (State.BACKFILLED, State.READS_MIGRATED) or _is_kept(status)


def _is_backfilling(status: BranchStatus) -> bool:
    under_way = status.in_progress
    return under_way is not None and (under_way.phase, under_way.direction) == (Phase.BACKFILL, Direction.FORWARD)


_FORWARD = _Choice(
    fits=_goes_forward,
    several="several plans are active{}",
    none="no plan is active{}: all are contracted there, or on their way back",
    unasked=True,
)
_BACKFILLING = _Choice(
    fits=_is_backfilling, several="several backfills are under way{}", none="no backfill is under way{}"
)
_OPEN = _Choice(fits=_is_open, several="there are several plans{}", none="no plan is active{}", unasked=True)
_BEGUN = _Choice(fits=_is_begun, several="several plans have begun{}", none="no plan has begun{}")
_FILLED = _Choice(fits=_has_two_sides, several="several plans are backfilled{}", none="no plan is backfilled{}")
_CHOICES = {
    "advance": _FORWARD,
    "gate": _FORWARD,
    "attest": _BEGUN,
    "approve": _Choice(
        fits=lambda status: status.state == State.READS_MIGRATED,
        several="several plans are reads migrated{}",
        none="no plan is reads migrated{}",
    ),
    "plan diff": _OPEN,
    "plan show": _OPEN,
    "rehearse": _OPEN,
    "rollback": _BEGUN,
    "finalize": _Choice(
        fits=_is_kept, several="several plans can be finalized{}", none="no plan is kept after contract{}"
    ),
    "pause": _BACKFILLING,
    "resume": _BACKFILLING,
    "verify": _FILLED,
    "readers": _FILLED,
}


def _at_hand(plan: PlanStatus) -> tuple[bool, float]:
    """Return how likely it is that a plan is meant: one that stopped, else what was moved last, else the first."""
    stopped = any(each.in_progress is not None and each.in_progress.holder is None for each in plan.branches)
    moments = (
        each.in_progress.started_at if each.in_progress is not None else each.state_since
        for each in plan.branches
        if _is_begun(each)
    )
    return stopped, max((moment.timestamp() for moment in moments if moment is not None), default=0.0)


def only(command: str, names: tuple[str, ...], branch: str | None, look: Look) -> str:
    """Return the plan that a command means which names none.

    Args:
        command: as it is typed, after `ecm`.
        names: of the plans that have files.
        branch: where; None where that does not matter.
        look: asks where the plans are.

    Raises:
        UsageError: there is none that it could act on, or more than one; they are named.
    """
    choice = _CHOICES[command]
    if len(names) == 1 and choice.unasked:
        return names[0]
    fitting = [plan for plan in look(branch).plans if any(map(choice.fits, plan.branches))]
    found = tuple(plan.plan for plan in fitting)
    where = f" on {branch}" if branch is not None else ""
    if not found and len(names) > 1 and branch is not None:
        raise UsageError(choice.none.format(where), hint="ecm status")
    several = found or names
    if len(several) == 1:
        return several[0]
    if not several:
        raise UsageError("there is no plan yet", hint="ecm plan rename-column TABLE COLUMN NEW_NAME")
    raise UsageError(
        f"{choice.several.format(where)}: {', '.join(several)}",
        details=["name the one that is meant, such as"],
        hint=f"ecm {command} {max(fitting, key=_at_hand).plan if fitting else several[0]}"
        + (f" {'--from' if command == 'rehearse' else '--branch'} {branch}" if branch is not None else ""),
    )
