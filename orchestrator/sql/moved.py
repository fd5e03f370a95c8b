"""A column that moves to another table: the mapping of either side."""

from dataclasses import dataclass, replace
from typing import Self

from psycopg import sql
from typing_extensions import override

from orchestrator.sql import plpgsql
from orchestrator.sql.across import (
    LEAVE,
    THEIR_VALUE,
    VALUE,
    WANTED,
    WROTE,
    Debts,
    Side,
    block,
    locked,
)
from orchestrator.sql.identifiers import verbatim
from orchestrator.sql.mapping import Hiding, Mapping, Reliance, Truth, giving
from orchestrator.sql.plpgsql import differ, is_not_null, is_null
from orchestrator.sql.steps import Statement

_NEVER = sql.Composed([sql.SQL("false")])
_TRUE, _FALSE = sql.SQL("true"), sql.SQL("false")
_ROW = sql.SQL('FROM (SELECT NEW.*) AS "row"')


@dataclass(frozen=True, kw_only=True)
class Moved(Mapping):
    """What both sides know.

    Attributes:
        source: the old side.
        other: the new side, which has one row at most for each row of the source.
        reverse: what both have where nothing was given and the old side may not be NULL; over the source's row.
        keeps_unmatched: whether a value without a row on the other side keeps its column from being dropped.
    """

    source: Side
    other: Side
    reverse: str | None = None
    keeps_unmatched: bool = True

    @override
    def hidden(self, how: Hiding) -> Self:
        return replace(
            self,
            source=self.source.hidden(how),
            other=self.other.hidden(how),
            reverse=None if self.reverse is None else how.expression(self.reverse, self.source.table),
        )

    @property
    def debts(self) -> Debts:
        """What one side owes the other."""
        return Debts(of=self.source)

    @property
    @override
    def says(self) -> tuple[str, ...]:
        source, other = self.source, self.other
        keys = zip(source.keys, other.keys, strict=True)
        matched = " and ".join(f"{source.table}.{mine} = {other.table}.{theirs}" for mine, theirs in keys)
        return (f"{other.table}.{other.column} = {source.table}.{source.column} where {matched}",)

    @property
    @override
    def reaches_out(self) -> bool:
        return True

    @property
    @override
    def may_stray(self) -> bool:
        return True

    @property
    @override
    def evening(self) -> tuple[Statement, ...]:
        """Have the trigger pay what is owed, and forget what was paid on the way."""
        return (
            sql.SQL("UPDATE {} SET {value} = {value} WHERE EXISTS (SELECT {})").format(
                self.other.table.identifier, self.debts.to(self.other, ""), value=self.other.value
            ),
            self.debts.settled(self.source, self.other),
        )

    @override
    def settle(self) -> sql.Composed:
        """What the table's own triggers made of the row is seen after it was written."""
        return sql.Composed([sql.SQL("NULL;")])

    def _owed_nothing(self, mine: Side, differing: sql.Composable) -> sql.Composed:
        """What is owed is known, and paid before a side goes; so two sides that differ for that reason are right."""
        return sql.SQL("{} AND NOT EXISTS (SELECT {})").format(differing, self.debts.to(mine, ""))

    def _alone(self, mine: Side, theirs: Side) -> sql.Composed | None:
        """A condition over a row of one side: the other has a value that went with it, and no row does any more."""
        if not self.keeps_unmatched:
            return None
        return sql.SQL("{} AND NOT {}").format(theirs.partner(mine, is_not_null(THEIR_VALUE)), mine.partner(mine))

    def _reversed(self, rows: sql.Composable) -> sql.Composed:
        return sql.SQL("(SELECT ({}) {})").format(verbatim(self.reverse or "NULL"), rows)


@dataclass(frozen=True, kw_only=True)
class MovedAway(Moved):
    """The old side: rows whose value is to be in another table.

    Attributes:
        type: of the column.
        default: the constant default of the old column, as SQL; None where a column not given is NULL.
    """

    type: str
    default: str | None = None

    @property
    @override
    def olds(self) -> tuple[str, ...]:
        return (self.source.column,)

    @property
    @override
    def news(self) -> tuple[str, ...]:
        return ()

    @property
    @override
    def advice(self) -> str | None:
        return (
            f"a value of {self.source.table} without a row in {self.other.table} would be lost: make that row, or set"
            f" {self.source.column} to NULL, or accept the loss with unmatched: lose; then run the same command again"
        )

    @property
    @override
    def reliance(self) -> Reliance:
        """What ecm itself writes here for a writer of the other table is what that has already."""
        mine, other = self.source, self.other
        alone = sql.SQL("{} OR NOT {}").format(
            other.partner(mine, differ(THEIR_VALUE, mine.value)), other.partner(mine)
        )
        judged = plpgsql.over("NEW", alone)
        given = plpgsql.given(mine.given, self.default, self.type)
        return replace(giving(self.olds, inserted=given), judged_insert=judged, judged_update=judged)

    @property
    @override
    def mismatch(self) -> sql.Composed:
        return self._owed_nothing(self.source, self.other.partner(self.source, differ(THEIR_VALUE, self.source.value)))

    @override
    def bereft(self, *, closing: bool, giving_up: bool) -> sql.Composed | None:
        return self._alone(self.source, self.other) if giving_up else None

    @property
    @override
    def unfilled(self) -> sql.Composed:
        return _NEVER

    @property
    @override
    def only_new(self) -> sql.Composed:
        return _NEVER

    @property
    @override
    def unfit(self) -> sql.Composed | None:
        if not self.keeps_unmatched:
            return None
        return sql.SQL("{} AND NOT {}").format(is_not_null(self.source.value), self.other.partner(self.source))

    @property
    @override
    def dues(self) -> tuple[Statement, ...]:
        return self.debts.pay(self.other, self.source)

    @override
    def assignments(self, *, alone: bool) -> sql.Composed:
        return sql.SQL("{value} = {value}").format(value=self.source.value)

    @property
    def _given(self) -> sql.Composed:
        """A condition over NEW: the value is not one that a row has which is inserted without it."""
        absent = [verbatim(text) for text in (self.default, self.reverse) if text is not None]
        return sql.SQL("({})").format(
            sql.SQL(" AND ").join(
                [
                    is_not_null(self.source.given),
                    *(
                        differ(
                            self.source.given, sql.SQL("(SELECT ({})::{} {})").format(each, verbatim(self.type), _ROW)
                        )
                        for each in absent
                    ),
                ]
            )
        )

    @override
    def on_insert(self, truth: Truth) -> sql.Composed:
        """A row that comes without the value takes its partner's."""
        return sql.SQL("IF NOT ({}) THEN\n{}\nEND IF;").format(self._given, self._take())

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        """A row that goes with another partner now, and was not given another value, takes that one's."""
        return sql.SQL("IF {} AND NOT {} THEN\n{}\nEND IF;").format(
            self.source.moved, self.source.rewritten, self._take()
        )

    def _take(self) -> sql.Composed:
        """The partner's value, or where it was not filled yet, that of its other partners, if they agree."""
        mine, partner = self.source, self.other.rows(self.source)
        required = (
            sql.SQL("IF {} THEN\n{} := {};\nEND IF;").format(is_null(mine.given), mine.given, self._reversed(_ROW))
            if self.reverse is not None
            else sql.SQL("")
        )
        nothing_yet = self.debts.owe(mine, sql.SQL("NULL"), _FALSE)
        return block(
            mine,
            locked(self.debts, mine, partner, otherwise=sql.SQL("{}\n{}").format(required, nothing_yet)),
            sql.SQL(
                "{value} := (SELECT {theirs} {partner});\n"
                "IF {wanted} > 0 AND {absent} THEN\n{value} := (SELECT {own} {siblings} LIMIT 1);\n"
                "IF EXISTS (SELECT {others}) THEN\n{value} := NULL;\nEND IF;\nEND IF;\n"
                "IF {there} THEN\n{given} := {value};\nEND IF;"
            ).format(
                value=VALUE,
                theirs=self.other.theirs,
                partner=partner,
                wanted=WANTED,
                absent=is_null(VALUE),
                own=mine.theirs,
                siblings=mine.rows(mine, is_not_null(mine.theirs)),
                others=mine.rows(mine, differ(mine.theirs, VALUE)),
                there=is_not_null(VALUE),
                given=mine.given,
            ),
            required,
        )

    @override
    def after(self) -> sql.Composed:
        """What was written goes to the partner, which hands it on to its other partners."""
        mine, other, debts = self.source, self.other, self.debts
        owed = debts.to(mine)
        siblings = mine.rows(mine, differ(mine.theirs, VALUE))
        # What a row has that came without the value is for the other table only where that has nothing.
        absent = sql.SQL("TG_OP = 'INSERT' AND {}").format(is_not_null(mine.given))
        filled = sql.SQL("UPDATE {} AS t SET {value} = t.{value} WHERE {};").format(
            other.table.identifier, other.with_new(mine, is_null(other.theirs)), value=other.value
        )
        return block(
            mine,
            sql.SQL(
                "IF TG_OP = 'INSERT' THEN\n{wrote} := {given};\nELSE\n{wrote} := {rewritten} OR {moved};\nEND IF;\n"
                "IF NOT {wrote} AND NOT ({absent}) AND NOT EXISTS (SELECT {owed}) THEN\n{leave}\nEND IF;"
            ).format(
                wrote=WROTE,
                given=self._given,
                rewritten=mine.rewritten,
                moved=mine.moved,
                absent=absent,
                owed=owed,
                leave=LEAVE,
            ),
            mine.leave_if_written_since,
            locked(
                debts,
                mine,
                other.rows(mine),
                otherwise=sql.SQL("IF {} THEN\n{}\nELSIF {} THEN\n{}\nEND IF;").format(
                    WROTE,
                    debts.owe(mine, mine.given, _TRUE),
                    absent,
                    debts.owe(mine, sql.SQL("NULL"), _FALSE),
                ),
            ),
            sql.SQL("IF NOT {} AND {} THEN\n{}\nEND IF;").format(WROTE, absent, filled),
            sql.SQL("IF {} = 0 OR NOT ({} OR EXISTS (SELECT {})) THEN\n{}\nEND IF;").format(WANTED, WROTE, owed, LEAVE),
            sql.SQL("IF {wrote} THEN\n{value} := {given};\nELSE\n{take}\nEND IF;\n{update}").format(
                wrote=WROTE,
                value=VALUE,
                given=mine.given,
                take=debts.take(mine, sql.SQL("(SELECT {} {})").format(other.theirs, other.rows(mine))),
                update=other.update(mine),
            ),
            sql.SQL("IF EXISTS (SELECT {}) THEN\n{}\n{}\nDELETE {};\nEND IF;").format(
                owed, locked(debts, mine, siblings, otherwise=sql.SQL("")), mine.update(mine), owed
            ),
        )


@dataclass(frozen=True, kw_only=True)
class MovedHere(Moved):
    """The new side: rows that get the value.

    Attributes:
        not_null: whether it may not be NULL once contract is over.
    """

    not_null: bool = False

    @property
    @override
    def olds(self) -> tuple[str, ...]:
        return ()

    @property
    @override
    def news(self) -> tuple[str, ...]:
        return (self.other.column,)

    @property
    @override
    def says(self) -> tuple[str, ...]:
        return (*super().says, *((f"{self.other.column} is not NULL",) if self.not_null else ()))

    @property
    @override
    def advice(self) -> str | None:
        return (
            f"rows of {self.source.table} that go with one row of {self.other.table} have to agree on"
            f" {self.source.column}, and a value has to have a place in the table that stays: set these rows right,"
            " then run the same command again"
        )

    @property
    @override
    def by_trigger(self) -> bool:
        """The trigger looks at the partners with the row locked; the UPDATE itself would look before that."""
        return True

    @property
    @override
    def mismatch(self) -> sql.Composed:
        return self._owed_nothing(self.other, self.source.partner(self.other, differ(THEIR_VALUE, self.other.value)))

    @property
    @override
    def unfilled(self) -> sql.Composed:
        """The row has nothing and a partner has; or something is still owed to it or its partners."""
        return sql.SQL("({} AND {} OR EXISTS (SELECT {}))").format(
            is_null(self.other.value),
            self.source.partner(self.other, is_not_null(THEIR_VALUE)),
            self.debts.to(self.other, ""),
        )

    @property
    @override
    def only_new(self) -> sql.Composed:
        return sql.SQL("{} AND {}").format(is_not_null(self.other.value), self.mismatch)

    @property
    @override
    def stranded(self) -> sql.Composed | None:
        if not self.keeps_unmatched:
            return None
        return sql.SQL("{} AND NOT {}").format(is_not_null(self.other.value), self.source.partner(self.other))

    @property
    @override
    def unfit(self) -> sql.Composed | None:
        return sql.SQL("{} IS NULL").format(self.other.value) if self.not_null else None

    @override
    def bereft(self, *, closing: bool, giving_up: bool) -> sql.Composed | None:
        return self._alone(self.other, self.source) if closing else None

    @override
    def assignments(self, *, alone: bool) -> sql.Composed:
        return sql.SQL("{value} = {value}").format(value=self.other.value)

    @override
    def on_insert(self, truth: Truth) -> sql.Composed:
        """A row that comes without the value takes that of its partners, which nobody changes meanwhile."""
        return sql.SQL("IF {} THEN\n{}\nEND IF;").format(
            is_null(self.other.given),
            block(
                self.source,
                locked(
                    self.debts,
                    self.other,
                    self.source.rows(self.other),
                    otherwise=self.debts.owe(self.other, sql.SQL("NULL"), _FALSE),
                ),
                self._fill(),
            ),
        )

    @override
    def on_update(self, truth: Truth) -> sql.Composed:
        """A row that was not filled is; where a new writer gives NULL, both sides have what stands for it."""
        mine = self.other
        required = (
            sql.SQL("ELSE\n{} := {};\n").format(
                mine.given, self._reversed(sql.SQL("{} LIMIT 1").format(self.source.rows(mine)))
            )
            if self.reverse is not None
            else sql.SQL("")
        )
        return sql.SQL("IF {} THEN\nIF {} THEN\n{}\n{}END IF;\nEND IF;").format(
            is_null(mine.given),
            is_null(sql.SQL("OLD.{}").format(mine.value)),
            block(self.source, self._fill()),
            required,
        )

    def _fill(self) -> sql.Composed:
        """Where the partners disagree, a person has to say which of them is right."""
        mine, source = self.other, self.source
        return sql.SQL(
            "{value} := (SELECT {theirs} {found} LIMIT 1);\n"
            "IF {there} AND NOT EXISTS (SELECT {others}) THEN\n{given} := {value};\nEND IF;"
        ).format(
            value=VALUE,
            theirs=source.theirs,
            found=source.rows(mine, is_not_null(source.theirs)),
            there=is_not_null(VALUE),
            others=source.rows(mine, differ(source.theirs, VALUE)),
            given=mine.given,
        )

    @override
    def after(self) -> sql.Composed:
        """What was written goes to the partners. Who gets this far has the row, so nobody else does the same."""
        mine, source, debts = self.other, self.source, self.debts
        owed = debts.to(mine)
        return block(
            source,
            sql.SQL(
                "IF TG_OP = 'INSERT' THEN\n{wrote} := {given};\n"
                "ELSE\n{wrote} := {rewritten} OR {given} AND {moved};\nEND IF;\n"
                "IF {wrote} THEN\n{value} := {new};\nELSIF NOT EXISTS (SELECT {owed}) THEN\n{leave}\nELSE\n{take}\n"
                "IF {differs} THEN\n{again}\n{leave}\nEND IF;\nEND IF;"
            ).format(
                wrote=WROTE,
                given=is_not_null(mine.given),
                rewritten=mine.rewritten,
                moved=mine.moved,
                owed=owed,
                leave=LEAVE,
                value=VALUE,
                new=mine.given,
                take=debts.take(mine, mine.given),
                differs=differ(mine.given, VALUE),
                again=mine.update(mine),
            ),
            mine.leave_if_written_since,
            locked(
                debts,
                mine,
                source.rows(mine, differ(source.theirs, VALUE)),
                otherwise=sql.SQL("IF {} THEN\n{}\nEND IF;").format(WROTE, debts.owe(mine, VALUE, _TRUE)),
            ),
            sql.SQL("IF {} > 0 THEN\n{}\nEND IF;\nIF EXISTS (SELECT {}) THEN\nDELETE {};\nEND IF;").format(
                WANTED, source.update(mine), owed, owed
            ),
        )
