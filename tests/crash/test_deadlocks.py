"""ecm never makes the application a deadlock's victim, whatever the order in which the application locks its rows."""

import random
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import psycopg

from crash.harness import NEW, OLD, STATES, Project, fill, position

CHANGES = f"""  - {{kind: rename_column, table: books, column: {OLD}, to: {NEW}}}
  - {{kind: rename_column, table: authors, column: name, to: full_name}}
"""


class Session:
    """A session of the application that writes rows of both tables in transactions that last a while.

    Each locks its rows in one order, ascending within a table, so that the application cannot lock itself out. Those of
    `tables` come one after the other in a different order in each session; their rows are then its own.
    """

    def __init__(
        self, url: str, number: int, tables: tuple[str, ...], rows: Callable[[random.Random], list[int]]
    ) -> None:
        self.error: BaseException | None = None
        self.transactions = 0
        self._tables, self._rows, self._random = tables, rows, random.Random(number)
        self._connection = psycopg.connect(url, application_name=f"app {number}")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                with self._connection.transaction():
                    for table in self._tables:
                        for key in self._rows(self._random):
                            self._connection.execute(f"UPDATE {table} SET note = %s WHERE id = %s", ["n", key])
                        self._over.wait(self._random.choice([0, 0.01, 0.05, 0.2]))  # it thinks while it holds its rows
                self.transactions += 1
                self._over.wait(self._random.uniform(0, 0.3))
        except BaseException as error:  # noqa: BLE001 - told at the end
            self.error = error
        finally:
            self._connection.close()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)
        if self.error is not None:
            raise AssertionError(f"the application met an error: {self.error!r}") from self.error
        assert self.transactions


@contextmanager
def busy(url: str, *sessions: tuple[tuple[str, ...], Callable[[random.Random], list[int]]]) -> Generator[None]:
    running = [Session(url, number, *what) for number, what in enumerate(sessions)]
    until = time.monotonic() + 30
    while not all(each.transactions for each in running):
        assert time.monotonic() < until
        assert not any(each.error for each in running)
        time.sleep(0.01)
    try:
        yield
    finally:
        for each in running:
            each._over.set()
    for each in running:
        each.stop()


def deadlocks(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
        return row[0] if row else -1


def finish(ecm: Project, url: str) -> None:
    """Take the plan through its cycle; a lock that is not to be had is asked for again."""
    for state in STATES[1:]:
        for _ in range(10):
            outcome = ecm.run("advance", to=state, longest_sleep=2)
            assert outcome.code in (0, 5), str(outcome)
            if outcome.code == 0:
                break
        assert position(url) == (state, None, None), str(outcome)


def several(count: int, stop: int) -> Callable[[random.Random], list[int]]:
    return lambda dice: sorted(dice.sample(range(1, stop), count))


def test_the_application_is_no_victim_on_one_table(database: str, project: Callable[..., Project]) -> None:
    """With transactions that hold many rows across the whole cycle, no session of the application is ended."""
    fill(database, 200)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE books ADD COLUMN note text")
    ecm = project({"backfill": "batch_time: 50ms"}, development=database)
    with busy(database, *[(("books",), several(8, 200))] * 4):
        finish(ecm, database)
    assert deadlocks(database) == 0


def test_the_application_is_no_victim_on_two_tables(database: str, project: Callable[..., Project]) -> None:
    """With a plan on two tables, and sessions that write them in opposite orders, no session is ended."""
    fill(database, 100)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE books ADD COLUMN note text")
        connection.execute("CREATE TABLE authors (id integer PRIMARY KEY, name text, note text)")
        connection.execute("INSERT INTO authors SELECT n, 'author ' || n FROM generate_series(1, 100) n")
    ecm = project(changes=CHANGES, development=database)

    def rows(first: int) -> Callable[[random.Random], list[int]]:
        return lambda dice: dice.sample(range(first, first + 20), 3)

    sessions: list[tuple[tuple[str, ...], Any]] = [
        (("books", "authors"), rows(1)),
        (("authors", "books"), rows(21)),
    ]
    with busy(database, *sessions):
        finish(ecm, database)
    assert deadlocks(database) == 0
