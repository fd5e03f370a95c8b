"""A column that one version of the application does not know: an expression gives its value where nobody has."""

from dataclasses import dataclass, replace

from psycopg import sql
from typing_extensions import override

from orchestrator.sql import plpgsql
from orchestrator.sql.mapping import PAST_THE_TRIGGER, Hiding, Mapping, Reliance, Resting, Truth, giving
from orchestrator.sql.value import Value, computed


@dataclass(frozen=True, kw_only=True)
class Filling(Mapping):
    """A new column that old writers do not know: an expression gives its value wherever nobody has.

    Attributes:
        new: the column; its expression is over the row's other columns, and may be volatile.
    """

    new: Value

    @override
    def hidden(self, how: Hiding) -> Mapping:
        """Where it is NOT NULL after contract, who leaves it out is refused; else it is harmless to go on."""
        return Resting(of=self) if self.new.not_null else replace(self, new=self.new.hidden(how))

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
    def comes_last(self) -> bool:
        return True

    @property
    @override
    def attempts(self) -> tuple[Value, ...]:
        return (self.new,) if self.new.attempt is not None else ()

    @property
    @override
    def reliance(self) -> Reliance | None:
        """Who leaves it out knows the old version only, as long as somebody has to give the value."""
        if self.new.expression is None and not self.new.not_null:
            return None
        left_out = plpgsql.is_null(plpgsql.new(self.new.column))
        return Reliance(says=f"that leave {self.new.column} out", columns=(), inserted=left_out, last=True)

    @property
    @override
    def advice(self) -> str | None:
        if self.new.expression is None:
            return (
                "nobody gave these rows a value, and the plan has no using to compute one: give them one, or roll back"
                " and write using in the plan; then run the same command again"
            )
        empty = " or gives NULL" if self.new.not_null else ""
        return (
            f"the expression fails on these rows{empty}, or {PAST_THE_TRIGGER}: set these rows right, then run the same"
            " command again"
        )

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

    @property
    @override
    def required(self) -> tuple[str, ...]:
        return (self.new.column,) if self.new.not_null else ()

    @override
    def assignments(self, *, alone: bool) -> sql.Composed:
        value = self.new.filling
        if not alone:
            value = sql.SQL("coalesce({}, {})").format(self.new.name, value)
        return sql.SQL("{} = {}").format(self.new.name, value)

    @override
    def on_insert(self, truth: Truth) -> sql.Composed:
        return self._filled

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        """What was computed follows the columns it was computed of; what a new writer wrote stays."""
        unchanged = sql.SQL("pg_catalog.record_image_eq(ROW({}), ROW({}))").format(
            plpgsql.new(self.new.column), plpgsql.old(self.new.column)
        )
        followed = sql.SQL("BEGIN stood := {}; EXCEPTION WHEN OTHERS THEN stood := false; END;").format(
            plpgsql.over("OLD", self.new.is_computed)
        )
        follows = sql.SQL("DECLARE stood pg_catalog.bool;\nBEGIN\n{}\n{}\nEND;").format(
            followed, plpgsql.when(sql.SQL("stood"), computed((self.new,)))
        )
        return sql.SQL("{}\n{}").format(plpgsql.when(unchanged, follows), self._filled)

    @override
    def settle(self) -> sql.Composed:
        return plpgsql.when(sql.SQL("TG_OP = 'INSERT'"), self.on_insert(Truth.OLD), self.on_update(Truth.OLD))

    @property
    def _filled(self) -> sql.Composed:
        return plpgsql.when(plpgsql.is_null(plpgsql.new(self.new.column)), computed((self.new,)))


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

    @override
    def hidden(self, how: Hiding) -> "Standin":
        return replace(self, old=self.old.hidden(how))

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
    def reliance(self) -> Reliance:
        return giving((self.old.column,), inserted=plpgsql.is_not_null(plpgsql.new(self.old.column)))

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
    def on_insert(self, truth: Truth) -> sql.Composed:
        return self._filled

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        return self._filled if self.old.not_null else sql.Composed([sql.SQL("NULL;")])

    @override
    def settle(self) -> sql.Composed:
        return self._filled if self.old.not_null else plpgsql.when(sql.SQL("TG_OP = 'INSERT'"), self._filled)

    @property
    def _filled(self) -> sql.Composed:
        return plpgsql.when(plpgsql.is_null(plpgsql.new(self.old.column)), computed((self.old,)))
