"""Read what hangs on a table's columns: what PostgreSQL tracks, and texts that name one."""

from collections.abc import Iterable
from typing import Any

from orchestrator.engine.connection import Connection, select
from orchestrator.sql.facts import Dependent, Trigger
from orchestrator.sql.identifiers import TableName, naming

Dependents = dict[str, tuple[Dependent, ...]]
"""By column."""


def untracked(
    connection: Connection, oid: int, table: TableName, columns: list[str], triggers: Iterable[Trigger]
) -> Dependents:
    """Return what names columns in a text that PostgreSQL does not read: bodies of functions, arguments of triggers.

    Args:
        connection: a session with the branch.
        oid: the table's.
        table: its name.
        columns: the columns.
        triggers: those of the table.
    """
    patterns = {"naming": [naming(column) for column in columns], "owner": naming(table.name)}
    found = _read(connection, _UNTRACKED, columns, {"table": table.name, "oid": oid, **patterns})
    for column in columns:
        found[column] += tuple(
            Dependent(kind="trigger", name=f"{table.schema}.{trigger.name}", why=f"its arguments name {column}")
            for trigger in triggers
            if column in trigger.arguments
        )
    return found


def tracked(connection: Connection, oid: int, columns: list[str]) -> Dependents:
    """Return what PostgreSQL knows to stand on columns of a table, by its dependencies."""
    return _read(connection, _TRACKED, columns, {"oid": oid})


def _read(connection: Connection, query: str, columns: list[str], values: dict[str, Any]) -> Dependents:
    found: Dependents = dict.fromkeys(columns, ())
    for row in select(connection, query, {"columns": columns, **values}) if columns else ():
        found[row.pop("column")] += (Dependent(**row),)
    return found


_UNTRACKED = r"""
WITH wanted AS (SELECT * FROM unnest(%(columns)s::text[], %(naming)s::text[]) w ("column", naming))
SELECT wanted.column, 'function' AS kind, n.nspname || '.' || f.proname AS name,
  'its ' || l.lanname || ' body names ' || wanted.column AS why, true AS names_it
FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = f.prolang CROSS JOIN wanted
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'ecm') AND n.nspname NOT LIKE 'pg\_temp%%'
  AND l.lanname NOT IN ('internal', 'c') AND f.prosqlbody IS NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x
                  WHERE x.classid = 'pg_catalog.pg_proc'::regclass AND x.objid = f.oid AND x.deptype = 'e')
  AND f.prosrc ~ wanted.naming
  AND (f.prosrc ~ %(owner)s
       OR EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgfoid = f.oid AND t.tgrelid = %(oid)s)
       OR (SELECT reltype FROM pg_catalog.pg_class WHERE oid = %(oid)s)
          = ANY (f.proargtypes::oid[] || f.prorettype || coalesce(f.proallargtypes, '{}'))
       -- dynamic SQL may put the table's name together from pieces
       OR f.prosrc ~* '\mexecute\M')
UNION
SELECT wanted.column, 'function', n.nspname || '.' || f.proname,
  'its body uses NEW.* or OLD.* of ' || %(table)s || ', which have one column more until contract', false
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace CROSS JOIN wanted
WHERE t.tgrelid = %(oid)s AND n.nspname <> 'ecm' AND f.prosrc ~* '\m(new|old)\s*\)?\s*\.\s*\*'
UNION
SELECT wanted.column, 'function', n.nspname || '.' || f.proname,
  'its parsed body returns whole rows of ' || %(table)s || ', which have one column more until contract', false
FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace CROSS JOIN wanted
WHERE f.prosqlbody IS NOT NULL
  AND f.prorettype = (SELECT reltype FROM pg_catalog.pg_class WHERE oid = %(oid)s) AND f.prorettype <> 0
ORDER BY 3
"""

_TRACKED = """
SELECT DISTINCT a.attname AS "column", CASE d.classid WHEN 'pg_catalog.pg_class'::regclass THEN
    -- before PostgreSQL 15 it is a generated column itself that depends, since then its expression
    CASE WHEN d.objsubid > 0 THEN 'generated column' WHEN c.relkind IN ('i', 'I') THEN 'index'
      WHEN c.relkind = 'S' THEN 'sequence' ELSE 'table' END
  WHEN 'pg_catalog.pg_constraint'::regclass THEN 'constraint'
  WHEN 'pg_catalog.pg_rewrite'::regclass THEN CASE WHEN v.owner IS NULL THEN 'rule' ELSE 'view' END
  WHEN 'pg_catalog.pg_publication_rel'::regclass THEN 'publication'
  WHEN 'pg_catalog.pg_policy'::regclass THEN 'policy' WHEN 'pg_catalog.pg_trigger'::regclass THEN 'trigger'
  WHEN 'pg_catalog.pg_proc'::regclass THEN 'function' WHEN 'pg_catalog.pg_statistic_ext'::regclass THEN 'statistics'
  WHEN 'pg_catalog.pg_attrdef'::regclass THEN 'generated column' ELSE 'object' END AS kind,
  coalesce(v.owner, i.identity) AS name, i.identity AS why
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_class c ON d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid
LEFT JOIN LATERAL (SELECT (pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid)).identity) i ON true
LEFT JOIN LATERAL (SELECT r.ev_class::regclass::text AS owner FROM pg_catalog.pg_rewrite r
                   WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid
                     AND r.rulename = '_RETURN') v ON true
WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = %(oid)s AND a.attname = ANY (%(columns)s)
  -- A column's own default is not something else that stands on it.
  AND NOT (d.classid = 'pg_catalog.pg_attrdef'::regclass AND EXISTS (
    SELECT FROM pg_catalog.pg_attrdef f WHERE f.oid = d.objid AND f.adrelid = %(oid)s AND f.adnum = d.refobjsubid))
  -- Nor is a trigger that is ecm's own, or that is made anew where the column is that it names.
  AND NOT (d.classid = 'pg_catalog.pg_trigger'::regclass AND EXISTS (
    SELECT FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid WHERE t.oid = d.objid
      AND (t.tgattr::int2[] @> ARRAY[d.refobjsubid::int2] OR f.pronamespace = pg_catalog.to_regnamespace('ecm'))))
ORDER BY 3
"""
