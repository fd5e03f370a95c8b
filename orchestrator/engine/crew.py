"""A crew: workers side by side, each with a session of its own, and one who listens to them all.

The workers only work and tell; whoever iterates over the crew, in the thread that Ctrl-C reaches,
decides what becomes of it. A worker whose session is lost comes back with another.
"""

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar

import psycopg

from orchestrator.engine.connection import Connection, Link, cancel
from orchestrator.errors import ConnectionFailedError

T = TypeVar("T")

_LOSSES = 5
"""How often in a row a worker's session may be lost in the middle of its work."""
_GRACE = 5.0
"""Seconds that a worker has to end what it is at before its statement is cancelled."""


class Crew(Generic[T]):
    """Workers that do one piece of work after another until nothing is left; a context manager.

    Leaving the block waits for the pieces under way, and begins no other.

    Args:
        link: opens a session for each worker.
        workers: how many.
        work: does one piece in the session it is given and returns what to tell of it; None where nothing is
            left. It is called from several threads at once.
        prepare: called with every new session.
        stop: called as the block ends, to wake whoever waits inside `work`.
    """

    def __init__(
        self,
        link: Link,
        workers: int,
        work: Callable[[Connection], T | None],
        *,
        prepare: Callable[[Connection], None],
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._link, self._work, self._prepare, self._stop = link, work, prepare, stop
        self._told: SimpleQueue[T | _Ended] = SimpleQueue()
        self._over, self._free = threading.Event(), threading.Event()
        self._free.set()
        self._links: list[Link] = []
        self._threads = [
            threading.Thread(target=self._labour, name=f"ecm worker {number}", daemon=True)
            for number in range(1, workers + 1)
        ]
        self._at_work = workers
        self.unreachable: ConnectionFailedError | None = None
        """Why a worker could not go on, where another may have finished its work."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._over.set()
        self._free.set()
        self._stop()
        for thread in self._threads:
            thread.join(_GRACE)
        if any(thread.is_alive() for thread in self._threads):
            for link in self._links:
                if link.current is not None and not link.current.closed:
                    cancel(link.current)
            for thread in self._threads:
                thread.join(_GRACE)

    @property
    def at_work(self) -> int:
        """How many workers have not ended."""
        return self._at_work

    def hold(self, back: bool) -> None:
        """Let nobody begin another piece, or let everybody again."""
        if back:
            self._free.clear()
        else:
            self._free.set()

    def told(self, every: float) -> Iterator[T | None]:
        """Yield what the workers tell as it comes, and None at least so often (seconds), until all have ended.

        Raises:
            Exception: what a worker's work raised, but for a branch out of reach (`unreachable`).
        """
        while self._at_work:
            try:
                said = self._told.get(timeout=every)
            except Empty:
                yield None
                continue
            if not isinstance(said, _Ended):
                yield said
                continue
            self._at_work -= 1
            if isinstance(said.error, ConnectionFailedError):
                self.unreachable = said.error  # the others go on with what it gave back
            elif said.error is not None:
                raise said.error

    def _labour(self) -> None:
        error: BaseException | None = None
        try:
            link = self._link.another(self._prepare)
            self._links.append(link)
            try:
                self._pieces(link)
            finally:
                link.close()
        except BaseException as raised:  # noqa: BLE001 - told to whoever listens
            error = raised
        self._told.put(_Ended(error))

    def _pieces(self, link: Link) -> None:
        losses = 0
        while True:
            self._free.wait()
            if self._over.is_set():
                return
            try:
                told = self._work(link.connection)
            except psycopg.Error as error:
                losses += 1
                if losses > _LOSSES or not link.lost(error):
                    raise
                continue
            if told is None:
                return
            losses = 0
            self._told.put(told)


class _Ended:
    """A worker has nothing left to do, or cannot."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
