"""Expressions of a plan's author: tried before anything is touched, and no reason for a write to fail afterwards."""

from collections.abc import Iterable
from dataclasses import replace

from psycopg import sql

from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import bounded, verbatim, words
from orchestrator.sql.steps import Statement, Transaction
from orchestrator.sql.value import Value

ROWS = 10_000
"""On how many rows expressions are tried."""


def first(
    facts: Table,
    values: Iterable[Value],
    *,
    kept: bool = False,
    back: Iterable[Value] = (),
    gone: Iterable[str] = (),
    check: str | None = None,
    written: bool = True,
) -> Transaction:
    """Return the step that asks PostgreSQL what it makes of new columns' types and expressions.

    Args:
        facts: of the table that gets the columns.
        values: the columns.
        kept: whether they are there already, so that their types are what they are.
        back: columns that are there, with their expressions over the new ones; they are parsed.
        gone: columns that those expressions may not be made of.
        check: a condition over the row with the new columns; it is parsed.
        written: whether the expressions of `back` are the plan's own; a cast may fail, and has no value then.
    """
    values, back = tuple(values), tuple(back)
    names = " and ".join(value.column for value in values)
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in facts.columns if not column.generated)
    heap = facts.partitions[0] if facts.partitions else facts.name
    computed = [
        sql.SQL("pg_catalog.count({}::{})").format(value.computed, verbatim(value.type))
        for value in values
        if value.expression is not None
    ]
    tried = sql.SQL('SELECT {} FROM (SELECT {} FROM ONLY {} LIMIT {}) AS "row"').format(
        sql.SQL(", ").join(computed), columns, heap.identifier, sql.Literal(ROWS)
    )
    asked = [value.computed for value in back if value.expression is not None]
    asked += [] if check is None else [sql.SQL("({}) IS TRUE").format(verbatim(check))]
    every = [] if kept or not computed else [("using", _every(facts, computed))]
    backward = [
        sql.SQL("pg_catalog.count({}::{})").format(value.computed, verbatim(value.type))
        for value in back
        if value.expression is not None
    ]
    if backward and written:
        every.append(("reverse", _every(facts, backward, values)))
    return Transaction(
        key=f"try {names}",
        title=f"try {'the value' if kept else 'the type and the value'} of {names} on rows that are there",
        tables=(facts.name,),
        lock=None,
        statements=(
            *(_no_domain(value.type) for value in values if not kept),
            *((tried,) if computed else ()),
            *((_parsed(facts, values, asked, gone=gone),) if asked else ()),
        ),
        inverse=(),
        note="reads only",
        thorough=tuple(every),
    )


def _every(facts: Table, asked: Iterable[sql.Composed], made: Iterable[Value] = ()) -> sql.Composed:
    """Return what evaluates expressions over every row as it is, or as it is with new columns computed."""
    rows = facts.name.identifier
    if made := tuple(made):
        rows = sql.SQL("({})").format(with_computed(facts, made, sql.SQL(" FROM {}").format(rows)))
    return sql.SQL('SELECT {} FROM {} AS "row"').format(sql.SQL(", ").join(asked), rows)


def with_computed(facts: Table, made: Iterable[Value], of: sql.Composable | None = None) -> sql.Composed:
    """Return the SELECT of a row with new columns computed; of the row that it is said within, where `of` says none."""
    new = {value.column: value for value in made}
    return sql.SQL("SELECT {}{}").format(
        sql.SQL(", ").join(
            (
                *(sql.Identifier(column.name) for column in facts.columns if column.name not in new),
                *(
                    sql.SQL("{}::{} AS {}").format(value.computed, verbatim(value.type), value.name)
                    for value in new.values()
                ),
            )
        ),
        sql.SQL("") if of is None else of,
    )


def _parsed(
    facts: Table, values: Iterable[Value], asked: Iterable[sql.Composed], *, gone: Iterable[str]
) -> sql.Composed:
    """Return what has PostgreSQL parse expressions over a row that has new columns already, in their old place."""
    new = {value.column: value for value in values}
    hidden = {*gone, *new}
    there = (column.name for column in facts.columns if not column.generated and column.name not in hidden)
    row = (
        *map(sql.Identifier, there),
        *(sql.SQL("NULL::{} AS {}").format(verbatim(value.type), value.name) for value in new.values()),
    )
    return sql.SQL('EXPLAIN SELECT {} FROM (SELECT {} FROM ONLY {}) AS "row"').format(
        sql.SQL(", ").join(asked), sql.SQL(", ").join(row), facts.name.identifier
    )


def understood(facts: Table, values: Iterable[Value], *, without: Iterable[str]) -> tuple[Statement, ...]:
    """Return what has PostgreSQL parse expressions as the trigger and the sweep will use them.

    A trigger's body is first read when it first fires. A BEFORE trigger knows no generated column.

    Args:
        facts: of the table, before or after the new columns were added.
        values: columns with their expressions.
        without: columns that the expressions may not be made of.
    """
    hidden, table = set(without), facts.name.identifier
    readable = sql.SQL(", ").join(
        sql.Identifier(column.name) for column in facts.columns if not column.generated and column.name not in hidden
    )
    return tuple(
        check
        for value in values
        if value.expression is not None
        for check in (
            sql.SQL('EXPLAIN SELECT {} FROM (SELECT {} FROM ONLY {}) AS "row"').format(value.computed, readable, table),
            sql.SQL("EXPLAIN UPDATE ONLY {} SET {} = {}").format(table, value.name, value.computed),
        )
    )


def attempting(facts: Table, value: Value, *, without: Iterable[str]) -> Value:
    """Return a value whose expression may fail on what a writer wrote, and fails no write by that.

    Args:
        facts: of its table, with every column that the expression may be made of.
        value: the value.
        without: columns that it is not made of.
    """
    if value.expression is None:
        return value
    named, hidden = words(value.expression), frozenset(without)
    # In the catalog's order: a column that somebody adds later comes last, and moves no field of the function's row.
    scope = tuple(
        (column.name, column.name)
        for column in facts.columns
        if column.name in named and column.name not in hidden and not column.generated
    )
    return replace(value, attempt=bounded("attempt", facts.name.qualified, value.column), scope=scope)


def _no_domain(type_name: str) -> Statement:
    """Have PostgreSQL refuse what is no type, and a domain: with constraints, ADD COLUMN rewrites the table for one."""
    body = sql.SQL(
        "BEGIN IF (SELECT typtype FROM pg_catalog.pg_type WHERE oid = {}::pg_catalog.regtype) = 'd' THEN"
        " RAISE 'a column of a domain cannot be added without rewriting the table; take the type beneath it'"
        " USING ERRCODE = 'feature_not_supported'; END IF; END"
    ).format(sql.Literal(type_name))
    return sql.SQL("DO {}").format(sql.Literal(body.as_string(None)))
