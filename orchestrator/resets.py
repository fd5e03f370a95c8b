"""Whether a branch's database is still the one that the ledger knows: reset, recreated, restored, or a copy of another.

Pure: the ledger's entries beside what the branch's journal knows. A journal travels with its database, so a move that
the ledger holds of a branch and the journal of its database does not know was made in a database that is gone: it was
reset from another branch, created anew, replaced by another project's, or restored to an earlier time. What was proven
there stays proven (decision 5); a person should still be told.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from orchestrator import reports
from orchestrator.engine.journal import CompletedMove, Record
from orchestrator.ledger import Entry
from orchestrator.records import BRANCH_CREATED, BRANCH_DELETED, BRANCH_RESET, BRANCH_RESTORED, MOVE, Unknown
from orchestrator.words import counted

_DONE = {
    BRANCH_CREATED: "created anew",
    BRANCH_DELETED: "deleted",
    BRANCH_RESET: "reset",
    BRANCH_RESTORED: "restored",
}
"""What ecm did to a branch as a whole, in words."""


@dataclass(frozen=True, kw_only=True)
class Reset:
    """Moves of a branch that its database does not know.

    Attributes:
        since: when the last of them was made; what happened to the database happened after that.
        moves: how many they are.
        by: what it was, and who did it, where ecm did it; None where that is not known.
        at: when, then.
    """

    branch: str
    since: datetime
    moves: int
    by: str | None = None
    at: datetime | None = None

    @property
    def words(self) -> str:
        """Return what happened, when and by whom."""
        if self.by is None or self.at is None:
            return f"reset, recreated or restored after {_moment(self.since)}"
        return f"{self.by} on {_moment(self.at)}"


def reset(branch: str, entries: Iterable[Entry], known: Collection[UUID]) -> Reset | None:
    """Return what a branch's database does not know of its own moves; None where it knows the last one.

    A branch that has moved on since it was reset is one like any other: its past is told by the ledger alone.

    Args:
        branch: whose database it is.
        entries: the ledger's, of a plan or of all, oldest first; read before the journal, so that what is recorded in
            between is no riddle.
        known: ids of the moves in the journal of the branch's database.
    """
    of_branch = [entry for entry in entries if entry.branch == branch]
    moves = [entry for entry in of_branch if entry.kind == MOVE]
    if not moves or moves[-1].id in known:
        return None
    lost = [entry for entry in moves if entry.id not in known]
    done = [entry for entry in of_branch if entry.kind in _DONE and entry.seq > lost[-1].seq]
    # Before it was made anew it was deleted, and before that perhaps reset: the first of them is what took the moves.
    by, at = (f"{_DONE[done[0].kind]} by {done[0].actor}", done[0].happened_at) if done else (None, None)
    return Reset(branch=branch, since=lost[-1].happened_at, moves=len(lost), by=by, at=at)


def notes(
    branch: str, entries: Iterable[Entry], known: Collection[UUID], record: Record | None
) -> tuple[reports.NoteReport, ...]:
    """Return what a person should know of where a plan's record on a branch comes from.

    Args:
        branch: the branch.
        entries: the ledger's of the plan; as for `reset`.
        known: ids of the moves in the branch's journal.
        record: what the journal says of the plan.
    """
    found = reset(branch, entries, known)
    copied = record.branch if record is not None and record.branch != branch else None
    return (
        *((_reset_note(found),) if found else ()),
        *((_copy_note(branch, copied, record),) if copied and record else ()),
    )


def told(found: Reset) -> str:
    """Return a reset for a person."""
    return (
        f"{found.branch} was {found.words}: its database does not know {found.moves} of its moves;"
        " what they proved stays proven"
    )


def replaced(
    journals: Mapping[str, tuple[CompletedMove, ...] | None],
    entries: Iterable[Entry],
    gone: Iterable[Reset],
    lacking: Iterable[Unknown],
) -> tuple[Unknown, ...]:
    """Return those moves that the ledger does not know which are another project's, and no fault of the ledger's.

    A database and a ledger that know nothing of each other may be either's fault. That the ledger is the right one,
    another branch has to vouch for, whose journal has a move that it knows.

    Args:
        journals: the moves of each branch's journal; None where a branch did not answer.
        entries: all that the ledger holds.
        gone: the branches whose databases do not know what the ledger holds of them.
        lacking: what the ledger does not know of each journal.
    """
    known = {entry.id for entry in entries}
    vouched = any(move.id in known for moves in journals.values() for move in moves or ())
    lost = {each.branch for each in gone}
    return tuple(each for each in lacking if vouched and each.kind == "emptied" and each.branch in lost)


def told_of_another(found: Unknown) -> str:
    """Return for a person that a branch's database is another project's."""
    moves = counted(len(found.moves), "move")
    return f"the database of {found.branch} is another project's: this ledger does not know {moves} of its journal"


def _reset_note(found: Reset) -> reports.NoteReport:
    what = found.words if found.by else f"reset after {_moment(found.since)}"
    short = f"{found.branch} was {what}; what it proved before stays proven"
    return reports.NoteReport(code="reset", message=told(found), short=short, since=found.since, moves=found.moves)


def _copy_note(branch: str, other: str, record: Record) -> reports.NoteReport:
    short = f"{branch} is a copy of {other}"
    onward = "" if record.at_rest else f"; ecm goes on with it as {branch}"
    return reports.NoteReport(
        code="copy",
        message=f"the database of {branch} is a copy: its journal was written by {other}{onward}",
        short=short,
    )


def _moment(when: datetime) -> str:
    at = when.astimezone(UTC)
    return f"{at.day} {at:%b %Y %H:%M} UTC"
