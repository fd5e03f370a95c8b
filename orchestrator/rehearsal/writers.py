"""Synthetic writers: an old and a new version of an application, at work on the copy while the plan goes on."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import psycopg

from orchestrator.engine.connection import Connection, cancel, is_lost
from orchestrator.engine.synthetic import Failure, Way, Write, Writer, survey, write
from orchestrator.errors import ConnectionFailedError
from orchestrator.plan import scope, versions
from orchestrator.plan.lifecycle import STATES, State
from orchestrator.plan.model import Plan
from orchestrator.plan.versions import Version
from orchestrator.rehearsal_reports import WriterError, WriterReport

Opens = Callable[[Version], Connection]

PAUSE = 0.004
"""Seconds between two transactions of a writer."""
BASELINE = 20
"""Times that each write is tried before the plan begins."""
SETTLING = 25
"""Transactions that each writer makes in a state before the plan goes on."""
PATIENCE = 2.0
"""Seconds that are given to that."""
_COMES_BACK = 60.0
_ERRORS_KEPT = 50


@dataclass(frozen=True, kw_only=True)
class Writing:
    """Who writes while a plan is between two states, or in one.

    Attributes:
        versions: which.
        guarded: whether rows may have no value yet in columns that are new.
    """

    versions: frozenset[Version]
    guarded: bool

    @classmethod
    def between(cls, origin: State, target: State) -> "Writing":
        """Return who writes: the old version until contract, the new one from expand on."""
        first, last = sorted((STATES.index(origin), STATES.index(target)))
        old = {Version.OLD} if last < STATES.index(State.CONTRACTED) else set[Version]()
        new = {Version.NEW} if first >= STATES.index(State.EXPANDED) else set[Version]()
        return cls(versions=frozenset(old | new), guarded=first < STATES.index(State.BACKFILLED))


class Hand(threading.Thread):
    """A writer in a thread of its own, which writes when it is told to.

    Args:
        version: which it is of.
        opens: opens its session, and another where that is lost.
        writes: what it does.
    """

    def __init__(self, version: Version, opens: Opens, writes: tuple[Write, ...]) -> None:
        super().__init__(name=f"{version} version", daemon=True)
        self.version = version
        self.transactions, self.longest, self.slowest = 0, 0.0, 0.0
        self.failures: list[tuple[str, Failure]] = []
        self._opens, self._writes = opens, writes
        self._connection = opens(version)
        self.writer = Writer(self._connection, writes, seed=len(version))
        self._turn, self._over = threading.Lock(), threading.Event()
        self._writing: Writing | None = None
        self._phase = ""

    def run(self) -> None:
        """Write, until it is told to end; an error of its own is told as one that it met."""
        try:
            while not self._over.is_set():
                with self._turn:
                    if self._writing is not None:
                        self._transact(self._writing)
                self._over.wait(PAUSE)
        except Exception as error:  # noqa: BLE001 - a writer that is gone in silence would be taken for one that is well
            if not self._over.is_set():
                said = f"the synthetic writer ended: {type(error).__name__}: {error}"
                self.failures.append((self._phase, Failure(sqlstate="", message=said, statement="", seconds=0.0)))

    def _transact(self, writing: Writing) -> None:
        try:
            seconds, failure = self.writer.transact(guarded=writing.guarded)
        except psycopg.Error as error:
            if not is_lost(error):
                raise
            self._come_back()
            return
        self.transactions += 1
        self.longest, self.slowest = max(self.longest, seconds), max(self.slowest, seconds)
        if failure is not None and not self._over.is_set():
            self.failures.append((self._phase, failure))

    def _come_back(self) -> None:
        until = time.monotonic() + _COMES_BACK
        while not self._over.wait(0.5):
            with suppress(ConnectionFailedError):
                given_up = self.writer.given_up
                self._connection = self._opens(self.version)
                self.writer = Writer(self._connection, self._writes, seed=self.transactions)
                self.writer.given_up = given_up
                return
            if time.monotonic() > until:
                return

    def told(self, writing: Writing | None, phase: str = "") -> None:
        """Have it write or rest; when this returns, no transaction of before is under way."""
        with self._turn:
            self._writing = writing if writing is not None and self.version in writing.versions else None
            self._phase = phase
            if self._writing is not None:
                self.slowest = 0.0

    @property
    def writing(self) -> bool:
        """Whether it writes now."""
        return self._writing is not None and self.is_alive()

    def end(self) -> None:
        """End it at once, whatever it waits for."""
        self._over.set()
        cancel(self._connection)
        if self.is_alive():
            self.join(10)
        self._connection.close()


class Crew:
    """Both writers. Where a plan does not say what they write, there are none, and `unwritten` says why.

    Args:
        hands: the writers.
        unwritten: what nobody writes, a line each.
    """

    def __init__(self, hands: Iterable[Hand] = (), unwritten: Iterable[str] = ()) -> None:
        self.hands = tuple(hands)
        self.unwritten = list(unwritten)

    @classmethod
    def gathered(cls, connection: Connection, plan: Plan, facts: scope.Facts, opens: Opens) -> "Crew":
        """Return the writers for a plan that is about to begin, at rest; the caller ends them.

        What the old version is refused before anything has begun, for reasons of the tables' own, is not tried later.
        """
        if why := versions.untold(plan):
            return cls(unwritten=(f"nothing was written meanwhile: {why}",))
        writes: dict[Version, list[Write]] = {version: [] for version in Version}
        unwritten: list[str] = []
        for table in facts.values():
            ground = survey(connection, table.name)
            if ground is None:
                unwritten.append(f"{table.name} was not written: it has no primary key, or no rows")
                continue
            pairs = scope.mappings(plan, table)
            replaces = not any(pair.in_place or pair.reaches_out for pair in pairs)
            for version, found in writes.items():
                names = versions.known(plan, table, version)
                alone = versions.shared_by_none(plan, table)
                made = write(ground, names, alone=alone, replaces=replaces)
                if made is None:
                    unwritten.append(f"the {version} version did not write {table.name}: its key is made anew")
                else:
                    found.append(made)
        crew = cls((Hand(version, opens, tuple(found)) for version, found in writes.items() if found), unwritten)
        try:
            crew._try()
        except BaseException:
            crew.end()
            raise
        return crew

    def _try(self) -> None:
        """Leave out what is refused before the plan begins, by the tables' own constraints or triggers."""
        for hand in self.hands:
            for each, way in hand.writer.pairs() if hand.version is Version.OLD else ():
                tries = (hand.writer.perform(each, way, guarded=False) for _ in range(BASELINE))
                refused = next((failure for _, failure in tries if failure is not None), None)
                if refused is not None:
                    self._give_up(each, way, refused)

    def _give_up(self, each: Write, way: Way, refused: Failure) -> None:
        for hand in self.hands:
            hand.writer.given_up.add((each.table, way))
        self.unwritten.append(f"no {way} of {each.table}, which is refused without the plan too: {refused.message}")

    def start(self) -> None:
        """Have them begin their life, at rest."""
        for hand in self.hands:
            hand.start()

    def told(self, writing: Writing | None, phase: str = "") -> None:
        """Have them write or rest."""
        for hand in self.hands:
            hand.told(writing, phase)

    def settle(self) -> None:
        """Wait until each that writes has written some more, as long as that does not take too long."""
        until = time.monotonic() + PATIENCE
        goals = [(hand, hand.transactions + SETTLING) for hand in self.hands if hand.writing]
        while time.monotonic() < until and any(hand.transactions < goal for hand, goal in goals):
            time.sleep(0.005)

    @property
    def slowest(self) -> float | None:
        """Seconds that the slowest statement took since they were told last; None where nobody writes."""
        return max((hand.slowest for hand in self.hands if hand.writing), default=None)

    def end(self) -> None:
        """End them."""
        for hand in self.hands:
            hand.end()

    def report(self) -> tuple[WriterReport, ...]:
        """Return what they did."""
        return tuple(
            WriterReport(version=hand.version, transactions=hand.transactions, longest=hand.longest)
            for hand in self.hands
        )

    def errors(self) -> tuple[WriterError, ...]:
        """Return what they met, each error once."""
        found: dict[tuple[Version, str, str], list[tuple[str, Failure]]] = {}
        for hand in self.hands:
            for phase, failure in hand.failures:
                found.setdefault((hand.version, failure.sqlstate, failure.message), []).append((phase, failure))
        return tuple(
            WriterError(
                version=version,
                phase=several[0][0],
                sqlstate=sqlstate,
                message=message,
                statement=several[0][1].statement,
                times=len(several),
            )
            for (version, sqlstate, message), several in list(found.items())[:_ERRORS_KEPT]
        )
