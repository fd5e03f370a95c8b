"""A table as PostgreSQL has it, for a person who is about to write a plan: what the facts leave out."""

from dataclasses import dataclass
from typing import Any

from orchestrator.engine.connection import Connection, select
from orchestrator.sql.identifiers import TableName

_CONSTRAINTS = """
SELECT k.conname AS name, pg_catalog.pg_get_constraintdef(k.oid) AS definition, k.convalidated AS validated
FROM pg_catalog.pg_constraint k
WHERE k.conrelid = pg_catalog.to_regclass(%s) AND k.contype IN ('p', 'u', 'c', 'f', 'x') ORDER BY k.contype, k.conname
"""

_POINTED_TO = """
SELECT n.nspname AS schema, c.relname AS table, k.conname AS name
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.confrelid = pg_catalog.to_regclass(%s) AND k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, 2, 3
"""

_VIEWS = """
SELECT DISTINCT n.nspname AS schema, c.relname AS name, c.relkind = 'm' AS materialized
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
JOIN pg_catalog.pg_class c ON c.oid = r.ev_class JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
  AND d.refobjid = pg_catalog.to_regclass(%s) AND c.oid <> d.refobjid AND c.relkind IN ('v', 'm') ORDER BY 1, 2
"""


@dataclass(frozen=True, kw_only=True)
class Hanging:
    """What hangs on a table.

    Attributes:
        constraints: with `name`, `definition` and `validated`.
        pointed_to: foreign keys of other tables, with `schema`, `table` and `name`.
        views: that read it, with `schema`, `name` and `materialized`.
    """

    constraints: tuple[dict[str, Any], ...]
    pointed_to: tuple[dict[str, Any], ...]
    views: tuple[dict[str, Any], ...]


def hanging(connection: Connection, table: TableName) -> Hanging:
    """Return what hangs on a table, definitions as PostgreSQL prints them."""
    name = [table.identifier.as_string(None)]
    return Hanging(
        constraints=tuple(select(connection, _CONSTRAINTS, name)),
        pointed_to=tuple(select(connection, _POINTED_TO, name)),
        views=tuple(select(connection, _VIEWS, name)),
    )
