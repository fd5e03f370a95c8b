"""What an ORM's schema says of a table, before and after edits. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.sql.edits import (
    AddColumn,
    ChangeLabels,
    ChangeType,
    CreateTable,
    DropColumn,
    Edit,
    RenameColumn,
    RenameTable,
    SetNullable,
)
from orchestrator.sql.facts import Column, Table
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains.declaring.described import Described, Own


class UntoldError(LookupError):
    """The facts lack a column that changes, so that nothing tells what its line is."""

    def __init__(self, table: TableName, column: str) -> None:
        super().__init__(f"{table} has no column {column}")


@dataclass(frozen=True, kw_only=True)
class Hung:
    """What hangs on a table's columns and a schema says of them, under the names that they had before the plan began.

    Attributes:
        constraints: foreign keys and unique constraints.
        always: columns whose identity takes no value from a writer (GENERATED ALWAYS).
    """

    constraints: tuple[Own, ...] = ()
    always: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A table's columns, by name and in their order, with its foreign keys and unique constraints."""

    columns: dict[str, Described] = field(default_factory=dict[str, Described])
    constraints: tuple[Own, ...] = ()

    def column(self, table: TableName, name: str) -> Described:
        """Return a column's description, or tell that there is none."""
        if name not in self.columns:
            raise UntoldError(table, name)
        return self.columns[name]

    def having(self, column: Described) -> "Shape":
        """Return the same with a column, in the place of the one of its name."""
        return replace(self, columns={**self.columns, column.name: column})

    def without(self, table: TableName, name: str) -> "Shape":
        """Return the same without a column and the constraints on it."""
        self.column(table, name)
        return Shape(
            columns={each: column for each, column in self.columns.items() if each != name},
            constraints=tuple(each for each in self.constraints if name not in each.columns),
        )

    def renamed(self, table: TableName, name: str, to: str) -> "Shape":
        """Return the same with another name of a column."""
        self.column(table, name)
        others = {each: column for each, column in self.columns.items() if each != to}
        return Shape(
            columns={
                (to if each == name else each): (replace(column, name=to) if each == name else column)
                for each, column in others.items()
            },
            constraints=tuple(
                replace(each, columns=tuple(to if column == name else column for column in each.columns))
                for each in self.constraints
            ),
        )


Shapes = dict[TableName, Shape]


def shaped(table: Table, hung: Hung, made: frozenset[str]) -> Shape:
    """Return what a schema says of a table, columns that a plan makes apart."""
    columns = {each.name: _described(table, each, hung) for each in table.columns if each.name not in made}
    return Shape(
        columns=columns, constraints=tuple(each for each in hung.constraints if columns.keys() >= set(each.columns))
    )


def _described(table: Table, column: Column, hung: Hung) -> Described:
    return Described(
        name=column.name,
        type=column.type,
        not_null=column.not_null,
        default=column.default,
        primary=table.key == (column.name,),
        identity=column.identity,
        always=column.name in hung.always,
        generated=column.generated,
    )


def edited(shapes: Mapping[TableName, Shape], edits: Iterable[Edit]) -> Shapes:
    """Return what a schema says after edits; constraints and indexes that these add are told apart.

    Raises:
        UntoldError: a column that changes is not there.
    """
    made = dict(shapes)
    for edit in edits:
        match edit:
            case AddColumn(table=table, column=column, type=kind, default=default, like=like):
                shape = made.get(table, Shape())
                old = shape.columns.get(like or "")
                plain = Described(name=column, type=kind, default=default or (old.default if old else None))
                made[table] = shape.having(plain)
            case DropColumn(table=table, column=column):
                made[table] = made.get(table, Shape()).without(table, column)
            case RenameColumn(table=table, column=column, to=to):
                made[table] = made.get(table, Shape()).renamed(table, column, to)
            case ChangeType(table=table, column=column, type=kind):
                shape = made.get(table, Shape())
                made[table] = shape.having(replace(shape.column(table, column), type=kind))
            case SetNullable(table=table, column=column, nullable=nullable):
                shape = made.get(table, Shape())
                made[table] = shape.having(replace(shape.column(table, column), not_null=not nullable))
            case RenameTable(table=table, to=to) if table in made:
                shape = made.pop(table)
                made[to] = replace(shape, constraints=tuple(replace(each, table=to) for each in shape.constraints))
            case CreateTable(table=table, key=key, columns=columns):
                counted = Described(name=key, type="bigint", not_null=True, primary=True, identity=True)
                others = {each.column: Described(name=each.column, type=each.type) for each in columns}
                made[table] = Shape(columns={key: counted, **others})
            case ChangeLabels():
                made = {table: _relabeled(shape, edit) for table, shape in made.items()}
            case _:
                pass
    return made


def _relabeled(shape: Shape, edit: ChangeLabels) -> Shape:
    names = (str(edit.type), f"{edit.type.schema}.{edit.type.name}")

    def relabeled(column: Described) -> Described:
        of_it = column.type.replace('"', "").removesuffix("[]") in names
        return replace(column, default=edit.default(column.default)) if of_it and column.default else column

    return replace(shape, columns={name: relabeled(each) for name, each in shape.columns.items()})
