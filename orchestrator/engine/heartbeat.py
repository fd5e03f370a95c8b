"""Shows that the holder of a lease lives, from a session of its own, while the other one works."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import psycopg

from orchestrator.engine import leases
from orchestrator.engine.connection import Connection
from orchestrator.engine.leases import Lease
from orchestrator.errors import ConnectionFailedError

INTERVAL = 5.0
"""Seconds between two beats."""


@contextmanager
def heartbeat(opens: Callable[[], Connection], lease: Lease) -> Generator[None]:
    """Beat until the block ends. A branch that cannot be reached now is tried again at the next beat."""
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(opens, lease, over), name="ecm heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=INTERVAL)


def _beat(opens: Callable[[], Connection], lease: Lease, over: threading.Event) -> None:
    connection: Connection | None = None
    while not over.wait(INTERVAL):
        try:
            if connection is None or connection.closed:
                connection = opens()
            if not leases.beat(connection, lease):
                break  # someone else has it; the working session will find out in its next transaction
        except (psycopg.Error, ConnectionFailedError):
            connection = _closed(connection)
    _closed(connection)


def _closed(connection: Connection | None) -> None:
    if connection is not None:
        connection.close()
