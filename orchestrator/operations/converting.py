"""What kinds share whose new columns are made of old ones by expressions, and whose old ones go in the end."""

import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

from psycopg import sql
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.operations import constraints, dropping, foreseeing, rehearsing, trying
from orchestrator.operations.base import (
    Guide,
    NewColumnField,
    OnTable,
    begun_with,
    guide_to,
    taken,
    unusable,
)
from orchestrator.sql.conversion import Conversion
from orchestrator.sql.edits import AddColumn, DropColumn, Edits, Facts, SetNullable
from orchestrator.sql.facts import Column, Dependent, Table
from orchestrator.sql.identifiers import TableName, verbatim, words
from orchestrator.sql.steps import Proof, Statement, Step
from orchestrator.sql.sync import Ddl
from orchestrator.sql.value import Value
from orchestrator.words import listed

Expression = Annotated[str, Field(min_length=1)]
"""A SQL expression over the row's columns, which gives the same value whenever it is asked."""

_IN_SHORT = re.compile(
    r"(?P<column>\w+)\s+(?P<type>[^=]+?)(?P<not_null>\s+not\s+null)?\s*=\s*(?P<using>.+)", re.IGNORECASE | re.DOTALL
)


class MadeColumn(BaseModel):
    """A column that is made of others."""

    said: ClassVar[str] = "COLUMN TYPE [not null] = EXPRESSION"
    """How it is given in short."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: Annotated[NewColumnField, Field(description="Its name")]
    type: Annotated[str, Field(min_length=1, description="Its type")]
    using: Annotated[Expression, Field(description="Its value, over the old columns")]
    not_null: Annotated[bool, Field(description="Whether it is NOT NULL in the end")] = False

    @classmethod
    def in_short(cls, text: str) -> dict[str, object] | None:
        """Return the fields of what is given in short, `first_name text = split_part(full_name, ' ', 1)`, or None."""
        found = _IN_SHORT.fullmatch(text.strip())
        return found and {**found.groupdict(), "not_null": found["not_null"] is not None}


class Converting(OnTable):
    """A change from old columns to new ones, whose values follow from one another by expressions."""

    one_way: Annotated[
        bool, Field(description="Accept that old readers do not see, and a rollback loses, what new writers write")
    ] = False

    standing: ClassVar[str] = "stands on a column that contract drops"
    fate: ClassVar[str] = "go with the old column"

    @property
    @abstractmethod
    def sources(self) -> tuple[str, ...]:
        """The old columns, which contract drops."""

    @property
    @abstractmethod
    def results(self) -> tuple[MadeColumn, ...]:
        """The new columns."""

    @abstractmethod
    def back(self, column: str) -> Expression | None:
        """An old column's value, over the new ones; None where there is no way back."""

    def _refuse_silent_loss(self) -> None:
        """Make sure that whoever gives no way back knows what that means.

        Raises:
            ValueError: for a validator to pass on.
        """
        missing = [column for column in self.sources if self.back(column) is None]
        if missing and not self.one_way:
            raise ValueError(
                f"reverse does not say what {' and '.join(missing)} is in rows that new writers write: old readers"
                " would not see it, and a rollback would lose it; give reverse, or accept that with one_way: true"
            )
        if not missing and self.one_way:
            raise ValueError("one_way: true says that there is no way back, and reverse gives one; leave one out")

    @property
    @override
    def ending(self) -> str:
        return f"drop {listed(self.sources)}"

    @override
    def guide(self) -> Mapping[str, Guide]:
        old, new = listed(self.sources), listed(self.made())
        appear = "appears" if len(self.made()) == 1 else "appear"
        return guide_to(
            old=old,
            new=new,
            expand=f"{new} {appear} beside {old}; what is written to one side is written to the other."
            if not self.one_way
            else f"{new} {appear} beside {old}; old readers do not see what new writers write (one_way).",
            ending=f"{old} {'goes' if len(self.sources) == 1 else 'go'}, with indexes and constraints on that side.",
        )

    @override
    def suggested_check(self) -> tuple[str, str] | None:
        """Find rows whose new side is all NULL while the old is not: an expression that does not know some value."""
        old = sql.SQL(" OR ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(name)) for name in self.sources)
        new = sql.SQL(" AND ").join(sql.SQL("{} IS NULL").format(sql.Identifier(name)) for name in self.made())
        query = sql.SQL("SELECT count(*) FROM {} WHERE ({}) AND {}").format(self.target.identifier, old, new)
        return f"{listed(self.made())} known in every row", query.as_string(None)

    @property
    @override
    def forfeits(self) -> tuple[str, ...]:
        return (f"what new writers wrote to {listed(self.made())} (one_way)",) if self.one_way else ()

    @property
    @override
    def writable(self) -> bool:
        return True

    @property
    @override
    def gone(self) -> tuple[str, ...]:
        return self.sources

    @override
    def claims(self) -> frozenset[tuple[str, str]]:
        return frozenset((str(self.target), column) for column in (*self.sources, *self.made()))

    @override
    def mentions(self) -> frozenset[tuple[str, str]]:
        ways_back = (way for way in map(self.back, self.sources) if way is not None)
        found = words(*(result.using for result in self.results), *ways_back)
        return frozenset((str(self.target), word) for word in found)

    @override
    def made(self) -> tuple[str, ...]:
        return tuple(result.column for result in self.results)

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        return (
            *(error for name in self.made() for error in taken(facts, name)),
            *(error for name in self.sources for error in unusable(facts, name)),
            *self._never_given(facts),
            *dropping.named_by_triggers(facts, self.sources),
        )

    def _never_given(self, facts: Table) -> Iterable[EcmError]:
        for name in self.sources:
            column = facts.column(name)
            if column and column.identity:
                yield PreconditionError(
                    f"{facts.name}.{name} is an identity column",
                    details=["its values come from a sequence, so they follow from nothing that a writer gives"],
                    hint="drop the identity first, if the column is really to go",
                )
            yield from dropping.never_given(facts, name, reverse=self.back(name))

    @override
    def warnings(self, facts: Table) -> tuple[str, ...]:
        lost = f"what new writers write to {', '.join(self.made())} is not seen by old readers, and lost by a rollback"
        held = [column.name for column in map(facts.column, self.sources) if column and column.not_null]
        free = [result.column for result in self.results if not result.not_null]
        granted = [column.name for column in map(facts.column, self.sources) if column and column.grants]
        return (
            *((lost,) if self.one_way else ()),
            *(
                (f"NOT NULL of {listed(held)} is not carried to {listed(free)}: say not_null of each that has to be",)
                if held and free
                else ()
            ),
            *(
                f"{name} has grants of its own; {', '.join(self.made())} have those of the table only"
                for name in granted
            ),
        )

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        return dropping.unfollowed(facts, self.sources)

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        return dropping.standing_on(facts, self.sources)

    @override
    def mappings(self, facts: Table) -> tuple[Conversion, ...]:
        made = tuple(Column.plain(result.column, result.type) for result in self.results)
        both = replace(facts, columns=(*facts.columns, *(each for each in made if facts.column(each.name) is None)))
        return (
            Conversion(
                old=tuple(
                    trying.attempting(
                        both,
                        Value(
                            column=name,
                            type=column.type,
                            expression=self.back(name),
                            default=column.constant_default,
                            default_varies=column.default_varies,
                        ),
                        without=self.sources,
                    )
                    for name in self.sources
                    for column in [begun_with(facts, name)]
                ),
                new=tuple(
                    trying.attempting(
                        both,
                        Value(
                            column=result.column,
                            type=result.type,
                            expression=result.using,
                            default=column.constant_default if column else None,
                            not_null=result.not_null,
                        ),
                        without=self.made(),
                    )
                    for result in self.results
                    for column in [facts.column(result.column)]
                ),
            ),
        )

    @override
    def expand(self, facts: Table) -> Ddl:
        table = self.target.identifier
        (mapping,) = self.mappings(facts)
        there = {column.name for column in facts.columns}
        made = tuple(Column.plain(result.column, result.type) for result in self.results if result.column not in there)
        both = replace(facts, columns=(*facts.columns, *made))
        checks = (
            *trying.understood(both, mapping.new, without=self.made()),
            *trying.understood(both, mapping.old, without=self.sources),
        )
        return Ddl(
            statements=(
                *(
                    sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                        table, sql.Identifier(result.column), verbatim(result.type)
                    )
                    for result in self.results
                ),
                *checks,
                *(statement for value in mapping.attempts for statement in value.attempted),
            ),
            inverse=(
                *(statement for value in mapping.attempts for statement in value.abandoned),
                *(
                    sql.SQL("ALTER TABLE {} DROP COLUMN IF EXISTS {}").format(table, sql.Identifier(name))
                    for name in reversed(self.made())
                ),
            ),
        )

    @override
    def before_expand(self, facts: Table) -> tuple[Step, ...]:
        (mapping,) = self.mappings(facts)
        return (trying.first(facts, mapping.new, back=mapping.old, gone=self.sources),)

    @override
    def foreseen(self, facts: Table) -> tuple[Proof, ...]:
        (mapping,) = self.mappings(facts)
        return foreseeing.not_null(facts, mapping.new)

    @override
    def rehearsed(self, facts: Table) -> tuple[Statement, ...]:
        (mapping,) = self.mappings(facts)
        return (
            *rehearsing.copy(facts, mapping.new),
            *rehearsing.assigned(facts, mapping.new, without=self.made()),
        )

    @override
    def before_contract(self, facts: Table) -> tuple[Step, ...]:
        return tuple(step for name in self._required for step in constraints.validated_not_null(facts, name))

    @override
    def hidden(self, table: TableName) -> tuple[tuple[str, str], ...]:
        return dropping.hidden(self.sources)

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        (mapping,) = self.mappings(facts)
        return (
            *(statement for value in mapping.attempts for statement in value.abandoned),
            *(statement for name in self._required for statement in constraints.not_null(facts, name)),
            *dropping.statements(facts, self.sources),
        )

    @override
    def edits(self, facts: Facts) -> Edits:
        return Edits(
            expand=tuple(AddColumn(table=self.target, column=each.column, type=each.type) for each in self.results),
            contract=(
                *(DropColumn(table=self.target, column=each) for each in self.sources),
                *(SetNullable(table=self.target, column=each, nullable=False) for each in self._required),
            ),
        )

    @property
    def _required(self) -> tuple[str, ...]:
        return tuple(result.column for result in self.results if result.not_null)
