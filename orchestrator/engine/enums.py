"""Read an enum type from the catalog, and have PostgreSQL print texts as they read over the type that succeeds it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from orchestrator.engine.connection import Connection, select
from orchestrator.errors import PreconditionError
from orchestrator.sql.enums import Body, Enum, Naming, Spelling, User, former, of_new, of_old, second
from orchestrator.sql.facts import Table
from orchestrator.sql.heritage import aside, beside
from orchestrator.sql.identifiers import TableName, naming
from orchestrator.sql.readers import Move, Reader
from orchestrator.sql.restating import Restated
from orchestrator.words import did_you_mean

_ASKED = "ecm asked"
"""The name that a type has in between, to be printed under that of its successor."""


def restate(connection: Connection, restated: Restated, *, named: bool) -> None:
    """Give a type the labels of its successor; for a transaction that is rolled back.

    Nobody else sees it, and no table is locked ("ALTER TYPE", RENAME VALUE). A label without a counterpart is
    printed as its marker.

    Args:
        connection: in that transaction.
        restated: the type and its successor.
        named: whether to give it the name as well that the successor has so far, for what is made before it has the
            type's own.
    """
    own = restated.type.identifier

    def label(now: str, then: str) -> None:
        value = sql.SQL("ALTER TYPE {} RENAME VALUE {} TO {}")
        connection.execute(value.format(own, sql.Literal(now), sql.Literal(then)))

    changed = [(old, new) for old, new in restated.labels if old != new]
    for old, _ in changed:
        label(old, restated.marker(old))
    for old, new in changed:
        if new is not None:
            label(restated.marker(old), new)
    if named:
        # In the order in which the switch takes them, and whoever asks at the same time.
        _rename(connection, restated.type, _ASKED)
        if _one(connection, _TYPE, restated.successor) is not None:
            _rename(connection, restated.successor, restated.type.name)
        _rename(connection, TableName(restated.type.schema, _ASKED), restated.successor.name)


def exchange(connection: Connection, restated: Restated) -> None:
    """Give a type and its successor the names that they have next; for a transaction that is rolled back.

    Where someone has made another type of such a name since expand, the switch will be told so by PostgreSQL.
    """
    if _one(connection, _TYPE, restated.aside) is not None:
        return
    _rename(connection, restated.type, restated.aside.name)
    if _one(connection, _TYPE, restated.successor) is not None:
        _rename(connection, restated.successor, restated.type.name)


def _rename(connection: Connection, now: TableName, then: str) -> None:
    connection.execute(sql.SQL("ALTER TYPE {} RENAME TO {}").format(now.identifier, sql.Identifier(then)))


@dataclass(frozen=True, kw_only=True)
class Users:
    """The columns of the type that a plan names, and of the one that takes, or took, its place.

    Attributes:
        columns: by table; partitions are part of theirs.
        made: whether there is a second type.
        switched: whether that has the name by now.
    """

    columns: dict[TableName, tuple[str, ...]]
    made: bool
    switched: bool


def users(connection: Connection, name: TableName) -> Users:
    """Return the columns that are of a type or of an array of it, or of its other self.

    A type with the name of that is ecm's where a column of it stands beside, or aside, of one of the type.

    Args:
        connection: a session with the branch, in autocommit.
        name: the type.
    """
    types = {"schema": name.schema, "names": [name.name, second(name).name, former(name).name]}
    found: dict[str, dict[TableName, tuple[str, ...]]] = {each: {} for each in types["names"]}
    for row in select(connection, _COLUMNS, types):
        found[row["type"]][TableName(row["schema"], row["name"])] = tuple(row["columns"])
    own = found[name.name]

    def goes_with(other: TableName, named: Callable[[str], str]) -> bool:
        theirs = found[other.name]
        return any(named(column) in theirs.get(table, ()) for table, columns in own.items() for column in columns)

    switched = goes_with(former(name), aside)
    made = switched or goes_with(second(name), beside)
    other = found[(former(name) if switched else second(name)).name] if made else {}
    tables = sorted({*own, *other})
    return Users(
        columns={table: (*own.get(table, ()), *other.get(table, ())) for table in tables}, made=made, switched=switched
    )


def read(connection: Connection, name: TableName, used: Users) -> Enum:
    """Return what the catalog says of an enum type.

    Args:
        connection: a session with the branch, in autocommit.
        name: the type.
        used: the columns of it.

    Raises:
        PreconditionError: there is no such type, it is not an enum, or no table has a column of it.
    """
    row = _one(connection, _TYPE, of_old(name, switched=used.switched))
    if row is None or row.pop("kind") != "e":
        known = [str(TableName(each["schema"], each["name"])) for each in select(connection, _ENUMS, {})]
        raise PreconditionError(
            f"{name} is not an enum type" if row is not None else f"type {name} does not exist",
            details=[did_you_mean(str(name), known) or "the database has no enum types"],
            hint="correct `type` in the plan, or the branch's URL",
        )
    if not used.columns:
        raise PreconditionError(
            f"no table has a column of type {name}",
            details=["so there are no two sides to keep in step"],
            hint="change it directly: ALTER TYPE … RENAME VALUE, ALTER TYPE … ADD VALUE",
        )
    spelling = Spelling(plain=row.pop("plain"), array=row.pop("array"))
    other = _one(connection, _TYPE, of_new(name, switched=used.switched)) if used.made else None
    free = () if used.made else (second(name), former(name))
    grants = row.pop("grants")
    words = [name.name, *sorted({column for own in used.columns.values() for column in own})]
    old, new = row.pop("oid"), other["oid"] if other is not None else None
    bodies = {"types": [old, new], "naming": naming(*words)}
    return Enum(
        name=name,
        labels=tuple(row.pop("labels")),
        spelling=spelling,
        grants=None if grants is None else tuple((each["grantee"], each["grantable"]) for each in grants),
        made=Spelling(plain=other["plain"], array=other["array"]) if other is not None else None,
        occupied=next((each for each in free if _one(connection, _TYPE, each) is not None), None),
        tables=tuple(used.columns),
        switched=used.switched,
        users=tuple(_user(each) for each in select(connection, _USERS, {"oid": old, "new": new})),
        naming=tuple(
            Naming(**each)
            for each in select(connection, _NAMING, {"words": words, "naming": [naming(word) for word in words]})
        ),
        bodies=tuple(Body(**each) for each in select(connection, _BODIES, bodies)),
        **row,
    )


def _user(row: dict[str, Any]) -> User:
    view = TableName(row["view_schema"], row["view"]) if row["view"] is not None else None
    if row["by_signature"]:
        return User(
            kind=row["kind"],
            name=row["identity"].partition("(")[0],
            by_signature=True,
            takes=row["takes"],
            signature=row["identity"],
            succeeded=row["succeeded"],
        )
    return User(kind=row["kind"], name=f"{view.schema}.{view.name}" if view is not None else row["identity"], view=view)


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


def _one(connection: Connection, query: str, name: TableName) -> dict[str, Any] | None:
    return next(iter(select(connection, query, {"schema": name.schema, "name": name.name})), None)


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
   WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e') AS extension
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = %(schema)s AND t.typname = %(name)s
"""

_COLUMNS = """
SELECT t.typname AS type, n.nspname AS schema, c.relname AS name,
  pg_catalog.array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace s ON s.oid = t.typnamespace
JOIN pg_catalog.pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE s.nspname = %(schema)s AND t.typname = ANY (%(names)s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relpersistence <> 't' GROUP BY 1, 2, 3
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
found AS (SELECT DISTINCT d.classid, d.objid, d.objsubid, p.oid IS NOT NULL AS by_signature,
    coalesce(p.proargtypes::oid[] && array(SELECT oid FROM own), false) AS takes,
    coalesce(pg_catalog.pg_has_role(p.proowner, 'USAGE'), false) AND EXISTS (
      SELECT FROM pg_catalog.pg_type o JOIN pg_catalog.pg_type n ON n.oid = %(new)s::oid
      JOIN pg_catalog.pg_proc f ON f.pronamespace = p.pronamespace AND f.proname = p.proname AND f.oid <> p.oid
        AND f.proargtypes::oid[] = pg_catalog.array_replace(
          pg_catalog.array_replace(p.proargtypes::oid[], o.oid, n.oid), o.typarray, n.typarray)
      WHERE o.oid = %(oid)s) AS succeeded
  FROM pg_catalog.pg_depend d LEFT JOIN pg_catalog.pg_proc p ON d.classid = 'pg_catalog.pg_proc'::regclass
    AND p.oid = d.objid AND p.proargtypes::oid[] || p.prorettype || coalesce(p.proallargtypes, '{}')
      && array(SELECT oid FROM own)
  WHERE d.refclassid = 'pg_catalog.pg_type'::regclass AND d.refobjid IN (SELECT oid FROM own) AND d.deptype <> 'i'
    AND NOT (d.classid = 'pg_catalog.pg_type'::regclass AND d.objid IN (SELECT oid FROM own)))
SELECT DISTINCT i.type AS kind, i.identity, f.by_signature, f.takes, f.succeeded,
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

# Sessions keep functions in these languages compiled, until their row changes, with the type that a name meant then,
# that a column had then of which a variable has its type (%TYPE), and that a field had then to which they assign. The
# words are the type's name and those of its columns.
_NAMING = r"""
SELECT n.nspname || '.' || f.proname AS name, w.word AS names, CASE WHEN l.lanname IN ('plpgsql', 'sql')
    AND pg_catalog.pg_has_role(f.proowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM pg_catalog.unnest(f.proconfig) c WHERE c LIKE 'geqo_seed=%%')
  THEN f.oid::regprocedure::text END AS routine FROM pg_catalog.pg_proc f
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace JOIN pg_catalog.pg_language l ON l.oid = f.prolang
CROSS JOIN LATERAL (
  SELECT v.word FROM unnest(%(words)s::text[], %(naming)s::text[]) WITH ORDINALITY v (word, naming, place)
  WHERE f.prosrc ~ v.naming ORDER BY v.place LIMIT 1) w
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'ecm') AND l.lanname NOT IN ('internal', 'c')
  AND f.prosqlbody IS NULL
ORDER BY 1, 3
"""

_BODIES = r"""
WITH own AS (SELECT t.oid FROM pg_catalog.pg_type t WHERE t.oid = ANY (%(types)s)
             UNION SELECT t.typarray FROM pg_catalog.pg_type t WHERE t.oid = ANY (%(types)s)),
columns AS (SELECT a.attrelid FROM pg_catalog.pg_attribute a
            WHERE a.atttypid IN (SELECT oid FROM own) AND a.attnum > 0 AND NOT a.attisdropped)
SELECT CASE f.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END AS kind, n.nspname || '.' || f.proname AS name,
  l.lanname AS language, f.prosrc AS text
FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = f.prolang
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'ecm') AND n.nspname NOT LIKE 'pg\_temp%%'
  AND l.lanname NOT IN ('internal', 'c') AND f.prosqlbody IS NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x
                  WHERE x.classid = 'pg_catalog.pg_proc'::regclass AND x.objid = f.oid AND x.deptype = 'e')
  AND (f.prosrc ~ %(naming)s
       OR EXISTS (SELECT FROM pg_catalog.pg_trigger t JOIN columns c ON c.attrelid = t.tgrelid WHERE t.tgfoid = f.oid))
ORDER BY 2
"""
