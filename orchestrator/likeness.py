"""Whether a branch looks like those that a phase was proven on: the ledger's snapshots beside a live one."""

from collections.abc import Iterable

from orchestrator.engine import snapshot
from orchestrator.engine.connection import Connection
from orchestrator.engine.journal import LOOKED_LIKE
from orchestrator.ledger import Entry
from orchestrator.plan import drift
from orchestrator.plan.checksum import checksum
from orchestrator.plan.drift import Drift, Snapshot
from orchestrator.plan.lifecycle import Direction, Phase, Position
from orchestrator.plan.model import Plan
from orchestrator.records import MOVE

_Looks = dict[Phase, Snapshot | None]


def look(connection: Connection, plan: Plan) -> Snapshot:
    """Return what a plan's tables look like on a branch now; may wait for a view that somebody has locked."""
    return snapshot.read(connection, drift.subjects(plan))


def looks(entries: Iterable[Entry], *, branch: str, checksum: str) -> _Looks:
    """Return what a plan's tables looked like on a branch before each phase that it has completed for a text.

    As for `History.completed`, what was rolled back since counts no more. None stands for a phase of which nothing was
    recorded, by an older ecm or because it was begun on another branch that this one is a copy of.
    """
    found: _Looks = {}
    for entry in entries:
        if entry.kind != MOVE or entry.branch != branch or entry.checksum != checksum:
            continue
        phases = [Phase(str(phase)) for phase in _list(entry.data["phases"])]
        if Direction(str(entry.data["direction"])) is Direction.FORWARD:
            kept = drift.from_json(entry.data.get(LOOKED_LIKE))
            found |= dict.fromkeys(phases, kept)
        else:
            found = {phase: kept for phase, kept in found.items() if phase not in phases}
    return found


def drifts(
    entries: Iterable[Entry], found: Snapshot, *, plan: Plan, branch: str, required: Iterable[str], phase: Phase
) -> tuple[Drift, ...]:
    """Return how a branch differs from each branch that it requires, as that one was before the same phase.

    Args:
        entries: of the plan in the ledger, oldest first.
        found: what the branch looks like now.
        plan: its text.
        branch: the one that is to enter the phase.
        required: the branches to be ahead of it; one that has not completed the phase is left out.
        phase: the one to be entered.
    """
    entries = tuple(entries)
    there = {name: looks(entries, branch=name, checksum=checksum(plan)) for name in required}
    return tuple(
        drift.drift(seen[phase], found, proven_on=name, found_on=branch)
        for name, seen in there.items()
        if phase in seen
    )


def is_to_be_compared(position: Position, phase: Phase) -> bool:
    """Whether a phase is the very next one on a branch, or under way there.

    Before it, and at no other time, both branches have the same of ecm's own; one that is carried on is judged by what
    the branch looked like then, so that what was accepted or approved of stays what it was.
    """
    return position.begins(phase) and position.direction is not Direction.BACK


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
