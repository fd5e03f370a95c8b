"""What is rehearsed, on what, and by whom: pure rules, as tables."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.branches import Found
from orchestrator.plan.lifecycle import Direction, State
from orchestrator.plan.model import Plan
from orchestrator.plan.versions import Version
from orchestrator.rehearsal.copies import LONGEST_NAME, Copies, name_for
from orchestrator.rehearsal.cycle import legs
from orchestrator.rehearsal.project import as_rehearsed
from orchestrator.rehearsal.pull_requests import branch_for
from orchestrator.rehearsal.writers import Writing

OLD, NEW = Version.OLD, Version.NEW


@pytest.mark.parametrize("undoable", [False, True])
def test_every_state_is_rolled_back_once_at_least_while_both_versions_could_write(undoable: bool) -> None:
    """And each leg begins where the last one ended; nobody writes in the first pass, which meets the rows as they are."""
    path = legs(undoable=undoable)
    assert all(leg.target is following.origin for leg, following in pairwise(path))
    back = {leg.origin for leg in path if leg.direction is Direction.BACK and not leg.quiet}
    kept = {State.CONTRACTED} if undoable else set[State]()
    assert back == {State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED} | kept
    assert [leg.target for leg in path if leg.quiet] == [State.EXPANDED, State.PLANNED]
    assert path[-1].target is State.CONTRACTED
    assert path[-1].finalizes is undoable


@pytest.mark.parametrize(
    ("origin", "target", "versions", "guarded"),
    [
        (State.PLANNED, State.EXPANDED, {OLD}, True),
        (State.EXPANDED, State.EXPANDED, {OLD, NEW}, True),
        (State.EXPANDED, State.BACKFILLED, {OLD, NEW}, True),
        (State.BACKFILLED, State.PLANNED, {OLD}, True),
        (State.BACKFILLED, State.READS_MIGRATED, {OLD, NEW}, False),
        (State.READS_MIGRATED, State.CONTRACTED, {NEW}, False),
        (State.CONTRACTED, State.READS_MIGRATED, {NEW}, False),
    ],
)
def test_who_writes_when(origin: State, target: State, versions: set[Version], guarded: bool) -> None:
    """The old version until contract begins, the new one as long as its names are there."""
    writing = Writing.between(origin, target)
    assert (writing.versions, writing.guarded) == (versions, guarded)


def test_a_plan_is_rehearsed_without_what_is_about_the_real_branches() -> None:
    """Soak, hooks and requirements go; all else stays, and the undo window with it."""
    change = {"kind": "rename_column", "table": "books", "column": "a", "to": "b"}
    hooks = {"before": [{"run": "true"}]}
    plan = Plan.model_validate(
        {
            "plan": "p",
            "changes": [change],
            "backfill": {"hooks": hooks, "workers": 5},
            "migrate_reads": {"soak": "1d"},
            "contract": {"undo_window": "1h", "require": {"rehearsal": "7d", "verified": "1h"}},
        }
    )
    assert as_rehearsed(plan) == Plan.model_validate(
        {"plan": "p", "changes": [change], "backfill": {"workers": 5}, "contract": {"undo_window": "1h"}}
    )
    assert as_rehearsed(plan).migrate_reads.soak == timedelta(0)


def test_names_of_branches_fit_and_differ() -> None:
    """Of plans that differ only where a name is cut, too."""
    long = "a" * 60
    names = {name_for(long), name_for(long), branch_for("shop", 7, f"{long}bbb"), branch_for("shop", 7, f"{long}bbc")}
    assert len(names) == 4
    assert max(map(len, names)) <= LONGEST_NAME
    assert branch_for("Book Store", 7, "split-name") == "pr-7-book-store-split-name"


def test_why_a_copy_cannot_be_made_is_what_is_said(tmp_path: Path) -> None:
    """That it cannot be deleted either is not said instead; the record stays, for the next rehearsal to try."""
    from orchestrator.errors import ConnectionFailedError, PreconditionError

    def create(*_: Any) -> Found:
        raise PreconditionError("production is in use")

    def delete(_: str) -> None:
        raise ConnectionFailedError("the server is gone")

    provider: Any = SimpleNamespace(create=create, delete=delete, found=tuple, names=tuple)
    copies = Copies(provider, tmp_path)
    with pytest.raises(PreconditionError, match="in use"), copies.made("rehearse-p", parent="production", keep=False):
        pass
    provider.delete = lambda _: None
    assert "rehearse-p was left" in copies.clear()[0]
    assert copies.clear() == ()
