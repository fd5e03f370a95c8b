"""Move a column to another table, whose rows go with the first one's by equal columns."""

from collections.abc import Iterable
from collections.abc import Mapping as Dictionary
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.operations import constraints, dropping
from orchestrator.operations.base import (
    ColumnField,
    Guide,
    NewColumnField,
    OnTable,
    TableField,
    begun_with,
    described,
    guide_to,
    taken,
    unusable,
)
from orchestrator.operations.converting import Expression
from orchestrator.operations.sides import Sides
from orchestrator.sql.across import Side
from orchestrator.sql.edits import AddColumn, DropColumn, Edits, Facts, SetNullable
from orchestrator.sql.facts import Dependent, Index, Table
from orchestrator.sql.identifiers import TableName, verbatim, words
from orchestrator.sql.moved import MovedAway, MovedHere
from orchestrator.sql.steps import Statement, Step
from orchestrator.sql.sync import Ddl
from orchestrator.words import did_you_mean, kebab, listed


class Destination(BaseModel):
    """Where a column goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: Annotated[TableField, Field(description="The other table")]
    column: Annotated[NewColumnField, Field(description="The column's name there")]

    @property
    def target(self) -> TableName:
        """The other table."""
        return TableName.parse(self.table)


class MoveColumn(OnTable):
    """A column moves to another table; both versions see each other's writes until contract.

    Each table has one row at most for each row of the other, so that the value has one place.

    A row that is deleted takes no value with it: what it had stays on the other side.
    """

    kind: Literal["move_column"] = "move_column"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    column: Annotated[ColumnField, Field(description="The column that moves")]
    to: Annotated[Destination, Field(description="Where it goes: {table: …, column: …}")]
    on: Annotated[
        dict[ColumnField, ColumnField],
        Field(min_length=1, description="Which rows go together: {column of table: column of the other}"),
    ]
    reverse: Annotated[
        Expression | None,
        Field(description="What both are, over the table's row, where a new writer gives none and the old is NOT NULL"),
    ] = None
    not_null: Annotated[bool, Field(description="Whether it is NOT NULL in the end")] = False
    unmatched: Annotated[
        Literal["refuse", "lose"],
        Field(
            description="What becomes of values in rows without one in the other table: refuse to drop them, or lose"
        ),
    ] = "refuse"

    standing: ClassVar[str] = "stands on a column that contract drops"
    fate: ClassVar[str] = "go with the old column"
    example: ClassVar[str] = "users bio --to '{table: profiles, column: bio}' --on 'id = user_id'"

    @override
    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @model_validator(mode="after")
    def _of_two_tables(self) -> "MoveColumn":
        if self.to.target == self.target:
            raise ValueError(f"to.table is {self.target} itself; to rename a column, say kind: rename_column")
        if self.column in self.on:
            raise ValueError(f"on names {self.column}, the column that moves: rows cannot go together by it")
        if self.to.column in self.on.values():
            raise ValueError(f"on names {self.to.column} of {self.to.target}, which is yet to be made")
        if len(set(self.on.values())) < len(self.on):
            raise ValueError("on names a column of the other table twice")
        return self

    @property
    def _source(self) -> Side:
        return Side(table=self.target, column=self.column, keys=tuple(self.on))

    @property
    def _other(self) -> Side:
        return Side(table=self.to.target, column=self.to.column, keys=tuple(self.on.values()))

    @override
    def tables(self) -> tuple[TableName, ...]:
        return (self.target, self.to.target)

    @property
    @override
    def summary(self) -> str:
        return f"{self.target}.{self.column} moves to {self.to.target}.{self.to.column}"

    @property
    @override
    def slug(self) -> str:
        return f"move-{kebab(self.column)}"

    @property
    @override
    def ending(self) -> str:
        return f"drop {self.target}.{self.column}"

    @override
    def guide(self) -> Dictionary[str, Guide]:
        old, new = f"{self.target}.{self.column}", f"{self.to.target}.{self.to.column}"
        pairs = listed([f"{one} equals {other}" for one, other in self.on.items()])
        alone = (
            f"a value of {old} without a row in {self.to.target} stops the plan here"
            if self.unmatched == "refuse"
            else f"values of {old} without a row in {self.to.target} stay behind, and are lost at contract"
        )
        return {
            **guide_to(
                old=old,
                new=new,
                expand=f"{new} appears; what is written to one side is written to the other, where {pairs}.",
                ending=f"{old} goes, with indexes and constraints on it.",
            ),
            "migrate_reads": Guide(
                about=f"Every row is proven again: {alone}. Both sides are kept in step until contract.",
                deploy=f"the version that reads and writes {new}, everywhere",
            ),
        }

    @override
    def sides(self, facts: Table) -> Sides:
        return Sides.BOTH

    @property
    @override
    def gone(self) -> tuple[str, ...]:
        return (self.column,)

    @override
    def claims(self) -> frozenset[tuple[str, str]]:
        return frozenset({(str(self.target), self.column), (str(self.to.target), self.to.column)})

    @override
    def mentions(self) -> frozenset[tuple[str, str]]:
        source = (*self.on, *words(self.reverse or ""))
        return frozenset(
            (
                *((str(self.target), name) for name in source),
                *((str(self.to.target), name) for name in (*self.on.values(), *words(self.reverse or ""))),
            )
        )

    @override
    def made(self) -> tuple[str, ...]:
        return (self.to.column,)

    # ------------------------------------------------------------ what stands in the way

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        side = self._source if facts.name == self.target else self._other
        keys = (error for name in side.keys for error in _unusable_key(facts, name))
        found = self._of_source(facts) if facts.name == self.target else self._of_other(facts)
        return (*keys, *found)

    def _of_source(self, facts: Table) -> Iterable[EcmError]:
        column, where = facts.column(self.column), f"{self.target}.{self.column}"
        yield from unusable(facts, self.column)
        if not any(_finds(index, self._source.keys) for index in facts.indexes):
            yield _no_index(self._source, facts)
        elif not _tells_apart(facts, self._source.keys):
            yield PreconditionError(
                f"several rows of {facts.name} may go with one of {self.to.target}",
                details=["writers of two of them at a time could leave them with different values for one place"],
                hint=f"CREATE UNIQUE INDEX CONCURRENTLY ON {_spelled(facts.name, self._source.keys)}",
            )
        yield from dropping.named_by_triggers(facts, (self.column,))
        if column is None:
            return
        if column.identity or (column.default is not None and not column.default_is_constant):
            yield PreconditionError(
                f"{where} has a default that is not the same for every row",
                details=["a row that a new writer adds would bring a value of its own, and put it on the other table"],
                hint="drop the default first",
            )
        if column.type != column.plain_type:
            yield PreconditionError(
                f"the type of {where} is domain {column.type}",
                details=["a column of a domain cannot be added without rewriting the table"],
                hint="change the column to the type beneath it first",
            )
        if column.not_null and self.reverse is None:
            yield PreconditionError(
                f"{where} is NOT NULL, and new writers may give nothing",
                details=["a row that they add before the one of the other table, or a NULL there, would be refused"],
                hint="give reverse in the plan: the value that both have then",
            )

    def _of_other(self, facts: Table) -> Iterable[EcmError]:
        yield from taken(facts, self.to.column)
        keys = self._other.keys
        if not _tells_apart(facts, keys):
            yield PreconditionError(
                f"several rows of {facts.name} may have the same {listed(keys)}",
                details=["they could differ in the new column, of which a row of the old table has only one value"],
                hint=f"CREATE UNIQUE INDEX CONCURRENTLY ON {_spelled(facts.name, keys)}",
            )

    @override
    def warnings(self, facts: Table) -> tuple[str, ...]:
        if facts.name != self.target:
            return ()
        column = facts.column(self.column)
        there, here = f"{self.to.target}.{self.to.column}", f"{self.target}.{self.column}"
        alone = (
            f"values of {here} without a row in {self.to.target} are lost at contract, and values of {there} without"
            f" a row in {self.target} by a rollback"
            if self.unmatched == "lose"
            else f"values of {here} without a row in {self.to.target} are named before readers move, and values of"
            f" {there} without a row in {self.target} before a rollback: nothing is dropped while there are any"
        )
        locks = (
            "a write to either column waits for writers of the row in the other table, and may be refused under"
            " REPEATABLE READ; a row that is deleted leaves the value on the other side"
        )
        return (
            alone,
            locks,
            *(
                (f"{here} has grants of its own; {there} has those of its table only",)
                if column is not None and column.grants
                else ()
            ),
        )

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        named = facts.untracked.get(self.column, ()) if facts.name == self.target else ()
        return (*named, *self.standing_on(facts))

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        return dropping.standing_on(facts, (self.column,)) if facts.name == self.target else ()

    # ------------------------------------------------------------ what is done

    @override
    def mappings(self, facts: Table) -> tuple[MovedAway | MovedHere, ...]:
        source, other, reverse, keeps = self._source, self._other, self.reverse, self.unmatched == "refuse"
        if facts.name != self.target:
            return (
                MovedHere(source=source, other=other, reverse=reverse, keeps_unmatched=keeps, not_null=self.not_null),
            )
        column = begun_with(facts, self.column)
        default = column.default if column.default_is_constant else None
        return (
            MovedAway(
                source=source, other=other, reverse=reverse, keeps_unmatched=keeps, type=column.type, default=default
            ),
        )

    @override
    def expand(self, facts: Table) -> Ddl:
        """Add the column, of the type of the old one; so all of it is done where that one's table is looked at."""
        if facts.name != self.target:
            return Ddl(statements=(), inverse=())
        column, other, new = begun_with(facts, self.column), self.to.target.identifier, sql.Identifier(self.to.column)
        collation = sql.SQL(" COLLATE {}").format(verbatim(column.collation)) if column.collation else sql.SQL("")
        here = self.mappings(facts)[0]
        there = MovedHere(source=self._source, other=self._other, reverse=self.reverse)
        understood = [
            sql.SQL("EXPLAIN SELECT FROM ONLY {} WHERE {}").format(here.source.table.identifier, here.mismatch),
            sql.SQL("EXPLAIN SELECT FROM ONLY {} WHERE {}").format(other, there.mismatch),
        ]
        if self.reverse is not None:
            understood.append(
                sql.SQL("EXPLAIN UPDATE {} SET {} = ({})").format(
                    self.target.identifier, sql.Identifier(self.column), verbatim(self.reverse)
                )
            )
        return Ddl(
            statements=(
                sql.SQL("ALTER TABLE {} ADD COLUMN {} {}{}").format(other, new, verbatim(column.type), collation),
                *here.debts.create,
                *understood,
            ),
            inverse=(
                *here.debts.pay(self._source, self._other),
                here.debts.drop,
                sql.SQL("ALTER TABLE {} DROP COLUMN IF EXISTS {}").format(other, new),
            ),
        )

    @override
    def before_contract(self, facts: Table) -> tuple[Step, ...]:
        if not self.not_null or facts.name == self.target:
            return ()
        return constraints.validated_not_null(facts, self.to.column)

    @override
    def hidden(self, table: TableName) -> tuple[tuple[str, str], ...]:
        return dropping.hidden((self.column,)) if table == self.target else ()

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        if facts.name != self.target:
            return constraints.not_null(facts, self.to.column) if self.not_null else ()
        return (self.mappings(facts)[0].debts.drop, *dropping.statements(facts, (self.column,)))

    @override
    def edits(self, facts: Facts) -> Edits:
        there, column = self.to, described(facts, self.target, self.column)
        required = SetNullable(table=there.target, column=there.column, nullable=False)
        return Edits(
            expand=(AddColumn(table=there.target, column=there.column, type=column.type, collation=column.collation),)
            if column
            else None,
            contract=(
                DropColumn(table=self.target, column=self.column),
                *((required,) if self.not_null else ()),
            ),
        )


def _tells_apart(facts: Table, keys: tuple[str, ...]) -> bool:
    """Whether no two rows of a table have the same keys."""
    return any(index.unique and index.valid and index.keys and set(index.keys) <= set(keys) for index in facts.indexes)


def _finds(index: Index, keys: tuple[str, ...]) -> bool:
    """Whether rows are found by the index from their keys, in whatever order these stand in it."""
    leading = index.keys[: len(keys)]
    return index.valid and bool(leading) and set(leading) <= set(keys) and (index.unique or len(leading) == len(keys))


def _no_index(side: Side, facts: Table) -> PreconditionError:
    return PreconditionError(
        f"no index of {facts.name} finds its rows by {listed(side.keys)}",
        details=["each write to the other table looks for them, and would read the whole table"],
        hint=f"CREATE INDEX CONCURRENTLY ON {_spelled(facts.name, side.keys)}",
    )


def _spelled(table: TableName, keys: tuple[str, ...]) -> str:
    names = sql.SQL(", ").join(map(sql.Identifier, keys))
    return sql.SQL("{} ({})").format(table.identifier, names).as_string(None)


def _unusable_key(facts: Table, name: str) -> Iterable[EcmError]:
    column = facts.column(name)
    if column is None:
        yield PreconditionError(
            f"column {name} of {facts.name} does not exist",
            details=[did_you_mean(name, (column.name for column in facts.columns))],
            hint="correct `on` in the plan",
        )
        return
    if column.generated:
        yield PreconditionError(
            f"{facts.name}.{name} is a generated column, and a BEFORE trigger does not know its value yet",
            hint="give in `on` the columns that it is made of",
        )
    if "." in column.plain_type:
        yield PreconditionError(
            f"the type of {facts.name}.{name}, {column.plain_type}, is not PostgreSQL's own",
            details=["what equals what is looked up with the rights of the tables' owner, in pg_catalog alone"],
            hint="let the rows go together by other columns",
        )
