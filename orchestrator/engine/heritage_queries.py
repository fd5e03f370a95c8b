"""The queries of `orchestrator.engine.heritage`: what hangs on columns of a table, `oid`, by their names, `columns`."""

_COLUMNS = """
  (SELECT array_agg(w.attnum) FROM pg_catalog.pg_attribute w
   WHERE w.attrelid = %(oid)s AND NOT w.attisdropped AND w.attname = ANY (%(columns)s))"""


def _touched(condition: str, catalog: str = "", oid: str = "") -> str:
    """Return the names of those of the columns, w, that an object is on, or whose expressions have them."""
    in_expressions = f""" OR EXISTS (SELECT FROM pg_catalog.pg_depend y
      WHERE y.classid = 'pg_catalog.{catalog}'::regclass AND y.objid = {oid}
        AND y.refobjid = w.attrelid AND y.refobjsubid = w.attnum)"""
    on = condition + (in_expressions if catalog else "")
    return f"""array(SELECT w.attname::text FROM pg_catalog.pg_attribute w
    WHERE w.attrelid = %(oid)s AND w.attname = ANY (%(columns)s) AND ({on}))"""  # noqa: S608 - the same


# The definition's beginning is known to the letter, so it is cut off by its length. The schema of a temporary table
# is printed as pg_temp since PostgreSQL 15, and before that by its own name.
INDEX_TAIL = """(
  SELECT pg_catalog.substr(w.definition, 1 + pg_catalog.length(h.head || pg_catalog.format('%%I.%%I',
    CASE WHEN pg_catalog.starts_with(w.definition, h.head || pg_catalog.quote_ident(n.nspname) || '.')
      THEN n.nspname ELSE 'pg_temp' END, c.relname)))
  FROM (SELECT pg_catalog.pg_get_indexdef(i.indexrelid) AS definition) w,
    (SELECT pg_catalog.format('CREATE %%sINDEX %%I ON %%s', CASE WHEN i.indisunique THEN 'UNIQUE ' END, x.relname,
      CASE WHEN x.relkind = 'I' THEN 'ONLY ' END) AS head) h)"""

INDEXES = f"""
SELECT x.relname AS name, i.indisunique AS unique, {INDEX_TAIL} AS tail,
  {_touched("w.attnum = ANY (i.indkey::int2[])", "pg_class", "x.oid")} AS touched,
  pg_catalog.obj_description(x.oid, 'pg_class') AS comment, i.indisclustered AS clustered,
  i.indisreplident AS replica_identity,
  coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                     'schema', pn.nspname, 'table', pt.relname, 'name', px.relname, 'leaf', t.isleaf,
                     'replica_identity', pi.indisreplident) ORDER BY pn.nspname, pt.relname)
   FROM pg_catalog.pg_partition_tree(x.oid) t JOIN pg_catalog.pg_index pi ON pi.indexrelid = t.relid
   JOIN pg_catalog.pg_class px ON px.oid = t.relid JOIN pg_catalog.pg_class pt ON pt.oid = pi.indrelid
   JOIN pg_catalog.pg_namespace pn ON pn.oid = pt.relnamespace
   WHERE t.level > 0), '[]') AS parts,
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


KEYS = f"""
SELECT k.conname AS name, k.contype::text AS kind, x.relname AS index,
  {_touched("w.attnum = ANY (i.indkey::int2[])")} AS touched,
  'UNIQUE' || CASE WHEN {INDEX_TAIL} LIKE '%%) NULLS NOT DISTINCT%%' THEN ' NULLS NOT DISTINCT' ELSE '' END AS unique,
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

CHECKS = f"""
SELECT k.conname AS name, 'c' AS kind, k.convalidated AS valid,
  {_touched("w.attnum = ANY (k.conkey)")} AS touched,
  CASE WHEN k.convalidated OR d.text NOT LIKE '%% NOT VALID' THEN d.text
    ELSE pg_catalog.left(d.text, -pg_catalog.length(' NOT VALID')) END AS definition,
  k.convalidated OR d.text LIKE '%% NOT VALID' AS enforced,
  pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment
FROM pg_catalog.pg_constraint k CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_constraintdef(k.oid) AS text) d
WHERE k.conrelid = %(oid)s AND k.contype = 'c' AND k.conkey && {_COLUMNS} ORDER BY k.conname
"""  # noqa: S608 - constants in a constant


def foreign_keys(version: int) -> str:
    """Return the query for foreign keys, for a server's version as libpq numbers it."""
    emptied = "coalesce(k.confdelsetcols, '{}')" if version >= 150000 else "'{}'::int2[]"  # noqa: PLR2004 - its columns
    enforced = "k.conenforced" if version >= 180000 else "true"  # noqa: PLR2004 - NOT ENFORCED
    return _FOREIGN_KEYS.replace("/*emptied*/", emptied).replace("/*enforced*/", enforced)


_ACTIONS = "CASE {} WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' ELSE 'RESTRICT' END"


_FOREIGN_KEYS = f"""
SELECT k.conname AS name, n.nspname AS schema, c.relname AS "table",
  s.nspname AS other_schema, r.relname AS other_table,
  CASE WHEN NOT pg_catalog.pg_has_role(c.relowner, 'USAGE') THEN pg_catalog.pg_get_userbyid(c.relowner) END AS owner,
  {_named("k.conkey", "k.conrelid")} AS columns, {_named("k.confkey", "k.confrelid")} AS other_columns,
  {_named("/*emptied*/", "k.conrelid")} AS emptied, /*enforced*/ AS enforced, k.convalidated AS valid,
  CASE k.confmatchtype WHEN 'f' THEN ' MATCH FULL' ELSE '' END
    || CASE WHEN k.confupdtype = 'a' THEN '' ELSE ' ON UPDATE ' || {_ACTIONS.format("k.confupdtype")} END
    || CASE WHEN k.confdeltype = 'a' THEN '' ELSE ' ON DELETE ' || {_ACTIONS.format("k.confdeltype")} END AS actions,
  CASE WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END
    || CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END
    || CASE WHEN /*enforced*/ THEN '' ELSE ' NOT ENFORCED' END AS deferrable,
  pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment,
  coalesce((WITH RECURSIVE below AS (
     SELECT p.oid, p.conname, p.conrelid FROM pg_catalog.pg_constraint p
     WHERE p.conparentid = k.oid AND p.conrelid <> k.conrelid
     UNION ALL SELECT p.oid, p.conname, p.conrelid FROM pg_catalog.pg_constraint p
     JOIN below b ON p.conparentid = b.oid AND p.conrelid <> b.conrelid)
   SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
     'schema', pn.nspname, 'table', pc.relname, 'name', p.conname, 'leaf', pc.relkind <> 'p')
     ORDER BY pn.nspname, pc.relname)
   FROM below p JOIN pg_catalog.pg_class pc ON pc.oid = p.conrelid
   JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace), '[]') AS parts
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_class r ON r.oid = k.confrelid
JOIN pg_catalog.pg_namespace s ON s.oid = r.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND (
  k.conrelid = %(oid)s AND k.conkey && {_COLUMNS} OR k.confrelid = %(oid)s AND k.confkey && {_COLUMNS})
ORDER BY n.nspname, c.relname, k.conname
"""  # noqa: S608 - constants in a constant

# A definition's head and its end, ` FROM schema.table`, are known to the letter; a temporary schema as for indexes.
_STATISTICS_TEXT = """pg_catalog.left(pg_catalog.substr(d.text, 1 + pg_catalog.length(pg_catalog.format(
    'CREATE STATISTICS %%I.%%I',
    CASE WHEN pg_catalog.starts_with(d.text, 'CREATE STATISTICS ' || pg_catalog.quote_ident(n.nspname) || '.')
      THEN n.nspname ELSE 'pg_temp' END, s.stxname))),
  -pg_catalog.length(' FROM ' || c.oid::regclass::text))"""

STATISTICS = f"""
SELECT n.nspname AS schema, s.stxname AS name, {_STATISTICS_TEXT} AS definition,
  {_touched("w.attnum = ANY (s.stxkeys::int2[])", "pg_statistic_ext", "s.oid")} AS touched,
  pg_catalog.obj_description(s.oid, 'pg_statistic_ext') AS comment
FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
JOIN pg_catalog.pg_class c ON c.oid = s.stxrelid
CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_statisticsobjdef(s.oid) AS text) d
WHERE s.stxrelid = %(oid)s AND (s.stxkeys::int2[] && {_COLUMNS} OR EXISTS (
  SELECT FROM pg_catalog.pg_depend p WHERE p.classid = 'pg_catalog.pg_statistic_ext'::regclass AND p.objid = s.oid
    AND p.refobjid = c.oid AND p.refobjsubid = ANY ({_COLUMNS}::int2[])))
ORDER BY 1, 2
"""  # noqa: S608 - constants in a constant

COPIED_INDEXES = f"""
SELECT x.relname AS name, {INDEX_TAIL} AS text FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE i.indrelid = 'pg_temp.ecm_copy'::regclass
"""  # noqa: S608 - constants in a constant

COPIED_CHECKS = """
SELECT k.conname AS name, pg_catalog.pg_get_constraintdef(k.oid) AS text FROM pg_catalog.pg_constraint k
WHERE k.conrelid = 'pg_temp.ecm_copy'::regclass
"""

COPIED_STATISTICS = f"""
SELECT s.stxname AS name, {_STATISTICS_TEXT} AS text FROM pg_catalog.pg_statistic_ext s
JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace JOIN pg_catalog.pg_class c ON c.oid = s.stxrelid
CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_statisticsobjdef(s.oid) AS text) d
WHERE s.stxrelid = 'pg_temp.ecm_copy'::regclass
"""  # noqa: S608 - constants in a constant

DEFAULT = """
SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS default FROM pg_catalog.pg_attrdef d
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE d.adrelid = %(oid)s AND a.attname = %(column)s
"""

FILES = """
SELECT c.relname AS name, c.relfilenode AS file FROM pg_catalog.pg_class c WHERE c.oid = 'pg_temp.ecm_copy'::regclass
UNION ALL SELECT x.relname, x.relfilenode FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = 'pg_temp.ecm_copy'::regclass ORDER BY 1
"""

FORMER = """
SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) || coalesce(' COLLATE ' || (
    SELECT pg_catalog.format('%%I.%%I', n.nspname, l.collname) FROM pg_catalog.pg_collation l
    JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
    WHERE l.oid = a.attcollation AND a.attcollation <> t.typcollation), '') AS type
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE s.nspname = %(schema)s AND c.relname = %(name)s AND c.relkind = 'c'
"""

FUNCTIONS = """
SELECT DISTINCT n.nspname AS schema, f.proname AS name FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid JOIN pg_catalog.pg_language l ON l.oid = f.prolang
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
WHERE NOT t.tgisinternal AND (t.tgrelid = %(oid)s OR t.tgrelid IN (
    SELECT p.relid FROM pg_catalog.pg_partition_tree(%(oid)s::bigint::pg_catalog.oid) p))
  AND l.lanname = 'plpgsql' AND n.nspname <> 'ecm' AND pg_catalog.pg_has_role(f.proowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_catalog.unnest(f.proconfig) c WHERE c LIKE 'geqo_seed=%%') ORDER BY 1, 2
"""

SEQUENCE = """
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


WORDS = """
SELECT n.nspname AS schema, c.relname AS "table", a.attname AS "column",
  pg_catalog.col_description(c.oid, a.attnum) AS comment, nullif(a.attstattarget, -1)::integer AS statistics,
  coalesce(a.attoptions, '{}') AS options,
  coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'grantee', CASE WHEN g.grantee <> 0 THEN pg_catalog.pg_get_userbyid(g.grantee) END,
      'privilege', g.privilege_type, 'grantable', g.is_grantable))
    FROM pg_catalog.aclexplode(a.attacl) g), '[]') AS grants
FROM (SELECT %(oid)s::bigint::pg_catalog.oid AS relid, 0 AS level
      UNION SELECT t.relid, t.level FROM pg_catalog.pg_partition_tree(%(oid)s::bigint::pg_catalog.oid) t) t
JOIN pg_catalog.pg_class c ON c.oid = t.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped AND a.attname = ANY (%(columns)s)
ORDER BY t.level, 1, 2, 3
"""


def attributes(version: int) -> str:
    """Return the query for what is said of the columns themselves."""
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
    UNION SELECT 'view ' || v.ev_class::pg_catalog.regclass || ' groups rows by ' || k.conname
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_constraint'::regclass
      AND d.refobjid = k.oid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
    JOIN pg_catalog.pg_rewrite v ON v.oid = d.objid
    WHERE k.conrelid = a.attrelid AND k.conkey @> ARRAY[a.attnum]
    UNION SELECT 'trigger ' || t.tgname || ' looks at it in its WHEN condition' FROM pg_catalog.pg_trigger t
    WHERE t.tgrelid = a.attrelid AND NOT t.tgisinternal AND t.tgqual::text ~ (':varattno ' || a.attnum || '[ }]')
    ORDER BY 1) AS used
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %(oid)s AND NOT a.attisdropped AND a.attname = ANY (%(columns)s)
"""
