"""What contract will ask of PostgreSQL, asked of an empty temporary copy of the table, which is undone.

A condition may be one that a query takes and a constraint does not, a subquery say; a foreign key needs a unique
constraint on the other side, of a type that compares. The copy has the table's own name: so what is written with it is
understood, and an error reads as it will.
"""

from collections.abc import Iterable
from dataclasses import replace

from psycopg import sql

from orchestrator.operations import trying
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.steps import Statement
from orchestrator.sql.value import Value


def copied(facts: Table) -> Table:
    """Return the facts of a table's copy."""
    return replace(facts, name=_temporary(facts.name))


def copy(facts: Table, made: Iterable[Value] = ()) -> tuple[Statement, ...]:
    """Return what makes the copy of a table, with new columns."""
    return (
        _made(facts.name),
        *(
            sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                copied(facts).name.identifier, value.name, verbatim(value.type)
            )
            for value in made
        ),
    )


def assigned(facts: Table, made: Iterable[Value], *, without: Iterable[str]) -> tuple[Statement, ...]:
    """Return what has PostgreSQL parse how new columns of the copy get their values."""
    return trying.understood(copied(facts), made, without=without)


def check(facts: Table, condition: str) -> Statement:
    """Return what puts a check on the copy."""
    return sql.SQL("ALTER TABLE {} ADD CHECK ({})").format(copied(facts).name.identifier, verbatim(condition))


def foreign_key(
    facts: Table, columns: Iterable[str], other: TableName, columns_of_it: sql.Composable
) -> tuple[Statement, ...]:
    """Return what has the copy point to a copy of another table, with that one's unique indexes.

    A temporary table may point to temporary ones only. Two tables of one name cannot both be copied.
    """
    if other != facts.name and other.name == facts.name.name:
        return ()
    pointing = sql.SQL("ALTER TABLE {} ADD FOREIGN KEY ({}) REFERENCES {}{}").format(
        copied(facts).name.identifier,
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        _temporary(other).identifier,
        columns_of_it,
    )
    return (pointing,) if other == facts.name else (_made(other), pointing)


def _temporary(table: TableName) -> TableName:
    return TableName("pg_temp", table.name)


def _made(table: TableName) -> sql.Composed:
    return sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {} INCLUDING INDEXES)").format(
        sql.Identifier(table.name), table.identifier
    )
