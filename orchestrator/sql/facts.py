"""What a branch's catalog says about a table, as values.

The engine reads them (`orchestrator.engine.catalog`); operations decide by them. Text that
PostgreSQL wrote (`definition`, `tail`, `default`) is qualified, because it is read with an
empty search_path.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from orchestrator.sql.enums import Enum
from orchestrator.sql.heritage import Heritage
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, hidden
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
    not_null_name: str | None = None
    """The name of the constraint that makes it NOT NULL, which has one since PostgreSQL 18."""

    @property
    def constant_default(self) -> str | None:
        """The default where it gives the same value for every row."""
        return self.default if self.default_is_constant else None

    @property
    def default_varies(self) -> bool:
        """Whether a row that does not give the column has a value by which nobody can tell that."""
        return self.identity or (self.default is not None and not self.default_is_constant)

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
    primary: bool = False
    """Whether it is the primary key's."""
    replica_identity: bool = False
    """Whether logical replication tells rows apart by it (ALTER TABLE, REPLICA IDENTITY USING INDEX)."""
    keys: tuple[str, ...] = ()
    """Its key columns in their order, where there is an entry for every row, by columns and no expressions."""
    spelled: tuple[str, ...] = ()
    """Its keys as PostgreSQL writes them: columns, quoted where they have to be, or expressions."""
    predicate: str | None = None
    """Which rows it has, where not all."""


Enabled = Literal["O", "D", "R", "A"]
"""pg_trigger.tgenabled: as any, disabled, on a replica, always."""


@dataclass(frozen=True)
class TriggerPart:
    """A partition's part of a trigger, with what is said of it alone."""

    table: TableName
    enabled: Enabled
    comment: str | None


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
    enabled: Enabled
    arguments: tuple[str, ...]
    comment: str | None
    constraint_comment: str | None = None
    parts: tuple[TriggerPart, ...] = ()
    """Those of partitions that are enabled otherwise, or have a comment; a partition before those beneath it."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule on INSERT or UPDATE of a table or of one of its partitions ("CREATE RULE")."""

    name: str
    table: TableName
    event: Literal["INSERT", "UPDATE"]
    instead: bool
    columns: tuple[str, ...]
    """The table's columns that it looks at."""


@dataclass(frozen=True, kw_only=True)
class Dependent:
    """Something that names a column where PostgreSQL does not track it, or that stands on it."""

    kind: str
    """function, trigger, view, index, constraint …"""
    name: str
    """schema.object, as `expand.acknowledge` takes it."""
    why: str
    names_it: bool = True
    """Whether it fails when the old name is gone; otherwise it minds what is there until contract."""
    remedy: str | None = None
    """What to do about it, where that is not to drop it and make it again."""
    ready: str | None = None
    """How it is made ready for what changes, and when, where that is not to rewrite it in reads migrated."""

    @property
    def is_ours(self) -> bool:
        """Whether it is in ecm's own schema, where it stands aside for the way back of a plan."""
        return self.name.startswith(f"{JOURNAL_SCHEMA}.")


@dataclass(frozen=True, kw_only=True)
class Apart:
    """What a partition has on a column and the table it belongs to has not, or has otherwise."""

    partition: TableName
    kind: str
    """default, NOT NULL, key, constraint, index, view …"""
    what: str
    """In words."""
    remedy: str
    """The statement that makes the partition as the others are, or what to do."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A view of ecm's own over a table, as it is found."""

    name: TableName
    grants: tuple[Grant, ...]
    column_grants: dict[str, tuple[Grant, ...]] = field(default_factory=dict[str, tuple[Grant, ...]])
    additions: tuple[Dependent, ...] = ()
    """What was made on it, and would go with it."""


@dataclass(frozen=True, kw_only=True)
class ViewFacts:
    """What a view over a table has to carry, and who would notice that it is a view. Read where a plan makes one."""

    with_users_rights: bool = True
    """Whether a view can act with the rights of who uses it (security_invoker, PostgreSQL 15)."""
    merges: bool = True
    """Whether MERGE goes through a view (PostgreSQL 17)."""
    policed: bool = False
    """Whether the table has row-level security, for whomever."""
    owner_may_create: bool = True
    """Whether the table's owner may create in its schema."""
    grants: tuple[Grant, ...] = ()
    """Privileges on the whole table, those of its owner apart."""
    owner_grants: tuple[Grant, ...] | None = None
    """The owner's, where some were taken from it; None where it has them all."""
    given_by_default: tuple[str | None, ...] = ()
    """Roles to whom the connected role's default privileges would give something on a view that it makes."""
    naming: tuple[Dependent, ...] = ()
    """Functions that name the table where PostgreSQL does not track it."""
    typed: tuple[Dependent, ...] = ()
    """Functions and columns of the table's row type: a view's is another."""
    asking: tuple[Dependent, ...] = ()
    """Trigger functions that ask for the table's name."""
    replicated: tuple[str, ...] = ()
    """Publications that send the table, and subscriptions that fill it."""
    occupied: tuple[Dependent, ...] = ()
    """Relations that have one of the names the plan needs and are not ecm's own."""
    views: tuple[View, ...] = ()
    """ecm's own views over the table."""
    statements: tuple[str, ...] | None = None
    """Statements on the table that do not go through a view, and how often each was run; None where nobody counts."""

    def view(self, name: TableName) -> View | None:
        """Return ecm's view of that name, or None."""
        return next((view for view in self.views if view.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as a branch has it."""

    name: TableName
    """Its name for the application and in plans."""
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
    key: tuple[str, ...] = ()
    """The columns of its primary key, where it has one."""
    constraints: tuple[str, ...] = ()
    """The names of its constraints."""
    partitions: tuple[TableName, ...] = ()
    """The partitions that hold its rows, where it is partitioned, at whatever depth."""
    tree: tuple[tuple[TableName, TableName], ...] = ()
    """Every partition with what it is a partition of, the table's own first, then those beneath them."""
    unlike_partitions: tuple[str, ...] = ()
    """Why ecm cannot treat its partitions as one table, a line each: triggers of their own, say."""
    apart: dict[str, tuple[Apart, ...]] = field(default_factory=dict[str, tuple[Apart, ...]])
    """By column: what partitions alone have on it."""
    partition_grants: dict[TableName, dict[str, tuple[Grant, ...]]] = field(
        default_factory=dict[TableName, dict[str, tuple[Grant, ...]]]
    )
    """By partition and column: the privileges there, which are not those on the table's column."""
    rules: tuple[Rule, ...] = ()
    """Those that are not disabled."""
    attributes: int = 0
    """Columns it has or ever had, of the partition with most of them; a dropped one keeps its place."""
    may_suppress_triggers: bool = True
    """Whether the connected role may set session_replication_role."""
    untracked: dict[str, tuple[Dependent, ...]] = field(default_factory=dict[str, tuple[Dependent, ...]])
    """By column: what names it where PostgreSQL does not track it (PL/pgSQL and string bodies, trigger arguments)."""
    tracked: dict[str, tuple[Dependent, ...]] = field(default_factory=dict[str, tuple[Dependent, ...]])
    """By column: objects that depend on it in pg_depend."""
    readers: dict[str, tuple[Reader, ...]] = field(default_factory=dict[str, tuple[Reader, ...]])
    """By column: what reads it and can be made to read another, each after those it stands on."""
    readers_moved: bool = False
    """Whether readers were moved already, where columns are told under the names they had before."""
    unmovable: dict[str, tuple[Dependent, ...]] = field(default_factory=dict[str, tuple[Dependent, ...]])
    """By column: what stands in the way of moving its readers."""
    heritage: Heritage = field(default_factory=Heritage)
    """What hangs on columns from which others take over, and would read over those."""
    twins: dict[str, str] = field(default_factory=dict[str, str])
    """By index: its tail as it reads with the plan's columns renamed."""
    notes: dict[str, str] = field(default_factory=dict[str, str])
    """By check constraint that a plan put there: the comment it has, for the way back."""
    behind: TableName | None = None
    """The name it was given while a view of ecm's, the facade, has its own; all facts are of the table itself."""
    views: ViewFacts = ViewFacts()
    enums: dict[TableName, Enum] = field(default_factory=dict[TableName, Enum])
    """The types that a plan changes and this table has columns of."""
    kept: bool = False
    """Whether contract keeps the old side out of sight, so that it can be undone."""
    now: TableName | None = None
    """The name it has meanwhile, where contract gave it another one; `name` stays that of plans."""

    def column(self, name: str) -> Column | None:
        """Return the column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def found(self, column: str) -> str:
        """Return a column's name now: its own, or the one under which contract keeps it out of sight."""
        there = {each.name for each in self.columns}
        return hidden(column) if column not in there and hidden(column) in there else column

    def under(self, names: Mapping[str, str]) -> Self:
        """Return the same with its columns under other names, and what is known of them."""

        def renamed(name: str) -> str:
            return names.get(name, name)

        return replace(
            self,
            columns=tuple(replace(column, name=renamed(column.name)) for column in self.columns),
            triggers=tuple(
                replace(trigger, update_of=tuple(map(renamed, trigger.update_of))) for trigger in self.triggers
            ),
            heritage=self.heritage.under(names),
        )

    @property
    def at(self) -> TableName:
        """The name by which the database knows it now."""
        return self.now or self.name

    @property
    def partitioned_again(self) -> tuple[TableName, ...]:
        """The partitions that have partitions themselves and hold no rows, each before those beneath it."""
        return tuple(partition for partition, _ in self.tree if partition not in self.partitions)

    @property
    def lockable(self) -> tuple[TableName, ...]:
        """What a change of the table locks: itself and its partitions."""
        return (self.at, *((self.behind,) if self.behind else ()), *self.partitioned_again, *self.partitions)

    def index(self, name: str) -> Index | None:
        """Return the index of that name, or None."""
        return next((index for index in self.indexes if index.name == name), None)
