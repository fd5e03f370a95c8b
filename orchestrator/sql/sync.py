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

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Literal, LiteralString

from psycopg import sql

from orchestrator.sql.facts import Enabled, Table, Trigger
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, bounded, verbatim
from orchestrator.sql.mapping import Mapping, Truth
from orchestrator.sql.steps import Statement, SyncTrigger

LAST = "~ecm"
"""How the name begins of a trigger that fires after those of the table."""
FIRST = "!ecm"
"""How the name begins of a trigger that fires before those of the table."""
GUARD = "ecm.backfill"
"""The setting by which a sweep's own transaction spares itself the call of its own plan's trigger.

It holds the trigger's name: the trigger of another plan on the same table has to see the row.
"""


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
    table = facts.name
    parts = [part for part in triggers(plan, facts, mappings) if part.table == table]  # partitions get theirs from it
    widened = [_rebuilt(table, trigger, _with_new(trigger, mappings)) for trigger in by_column(facts, mappings)]
    narrowed = [_rebuilt(table, trigger, _without_new(trigger, mappings)) for trigger in by_column(facts, mappings)]
    return Ddl(
        statements=(
            *{part.function: part.create_function for part in parts}.values(),
            *chain.from_iterable((part.create, part.enable) for part in parts),
            *chain.from_iterable(widened),
        ),
        inverse=(
            *(
                sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(part.name), table.identifier)
                for part in parts
            ),
            *(
                sql.SQL("DROP FUNCTION IF EXISTS {}()").format(sql.Identifier(JOURNAL_SCHEMA, part.function))
                for part in {part.function: part for part in parts}.values()
            ),
            *chain.from_iterable(narrowed),
        ),
    )


def triggers(
    plan: str, facts: Table, mappings: tuple[Mapping, ...], truth: Truth = Truth.OLD
) -> tuple[SyncTrigger, ...]:
    """Return the triggers of a plan on a table, as they are made and as they have to be found ever after.

    `truth` is the side that wins in the function by which a lost one is replaced. On a partitioned table each
    partition has the same ones, made by PostgreSQL, and can have them disabled for itself alone.
    """
    table, named, last = facts.at, facts.name, trigger_name(plan, facts.name)
    encloses, head, withdrawn = _encloses(plan, facts, mappings), header(facts, mappings), _withdrawn(mappings)
    bodies = [
        *(_sync_body(_before(mappings, encloses), each) for each in sorted(Truth, key=lambda each: each is not truth)),
        _sync_body(_before(withdrawn, encloses), Truth.OLD),
    ]
    keeps = made(
        plan,
        table,
        head,
        name=bounded(FIRST, plan, named.qualified) if encloses else last,
        function=function_name("sync", plan, named),
        bodies=tuple(dict.fromkeys(bodies)),
    )
    own = [keeps]
    if encloses:
        settled = tuple(dict.fromkeys((_settle_body(mappings), _settle_body(withdrawn))))
        own.append(made(plan, table, head, name=last, function=function_name("settle", plan, named), bodies=settled))
    if any(mapping.after() is not None for mapping in mappings):
        own.append(
            made(
                plan,
                table,
                head,
                name=bounded(LAST, "after", plan, named.qualified),
                function=function_name("after", plan, named),
                bodies=(_after_body(mappings),),
                timing="AFTER",
            )
        )
    own += _healers(plan, facts, head, mappings)
    # Of one that is partitioned again no row fires it, but partitions that come have theirs from it.
    return (*own, *(on_partition(each, partition) for partition in facts.lockable[1:] for each in own))


_HEALED_WITHIN = "100ms"
"""How long a row that is healed waits for others: well below deadlock_timeout, in somebody's transaction."""


def _healers(plan: str, facts: Table, head: str, mappings: tuple[Mapping, ...]) -> list[SyncTrigger]:
    """Return what looks at repaired rows again: when the statement is over, and when the transaction is.

    Whoever reads between two statements is to find what was written, so the first does not wait for the second.
    """
    healings = [healing for mapping in mappings if (healing := mapping.healing()) is not None]
    if not healings:
        return []
    body = _body(sql.SQL("\n").join(healing.work for healing in healings))
    return [
        made(
            plan,
            facts.at,
            f"{head} SET lock_timeout = '{_HEALED_WITHIN}'",
            name=bounded(LAST, moment, plan, facts.name.qualified),
            function=function_name("heal", plan, facts.name),
            bodies=(body,),
            timing="AFTER",
            late=moment == "late",
            wanted=sql.SQL(" OR ").join(healing.wanted for healing in healings),
        )
        for moment in ("heal", "late")
    ]


def _encloses(plan: str, facts: Table, mappings: tuple[Mapping, ...]) -> bool:
    """Whether the table's own triggers have to be shown what was written through a new side, before they look."""
    if all(mapping.comes_last for mapping in mappings):
        return False
    last, there = trigger_name(plan, facts.name), {trigger.name: trigger.function for trigger in facts.triggers}
    if bounded(FIRST, plan, facts.name.qualified) in there:
        return True
    return there[last] == function_name("settle", plan, facts.name) if last in there else bool(meddlers(facts))


def _before(mappings: tuple[Mapping, ...], encloses: bool) -> tuple[Mapping, ...]:
    """Return the mappings of the sync function; what comes last is left to the trigger that fires last."""
    return tuple(mapping for mapping in mappings if not (encloses and mapping.comes_last))


def _withdrawn(mappings: tuple[Mapping, ...]) -> tuple[Mapping, ...]:
    return tuple(mapping.withdrawn for mapping in mappings)


def withdraw(plan: str, facts: Table, mappings: tuple[Mapping, ...]) -> tuple[Statement, ...]:
    """Return what has the triggers' functions do what a rollback needs of them; see `Mapping.withdrawn`."""
    encloses, head, withdrawn = _encloses(plan, facts, mappings), header(facts, mappings), _withdrawn(mappings)
    sync = _sync_body(_before(withdrawn, encloses), Truth.OLD)
    functions = [_definition(function_name("sync", plan, facts.name), sync, head)]
    if encloses:
        functions.append(_definition(function_name("settle", plan, facts.name), _settle_body(withdrawn), head))
    return tuple(functions)


def on_partition(trigger: SyncTrigger, partition: TableName) -> SyncTrigger:
    """Return the trigger as PostgreSQL makes it for a partition."""
    return replace(trigger, table=partition, enable=enabled(partition, trigger.name))


def enabled(table: TableName, name: str) -> Statement:
    """Return what has a trigger fire always, for replicated rows too."""
    return sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}").format(table.identifier, sql.Identifier(name))


def function_name(role: str, plan: str, table: TableName) -> str:
    """Return the name of a trigger's function, by what it does."""
    return bounded(role, plan, table.qualified)


def made(
    plan: str,
    table: TableName,
    head: str,
    *,
    name: str,
    function: str,
    bodies: tuple[str, ...],
    timing: Literal["BEFORE", "AFTER"] = "BEFORE",
    events: tuple[Literal["INSERT", "UPDATE", "DELETE"], ...] = SyncTrigger.events,
    late: bool = False,
    wanted: sql.Composed | None = None,
    spared: bool = True,
    does: str = SyncTrigger.does,
) -> SyncTrigger:
    """Return a trigger of a plan with its function.

    Args:
        plan: its name.
        table: whose rows it fires for.
        head: with whose rights the function runs, and where it looks names up; see `header`.
        name: the trigger's.
        function: its function's, in the journal's schema.
        bodies: what the function's body may be; it is made with the first.
        timing: when it fires for a row.
        events: what it fires for.
        late: whether it fires at the end of the transaction instead ("CREATE TRIGGER", INITIALLY DEFERRED).
        wanted: a condition over the row that it fires for.
        spared: whether the plan's own sweep is spared the call.
        does: what it is for, for a person.
    """
    sweep = sql.SQL("pg_catalog.current_setting({}, true) IS DISTINCT FROM {}").format(
        sql.Literal(GUARD), sql.Literal(trigger_name(plan, table))
    )
    conditions = [*([sweep] if spared else []), *([sql.SQL("({})").format(wanted)] if wanted is not None else [])]
    when = sql.SQL(" WHEN ({})").format(sql.SQL(" AND ").join(conditions)) if conditions else sql.SQL("")
    return SyncTrigger(
        table=table,
        name=name,
        function=function,
        timing=timing,
        bodies=bodies,
        create_function=_definition(function, bodies[0], head),
        events=events,
        create=sql.SQL(
            "CREATE {constraint}TRIGGER {name} {timing} {events} ON {table}{deferred} FOR EACH ROW{when}"
            " EXECUTE FUNCTION {function}()"
        ).format(
            constraint=sql.SQL("CONSTRAINT " if late else ""),
            name=sql.Identifier(name),
            timing=verbatim(timing),
            events=verbatim(" OR ".join(events)),
            table=table.identifier,
            deferred=sql.SQL(" DEFERRABLE INITIALLY DEFERRED" if late else ""),
            when=when,
            function=sql.Identifier(JOURNAL_SCHEMA, function),
        ),
        enable=enabled(table, name),
        does=does,
    )


def sync_function(plan: str, facts: Table, mappings: tuple[Mapping, ...], truth: Truth) -> sql.Composed:
    """Return the CREATE OR REPLACE of the sync function; replacing it takes no lock on the table."""
    body = _sync_body(_before(mappings, _encloses(plan, facts, mappings)), truth)
    return _definition(function_name("sync", plan, facts.name), body, header(facts, mappings))


@lru_cache(maxsize=256)
def _sync_body(mappings: tuple[Mapping, ...], truth: Truth) -> str:
    # A command wants the same ones a dozen times: to show, to make, to look for. To compose one takes milliseconds.
    body = sql.SQL("  IF TG_OP = 'INSERT' THEN\n{inserts}\n  ELSE\n{updates}\n  END IF;").format(
        inserts=sql.SQL("\n").join(mapping.on_insert(truth) for mapping in mappings),
        updates=sql.SQL("\n").join(mapping.on_update(truth) for mapping in mappings),
    )
    return _body(body)


def _settle_body(mappings: tuple[Mapping, ...]) -> str:
    return _body(sql.SQL("\n").join(mapping.settle() for mapping in mappings))


def _after_body(mappings: tuple[Mapping, ...]) -> str:
    return _body(sql.SQL("\n").join(work for mapping in mappings if (work := mapping.after()) is not None))


def _body(work: sql.Composed) -> str:
    # A column may have the name of one of PL/pgSQL's own variables, such as found ("Variable Substitution", 43.11.1).
    return sql.SQL("#variable_conflict use_column\nBEGIN\n{}\n  RETURN NEW;\nEND").format(work).as_string(None)


def _definition(function: str, body: str, head: str) -> sql.Composed:
    return sql.SQL("CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql {head} AS {body}").format(
        name=sql.Identifier(JOURNAL_SCHEMA, function), head=verbatim(head), body=sql.Literal(body)
    )


def header(facts: Table, mappings: tuple[Mapping, ...], *, definer: bool = False) -> str:
    """Return with whose rights a function runs, and where the names in its body are looked up.

    A plan's expressions mean what the role sees. Types go by name too: without pg_temp at the end, an
    application's temporary table `date` would be that type.
    """
    path = facts.search_path if any(mapping.runs_code for mapping in mappings) else "pg_catalog"
    rights = "SECURITY DEFINER " if definer or any(mapping.reaches_out for mapping in mappings) else ""
    return f"{rights}SET search_path = {path}, pg_temp"


def functions(plan: str, facts: Table, mappings: tuple[Mapping, ...], truth: Truth) -> tuple[Statement, ...]:
    """Return the CREATE OR REPLACE of every function of a table's triggers."""
    return tuple(part.create_function for part in triggers(plan, facts, mappings, truth) if part.table == facts.at)


def handed_over(table: TableName, trigger: Trigger, old: str, new: str) -> tuple[Statement, ...]:
    """Return what makes an UPDATE OF trigger fire for a new column where it fired for an old one."""
    columns = (new if column == old else column for column in trigger.update_of)
    return _rebuilt(table, trigger, tuple(dict.fromkeys(columns)))


def by_column(facts: Table, mappings: tuple[Mapping, ...]) -> tuple[Trigger, ...]:
    """Return the table's UPDATE OF triggers on an old column."""
    old = {name for mapping in mappings for name in mapping.olds}
    return tuple(trigger for trigger in facts.triggers if old.intersection(trigger.update_of))


def touchable(facts: Table, mappings: tuple[Mapping, ...]) -> str | None:
    """Return a column that an UPDATE may set to itself without firing more triggers than any UPDATE does."""
    taken = {name for trigger in facts.triggers for name in trigger.update_of}
    taken |= {name for mapping in mappings for name in (*mapping.olds, *mapping.news)}
    free = [c.name for c in facts.columns if not (c.name in taken or c.identity or c.generated or c.partition_key)]
    # A key set to itself still locks the row against foreign key checks; a plain column does not.
    indexed = {name for index in facts.indexes for name in index.columns}
    return min(free, key=lambda name: name in indexed, default=None)


def _with_new(trigger: Trigger, mappings: tuple[Mapping, ...]) -> tuple[str, ...]:
    added = [n for mapping in mappings if set(mapping.olds) & set(trigger.update_of) for n in mapping.news]
    return (*trigger.update_of, *(name for name in added if name not in trigger.update_of))


def _without_new(trigger: Trigger, mappings: tuple[Mapping, ...]) -> tuple[str, ...]:
    new = {name for mapping in mappings for name in mapping.news}
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
        rebuilt.append(_set_to_fire(table, trigger.name, trigger.enabled))
    if trigger.comment is not None:
        rebuilt.append(_commented(table, trigger.name, trigger.comment))
    # Partitions have it as the table has, whatever was said of their parts.
    for part in trigger.parts:
        if part.enabled != trigger.enabled:
            rebuilt.append(_set_to_fire(part.table, trigger.name, part.enabled, only=True))
        if part.comment is not None:
            rebuilt.append(_commented(part.table, trigger.name, part.comment))
    if trigger.constraint_comment is not None:
        rebuilt.append(
            sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}").format(
                name, table.identifier, sql.Literal(trigger.constraint_comment)
            )
        )
    return tuple(rebuilt)


_STATES: dict[Enabled, LiteralString] = {
    "O": "ENABLE",
    "D": "DISABLE",
    "R": "ENABLE REPLICA",
    "A": "ENABLE ALWAYS",
}


def _set_to_fire(table: TableName, trigger: str, enabled: Enabled, *, only: bool = False) -> sql.Composed:
    return sql.SQL("ALTER TABLE {}{} {} TRIGGER {}").format(
        sql.SQL("ONLY " if only else ""), table.identifier, sql.SQL(_STATES[enabled]), sql.Identifier(trigger)
    )


def _commented(table: TableName, trigger: str, comment: str) -> sql.Composed:
    return sql.SQL("COMMENT ON TRIGGER {} ON {} IS {}").format(
        sql.Identifier(trigger), table.identifier, sql.Literal(comment)
    )
