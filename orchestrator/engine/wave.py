"""The wave: which pages of a table are written when, so that rows are updated in place.

Updating a whole page at once moves every row of it to another page, and gives every index a new
entry for each. The wave goes over a region of pages several times and writes a part of its rows each
time: what the last pass left dead can be pruned by then, and the next rows take its place, as heap-only
tuples without an index entry ("Heap-Only Tuples (HOT)", manual 73.7).

A dead version can be pruned once no snapshot is left that may see it. A worker's open transaction
holds such a snapshot, so a region's next pass waits until every transaction of the workers that could
hold it back has ended; this module keeps the same books as the server does (`pg_stat_activity.backend_xmin`).
"""

import random
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import monotonic

PASSES = 8
"""Passes over a region. The first moves its rows away, so 7 of 8 rows can stay in place; with more, a row
is looked at more often than that saves (measured in benchmarks/)."""
LARGEST = 512
"""Pages in a region (4 MB); larger ones gained little, and lock rows for longer."""
FIRST = 32
"""Pages in the first regions, until it is known how long one takes."""
MOST_ROWS = 291
"""Rows that a page holds at most (MaxHeapTuplesPerPage, access/htup_details.h): a part of it is one of them."""
_JUDGED = 8
"""Passes that are looked at before it is judged how much they gain."""
_LEAST_SHARE = 0.4
"""The part of the rows of later passes that has to stay in place for a wave to be worth its passes."""
_SHORTEST_LAG = 4
"""Turns between two passes over a region where transactions of others hold pruning back."""
_PROBE_EVERY = 32
"""After so many regions that were written in one pass, a wave is tried again: what held it back may be over."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One pass over a region, to be written in one transaction.

    Attributes:
        first, end: pages, `end` not included.
        number: which pass, from 0.
        passes: how many there are; the last one takes whatever is left.
        unhurried: whether it may take as long as it takes, because it is one row.
        refused: how often it met a locked row, or took too long.
        locked: whether it was a locked row that it met last.
        serial: its number in the order of beginning.
    """

    first: int
    end: int
    number: int = 0
    passes: int = 1
    unhurried: bool = False
    refused: int = 0
    locked: bool = False
    divided: bool = False
    """Whether its passes are there because one page takes too long as a whole, and not to stay in place."""
    waited: float = 0.0
    """Seconds that it was tried, and waited to be tried again, since it first met a locked row."""
    serial: int = 0
    written: int = 0
    """The serial of the last pass over these pages."""
    settled: int = 0
    """How many turns were over when that pass was."""
    counted: float = 0.0
    """The part of these pages that counts as done already."""
    not_before: float = 0.0
    """Seconds on the monotonic clock."""

    @property
    def last(self) -> bool:
        """Whether the pages are finished with it."""
        return self.number >= self.passes - 1

    @property
    def pages(self) -> int:
        """How many pages it goes over."""
        return self.end - self.first


@dataclass(kw_only=True)
class Reckoning:
    """What a batch has to tell the journal, and whether it did.

    Attributes:
        owed: rows of earlier batches that the journal does not know of.
        page: before which every page is finished with this batch.
        written: rows of this one.
        recorded: whether the journal has all three.
    """

    owed: int
    page: int = 0
    written: int = 0
    recorded: bool = False


class Wave:
    """The schedule that all workers of a sweep share; safe to use from several threads.

    Args:
        first: the first page.
        end: the page after the last one.
        passes: how often a region is gone over; fewer where a page holds fewer rows.
        batch_time: seconds that a turn should take at most.
        window: pages that may be between two passes, so that they are still in memory.
        clock: seconds.
    """

    def __init__(
        self,
        *,
        first: int,
        end: int,
        passes: int,
        batch_time: float,
        window: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._changed = threading.Condition()
        self._next, self._end = first, end
        self._passes, self._batch_time, self._window, self.clock = passes, batch_time, window, clock
        self._size: float = min(FIRST, LARGEST)
        self._waiting: deque[Turn] = deque()
        self._in_flight: dict[int, tuple[Turn, int]] = {}
        self._serial, self._settled = 0, 0
        self._closed = False
        self.owed = 0
        """Rows that were written and that the journal does not know of."""
        self._lag = 0
        self._parts = 0
        """Into how many parts a page is divided where it takes too long as a whole; 0 where it does not."""
        self._collapsed, self._single, self._probe = False, 0, 0
        self._judged: deque[tuple[int, int]] = deque(maxlen=_JUDGED)
        self.done = float(first)
        """Pages finished, a pass over a page counting in part."""
        self.kept = first
        """The page before which all are finished as the journal has it: from here a later run goes on."""
        self.in_place = 0
        """Rows that stayed on their page, without an index entry."""
        self.rows = 0
        self.longest = 0.0
        """Seconds of the longest turn."""
        self.refusals = 0
        self.last_success = clock()

    def close(self) -> None:
        """Let nobody begin anything more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @contextmanager
    def reckoned(self) -> Generator[Reckoning]:
        """Keep count of rows that are written and not yet in the journal, whether the block's transaction commits."""
        with self._changed:
            reckoning, self.owed = Reckoning(owed=self.owed), 0
        try:
            yield reckoning
        except BaseException:
            with self._changed:
                self.owed += reckoning.owed
            raise
        with self._changed:
            if reckoning.recorded:
                self.kept = max(self.kept, reckoning.page)
            else:
                self.owed += reckoning.owed + reckoning.written

    @property
    def over(self) -> bool:
        """Whether every page was finished."""
        with self._changed:
            return self._next >= self._end and not self._waiting and not self._in_flight

    @property
    def stuck(self) -> bool:
        """Whether nothing is left but rows that others keep locked."""
        with self._changed:
            left = [*self._waiting, *(turn for turn, _ in self._in_flight.values())]
            return self._next >= self._end and bool(left) and all(turn.locked for turn in left)

    @property
    def share_in_place(self) -> float | None:
        """The part of the rows written so far that stayed on their page."""
        return self.in_place / self.rows if self.rows else None

    def begin(self, *, wait: bool = True) -> Turn | None:
        """Return what to write next; None where there is nothing left.

        Args:
            wait: until something may be written, where that is not so yet; otherwise return None then too.
        """
        with self._changed:
            while not self._closed:
                turn = self._due() or self._opened()
                if turn is None and not self._waiting and not self._in_flight:
                    return None
                if turn is None and not self._in_flight:
                    turn = self._least_bad()
                if turn is not None:
                    return self._started(turn)
                if not wait:
                    return None
                self._changed.wait(self._until_due())
            return None

    def checkpoint(self, turn: Turn) -> int:
        """Return the page before which every one is finished, once this turn has committed."""
        with self._changed:
            unfinished = [self._next, *(each.first for each in self._waiting)]
            unfinished += [
                each.first for each, _ in self._in_flight.values() if each.serial != turn.serial or not each.last
            ]
            return min(unfinished)

    def finish(self, turn: Turn, *, rows: int, in_place: int, seconds: float) -> None:
        """Take note that a turn was committed."""
        with self._changed:
            del self._in_flight[turn.serial]
            self._settled += 1
            share = 1 - turn.counted if turn.last else 1 / turn.passes
            self.done += turn.pages * share
            self.rows, self.in_place = self.rows + rows, self.in_place + in_place
            self.longest = max(self.longest, seconds)
            self.last_success = self.clock()
            self._pace(turn, seconds)
            if turn.number and rows:
                self._judge(rows, in_place)
            if not turn.last:
                self._waiting.append(
                    replace(
                        turn,
                        number=turn.number + 1,
                        written=turn.serial,
                        settled=self._settled,
                        counted=turn.counted + share,
                        refused=0,
                        locked=False,
                        unhurried=False,
                        waited=0.0,
                        not_before=0.0,
                    )
                )
            self._changed.notify_all()

    def refuse(self, turn: Turn, *, out_of_time: bool, seconds: float = 0.0) -> float:
        """Take back a turn that met a locked row or took too long: halved; return the seconds until it may begin again.

        Args:
            turn: nothing of it was written.
            out_of_time: it ended because it took too long, and not because of a lock.
            seconds: how long it was tried.
        """
        with self._changed:
            del self._in_flight[turn.serial]
            self.refusals += 1
            # Jitter, so that it does not meet the same transaction of a regular writer each time.
            wait = random.uniform(0, min(2.0, 0.05 * 2 ** min(turn.refused, 6)))  # noqa: S311 - no secret
            again = replace(
                turn,
                refused=turn.refused + 1,
                locked=not out_of_time,
                waited=turn.waited + seconds + wait,
                not_before=self.clock() + wait,
            )
            middle = (turn.first + turn.end) // 2
            if turn.pages > 1:
                self._waiting.extend((replace(again, end=middle), replace(again, first=middle)))
                self._size = max(1.0, min(self._size, turn.pages / 2))
            elif out_of_time:
                self._waiting.append(self._finer(again))
            else:
                self._waiting.append(again)
            self._changed.notify_all()
            return wait

    def give_back(self, turn: Turn) -> None:
        """Take back a turn that nothing is known of: its session was lost. To write it twice does no harm."""
        with self._changed:
            del self._in_flight[turn.serial]
            self._waiting.append(turn)
            self._changed.notify_all()

    # ------------------------------------------------------------ what comes next

    def _due(self) -> Turn | None:
        """Return the first turn whose pages can be pruned by now; taken off the list."""
        horizon = min((xmin for _, xmin in self._in_flight.values()), default=self._serial + 1)
        now = self.clock()
        for place, turn in enumerate(self._waiting):
            if turn.not_before > now:
                continue
            ripe = turn.written < horizon and self._settled - turn.settled >= self._lag
            if ripe or turn.refused or turn.number == 0:
                del self._waiting[place]
                return self._cut_short(turn)
            break  # those behind it were written later
        return None

    def _opened(self) -> Turn | None:
        """Return the first pass over a new region, while there are pages that nobody has seen."""
        if self._next >= self._end:
            return None
        end = min(self._end, self._next + max(1, round(self._size)))
        passes, divided = self._passes, bool(self._parts) and end - self._next == 1
        if divided:
            passes = self._parts
        elif self._collapsed:
            self._single += 1
            passes = self._passes if self._single % _PROBE_EVERY == 0 else 1
            self._probe = self._next if passes > 1 else self._probe
        turn = Turn(first=self._next, end=end, passes=passes, divided=divided)
        self._next = end
        return turn

    def _least_bad(self) -> Turn | None:
        """Return any turn where nobody is at work: no transaction of ours holds pruning back then."""
        now = self.clock()
        for place, turn in enumerate(self._waiting):
            if turn.not_before <= now:
                del self._waiting[place]
                return self._cut_short(turn)
        return None

    def _until_due(self) -> float | None:
        soonest = min((turn.not_before for turn in self._waiting), default=0.0)
        return max(0.01, soonest - self.clock()) if soonest else None

    def _cut_short(self, turn: Turn) -> Turn:
        """Return the turn as the last one over its pages where further ones would gain nothing."""
        if turn.divided and not self._parts:
            return replace(turn, passes=turn.number + 1)
        if self._collapsed and turn.number and turn.first < self._probe and not turn.divided:
            return replace(turn, passes=turn.number + 1)
        return turn

    def _started(self, turn: Turn) -> Turn:
        self._serial += 1
        turn = replace(turn, serial=self._serial)
        self._in_flight[turn.serial] = (turn, min([self._serial, *self._in_flight]))
        return turn

    # ------------------------------------------------------------ how much

    def _finer(self, turn: Turn) -> Turn:
        """Return a turn over one page that took too long, in smaller parts: that is the table's own triggers' doing.

        It begins anew: what earlier parts have written is not written again.
        """
        if turn.passes >= MOST_ROWS:
            return replace(turn, unhurried=True)
        self._parts = min(MOST_ROWS, max(2, turn.passes * 4))
        self.done -= turn.pages * turn.counted
        return replace(turn, number=0, counted=0.0, passes=self._parts, divided=True)

    def _pace(self, turn: Turn, seconds: float) -> None:
        """Shrink at once, grow gently; between a half and the whole of the time that a turn may take, stay."""
        whole = seconds * turn.passes if turn.divided else seconds
        if turn.divided and whole < self._batch_time:
            self._parts = 0
        if seconds > self._batch_time:
            self._size = max(1.0, min(self._size, turn.pages * self._batch_time / seconds * 0.75))
        elif whole < self._batch_time / 2 and turn.pages + 1 >= self._size:
            self._size = min(float(LARGEST), self._size * 1.25 + 1)

    def _judge(self, rows: int, in_place: int) -> None:
        """Measure what the passes gain; leave more time between them, or give them up, or take them up again."""
        self._judged.append((rows, in_place))
        if len(self._judged) < _JUDGED and not self._collapsed:
            return
        stayed = sum(each for _, each in self._judged) / sum(each for each, _ in self._judged)
        if self._collapsed:
            if len(self._judged) >= self._passes // 2 and stayed >= _LEAST_SHARE:
                self._collapsed = False
                self._judged.clear()
        elif stayed < _LEAST_SHARE:
            self._judged.clear()
            longest = max(_SHORTEST_LAG, self._window // max(1, round(self._size)))
            if self._lag < longest:
                self._lag = min(longest, max(_SHORTEST_LAG, self._lag * 4))
            else:
                self._collapsed, self._single, self._lag = True, 0, 0
                self._probe = self._next
