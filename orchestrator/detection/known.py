"""What is known of a schema from the statements that made it: tables, their columns in order, enum types."""

from dataclasses import dataclass, field, replace

from orchestrator.detection.deeds import (
    AddColumn,
    AddConstraint,
    AddValue,
    AlterColumn,
    ChangeType,
    ColumnText,
    CreateEnum,
    CreateTable,
    Deed,
    Drop,
    DropColumn,
    RenameColumn,
    RenameTable,
    RenameType,
    RenameValue,
)
from orchestrator.sql.identifiers import TableName


@dataclass
class Known:
    """A schema as far as statements tell; each statement that is taken in changes it."""

    tables: dict[TableName, dict[str, ColumnText]] = field(default_factory=dict[TableName, dict[str, ColumnText]])
    enums: dict[TableName, tuple[str, ...]] = field(default_factory=dict[TableName, tuple[str, ...]])

    def copy(self) -> "Known":
        """Return another that changes by itself; what it knows of one column never changes."""
        return Known(tables={name: dict(columns) for name, columns in self.tables.items()}, enums=dict(self.enums))

    def column(self, table: TableName, name: str) -> ColumnText | None:
        """Return a column as it is now; None where its table, or it, was never seen."""
        return self.tables.get(table, {}).get(name)

    def take(self, deed: Deed) -> None:  # noqa: C901 - one line for each kind
        """Take in what a statement does."""
        match deed:
            case CreateTable(table=table, columns=columns):
                self.tables.setdefault(table, {each.name: each for each in columns})
            case RenameTable(table=table, to=to) if table in self.tables:
                self.tables[to] = self.tables.pop(table)
            case Drop(what="table", names=names):
                for name in names:
                    self.tables.pop(name, None)
            case CreateEnum(type=name, labels=labels):
                self.enums[name] = labels
            case RenameType(type=name, to=to) if name in self.enums:
                self.enums[to] = self.enums.pop(name)
            case RenameValue(type=name, old=old, new=new):
                self.enums[name] = tuple(new if each == old else each for each in self.enums.get(name, ()))
            case AddValue(type=name, label=label) if name in self.enums:
                self.enums[name] = (*self.enums[name], label)
            case Drop(what="type", names=names):
                for name in names:
                    self.enums.pop(name, None)
            case _:
                self._take_column(deed)

    def _take_column(self, deed: Deed) -> None:
        match deed:
            case AddColumn(table=table, column=column):
                self.tables.setdefault(table, {}).setdefault(column.name, column)
            case DropColumn(table=table, column=name):
                self.tables.get(table, {}).pop(name, None)
            case RenameColumn(table=table, column=name, to=to) if name in self.tables.get(table, {}):
                columns = self.tables[table].items()
                self.tables[table] = {
                    (to if each == name else each): (replace(column, name=to) if each == name else column)
                    for each, column in columns
                }
            case ChangeType(table=table, column=name, type=kind):
                self._alter(table, name, type=kind)
            case AlterColumn(table=table, column=name, how=how, default=default):
                if how.endswith("default"):
                    self._alter(table, name, default=default)
                else:
                    self._alter(table, name, not_null=how == "set not null")
            case AddConstraint(table=table, constraint=constraint) if constraint.kind == "primary key":
                for name in constraint.columns:
                    self._alter(table, name, not_null=True)
            case _:
                pass

    def _alter(self, table: TableName, name: str, **changed: object) -> None:
        if (column := self.column(table, name)) is not None:
            self.tables[table][name] = replace(column, **changed)  # pyright: ignore[reportArgumentType]
