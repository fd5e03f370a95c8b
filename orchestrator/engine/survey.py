"""What is looked at before a plan begins, besides its tables' facts: sizes, widths, and who is at work there now.

A few reads of the catalog and of the statistics; none of them takes a lock that anyone could notice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.engine import locks
from orchestrator.engine.connection import Connection
from orchestrator.engine.locks import Blocker
from orchestrator.plan.forecast import Extent
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName, verbatim

# reltuples is of the time when relpages was; the planner takes as many rows for each page that there is now, too.
# -1 says that the table was never analyzed ("pg_class"). TOAST has a table, and an index, of its own.
_SIZES = """
SELECT bool_and(known), sum(rows)::int8, sum(heap)::int8, sum(indexes)::int8, sum(toast)::int8 FROM (
  SELECT main = 0 OR reltuples >= 0 AND relpages > 0 AS known,
    CASE WHEN relpages > 0 THEN reltuples::float8 / relpages * (main / pg_catalog.current_setting('block_size')::int8)
         ELSE 0 END AS rows,
    pg_catalog.pg_table_size(oid) - toast AS heap, pg_catalog.pg_indexes_size(oid) AS indexes, toast
  FROM (SELECT c.*, pg_catalog.pg_relation_size(c.oid) AS main,
          coalesce(pg_catalog.pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest(%s::text[], %s::text[]))) c) t
"""

_WIDTHS = """
SELECT attname::text, avg(avg_width * (1 - null_frac))::float8 FROM pg_catalog.pg_stats
WHERE schemaname = %s AND tablename = %s GROUP BY attname
"""

_INDEX_SIZES = """
SELECT x.relname::text, coalesce(
  (SELECT sum(pg_catalog.pg_relation_size(p.relid)) FROM pg_catalog.pg_partition_tree(x.oid) p),
  pg_catalog.pg_relation_size(x.oid))::int8
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = %s::int8::oid
"""

_EXTENSION = """
SELECT e.extname::text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = %s::int8::oid AND d.deptype = 'e'
  AND d.refclassid = 'pg_catalog.pg_extension'::regclass
"""


@dataclass(frozen=True, kw_only=True)
class Present:
    """Who is at work on a branch at this moment, as far as a plan minds."""

    holding: tuple[Blocker, ...]
    """Sessions with a lock on one of the tables, the longest transaction first."""
    prepared: tuple[str, ...]
    """Prepared transactions with a lock on one of the tables, a line each."""
    oldest: Blocker | None
    """The session with the oldest snapshot of the database."""


def extent(connection: Connection, table: Table) -> Extent:
    """Return how large a table is, its partitions included."""
    heaps = table.partitions or (table.name,)
    names = [[heap.schema for heap in heaps], [heap.name for heap in heaps]]
    known, rows, heap, indexes, toast = connection.execute(verbatim(_SIZES), names).fetchone() or (False, 0, 0, 0, 0)
    where = [table.name.schema, table.name.name]
    return Extent(
        rows=rows if known else None,
        heap=heap or 0,
        indexes=indexes or 0,
        toast=toast or 0,
        widths=dict(connection.execute(verbatim(_WIDTHS), where).fetchall()),
        index_sizes=dict(connection.execute(verbatim(_INDEX_SIZES), [table.oid]).fetchall()),
    )


def extension(connection: Connection, table: Table) -> str | None:
    """Return the extension that a table belongs to."""
    row = connection.execute(verbatim(_EXTENSION), [table.oid]).fetchone()
    return row[0] if row else None


def present(connection: Connection, tables: Sequence[TableName]) -> Present:
    """Return who is at work on tables now, and who holds the oldest snapshot."""
    return Present(
        holding=tuple(blocker for blocker in locks.blockers(connection, tables) if not blocker.autovacuum),
        prepared=tuple(locks.prepared(connection, tables)),
        oldest=next(iter(locks.snapshots(connection)), None),
    )
