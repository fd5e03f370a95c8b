"""The sync trigger: what keeps both sides of every mapping of a table true while both versions run.

One BEFORE INSERT OR UPDATE row trigger per plan and table. Its name begins with `~`, because
triggers of a kind fire in the order of their names ("CREATE TRIGGER", manual) and it must see
what the user's own triggers made of the row. It is ENABLE ALWAYS, so that rows written by
logical replication or a session with session_replication_role = replica are kept in step too.

The body is qualified throughout and the function reads nothing but the row, so it works for a
role without rights on schema ecm and with any search_path.
"""

from dataclasses import dataclass
from enum import StrEnum

from psycopg import sql

from orchestrator.sql.facts import Table, Trigger
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, bounded, verbatim
from orchestrator.sql.mapping import Mapping
from orchestrator.sql.steps import Statement

TRIGGER_PREFIX = "~ecm"
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


def function_name(plan: str, table: TableName) -> str:
    """Return the name of the sync function in schema ecm."""
    return bounded("sync", plan, table.schema, table.name)


def trigger_name(plan: str, table: TableName) -> str:
    """Return the name of the sync trigger."""
    return bounded(TRIGGER_PREFIX, plan, table.schema, table.name)


def install(plan: str, facts: Table, mappings: tuple[Mapping, ...]) -> Ddl:
    """Return what puts the trigger on a table, and what takes it away.

    The user's UPDATE OF triggers on an old column are made to fire for the new one too: whether
    such a trigger fires is decided by the columns a statement names, not by what changed.
    """
    name = sql.Identifier(trigger_name(plan, facts.name))
    function = sql.Identifier(JOURNAL_SCHEMA, function_name(plan, facts.name))
    table = facts.name.identifier
    widened = [_rebuilt(facts.name, trigger, _with_new(trigger, mappings)) for trigger in _by_column(facts, mappings)]
    narrowed = [
        _rebuilt(facts.name, trigger, _without_new(trigger, mappings)) for trigger in _by_column(facts, mappings)
    ]
    return Ddl(
        statements=(
            function_definition(plan, facts.name, mappings, Truth.OLD),
            sql.SQL(
                "CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW"
                " WHEN (pg_catalog.current_setting({guard}, true) IS DISTINCT FROM {own}) EXECUTE FUNCTION {function}()"
            ).format(
                name=name,
                table=table,
                guard=sql.Literal(GUARD),
                own=sql.Literal(trigger_name(plan, facts.name)),
                function=function,
            ),
            sql.SQL("ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}").format(table=table, name=name),
            *(statement for trigger in widened for statement in trigger),
        ),
        inverse=(
            sql.SQL("DROP TRIGGER IF EXISTS {name} ON {table}").format(name=name, table=table),
            sql.SQL("DROP FUNCTION IF EXISTS {function}()").format(function=function),
            *(statement for trigger in narrowed for statement in trigger),
        ),
    )


def function_definition(plan: str, table: TableName, mappings: tuple[Mapping, ...], truth: Truth) -> sql.Composed:
    """Return the CREATE OR REPLACE of the sync function; replacing it takes no lock on the table."""
    body = sql.SQL(
        "BEGIN\n  IF TG_OP = 'INSERT' THEN\n{inserts}\n  ELSE\n{updates}\n  END IF;\n  RETURN NEW;\nEND"
    ).format(
        inserts=sql.SQL("\n").join(_on_insert(mapping) for mapping in mappings),
        updates=sql.SQL("\n").join(_on_update(mapping, truth) for mapping in mappings),
    )
    return sql.SQL(
        "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
        # Types and operators go by name too: without it, an application's temporary table `date` would be that type.
        " SET search_path = pg_catalog, pg_temp AS {body}"
    ).format(name=sql.Identifier(JOURNAL_SCHEMA, function_name(plan, table)), body=sql.Literal(body.as_string(None)))


def _on_insert(mapping: Mapping) -> sql.Composed:
    """The new side was given when it is not its default; then it is written to the old, else the old to the new."""
    new = sql.SQL("NEW.{}").format(sql.Identifier(mapping.new))
    return sql.SQL("    IF {given} THEN\n      {to_old}\n    ELSE\n      {to_new}\n    END IF;").format(
        given=mapping.differ(new, mapping.default_value), to_old=_to_old(mapping), to_new=_to_new(mapping)
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


def _by_column(facts: Table, mappings: tuple[Mapping, ...]) -> tuple[Trigger, ...]:
    old = {mapping.old for mapping in mappings}
    return tuple(trigger for trigger in facts.triggers if old.intersection(trigger.update_of))


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
    return tuple(rebuilt)
