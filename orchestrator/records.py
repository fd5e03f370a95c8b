"""Between the two records: the journal of a branch and the ledger apart from all branches.

A move is written to the journal in the transaction that makes it, and copied to the ledger after.
A crash in between leaves it to the next command; an event keeps its id, so copying twice is harmless.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, TypedDict
from uuid import UUID

from orchestrator.engine import journal
from orchestrator.engine.connection import Connection
from orchestrator.engine.journal import LOOKED_LIKE, CompletedMove
from orchestrator.errors import ConfigurationError
from orchestrator.ledger import Entry, Event, Ledger
from orchestrator.plan.claims import Claim
from orchestrator.plan.evidence import Approval, Attestation, History, Override, Passage, Rehearsal
from orchestrator.plan.gates import digest
from orchestrator.plan.lifecycle import Direction, Phase, State
from orchestrator.redaction import redact

MOVE = "move"
REFUSED = "refused"
VERIFIED = "verified"
ATTESTATION = "attestation"
APPROVAL = "approval"
OVERRIDE = "override"
HOOK = "hook"
MOMENT = "moment"
"""Where a branch's history stood before contract, to come back to where the provider can (`ecm branch restore`)."""
REHEARSAL = "rehearsal"
BRANCH_CREATED = "branch_created"
BRANCH_RESET = "branch_reset"
BRANCH_RESTORED = "branch_restored"
BRANCH_DELETED = "branch_deleted"


def copy_moves(connection: Connection, ledger: Ledger) -> int:
    """Copy every move of a branch's journal that the ledger lacks; return how many there were."""
    moves = untold(connection, ledger)
    tell(moves, ledger)
    return len(moves)


def untold(connection: Connection, ledger: Ledger) -> tuple[CompletedMove, ...]:
    """Return the moves of a branch's journal that the ledger lacks, oldest first."""
    ids = journal.known(connection)
    missing = set(ids) - ledger.known(ids) if ids else set[UUID]()
    return tuple(journal.moves(connection, missing)) if missing else ()


def tell(moves: Iterable[CompletedMove], ledger: Ledger) -> None:
    """Copy moves of a journal to the ledger."""
    ledger.append(map(_event, moves))


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """Moves of a branch's journal that the ledger should know and does not.

    `removed`: it knows later ones. `emptied`: it knows none of them.
    """

    branch: str
    kind: Literal["removed", "emptied"]
    moves: tuple[CompletedMove, ...]


def unknown(branch: str, moves: tuple[CompletedMove, ...], ledger: Ledger, *, empty: bool) -> Unknown | None:
    """Compare a branch's journal with the ledger, before anything is copied.

    Moves are copied in their order, and each command copies all that are missing. So the newest may be
    missing, after a crash or while the ledger cannot be reached; none may that has later ones after it.

    Args:
        branch: whose journal it is.
        moves: all of the journal, oldest first.
        ledger: the ledger.
        empty: whether the ledger holds nothing at all.
    """
    known = ledger.known(move.id for move in moves)
    newest = max((place for place, move in enumerate(moves) if move.id in known), default=None)
    if newest is None:
        return Unknown(branch=branch, kind="emptied", moves=moves) if len(moves) > 1 or (moves and empty) else None
    removed = tuple(move for move in moves[:newest] if move.id not in known)
    return Unknown(branch=branch, kind="removed", moves=removed) if removed else None


def history(entries: Iterable[Entry]) -> History:
    """Return what the gates weigh among the ledger's entries of a plan.

    Raises:
        ConfigurationError: a newer ecm wrote some of them.
    """
    of_kind: dict[str, list[Entry]] = {}
    for entry in entries:
        of_kind.setdefault(entry.kind, []).append(entry)
    try:
        return History(
            passages=tuple(map(_passage, of_kind.get(MOVE, ()))),
            attestations=tuple(map(_attestation, of_kind.get(ATTESTATION, ()))),
            approvals=tuple(map(_approval, of_kind.get(APPROVAL, ()))),
            overrides=tuple(map(_override, of_kind.get(OVERRIDE, ()))),
            rehearsals=tuple(map(_rehearsal, of_kind.get(REHEARSAL, ()))),
        )
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            f"what the ledger holds cannot be read: {error}",
            details=["a newer ecm wrote it, in words that this one does not know"],
            hint="upgrade ecm",
        ) from None


class _Common(TypedDict):
    branch: str
    checksum: str
    at: datetime
    actor: str
    seq: int


def _common(entry: Entry) -> _Common:
    """Return what every entry of a plan says, as `Recorded` has it."""
    return {
        "branch": entry.branch or "",
        "checksum": entry.checksum or "",
        "at": entry.happened_at,
        "actor": entry.actor,
        "seq": entry.seq,
    }


def _passage(entry: Entry) -> Passage:
    return Passage(
        **_common(entry),
        direction=Direction(str(entry.data["direction"])),
        phases=tuple(Phase(phase) for phase in _list(entry.data["phases"])),
    )


def _attestation(entry: Entry) -> Attestation:
    return Attestation(
        **_common(entry),
        claim=Claim(str(entry.data["claim"])),
        version=str(entry.data["version"]),
        withdrawn=bool(entry.data["withdrawn"]),
    )


def _approval(entry: Entry) -> Approval:
    return Approval(
        **_common(entry),
        expires_at=datetime.fromisoformat(str(entry.data["expires_at"])),
        shown=digest(tuple(_list(entry.data["shown"]))),
    )


def _override(entry: Entry) -> Override:
    return Override(
        **_common(entry),
        phase=Phase(str(entry.data["phase"])),
        code=str(entry.data["code"]),
        message=str(entry.data["message"]),
        reason=str(entry.data["reason"]),
        details=tuple(_list(entry.data["details"])),
        marks=tuple(_list(entry.data.get("marks", []))),
    )


def _rehearsal(entry: Entry) -> Rehearsal:
    return Rehearsal(
        **_common(entry),
        stopped=None if entry.data["passed"] else str(entry.data["stopped"]),
    )


def last_state(entries: tuple[Entry, ...], branch: str) -> tuple[State, Entry] | None:
    """Return the state the ledger last saw a branch in, for when the branch itself does not answer."""
    moves = [entry for entry in entries if entry.kind == MOVE and entry.branch == branch]
    return (State(str(moves[-1].data["target"])), moves[-1]) if moves else None


def failed_hook(entries: tuple[Entry, ...], branch: str) -> Entry | None:
    """Return what the ledger holds of a hook that kept a phase from beginning, where that was the last thing there."""
    tried = [entry for entry in entries if entry.branch == branch and entry.kind in (MOVE, HOOK)]
    last = tried[-1] if tried else None
    stopped = last is not None and last.kind == HOOK and last.data["when"] == "before" and not last.data["ok"]
    return last if stopped else None


def ecm_version() -> str:
    """Return the version of ecm that is running."""
    try:
        return version("expand-contract")
    except PackageNotFoundError:
        return "unknown"


def _event(move: CompletedMove) -> Event:
    return Event(
        id=move.id,
        kind=MOVE,
        plan=move.plan,
        branch=move.branch,
        checksum=move.checksum,
        actor=move.actor,
        happened_at=move.happened_at,
        data={
            "direction": move.direction.value,
            "phases": [phase.value for phase in move.phases],
            "origin": move.origin.value,
            "target": move.target.value,
            "measured": {name: value for name, value in move.data.items() if name not in journal.NOT_MEASURED},
            **{name: value for name, value in move.data.items() if name == LOOKED_LIKE},
            # Written by an older ecm, a journal has none.
            "sql": _redacted(move.data.get(journal.SQL, [])),
        },
        ecm_version=ecm_version(),
    )


def _redacted(steps: Iterable[dict[str, Any]]) -> list[Any]:
    """Return what was run without passwords: raw SQL may set one, and nothing leaves the ledger again."""
    return [{**step, "statements": [redact(text) for text in step["statements"]]} for step in steps]


def _list(value: Any) -> list[str]:
    return [str(item) for item in value]
