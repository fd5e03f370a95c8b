"""Read an enum type from the catalog, and have PostgreSQL print texts as they read over the type that succeeds it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from orchestrator.engine.connection import Connection
from orchestrator.errors import PreconditionError
from orchestrator.sql.enums import Enum, Spelling, User, successor
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.readers import Move, Reader
from orchestrator.sql.restating import Restated
from orchestrator.words import did_you_mean

_ASKED = "ecm asked"
"""The name that the second type has while the first is printed under its name."""


def restate(connection: Connection, restated: Restated) -> None:
    """Give a type the labels and the name of its successor; for a transaction that is rolled back.

    Nobody else sees it, and no table is locked ("ALTER TYPE", RENAME VALUE). A label without a counterpart is
    printed as its marker.
    """
    alter = sql.SQL("ALTER TYPE {} RENAME {}")
    own = restated.type.identifier

    def label(now: str, then: str) -> None:
        value = sql.SQL("VALUE {} TO {}").format(sql.Literal(now), sql.Literal(then))
        connection.execute(alter.format(own, value))

    changed = [(old, new) for old, new in restated.labels if old != new]
    for old, _ in changed:
        label(old, restated.marker(old))
    for old, new in changed:
        if new is not None:
            label(restated.marker(old), new)
    if _one(connection, _TYPE, restated.successor) is not None:
        to = sql.SQL("TO {}").format(sql.Identifier(_ASKED))
        connection.execute(alter.format(restated.successor.identifier, to))
    to = sql.SQL("TO {}").format(sql.Identifier(restated.successor.name))
    connection.execute(alter.format(own, to))


def read(connection: Connection, name: TableName, tables: tuple[TableName, ...]) -> Enum:
    """Return what the catalog says of an enum type.

    Args:
        connection: a session with the branch, in autocommit.
        name: the type.
        tables: those with a column of it.

    Raises:
        PreconditionError: there is no such type, it is not an enum, or no table has a column of it.
    """
    row = _one(connection, _TYPE, name)
    if row is None or row.pop("kind") != "e":
        known = [str(TableName(each["schema"], each["name"])) for each in _rows(connection, _ENUMS, {})]
        raise PreconditionError(
            f"{name} is not an enum type" if row is not None else f"type {name} does not exist",
            details=[did_you_mean(str(name), known) or "the database has no enum types"],
            hint="correct `type` in the plan, or the branch's URL",
        )
    if not tables:
        raise PreconditionError(
            f"no table has a column of type {name}",
            details=["so there are no two sides to keep in step"],
            hint="change it directly: ALTER TYPE … RENAME VALUE, ALTER TYPE … ADD VALUE",
        )
    spelling = Spelling(plain=row.pop("plain"), array=row.pop("array"))
    other = _one(connection, _TYPE, successor(name))
    made = other is not None and other["kind"] == "e" and other["used"]
    grants = row.pop("grants")
    values = {"oid": row.pop("oid"), "name": name.name}
    row.pop("used")
    return Enum(
        name=name,
        labels=tuple(row.pop("labels")),
        spelling=spelling,
        grants=None if grants is None else tuple((each["grantee"], each["grantable"]) for each in grants),
        made=Spelling(plain=other["plain"], array=other["array"]) if other is not None and made else None,
        occupied=other is not None and not made,
        tables=tables,
        users=tuple(_user(each) for each in _rows(connection, _USERS, values)),
        naming=tuple(each["name"] for each in _rows(connection, _NAMING, values)),
        **row,
    )


def _user(row: dict[str, Any]) -> User:
    view = TableName(row["view_schema"], row["view"]) if row["view"] is not None else None
    name = f"{view.schema}.{view.name}" if view is not None else row["identity"]
    if row["by_signature"]:
        name = name.partition("(")[0]
    return User(kind=row["kind"], name=name, view=view, by_signature=row["by_signature"])


def with_readers(
    type_name: TableName, tables: Mapping[TableName, Table], moves: Mapping[TableName, Iterable[Move]]
) -> dict[TableName, Table]:
    """Return the facts of a type's tables with what reads any of its columns, as one: a view may read several.

    Args:
        type_name: the type.
        tables: their facts, with the readers of each column.
        moves: which columns take over from which, by table.
    """
    columns = [(table, move) for name, table in tables.items() for move in moves[name]]
    read = [reader for table, move in columns for reader in table.readers.get(move.read, ()) if not reader.is_ours]
    left = [reader for table, move in columns for reader in table.readers.get(move.left, ()) if reader.is_ours]
    early = [reader.key for reader in read if reader.early]
    several = {key: None for key in early if early.count(key) > 1}
    names = {reader.key: f"{reader.name.schema}.{reader.name.name}" for reader in read}
    merged, aside = _merged(read), _merged(left)
    views = {reader.name for reader in (*merged, *aside) if reader.on is None}

    def complete(enum: Enum) -> Enum:
        return replace(
            enum,
            moves=tuple((table.name, move) for table, move in columns),
            switched=any(table.column(move.left) is not None for table, move in columns),
            readers=merged,
            aside=aside,
            unmovable=tuple(names[key] for key in several),
            users=tuple(user for user in enum.users if user.view not in views),
        )

    return {
        name: replace(table, enums={**table.enums, type_name: complete(table.enums[type_name])})
        for name, table in tables.items()
    }


def _merged(readers: Iterable[Reader]) -> tuple[Reader, ...]:
    """Return readers of several columns, each once and after those it stands on."""
    found: dict[str, Reader] = {}
    for reader in readers:
        known = found.get(reader.key, reader)
        found[reader.key] = replace(
            known, stands_on=known.stands_on | reader.stands_on, aside=known.aside or reader.aside
        )
    placed: dict[str, Reader] = {}

    def place(reader: Reader) -> None:
        for key in sorted(reader.stands_on):
            if key in found and key not in placed:
                place(found[key])
        placed.setdefault(reader.key, reader)

    for reader in sorted(found.values(), key=lambda each: each.on is not None):
        place(reader)
    return tuple(placed.values())


def _rows(connection: Connection, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(verbatim(query), values).fetchall()


def _one(connection: Connection, query: str, name: TableName) -> dict[str, Any] | None:
    return next(iter(_rows(connection, query, {"schema": name.schema, "name": name.name})), None)


# ---------------------------------------------------------------- queries

_TYPE = """
SELECT t.oid::bigint, t.typtype::text AS kind, pg_catalog.format_type(t.oid, NULL) AS plain,
  pg_catalog.format_type(t.typarray, NULL) AS array, pg_catalog.pg_get_userbyid(t.typowner) AS owner,
  pg_catalog.pg_has_role(t.typowner, 'USAGE') AS may_alter,
  pg_catalog.has_schema_privilege(n.oid, 'CREATE') AS may_create_in_schema,
  pg_catalog.obj_description(t.oid, 'pg_type') AS comment,
  array(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e
        WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels,
  CASE WHEN t.typacl IS NOT NULL THEN (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'grantee', CASE WHEN g.grantee <> 0 THEN pg_catalog.pg_get_userbyid(g.grantee) END, 'grantable', g.is_grantable)),
      '[]') FROM pg_catalog.aclexplode(t.typacl) g) END AS grants,
  (SELECT x.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid
   WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e') AS extension,
  EXISTS (SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
          WHERE a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped AND c.relkind IN ('r', 'p')) AS used
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = %(schema)s AND t.typname = %(name)s
"""

_ENUMS = """
SELECT n.nspname AS schema, t.typname AS name FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e' ORDER BY 1, 2
"""

# What depends on a column of a table is looked after where the column is; a function also by what it takes and gives.
_USERS = """
WITH own AS (SELECT t.oid FROM pg_catalog.pg_type t WHERE t.oid = %(oid)s
             UNION SELECT t.typarray FROM pg_catalog.pg_type t WHERE t.oid = %(oid)s),
columns AS (SELECT a.attrelid, a.attnum FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
            WHERE a.atttypid IN (SELECT oid FROM own) AND c.relkind IN ('r', 'p') AND NOT a.attisdropped),
found AS (SELECT DISTINCT d.classid, d.objid, d.objsubid, coalesce(p.oid IS NOT NULL, false) AS by_signature
  FROM pg_catalog.pg_depend d LEFT JOIN pg_catalog.pg_proc p ON d.classid = 'pg_catalog.pg_proc'::regclass
    AND p.oid = d.objid AND p.proargtypes::oid[] || p.prorettype || coalesce(p.proallargtypes, '{}')
      && array(SELECT oid FROM own)
  WHERE d.refclassid = 'pg_catalog.pg_type'::regclass AND d.refobjid IN (SELECT oid FROM own) AND d.deptype <> 'i'
    AND NOT (d.classid = 'pg_catalog.pg_type'::regclass AND d.objid IN (SELECT oid FROM own)))
SELECT DISTINCT i.type AS kind, i.identity, f.by_signature,
  CASE WHEN c.relkind IN ('v', 'm') THEN c.relname END AS view, n.nspname AS view_schema
FROM found f CROSS JOIN LATERAL pg_catalog.pg_identify_object(f.classid, f.objid, f.objsubid) i
LEFT JOIN pg_catalog.pg_rewrite r ON f.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = f.objid
LEFT JOIN pg_catalog.pg_class c ON f.classid = 'pg_catalog.pg_class'::regclass AND c.oid = f.objid OR c.oid = r.ev_class
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT (f.objsubid > 0 AND c.relkind IN ('r', 'p')) AND 'ecm' IS DISTINCT FROM coalesce(n.nspname, i.schema)
  AND (f.by_signature OR NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend d JOIN columns w ON w.attrelid = d.refobjid AND w.attnum = d.refobjsubid
    WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.classid = f.classid AND d.objid = f.objid))
ORDER BY i.identity
"""

_NAMING = r"""
SELECT DISTINCT f.oid::regproc::text AS name FROM pg_catalog.pg_proc f
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace JOIN pg_catalog.pg_language l ON l.oid = f.prolang
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'ecm') AND l.lanname NOT IN ('internal', 'c')
  AND f.prosqlbody IS NULL AND f.prosrc ~ (
    SELECT '(?i)(^|[^[:alnum:]_$])' || pg_catalog.regexp_replace(%(name)s, '([^[:alnum:]_])', '\', 'g')
      || '($|[^[:alnum:]_$])')
ORDER BY 1
"""
