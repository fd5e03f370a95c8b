"""The queries of `orchestrator.engine.snapshot`."""

from orchestrator.engine.heritage_queries import INDEX_TAIL
from orchestrator.plan.drift import UNREAD

# Tables that a plan names, those with a column of a type that it changes (or of an array of it), their partitions, and
# every view over any of them, also over other views.
RELATIONS = r"""
WITH RECURSIVE named AS (
  SELECT c.oid FROM unnest(%(schemas)s::text[], %(names)s::text[]) w (schema, name)
  JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  UNION
  SELECT a.attrelid FROM unnest(%(type_schemas)s::text[], %(types)s::text[]) w (schema, name)
  JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
  JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid AND t.typname = w.name
  JOIN pg_catalog.pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
),
parts AS (
  SELECT t.relid AS oid FROM named, pg_catalog.pg_partition_tree(named.oid) t
  WHERE t.level > 0 AND t.relid NOT IN (SELECT oid FROM named)
),
over (oid) AS (
  SELECT oid FROM named UNION SELECT oid FROM parts UNION
  SELECT r.ev_class FROM over o
  JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = o.oid
    AND d.classid = 'pg_catalog.pg_rewrite'::regclass
  JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.rulename = '_RETURN'
)
SELECT c.oid::bigint AS oid, CASE WHEN c.oid IN (SELECT oid FROM named) THEN 'named'
  WHEN c.oid IN (SELECT oid FROM parts) THEN 'part' ELSE 'view' END AS role
FROM over o JOIN pg_catalog.pg_class c ON c.oid = o.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT LIKE 'pg\_temp%%' ORDER BY 1
"""

_NAMED, _PARTS, _VIEWS = "%(named)s::oid[]", "%(part)s::oid[]", "%(view)s::oid[]"
_TABLES = f"({_NAMED} || {_PARTS})"
_ALL = f"({_NAMED} || {_PARTS} || {_VIEWS})"
_VIEW_QUERY, _RULE_QUERY = "pg_catalog.pg_get_viewdef(c.oid)", "pg_catalog.pg_get_ruledef(r.oid)"
_FUNCTION_QUERY = "pg_catalog.pg_get_functiondef(p.oid)"
_OF = "JOIN pg_catalog.pg_class c ON c.oid = {} JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"


def thing(kind: str, named: str, name: str, source: str, *traits: tuple[str, str], alone: bool = False) -> str:
    """Return the query for things of a kind: an expression for each trait, NULL where it is as usual.

    Args:
        kind: an SQL expression.
        named: how the name goes with that of its table, c in schema n.
        name: an SQL expression.
        source: FROM and what follows.
        traits: names and SQL expressions of text.
        alone: whether it stands for itself, and is told even where its table is not there.
    """
    pairs = ", ".join(f"'{trait}', {expression}" for trait, expression in traits)
    return (
        f"SELECT {kind} AS kind, n.nspname::text AS schema, c.relname::text AS relation,"
        f" '{named}' AS named, ({name})::text AS name, {str(alone).lower()} AS alone,"
        f" pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object({pairs})) AS has {source}"
    )


def when(condition: str, value: str = "'yes'") -> str:
    """Return the expression for a trait: its value where the condition holds, else NULL."""
    return f"CASE WHEN {condition} THEN {value} END"


def _otherwise(things: str) -> str:
    """Return the query for those things that have a trait."""
    return f"SELECT * FROM ({things}) t WHERE t.has <> '{{}}'"  # noqa: S608 - constants


def things(version: int, *, queries: bool = True) -> str:
    """Return the query for everything on relations.

    Its parameters are the oids of the tables that a plan names, of their partitions, and of views over them: `named`,
    `part`, `view`.

    Args:
        version: the server's, as libpq numbers it.
        queries: whether to print queries, which takes locks.
    """
    parts = (
        _RELATION,
        _PARTITION,
        _column(version),
        _PARTITION_COLUMN,
        *TYPES,
        _INDEX,
        _CONSTRAINT,
        _FOREIGN_KEY,
        _TRIGGER,
        _RULE,
        _POLICY,
        _SQL_FUNCTION,
        *_publications(version),
    )
    query = " UNION ALL ".join(parts)
    for printed in () if queries else (_VIEW_QUERY, _RULE_QUERY, _FUNCTION_QUERY):
        query = query.replace(printed, f"'{UNREAD}'::text")
    return query


_ROW_SECURITY = (
    ("row_security", when("c.relrowsecurity")),
    ("forced", when("c.relforcerowsecurity")),
)
_KEPT = (
    ("persistence", "nullif(c.relpersistence::text, 'p')"),
    ("replica_identity", when("c.relkind IN ('r', 'p')", "nullif(c.relreplident::text, 'd')")),
)

_RELATION = thing(
    "c.relkind::text",
    "relation",
    "c.relname",
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE c.oid = ANY ({_NAMED} || {_VIEWS})",
    *_KEPT,
    *_ROW_SECURITY,
    ("partitioned", "pg_catalog.pg_get_partkeydef(c.oid)"),
    (
        "inherits",
        when(
            "NOT c.relispartition",
            "(SELECT pg_catalog.string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)"
            " FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid)",
        ),
    ),
    # Those of views say whose rights count, and what may be written; those of tables are about storage.
    (
        "options",
        when(
            "c.relkind = 'v'",
            "(SELECT pg_catalog.string_agg(o, ', ' ORDER BY o) FROM pg_catalog.unnest(c.reloptions) o)",
        ),
    ),
    ("query", when(f"c.oid = ANY ({_VIEWS})", _VIEW_QUERY)),
    alone=True,
)

_PARTITION = _otherwise(
    thing(
        "'partition'",
        "relation",
        "c.relname",
        "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE c.oid = ANY ({_PARTS})",
        *_KEPT,
        *_ROW_SECURITY,
        ("partitioned", "pg_catalog.pg_get_partkeydef(c.oid)"),
        ("foreign", when("c.relkind = 'f'")),
        alone=True,
    )
)

# What is drawn from a column's own sequence (serial) is the same whatever that is called.
_DEFAULT = """CASE WHEN a.attgenerated = '' THEN CASE WHEN EXISTS (
    SELECT FROM pg_catalog.pg_depend s WHERE s.classid = 'pg_catalog.pg_class'::regclass
      AND s.refclassid = 'pg_catalog.pg_class'::regclass AND s.refobjid = a.attrelid AND s.refobjsubid = a.attnum
      AND s.deptype = 'a' AND pg_catalog.pg_get_expr(d.adbin, d.adrelid)
        = pg_catalog.format('nextval(%%L::regclass)', s.objid::regclass::text))
  THEN 'nextval(its own sequence)' ELSE pg_catalog.pg_get_expr(d.adbin, d.adrelid) END END"""
_COLUMNS = f"""FROM pg_catalog.pg_attribute a {_OF.format("a.attrelid")}
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attnum > 0 AND NOT a.attisdropped"""


def _column(version: int) -> str:
    # Since PostgreSQL 18 a NOT NULL is a constraint with a name, and may be NOT VALID. The name is of no account.
    unproven = (
        "EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n'"
        " AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated)"
    )
    not_null = f"CASE WHEN {unproven} THEN 'unproven' ELSE 'yes' END" if version >= 180000 else "'yes'"  # noqa: PLR2004
    return thing(
        "'column'",
        "in",
        "a.attname",
        f"{_COLUMNS} AND a.attrelid = ANY ({_NAMED}) AND c.relkind IN ('r', 'p', 'f')",
        ("type", "pg_catalog.format_type(a.atttypid, a.atttypmod)"),
        ("collation", when("a.attcollation <> t.typcollation", "a.attcollation::regcollation::text")),
        ("not_null", when("a.attnotnull", not_null)),
        ("default", _DEFAULT),
        ("identity", "nullif(a.attidentity::text, '')"),
        (
            "generated",
            when(
                "a.attgenerated <> ''",
                "pg_catalog.pg_get_expr(d.adbin, d.adrelid)"
                " || CASE a.attgenerated WHEN 's' THEN ' STORED' ELSE ' VIRTUAL' END",
            ),
        ),
    )


# A partition's column by what it has otherwise than that of its parent.
_PARENTS = """JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
  JOIN pg_catalog.pg_attribute w ON w.attrelid = i.inhparent AND w.attname = a.attname
  LEFT JOIN pg_catalog.pg_attrdef e ON e.adrelid = w.attrelid AND e.adnum = w.attnum
  WHERE"""
_PARTITION_COLUMN = _otherwise(
    thing(
        "'column of partition'",
        "in",
        "a.attname",
        f"""{_COLUMNS.replace("WHERE", _PARENTS)} AND a.attrelid = ANY ({_PARTS})""",
        ("not_null", when("a.attnotnull AND NOT w.attnotnull")),
        (
            "default",
            when(
                "pg_catalog.pg_get_expr(d.adbin, d.adrelid)"
                " IS DISTINCT FROM pg_catalog.pg_get_expr(e.adbin, e.adrelid)",
                "coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), 'none')",
            ),
        ),
        alone=True,
    )
)

# Of the columns of the tables: their own types, those of arrays of them, and domains' constraints.
USED = f"""FROM (SELECT DISTINCT coalesce(nullif(t.typelem, 0), t.oid) AS oid FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = ANY ({_NAMED}) AND a.attnum > 0 AND NOT a.attisdropped) u
  JOIN pg_catalog.pg_type t ON t.oid = u.oid JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  CROSS JOIN LATERAL (SELECT NULL::text AS relname) c
  WHERE n.nspname <> 'pg_catalog'"""  # noqa: S608 - constants
TYPES = (
    thing(
        "'type'",
        "",
        "t.typname",
        f"{USED} AND t.typtype IN ('e', 'c')",
        (
            "labels",
            (
                "(SELECT pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)"
                " FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid)"
            ),
        ),
        (
            "attributes",
            (
                "(SELECT pg_catalog.string_agg(pg_catalog.format('%%I %%s', a.attname,"
                " pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)"
                " FROM pg_catalog.pg_attribute a WHERE a.attrelid = nullif(t.typrelid, 0) AND NOT a.attisdropped)"
            ),
        ),
        alone=True,
    ),
    thing(
        "'domain'",
        "",
        "t.typname",
        f"{USED} AND t.typtype = 'd'",
        ("base", "pg_catalog.format_type(t.typbasetype, t.typtypmod)"),
        ("not_null", when("t.typnotnull")),
        ("default", "pg_catalog.pg_get_expr(t.typdefaultbin, 0)"),
        (
            "rules",
            (
                "(SELECT pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(k.oid), ', ' ORDER BY k.conname)"
                " FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c')"
            ),
        ),
        alone=True,
    ),
)

# An index that a constraint made is told with that; a partition's part of one, with the whole.
_INDEX = thing(
    "'index'",
    "",
    "x.relname",
    f"""FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid {_OF.format("i.indrelid")}
  WHERE i.indrelid = ANY ({_ALL}) AND NOT x.relispartition AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
    WHERE k.conindid = x.oid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x'))""",
    ("definition", f"pg_catalog.ltrim({INDEX_TAIL})"),
    ("unique", when("i.indisunique")),
    ("invalid", when("NOT i.indisvalid")),
    ("identifies", when("i.indisreplident")),
)

_CONSTRAINTS = """pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', '')"""
_CONSTRAINT_TRAITS = (
    ("definition", _CONSTRAINTS),
    ("unproven", when("NOT k.convalidated")),
    (
        "identifies",
        when(
            "EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indexrelid = k.conindid"
            " AND i.indrelid = k.conrelid AND i.indisreplident)"
        ),
    ),
)
# A foreign key to a partitioned table has, besides itself, one to each partition.
_CONSTRAINT = thing(
    "'constraint'",
    "on",
    "k.conname",
    f"""FROM pg_catalog.pg_constraint k {_OF.format("k.conrelid")}
  WHERE k.conrelid = ANY ({_ALL}) AND k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0
    AND NOT (c.relispartition AND k.coninhcount > 0)""",
    *_CONSTRAINT_TRAITS,
)
_FOREIGN_KEY = thing(
    "'foreign key'",
    "on",
    "k.conname",
    rf"""FROM pg_catalog.pg_constraint k {_OF.format("k.conrelid")}
  WHERE k.confrelid = ANY ({_TABLES}) AND k.conrelid <> ALL ({_ALL}) AND k.contype = 'f' AND k.conparentid = 0
    AND n.nspname NOT LIKE 'pg\_temp%%'""",
    *_CONSTRAINT_TRAITS[:2],
    alone=True,
)

# Of ecm's own triggers it is told that they are there; what they are to be is the sentry's to know.
_TRIGGER = thing(
    "'trigger'",
    "on",
    "g.tgname",
    f"""FROM pg_catalog.pg_trigger g {_OF.format("g.tgrelid")} JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
  JOIN pg_catalog.pg_namespace s ON s.oid = p.pronamespace
  WHERE g.tgrelid = ANY ({_ALL}) AND NOT g.tgisinternal AND g.tgparentid = 0""",
    ("trigger", when("s.nspname <> 'ecm'", "pg_catalog.pg_get_triggerdef(g.oid)")),
    (
        "head",
        when(
            "s.nspname <> 'ecm'",
            "pg_catalog.format('CREATE %%sTRIGGER %%I ',"
            " CASE WHEN g.tgconstraint <> 0 THEN 'CONSTRAINT ' END, g.tgname)",
        ),
    ),
    ("between", when("s.nspname <> 'ecm'", "pg_catalog.format(' ON %%I.%%I ', n.nspname, c.relname)")),
    ("enabled", "nullif(g.tgenabled::text, 'O')"),
    ("function", when("s.nspname <> 'ecm'", "pg_catalog.pg_get_functiondef(g.tgfoid)")),
)

_RULE = thing(
    "'rule'",
    "on",
    "r.rulename",
    f"""FROM pg_catalog.pg_rewrite r {_OF.format("r.ev_class")}
  WHERE r.ev_class = ANY ({_ALL}) AND r.rulename <> '_RETURN'""",
    ("query", _RULE_QUERY),
    ("enabled", "nullif(r.ev_enabled::text, 'O')"),
)

# Which roles it is for differs between branches; whether it is for all of them does not.
_POLICY = thing(
    "'policy'",
    "on",
    "p.polname",
    f"""FROM pg_catalog.pg_policy p {_OF.format("p.polrelid")} WHERE p.polrelid = ANY ({_TABLES})""",
    ("command", "nullif(p.polcmd::text, '*')"),
    ("restrictive", when("NOT p.polpermissive")),
    ("everyone", when("p.polroles = '{0}'")),
    ("using", "pg_catalog.pg_get_expr(p.polqual, p.polrelid)"),
    ("check", "pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)"),
)

_SQL_FUNCTION = thing(
    "'function'",
    "itself",
    "p.oid::regprocedure::text",
    f"""FROM (SELECT DISTINCT d.objid FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::regclass
    AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = ANY ({_ALL})) d
  JOIN pg_catalog.pg_proc p ON p.oid = d.objid AND p.prosqlbody IS NOT NULL
  CROSS JOIN LATERAL (SELECT NULL::text AS relname) c CROSS JOIN LATERAL (SELECT 'public'::text AS nspname) n""",  # noqa: S608 - constants
    ("query", _FUNCTION_QUERY),
    alone=True,
)


def _publications(version: int) -> tuple[str, ...]:
    in_part = version >= 150000  # noqa: PLR2004 - lists of columns, filters of rows, whole schemas
    columns = when(
        "r.prattrs IS NOT NULL",
        "(SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attname)"
        " FROM pg_catalog.pg_attribute a WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[]))",
    )
    own = thing(
        "'publication'",
        "on",
        "p.pubname",
        f"""FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
  {_OF.format("r.prrelid")} WHERE r.prrelid = ANY ({_TABLES})""",
        ("columns", columns if in_part else "NULL::text"),
        ("rows", "pg_catalog.pg_get_expr(r.prqual, r.prrelid)" if in_part else "NULL::text"),
    )
    schemas = """ OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s
    WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace)"""
    whole = thing(
        "'publication'",
        "on",
        "p.pubname",
        f"""FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_class c ON c.oid = ANY ({_NAMED})
  AND c.relkind IN ('r', 'p') JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE p.puballtables{schemas if in_part else ""}""",
        ("columns", "NULL::text"),
    )
    return own, whole
