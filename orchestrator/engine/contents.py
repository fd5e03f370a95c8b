"""What a database holds and who is connected to it, as far as that can be told at once: what a reset would lose."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import errors, sql

from orchestrator.engine.connection import Connection
from orchestrator.sql.identifiers import TableName

COUNTED_UP_TO = 16 * 2**20
"""Bytes of a table up to which its rows are counted; a larger one's are estimated, as the planner does."""

_TABLES = r"""
SELECT n.nspname::text, c.relname::text, pg_catalog.pg_relation_size(c.oid),
  CASE WHEN c.reltuples >= 0 AND c.relpages > 0
    THEN c.reltuples / c.relpages * (pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int)
  END::bigint, pg_catalog.has_table_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('ecm', 'information_schema') AND n.nspname NOT LIKE 'pg\_%'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass
    AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY 1, 2
"""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """How many rows a table has; None where that is not known."""

    number: int | None
    exact: bool


def rows(connection: Connection) -> Mapping[TableName, Rows]:
    """Return every table of the application (partitions one by one) with its rows."""
    return {
        TableName(schema, name): _counted(connection, TableName(schema, name), size, estimate, readable=readable)
        for schema, name, size, estimate, readable in connection.execute(sql.SQL(_TABLES)).fetchall()
    }


def _counted(connection: Connection, table: TableName, size: int, estimate: int | None, *, readable: bool) -> Rows:
    if size <= COUNTED_UP_TO and readable:
        try:
            row = connection.execute(
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.schema, table.name))
            ).fetchone()
            return Rows(number=row[0] if row else None, exact=True)
        except (errors.LockNotAvailable, errors.InsufficientPrivilege):
            pass  # locked by DDL, or hidden by row-level security: an estimate will do
    return Rows(number=estimate, exact=False)


def sessions(connection: Connection) -> tuple[str, ...]:
    """Return who else is connected to the database, those that are alike together: `web, application "shop" (3)`."""
    found = connection.execute(
        "SELECT coalesce(usename, '?'), application_name, count(*) FROM pg_catalog.pg_stat_activity"
        " WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()"
        " AND backend_type = 'client backend' GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    return tuple(
        str(user) + (f', application "{name}"' if name else "") + (f" ({number})" if number > 1 else "")
        for user, name, number in found
    )
