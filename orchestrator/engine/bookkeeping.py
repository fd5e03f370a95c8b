"""Keeping migration tools' own rows in step: what is written there goes with the move that it tells of."""

from collections.abc import Iterable

from orchestrator.engine.connection import Connection, explained
from orchestrator.sql.bookkeeping import Row
from orchestrator.sql.identifiers import TableName


def missing(connection: Connection, row: Row) -> tuple[str, ...]:
    """Return what keeps a row from being written to a branch, a line each."""
    if not _is_there(connection, row.table):
        return row.before
    with explained(f"{row.table}, which {row.tool} keeps"):
        return tuple(str(line) for (line,) in connection.execute(row.missing).fetchall())


def held(connection: Connection, row: Row) -> tuple[str, ...]:
    """Return what keeps a row from being taken away on a branch, a line each."""
    if row.held is None or not _is_there(connection, row.table):
        return ()
    with explained(f"{row.table}, which {row.tool} keeps"):
        return tuple(str(line) for (line,) in connection.execute(row.held).fetchall())


def enter(connection: Connection, rows: Iterable[Row]) -> None:
    """Write rows, and make the tools' tables where they are not there; to be called inside a transaction.

    Raises:
        StatementFailedError, PrivilegeError: the role may not, or the table is another than the tool's.
    """
    for row in rows:
        with explained(f"{row.table}, which {row.tool} keeps"):
            if not _is_there(connection, row.table):
                for statement in row.ready:
                    connection.execute(statement)
            connection.execute(row.insert)


def leave(connection: Connection, rows: Iterable[Row]) -> None:
    """Take rows away, but those that later ones stand on; to be called inside a transaction; raises as `enter`."""
    for row in rows:
        if _is_there(connection, row.table) and not held(connection, row):
            with explained(f"{row.table}, which {row.tool} keeps"):
                connection.execute(row.delete)


def _is_there(connection: Connection, table: TableName) -> bool:
    found = connection.execute(
        "SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        [table.schema, table.name],
    ).fetchone()
    return found is not None
