"""A plan as edits of an ORM's schema: which line comes and which goes, in which phase. Pure; no file is written."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

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
from orchestrator.sql.facts import Column, Table
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains.declaring import drizzle, sqlalchemy
from orchestrator.toolchains.declaring.described import Described

Schema = dict[TableName, dict[str, Described]]

ORMS = {"drizzle": drizzle, "sqlalchemy": sqlalchemy}


class UntoldError(LookupError):
    """The facts lack a column that changes, so that nothing tells what its line is."""

    def __init__(self, table: TableName, column: str) -> None:
        super().__init__(f"{table} has no column {column}")


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
        facts: of the plan's tables, with the columns as they were before it began.
        expand: what the plan does to the schema in expand.
        contract: what it does in contract.

    Raises:
        UntoldError: a column that the plan changes is not among the facts.
    """
    expand, contract = tuple(expand), tuple(contract)
    made = {(each.table, each.column) for each in expand if isinstance(each, AddColumn)}
    # What a table is called in the end says its plan alone.
    before: Schema = {each.table: {} for each in contract if isinstance(each, RenameTable)}
    before |= {
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
                _there(made, table, column)
                made[table].pop(column)
            case RenameColumn(table=table, column=column, to=to):
                _there(made, table, column)
                columns = {name: each for name, each in made[table].items() if name != to}
                made[table] = {
                    (to if name == column else name): (replace(each, name=to) if name == column else each)
                    for name, each in columns.items()
                }
            case ChangeType(table=table, column=column, type=kind):
                made[table][column] = replace(_there(made, table, column), type=kind)
            case SetNullable(table=table, column=column, nullable=nullable):
                made[table][column] = replace(_there(made, table, column), not_null=not nullable)
            case RenameTable(table=table, to=to) if table in made:
                made[to] = made.pop(table)
            case CreateTable(table=table, key=key, columns=columns):
                counted = Described(name=key, type="bigint", not_null=True, primary=True, identity=True)
                others = {each.column: Described(name=each.column, type=each.type) for each in columns}
                made[table] = {key: counted, **others}
            case ChangeLabels():
                made = {
                    table: {name: _relabeled(each, edit) for name, each in columns.items()}
                    for table, columns in made.items()
                }
            case _:
                pass
    return made


def _there(schema: Schema, table: TableName, column: str) -> Described:
    """Return a column's description, or tell that there is none."""
    found = schema.get(table, {}).get(column)
    if found is None:
        raise UntoldError(table, column)
    return found


def _relabeled(column: Described, edit: ChangeLabels) -> Described:
    of_it = column.type.replace('"', "").removesuffix("[]") in (str(edit.type), f"{edit.type.schema}.{edit.type.name}")
    return replace(column, default=edit.default(column.default)) if of_it and column.default else column


def _between(
    orm: str, old: Schema, new: Schema, edits: tuple[Edit, ...], kept: Iterable[str] = ()
) -> tuple[LineEdit, ...]:
    line = ORMS[orm].line
    renamed = {each.table: each.to for each in edits if isinstance(each, RenameTable)}
    notes = [*(each.says for each in edits if isinstance(each, Other) and not each.silent), *kept]
    found: list[LineEdit] = []
    for table, columns in old.items():
        now = renamed.get(table, table)
        before = {name: line(each) for name, each in columns.items()}
        after = {name: line(each) for name, each in new.get(now, {}).items()}
        said = [f"the table's name becomes {now.name}"] if now != table else []
        typed = [each for each in edits if isinstance(each, ChangeLabels) and each.table == table]
        add = [*(ORMS[orm].labels(each.type, each.labels) for each in typed)]
        add += [text for name, text in after.items() if before.get(name) != text]
        add += _beside_columns(orm, table, new, edits)
        remove = [*(ORMS[orm].labels(each.type, each.before) for each in typed)]
        remove += [text for name, text in before.items() if after.get(name) != text]
        if add or remove or said or notes:
            found.append(LineEdit(table=table, add=tuple(add), remove=tuple(remove), notes=(*said, *notes)))
            notes = []
    made = (each for each in edits if isinstance(each, CreateTable))
    return (*(_created(orm, each, new) for each in made), *found)


def _beside_columns(orm: str, table: TableName, schema: Schema, edits: Iterable[Edit]) -> list[str]:
    """Return what comes to a table that is no column: constraints and indexes."""
    found: list[str] = []
    for edit in edits:
        match edit:
            case AddForeignKey() if edit.table == table:
                key = tuple(name for name, each in schema.get(edit.to, {}).items() if each.primary)
                found.append(ORMS[orm].beside(replace(edit, to_columns=edit.to_columns or key or ("id",))))
            case AddUnique() | AddCheck() | AddIndex() if edit.table == table:
                found.append(ORMS[orm].beside(edit))
            case _:
                pass
    return found


def _created(orm: str, edit: CreateTable, schema: Schema) -> LineEdit:
    columns = [ORMS[orm].line(each) for each in schema[edit.table].values()]
    unique = AddUnique(table=edit.table, name=edit.unique, columns=tuple(each.column for each in edit.columns))
    return LineEdit(table=edit.table, add=tuple(ORMS[orm].table(edit.table, columns, ORMS[orm].beside(unique))))
