"""What a statement of a migration does to a schema, as values; only what matters to who uses it meanwhile."""

from dataclasses import dataclass
from typing import Literal

from orchestrator.sql.identifiers import TableName


@dataclass(frozen=True, kw_only=True)
class Pointed:
    """What a foreign key points to."""

    table: TableName
    columns: tuple[str, ...] = ()
    on_delete: str | None = None
    on_update: str | None = None


@dataclass(frozen=True, kw_only=True)
class ColumnText:
    """A column as a statement has it."""

    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    check: str | None = None
    unique: bool = False
    primary: bool = False
    references: Pointed | None = None
    drawn: bool = False
    """Whether its value is drawn or computed: an identity, a serial, a generated column."""


ConstraintKind = Literal["check", "unique", "primary key", "foreign key", "exclude"]


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A table's constraint as a statement has it."""

    kind: ConstraintKind
    name: str | None = None
    columns: tuple[str, ...] = ()
    check: str = ""
    references: Pointed | None = None
    not_valid: bool = False
    using_index: bool = False
    plain: bool = True
    """Whether it says nothing that a plan could not: not deferrable, no NULLS NOT DISTINCT."""


@dataclass(frozen=True, kw_only=True)
class CreateTable:
    """A table is made."""

    table: TableName
    columns: tuple[ColumnText, ...] = ()
    if_missing: bool = False
    """Whether it stays as it is where it is there."""


@dataclass(frozen=True, kw_only=True)
class RenameTable:
    """A table gets another name."""

    table: TableName
    to: TableName


@dataclass(frozen=True, kw_only=True)
class AddColumn:
    """A column comes."""

    table: TableName
    column: ColumnText
    if_missing: bool = False
    """Whether it stays as it is where it is there."""


@dataclass(frozen=True, kw_only=True)
class DropColumn:
    """A column goes."""

    table: TableName
    column: str


@dataclass(frozen=True, kw_only=True)
class RenameColumn:
    """A column gets another name."""

    table: TableName
    column: str
    to: str


@dataclass(frozen=True, kw_only=True)
class ChangeType:
    """A column gets another type."""

    table: TableName
    column: str
    type: str
    using: str | None = None
    collation: str | None = None


@dataclass(frozen=True, kw_only=True)
class AlterColumn:
    """A column gets or loses NOT NULL or a default."""

    table: TableName
    column: str
    how: Literal["set not null", "drop not null", "set default", "drop default"]
    default: str | None = None


@dataclass(frozen=True, kw_only=True)
class AddConstraint:
    """A constraint comes."""

    table: TableName
    constraint: Constraint


@dataclass(frozen=True, kw_only=True)
class CreateIndex:
    """An index is built."""

    table: TableName
    name: str | None
    unique: bool
    concurrently: bool
    columns: tuple[str, ...] | None
    """None where a key is more than a column, or not every row has an entry."""
    tail: str
    """From USING or the parenthesis on."""


@dataclass(frozen=True, kw_only=True)
class Shed:
    """An index or a constraint goes."""


@dataclass(frozen=True, kw_only=True)
class CreateEnum:
    """An enum type is made."""

    type: TableName
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RenameValue:
    """A label of an enum type gets another name."""

    type: TableName
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class AddValue:
    """An enum type gets a label."""

    type: TableName
    label: str


@dataclass(frozen=True, kw_only=True)
class RenameType:
    """A type gets another name."""

    type: TableName
    to: TableName


@dataclass(frozen=True, kw_only=True)
class Create:
    """Something else is made, or made anew."""

    what: str
    names: tuple[TableName, ...]


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Something goes: a table, a view, a type, a function, a sequence, a schema."""

    what: str
    names: tuple[TableName, ...]


@dataclass(frozen=True, kw_only=True)
class Withdraw:
    """Something is no longer where it was: another name, or another schema."""

    what: str
    name: TableName
    how: str


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A table is read or written as a whole under a lock."""

    tables: tuple[TableName, ...]
    how: str
    loses: bool = False
    """Whether rows are gone."""
    instead: str = ""
    """What does not hold anybody up; empty where nothing is known."""


@dataclass(frozen=True, kw_only=True)
class RemakeEnum:
    """An enum type is made anew with other labels, by several statements."""

    type: TableName
    removed: tuple[str, ...]
    added: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """Statements that are put together as they run: nobody can say what they do."""


Deed = (
    CreateTable
    | RenameTable
    | AddColumn
    | DropColumn
    | RenameColumn
    | ChangeType
    | AlterColumn
    | AddConstraint
    | CreateIndex
    | Shed
    | CreateEnum
    | RenameValue
    | AddValue
    | RenameType
    | Create
    | Drop
    | Withdraw
    | Hold
    | RemakeEnum
    | Hidden
)
