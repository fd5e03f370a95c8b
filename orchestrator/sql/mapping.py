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
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from psycopg import sql
from typing_extensions import override

from orchestrator.sql.identifiers import JOURNAL_SCHEMA, verbatim


class Truth(StrEnum):
    """The side that wins where a statement changed both to different values."""

    OLD = "old"
    NEW = "new"


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
    def unfit(self) -> sql.Composed | None:
        """A condition over the table's row: its new side is not yet as it must be after contract."""
        return None

    @property
    def advice(self) -> str | None:
        """What to do about rows that are not right, for a person, where that is not the same for every mapping."""
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
    def on_insert(self) -> sql.Composed:
        """The new side was given when it is not its default; then it is written to the old, else the old to the new."""

    @abstractmethod
    def on_update(self, truth: Truth) -> sql.Composed:
        """Whoever changed wins; where both changed, the truth does; where neither did, the row is filled."""

    def after(self) -> sql.Composed | None:
        """What is done once the row was written, as it was written: where the other side is in other rows."""
        return None

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
        cast: whether the old column's type is another, a domain over `type`. A type is named only where it
            must be: in a trigger that takes USAGE on its schema, which the writer may not have.
    """

    old: str
    new: str
    type: str
    default: str | None
    cast: bool = False

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
            left=left, right=right, cast=verbatim(f"::{self.type}" if self.cast else "")
        )

    def given(self, value: sql.Composable) -> sql.Composed:
        """Return a condition: a value of the new column is not the one it has when it is left out."""
        return _given(value, self.default, self.type)

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
    def on_insert(self) -> sql.Composed:
        return sql.SQL("    IF {given} THEN\n      {to_old}\n    ELSE\n      {to_new}\n    END IF;").format(
            given=self.given(_new(self.new)), to_old=_assign(self.old, self.new), to_new=_assign(self.new, self.old)
        )

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        new_changed = self.differ(_new(self.new), _old(self.new))
        old_changed = self.differ(_new(self.old), _old(self.old))
        new_wins = new_changed if truth is Truth.NEW else sql.SQL("{} AND NOT {}").format(new_changed, old_changed)
        return sql.SQL(
            "    IF {differ} THEN\n      IF {new_wins} THEN\n        {to_old}\n"
            "      ELSE\n        {to_new}\n      END IF;\n    END IF;"
        ).format(
            differ=self.differ(_new(self.old), _new(self.new)),
            new_wins=new_wins,
            to_old=_assign(self.old, self.new),
            to_new=_assign(self.new, self.old),
        )

    @override
    def settle(self) -> sql.Composed:
        return sql.SQL("  IF {} THEN\n    {}\n  END IF;").format(
            self.differ(_new(self.old), _new(self.new)), _assign(self.new, self.old)
        )


@dataclass(frozen=True, kw_only=True)
class Value:
    """A column of one side of a conversion.

    Attributes:
        type: as in the catalog.
        expression: its value in terms of the other side's columns; None where it cannot be told.
        default: its constant default, as SQL; None where a column not given is NULL.
        not_null: whether it may not be NULL once contract is over.
        scope: (name, column): under which names the expression finds the columns that it is made of; empty where
            those are the columns' own.
        attempt: the function in the journal's schema that evaluates an expression which may fail, as
            `'many'::integer` does; None where it cannot, or may not. SQL has no other way to go on after an error
            ("Trapping Errors", manual 43.6.8). Only ecm calls it: who writes has no rights on that schema.
    """

    column: str
    type: str
    expression: str | None
    default: str | None = None
    not_null: bool = False
    scope: tuple[tuple[str, str], ...] = ()
    attempt: str | None = None

    @property
    def name(self) -> sql.Identifier:
        """The column as an identifier."""
        return sql.Identifier(self.column)

    @property
    def computed(self) -> sql.Composed:
        """Its expression over the row."""
        expression = sql.SQL("({})").format(verbatim(self.expression or "NULL"))
        if all(name == column for name, column in self.scope):
            return expression
        named = (
            sql.SQL("{} AS {}").format(sql.Identifier(column), sql.Identifier(name)) for name, column in self.scope
        )
        return sql.SQL('(SELECT {} FROM (SELECT {}) AS "named")').format(expression, sql.SQL(", ").join(named))

    @property
    def follows(self) -> sql.Composed:
        """A condition over the row: it is what its expression gives."""
        return sql.SQL("{} IS TRUE").format(self._call(self.name)) if self.attempt else self.is_computed

    @property
    def is_computed(self) -> sql.Composed:
        """The same, or the error that the expression ends in."""
        return sql.SQL("pg_catalog.record_image_eq(ROW({}), ROW({}::{}))").format(
            self.name, self.computed, verbatim(self.type)
        )

    @property
    def fails(self) -> sql.Composed:
        """A condition over the row: its expression cannot be evaluated, and it has no value."""
        if self.attempt is None:
            return sql.Composed([sql.SQL("false")])
        return sql.SQL("({} IS NOT DISTINCT FROM NULL AND {} IS NULL)").format(self.name, self._call(self.name))

    @property
    def filling(self) -> sql.Composed:
        """Its expression over the row, as a sweep sets it: NULL where it fails."""
        return self._call() if self.attempt else self.computed

    def _call(self, *more: sql.Composable) -> sql.Composed:
        """Return a call of the function that attempts the expression.

        With a row alone it gives the value, or NULL; with a value as well, whether that is the one, or NULL where the
        expression fails.
        """
        row = sql.SQL("ROW({})").format(sql.SQL(", ").join(sql.Identifier(column) for _, column in self.scope))
        name = sql.Identifier(JOURNAL_SCHEMA, self.attempt or "")
        return sql.SQL("{}({})").format(name, sql.SQL(", ").join([row, *more]))

    @property
    def attempted(self) -> tuple[sql.Composed, ...]:
        """The CREATE of the functions that attempt the expression; without a scope, there is nothing to attempt."""
        if self.attempt is None:
            return ()
        name, kind = sql.Identifier(JOURNAL_SCHEMA, self.attempt), verbatim(self.type)
        fields = sql.SQL(", ").join(
            sql.SQL("the_row.{} AS {}").format(verbatim(f"f{number}"), sql.Identifier(field))
            for number, (field, _) in enumerate(self.scope, start=1)
        )
        # A variable takes a value as a column does: what does not fit is refused, and not cut off as by a cast.
        body = sql.SQL(
            '#variable_conflict use_column\nDECLARE answer {}; BEGIN answer := (SELECT ({}) FROM (SELECT {}) AS "named");'
            " RETURN {}; EXCEPTION WHEN OTHERS THEN RETURN NULL; END"
        )

        def function(more: str, returns: sql.Composable, answer: str) -> sql.Composed:
            text = body.format(kind, verbatim(self.expression or "NULL"), fields, verbatim(answer)).as_string(None)
            return sql.SQL("CREATE OR REPLACE FUNCTION {}(the_row record{}) RETURNS {} LANGUAGE plpgsql AS {}").format(
                name, verbatim(more), returns, sql.Literal(text)
            )

        same = "pg_catalog.record_image_eq(ROW(given), ROW(answer))"
        return (function("", kind, "answer"), function(f", given {self.type}", sql.SQL("pg_catalog.bool"), same))

    @property
    def abandoned(self) -> tuple[sql.Composed, ...]:
        """The DROP of the same functions."""
        if self.attempt is None:
            return ()
        drop = sql.SQL("DROP FUNCTION IF EXISTS {}({})")
        name = sql.Identifier(JOURNAL_SCHEMA, self.attempt)
        return tuple(drop.format(name, verbatim(of)) for of in ("record", f"record, {self.type}"))


@dataclass(frozen=True, kw_only=True)
class Conversion(Mapping):
    """Old columns and new columns whose values expressions make of one another.

    Not every pair of expressions is each other's inverse: of `Mary Ann Smith`, written in two parts, one side
    may not give the other again. So a row is right where either side follows from the other.

    Attributes:
        old: the columns before the change; without expressions, what new writers write is not seen by old readers.
        new: the columns added beside them.
        exact: whether the new side may only be given up where it comes again from the old one.
        sees: the side that the application reads and writes, where it never sees both.
    """

    old: tuple[Value, ...]
    new: tuple[Value, ...]
    exact: bool = False
    sees: Truth | None = None

    @property
    @override
    def olds(self) -> tuple[str, ...]:
        return tuple(value.column for value in self.old)

    @property
    @override
    def news(self) -> tuple[str, ...]:
        return tuple(value.column for value in self.new)

    @property
    @override
    def says(self) -> tuple[str, ...]:
        required = tuple(f"{value.column} is not NULL" for value in self.new if value.not_null)
        return (*(f"{value.column} = {value.expression}" for value in self.new), *required)

    @property
    @override
    def runs_code(self) -> bool:
        return True

    @property
    def _two_way(self) -> bool:
        return all(value.expression is not None for value in self.old)

    @property
    def _nothing_new(self) -> sql.Composed:
        return _all(sql.SQL("{} IS NOT DISTINCT FROM NULL").format(value.name) for value in self.new)

    @property
    def _new_follows(self) -> sql.Composed:
        return _all(value.follows for value in self.new)

    @property
    def _old_follows(self) -> sql.Composed:
        """Without a way back, whatever a new writer wrote stands on its own."""
        if self._two_way:
            return _all(value.follows for value in self.old)
        return sql.SQL("NOT ({})").format(self._nothing_new)

    @property
    @override
    def shown(self) -> Truth | None:
        return self.sees

    @property
    @override
    def attempts(self) -> tuple[Value, ...]:
        return tuple(value for value in (*self.old, *self.new) if value.attempt is not None)

    @property
    def _unheld(self) -> sql.Composed | None:
        """The old side cannot hold what a new writer wrote: it has no value then, and the new side stands."""
        fallible = [value.fails for value in self.old if value.attempt is not None]
        return sql.SQL(" OR ").join(fallible) if fallible else None

    @property
    @override
    def mismatch(self) -> sql.Composed:
        wrong = sql.SQL("NOT ({}) AND NOT ({})").format(self._new_follows, self._old_follows)
        return wrong if self._unheld is None else sql.SQL("{} AND NOT ({})").format(wrong, self._unheld)

    @property
    @override
    def stranded(self) -> sql.Composed | None:
        if self.exact:
            return sql.SQL("NOT ({}) AND NOT ({})").format(self._nothing_new, self._new_follows)
        return self._unheld and sql.SQL("NOT ({}) AND ({})").format(self._new_follows, self._unheld)

    @property
    @override
    def unfilled(self) -> sql.Composed:
        """The new side is NULL, and would not be if it followed from the old one."""
        if self.sees is Truth.OLD:
            given = _all(sql.SQL("{} IS NOT DISTINCT FROM NULL").format(value.filling) for value in self.new)
            return sql.SQL("{} AND NOT ({})").format(self._nothing_new, given)
        return sql.SQL("{} AND {}").format(self._nothing_new, self.mismatch)

    @property
    @override
    def only_new(self) -> sql.Composed:
        if not self._two_way:
            return sql.Composed([sql.SQL("false")])
        return sql.SQL("NOT ({}) AND {}").format(self._nothing_new, self.mismatch)

    @property
    @override
    def one_way(self) -> sql.Composed | None:
        return sql.SQL("NOT ({})").format(self._new_follows)

    @property
    @override
    def unfit(self) -> sql.Composed | None:
        required = [sql.SQL("{} IS NULL").format(value.name) for value in self.new if value.not_null]
        return sql.SQL(" OR ").join(required) if required else None

    @override
    def assignments(self, *, alone: bool) -> sql.Composed:
        def computed(value: Value) -> sql.Composed:
            if alone:
                return value.filling
            return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(self.unfilled, value.filling, value.name)

        return sql.SQL(", ").join(sql.SQL("{} = {}").format(value.name, computed(value)) for value in self.new)

    @override
    def on_insert(self) -> sql.Composed:
        if self.sees is Truth.OLD:
            return self._to_new
        given = _any_given(self.new)
        if self.sees is Truth.NEW:
            # Who names no columns gives values by their position, and the old column has the one that is known.
            given = sql.SQL("({}) OR NOT ({})").format(given, _any_given(self.old))
        return _if(given, self._to_old, self._to_new)

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        new_changed, old_changed = (
            sql.SQL("({})").format(
                sql.SQL(" OR ").join(
                    sql.SQL("pg_catalog.record_image_ne(ROW({}), ROW({}))").format(_new(name), _old(name))
                    for name in names
                )
            )
            for names in (self.news, self.olds)
        )
        new_wins = new_changed if truth is Truth.NEW else sql.SQL("{} AND NOT {}").format(new_changed, old_changed)
        # A statement that gives one of several new columns of a row that was not filled means to keep the others.
        first_filled = self._where_unfilled(
            "OLD",
            sql.SQL("\n").join(
                sql.SQL("IF pg_catalog.record_image_eq(ROW({new}), ROW({old})) THEN {filled} END IF;").format(
                    new=_new(value.column), old=_old(value.column), filled=_set(value, of="OLD")
                )
                for value in self.new
            ),
        )
        changed = sql.SQL("{}\n{}").format(first_filled, self._to_old)
        return _if(new_wins, changed, _if(old_changed, self._to_new, self._where_unfilled("NEW", self._to_new)))

    def _where_unfilled(self, row: str, then: sql.Composed) -> sql.Composed:
        """Do something with a row that was not filled; most are told from it by a plain look at the row itself."""
        empty = (sql.SQL("{}.{} IS NOT DISTINCT FROM NULL").format(verbatim(row), value.name) for value in self.new)
        if self.sees is not None:
            return _if(_all(empty), then) if self.sees is Truth.OLD else sql.Composed([sql.SQL("NULL;")])
        if self.attempts:
            return _if(_all(empty), self._unless_right(row, then))
        return _if(_all(empty), _if(_over(row, self.unfilled), then))

    @override
    def settle(self) -> sql.Composed:
        if self.sees is not None:
            return self._settle_hidden()
        if self.attempts:
            return self._unless_right("NEW", self._to_new)
        return _if(_over("NEW", self.mismatch), self._to_new)

    def _settle_hidden(self) -> sql.Composed:
        """The table's own triggers see what the application sees."""
        seen = self.olds if self.sees is Truth.OLD else self.news
        changed = sql.SQL(" OR ").join(
            sql.SQL("pg_catalog.record_image_ne(ROW({}), ROW({}))").format(_new(name), _old(name)) for name in seen
        )
        return _if(sql.SQL("TG_OP = 'INSERT'"), self._to_hidden, _if(changed, self._to_hidden))

    def _unless_right(self, row: str, then: sql.Composed) -> sql.Composed:
        """Do something with a row neither side of which follows from the other; an expression may fail meanwhile.

        An old side without a value may be that of a new one which it cannot hold.
        """
        held = sql.SQL("NOT ({})").format(
            _all(sql.SQL("{}.{} IS NOT DISTINCT FROM NULL").format(verbatim(row), value.name) for value in self.old)
        )
        new_follows = _all(value.is_computed for value in self.new)
        old_follows = _all(value.is_computed for value in self.old) if self._two_way else self._old_follows
        judged = sql.SQL(
            "DECLARE wrong pg_catalog.bool;\nBEGIN\n"
            "BEGIN wrong := NOT ({}); EXCEPTION WHEN OTHERS THEN wrong := true; END;\n"
            "IF wrong THEN BEGIN wrong := NOT ({}); EXCEPTION WHEN OTHERS THEN wrong := true; END; END IF;\n"
            "{}\nEND;"
        ).format(_over(row, new_follows), _over(row, old_follows), _if(sql.SQL("wrong"), then))
        return _if(held, judged)

    @property
    def _to_hidden(self) -> sql.Composed:
        return self._to_new if self.sees is Truth.OLD else self._to_old

    @property
    def _to_old(self) -> sql.Composed:
        return _computed(self.old) if self._two_way else sql.Composed([sql.SQL("NULL;")])

    @property
    def _to_new(self) -> sql.Composed:
        return _computed(self.new)


@dataclass(frozen=True, kw_only=True)
class Filling(Mapping):
    """A new column that old writers do not know: an expression gives its value wherever nobody has.

    Attributes:
        new: the column; its expression is over the row's other columns, and may be volatile.
    """

    new: Value

    @property
    @override
    def olds(self) -> tuple[str, ...]:
        return ()

    @property
    @override
    def news(self) -> tuple[str, ...]:
        return (self.new.column,)

    @property
    @override
    def says(self) -> tuple[str, ...]:
        value = (f"{self.new.column} = {self.new.expression}, or what was written",) if self.new.expression else ()
        return (*value, *((f"{self.new.column} is not NULL",) if self.new.not_null else ()))

    @property
    @override
    def runs_code(self) -> bool:
        return True

    @property
    @override
    def attempts(self) -> tuple[Value, ...]:
        return (self.new,) if self.new.attempt is not None else ()

    @property
    @override
    def mismatch(self) -> sql.Composed:
        """It is NULL, and would not be if it were computed; or nobody can tell, because its expression fails."""
        lacks = sql.SQL("{} IS NOT DISTINCT FROM NULL AND {}")
        if self.attempts:
            return lacks.format(self.new.name, sql.SQL("NOT ({})").format(self.new.follows))
        return lacks.format(self.new.name, sql.SQL("{} IS DISTINCT FROM NULL").format(self.new.computed))

    @property
    @override
    def unfilled(self) -> sql.Composed:
        return self.mismatch

    @property
    @override
    def only_new(self) -> sql.Composed:
        """There is no old side: that a rollback takes the column away with what is in it is said before."""
        return sql.Composed([sql.SQL("false")])

    @property
    @override
    def unfit(self) -> sql.Composed | None:
        return sql.SQL("{} IS NULL").format(self.new.name) if self.new.not_null else None

    @override
    def assignments(self, *, alone: bool) -> sql.Composed:
        value = self.new.filling
        if not alone:
            value = sql.SQL("coalesce({}, {})").format(self.new.name, value)
        return sql.SQL("{} = {}").format(self.new.name, value)

    @override
    def on_insert(self) -> sql.Composed:
        return self.settle()

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        """What was computed follows the columns it was computed of; what a new writer wrote stays."""
        unchanged = sql.SQL("pg_catalog.record_image_eq(ROW({}), ROW({}))").format(
            _new(self.new.column), _old(self.new.column)
        )
        followed = sql.SQL("BEGIN stood := {}; EXCEPTION WHEN OTHERS THEN stood := false; END;").format(
            _over("OLD", self.new.is_computed)
        )
        follows = sql.SQL("DECLARE stood pg_catalog.bool;\nBEGIN\n{}\n{}\nEND;").format(
            followed, _if(sql.SQL("stood"), _computed((self.new,)))
        )
        return sql.SQL("{}\n{}").format(_if(unchanged, follows), self.settle())

    @override
    def settle(self) -> sql.Composed:
        return _if(sql.SQL("{} IS NOT DISTINCT FROM NULL").format(_new(self.new.column)), _computed((self.new,)))


@dataclass(frozen=True, kw_only=True)
class Standin(Mapping):
    """An old column that new writers do not know: an expression gives its value in the rows that they add.

    Rows that were there have what their writer gave them, NULL where it was that, and an UPDATE never touches it:
    the column is not a function of the row, and an old writer may mean it to stay as it is.

    Attributes:
        old: the column; its expression is over the row's other columns. NULL is taken for not given in an INSERT,
            and where `not_null`, which nobody could have meant, in an UPDATE too.
    """

    old: Value

    @property
    @override
    def olds(self) -> tuple[str, ...]:
        return (self.old.column,)

    @property
    @override
    def news(self) -> tuple[str, ...]:
        return ()

    @property
    @override
    def says(self) -> tuple[str, ...]:
        return (f"{self.old.column} = {self.old.expression}, or what was written",)

    @property
    @override
    def runs_code(self) -> bool:
        return True

    @property
    @override
    def fills(self) -> bool:
        return False

    @property
    @override
    def mismatch(self) -> sql.Composed:
        return sql.Composed([sql.SQL("false")])

    @property
    @override
    def unfilled(self) -> sql.Composed:
        return self.mismatch

    @property
    @override
    def only_new(self) -> sql.Composed:
        return self.mismatch

    @override
    def assignments(self, *, alone: bool) -> sql.Composed:
        return sql.SQL("{column} = {column}").format(column=self.old.name)

    @override
    def on_insert(self) -> sql.Composed:
        return self._filled

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        return self._filled if self.old.not_null else sql.Composed([sql.SQL("NULL;")])

    @override
    def settle(self) -> sql.Composed:
        return self._filled if self.old.not_null else _if(sql.SQL("TG_OP = 'INSERT'"), self._filled)

    @property
    def _filled(self) -> sql.Composed:
        return _if(sql.SQL("{} IS NOT DISTINCT FROM NULL").format(_new(self.old.column)), _computed((self.old,)))


def _new(column: str) -> sql.Composed:
    return sql.SQL("NEW.{}").format(sql.Identifier(column))


def _old(column: str) -> sql.Composed:
    return sql.SQL("OLD.{}").format(sql.Identifier(column))


def _assign(column: str, other: str) -> sql.Composed:
    return sql.SQL("{} := {};").format(_new(column), _new(other))


def _given(value: sql.Composable, default: str | None, type_name: str) -> sql.Composed:
    if default is None:
        # PostgreSQL takes this as a plain test for NULL, of a composite value too.
        return sql.SQL("{} IS DISTINCT FROM NULL").format(value)
    return sql.SQL("pg_catalog.record_image_ne(ROW({}), ROW(({})::{}))").format(
        value, verbatim(default), verbatim(type_name)
    )


def _any_given(values: Iterable[Value]) -> sql.Composed:
    return sql.SQL(" OR ").join(_given(_new(value.column), value.default, value.type) for value in values)


def _all(conditions: Iterable[sql.Composed]) -> sql.Composed:
    return sql.SQL(" AND ").join(conditions)


def _over(row: str, expression: sql.Composed) -> sql.Composed:
    """Return an expression over the table's columns, taken of a row that the trigger has."""
    return sql.SQL('(SELECT {} FROM (SELECT {}.*) AS "row")').format(expression, verbatim(row))


def _computed(values: tuple[Value, ...]) -> sql.Composed:
    return sql.SQL("\n").join(map(_set, values))


def _set(value: Value, of: str = "NEW") -> sql.Composed:
    """Set a column of NEW to its value; whatever its expression makes of a writer's value, the write goes on."""
    assigned = sql.SQL("{} := {};").format(_new(value.column), _over(of, value.computed))
    if value.attempt is None:
        return assigned  # a cast that always works, or a DEFAULT, which would fail the write without ecm as well
    return sql.SQL("BEGIN\n{}\nEXCEPTION WHEN OTHERS THEN {} := NULL;\nEND;").format(assigned, _new(value.column))


def _if(condition: sql.Composable, then: sql.Composable, otherwise: sql.Composable | None = None) -> sql.Composed:
    if otherwise is None:
        return sql.SQL("IF {} THEN\n{}\nEND IF;").format(condition, then)
    return sql.SQL("IF {} THEN\n{}\nELSE\n{}\nEND IF;").format(condition, then, otherwise)
