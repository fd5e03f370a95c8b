"""Build and drop indexes beside the application: judged by what the catalog says, since no transaction undoes them."""

from collections.abc import Iterable

from psycopg import sql

from orchestrator.engine import leases, locks
from orchestrator.engine.connection import Connection, explained
from orchestrator.engine.journal import Writer
from orchestrator.engine.leases import Lease
from orchestrator.errors import LockTimeoutError, PreconditionError, StatementFailedError
from orchestrator.plan.lifecycle import Direction, Phase
from orchestrator.sql.steps import ConcurrentIndex, Statement, sent


def owns(writer: Writer, phase: Phase, direction: Direction, step: ConcurrentIndex) -> bool:
    """Whether an index of this name is the plan's own to drop; to build it, the name has to be free or its own.

    Raises:
        PreconditionError: there is another of that name already, which the application uses.
    """
    if direction is Direction.BACK and not step.on_return:
        return writer.begun(phase, Direction.FORWARD, step.key)
    if not writer.begun(phase, direction, step.key) and _is_valid(writer.connection, step) is not None:
        raise PreconditionError(
            f"index {step.name} of {step.table} is there already, and this plan did not build it",
            details=["taken for the plan's own, it would be dropped by a rollback"],
            hint=f"rename it (ALTER INDEX … RENAME TO …), or, if {step.table} needs no second one like it, drop it;"
            " then run the same command again",
        )
    return True


def settle(connection: Connection, lease: Lease, step: ConcurrentIndex, direction: Direction) -> None:
    """Build an index, or drop it on the way back, without holding writers back.

    Raises:
        StatementFailedError: PostgreSQL refused it, or it is not valid after all.
        LeaseError: another ecm took over.
        psycopg.Error: it had to wait for too long (`locks.REFUSED`), or the session was lost.
    """
    back = direction is Direction.BACK
    leases.hold(connection, lease)
    text = ";\n".join(statement.as_string(None) for statement in sent(step, back=back))
    with locks.patient(connection), explained(step.title, statement=text):
        if back and not step.on_return:
            _run(connection, step.inverse)
            return
        valid = _is_valid(connection, step)
        if valid is False:
            _run(connection, step.inverse)
        if not valid:
            _run(connection, step.statements)
    if not _is_valid(connection, step):
        raise StatementFailedError(
            f"index {step.name} is not valid after it was built", hint="run the same command again"
        )


def drop_remains(connection: Connection, lease: Lease, step: ConcurrentIndex) -> str:
    """Drop an invalid index by a plain DROP INDEX, and return what is left for a person.

    It locks the table for a moment, and waits for no snapshot.
    """
    index = sql.Identifier(step.table.schema, step.name)
    try:
        with connection.transaction():
            leases.hold(connection, lease)
            connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(index))
    except locks.REFUSED:
        return f"index {step.name} is left half built, for the next run to take away"
    return "nothing was changed"


def held_up(
    connection: Connection, lease: Lease, step: ConcurrentIndex, *, attempts: int, seconds: float
) -> LockTimeoutError:
    """Take away what a build that gave up has left, and return the error that says so."""
    left = "no index was left behind, and what was done before stays"
    if _is_valid(connection, step) is False:
        left = drop_remains(connection, lease, step)
    return locks.held_up(connection, step.tables, index=step.name, attempts=attempts, seconds=seconds, left=left)


def _run(connection: Connection, statements: Iterable[Statement]) -> None:
    for statement in statements:
        connection.execute(statement)


def _is_valid(connection: Connection, step: ConcurrentIndex) -> bool | None:
    """Whether the index is whole; None where the table has none of that name."""
    row = connection.execute(
        "SELECT i.indisvalid AND i.indisready FROM pg_catalog.pg_index i"
        " JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid"
        " JOIN pg_catalog.pg_class c ON c.oid = i.indrelid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.oid = x.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND x.relname = %s",
        [step.table.schema, step.table.name, step.name],
    ).fetchone()
    return None if row is None else bool(row[0])
