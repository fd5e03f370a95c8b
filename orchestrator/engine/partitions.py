"""Read what a partition has on a column and the table it belongs to has not, or has otherwise."""

from typing import Any

from psycopg import sql

from orchestrator.engine.connection import Connection, select
from orchestrator.sql.facts import Apart, Grant
from orchestrator.sql.identifiers import TableName, verbatim

_REMEDIES = {
    "index": "DROP INDEX CONCURRENTLY {name}",
    "statistics": "DROP STATISTICS {name}",
    "view": "DROP VIEW {name}",
    "materialized view": "DROP MATERIALIZED VIEW {name}",
    "sequence": "ALTER SEQUENCE {name} OWNED BY NONE",
    "key": "ALTER TABLE {table} DROP CONSTRAINT {own}",
    "constraint": "ALTER TABLE {table} DROP CONSTRAINT {own}",
    "policy": "DROP POLICY {own} ON {table}",
    "rule": "DROP RULE {own} ON {table}",
    "trigger": "DROP TRIGGER {own} ON {table}",
}
"""By kind of object: what takes it away."""


def apart(connection: Connection, oid: int, columns: list[str]) -> dict[str, tuple[Apart, ...]]:
    """Return what partitions alone have on each of some columns, of the upper ones first.

    What hands a column over to another knows what hangs on the table's own, and through that on each partition's part
    of it. What only a partition has is none of that.

    Args:
        connection: a session with the branch, whose search_path is empty.
        oid: the table's.
        columns: their names.
    """
    values = {"oid": oid, "columns": columns}
    said, objects = select(connection, _SAID, values), select(connection, _OBJECTS, values)
    return {
        column: (
            *(_key(row) for row in said if row["column"] == column and row["is_key"]),
            *(_default(row, column) for row in said if row["column"] == column and row["own"] != row["whole"]),
            *(_not_null(row, column) for row in said if row["column"] == column and row["not_null"]),
            *(_object(row) for row in objects if row["column"] == column),
        )
        for column in columns
    }


def grants(connection: Connection, oid: int, columns: list[str]) -> dict[TableName, dict[str, tuple[Grant, ...]]]:
    """Return the privileges on columns of a table's partitions, where there are any: by partition and column."""
    found: dict[TableName, dict[str, tuple[Grant, ...]]] = {}
    for row in select(connection, _GRANTS, {"oid": oid, "columns": columns}):
        of = found.setdefault(TableName(row.pop("schema"), row.pop("table")), {})
        name = row.pop("column")
        of[name] = (*of.get(name, ()), Grant(**row))
    return found


def _key(row: dict[str, Any]) -> Apart:
    return Apart(
        partition=TableName(row["schema"], row["table"]),
        kind="partition key",
        what="the partition key of its own partitions",
        remedy="change it directly, in a maintenance window",
    )


def _default(row: dict[str, Any], column: str) -> Apart:
    partition, whole = TableName(row["schema"], row["table"]), row["whole"]
    alter = sql.SQL("ALTER TABLE {} ALTER COLUMN {} {}").format(
        partition.identifier,
        sql.Identifier(column),
        sql.SQL("DROP DEFAULT") if whole is None else sql.SQL("SET DEFAULT {}").format(verbatim(whole)),
    )
    has = "no default" if row["own"] is None else f"default {row['own']}"
    return Apart(partition=partition, kind="default", what=has, remedy=alter.as_string(None))


def _not_null(row: dict[str, Any], column: str) -> Apart:
    partition = TableName(row["schema"], row["table"])
    alter = sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL").format(partition.identifier, sql.Identifier(column))
    return Apart(partition=partition, kind="NOT NULL", what="NOT NULL", remedy=alter.as_string(None))


def _object(row: dict[str, Any]) -> Apart:
    kind, remedy = row["kind"], "take it away first"
    if kind in _REMEDIES:
        owner = TableName(row["owner_schema"], row["owner"])
        own = sql.Identifier(row["name"])
        name = sql.Identifier(row["name_schema"] or owner.schema, row["name"])
        remedy = verbatim(_REMEDIES[kind]).format(name=name, own=own, table=owner.identifier).as_string(None)
    return Apart(
        partition=TableName(row["schema"], row["table"]),
        kind=kind,
        what=f"{'constraint' if kind == 'key' else kind} {row['name'] or row['identity']}",
        remedy=remedy,
    )


_SAID = """
SELECT n.nspname AS schema, c.relname AS "table", a.attname AS "column",
  pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS own,
  pg_catalog.pg_get_expr(w.adbin, w.adrelid) AS whole, a.attnotnull AND NOT o.attnotnull AS not_null,
  EXISTS (SELECT FROM pg_catalog.pg_partitioned_table q WHERE q.partrelid = c.oid AND (
    a.attnum = ANY (q.partattrs::int2[]) OR q.partexprs::text ~ (':varattno ' || a.attnum || '[ }]'))) AS is_key
FROM pg_catalog.pg_partition_tree(%(oid)s::bigint::pg_catalog.oid) t JOIN pg_catalog.pg_class c ON c.oid = t.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY (%(columns)s) AND NOT a.attisdropped
JOIN pg_catalog.pg_attribute o ON o.attrelid = %(oid)s AND o.attname = a.attname AND NOT o.attisdropped
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = ''
LEFT JOIN pg_catalog.pg_attrdef w ON w.adrelid = o.attrelid AND w.adnum = o.attnum AND o.attgenerated = ''
WHERE t.level > 0 ORDER BY t.level, 1, 2
"""

_GRANTS = """
SELECT n.nspname AS schema, c.relname AS "table", a.attname AS "column",
  CASE WHEN g.grantee <> 0 THEN pg_catalog.pg_get_userbyid(g.grantee) END AS grantee,
  g.privilege_type AS privilege, g.is_grantable AS grantable
FROM pg_catalog.pg_partition_tree(%(oid)s::bigint::pg_catalog.oid) t JOIN pg_catalog.pg_class c ON c.oid = t.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY (%(columns)s) AND NOT a.attisdropped
CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) g
WHERE t.level > 0 ORDER BY t.level, 1, 2, 3, g.privilege_type, 4
"""

# A part of something that the table has says so: relispartition, conparentid or coninhcount, tgparentid. A NOT NULL
# that has a name (PostgreSQL 18) is told of the column, and so is its default.
_OBJECTS = """
SELECT DISTINCT t.level, n.nspname AS schema, c.relname AS "table", a.attname AS "column",
  CASE d.classid
    WHEN 'pg_catalog.pg_class'::regclass THEN
      CASE x.relkind WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' WHEN 'S' THEN 'sequence' ELSE 'table' END
    WHEN 'pg_catalog.pg_constraint'::regclass THEN CASE WHEN k.contype IN ('c', 'f') THEN 'constraint' ELSE 'key' END
    WHEN 'pg_catalog.pg_rewrite'::regclass THEN
      CASE v.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'rule' END
    WHEN 'pg_catalog.pg_policy'::regclass THEN 'policy' WHEN 'pg_catalog.pg_trigger'::regclass THEN 'trigger'
    WHEN 'pg_catalog.pg_statistic_ext'::regclass THEN 'statistics'
    WHEN 'pg_catalog.pg_publication_rel'::regclass THEN 'publication'
    WHEN 'pg_catalog.pg_proc'::regclass THEN 'function' ELSE 'object' END AS kind,
  coalesce(x.relname, k.conname, CASE WHEN v.relkind IN ('v', 'm') THEN v.relname ELSE r.rulename END, p.polname,
    g.tgname, s.stxname) AS name,
  coalesce(xn.nspname, CASE WHEN v.relkind IN ('v', 'm') THEN vn.nspname END, sn.nspname) AS name_schema,
  coalesce(kc.relname, c.relname) AS owner, coalesce(kn.nspname, n.nspname) AS owner_schema,
  (pg_catalog.pg_identify_object(d.classid, d.objid, 0)).identity
FROM pg_catalog.pg_partition_tree(%(oid)s::bigint::pg_catalog.oid) t JOIN pg_catalog.pg_class c ON c.oid = t.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY (%(columns)s) AND NOT a.attisdropped
JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid
  AND d.refobjsubid = a.attnum AND d.classid <> 'pg_catalog.pg_attrdef'::regclass
LEFT JOIN pg_catalog.pg_class x ON d.classid = 'pg_catalog.pg_class'::regclass AND x.oid = d.objid
LEFT JOIN pg_catalog.pg_namespace xn ON xn.oid = x.relnamespace
LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = d.objid
LEFT JOIN pg_catalog.pg_class kc ON kc.oid = k.conrelid LEFT JOIN pg_catalog.pg_namespace kn ON kn.oid = kc.relnamespace
LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN pg_catalog.pg_class v ON v.oid = r.ev_class LEFT JOIN pg_catalog.pg_namespace vn ON vn.oid = v.relnamespace
LEFT JOIN pg_catalog.pg_policy p ON d.classid = 'pg_catalog.pg_policy'::regclass AND p.oid = d.objid
LEFT JOIN pg_catalog.pg_trigger g ON d.classid = 'pg_catalog.pg_trigger'::regclass AND g.oid = d.objid
LEFT JOIN pg_catalog.pg_statistic_ext s ON d.classid = 'pg_catalog.pg_statistic_ext'::regclass AND s.oid = d.objid
LEFT JOIN pg_catalog.pg_namespace sn ON sn.oid = s.stxnamespace
WHERE t.level > 0 AND x.relispartition IS NOT TRUE
  AND coalesce(g.tgparentid, 0) = 0 AND g.tgisinternal IS NOT TRUE
  AND (k.oid IS NULL OR k.contype <> 'n' AND k.coninhcount = 0 AND k.conparentid = 0)
  AND coalesce(xn.nspname, vn.nspname, '') <> 'ecm' AND d.objsubid = 0
ORDER BY t.level, 2, 3, 5, 6
"""
