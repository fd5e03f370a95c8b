"""The queries by which readers are read from the catalog (`orchestrator.engine.readers`)."""

# A view is known by its relation: what pg_depend has of it is the rule that holds its query.
_NODE = """
CROSS JOIN LATERAL (SELECT
  CASE WHEN r.rulename = '_RETURN' THEN 'pg_catalog.pg_class'::pg_catalog.regclass ELSE d.classid END AS class,
  CASE WHEN r.rulename = '_RETURN' THEN r.ev_class ELSE d.objid END AS object
  FROM (SELECT) one LEFT JOIN pg_catalog.pg_rewrite r
    ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid) n
"""

ROOTS = """
SELECT a.attrelid::int8 AS oid, a.attnum AS number FROM pg_catalog.pg_attribute a
WHERE a.attname = %(column)s AND NOT a.attisdropped
  AND (a.attrelid = %(oid)s OR a.attrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%(oid)s)))
"""

# What else stands on the column itself (indexes, constraints, triggers …) the change looks after.
EDGES = f"""
WITH RECURSIVE roots AS ({ROOTS}), found AS (
  SELECT n.class, n.object, d.deptype::text AS how, 0::oid AS on_class, 0::oid AS on_object
  FROM roots JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid = roots.oid AND d.refobjsubid = roots.number {_NODE}
  WHERE d.classid IN ('pg_catalog.pg_rewrite'::pg_catalog.regclass, 'pg_catalog.pg_policy'::pg_catalog.regclass,
    'pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_publication_rel'::pg_catalog.regclass)
  UNION
  SELECT n.class, n.object, d.deptype::text, f.class, f.object
  FROM found f JOIN pg_catalog.pg_depend d ON d.refclassid = f.class AND d.refobjid = f.object {_NODE}
  WHERE (n.class, n.object) <> (f.class, f.object)
    -- On from a view, a function, and the type that a view's rows have.
    AND (f.class = 'pg_catalog.pg_proc'::pg_catalog.regclass
      OR f.class = 'pg_catalog.pg_type'::pg_catalog.regclass AND f.how = 'i'
      OR f.class = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = f.object AND c.relkind IN ('v', 'm'))))
SELECT DISTINCT class::pg_catalog.regclass::text AS class, object::int8, how,
  nullif(on_class, 0)::pg_catalog.regclass::text AS on_class, on_object::int8,
  CASE WHEN class = 'pg_catalog.pg_class'::pg_catalog.regclass
    THEN (SELECT c.relkind IN ('v', 'm') FROM pg_catalog.pg_class c WHERE c.oid = object) ELSE false END AS view,
  -- What belongs to a view goes with it.
  (CASE class WHEN 'pg_catalog.pg_attrdef'::pg_catalog.regclass
    THEN (SELECT x.adrelid FROM pg_catalog.pg_attrdef x WHERE x.oid = object)
   WHEN 'pg_catalog.pg_trigger'::pg_catalog.regclass
    THEN (SELECT x.tgrelid FROM pg_catalog.pg_trigger x WHERE x.oid = object)
   WHEN 'pg_catalog.pg_class'::pg_catalog.regclass
    THEN coalesce((SELECT x.indrelid FROM pg_catalog.pg_index x WHERE x.indexrelid = object),
      (SELECT x.oid FROM pg_catalog.pg_class x WHERE x.reltoastrelid = object)) END)::int8 AS belongs_to,
  (pg_catalog.pg_identify_object(class, object, 0)).type AS kind,
  (pg_catalog.pg_identify_object(class, object, 0)).identity AS identity
FROM found ORDER BY identity
"""  # noqa: S608 - constants

TEXTS = """
SELECT 'pg_class' AS class, c.oid::int8 AS object, pg_catalog.rtrim(pg_catalog.pg_get_viewdef(c.oid), ';') AS text
FROM pg_catalog.pg_class c WHERE c.oid = ANY (%(pg_class)s::oid[])
UNION ALL
SELECT 'pg_proc', p.oid::int8, pg_catalog.pg_get_functiondef(p.oid)
FROM pg_catalog.pg_proc p WHERE p.oid = ANY (%(pg_proc)s::oid[])
UNION ALL
SELECT 'pg_rewrite', r.oid::int8, pg_catalog.rtrim(pg_catalog.pg_get_ruledef(r.oid), ';')
FROM pg_catalog.pg_rewrite r WHERE r.oid = ANY (%(pg_rewrite)s::oid[])
UNION ALL
SELECT 'pg_policy', p.oid::int8, pg_catalog.format('CREATE POLICY %%I ON %%I.%%I AS %%s FOR %%s TO %%s%%s%%s',
  p.polname, n.nspname, c.relname, CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
  CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
    ELSE 'ALL' END,
  (SELECT pg_catalog.string_agg(CASE WHEN role = 0 THEN 'PUBLIC'
      ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(role)) END, ', ')
   FROM pg_catalog.unnest(p.polroles) role),
  ' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
  ' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')')
FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE p.oid = ANY (%(pg_policy)s::oid[])
"""

_PRIVILEGE = """pg_catalog.json_build_object('grantor', pg_catalog.pg_get_userbyid(e.grantor),
  'grantee', CASE WHEN e.grantee <> 0 THEN pg_catalog.pg_get_userbyid(e.grantee) END,
  'privilege', e.privilege_type, 'grantable', e.is_grantable"""


def _uninvited(kind: str) -> str:
    return f"""array(SELECT DISTINCT CASE WHEN e.grantee <> 0 THEN pg_catalog.pg_get_userbyid(e.grantee) END
  FROM pg_catalog.pg_default_acl d CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) e
  WHERE d.defaclobjtype = '{kind}' AND d.defaclnamespace IN (0, n.oid) AND e.grantee <> d.defaclrole
    AND d.defaclrole = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user))"""  # noqa: S608 - constants


def _obstacle(owner: str, class_name: str, oid: str) -> str:
    """Why the connected role could not make it again as it is; the first that applies. What is ecm's stays as it is."""
    return f"""
  WHEN n.nspname = 'ecm' THEN NULL
  WHEN EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.{class_name}'::pg_catalog.regclass
    AND x.objid = {oid} AND x.deptype = 'e') THEN 'it belongs to an extension'
  WHEN EXISTS (SELECT FROM pg_catalog.pg_seclabel x WHERE x.objoid = {oid}
    AND x.classoid = 'pg_catalog.{class_name}'::pg_catalog.regclass) THEN 'it has a security label'
  WHEN NOT pg_catalog.pg_has_role({owner}, 'USAGE')
    THEN 'role ' || current_user || ' is no member of its owner, ' || pg_catalog.pg_get_userbyid({owner})
  WHEN NOT pg_catalog.has_schema_privilege(n.oid, 'CREATE')
    THEN 'role ' || current_user || ' may not create in schema ' || n.nspname
  WHEN NOT me.rolsuper AND NOT pg_catalog.has_schema_privilege({owner}, n.oid, 'CREATE')
    THEN 'its owner, ' || pg_catalog.pg_get_userbyid({owner}) || ', may not create in schema ' || n.nspname"""  # noqa: S608


_INDEXES = """(SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('name', x.relname,
    'unique', i.indisunique, 'clustered', i.indisclustered,
    -- The definition's beginning is known to the letter, so it is cut off by its length.
    'tail', pg_catalog.substr(pg_catalog.pg_get_indexdef(x.oid), 1 + pg_catalog.length(pg_catalog.format(
      'CREATE %%sINDEX %%I ON %%I.%%I', CASE WHEN i.indisunique THEN 'UNIQUE ' END, x.relname, n.nspname, c.relname))),
    'tablespace', (SELECT s.spcname FROM pg_catalog.pg_tablespace s WHERE s.oid = x.reltablespace),
    'comment', pg_catalog.obj_description(x.oid, 'pg_class'),
    'statistics', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attnum, a.attstattarget))
      FROM pg_catalog.pg_attribute a WHERE a.attrelid = x.oid AND a.attstattarget >= 0))
    ORDER BY x.relname), '[]')
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid)"""

_COLUMNS = """(SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname,
    'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid), 'comment', pg_catalog.col_description(c.oid, a.attnum),
    'statistics', CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END,
    'storage', CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'PLAIN'
      WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END,
    'compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
    'options', a.attoptions) ORDER BY a.attnum)
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)"""

RELATIONS = f"""
SELECT 'pg_class' AS class, c.oid::int8 AS object,
  CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END AS kind, n.nspname AS schema, c.relname AS name,
  pg_catalog.pg_get_userbyid(c.relowner) AS owner,
  CASE WHEN c.relacl IS NOT NULL OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
      WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL)
    THEN (SELECT coalesce(pg_catalog.json_agg(p.privilege ORDER BY p.handed, p.part, p.place), '[]') FROM (
      SELECT {_PRIVILEGE}) AS privilege, e.grantor <> c.relowner AS handed, 0 AS part, e.place
      FROM pg_catalog.aclexplode(c.relacl) WITH ORDINALITY e (grantor, grantee, privilege_type, is_grantable, place)
      UNION ALL
      SELECT {_PRIVILEGE}, 'column', a.attname), e.grantor <> c.relowner, a.attnum, e.place
      FROM pg_catalog.pg_attribute a CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl)
        WITH ORDINALITY e (grantor, grantee, privilege_type, is_grantable, place)
      WHERE a.attrelid = c.oid AND NOT a.attisdropped) p) END AS privileges,
  {_uninvited("r")} AS uninvited,
  pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
  coalesce(c.reloptions, '{{}}') || array(SELECT 'toast.' || o FROM pg_catalog.pg_class x
    CROSS JOIN LATERAL pg_catalog.unnest(x.reloptions) o WHERE x.oid = c.reltoastrelid) AS options,
  {_COLUMNS} AS columns, {_INDEXES} AS indexes,
  (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('name', t.tgname,
      'definition', pg_catalog.pg_get_triggerdef(t.oid), 'comment', pg_catalog.obj_description(t.oid, 'pg_trigger'))
      ORDER BY t.tgname), '[]')
    FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS triggers,
  c.relispopulated AS populated,
  (SELECT s.spcname FROM pg_catalog.pg_tablespace s WHERE s.oid = c.reltablespace) AS tablespace,
  (SELECT m.amname FROM pg_catalog.pg_am m WHERE m.oid = c.relam) AS access_method,
  CASE WHEN c.relpersistence = 't' THEN 'it is a temporary view, of a session that is at work'
  {_obstacle("c.relowner", "pg_class", "c.oid")}
  WHEN EXISTS (SELECT FROM pg_catalog.pg_statistic_ext x WHERE x.stxrelid = c.oid)
    THEN 'it has extended statistics (CREATE STATISTICS)'
  WHEN w.ev_action::text ~ %(renamed)s
    THEN 'its query names the columns of the table by their position: FROM … AS name (column, …)' END AS obstacle
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_rewrite w ON w.ev_class = c.oid AND w.rulename = '_RETURN'
JOIN pg_catalog.pg_roles me ON me.rolname = current_user WHERE c.oid = ANY (%(pg_class)s::oid[])
"""  # noqa: S608 - constants

FUNCTIONS = f"""
SELECT 'pg_proc' AS class, p.oid::int8 AS object, 'function' AS kind, n.nspname AS schema, p.proname AS name,
  pg_catalog.pg_get_function_identity_arguments(p.oid) AS signature, pg_catalog.pg_get_userbyid(p.proowner) AS owner,
  CASE WHEN p.proacl IS NOT NULL THEN (SELECT coalesce(pg_catalog.json_agg({_PRIVILEGE})
      ORDER BY e.grantor <> p.proowner, e.place), '[]')
    FROM pg_catalog.aclexplode(p.proacl) WITH ORDINALITY e (grantor, grantee, privilege_type, is_grantable, place))
    END AS privileges,
  {_uninvited("f")} AS uninvited,
  pg_catalog.obj_description(p.oid, 'pg_proc') AS comment,
  CASE WHEN p.prokind NOT IN ('f', 'p') THEN 'it is an aggregate or window function'
  {_obstacle("p.proowner", "pg_proc", "p.oid")}
  WHEN EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    AND x.objid = p.oid AND x.deptype = 'x') THEN 'it depends on an extension by ALTER FUNCTION'
  WHEN NOT me.rolsuper AND NOT l.lanpltrusted
    THEN 'role ' || current_user || ' may not make functions in ' || l.lanname
  WHEN p.prosqlbody::text ~ %(renamed)s
    THEN 'it names the columns of the table by their position: FROM … AS name (column, …)' END AS obstacle
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
JOIN pg_catalog.pg_roles me ON me.rolname = current_user WHERE p.oid = ANY (%(pg_proc)s::oid[])
"""  # noqa: S608 - constants

# A policy or rule is the table owner's, and so is the right to make it.
ATTACHED = r"""
SELECT 'pg_policy' AS class, p.oid::int8 AS object, 'policy' AS kind, n.nspname AS schema, p.polname AS name,
  c.oid::int8 AS relation, c.relname AS relation_name, pg_catalog.obj_description(p.oid, 'pg_policy') AS comment,
  array(SELECT CASE WHEN role <> 0 THEN pg_catalog.pg_get_userbyid(role) END
        FROM pg_catalog.unnest(p.polroles) WITH ORDINALITY r (role, place) ORDER BY place) AS roles,
  pg_catalog.pg_get_userbyid(c.relowner) AS table_owner, 'O' AS enabled, c.relkind::text AS relkind,
  CASE WHEN NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')
    THEN 'role ' || current_user || ' does not own its table'
  WHEN coalesce(p.polqual::text, '') || coalesce(p.polwithcheck::text, '') ~ %(renamed)s
    THEN 'it names the columns of the table by their position: FROM … AS name (column, …)' END AS obstacle
FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE p.oid = ANY (%(pg_policy)s::oid[])
UNION ALL
SELECT 'pg_rewrite', r.oid::int8, 'rule', n.nspname, r.rulename, c.oid::int8, c.relname,
  pg_catalog.obj_description(r.oid, 'pg_rewrite'), '{}', pg_catalog.pg_get_userbyid(c.relowner),
  r.ev_enabled::text, c.relkind::text,
  CASE WHEN NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')
    THEN 'role ' || current_user || ' does not own its table'
  WHEN r.ev_qual::text || r.ev_action::text ~ %(renamed)s
    THEN 'it names the columns of the table by their position: FROM … AS name (column, …)' END
FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE r.oid = ANY (%(pg_rewrite)s::oid[])
"""

KEPT = r"""
SELECT c.relname AS name, n.nspname AS schema, NULL AS "on" FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'ecm' AND c.relname LIKE 'was\_%%'
UNION ALL
SELECT p.proname, n.nspname, NULL FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'ecm' AND p.proname LIKE 'was\_%%'
UNION ALL
SELECT p.polname, n.nspname, c.relname FROM pg_catalog.pg_policy p
JOIN pg_catalog.pg_class c ON c.oid = p.polrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE p.polname LIKE 'ecm\_was%%'
UNION ALL
SELECT r.rulename, n.nspname, c.relname FROM pg_catalog.pg_rewrite r
JOIN pg_catalog.pg_class c ON c.oid = r.ev_class JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE r.rulename LIKE 'ecm\_was%%'
"""
