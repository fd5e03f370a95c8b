"""A trial: statements that only read, run before anything is begun to hear what PostgreSQL says against them."""

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg import errors

from orchestrator.engine import locks
from orchestrator.engine.connection import Connection, is_lost
from orchestrator.sql.steps import Statement

_UNDECIDED = (errors.QueryCanceled, errors.LockNotAvailable, errors.ReadOnlySqlTransaction)
"""What says nothing of the statement: it took too long, waited, or calls what writes, nextval() say."""


@dataclass(frozen=True, kw_only=True)
class Objection:
    """What PostgreSQL says against a statement.

    Attributes:
        error: as it came.
        at: the statement from the place on that PostgreSQL points at; empty where it points at none.
    """

    error: psycopg.Error
    at: str


def objection(
    connection: Connection, statements: Iterable[Statement], *, seconds: float, undone: bool = False
) -> Objection | None:
    """Run statements in a transaction that may only read; return what PostgreSQL says against the first it refuses.

    Args:
        connection: a session with the branch.
        statements: what is tried.
        seconds: the longest look; what takes longer is not known to be wrong.
        undone: whether they may write, and it is undone.

    Raises:
        psycopg.Error: the session is lost.
    """
    text, statements = "", tuple(statements)
    try:
        with locks.looking(connection, seconds=seconds, undone=undone):
            for statement in statements:
                text = statement.as_string(connection)
                connection.execute(statement)
    except _UNDECIDED:
        return None
    except psycopg.Error as error:
        if is_lost(error):
            raise
        if isinstance(error, errors.RaiseException) and not undone:
            # A function says so, perhaps only because it may not write here; then it does not where it may.
            return objection(connection, statements, seconds=seconds, undone=True)
        position = error.diag.statement_position
        return Objection(error=error, at=text[int(position) - 1 :] if position else "")
    return None
