"""Read from the catalog what reads a column, and let PostgreSQL say how it would read another.

Dependents are bound by column number. So in a transaction that is rolled back the column is given a
marker for its name, and PostgreSQL prints the marker wherever that column is meant, and nowhere else;
the names that a view gives its columns survive, because PostgreSQL adds them (AS). That takes ACCESS
EXCLUSIVE for a moment, within the lock budget, and so it is done only where a text is needed: the new
column is there, and has another name, or a materialized view is to be built over it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from psycopg import sql

from orchestrator.engine import enums, locks, reader_queries
from orchestrator.engine.connection import Connection, select
from orchestrator.sql import remaking
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName
from orchestrator.sql.moving import SECOND_LOCK
from orchestrator.sql.readers import Move, Privilege, Reader, ReaderColumn, ReaderIndex, ReaderTrigger
from orchestrator.sql.restating import Restated
from orchestrator.sql.steps import LockMode

Node = tuple[str, int]
"""An object of the catalog: the name of its catalog, and its oid there."""

MARKER = "ecm marker"
"""The name a column has while PostgreSQL is asked; not one that is written without quotes."""

_LOCK_BUDGET = timedelta(milliseconds=700)
"""How long the marker may wait for its lock: less than after which an application looks for deadlocks."""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The readers of a column, each after those it stands on, and what stands in the way of moving them."""

    readers: dict[Node, Reader]
    unmovable: tuple[Dependent, ...]


def with_readers(connection: Connection, table: Table, moves: Iterable[Move], *, texts: bool = True) -> Table:
    """Return a table's facts with the readers of the columns that a switch moves them between.

    Args:
        connection: a session with the branch, in autocommit.
        table: its facts.
        moves: from which column to which.
        texts: whether to find out how the readers would read over the new column.

    Raises:
        psycopg.errors.LockNotAvailable: texts were needed, and the table was not to be had within the budget.
    """
    for move in moves:
        found = {
            column: _read(connection, table, column)
            for column in dict.fromkeys(move.columns)
            if table.column(column) is not None
        }
        readers = {column: tuple(each.readers.values()) for column, each in found.items()}
        unmovable = {column: each.unmovable for column, each in found.items()}
        old = found.get(move.old)
        if old is not None:
            unmovable[move.old] = (*old.unmovable, *_merging(old.readers.values(), move))
        if old is not None and texts and table.column(move.new) is not None:
            readers[move.old] = _moved(connection, table, move, old)
        if old is not None and move.restated is not None:
            texts_again = _restated(connection, move.restated, old)
            readers[move.old] = tuple(replace(each, again=texts_again.get(each.key)) for each in readers[move.old])
        table = replace(table, readers={**table.readers, **readers}, unmovable={**table.unmovable, **unmovable})
    return table


# ---------------------------------------------------------------- what reads the column


def _read(connection: Connection, table: Table, column: str) -> _Found:
    values: dict[str, Any] = {"oid": table.oid, "column": column}
    edges = select(connection, reader_queries.EDGES, values)
    if not edges:
        return _Found(readers={}, unmovable=())
    nodes = {(edge["class"], edge["object"]): edge for edge in edges}
    views = {node for node, edge in nodes.items() if edge["view"]}
    wanted = {node for node in nodes if node in views or node[0] in ("pg_proc", "pg_rewrite", "pg_policy")}
    obstacles = _others(nodes, wanted)
    oids: dict[str, Any] = {
        name: [oid for which, oid in wanted if which == name]
        for name in ("pg_class", "pg_proc", "pg_rewrite", "pg_policy")
    }
    roots = "|".join(str(row["oid"]) for row in select(connection, reader_queries.ROOTS, values))
    oids["renamed"] = (
        r":alias \{ALIAS :aliasname (\\.|[^ ])+ :colnames \([^)]*\)\} :eref \{[^}]*\} :rtekind 0 :relid ("
        + roots
        + ") "
    )
    described = [
        row
        for query in (reader_queries.RELATIONS, reader_queries.FUNCTIONS, reader_queries.ATTACHED)
        for row in select(connection, query, oids)
    ]
    obstacles += [
        Dependent(
            kind=row["kind"],
            name=f"{row['schema']}.{row['name']}",
            why=f"it cannot be made again: {row['obstacle']}",
            names_it=False,
        )
        for row in described
        if row["obstacle"] is not None
    ]
    kept = {(row["name"], row["schema"], row["on"]) for row in select(connection, reader_queries.KEPT)}
    # What is printed has to wait until it is known that it can be: an aggregate has no definition.
    able = {(row["class"], row["object"]) for row in described if row["obstacle"] is None}
    texts = _texts(connection, able)
    found = {
        node: _reader(row, texts[node], views, kept)
        for row in described
        if (node := (row["class"], row["object"])) in able and node in texts
    }
    return _Found(readers=_ordered(found, _standing(edges, wanted)), unmovable=tuple(obstacles))


def _others(nodes: dict[Node, dict[str, Any]], wanted: set[Node]) -> list[Dependent]:
    """What stands on a reader and is not one, nor a part of one."""
    return [
        Dependent(
            kind=edge["kind"],
            name=edge["identity"].partition("(")[0],
            why=f"it stands on {_on(nodes, edge)}, which has to be made again for the new column",
            names_it=False,
        )
        for node, edge in nodes.items()
        if node not in wanted
        and ("pg_class", edge["belongs_to"]) not in wanted
        and not (node[0] == "pg_type" and edge["how"] == "i")
    ]


def _on(nodes: dict[Node, dict[str, Any]], edge: dict[str, Any]) -> str:
    below = nodes.get((edge["on_class"], edge["on_object"]))
    return below["identity"] if below else "the column"


def _standing(edges: list[dict[str, Any]], wanted: set[Node]) -> dict[Node, set[Node]]:
    """By reader: those it stands on, be it through the type of a view's rows."""
    below: dict[Node, set[Node]] = {}
    for edge in edges:
        if edge["on_class"] is not None:
            below.setdefault((edge["class"], edge["object"]), set()).add((edge["on_class"], edge["on_object"]))

    def through(node: Node, seen: frozenset[Node]) -> set[Node]:
        found: set[Node] = set()
        for each in below.get(node, set()) - seen:
            found |= {each} if each in wanted else through(each, seen | {node})
        return found - {node}

    return {node: through(node, frozenset()) for node in wanted}


def _ordered(found: dict[Node, Reader], standing: dict[Node, set[Node]]) -> dict[Node, Reader]:
    """Each after those it stands on; rules and policies, on which nothing stands, last."""
    below = {node: standing[node] & found.keys() for node in found}
    early = _closure((node for node, reader in found.items() if reader.kind == "materialized view"), below)
    by_name = sorted(found, key=lambda node: (found[node].on is not None, found[node].key))
    return {
        node: replace(found[node], stands_on=frozenset(found[each].key for each in below[node]), early=node in early)
        for node in _closure(by_name, below)
    }


def _closure(nodes: Iterable[Node], below: dict[Node, set[Node]]) -> dict[Node, None]:
    """The nodes and all they stand on, each after those."""
    placed: dict[Node, None] = {}

    def place(node: Node) -> None:
        if node not in placed:
            for each in sorted(below[node]):
                place(each)
            placed[node] = None

    for node in nodes:
        place(node)
    return placed


def _reader(row: dict[str, Any], text: str, views: set[Node], kept: set[tuple[str, str, str | None]]) -> Reader:
    known: dict[str, Any] = {name: row[name] for name in ("kind", "comment")}
    if row["kind"] in ("policy", "rule"):
        reader = Reader(
            name=TableName(row["schema"], row["name"]),
            definition=text,
            on=TableName(row["schema"], row["relation_name"]),
            carried=("pg_class", row["relation"]) in views,
            roles=tuple(row["roles"]),
            table_owner=row["table_owner"],
            enabled=row["enabled"],
            **known,
        )
    else:
        known |= {"owner": row["owner"], "uninvited": tuple(row["uninvited"])}
        if row["privileges"] is not None:
            known["privileges"] = tuple(Privilege(**each) for each in row["privileges"])
        if row["kind"] == "function":
            known["signature"] = row["signature"]
        else:
            known |= {
                "options": _options(row["options"]),
                "columns": tuple(
                    ReaderColumn(options=_options(each.pop("options")), **each) for each in row["columns"] or ()
                ),
                "indexes": tuple(
                    ReaderIndex(statistics=tuple((n, t) for n, t in each.pop("statistics") or ()), **each)
                    for each in row["indexes"]
                ),
                "triggers": tuple(ReaderTrigger(**each) for each in row["triggers"]),
                **{name: row[name] for name in ("populated", "tablespace", "access_method")},
            }
        reader = Reader(name=TableName(row["schema"], row["name"]), definition=text, **known)
    there = remaking.aside(reader)
    where = (reader.on.schema, reader.on.name) if reader.on else (JOURNAL_SCHEMA, None)
    return replace(reader, aside=not reader.carried and (there.name, *where) in kept)


def _options(options: list[str] | None) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, _, value in (option.partition("=") for option in options or ()))


# ---------------------------------------------------------------- how it would read another column


def _moved(connection: Connection, table: Table, move: Move, found: _Found) -> tuple[Reader, ...]:
    """Return the readers with what they would read over the new column."""
    theirs = {node: reader for node, reader in found.readers.items() if not reader.is_ours}
    wanted = theirs if not move.in_place else {node: reader for node, reader in theirs.items() if reader.early}
    if not wanted or not table.may_alter or any(reader.aside for reader in theirs.values()):
        return tuple(found.readers.values())
    with connection.transaction(force_rollback=True):
        texts = _marked(connection, table, move, wanted)
    new, quoted = sql.Identifier(move.new).as_string(None), sql.Identifier(MARKER).as_string(None)
    return tuple(
        replace(reader, moved=texts[node].replace(quoted, new)) if node in texts else reader
        for node, reader in found.readers.items()
    )


def _restated(connection: Connection, restated: Restated, found: _Found) -> dict[str, str]:
    """Return the texts of readers, by key, as they are over values of the type that takes a column's type's place."""
    with connection.transaction(force_rollback=True):
        enums.restate(connection, restated, named=False)
        texts = _texts(connection, {node for node, reader in found.readers.items() if not reader.is_ours})
    return {found.readers[node].key: text for node, text in texts.items()}


def _marked(connection: Connection, table: Table, move: Move, readers: dict[Node, Reader]) -> dict[Node, str]:
    """Return the texts with the marker in place of the column; leaves everything renamed, to be rolled back."""
    budget = min(_LOCK_BUDGET, locks.deadlock_timeout(connection) * 0.7)
    locks.take(connection, table.lockable, LockMode.ACCESS_EXCLUSIVE, budget)
    connection.execute(SECOND_LOCK)
    pair = (sql.Identifier(move.old), sql.Identifier(MARKER))
    connection.execute(sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(table.name.identifier, *pair))
    if move.restated is not None:
        enums.restate(connection, move.restated, named=True)
    texts = _texts(connection, {node for node, reader in readers.items() if not reader.early})
    early = {node: reader for node, reader in readers.items() if reader.early}
    # What is built beside stands on what is built beside: so it is there, for as long as PostgreSQL prints it.
    for reader in reversed(early.values()):
        # After an interruption it is there already; what stands on it went first.
        connection.execute(remaking.drop_beside(reader))
        for statement in remaking.take_beside(reader):
            connection.execute(statement)
    return texts | _texts(connection, set(early))


def _merging(readers: Iterable[Reader], move: Move) -> tuple[Dependent, ...]:
    """What joins tables USING the old column cannot read one of another name: the columns are merged by name."""
    name = re.escape(sql.Identifier(move.old).as_string(None))
    plain = re.escape(move.old)
    merged = re.compile(rf"USING \((?:[^()]*, )?(?:{name}|{plain})(?:, [^()]*)?\)")
    return tuple(
        Dependent(
            kind=reader.kind,
            name=f"{reader.name.schema}.{reader.name.name}",
            names_it=False,
            why=f"it joins USING ({move.old}), and the new column has another name while it is made",
        )
        for reader in readers
        if (reader.early or not move.in_place)
        and not (reader.is_ours or reader.aside)
        and merged.search(reader.definition)
    )


# ---------------------------------------------------------------- asking


def _texts(connection: Connection, nodes: Iterable[Node]) -> dict[Node, str]:
    oids: dict[str, list[int]] = {"pg_class": [], "pg_proc": [], "pg_rewrite": [], "pg_policy": []}
    for name, oid in nodes:
        oids[name].append(oid)
    return {(row["class"], row["object"]): row["text"] for row in select(connection, reader_queries.TEXTS, oids)}
