"""Drop a column once nobody uses it, with a time before in which new writers leave it out and old ones do not."""

from collections.abc import Mapping as Dictionary
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import Field
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.operations import constraints, dropping, keepsake, trying
from orchestrator.operations.base import (
    ColumnField,
    Guide,
    OnTable,
    described,
    missing,
    never_null,
    nothing_to_fill,
    with_column,
)
from orchestrator.operations.converting import Expression
from orchestrator.sql import plpgsql
from orchestrator.sql.edits import DropColumn as Dropped
from orchestrator.sql.edits import Edit, Edits, Facts, SetNullable
from orchestrator.sql.facts import Column, Dependent, Table
from orchestrator.sql.filling import Standin
from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.mapping import Mapping, Reliance, giving
from orchestrator.sql.steps import Statement, Step
from orchestrator.sql.sync import Ddl
from orchestrator.sql.value import Value
from orchestrator.words import a, kebab


class DropColumn(OnTable):
    """A column goes at contract; from expand on, new writers need not give it."""

    kind: Literal["drop_column"] = "drop_column"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    column: Annotated[ColumnField, Field(description="The column that goes at contract")]
    reverse: Annotated[
        Expression | None, Field(description="What old readers see in rows that new writers add, over the row")
    ] = None

    standing: ClassVar[str] = "stands on a column that contract drops"
    fate: ClassVar[str] = "go with the column"
    example: ClassVar[str] = """books legacy_code --reverse "'none'\""""

    @override
    def synced(self) -> tuple[TableName, ...]:
        return () if self.reverse is None else (self.target,)

    @property
    @override
    def summary(self) -> str:
        return f"{self.target} loses its column {self.column}"

    @property
    @override
    def slug(self) -> str:
        return f"drop-{kebab(self.column)}"

    @property
    @override
    def beginning(self) -> str:
        return f"let {self.column} be left out"

    @property
    @override
    def ending(self) -> str:
        return f"drop {self.column}"

    @override
    def guide(self) -> Dictionary[str, Guide]:
        shown = "its default, or NULL" if self.reverse is None else "what reverse gives"
        unused = f"the version that neither reads nor writes {self.column}"
        return {
            "expand": Guide(
                about=f"In a row that is added without {self.column}, old readers see {shown}.",
                deploy=f"{unused} may be deployed from here on, beside the old one",
            ),
            "backfill": nothing_to_fill(
                f"{unused} may be deployed, beside the old one",
                f"There is nothing to fill: rows from before have their {self.column}.",
            ),
            "migrate_reads": Guide(
                about=f"{self.column} is still there for the old version.", deploy=f"{unused}, everywhere"
            ),
            "contract": Guide(
                about=f"{self.column} goes, with its indexes and constraints.",
                deploy=f"nothing; a version that uses {self.column} must be gone everywhere",
            ),
        }

    @override
    def fills(self) -> bool:
        return False

    @override
    def claims(self) -> frozenset[tuple[str, str]]:
        return frozenset({(str(self.target), self.column)})

    @override
    def made(self) -> tuple[str, ...]:
        return ()

    @property
    @override
    def gone(self) -> tuple[str, ...]:
        return (self.column,)

    @override
    def reliances(self, facts: Table) -> tuple[Reliance, ...]:
        """Without `reverse` no trigger keeps anything in step, and writers are told all the same."""
        column = facts.column(self.column)
        if self.reverse is not None or column is None or column.generated or column.identity:
            return super().reliances(facts)
        given = plpgsql.given(plpgsql.new(self.column), column.constant_default, column.type)
        if column.default_varies:
            return (giving((self.column,), beyond=f"an INSERT that gives {self.column}, whose default varies"),)
        return (giving((self.column,), inserted=given),)

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        column = facts.column(self.column)
        if column is None:
            return (missing(facts, self.column),)
        return (
            *self._unfit(facts, column),
            *dropping.never_given(facts, self.column, reverse=self.reverse),
            *dropping.named_by_triggers(facts, (self.column,)),
        )

    def _unfit(self, facts: Table, column: Column) -> tuple[EcmError, ...]:
        where = f"{facts.name}.{self.column}"
        found: list[EcmError] = []
        if column.partition_key:
            found.append(
                PreconditionError(
                    f"{where} is part of the partition key",
                    details=["PostgreSQL does not drop a column by which rows are put into partitions"],
                    hint="make a table that is partitioned otherwise, and move the rows there",
                )
            )
        found += never_null(where, column, why="new writers leave it out")
        if self.reverse is not None and (own := self._given_by_itself(column)):
            found.append(
                PreconditionError(
                    f"{where} is {own}, and reverse would never be asked",
                    details=["a row that is added without it has its value from there, and old readers see that"],
                    hint="leave reverse out of the plan",
                )
            )
        return tuple(found)

    def _given_by_itself(self, column: Column) -> str | None:
        if column.generated:
            return "a generated column"
        if column.identity:
            return "an identity column"
        if column.default is not None and column.type != column.plain_type:
            return f"of domain {column.type} with a default"
        return None

    @override
    def warnings(self, facts: Table) -> tuple[str, ...]:
        column = facts.column(self.column)
        if column is None:
            return ()
        if self.reverse is not None:
            default = f"; until contract, it stands in for DEFAULT {column.default}" if column.default else ""
            return (
                f"NULL in {self.column} of a row that is added is taken for not given, and reverse put there{default}",
            )
        if column.generated or column.identity:
            return ()
        return (f"old readers see {column.default or 'NULL'} in {self.column} of rows that new writers add",)

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        return dropping.unfollowed(facts, (self.column,))

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        return dropping.standing_on(facts, (self.column,))

    @override
    def mappings(self, facts: Table) -> tuple[Mapping, ...]:
        return (Standin(old=self._value(facts)),) if self.reverse is not None else ()

    def _value(self, facts: Table) -> Value:
        column = facts.column(self.column)
        if column is None:
            raise missing(facts, self.column)
        had = self._had(facts)
        return Value(
            column=self.column, type=column.type, expression=self.reverse, not_null=column.not_null or "not_null" in had
        )

    def _had(self, facts: Table) -> dict[str, str | None]:
        """Return what expand takes from the column and a rollback gives back: of before expand, or as it was kept."""
        if (remembered := keepsake.recalled(facts, self.column)) is not None:
            return remembered
        column = facts.column(self.column)
        had: dict[str, str | None] = {}
        if column and column.not_null and constraints.bound_to_not_null(facts, self.column) is None:
            had["not_null"] = column.not_null_name
        if column and column.default is not None:
            had["default"] = column.default
        return had

    @override
    def before_expand(self, facts: Table) -> tuple[Step, ...]:
        return (trying.first(facts, (self._value(facts),), kept=True),) if self.reverse is not None else ()

    @override
    def expand(self, facts: Table) -> Ddl:
        if self.reverse is None:
            return Ddl(statements=(), inverse=())
        had = self._had(facts)
        altered = sql.SQL("ALTER TABLE {} ALTER COLUMN {} ").format(facts.name.identifier, sql.Identifier(self.column))
        kept = keepsake.kept(facts, self.column, had) if had else Ddl(statements=(), inverse=())
        statements: list[Statement] = [*kept.statements]
        inverse: list[Statement] = []
        if "not_null" in had:
            # A row for which reverse gives NULL is not refused.
            statements.append(sql.SQL("{}DROP NOT NULL").format(altered))
            inverse += constraints.not_null_again(facts, self.column, had["not_null"])
        if "default" in had:
            # Or nothing would tell a row that was added without the column from one that was given this value.
            statements.append(sql.SQL("{}DROP DEFAULT").format(altered))
            inverse.append(sql.SQL("{}SET DEFAULT {}").format(altered, verbatim(had["default"] or "NULL")))
        return Ddl(
            statements=(
                *statements,
                *trying.understood(facts, (self._value(facts),), without=(self.column,)),
            ),
            inverse=(*inverse, *kept.inverse),
        )

    @override
    def before_withdrawal(self, facts: Table) -> tuple[Step, ...]:
        had = keepsake.recalled(facts, self.column) or {}
        if "not_null" not in had:
            return ()
        remedy = f"reverse gives NULL there: give these rows {a(self.column)}, then roll back again"
        return constraints.refused_again(facts, self.column, remedy=remedy)

    @override
    def unexpanded(self, facts: Table, *, contracted: bool) -> Table:
        column, had = facts.column(self.column), self._had(facts)
        not_null = column is not None and (column.not_null or "not_null" in had)
        return with_column(facts, column and replace(column, not_null=not_null, default=had.get("default")))

    @override
    def hidden(self, table: TableName) -> tuple[tuple[str, str], ...]:
        return dropping.hidden((self.column,))

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        return dropping.statements(facts, (self.column,))

    @override
    def edits(self, facts: Facts) -> Edits:
        column = described(facts, self.target, self.column)
        begun: tuple[Edit, ...] | None = () if column or self.reverse is None else None
        if column and "not_null" in self._had(facts[self.target]):
            begun = (SetNullable(table=self.target, column=self.column, nullable=True),) if self.reverse else ()
        return Edits(expand=begun, contract=(Dropped(table=self.target, column=self.column),))
