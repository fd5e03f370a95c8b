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
    """  occupied := EXISTS (
    SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.reltuples > 0
      AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  );
"""
)
"""Where the statements name no table: whether the database is known to have rows at all."""


def guarded(
    statements: Sequence[Statement],
    *,
    plan: str,
    states: Sequence[str],
    tables: Sequence[TableName],
    refusal: str,
    remedy: str,
) -> str:
    """Return one statement (DO) that runs others where nobody has anything to lose by it.

    Args:
        statements: what is run, on tables without a row.
        plan: its name.
        states: those in which ecm has done it, as the journal has them.
        tables: all that have to be empty, and are locked until it is done.
        refusal: what it says where they are not.
        remedy: what to run instead.
    """
    rows = sql.SQL(" OR ").join(sql.SQL("EXISTS (SELECT FROM {})").format(each.identifier) for each in tables)
    body = sql.SQL(
        """
DECLARE
  occupied boolean := false;
BEGIN
  IF to_regclass('ecm.plans') IS NOT NULL THEN
    IF EXISTS (SELECT FROM ecm.plans WHERE plan = {plan} AND state IN ({states})) THEN
      RETURN;  -- ecm has done it here
    END IF;
  END IF;
{look}  IF occupied THEN
    RAISE EXCEPTION USING
      MESSAGE = {refusal},
      HINT = {remedy};
  END IF;
{statements}END
"""
    ).format(
        plan=sql.Literal(plan),
        states=sql.SQL(", ").join(map(sql.Literal, states)),
        look=_look(rows, tables) if tables else _ANYWHERE,
        refusal=sql.Literal(refusal),
        remedy=sql.Literal(remedy),
        statements=sql.SQL("").join(_run(each) for each in statements),
    )
    text = body.as_string(None)
    tag = _tag(text)
    return f"DO ${tag}${text}${tag}$"


def _look(rows: sql.Composed, tables: Sequence[TableName]) -> sql.Composed:
    # The second look is under the lock; the first keeps a table in use from being locked at all.
    names = sql.SQL(", ").join(each.identifier for each in tables)
    return sql.SQL(
        """  occupied := {rows};
  IF NOT occupied THEN
    LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE;
    occupied := {rows};
  END IF;
"""
    ).format(rows=rows, tables=names)


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
