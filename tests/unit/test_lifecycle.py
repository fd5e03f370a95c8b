"""States and moves as tables, and what no sequence of moves can break."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import RefusedError
from orchestrator.plan.lifecycle import (
    PHASES,
    STATES,
    Direction,
    Move,
    Phase,
    Position,
    State,
    backward_moves,
    finalizing,
    forward_moves,
    next_move,
    previous_move,
)

PLANNED, EXPANDED, BACKFILLED, READS_MIGRATED, CONTRACTED = STATES
EXPAND, BACKFILL, MIGRATE_READS, CONTRACT = PHASES
NAMES = {"plan": "rename-year", "branch": "development"}


def at(state: State, phase: Phase | None = None, direction: Direction | None = None) -> Position:
    """Return a position in short."""
    return Position(state=state, phase=phase, direction=direction)


def forward(position: Position) -> Move:
    """Return the next move."""
    return next_move(position, **NAMES)


def back(position: Position) -> Move:
    """Return the previous move."""
    return previous_move(position, **NAMES)


KEPT = Position(state=CONTRACTED, kept=True)


def test_what_contract_keeps_can_be_brought_back_or_dropped() -> None:
    """Contract keeps only where it is to; from there a plan goes back, or is finalized and stays contracted."""
    contract = next_move(at(READS_MIGRATED), **NAMES, undoable=True)
    assert contract.reaches == KEPT
    assert forward(at(READS_MIGRATED)).reaches == at(CONTRACTED)
    assert back(KEPT).phases == (CONTRACT,)
    assert back(KEPT).reaches == at(READS_MIGRATED)
    finalize = finalizing(KEPT, **NAMES)
    assert (finalize.phases, finalize.reaches) == ((Phase.FINALIZE,), at(CONTRACTED))
    assert Phase.FINALIZE.leads_to is CONTRACTED


def test_a_finalize_that_stopped_did_nothing() -> None:
    """It goes on, or contract is undone as if it had never begun; a rollback under way has to end first."""
    stopped = replace(KEPT, phase=Phase.FINALIZE, direction=Direction.FORWARD)
    assert finalizing(stopped, **NAMES).resumes
    assert back(stopped).phases == (CONTRACT,)
    undoing = replace(KEPT, phase=CONTRACT, direction=Direction.BACK)
    assert back(undoing).resumes
    with pytest.raises(RefusedError, match="is being rolled back"):
        finalizing(undoing, **NAMES)
    for position in (at(CONTRACTED), at(BACKFILLED)):
        with pytest.raises(RefusedError, match="nothing to finalize"):
            finalizing(position, **NAMES)


def test_phases_lead_from_state_to_state() -> None:
    """There are as many phases as steps between states, in the same order."""
    assert [(phase.value, phase.leads_to.value) for phase in PHASES] == [
        ("expand", "expanded"),
        ("backfill", "backfilled"),
        ("migrate_reads", "reads_migrated"),
        ("contract", "contracted"),
    ]


@pytest.mark.parametrize(
    ("origin", "target", "phases"),
    [
        (PLANNED, EXPANDED, (EXPAND,)),
        (EXPANDED, BACKFILLED, (BACKFILL,)),
        (BACKFILLED, READS_MIGRATED, (MIGRATE_READS,)),
        (READS_MIGRATED, CONTRACTED, (CONTRACT,)),
    ],
)
def test_forward(origin: State, target: State, phases: tuple[Phase, ...]) -> None:
    """Each state has one that follows, and one phase leads there."""
    assert forward(at(origin)) == Move(
        origin=origin, target=target, direction=Direction.FORWARD, phases=phases, resumes=False
    )


@pytest.mark.parametrize(
    ("origin", "target", "phases"),
    [
        (EXPANDED, PLANNED, (EXPAND,)),
        (BACKFILLED, PLANNED, (BACKFILL, EXPAND)),
        (READS_MIGRATED, BACKFILLED, (MIGRATE_READS,)),
    ],
)
def test_back(origin: State, target: State, phases: tuple[Phase, ...]) -> None:
    """A rollback undoes phases in reverse; expanded is passed by, because half filled columns serve nobody."""
    assert back(at(origin)) == Move(
        origin=origin, target=target, direction=Direction.BACK, phases=phases, resumes=False
    )


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_under_way_goes_on(phase: Phase) -> None:
    """The same command carries on, and says so."""
    origin = STATES[PHASES.index(phase)]
    move = forward(at(origin, phase, Direction.FORWARD))
    assert (move.phases, move.target, move.resumes) == ((phase,), phase.leads_to, True)


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_under_way_is_given_up_first(phase: Phase) -> None:
    """A rollback of a phase that did not end leads to the state it began in; contract's included."""
    origin = STATES[PHASES.index(phase)]
    move = back(at(origin, phase, Direction.FORWARD))
    assert (move.origin, move.target, move.phases, move.resumes) == (origin, origin, (phase,), False)
    again = back(at(origin, phase, Direction.BACK))
    assert (again.target, again.phases, again.resumes) == (origin, (phase,), True)


@pytest.mark.parametrize(
    ("position", "phases"),
    [
        (at(EXPANDED, EXPAND, Direction.BACK), (EXPAND,)),
        (at(BACKFILLED, BACKFILL, Direction.BACK), (BACKFILL, EXPAND)),
        (at(READS_MIGRATED, MIGRATE_READS, Direction.BACK), (MIGRATE_READS,)),
    ],
)
def test_a_rollback_under_way_goes_on_and_nothing_else(position: Position, phases: tuple[Phase, ...]) -> None:
    """An interrupted rollback has to end before the plan can move forward."""
    move = back(position)
    assert (move.phases, move.resumes) == (phases, True)
    with pytest.raises(RefusedError, match="is being rolled back on development") as refused:
        forward(position)
    assert refused.value.hint == "ecm rollback rename-year --branch development"


@pytest.mark.parametrize(
    ("move", "position", "message"),
    [
        (forward, at(CONTRACTED), "rename-year is contracted on development; there is no phase after that"),
        (back, at(CONTRACTED), "rename-year is contracted on development; the old structure is gone"),
        (back, at(PLANNED), "rename-year has not begun on development; there is nothing to roll back"),
    ],
)
def test_no_move(move: Callable[[Position], Move], position: Position, message: str) -> None:
    """Where there is nothing before or after, the refusal says which."""
    with pytest.raises(RefusedError) as refused:
        move(position)
    assert refused.value.message == message
    assert refused.value.exit_code == 4
    assert refused.value.hint


@pytest.mark.parametrize(
    ("position", "to", "targets"),
    [
        (at(PLANNED), CONTRACTED, [EXPANDED, BACKFILLED, READS_MIGRATED, CONTRACTED]),
        (at(EXPANDED, BACKFILL, Direction.FORWARD), READS_MIGRATED, [BACKFILLED, READS_MIGRATED]),
        (at(PLANNED), EXPANDED, [EXPANDED]),
    ],
)
def test_forward_to(position: Position, to: State, targets: list[State]) -> None:
    """Every state on the way is gone through."""
    assert [move.target for move in forward_moves(position, to, **NAMES)] == targets


@pytest.mark.parametrize(
    ("position", "to", "targets"),
    [
        (at(READS_MIGRATED), PLANNED, [BACKFILLED, PLANNED]),
        (at(READS_MIGRATED), BACKFILLED, [BACKFILLED]),
        (at(EXPANDED, BACKFILL, Direction.FORWARD), EXPANDED, [EXPANDED]),
        (at(EXPANDED, BACKFILL, Direction.FORWARD), PLANNED, [EXPANDED, PLANNED]),
        (at(PLANNED, EXPAND, Direction.FORWARD), PLANNED, [PLANNED]),
    ],
)
def test_back_to(position: Position, to: State, targets: list[State]) -> None:
    """The way back goes over the states that a rollback stops at."""
    assert [move.target for move in backward_moves(position, to, **NAMES)] == targets


@pytest.mark.parametrize(
    ("moves", "position", "to"),
    [
        (forward_moves, at(BACKFILLED), EXPANDED),
        (forward_moves, at(BACKFILLED), BACKFILLED),
        (forward_moves, at(EXPANDED, EXPAND, Direction.BACK), CONTRACTED),
        (backward_moves, at(EXPANDED), BACKFILLED),
        (backward_moves, at(BACKFILLED), BACKFILLED),
        (backward_moves, at(BACKFILLED), EXPANDED),
        (backward_moves, at(READS_MIGRATED), EXPANDED),
        (backward_moves, at(CONTRACTED), READS_MIGRATED),
    ],
)
def test_no_way_there(moves: Callable[..., tuple[Move, ...]], position: Position, to: State) -> None:
    """A state in the wrong direction, or one that a rollback passes by, is refused with a hint."""
    with pytest.raises(RefusedError) as refused:
        moves(position, to, **NAMES)
    assert refused.value.hint


def _positions() -> st.SearchStrategy[Position]:
    """Every position that the journal can hold."""
    idle = [at(state) for state in STATES]
    begun = [at(STATES[PHASES.index(phase)], phase, way) for phase in PHASES for way in Direction]
    undone = [
        at(EXPANDED, EXPAND, Direction.BACK),
        at(BACKFILLED, BACKFILL, Direction.BACK),
        at(READS_MIGRATED, MIGRATE_READS, Direction.BACK),
    ]
    return st.sampled_from([*idle, *begun, *undone])


@given(_positions())
def test_a_move_never_skips_a_phase(position: Position) -> None:
    """Forward does exactly the phase between two neighbours; back undoes exactly those between, last first."""
    for step in (forward, back):
        try:
            move = step(position)
        except RefusedError:
            continue
        first, last = sorted((STATES.index(move.origin), STATES.index(move.target)))
        between = PHASES[first:last]
        if move.direction is Direction.FORWARD:
            assert last - first == 1
            assert move.phases == between
        else:
            assert move.phases == (tuple(reversed(between)) or (position.phase,))
        assert CONTRACT not in move.phases or move.direction is Direction.FORWARD or move.origin is READS_MIGRATED
        assert move.resumes == (position.direction is move.direction)


@given(st.lists(st.tuples(st.sampled_from(["advance", "rollback"]), st.sampled_from(["ends", "is interrupted"]))))
def test_any_sequence_of_commands_stays_in_the_table(commands: list[tuple[str, str]]) -> None:
    """Whatever is done in whatever order: contract is the end, and what is in place is what the state says."""
    position, done = at(PLANNED), set[Phase]()
    for command, outcome in commands:
        try:
            move = forward(position) if command == "advance" else back(position)
        except RefusedError:
            assert position.state in (PLANNED, CONTRACTED) or position.direction is Direction.BACK
            continue
        assert position.state is not CONTRACTED
        if outcome == "is interrupted":
            position = at(position.state, move.phases[0], move.direction)
            continue
        done = done | set(move.phases) if move.direction is Direction.FORWARD else done - set(move.phases)
        position = at(move.target)
        assert done == set(PHASES[: STATES.index(position.state)])
