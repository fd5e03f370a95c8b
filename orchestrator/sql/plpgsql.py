"""Pieces of the sync triggers' bodies, in PL/pgSQL: what a row is and was, and what is made of it."""

from collections.abc import Iterable

from psycopg import sql

from orchestrator.sql.identifiers import verbatim


def new(column: str) -> sql.Composed:
    """Return a column of the row as it is being written."""
    return sql.SQL("NEW.{}").format(sql.Identifier(column))


def old(column: str) -> sql.Composed:
    """Return a column of the row as it was."""
    return sql.SQL("OLD.{}").format(sql.Identifier(column))


def differ(left: sql.Composable, right: sql.Composable) -> sql.Composed:
    """Return a condition: two values are not the same, byte for byte (NULL is the same as NULL)."""
    return sql.SQL("pg_catalog.record_image_ne(ROW({}), ROW({}))").format(left, right)


def is_null(value: sql.Composable) -> sql.Composed:
    """Return a condition: a value is NULL, and not a composite one of NULLs."""
    return sql.SQL("{} IS NOT DISTINCT FROM NULL").format(value)


def is_not_null(value: sql.Composable) -> sql.Composed:
    """Return the opposite of `is_null`."""
    return sql.SQL("{} IS DISTINCT FROM NULL").format(value)


def all_null(values: Iterable[sql.Composable]) -> sql.Composed:
    """Return the condition that all values are NULL."""
    return all_of(map(is_null, values))


def changed(columns: Iterable[str]) -> sql.Composed:
    """Return a condition over OLD and NEW: one of the columns was changed."""
    return sql.SQL("({})").format(sql.SQL(" OR ").join(differ(new(column), old(column)) for column in columns))


def assign(column: str, other: str) -> sql.Composed:
    """Return the statement that gives a column the value of another."""
    return sql.SQL("{} := {};").format(new(column), new(other))


def given(value: sql.Composable, default: str | None, type_name: str) -> sql.Composed:
    """Return a condition: a value is not the one that a column has when it is left out."""
    if default is None:
        # PostgreSQL takes this as a plain test for NULL, of a composite value too.
        return sql.SQL("{} IS DISTINCT FROM NULL").format(value)
    return sql.SQL("pg_catalog.record_image_ne(ROW({}), ROW(({})::{}))").format(
        value, verbatim(default), verbatim(type_name)
    )


def all_of(conditions: Iterable[sql.Composed]) -> sql.Composed:
    """Return the condition that all hold."""
    return sql.SQL(" AND ").join(conditions)


def any_of(conditions: Iterable[sql.Composed]) -> sql.Composed:
    """Return the condition that at least one holds."""
    return sql.SQL(" OR ").join(conditions)


def over(row: str, expression: sql.Composed) -> sql.Composed:
    """Return an expression over the table's columns, taken of a row that the trigger has."""
    return sql.SQL('(SELECT {} FROM (SELECT {}.*) AS "row")').format(expression, verbatim(row))


def when(condition: sql.Composable, then: sql.Composable, otherwise: sql.Composable | None = None) -> sql.Composed:
    """Return an IF."""
    if otherwise is None:
        return sql.SQL("IF {} THEN\n{}\nEND IF;").format(condition, then)
    return sql.SQL("IF {} THEN\n{}\nELSE\n{}\nEND IF;").format(condition, then, otherwise)
