"""Adjustment: what raw SQL made is filled, row by row, by expressions of the plan's author.

The columns may be made by the plan's own statements, in the transaction that installs the trigger, so that nobody
knows their types when the trigger is written. Its body therefore never names one: what is computed is assigned, as an
UPDATE would, and compared only once it is of the column's type.
"""

from dataclasses import dataclass

from psycopg import sql
from typing_extensions import override

from orchestrator.sql import plpgsql
from orchestrator.sql.identifiers import verbatim
from orchestrator.sql.mapping import Hiding, Mapping, Resting, Truth, new_wins


@dataclass(frozen=True, kw_only=True)
class Assigned:
    """A column and its value.

    Attributes:
        type: the column's, as in the catalog; None as long as it is not there.
        expression: over the row.
    """

    column: str
    type: str | None
    expression: str

    @property
    def name(self) -> sql.Identifier:
        """The column as an identifier."""
        return sql.Identifier(self.column)

    @property
    def computed(self) -> sql.Composed:
        """Its expression over the row."""
        return sql.SQL("({})").format(verbatim(self.expression))

    @property
    def follows(self) -> sql.Composed:
        """A condition over the row: it is what its expression gives."""
        return sql.SQL("pg_catalog.record_image_eq(ROW({}), ROW({}{}))").format(
            self.name, self.computed, verbatim(f"::{self.type}" if self.type else "")
        )


@dataclass(frozen=True, kw_only=True)
class Adjustment(Mapping):
    """Columns that get values wherever a row still lacks them.

    Attributes:
        new: what is filled.
        old: what follows from it where a writer gave it; nothing where there is no way back.
        where: which rows still lack it, over the row; where it is None, those with NULL in all of `new`.
    """

    new: tuple[Assigned, ...]
    old: tuple[Assigned, ...] = ()
    where: str | None = None

    @override
    def hidden(self, how: Hiding) -> Mapping:
        """What it names, the plan's own statements may take away at contract; rows are filled again after its undo."""
        return Resting(of=self, lapses=True)

    @property
    @override
    def olds(self) -> tuple[str, ...]:
        return tuple(each.column for each in self.old)

    @property
    @override
    def news(self) -> tuple[str, ...]:
        return tuple(each.column for each in self.new)

    @property
    @override
    def says(self) -> tuple[str, ...]:
        lacks = f", where {self.where}" if self.where else ", or what was written"
        return tuple(f"{each.column} = {each.expression}{lacks}" for each in self.new)

    @property
    @override
    def runs_code(self) -> bool:
        return True

    @property
    @override
    def comes_last(self) -> bool:
        return not self.old

    @property
    @override
    def may_stray(self) -> bool:
        return True

    @property
    def lacking(self) -> sql.Composed:
        """A condition over the row: it still lacks the new values."""
        return sql.SQL("({}) IS TRUE").format(verbatim(self.where)) if self.where else self._nothing_new

    @property
    def _nothing_new(self) -> sql.Composed:
        return plpgsql.all_null(each.name for each in self.new)

    @property
    def _new_follows(self) -> sql.Composed:
        return plpgsql.all_of(each.follows for each in self.new)

    @property
    def _neither_follows(self) -> sql.Composed:
        """In a row that lacks nothing, and so has what a writer gave it on either side."""
        return sql.SQL("NOT ({}) AND NOT ({}) AND NOT ({}) AND NOT ({})").format(
            self.lacking, self._nothing_new, self._new_follows, plpgsql.all_of(each.follows for each in self.old)
        )

    @property
    @override
    def mismatch(self) -> sql.Composed:
        if not self.old:
            return self.unfilled
        return sql.SQL("({}) OR ({})").format(self.unfilled, self._neither_follows)

    @property
    @override
    def unfilled(self) -> sql.Composed:
        return sql.SQL("{} AND NOT ({})").format(self.lacking, self._new_follows)

    @property
    @override
    def only_new(self) -> sql.Composed:
        return self._neither_follows if self.old else sql.Composed([sql.SQL("false")])

    @property
    @override
    def one_way(self) -> sql.Composed | None:
        if not self.old:
            return None
        return sql.SQL("NOT ({}) AND NOT ({})").format(self.lacking, self._new_follows)

    @override
    def assignments(self, *, alone: bool) -> sql.Composed:
        def value(each: Assigned) -> sql.Composed:
            if alone:
                return each.computed
            return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(self.unfilled, each.computed, each.name)

        return sql.SQL(", ").join(sql.SQL("{} = {}").format(each.name, value(each)) for each in self.new)

    @override
    def on_insert(self, truth: Truth) -> sql.Composed:
        """A row that is copied whole, or moves to another partition, gives both sides, and is right already."""
        if not self.old:
            return self._filled()
        return self._filled(self._unless_followed(self.new, self._given(self.old)))

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        if not self.old:
            return sql.SQL("{}\n{}").format(self._kept_up, self._filled())
        new_changed, old_changed = plpgsql.changed(self.news), plpgsql.changed(self.olds)
        return sql.SQL("IF {} THEN\n{}\nELSIF {} THEN\n{}\nELSIF {} THEN\n{}\nEND IF;").format(
            new_wins(truth, new_changed, old_changed),
            self._given(self.old),
            old_changed,
            self._given(self.new),
            plpgsql.over("NEW", self.lacking),
            self._given(self.new),
        )

    @property
    def _kept_up(self) -> sql.Composed:
        """What was computed follows the columns it was computed of; what a writer gave stays.

        Whether the row had what is computed is told after an assignment, which makes it the column's type.
        """
        return sql.SQL(
            'IF NOT {changed} THEN\nDECLARE\n"ecm was" record;\nBEGIN\n"ecm was" := OLD;\n{was}\n'
            "IF {same} THEN\n{again}\nEND IF;\nEXCEPTION WHEN OTHERS THEN NULL;\nEND;\nEND IF;"
        ).format(
            changed=plpgsql.changed(self.news),
            was=_into('"ecm was"', self.new, of="OLD"),
            same=_same(self.new, "OLD"),
            again=self._given(self.new),
        )

    def _given(self, values: tuple[Assigned, ...]) -> sql.Composed:
        """Give columns of NEW their values; an expression that fails on a writer's does not fail his write.

        What is made for the new side has none then, which the proof finds. With `where` it may be any column of the
        table, and is left as it was written.
        """
        nothing = sql.SQL("NULL;")
        if self.where is None:
            nothing = sql.SQL("\n").join(sql.SQL("{} := NULL;").format(plpgsql.new(each.column)) for each in values)
        return sql.SQL("BEGIN\n{}\nEXCEPTION WHEN OTHERS THEN {}\nEND;").format(_into("NEW", values), nothing)

    @override
    def settle(self) -> sql.Composed:
        """The table's own triggers know the old side, and have the last word."""
        if not self.old:
            return plpgsql.when(sql.SQL("TG_OP = 'INSERT'"), self.on_insert(Truth.OLD), self.on_update(Truth.OLD))
        settled = self._unless_followed(self.new, self._unless_followed(self.old, self._given(self.new)))
        return self._filled(plpgsql.when(sql.SQL("NOT ({})").format(plpgsql.over("NEW", self._nothing_new)), settled))

    def _filled(self, otherwise: sql.Composed | None = None) -> sql.Composed:
        return plpgsql.when(plpgsql.over("NEW", self.lacking), self._given(self.new), otherwise)

    def _unless_followed(self, values: tuple[Assigned, ...], then: sql.Composed) -> sql.Composed:
        """Do something unless these columns are what their expressions give, which is told as in `_kept_up`."""
        return sql.SQL(
            'DECLARE\n"ecm was" record;\n"ecm same" pg_catalog.bool := false;\nBEGIN\n'
            'BEGIN\n"ecm was" := NEW;\n{was}\n"ecm same" := {same};\nEXCEPTION WHEN OTHERS THEN NULL;\nEND;\n'
            'IF NOT "ecm same" THEN\n{then}\nEND IF;\nEND;'
        ).format(was=_into('"ecm was"', values), same=_same(values, "NEW"), then=then)


def _into(row: str, values: tuple[Assigned, ...], *, of: str = "NEW") -> sql.Composed:
    """Assign values to columns of a row, all of them computed before the first is assigned, as an UPDATE does."""
    return sql.SQL('SELECT {values} FROM (SELECT {of}.*) AS "row" INTO {columns};').format(
        values=sql.SQL(", ").join(each.computed for each in values),
        of=verbatim(of),
        columns=sql.SQL(", ").join(sql.SQL("{}.{}").format(verbatim(row), each.name) for each in values),
    )


def _same(values: tuple[Assigned, ...], row: str) -> sql.Composed:
    """Return a condition: what was assigned to "ecm was" is what a row has."""
    return plpgsql.all_of(
        sql.SQL('pg_catalog.record_image_eq(ROW("ecm was".{name}), ROW({row}.{name}))').format(
            name=each.name, row=verbatim(row)
        )
        for each in values
    )
