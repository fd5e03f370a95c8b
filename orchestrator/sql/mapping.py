"""Mapping: which columns follow from which.

Nearly every column change is the same thing: an old side, a new side, and values for each in
terms of the other. The sync trigger, the backfill's SET, the proof and the contract all derive
from the mapping. A `Copy` is one value under two names; a `Conversion` is one or more values that
expressions make of others, and back; a `Filling` is a new value where nobody has given one.

Values are compared by their image ("Composite Type Comparison", manual 9.25.6), not with `=`:
json and point have no equality, numeric 1.0 and 1.00 are equal but not the same, and an operator
named without its schema would be looked up on the application's search_path. The comparison is
the function behind `*<>`, because PostgreSQL takes `ROW(a) *<> ROW(b)` apart into columns.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from psycopg import sql
from typing_extensions import override

from orchestrator.sql import plpgsql
from orchestrator.sql.identifiers import TableName, verbatim, words

if TYPE_CHECKING:
    from orchestrator.sql.steps import SyncTrigger
    from orchestrator.sql.value import Value


PAST_THE_TRIGGER = "something writes past the sync trigger (a disabled trigger, a trigger of your own)"
"""Why sides may differ, whatever they are made of."""


class Truth(StrEnum):
    """The side that wins where a statement changed both to different values."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True, kw_only=True)
class Healing:
    """What is done about rows that looked worse while they were written than they turn out to be.

    Attributes:
        wanted: a condition over NEW, which looks at nothing else: it may have to be done for this row.
        work: what is done, as statements of PL/pgSQL, once it is written.
    """

    wanted: sql.Composed
    work: sql.Composed


@dataclass(frozen=True, kw_only=True)
class Hiding:
    """How contract puts an old side out of sight, as long as it can be undone.

    Attributes:
        table: the mapping's.
        names: by table and column, as the plan has them: the name that the column has then, where that is another.
        tables: by table: the name that it has then, where that is another.
    """

    table: TableName
    names: Dictionary[TableName, Dictionary[str, str]]
    tables: Dictionary[TableName, TableName]

    def name(self, column: str, table: TableName | None = None) -> str:
        """Return the name that a column has then."""
        return self.names.get(table or self.table, {}).get(column, column)

    def scope(self, expression: str | None, table: TableName | None = None) -> tuple[tuple[str, str], ...]:
        """Return (name, column) pairs: under which names an expression looks for columns that have others then."""
        said = words(expression or "")
        return tuple((name, now) for name, now in self.names.get(table or self.table, {}).items() if name in said)

    def expression(self, expression: str, table: TableName | None = None) -> str:
        """Return an expression over a table's row as it is over the row whose columns have the names of then."""
        scope = self.scope(expression, table)
        return named(verbatim(expression), scope).as_string(None) if scope else expression


def named(expression: sql.Composable, scope: tuple[tuple[str, str], ...]) -> sql.Composed:
    """Return an expression over the row that finds columns under names of its own.

    Args:
        expression: over those names.
        scope: (name, column) pairs.
    """
    columns = (sql.SQL("{} AS {}").format(sql.Identifier(column), sql.Identifier(name)) for name, column in scope)
    return sql.SQL('(SELECT {} FROM (SELECT {}) AS "named")').format(expression, sql.SQL(", ").join(columns))


@dataclass(frozen=True, kw_only=True)
class Reliance:
    """How it is told of a write that its writer relies on what contract takes away.

    Attributes:
        says: the writes in question, for a person, after `writes of books`.
        columns: those of the old side: an UPDATE is asked about where its SET names one of them.
        inserted: a condition over NEW alone: an INSERT is asked about; None where nobody could tell of one.
        updated: the same for an UPDATE; None where the columns that it names are enough.
        judged_insert: a condition in the trigger, which may look at other rows; None where `inserted` is enough.
        judged_update: the same for an UPDATE.
        last: whether it is told of the row as the table's own triggers leave it.
        runs_code: whether its conditions may name what is not PostgreSQL's own.
        beyond: what cannot be told, for a person; empty where all can.
    """

    says: str
    columns: tuple[str, ...]
    inserted: sql.Composed | None = None
    updated: sql.Composed | None = None
    judged_insert: sql.Composed | None = None
    judged_update: sql.Composed | None = None
    last: bool = False
    runs_code: bool = False
    beyond: str = ""


def new_wins(truth: Truth, new_changed: sql.Composed, old_changed: sql.Composed) -> sql.Composed:
    """Return the condition that an UPDATE's new side is written to the old: it changed, and not the old, or it wins."""
    return new_changed if truth is Truth.NEW else sql.SQL("{} AND NOT {}").format(new_changed, old_changed)


def giving(columns: tuple[str, ...], *, inserted: sql.Composed | None = None, beyond: str = "") -> Reliance:
    """Return how a writer is told who gives old columns their values."""
    return Reliance(says=f"that give {' and '.join(columns)}", columns=columns, inserted=inserted, beyond=beyond)


class Mapping(ABC):
    """An old side and a new side of a table's rows, each of which follows from the other."""

    @property
    @abstractmethod
    def olds(self) -> tuple[str, ...]:
        """The columns of the old side."""

    @property
    @abstractmethod
    def news(self) -> tuple[str, ...]:
        """The columns of the new side."""

    @property
    @abstractmethod
    def says(self) -> tuple[str, ...]:
        """What holds in every row, for a person: a line for each new column."""

    @property
    def runs_code(self) -> bool:
        """Whether its expressions may name what is not PostgreSQL's own, and need the role's search_path."""
        return False

    @property
    def fills(self) -> bool:
        """Whether rows that were there before have anything to be filled in or proven."""
        return True

    @property
    def reaches_out(self) -> bool:
        """Whether its trigger reads or writes other rows than its own, with the rights of the tables' owner."""
        return False

    @property
    def in_place(self) -> bool:
        """Whether there is one side only, whose values are changed where they stand."""
        return False

    @property
    def comes_last(self) -> bool:
        """Whether the table's own triggers have nothing to be shown first: what they make of a row is what counts."""
        return self.in_place

    @property
    def drifts(self) -> bool:
        """Whether a row may come to be wrong by what happens to other rows."""
        return False

    @property
    def scaffolding(self) -> tuple[str, ...]:
        """Columns of its own, which neither version of the application knows."""
        return ()

    @property
    def at_once(self) -> "Mapping":
        """The same, to be asked of the whole table in one statement, before there is anything that helps to tell."""
        return self

    @property
    def withdrawn(self) -> "Mapping":
        """What takes its place once a rollback has begun: it puts rows right for those who know the old side only."""
        return self

    @abstractmethod
    def hidden(self, how: Hiding) -> "Mapping":
        """What takes its place from contract on, as long as that can be undone: the application sees one side only."""

    @property
    def rests(self) -> bool:
        """Whether it does nothing at all any more, and needs no trigger."""
        return False

    @property
    def keepers(self) -> tuple["SyncTrigger", ...]:
        """Triggers on other tables that keep its sides in step too."""
        return ()

    @property
    @abstractmethod
    def mismatch(self) -> sql.Composed:
        """A condition over the table's row: its two sides do not follow from one another."""

    @property
    @abstractmethod
    def unfilled(self) -> sql.Composed:
        """A condition over the table's row: no write has reached its new side yet."""

    @property
    @abstractmethod
    def only_new(self) -> sql.Composed:
        """A condition over the table's row: its new side holds what the old does not, and would be lost with it."""

    @property
    def one_way(self) -> sql.Composed | None:
        """A condition over the table's row: it is right, but its new side would not come again from its old one."""
        return None

    @property
    def stranded(self) -> sql.Composed | None:
        """A condition over the table's row: it is right, but its old side cannot hold what the new one has."""
        return None

    @property
    def overflow(self) -> str | None:
        """What is said of rows whose old side cannot hold what the new one has, where it is known what that is."""
        return None

    @property
    def unfit(self) -> sql.Composed | None:
        """A condition over the table's row: its new side is not yet as it must be after contract."""
        return None

    @property
    def required(self) -> tuple[str, ...]:
        """The columns of the new side that are NOT NULL after contract, which is what a row is unfit by."""
        return ()

    @property
    def advice(self) -> str | None:
        """What to do about rows that are not right, for a person, where that is not the same for every mapping."""
        return None

    @property
    def may_stray(self) -> bool:
        """Whether a write may leave a row that a proof would not pass, though the sync trigger saw it."""
        return False

    @property
    def reliance(self) -> "Reliance | None":
        """How it is told that a writer relies on the old side, or on a repair; None where nobody can."""
        return None

    def bereft(self, *, closing: bool, giving_up: bool) -> sql.Composed | None:
        """A condition over a row that went: it leaves a value alone, on the side that is about to go.

        Args:
            closing: whether that is the old side, at contract.
            giving_up: whether that is the new side, on a rollback.
        """
        return None

    @property
    def by_trigger(self) -> bool:
        """Whether only the sync trigger can fill a row, so that the sweep has to leave it to that."""
        return False

    @property
    def evening(self) -> tuple[sql.SQL | sql.Composed, ...]:
        """What evens out before a proof what two writers at a time had to leave undone."""
        return ()

    @property
    def shown(self) -> Truth | None:
        """The side that the application reads and writes at this moment, where it never sees both."""
        return None

    @property
    def attempts(self) -> tuple["Value", ...]:
        """Values whose expression may fail: a proof and a sweep ask a function for them, which knows what to do."""
        return ()

    @abstractmethod
    def assignments(self, *, alone: bool) -> sql.Composed:
        """The SET clause that makes the new side follow from the old, evaluated inside the UPDATE itself.

        PostgreSQL evaluates it again on the newest row version after a lock wait ("Read Committed
        Isolation Level", manual 13.2.1), so a value is never carried from an earlier read.

        Args:
            alone: whether the rows that are written are those that this mapping has not filled, and no others.
        """

    # What the sync trigger does with NEW and OLD, as statements of PL/pgSQL.

    @abstractmethod
    def on_insert(self, truth: Truth) -> sql.Composed:
        """The side that was given is written to the other; where both were, and disagree, the truth's.

        A side was given when it is not its default. A row that is copied whole (INSERT … SELECT *, a variable of
        the table's row type) gives both, and whoever copies it changed the side that it knows.
        """

    @abstractmethod
    def on_update(self, truth: Truth) -> sql.Composed:
        """Whoever changed wins; where both changed, the truth does; where neither did, the row is filled."""

    def after(self) -> sql.Composed | None:
        """What is done once the row was written, as it was written: where the other side is in other rows."""
        return None

    def healing(self) -> "Healing | None":
        """What is done about a row once its statement is over, and once its transaction is."""
        return None

    @property
    def at_last(self) -> tuple[sql.Composed, ...]:
        """What is still put right at contract, when nobody writes any more: a few rows, found by an index."""
        return ()

    @property
    def dues(self) -> tuple[sql.SQL | sql.Composed, ...]:
        """What the new side is still given under contract's lock, and again before what that keeps is dropped."""
        return ()

    @abstractmethod
    def settle(self) -> sql.Composed:
        """Both sides agreed when the table's own triggers began; those know the old side, and have the last word."""


@dataclass(frozen=True, kw_only=True)
class Copy(Mapping):
    """One old column and one new column that carry the same value.

    Attributes:
        old: the column's name before the change.
        new: the name of the column added beside it.
        type: the new column's type; both sides are compared in it.
        default: the constant default of the new column, as SQL; None where a column not given is NULL.
        old_default: the same of the old one.
        old_varies: whether an old column that is not given has a value by which nobody can tell that.
        cast: whether the old column's type is another, a domain over `type`. A type is named only where it
            must be: in a trigger that takes USAGE on its schema, which the writer may not have.
        sees: the side that the application reads and writes, where it does not see both; the other follows.
    """

    old: str
    new: str
    type: str
    default: str | None
    old_default: str | None = None
    old_varies: bool = False
    cast: bool = False
    sees: Truth | None = None

    @override
    def hidden(self, how: Hiding) -> "Copy":
        """A rename keeps the original, which has the new name then: that is what the application sees."""
        return replace(self, old=how.name(self.old), new=how.name(self.new), sees=Truth.OLD)

    @property
    @override
    def shown(self) -> Truth | None:
        return self.sees

    @property
    def _follows(self) -> sql.Composed:
        """Have the side that nobody sees follow the other."""
        assigned = plpgsql.assign(self.new, self.old) if self.sees is Truth.OLD else plpgsql.assign(self.old, self.new)
        return sql.SQL("    {}").format(assigned)

    @property
    @override
    def olds(self) -> tuple[str, ...]:
        return (self.old,)

    @property
    @override
    def news(self) -> tuple[str, ...]:
        return (self.new,)

    @property
    @override
    def says(self) -> tuple[str, ...]:
        return (f"{self.new} = {self.old}",)

    @property
    def default_value(self) -> sql.Composed:
        """The value of the new column in a row that does not give it."""
        return sql.SQL("({})").format(verbatim(self.default or "NULL"))

    def differ(self, left: sql.Composable, right: sql.Composable) -> sql.Composed:
        """Return a condition: the two values are not the same, byte for byte (NULL is the same as NULL)."""
        return sql.SQL("pg_catalog.record_image_ne(ROW({left}{cast}), ROW({right}{cast}))").format(
            left=left, right=right, cast=self._cast
        )

    @property
    def _cast(self) -> sql.SQL:
        return verbatim(f"::{self.type}" if self.cast else "")

    def given(self, value: sql.Composable) -> sql.Composed:
        """Return a condition: a value of the new column is not the one it has when it is left out."""
        return plpgsql.given(value, self.default, self.type)

    @property
    @override
    def reliance(self) -> Reliance:
        old = sql.SQL("{}{}").format(plpgsql.new(self.old), self._cast)
        old_given = plpgsql.given(old, self.old_default, self.type)
        given = sql.SQL("{} AND NOT ({})").format(old_given, self.given(plpgsql.new(self.new)))
        if not self.old_varies:
            return giving((self.old,), inserted=given)
        return giving((self.old,), beyond=f"an INSERT that gives {self.old}, which has a default that varies")

    @property
    @override
    def mismatch(self) -> sql.Composed:
        return self.differ(sql.Identifier(self.old), sql.Identifier(self.new))

    @property
    @override
    def unfilled(self) -> sql.Composed:
        """Only then is the new side NULL while the old is not.

        The column was added without a default, and whatever is written under the trigger is in step. A row that
        differs in another way was written past the trigger, and is for the proof to name, not for the sweep to
        overwrite.

        Both are plain tests for NULL, of a composite value too: every pass of the sweep looks at every row.
        """
        return sql.SQL("{} IS NOT DISTINCT FROM NULL AND {} IS DISTINCT FROM NULL").format(
            sql.Identifier(self.new), sql.Identifier(self.old)
        )

    @property
    @override
    def only_new(self) -> sql.Composed:
        return sql.SQL("{} IS DISTINCT FROM NULL AND {}").format(sql.Identifier(self.new), self.mismatch)

    @override
    def assignments(self, *, alone: bool) -> sql.Composed:
        return sql.SQL("{} = {}").format(sql.Identifier(self.new), sql.Identifier(self.old))

    @override
    def on_insert(self, truth: Truth) -> sql.Composed:
        if self.sees is not None:
            return self._follows
        given = self.given(plpgsql.new(self.new))
        if truth is Truth.OLD and not self.old_varies:
            old = sql.SQL("{}{}").format(plpgsql.new(self.old), self._cast)
            old_given = plpgsql.given(old, self.old_default, self.type)
            given = sql.SQL("{} AND NOT ({})").format(given, old_given)
        return sql.SQL("    IF {given} THEN\n      {to_old}\n    ELSE\n      {to_new}\n    END IF;").format(
            given=given,
            to_old=plpgsql.assign(self.old, self.new),
            to_new=plpgsql.assign(self.new, self.old),
        )

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        if self.sees is not None:
            return self._follows
        new_changed = self.differ(plpgsql.new(self.new), plpgsql.old(self.new))
        old_changed = self.differ(plpgsql.new(self.old), plpgsql.old(self.old))
        return sql.SQL(
            "    IF {differ} THEN\n      IF {new_wins} THEN\n        {to_old}\n"
            "      ELSE\n        {to_new}\n      END IF;\n    END IF;"
        ).format(
            differ=self.differ(plpgsql.new(self.old), plpgsql.new(self.new)),
            new_wins=new_wins(truth, new_changed, old_changed),
            to_old=plpgsql.assign(self.old, self.new),
            to_new=plpgsql.assign(self.new, self.old),
        )

    @override
    def settle(self) -> sql.Composed:
        if self.sees is not None:
            return self._follows
        return sql.SQL("  IF {} THEN\n    {}\n  END IF;").format(
            self.differ(plpgsql.new(self.old), plpgsql.new(self.new)), plpgsql.assign(self.new, self.old)
        )


@dataclass(frozen=True, kw_only=True)
class Resting(Mapping):
    """A mapping that does nothing any more, and is as it was once contract is undone.

    Attributes:
        of: what it was.
        lapses: whether rows that are written meanwhile lack what it would have given them.
    """

    of: Mapping
    lapses: bool = False

    @override
    def hidden(self, how: Hiding) -> "Resting":
        return self

    @property
    @override
    def rests(self) -> bool:
        return True

    @property
    @override
    def may_stray(self) -> bool:
        return self.of.may_stray

    @property
    @override
    def olds(self) -> tuple[str, ...]:
        return self.of.olds

    @property
    @override
    def news(self) -> tuple[str, ...]:
        return self.of.news

    @property
    @override
    def says(self) -> tuple[str, ...]:
        return ()

    @property
    @override
    def fills(self) -> bool:
        return False

    @property
    @override
    def in_place(self) -> bool:
        return self.of.in_place

    @property
    @override
    def comes_last(self) -> bool:
        return self.of.comes_last

    @property
    @override
    def scaffolding(self) -> tuple[str, ...]:
        return self.of.scaffolding

    @property
    @override
    def mismatch(self) -> sql.Composed:
        return _NEVER

    @property
    @override
    def unfilled(self) -> sql.Composed:
        return _NEVER

    @property
    @override
    def only_new(self) -> sql.Composed:
        return _NEVER

    @override
    def assignments(self, *, alone: bool) -> sql.Composed:
        return self.of.assignments(alone=alone)

    @override
    def on_insert(self, truth: Truth) -> sql.Composed:
        return _NOTHING

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        return _NOTHING

    @override
    def after(self) -> sql.Composed | None:
        return None if self.of.after() is None else _NOTHING

    @override
    def healing(self) -> Healing | None:
        """Its triggers stay, and find nothing to do."""
        healing = self.of.healing()
        return None if healing is None else replace(healing, work=_NOTHING)

    @override
    def settle(self) -> sql.Composed:
        return _NOTHING


_NOTHING = sql.Composed([sql.SQL("NULL;")])
_NEVER = sql.Composed([sql.SQL("false")])
