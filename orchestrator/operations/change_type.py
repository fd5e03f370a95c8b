"""Give a column another type, under its name or a new one.

A column of the new type stands beside the old one, and expressions make one of the other. Without `to` the
application sees one column all the time: the two exchange their names when readers move, and all that hangs on
the old one is the new one's from then on (`orchestrator.operations.succession`). With `to` both have a name that
works until contract.

Where PostgreSQL would write neither the table nor an index anew (a varchar becomes longer), there is no second
column: expand changes the type for both versions, in a moment.
"""

from dataclasses import replace
from functools import partial
from typing import Literal

from psycopg import sql
from typing_extensions import override

from orchestrator.operations import at_once, casts, feeding, succession, trying
from orchestrator.operations.base import described, with_column
from orchestrator.operations.retyping import Expression, Retyping
from orchestrator.sql import identifiers, moving, sync
from orchestrator.sql.conversion import Conversion
from orchestrator.sql.edits import AddColumn, DropColumn, Edits, Facts, Other, RenameColumn
from orchestrator.sql.edits import ChangeType as Retyped
from orchestrator.sql.facts import Column, Table
from orchestrator.sql.identifiers import TableName, bounded, verbatim
from orchestrator.sql.mapping import Truth
from orchestrator.sql.steps import Statement, Step, Transaction
from orchestrator.sql.sync import Ddl
from orchestrator.sql.value import Value


class ChangeType(Retyping):
    """A column gets another type; versions that know the old one and the new one work until contract."""

    kind: Literal["change_type"] = "change_type"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen

    # ---------------------------------------------------------------- the two sides

    @override
    def mappings(self, facts: Table) -> tuple[Conversion, ...]:
        if facts.column(facts.found(self.column)) is None or self._at_once(facts):
            return ()
        old = self._old(facts)
        switched = self._is_switched(facts)
        new = self.column if switched else self._new
        shown = None if self.to else Truth.NEW if switched else Truth.OLD
        required = facts.column(self.column) if switched or not self.to else old
        value = partial(self._value, facts)
        given = facts.column(new) or old
        return (
            Conversion(
                new=(
                    replace(
                        value(new, self.type, self.using, old, seen=self.column),
                        default=(given if self.to else old).constant_default,
                        not_null=required is not None and required.not_null,
                    ),
                ),
                old=(
                    replace(
                        value(old.name, old.type, self.reverse, new, seen=self.to or self.column),
                        default=old.constant_default,
                        default_varies=old.default_varies,
                    ),
                ),
                exact=self.reverse is None,
                sees=shown,
            ),
        )

    def _value(
        self, facts: Table, column: str, type_name: str, given: Expression | None, of: Column | str, *, seen: str
    ) -> Value:
        """Return a column in terms of the other one (`of`), which the plan's expression finds as `seen`."""
        source = of if isinstance(of, str) else of.name
        kind = casts.plain(self.type) if isinstance(of, str) else of.plain_type
        if given is None:
            seen = source
        cast = f"{sql.Identifier(source).as_string(None)}::{casts.without_length(type_name)}"
        if given is None and casts.always_works(kind, casts.plain(type_name)):
            return Value(column=column, type=type_name, expression=cast, scope=((seen, source),))
        other = {self.column, *self.made(), self._left} - {seen}
        scope = tuple(
            (each.name, each.name)
            for each in facts.columns
            if given is not None and each.name in given and each.name not in {seen, *other} and not each.generated
        )
        return Value(
            column=column,
            type=type_name,
            expression=given or cast,
            scope=((seen, source), *scope),
            attempt=bounded("attempt", self.target.qualified, self.column, "old" if isinstance(of, str) else "new"),
        )

    @override
    def moved_first(self, facts: Table) -> tuple[TableName, ...]:
        return () if self._at_once(facts) else moving.moved(facts, self._move_in(facts))

    @override
    def also_locked(self, facts: Table) -> tuple[TableName, ...]:
        return () if self._at_once(facts) else succession.related(self._own(facts))

    # ---------------------------------------------------------------- expand

    @override
    def before_expand(self, facts: Table) -> tuple[Step, ...]:
        # Nobody may set an identity; and what changes at once has no mapping.
        return tuple(
            trying.first(
                facts,
                mapping.new,
                back=() if self._old(facts).identity else mapping.old,
                written=self.reverse is not None,
            )
            for mapping in self.mappings(facts)
        )

    @override
    def expand(self, facts: Table) -> Ddl:
        if self._at_once(facts):
            return at_once.changed(self.target, self.column, self._former(facts), self.type)
        table, column = self.target.identifier, self._old(facts)
        (mapping,) = self.mappings(facts)
        default: tuple[Statement, ...] = ()
        if self.to and column.default_is_constant:
            given = sql.SQL("({})").format(verbatim(column.default or "NULL"))
            default = (
                sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {}").format(table, sql.Identifier(self.to), given),
            )
        attempts, added = mapping.attempts, Column.plain(self._new, self.type)
        there = facts.columns if facts.column(self._new) else (*facts.columns, added)
        asked = (*mapping.new, *(() if column.identity else mapping.old))  # nobody may set an identity
        checked = trying.understood(replace(facts, columns=there), asked, without=())
        return Ddl(
            statements=(
                *succession.added(self._own(facts), column, self._new, self.type),
                *default,
                *checked,
                *(statement for value in attempts for statement in value.attempted),
            ),
            inverse=(
                *(statement for value in attempts for statement in value.abandoned),
                sql.SQL("ALTER TABLE {} DROP COLUMN IF EXISTS {}").format(table, sql.Identifier(self._new)),
            ),
        )

    # ---------------------------------------------------------------- migrate reads

    @override
    def before_reads(self, facts: Table) -> tuple[Step, ...]:
        return () if self._at_once(facts) else succession.built(self._own(facts))

    @override
    def before_switch(self, facts: Table) -> tuple[Step, ...]:
        if self._at_once(facts):
            return ()
        return (
            *succession.held(self._own(facts)),
            *(() if self.to else succession.required(self._own(facts), self._required(facts))),
            *moving.beside(facts, self._move),
        )

    @override
    def on_return(self, facts: Table) -> tuple[Transaction, ...]:
        return () if self._at_once(facts) else moving.refreshed(facts, self._move)

    @override
    def release(self, facts: Table) -> Ddl:
        if self.to or self._at_once(facts):
            return Ddl(statements=(), inverse=())
        return Ddl(
            statements=succession.released(self._own(facts)),
            inverse=succession.released(self._own(self.switched(facts))),
        )

    @override
    def switch(self, facts: Table) -> Ddl:
        if self._at_once(facts):
            return Ddl(statements=(), inverse=())
        nothing = Ddl(statements=(), inverse=())
        return moving.follow(facts, self._move, nothing if self.to else self._swapped(facts))

    def _swapped(self, facts: Table) -> Ddl:
        required, waits = self._required(facts), self._default_waits(facts)
        return Ddl(
            statements=(
                *succession.taken_over(self._own(facts), required, waits=waits),
                self._renamed(self.column, self._left),
                self._renamed(self._new, self.column),
                *succession.recompiled(facts),
            ),
            inverse=(
                *succession.taken_over(self._own(self.switched(facts)), required, returning=True, waits=waits),
                self._renamed(self.column, self._new),
                self._renamed(self._left, self.column),
                *succession.recompiled(facts),
            ),
        )

    def _renamed(self, now: str, then: str) -> sql.Composed:
        return sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(
            self.target.identifier, sql.Identifier(now), sql.Identifier(then)
        )

    @override
    def switched(self, facts: Table) -> Table:
        if self.to or self._at_once(facts) or self._is_switched(facts):
            return facts
        if not self._is_made(facts):
            facts = replace(facts, columns=(*facts.columns, Column.plain(self._new, self.type)))
        return self._exchanged(facts, {self.column: self._left, self._new: self.column}, self._left)

    @override
    def unswitched(self, facts: Table) -> Table:
        if not self._is_switched(facts):
            return facts
        before = self._exchanged(facts, {self._left: self.column, self.column: self._new}, self._new)
        return replace(before, readers_moved=True)

    @override
    def unexpanded(self, facts: Table, *, contracted: bool) -> Table | None:
        """Take back what the successor has from the column: a default that draws, and an identity.

        With `to`, contract hands all of it over, and what is kept of the old column tells no more.
        """
        old, new = facts.column(self.column), facts.column(self._new)
        if old is not None and (former := facts.heritage.former.get(self.column)) is not None:
            return with_column(facts, replace(old, type=former.partition(" COLLATE ")[0]))
        if old is None or new is None or (contracted and self.to):
            return None
        default = new.default if old.default is None else old.default
        return with_column(facts, replace(old, default=default, identity=old.identity or new.identity))

    def _exchanged(self, facts: Table, names: dict[str, str], successor: str) -> Table:
        """Return the facts with other names of the columns; the one that readers find has all that hangs on it."""
        columns = {column.name: column for column in facts.columns}
        seen = columns.get(self.column)

        def moved(column: Column) -> Column:
            name = names.get(column.name, column.name)
            if seen is None or column.name not in names:
                return column
            if name == self.column:
                return replace(column, name=name, not_null=seen.not_null)
            return replace(column, name=name, not_null=False)

        return replace(
            facts,
            columns=tuple(moved(column) for column in facts.columns),
            triggers=tuple(
                replace(trigger, update_of=tuple(names.get(name, name) for name in trigger.update_of))
                for trigger in facts.triggers
            ),
            heritage=replace(
                facts.heritage,
                heirs=tuple(
                    replace(heir, successor=successor) if heir.column == self.column else heir
                    for heir in facts.heritage.heirs
                ),
            ),
        )

    # ---------------------------------------------------------------- the way back

    @override
    def built_on_return(self, facts: Table) -> tuple[Step, ...]:
        return succession.built(self._own(facts), returning=True) if self._is_switched(facts) else ()

    @override
    def before_return(self, facts: Table) -> tuple[Step, ...]:
        if not self._is_switched(facts):
            return ()
        return (
            *succession.on_return(succession.held(self._own(facts))),
            *succession.on_return(succession.required(self._own(facts), self._required(facts))),
        )

    # ---------------------------------------------------------------- contract

    @override
    def before_contract(self, facts: Table) -> tuple[Step, ...]:
        return succession.required(self._own(facts), self._required(facts)) if self.to else ()

    @override
    def clear(self, facts: Table) -> tuple[Statement, ...]:
        if self._at_once(facts):
            return ()
        return (
            *moving.forget(facts, self._move_in(facts)),
            *(succession.released(self._own(facts)) if self.to else ()),
        )

    @override
    def hidden(self, table: TableName) -> tuple[tuple[str, str], ...]:
        """In place the two have exchanged their names, and the old one is out of sight already."""
        return ((self.column, identifiers.hidden(self.column)),) if self.to else ()

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        if self._at_once(facts):
            return at_once.forgotten(self.target, self.column, self._former(facts), self.type)
        (mapping,) = self.mappings(facts)
        (old,), (new,) = mapping.old, mapping.new
        return (
            *(
                succession.taken_over(self._own(facts), self._required(facts))
                if self.to
                else [feeding.fed_at_last(self.target, self._old(facts), self.column)]
                if self._default_waits(facts)
                else []
            ),
            *(
                statement
                for trigger in facts.triggers
                if old.column in trigger.update_of
                for statement in sync.handed_over(self.target, trigger, old.column, new.column)
            ),
            *(statement for value in mapping.attempts for statement in value.abandoned),
            sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(self.target.identifier, old.name),
            *feeding.widened(self._own(facts), facts.found(self.column), casts.plain(self.type)),
        )

    @override
    def before_withdrawal(self, facts: Table) -> tuple[Step, ...]:
        if self.column not in facts.heritage.former:
            return ()
        return (at_once.proof(self.target, self.column, self._former(facts), self.type),)

    # ---------------------------------------------------------------- the end of it, on an empty table

    @override
    def edits(self, facts: Facts) -> Edits:
        table, column = self.target, described(facts, self.target, self.column)
        default = column.constant_default if column else None
        changed = (
            Retyped(
                table=table,
                column=self.column,
                type=self.type,
                using=self.using,
                default=default,
                read=column is not None
                and any(each.kind == "view" for each in facts[table].tracked.get(column.name, ())),
            ),
            *(
                Other(statement=each, says="the type of its sequence", silent=True)
                for each in (feeding.widened(facts[table], self.column, casts.plain(self.type)) if column else ())
            ),
        )
        if self.to is None:
            at_once = column is not None and self._at_once(facts[table])
            return Edits(expand=changed) if at_once else Edits(contract=changed)
        return Edits(
            expand=(AddColumn(table=table, column=self.to, type=self.type, default=default),),
            # What hangs on the column goes over to the other one: so it is the column itself that goes on.
            contract=(
                DropColumn(table=table, column=self.to),
                *changed,
                RenameColumn(table=table, column=self.column, to=self.to),
            )
            if column
            else None,
        )
