"""The cycle that is rehearsed: every phase, with a rollback in each state, measured, while both versions write."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from orchestrator import likeness, reports
from orchestrator.engine import gauges
from orchestrator.engine.connection import Connection
from orchestrator.errors import RefusedError
from orchestrator.events import Event, Observer, StepFinished
from orchestrator.plan import drift
from orchestrator.plan.drift import Snapshot
from orchestrator.plan.lifecycle import PHASES, STATES, Direction, State
from orchestrator.plan.model import Plan
from orchestrator.rehearsal.writers import Crew, Writing
from orchestrator.rehearsal_reports import RehearsedPhase
from orchestrator.sql.steps import LockMode

WHY = "this is a rehearsal on a throwaway copy"
"""Why conditions are let pass there that are about the application."""


class Moving(Protocol):
    """What a conductor does for a rehearsal."""

    def preview(self, plan: str, branch: str) -> reports.PreviewReport:
        """Say what would be run."""
        ...

    def advance(
        self, plan: str, branch: str, *, to: str, override: Sequence[str], reason: str | None
    ) -> reports.AdvanceReport:
        """Take the plan forward."""
        ...

    def rollback(self, plan: str, branch: str, *, to: str) -> reports.AdvanceReport:
        """Take it back."""
        ...

    def finalize(self, plan: str, branch: str, *, now: bool) -> reports.AdvanceReport:
        """Drop for good what contract keeps."""
        ...

    def verify(self, plan: str, branch: str) -> reports.VerifyReport:
        """Look at every row."""
        ...


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A move of the cycle."""

    origin: State
    target: State
    finalizes: bool = False
    quiet: bool = False
    """Whether nobody writes meanwhile."""

    @property
    def direction(self) -> Direction:
        """Which way it goes."""
        onward = self.finalizes or STATES.index(self.target) > STATES.index(self.origin)
        return Direction.FORWARD if onward else Direction.BACK

    @property
    def phase(self) -> str:
        """The phase that it goes through; the last of several where it is a way back."""
        if self.finalizes:
            return "finalize"
        return PHASES[max(STATES.index(self.origin), STATES.index(self.target)) - 1]

    @property
    def says(self) -> str:
        """The move for a person."""
        if self.finalizes:
            return "finalize"
        word = self.phase.replace("_", " ") if self.direction is Direction.FORWARD else "rollback"
        return f"{word}, {self.origin.words} → {self.target.words}"


def legs(*, undoable: bool) -> tuple[Leg, ...]:
    """Return the whole cycle from planned on: forward to each state, and back from it.

    Nobody writes the first time: expand looks at every row before it begins, and is to find them as they were copied,
    before a synthetic writer has put another value in the place of one that the plan would fail on.

    Args:
        undoable: whether contract can be undone for a while.
    """
    path = (
        State.PLANNED,
        *(State.EXPANDED, State.PLANNED),
        *(State.EXPANDED, State.PLANNED),
        *(State.EXPANDED, State.BACKFILLED, State.PLANNED),
        *(State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED, State.BACKFILLED),
        *(State.READS_MIGRATED, State.CONTRACTED),
        *((State.READS_MIGRATED, State.CONTRACTED) if undoable else ()),
    )
    moves = tuple(
        Leg(origin=origin, target=target, quiet=place < _QUIET) for place, (origin, target) in enumerate(pairwise(path))
    )
    last = Leg(origin=State.CONTRACTED, target=State.CONTRACTED, finalizes=True)
    return (*moves, last) if undoable else moves


_QUIET = 2
"""Moves at the beginning that nobody writes in."""


_HELD_UP = frozenset(mode.value for mode in LockMode if mode.waits_for.startswith("waits"))
"""Locks that somebody may have to wait for."""


class Watching:
    """An observer that remembers the longest lock and wait for one, and passes on what it is told, as of the copy."""

    def __init__(self, observer: Observer, *, branch: str, copy: str) -> None:
        self._observer, self._branch, self._copy = observer, branch, copy
        self.lock_wait = self.lock_held = 0.0

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, StepFinished):
            self.lock_wait = max(self.lock_wait, event.lock_wait)
            if event.lock in _HELD_UP and not event.already_done:  # it locks first, and until its end
                self.lock_held = max(self.lock_held, event.seconds - event.lock_wait)
        if getattr(event, "branch", None) == self._branch:
            event = replace(event, branch=self._copy)  # pyright: ignore[reportCallIssue] - one that has a branch
        self._observer(event)


class Cycle:
    """One run through all legs.

    Args:
        plan: as it is rehearsed.
        branch: the name that the copy goes by.
        moving: makes the moves there.
        connection: a session with it, for the gauges.
        watching: what the moves are observed by.
        gather: gives the writers, at rest, once the plan is about to begin in earnest.
    """

    def __init__(
        self,
        plan: Plan,
        branch: str,
        *,
        moving: Moving,
        connection: Connection,
        watching: Watching,
        gather: Callable[[], Crew],
    ) -> None:
        self._plan, self._branch = plan, branch
        self._moving, self._connection, self._watching, self._gather = moving, connection, watching, gather
        self.crew = Crew()
        self._looked: dict[State, Snapshot] = {}
        self.phases: list[RehearsedPhase] = []
        self.under_way: Leg | None = None
        """The leg that is being made; where one fails, that one."""
        self.not_invertible: int | None = None

    def run(self) -> None:
        """Make all moves; stop at the first that is refused, fails, or leaves the tables otherwise than they were.

        Raises:
            EcmError: as the move itself.
        """
        self._looked[State.PLANNED] = self._look()
        quiet = True
        for leg in legs(undoable=bool(self._plan.contract.undo_window)):
            self.under_way = leg
            if quiet and not leg.quiet:
                quiet, self.crew = False, self._gather()
                self.crew.start()
            self.phases.append(self._made(leg))
            if leg.target not in self._looked:
                self._looked[leg.target] = self._look()
            if self.phases[-1].differences:
                return
            if (
                leg.direction is Direction.FORWARD
                and leg.target is State.READS_MIGRATED
                and self.not_invertible is None
            ):
                self._verify()
        self.under_way = None

    def changed(self) -> tuple[str, ...]:
        """Return how the tables differ from what they were at the beginning, a line each."""
        return _told(self._looked[State.PLANNED], self._look(), "before", "after")

    def _made(self, leg: Leg) -> RehearsedPhase:
        self.crew.told(Writing.between(leg.origin, leg.target), leg.says)
        self._watching.lock_wait = self._watching.lock_held = 0.0
        before, started = gauges.read(self._connection), time.monotonic()
        made = self._move(leg)
        seconds = time.monotonic() - started
        after, slowest = gauges.read(self._connection), self.crew.slowest
        self.crew.told(Writing.between(leg.target, leg.target), f"in {leg.target.words}")
        self.crew.settle()
        self.crew.told(None)
        differences: tuple[str, ...] = ()
        if leg.direction is Direction.BACK:
            differences = _told(self._looked[leg.target], self._look(), "before", "after the rollback")
        return RehearsedPhase(
            phase=leg.phase,
            direction=leg.direction,
            origin=leg.origin,
            target=leg.target,
            seconds=seconds,
            lock_wait=self._watching.lock_wait,
            lock_held=self._watching.lock_held,
            writer_wait=slowest,
            wal=after.wal - before.wal,
            disk=after.disk - before.disk,
            rows=sum(_rows(move.measured) for move in made.moves),
            differences=differences,
        )

    def _move(self, leg: Leg) -> reports.AdvanceReport:
        name = self._plan.plan
        if leg.finalizes:
            return self._moving.finalize(name, self._branch, now=True)
        if leg.direction is Direction.BACK:
            return self._moving.rollback(name, self._branch, to=leg.target)
        # Where the application writes both sides, backfill asks for a word on it; nobody gives one here.
        asked = bool(self._plan.requirements(leg.phase).attestations)
        return self._moving.advance(
            name, self._branch, to=leg.target, override=("attestation",) if asked else (), reason=WHY if asked else None
        )

    def _verify(self) -> None:
        try:
            self.not_invertible = self._moving.verify(self._plan.plan, self._branch).not_invertible
        except RefusedError:
            self.not_invertible = None  # there are no two sides

    def _look(self) -> Snapshot:
        return likeness.look(self._connection, self._plan)


def _told(before: Snapshot, after: Snapshot, first: str, then: str) -> tuple[str, ...]:
    return tuple(
        each.line(first, then).replace(" on before", " before").replace(f" on {then}", f" {then}")
        for each in drift.differences(before, after)
    )


def _rows(measured: object) -> int:
    """Return the rows of what was measured in a move: of each table, as many as were looked at together at most."""
    found: dict[str, int] = {}
    for each in _dicts(measured):
        table, rows = each.get("table"), each.get("rows")
        if isinstance(table, str) and isinstance(rows, int):
            found[table] = max(found.get(table, 0), rows)
    return sum(found.values())


def _dicts(value: object) -> Iterator[dict[str, object]]:
    if isinstance(value, dict):
        yield value  # pyright: ignore[reportUnknownVariableType]
        for each in value.values():  # pyright: ignore[reportUnknownVariableType]
            yield from _dicts(each)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list | tuple):
        for each in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _dicts(each)  # pyright: ignore[reportUnknownArgumentType]
