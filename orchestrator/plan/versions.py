"""What the old and the new version of an application call the tables and columns that a plan changes.

Pure: told from the plan and from facts that were read before it began. Both are told as of the state in which they
work, which for the old one is until contract, and for the new one from expand on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.operations import Operation
from orchestrator.operations.base import WHOLE
from orchestrator.plan import scope
from orchestrator.plan.facade import TableFacade
from orchestrator.plan.model import Plan
from orchestrator.sql.adjustment import Adjustment
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName


class Version(StrEnum):
    """A version of the application."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True, kw_only=True)
class Names:
    """How a version of the application knows a table.

    Attributes:
        table: the table's name for it.
        columns: by the name of a column for it: the columns of before the plan whose value it holds; itself for one
            that does not change, none for one that is new.
    """

    table: TableName
    columns: Mapping[str, tuple[str, ...]]

    @property
    def made(self) -> tuple[str, ...]:
        """The columns that were not there before the plan."""
        return tuple(name for name, befores in self.columns.items() if befores != (name,))

    def called(self, before: str) -> str | None:
        """Return the column that holds the value of one of before, and nothing else; None where there is none."""
        return next((name for name, befores in self.columns.items() if befores == (before,)), None)


def untold(plan: Plan) -> str | None:
    """Return why nobody can tell what the two versions write; None where the plan tells it."""
    if any(change.kind == "sql" for change in plan.changes):
        return "a plan of kind sql does not say what the two versions of the application write"
    if not scope.kept_by_trigger(plan):
        return "with dual_write: application only your own application knows what it writes to both sides"
    return None


def known(plan: Plan, facts: Table, version: Version) -> Names:
    """Return how a version of the application knows a table.

    Args:
        plan: the plan.
        facts: of the table, as it is before the plan begins.
        version: which.
    """
    columns = {column.name: (column.name,) for column in facts.columns if not column.generated}
    if version is Version.OLD:
        return Names(table=facts.name, columns=columns)
    table = facts.name
    for change in scope.on(plan, facts):
        table = change.renamed_to(facts.name) or table
        made = _made(change, facts)
        gone = set(change.gone) - {WHOLE} if facts.name == change.target else set[str]()
        columns = {name: befores for name, befores in columns.items() if name not in gone} | made
    return Names(table=table, columns=columns)


def shared_by_none(plan: Plan, facts: Table) -> frozenset[str]:
    """Return the columns of a table that no two rows may have alike once the plan is through with it."""
    return frozenset(name for change in scope.on(plan, facts) for name in change.distinct)


def _made(change: Operation, facts: Table) -> dict[str, tuple[str, ...]]:
    if isinstance(change, TableFacade):
        return {new: (old,) for old, new in change.columns}
    return {
        new: mapping.olds
        for mapping in change.mappings(facts)
        # What is repaired in place, or shows one side at a time, has the same name in both versions.
        if not mapping.in_place and mapping.shown is None and not isinstance(mapping, Adjustment)
        for new in mapping.news
    }
