"""What a plan comes to in a migration tool's eyes, part by part. Pure."""

from collections.abc import Iterator, Sequence
from enum import StrEnum

from orchestrator.errors import PreconditionError, UsageError
from orchestrator.operations import Operation
from orchestrator.plan import scope
from orchestrator.plan.lifecycle import STATES, Phase, State
from orchestrator.plan.model import Plan
from orchestrator.sql.edits import ChangeLabels, Edit, Edits, Facts
from orchestrator.sql.facts import Table
from orchestrator.sql.guard import guarded
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.lexer import Written, statements
from orchestrator.sql.script import Reading, dropped_indexes, read


class Part(StrEnum):
    """A half of a plan, which is one migration of a tool's."""

    EXPAND = "expand"
    CONTRACT = "contract"

    @property
    def phase(self) -> Phase:
        """The phase that does it."""
        return Phase(self.value)

    @property
    def done(self) -> tuple[State, ...]:
        """The states in which it is done."""
        return STATES[STATES.index(self.phase.leads_to) :]


def edits(plan: Plan, part: Part, facts: Facts) -> tuple[Edit, ...]:
    """Return what a part of a plan does to the schema, in order.

    Args:
        plan: the plan.
        part: which half.
        facts: of its tables on a branch; empty where they have their final names there.

    Raises:
        UsageError: a change cannot be written for any tool.
        PreconditionError: the branch does not tell any more what the tables were like.
    """
    before = as_begun(plan, facts)
    ordered = sorted(plan.changes, key=lambda change: change.comes_last)
    return tuple(edit for change in ordered for edit in _of(plan, change, part, before))


def as_begun(plan: Plan, facts: Facts) -> Facts:
    """Return the facts of a plan's tables as they are before readers are moved, wherever the plan is."""
    return {name: _unswitched(plan, table) for name, table in facts.items()}


def _unswitched(plan: Plan, facts: Table) -> Table:
    table = scope.unhidden(plan, facts)
    for change in scope.on(plan, table):
        table = change.unswitched(table)
    return table


def as_planned(plan: Plan, facts: Facts, state: State) -> Facts | None:
    """Return the facts of a plan's tables with the columns as they were before it began.

    Columns that the plan makes may be among them, and one that is gone is not.

    Args:
        plan: the plan.
        facts: of its tables on a branch.
        state: where the plan is there.

    Returns:
        None where contract took what would tell.
    """
    begun, contracted = as_begun(plan, facts), state is State.CONTRACTED
    if state is State.PLANNED:
        return begun
    planned: dict[TableName, Table] = {}
    for name, found in begun.items():
        table = found
        for change in scope.on(plan, found):
            before = change.unexpanded(table, contracted=contracted)
            if before is None:
                return None
            table = before
        planned[name] = table
    return planned


def _of(plan: Plan, change: Operation, part: Part, facts: Facts) -> Sequence[Edit]:
    found: Edits | None = change.edits(facts)
    if found is None:
        raise UsageError(
            f"a change of kind {change.kind} cannot be written as a migration: {change.summary}",
            details=["what it comes to on empty tables depends on more than the plan says"],
            hint="write that migration with your tool, guarded by what ecm emits for another plan",
        )
    edited = found.expand if part is Part.EXPAND else found.contract
    if edited is None:
        raise PreconditionError(
            f"{plan.plan} cannot be written from here: {change.target} is not as it was before {plan.plan}",
            hint="name a branch that has not contracted it: ecm emit --branch BRANCH",
        )
    return edited


def statement(plan: Plan, part: Part, edited: Sequence[Edit]) -> str:
    """Return the one statement of a migration, which does nothing where ecm did it, and refuses tables with rows."""
    return guarded(
        [each for edit in edited for each in edit.statements],
        plan=plan.plan,
        states=part.done,
        tables=_to_be_empty(plan, part, edited),
        anywhere=_is_open(plan, part),
        begun=f"{plan.plan}: it is under way in this database, and ecm has not done {part.value} there",
        refusal=f"{plan.plan}: the tables have rows, and ecm has not done {part.value} in this database",
        remedy=f"ecm advance {plan.plan} --to {part.phase.leads_to.value} --branch BRANCH",
    )


def _is_open(plan: Plan, part: Part) -> bool:
    """Whether a statement of the plan's own may touch rows of tables that it does not name."""
    return any(
        found.lock is not None and not found.tables and not dropped_indexes(each)
        for each, found in _written(plan, part)
    )


def _written(plan: Plan, part: Part) -> Iterator[tuple[Written, Reading]]:
    """Give the statements of a plan's own, with what they do to tables."""
    for change in plan.changes:
        for each in statements(change.written().get(part.value, ""), key=part.value):
            yield each, read(each)


def _to_be_empty(plan: Plan, part: Part, edited: Sequence[Edit]) -> tuple[TableName, ...]:
    """Return every table that has to be without a row for the statements to run; what they make is not there yet."""
    found = list(scope.tables(plan))
    found += [table for edit in edited if isinstance(edit, ChangeLabels) for table in edit.tables]
    for change in plan.changes:
        if (written := change.outright()) is not None:
            begins = part is Part.EXPAND
            found += (written.expand_locks if begins else written.contract_locks).tables
            found += [index.table for index in (written.after_expand if begins else written.before_contract)]
    made = {reading.makes for _, reading in _written(plan, part)}
    return tuple(table for table in dict.fromkeys(found) if table not in made)
