"""What a database's schema is, as a value: every object by its name, with all that a person could have said about it.

Two schemas that an application and a person cannot tell apart have equal fingerprints. Left out is what
a migration may change without anyone noticing: oids, the position of columns, the order of grants,
statistics that were gathered, and schema `ecm` itself.

    before = fingerprint(connection)
    …
    assert fingerprint(connection) == before
"""

from typing import Any, LiteralString

import psycopg

Fingerprint = dict[str, str]
"""Object → its definition: `column public.books.title` → `text NOT NULL storage=x …`."""


def fingerprint(connection: psycopg.Connection[Any]) -> Fingerprint:
    """Read the fingerprint of the database's schema, in a transaction of its own or a savepoint of the caller's."""
    version = connection.info.server_version
    found: Fingerprint = {}
    with connection.transaction():
        # So that every name PostgreSQL prints is qualified.
        connection.execute("SET LOCAL search_path = ''")
        for kind, (since, query) in _QUERIES.items():
            if version < since:
                continue
            # Prepared, as a test asks often, and planning takes longer than looking.
            for name, definition in connection.execute(query, prepare=True).fetchall():
                key = f"{kind} {name}"
                assert key not in found, f"two objects are called {key}"
                found[key] = definition
        connection.execute("RESET search_path")
    return found


def ecm_objects(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the names of the relations and functions in schema ecm; none where the schema does not exist."""
    rows = connection.execute(
        "SELECT c.relkind::text || ' ' || c.relname FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'ecm'"
        " UNION ALL SELECT 'f ' || p.proname FROM pg_catalog.pg_proc p"
        " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'ecm' ORDER BY 1"
    ).fetchall()
    return [row[0] for row in rows]


_USER: LiteralString = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'ecm') AND n.nspname NOT LIKE 'pg\\_%'"
"""Schemas that are neither PostgreSQL's own nor ecm's."""


def _grants(acl: LiteralString) -> LiteralString:
    """Privileges in an order that does not depend on when they were granted."""
    return f"(SELECT coalesce(string_agg(g::text, ' ' ORDER BY g::text), '') FROM unnest({acl}) g)"


def _named(*pairs: LiteralString) -> LiteralString:
    """Join `label=value` pairs, leaving out what is null."""
    return "concat_ws(E'\\n  ', " + ", ".join(pairs) + ")"


def _said(label: LiteralString, value: LiteralString) -> LiteralString:
    return f"'{label}=' || ({value})::text"


_SCHEMAS: LiteralString = f"""
SELECT n.nspname, {
    _named(
        _said("owner", "n.nspowner::regrole"),
        _said("grants", _grants("n.nspacl")),
        _said("comment", "obj_description(n.oid, 'pg_namespace')"),
    )
}
FROM pg_namespace n WHERE {_USER}
"""

_RELATIONS: LiteralString = f"""
SELECT c.oid::regclass, {
    _named(
        _said("kind", "c.relkind"),
        _said("owner", "c.relowner::regrole"),
        _said("grants", _grants("c.relacl")),
        _said("persistence", "c.relpersistence"),
        _said("options", "c.reloptions"),
        _said("toast_options", "(SELECT t.reloptions FROM pg_class t WHERE t.oid = c.reltoastrelid)"),
        _said("access_method", "(SELECT amname FROM pg_am WHERE pg_am.oid = c.relam)"),
        _said("tablespace", "(SELECT spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace)"),
        _said("row_security", "c.relrowsecurity"),
        _said("forced", "c.relforcerowsecurity"),
        _said("replica_identity", "c.relreplident"),
        _said("of_type", "nullif(c.reloftype, 0)::regtype"),
        _said("populated", "c.relispopulated"),
        _said("partition_bound", "pg_get_expr(c.relpartbound, c.oid)"),
        _said("partition_key", "pg_get_partkeydef(c.oid)"),
        _said(
            "parents",
            "(SELECT string_agg(i.inhparent::regclass::text, ' ' ORDER BY i.inhseqno) "
            "FROM pg_inherits i WHERE i.inhrelid = c.oid)",
        ),
        _said("comment", "obj_description(c.oid, 'pg_class')"),
    )
}
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {_USER} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
"""

# Positions count for a composite type, whose values are written without names, and for nothing else.
_COLUMNS: LiteralString = f"""
SELECT format('%s.%I', c.oid::regclass, a.attname), {
    _named(
        "format_type(a.atttypid, a.atttypmod)",
        "CASE WHEN a.attnotnull THEN 'NOT NULL' END",
        _said("default", "pg_get_expr(d.adbin, d.adrelid)"),
        _said("identity", "nullif(a.attidentity, '')"),
        _said("generated", "nullif(a.attgenerated, '')"),
        _said("collation", "nullif(a.attcollation, 0)::regcollation"),
        _said("storage", "a.attstorage"),
        _said("compression", "nullif(a.attcompression, '')"),
        _said("statistics", "nullif(a.attstattarget, -1)"),
        _said("options", "a.attoptions"),
        _said("foreign_options", "a.attfdwoptions"),
        _said("grants", _grants("a.attacl")),
        _said("inherited", "nullif(a.attinhcount, 0)"),
        _said("position", "CASE WHEN c.relkind = 'c' THEN a.attnum END"),
        _said("comment", "col_description(c.oid, a.attnum)"),
    )
}
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE {_USER} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND a.attnum > 0 AND NOT a.attisdropped
"""

_VIEWS: LiteralString = f"""
SELECT c.oid::regclass, pg_get_viewdef(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_USER} AND c.relkind IN ('v', 'm')
"""

_INDEXES: LiteralString = f"""
SELECT x.oid::regclass, {
    _named(
        "pg_get_indexdef(x.oid)",
        _said("owner", "x.relowner::regrole"),
        _said("valid", "i.indisvalid"),
        _said("ready", "i.indisready"),
        _said("live", "i.indislive"),
        _said("replica_identity", "i.indisreplident"),
        _said("clustered", "i.indisclustered"),
        _said("primary", "i.indisprimary"),
        _said("immediate", "i.indimmediate"),
        _said(
            "statistics",
            "(SELECT string_agg(a.attnum || ':' || a.attstattarget, ' ' ORDER BY a.attnum) "
            "FROM pg_attribute a WHERE a.attrelid = x.oid AND a.attstattarget >= 0)",
        ),
        _said(
            "parents",
            "(SELECT string_agg(h.inhparent::regclass::text, ' ') FROM pg_inherits h WHERE h.inhrelid = x.oid)",
        ),
        _said("comment", "obj_description(x.oid, 'pg_class')"),
    )
}
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace WHERE {_USER}
"""

# A partition's own primary key makes its NOT NULL, which it has from the table, its own as well; it cannot go either way.
_OWN: LiteralString = (
    "CASE WHEN k.contype <> 'n' OR NOT (SELECT c.relispartition FROM pg_class c WHERE c.oid = k.conrelid)"
    " THEN k.conislocal END"
)
# NO INHERIT means something for checks and NOT NULL alone; of other kinds it tells whether a partition's constraint was
# there before that of the whole table, which nothing else does.
_CONSTRAINTS: LiteralString = f"""
SELECT format('%s %I', coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text), k.conname), {
    _named(
        "pg_get_constraintdef(k.oid)",
        _said("kind", "k.contype"),
        _said("validated", "k.convalidated"),
        _said("deferrable", "k.condeferrable"),
        _said("deferred", "k.condeferred"),
        _said("local", _OWN),
        _said("no_inherit", "CASE WHEN k.contype IN ('c', 'n') THEN k.connoinherit END"),
        _said("index", "nullif(k.conindid, 0)::regclass"),
        _said(
            "enforced_by",
            "(SELECT string_agg(concat(t.tgrelid::regclass, ' ', t.tgfoid::regproc, ' ', t.tgenabled), ', ' "
            "ORDER BY t.tgrelid::regclass::text, t.tgfoid::regproc::text) FROM pg_trigger t "
            "WHERE t.tgconstraint = k.oid AND t.tgisinternal)",
        ),
        _said("comment", "obj_description(k.oid, 'pg_constraint')"),
    )
}
FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE {_USER}
"""

_TRIGGERS: LiteralString = f"""
SELECT format('%s %I', t.tgrelid::regclass, t.tgname), {
    _named(
        "pg_get_triggerdef(t.oid)",
        _said("enabled", "t.tgenabled"),
        _said(
            "extensions",
            "(SELECT string_agg(e.extname, ' ' ORDER BY e.extname) FROM pg_depend d "
            "JOIN pg_extension e ON d.refclassid = 'pg_catalog.pg_extension'::regclass AND e.oid = d.refobjid "
            "WHERE d.classid = 'pg_catalog.pg_trigger'::regclass AND d.objid = t.oid)",
        ),
        _said("comment", "obj_description(t.oid, 'pg_trigger')"),
    )
}
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {_USER} AND NOT t.tgisinternal
"""

_RULES: LiteralString = f"""
SELECT format('%s %I', r.ev_class::regclass, r.rulename), {
    _named(
        "pg_get_ruledef(r.oid)",
        _said("enabled", "r.ev_enabled"),
        _said("comment", "obj_description(r.oid, 'pg_rewrite')"),
    )
}
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {_USER} AND r.rulename <> '_RETURN'
"""

_POLICIES: LiteralString = f"""
SELECT format('%s %I', p.polrelid::regclass, p.polname), {
    _named(
        _said("command", "p.polcmd"),
        _said("permissive", "p.polpermissive"),
        _said(
            "roles",
            "(SELECT string_agg(CASE WHEN r = 0 THEN 'public' ELSE r::regrole::text END, ' ' ORDER BY r) "
            "FROM unnest(p.polroles) r)",
        ),
        _said("using", "pg_get_expr(p.polqual, p.polrelid)"),
        _said("check", "pg_get_expr(p.polwithcheck, p.polrelid)"),
        _said("comment", "obj_description(p.oid, 'pg_policy')"),
    )
}
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_USER}
"""

_FUNCTIONS: LiteralString = f"""
SELECT p.oid::regprocedure, {
    _named(
        "CASE WHEN p.prokind = 'a' THEN 'aggregate' ELSE pg_get_functiondef(p.oid) END",
        _said("owner", "p.proowner::regrole"),
        _said("grants", _grants("p.proacl")),
        _said("comment", "obj_description(p.oid, 'pg_proc')"),
    )
}
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_USER}
"""

_TYPES: LiteralString = f"""
SELECT t.oid::regtype, {
    _named(
        _said("kind", "t.typtype"),
        _said("owner", "t.typowner::regrole"),
        _said("grants", _grants("t.typacl")),
        _said("base", "format_type(nullif(t.typbasetype, 0), t.typtypmod)"),
        _said("not_null", "t.typnotnull"),
        _said("default", "t.typdefault"),
        _said("collation", "nullif(t.typcollation, 0)::regcollation"),
        _said(
            "labels",
            "(SELECT string_agg(quote_literal(e.enumlabel), ' ' ORDER BY e.enumsortorder) "
            "FROM pg_enum e WHERE e.enumtypid = t.oid)",
        ),
        _said("range_of", "(SELECT r.rngsubtype::regtype FROM pg_range r WHERE r.rngtypid = t.oid)"),
        _said("comment", "obj_description(t.oid, 'pg_type')"),
    )
}
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE {_USER} AND t.typtype IN ('d', 'e', 'r', 'm', 'b') AND t.typelem = 0
"""

_SEQUENCES: LiteralString = f"""
SELECT c.oid::regclass, {
    _named(
        "format('%s %s %s %s %s %s %s', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, "
        "s.seqcache, s.seqcycle)",
        _said("owner", "c.relowner::regrole"),
        _said("grants", _grants("c.relacl")),
        _said("persistence", "c.relpersistence"),
        _said(
            "owned_by",
            "(SELECT format('%s.%I %s', d.refobjid::regclass, a.attname, d.deptype) FROM pg_depend d "
            "JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
            "WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i'))",
        ),
        _said("comment", "obj_description(c.oid, 'pg_class')"),
    )
}
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_USER}
"""

_STATISTICS: LiteralString = f"""
SELECT format('%I.%I', n.nspname, s.stxname), {
    _named(
        "pg_get_statisticsobjdef(s.oid)",
        _said("owner", "s.stxowner::regrole"),
        _said("target", "nullif(s.stxstattarget, -1)"),
        _said("comment", "obj_description(s.oid, 'pg_statistic_ext')"),
    )
}
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {_USER}
"""

_COLLATIONS: LiteralString = f"""
SELECT format('%I.%I', n.nspname, l.collname), {
    _named(
        _said("provider", "l.collprovider"),
        _said("deterministic", "l.collisdeterministic"),
        _said("owner", "l.collowner::regrole"),
        _said("comment", "obj_description(l.oid, 'pg_collation')"),
    )
}
FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace WHERE {_USER}
"""

_OPERATORS: LiteralString = f"""
SELECT o.oid::regoperator, {
    _named(
        "o.oprcode::regprocedure::text",
        _said("owner", "o.oprowner::regrole"),
        _said("merges", "o.oprcanmerge"),
        _said("hashes", "o.oprcanhash"),
        _said("comment", "obj_description(o.oid, 'pg_operator')"),
    )
}
FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE {_USER}
"""

_PUBLICATIONS: LiteralString = f"""
SELECT p.pubname, {
    _named(
        _said("owner", "p.pubowner::regrole"),
        _said("all_tables", "p.puballtables"),
        "format('sends %s %s %s %s', p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate)",
        _said("through_root", "p.pubviaroot"),
        _said("comment", "obj_description(p.oid, 'pg_publication')"),
    )
}
FROM pg_publication p
"""

_PUBLISHED: LiteralString = """
SELECT format('%I %s', p.pubname, r.prrelid::regclass), 'whole rows'
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
"""

_PUBLISHED_IN_PART: LiteralString = f"""
SELECT format('%I %s', p.pubname, r.prrelid::regclass), {
    _named(
        "'in part'",
        _said(
            "columns",
            "(SELECT string_agg(quote_ident(a.attname), ' ' ORDER BY a.attname) FROM pg_attribute a "
            "WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[]))",
        ),
        _said("rows", "pg_get_expr(r.prqual, r.prrelid)"),
    )
}
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
"""

_PUBLISHED_SCHEMAS: LiteralString = """
SELECT format('%I %I', p.pubname, n.nspname), 'tables in schema'
FROM pg_publication_namespace s JOIN pg_publication p ON p.oid = s.pnpubid JOIN pg_namespace n ON n.oid = s.pnnspid
"""

_DEFAULT_GRANTS: LiteralString = f"""
SELECT format('%s %s %s', d.defaclrole::regrole, d.defaclobjtype, nullif(d.defaclnamespace, 0)::regnamespace),
  {_grants("d.defaclacl")}
FROM pg_default_acl d
"""

_EVENT_TRIGGERS: LiteralString = f"""
SELECT e.evtname, {
    _named(
        _said("event", "e.evtevent"),
        _said("function", "e.evtfoid::regprocedure"),
        _said("enabled", "e.evtenabled"),
        _said("tags", "e.evttags"),
        _said("owner", "e.evtowner::regrole"),
    )
}
FROM pg_event_trigger e
"""

_EXTENSIONS: LiteralString = """
SELECT e.extname, format('%s in %s', e.extversion, e.extnamespace::regnamespace) FROM pg_extension e
"""

_QUERIES: dict[str, tuple[int, LiteralString]] = {
    "schema": (0, _SCHEMAS),
    "relation": (0, _RELATIONS),
    "column": (0, _COLUMNS),
    "view": (0, _VIEWS),
    "index": (0, _INDEXES),
    "constraint": (0, _CONSTRAINTS),
    "trigger": (0, _TRIGGERS),
    "rule": (0, _RULES),
    "policy": (0, _POLICIES),
    "function": (0, _FUNCTIONS),
    "type": (0, _TYPES),
    "sequence": (0, _SEQUENCES),
    "statistics": (0, _STATISTICS),
    "collation": (0, _COLLATIONS),
    "operator": (0, _OPERATORS),
    "publication": (0, _PUBLICATIONS),
    "published table": (0, _PUBLISHED),
    "published part": (150000, _PUBLISHED_IN_PART),
    "published schema": (150000, _PUBLISHED_SCHEMAS),
    "default grants": (0, _DEFAULT_GRANTS),
    "event trigger": (0, _EVENT_TRIGGERS),
    "extension": (0, _EXTENSIONS),
}
"""Kind of object → the version it came with, and a query for (name, definition)."""
