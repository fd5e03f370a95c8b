"""Drizzle's snapshots of version 7 (drizzle-kit 0.31): a schema as nested JSON, changed as ecm changes the schema."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.sql.edits import (
    AddColumn,
    ChangeType,
    DropColumn,
    Edit,
    Other,
    RenameColumn,
    RenameTable,
    SetNullable,
)
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.lexer import scan
from orchestrator.toolchains.drizzle_types import default_value, mentions, renamed, type_name, uncounted

Json = dict[str, Any]

_SEVERAL = ("compositePrimaryKeys", "uniqueConstraints")
"""What lists columns under `columns`."""


def unsayable(edit: Other, tool: str) -> UsageError:
    """Return the error for what a tool's snapshot has no words for, or ecm not."""
    return UsageError(
        f"{edit.says} cannot be written into the records of {tool}",
        details=["they would not tell what the database has, and the next migration would take it away again"],
        hint=f"change the schema, have {tool} make that migration, and put what `ecm emit --as sql` writes in place of"
        " its SQL",
    )


def edited(snapshot: Json, edits: Iterable[Edit], *, tool: str = "drizzle") -> Json:
    """Return a snapshot with edits made; what it was is left alone.

    Raises:
        UsageError: a table or column is not in it, or an edit cannot be told there.
    """
    made = _Snapshot(copy.deepcopy(snapshot))
    for edit in edits:
        match edit:
            case AddColumn():
                made.add(edit)
            case DropColumn():
                made.drop(edit)
            case RenameColumn():
                made.rename(edit)
            case RenameTable():
                made.rename_table(edit)
            case ChangeType():
                made.column(edit.table, edit.column)["type"] = type_name(edit.type)
            case SetNullable():
                made.column(edit.table, edit.column)["notNull"] = not edit.nullable
            case Other():
                if not edit.silent:
                    raise unsayable(edit, tool)
    return made.json


class _Snapshot:
    """A snapshot that is being changed."""

    def __init__(self, json: Json) -> None:
        self.json = json

    @property
    def _tables(self) -> dict[str, Json]:
        return self.json["tables"]

    def table(self, name: TableName) -> Json:
        found = self._tables.get(f"{name.schema}.{name.name}")
        if found is None:
            raise UsageError(
                f"the last snapshot of drizzle has no table {name}",
                details=["what ecm writes there follows from it"],
                hint="drizzle-kit generate, so that the snapshot has what schema.ts declares",
            )
        return found

    def column(self, table: TableName, name: str) -> Json:
        found = self.table(table)["columns"].get(name)
        if found is None:
            raise UsageError(
                f"the last snapshot of drizzle has no column {table}.{name}",
                details=["what ecm writes there follows from it"],
                hint="drizzle-kit generate, so that the snapshot has what schema.ts declares",
            )
        return found

    def add(self, edit: AddColumn) -> None:
        columns = self.table(edit.table)["columns"]
        if edit.like is not None and edit.like in columns:
            made: Json = {**columns[edit.like], "name": edit.column, "primaryKey": False, "notNull": False}
            made["type"] = uncounted(made["type"])
            for own in ("identity", "generated", *(("default",) if edit.default is None else ())):
                made.pop(own, None)
        else:
            made = {"name": edit.column, "type": type_name(edit.type), "primaryKey": False, "notNull": False}
        if edit.default is not None:
            made.setdefault("default", default_value(edit.default))
        columns[edit.column] = made

    def drop(self, edit: DropColumn) -> None:
        table = self.table(edit.table)
        self.column(edit.table, edit.column)
        del table["columns"][edit.column]
        gone = edit.column
        for kind in _SEVERAL:
            _keep(table, kind, lambda each: gone not in each["columns"])
        _keep(table, "foreignKeys", lambda each: gone not in each["columnsFrom"])
        _keep(table, "checkConstraints", lambda each: not mentions(each["value"], gone))
        _keep(table, "indexes", lambda each: gone not in _index_names(each))

    def rename(self, edit: RenameColumn) -> None:
        self.column(edit.table, edit.column)
        table, names = self.table(edit.table), {edit.column: edit.to}
        table["columns"] = {
            names.get(key, key): {**column, "name": names.get(key, key)} for key, column in table["columns"].items()
        }
        for kind in _SEVERAL:
            for each in table.get(kind, {}).values():
                each["columns"] = _renamed(each["columns"], names)
        for each in self._pointing(edit.table):
            each["columnsTo"] = _renamed(each["columnsTo"], names)
        for each in table.get("foreignKeys", {}).values():
            each["columnsFrom"] = _renamed(each["columnsFrom"], names)
        self._respell(table, names)

    def rename_table(self, edit: RenameTable) -> None:
        table = self.table(edit.table)
        for each in self._pointing(edit.table):
            each["tableTo"] = edit.to.name
        for each in table.get("foreignKeys", {}).values():
            each["tableFrom"] = edit.to.name
        table["name"] = edit.to.name
        self._respell(table, {edit.table.name: edit.to.name})
        self.json["tables"] = {
            f"{edit.to.schema}.{edit.to.name}" if each is table else key: each for key, each in self._tables.items()
        }

    def _pointing(self, table: TableName) -> Iterable[Json]:
        """Give every foreign key that points to a table."""
        for each in self._tables.values():
            for key in each.get("foreignKeys", {}).values():
                if (key.get("schemaTo") or "public", key["tableTo"]) == (table.schema, table.name):
                    yield key

    @staticmethod
    def _respell(table: Json, names: dict[str, str]) -> None:
        """Put other names into every expression of a table."""
        for each in table.get("checkConstraints", {}).values():
            each["value"] = renamed(each["value"], names)
        for each in table.get("indexes", {}).values():
            for column in each["columns"]:
                said = column["expression"]
                column["expression"] = renamed(said, names) if column["isExpression"] else names.get(said, said)
            if each.get("where"):
                each["where"] = renamed(each["where"], names)
        for each in table.get("policies", {}).values():
            for clause in ("using", "withCheck"):
                if each.get(clause):
                    each[clause] = renamed(each[clause], names)
        for column in table["columns"].values():
            if (generated := column.get("generated")) and isinstance(generated.get("as"), str):
                generated["as"] = renamed(generated["as"], names)


def _renamed(columns: list[str], names: dict[str, str]) -> list[str]:
    return [names.get(each, each) for each in columns]


def _keep(table: Json, kind: str, wanted: Callable[[Json], bool]) -> None:
    table[kind] = {key: each for key, each in table.get(kind, {}).items() if wanted(each)}


def _index_names(index: Json) -> set[str]:
    """Return the columns that an index is known to stand on, so that it goes with any of them."""
    texts = [column["expression"] for column in index["columns"] if column["isExpression"]]
    texts += [index["where"]] if index.get("where") else []
    named = {token.text for text in texts for token in scan(text, key="snapshot") if token.kind in ("name", "word")}
    return named | {column["expression"] for column in index["columns"] if not column["isExpression"]}
