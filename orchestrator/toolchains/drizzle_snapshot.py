"""Drizzle's snapshots of version 7 (drizzle-kit 0.31): a schema as nested JSON, changed as ecm changes the schema."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.sql.edits import (
    AddCheck,
    AddColumn,
    AddForeignKey,
    AddIndex,
    AddUnique,
    ChangeLabels,
    ChangeType,
    CreateTable,
    DropColumn,
    Edit,
    Other,
    RenameColumn,
    RenameTable,
    SetNullable,
)
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.lexer import scan
from orchestrator.toolchains.drizzle_types import (
    counting,
    default_value,
    mentions,
    renamed,
    type_name,
    uncounted,
)

Json = dict[str, Any]

_SEVERAL = ("compositePrimaryKeys", "uniqueConstraints")
"""What lists columns under `columns`."""


def unsayable(edit: Other, tool: str) -> UsageError:
    """Return the error for what a tool's snapshot has no words for, or ecm not."""
    return UsageError(
        f"{edit.says} cannot be written into the records of {tool}",
        details=["they would not tell what the database has, and the next migration would take it away again"],
        hint=f"change the schema, have {tool} make that migration, and put what `ecm emit --as sql --folder DIR` writes"
        " in place of its SQL",
    )


def edited(snapshot: Json, edits: Iterable[Edit], *, tool: str = "drizzle") -> Json:
    """Return a snapshot with edits made; what it was is left alone.

    Raises:
        UsageError: a table or column is not in it, or an edit cannot be told there.
    """
    made = _Snapshot(copy.deepcopy(snapshot))
    for edit in edits:
        match edit:
            case AddColumn() | DropColumn() | RenameColumn() | ChangeType() | SetNullable():
                made.edit_column(edit)
            case AddUnique() | AddCheck() | AddForeignKey():
                made.constrain(edit)
            case AddIndex():
                made.index(edit)
            case CreateTable():
                made.create(edit)
            case RenameTable():
                made.rename_table(edit)
            case ChangeLabels():
                made.relabel(edit)
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

    def edit_column(self, edit: AddColumn | DropColumn | RenameColumn | ChangeType | SetNullable) -> None:
        match edit:
            case AddColumn():
                self.add(edit)
            case DropColumn():
                self.drop(edit)
            case RenameColumn():
                self.rename(edit)
            case ChangeType():
                self.column(edit.table, edit.column)["type"] = type_name(edit.type)
            case SetNullable():
                self.column(edit.table, edit.column)["notNull"] = not edit.nullable

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

    def constrain(self, edit: AddUnique | AddCheck | AddForeignKey) -> None:
        table = self.table(edit.table)
        match edit:
            case AddUnique():
                for column in edit.columns:
                    self.column(edit.table, column)
                made: Json = {"name": edit.name, "nullsNotDistinct": False, "columns": [*edit.columns]}
                table["uniqueConstraints"] = {**table.get("uniqueConstraints", {}), edit.name: made}
            case AddCheck():
                made = {"name": edit.name, "value": edit.condition}
                table["checkConstraints"] = {**table.get("checkConstraints", {}), edit.name: made}
            case AddForeignKey():
                for column in edit.columns:
                    self.column(edit.table, column)
                made = {
                    "name": edit.name,
                    "tableFrom": edit.table.name,
                    "tableTo": edit.to.name,
                    **({} if edit.to.schema == "public" else {"schemaTo": edit.to.schema}),
                    "columnsFrom": [*edit.columns],
                    "columnsTo": [*(edit.to_columns or self._key(edit.to))],
                    "onDelete": edit.on_delete or "no action",
                    "onUpdate": edit.on_update or "no action",
                }
                table["foreignKeys"] = {**table.get("foreignKeys", {}), edit.name: made}

    def _key(self, name: TableName) -> list[str]:
        table = self.table(name)
        own = [key for key, column in table["columns"].items() if column["primaryKey"]]
        keys: list[list[str]] = [each["columns"] for each in table.get("compositePrimaryKeys", {}).values()]
        return own or (keys[0] if keys else [])

    def index(self, edit: AddIndex) -> None:
        self.column(edit.table, edit.column)
        column: Json = {"expression": edit.column, "isExpression": False, "asc": True, "nulls": "last"}
        table = self.table(edit.table)
        table["indexes"] = {
            **table.get("indexes", {}),
            edit.name: {
                "name": edit.name,
                "columns": [column],
                "isUnique": False,
                "concurrently": False,
                "method": "btree",
                "with": {},
            },
        }

    def create(self, edit: CreateTable) -> None:
        columns: Json = {
            edit.key: {
                "name": edit.key,
                "type": "bigint",
                "primaryKey": True,
                "notNull": True,
                "identity": {**counting(edit.table, edit.key), "schema": edit.table.schema, "cache": "1"},
            }
        }
        for each in edit.columns:
            like = self.table(edit.like)["columns"].get(each.column, {"type": type_name(each.type)})
            kept = {name: like[name] for name in ("type", "typeSchema") if name in like}
            columns[each.column] = {"name": each.column, **kept, "primaryKey": False, "notNull": False}
        self._tables[f"{edit.table.schema}.{edit.table.name}"] = {
            "name": edit.table.name,
            "schema": "" if edit.table.schema == "public" else edit.table.schema,
            "columns": columns,
            "indexes": {},
            "foreignKeys": {},
            "compositePrimaryKeys": {},
            "uniqueConstraints": {},
            "policies": {},
            "checkConstraints": {},
            "isRLSEnabled": False,
        }
        names = tuple(each.column for each in edit.columns)
        self.constrain(AddUnique(table=edit.table, name=edit.unique, columns=names))

    def relabel(self, edit: ChangeLabels) -> None:
        found = self.json.get("enums", {}).get(f"{edit.type.schema}.{edit.type.name}")
        if found is None:
            raise UsageError(
                f"the last snapshot of drizzle has no enum {edit.type}",
                details=["what ecm writes there follows from it"],
                hint="drizzle-kit generate, so that the snapshot has what schema.ts declares",
            )
        found["values"] = [*edit.labels]
        for table in self._tables.values():
            for column in table["columns"].values():
                own = (column.get("typeSchema") or "public", column["type"].partition("[")[0])
                if own == (edit.type.schema, edit.type.name) and isinstance(column.get("default"), str):
                    column["default"] = edit.default(column["default"], quotes=lambda _: True)

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
