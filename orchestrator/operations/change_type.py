"""Give a column another type, under its name or a new one.

A column of the new type stands beside the old one, and expressions make one of the other. Without `to` the
application sees one column all the time: the two exchange their names when readers move, and all that hangs on
the old one is the new one's from then on (`orchestrator.operations.succession`). With `to` both have a name that
works until contract.

Where PostgreSQL would write neither the table nor an index anew (a varchar becomes longer), there is no second
column: expand changes the type for both versions, in a moment.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import Field, model_validator
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError, PrivilegeError
from orchestrator.operations import at_once, casts, feeding, succession, trying
from orchestrator.operations.base import (
    ColumnField,
    Guide,
    NewColumnField,
    Operation,
    TableField,
    guide_to,
    taken,
    unusable,
)
from orchestrator.sql import heritage, moving, sync
from orchestrator.sql.conversion import Conversion
from orchestrator.sql.facts import Column, Dependent, Table
from orchestrator.sql.heritage import Heir
from orchestrator.sql.identifiers import TableName, bounded, verbatim, words
from orchestrator.sql.mapping import Truth
from orchestrator.sql.readers import Move
from orchestrator.sql.steps import LockMode, Statement, Step, Transaction
from orchestrator.sql.sync import Ddl
from orchestrator.sql.value import Value
from orchestrator.words import a, kebab

Expression = Annotated[str, Field(min_length=1)]

_GOES_ALONG = frozenset({"index", "constraint", "statistics", "sequence", "trigger", "generated column"})
"""What hangs on a column and is handed over, or was refused before anything was touched."""


class ChangeType(Operation):
    """A column gets another type; versions that know the old one and the new one work until contract."""

    kind: Literal["change_type"] = "change_type"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    table: Annotated[TableField, Field(description="The table, as table or schema.table")]
    column: Annotated[ColumnField, Field(description="The column's name")]
    type: Annotated[str, Field(min_length=1, description="Its type in the end")]
    using: Annotated[
        Expression | None, Field(description="The new value, over the row as it is; a cast to the new type otherwise")
    ] = None
    reverse: Annotated[
        Expression | None,
        Field(description="The old value, over the new one under its name; a cast to the old type otherwise"),
    ] = None
    to: Annotated[NewColumnField | None, Field(description="Its name in the end, where it gets another one")] = None

    standing: ClassVar[str] = "stands on a column that contract drops"

    @model_validator(mode="after")
    def _really_renames(self) -> "ChangeType":
        if self.column == self.to:
            raise ValueError(f"column and to are both {self.to!r}; leave `to` out, and the name stays")
        return self

    @property
    @override
    def target(self) -> TableName:
        return TableName.parse(self.table)

    @property
    @override
    def summary(self) -> str:
        return f"{self.target}.{self.column} becomes {self.type}" + (f", as {self.to}" if self.to else "")

    @property
    @override
    def slug(self) -> str:
        return f"change-{kebab(self.column)}"

    # ---------------------------------------------------------------- what a new plan says

    fate: ClassVar[str] = "are handed over to the new column"
    example: ClassVar[str] = "orders amount bigint"

    @property
    @override
    def stays(self) -> bool:
        return False

    @property
    @override
    def beginning(self) -> str:
        return f"change the type of {self.column}"

    @property
    @override
    def ending(self) -> str:
        return f"drop {self.column}" if self.to else f"keep {self.column} as {self.type} only"

    @override
    def guide(self) -> Mapping[str, Guide]:
        if self.to:
            return guide_to(
                old=self.column,
                new=self.to,
                expand=f"{self.to}, {self.type}, appears beside {self.column}; what is written to one side is written"
                " to the other.",
                ending=f"{self.to} gets the indexes and constraints of {self.column}, which goes.",
            )
        at_once = (
            ""
            if self.using or self.reverse
            else (" Where PostgreSQL need not write the table anew for it, the type itself changes here, at once.")
        )
        return {
            "expand": Guide(
                about=f"A column of type {self.type} appears beside {self.column}, kept in step with it.{at_once}",
                deploy="nothing yet; the application goes on as it is",
            ),
            "backfill": Guide(
                about="Rows from before get the new value, while the application writes; then every row is proven.",
                deploy=f"the version that copes with {self.column} as it was and as {self.type}, everywhere",
            ),
            "migrate_reads": Guide(
                about=f"The columns exchange their names: {self.column} is {self.type} for everybody from here on.",
                deploy="the version that writes what only the new type can hold; such a value keeps a rollback waiting",
            ),
            "contract": Guide(
                about=f"The column of the old type goes; {self.column} stays {self.type}.", deploy="nothing"
            ),
        }

    @override
    def suggested_check(self) -> tuple[str, str] | None:
        """Find rows whose new side is NULL while the old is not; in place, the new one has no name of its own yet."""
        if self.to is None:
            return None
        query = sql.SQL("SELECT count(*) FROM {} WHERE {} IS NOT NULL AND {} IS NULL").format(
            self.target.identifier, sql.Identifier(self.column), sql.Identifier(self.to)
        )
        return f"{self.to} known in every row", query.as_string(None)

    @property
    @override
    def retires(self) -> bool:
        return self.to is not None

    @override
    def claims(self) -> frozenset[tuple[str, str]]:
        return frozenset((str(self.target), name) for name in self._move.columns)

    @override
    def mentions(self) -> frozenset[tuple[str, str]]:
        found = words(*(each for each in (self.using, self.reverse) if each is not None))
        return frozenset((str(self.target), word) for word in found)

    @override
    def made(self) -> tuple[str, ...]:
        return (self.to or heritage.beside(self.column),)

    # ---------------------------------------------------------------- what there is

    @property
    def _new(self) -> str:
        """The new column's name until it takes over."""
        (name,) = self.made()
        return name

    @property
    def _left(self) -> str:
        """The old column's name once readers were moved."""
        return self.column if self.to else heritage.aside(self.column)

    @property
    def _move(self) -> Move:
        return Move(old=self.column, new=self._new, left=self._left)

    @override
    def moves(self, facts: Table) -> tuple[Move, ...]:
        return (self._move,)

    def _is_switched(self, facts: Table) -> bool:
        return not self.to and facts.column(self._left) is not None

    def _is_made(self, facts: Table) -> bool:
        return self._is_switched(facts) or facts.column(self._new) is not None

    def _at_once(self, facts: Table) -> bool:
        """Whether the change is a matter of the catalog alone; once it was made so, that stays."""
        if self.column in facts.heritage.former:
            return True
        trial = facts.heritage.trials.get(self.column)
        held = any(constraint.kind in "cf" for constraint in self._own(facts).heritage.constraints)
        asked = self.to is None and self.using is None and self.reverse is None
        read = any(each.kind not in _GOES_ALONG for each in facts.tracked.get(self.column, ()))
        return trial is not None and trial.refusal is None and not (trial.rewrites or held or read) and asked

    def _former(self, facts: Table) -> str:
        """What the column's type was before it was changed at once."""
        return facts.heritage.former.get(self.column) or at_once.type_of(self._old(facts))

    @override
    def heirs(self, facts: Table) -> tuple[Heir, ...]:
        if self._is_switched(facts):
            return (Heir(column=self.column, successor=self._left),)
        return (Heir(column=self.column, successor=self._new, type=None if self._is_made(facts) else self.type),)

    def _old(self, facts: Table) -> Column:
        name = self._left if self._is_switched(facts) else self.column
        column = facts.column(name)
        if column is None:
            raise PreconditionError(
                f"column {name} of {self.target} does not exist any more",
                details=["it was there when the plan began"],
                hint="ecm history",
            )
        return column

    def _own(self, facts: Table) -> Table:
        """Return the facts with what hangs on this column, or on it first of all that the plan changes."""
        return replace(facts, heritage=facts.heritage.only((self.column,)))

    def _default_waits(self, facts: Table) -> bool:
        """Whether the default stays on the old column until that goes."""
        said = facts.heritage.attributes.get(self.column)
        return feeding.waits(self._old(facts), said.sequence if said is not None else None)

    def _required(self, facts: Table) -> tuple[str, ...]:
        """The column, where it may not be NULL."""
        column = facts.column(self.column)
        return (self.column,) if column is not None and column.not_null else ()

    # ---------------------------------------------------------------- what stands in the way

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        found = [*unusable(facts, self.column)]
        column = facts.column(self.column)
        if column is None or found:
            return tuple(found)
        if not self._at_once(facts):
            found += taken(facts, self._new)
        trial, said = facts.heritage.trials.get(self.column), facts.heritage.attributes.get(self.column)
        if trial is not None and trial.refusal is not None:
            found.append(
                PreconditionError(
                    f"PostgreSQL does not make {self.target}.{self.column} {self.type}: {trial.refusal}",
                    details=["it was asked on an empty copy of the table, and nothing was changed"],
                    hint="take away what stands in the way, or choose another type",
                )
            )
        missing = [name for name in ("using", "reverse") if getattr(self, name) is None]
        if missing and casts.asks_the_session(column.type, self.type):
            found.append(
                PreconditionError(
                    f"what a cast makes of {self.target}.{self.column} depends on the session's TimeZone or DateStyle",
                    details=["an old writer, a new one and the backfill would each make another value of it"],
                    hint=f"give {' and '.join(missing)}, such as {sql.Identifier(self.column).as_string(None)}"
                    " AT TIME ZONE 'UTC' or to_char(…)",
                )
            )
        if feeding.is_drawn(column) and casts.plain(self.type) not in casts.INTEGERS:
            found.append(
                PreconditionError(
                    f"{self.target}.{self.column} draws its values from a sequence, which is for integers",
                    details=[f"its default is {column.default}"],
                    hint="drop the default first",
                )
            )
        pointed_to = (
            f"constraint {c.name} of {c.table} points to it, and to an index of a partitioned table at that"
            for c in facts.heritage.constraints
            if c.kind == "f" and c.references == facts.name and facts.kind == "p"
        )
        found += [
            PreconditionError(
                f"{self.target}.{self.column} cannot be changed: {use}",
                details=["nothing can take over there while reads and writes go on"],
                hint="take it away first, and make it again after contract",
            )
            for use in (*(said.used if said is not None else ()), *pointed_to)
        ]
        return (*found, *self._not_ours(facts))

    def _not_ours(self, facts: Table) -> Iterable[EcmError]:
        for c in self._own(facts).heritage.constraints:
            if c.owner is not None and not self._at_once(facts):
                role, owner = (sql.Identifier(name).as_string(None) for name in (facts.role, c.owner))
                yield PrivilegeError(
                    f"role {facts.role} does not own {c.table}, whose foreign key {c.name} has to be made anew",
                    details=[f"it belongs to {c.owner}"],
                    hint=f"GRANT {owner} TO {role}",
                )

    @override
    def warnings(self, facts: Table) -> tuple[str, ...]:
        if self._at_once(facts):
            return (
                f"{self.column} becomes {self.type} at once, in expand",
                "a rollback writes the table anew, under its lock",
            )
        bodies = (
            f"{each.kind} {each.name}: {each.why}, whose type changes"
            for each in (() if self.to else facts.untracked.get(self.column, ()))
        )
        prepared = (
            f"when readers move, statements prepared before that return {self.column} end in"
            " 'cached plan must not change result type', and have to be prepared again"
        )
        final = self.to or self.column
        moved = f"{final} becomes the last column of {self.target}: give values by the names of their columns"
        old = facts.column(self.column)
        held = (
            f"until contract {self.column} is NOT NULL: a value of {self.to} that it cannot hold is refused"
            if self.to and old is not None and old.not_null
            else ""
        )
        return (
            *bodies,
            *(() if self.to else (prepared, *self._by_default(facts))),
            *((held,) if held else ()),
            moved,
            f"a rollback is refused while {final} has values that the old type cannot hold",
        )

    def _by_default(self, facts: Table) -> Iterable[str]:
        """What a statement means otherwise, from when readers move until contract, where values are made for rows."""
        column = facts.column(self.column)
        if column is None or self._is_switched(facts):
            return
        name, meanwhile = self.column, "from reads migrated until contract"
        if self._default_waits(facts):
            yield (
                f"{meanwhile}, {name} = DEFAULT in an UPDATE gives NULL, and the catalog shows no default;"
                f" INSERT has it as ever, and draws it also where {name} is given"
            )
        elif column.identity or (column.default is not None and not column.default_is_constant):
            yield (
                f"{meanwhile}, INSERT and COPY without a list of columns have {name} drawn anew, whatever value they"
                " give for it: name the columns"
            )

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        if self._at_once(facts):
            return ()
        named = facts.untracked.get(self.column, ())
        return (
            # In place the name stays, and only what minds the second column is to be looked at.
            *(each for each in named if self.to or not each.names_it),
            *facts.unmovable.get(self.column, ()),
        )

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        if self._at_once(facts):
            return ()
        return tuple(each for each in moving.strangers(facts, self._move) if each.kind not in _GOES_ALONG)

    # ---------------------------------------------------------------- the two sides

    @override
    def mappings(self, facts: Table) -> tuple[Conversion, ...]:
        if facts.column(self.column) is None or self._at_once(facts):
            return ()
        old = self._old(facts)
        switched = self._is_switched(facts)
        new = self.column if switched else self._new
        shown = None if self.to else Truth.NEW if switched else Truth.OLD
        required = facts.column(self.column) if switched or not self.to else old
        value = partial(self._value, facts)
        return (
            Conversion(
                new=(
                    replace(
                        value(new, self.type, self.using, old, seen=self.column),
                        default=_constant(facts.column(new) or old) if self.to else _constant(old),
                        not_null=required is not None and required.not_null,
                    ),
                ),
                old=(
                    replace(
                        value(old.name, old.type, self.reverse, new, seen=self.to or self.column),
                        default=_constant(old),
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
        return () if self._at_once(facts) else moving.moved(facts, self._move)

    @override
    def also_locked(self, facts: Table) -> tuple[TableName, ...]:
        return () if self._at_once(facts) else succession.related(self._own(facts))

    # ---------------------------------------------------------------- expand

    @override
    def before_expand(self, facts: Table) -> tuple[Step, ...]:
        return tuple(trying.first(facts, mapping.new) for mapping in self.mappings(facts))

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
    def after_switch(self, facts: Table) -> tuple[Step, ...]:
        return () if self._at_once(facts) else moving.refreshed(facts, self._move)

    @override
    def release(self, facts: Table) -> Ddl:
        if self.to or self._at_once(facts):
            return Ddl(statements=(), inverse=())
        return Ddl(
            statements=succession.released(self._own(facts)),
            inverse=(*self._unguarded, *succession.released(self._own(self.switched(facts)))),
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
            self._guarded(facts),
        )

    @property
    def _guard(self) -> sql.Identifier:
        return sql.Identifier(heritage.guard(self.column))

    def _guarded(self, facts: Table) -> Step:
        """From the proof that the old column has everything until it is read again, nothing else may come."""
        (mapping,) = self.mappings(facts)
        (old,), (new,) = mapping.old, mapping.new
        empty = sql.SQL("{} IS NULL").format(new.name)
        # A check may have no subquery, as what a plan's expression is wrapped in.
        kept = new.is_computed if mapping.exact and self.using is None else sql.SQL("{} IS NOT NULL").format(old.name)
        table = self.target.identifier
        return Transaction(
            key=f"guard {self.column}",
            title=f"new rows have {a(self.column)} that its old type can hold",
            tables=facts.lockable,
            lock=LockMode.ACCESS_EXCLUSIVE,
            statements=(
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} CHECK ({} OR {}) NOT VALID").format(
                    table, self._guard, empty, kept
                ),
            ),
            inverse=(),
            note="catalog only, until the columns have exchanged their names again",
            on_return=True,
        )

    @property
    def _unguarded(self) -> tuple[Statement, ...]:
        return (sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(self.target.identifier, self._guard),)

    # ---------------------------------------------------------------- contract

    @override
    def before_contract(self, facts: Table) -> tuple[Step, ...]:
        return succession.required(self._own(facts), self._required(facts)) if self.to else ()

    @override
    def clear(self, facts: Table) -> tuple[Statement, ...]:
        if self._at_once(facts):
            return ()
        return (*moving.forget(facts, self._move), *(succession.released(self._own(facts)) if self.to else ()))

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
            *feeding.widened(self._own(facts), self.column, casts.plain(self.type)),
        )

    @override
    def before_withdrawal(self, facts: Table) -> tuple[Step, ...]:
        if self.column not in facts.heritage.former:
            return ()
        return (at_once.proof(self.target, self.column, self._former(facts), self.type),)


def _constant(column: Column | None) -> str | None:
    return column.default if column is not None and column.default_is_constant else None
