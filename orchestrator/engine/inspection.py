"""A table as PostgreSQL has it, for a person who is about to write a plan: what the facts leave out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.engine.connection import Connection, select
from orchestrator.sql.edits import AddForeignKey, AddUnique
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


_KEYS = """
SELECT k.conname AS name, k.contype AS kind, n.nspname AS schema, c.relname AS table,
  (SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.n)
   FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u(number, n)
   JOIN pg_catalog.pg_attribute a ON (a.attrelid, a.attnum) = (k.conrelid, u.number)) AS columns,
  (SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.n)
   FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY u(number, n)
   JOIN pg_catalog.pg_attribute a ON (a.attrelid, a.attnum) = (k.confrelid, u.number)) AS to_columns,
  k.confdeltype AS on_delete, k.confupdtype AS on_update
FROM pg_catalog.pg_constraint k
LEFT JOIN pg_catalog.pg_class c ON c.oid = k.confrelid LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.conrelid = pg_catalog.to_regclass(%s) AND k.contype IN ('f', 'u') ORDER BY k.conname
"""

_ALWAYS = """
SELECT attname AS name FROM pg_catalog.pg_attribute
WHERE attrelid = pg_catalog.to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attidentity = 'a'
"""

_ACTIONS = {"r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}
"""pg_constraint.confdeltype and confupdtype; nothing is said of NO ACTION."""


def constraints(
    connection: Connection, table: TableName, *, of: TableName, names: Mapping[str, str]
) -> tuple[AddForeignKey | AddUnique, ...]:
    """Return a table's foreign keys and unique constraints.

    Args:
        connection: a session with the branch.
        table: the table as the database knows it now.
        of: what they are to call it.
        names: of columns now, each with that by which they are to call it.
    """
    found: list[AddForeignKey | AddUnique] = []
    for row in select(connection, _KEYS, [table.identifier.as_string(None)]):
        columns = tuple(names.get(name, name) for name in row["columns"])
        if row["kind"] == "u":
            found.append(AddUnique(table=of, name=row["name"], columns=columns))
            continue
        to = TableName(row["schema"], row["table"])
        key = AddForeignKey(
            table=of,
            name=row["name"],
            columns=columns,
            to=of if to == table else to,
            to_columns=tuple(row["to_columns"]),
            on_delete=_ACTIONS.get(row["on_delete"]),
            on_update=_ACTIONS.get(row["on_update"]),
        )
        found.append(key)
    return tuple(found)


def always(connection: Connection, table: TableName) -> frozenset[str]:
    """Return the columns of a table that are GENERATED ALWAYS AS IDENTITY."""
    return frozenset(row["name"] for row in select(connection, _ALWAYS, [table.identifier.as_string(None)]))


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
