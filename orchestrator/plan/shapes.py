"""What shape a table must not have for a plan to begin on it: no room for a column, rules that act before a trigger."""

from collections.abc import Iterable

from psycopg import sql

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.operations import Operation
from orchestrator.operations.base import moves_readers
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.heritage import aside, beside, under_exchange
from orchestrator.words import counted

_HANDED_OVER = ("index", "view", "statistics")
"""What is made again, under its own name, when readers move."""
_TELLS_ROWS_APART = ("default", "partition key")
"""What the trigger goes by."""
MOST_COLUMNS = 1600
"""MaxHeapAttributeNumber ("PostgreSQL Limits", manual, appendix K); dropped columns count."""


def no_room(facts: Table, changes: Iterable[Operation]) -> Iterable[EcmError]:
    """Yield why a table cannot have the columns that are made beside its own."""
    made = {name for change in changes for name in change.made() if name in change.touched(facts.name)}
    coming = sum(facts.column(name) is None for name in made)
    if coming and facts.attributes + coming > MOST_COLUMNS:
        dropped = counted(facts.attributes - len(facts.columns), "dropped column")
        yield PreconditionError(
            f"{facts.name} has no room for {counted(coming, 'more column')}:"
            f" {facts.attributes} of {MOST_COLUMNS} are taken",
            details=[f"{dropped} among them: PostgreSQL never uses their place again"],
            hint="make the table anew without dropped columns (CREATE TABLE … AS), or move columns to another one",
        )


def exchanged(facts: Table, changes: Iterable[Operation]) -> Iterable[EcmError]:
    """Yield the columns that another plan is about to give a successor in place, or has; it may name a type alone."""
    touched = {name for change in changes for name in change.touched_in(facts)}
    for name in sorted(touched):
        for twin in (beside(name), aside(name)):
            if facts.column(twin) is not None and twin not in touched:
                yield PreconditionError(
                    f"{facts.name}.{name} is being changed by another plan, which has put {twin} beside it",
                    details=[
                        "until that plan's contract the two exchange their names, and this one could follow neither"
                    ],
                    hint="ecm status",
                )


def shared(facts: Table, changes: Iterable[Operation]) -> Iterable[EcmError]:
    """Yield what stands on a column that is to have a successor, and on one to which another plan gives one.

    Each of the two would put one of its own in its place, over a column that is not there any more for the other.
    """
    mine = {name for change in changes if moves_readers(change) for name in change.touched_in(facts)}
    theirs = under_exchange({column.name for column in facts.columns}) - mine
    told: set[Dependent] = set()
    for name in sorted(mine):
        for each in facts.tracked.get(name, ()):
            other = next((column for column in sorted(theirs) if each in facts.tracked.get(column, ())), None)
            if each in told or each.kind not in _HANDED_OVER or (other is None and not each.is_ours):
                continue
            told.add(each)
            on = f"{facts.name}.{name}" + (f" and {other}, which another plan is changing" if other else "")
            yield PreconditionError(
                f"{each.kind} {each.name} stands on {on}",
                details=["both plans would make it again, each over its own column; ecm keeps it for the way back"]
                if each.is_ours
                else ["both plans would make it again, each over its own column"],
                hint="take the other plan to its end, or back to planned, before this one begins: ecm status",
            )


def apart(facts: Table, changes: Iterable[Operation]) -> Iterable[EcmError]:
    """Yield what a partition alone has on a column, and a change can neither follow nor hand over.

    A successor is given what hangs on the table's own column, and what partitions have of that. Where rows have two
    sides, a trigger that is the same for all partitions tells by the column's default what a row was given.

    Args:
        facts: of the table.
        changes: of it.
    """
    for change in changes:
        found = [(name, each) for name in sorted(change.touched_in(facts)) for each in facts.apart.get(name, ())]
        succeeded = change.succeeded(facts) if found else ()
        pairs = change.mappings(facts) if found else ()
        synced = {name for pair in pairs if pair.fills and pair.news for name in pair.olds}
        for name, each in found:
            goes_by = each.kind in _TELLS_ROWS_APART
            if name in succeeded or (name in synced and goes_by):
                yield PreconditionError(
                    f"partition {each.partition} alone has {each.what} on {facts.name}.{name}",
                    details=[
                        "ecm's trigger tells by the table's own what a row was given, and where it belongs"
                        if goes_by
                        else "it would stay on a column that contract drops"
                    ],
                    hint=each.remedy if each.kind == "partition key" else f"{each.remedy}; undo that after contract",
                )


def early_rules(facts: Table, changes: Iterable[Operation]) -> Iterable[EcmError]:
    """Yield the rules that act on what a statement says, before any trigger has made one side of the other.

    "The Rule System", manual 41: a rule rewrites the query, and its NEW are the statement's own expressions. Only an
    ON INSERT DO ALSO that does not look at a column of the change goes on as it did.
    """
    touched = {name for change in changes for name in change.touched_in(facts)}
    for rule in facts.rules:
        if rule.event == "INSERT" and not rule.instead and not touched.intersection(rule.columns):
            continue
        disable = sql.SQL("ALTER TABLE {} DISABLE RULE {}").format(rule.table.identifier, sql.Identifier(rule.name))
        yield PreconditionError(
            f"rule {rule.name} on {rule.table} rewrites {rule.event} before any trigger sees the row",
            details=[
                "it would act on what ecm's backfill writes"
                if rule.event == "UPDATE"
                else "what it does with a row would not have both sides"
            ],
            hint=f"make a trigger of it, or, until contract: {disable.as_string(None)}",
        )
