"""Read what a view over a table has to carry, who minds a view, and what became of ecm's own.

Catalog rows only. A view is ecm's own where it carries ecm's comment, shows that one table, and has a name that the
plan needs; a view of someone else's that happens to have such a name is reported as occupying it.
"""

from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from orchestrator.engine.connection import Connection, select
from orchestrator.errors import PreconditionError
from orchestrator.operations.viewing import MARK
from orchestrator.sql.facts import Dependent, Grant, Table, View, ViewFacts
from orchestrator.sql.identifiers import TableName, naming
from orchestrator.words import counted

_SECURITY_INVOKER = 150000
_MERGE = 170000
"""server_version_num of the PostgreSQL that came with it."""


def view_facts(connection: Connection, table: Table, names: tuple[TableName, ...]) -> ViewFacts:
    """Return what views over a table need to know.

    Args:
        connection: a session with the branch, in autocommit.
        table: its other facts.
        names: of relations that the plan needs.
    """
    values = {"oid": table.oid, "table": table.name.name, "schema": table.name.schema, "mark": MARK}
    (head,) = select(connection, _HEAD, values)
    owners = _grants(head["owner_grants"])
    relations = [row for name in names for row in select(connection, _RELATION, values | _at(name))]
    return ViewFacts(
        with_users_rights=connection.info.server_version >= _SECURITY_INVOKER,
        merges=connection.info.server_version >= _MERGE,
        policed=head["policed"],
        owner_may_create=head["owner_may_create"],
        grants=_grants(head["grants"]),
        owner_grants=owners if head["owner_is_restricted"] else None,
        given_by_default=tuple(row["role"] for row in select(connection, _GIVEN_BY_DEFAULT, values)),
        naming=(*_dependents(connection, _NAMING, values | {"naming": naming(table.name.name)}), *_by_argument(table)),
        typed=_dependents(connection, _TYPED, values),
        asking=_dependents(connection, _ASKING, values),
        replicated=tuple(row["what"] for row in select(connection, _REPLICATED, values)),
        occupied=tuple(
            Dependent(
                kind=row["kind"],
                name=str(TableName(row["schema"], row["name"])),
                why="has that name",
                remedy="drop it or give it another name: ecm needs this one",
            )
            for row in relations
            if not row["ours"]
        ),
        views=tuple(_view(connection, row, table.oid) for row in relations if row["ours"]),
        statements=_statements(connection, table),
    )


def behind(connection: Connection, name: TableName, aside: TableName) -> bool:
    """Whether a name is that of ecm's facade: of a view of ecm's own over the table that was renamed aside.

    Args:
        connection: a session with the branch.
        name: of the view.
        aside: the name that expand gives the table behind it.

    Raises:
        PreconditionError: there is a view like it that does not say that it is ecm's.
    """
    values = _at(aside) | {"view_schema": name.schema, "view": name.name}
    found = next(iter(select(connection, _BEHIND, values)), None)
    if found is not None and found["comment"] != MARK:
        comment = sql.SQL("COMMENT ON VIEW {} IS {}").format(name.identifier, sql.Literal(MARK)).as_string(None)
        raise PreconditionError(
            f"view {name} over {aside} has not the comment by which ecm knows its own",
            details=["a plan with strategy: facade that is under way made it with that comment; nothing was changed"],
            hint=f"if ecm status shows such a plan here: {comment}",
        )
    return found is not None


def _at(name: TableName) -> dict[str, str]:
    return {"at_schema": name.schema, "at": name.name}


def _dependents(connection: Connection, query: LiteralString, values: dict[str, Any]) -> tuple[Dependent, ...]:
    return tuple(Dependent(**row) for row in select(connection, query, values))


def _grants(found: list[dict[str, Any]] | None) -> tuple[Grant, ...]:
    return tuple(Grant(**grant) for grant in found or ())


def _by_argument(table: Table) -> tuple[Dependent, ...]:
    """Triggers that are told the table's name."""
    return tuple(
        Dependent(
            kind="trigger", name=f"{table.name.schema}.{trigger.name}", why=f"its arguments name {table.name.name}"
        )
        for trigger in table.triggers
        if table.name.name in trigger.arguments
    )


def _view(connection: Connection, row: dict[str, Any], table: int) -> View:
    oid = {"oid": row["oid"], "table": table}
    columns = select(connection, _COLUMN_GRANTS, oid)
    return View(
        name=TableName(row["schema"], row["name"]),
        grants=_grants(row["grants"]),
        column_grants={column["name"]: _grants(column["grants"]) for column in columns},
        additions=_dependents(connection, _ADDITIONS, oid),
    )


_EXPLODED: LiteralString = """pg_catalog.json_agg(pg_catalog.json_build_object('grantee',
  CASE WHEN g.grantee <> 0 THEN pg_catalog.pg_get_userbyid(g.grantee) END,
  'privilege', g.privilege_type, 'grantable', g.is_grantable))"""

_HEAD: LiteralString = f"""
SELECT c.relrowsecurity AS policed, pg_catalog.has_schema_privilege(c.relowner, n.oid, 'CREATE') AS owner_may_create,
  (SELECT {_EXPLODED} FROM pg_catalog.aclexplode(c.relacl) g WHERE g.grantee <> c.relowner) AS grants,
  (SELECT {_EXPLODED} FROM pg_catalog.aclexplode(c.relacl) g WHERE g.grantee = c.relowner) AS owner_grants,
  c.relacl IS NOT NULL AND EXISTS (
    SELECT g.privilege_type FROM pg_catalog.aclexplode(pg_catalog.acldefault('r', c.relowner)) g EXCEPT
    SELECT g.privilege_type FROM pg_catalog.aclexplode(c.relacl) g WHERE g.grantee = c.relowner) AS owner_is_restricted
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s
"""  # noqa: S608 - constants

_GIVEN_BY_DEFAULT: LiteralString = """
SELECT DISTINCT CASE WHEN g.grantee <> 0 THEN pg_catalog.pg_get_userbyid(g.grantee) END AS role
FROM pg_catalog.pg_default_acl d CROSS JOIN pg_catalog.aclexplode(d.defaclacl) g
WHERE d.defaclrole = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user) AND d.defaclobjtype = 'r'
  AND d.defaclnamespace IN (0, (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = %(oid)s))
  AND g.grantee <> d.defaclrole ORDER BY 1
"""

# A view shows one table alone when its rule depends on no other relation.
_SHOWS_ONLY: LiteralString = """c.relkind = 'v' AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
  WHERE r.ev_class = c.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid NOT IN (c.oid, {table}))
  AND EXISTS (
  SELECT FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
  WHERE r.ev_class = c.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = {table})"""

_RELATION: LiteralString = f"""
SELECT n.nspname AS schema, c.relname AS name, c.oid::bigint AS oid,
  CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type'
    WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' ELSE 'table' END AS kind,
  {_SHOWS_ONLY.replace("{table}", "%(oid)s")}
    AND pg_catalog.obj_description(c.oid, 'pg_class') IS NOT DISTINCT FROM %(mark)s AS ours,
  (SELECT {_EXPLODED} FROM pg_catalog.aclexplode(c.relacl) g) AS grants
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(at_schema)s AND c.relname = %(at)s AND c.oid <> %(oid)s
"""  # noqa: S608 - constants

_BEHIND: LiteralString = f"""
SELECT pg_catalog.obj_description(c.oid, 'pg_class') AS comment
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class t ON t.relname = %(at)s AND t.relkind IN ('r', 'p')
JOIN pg_catalog.pg_namespace s ON s.oid = t.relnamespace AND s.nspname = %(at_schema)s
WHERE n.nspname = %(view_schema)s AND c.relname = %(view)s AND {_SHOWS_ONLY.replace("{table}", "t.oid")}
"""  # noqa: S608 - constants

_COLUMN_GRANTS: LiteralString = f"""
SELECT a.attname AS name, (SELECT {_EXPLODED} FROM pg_catalog.aclexplode(a.attacl) g) AS grants
FROM pg_catalog.pg_attribute a WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND a.attacl IS NOT NULL ORDER BY a.attnum
"""  # noqa: S608 - constants

# What depends on the view or its row type, but for the view's own rule and types; and what is said of it.
_ADDITIONS: LiteralString = """
WITH v AS (SELECT c.oid, c.reltype, c.relowner, t.typarray FROM pg_catalog.pg_class c
           JOIN pg_catalog.pg_type t ON t.oid = c.reltype WHERE c.oid = %(oid)s)
SELECT DISTINCT CASE WHEN r.oid IS NOT NULL AND r.ev_class <> v.oid THEN 'view' ELSE i.type END AS kind,
  CASE WHEN r.oid IS NOT NULL AND r.ev_class <> v.oid THEN r.ev_class::regclass::text ELSE i.identity END AS name,
  '' AS why
FROM v JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = v.oid
  OR d.refclassid = 'pg_catalog.pg_type'::regclass AND d.refobjid IN (v.reltype, v.typarray)
LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid
CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) i
WHERE NOT (r.oid IS NOT NULL AND r.ev_class = v.oid AND r.rulename = '_RETURN')
  AND NOT (d.classid = 'pg_catalog.pg_type'::regclass AND d.objid IN (v.reltype, v.typarray))
UNION ALL
SELECT 'comment', 'on column ' || v.oid::regclass::text || '.' || pg_catalog.quote_ident(a.attname), ''
FROM v JOIN pg_catalog.pg_attribute a ON a.attrelid = v.oid AND a.attnum > 0
WHERE pg_catalog.col_description(v.oid, a.attnum) IS NOT NULL
UNION ALL
SELECT 'owner', pg_catalog.pg_get_userbyid(v.relowner) || ' of ' || v.oid::regclass::text, '' FROM v
WHERE v.relowner <> (SELECT relowner FROM pg_catalog.pg_class WHERE oid = %(table)s)
ORDER BY 1, 2
"""

_NAMING: LiteralString = r"""
SELECT 'function' AS kind, n.nspname || '.' || f.proname AS name,
  'its ' || l.lanname || ' body names ' || %(table)s AS why
FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = f.prolang
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'ecm') AND n.nspname NOT LIKE 'pg\_temp%%'
  AND l.lanname NOT IN ('internal', 'c') AND f.prosqlbody IS NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x
                  WHERE x.classid = 'pg_catalog.pg_proc'::regclass AND x.objid = f.oid AND x.deptype = 'e')
  AND f.prosrc ~ %(naming)s
ORDER BY 2
"""

_TYPED: LiteralString = """
WITH t AS (SELECT ARRAY[y.oid, y.typarray] AS types, c.oid FROM pg_catalog.pg_class c
           JOIN pg_catalog.pg_type y ON y.oid = c.reltype WHERE c.oid = %(oid)s)
SELECT 'function' AS kind, n.nspname || '.' || f.proname AS name,
  'it takes or returns rows of ' || %(table)s || ', and a view has a row type of its own' AS why, false AS names_it
FROM t, pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
WHERE t.types && (f.proargtypes::oid[] || f.prorettype || coalesce(f.proallargtypes, '{}')) AND n.nspname <> 'ecm'
UNION
SELECT 'column', n.nspname || '.' || c.relname || '.' || a.attname,
  'it holds rows of ' || %(table)s || ', and a view has a row type of its own', false
FROM t, pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE a.atttypid = ANY (t.types) AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') ORDER BY 1, 2
"""

_ASKING: LiteralString = r"""
SELECT DISTINCT 'function' AS kind, n.nspname || '.' || f.proname AS name,
  'its body asks for the name of the table that fires it' AS why, false AS names_it
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
WHERE t.tgrelid = %(oid)s AND n.nspname <> 'ecm' AND f.prosrc ~* '\m(tg_table_name|tg_relname|tg_relid)\M' ORDER BY 2
"""

_REPLICATED: LiteralString = """
SELECT 'publication ' || p.pubname AS what FROM pg_catalog.pg_publication_tables p
JOIN pg_catalog.pg_class c ON c.oid = %(oid)s JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE p.schemaname = n.nspname AND p.tablename = c.relname
UNION
SELECT 'subscription ' || s.subname FROM pg_catalog.pg_subscription_rel r
JOIN pg_catalog.pg_subscription s ON s.oid = r.srsubid WHERE r.srrelid = %(oid)s ORDER BY 1
"""

# ---------------------------------------------------------------- what the application was seen to do

_EXTENSION = """
SELECT n.nspname AS schema FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
WHERE c.relname = 'pg_stat_statements' AND c.relkind = 'v'
"""

_COUNTED = r"""
SELECT pg_catalog.regexp_replace(s.query, '\s+', ' ', 'g') AS query, sum(s.calls)::bigint AS calls FROM {} s
WHERE s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND s.query ~ %(naming)s
  AND (s.query ~* '^\s*(copy|truncate|alter\s+table|comment\s+on\s+(table|column)|create\s+(unique\s+)?index)\M'
       OR s.query ~* '\m(tablesample|ctid|xmin|on\s+conflict\s+on\s+constraint)\M'
       OR %(no_merge)s AND s.query ~* '^\s*(with\M.*)?\mmerge\s+into\M')
  -- A query in parentheses is copied from, whatever it reads; and ecm's own renames are its own affair.
  AND s.query !~* '^\s*copy\s*\(' AND s.query !~ '_ecm"'
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10
"""


def _statements(connection: Connection, table: Table) -> tuple[str, ...] | None:
    """Return what pg_stat_statements knows of statements that need the table itself; None where it cannot be read.

    Only the extension's own view is read: one that somebody else made would run with this role's rights.
    """
    place = next(iter(select(connection, _EXTENSION, {})), None)
    if place is None:
        return None
    query = sql.SQL(_COUNTED).format(sql.Identifier(place["schema"], "pg_stat_statements"))
    values = {"naming": naming(table.name.name), "no_merge": connection.info.server_version < _MERGE}
    try:
        with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(query, values).fetchall()
    except psycopg.Error:
        return None  # not loaded by the server, or not for this role
    return tuple(f"{_short(row['query'])}  ({counted(row['calls'], 'call')})" for row in found)


def _short(query: str) -> str:
    return query if len(query) <= 100 else query[:99] + "…"  # noqa: PLR2004 - a line
