"""Notice who still writes the old side: triggers for it, from reads migrated until contract.

An UPDATE whose SET names an old column, an INSERT that gives the old side and not the new, a write that breaks a rule
and is repaired. What nobody wrote costs nothing: whether an UPDATE names a column PostgreSQL knows without a look at
the row ("CREATE TRIGGER", UPDATE OF), and an INSERT is asked about by a condition of the trigger itself.

What was noticed is kept in two sequences, once a second for each session at most. A sequence is written at once,
whether or not the writer commits, without a row that others would wait for; the function runs with ecm's rights, so
that a writer needs none (docs/decisions/0038-writes-of-the-old-side-leave-their-time.md).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql

from orchestrator.sql import plpgsql, sync
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, bounded, verbatim
from orchestrator.sql.mapping import Reliance
from orchestrator.sql.steps import Statement, SyncTrigger
from orchestrator.sql.sync import Ddl

ROLES = 2**32
"""What a second is multiplied by in the sequence of the last write: the oid of the role is added to it."""
EPOCH = 946684800
"""2000-01-01 in seconds of Unix time, from which on those seconds count: until 2068 they fit."""

_HANDED_ON = sql.SQL(
    "IF TG_OP = 'UPDATE' AND pg_catalog.pg_trigger_depth() > 1 THEN\nGET DIAGNOSTICS \"~stack\" = PG_CONTEXT;\n"
    'IF "~stack" ~ \'^[^[:cntrl:]]*[[:cntrl:]]+[^[:cntrl:]]*"UPDATE (ONLY )?"[^[:cntrl:]]*'
    " WHERE [$][0-9]+ OPERATOR[(]'"
    " THEN\nRETURN NEW;\nEND IF;\nEND IF;\n"
)
"""In the function: a foreign key hands on another table's key (CASCADE, SET NULL), and names the column as it is now.

PostgreSQL's own statement is what called the trigger; its text says so, which is the same in every language."""

_FIRST, _LAST = f"{sync.FIRST}-uses", f"{sync.LAST}-uses"
"""How the names begin: before the sync trigger, which makes both sides alike, and before or after the table's own."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What notices writes of one kind on a table.

    Attributes:
        what: the writes, for a person.
        counter: the sequence with how often any were noticed: once a second for each session at most.
        last: the sequence with when that was last, and who it was.
        triggers: on the table and on each of its partitions.
        ddl: what makes all of it, and what takes it away.
        beyond: what it cannot tell, for a person.
    """

    table: TableName
    what: str
    counter: sql.Identifier
    last: sql.Identifier
    triggers: tuple[SyncTrigger, ...]
    ddl: Ddl
    beyond: str = ""

    @property
    def noticed(self) -> Statement:
        """The query for how often, when last (seconds since 1970) and by which role (its oid); no row: never."""
        return sql.SQL(
            "SELECT c.last_value, l.last_value / {roles} + {epoch}, l.last_value % {roles}"
            " FROM {counter} AS c, {last} AS l WHERE c.is_called AND l.is_called"
        ).format(roles=sql.Literal(ROLES), epoch=sql.Literal(EPOCH), counter=self.counter, last=self.last)


def watches(plan: str, facts: Table, reliances: Iterable[Reliance]) -> tuple[Watch, ...]:
    """Return what notices the writes that rely on what contract takes away, one watch for each way of it.

    Args:
        plan: its name.
        facts: of the table.
        reliances: how they are told.
    """
    return tuple(_watch(plan, facts, number, each) for number, each in enumerate(reliances))


@dataclass(frozen=True, kw_only=True)
class _Names:
    """What a watch is made of, by name."""

    counter: sql.Identifier
    last: sql.Identifier
    function: str

    @property
    def note(self) -> sql.Literal:
        """The setting in which a session keeps the second that it noted last."""
        return sql.Literal("ecm.uses_" + hashlib.sha256(self.counter.as_string(None).encode()).hexdigest()[:16])

    @property
    def not_noted(self) -> sql.Composed:
        """A condition: the session has noted nothing this second."""
        return sql.SQL("pg_catalog.current_setting({}, true) IS DISTINCT FROM {}::pg_catalog.text").format(
            self.note, _NOW
        )


_NOW = sql.SQL("pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()))::pg_catalog.int8")


def _watch(plan: str, facts: Table, number: int, reliance: Reliance) -> Watch:
    parts = ("uses", str(number), plan, facts.name.qualified)
    counter, last = (sql.Identifier(JOURNAL_SCHEMA, bounded(role, *parts)) for role in ("count", "last"))
    names = _Names(counter=counter, last=last, function=bounded(*parts))
    body = _body(reliance, names)
    path = facts.search_path if reliance.runs_code else "pg_catalog"
    create_function = sql.SQL(
        "CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = {}, pg_temp AS {}"
    ).format(sql.Identifier(JOURNAL_SCHEMA, names.function), verbatim(path), sql.Literal(body))
    own = tuple(_triggers(plan, facts, number, reliance, names=names, body=body, create_function=create_function))
    return Watch(
        table=facts.name,
        what=f"writes of {facts.name} {reliance.says}",
        counter=counter,
        last=last,
        triggers=(*own, *(sync.on_partition(each, part) for part in facts.lockable[1:] for each in own)),
        ddl=Ddl(
            statements=(
                *(sql.SQL("CREATE SEQUENCE IF NOT EXISTS {}").format(each) for each in (counter, last)),
                create_function,
                *(statement for each in own for statement in (each.create, each.enable)),
            ),
            inverse=(
                *(
                    sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(each.name), facts.name.identifier)
                    for each in own
                ),
                sql.SQL("DROP FUNCTION IF EXISTS {}()").format(sql.Identifier(JOURNAL_SCHEMA, names.function)),
                sql.SQL("DROP SEQUENCE IF EXISTS {}, {}").format(counter, last),
            ),
        ),
        beyond=reliance.beyond,
    )


def _triggers(
    plan: str,
    facts: Table,
    number: int,
    reliance: Reliance,
    *,
    names: _Names,
    body: str,
    create_function: sql.Composed,
) -> Iterable[SyncTrigger]:
    """One for each event that there is a way to ask about: only that of an UPDATE can be bound to columns."""
    columns = sql.SQL(", ").join(map(sql.Identifier, reliance.columns))
    asked: list[tuple[str, sql.Composed, sql.Composed | None]] = []
    if reliance.inserted is not None:
        asked.append(("INSERT", sql.Composed([sql.SQL("INSERT")]), reliance.inserted))
    if reliance.columns:
        # A statement that writes many rows is noted with the first of them; the others need no call of the function.
        condition = reliance.updated or (names.not_noted if reliance.judged_update is None else None)
        asked.append(("UPDATE", sql.SQL("UPDATE OF {}").format(columns), condition))
    for event, on, condition in asked:
        name = bounded(_LAST if reliance.last else _FIRST, event.lower(), str(number), plan, facts.name.qualified)
        yield SyncTrigger(
            table=facts.name,
            name=name,
            function=names.function,
            timing="BEFORE",
            bodies=(body,),
            events=("INSERT",) if event == "INSERT" else ("UPDATE",),
            create_function=create_function,
            create=sql.SQL("CREATE TRIGGER {} BEFORE {} ON {} FOR EACH ROW{} EXECUTE FUNCTION {}()").format(
                sql.Identifier(name),
                on,
                facts.name.identifier,
                sql.SQL("") if condition is None else sql.SQL(" WHEN ({})").format(condition),
                sql.Identifier(JOURNAL_SCHEMA, names.function),
            ),
            enable=sync.enabled(facts.name, name),
            does="notices who still writes the old side",
        )


def _body(reliance: Reliance, names: _Names) -> str:
    """Return the function's body: nothing that happens in it keeps a write from going on."""
    note = sql.SQL(
        "IF {not_noted} THEN\nBEGIN\n{handed_on}"
        "PERFORM pg_catalog.nextval({counter}::pg_catalog.regclass), pg_catalog.setval({last}::pg_catalog.regclass,"
        " ({now} - {epoch}) * {roles}"
        " + pg_catalog.quote_ident(session_user)::pg_catalog.regrole::pg_catalog.oid::pg_catalog.int8),"
        " pg_catalog.set_config({note}, {now}::pg_catalog.text, false);\n"
        "EXCEPTION WHEN OTHERS THEN NULL;\nEND;\nEND IF;"
    ).format(
        not_noted=names.not_noted,
        counter=sql.Literal(names.counter.as_string(None)),
        last=sql.Literal(names.last.as_string(None)),
        now=_NOW,
        epoch=sql.Literal(EPOCH),
        roles=sql.Literal(ROLES),
        note=names.note,
        # What breaks a rule breaks it after contract, too, whoever writes it.
        handed_on=_HANDED_ON if reliance.judged_update is None else sql.SQL(""),
    )
    judged = [
        plpgsql.when(sql.SQL("TG_OP = {}").format(sql.Literal(event)), _unless(condition))
        for event, condition in (("INSERT", reliance.judged_insert), ("UPDATE", reliance.judged_update))
        if condition is not None
    ]
    told = (
        [sql.SQL("BEGIN\n{}\nEXCEPTION WHEN OTHERS THEN RETURN NEW;\nEND;").format(sql.SQL("\n").join(judged))]
        if judged
        else []
    )
    lines = sql.SQL("\n").join((*told, note))
    return (
        sql.SQL('#variable_conflict use_column\nDECLARE\n"~stack" pg_catalog.text;\nBEGIN\n{}\nRETURN NEW;\nEND')
        .format(lines)
        .as_string(None)
    )


def _unless(condition: sql.Composed) -> sql.Composed:
    return plpgsql.when(sql.SQL("({}) IS NOT TRUE").format(condition), sql.SQL("RETURN NEW;"))
