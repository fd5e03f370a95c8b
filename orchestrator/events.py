"""What happens while a phase runs, as values. The engine emits them; whoever looks renders them."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PhaseStarted:
    """A phase begins, or goes on where it was interrupted."""

    plan: str
    branch: str
    phase: str
    direction: str
    resumes: bool


@dataclass(frozen=True, kw_only=True)
class StepStarted:
    """A step is about to run."""

    key: str
    title: str


@dataclass(frozen=True, kw_only=True)
class StepFinished:
    """A step has committed. Times in seconds; `lock_wait` is how long its lock was waited for, `lock` which it was."""

    key: str
    title: str
    seconds: float
    lock_wait: float
    already_done: bool = False
    lock: str | None = None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Something was not to be had and will be tried again in `seconds`."""

    what: str
    why: str
    attempt: int
    seconds: float
    held_by: str | None = None
    """Who holds the lock, where it is a lock and that is known."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a sweep or a proof is. `done` and `total` are in `unit`s; what is None is not known yet."""

    what: str
    done: int
    total: int
    rows: int
    unit: str = "pages"
    round: int = 1
    """How often all pages are gone over: the rows are those that all rounds wrote, together."""
    rows_per_second: float | None = None
    eta_seconds: float | None = None
    """At the faster of two paces, lately and over all; `eta_at_most` is at the slower."""
    eta_at_most: float | None = None
    workers: int | None = None
    share_in_place: float | None = None
    """The part of the rows that were updated on their page, without an entry in any index."""
    throttled_by: str | None = None
    """Why it holds back, where it does."""


@dataclass(frozen=True, kw_only=True)
class HookStarted:
    """A hook of the plan's is about to be run; `when` is before or after the phase."""

    plan: str
    branch: str
    phase: str
    when: str
    command: str


@dataclass(frozen=True, kw_only=True)
class HookFinished:
    """A hook has ended, or was stopped, after `seconds`; `outcome` says how where it was not well."""

    phase: str
    when: str
    command: str
    seconds: float
    ok: bool
    outcome: str


@dataclass(frozen=True, kw_only=True)
class StateReached:
    """A move is complete and recorded."""

    plan: str
    branch: str
    state: str


@dataclass(frozen=True, kw_only=True)
class Undelivered:
    """A notice did not arrive, and why; what it told of is not touched by that."""

    notice: str
    why: str


Event = (
    PhaseStarted
    | StepStarted
    | StepFinished
    | Waiting
    | Progress
    | HookStarted
    | HookFinished
    | StateReached
    | Undelivered
)
Observer = Callable[[Event], None]


def ignore(_: Event) -> None:
    """Observe nothing."""
