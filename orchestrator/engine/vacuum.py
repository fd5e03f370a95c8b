"""VACUUM beside a sweep: where rows have to move, their old places are made room for the next ones."""

import threading
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from orchestrator.engine.connection import Connection, Link, cancel
from orchestrator.errors import EcmError
from orchestrator.sql.identifiers import TableName

_FIRST_AT = 0.3
"""The growth of the heap at which it is vacuumed; the next time at twice that, since each reads all that grew."""


class Vacuum:
    """Vacuums a heap in a session of its own when it has grown; a context manager.

    What it may not or cannot do now is left to autovacuum: it helps, and nothing depends on it. Index entries
    stay for later, because reading every index is the dearer part ("VACUUM", INDEX_CLEANUP).

    Args:
        link: opens the session.
        heap: the table.
        size: its bytes before the sweep.
    """

    def __init__(self, link: Link, heap: TableName, size: int) -> None:
        self._link = link.another(lambda _: None)
        self._heap, self._size, self._at = heap, size, _FIRST_AT
        self._thread: threading.Thread | None = None
        self.times = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._thread is not None and self._thread.is_alive():
            current = self._link.current
            if current is not None and not current.closed:
                cancel(current)
            self._thread.join(5)
        self._link.close()

    def look(self, connection: Connection) -> None:
        """Begin where the heap has grown enough and none is under way."""
        if self._thread is not None and self._thread.is_alive():
            return
        row = connection.execute(
            sql.SQL("SELECT pg_catalog.pg_relation_size({}::pg_catalog.regclass)").format(
                sql.Literal(self._heap.identifier.as_string(None))
            )
        ).fetchone()
        if row and row[0] > self._size * (1 + self._at):
            self._at *= 2
            self.times += 1
            self._thread = threading.Thread(target=self._run, name="ecm vacuum", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            self._link.connection.execute(
                sql.SQL("VACUUM (INDEX_CLEANUP OFF, TRUNCATE OFF, SKIP_LOCKED) {}").format(self._heap.identifier)
            )
        except (psycopg.Error, EcmError):
            return
