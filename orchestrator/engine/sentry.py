"""The sync triggers on their post: a write that passes one by reaches one side only, and is lost with that side.

DISABLE TRIGGER ALL disables them too, and ENABLE TRIGGER leaves them blind to replicated rows. So they
are looked at before ecm relies on them, and again, under the table's lock, before a side is dropped.
A proof stands for the moment of its scan; the versions of the catalog's rows (xmin) tell whether
every write since then was seen.
"""

import re
from collections.abc import Iterable

from psycopg import sql

from orchestrator.engine import catalog
from orchestrator.engine.connection import Connection
from orchestrator.errors import VerificationError
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName
from orchestrator.sql.steps import Statement, SyncTrigger

Watch = dict[tuple[str, str], tuple[str, ...]]
"""By table and trigger: the versions of the trigger and of its function."""

_BITS = {"ROW": 1, "BEFORE": 2, "AFTER": 0, "INSERT": 4, "DELETE": 8, "UPDATE": 16}
"""What pg_trigger.tgtype is made of (catalog/pg_trigger.h)."""

_STATES = {"D": "is disabled", "R": "fires for replicated rows only", "O": "passes replicated rows by"}
"""pg_trigger.tgenabled, where it is not A, ENABLE ALWAYS."""

_TRIGGER = """
SELECT t.tgenabled::text, t.tgtype, n.nspname, p.proname, p.prosrc,
  ARRAY[t.oid::text, t.xmin::text, p.oid::text, p.xmin::text]
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
WHERE s.nspname = %s AND c.relname = %s AND t.tgname = %s
"""


def on_post(connection: Connection, triggers: Iterable[SyncTrigger], *, since: Watch | None = None) -> Watch:
    """Make sure that each trigger keeps both sides in step; return the watch, for a later look.

    Args:
        connection: a session with the branch.
        triggers: as they have to be.
        since: an earlier watch; a trigger must not have been touched from then on.

    Raises:
        VerificationError: one is gone, disabled or another, or was so in between; the hint restores it.
    """
    watch: Watch = {}
    for trigger in triggers:
        versions = _versions(connection, trigger)
        key = (trigger.table.qualified, trigger.name)
        watch[key] = versions
        if since is not None and since.get(key) != versions:
            raise VerificationError(
                f"trigger {trigger.name} on {trigger.table} was touched while ecm proved that both sides agree",
                details=["it is in order now, but what was written in between may have passed it by"],
                hint="run the same command again, for a new proof",
            )
    return watch


def made(connection: Connection, triggers: Iterable[SyncTrigger]) -> None:
    """Make sure that each trigger is there, enabled or not.

    Raises:
        VerificationError: one is gone; the hint makes it again.
    """
    for trigger in triggers:
        if connection.execute(_TRIGGER, [trigger.table.schema, trigger.table.name, trigger.name]).fetchone() is None:
            raise _fault(trigger, "is gone", (trigger.create_function, trigger.create))


def as_json(watch: Watch) -> dict[str, list[str]]:
    """Return a watch as it is kept in the journal, to be compared with a later one."""
    return {f"{table} {trigger}": list(versions) for (table, trigger), versions in sorted(watch.items())}


def lasting(connection: Connection, watch: Watch) -> dict[str, list[str]]:
    """Return a watch as it is kept for as long as contract can be undone, with the files that the rows are in.

    What changes values in all rows without a trigger's being called, ALTER TABLE with a USING, gives the table another.
    """
    tables = sorted({table for table, _ in watch})
    return as_json(watch) | {each: [str(catalog.filenode(connection, TableName.parse(each)))] for each in tables}


def watched(kept: dict[str, list[str]]) -> tuple[tuple[TableName, str], ...]:
    """Return the (table, trigger) pairs of a watch as it is kept in the journal."""
    # Neither name has an end of its own there: what begins with ecm's signs is the trigger's.
    found = (re.fullmatch(r"(.*?) ([~!]ecm.*)", key, re.DOTALL) for key in kept)
    return tuple((TableName.parse(each[1]), each[2]) for each in found if each is not None)


def absent(connection: Connection, names: Iterable[tuple[TableName, str]]) -> tuple[str, ...]:
    """Return what a glance can tell of (table, trigger) pairs that are not on their post, a line each."""
    found: list[str] = []
    for table, name in names:
        row = connection.execute(_TRIGGER, [table.schema, table.name, name]).fetchone()
        if row is None or row[0] != "A":
            found.append(f"trigger {name} on {table} {_STATES[row[0]] if row else 'is gone'}")
    return tuple(found)


def _versions(connection: Connection, trigger: SyncTrigger) -> tuple[str, ...]:
    row = connection.execute(_TRIGGER, [trigger.table.schema, trigger.table.name, trigger.name]).fetchone()
    if row is None:
        raise _fault(trigger, "is gone", (trigger.create_function, trigger.create, trigger.enable))
    enabled, kind, schema, function, body, versions = row
    right = sum(_BITS[word] for word in ("ROW", trigger.timing, *trigger.events))
    if (schema, function, kind) != (JOURNAL_SCHEMA, trigger.function, right):
        drop = sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(trigger.name), trigger.table.identifier)
        raise _fault(trigger, "is another", (drop, trigger.create_function, trigger.create, trigger.enable))
    if body not in trigger.bodies:
        why = "has another function than this plan gives it (replaced, or a default of either side was changed)"
        raise _fault(trigger, why, (trigger.create_function,))
    if enabled != "A":
        raise _fault(trigger, _STATES[enabled], (trigger.enable,))
    return tuple(versions)


def _fault(trigger: SyncTrigger, what: str, remedy: tuple[Statement, ...]) -> VerificationError:
    return VerificationError(
        f"trigger {trigger.name} on {trigger.table}, which {trigger.does}, {what}",
        details=[
            "what was written since then may be on one side only, and would be lost with it; nothing was changed",
            "set it right, then let ecm verify name the rows that differ:",
            *(f"{statement.as_string(None)};" for statement in remedy),
        ],
        hint="after that, run the same command again",
    )
