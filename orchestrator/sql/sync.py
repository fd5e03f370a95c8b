"""The sync trigger: what keeps both sides of every mapping of a table true while both versions run.

One BEFORE INSERT OR UPDATE row trigger per plan and table. Triggers of a kind fire in the order of
their names ("CREATE TRIGGER", manual). Where the table has no BEFORE triggers of its own, one is
enough. Where it has, they know the old side only: ecm's trigger is put before all of them (`!`), so
that they see what was written through the new side, and a second one after them (`~`), which hands
on to the new side what they made of the old.

Both are ENABLE ALWAYS, so that rows written by logical replication or a session with
session_replication_role = replica are kept in step too. The bodies are qualified throughout and
read nothing but the row, so they work for a role without rights on schema ecm and with any
search_path.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from psycopg import sql

from orchestrator.sql.facts import Table, Trigger
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, bounded, verbatim
from orchestrator.sql.mapping import Mapping
from orchestrator.sql.steps import Statement

LAST = "~ecm"
"""How the name begins of a trigger that fires after those of the table."""
FIRST = "!ecm"
"""How the name begins of a trigger that fires before those of the table."""
GUARD = "ecm.backfill"
"""The setting by which a sweep's own transaction spares itself the call of its own plan's trigger.

It holds the trigger's name: the trigger of another plan on the same table has to see the row.
"""


class Truth(StrEnum):
    """The side that wins where a statement changed both to different values."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True, kw_only=True)
class Ddl:
    """Statements, and those that take them back."""

    statements: tuple[Statement, ...]
    inverse: tuple[Statement, ...]


def trigger_name(plan: str, table: TableName) -> str:
    """Return the name of the sync trigger that fires last: the only one, or the one that settles."""
    return bounded(LAST, plan, table.qualified)


def is_ours(trigger: Trigger) -> bool:
    """Whether a trigger was made by ecm, for this plan or another."""
    return trigger.name.startswith((FIRST, LAST))


def meddlers(facts: Table) -> tuple[Trigger, ...]:
    """Return the table's own triggers that look at a row before it is written, and may change it."""
    return tuple(
        trigger
        for trigger in facts.triggers
        if trigger.per_row
        and trigger.timing == "BEFORE"
        and {"INSERT", "UPDATE"}.intersection(trigger.events)
        and trigger.enabled != "D"
        and not is_ours(trigger)
    )


def install(plan: str, facts: Table, mappings: tuple[Mapping, ...]) -> Ddl:
    """Return what puts the sync on a table, and what takes it away.

    The table's UPDATE OF triggers on an old column are made to fire for the new one too: whether
    such a trigger fires is decided by the columns a statement names, not by what changed.
    """
    table, last = facts.name, trigger_name(plan, facts.name)
    first = bounded(FIRST, plan, table.qualified)
    there = {trigger.name for trigger in facts.triggers}
    encloses = first in there if last in there else bool(meddlers(facts))
    functions = {"sync": sync_function(plan, table, mappings, Truth.OLD)}
    triggers = {last: "sync"}
    if encloses:
        functions["settle"] = _settle_function(plan, table, mappings)
        triggers = {first: "sync", last: "settle"}
    widened = [_rebuilt(table, trigger, _with_new(trigger, mappings)) for trigger in by_column(facts, mappings)]
    narrowed = [_rebuilt(table, trigger, _without_new(trigger, mappings)) for trigger in by_column(facts, mappings)]
    return Ddl(
        statements=(
            *functions.values(),
            *chain.from_iterable(
                _trigger(name, table, _function(role, plan, table), guard=last) for name, role in triggers.items()
            ),
            *chain.from_iterable(widened),
        ),
        inverse=(
            *(sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(n), table.identifier) for n in triggers),
            *(sql.SQL("DROP FUNCTION IF EXISTS {}()").format(_function(role, plan, table)) for role in functions),
            *chain.from_iterable(narrowed),
        ),
    )


def _function(role: str, plan: str, table: TableName) -> sql.Identifier:
    return sql.Identifier(JOURNAL_SCHEMA, bounded(role, plan, table.qualified))


def _trigger(name: str, table: TableName, function: sql.Identifier, *, guard: str) -> tuple[Statement, ...]:
    return (
        sql.SQL(
            "CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW"
            " WHEN (pg_catalog.current_setting({setting}, true) IS DISTINCT FROM {guard}) EXECUTE FUNCTION {function}()"
        ).format(
            name=sql.Identifier(name),
            table=table.identifier,
            setting=sql.Literal(GUARD),
            guard=sql.Literal(guard),
            function=function,
        ),
        sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}").format(table.identifier, sql.Identifier(name)),
    )


def sync_function(plan: str, table: TableName, mappings: tuple[Mapping, ...], truth: Truth) -> sql.Composed:
    """Return the CREATE OR REPLACE of the sync function; replacing it takes no lock on the table."""
    body = sql.SQL("  IF TG_OP = 'INSERT' THEN\n{inserts}\n  ELSE\n{updates}\n  END IF;").format(
        inserts=sql.SQL("\n").join(_on_insert(mapping) for mapping in mappings),
        updates=sql.SQL("\n").join(_on_update(mapping, truth) for mapping in mappings),
    )
    return _definition(_function("sync", plan, table), body)


def _settle_function(plan: str, table: TableName, mappings: tuple[Mapping, ...]) -> sql.Composed:
    """Both sides agreed when the table's own triggers began, and those know the old side: theirs is the last word."""
    body = sql.SQL("\n").join(
        sql.SQL("  IF {} THEN\n    {}\n  END IF;").format(
            mapping.differ(sql.SQL("NEW.{}").format(sql.Identifier(mapping.old)), _row_new(mapping)), _to_new(mapping)
        )
        for mapping in mappings
    )
    return _definition(_function("settle", plan, table), body)


def _row_new(mapping: Mapping) -> sql.Composed:
    return sql.SQL("NEW.{}").format(sql.Identifier(mapping.new))


def _definition(name: sql.Identifier, body: sql.Composed) -> sql.Composed:
    text = sql.SQL("BEGIN\n{}\n  RETURN NEW;\nEND").format(body).as_string(None)
    return sql.SQL(
        "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
        # Types go by name too: without it, an application's temporary table `date` would be that type.
        " SET search_path = pg_catalog, pg_temp AS {body}"
    ).format(name=name, body=sql.Literal(text))


def _on_insert(mapping: Mapping) -> sql.Composed:
    """The new side was given when it is not its default; then it is written to the old, else the old to the new."""
    return sql.SQL("    IF {given} THEN\n      {to_old}\n    ELSE\n      {to_new}\n    END IF;").format(
        given=mapping.given(_row_new(mapping)), to_old=_to_old(mapping), to_new=_to_new(mapping)
    )


def _on_update(mapping: Mapping, truth: Truth) -> sql.Composed:
    """Whoever changed wins; where both changed, the truth does; where neither did, the row is filled."""
    row, before = sql.SQL("NEW.{}"), sql.SQL("OLD.{}")
    old, new = sql.Identifier(mapping.old), sql.Identifier(mapping.new)
    new_changed = mapping.differ(row.format(new), before.format(new))
    old_changed = mapping.differ(row.format(old), before.format(old))
    new_wins = new_changed if truth is Truth.NEW else sql.SQL("{} AND NOT {}").format(new_changed, old_changed)
    return sql.SQL(
        "    IF {differ} THEN\n      IF {new_wins} THEN\n        {to_old}\n"
        "      ELSE\n        {to_new}\n      END IF;\n    END IF;"
    ).format(
        differ=mapping.differ(row.format(old), row.format(new)),
        new_wins=new_wins,
        to_old=_to_old(mapping),
        to_new=_to_new(mapping),
    )


def _to_old(mapping: Mapping) -> sql.Composed:
    return sql.SQL("NEW.{} := NEW.{};").format(sql.Identifier(mapping.old), sql.Identifier(mapping.new))


def _to_new(mapping: Mapping) -> sql.Composed:
    return sql.SQL("NEW.{} := NEW.{};").format(sql.Identifier(mapping.new), sql.Identifier(mapping.old))


def by_column(facts: Table, mappings: tuple[Mapping, ...]) -> tuple[Trigger, ...]:
    """Return the table's UPDATE OF triggers on an old column."""
    old = {mapping.old for mapping in mappings}
    return tuple(trigger for trigger in facts.triggers if old.intersection(trigger.update_of))


def touchable(facts: Table, mappings: tuple[Mapping, ...]) -> str | None:
    """Return a column that an UPDATE may set to itself without firing more triggers than any UPDATE does."""
    taken = {name for trigger in facts.triggers for name in trigger.update_of}
    taken |= {name for mapping in mappings for name in (mapping.old, mapping.new)}
    free = [c.name for c in facts.columns if not (c.name in taken or c.identity or c.generated or c.partition_key)]
    # A key set to itself still locks the row against foreign key checks; a plain column does not.
    indexed = {name for index in facts.indexes for name in index.columns}
    return min(free, key=lambda name: name in indexed, default=None)


def _with_new(trigger: Trigger, mappings: tuple[Mapping, ...]) -> tuple[str, ...]:
    added = [mapping.new for mapping in mappings if mapping.old in trigger.update_of]
    return (*trigger.update_of, *(name for name in added if name not in trigger.update_of))


def _without_new(trigger: Trigger, mappings: tuple[Mapping, ...]) -> tuple[str, ...]:
    new = {mapping.new for mapping in mappings}
    return tuple(name for name in trigger.update_of if name not in new)


def _rebuilt(table: TableName, trigger: Trigger, columns: tuple[str, ...]) -> tuple[Statement, ...]:
    """Make a trigger again with other columns after UPDATE OF.

    CREATE OR REPLACE would do for most, but not for constraint triggers; and both forget that
    the trigger was disabled.
    """
    name = sql.Identifier(trigger.name)
    events = sql.SQL(" OR ").join(
        sql.SQL("UPDATE OF {}").format(sql.SQL(", ").join(map(sql.Identifier, columns)))
        if event == "UPDATE"
        else verbatim(event)
        for event in trigger.events
    )
    rebuilt: list[Statement] = [
        sql.SQL("DROP TRIGGER {} ON {}").format(name, table.identifier),
        sql.SQL("CREATE {kind} {name} {timing} {events}{tail}").format(
            kind=verbatim("CONSTRAINT TRIGGER" if trigger.constraint else "TRIGGER"),
            name=name,
            timing=verbatim(trigger.timing),
            events=events,
            tail=verbatim(trigger.tail),
        ),
    ]
    if trigger.enabled != "O":
        state = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}[trigger.enabled]
        rebuilt.append(sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(table.identifier, verbatim(state), name))
    if trigger.comment is not None:
        rebuilt.append(
            sql.SQL("COMMENT ON TRIGGER {} ON {} IS {}").format(name, table.identifier, sql.Literal(trigger.comment))
        )
    if trigger.constraint_comment is not None:
        rebuilt.append(
            sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}").format(
                name, table.identifier, sql.Literal(trigger.constraint_comment)
            )
        )
    return tuple(rebuilt)
