"""Which migrations another tool has applied to a branch, by the table that it keeps there."""

from typing import Any

from psycopg import sql

from orchestrator.engine.connection import Connection
from orchestrator.sql.identifiers import TableName


def rows(connection: Connection, table: TableName) -> tuple[dict[str, Any], ...]:
    """Return the rows of a tool's table, whatever its columns are; none where there is no such table."""
    there = connection.execute(
        "SELECT pg_catalog.to_regclass(%s) IS NOT NULL", [table.identifier.as_string(None)]
    ).fetchone()
    if there is None or not there[0]:
        return ()
    found = connection.execute(sql.SQL("SELECT pg_catalog.to_jsonb(t) FROM {} t").format(table.identifier)).fetchall()
    return tuple(row[0] for row in found)
