"""A plan as edits of an ORM's schema: which line comes and which goes, in which phase. Pure; no file is written."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

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
from orchestrator.sql.facts import Column, Table
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains.declaring import drizzle, sqlalchemy
from orchestrator.toolchains.declaring.described import Described

Schema = dict[TableName, dict[str, Described]]

ORMS = {"drizzle": drizzle.line, "sqlalchemy": sqlalchemy.line}


@dataclass(frozen=True, kw_only=True)
class LineEdit:
    """What becomes of a table's description in an ORM's schema.

    Attributes:
        table: the table.
        add: lines that come.
        remove: lines that go.
        notes: what no line says.
    """

    table: TableName
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def lines(
    orm: str, facts: Mapping[TableName, Table], expand: Iterable[Edit], contract: Iterable[Edit]
) -> tuple[tuple[LineEdit, ...], tuple[LineEdit, ...]]:
    """Return the edits of an ORM's schema for expand and for contract.

    Args:
        orm: `drizzle` or `sqlalchemy`.
        facts: of the plan's tables.
        expand: what the plan does to the schema in expand.
        contract: what it does in contract.
    """
    expand, contract = tuple(expand), tuple(contract)
    made = {(each.table, each.column) for each in expand if isinstance(each, AddColumn)}
    before: Schema = {
        name: {column.name: _described(table, column) for column in table.columns if (name, column.name) not in made}
        for name, table in facts.items()
    }
    between = _edited(before, expand)
    kept = [said for edit in contract for said in _kept(facts, edit)]
    return _between(orm, before, between, expand), _between(orm, between, _edited(between, contract), contract, kept)


def _kept(facts: Mapping[TableName, Table], edit: Edit) -> Iterator[str]:
    """Give what keeps its name when a column that it is over gets another, and an ORM may have made up from that."""
    if isinstance(edit, RenameColumn) and (table := facts.get(edit.table)) is not None:
        for index in table.indexes:
            if edit.column in index.columns and not index.primary:
                yield f"index {index.name} is over {edit.to} now and keeps its name: write it out"


def _described(table: Table, column: Column) -> Described:
    return Described(
        name=column.name,
        type=column.type,
        not_null=column.not_null,
        default=column.default,
        primary=table.key == (column.name,),
        identity=column.identity,
        generated=column.generated,
    )


def _edited(schema: Schema, edits: Iterable[Edit]) -> Schema:
    made = {name: dict(columns) for name, columns in schema.items()}
    for edit in edits:
        match edit:
            case AddColumn(table=table, column=column, type=kind, default=default, like=like):
                old = made.setdefault(table, {}).get(like or "")
                plain = Described(name=column, type=kind, default=default)
                made[table][column] = replace(plain, default=default or old.default) if old else plain
            case DropColumn(table=table, column=column):
                made.get(table, {}).pop(column, None)
            case RenameColumn(table=table, column=column, to=to) if column in made.get(table, {}):
                columns = {name: each for name, each in made[table].items() if name != to}
                made[table] = {
                    (to if name == column else name): (replace(each, name=to) if name == column else each)
                    for name, each in columns.items()
                }
            case ChangeType(table=table, column=column, type=kind) if column in made.get(table, {}):
                made[table][column] = replace(made[table][column], type=kind)
            case SetNullable(table=table, column=column, nullable=nullable) if column in made.get(table, {}):
                made[table][column] = replace(made[table][column], not_null=not nullable)
            case RenameTable(table=table, to=to) if table in made:
                made[to] = made.pop(table)
            case _:
                pass
    return made


def _between(
    orm: str, old: Schema, new: Schema, edits: tuple[Edit, ...], kept: Iterable[str] = ()
) -> tuple[LineEdit, ...]:
    line = ORMS[orm]
    renamed = {each.table: each.to for each in edits if isinstance(each, RenameTable)}
    notes = [*(each.says for each in edits if isinstance(each, Other)), *kept]
    found: list[LineEdit] = []
    for table, columns in old.items():
        now = renamed.get(table, table)
        before = {name: line(each) for name, each in columns.items()}
        after = {name: line(each) for name, each in new.get(now, {}).items()}
        said = [f"the table's name becomes {now.name}"] if now != table else []
        add = [text for name, text in after.items() if before.get(name) != text]
        remove = [text for name, text in before.items() if after.get(name) != text]
        if add or remove or said or notes:
            found.append(LineEdit(table=table, add=tuple(add), remove=tuple(remove), notes=(*said, *notes)))
            notes = []
    return tuple(found)
