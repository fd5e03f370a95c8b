"""Drizzle's snapshots of version 9 (drizzle-kit 1.0): a base, and then what each migration changes of it, as deltas.

A delta names an entity by its key and says that it comes, goes, changes or has another name; what points to a name goes
along. Footprints say what each statement touches, by which drizzle-kit tells whether two branches of migrations can be
merged.
"""

import copy
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
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
from orchestrator.toolchains import drizzle_entities
from orchestrator.toolchains.drizzle_snapshot import unsayable
from orchestrator.toolchains.drizzle_types import mentions, renamed, type_name, uncounted

Json = dict[str, Any]

_LONG = ("columns", "checks", "fks", "pks", "uniques", "policies")
"""Entities whose key is (schema, table, name); that of all others is (schema, name)."""


def key(row: Json) -> str:
    """Return the key of an entity."""
    kind = row["entityType"]
    parts = [row.get("schema"), *([row["table"]] if kind in _LONG else []), row["name"]]
    return f"{kind}\0{json.dumps(parts, separators=(',', ':'), ensure_ascii=False)}"


class State:
    """A schema as entities, with what has become of them.

    Args:
        rows: those that it begins with.
    """

    def __init__(self, rows: Iterable[Json]) -> None:
        self.rows = [copy.deepcopy(row) for row in rows]
        self.deltas: list[Json] = []
        self.footprints: list[Json] = []

    @classmethod
    def after(cls, snapshots: Sequence[Json]) -> "State":
        """Return the state after a base and what follows it, in order."""
        base, *others = snapshots
        state = cls(base["ddl"])
        for each in others:
            for delta in each["deltas"]:
                state._apply(delta)
        return state

    def edit(self, edits: Iterable[Edit]) -> None:
        """Make edits.

        Raises:
            UsageError: a table or column is not there, or an edit cannot be told.
        """
        for edit in edits:
            match edit:
                case AddColumn() | DropColumn() | RenameColumn() | ChangeType() | SetNullable():
                    self._edit_column(edit)
                case AddUnique() | AddCheck() | AddForeignKey():
                    self._constrain(edit)
                case AddIndex():
                    self._index(edit)
                case CreateTable():
                    self._create(edit)
                case RenameTable():
                    self._rename_table(edit)
                case ChangeLabels():
                    self._relabel(edit)
                case Other():
                    if not edit.silent:
                        raise unsayable(edit, "drizzle")

    def _edit_column(self, edit: AddColumn | DropColumn | RenameColumn | ChangeType | SetNullable) -> None:
        match edit:
            case AddColumn():
                self._add(edit)
            case DropColumn():
                self._drop(edit)
            case RenameColumn():
                self._rename(edit)
            case ChangeType():
                spelled = type_name(edit.type).replace(", ", ",")
                self._alter(edit.table, edit.column, {"type": spelled.rstrip("[]0123456789") or spelled}, "type")
            case SetNullable():
                self._alter(edit.table, edit.column, {"notNull": not edit.nullable}, "notNull")

    # ---------------------------------------------------------------- edits

    def _add(self, edit: AddColumn) -> None:
        self._table(edit.table)
        like = self._find(edit.table, edit.like) if edit.like else None
        made = {**drizzle_entities.column(edit.table, edit.column, edit.type), "default": edit.default}
        if like is not None:
            default = None if edit.default is None else like["default"]
            made |= {name: like[name] for name in ("typeSchema", "dimensions")}
            made |= {"type": uncounted(like["type"]), "default": default}
        self._do({"op": "create", "row": made})
        self._touched("add_column", "column", edit.table, edit.column)

    def _drop(self, edit: DropColumn) -> None:
        row = self._column(edit.table, edit.column)
        for each in [each for each in self._of(edit.table) if each is not row and _stands_on(each, edit.column)]:
            self._do({"op": "drop", "key": key(each)})
        self._do({"op": "drop", "key": key(row)})
        self._touched("drop_column", "column", edit.table, edit.column)

    def _rename(self, edit: RenameColumn) -> None:
        row = self._column(edit.table, edit.column)
        self._do({"op": "rename", "key": key(row), "set": {"name": edit.to}})
        self._respell(edit.table, {edit.column: edit.to})
        at, columns = f"{edit.table.schema}.{edit.table.name}", (edit.column, edit.to)
        self.footprints.append(
            {
                "statementType": "rename_column",
                "statementTarget": ["column", edit.table.schema, edit.table.name, edit.column],
                "writes": [f"{kind}|col|{at}.{column}" for column in columns for kind in "sn"],
                "reads": [f"n|tbl|{at}", f"n|sch|{edit.table.schema}"],
            }
        )

    def _rename_table(self, edit: RenameTable) -> None:
        row = self._table(edit.table)
        self._do({"op": "rename", "key": key(row), "set": {"name": edit.to.name}})
        self._respell(edit.to, {edit.table.name: edit.to.name})
        schema = edit.table.schema
        kinds = (("s", "tbl"), ("n", "tbl"), ("n", "rel"), ("n", "type"))
        self.footprints.append(
            {
                "statementType": "rename_table",
                "statementTarget": ["table", schema, edit.table.name],
                "writes": [f"{a}|{b}|{schema}.{name.name}" for name in (edit.table, edit.to) for a, b in kinds],
                "reads": [f"n|sch|{schema}"],
            }
        )

    def _alter(self, table: TableName, column: str, change: Json, what: str) -> None:
        self._do({"op": "alter", "key": key(self._column(table, column)), "set": change})
        at = f"{table.schema}.{table.name}"
        self.footprints.append(
            {
                "statementType": "alter_column",
                "statementTarget": ["column", table.schema, table.name, column],
                "writes": [f"s|colprop|{at}.{column}.{what}"],
                "reads": [f"n|tbl|{at}", f"n|sch|{table.schema}", f"n|col|{at}.{column}"],
                "sqlHash": hashlib.sha256(f"{at}.{column} {change}".encode()).hexdigest()[:16],
            }
        )

    def _constrain(self, edit: AddUnique | AddCheck | AddForeignKey) -> None:
        self._table(edit.table)
        if isinstance(edit, AddForeignKey) and not edit.to_columns:
            edit = replace(edit, to_columns=tuple(self._key(edit.to)))
        for each in () if isinstance(edit, AddCheck) else edit.columns:
            self._column(edit.table, each)
        self._do({"op": "create", "row": drizzle_entities.constraint(edit)})
        known = [row["name"] for row in self._of(edit.table) if row["entityType"] == "columns"]
        self.footprints.append(drizzle_entities.constrained(edit, known))

    def _key(self, table: TableName) -> list[str]:
        self._table(table)
        keys: list[list[str]] = [row["columns"] for row in self._of(table) if row["entityType"] == "pks"]
        return keys[0] if keys else []

    def _index(self, edit: AddIndex) -> None:
        self._column(edit.table, edit.column)
        self._do({"op": "create", "row": drizzle_entities.index(edit)})
        self.footprints.append(drizzle_entities.indexed(edit))

    def _create(self, edit: CreateTable) -> None:
        likes = {each.column: self._find(edit.like, each.column) for each in edit.columns}
        for row in drizzle_entities.table(edit, likes):
            self._do({"op": "create", "row": row})
        self.footprints.append(drizzle_entities.created(edit))

    def _relabel(self, edit: ChangeLabels) -> None:
        own = (edit.type.schema, edit.type.name)
        found = (row for row in self.rows if (row["entityType"], row.get("schema"), row["name"]) == ("enums", *own))
        enum = next(found, None) or self._absent(f"enum {edit.type}")
        self._do({"op": "alter", "key": key(enum), "set": {"values": [*edit.labels]}})
        columns = [row for row in self.rows if row["entityType"] == "columns"]
        columns = [row for row in columns if (row["typeSchema"], row["type"]) == own]
        for row in columns:
            default = row["default"]
            if isinstance(default, str) and (now := edit.default(default, quotes=_is_quoted)) != default:
                self._do({"op": "alter", "key": key(row), "set": {"default": now}})
        self.footprints.append(drizzle_entities.relabeled(edit, columns))

    def _touched(self, statement: str, kind: str, table: TableName, column: str) -> None:
        at = f"{table.schema}.{table.name}"
        self.footprints.append(
            {
                "statementType": statement,
                "statementTarget": [kind, table.schema, table.name, column],
                "writes": [f"{each}|col|{at}.{column}" for each in "sne"],
                "reads": [f"n|tbl|{at}", f"n|sch|{table.schema}"],
            }
        )

    def _respell(self, table: TableName, names: dict[str, str]) -> None:
        """Put other names into every expression of a table, as far as it has them."""
        for row in self._of(table):
            changed: Json = {}
            for field in ("value", "where", "using", "withCheck"):
                if isinstance(row.get(field), str) and (now := renamed(row[field], names)) != row[field]:
                    changed[field] = now
            if row["entityType"] == "indexes" and any(each["isExpression"] for each in row["columns"]):
                columns = [
                    {**each, "value": renamed(each["value"], names)} if each["isExpression"] else each
                    for each in row["columns"]
                ]
                changed |= {"columns": columns} if columns != row["columns"] else {}
            generated = row.get("generated")
            if isinstance(generated, dict) and (now := renamed(generated["as"], names)) != generated["as"]:  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
                changed["generated"] = {**generated, "as": now}
            if changed:
                self._do({"op": "alter", "key": key(row), "set": changed})

    # ---------------------------------------------------------------- entities

    def _of(self, table: TableName) -> list[Json]:
        own = (table.schema, table.name)
        return [row for row in self.rows if (row.get("schema"), row.get("table")) == own]

    def _find(self, table: TableName, column: str) -> Json | None:
        named = (row for row in self._of(table) if row["entityType"] == "columns" and row["name"] == column)
        return next(named, None)

    def _column(self, table: TableName, column: str) -> Json:
        return self._find(table, column) or self._absent(f"column {table}.{column}")

    def _table(self, table: TableName) -> Json:
        own = ("tables", table.schema, table.name)
        found = (row for row in self.rows if (row["entityType"], row.get("schema"), row["name"]) == own)
        return next(found, None) or self._absent(f"table {table}")

    @staticmethod
    def _absent(what: str) -> Json:
        raise UsageError(
            f"the snapshots of drizzle have no {what}",
            details=["what ecm writes there follows from them"],
            hint="drizzle-kit generate, so that they have what schema.ts declares",
        )

    # ---------------------------------------------------------------- deltas

    def _do(self, delta: Json) -> None:
        self.deltas.append(copy.deepcopy(delta))
        self._apply(delta)

    def _apply(self, delta: Json) -> None:
        if delta["op"] == "create":
            self.rows.append(copy.deepcopy(delta["row"]))
            return
        row = next((row for row in self.rows if key(row) == delta["key"]), None)
        if row is None:
            return
        if delta["op"] == "drop":
            self.rows.remove(row)
            return
        before = dict(row)
        row |= copy.deepcopy(delta["set"])
        if before["entityType"] == "columns" and before["name"] != row["name"]:
            self._follow(before, row["name"])
        if before["entityType"] == "tables":
            self._follow_table(before, row)

    def _follow(self, before: Json, name: str) -> None:
        """Have what names a column name it as it is now."""
        own = (before["schema"], before["table"])
        for row in self.rows:
            ends = (("columns", row.get("table"), "schema"), ("columnsTo", row.get("tableTo"), "schemaTo"))
            for field, table, schema in ends:
                if field in row and (row.get(schema), table) == own:
                    row[field] = [_renamed(each, before["name"], name) for each in row[field]]

    def _follow_table(self, before: Json, now: Json) -> None:
        for row in self.rows:
            for table, schema in (("table", "schema"), ("tableTo", "schemaTo")):
                if table in row and (row.get(schema), row[table]) == (before["schema"], before["name"]):
                    row |= {table: now["name"], schema: now["schema"]}


def _is_quoted(label: str) -> bool:
    """Whether drizzle-kit 1.0 writes a value in quotes in the default of an array."""
    return any(each in label for each in '",\\')


def _renamed(column: Any, old: str, new: str) -> Any:
    """Return a column in a list: its name, or what an index has of it."""
    if isinstance(column, str):
        return new if column == old else column
    return {**column, "value": new} if not column["isExpression"] and column["value"] == old else column


def _stands_on(row: Json, column: str) -> bool:
    """Whether something of a table goes with a column."""
    columns = row.get("columns", [])
    if row["entityType"] == "indexes":
        texts = [each["value"] for each in columns if each["isExpression"]] + ([row["where"]] if row["where"] else [])
        plain = [each["value"] for each in columns if not each["isExpression"]]
        return column in plain or any(mentions(text, column) for text in texts)
    if row["entityType"] == "checks":
        return mentions(row["value"], column)
    return row["entityType"] in ("pks", "uniques", "fks") and column in columns
