"""Moments in a branch's history, as people name them and as the ledger recorded them. Pure."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from orchestrator.branches import Moment
from orchestrator.errors import PreconditionError, UsageError
from orchestrator.ledger import Entry
from orchestrator.plan.lifecycle import Direction, Phase

BEFORE_CONTRACT = "before-contract"
"""The moment that was recorded before a branch's last contract."""


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
    """Return the moment that was recorded before the last contract on a branch.

    Raises:
        PreconditionError: there was none, or no moment was recorded before it.
    """
    forward = [
        entry
        for entry in entries
        if entry.data.get("direction") == Direction.FORWARD and Phase.CONTRACT in _words(entry.data.get("phases"))
    ]
    if not forward:
        raise PreconditionError(f"nothing was contracted on {branch}", hint="ecm history")
    last = forward[-1]
    measured = last.data.get("measured")
    kept = last.data.get("moment") or (measured.get("moment") if isinstance(measured, dict) else None)
    if not isinstance(kept, dict) or not (kept.get("time") or kept.get("lsn")):
        raise PreconditionError(
            f"no moment was recorded before {last.plan} was contracted on {branch}",
            details=[
                "ecm records one where the provider can go back to it",
                f"it was contracted at {last.happened_at.astimezone(UTC).isoformat(sep=' ', timespec='seconds')}",
            ],
            hint=f"ecm branch restore {branch} --to TIME",
        )
    time, lsn = kept.get("time"), kept.get("lsn")
    return Moment(
        time=datetime.fromisoformat(time) if isinstance(time, str) else None, lsn=lsn if isinstance(lsn, str) else None
    )


def _words(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def told(moment: Moment) -> str:
    """Return a moment for a person: its time in UTC, its place in the WAL, or both."""
    time = moment.time.astimezone(UTC).isoformat(sep=" ", timespec="seconds") if moment.time else None
    return ", ".join(filter(None, [time, f"LSN {moment.lsn}" if moment.lsn else None]))
