"""The pace of a long piece of work, and how much longer it takes."""

from collections import deque
from time import monotonic

_RECENT = 10.0
"""Seconds over which the present pace is measured."""


class Pace:
    """How fast it goes, over all and lately; the time in which it was held back does not count.

    Args:
        done: how much of it is done, in the unit of `total`.
        total: all there is to do.
        rows: how many rows are written.
    """

    def __init__(self, done: float, total: int, rows: int) -> None:
        self._total = total
        self._first = (monotonic(), done, rows)
        self._marks: deque[tuple[float, float, int]] = deque([self._first])

    def rest(self, done: float, rows: int) -> None:
        """Begin anew: it was or is held back."""
        self._marks.clear()
        self._first = (monotonic(), done, rows)
        self._marks.append(self._first)

    def note(self, done: float, rows: int) -> None:
        """Take note of where it is."""
        self._marks.append((monotonic(), done, rows))
        while self._marks[-1][0] - self._marks[0][0] > _RECENT:
            self._marks.popleft()

    @property
    def rows_per_second(self) -> float | None:
        """Lately."""
        (then, _, before), (now, _, rows) = self._marks[0], self._marks[-1]
        return (rows - before) / (now - then) if now > then and rows > before else None

    @property
    def left(self) -> tuple[float | None, float | None]:
        """Seconds that are left, at the faster and at the slower of both paces."""
        now, done, _ = self._marks[-1]
        paces = [
            (done - since) / (now - then)
            for then, since, _ in (self._first, self._marks[0])
            if now > then and done > since
        ]
        if not paces:
            return None, None
        return (self._total - done) / max(paces), (self._total - done) / min(paces)
