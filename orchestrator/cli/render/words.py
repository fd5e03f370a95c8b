"""Numbers, sizes, times and states as a person reads them."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from orchestrator.operations.sides import Sides
from orchestrator.plan.durations import humanize
from orchestrator.plan.lifecycle import Direction, Phase, State

_THOUSAND = 1000
_EXACT_BELOW = 10_000
_SOON = 60


def compact(number: float) -> str:
    """Return `8,412`, `84k`, `12.4M`."""
    if number < _EXACT_BELOW:
        return f"{number:,.0f}"
    for unit in ("k", "M", "G", "T"):
        number /= _THOUSAND
        if number < _THOUSAND or unit == "T":
            return f"{number:.3g}{unit}" if number < _THOUSAND - 0.5 else f"{number:.0f}{unit}"
    raise AssertionError


def size(number: float) -> str:
    """Return `8 kB`, `2.1 GB`, in powers of 1024 as PostgreSQL counts."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1024 * 0.9995:
            return f"{number:.3g} {unit}" if number < _THOUSAND else f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.3g} TB"


def lasting(seconds: float) -> str:
    """Return `14 ms`, `1.2 s`, `4 min 10 s`."""
    if seconds < 0.0005:  # noqa: PLR2004 - below it a millisecond rounds to none
        return "0 ms"
    return humanize(timedelta(milliseconds=max(1, round(seconds * 1000))))


def left_between(soonest: float | None, latest: float | None) -> str:
    """Return how long something still takes as a range, `2 min to 3 min left`; empty where nobody knows."""
    if not soonest:
        return ""
    first, last = _roughly(soonest), _roughly(latest or soonest)
    return f"{first} left" if first == last else f"{first} to {last} left"


def lasting_between(least: float, most: float) -> str:
    """Return how long something takes as a range: `a second or less`, `about 3 min`, `2 min to 9 min`."""
    if most <= 1:
        return "a second or less"
    first, last = _roughly(least), _roughly(most)
    if least < 1:
        return f"up to {last}"
    return f"about {first}" if first == last else f"{first} to {last}"


def size_between(least: float, most: float) -> str:
    """Return an amount of data as a range, in two digits: `about 21 MB`, `up to 8 kB`, `10 MB to 1.2 GB`."""
    first, last = _roughly_sized(least), _roughly_sized(most)
    if first == last:
        return f"about {last}" if most else "none"
    return f"{first} to {last}" if least > most / _THOUSAND else f"up to {last}"


def number_between(least: float, most: float) -> str:
    """Return a number as a range: `178k`, `20k to 200k`."""
    first, last = compact(least), compact(most)
    return first if first == last else f"{first} to {last}"


def _roughly_sized(number: float) -> str:
    *_, unit = size(number).split()
    each = 1024 ** ("bytes", "kB", "MB", "GB", "TB").index(unit)
    return size(float(f"{number / each:.2g}") * each)


def _roughly(seconds: float) -> str:
    if seconds < _SOON:
        return f"{max(1, round(seconds))} s"
    if seconds < 60 * _SOON:
        return f"{round(seconds / 60)} min"
    return humanize(timedelta(minutes=round(seconds / 60)))


def ago(moment: datetime, now: datetime) -> str:
    """Return `just now`, `40 min ago`, `2 days ago`."""
    passed = max(now - moment, timedelta(0))
    if passed < timedelta(minutes=1):
        return "just now"
    if passed >= timedelta(days=1):
        return f"{passed.days} day{'s' if passed.days > 1 else ''} ago"
    hours, minutes = divmod(passed // timedelta(minutes=1), 60)
    return f"{hours} h ago" if hours else f"{minutes} min ago"


def moment(when: datetime, now: datetime | None = None) -> str:
    """Return a time on this machine's clock: `19 Nov 10:02`; with the year where it is not that of `now`."""
    local, today = when.astimezone(), (now or when).astimezone()
    year = f" {local.year}" if local.year != today.year else ""
    return f"{local.day} {local:%b}{year} {local:%H:%M}"


def percent(done: int, total: int) -> str:
    """Return `61%`; 100% only when all is done."""
    return f"{100 if done >= total else min(99, 100 * done // total)}%" if total else "0%"


def far(done: int, total: int, rows: int, *, sweep: bool, rounds: int = 1) -> str:
    """Return how far a scan is: `61%, 7.6M rows`; that there were none only where all pages are done.

    Args:
        done: pages that are done.
        total: pages in all.
        rows: what was found on them: rows that were written, or looked at.
        sweep: whether they are written.
        rounds: how often all pages were gone over, this time included; a row may have been written in each.
    """
    if done >= total and not rows:
        return "nothing was left to do" if sweep else "no rows"
    if rounds > 1:
        return f"{percent(done, total)} of round {rounds}, {compact(rows)} {'write' if rows == 1 else 'writes'}"
    return f"{percent(done, total)}, {compact(rows)} {'row' if rows == 1 else 'rows'}"


def state(name: str) -> str:
    """Return a state as a person reads it."""
    return State(name).words


def phase(name: str) -> str:
    """Return a phase as a person reads it."""
    return Phase(name).words


def doing(phase_name: str, direction: str) -> str:
    """Return what is under way: `backfill`, `undoing expand`."""
    return f"undoing {phase(phase_name)}" if direction == Direction.BACK else phase(phase_name)


_NOW_POSSIBLE: Mapping[Sides, Mapping[State, str]] = {
    Sides.BOTH: {
        State.EXPANDED: "The old version runs as ever. The new one may write; rows from before read empty through it"
        " until the backfill is done.",
        State.BACKFILLED: "Both versions may read and write every row, side by side. Where a statement writes both"
        " sides, the old one counts.",
        State.READS_MIGRATED: "Both versions still work side by side; where a statement writes both sides, the new one"
        " counts. Retire the old version before contract.",
    },
    Sides.WRITTEN: {
        State.EXPANDED: "The old version runs as ever. Deploy the one that writes both sides, everywhere, and attest"
        " that it does: nothing in the database writes the other side, and the backfill waits for it.",
        State.BACKFILLED: "Every version that runs has to write both sides; either may be read. A row that is written"
        " on one side alone stops the plan.",
        State.READS_MIGRATED: "Every version that runs still has to write both sides; either may be read. A row that is"
        " written on one side alone stops contract. Retire the old version before contract.",
    },
    Sides.EXCHANGED: {
        State.EXPANDED: "Every version runs as ever: nobody is shown the new type until readers move.",
        State.BACKFILLED: "Every version still reads and writes the old type; those that run have to cope with the new"
        " one before readers move.",
        State.READS_MIGRATED: "Every version reads and writes the new type, under the same name. Until contract ecm can"
        " go back to the old one.",
    },
    Sides.FILLED: {
        State.EXPANDED: "The old version runs as ever: what it leaves out is filled in. The new one may write; rows"
        " from before have no value until the backfill is done.",
        State.BACKFILLED: "Both versions may read and write every row, side by side; what the old one leaves out is"
        " filled in.",
        State.READS_MIGRATED: "Both versions still work side by side. From contract on ecm fills in nothing any more.",
    },
    Sides.REPAIRED: {
        State.EXPANDED: "Every version may read and write; what breaks the rule is repaired as it is written. Rows from"
        " before are repaired by the backfill.",
        State.BACKFILLED: "Every version may read and write; what breaks the rule is repaired as it is written.",
        State.READS_MIGRATED: "Every version may read and write; what breaks the rule is repaired as it is written,"
        " until contract.",
    },
    Sides.RULE: {
        State.EXPANDED: "Every version may read and write. Nothing is repaired: a row that breaks the rule stops the"
        " plan.",
        State.BACKFILLED: "Every version may read and write; a row that breaks the rule stops the plan.",
        State.READS_MIGRATED: "Every version may read and write; a row that breaks the rule stops contract.",
    },
    Sides.NONE: {
        State.EXPANDED: "Both versions may read and write every row, side by side.",
        State.BACKFILLED: "Both versions may read and write every row, side by side.",
        State.READS_MIGRATED: "Both versions still work side by side.",
    },
}
"""What the application may do in each state between, by what the two versions see of a row."""
_RETIRE = "Retire the old version before contract."
_AFTER: Mapping[Sides, str] = {
    Sides.EXCHANGED: "Every version reads and writes the new type; nothing is left of the old one.",
    Sides.FILLED: "ecm fills in nothing any more: what a version leaves out has the column's DEFAULT, or NULL.",
    Sides.REPAIRED: "PostgreSQL refuses what breaks the rule; every version that keeps it works.",
    Sides.RULE: "PostgreSQL refuses what breaks the rule; every version that keeps it works.",
    Sides.NONE: "Nothing more changes for the application: what it was given in expand stays.",
}
"""The same once contract is over, where it took nothing away that the old version uses."""


def now_possible(name: State, *, sides: str = Sides.BOTH, retires: bool = True, kept: bool = False) -> str:
    """Return what the application may do in a state.

    Args:
        name: the state.
        sides: what the two versions see of a row (`Sides`).
        retires: whether contract takes something away that the old version uses.
        kept: whether it is kept out of sight.
    """
    seen = Sides(sides)
    if name is State.PLANNED:
        only = ", and only that" if retires or seen is Sides.FILLED else ""
        return f"Nothing of this plan is in the database; the old version runs as ever{only}."
    if name is State.CONTRACTED:
        gone = f"Only the new version works; what the old one used is {'out of sight' if kept else 'gone'}."
        return gone if retires else _AFTER.get(seen, gone)
    said = _NOW_POSSIBLE[seen][name]
    retiring = name is State.READS_MIGRATED and retires and seen is Sides.NONE
    return f"{said} {_RETIRE}" if retiring else said
