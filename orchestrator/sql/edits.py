"""A change of a schema as a migration tool would make it on an empty table: what goes, what comes, what is renamed.

ecm takes many steps where one would do, because tables have rows and applications that use them. The tools' own records
(a snapshot, a model's state) know only where that leads, and so do these values. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from orchestrator.sql import edits_views
from orchestrator.sql.edits_constraints import AddCheck, AddForeignKey, AddUnique
from orchestrator.sql.edits_labels import ChangeLabels
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.steps import Statement

__all__ = [
    "AddCheck",
    "AddColumn",
    "AddForeignKey",
    "AddIndex",
    "AddUnique",
    "ChangeLabels",
    "ChangeType",
    "CreateTable",
    "DropColumn",
    "Edit",
    "Edits",
    "Facts",
    "Other",
    "RenameColumn",
    "RenameTable",
    "SetNullable",
]

Facts = Mapping[TableName, Table]


@dataclass(frozen=True, kw_only=True)
class AddColumn:
    """A column comes.

    Attributes:
        table: its table.
        column: its name.
        type: as PostgreSQL has it.
        collation: qualified and quoted, where it is not the type's own.
        default: an expression, where it has one.
        like: a column of the table whose description it takes over, except for its name, its keys and NOT NULL.
    """

    table: TableName
    column: str
    type: str
    collation: str | None = None
    default: str | None = None
    like: str | None = None

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What makes it."""
        return (sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(self.table.identifier, self.definition),)

    @property
    def definition(self) -> sql.Composed:
        """The column as it is written where it comes."""
        return sql.SQL("{} {}{}{}").format(
            sql.Identifier(self.column),
            verbatim(self.type),
            verbatim(f" COLLATE {self.collation}" if self.collation else ""),
            verbatim(f" DEFAULT {self.default}" if self.default is not None else ""),
        )


@dataclass(frozen=True, kw_only=True)
class DropColumn:
    """A column goes, with its indexes and constraints."""

    table: TableName
    column: str

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What drops it."""
        return (sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(self.table.identifier, sql.Identifier(self.column)),)


@dataclass(frozen=True, kw_only=True)
class RenameColumn:
    """A column gets another name."""

    table: TableName
    column: str
    to: str

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What renames it."""
        return (
            sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(
                self.table.identifier, sql.Identifier(self.column), sql.Identifier(self.to)
            ),
        )


@dataclass(frozen=True, kw_only=True)
class ChangeType:
    """A column gets another type.

    Attributes:
        table: its table.
        column: its name, which stays.
        type: as PostgreSQL has it.
        using: the value, over the row as it was; a cast otherwise.
        default: its constant default, which is not always cast by itself.
        read: whether views read it.
    """

    table: TableName
    column: str
    type: str
    using: str | None = None
    default: str | None = None
    read: bool = False

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What changes it."""
        own = self._own()
        return edits_views.around(edits_views.column(self.table, self.column), own) if self.read else own

    def _own(self) -> tuple[Statement, ...]:
        column = sql.Identifier(self.column)
        change = sql.SQL("ALTER TABLE {} ALTER COLUMN {} ").format(self.table.identifier, column)
        value = verbatim(f"({self.using})") if self.using else sql.SQL("{}::{}").format(column, verbatim(self.type))
        retyped = change + sql.SQL("TYPE {} USING {}").format(verbatim(self.type), value)
        if self.default is None:
            return (retyped,)
        again = sql.SQL("SET DEFAULT {}").format(verbatim(self.default))
        return (change + sql.SQL("DROP DEFAULT"), retyped, change + again)


@dataclass(frozen=True, kw_only=True)
class SetNullable:
    """A column is NOT NULL from then on, or may be NULL."""

    table: TableName
    column: str
    nullable: bool

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What sets or drops NOT NULL."""
        return (
            sql.SQL("ALTER TABLE {} ALTER COLUMN {} {} NOT NULL").format(
                self.table.identifier, sql.Identifier(self.column), sql.SQL("DROP" if self.nullable else "SET")
            ),
        )


@dataclass(frozen=True, kw_only=True)
class RenameTable:
    """A table gets another name, in its schema."""

    table: TableName
    to: TableName

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What renames it."""
        return (sql.SQL("ALTER TABLE {} RENAME TO {}").format(self.table.identifier, sql.Identifier(self.to.name)),)


@dataclass(frozen=True, kw_only=True)
class CreateTable:
    """A table comes, with columns of another one and a key that counts itself.

    Attributes:
        table: its name.
        key: its primary key, a bigint.
        columns: the other ones, with types and collations as PostgreSQL has them; all of them together are unique.
        unique: the name of that constraint.
        like: the table whose columns of these names they are like, except for defaults, keys and NOT NULL.
    """

    table: TableName
    key: str
    columns: tuple[AddColumn, ...]
    unique: str
    like: TableName

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What makes it."""
        names = sql.SQL(", ").join(sql.Identifier(each.column) for each in self.columns)
        return (
            sql.SQL(
                "CREATE TABLE {} ({} bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, {},"
                " CONSTRAINT {} UNIQUE ({}))"
            ).format(
                self.table.identifier,
                sql.Identifier(self.key),
                sql.SQL(", ").join(each.definition for each in self.columns),
                sql.Identifier(self.unique),
                names,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class AddIndex:
    """An index comes that finds rows by a column of theirs."""

    table: TableName
    name: str
    column: str

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What builds it."""
        return (
            sql.SQL("CREATE INDEX {} ON {} USING btree ({})").format(
                sql.Identifier(self.name), self.table.identifier, sql.Identifier(self.column)
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Other:
    """Something that a tool's records do not tell of, or not in a way that could be written for it.

    Attributes:
        statement: what does it.
        says: what it does, for a person.
        silent: whether no tool's records tell of it, so that nobody misses it there.
    """

    statement: Statement
    says: str
    silent: bool = False

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What does it."""
        return (self.statement,)


Constraint = AddUnique | AddCheck | AddForeignKey

Edit = (
    AddColumn
    | DropColumn
    | RenameColumn
    | ChangeType
    | SetNullable
    | RenameTable
    | CreateTable
    | AddIndex
    | ChangeLabels
    | Constraint
    | Other
)


@dataclass(frozen=True, kw_only=True)
class Edits:
    """What a change does to a schema, in expand and in contract; None where only tables that are gone would tell."""

    expand: tuple[Edit, ...] | None = ()
    contract: tuple[Edit, ...] | None = ()
