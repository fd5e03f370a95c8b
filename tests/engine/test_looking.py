"""A look that runs out of time leaves nothing behind, whatever of it runs out of time."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg.pq import TransactionStatus

from orchestrator.engine import locks


def test_a_rollback_that_runs_out_of_time(
    database: str, connect: Callable[..., psycopg.Connection[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that is busy: PostgreSQL cancels ROLLBACK too, and psycopg passes over it."""
    connection = connect(database)
    undone = list[int]()

    def cancelled(transaction: psycopg.Transaction) -> Iterator[bytes]:
        undone.append(id(transaction))
        yield b"SELECT of a transaction that is aborted"

    monkeypatch.setattr(psycopg.Transaction, "_get_rollback_commands", cancelled)
    with pytest.raises(errors.QueryCanceled), locks.looking(connection, seconds=0.05):
        connection.execute("SELECT pg_sleep(5)")
    assert undone
    assert connection.info.transaction_status is TransactionStatus.IDLE
    assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
