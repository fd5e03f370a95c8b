"""What a branch's catalog says about a table, as values.

The engine reads them (`orchestrator.engine.catalog`); operations decide by them. Text that
PostgreSQL wrote (`definition`, `tail`, `default`) is qualified, because it is read with an
empty search_path.
"""

from dataclasses import dataclass, field
from typing import Literal, Self

from orchestrator.sql.heritage import Heritage
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.readers import Reader


@dataclass(frozen=True, kw_only=True)
class Grant:
    """One privilege on a column, as in pg_attribute.attacl."""

    grantee: str | None
    """The role, or None for PUBLIC."""
    privilege: str
    grantable: bool


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table."""

    name: str
    type: str
    """The type with its modifier, as format_type gives it."""
    plain_type: str
    """The same, or the type at the bottom of it where `type` is a domain.

    Adding a column of a domain with constraints or a volatile default, its own or one beneath it, rewrites
    the table ("ALTER TABLE", ADD COLUMN); a constant default would show in every row that is there already.
    """
    collation: str | None
    """The collation, qualified and quoted, where it is not the type's own."""
    not_null: bool
    default: str | None
    """The default expression: the column's own, or its domain's."""
    default_is_constant: bool
    """Whether the default gives the same value for every row (only immutable functions in it)."""
    identity: bool
    generated: bool
    partition_key: bool
    grants: tuple[Grant, ...]
    accepts_null: bool = True
    """Whether its type does; only a domain may not."""

    @classmethod
    def plain(cls, name: str, type_name: str) -> Self:
        """Return a column without anything special, as one that is about to be added."""
        return cls(
            name=name,
            type=type_name,
            plain_type=type_name,
            collation=None,
            not_null=False,
            default=None,
            default_is_constant=False,
            identity=False,
            generated=False,
            partition_key=False,
            grants=(),
        )


@dataclass(frozen=True, kw_only=True)
class Index:
    """An index of a table."""

    name: str
    unique: bool
    """Whether a duplicate is refused at once; a deferrable constraint's index waits, and does not count."""
    valid: bool
    columns: frozenset[str]
    """Every column it depends on: keys, included ones, in expressions and in the predicate."""
    tail: str
    """Its definition from ` USING` on."""
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """A trigger of a table that is not PostgreSQL's own."""

    name: str
    function: str
    timing: Literal["BEFORE", "AFTER", "INSTEAD OF"]
    per_row: bool
    constraint: bool
    events: tuple[str, ...]
    """Among INSERT, DELETE, UPDATE, TRUNCATE, in the order pg_get_triggerdef writes them."""
    update_of: tuple[str, ...]
    """The columns of UPDATE OF; empty when any column fires it."""
    tail: str
    """Its definition from ` ON` on."""
    enabled: Literal["O", "D", "R", "A"]
    arguments: tuple[str, ...]
    comment: str | None
    constraint_comment: str | None = None


@dataclass(frozen=True, kw_only=True)
class Dependent:
    """Something that names a column where PostgreSQL does not track it, or that stands on it."""

    kind: str
    """function, trigger, view, index, constraint …"""
    name: str
    """schema.object, as `expand.acknowledge` takes it."""
    why: str
    names_it: bool = True
    """Whether it fails when the column's name is gone; otherwise it minds the second column until contract."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as a branch has it."""

    name: TableName
    oid: int
    kind: str
    """pg_class.relkind: r an ordinary table, p a partitioned one."""
    owner: str
    rows: int
    """PostgreSQL's estimate (reltuples), 0 where it was never analyzed."""
    bytes: int
    """Heap, TOAST and indexes, partitions included."""
    inherits: bool
    """Whether it is a parent or child by inheritance other than partitioning."""
    of_type: bool
    is_partition: bool
    row_security: bool
    """Whether row-level security applies to the connected role, so that it would not see every row."""
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]
    triggers: tuple[Trigger, ...]
    publications: tuple[str, ...]
    """Publications that send all columns of this table."""
    may_alter: bool
    """Whether the connected role is (a member of) the owner."""
    may_create_in_schema: bool
    role: str
    """The connected role."""
    owner_is_superuser: bool
    search_path: str = '"$user", public'
    """Where the role's own sessions look names up, as SHOW search_path prints it."""
    partitions: tuple[TableName, ...] = ()
    """The partitions that hold its rows, where it is partitioned."""
    unlike_partitions: tuple[str, ...] = ()
    """Why ecm cannot treat its partitions as one table, a line each: triggers of their own, say."""
    may_suppress_triggers: bool = True
    """Whether the connected role may set session_replication_role."""
    untracked: dict[str, tuple[Dependent, ...]] = field(default_factory=dict[str, tuple[Dependent, ...]])
    """By column: what names it where PostgreSQL does not track it (PL/pgSQL and string bodies, trigger arguments)."""
    tracked: dict[str, tuple[Dependent, ...]] = field(default_factory=dict[str, tuple[Dependent, ...]])
    """By column: objects that depend on it in pg_depend."""
    readers: dict[str, tuple[Reader, ...]] = field(default_factory=dict[str, tuple[Reader, ...]])
    """By column: what reads it and can be made to read another, each after those it stands on."""
    unmovable: dict[str, tuple[Dependent, ...]] = field(default_factory=dict[str, tuple[Dependent, ...]])
    """By column: what stands in the way of moving its readers."""
    heritage: Heritage = field(default_factory=Heritage)
    """What hangs on columns from which others take over, and would read over those."""
    twins: dict[str, str] = field(default_factory=dict[str, str])
    """By index: its tail as it reads with the plan's columns renamed."""

    def column(self, name: str) -> Column | None:
        """Return the column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def lockable(self) -> tuple[TableName, ...]:
        """What a change of the table locks: itself and its partitions."""
        return (self.name, *self.partitions)

    def index(self, name: str) -> Index | None:
        """Return the index of that name, or None."""
        return next((index for index in self.indexes if index.name == name), None)
