"""The statement of an emitted migration: nothing where ecm did its part, all of it on empty tables, an error else.

A migration tool runs what it finds in its folder, and knows nothing of what ecm did in a database. So the statement
asks the database itself: its journal, where there is one, and its tables. Pure.
"""

from collections.abc import Sequence

from psycopg import sql

from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.steps import Statement

_TAG = "ecm"

_ANYWHERE = sql.SQL(
    """    occupied := EXISTS (
      SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'ecm')
        AND (c.reltuples > 0 OR c.reltuples < 0 AND pg_catalog.pg_relation_size(c.oid) > 65536)
    );
"""
)
"""Where a statement names no table: whether the database is known to have rows at all.

A table that was never analyzed tells by its size. What a tool notes of itself, and what migrations write into a fresh
database, is smaller.
"""

_LOOK = sql.SQL(
    """    FOREACH named IN ARRAY ARRAY[{tables}] LOOP
      CONTINUE WHEN occupied;
      EXECUTE 'SELECT EXISTS (SELECT FROM ' || named || ')' INTO occupied;
      -- Rows that row security or an older snapshot hides from this role take room all the same.
      occupied := occupied OR (
        pg_catalog.row_security_active(named)
        OR pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', 'serializable')
      ) AND EXISTS (
        WITH RECURSIVE t (id) AS (
          SELECT pg_catalog.to_regclass(named)::oid
          UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN t ON t.id = i.inhparent
        )
        SELECT FROM t WHERE pg_catalog.pg_relation_size(t.id) > 0
      );
    END LOOP;
"""
)

_LOCK = sql.SQL(
    """    EXIT WHEN look = 2;
    -- The second look is under the locks; the first keeps a table in use from being locked at all.
    FOREACH named IN ARRAY ARRAY[{tables}] LOOP
      IF EXISTS (
        SELECT FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass(named) AND relkind IN ('r', 'p', 'v')
      ) THEN
        EXECUTE 'LOCK TABLE ' || named || ' IN ACCESS EXCLUSIVE MODE';
      END IF;
    END LOOP;
"""
)


def guarded(
    statements: Sequence[Statement],
    *,
    plan: str,
    states: Sequence[str],
    tables: Sequence[TableName],
    anywhere: bool = False,
    begun: str,
    refusal: str,
    remedy: str,
) -> str:
    """Return one statement (DO) that runs others where nobody has anything to lose by it.

    Args:
        statements: what is run, on tables without a row.
        plan: its name.
        states: those in which ecm has done it, as the journal has them.
        tables: all that have to be empty, and are locked until it is done.
        anywhere: whether what the statements touch is more than these, so that no table may be known to have rows.
        begun: what it says where ecm is under way.
        refusal: what it says where tables are not empty.
        remedy: what to run instead.
    """
    names = sql.SQL(", ").join(sql.Literal(each.identifier.as_string(None)) for each in tables)
    body = sql.SQL(
        """
DECLARE
  named text;
  occupied boolean := false;
BEGIN
  IF EXISTS (
    SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'ecm' AND c.relname = 'plans' AND NOT (
      pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT'))
  ) THEN
    RAISE EXCEPTION USING
      MESSAGE = {unread},
      HINT = pg_catalog.format(
        'GRANT USAGE ON SCHEMA ecm TO %I; GRANT SELECT ON ecm.plans TO %I', current_user, current_user);
  END IF;
  FOR look IN 1..2 LOOP
    IF pg_catalog.to_regclass('ecm.plans') IS NOT NULL THEN
      IF EXISTS (SELECT FROM ecm.plans WHERE plan = {plan} AND state IN ({states})) THEN
        RETURN;  -- ecm has done it here
      END IF;
      IF EXISTS (SELECT FROM ecm.plans WHERE plan = {plan} AND (state <> 'planned' OR phase IS NOT NULL)) THEN
        RAISE EXCEPTION USING
          MESSAGE = {begun},
          HINT = {remedy};
      END IF;
    END IF;
{look}    IF occupied THEN
      RAISE EXCEPTION USING
        MESSAGE = {refusal},
        HINT = {remedy};
    END IF;
{lock}  END LOOP;
{statements}END
"""
    ).format(
        plan=sql.Literal(plan),
        states=sql.SQL(", ").join(map(sql.Literal, states)),
        look=(_ANYWHERE if anywhere or not tables else sql.SQL(""))
        + (_LOOK.format(tables=names) if tables else sql.SQL("")),
        lock=_LOCK.format(tables=names) if tables else sql.SQL(""),
        begun=sql.Literal(begun),
        unread=sql.Literal(f"{plan}: this role may not read ecm.plans, which tells whether ecm has done it here"),
        refusal=sql.Literal(refusal),
        remedy=sql.Literal(remedy),
        statements=sql.SQL("").join(_run(each) for each in statements),
    )
    text = body.as_string(None)
    tag = _tag(text)
    return f"DO ${tag}${text}${tag}$"


def _run(statement: Statement) -> sql.Composed:
    """Return a statement as PL/pgSQL runs any, one that gives rows too."""
    text = statement.as_string(None)
    tag = _tag(text, "run")
    return sql.SQL("  EXECUTE {};\n").format(verbatim(f"${tag}${text}${tag}$"))


def _tag(text: str, name: str = _TAG) -> str:
    """Return a tag for dollar quotes that the text does not have ("Dollar-Quoted String Constants", manual 4.1.2.4)."""
    tag, number = name, 0
    while f"${tag}$" in text:
        number += 1
        tag = f"{name}{number}"
    return tag
