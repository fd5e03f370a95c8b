"""What a rehearsal measures on a branch: WAL, disk, rows, and the server that they are of."""

from dataclasses import dataclass

from orchestrator.engine.connection import Connection, select
from orchestrator.sql.identifiers import TableName


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the gauges show at one moment, in bytes.

    Attributes:
        wal: written by the whole server since its beginning ("Backup Control Functions", manual 9.28.3).
        disk: of the database.
    """

    wal: int
    disk: int


def read(connection: Connection) -> Reading:
    """Read the gauges."""
    (row,) = select(
        connection,
        "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::pg_catalog.int8 AS wal,"
        " pg_catalog.pg_database_size(pg_catalog.current_database()) AS disk",
    )
    return Reading(**row)


def server(connection: Connection) -> tuple[str, str]:
    """Return a server's version, and what no two servers have alike that run at the same time."""
    (row,) = select(
        connection,
        "SELECT pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1) AS version,"
        " pg_catalog.pg_postmaster_start_time()::pg_catalog.text AS started",
    )
    return f"PostgreSQL {row['version']}", row["started"]


def rows(connection: Connection, tables: tuple[TableName, ...]) -> int | None:
    """Return how many rows tables have together, by PostgreSQL's estimate; None where one was never analyzed."""
    (found,) = select(
        connection,
        "SELECT coalesce(sum(p.reltuples), 0)::pg_catalog.int8 AS estimate,"
        " coalesce(bool_or(p.reltuples < 0), true) AS unknown"
        " FROM unnest(%s::pg_catalog.text[]) AS name, pg_catalog.pg_partition_tree(pg_catalog.to_regclass(name)) t"
        " JOIN pg_catalog.pg_class p ON p.oid = t.relid WHERE t.isleaf",
        [[table.identifier.as_string(None) for table in tables]],
    )
    return None if found["unknown"] else int(found["estimate"])
