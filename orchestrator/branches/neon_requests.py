"""What is asked of Neon, what it would refuse, and what is told of its branches. Nothing is sent here."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator.branches.neon_answers import Branch, Endpoint
from orchestrator.branches.provider import Found, Making, Moment
from orchestrator.errors import PreconditionError, UsageError
from orchestrator.words import did_you_mean

WRITABLE = "read_write"
"""The kind of compute that a branch is written through; it has one of them at most."""


def named(branch: str, branches: Mapping[str, Branch]) -> Branch:
    """Return a branch by its name; raises UsageError where Neon has none of that name."""
    if branch not in branches:
        raise UsageError(
            f"there is no branch {branch} in the Neon project",
            details=(did_you_mean(branch, branches) or f"branches there: {', '.join(branches) or 'none'}",),
            hint="ecm branch list; ecm branch create makes one",
        )
    return branches[branch]


def children(branch: Branch, branches: Iterable[Branch]) -> tuple[str, ...]:
    """Return the names of the branches that were made from one, in alphabetical order."""
    return tuple(sorted(each.name for each in branches if each.parent_id == branch.id))


def history(branch: Branch) -> tuple[object, ...]:
    """Return what Neon changes of a branch when it is made anew."""
    return branch.last_reset_at, branch.parent_id, branch.parent_lsn, branch.parent_timestamp


def refuse_protected(branch: Branch, done: str) -> None:
    """Raise PreconditionError for a branch that is protected at Neon, with what cannot be done to it."""
    if branch.protected:
        raise PreconditionError(
            f"branch {branch.name} is protected at Neon, and cannot be {done}",
            hint="take the protection off in Neon's console, if that is what you want",
        )


def refuse_restricted(branch: Branch) -> None:
    """Raise PreconditionError for a branch that Neon itself says cannot be restored now, with its reason."""
    for action in branch.restricted_actions:
        if action.name == "restore":
            raise PreconditionError(f"Neon does not restore branch {branch.name} now", details=(action.reason,))


def described(branch: Branch, branches: tuple[Branch, ...], compute: Endpoint | None) -> Found:
    """Return what is told of a branch, with the name of its parent and how its compute is."""
    names = {each.id: each.name for each in branches}
    notes = [f"it is {branch.current_state}"] if branch.current_state != "ready" else []
    if compute is None:
        notes.append("it has no compute")
    elif compute.disabled:
        notes.append("its compute is disabled")
    elif compute.current_state == "idle":
        notes.append("its compute is suspended")
    return Found(
        name=branch.name,
        parent=names.get(branch.parent_id or ""),
        created_at=branch.created_at,
        size=branch.logical_size,
        protected=branch.protected,
        expires_at=branch.expires_at,
        note="; ".join(notes) or None,
    )


def creation(branch: str, parent: Branch | None, making: Making, now: datetime) -> dict[str, Any]:
    """Return the request that creates a branch."""
    wanted: dict[str, Any] = {"name": branch}
    if parent is not None:
        wanted["parent_id"] = parent.id
    if making.at is not None:
        wanted |= at("parent", making.at)
    if making.schema_only:
        wanted["init_source"] = "schema-only"
    if making.expires_in is not None:
        wanted["expires_at"] = _written((now + making.expires_in).replace(microsecond=0))
    compute: dict[str, Any] = {"type": WRITABLE}
    if making.compute is not None:
        compute["autoscaling_limit_min_cu"], compute["autoscaling_limit_max_cu"] = making.compute
    return {"branch": wanted, "endpoints": [compute]}


def at(prefix: str, moment: Moment) -> dict[str, str]:
    """Return a moment as the API has it: one of the two, and of both the exact one; the prefix says whose."""
    if moment.lsn is not None:
        return {f"{prefix}_lsn": moment.lsn}
    if moment.time is not None:
        return {f"{prefix}_timestamp": _written(moment.time)}
    raise UsageError("neither a time nor an LSN is given", hint="give one of them")


def _written(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
