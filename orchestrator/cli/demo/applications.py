"""The two versions of the bookstore's application, at work while its schema changes under them.

One knows only the column's old name, the other only the new one. They write to the same books, and
keep a mirror of what they wrote. What one wrote under its name, the other reads under its own.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from orchestrator.cli.demo.bookstore import NEW, OLD, Book, book

_PACE = 1 / 80
"""Seconds between the beginnings of two writes."""

_FEW = 10
"""With fewer books than that, nothing is done but to insert some more."""

Connection = psycopg.Connection[Any]


class Mirror:
    """What the books must look like after everything that was written: id → book.

    Whoever writes to a book borrows it from here first, so that no two do at once and the last
    write is known.
    """

    def __init__(self, books: Mapping[int, Book]) -> None:
        self._books = dict(books)
        self._ids = list(books)
        self._lent: set[int] = set()
        self._lock = threading.Lock()

    @property
    def books(self) -> Mapping[int, Book]:
        """What is in it now."""
        with self._lock:
            return dict(self._books)

    @property
    def size(self) -> int:
        """How many books are in it."""
        return len(self._books)

    def add(self, number: int, new: Book) -> None:
        """Take in a book that was inserted."""
        with self._lock:
            self._books[number] = new
            self._ids.append(number)

    def change(self, number: int, to: Book) -> None:
        """Note what a borrowed book was changed to."""
        with self._lock:
            self._books[number] = to

    def remove(self, number: int) -> None:
        """Note that a borrowed book was deleted."""
        with self._lock:
            del self._books[number]

    @contextmanager
    def borrowed(self, chance: Random) -> Generator[tuple[int, Book]]:
        """Keep some book from everybody else while the block runs."""
        with self._lock:
            number = self._any(chance)
            self._lent.add(number)
            found = self._books[number]
        try:
            yield number, found
        finally:
            with self._lock:
                self._lent.discard(number)

    def _any(self, chance: Random) -> int:
        while True:
            place = chance.randrange(len(self._ids))
            number = self._ids[place]
            if number in self._lent:
                continue
            if number in self._books:
                return number
            # Deleted since: forget the number, which is no longer at its end either.
            self._ids[place] = self._ids[-1]
            self._ids.pop()


class Application:
    """A version of the application, on a connection and in a thread of its own.

    Args:
        url: the database.
        column: the only name it knows for the year.
        mirror: of the books it shares with the other version.
        scene: says what is going on now, for the longest waits.
        reads: whether it reads back what was written.
    """

    def __init__(self, *, url: str, column: str, mirror: Mirror, scene: Callable[[], str], reads: bool) -> None:
        self.reads = reads
        self.turn = threading.Lock()
        """Held during each operation; who holds it has the application wait."""
        self.writes = 0
        self.read_back = 0
        self.errors: list[str] = []
        self.longest: dict[str, float] = defaultdict(float)
        """Scene → the longest wait for a statement that was sent in it, in seconds."""
        self._name = f"bookstore, {column}"
        self._url = url
        self._mirror = mirror
        self._scene = scene
        self._statements = {kind: text.format(year=sql.Identifier(column)) for kind, text in _STATEMENTS.items()}
        self._chance = SystemRandom()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)

    @property
    def at_work(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Let it write, and read if it does, until it is told to stop."""
        self._thread.start()

    def stop(self) -> None:
        """End it, after the operation it is at."""
        self._over.set()
        if self.at_work:
            self._thread.join()

    def _run(self) -> None:
        """Work; what goes wrong is an error that a customer would have seen."""
        try:
            # Nobody waits longer than that for a book.
            with psycopg.connect(
                self._url, autocommit=True, application_name=self._name, options="-c statement_timeout=30s"
            ) as connection:
                self._work(connection)
        except psycopg.Error as error:
            self._failed(error)
        finally:
            if not self._over.is_set():
                self.errors.append("the application ended by itself")

    def _work(self, connection: Connection) -> None:
        next_one = time.monotonic()
        while not self._over.wait(max(0.0, next_one - time.monotonic())):
            next_one = max(next_one + _PACE, time.monotonic() - 1)
            with self.turn:
                try:
                    self._write(connection)
                    if self.reads:
                        self._read(connection)
                except psycopg.Error as error:
                    self._failed(error)
                    if connection.closed:
                        return

    def _write(self, connection: Connection) -> None:
        (kind,) = self._chance.choices(tuple(_SHARES), tuple(_SHARES.values()))
        if kind == "insert" or self._mirror.size < _FEW:
            self._insert(connection)
        elif kind == "delete":
            self._delete(connection)
        else:
            self._update(connection, kind)
        self.writes += 1

    def _insert(self, connection: Connection) -> None:
        new = book(self._chance.randrange(10**9), authors=10)
        rows = self._send(connection, "insert", new.title, new.author, new.year)
        self._mirror.add(rows[0][0], new)

    def _update(self, connection: Connection, kind: str) -> None:
        with self._mirror.borrowed(self._chance) as (number, known):
            if kind == "retitle":
                new = replace(known, title=book(self._chance.randrange(10**9), authors=10).title)
                rows = self._send(connection, kind, new.title, number)
            else:
                new = replace(known, year=self._chance.randrange(1850, 2025))
                rows = self._send(connection, kind, new.year, number)
            self._expect(rows, [(number,)], "an update")
            self._mirror.change(number, new)

    def _delete(self, connection: Connection) -> None:
        with self._mirror.borrowed(self._chance) as (number, _):
            self._expect(self._send(connection, "delete", number), [(number,)], "a delete")
            self._mirror.remove(number)

    def _read(self, connection: Connection) -> None:
        with self._mirror.borrowed(self._chance) as (number, known):
            rows = self._send(connection, "read", number)
        self._expect(rows, [(known.title, known.author, known.year)], f"book {number}")
        self.read_back += 1

    def _send(self, connection: Connection, kind: str, *values: object) -> Sequence[tuple[Any, ...]]:
        """Run a statement and return its rows; the time until they are there is a customer's wait."""
        scene, started = self._scene(), time.perf_counter()
        try:
            return connection.execute(self._statements[kind], values).fetchall()
        finally:
            self.longest[scene] = max(self.longest[scene], time.perf_counter() - started)

    def _expect(self, found: object, wanted: object, what: str) -> None:
        if found != wanted:
            self.errors.append(f"{what}: {found} where {wanted} was expected")

    def _failed(self, error: psycopg.Error) -> None:
        self.errors.append(" ".join(str(error).split()) or type(error).__name__)


_SHARES = {"insert": 25, "delete": 15, "date": 45, "retitle": 15}
"""What an application does, and in how many of a hundred cases."""

_STATEMENTS = {
    "insert": sql.SQL("INSERT INTO books (title, author_id, {year}) VALUES (%s, %s, %s) RETURNING id"),
    "date": sql.SQL("UPDATE books SET {year} = %s WHERE id = %s RETURNING id"),
    "retitle": sql.SQL("UPDATE books SET title = %s WHERE id = %s RETURNING id"),
    "delete": sql.SQL("DELETE FROM books WHERE id = %s RETURNING id"),
    "read": sql.SQL("SELECT title, author_id, {year} FROM books WHERE id = %s"),
}


class Crew:
    """Both versions of the application on one branch; a context manager that ends them.

    Args:
        url: the branch's database.
    """

    BETWEEN = "between the commands"

    def __init__(self, url: str) -> None:
        self.url = url
        self.scene = self.BETWEEN
        with psycopg.connect(url) as connection:
            self.mirror = Mirror(_read_all(connection, OLD))
        self.old = self._application(OLD, reads=True)
        self.new = self._application(NEW, reads=False)
        self.compared = self.differing = 0

    def _application(self, column: str, *, reads: bool) -> Application:
        return Application(url=self.url, column=column, mirror=self.mirror, scene=lambda: self.scene, reads=reads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for application in self._at_work():
            application.stop()

    @property
    def both(self) -> tuple[Application, Application]:
        """The old version and the new one."""
        return self.old, self.new

    @contextmanager
    def during(self, scene: str) -> Generator[None]:
        """Count waits that begin in the block towards this scene."""
        self.scene = scene
        try:
            yield
        finally:
            self.scene = self.BETWEEN

    def compare(self, column: str) -> None:
        """Hold every row, read under this name, against the mirror; both versions wait meanwhile."""
        with ExitStack() as stack:
            for application in self._at_work():
                stack.enter_context(application.turn)
            with psycopg.connect(self.url) as connection:
                found = _read_all(connection, column)
            wanted = self.mirror.books
        numbers = found.keys() | wanted.keys()
        self.compared += len(numbers)
        self.differing += sum(found.get(number) != wanted.get(number) for number in numbers)

    def _at_work(self) -> tuple[Application, ...]:
        return tuple(application for application in self.both if application.at_work)


def _read_all(connection: Connection, column: str) -> dict[int, Book]:
    query = sql.SQL("SELECT id, title, author_id, {year} FROM books").format(year=sql.Identifier(column))
    return {
        number: Book(title=title, author=author, year=year) for number, title, author, year in connection.execute(query)
    }
