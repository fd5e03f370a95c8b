"""Migration tools kept in step: which of their rows go with a move, and what keeps them from being written."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.engine import applied, bookkeeping, catalog
from orchestrator.engine.connection import Connection
from orchestrator.errors import EcmError, PreconditionError
from orchestrator.plan import scope
from orchestrator.plan.checksum import checksum
from orchestrator.plan.editing import Part
from orchestrator.plan.lifecycle import Direction, Move, Phase
from orchestrator.plan.model import Plan
from orchestrator.sql.bookkeeping import Row
from orchestrator.words import listed
from orchestrator.workspace import Workspace

if TYPE_CHECKING:
    from orchestrator.toolchains.toolchain import Migration, Toolchain

_PARTS = {Phase.EXPAND: Part.EXPAND, Phase.CONTRACT: Part.CONTRACT}


def tools(workspace: Workspace) -> "tuple[Toolchain, ...]":
    """Return the migration tools of a project."""
    # All five adapters; whoever asks where plans are needs none.
    from orchestrator.toolchains.finding import found

    return found(workspace.root, lambda: datetime.now(UTC), workspace.project.toolchain)


def rows(workspace: Workspace, plan: Plan, move: Move) -> tuple[Row, ...]:
    """Return the rows that come with a move forward, or go with a move back.

    Raises:
        ConfigurationError, InvalidFileError: a tool's files are not as it leaves them.
    """
    emitted = _emitted(workspace, plan, (move,))
    return tuple(row for tool, migration in emitted if (row := tool.row(migration)) is not None)


def _emitted(workspace: Workspace, plan: Plan, moves: Iterable[Move]) -> "Iterator[tuple[Toolchain, Migration]]":
    """Give the migrations that were emitted for what moves do, tool by tool."""
    parts = [_PARTS[phase] for move in moves for phase in move.phases if phase in _PARTS]
    for tool in tools(workspace) if parts else ():
        for part in parts:
            if (migration := tool.emitted(plan.plan, part.value)) is not None:
                yield tool, migration


def obstacles(
    workspace: Workspace, plan: Plan, move: Move, connection: Connection, *, branch: str
) -> tuple[EcmError, ...]:
    """Return why the tools cannot be told of a move; what they have applied so far has to be all before it."""
    if move.direction is Direction.BACK:
        return ()
    return tuple(
        PreconditionError(
            f"the row of {row.migration} cannot be written here yet: {row.tool} has something to do before it",
            details=[*lines, f"once the row is there, {row.tool} would not look for that any more"],
            hint=f"{_of_ecm(workspace, row, lines[0], branch) or row.catch_up}, then run the same command again",
        )
        for row in rows(workspace, plan, move)
        if (lines := bookkeeping.missing(connection, row))
    )


def _of_ecm(workspace: Workspace, row: Row, line: str, branch: str) -> str | None:
    """Return the command of ecm's that does what is missing first, where ecm emitted it: the tool would stop at it."""
    from orchestrator.toolchains import header

    for tool in tools(workspace):
        for migration in tool.migrations() if tool.name == row.tool else ():
            if line.startswith(f"{migration.name} "):
                said = header.of(workspace.root, migration)
                to = Part(said.part).phase.leads_to if said else None
                return f"ecm advance {said.plan} --to {to} --branch {branch}" if said else None
    return None


def alone(workspace: Workspace, plan: Plan, connection: Connection, *, branch: str) -> EcmError | None:
    """Return the error for a branch on which a tool ran a plan's migrations before ecm did; None where none did.

    Where tables are empty they do all of it, and nothing is left that ecm could begin with.
    """
    for tool in tools(workspace):
        migrations = [each for part in Part if (each := tool.emitted(plan.plan, part.value)) is not None]
        if not migrations or tool.table is None:
            continue
        pending = tool.pending(applied.rows(connection, tool.table))
        if ran := [each.name for each in migrations if each.name not in pending]:
            return PreconditionError(
                f"{tool.name} has run {listed(ran)} on {branch} before ecm began",
                details=[
                    f"its tables were empty, and have what {plan.plan} comes to: nothing is left to do or to prove"
                ],
                hint=f"make the branch anew from one that has rows: ecm branch reset {branch}",
            )
    return None


def left(workspace: Workspace, plan: Plan, moves: Iterable[Move], connection: Connection) -> tuple[str, ...]:
    """Return which rows a rollback cannot take away, because later migrations stand on them, a line each."""
    return tuple(
        f"{row.tool} goes on counting {row.migration} as applied: {line}"
        for move in moves
        if move.direction is Direction.BACK
        for row in rows(workspace, plan, move)
        for line in bookkeeping.held(connection, row)
    )


def outdated(workspace: Workspace, plan: Plan, moves: Iterable[Move]) -> tuple[str, ...]:
    """Return which migrations say something else than what is done for them, a line each."""
    forward = (move for move in moves if move.direction is Direction.FORWARD)
    return tuple(
        f"{tool.name}: {migration.path} was emitted for another text of {plan.plan}, and a fresh database gets what it"
        " says: where no database has it yet, remove it as the tool would, then emit it again"
        for tool, migration in _emitted(workspace, plan, forward)
        if is_stale(workspace, plan, migration)
    )


def beware(workspace: Workspace, statements: Iterable[str]) -> tuple[str, ...]:
    """Return what the project's tools would do in silence, or to what is ecm's, a line each.

    Args:
        workspace: the project.
        statements: those of the plan that somebody looks at.
    """
    from orchestrator.toolchains import traps

    with suppress(EcmError):  # files of a tool that cannot be read are told of by whoever needs them
        there = tools(workspace)
        pulled = any(tool.name == "drizzle" for tool in there) and any("NOT VALID" in each for each in statements)
        lines = tuple(line for tool in there for line in tool.traps())
        return (*lines, *((traps.PULL,) if pulled else ()))
    return ()


def unpullable(workspace: Workspace, plan: Plan, connection: Connection) -> tuple[str, ...]:
    """Return what a tool cannot read back of a plan's tables as they are now on a branch, a line each."""
    with suppress(EcmError):
        drizzle = any(tool.name == "drizzle" for tool in tools(workspace))
        if drizzle and catalog.has_check_to_validate(connection, scope.tables(plan)):
            from orchestrator.toolchains import traps

            return (traps.PULL_NOW,)
    return ()


def is_stale(workspace: Workspace, plan: Plan, migration: "Migration") -> bool:
    """Whether a migration that was emitted for a plan is of another text of it."""
    from orchestrator.toolchains import header

    said = header.of(workspace.root, migration)
    return said is None or said.checksum != checksum(plan)
