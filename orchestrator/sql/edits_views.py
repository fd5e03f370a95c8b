"""Views over a column that gets another type, on empty tables: dropped before it does, and made again after it. Pure.

PostgreSQL changes no type under a view ("ALTER TABLE", SET DATA TYPE). ecm's own cycle leaves the views where they are
and moves them; where there are no rows and no old version, to make them again is the same in the end.
"""

from psycopg import sql

from orchestrator.sql.identifiers import TableName
from orchestrator.sql.steps import Statement


def column(table: TableName, name: str) -> sql.Composed:
    """Return a query for one column, as `around` takes it."""
    return sql.SQL(
        "SELECT attrelid, attnum FROM pg_attribute WHERE attrelid = {}::regclass AND attname = {} AND NOT attisdropped"
    ).format(sql.Literal(table.identifier.as_string(None)), sql.Literal(name))


def around(columns: sql.Composed, statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Return statements, with every view that reads one of some columns out of their way.

    Args:
        columns: a query for the columns: (relation's oid, number).
        statements: what changes them; all in one transaction.
    """
    aside = _ASIDE.format(columns=columns).as_string(None)
    return (sql.SQL("DO {}").format(sql.Literal(aside)), *statements, sql.SQL("DO {}").format(sql.Literal(_AGAIN)))


# From one statement to the other in a setting of the transaction's own; names print as the session finds them.
_ASIDE = sql.SQL(
    """
DECLARE
  going text[] := '{{}}';
  coming text[] := '{{}}';
  statement text;
  view record;
BEGIN
  FOR view IN
    WITH RECURSIVE standing (id, depth) AS (
      SELECT r.ev_class, 1 FROM ({columns}) c (relation, number)
      JOIN pg_depend d ON (d.refclassid, d.refobjid, d.refobjsubid) = ('pg_class'::regclass, c.relation, c.number)
      JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass AND r.ev_class <> c.relation
      UNION
      SELECT r.ev_class, s.depth + 1 FROM standing s
      JOIN pg_depend d ON (d.refclassid, d.refobjid) = ('pg_class'::regclass, s.id)
      JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass AND r.ev_class <> s.id
    )
    SELECT c.oid AS id, c.oid::regclass::text AS name, c.relowner AS owner, c.relacl AS rights,
      CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind,
      CASE WHEN c.reloptions IS NOT NULL THEN ' WITH (' || array_to_string(c.reloptions, ', ') || ')' END AS options,
      CASE WHEN NOT c.relispopulated THEN ' WITH NO DATA' END AS filled
    FROM pg_class c JOIN (SELECT id, max(depth) AS depth FROM standing GROUP BY id) s ON s.id = c.oid
    WHERE c.relkind IN ('v', 'm') ORDER BY s.depth, c.oid
  LOOP
    going := format('DROP %s %s', view.kind, view.name) || going;
    coming := coming
      || format('CREATE %s %s%s AS %s%s', view.kind, view.name, view.options,
        rtrim(pg_get_viewdef(view.id), '; '), view.filled)
      || ARRAY(SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = view.id)
      || ARRAY(SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = view.id AND NOT tgisinternal)
      || ARRAY(SELECT pg_get_ruledef(oid) FROM pg_rewrite WHERE ev_class = view.id AND rulename <> '_RETURN')
      || ARRAY(
        SELECT format('ALTER VIEW %s ALTER COLUMN %I SET DEFAULT %s', view.name, attname, pg_get_expr(adbin, adrelid))
        FROM pg_attrdef JOIN pg_attribute ON (attrelid, attnum) = (adrelid, adnum) WHERE adrelid = view.id)
      || ARRAY(
        SELECT CASE d.objsubid WHEN 0 THEN format('COMMENT ON %s %s IS %L', view.kind, view.name, d.description)
          ELSE format('COMMENT ON COLUMN %s.%I IS %L', view.name, a.attname, d.description) END
        FROM pg_description d LEFT JOIN pg_attribute a ON (a.attrelid, a.attnum) = (d.objoid, d.objsubid)
        WHERE d.classoid = 'pg_class'::regclass AND d.objoid = view.id)
      || ARRAY(
        SELECT format('GRANT %s ON %s TO %s%s', r.privilege_type, view.name,
          CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.grantee)) END,
          CASE WHEN r.is_grantable THEN ' WITH GRANT OPTION' END)
        FROM aclexplode(view.rights) r WHERE r.grantee <> view.owner)
      || ARRAY(
        SELECT format('GRANT %s (%I) ON %s TO %s', r.privilege_type, a.attname, view.name,
          CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.grantee)) END)
        FROM pg_attribute a, aclexplode(a.attacl) r WHERE a.attrelid = view.id)
      || ARRAY(
        SELECT format('ALTER %s %s OWNER TO %I', view.kind, view.name, rolname)
        FROM pg_roles WHERE oid = view.owner AND rolname <> current_user);
  END LOOP;
  FOREACH statement IN ARRAY going LOOP
    EXECUTE statement;
  END LOOP;
  PERFORM set_config('ecm.coming', to_jsonb(coming)::text, true);
END
"""
)

_AGAIN = """
DECLARE
  statement text;
BEGIN
  FOR statement IN SELECT text FROM jsonb_array_elements_text(current_setting('ecm.coming')::jsonb)
    WITH ORDINALITY AS s (text, number) ORDER BY number
  LOOP
    EXECUTE statement;
  END LOOP;
END
"""
