"""Read a table's facts from the system catalogs.

Everything is looked up by the plan's exact names and printed with an empty search_path, so what
PostgreSQL writes here means the same in any session. Reading takes no lock that an application
could notice: catalog rows only, except for `twins`, which uses a temporary table of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from psycopg import errors, sql

from orchestrator.engine import dependents, enums, heritage, partitions, readers, twins, viewing
from orchestrator.engine.connection import Connection, select
from orchestrator.engine.heritage_queries import INDEX_TAIL
from orchestrator.errors import PreconditionError
from orchestrator.operations import Operation
from orchestrator.sql.facts import Column, Grant, Index, Rule, Table, Trigger, TriggerPart
from orchestrator.sql.heritage import under_exchange
from orchestrator.sql.identifiers import TableName, aside, verbatim
from orchestrator.words import did_you_mean


def read_tables(
    connection: Connection, changes: Iterable[Operation], *, texts: bool = True, kept: bool = False
) -> dict[TableName, Table]:
    """Return the facts of every table that changes concern, in their order.

    Args:
        connection: a session with the branch, in autocommit.
        changes: of a plan.
        texts: whether to find out how readers would read over the new columns, which may lock a table for a moment.
        kept: whether contract keeps the old side out of sight.

    Raises:
        PreconditionError: one of them does not exist.
    """
    changes = tuple(changes)
    wanted: dict[TableName, list[Operation]] = {}
    used: dict[TableName, enums.Users] = {}
    for change in changes:
        changed = change.type_changed()
        if changed is not None:
            used[changed] = enums.users(connection, changed)
        for table in (*change.tables(), *(used[changed].columns if changed is not None else ())):
            wanted.setdefault(table, []).append(change)
    types = {name: enums.read(connection, name, own) for name, own in used.items()}
    facts = {
        table: read_table(
            connection,
            table,
            columns={
                *(name for change in own for name in change.touched(table)),
                *(name for change in own if kept for pair in change.hidden(table) for name in pair),
                *(name for own in used.values() for name in own.columns.get(table, ())),
            },
            renames=[pair for change in own if change.target == table and not kept for pair in change.renames()],
            relations=[name for change in own for name in change.relations()],
            kept=kept,
            now=next((to for change in own if kept and (to := change.renamed_to(table)) is not None), None),
        )
        for table, own in wanted.items()
    }
    for name, own in used.items():
        facts |= {
            table: replace(facts[table], enums={**facts[table].enums, name: types[name]}) for table in own.columns
        }
    heirs = {name: tuple(heir for change in wanted[name] for heir in change.heirs(facts[name])) for name in facts}
    names = heritage.successors(heirs)
    facts = {
        name: replace(table, heritage=heritage.read(connection, table, heirs[name], names)) if heirs[name] else table
        for name, table in facts.items()
    }
    return with_readers(connection, changes, facts, texts=texts)


def with_readers(
    connection: Connection, changes: Iterable[Operation], facts: Mapping[TableName, Table], *, texts: bool
) -> dict[TableName, Table]:
    """Return the facts of tables with what reads them; what was known of that before is read again.

    Args:
        connection: a session with the branch, in autocommit.
        changes: of a plan.
        facts: of the tables that they concern.
        texts: whether to find out how readers would read over the new columns, which may lock a table for a moment.
    """
    changes = tuple(changes)
    types = dict.fromkeys(name for table in facts.values() for name in table.enums)
    concerned = {
        table: [change for change in changes if table in change.tables() or change.type_changed() in found.enums]
        for table, found in facts.items()
    }
    moves = {
        table: [move for change in concerned[table] for move in change.moves(found)] for table, found in facts.items()
    }
    read = {table: readers.with_readers(connection, found, moves[table], texts=texts) for table, found in facts.items()}
    for name in types:
        read |= enums.with_readers(name, {table: each for table, each in read.items() if name in each.enums}, moves)
    return read


def read_table(
    connection: Connection,
    name: TableName,
    *,
    columns: Iterable[str] = (),
    renames: Iterable[tuple[str, str]] = (),
    relations: Iterable[TableName] = (),
    kept: bool = False,
    now: TableName | None = None,
) -> Table:
    """Return a table's facts.

    Args:
        connection: a session with the branch, in autocommit.
        name: the table.
        columns: for which to find out what stands on them and names them.
        renames: (old, new) columns for which to find out how the indexes would read.
        relations: names that the plan needs, for views over the table; where there are any, what these need to know.
        kept: whether contract keeps the old side out of sight.
        now: the name that contract gave the table meanwhile, where that is another.

    Raises:
        PreconditionError: there is no such table, or it is not one.
    """
    at = now or name
    head = _one(connection, _TABLE, [at.schema, at.name])
    if head is None:
        raise _no_table(connection, at)
    behind = aside(name) if head["kind"] == "v" and viewing.behind(connection, name, aside(name)) else None
    if behind is not None:
        head = _one(connection, _TABLE, [behind.schema, behind.name]) or head
    oid = head["oid"]
    head |= {name: tuple(head[name]) for name in ("key", "constraints")}
    described = select(connection, _COLUMNS, [oid])
    names = {row.pop("number"): row["name"] for row in described}
    found, has_parts = tuple(map(_column, described)), head["kind"] == "p"
    table = Table(
        name=name,
        columns=found,
        search_path=_search_path(connection),
        indexes=tuple(_index(row, names) for row in select(connection, _INDEXES, [oid])),
        triggers=tuple(_trigger(row) for row in select(connection, _TRIGGERS, [oid])),
        publications=tuple(row["name"] for row in select(connection, _publications(connection), [oid])),
        may_suppress_triggers=_may_suppress_triggers(connection),
        partitions=heaps(connection, behind or at) if has_parts else (),
        tree=_tree(connection, oid) if has_parts else (),
        rules=tuple(_rule(row) for row in select(connection, _RULES, [oid, oid])),
        unlike_partitions=_unlike_partitions(connection, oid) if has_parts else (),
        notes={row["name"]: row["note"] for row in select(connection, _NOTES, [oid])},
        behind=behind,
        kept=kept,
        now=now,
        **head,
    )
    # What stands on a column that another plan is changing may stand on one of this plan's as well.
    exchanged = under_exchange({column.name for column in found})
    wanted = {*columns, *(column for pair in renames for column in pair), *exchanged}
    needed = tuple(dict.fromkeys(relations))
    return replace(
        table,
        columns=tuple(
            replace(column, accepts_null=_accepts_null(connection, column)) if column.name in wanted else column
            for column in found
        ),
        untracked=dependents.untracked(connection, oid, name, sorted(wanted), table.triggers),
        tracked=dependents.tracked(connection, oid, sorted(wanted)),
        apart=partitions.apart(connection, oid, sorted(wanted)) if table.tree else {},
        partition_grants=partitions.grants(connection, oid, sorted(wanted)) if table.tree else {},
        twins=twins.twins(connection, table, tuple(renames)),
        views=viewing.view_facts(connection, table, needed) if needed else table.views,
    )


def heaps(connection: Connection, table: TableName) -> tuple[TableName, ...]:
    """Return where a table's rows are: its leaf partitions, or the table itself where it has none."""
    rows = select(
        connection,
        "SELECT n.nspname AS schema, c.relname AS name, c.relkind::text AS kind FROM pg_catalog.pg_partition_tree("
        " (SELECT p.oid FROM pg_catalog.pg_class p JOIN pg_catalog.pg_namespace s ON s.oid = p.relnamespace"
        "  WHERE s.nspname = %s AND p.relname = %s)) t"
        " JOIN pg_catalog.pg_class c ON c.oid = t.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " ORDER BY 1, 2",
        [table.schema, table.name],
    )
    leaves = tuple(TableName(row["schema"], row["name"]) for row in rows if row["kind"] == "r")
    return leaves if rows else (table,)


def _tree(connection: Connection, oid: int) -> tuple[tuple[TableName, TableName], ...]:
    rows = select(connection, _PARTITIONS, [oid])
    return tuple((TableName(row["schema"], row["name"]), TableName(row["of_schema"], row["of"])) for row in rows)


def _unlike_partitions(connection: Connection, oid: int) -> tuple[str, ...]:
    return tuple(row["why"] for row in select(connection, _UNLIKE_PARTITIONS, [oid]))


def _rule(row: dict[str, Any]) -> Rule:
    table = TableName(row.pop("schema"), row.pop("of"))
    return Rule(table=table, columns=tuple(row.pop("columns")), **row)


def _search_path(connection: Connection) -> str:
    with connection.transaction():
        connection.execute("SET LOCAL search_path TO DEFAULT")
        row = connection.execute("SELECT pg_catalog.current_setting('search_path')").fetchone()
    return row[0] if row and row[0] else "pg_catalog"


def primary_key(connection: Connection, table: TableName) -> tuple[str, ...]:
    """Return the columns of a table's primary key; none where it has none, or is not there."""
    rows = connection.execute(
        sql.SQL(
            "SELECT a.attname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a"
            " ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::pg_catalog.int2[])"
            " WHERE i.indrelid = pg_catalog.to_regclass({}) AND i.indisprimary ORDER BY a.attnum"
        ).format(sql.Literal(table.identifier.as_string(None)))
    ).fetchall()
    return tuple(row[0] for row in rows)


def filenode(connection: Connection, heap: TableName) -> int:
    """Return the file a heap's pages are in: another one after VACUUM FULL, CLUSTER or a rewriting ALTER TABLE."""
    query = sql.SQL("SELECT pg_catalog.pg_relation_filenode({}::pg_catalog.regclass)::pg_catalog.int8")
    row = connection.execute(query.format(sql.Literal(heap.identifier.as_string(None)))).fetchone()
    return row[0] if row and row[0] is not None else 0


def _may_suppress_triggers(connection: Connection) -> bool:
    """Whether this role may set session_replication_role; since PostgreSQL 15 that can be granted."""
    may = "rolsuper"
    if connection.info.server_version >= 150000:  # noqa: PLR2004 - privileges on parameters came with PostgreSQL 15
        may += " OR pg_catalog.has_parameter_privilege('session_replication_role', 'SET')"
    row = _one(connection, f"SELECT {may} AS may FROM pg_catalog.pg_roles WHERE rolname = current_user", [])  # noqa: S608
    return bool(row and row["may"])


def _one(connection: Connection, query: str, values: list[Any]) -> dict[str, Any] | None:
    return next(iter(select(connection, query, values)), None)


_TABLE = """
SELECT c.oid::bigint, c.relkind::text AS kind, pg_catalog.pg_get_userbyid(c.relowner) AS owner,
  (SELECT coalesce(sum(greatest(e.reltuples, 0)), 0) FROM pg_catalog.pg_class e
   WHERE e.oid = c.oid AND c.relkind <> 'p' OR e.relkind = 'r' AND e.oid IN (
     SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)))::bigint AS rows,
  (SELECT coalesce(sum(pg_catalog.pg_total_relation_size(e.oid)), 0) FROM pg_catalog.pg_class e
   WHERE e.oid = c.oid OR e.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)))::bigint AS bytes,
  EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
          WHERE (i.inhrelid = c.oid OR i.inhparent = c.oid) AND p.relkind <> 'p') AS inherits,
  c.reloftype <> 0 AS of_type, c.relispartition AS is_partition,
  pg_catalog.row_security_active(c.oid) AS row_security,
  pg_catalog.pg_has_role(c.relowner, 'USAGE') AS may_alter,
  pg_catalog.has_schema_privilege(n.oid, 'CREATE') AS may_create_in_schema, current_user AS role,
  (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.oid = c.relowner) AS owner_is_superuser,
  (SELECT max(e.relnatts) FROM pg_catalog.pg_class e
   WHERE e.oid = c.oid OR e.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)))::integer AS attributes,
  array(SELECT a.attname::text FROM pg_catalog.pg_constraint k, pg_catalog.unnest(k.conkey) WITH ORDINALITY u (n, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.n
        WHERE k.conrelid = c.oid AND k.contype = 'p' ORDER BY u.place) AS key,
  array(SELECT k.conname::text FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid ORDER BY 1) AS constraints
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

# A default is constant when no function in its stored expression is anything but immutable. The
# expression is read as PostgreSQL keeps it (pg_node_tree), where functions are oids: nothing to misread.
_COLUMNS = r"""
SELECT a.attnum AS number, a.attname AS name, a.attnotnull AS not_null, a.attidentity <> '' AS identity,
  a.attgenerated <> '' AS generated,
  pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
  (WITH RECURSIVE d (type, modifier) AS (SELECT a.atttypid, a.atttypmod UNION ALL
     SELECT b.typbasetype, b.typtypmod FROM d JOIN pg_catalog.pg_type b ON b.oid = d.type WHERE b.typtype = 'd')
   SELECT pg_catalog.format_type(d.type, d.modifier) FROM d JOIN pg_catalog.pg_type b ON b.oid = d.type
   WHERE b.typtype <> 'd') AS plain_type,
  CASE WHEN a.attcollation <> t.typcollation
    THEN (SELECT pg_catalog.format('%%I.%%I', n.nspname, l.collname) FROM pg_catalog.pg_collation l
          JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = a.attcollation) END AS collation,
  CASE WHEN a.attgenerated = '' THEN coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid),
    CASE WHEN t.typdefaultbin IS NOT NULL THEN pg_catalog.pg_get_expr(t.typdefaultbin, 0) END) END AS "default",
  coalesce(tree.tree !~ '\{(SQLVALUEFUNCTION|NEXTVALUEEXPR|COERCEVIAIO|CURRENTOFEXPR|PARAM|XMLEXPR|MINMAXEXPR)'
    AND NOT EXISTS (SELECT FROM pg_catalog.regexp_matches(tree.tree, ':(?:op)?funcid (\d+)', 'g') f
                    LEFT JOIN pg_catalog.pg_proc p ON p.oid = f[1]::pg_catalog.oid
                    WHERE p.provolatile IS DISTINCT FROM 'i'), false) AS default_is_constant,
  EXISTS (SELECT FROM pg_catalog.pg_partitioned_table q
          WHERE q.partrelid = a.attrelid AND (a.attnum = ANY (q.partattrs::int2[]) OR q.partexprs::text ~
            (':varattno ' || a.attnum || '[ }]'))) AS partition_key,
  coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object('grantee',
      CASE WHEN g.grantee <> 0 THEN pg_catalog.pg_get_userbyid(g.grantee) END,
      'privilege', g.privilege_type, 'grantable', g.is_grantable))
    FROM pg_catalog.aclexplode(a.attacl) g), '[]') AS grants,
  (SELECT k.conname FROM pg_catalog.pg_constraint k
   WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]) AS not_null_name
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
CROSS JOIN LATERAL (SELECT coalesce(d.adbin, t.typdefaultbin)::text AS tree) tree
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""

_PARTITIONS = """
SELECT n.nspname AS schema, c.relname AS name, m.nspname AS of_schema, p.relname AS of
FROM pg_catalog.pg_partition_tree(%s::bigint::pg_catalog.oid) t
JOIN pg_catalog.pg_class c ON c.oid = t.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class p ON p.oid = t.parentrelid JOIN pg_catalog.pg_namespace m ON m.oid = p.relnamespace
WHERE t.level > 0 ORDER BY t.level, 1, 2
"""

# pg_rewrite.ev_type: 2 UPDATE, 3 INSERT (nodes/nodes.h, CmdType).
_RULES = """
SELECT r.rulename AS name, n.nspname AS schema, c.relname AS of, r.is_instead AS instead,
  CASE r.ev_type WHEN '2' THEN 'UPDATE' ELSE 'INSERT' END AS event,
  array(SELECT DISTINCT a.attname::text FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid AND d.refobjid = c.oid
          AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjsubid > 0 ORDER BY 1) AS columns
FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE (c.oid = %s OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%s::bigint::pg_catalog.oid)))
  AND c.relkind IN ('r', 'p') AND r.ev_type IN ('2', '3') AND r.ev_enabled <> 'D' ORDER BY 2, 3, 1
"""

# A trigger of a partition's own has no parent; those that come from the table do (pg_trigger.tgparentid).
_UNLIKE_PARTITIONS = """
SELECT CASE c.relkind WHEN 'f' THEN 'partition ' || c.relname || ' is a foreign table'
  ELSE 'trigger ' || t.tgname || ' is on partition ' || c.relname || ' alone' END AS why
FROM pg_catalog.pg_partition_tree(%s::bigint::pg_catalog.oid) p JOIN pg_catalog.pg_class c ON c.oid = p.relid
LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgparentid = 0
  -- before a row is written, or on certain columns
  AND (t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0 OR t.tgattr <> '')
WHERE p.level > 0 AND (c.relkind = 'f' OR t.oid IS NOT NULL) ORDER BY 1
"""

_NOTES = r"""
SELECT k.conname AS name, pg_catalog.obj_description(k.oid, 'pg_constraint') AS note FROM pg_catalog.pg_constraint k
WHERE k.conrelid = %s AND k.contype = 'c' AND k.conname LIKE '%%\_ecm'
  AND pg_catalog.obj_description(k.oid, 'pg_constraint') IS NOT NULL ORDER BY 1
"""

# Columns in expressions and predicates are found by the dependencies PostgreSQL keeps of them.
_INDEXES = f"""
SELECT x.relname AS name, i.indisunique AND i.indimmediate AND NOT i.indisexclusion AS unique,
  i.indisvalid AND i.indisready AS valid,
  i.indisreplident AS replica_identity,
  pg_catalog.pg_relation_size(x.oid) AS size, {INDEX_TAIL} AS tail,
  array(SELECT unnest FROM pg_catalog.unnest(i.indkey::int2[]) WHERE unnest > 0
        UNION SELECT d.refobjsubid::int2 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
          AND d.objid = x.oid AND d.refobjid = c.oid AND d.refobjsubid > 0) AS numbers,
  -- A zero stands for an expression; the columns of INCLUDE come after the keys.
  CASE WHEN i.indpred IS NULL AND NOT 0 = ANY (i.indkey::int2[])
    THEN array(SELECT number FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k (number, place)
               WHERE place <= i.indnkeyatts ORDER BY place) ELSE '{{}}' END AS keys,
  array(SELECT pg_catalog.pg_get_indexdef(x.oid, place, false) FROM pg_catalog.generate_series(1, i.indnkeyatts) place
        ORDER BY place) AS spelled,
  pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = %s ORDER BY x.relname
"""  # noqa: S608 - a constant in a constant

# pg_trigger.tgtype is a bit map (catalog/pg_trigger.h):
# 1 row, 2 before, 4 insert, 8 delete, 16 update, 32 truncate, 64 instead of.
_TRIGGERS = """
SELECT t.tgname AS name, p.proname AS function, t.tgenabled::text AS enabled, t.tgconstraint <> 0 AS "constraint",
  t.tgtype & 1 = 1 AS per_row,
  CASE WHEN t.tgtype & 2 = 2 THEN 'BEFORE' WHEN t.tgtype & 64 = 64 THEN 'INSTEAD OF' ELSE 'AFTER' END AS timing,
  array_remove(ARRAY[CASE WHEN t.tgtype & 4 = 4 THEN 'INSERT' END, CASE WHEN t.tgtype & 8 = 8 THEN 'DELETE' END,
    CASE WHEN t.tgtype & 16 = 16 THEN 'UPDATE' END, CASE WHEN t.tgtype & 32 = 32 THEN 'TRUNCATE' END], NULL) AS events,
  array(SELECT a.attname::text FROM pg_catalog.unnest(t.tgattr::int2[]) WITH ORDINALITY u (number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = u.number ORDER BY u.place) AS update_of,
  pg_catalog.pg_get_triggerdef(t.oid) AS definition, pg_catalog.quote_ident(t.tgname) AS quoted,
  (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY u.place)
   FROM pg_catalog.unnest(t.tgattr::int2[]) WITH ORDINALITY u (number, place)
   JOIN pg_catalog.pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = u.number) AS quoted_columns,
  -- Each argument ends in a zero byte, so the last piece is empty.
  array(SELECT pg_catalog.convert_from(pg_catalog.decode(piece, 'hex'), pg_catalog.getdatabaseencoding())
        FROM pg_catalog.regexp_split_to_table(pg_catalog.regexp_replace(
          pg_catalog.encode(t.tgargs, 'hex'), '(..)', '\\1 ', 'g'), '00 ') WITH ORDINALITY s (spaced, place)
        CROSS JOIN LATERAL (SELECT pg_catalog.replace(spaced, ' ', '') AS piece) q
        WHERE place <= t.tgnargs ORDER BY place) AS arguments,
  pg_catalog.obj_description(t.oid, 'pg_trigger') AS comment,
  pg_catalog.obj_description(t.tgconstraint, 'pg_constraint') AS constraint_comment,
  coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object('schema', n.nspname, 'table', c.relname,
      'enabled', w.tgenabled, 'comment', pg_catalog.obj_description(w.oid, 'pg_trigger')) ORDER BY o.level, 1, 2)
    FROM pg_catalog.pg_partition_tree(t.tgrelid) o JOIN pg_catalog.pg_class c ON c.oid = o.relid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_trigger w ON w.tgrelid = c.oid
    WHERE o.level > 0 AND w.tgname = t.tgname AND w.tgparentid <> 0 AND (w.tgenabled <> t.tgenabled
      OR pg_catalog.obj_description(w.oid, 'pg_trigger') IS NOT NULL)), '[]') AS parts
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
WHERE t.tgrelid = %s AND NOT t.tgisinternal
  -- What notices who writes the old side changes nothing, and goes before anything that it names does.
  AND NOT (p.pronamespace IS NOT DISTINCT FROM pg_catalog.to_regnamespace('ecm') AND t.tgname ~ '^[!~]ecm-uses_')
ORDER BY t.tgname
"""


def _publications(connection: Connection) -> str:
    """Publications that send the whole row: a subscriber without the new column stops replicating."""
    since_15 = """AND r.prattrs IS NULL OR EXISTS (
  SELECT FROM pg_catalog.pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace)"""
    more = since_15 if connection.info.server_version >= 150000 else ""  # noqa: PLR2004 - column lists, whole schemas
    return f"""
SELECT p.pubname AS name FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_class c ON c.oid = %s
LEFT JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
  AND (r.prrelid = c.oid OR r.prrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)))
WHERE p.puballtables OR r.prrelid IS NOT NULL {more} GROUP BY p.pubname ORDER BY p.pubname
"""  # noqa: S608 - constants


def _column(row: dict[str, Any]) -> Column:
    return Column(grants=tuple(Grant(**grant) for grant in row.pop("grants")), **row)


def _accepts_null(connection: Connection, column: Column) -> bool:
    """Whether a statement may leave the column out: PostgreSQL checks a domain before any trigger sees the row."""
    if column.default is not None or column.type == column.plain_type:
        return True
    try:
        connection.execute(sql.SQL("SELECT NULL::{}").format(verbatim(column.type)))
    except (errors.NotNullViolation, errors.CheckViolation):
        return False
    return True


def _index(row: dict[str, Any], names: dict[int, str]) -> Index:
    numbers, keys, spelled = row.pop("numbers"), row.pop("keys"), row.pop("spelled")
    columns = frozenset(names[number] for number in numbers if number in names)
    return Index(columns=columns, keys=tuple(names[number] for number in keys), spelled=tuple(spelled), **row)


def _trigger(row: dict[str, Any]) -> Trigger:
    definition, quoted, columns = row.pop("definition"), row.pop("quoted"), row.pop("quoted_columns")
    events = " OR ".join(f"UPDATE OF {columns}" if event == "UPDATE" and columns else event for event in row["events"])
    kind = "CONSTRAINT TRIGGER" if row["constraint"] else "TRIGGER"
    head = f"CREATE {kind} {quoted} {row['timing']} {events}"
    if not definition.startswith(head + " ON "):
        raise AssertionError(f"PostgreSQL writes this trigger otherwise than expected: {definition}")
    for field in ("events", "update_of", "arguments"):
        row[field] = tuple(row[field])
    row["parts"] = tuple(
        TriggerPart(TableName(each["schema"], each["table"]), each["enabled"], each["comment"]) for each in row["parts"]
    )
    return Trigger(tail=definition.removeprefix(head), **row)


# ---------------------------------------------------------------- what is there instead


def tables(connection: Connection) -> tuple[str, ...]:
    """Return the names of all ordinary tables, as a plan writes them."""
    rows = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'ecm')"
        " AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%' ORDER BY 1, 2"
    ).fetchall()
    return tuple(str(TableName(schema, name)) for schema, name in rows)


def has_check_to_validate(connection: Connection, tables: Sequence[TableName]) -> bool:
    """Whether one of the tables has a CHECK that is NOT VALID; those that are gone have none."""
    row = connection.execute(
        "SELECT FROM pg_catalog.pg_constraint k WHERE k.contype = 'c' AND NOT k.convalidated"
        " AND k.conrelid IN (SELECT pg_catalog.to_regclass(name) FROM unnest(%s::text[]) name)",
        [[table.identifier.as_string(None) for table in tables]],
    ).fetchone()
    return row is not None


def _no_table(connection: Connection, name: TableName) -> PreconditionError:
    return PreconditionError(
        f"table {name} does not exist in {connection.info.dbname}",
        details=[did_you_mean(str(name), tables(connection)) or "the database has no tables"],
        hint="correct `table` in the plan, or the branch's URL",
    )
