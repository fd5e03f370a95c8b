"""Set a column NOT NULL: rows without a value are given one, those too that old writers add.

Without `using`, nobody but a person can say what the value should be: expand refuses rows without one.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import Field
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.operations import constraints
from orchestrator.operations.base import ColumnField, with_column
from orchestrator.operations.repairing import Expression, Repairing
from orchestrator.sql import plpgsql
from orchestrator.sql.edits import Edits, Facts, SetNullable
from orchestrator.sql.facts import Table
from orchestrator.sql.repair import Repair
from orchestrator.sql.steps import Statement, Step
from orchestrator.words import a, kebab


class SetNotNull(Repairing):
    """A column has a value in every row, and is NOT NULL from contract on."""

    kind: Literal["set_not_null"] = "set_not_null"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    column: Annotated[ColumnField, Field(description="The column")]
    using: Annotated[Expression | None, Field(description="The value for a NULL, over the row")] = None

    example: ClassVar[str] = "books published_year --using 0"

    @property
    @override
    def summary(self) -> str:
        return f"{self.target}.{self.column} becomes NOT NULL"

    @property
    @override
    def slug(self) -> str:
        return f"require-{kebab(self.column)}"

    @property
    @override
    def repairs(self) -> Mapping[str, Expression]:
        return {} if self.using is None else {self.column: self.using}

    @property
    @override
    def broken(self) -> str:
        return f"rows without {a(self.column)}"

    @property
    @override
    def kept(self) -> str:
        return f"{self.column} is NOT NULL"

    @property
    @override
    def ending(self) -> str:
        return f"set {self.column} NOT NULL"

    @property
    @override
    def ruled(self) -> tuple[str, ...]:
        return (self.column,)

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        column = facts.column(self.column)
        done = PreconditionError(
            f"{self.target}.{self.column} is NOT NULL already",
            details=["there is nothing to do"],
            hint="where there is a plan for it, remove its file",
        )
        return (*super().problems(facts), *((done,) if column is not None and column.not_null else ()))

    @override
    def rule(self, facts: Table) -> Repair:
        return Repair(
            columns=(self.column,),
            demand=a(self.column),
            replacements=self.replacements(facts, of_null=True),
            met=self.met,
            # PostgreSQL takes this as a plain test for NULL, of a composite value too.
            violated=plpgsql.is_null(sql.Identifier(self.column)),
        )

    @override
    def hold(self, facts: Table) -> tuple[Step, ...]:
        return constraints.validated_not_null(facts, self.column)[:1]

    @override
    def before_contract(self, facts: Table) -> tuple[Step, ...]:
        return (*super().before_contract(facts), *constraints.validated_not_null(facts, self.column)[1:])

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        return (*super().contract(facts), *constraints.not_null(facts, self.column))

    @override
    def unexpanded(self, facts: Table, *, contracted: bool) -> Table:
        column = facts.column(self.column)
        return with_column(facts, column and replace(column, not_null=False))

    @override
    def edits(self, facts: Facts) -> Edits:
        return Edits(contract=(SetNullable(table=self.target, column=self.column, nullable=False),))
