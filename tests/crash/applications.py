"""The old and the new application: each knows one name of the column, and writes without pause.

Each has rows of its own, of which it remembers exactly what it wrote, and a few that both write.
Any error it meets fails the test, because no application may notice that ecm is at work.
"""

import random
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg

from crash.harness import NEW, OLD

GONE = "gone"
"""What is remembered of a deleted row."""
DEFAULT = 2000
SHARED = 0
"""Rows whose id is divisible by three are written by both."""

Value = int | str | None


class Application:
    """One application.

    Args:
        url: where it writes.
        column: the name of the column that it knows.
        share: its own rows are those whose id leaves this when divided by three.
        survives: whether it may lose its connection (and comes back), because the server is to be killed.
        filled: whether every row has the new side already.
    """

    def __init__(
        self, url: str, column: str, share: int, *, seed: int = 0, survives: bool = False, filled: bool = True
    ) -> None:
        self.name, self.column, self.share = f"application {column}", column, share
        self.error: BaseException | None = None
        self.transactions = 0
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._url, self._survives = url, survives
        self._random = random.Random(f"{seed} {column}")
        self._over = threading.Event()
        self.between = threading.Lock()
        """Held while a transaction runs: whoever has it sees no half of one, nor of what is remembered of it."""
        self._connection = self._connect()
        # What the rows hold is in the old column while that is there: the new one may have to be filled yet.
        rows = dict(self._connection.execute(f"SELECT id, {column if filled else OLD} FROM books").fetchall())
        self.mirror: dict[int, Value] = {key: rows[key] for key in rows if key % 3 == share}
        self.shared: dict[int, set[Value]] = {key: {rows[key]} for key in rows if key % 3 == SHARED}
        self._untouched = set() if filled else set(self.mirror)
        self._next = max(rows) // 3 * 3 + 3 + share + 3000 * share
        self._connection.rollback()

    # ------------------------------------------------------------ its life

    def start(self) -> None:
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                with self.between:
                    self._transaction()
                self.transactions += 1
                self._over.wait(0.001)
        except BaseException as error:  # noqa: BLE001 - told to the test by `stop`
            self.error = error
        finally:
            self._connection.close()

    def end(self) -> None:
        self._over.set()
        self._thread.join(60)

    def stop(self) -> None:
        """End it; an error it met is raised here."""
        self.end()
        assert not self.running, f"{self.name} hangs"
        if self.error is not None:
            raise AssertionError(f"{self.name} met an error: {self.error!r}") from self.error

    def has_written(self, more: int = 3) -> None:
        """Wait until it has written some more."""
        until, limit = self.transactions + more, time.monotonic() + 60
        while self.transactions < until:
            assert self.error is None, f"{self.name} met an error: {self.error!r}"
            assert time.monotonic() < limit, f"{self.name} does not get on"
            time.sleep(0.002)

    def _connect(self) -> psycopg.Connection[Any]:
        # A wait for a lock that lasts longer than this is an error, and an error fails the test.
        return psycopg.connect(self._url, application_name=self.name, options="-c lock_timeout=20s")

    # ------------------------------------------------------------ what it does

    def _transaction(self) -> None:
        pending: dict[int, Value] = {}
        self._written = set[int]()
        try:
            with self._connection.transaction():
                for key in self._keys():
                    pending[key] = self._write(key)
                if self._random.random() < 0.3:
                    self._write_shared()
        except psycopg.OperationalError as error:
            if not self._survives or not (self._connection.closed or error.sqlstate is None):
                raise
            pending = self._come_back(pending)
        self._remember(pending)

    def _keys(self) -> list[int]:
        """Some rows of its own in any order, and now and then one that is not there yet."""
        keys = self._random.sample(sorted(self.mirror), self._random.randint(1, 4))
        if self._random.random() < 0.3:
            self._next += 3
            keys.append(self._next)
        return keys

    def _remember(self, pending: dict[int, Value]) -> None:
        self.mirror.update(pending)
        self._untouched -= self._written

    def _write(self, key: int) -> Value:
        """Write a row in one way or another; return what it is afterwards."""
        value = self._random.choice([DEFAULT, self._random.randint(1000, 9999)])
        before = self.mirror.get(key, GONE)
        if before == GONE:
            return self._insert(key, value)
        ways = [self._update, self._upsert, self._touch, self._read, self._update, self._delete]
        if key not in self._untouched:
            # Whoever clears or counts on has read the value first, and the new side can be read when it is filled.
            ways += [self._clear, self._increase]
        way = self._random.choice(ways)
        if way not in (self._touch, self._read, self._delete):
            self._written.add(key)
        return way(key, value)

    def _insert(self, key: int, value: int) -> Value:
        given, more = self._random.choice([((value,), (self.column,)), ((None,), (self.column,)), ((), ())])
        names = ", ".join(("id", "title", *more))
        marks = ", ".join(["%s"] * (2 + len(more)))
        self._execute(f"INSERT INTO books ({names}) VALUES ({marks})", [key, "new", *given])
        return given[0] if more else DEFAULT

    def _update(self, key: int, value: int) -> Value:
        assert self._execute(f"UPDATE books SET {self.column} = %s WHERE id = %s", [value, key]).rowcount == 1
        return value

    def _clear(self, key: int, _: int) -> Value:
        assert self._execute(f"UPDATE books SET {self.column} = NULL WHERE id = %s", [key]).rowcount == 1
        return None

    def _increase(self, key: int, _: int) -> Value:
        row = self._execute(
            f"UPDATE books SET {self.column} = {self.column} + 1 WHERE id = %s RETURNING {self.column}", [key]
        ).fetchone()
        before = self.mirror[key]
        assert row == (None if before is None else int(before) + 1,), f"read {row}, remembered {before} of row {key}"
        return row[0]

    def _upsert(self, key: int, value: int) -> Value:
        row = self._execute(
            f"INSERT INTO books (id, title, {self.column}) VALUES (%s, 'again', %s)"
            f" ON CONFLICT (id) DO UPDATE SET {self.column} = excluded.{self.column} RETURNING {self.column}",
            [key, value],
        ).fetchone()
        assert row == (value,)
        return value

    def _touch(self, key: int, value: int) -> Value:
        self._execute("UPDATE books SET title = %s WHERE id = %s", [f"title {value}", key])
        return self.mirror[key]

    def _delete(self, key: int, _: int) -> Value:
        if self._random.random() < 0.7 or len(self.mirror) < 20:
            return self._read(key, 0)
        assert self._execute("DELETE FROM books WHERE id = %s", [key]).rowcount == 1
        return GONE

    def _read(self, key: int, _: int) -> Value:
        row = self._execute(f"SELECT {self.column} FROM books WHERE id = %s", [key]).fetchone()
        if key not in self._untouched:
            assert row == (self.mirror[key],), f"{self.name} read {row} of row {key}, and wrote {self.mirror[key]}"
        return self.mirror[key]

    def _write_shared(self) -> None:
        """Write one row that the other application writes too: one only, so that the two cannot lock each other out."""
        key, value = self._random.choice(sorted(self.shared)), self._random.randint(1000, 9999)
        self.shared[key].add(value)
        self._execute(f"UPDATE books SET {self.column} = %s WHERE id = %s", [value, key])

    def _execute(self, query: str, values: list[Any]) -> psycopg.Cursor[Any]:
        return self._connection.execute(query, values)

    # ------------------------------------------------------------ when the server was killed under it

    def _come_back(self, pending: dict[int, Value]) -> dict[int, Value]:
        """Connect again, and find out whether the transaction that was cut off was committed: all of it or nothing."""
        limit = time.monotonic() + 60
        while True:
            try:
                self._connection = self._connect()
                found = dict(
                    self._connection.execute(
                        f"SELECT id, {self.column} FROM books WHERE id = ANY(%s)", [list(pending)]
                    ).fetchall()
                )
                self._connection.rollback()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < limit, "the server does not come back"
                time.sleep(0.01)
        now = {key: found.get(key, GONE) for key in pending}
        before = {key: self.mirror.get(key, GONE) for key in pending}
        assert now in (pending, before), f"half of a transaction was kept: {before} → {pending}, found {now}"
        return now


class Applications:
    """The old application, and the new one once there is something for it to write."""

    def __init__(self, url: str, state: str, *, seed: int = 0, survives: bool = False) -> None:
        self.url = url
        self._state, self._seed, self._survives = state, seed, survives
        self.old = None if state == "contracted" else self._start(OLD, 1)
        self.new = None if state == "planned" else self._start(NEW, 2)

    def _start(self, column: str, share: int) -> Application:
        filled = self._state in ("backfilled", "reads_migrated", "contracted")
        application = Application(
            self.url, column, share, seed=self._seed, survives=self._survives, filled=filled or column == OLD
        )
        application.start()
        return application

    @property
    def _running(self) -> list[Application]:
        return [each for each in (self.old, self.new) if each is not None and each.running]

    def reached(self, state: str) -> None:
        """Tell that the branch is in a state: the new application may come, every row has its new side."""
        self._state = state
        if state == "expanded" and self.new is None:
            self.new = self._start(NEW, 2)
        if state == "backfilled" and self.new is not None:
            self.new._untouched.clear()

    def end_old(self) -> None:
        """The old application is withdrawn, as it has to be before contract."""
        if self.old is not None:
            self.old.stop()

    def end_new(self) -> None:
        """The new application is withdrawn, as it has to be before the way back to planned."""
        if self.new is not None:
            self.new.stop()

    def have_written(self) -> None:
        """Wait until each that runs has written some more."""
        for application in self._running:
            application.has_written()

    def stop(self) -> None:
        for application in (self.old, self.new):
            if application is not None:
                application.stop()

    def check(self, *columns: str) -> None:
        """Compare every row under each of these names with what was written to it."""
        with ExitStack() as stack:
            connection = stack.enter_context(psycopg.connect(self.url, autocommit=True))
            for application in self._running:
                stack.enter_context(application.between)
            for column in columns:
                rows: dict[int, Value] = dict(connection.execute(f"SELECT id, {column} FROM books").fetchall())
                for application in filter(None, (self.old, self.new)):
                    expected = {key: value for key, value in application.mirror.items() if value != GONE}
                    found = {key: value for key, value in rows.items() if key % 3 == application.share}
                    if column == NEW and self._state == "expanded":  # not filled yet where nobody wrote
                        found = {key: expected.get(key) if value is None else value for key, value in found.items()}
                    assert found == expected, f"{column} is not what {application.name} wrote"
                self._check_shared(rows)

    def _check_shared(self, rows: dict[int, Value]) -> None:
        for key, value in rows.items():
            if key % 3 == SHARED and not (value is None and self._state == "expanded"):
                possible = set[Value]().union(*(a.shared[key] for a in (self.old, self.new) if a is not None))
                assert value in possible, f"row {key} has {value}, which nobody wrote"


@contextmanager
def applications(url: str, state: str, **options: Any) -> Generator[Applications]:
    """Have the applications of a state running; whatever went wrong in one of them is raised in the end."""
    running = Applications(url, state, **options)
    try:
        running.have_written()
        yield running
    except BaseException:
        for each in (running.old, running.new):
            if each is not None:
                each.end()
        raise
    running.stop()
