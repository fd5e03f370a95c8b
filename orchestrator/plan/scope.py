"""What a plan touches: its changes, table by table, and the mappings, indexes and locks that follow from them."""

from collections.abc import Iterable
from collections.abc import Mapping as Dictionary
from dataclasses import replace
from itertools import chain

from orchestrator.operations import Operation
from orchestrator.operations.sides import Sides
from orchestrator.plan.facade import changes
from orchestrator.plan.model import Plan
from orchestrator.sql.facts import Index, Table, Trigger
from orchestrator.sql.identifiers import TableName, bounded
from orchestrator.sql.mapping import Hiding, Mapping
from orchestrator.sql.steps import ConcurrentIndex, Statement

Facts = Dictionary[TableName, Table]


def tables(plan: Plan) -> tuple[TableName, ...]:
    """Return the tables a plan names as those it changes, each once, in the plan's order."""
    return tuple(dict.fromkeys(chain.from_iterable(change.tables() for change in changes(plan))))


def synced(plan: Plan) -> tuple[TableName, ...]:
    """Return the tables a plan names that a sync trigger keeps in step from expand until contract."""
    return tuple(dict.fromkeys(chain.from_iterable(change.synced() for change in changes(plan))))


def mappings(plan: Plan, facts: Table) -> tuple[Mapping, ...]:
    """Return every mapping of a plan on one table; where contract keeps the old side out of sight, as it is then."""
    before = unhidden(plan, facts)
    found = chain.from_iterable(change.mappings(before) for change in on(plan, before))
    if not facts.kept:
        return tuple(found)
    how = hiding(plan, facts.name)
    return tuple(mapping.hidden(how) for mapping in found)


def hiding(plan: Plan, table: TableName) -> Hiding:
    """Return how contract puts old sides out of sight, for the mappings of one table."""
    moved = ((name, change.renamed_to(name)) for change in changes(plan) for name in change.tables())
    return Hiding(
        table=table,
        names={name: _hidden(plan, name) for name in tables(plan)},
        tables={name: to for name, to in moved if to is not None},
    )


def _hidden(plan: Plan, table: TableName) -> dict[str, str]:
    """Return the columns that contract puts out of sight, each with the name that it has then."""
    return dict(chain.from_iterable(change.hidden(table) for change in changes(plan)))


def hidden(plan: Plan, facts: Table) -> Table:
    """Return the facts of a table as they are once contract has put the old side out of sight."""
    if facts.kept:
        return facts
    now = hiding(plan, facts.name).tables.get(facts.name)
    return replace(facts.under(_hidden(plan, facts.name)), kept=True, now=now)


def unhidden(plan: Plan, facts: Table) -> Table:
    """Return the facts of a table as they are before that: the way back from `hidden`."""
    if not facts.kept:
        return facts
    return replace(facts.under(names_before(plan, facts)), kept=False, now=None)


def names_before(plan: Plan, facts: Table) -> Dictionary[str, str]:
    """Return the columns of a table that contract gave other names, each now with the name that it had before."""
    return {then: now for now, then in _hidden(plan, facts.name).items()} if facts.kept else {}


def kept_by_trigger(plan: Plan) -> bool:
    """Whether a trigger in the database keeps both sides in step, and not the application."""
    return plan.expand.dual_write == "trigger"


def filling(plan: Plan, facts: Table) -> tuple[Mapping, ...]:
    """The mappings that have something to say of rows that were there before."""
    return tuple(mapping for mapping in mappings(plan, facts) if mapping.fills)


def in_step(plan: Plan, facts: Facts) -> Iterable[Table]:
    """The tables whose rows have two sides; of others only the catalog changes."""
    return (table for table in facts.values() if not all(mapping.rests for mapping in mappings(plan, table)))


def each(plan: Plan, facts: Facts) -> Iterable[tuple[Operation, Table]]:
    """Each change with each of its tables, table by table."""
    return ((change, table) for table in facts.values() for change in on(plan, table))


def has_two_sides(plan: Plan, facts: Facts) -> bool:
    """Whether any row has an old and a new side until contract."""
    return any(in_step(plan, facts))


def sides(plan: Plan, facts: Facts) -> Sides:
    """Return what the two versions of an application see of the rows until contract."""
    order = tuple(Sides)
    before = {name: unhidden(plan, table) for name, table in facts.items()}
    found = {change.sides(table) for change, table in each(plan, before)}
    seen = min(found, key=order.index, default=Sides.NONE)
    return Sides.WRITTEN if seen is Sides.BOTH and not kept_by_trigger(plan) else seen


def retires(plan: Plan) -> bool:
    """Whether contract takes something away that the old version uses."""
    return any(change.retires for change in changes(plan))


def forfeits(plan: Plan) -> tuple[str, ...]:
    """Return what a rollback of all that was done does not keep, a line each."""
    return tuple(dict.fromkeys(chain.from_iterable(change.forfeits for change in changes(plan))))


def news(plan: Plan, facts: Table) -> tuple[str, ...]:
    """Return the columns of the new side of a table's mappings."""
    return tuple(name for mapping in mappings(plan, facts) for name in mapping.news)


def made(plan: Plan, facts: Table) -> tuple[str, ...]:
    """The columns that are there only since expand."""
    return tuple(
        name
        for mapping in mappings(plan, facts)
        for name in (mapping.scaffolding if mapping.in_place else mapping.news)
    )


def in_place(plan: Plan, facts: Table) -> tuple[Mapping, ...]:
    """The mappings of a table that change values where they stand."""
    return tuple(mapping for mapping in mappings(plan, facts) if mapping.in_place)


def on(plan: Plan, facts: Table) -> tuple[Operation, ...]:
    """Return the changes that concern a table; one that names the table as it is until then comes last."""
    return tuple(sorted((each for each in changes(plan) if each.concerns(facts)), key=lambda each: each.comes_last))


def lockable(plan: Plan, facts: Facts) -> tuple[TableName, ...]:
    """Return every table that a change of the catalog locks, each once."""
    names = (name for change, table in each(plan, facts) for name in (*table.lockable, *change.also_locked(table)))
    return tuple(dict.fromkeys(names))


def views(plan: Plan, facts: Facts) -> tuple[TableName, ...]:
    """Return the views over the tables that are there: they are locked before these."""
    return tuple(dict.fromkeys(view for change, table in each(plan, facts) for view in change.locked_first(table)))


def moved_views(plan: Plan, facts: Facts) -> tuple[TableName, ...]:
    """Return the views that a switch makes anew: they, too, are locked before the tables."""
    moved = (view for change, table in each(plan, facts) for view in change.moved_first(table))
    return tuple(dict.fromkeys((*views(plan, facts), *moved)))


def dues(plan: Plan, facts: Facts) -> tuple[Statement, ...]:
    """Return what the new sides are still given before the old ones go, or go out of sight."""
    pairs = chain.from_iterable(mappings(plan, table) for table in facts.values())
    return tuple(chain.from_iterable(mapping.dues for mapping in pairs))


def twins(plan: Plan, facts: Table) -> tuple[ConcurrentIndex, ...]:
    """Return, for each index on a column that is renamed, one like it for readers of the new name."""
    new_name = dict(chain.from_iterable(change.renames() for change in on(plan, facts)))

    def twin(index: Index) -> ConcurrentIndex:
        names = [new_name[column] for column in sorted(index.columns) if column in new_name]
        return ConcurrentIndex(
            key=f"index {index.name}",
            title=f"index for readers of {' and '.join(names)}, like {index.name}",
            table=facts.name,
            name=bounded(index.name, *names, "ecm"),
            unique=index.unique,
            tail=facts.twins[index.name],
            like=index.name,
            note=f"goes with the scaffolding at contract, when {index.name} itself serves the new name",
        )

    return tuple(twin(index) for index in facts.indexes if index.valid and index.name in facts.twins)


def fires_always(trigger: Trigger) -> bool:
    """Whether a trigger fires where the session's own triggers are suppressed ("ALTER TABLE", ENABLE ALWAYS)."""
    return trigger.enabled in ("A", "R")
