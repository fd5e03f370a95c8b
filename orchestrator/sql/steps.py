"""Steps: what a phase does, as data.

A step is a unit that commits together. It carries its statements, the lock they take, its
inverse, and what a person should know. Operations make steps; the engine is the only one that
runs them. A step is a value: the same plan and the same facts give equal steps.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

from psycopg import sql
from typing_extensions import override

from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.mapping import Mapping

Statement = sql.SQL | sql.Composed


class LockMode(StrEnum):
    """The table-level locks ecm takes ("Explicit Locking", table 13.2), with what each makes wait."""

    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    ACCESS_SHARE = "ACCESS SHARE"

    @property
    def waits_for(self) -> str:
        """What the request waits for, in words."""
        return _WAITS[self]


_WAITS = {
    LockMode.ACCESS_EXCLUSIVE: "waits for every reader and writer under way",
    LockMode.EXCLUSIVE: "waits for writers under way",
    LockMode.SHARE_ROW_EXCLUSIVE: "waits for writers under way",
    LockMode.SHARE: "waits for writers under way",
    LockMode.SHARE_UPDATE_EXCLUSIVE: "reads and writes go on",
    LockMode.ROW_EXCLUSIVE: "reads and writes go on; holds a batch's rows, and gives way at a row that is locked",
    LockMode.ACCESS_SHARE: "reads and writes go on",
}


@dataclass(frozen=True, kw_only=True)
class SyncTrigger:
    """A trigger that keeps both sides of a table in step, as it has to be found whenever ecm relies on it.

    What is written while it is disabled or gone reaches one side only, and is lost with that side.
    """

    table: TableName
    name: str
    function: str
    """Its function, in the journal's schema."""
    timing: Literal["BEFORE", "AFTER"]
    """When it fires for a row that is written."""
    bodies: tuple[str, ...]
    """What the function's body may be, one for each side that may win."""
    create_function: Statement
    create: Statement
    enable: Statement
    events: tuple[Literal["INSERT", "UPDATE", "DELETE"], ...] = ("INSERT", "UPDATE")
    does: str = "keeps both sides in step"
    """What it is for, for a person."""


@dataclass(frozen=True, kw_only=True)
class Strays:
    """What counts the rows that are written and would not pass a proof.

    A proof tells of the moment of its scan. Of an expression that may fail, or of a row in another table, the next
    write can leave a value on one side alone, and that side is dropped a moment later. So such rows are counted from
    before the proof begins, and whoever drops the side looks under its lock whether any came.

    The count is a sequence: it needs no row that writers would wait for, and none to clean up. What it counts too
    much, a write that was rolled back, costs another proof.
    """

    table: TableName
    counter: sql.Identifier
    triggers: tuple[SyncTrigger, ...]
    """On the table and each of its partitions, as they have to be found while it counts."""
    begin: tuple[Statement, ...]
    """What has it count; under a lock that waits for every writer under way."""
    end: tuple[Statement, ...]
    """What has it count no more, and cost nothing."""

    @property
    def count(self) -> Statement:
        """The query for how many there were."""
        return sql.SQL("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {}").format(self.counter)


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """Catalog changes that commit together with their record, under locks taken first.

    The locks on `tables` are taken by a statement of their own before anything else, within one
    budget, so that ecm never waits for a second lock while it holds what the application wants.
    """

    key: str
    title: str
    tables: tuple[TableName, ...]
    lock: LockMode | None
    statements: tuple[Statement, ...]
    """What is sent, in order; shown to the person to the letter."""
    inverse: tuple[Statement, ...]
    """What takes it back; empty where nothing does or nothing needs to."""
    note: str = ""
    reversible: bool = True
    """False where nothing takes it back."""
    kept_by: tuple[SyncTrigger, ...] = ()
    """What has to have kept both sides in step, since they were proven, until this takes one of them away."""
    ends: str = ""
    """What its inverse does, for a person, where to take it back says too little."""
    on_return: bool = False
    """Whether a rollback does it, as a step of its own, instead of taking it back."""
    follows: str | None = None
    """The key of the step without which it has nothing to take back, or to do on a rollback: its own where that is None
    and it takes back."""
    first: tuple[Statement, ...] = ()
    """What is sent before the statements, under the locks, as far as the lock budget allows: it is left undone else."""
    views: tuple[TableName, ...] = ()
    """Views over the tables, locked before them.

    Whoever uses a view locks it before its table. In the other order a statement that has the view, and waits for
    the table behind ecm, would keep ecm from ever getting the view.
    """
    counting: tuple[Strays, ...] = ()
    """What counts from here on; such a step is done anew before each proof."""
    counted: tuple[Strays, ...] = ()
    """What must not have counted any row since, or there has to be another proof."""
    thorough: tuple[tuple[str, Statement], ...] = ()
    """Before the plan begins, what is tried on every row besides, each with the field of the plan that it is about."""

    @property
    def waits(self) -> str:
        """What it waits for, in words."""
        return self.lock.waits_for if self.lock else "reads and writes go on"


@dataclass(frozen=True, kw_only=True)
class OnTable:
    """What the steps share that work on one table outside of a transaction of the catalog's."""

    key: str
    title: str
    table: TableName
    note: str = ""
    reversible: bool = True

    lock: ClassVar[LockMode]

    @property
    def tables(self) -> tuple[TableName, ...]:
        """The table, as the tables of any step."""
        return (self.table,)

    @property
    def waits(self) -> str:
        """What it waits for, in words."""
        return self.lock.waits_for

    @property
    def inverse(self) -> tuple[Statement, ...]:
        """Nothing to take back."""
        return ()


@dataclass(frozen=True, kw_only=True)
class ConcurrentIndex(OnTable):
    """An index built without holding writers back; PostgreSQL will not run it in a transaction.

    It is judged by the catalog (pg_index.indisvalid), never by whether the command was sent: a
    build that was interrupted leaves an invalid index, which is dropped and built anew.
    """

    name: str
    unique: bool
    tail: str
    """The definition from ` USING` on."""
    like: str | None = None
    """The index that it is a twin of, if any."""
    again: "Sweep | None" = None
    """What repairs rows that have come to share their values since, before it is built anew."""
    on_return: bool = False
    """Whether a rollback builds it, instead of dropping it."""
    lock: ClassVar[LockMode] = LockMode.SHARE_UPDATE_EXCLUSIVE

    @property
    @override
    def waits(self) -> str:
        return "reads and writes go on; waits for every transaction of the database that is older than it"

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What builds it."""
        return (
            sql.SQL("CREATE {unique}INDEX CONCURRENTLY {name} ON {table}{tail}").format(
                unique=sql.SQL("UNIQUE " if self.unique else ""),
                name=sql.Identifier(self.name),
                table=self.table.identifier,
                tail=verbatim(self.tail),
            ),
        )

    @property
    @override
    def inverse(self) -> tuple[Statement, ...]:
        return (sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(self.table.schema, self.name)),)


@dataclass(frozen=True, kw_only=True)
class Proof(OnTable):
    """A fresh scan that must find no row whose two sides do not follow from one another."""

    mappings: tuple[Mapping, ...]
    kept_by: tuple[SyncTrigger, ...] = ()
    """What has to keep both sides in step while the scan runs, or its answer is old when it comes."""
    unfilled_too: bool = False
    """Whether rows that the backfill has not reached are right as well: the new side may then be NULL."""
    closing: bool = False
    """Whether the new side has to be as it must be after contract."""
    complaint: str = ""
    """What is said of rows that are wrong, where it is another thing than that their sides differ."""
    remedy: str = ""
    """What to do about them then."""
    instead: str = ""
    """What else may be done, as long as a rollback has undone nothing."""
    giving_up: bool = False
    """Whether the old side has to hold all that the new one does, which is to be given up."""
    lock: ClassVar[LockMode] = LockMode.ACCESS_SHARE

    def _wrong(self, mapping: Mapping) -> tuple[sql.Composed, ...]:
        if self.giving_up and mapping.stranded is not None:
            return (mapping.only_new, mapping.stranded)
        if self.unfilled_too:
            return (mapping.only_new,)
        return (mapping.mismatch, mapping.unfit) if self.closing and mapping.unfit else (mapping.mismatch,)

    @property
    def mismatch(self) -> sql.Composed:
        """The condition: at least one mapping of the row does not hold."""
        return sql.SQL(" OR ").join(condition for mapping in self.mappings for condition in self._wrong(mapping))

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that may not be NULL, where that is proven too."""
        return tuple(name for mapping in self.mappings for name in mapping.required) if self.closing else ()

    @property
    def bereft(self) -> sql.Composed | None:
        """The condition over a row that is not there any more: it leaves a value alone that then would be wrong."""
        found = [
            condition
            for mapping in self.mappings
            if (condition := mapping.bereft(closing=self.closing, giving_up=self.giving_up)) is not None
        ]
        return sql.SQL(" OR ").join(found) if found else None

    def count(self, heap: TableName, region: sql.Composable) -> sql.Composed:
        """Return the query for the number of a region's rows, and of the wrong ones among them.

        Where a mapping knows of any, also of those that are right and whose new side would not come again.

        Args:
            heap: the table, or one of its partitions.
            region: which pages.
        """
        one_way = [mapping.one_way for mapping in self.mappings if mapping.one_way is not None]
        lost = sql.SQL(", count(*) FILTER (WHERE NOT ({}) AND ({}))").format(
            self.mismatch, sql.SQL(" OR ").join(one_way)
        )
        return sql.SQL("SELECT count(*), count(*) FILTER (WHERE {}){} FROM ONLY {} WHERE {}").format(
            self.mismatch, lost if one_way else sql.SQL(""), heap.identifier, region
        )

    @property
    def evening(self) -> tuple[Statement, ...]:
        """What is done first: two writers at a time may have left each other something to do."""
        return tuple(statement for mapping in self.mappings for statement in mapping.evening)

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What is done first, and one of the reads, as a person is shown them."""
        return (*self.evening, self.count(self.table, _SHOWN))


RESTORE = "restore"
"""The purpose of a sweep that gives rows their own values back."""


@dataclass(frozen=True, kw_only=True)
class Sweep(OnTable):
    """Fill the new columns of every row that no write has filled yet, then prove it."""

    mappings: tuple[Mapping, ...]
    spared: str | None
    """The sync trigger that need not look at what the sweep writes; None where another trigger may change it."""
    touch: str | None = None
    """A column to set to itself, so that the sync trigger fills the row; None where the sweep may name the new ones.

    It may not where the table has UPDATE OF triggers on the old column: they fire for the new one as
    well by then, and an audit trigger would take the backfill for a change of every row.
    """
    kept_by: tuple[SyncTrigger, ...] = ()
    purpose: str = "backfill"
    """What it is for: each purpose has a checkpoint of its own."""
    remedy: str = ""
    """What to do about rows that are found wrong in the end, where that is another thing than usual."""
    lock: ClassVar[LockMode] = LockMode.ROW_EXCLUSIVE

    @property
    @override
    def inverse(self) -> tuple[Statement, ...]:
        """Nothing is taken back; a sweep that is itself part of a rollback is run as it stands."""
        return self.statements if self.purpose == RESTORE else ()

    @property
    def proof(self) -> Proof:
        """The scan that says whether the sweep is over."""
        return Proof(
            key=self.key,
            title=self.title,
            table=self.table,
            mappings=self.mappings,
            kept_by=self.kept_by,
            remedy=self.remedy,
        )

    @property
    def _assignments(self) -> sql.Composed:
        if self.touch is not None:
            return sql.SQL("{column} = {column}").format(column=sql.Identifier(self.touch))
        alone = len(self.mappings) == 1
        return sql.SQL(", ").join(mapping.assignments(alone=alone) for mapping in self.mappings)

    def update(self, heap: TableName, region: sql.Composable) -> sql.Composed:
        """Return the statement that fills the rows of a region of the table, or of one of its partitions."""
        return sql.SQL("UPDATE ONLY {} SET {} WHERE {} AND ({})").format(
            heap.identifier,
            self._assignments,
            region,
            sql.SQL(" OR ").join(sql.SQL("({})").format(mapping.unfilled) for mapping in self.mappings),
        )

    @property
    def statements(self) -> tuple[Statement, ...]:
        """One batch and one of the proof's reads, as a person is shown them."""
        return (self.update(self.table, _SHOWN), *self.proof.statements)


Step = Transaction | ConcurrentIndex | Sweep | Proof


def told(step: Step, *, back: bool) -> str:
    """Return what a phase, or the rollback of one, does with a step, for a person."""
    if not back or isinstance(step, Sweep | Proof) or step.on_return or not step.statements:
        return step.title
    return (step.ends if isinstance(step, Transaction) else "") or f"take back: {step.title}"


def sent(step: Step, *, back: bool) -> tuple[Statement, ...]:
    """Return what is sent for a step, by a phase or by the rollback of one."""
    on_return = isinstance(step, Transaction | ConcurrentIndex) and step.on_return
    if back and not on_return:
        return step.inverse
    return (*step.first, *step.statements) if isinstance(step, Transaction) else step.statements


def region(first: int, end: int | None) -> sql.Composed:
    """Return the condition for the rows on pages first to end, end not included; without an end, to the last.

    A range of ctid is read page by page without an index (TID Range Scan, PostgreSQL 14).
    """
    lower = sql.SQL("ctid >= {}::pg_catalog.tid").format(sql.Literal(f"({first},0)"))
    if end is None:
        return sql.Composed([lower])
    return sql.SQL("{} AND ctid < {}::pg_catalog.tid").format(lower, sql.Literal(f"({end},0)"))


def fraction(number: int, passes: int) -> sql.Composed:
    """Return the condition for the rows that a pass over a page takes: those of the passes before it, and its own.

    By the row's place on its page, so that each pass takes an even part of every page.
    """
    return sql.SQL("pg_catalog.mod((ctid::pg_catalog.text::pg_catalog.point)[1]::pg_catalog.int4, {}) <= {}").format(
        sql.Literal(passes), sql.Literal(number)
    )


_SHOWN = sql.SQL("ctid >= '(first,0)' AND ctid < '(end,0)'")
"""A region as a person is shown it."""
