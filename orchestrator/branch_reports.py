"""What the conductor returns about branches as a whole: which there are, what becomes of one, how two differ."""

from datetime import datetime
from typing import Literal

from orchestrator.reports import Report


class BranchPlan(Report):
    """Where a plan is on a branch, by the journal of its database."""

    plan: str
    state: str
    in_progress: bool


class BranchEntry(Report):
    """A branch, as its provider and its database know it."""

    branch: str
    of_project: bool
    """Whether it is in ecm.yaml."""
    exists: bool
    """Whether the provider has it; one of ecm.yaml may still be to be made."""
    parent: str | None
    """What it was made from, or will be reset to, as far as that is known."""
    requires: tuple[str, ...]
    protected: bool
    created_at: datetime | None
    """When it was made, or reset the last time, where the provider knows."""
    expires_at: datetime | None
    size: int | None
    """Bytes."""
    plans: tuple[BranchPlan, ...]
    """Those that are begun there."""
    note: str | None
    error: str | None


class BranchListReport(Report):
    """Every branch, those of ecm.yaml first."""

    project: str
    provider: str
    branches: tuple[BranchEntry, ...]
    now: datetime
    next_command: str | None


class PlanFall(Report):
    """A plan whose state on a branch becomes another with what is done to the branch."""

    plan: str
    before: str
    after: str | None
    """None where the branch goes with it."""


class TableLoss(Report):
    """A table with rows that only the branch has, as far as numbers of rows tell."""

    table: str
    here: int | None
    """Rows; None where they are not known."""
    there: int | None
    """Rows on the other branch; None where they are not known, or the table is not there."""
    exact: bool
    only_here: bool


class BranchChangeReport(Report):
    """What is about to be done, or was done, to a branch as a whole."""

    action: Literal["create", "reset", "delete", "restore", "stop"]
    branch: str
    done: bool
    parent: str | None = None
    """What it is made from or becomes."""
    to: str | None = None
    """The moment that it is restored to, in words."""
    kept_as: str | None = None
    protected: bool = False
    plans: tuple[PlanFall, ...] = ()
    tables: tuple[TableLoss, ...] = ()
    """Those whose rows are not as many as on what it becomes; nothing is known of rows that were changed."""
    size: int | None = None
    sessions: tuple[str, ...] = ()
    """Who is connected, and will be no more."""
    warnings: tuple[str, ...] = ()
    note: str | None = None
    next_command: str | None = None


class DifferenceReport(Report):
    """One thing, or one trait of a thing, that two branches do not have alike."""

    kind: str
    name: str
    only_on: str | None
    """The branch that has the thing; None where both have it and a trait differs."""
    trait: str | None
    values: dict[str, str | None]
    """Of the trait, by branch; None where it is as usual."""
    message: str


class BranchDiffReport(Report):
    """How the schemas of two branches differ, as PostgreSQL sees them."""

    branches: tuple[str, str]
    differences: tuple[DifferenceReport, ...]
    compared: int
    """How many things there are on the first branch."""
    next_command: str | None
