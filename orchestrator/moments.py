"""Moments in a branch's history, as people name them and as the ledger recorded them. Pure."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from orchestrator.branches import Moment
from orchestrator.errors import PreconditionError, UsageError
from orchestrator.ledger import Entry
from orchestrator.plan.lifecycle import Direction, Phase
from orchestrator.records import BRANCH_CREATED, BRANCH_DELETED, BRANCH_RESET, MOMENT

BEFORE_CONTRACT = "before-contract"
"""The moment that was recorded before a branch's last contract."""

_BEGUN_ANEW = frozenset({BRANCH_CREATED, BRANCH_DELETED, BRANCH_RESET})


def parsed(text: str) -> Moment:
    """Return the moment that a person names: a time (ISO 8601; without a zone, this machine's) or a place in the WAL.

    Raises:
        UsageError: it is neither.
    """
    if re.fullmatch(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}", text):
        return Moment(lsn=text.upper())
    try:
        return Moment(time=datetime.fromisoformat(text).astimezone(UTC))
    except ValueError:
        raise UsageError(
            f"{text!r} is no moment",
            details=["a time such as 2026-03-01T12:00:00Z, a place in the WAL such as 0/16B3740, or before-contract"],
            hint="ecm history tells when what happened",
        ) from None


def before_contract(branch: str, entries: Iterable[Entry]) -> Moment:
    """Return the moment that was noted before the last contract on a branch, whether that came to its end or not.

    What was before it was made, or reset, is no history of it.

    Args:
        branch: which.
        entries: all that the ledger holds of it, oldest first.

    Raises:
        PreconditionError: nothing was contracted there, or no moment was noted before it.
    """
    last: Entry | None = None
    for entry in entries:
        if entry.kind in _BEGUN_ANEW:
            last = None  # its history before that is another database's: a place in the WAL means something else here
            continue
        # A move comes to the ledger after the moment that was noted before it.
        noted = last is not None and last.kind == MOMENT and last.plan == entry.plan
        if entry.kind == MOMENT or (_contracts(entry) and not noted):
            last = entry
    if last is None:
        raise PreconditionError(f"nothing was contracted on {branch}", hint="ecm history")
    time, lsn = (last.data.get(key) if last.kind == MOMENT else None for key in ("time", "lsn"))
    if not isinstance(time, str) and not isinstance(lsn, str):
        raise PreconditionError(
            f"no moment was recorded before {last.plan} was contracted on {branch}",
            details=[
                "ecm records one where the provider can go back to it",
                f"it was contracted at {last.happened_at.astimezone(UTC).isoformat(sep=' ', timespec='seconds')}",
            ],
            hint=f"ecm branch restore {branch} --to TIME",
        )
    return Moment(
        time=datetime.fromisoformat(time) if isinstance(time, str) else None, lsn=lsn if isinstance(lsn, str) else None
    )


def _contracts(entry: Entry) -> bool:
    phases = entry.data.get("phases")
    return entry.data.get("direction") == Direction.FORWARD and isinstance(phases, list) and Phase.CONTRACT in phases


def told(moment: Moment) -> str:
    """Return a moment for a person: its time in UTC, its place in the WAL, or both."""
    time = moment.time.astimezone(UTC).isoformat(sep=" ", timespec="seconds") if moment.time else None
    return ", ".join(filter(None, [time, f"LSN {moment.lsn}" if moment.lsn else None]))
