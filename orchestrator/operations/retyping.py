"""A change of a column's type: what it says, what there is of it in the catalog, and what stands in its way."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

from psycopg import sql
from pydantic import Field, model_validator
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError, PrivilegeError
from orchestrator.operations import at_once, casts, feeding
from orchestrator.operations.base import (
    ColumnField,
    Guide,
    NewColumnField,
    OnTable,
    guide_to,
    taken,
    unusable,
)
from orchestrator.sql import heritage, moving
from orchestrator.sql.facts import Column, Dependent, Table
from orchestrator.sql.heritage import Heir
from orchestrator.sql.identifiers import words
from orchestrator.sql.readers import Move
from orchestrator.words import kebab

Expression = Annotated[str, Field(min_length=1)]

_GOES_ALONG = frozenset({"index", "constraint", "statistics", "sequence", "trigger", "generated column"})
"""What hangs on a column and is handed over, or was refused before anything was touched."""

_STAYS_AT_ONCE = frozenset({"default", "NOT NULL", "index", "key", "statistics", "sequence"})
"""What a partition alone may have on a column whose type changes at once: PostgreSQL keeps it, and reads no row."""


class Retyping(OnTable):
    """What a change of type is, what there is of it, and what stands in its way."""

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
    def _really_renames(self) -> "Retyping":
        if self.column == self.to:
            raise ValueError(f"column and to are both {self.to!r}; leave `to` out, and the name stays")
        return self

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
    def writable(self) -> bool:
        return self.to is not None

    @property
    @override
    def stays(self) -> bool:
        return False

    @property
    @override
    def casts(self) -> tuple[str, str] | None:
        return (self.column, self.type) if self.using is None else None

    @property
    @override
    def gone(self) -> tuple[str, ...]:
        return (self.column,) if self.to else ()

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

    def _move_in(self, facts: Table) -> Move:
        """The same, with the old column under the name it has now."""
        here = facts.found(self.column)
        return replace(self._move, old=here, left=here) if self.to else self._move

    @override
    def moves(self, facts: Table) -> tuple[Move, ...]:
        return (self._move_in(facts),)

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
        read = read or any(each.kind not in _STAYS_AT_ONCE for each in facts.apart.get(self.column, ()))
        return trial is not None and trial.refusal is None and not (trial.rewrites or held or read) and asked

    def _former(self, facts: Table) -> str:
        """What the column's type was before it was changed at once."""
        return facts.heritage.former.get(self.column) or at_once.type_of(self._old(facts))

    @override
    def heirs(self, facts: Table) -> tuple[Heir, ...]:
        if self._is_switched(facts):
            return (Heir(column=self.column, successor=self._left),)
        type_name = None if self._is_made(facts) else self.type
        return (Heir(column=facts.found(self.column), successor=self._new, type=type_name),)

    @override
    def succeeded(self, facts: Table) -> tuple[str, ...]:
        return () if self._at_once(facts) or self._is_switched(facts) else (facts.found(self.column),)

    def _old(self, facts: Table) -> Column:
        name = self._left if self._is_switched(facts) else facts.found(self.column)
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
        return replace(facts, heritage=facts.heritage.only((facts.found(self.column),)))

    def _default_waits(self, facts: Table) -> bool:
        """Whether the default stays on the old column until that goes."""
        said = facts.heritage.attributes.get(facts.found(self.column))
        return feeding.waits(self._old(facts), said.sequence if said is not None else None)

    def _required(self, facts: Table) -> tuple[str, ...]:
        """The column, where it may not be NULL."""
        column = facts.column(facts.found(self.column))
        return (column.name,) if column is not None and column.not_null else ()

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
        remedy = f"make it again without {self._move_in(facts).left}, or drop it"
        return tuple(
            replace(each, remedy=remedy)
            for each in moving.strangers(facts, self._move_in(facts))
            if each.kind not in _GOES_ALONG
        )
