"""Count the rows that are written from now on and would not pass a proof: the trigger for it.

It is made at expand and disabled, when it costs nothing. Before a proof that a side may go it is given the proof's
own condition and enabled; the lock for that waits for every writer under way, so that whoever the proof does not see
is counted (`orchestrator.sql.steps.Strays`, and docs/decisions/0029-rows-after-the-last-proof-are-counted.md).
"""

from collections.abc import Iterable
from dataclasses import replace

from psycopg import sql

from orchestrator.sql import plpgsql, sync
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, bounded
from orchestrator.sql.mapping import Mapping
from orchestrator.sql.steps import Proof, Statement, Strays, SyncTrigger
from orchestrator.sql.sync import Ddl

_IDLE = "BEGIN RETURN NULL; END"


def install(plan: str, facts: Table, mappings: tuple[Mapping, ...]) -> Ddl:
    """Return what makes the trigger, disabled, and what takes it away; nothing where no row can stray."""
    straying = _straying(mappings)
    if not straying:
        return Ddl(statements=(), inverse=())
    trigger = _trigger(plan, facts, straying, _IDLE)
    return Ddl(
        statements=(trigger.create_function, trigger.create, _disabled(trigger)),
        inverse=(
            sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(trigger.name), facts.name.identifier),
            sql.SQL("DROP FUNCTION IF EXISTS {}()").format(sql.Identifier(JOURNAL_SCHEMA, trigger.function)),
            sql.SQL("DROP SEQUENCE IF EXISTS {}").format(_counter(plan, facts)),
        ),
    )


def strays(plan: str, facts: Table, proof: Proof) -> Strays:
    """Return what counts the rows of a table that would not pass a proof of it."""
    proof = replace(proof, mappings=_straying(proof.mappings))
    trigger = _trigger(plan, facts, proof.mappings, _body(_counter(plan, facts), facts, proof))
    triggers = (trigger, *(sync.on_partition(trigger, partition) for partition in facts.lockable[1:]))
    counter = _counter(plan, facts)
    return Strays(
        table=facts.name,
        counter=counter,
        triggers=triggers,
        begin=(
            sql.SQL("CREATE SEQUENCE IF NOT EXISTS {}").format(counter),
            trigger.create_function,
            *(each.enable for each in triggers),
        ),
        end=tuple(map(_disabled, triggers)),
    )


def _straying(mappings: Iterable[Mapping]) -> tuple[Mapping, ...]:
    """Return the mappings that a row may leave behind; a rule in place drops no side, and asks for the row's ctid."""
    return tuple(mapping for mapping in mappings if mapping.may_stray)


def _trigger(plan: str, facts: Table, mappings: tuple[Mapping, ...], body: str) -> SyncTrigger:
    # A row may come before the one in the other table that it goes with: what counts is the writer's end.
    return sync.made(
        plan,
        facts.name,
        sync.header(facts, mappings, definer=True),
        name=bounded(sync.LAST, "strays", plan, facts.name.qualified),
        function=sync.function_name("strays", plan, facts.name),
        bodies=(body,),
        timing="AFTER",
        # A row that goes may have been what gave another its place.
        events=("INSERT", "UPDATE", "DELETE") if _pairs_up(mappings) else SyncTrigger.events,
        late=_is_late(mappings),
        spared=False,
        does="counts what a proof has to look at again",
    )


def _disabled(trigger: SyncTrigger) -> Statement:
    return sql.SQL("ALTER TABLE {} DISABLE TRIGGER {}").format(trigger.table.identifier, sql.Identifier(trigger.name))


def _counter(plan: str, facts: Table) -> sql.Identifier:
    return sql.Identifier(JOURNAL_SCHEMA, bounded("strays", plan, facts.name.qualified))


def _is_late(mappings: tuple[Mapping, ...]) -> bool:
    return any(mapping.reaches_out for mapping in mappings)


def _pairs_up(mappings: tuple[Mapping, ...]) -> bool:
    return any(mapping.bereft(closing=True, giving_up=True) is not None for mapping in mappings)


def _still_there(table: TableName) -> sql.Composed:
    """Return a condition over NEW, at the end of a transaction: that has not written the row again, or deleted it.

    A deferred trigger is given each version of a row as the statement left it, once all have been written: what the
    last of them is has a call of its own. No version that the transaction itself replaced can have lost its place
    (ctid) to another row before its end.
    """
    return sql.SQL("EXISTS (SELECT FROM {} AS t WHERE t.ctid = NEW.ctid AND t.tableoid = TG_RELID)").format(
        table.identifier
    )


def _body(counter: sql.Identifier, facts: Table, proof: Proof) -> str:
    """Return the body: where the condition cannot be told, the row is counted, and its write goes on."""
    counted = sql.SQL("PERFORM pg_catalog.nextval({}::pg_catalog.regclass);").format(
        sql.Literal(counter.as_string(None))
    )
    comes = plpgsql.when(plpgsql.over("NEW", proof.mismatch), counted)
    if _is_late(proof.mappings):
        comes = plpgsql.when(_still_there(facts.name), comes)
    work = comes
    if _pairs_up(proof.mappings):
        work = plpgsql.when(sql.SQL("TG_OP <> 'DELETE'"), comes)
        if proof.bereft is not None:
            goes = plpgsql.when(plpgsql.over("OLD", proof.bereft), counted)
            work = sql.SQL("\n").join([work, plpgsql.when(sql.SQL("TG_OP <> 'INSERT'"), goes)])
    return (
        sql.SQL(
            "#variable_conflict use_column\nBEGIN\nBEGIN\n{}\nEXCEPTION WHEN OTHERS THEN\n{counted}\nEND;\n"
            "RETURN NULL;\nEND"
        )
        .format(work, counted=counted)
        .as_string(None)
    )
