"""Sessions that write at the same time, as an application's would."""

import threading
from collections.abc import Callable, Iterable
from typing import Any, Self

import psycopg

_PAUSE = 0.002
"""Seconds between two transactions of one of them; with none, they would take the processors from whom they test."""


class Writers:
    """Threads, each with a session of its own, that run transactions until they are stopped.

    Attributes:
        failures: every error that an application would have seen.
        written: how many transactions were committed.
    """

    def __init__(self, url: str, works: Iterable[Callable[[psycopg.Connection[Any]], None]]) -> None:
        self.failures: list[Exception] = []
        self.written = 0
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(url, work), daemon=True) for work in works]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def until(self, written: int) -> None:
        """Wait until so many transactions were committed in all, or one has failed; however slow the machine is."""
        while self.written < written and not self.failures:
            self._over.wait(0.05)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, url: str, work: Callable[[psycopg.Connection[Any]], None]) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not self._over.is_set():
                try:
                    with connection.transaction():
                        work(connection)
                    with self._guard:
                        self.written += 1
                    self._over.wait(_PAUSE)
                except psycopg.Error as error:
                    self.failures.append(error)
