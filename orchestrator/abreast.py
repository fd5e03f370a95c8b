"""Several things at the same time, such as a look at each branch, that Ctrl-C ends at once.

The threads of `concurrent.futures` are waited for, when their pool closes and again when the process ends, however
long PostgreSQL lets them wait. These are not: nothing that runs here changes anything, and a server whose client has
gone ends the session by itself.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


def begun(work: Callable[[], T]) -> Future[T]:
    """Begin something in a thread of its own; the future has what comes of it."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again by whoever asks for the result
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def abreast(work: Callable[[A], T], items: Iterable[A]) -> list[T]:
    """Do something with each item, with all at the same time; return what comes of each, in their order."""
    return [future.result() for future in [begun(lambda item=item: work(item)) for item in items]]
