"""The states of a plan on a branch, and the moves between them.

    planned → expanded → backfilled → reads_migrated → contracted

Within an undo window contract keeps the old structure out of sight. It is contracted then, and kept: contract can
be undone, or finalized, which drops what was kept and leaves the state as it is.

Pure: a position goes in, a move or a refusal comes out. The table is a `transitions` machine
without automatic triggers, which would jump past every guard; the journal alone says where a
branch is, and moves by compare-and-set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Any

from orchestrator.errors import RefusedError


class State(StrEnum):
    """Where a plan is on a branch."""

    PLANNED = "planned"
    EXPANDED = "expanded"
    BACKFILLED = "backfilled"
    READS_MIGRATED = "reads_migrated"
    CONTRACTED = "contracted"

    @property
    def words(self) -> str:
        """The state as a person reads it."""
        return self.value.replace("_", " ")


class Phase(StrEnum):
    """What leads from one state to the next."""

    EXPAND = "expand"
    BACKFILL = "backfill"
    MIGRATE_READS = "migrate_reads"
    CONTRACT = "contract"
    FINALIZE = "finalize"
    """What drops for good what contract kept; none of the four that lead from state to state (`PHASES`)."""

    @property
    def words(self) -> str:
        """The phase as a person reads it."""
        return self.value.replace("_", " ")

    @property
    def leads_to(self) -> State:
        """The state the phase ends in."""
        return State.CONTRACTED if self is Phase.FINALIZE else STATES[PHASES.index(self) + 1]


class Direction(StrEnum):
    """Whether a phase is being done or undone."""

    FORWARD = "forward"
    BACK = "back"


STATES = tuple(State)
PHASES = tuple(phase for phase in Phase if phase is not Phase.FINALIZE)
"""Those that lead from one state to the next, in their order."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """A plan's state on a branch, and the phase under way there."""

    state: State = State.PLANNED
    phase: Phase | None = None
    direction: Direction | None = None
    kept: bool = False
    """Whether it is contracted, and the old structure is kept out of sight, so that contract can be undone."""

    def begins(self, phase: Phase) -> bool:
        """Whether a phase is the one that leads on from this state; finalize, which leaves the state, never is."""
        return phase in PHASES and PHASES.index(phase) == STATES.index(self.state)


@dataclass(frozen=True, kw_only=True)
class Move:
    """One state forward or back.

    Attributes:
        origin, target: the states before and after; equal when a phase under way is given up.
        direction: forward does `phases`, back undoes them in reverse.
        phases: the phases done or undone, in their order of execution.
        resumes: whether the move was begun before and goes on.
        keeps: whether it leaves the old structure out of sight, and not dropped.
    """

    origin: State
    target: State
    direction: Direction
    phases: tuple[Phase, ...]
    resumes: bool
    keeps: bool = False

    @property
    def reaches(self) -> Position:
        """Where the plan is once the move is complete."""
        return Position(state=self.target, kept=self.keeps)


def command_of(direction: str, phases: Sequence[str]) -> str:
    """Return the command of ecm that makes a move: `advance`, `rollback` or `finalize`."""
    if direction == Direction.BACK:
        return "rollback"
    return "finalize" if tuple(phases) == (Phase.FINALIZE,) else "advance"


class _Model:
    """What `transitions` moves: a state, and what its guards look at."""

    def __init__(self, position: Position) -> None:
        self.state = position.state.value
        self.position = position

    def not_going_back(self) -> bool:
        return self.position.direction is not Direction.BACK

    def keeps_the_old(self) -> bool:
        return self.position.kept


_ADVANCE = "advance"
_ROLLBACK = "rollback"
_TABLE: list[dict[str, Any]] = [
    *(
        {"trigger": _ADVANCE, "source": source.value, "dest": dest.value, "conditions": "not_going_back"}
        for source, dest in pairwise(STATES)
    ),
    {
        "trigger": _ADVANCE,
        "source": State.CONTRACTED.value,
        "dest": State.CONTRACTED.value,
        "conditions": ["not_going_back", "keeps_the_old"],
    },
    {
        "trigger": _ROLLBACK,
        "source": State.CONTRACTED.value,
        "dest": State.READS_MIGRATED.value,
        "conditions": "keeps_the_old",
    },
    {"trigger": _ROLLBACK, "source": State.READS_MIGRATED.value, "dest": State.BACKFILLED.value},
    {"trigger": _ROLLBACK, "source": State.BACKFILLED.value, "dest": State.PLANNED.value},
    {"trigger": _ROLLBACK, "source": State.EXPANDED.value, "dest": State.PLANNED.value},
]


@cache
def _machine() -> Any:
    from transitions import Machine

    return Machine(
        model=None,
        states=[state.value for state in STATES],
        transitions=_TABLE,
        initial=State.PLANNED.value,
        auto_transitions=False,
    )


def _destination(position: Position, trigger: str) -> State | None:
    """Fire a trigger on a throwaway model; None where the table has no such move or a guard says no."""
    from transitions import MachineError

    machine, model = _machine(), _Model(position)
    machine.add_model(model, initial=model.state)
    try:
        return State(model.state) if machine.events[trigger].trigger(model) else None
    except MachineError:
        return None
    finally:
        machine.remove_model(model)


def next_move(position: Position, *, plan: str, branch: str, undoable: bool = False) -> Move:
    """Return the move one state forward; where contract kept the old structure, what drops that.

    Args:
        position: where the plan is.
        plan: its name, for what is said where it may not.
        branch: the same.
        undoable: whether its contract keeps the old structure, for a time in which it can be undone.

    Raises:
        RefusedError: the plan is contracted already, or a rollback is not finished.
    """
    target = _destination(position, _ADVANCE)
    if target is None and position.direction is Direction.BACK:
        raise RefusedError(
            f"{plan} is being rolled back on {branch}",
            details=["that rollback stopped on the way; it has to end before the plan can move forward"],
            hint=f"ecm rollback {plan} --branch {branch}",
        )
    if target is None:
        raise RefusedError(
            f"{plan} is {position.state.words} on {branch}; there is no phase after that",
            hint="ecm status",
        )
    phase = Phase.FINALIZE if position.kept else PHASES[STATES.index(position.state)]
    return Move(
        origin=position.state,
        target=target,
        direction=Direction.FORWARD,
        phases=(phase,),
        resumes=position.phase is not None,
        keeps=undoable and phase is Phase.CONTRACT,
    )


def previous_move(position: Position, *, plan: str, branch: str) -> Move:
    """Return the move one state back; a phase under way is undone first, and the state stays.

    Raises:
        RefusedError: nothing was done yet, or contract has been, and dropped the old structure.
    """
    resumes = position.direction is Direction.BACK
    begun = position.phase if position.phase is not Phase.FINALIZE else None  # it is done in one step, or not at all
    if begun is not None and position.begins(begun):
        return Move(
            origin=position.state,
            target=position.state,
            direction=Direction.BACK,
            phases=(begun,),
            resumes=resumes,
        )
    target = _destination(position, _ROLLBACK)
    if target is None and position.state is State.CONTRACTED:
        raise RefusedError(
            f"{plan} is contracted on {branch}; the old structure is gone",
            details=["what can still be done: a new plan in the other direction, or a restore to a point in time"],
            hint="ecm history " + plan,
        )
    if target is None:
        raise RefusedError(f"{plan} has not begun on {branch}; there is nothing to roll back", hint="ecm status")
    undone = PHASES[STATES.index(target) : STATES.index(position.state)]
    return Move(
        origin=position.state,
        target=target,
        direction=Direction.BACK,
        phases=tuple(reversed(undone)),
        resumes=resumes,
    )


def forward_moves(position: Position, to: State, *, plan: str, branch: str, undoable: bool = False) -> tuple[Move, ...]:
    """Return the moves from a position forward to a state; the arguments are those of `next_move`.

    Raises:
        RefusedError: the state is not ahead, or a move on the way is not allowed.
    """
    moves = [next_move(position, plan=plan, branch=branch, undoable=undoable)]
    if STATES.index(to) <= STATES.index(position.state):
        raise RefusedError(
            f"{plan} is {position.state.words} on {branch}; {to.words} is not ahead of that",
            hint=f"ecm rollback {plan} --branch {branch}" if to is not position.state else "ecm status",
        )
    while moves[-1].target is not to:
        moves.append(next_move(moves[-1].reaches, plan=plan, branch=branch, undoable=undoable))
    return tuple(moves)


def finalizing(position: Position, *, plan: str, branch: str) -> Move:
    """Return the move that drops for good what contract kept.

    Raises:
        RefusedError: nothing is kept, or a rollback is not finished.
    """
    if not position.kept:
        gone = position.state is State.CONTRACTED
        raise RefusedError(
            f"{plan} is {position.state.words} on {branch}; there is nothing to finalize",
            details=["the old structure is gone already"] if gone else ["contract has to come first"],
            hint="ecm status",
        )
    return next_move(position, plan=plan, branch=branch)


def backward_moves(position: Position, to: State, *, plan: str, branch: str) -> tuple[Move, ...]:
    """Return the moves from a position back to a state.

    Raises:
        RefusedError: the state is not behind, or a move on the way is not allowed or would pass it by.
    """
    moves = [previous_move(position, plan=plan, branch=branch)]
    reached = STATES.index(position.state)
    if STATES.index(to) > reached or (to is position.state and moves[0].target is not to):
        raise RefusedError(
            f"{plan} is {position.state.words} on {branch}; {to.words} is not behind that",
            hint="ecm status",
        )
    while STATES.index(moves[-1].target) > STATES.index(to):
        moves.append(previous_move(Position(state=moves[-1].target), plan=plan, branch=branch))
    if moves[-1].target is not to:
        raise RefusedError(
            f"{plan} cannot be rolled back to {to.words} on {branch}",
            details=[f"from {position.state.words} the way back leads to {moves[-1].target.words}"],
            hint=f"ecm rollback {plan} --branch {branch} --to {moves[-1].target}",
        )
    return tuple(moves)
