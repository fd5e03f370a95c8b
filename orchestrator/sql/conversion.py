"""Conversion: old columns and new ones that expressions make of one another."""

from dataclasses import dataclass, replace

from psycopg import sql
from typing_extensions import override

from orchestrator.sql import plpgsql
from orchestrator.sql.identifiers import verbatim
from orchestrator.sql.mapping import PAST_THE_TRIGGER, Hiding, Mapping, Reliance, Truth, giving
from orchestrator.sql.value import Value, any_given, assigned, computed


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
        said: what holds in every row, for a person, where the expressions themselves are not for people.
        beyond: what is said of rows that have what the old columns cannot hold, where that is known.
    """

    old: tuple[Value, ...]
    new: tuple[Value, ...]
    exact: bool = False
    sees: Truth | None = None
    said: str | None = None
    beyond: str | None = None

    @override
    def hidden(self, how: Hiding) -> "Conversion":
        return replace(
            self,
            old=tuple(value.hidden(how) for value in self.old),
            new=tuple(value.hidden(how) for value in self.new),
            sees=Truth.NEW,
        )

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
        computed = (f"{value.column} = {value.expression}" for value in self.new)
        return (*((self.said,) if self.said is not None else computed), *required)

    @property
    @override
    def runs_code(self) -> bool:
        return True

    @property
    def _two_way(self) -> bool:
        return all(value.expression is not None for value in self.old)

    @property
    def _nothing_new(self) -> sql.Composed:
        return plpgsql.all_null(value.name for value in self.new)

    @property
    def _new_follows(self) -> sql.Composed:
        return plpgsql.all_of(value.follows for value in self.new)

    @property
    def _old_follows(self) -> sql.Composed:
        """Without a way back, whatever a new writer wrote stands on its own."""
        if self._two_way:
            return plpgsql.all_of(value.follows for value in self.old)
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
    @override
    def advice(self) -> str | None:
        if not self.attempts:
            return None
        empty = ", or gives NULL where there has to be a value" if self.unfit is not None else ""
        return (
            f"an expression fails on these values{empty}, or {PAST_THE_TRIGGER}: set these rows right, then run the"
            " same command again"
        )

    @property
    @override
    def may_stray(self) -> bool:
        return self.exact or bool(self.attempts)

    @property
    @override
    def reliance(self) -> Reliance | None:
        if self.sees is not None:
            return None  # both versions use one name
        if any(value.default_varies for value in self.old):
            return giving(
                self.olds, beyond=f"an INSERT that gives {' and '.join(self.olds)}, with a default that varies"
            )
        return giving(self.olds, inserted=sql.SQL("({}) AND NOT ({})").format(any_given(self.old), any_given(self.new)))

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
    def overflow(self) -> str | None:
        return self.beyond

    @property
    @override
    def unfilled(self) -> sql.Composed:
        """The new side is NULL, and would not be if it followed from the old one."""
        if self.sees is Truth.OLD:
            given = plpgsql.all_null(value.filling for value in self.new)
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
        required = [sql.SQL("{} IS NULL").format(sql.Identifier(name)) for name in self.required]
        return sql.SQL(" OR ").join(required) if required else None

    @property
    @override
    def required(self) -> tuple[str, ...]:
        return tuple(value.column for value in self.new if value.not_null)

    @override
    def assignments(self, *, alone: bool) -> sql.Composed:
        def computed(value: Value) -> sql.Composed:
            if alone:
                return value.filling
            return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(self.unfilled, value.filling, value.name)

        return sql.SQL(", ").join(sql.SQL("{} = {}").format(value.name, computed(value)) for value in self.new)

    @override
    def on_insert(self, truth: Truth) -> sql.Composed:
        given = any_given(self.new)
        if self.sees is Truth.OLD:
            # Nobody gives the new side by its name, but a row that moves to another partition brings it along.
            return plpgsql.when(given, self._where_both_differ(Truth.OLD), self._to_new)
        if self.sees is Truth.NEW:
            # Who names no columns gives values by their position, and the old column has the one that is known.
            given = sql.SQL("({}) OR NOT ({})").format(given, any_given(self.old))
            return plpgsql.when(given, self._where_both_differ(Truth.NEW), self._to_new)
        if any(value.default_varies for value in self.old):
            # Nobody can tell whether the old side was given. A row that moves to another partition comes by here too.
            return plpgsql.when(given, self._where_both_differ(Truth.NEW), self._to_new)
        both = plpgsql.when(any_given(self.old), self._where_both_differ(truth), self._to_old)
        return plpgsql.when(given, both, self._to_new)

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        new_changed, old_changed = plpgsql.changed(self.news), plpgsql.changed(self.olds)
        # A statement that gives one of several new columns of a row that was not filled means to keep the others.
        first_filled = self._where_unfilled(
            "OLD",
            sql.SQL("\n").join(
                sql.SQL("IF pg_catalog.record_image_eq(ROW({new}), ROW({old})) THEN {filled} END IF;").format(
                    new=plpgsql.new(value.column), old=plpgsql.old(value.column), filled=assigned(value, of="OLD")
                )
                for value in self.new
            ),
        )
        changed = sql.SQL("{}\n{}").format(first_filled, self._to_old)
        if self.sees is None:
            changed = plpgsql.when(old_changed, self._where_both_differ(truth), changed)
        elif truth is Truth.OLD:
            changed = plpgsql.when(old_changed, self._to_new, changed)
        return plpgsql.when(
            new_changed, changed, plpgsql.when(old_changed, self._to_new, self._where_unfilled("NEW", self._to_new))
        )

    def _where_both_differ(self, truth: Truth) -> sql.Composed:
        """Who writes both sides is left alone as long as one of them follows from the other; else the truth wins."""
        if not self._two_way:
            return self._to_new if truth is Truth.OLD else sql.Composed([sql.SQL("NULL;")])
        wins = self._to_old if truth is Truth.NEW else self._to_new
        if not self.attempts:
            return plpgsql.when(plpgsql.over("NEW", self.mismatch), wins)
        nothing_old = plpgsql.all_null(map(plpgsql.new, self.olds))
        alone = wins
        if truth is Truth.OLD:
            alone = plpgsql.when(sql.SQL("TG_OP = 'INSERT'"), self._unless_unheld(nothing_old, wins), wins)
        return plpgsql.when(nothing_old, alone, self._unless_right("NEW", wins))

    def _unless_unheld(self, nothing_old: sql.Composed, then: sql.Composed) -> sql.Composed:
        """A row that is copied whole, or moves to another partition, may have none: it cannot be held there."""
        emptied = (sql.SQL("{} := NULL;").format(plpgsql.new(value.column)) for value in self.old)
        given = sql.SQL("\n").join((*emptied, then))
        return sql.SQL("{}\n{}").format(self._to_old, plpgsql.when(sql.SQL("NOT ({})").format(nothing_old), given))

    def _where_unfilled(self, row: str, then: sql.Composed) -> sql.Composed:
        """Do something with a row that was not filled; most are told from it by a plain look at the row itself."""
        empty = plpgsql.all_null(sql.SQL("{}.{}").format(verbatim(row), value.name) for value in self.new)
        if self.sees is not None:
            return plpgsql.when(empty, then) if self.sees is Truth.OLD else sql.Composed([sql.SQL("NULL;")])
        if self.attempts:
            return plpgsql.when(empty, self._unless_right(row, then))
        return plpgsql.when(empty, plpgsql.when(plpgsql.over(row, self.unfilled), then))

    @override
    def settle(self) -> sql.Composed:
        if self.sees is not None:
            return self._settle_hidden()
        if self.attempts:
            return self._unless_right("NEW", self._to_new)
        return plpgsql.when(plpgsql.over("NEW", self.mismatch), self._to_new)

    def _settle_hidden(self) -> sql.Composed:
        """The table's own triggers see what the application sees, and may have put back what it wrote."""
        changed = plpgsql.changed((*self.olds, *self.news))
        inserted = self._where_both_differ(self.sees or Truth.OLD)
        return plpgsql.when(sql.SQL("TG_OP = 'INSERT'"), inserted, plpgsql.when(changed, self._to_hidden))

    def _unless_right(self, row: str, then: sql.Composed) -> sql.Composed:
        """Do something with a row neither side of which follows from the other; an expression may fail meanwhile.

        An old side without a value may be that of a new one which it cannot hold.
        """
        held = sql.SQL("NOT ({})").format(
            plpgsql.all_null(sql.SQL("{}.{}").format(verbatim(row), value.name) for value in self.old)
        )
        new_follows = plpgsql.all_of(value.is_computed for value in self.new)
        old_follows = plpgsql.all_of(value.is_computed for value in self.old) if self._two_way else self._old_follows
        judged = sql.SQL(
            "DECLARE wrong pg_catalog.bool;\nBEGIN\n"
            "BEGIN wrong := NOT ({}); EXCEPTION WHEN OTHERS THEN wrong := true; END;\n"
            "IF wrong THEN BEGIN wrong := NOT ({}); EXCEPTION WHEN OTHERS THEN wrong := true; END; END IF;\n"
            "{}\nEND;"
        ).format(plpgsql.over(row, new_follows), plpgsql.over(row, old_follows), plpgsql.when(sql.SQL("wrong"), then))
        return plpgsql.when(held, judged)

    @property
    def _to_hidden(self) -> sql.Composed:
        return self._to_new if self.sees is Truth.OLD else self._to_old

    @property
    def _to_old(self) -> sql.Composed:
        return computed(self.old) if self._two_way else sql.Composed([sql.SQL("NULL;")])

    @property
    def _to_new(self) -> sql.Composed:
        return computed(self.new)
