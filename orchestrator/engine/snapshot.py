"""Read what a plan's tables look like on a branch, so that it can be compared with another branch.

Two round trips: which relations there are, and everything on them, looked up by their oids. Definitions are those that
PostgreSQL prints itself; ecm's sessions have an empty search_path, so every name in them is qualified and texts of two
branches are comparable. What differs rightly between branches is left out: names of roles, grants, owners, comments,
sizes, statistics, values of sequences, positions of columns, tablespaces and storage parameters. So is what ecm keeps
itself: the bodies of its sync functions, which the sentry watches, and the queries of views that stand in for a plan's
tables. To print a view PostgreSQL locks it, and what it reads, for a moment (ACCESS SHARE). Where it is locked already,
as while a materialized view is refreshed, its query is left unread, so that no phase waits for that.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from psycopg import errors

from orchestrator.engine.connection import Connection, select
from orchestrator.engine.schema_queries import ALL_RELATIONS, everything
from orchestrator.engine.snapshot_queries import RELATIONS, things
from orchestrator.plan.drift import FUNCTION, QUERY, UNREAD, Snapshot, Subjects, Thing
from orchestrator.redaction import redact
from orchestrator.sql.identifiers import TableName

_LONGEST = 400
"""Characters of a definition that are kept as they are."""

_DIGESTED = frozenset({QUERY, FUNCTION})

_KINDS = {"r": "table", "p": "table", "f": "foreign table", "v": "view", "m": "materialized view"}


def read(connection: Connection, subjects: Subjects) -> Snapshot:
    """Return what there is of a plan's tables; a table that is not there has no part in it.

    Args:
        connection: a session with the branch, in autocommit.
        subjects: what to look at.
    """
    relations = select(
        connection,
        RELATIONS,
        {
            "schemas": [table.schema for table in subjects.tables],
            "names": [table.name for table in subjects.tables],
            "type_schemas": [name.schema for name in subjects.types],
            "types": [name.name for name in subjects.types],
        },
    )
    return _snapshot(connection, relations, things) if relations else Snapshot.of((), server=_major(connection))


def read_all(connection: Connection) -> Snapshot:
    """Return the whole schema of the application: all but what is ecm's, PostgreSQL's or an extension's own."""
    return _snapshot(connection, select(connection, ALL_RELATIONS), everything)


def _snapshot(connection: Connection, relations: list[dict[str, Any]], query: Callable[..., str]) -> Snapshot:
    by_role: dict[str, list[int]] = {"named": [], "part": [], "view": []}
    for row in relations:
        by_role[row["role"]].append(row["oid"])
    try:
        rows = select(connection, query(connection.info.server_version), by_role)
    except errors.LockNotAvailable:
        rows = select(connection, query(connection.info.server_version, queries=False), by_role)
    return Snapshot.of(_things(rows), server=_major(connection))


def _major(connection: Connection) -> int:
    return connection.info.server_version // 10000


def _things(rows: list[dict[str, Any]]) -> Iterator[Thing]:
    for row in rows:
        table = str(TableName(row["schema"], row["relation"])) if row["relation"] else ""
        kind = _KINDS[row["kind"]] if row["kind"] in _KINDS else row["kind"]
        has = {trait: _kept(trait, value) for trait, value in row["has"].items()}
        yield Thing(kind=kind, name=_name(row, table), of="" if row["alone"] else table, has=_split(has))


def _name(row: dict[str, Any], table: str) -> str:
    """Return a thing's name: within its table, or with its table where it has no schema, or in its schema."""
    match row["named"]:
        case "relation":
            return table
        case "in":
            return f"{table}.{row['name']}"
        case "on":
            return f"{row['name']} on {table}"
        case "itself":
            return str(row["name"])
        case _:
            return str(TableName(row["schema"], row["name"]))


def _kept(trait: str, value: str) -> str:
    """Return a trait as it is kept: of a long text its beginning, and what tells it from all others.

    It is shown, and the ledger keeps it for good. So it has no password, which a default may hold, or what a trigger
    hands its function.
    """
    shown = redact(value)
    if value == UNREAD or (trait not in _DIGESTED and shown == value and len(value) <= _LONGEST):
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()[:16]
    if trait in _DIGESTED:
        return digest
    return f"{shown[:_LONGEST]}{'…' if len(shown) > _LONGEST else ''} ({digest})"


def _split(has: dict[str, str]) -> dict[str, str]:
    """Tell when a trigger fires from what it runs: `CREATE TRIGGER name fires ON table runs`."""
    head, between = has.pop("head", None), has.pop("between", "")
    if head is None:
        return has
    fires, _, runs = has.pop("trigger").removeprefix(head).partition(between)
    return {**has, "fires": fires, "runs": runs}
