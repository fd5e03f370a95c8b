"""What every kind of change is: a frozen value that, given a table's facts, says what to do.

An operation holds only what its kind needs to know. What all share (the sync trigger, the
sweep, the proof, the order of things) is added by `orchestrator.plan.compile`.
"""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.identifiers import NAME_BYTES, SYSTEM_COLUMNS, SYSTEM_SCHEMAS, TableName
from orchestrator.sql.mapping import Mapping
from orchestrator.sql.steps import Statement, Step, SyncTrigger
from orchestrator.sql.sync import Ddl
from orchestrator.words import did_you_mean


def _a_table_of_yours(value: str) -> str:
    table = TableName.parse(value)
    if table.schema in SYSTEM_SCHEMAS:
        raise ValueError(f"{table} is not a table of yours: schema {table.schema} belongs to PostgreSQL or ecm")
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


TableField = Annotated[str, Field(min_length=1), AfterValidator(_a_table_of_yours)]
"""A table in a plan: table or schema.table, never one of PostgreSQL's or ecm's."""
ColumnField = Annotated[str, Field(min_length=1), AfterValidator(_a_plain_column)]
"""A column in a plan, by its exact name."""
NewColumnField = Annotated[ColumnField, AfterValidator(_fits_a_name)]
"""The name of a column that is to be made."""


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

    @abstractmethod
    def claims(self) -> frozenset[tuple[str, str]]:
        """Every (table, column) it changes or makes; two changes under way may not share one."""

    standing: ClassVar[str] = "was made on the new column while both versions ran"
    """What is said of something that keeps contract from dropping a column."""

    def touched(self, table: TableName) -> frozenset[str]:
        """The columns of one of its tables that it changes or makes."""
        return frozenset(column for name, column in self.claims() if name == str(table))

    @abstractmethod
    def made(self) -> tuple[str, ...]:
        """The columns that expand makes."""

    def warnings(self, facts: Table) -> tuple[str, ...]:
        """What a person should know before it begins, a line each."""
        return ()

    def renames(self) -> tuple[tuple[str, str], ...]:
        """(old, new) columns under whose new name readers will want the old one's indexes, until contract."""
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

    def keepers(self, facts: Table) -> tuple[SyncTrigger, ...]:
        """Triggers on other tables that keep this one's sides in step too; what makes them is its own business."""
        return ()

    @abstractmethod
    def expand(self, facts: Table) -> Ddl:
        """The new structure, and how it is taken away. Runs in one transaction with the sync trigger."""

    @abstractmethod
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        """What stands on something contract drops and would go with it; contract waits until it is gone."""

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

    def before_contract(self, facts: Table) -> tuple[Step, ...]:
        """What readies the new side for contract, once nobody writes the old one; steps of their own."""
        return ()

    def clear(self, facts: Table) -> tuple[Statement, ...]:
        """What has to be out of the way before any change contracts; in contract's transaction, at its beginning."""
        return ()

    @abstractmethod
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        """The end: catalog-only statements, after the sync trigger is gone, in the same transaction."""

    def before_withdrawal(self, facts: Table) -> tuple[Step, ...]:
        """What a rollback does before it takes away what expand made: steps of their own, under the trigger."""
        return ()

    def also_locked(self, facts: Table) -> tuple[TableName, ...]:
        """What its transactions lock besides its tables, so that it is asked for with them, in one statement."""
        return ()


def unusable(facts: Table, name: str) -> tuple[EcmError, ...]:
    """Return why the column of that name cannot be the old side of a change: it is not there, or nobody writes it."""
    column, where = facts.column(name), f"{facts.name}.{name}"
    if column is None:
        return (
            PreconditionError(
                f"column {name} of {facts.name} does not exist",
                details=[did_you_mean(name, (column.name for column in facts.columns))],
                hint="correct `column` in the plan",
            ),
        )
    found: list[EcmError] = []
    if column.generated:
        found.append(
            PreconditionError(
                f"{where} is a generated column",
                details=["nobody writes it, so there are no two sides to keep in step"],
                hint="change it directly when no reader relies on it any more",
            )
        )
    if not column.accepts_null:
        found.append(
            PreconditionError(
                f"the type of {where}, domain {column.type}, does not accept NULL, and the column has no default",
                details=["a writer of the new name leaves it out, and PostgreSQL checks a domain before any trigger"],
                hint=f"put NOT NULL on {where} itself instead of its domain, or give it a default",
            )
        )
    if column.partition_key:
        found.append(
            PreconditionError(
                f"{where} is part of the partition key",
                details=["PostgreSQL does not move a row to another partition from within a BEFORE trigger"],
                hint="change it directly, in a maintenance window",
            )
        )
    return tuple(found)


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
