"""Rows on which an expression fails, by their keys: PostgreSQL says of a scan that it failed, and not on which row.

The rows are gone through in the order of their primary key, some at a time; where those fail, they are halved until
one is left. That takes its time, and is for a copy that nobody else uses.
"""

from collections.abc import Iterator, Sequence
from time import monotonic

import psycopg
from psycopg import errors, sql

from orchestrator.engine import locks
from orchestrator.engine.connection import Connection, is_lost
from orchestrator.sql.facts import Table
from orchestrator.sql.steps import Statement

ROWS = 5
"""Rows that are named."""
_AT_A_TIME = 2000
_LONGEST = 60.0
"""Seconds that one look may take."""
_SHOWN = 40
"""Characters of a value that are shown."""

_Keys = Sequence[tuple[str, ...]]


def rows(connection: Connection, table: Table, statement: Statement, *, seconds: float) -> tuple[str, ...]:
    """Return the first rows on which a look fails, a line each: their keys.

    Args:
        connection: a session with the branch.
        table: its facts; one without a primary key has no row that could be named.
        statement: `SELECT … FROM … AS "row"`, without anything after it.
        seconds: the longest that is looked.
    """
    until = monotonic() + seconds
    found: list[str] = []
    for keys in _ranges(connection, table) if table.key else ():
        for key in _failing(connection, table, statement, keys):
            found.append("  ".join(f"{name}={value[:_SHOWN]}" for name, value in zip(table.key, key, strict=True)))
            if len(found) == ROWS:
                return tuple(found)
        if monotonic() > until:
            break
    return tuple(found)


def _ranges(connection: Connection, table: Table) -> Iterator[_Keys]:
    """Give the keys of all rows, in their order, some at a time."""
    # Of the row: a name alone in ORDER BY would be that of the text in the output ("SELECT", ORDER BY Clause).
    columns = tuple(sql.Identifier("row", name) for name in table.key)
    names = sql.SQL(", ").join(columns)
    texts = sql.SQL(", ").join(sql.SQL("{}::pg_catalog.text").format(column) for column in columns)
    last: tuple[str, ...] | None = None
    while True:
        after = sql.SQL("WHERE ({}) > ({})").format(names, _values(last)) if last is not None else sql.SQL("")
        query = sql.SQL('SELECT {} FROM {} AS "row" {} ORDER BY {} LIMIT {}').format(
            texts, table.name.identifier, after, names, sql.Literal(_AT_A_TIME)
        )
        keys = [tuple(map(str, row)) for row in connection.execute(query).fetchall()]
        if not keys:
            return
        yield keys
        last = keys[-1]


def _failing(connection: Connection, table: Table, statement: Statement, keys: _Keys) -> Iterator[tuple[str, ...]]:
    """Give the keys among these whose row fails."""
    if not _fails(connection, table, statement, keys[0], keys[-1]):
        return
    if len(keys) == 1:
        yield keys[0]
        return
    half = len(keys) // 2
    yield from _failing(connection, table, statement, keys[:half])
    yield from _failing(connection, table, statement, keys[half:])


def _fails(
    connection: Connection, table: Table, statement: Statement, first: tuple[str, ...], last: tuple[str, ...]
) -> bool:
    names = sql.SQL(", ").join(sql.Identifier("row", name) for name in table.key)
    within = sql.SQL("{} WHERE ({names}) >= ({}) AND ({names}) <= ({})").format(
        statement, _values(first), _values(last), names=names
    )
    try:
        with locks.looking(connection, seconds=_LONGEST):
            connection.execute(within)
    except errors.DataError:
        return True
    except psycopg.Error as error:
        if is_lost(error):
            raise
    return False


def _values(key: Sequence[str] | None) -> sql.Composed:
    # Without types of their own they are taken for the key's ("Row-wise Comparison", manual 9.25.5).
    return sql.SQL(", ").join(map(sql.Literal, key or ()))
