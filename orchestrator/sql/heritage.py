"""Heritage: what hangs on a column and has to come along when another one takes its place.

PostgreSQL binds indexes, constraints, statistics and sequences by column number, so a successor gets
none of them by itself. `orchestrator.engine.heritage` reads them, in PostgreSQL's own words, as they
would read over the successor; `orchestrator.operations.succession` hands them over.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator.sql.identifiers import TableName, bounded
from orchestrator.sql.restating import Restated


def former_name(table: TableName, column: str) -> str:
    """Return the name of the composite type in the journal's schema that keeps the type which a column had."""
    return bounded("was", table.qualified, column)


def under_exchange(names: Collection[str]) -> frozenset[str]:
    """Return those of a table's columns that exchange their names with a successor, whichever plan's that is."""
    return frozenset(name for name in names if beside(name) in names or aside(name) in names)


def beside(name: str) -> str:
    """Return the name of a successor, or of an object of one, until it takes over."""
    return bounded(name, "ecm_new")


def aside(name: str) -> str:
    """Return the name of a column that was succeeded, or of what stays on it."""
    return bounded(name, "ecm_old")


@dataclass(frozen=True, kw_only=True)
class Heir:
    """A column, and the one that takes over from it.

    Attributes:
        column: under the name it has now.
        successor: under the name it has now, or will have; the column that readers are to find in the end.
        type: what the column becomes, as the plan says; None where nothing is to be tried.
        restated: how constants read over the successor, where those of the column's type do not.
    """

    column: str
    successor: str
    type: str | None = None
    restated: Restated | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """The part of an index or constraint that one partition has.

    Attributes:
        table: the partition.
        name: of the part.
        leaf: whether the partition holds rows, and is not partitioned itself.
        replica_identity: whether subscribers know the partition's rows by it: that is said of each partition apart.
    """

    table: TableName
    name: str
    leaf: bool = True
    replica_identity: bool = False


@dataclass(frozen=True, kw_only=True)
class HeldIndex:
    """An index on a column, a constraint's or not."""

    name: str
    unique: bool
    tail: str
    """Its definition from ` USING` on, over the successors."""
    of: str = ""
    """The first of the columns that have heirs, of those it is on: each is handed over once."""
    comment: str | None = None
    clustered: bool = False
    replica_identity: bool = False
    parts: tuple[Part, ...] = ()
    constraint: str | None = None
    """The constraint whose index it is."""


@dataclass(frozen=True, kw_only=True)
class HeldConstraint:
    """A constraint on a column, or a foreign key of another table that points to it."""

    name: str
    kind: Literal["p", "u", "c", "f"]
    """pg_constraint.contype: primary key, unique, check, foreign key."""
    table: TableName
    """Whose constraint it is."""
    definition: str
    """Over the successors. Of a primary key or unique constraint, what follows USING INDEX."""
    whole: str = ""
    """Of a primary key or unique constraint: what comes before that, as of a constraint without an index so far."""
    of: str = ""
    """As of an index."""
    index: str | None = None
    """The index behind a primary key or unique constraint."""
    references: TableName | None = None
    valid: bool = True
    enforced: bool = True
    comment: str | None = None
    parts: tuple[Part, ...] = ()
    """Of a foreign key of a partitioned table, that of each partition."""
    owner: str | None = None
    """Who may alter the table that has it, where the connected role may not."""


@dataclass(frozen=True, kw_only=True)
class HeldSequence:
    """A sequence that feeds a column: that of an identity column, or of a serial one."""

    name: TableName
    type: str
    start: int
    increment: int
    minimum: int
    maximum: int
    cache: int
    cycle: bool
    comment: str | None = None
    grants: tuple[tuple[str | None, str, bool], ...] = ()
    """(grantee, privilege, grantable); the owner's own apart."""


@dataclass(frozen=True, kw_only=True)
class HeldStatistics:
    """Extended statistics on several columns or expressions."""

    name: TableName
    definition: str
    """The CREATE STATISTICS over the successors, from the kinds on."""
    of: str = ""
    """As of an index."""
    comment: str | None = None


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """What is said of a column itself, beyond `orchestrator.sql.facts.Column`."""

    comment: str | None = None
    statistics: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    identity: Literal["a", "d"] | None = None
    """pg_attribute.attidentity: ALWAYS, BY DEFAULT."""
    not_null: str | None = None
    """The name of its NOT NULL, which has one since PostgreSQL 18."""
    sequence: HeldSequence | None = None
    default: str | None = None
    """Its default as the successor would have it, where that reads otherwise."""
    used: tuple[str, ...] = ()
    """Who uses the column in a way that keeps PostgreSQL from changing its type, a line each."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What is said of a column where it is said, on a table or on one of its partitions; it goes no further."""

    comment: str | None = None
    statistics: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    grants: tuple[tuple[str | None, str, bool], ...] = ()
    """(grantee, privilege, grantable)."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What PostgreSQL itself makes of ALTER COLUMN TYPE, tried on an empty copy."""

    refusal: str | None = None
    rewrites: bool = True
    """Whether it would write the table or an index of it anew."""


@dataclass(frozen=True, kw_only=True)
class Heritage:
    """All that hangs on those columns of a table that have heirs."""

    heirs: tuple[Heir, ...] = ()
    indexes: tuple[HeldIndex, ...] = ()
    constraints: tuple[HeldConstraint, ...] = ()
    statistics: tuple[HeldStatistics, ...] = ()
    attributes: dict[str, Attributes] = field(default_factory=dict[str, Attributes])
    """By column."""
    words: dict[TableName, dict[str, Words]] = field(default_factory=dict[TableName, dict[str, Words]])
    """What the table and each partition says of those columns and of their heirs, as far as these are there; a
    partition before those beneath it."""
    trials: dict[str, Trial] = field(default_factory=dict[str, Trial])
    """By column."""
    functions: tuple[TableName, ...] = ()
    """The PL/pgSQL functions of the table's triggers that are the connected role's to alter."""
    defaults: dict[str, str] = field(default_factory=dict[str, str])
    """By column, heir or not: its default as it reads once the types have exchanged their names, where these do."""
    former: dict[str, str] = field(default_factory=dict[str, str])
    """By column whose type was changed at once: what it was before."""

    def only(self, columns: Collection[str]) -> "Heritage":
        """Return what hangs on some of the columns."""
        return replace(
            self,
            heirs=tuple(heir for heir in self.heirs if heir.column in columns),
            indexes=tuple(index for index in self.indexes if index.of in columns),
            constraints=tuple(constraint for constraint in self.constraints if constraint.of in columns),
            statistics=tuple(each for each in self.statistics if each.of in columns),
        )

    def under(self, names: Mapping[str, str]) -> "Heritage":
        """Return the same of columns that have other names by now."""

        def renamed(name: str) -> str:
            return names.get(name, name)

        return replace(
            self,
            heirs=tuple(
                replace(heir, column=renamed(heir.column), successor=renamed(heir.successor)) for heir in self.heirs
            ),
            indexes=tuple(replace(index, of=renamed(index.of)) for index in self.indexes),
            constraints=tuple(replace(constraint, of=renamed(constraint.of)) for constraint in self.constraints),
            statistics=tuple(replace(each, of=renamed(each.of)) for each in self.statistics),
            attributes={renamed(name): said for name, said in self.attributes.items()},
            words={table: {renamed(name): said for name, said in words.items()} for table, words in self.words.items()},
        )

    def index(self, name: str) -> HeldIndex | None:
        """Return the index of that name, or None."""
        return next((index for index in self.indexes if index.name == name), None)
