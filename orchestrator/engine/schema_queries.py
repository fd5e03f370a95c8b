"""The queries for a whole schema: what `snapshot_queries` asks of a plan's tables, widened to all there is.

Left out is what is not the application's: schema `ecm`, PostgreSQL's own schemas, temporary tables, and what belongs to
an extension, which is told as a whole with its version.
"""

from orchestrator.engine.snapshot_queries import TYPES, USED, thing, things, when
from orchestrator.plan.drift import UNREAD

_OURS = r"""n.nspname <> 'ecm' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%%'"""


def _not_of_an_extension(catalog: str, oid: str) -> str:
    return (
        f"NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.{catalog}'::regclass"
        f" AND e.objid = {oid} AND e.deptype = 'e')"
    )


ALL_RELATIONS = f"""
SELECT c.oid::bigint AS oid,
  CASE WHEN c.relkind IN ('v', 'm') THEN 'view' WHEN c.relispartition THEN 'part' ELSE 'named' END AS role
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_OURS} AND {_not_of_an_extension("pg_class", "c.oid")} ORDER BY 1
"""  # noqa: S608 - constants

_NO_TABLE = "CROSS JOIN LATERAL (SELECT NULL::text AS relname) c"

_EVERY_TYPE = f"""FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace {_NO_TABLE}
  WHERE {_OURS} AND {_not_of_an_extension("pg_type", "t.oid")}
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_class r WHERE r.oid = t.typrelid AND r.relkind <> 'c')"""

_SCHEMA = thing(
    "'schema'",
    "itself",
    "pg_catalog.quote_ident(n.nspname)",
    f"FROM pg_catalog.pg_namespace n {_NO_TABLE} WHERE {_OURS} AND {_not_of_an_extension('pg_namespace', 'n.oid')}",
    ("kept", "NULL::text"),
    alone=True,
)

_EXTENSION = thing(
    "'extension'",
    "itself",
    "pg_catalog.quote_ident(x.extname)",
    f"FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace {_NO_TABLE}",
    ("version", "x.extversion"),
    ("schema", "n.nspname"),
    alone=True,
)

# What is drawn from a column's own sequence is told with the column.
_SEQUENCE = thing(
    "'sequence'",
    "",
    "q.relname",
    f"""FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class q ON q.oid = s.seqrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = q.relnamespace {_NO_TABLE}
  WHERE {_OURS} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass
    AND e.objid = q.oid AND e.deptype IN ('a', 'e', 'i'))""",
    ("type", "pg_catalog.format_type(s.seqtypid, NULL)"),
    ("increment", "nullif(s.seqincrement, 1)::text"),
    ("minimum", "nullif(s.seqmin, 1)::text"),
    ("maximum", "s.seqmax::text"),
    ("start", "nullif(s.seqstart, 1)::text"),
    ("cache", "nullif(s.seqcache, 1)::text"),
    ("cycle", when("s.seqcycle")),
    alone=True,
)

# Of a function with a body of SQL PostgreSQL prints the body itself, and as its version does; others are as written.
_FUNCTION = thing(
    "CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END",
    "itself",
    "p.oid::regprocedure::text",
    f"""FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace {_NO_TABLE}
  WHERE {_OURS} AND {_not_of_an_extension("pg_proc", "p.oid")}""",
    ("returns", "pg_catalog.pg_get_function_result(p.oid)"),
    ("query", when("p.prosqlbody IS NOT NULL", "pg_catalog.pg_get_functiondef(p.oid)")),
    ("function", when("p.prosqlbody IS NULL AND p.prokind <> 'a'", "pg_catalog.pg_get_functiondef(p.oid)")),
    alone=True,
)


def everything(version: int, *, queries: bool = True) -> str:
    """Return the query for everything in a database; its parameters are those of `snapshot_queries.things`.

    Args:
        version: the server's, as libpq numbers it.
        queries: whether to print queries, which takes locks.
    """
    whole = (*(each.replace(USED, _EVERY_TYPE) for each in TYPES), _SCHEMA, _EXTENSION, _SEQUENCE, _FUNCTION)
    told = " UNION ALL ".join(whole)
    if not queries:
        told = told.replace("pg_catalog.pg_get_functiondef(p.oid)", f"'{UNREAD}'::text")
    return f"{things(version, queries=queries)} UNION ALL {told}"
