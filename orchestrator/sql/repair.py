"""Repair: a value that breaks a rule is replaced where it stands, and is given back if the plan is rolled back.

There is one side only. What a row held before is kept on the row itself, in hidden columns that come at expand and go
at contract: that is exact, needs no key and no right for whoever writes, and travels with the row. A change by
the application overtakes the repair, and what was kept is forgotten.

Old writers are not refused meanwhile: a value that breaks the rule is replaced as it arrives. Where the replacement
cannot be computed, or breaks the rule itself, the write stands as it is, and the proof names the row.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from psycopg import sql
from typing_extensions import override

from orchestrator.sql import plpgsql
from orchestrator.sql.identifiers import TableName, bounded, verbatim
from orchestrator.sql.mapping import Healing, Hiding, Mapping, Reliance, Resting, Truth

_NEVER = sql.Composed([sql.SQL("false")])


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """A column whose value is replaced in a row that breaks the rule.

    Attributes:
        type: the column's; without its domain, which what is kept need not obey.
        of_domain: whether the column is of one.
        expression: the new value, over the row as it was.
        of_null: whether only NULL is ever replaced, so that there is nothing to keep.
    """

    column: str
    type: str
    expression: str
    of_null: bool = False
    of_domain: bool = False

    @property
    def name(self) -> sql.Identifier:
        """The column as an identifier."""
        return sql.Identifier(self.column)

    @property
    def computed(self) -> sql.Composed:
        """Its expression over the row."""
        return sql.SQL("({})").format(verbatim(self.expression))

    @property
    def hidden(self) -> dict[str, str]:
        """The hidden columns with their types: whether a value was replaced, by what, and what it was if not NULL."""
        put = {bounded(self.column, "ecm_repaired"): "boolean", bounded(self.column, "ecm_put"): self.type}
        return put if self.of_null else put | {bounded(self.column, "ecm_was"): self.type}

    @property
    def flag(self) -> sql.Identifier:
        """The hidden column that is true where the value was replaced."""
        return sql.Identifier(bounded(self.column, "ecm_repaired"))

    @property
    def put(self) -> sql.Identifier:
        """The hidden column with the replacement."""
        return sql.Identifier(bounded(self.column, "ecm_put"))

    @property
    def kept(self) -> sql.Identifier | None:
        """The hidden column with the row's own value; None where that was NULL."""
        return None if self.of_null else sql.Identifier(bounded(self.column, "ecm_was"))

    @property
    def own(self) -> sql.Composed:
        """The value that the row has by itself, over the row."""
        kept = sql.SQL("NULL") if self.kept is None else self.kept
        return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(self.flag, kept, self.name)

    @property
    def overtaken(self) -> sql.Composed:
        """A condition in the trigger: the value is not what ecm put there, so the application wrote it.

        A row that is copied whole brings what was hidden in the first one, and may have got another value on the way.
        """
        return sql.SQL("NEW.{} AND pg_catalog.record_image_ne(ROW(NEW.{}{}), ROW(NEW.{}))").format(
            self.flag, self.name, verbatim(f"::{self.type}" if self.of_domain else ""), self.put
        )

    @property
    def forget(self) -> sql.Composed:
        """A statement of the trigger: the value is the application's own."""
        return sql.SQL("\n").join(sql.SQL("NEW.{} := NULL;").format(sql.Identifier(name)) for name in self.hidden)

    def assignment(self, broken: sql.Composed | None, healed: sql.Composed) -> sql.Composed:
        """Return the SET of its columns: replaced where the row breaks the rule, its own again where it is healed.

        A row that was repaired before, to no avail, keeps what it had at first. An expression may be volatile, and is
        evaluated once: PostgreSQL leaves a subquery alone that has one among its columns.

        Args:
            broken: a condition over the row; None where no other rows are written.
            healed: another, which counts where the first does not hold.
        """
        kept = () if self.kept is None else (self.kept,)
        row, case = sql.SQL(""), sql.SQL("{replaced}")
        if broken is not None:
            row = sql.SQL('(SELECT {} AS "~broken", {} AS "~healed") AS "~row", LATERAL ').format(broken, healed)
            case = sql.SQL('CASE WHEN "~broken" THEN {replaced} WHEN "~healed" THEN {own} ELSE {column} END')
        null, value = sql.SQL("NULL"), sql.SQL('"~value"')
        columns = [
            (self.name, value, self.own),
            *((each, self.own, null) for each in kept),
            (self.flag, sql.SQL("true"), null),
            (self.put, value, null),
        ]
        # As one of two results the expression is of the column's type, as it is where it is assigned.
        return sql.SQL(
            "({names}) = (SELECT {values} FROM {row}(SELECT CASE WHEN {broken} THEN {computed} ELSE {name} END"
            ' AS "~value") AS "~put")'
        ).format(
            names=sql.SQL(", ").join(name for name, _, _ in columns),
            values=sql.SQL(", ").join(
                case.format(replaced=replaced, own=own, column=name) for name, replaced, own in columns
            ),
            row=row,
            broken=sql.SQL("true" if broken is None else '"~broken"'),
            computed=self.computed,
            name=self.name,
        )


@dataclass(frozen=True, kw_only=True)
class _InPlace(Mapping):
    """What a rule and its withdrawal share.

    Attributes:
        columns: those that the rule is about.
        demand: what it demands of a row, for a person.
        replacements: by what a row that breaks it is repaired; without any, it is only found.
        elsewhere: whether the rule looks at other rows.
    """

    columns: tuple[str, ...]
    demand: str
    replacements: tuple[Replacement, ...]
    elsewhere: bool = False

    @property
    @override
    def olds(self) -> tuple[str, ...]:
        return ()

    @property
    @override
    def news(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.columns, *(each.column for each in self.replacements))))

    @property
    @override
    def says(self) -> tuple[str, ...]:
        return (self.demand,)

    @property
    @override
    def runs_code(self) -> bool:
        return True

    @property
    @override
    def drifts(self) -> bool:
        return self.elsewhere

    @property
    @override
    def in_place(self) -> bool:
        return True

    @property
    @override
    def scaffolding(self) -> tuple[str, ...]:
        return tuple(name for each in self.replacements for name in each.hidden)

    @property
    @override
    def unfilled(self) -> sql.Composed:
        return self.mismatch

    @property
    @override
    def only_new(self) -> sql.Composed:
        return _NEVER

    @override
    def hidden(self, how: Hiding) -> Mapping:
        """Nothing is repaired any more; what a row held is kept until it is overtaken, for a later rollback."""
        return _Kept(of=self)

    @property
    def forget_overtaken(self) -> sql.Composed:
        """Statements of the trigger: what was kept of a row is forgotten once the application gave it another value."""
        return _lines(plpgsql.when(each.overtaken, each.forget) for each in self.replacements)

    @override
    def settle(self) -> sql.Composed:
        """It has its whole say after the table's own triggers: those fill in what the application left out."""
        return plpgsql.when(sql.SQL("TG_OP = 'INSERT'"), self.on_insert(Truth.OLD), self.on_update(Truth.OLD))

    @property
    def _returned(self) -> sql.Composed:
        return _lines(
            plpgsql.when(
                sql.SQL("NEW.{}").format(each.flag),
                sql.SQL("NEW.{} := {};\n{}").format(
                    each.name,
                    sql.SQL("NULL") if each.kept is None else sql.SQL("NEW.{}").format(each.kept),
                    each.forget,
                ),
            )
            for each in self.replacements
        )


@dataclass(frozen=True, kw_only=True)
class Repair(_InPlace):
    """A rule that every row has to keep in the end, and how those that break it are repaired.

    Attributes:
        violated: a condition over a stored row: it breaks the rule.
        arriving: the same of a row that is about to be written, where other rows were there first.
        met: a condition in the trigger: an INSERT of NEW is refused for a stored row, or turns into an UPDATE of it.
        healed: a condition over a stored row: it was repaired, and by now its own value keeps the rule.
        table: whose rows these are, where they may be healed.
        key: its primary key, by which the trigger finds again the row that it was called for.
        yields: a condition over a stored row that is healed: another one, too, has its own value, and comes first.
        whole: a condition over a stored row that takes one look at the whole table to tell of every row; where
            `violated` would take a look for each, and what was made at expand.
        fallible: whether to tell may itself fail, on a value that the rule was not made for.
        heals: whether a row's own value may keep the rule again once another column of the row was written.
    """

    violated: sql.Composed
    arriving: sql.Composed | None = None
    met: sql.Composed | None = None
    healed: sql.Composed | None = None
    table: TableName | None = None
    key: tuple[str, ...] = ()
    yields: sql.Composed | None = None
    whole: sql.Composed | None = None
    fallible: bool = False
    heals: bool = False

    def __hash__(self) -> int:
        """Return a hash of the adjustment; the driver has none for conditions that are put together."""
        return super().__hash__()

    @property
    @override
    def reaches_out(self) -> bool:
        return self.elsewhere or self.met is not None

    @property
    @override
    def mismatch(self) -> sql.Composed:
        return self.violated

    @property
    @override
    def at_once(self) -> "Repair":
        return self if self.whole is None else replace(self, violated=self.whole)

    @property
    @override
    def withdrawn(self) -> Mapping:
        return Withdrawal(
            columns=self.columns, demand=self.demand, replacements=self.replacements, elsewhere=self.elsewhere
        )

    @property
    @override
    def unfilled(self) -> sql.Composed:
        if self.healed is None:
            return self.violated
        return sql.SQL("({}) OR ({})").format(self.violated, self.healed)

    @override
    def assignments(self, *, alone: bool) -> sql.Composed:
        broken = None if alone and self.healed is None else sql.SQL("({}) IS TRUE").format(self.violated)
        healed = _NEVER if self.healed is None else sql.SQL("({}) IS TRUE").format(self.healed)
        return sql.SQL(", ").join(each.assignment(broken, healed) for each in self.replacements)

    @override
    def on_insert(self, truth: Truth) -> sql.Composed:
        """A row that comes with what is kept of it, from another partition or copied whole, has that by right.

        What INSERT … ON CONFLICT turns into an UPDATE comes by here first: it has to reach its SET as it was given.
        """
        arriving = self.violated if self.arriving is None else self.arriving
        replaced = self._where(
            _over("NEW.*, NULL::tid AS ctid, NULL::oid AS tableoid", arriving),
            self._replace if self.met is None else plpgsql.when(sql.SQL("NOT {}").format(self.met), self._replace),
        )
        return _lines((self.forget_overtaken, replaced))

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        # The row's own place and table, for a rule that tells it from other rows.
        stored = self._where(_over("NEW.*, OLD.ctid AS ctid, TG_RELID AS tableoid", self.violated))
        if self.arriving is None:
            return _lines((self.forget_overtaken, *((self._returned,) if self.heals else ()), stored))
        arriving = self._where(_over("NEW.*, OLD.ctid AS ctid, TG_RELID AS tableoid", self.arriving))
        return _lines((self.forget_overtaken, plpgsql.when(plpgsql.changed(self.columns), arriving, stored)))

    @property
    @override
    def reliance(self) -> Reliance:
        """Who writes what breaks the rule relies on its being repaired; told before it is, or nothing would show it."""
        arriving = self.violated if self.arriving is None else self.arriving
        inserted = _over("NEW.*, NULL::tid AS ctid, NULL::oid AS tableoid", arriving)
        if self.met is not None:
            inserted = sql.SQL("{} AND NOT {}").format(inserted, self.met)
        nulls = self.replacements and all(each.of_null for each in self.replacements)
        # Only NULL breaks such a rule, which is told without a call of the function.
        some = plpgsql.any_of(plpgsql.is_null(plpgsql.new(name)) for name in self.columns) if nulls else None
        return Reliance(
            says=f"that break the rule ({self.demand})",
            columns=self.columns,
            inserted=some or sql.Composed([sql.SQL("true")]),
            updated=some,
            judged_insert=inserted,
            judged_update=_over("NEW.*, OLD.ctid AS ctid, TG_RELID AS tableoid", arriving),
            last=True,
            runs_code=True,
        )

    @override
    def healing(self) -> Healing | None:
        """A statement may move values from row to row, a transaction write a row before the one it points to.

        So a row that was repaired is looked at again when either is over. It is the writer's own by then; where
        another session holds what its own value needs, it is left to the sweep.
        """
        if self.healed is None or self.table is None or not self.key:
            return None
        own = plpgsql.all_of(sql.SQL("t.{0} = NEW.{0}").format(sql.Identifier(name)) for name in self.key)
        return Healing(
            wanted=sql.SQL(" OR ").join(sql.SQL("NEW.{}").format(each.flag) for each in self.replacements),
            work=sql.SQL(
                "BEGIN\nUPDATE {} AS t SET {} WHERE {} AND ({});\nEXCEPTION WHEN OTHERS THEN NULL;\nEND;"
            ).format(self.table.identifier, self._given_back, own, self.healed),
        )

    @property
    @override
    def at_last(self) -> tuple[sql.Composed, ...]:
        if self.healed is None or self.table is None:
            return ()
        first = sql.SQL(" AND NOT ({})").format(self.yields) if self.yields is not None else sql.SQL("")
        return (
            sql.SQL("UPDATE {} SET {} WHERE ({}){}").format(
                self.table.identifier, self._given_back, self.healed, first
            ),
        )

    @property
    def _given_back(self) -> sql.Composed:
        return _given_back(self.replacements)

    def _where(self, broken: sql.Composed, then: sql.Composed | None = None) -> sql.Composed:
        repaired = plpgsql.when(broken, self._replace if then is None else then)
        if not self.fallible:
            return repaired
        return sql.SQL("BEGIN\n{}\nEXCEPTION WHEN OTHERS THEN NULL;\nEND;").format(repaired)

    @property
    def _replace(self) -> sql.Composed:
        """All or nothing: what was assigned before something failed is taken back."""
        values = [pair for each in self.replacements for pair in _replaced(each)]
        return sql.SQL(
            'DECLARE "as given" record;\nBEGIN\n"as given" := NEW;\n'
            'SELECT {values} FROM (SELECT NEW.*) AS "row" INTO {names};\n{put}\n'
            'EXCEPTION WHEN OTHERS THEN NEW := "as given";\nEND;'
        ).format(
            values=sql.SQL(", ").join(value for _, value in values),
            names=sql.SQL(", ").join(sql.SQL("NEW.{}").format(name) for name, _ in values),
            put=_lines(sql.SQL("NEW.{} := NEW.{};").format(each.put, each.name) for each in self.replacements),
        )


@dataclass(frozen=True, kw_only=True)
class Withdrawal(_InPlace):
    """What becomes of a rule that a rollback takes back: nothing is repaired any more, and rows get their own values.

    To be filled is here what still holds a replacement.
    """

    @property
    @override
    def says(self) -> tuple[str, ...]:
        return tuple(f"{each.column} as it was before ecm repaired it" for each in self.replacements)

    @property
    @override
    def mismatch(self) -> sql.Composed:
        return sql.SQL(" OR ").join(sql.SQL("{} IS TRUE").format(each.flag) for each in self.replacements)

    @override
    def assignments(self, *, alone: bool) -> sql.Composed:
        return _given_back(self.replacements)

    @override
    def on_insert(self, truth: Truth) -> sql.Composed:
        """What comes with what was kept of it, a row that moves to another partition, gets that back at once."""
        return _lines((self.forget_overtaken, self._returned))

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        """A row that is written anew gets its own value back at once, so that none escapes the sweep by moving on."""
        return _lines((self.forget_overtaken, self._returned))


@dataclass(frozen=True, kw_only=True)
class _Kept(Resting):
    """A rule that PostgreSQL itself holds writers to, while what repaired rows had is kept."""

    of: _InPlace

    @property
    @override
    def rests(self) -> bool:
        return False

    @override
    def on_insert(self, truth: Truth) -> sql.Composed:
        return self.of.forget_overtaken

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        return self.of.forget_overtaken

    @override
    def settle(self) -> sql.Composed:
        return self.of.forget_overtaken


def is_repaired(replacements: Iterable[Replacement], of: str = "") -> sql.Composed:
    """Return the condition that a value of the row is a replacement; `of` says which row, with a dot after it."""
    flags = [sql.SQL("{}{} IS TRUE").format(verbatim(of), each.flag) for each in replacements]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(flags or [sql.SQL("false")]))


def kept(columns: Iterable[str], replacements: Iterable[Replacement]) -> tuple[sql.Identifier, ...]:
    """Return where a row that was repaired has its own values: in hidden columns, or where no value is replaced."""
    hidden = {each.column: each.kept or each.name for each in replacements}
    return tuple(hidden.get(column, sql.Identifier(column)) for column in columns)


def _given_back(replacements: Iterable[Replacement]) -> sql.Composed:
    """Return the SET clause that gives a row its own values."""
    return sql.SQL(", ").join(
        assignment
        for each in replacements
        for assignment in (
            sql.SQL("{} = {}").format(each.name, each.own),
            *(sql.SQL("{} = NULL").format(sql.Identifier(name)) for name in each.hidden),
        )
    )


def _replaced(each: Replacement) -> Iterable[tuple[sql.Identifier, sql.Composable]]:
    """What is written into a row that breaks a rule; the value that may not fit comes first."""
    yield each.name, each.computed
    if each.kept is not None:
        yield each.kept, each.own
    yield each.flag, sql.SQL("true")


def _over(row: str, condition: sql.Composed) -> sql.Composed:
    return sql.SQL('(SELECT {} FROM (SELECT {}) AS "row")').format(condition, verbatim(row))


def _lines(statements: Iterable[sql.Composed]) -> sql.Composed:
    return sql.SQL("\n").join(statements)
