"""What every kind of change is: a frozen value that, given a table's facts, says what to do.

An operation holds only what its kind needs to know. What all share (the sync trigger, the
sweep, the proof, the order of things) is added by `orchestrator.plan.compile`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.operations.sides import Sides
from orchestrator.sql.edits import Edits, Facts
from orchestrator.sql.facts import Column, Dependent, Table
from orchestrator.sql.heritage import Heir
from orchestrator.sql.identifiers import NAME_BYTES, SYSTEM_COLUMNS, SYSTEM_SCHEMAS, TableName
from orchestrator.sql.mapping import Mapping, Reliance
from orchestrator.sql.readers import Move
from orchestrator.sql.script import Outright
from orchestrator.sql.steps import Proof, Statement, Step, Transaction
from orchestrator.sql.sync import Ddl
from orchestrator.words import did_you_mean


def _a_table_of_yours(value: str) -> str:
    table = TableName.parse(value)
    if table.schema in SYSTEM_SCHEMAS:
        raise ValueError(f"{table} is not a table of yours: schema {table.schema} belongs to PostgreSQL or ecm")
    if table.schema.startswith("pg_temp"):
        raise ValueError(f"{table} is a temporary table: it is there for the session that made it, and for no other")
    return str(table)


def _a_plain_column(value: str) -> str:
    if value in SYSTEM_COLUMNS:
        raise ValueError(f"{value!r} is a system column, which every table has and no plan can change")
    if value.startswith('"') and value.endswith('"'):
        raise ValueError(f"{value} has quotes around it; a plan's names are exact as they are, without any")
    return value


def _fits_a_name(value: str) -> str:
    if (size := len(value.encode())) > NAME_BYTES:
        raise ValueError(f"{value!r} is {size} bytes long; PostgreSQL keeps {NAME_BYTES} and would cut the rest")
    return value


def _a_name_for_a_table(value: str) -> str:
    _a_table_of_yours(value)
    _fits_a_name(TableName.parse(value).name)
    return value


TableField = Annotated[str, Field(min_length=1), AfterValidator(_a_table_of_yours)]
"""A table in a plan: table or schema.table, never one of PostgreSQL's or ecm's."""
NewTableField = Annotated[str, Field(min_length=1), AfterValidator(_a_name_for_a_table)]
"""The name that a table is to have, with or without its schema."""
ColumnField = Annotated[str, Field(min_length=1), AfterValidator(_a_plain_column)]
"""A column in a plan, by its exact name."""
NewColumnField = Annotated[ColumnField, AfterValidator(_fits_a_name)]
"""The name of a column that is to be made."""


WHOLE = ""
"""In a claim, instead of a column: all of the table, whatever its columns are."""
KEY = "its primary key"
"""In a mention, instead of a column: those of the table's primary key, which a plan need not name."""

Claim = tuple[str, str]
"""A table, as a plan writes it, and a column of it or `WHOLE`."""


def overlaps(one: Iterable[Claim], other: Iterable[Claim]) -> frozenset[Claim]:
    """Return what two sets of claims both hold: what is in both, and what is of a table that either holds whole."""
    mine, theirs = frozenset(one), frozenset(other)
    whole = {table for table, column in mine | theirs if column == WHOLE}
    shared = whole & {table for table, _ in mine} & {table for table, _ in theirs}
    return (mine & theirs) | {(table, column) for table, column in mine | theirs if table in shared}


@dataclass(frozen=True, kw_only=True)
class Guide:
    """What a new plan says of a phase.

    Attributes:
        about: what the phase is for this change, a sentence for a comment.
        deploy: what the application does once the phase is through; empty where there is nothing to say.
    """

    about: str
    deploy: str = ""


def guide_to(*, old: str, new: str, expand: str, ending: str) -> Dictionary[str, Guide]:
    """Return a guide for a change with an old side and a new one.

    Args:
        old: the old side, as a person calls it: `full_name`.
        new: the new side: `first_name and last_name`.
        expand: what appears in expand, a sentence.
        ending: what contract does, a sentence.
    """
    return {
        "expand": Guide(about=expand, deploy="nothing yet; the application goes on as it is"),
        "backfill": Guide(
            about=f"Rows from before get {new}, while the application writes; then every row is proven.",
            deploy=f"the version that reads and writes {new} may be deployed from here on, beside the old one",
        ),
        "migrate_reads": Guide(
            about="Where a statement writes both sides, the new one counts from here on; the old is kept in step.",
            deploy=f"the version that reads and writes {new}, everywhere",
        ),
        "contract": Guide(about=ending, deploy=f"nothing; a version that uses {old} must be gone everywhere"),
    }


def nothing_to_fill(since: str, about: str = "There is nothing to fill.") -> Guide:
    """Return a guide for a backfill that has nothing to do, so that the application does what it did before.

    Args:
        since: what it may do since expand.
        about: why there is nothing, a sentence.
    """
    return Guide(about=about, deploy=f"as since expand, {since}")


class Operation(BaseModel, ABC):
    """One breaking change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str

    @property
    @abstractmethod
    def target(self) -> TableName:
        """The table it changes, or the first of them."""

    def tables(self) -> tuple[TableName, ...]:
        """Every table it changes, as far as the plan names them."""
        return (self.target,)

    def type_changed(self) -> TableName | None:
        """The type it changes wherever that is used: tables with a column of it are its tables too."""
        return None

    def concerns(self, facts: Table) -> bool:
        """Whether it changes this table. What follows is asked of it for each of its tables, with that one's facts."""
        return facts.name in self.tables()

    def synced(self) -> tuple[TableName, ...]:
        """The tables, as far as the plan names them, that a sync trigger keeps in step until contract."""
        return self.tables()

    @property
    @abstractmethod
    def summary(self) -> str:
        """What changes, in a line."""

    @property
    @abstractmethod
    def slug(self) -> str:
        """A name for a plan of this change alone, such as rename-published-year."""

    fate: ClassVar[str] = "stand on what changes"
    """What becomes of what PostgreSQL knows to hang on the columns that change, in a few words."""
    example: ClassVar[str] = ""
    """Its arguments on the command line, as an example to copy; made from its fields where there is none."""

    @property
    def ending(self) -> str:
        """What contract does in the end, in a few words after `take the trigger away, and`."""
        return f"settle that {self.summary}"

    def guide(self) -> Dictionary[str, Guide]:
        """What a new plan says of each phase (`expand`, `backfill`, `migrate_reads`, `contract`), for this kind."""
        return {}

    def fills(self) -> bool:
        """Whether the backfill writes rows, as far as the plan tells."""
        return bool(self.synced())

    def suggested_check(self) -> tuple[str, str] | None:
        """A query that finds 0 where the new side makes sense, before readers come, with its name; or none."""
        return None

    @property
    def writable(self) -> bool:
        """Whether an application can write both sides itself: columns under names of their own until contract."""
        return False

    @abstractmethod
    def claims(self) -> frozenset[Claim]:
        """Every (table, column) it changes or makes, or whole table; changes under way may not overlap."""

    def alongside(self, other: "Operation") -> str | None:
        """Why a change of a table that this one claims whole cannot be in the same plan; None where it can."""
        return f"it changes all of {self.target}" if overlaps(self.claims(), other.claims()) else None

    @property
    def stays(self) -> bool:
        """Whether the columns that it makes are there after contract, beside all that were there before."""
        return not self.renames()

    def sides(self, facts: Table) -> Sides:
        """What the two versions of an application see of a table's rows until contract."""
        pairs = self.mappings(facts)
        if any(pair.in_place for pair in pairs):
            return Sides.REPAIRED
        if any(pair.shown is not None for pair in pairs):
            return Sides.EXCHANGED
        two = [pair for pair in pairs if pair.fills and pair.olds and pair.news]
        return Sides.BOTH if two else Sides.FILLED if any(pair.fills for pair in pairs) else Sides.NONE

    @property
    def retires(self) -> bool:
        """Whether contract takes something away that the old version uses."""
        return True

    @property
    def forfeits(self) -> tuple[str, ...]:
        """What a rollback does not keep, by the nature of the change, a line each."""
        return ()

    comes_last: ClassVar[bool] = False
    """Whether it comes after the other changes of its tables, because those name them as they are until then."""

    def mentions(self) -> frozenset[tuple[str, str]]:
        """Every (table, word) of its expressions: no other plan may take a column away that they look at."""
        return frozenset()

    standing: ClassVar[str] = "was made on the new column while both versions ran"
    """What is said of something that keeps contract from dropping a column, or a view."""
    goes_along: ClassVar[str] = "this would go with the column, or keep it from going"
    """What contract would do to it."""

    @property
    def casts(self) -> tuple[str, str] | None:
        """The column whose values are cast as they are, and the type that they are cast to; None where none are."""
        return None

    @property
    def beginning(self) -> str:
        """What expand does, in a few words, where it does not add columns that a plan names; empty where it does."""
        return ""

    @property
    def gone(self) -> tuple[str, ...]:
        """The columns of its target whose names nobody can use after contract; `WHOLE`: the table's own."""
        return ()

    @property
    def distinct(self) -> frozenset[str]:
        """The columns of its target that no two rows may come to have alike meanwhile, or the change would fail."""
        return frozenset()

    def reliances(self, facts: Table) -> tuple[Reliance, ...]:
        """How writers of a table are told who rely on what contract takes away."""
        found = (mapping.reliance for mapping in self.mappings(facts))
        return tuple(each for each in found if each is not None)

    def touched(self, table: TableName) -> frozenset[str]:
        """The columns of one of its tables that it changes or makes."""
        return frozenset(column for name, column in self.claims() if name == str(table) and column != WHOLE)

    def touched_in(self, facts: Table) -> frozenset[str]:
        """The columns of one of its tables that it changes or makes, also where only the catalog says which."""
        return self.touched(facts.name)

    def relations(self) -> tuple[TableName, ...]:
        """Names of tables or views that it needs besides those of its tables, or instead of them."""
        return ()

    def named(self) -> tuple[TableName, ...]:
        """Every table and view that the plan's text names for it, some of which may not be there."""
        spoken = sorted({table for table, _ in (*self.claims(), *self.mentions())})
        return tuple(dict.fromkeys((*self.tables(), *self.relations(), *map(TableName.parse, spoken))))

    def begun(self, facts: Table) -> bool:
        """Whether expand ran, as far as the facts tell."""
        return any(facts.column(new) for new in self.made())

    def expanded(self, facts: Table) -> Table:
        """Return the facts of a table as they are once expand ran, for a change that comes last: pure, idempotent."""
        return facts

    @abstractmethod
    def made(self) -> tuple[str, ...]:
        """The columns that expand makes."""

    def warnings(self, facts: Table) -> tuple[str, ...]:
        """What a person should know before it begins, a line each."""
        return ()

    def renames(self) -> tuple[tuple[str, str], ...]:
        """(old, new) columns under whose new name readers will want the old one's indexes, until contract."""
        return ()

    def heirs(self, facts: Table) -> tuple[Heir, ...]:
        """Which columns have others to take over from them; asked before what hangs on them is in the facts."""
        return ()

    def succeeded(self, facts: Table) -> tuple[str, ...]:
        """Which columns another is yet to take over from, with all that hangs on the table's own."""
        return ()

    @abstractmethod
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        """Everything that stands in the way before anything is touched."""

    @abstractmethod
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        """What ecm cannot bring along, by name: the person takes care of it and acknowledges it."""

    @abstractmethod
    def mappings(self, facts: Table) -> tuple[Mapping, ...]:
        """Which columns follow from which."""

    @abstractmethod
    def expand(self, facts: Table) -> Ddl:
        """The new structure, and how it is taken away. Runs in one transaction with the sync trigger."""

    @abstractmethod
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        """What stands on something contract drops and would go with it; contract waits until it is gone."""

    def came_since(self, facts: Table) -> tuple[EcmError, ...]:
        """What came since expand, has no other side, and would be another thing once readers have moved."""
        return ()

    def outright(self) -> Outright | None:
        """What it does to the database as a whole, besides what it does to each of its tables."""
        return None

    def written(self) -> Dictionary[str, str]:
        """Statements in the words of the plan's author, by their key in the plan: for a linter to read."""
        return {}

    def before_expand(self, facts: Table) -> tuple[Step, ...]:
        """What is tried out before anything is touched; steps of their own."""
        return ()

    def before_reads(self, facts: Table) -> tuple[Step, ...]:
        """What readers of the new side need, built beside the old one; steps of their own, before the proof."""
        return ()

    def switch(self, facts: Table) -> Ddl:
        """What moves readers to the new side, and back. Runs in one transaction with the switch of truth.

        Args:
            facts: of a table, as it is while the old side is read (`unswitched`).
        """
        return Ddl(statements=(), inverse=())

    def switched(self, facts: Table) -> Table:
        """Return the facts of a table as they are once readers were moved: of one that was switched, unchanged."""
        return facts

    def unswitched(self, facts: Table) -> Table:
        """Return the facts of a table as they are before readers are moved: the way back from `switched`."""
        return facts

    def unexpanded(self, facts: Table, *, contracted: bool) -> Table | None:
        """Return the facts of a table with the columns that it changes as they were before expand.

        Columns that expand makes may be left in.

        Args:
            facts: of a table, as before readers are moved (`unswitched`), in any state from expanded on.
            contracted: whether contract is over; where it kept the old side, `facts` have that under its own names.

        Returns:
            None where contract took what would tell. A column that is gone is left out, and told of by nobody.
        """
        del contracted
        return facts

    def moves(self, facts: Table) -> tuple[Move, ...]:
        """Which columns' readers the switch moves, and to which; asked before these readers are in the facts."""
        return ()

    def before_switch(self, facts: Table) -> tuple[Step, ...]:
        """What is built between the proof and the switch, as late as can be; steps of their own."""
        return ()

    def on_return(self, facts: Table) -> tuple[Transaction, ...]:
        """What comes before the switch is taken back, and has nothing to do forward; steps of their own."""
        return ()

    def demands(self, facts: Table) -> tuple[Mapping, ...]:
        """What every row has to be like, and nothing makes so; it is proven before anything is touched, and later."""
        return ()

    def foreseen(self, facts: Table) -> tuple[Proof, ...]:
        """Looks, before anything is begun, for rows whose new values contract would not take; each with a complaint."""
        return ()

    def rehearsed(self, facts: Table) -> tuple[Statement, ...]:
        """What PostgreSQL is asked to do to an empty temporary copy of a table, before anything is begun; undone."""
        return ()

    def hold(self, facts: Table) -> tuple[Step, ...]:
        """What has PostgreSQL refuse new rows that break a rule, before the others are repaired for the last time."""
        return ()

    def release(self, facts: Table) -> Ddl:
        """What has to be out of the way before any change switches, and back: first in either transaction."""
        return Ddl(statements=(), inverse=())

    def built_on_return(self, facts: Table) -> tuple[Step, ...]:
        """What a rollback builds, while reads and writes go on, before anything relies on it (`before_return`)."""
        return ()

    def before_return(self, facts: Table) -> tuple[Step, ...]:
        """What the way back from the switch needs first: steps that a rollback does, after a proof that it may.

        Args:
            facts: of a table, as it is now.
        """
        return ()

    def before_contract(self, facts: Table) -> tuple[Step, ...]:
        """What readies the new side for contract, once nobody writes the old one; steps of their own."""
        return ()

    def clear(self, facts: Table) -> tuple[Statement, ...]:
        """What has to be out of the way before any change contracts; in contract's transaction, at its beginning."""
        return ()

    def edits(self, facts: Facts) -> Edits | None:
        """What expand and contract come to on empty tables, as a migration tool records it; None where none could.

        Args:
            facts: of its tables, as far as they are there, as before readers are moved.
        """
        return None

    @abstractmethod
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        """The end: catalog-only statements, after the sync trigger is gone, in the same transaction.

        Args:
            facts: of a table; where contract kept the old side out of sight, with that (`Table.kept`).
        """

    def hidden(self, table: TableName) -> tuple[tuple[str, str], ...]:
        """The columns of a table that contract keeps out of sight as long as it can be undone: (now, then), in order.

        Told by the plan alone, so that they are known whatever has become of the table.
        """
        return ()

    @property
    def final(self) -> bool:
        """Whether nobody could take back what it does at contract."""
        return False

    def hiding(self, facts: Table) -> Ddl:
        """What contract does besides to put the old side out of sight, or to be over already; and what undoes it.

        Args:
            facts: of a table, as it is while both versions work.
        """
        return Ddl(statements=(), inverse=())

    def renamed_to(self, table: TableName) -> TableName | None:
        """The name that `hiding` gives a table, where that is another."""
        return None

    def before_withdrawal(self, facts: Table) -> tuple[Step, ...]:
        """What a rollback does before it takes away what expand made: steps of their own, under the trigger."""
        return ()

    def locked_first(self, facts: Table) -> tuple[TableName, ...]:
        """Views over its tables that are there: locked before these, which is the order of those who use them."""
        return ()

    def moved_first(self, facts: Table) -> tuple[TableName, ...]:
        """Views that the switch makes anew, each before those it stands on: locked before its tables."""
        return ()

    def also_locked(self, facts: Table) -> tuple[TableName, ...]:
        """What its transactions lock besides its tables, so that it is asked for with them, in one statement."""
        return ()


class OnTable(Operation):
    """A change of one table, which the plan names; of others only what hangs on that."""

    table: Annotated[TableField, Field(description="The table, as table or schema.table")]

    @property
    @override
    def target(self) -> TableName:
        return TableName.parse(self.table)


def moves_readers(change: Operation) -> bool:
    """Whether a change has names mean something else from migrate reads on."""
    return type(change).switch is not Operation.switch


def described(facts: Facts, table: TableName, *names: str) -> Column | None:
    """Return the first of these columns that is there, where the table is."""
    there = facts.get(table)
    return next((column for name in names if there and (column := there.column(name))), None)


def with_column(facts: Table, column: Column | None) -> Table:
    """Return the facts with another description of a column that is there."""
    if column is None:
        return facts
    return replace(facts, columns=tuple(column if each.name == column.name else each for each in facts.columns))


def begun_with(facts: Table, name: str) -> Column:
    """Return a column that was there when the plan began, under the name it has now.

    Raises:
        PreconditionError: somebody has dropped it since.
    """
    column = facts.column(facts.found(name))
    if column is None:
        raise PreconditionError(
            f"column {name} of {facts.name} does not exist any more",
            details=["it was there when the plan began"],
            hint="ecm history",
        )
    return column


def unusable(facts: Table, name: str) -> tuple[EcmError, ...]:
    """Return why the column of that name cannot be the old side of a change: it is not there, or nobody writes it."""
    column, where = facts.column(name), f"{facts.name}.{name}"
    if column is None:
        return (missing(facts, name),)
    found: list[EcmError] = []
    if column.generated:
        found.append(
            PreconditionError(
                f"{where} is a generated column",
                details=["nobody writes it, so there are no two sides to keep in step"],
                hint="change it directly when no reader relies on it any more",
            )
        )
    found += never_null(where, column, why="a writer of the new name leaves it out")
    if column.partition_key:
        found.append(
            PreconditionError(
                f"{where} is part of the partition key",
                details=["PostgreSQL does not move a row to another partition from within a BEFORE trigger"],
                hint="change it directly, in a maintenance window",
            )
        )
    return tuple(found)


def missing(facts: Table, name: str) -> PreconditionError:
    """Return the error for a column that is not there."""
    return PreconditionError(
        f"column {name} of {facts.name} does not exist",
        details=[did_you_mean(name, (column.name for column in facts.columns))],
        hint="correct `column` in the plan",
    )


def never_null(where: str, column: Column, *, why: str) -> tuple[EcmError, ...]:
    """Return the error for a column of a type that has no NULL.

    Args:
        where: the column, with its table.
        column: its facts.
        why: who leaves it out.
    """
    if column.accepts_null:
        return ()
    return (
        PreconditionError(
            f"the type of {where}, domain {column.type}, does not accept NULL, and the column has no default",
            details=[f"{why}, and PostgreSQL checks a domain before any trigger"],
            hint=f"put NOT NULL on {where} itself instead of its domain, or give it a default",
        ),
    )


def taken(facts: Table, name: str) -> tuple[EcmError, ...]:
    """Return why a column of that name cannot be made: there is one."""
    if facts.column(name) is None:
        return ()
    return (
        PreconditionError(
            f"{facts.name} already has a column {name}",
            details=["the new name must be free: while both versions run, it is a column of its own"],
            hint="choose another name, or drop that column first",
        ),
    )
