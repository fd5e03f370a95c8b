"""Entities of Drizzle's snapshots of version 9 that come, and the footprints of the statements that make them.

A footprint says what a statement writes and reads: as structure (`s`), as a name that is taken (`n`) and as something
that is there (`e`), of a table (`tbl`), column (`col`), relation (`rel`), constraint (`con`) and so on.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.sql.edits import AddCheck, AddForeignKey, AddIndex, AddUnique, ChangeLabels, CreateTable
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains.drizzle_types import counting, mentions, type_name

Json = dict[str, Any]

_KINDS = {AddUnique: ("add_unique", "uq"), AddCheck: ("add_check", "ck"), AddForeignKey: ("create_fk", "fk")}
"""How a footprint calls the statement that adds a constraint, and the constraint."""


def column(table: TableName, name: str, kind: str) -> Json:
    """Return a column without anything special.

    Args:
        table: its table.
        name: its name.
        kind: its type, as PostgreSQL has it.
    """
    spelled = type_name(kind).replace(", ", ",")
    return {
        "schema": table.schema,
        "table": table.name,
        "name": name,
        "type": spelled.partition("[")[0],
        "typeSchema": None,
        "notNull": False,
        "dimensions": spelled.count("["),
        "default": None,
        "generated": None,
        "identity": None,
        "entityType": "columns",
    }


def table(edit: CreateTable, likes: Mapping[str, Json | None]) -> Iterator[Json]:
    """Give a table and what it comes with.

    Args:
        edit: what makes it.
        likes: by column: the one that it is like, where the snapshots have it.
    """
    own = {"schema": edit.table.schema, "table": edit.table.name}
    yield {"schema": edit.table.schema, "name": edit.table.name, "isRlsEnabled": False, "entityType": "tables"}
    counts = {**counting(edit.table, edit.key), "cache": 1}
    yield {**column(edit.table, edit.key, "bigint"), "notNull": True, "identity": counts}
    for each in edit.columns:
        like = likes.get(each.column)
        kept = {field: like[field] for field in ("type", "typeSchema", "dimensions")} if like is not None else {}
        yield {**column(edit.table, each.column, each.type), **kept}
    yield {**own, "name": _key(edit), "columns": [edit.key], "nameExplicit": False, "entityType": "pks"}
    yield constraint(AddUnique(table=edit.table, name=edit.unique, columns=tuple(each.column for each in edit.columns)))


def created(edit: CreateTable) -> Json:
    """Return the footprint of CREATE TABLE, with its key and its unique constraint."""
    schema, at = edit.table.schema, _at(edit.table)
    return {
        "statementType": "create_table",
        "statementTarget": ["table", schema, edit.table.name],
        "writes": [
            *_written("tbl", at),
            f"n|rel|{at}",
            f"n|type|{at}",
            *(f"n|rel|{schema}.{each}" for each in (_key(edit), edit.unique)),
        ],
        "reads": [f"n|sch|{schema}"],
    }


def _key(edit: CreateTable) -> str:
    return f"{edit.table.name}_pkey"


def constraint(edit: AddUnique | AddCheck | AddForeignKey) -> Json:
    """Return a constraint; of a foreign key it is told what it points to."""
    own: Json = {"schema": edit.table.schema, "table": edit.table.name, "name": edit.name}
    match edit:
        case AddUnique():
            row = {**own, "nameExplicit": True, "columns": [*edit.columns], "nullsNotDistinct": False}
            return {**row, "entityType": "uniques"}
        case AddCheck():
            return {**own, "value": edit.condition, "entityType": "checks"}
        case AddForeignKey():
            return {
                **own,
                "nameExplicit": True,
                "columns": [*edit.columns],
                "schemaTo": edit.to.schema,
                "tableTo": edit.to.name,
                "columnsTo": [*edit.to_columns],
                "onUpdate": (edit.on_update or "no action").upper(),
                "onDelete": (edit.on_delete or "no action").upper(),
                "entityType": "fks",
            }


def constrained(edit: AddUnique | AddCheck | AddForeignKey, known: Iterable[str]) -> Json:
    """Return the footprint of ADD CONSTRAINT.

    Args:
        edit: what adds it.
        known: the table's columns.
    """
    schema, at = edit.table.schema, _at(edit.table)
    statement, short = _KINDS[type(edit)]
    writes = [*_written(short, f"{at}.{edit.name}"), f"n|con|{at}.{edit.name}"]
    reads = [f"n|tbl|{at}", f"n|sch|{schema}"]
    match edit:
        case AddUnique():
            writes.append(f"n|rel|{schema}.{edit.name}")
            reads += _columns(at, edit.columns)
        case AddCheck():
            reads += _columns(at, (each for each in known if mentions(edit.condition, each)))
        case AddForeignKey():
            to = _at(edit.to)
            reads += [f"n|tbl|{to}", f"n|sch|{edit.to.schema}"]
            reads += [*_columns(at, edit.columns), *_columns(to, edit.to_columns)]
            reads.append(f"e|uniqueness|{to}.{','.join(edit.to_columns)}")
    target = ["table", schema, edit.table.name]
    return {"statementType": statement, "statementTarget": target, "writes": writes, "reads": reads}


def index(edit: AddIndex) -> Json:
    """Return an index of one column."""
    by = {"value": edit.column, "isExpression": False, "asc": True, "nullsFirst": False, "opclass": None}
    return {
        "schema": edit.table.schema,
        "table": edit.table.name,
        "name": edit.name,
        "nameExplicit": True,
        "columns": [by],
        "isUnique": False,
        "where": None,
        "with": "",
        "method": "btree",
        "concurrently": False,
        "entityType": "indexes",
    }


def indexed(edit: AddIndex) -> Json:
    """Return the footprint of CREATE INDEX."""
    schema, at = edit.table.schema, _at(edit.table)
    return {
        "statementType": "create_index",
        "statementTarget": ["index", schema, edit.table.name, edit.name],
        "writes": [*_written("idx", f"{schema}.{edit.name}"), f"n|rel|{schema}.{edit.name}"],
        "reads": [f"n|tbl|{at}", f"n|sch|{schema}", *_columns(at, (edit.column,))],
    }


def relabeled(edit: ChangeLabels, columns: Sequence[Json]) -> Json:
    """Return the footprint of what makes an enum anew.

    Args:
        edit: what changes it.
        columns: those of the type.
    """
    at = _at(edit.type)
    writes, reads = [*_written("enum", at), f"n|type|{at}"], [f"n|sch|{edit.type.schema}"]
    for row in columns:
        there = f"{row['schema']}.{row['table']}"
        writes += [f"s|colprop|{there}.{row['name']}.{each}" for each in ("type", "default")]
        reads += [f"n|tbl|{there}", f"n|sch|{row['schema']}", *_columns(there, (row["name"],))]
    return {
        "statementType": "recreate_enum",
        "statementTarget": ["enum", edit.type.schema, edit.type.name],
        "writes": writes,
        "reads": reads,
        "sqlHash": hashlib.sha256(f"{edit.type} {edit.labels}".encode()).hexdigest()[:16],
    }


def _at(name: TableName) -> str:
    return f"{name.schema}.{name.name}"


def _written(kind: str, what: str) -> Iterator[str]:
    return (f"{each}|{kind}|{what}" for each in "sne")


def _columns(at: str, names: Iterable[str]) -> Iterator[str]:
    return (f"n|col|{at}.{each}" for each in names)
