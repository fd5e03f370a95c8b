"""Read what hangs on columns that have heirs, in PostgreSQL's own words, as it would read over those.

Definitions are never edited. Those of indexes, checks and statistics are made on an empty temporary copy of the
table, whose columns are then renamed and printed again; a foreign key is put together from the catalog.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row

from orchestrator.engine import enums
from orchestrator.engine.connection import Connection
from orchestrator.sql.facts import Table
from orchestrator.sql.heritage import (
    Attributes,
    Heir,
    HeldConstraint,
    HeldIndex,
    HeldSequence,
    HeldStatistics,
    Heritage,
    Part,
    Trial,
    former_name,
)
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, verbatim

Names = Mapping[TableName, Mapping[str, str]]
"""By table: the successors of its columns."""

Renamed = Callable[[list[str]], list[str]]


class _UndoError(Exception):
    """Ends a transaction whose only purpose was to ask PostgreSQL something."""


def successors(heirs: Mapping[TableName, Iterable[Heir]]) -> dict[TableName, dict[str, str]]:
    """Return who succeeds whom, by table."""
    return {table: {heir.column: heir.successor for heir in own} for table, own in heirs.items()}


def read(connection: Connection, table: Table, heirs: tuple[Heir, ...], names: Names) -> Heritage:
    """Return what hangs on columns of a table.

    Args:
        connection: a session with the branch, in autocommit.
        table: its facts so far.
        heirs: the columns and who takes over from them.
        names: the successors in every table of the plan, for foreign keys between them.
    """
    heirs = tuple(heir for heir in heirs if table.column(heir.column) is not None)
    if not heirs or not table.may_alter:
        return Heritage(heirs=heirs)
    values: dict[str, Any] = {"oid": table.oid, "columns": [heir.column for heir in heirs]}
    indexes, checks = _rows(connection, _INDEXES, values), _rows(connection, _CHECKS, values)
    statistics = _rows(connection, _STATISTICS, values)
    texts = _Texts(connection, table, heirs)
    tails = texts.indexes([row["tail"] for row in indexes])
    conditions = texts.checks([row["definition"] for row in checks])
    kinds = texts.statistics([row["definition"] for row in statistics])
    defaults = _defaults(connection, table, heirs)
    return Heritage(
        heirs=heirs,
        indexes=tuple(_index(row, tail) for row, tail in zip(indexes, tails, strict=True)),
        constraints=(
            *(_check(table, row, condition) for row, condition in zip(checks, conditions, strict=True)),
            *(_key(table, row, names.get(table.name, {})) for row in _rows(connection, _KEYS, values)),
            *_foreign_keys(connection, values, table.name, names),
        ),
        statistics=tuple(
            HeldStatistics(
                name=TableName(row["schema"], row["name"]),
                definition=definition,
                comment=row["comment"],
            )
            for row, definition in zip(statistics, kinds, strict=True)
        ),
        attributes={
            row["name"]: _attributes(connection, row, defaults)
            for row in _rows(connection, _attributes_query(connection), values)
        },
        trials={heir.column: _trial(connection, table, heir) for heir in heirs if heir.type is not None},
        functions=tuple(TableName(row["schema"], row["name"]) for row in _rows(connection, _FUNCTIONS, values)),
        former=_former(connection, table.name, heirs),
    )


def _former(connection: Connection, table: TableName, heirs: tuple[Heir, ...]) -> dict[str, str]:
    kept = {
        heir.column: _rows(connection, _FORMER, {"name": former_name(table, heir.column), "schema": JOURNAL_SCHEMA})
        for heir in heirs
    }
    return {column: rows[0]["type"] for column, rows in kept.items() if rows}


def _rows(connection: Connection, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(verbatim(query), values).fetchall()


def _parts(found: list[dict[str, str]]) -> tuple[Part, ...]:
    return tuple(Part(table=TableName(each["schema"], each["table"]), name=each["name"]) for each in found)


def _index(row: dict[str, Any], tail: str) -> HeldIndex:
    row["tail"], row["parts"] = tail, _parts(row["parts"])
    return HeldIndex(**row)


def _check(table: Table, row: dict[str, Any], condition: str) -> HeldConstraint:
    row["definition"] = condition
    return HeldConstraint(table=table.name, **row)


def _key(table: Table, row: dict[str, Any], own: Mapping[str, str]) -> HeldConstraint:
    head = sql.SQL("{} ({})").format(
        verbatim("PRIMARY KEY" if row["kind"] == "p" else row.pop("unique")), _listed(row.pop("columns"), own)
    )
    included = row.pop("included")
    more = sql.SQL(" INCLUDE ({})").format(_listed(included, own)) if included else sql.SQL("")
    row.pop("unique", None)
    return HeldConstraint(table=table.name, whole=(head + more).as_string(None), **row)


def _defaults(connection: Connection, table: Table, heirs: tuple[Heir, ...]) -> dict[str, str]:
    """Return, by column, the defaults that read otherwise over the successor."""
    found: dict[str, str] = {}
    for heir in (heir for heir in heirs if heir.restated is not None):
        try:
            with connection.transaction():
                enums.restate(connection, heir.restated)
                rows = _rows(connection, _DEFAULT, {"oid": table.oid, "column": heir.column})
                raise _UndoError  # noqa: TRY301 - it ends the transaction around it
        except _UndoError:
            found |= {heir.column: row["default"] for row in rows}
    return found


def _attributes(connection: Connection, row: dict[str, Any], defaults: Mapping[str, str]) -> Attributes:
    sequence = row.pop("sequence")
    row["options"] = tuple(tuple(option.split("=", 1)) for option in row["options"])
    row["used"] = tuple(row["used"])
    row["default"] = defaults.get(row.pop("name"))
    return Attributes(**row, sequence=_sequence(connection, sequence) if sequence is not None else None)


def _sequence(connection: Connection, oid: int) -> HeldSequence:
    (row,) = _rows(connection, _SEQUENCE, {"oid": oid})
    name = TableName(row.pop("schema"), row.pop("name"))
    grants = tuple((each["grantee"], each["privilege"], each["grantable"]) for each in row.pop("grants"))
    return HeldSequence(name=name, grants=grants, **row)


# ---------------------------------------------------------------- foreign keys


def _foreign_keys(
    connection: Connection, values: dict[str, Any], table: TableName, names: Names
) -> Iterable[HeldConstraint]:
    for row in _rows(connection, _foreign_keys_query(connection), values):
        owner = TableName(row["schema"], row["table"])
        other = TableName(row["other_schema"], row["other_table"])
        # One between two columns that both have heirs belongs to the table that points.
        if owner != table and names.get(owner, {}).keys() & set(row["columns"]):
            continue
        yield HeldConstraint(
            name=row["name"],
            kind="f",
            table=owner,
            references=other,
            definition=_pointing(row, names.get(owner, {}), other, names.get(other, {})),
            valid=row["valid"],
            enforced=row["enforced"],
            comment=row["comment"],
            parts=_parts(row["parts"]),
        )


def _pointing(row: dict[str, Any], own: Mapping[str, str], other: TableName, theirs: Mapping[str, str]) -> str:
    emptied = sql.SQL(" ({})").format(_listed(row["emptied"], own)) if row["emptied"] else sql.SQL("")
    return (
        sql.SQL("FOREIGN KEY ({}) REFERENCES {} ({}){}{}{}")
        .format(
            _listed(row["columns"], own),
            other.identifier,
            _listed(row["other_columns"], theirs),
            verbatim(row["actions"]),
            emptied,
            verbatim(row["deferrable"]),
        )
        .as_string(None)
    )


def _listed(columns: Iterable[str], successors: Mapping[str, str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(successors.get(column, column)) for column in columns)


# ---------------------------------------------------------------- how definitions read over the successors


class _Texts:
    """Has PostgreSQL print definitions again on an empty copy of a table, under the successors' names."""

    def __init__(self, connection: Connection, table: Table, heirs: tuple[Heir, ...]) -> None:
        self._connection = connection
        self._table = table
        self._heirs = heirs

    def indexes(self, tails: list[str]) -> list[str]:
        """Return definitions of indexes from ` USING` on."""

        def make(copy: sql.Identifier, number: int, tail: str) -> sql.Composed:
            return sql.SQL("CREATE INDEX {} ON {}{}").format(sql.Identifier(f"ecm_{number}"), copy, verbatim(tail))

        return self._printed(tails, make, _COPIED_INDEXES)

    def checks(self, definitions: list[str]) -> list[str]:
        """Return definitions of checks, without NOT VALID."""

        def make(copy: sql.Identifier, number: int, definition: str) -> sql.Composed:
            return sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                copy, sql.Identifier(f"ecm_{number}"), verbatim(definition)
            )

        return self._printed(definitions, make, _COPIED_CHECKS)

    def statistics(self, definitions: list[str]) -> list[str]:
        """Return definitions of statistics: their kinds, ` ON ` and their columns."""

        def make(copy: sql.Identifier, number: int, definition: str) -> sql.Composed:
            name = sql.Identifier("pg_temp", f"ecm_{number}")
            return sql.SQL("CREATE STATISTICS {}{} FROM {}").format(name, verbatim(definition), copy)

        return self._printed(definitions, make, _COPIED_STATISTICS)

    def _printed(
        self, texts: list[str], make: Callable[[sql.Identifier, int, str], sql.Composed], query: str
    ) -> list[str]:
        if not texts:
            return []
        printed: dict[str, str] = {}
        try:
            with self._connection.transaction():
                copy = sql.Identifier("pg_temp", "ecm_copy")
                like = sql.SQL("CREATE TEMPORARY TABLE ecm_copy (LIKE {})").format(self._table.name.identifier)
                self._connection.execute(like)
                for heir in self._heirs:
                    self._alter("DROP COLUMN IF EXISTS {}", heir.successor)
                # An expression may call what relies on the role's own search_path; what is printed must not.
                self._connection.execute("SET LOCAL search_path TO DEFAULT")
                for number, text in enumerate(texts):
                    self._connection.execute(make(copy, number, text))
                self._connection.execute("SET LOCAL search_path TO ''")
                for restated in {heir.restated for heir in self._heirs} - {None}:
                    enums.restate(self._connection, restated)
                for heir in self._heirs:
                    self._alter("RENAME COLUMN {} TO {}", heir.column, heir.successor)
                printed = {row["name"]: row["text"] for row in _rows(self._connection, query, {})}
                raise _UndoError  # noqa: TRY301 - it ends the transaction around it
        except _UndoError:
            return [printed[f"ecm_{number}"] for number in range(len(texts))]

    def _alter(self, what: str, *columns: str) -> None:
        names = map(sql.Identifier, columns)
        self._connection.execute(sql.SQL("ALTER TABLE pg_temp.ecm_copy {}").format(verbatim(what).format(*names)))


def _trial(connection: Connection, table: Table, heir: Heir) -> Trial:
    """Let PostgreSQL change the type on an empty copy: what it refuses, and whether it writes anything anew."""
    trial = Trial()
    try:
        with connection.transaction():
            like = sql.SQL("CREATE TEMPORARY TABLE ecm_copy (LIKE {} INCLUDING ALL)")
            connection.execute("SET LOCAL search_path TO DEFAULT")
            connection.execute("SET LOCAL client_min_messages TO error")
            connection.execute(like.format(table.name.identifier))
            before = _rows(connection, _FILES, {})
            column, kind = sql.Identifier(heir.column), verbatim(heir.type or "")
            alter = sql.SQL("ALTER TABLE pg_temp.ecm_copy ALTER COLUMN {} TYPE {}")
            plain = _accepted(connection, alter.format(column, kind))
            if plain is not None:
                # Where there is no cast that PostgreSQL makes by itself, the plan's expression stands in.
                using = sql.SQL("{} USING NULL::{}").format(alter.format(column, kind), kind)
                trial = Trial(refusal=_accepted(connection, using))
            else:
                trial = Trial(rewrites=before != _rows(connection, _FILES, {}))
            raise _UndoError  # noqa: TRY301 - it ends the transaction around it
    except _UndoError:
        return trial


def _accepted(connection: Connection, statement: sql.Composed) -> str | None:
    """Return what PostgreSQL has against a statement, or None."""
    try:
        with connection.transaction():
            connection.execute(statement)
    except (errors.InsufficientPrivilege, psycopg.OperationalError):
        raise
    except psycopg.Error as error:
        return error.diag.message_primary or str(error)
    return None


# ---------------------------------------------------------------- queries

_COLUMNS = """
  (SELECT array_agg(w.attnum) FROM pg_catalog.pg_attribute w
   WHERE w.attrelid = %(oid)s AND NOT w.attisdropped AND w.attname = ANY (%(columns)s))"""

# The definition's beginning is known to the letter, so it is cut off by its length.
_TAIL = """pg_catalog.substr(pg_catalog.pg_get_indexdef(i.indexrelid), 1 + pg_catalog.length(pg_catalog.format(
  'CREATE %%sINDEX %%I ON %%s%%I.%%I', CASE WHEN i.indisunique THEN 'UNIQUE ' END, x.relname,
  CASE WHEN x.relkind = 'I' THEN 'ONLY ' END,
  CASE WHEN c.relpersistence = 't' THEN 'pg_temp' ELSE n.nspname END, c.relname)))"""

_INDEXES = f"""
SELECT x.relname AS name, i.indisunique AS unique, {_TAIL} AS tail,
  pg_catalog.obj_description(x.oid, 'pg_class') AS comment, i.indisclustered AS clustered,
  i.indisreplident AS replica_identity,
  coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                     'schema', pn.nspname, 'table', pt.relname, 'name', px.relname) ORDER BY pn.nspname, pt.relname)
   FROM pg_catalog.pg_partition_tree(x.oid) t JOIN pg_catalog.pg_index pi ON pi.indexrelid = t.relid
   JOIN pg_catalog.pg_class px ON px.oid = t.relid JOIN pg_catalog.pg_class pt ON pt.oid = pi.indrelid
   JOIN pg_catalog.pg_namespace pn ON pn.oid = pt.relnamespace
   WHERE t.level > 0 AND t.isleaf), '[]') AS parts,
  (SELECT k.conname FROM pg_catalog.pg_constraint k WHERE k.conindid = x.oid AND k.conrelid = c.oid
   AND k.contype IN ('p', 'u', 'x')) AS "constraint"
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = %(oid)s AND i.indisvalid AND NOT i.indisexclusion AND (
  i.indkey::int2[] && {_COLUMNS} OR EXISTS (
    SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = x.oid
      AND d.refobjid = c.oid AND d.refobjsubid = ANY ({_COLUMNS}::int2[])))
ORDER BY x.relname
"""  # noqa: S608 - constants in a constant


def _named(numbers: str, table: str) -> str:
    return (
        f"array(SELECT a.attname::text FROM pg_catalog.unnest({numbers}) WITH ORDINALITY u (number, place)"  # noqa: S608
        f" JOIN pg_catalog.pg_attribute a ON a.attrelid = {table} AND a.attnum = u.number ORDER BY u.place)"
    )


_KEYS = f"""
SELECT k.conname AS name, k.contype::text AS kind, x.relname AS index,
  'UNIQUE' || CASE WHEN {_TAIL} LIKE '%%) NULLS NOT DISTINCT%%' THEN ' NULLS NOT DISTINCT' ELSE '' END AS unique,
  {_named("(i.indkey::int2[])[0:i.indnkeyatts - 1]", "i.indrelid")} AS columns,
  {_named("(i.indkey::int2[])[i.indnkeyatts:]", "i.indrelid")} AS included,
  CASE WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END
    || CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END AS definition,
  pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_index i ON i.indexrelid = k.conindid
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.conrelid = %(oid)s AND k.contype IN ('p', 'u') AND NOT i.indisexclusion AND i.indkey::int2[] && {_COLUMNS}
ORDER BY k.conname
"""  # noqa: S608 - constants in a constant

_CHECKS = f"""
SELECT k.conname AS name, 'c' AS kind, k.convalidated AS valid,
  CASE WHEN k.convalidated OR d.text NOT LIKE '%% NOT VALID' THEN d.text
    ELSE pg_catalog.left(d.text, -pg_catalog.length(' NOT VALID')) END AS definition,
  k.convalidated OR d.text LIKE '%% NOT VALID' AS enforced,
  pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment
FROM pg_catalog.pg_constraint k CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_constraintdef(k.oid) AS text) d
WHERE k.conrelid = %(oid)s AND k.contype = 'c' AND k.conkey && {_COLUMNS} ORDER BY k.conname
"""  # noqa: S608 - constants in a constant


def _foreign_keys_query(connection: Connection) -> str:
    version = connection.info.server_version
    emptied = "coalesce(k.confdelsetcols, '{}')" if version >= 150000 else "'{}'::int2[]"  # noqa: PLR2004 - its columns
    enforced = "k.conenforced" if version >= 180000 else "true"  # noqa: PLR2004 - NOT ENFORCED
    return _FOREIGN_KEYS.replace("/*emptied*/", emptied).replace("/*enforced*/", enforced)


_ACTIONS = "CASE {} WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' ELSE 'RESTRICT' END"


_FOREIGN_KEYS = f"""
SELECT k.conname AS name, n.nspname AS schema, c.relname AS "table",
  s.nspname AS other_schema, r.relname AS other_table,
  {_named("k.conkey", "k.conrelid")} AS columns, {_named("k.confkey", "k.confrelid")} AS other_columns,
  {_named("/*emptied*/", "k.conrelid")} AS emptied, /*enforced*/ AS enforced, k.convalidated AS valid,
  CASE k.confmatchtype WHEN 'f' THEN ' MATCH FULL' ELSE '' END
    || CASE WHEN k.confupdtype = 'a' THEN '' ELSE ' ON UPDATE ' || {_ACTIONS.format("k.confupdtype")} END
    || CASE WHEN k.confdeltype = 'a' THEN '' ELSE ' ON DELETE ' || {_ACTIONS.format("k.confdeltype")} END AS actions,
  CASE WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END
    || CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END
    || CASE WHEN /*enforced*/ THEN '' ELSE ' NOT ENFORCED' END AS deferrable,
  pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment,
  coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                     'schema', pn.nspname, 'table', pc.relname, 'name', p.conname) ORDER BY pn.nspname, pc.relname)
   FROM pg_catalog.pg_constraint p JOIN pg_catalog.pg_class pc ON pc.oid = p.conrelid
   JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace
   WHERE p.conparentid = k.oid AND p.conrelid <> k.conrelid), '[]') AS parts
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_class r ON r.oid = k.confrelid
JOIN pg_catalog.pg_namespace s ON s.oid = r.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND (
  k.conrelid = %(oid)s AND k.conkey && {_COLUMNS} OR k.confrelid = %(oid)s AND k.confkey && {_COLUMNS})
ORDER BY n.nspname, c.relname, k.conname
"""  # noqa: S608 - constants in a constant

# A definition's head and its end, ` FROM schema.table`, are known to the letter.
_STATISTICS_TEXT = """pg_catalog.left(pg_catalog.substr(d.text, 1 + pg_catalog.length(pg_catalog.format(
    'CREATE STATISTICS %%I.%%I',
    CASE WHEN c.relpersistence = 't' THEN 'pg_temp' ELSE n.nspname END, s.stxname))),
  -pg_catalog.length(' FROM ' || c.oid::regclass::text))"""

_STATISTICS = f"""
SELECT n.nspname AS schema, s.stxname AS name, {_STATISTICS_TEXT} AS definition,
  pg_catalog.obj_description(s.oid, 'pg_statistic_ext') AS comment
FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
JOIN pg_catalog.pg_class c ON c.oid = s.stxrelid
CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_statisticsobjdef(s.oid) AS text) d
WHERE s.stxrelid = %(oid)s AND (s.stxkeys::int2[] && {_COLUMNS} OR EXISTS (
  SELECT FROM pg_catalog.pg_depend p WHERE p.classid = 'pg_catalog.pg_statistic_ext'::regclass AND p.objid = s.oid
    AND p.refobjid = c.oid AND p.refobjsubid = ANY ({_COLUMNS}::int2[])))
ORDER BY 1, 2
"""  # noqa: S608 - constants in a constant

_COPIED_INDEXES = f"""
SELECT x.relname AS name, {_TAIL} AS text FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE i.indrelid = 'pg_temp.ecm_copy'::regclass
"""  # noqa: S608 - constants in a constant

_COPIED_CHECKS = """
SELECT k.conname AS name, pg_catalog.pg_get_constraintdef(k.oid) AS text FROM pg_catalog.pg_constraint k
WHERE k.conrelid = 'pg_temp.ecm_copy'::regclass
"""

_COPIED_STATISTICS = f"""
SELECT s.stxname AS name, {_STATISTICS_TEXT} AS text FROM pg_catalog.pg_statistic_ext s
JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace JOIN pg_catalog.pg_class c ON c.oid = s.stxrelid
CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_statisticsobjdef(s.oid) AS text) d
WHERE s.stxrelid = 'pg_temp.ecm_copy'::regclass
"""  # noqa: S608 - constants in a constant

_DEFAULT = """
SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS default FROM pg_catalog.pg_attrdef d
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE d.adrelid = %(oid)s AND a.attname = %(column)s
"""

_FILES = """
SELECT c.relname AS name, c.relfilenode AS file FROM pg_catalog.pg_class c WHERE c.oid = 'pg_temp.ecm_copy'::regclass
UNION ALL SELECT x.relname, x.relfilenode FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = 'pg_temp.ecm_copy'::regclass ORDER BY 1
"""

_FORMER = """
SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) || coalesce(' COLLATE ' || (
    SELECT pg_catalog.format('%%I.%%I', n.nspname, l.collname) FROM pg_catalog.pg_collation l
    JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
    WHERE l.oid = a.attcollation AND a.attcollation <> t.typcollation), '') AS type
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE s.nspname = %(schema)s AND c.relname = %(name)s AND c.relkind = 'c'
"""

_FUNCTIONS = """
SELECT DISTINCT n.nspname AS schema, f.proname AS name FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid JOIN pg_catalog.pg_language l ON l.oid = f.prolang
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
WHERE NOT t.tgisinternal AND (t.tgrelid = %(oid)s OR t.tgrelid IN (
    SELECT p.relid FROM pg_catalog.pg_partition_tree(%(oid)s::bigint::pg_catalog.oid) p))
  AND l.lanname = 'plpgsql' AND n.nspname <> 'ecm' AND pg_catalog.pg_has_role(f.proowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_catalog.unnest(f.proconfig) c WHERE c LIKE 'geqo_seed=%%') ORDER BY 1, 2
"""

_SEQUENCE = """
SELECT n.nspname AS schema, c.relname AS name, pg_catalog.format_type(s.seqtypid, NULL) AS type, s.seqstart AS start,
  s.seqincrement AS increment, s.seqmin AS minimum, s.seqmax AS maximum, s.seqcache AS cache, s.seqcycle AS cycle,
  pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
  coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'grantee', CASE WHEN g.grantee <> 0 THEN pg_catalog.pg_get_userbyid(g.grantee) END,
      'privilege', g.privilege_type, 'grantable', g.is_grantable))
    FROM pg_catalog.aclexplode(c.relacl) g WHERE g.grantee <> c.relowner), '[]') AS grants
FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s
"""


def _attributes_query(connection: Connection) -> str:
    version = connection.info.server_version
    named = (
        "(SELECT k.conname FROM pg_catalog.pg_constraint k"
        " WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum])"
    )
    in_part = """SELECT 'publication ' || p.pubname || ' sends it in a list of columns'
    FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
    WHERE r.prrelid = a.attrelid AND a.attnum = ANY (r.prattrs::int2[])
    UNION SELECT 'publication ' || p.pubname || ' filters rows by it'
    FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
    WHERE r.prrelid = a.attrelid AND r.prqual::text ~ (':varattno ' || a.attnum || '[ }]') UNION"""
    return _ATTRIBUTES.replace("/*named*/", named if version >= 180000 else "NULL").replace(  # noqa: PLR2004
        "/*in_part*/",
        in_part if version >= 150000 else "",  # noqa: PLR2004 - lists of columns
    )


_ATTRIBUTES = """
SELECT a.attname AS name, pg_catalog.col_description(a.attrelid, a.attnum) AS comment,
  nullif(a.attstattarget, -1)::integer AS statistics, coalesce(a.attoptions, '{}') AS options,
  nullif(a.attidentity::text, '') AS identity, /*named*/ AS not_null,
  (SELECT d.objid::bigint FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class q ON q.oid = d.objid AND q.relkind = 'S'
   WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
     AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i') LIMIT 1) AS sequence,
  array(/*in_part*/
    SELECT 'constraint ' || k.conname || ' excludes rows by it' FROM pg_catalog.pg_constraint k
    WHERE k.conrelid = a.attrelid AND k.conkey @> ARRAY[a.attnum]
      AND (k.contype = 'x' OR k.contype IN ('p', 'u') AND EXISTS (
        SELECT FROM pg_catalog.pg_index i WHERE i.indexrelid = k.conindid AND i.indisexclusion))
    UNION SELECT 'trigger ' || t.tgname || ' looks at it in its WHEN condition' FROM pg_catalog.pg_trigger t
    WHERE t.tgrelid = a.attrelid AND NOT t.tgisinternal AND t.tgqual::text ~ (':varattno ' || a.attnum || '[ }]')
    ORDER BY 1) AS used
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %(oid)s AND NOT a.attisdropped AND a.attname = ANY (%(columns)s)
"""
