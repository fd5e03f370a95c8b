"""Add a CHECK constraint: rows that break it are repaired, those too that old writers write."""

from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import Field
from typing_extensions import override

from orchestrator.operations import constraints, rehearsing
from orchestrator.operations.repairing import Constraining, Expression
from orchestrator.sql.edits import AddCheck as Kept
from orchestrator.sql.edits import Edits, Facts
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import verbatim, words
from orchestrator.sql.repair import Repair
from orchestrator.sql.steps import Statement, Step


class AddCheck(Constraining):
    """A condition holds in every row, and is a CHECK constraint from contract on."""

    kind: Literal["add_check"] = "add_check"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    check: Annotated[Expression, Field(description="The condition, over the row")]

    example: ClassVar[str] = """orders orders_quantity_check "quantity > 0" --using "quantity = 1\""""

    @property
    @override
    def summary(self) -> str:
        return f"{self.target} gets a check {self.name}: {self.check}"

    @property
    @override
    def broken(self) -> str:
        return f"rows that break {self.check}"

    @property
    @override
    def kept(self) -> str:
        return f"{self.name} is a CHECK constraint"

    @property
    @override
    def ending(self) -> str:
        return f"leave rows to the check {self.name}"

    @property
    @override
    def ruled(self) -> tuple[str, ...]:
        return ()

    @override
    def claims(self) -> frozenset[tuple[str, str]]:
        """A column that goes or is renamed under the trigger would have it fail, so every word may be one."""
        return super().claims() | {(str(self.target), word) for word in words(self.check)}

    @override
    def rule(self, facts: Table) -> Repair:
        named = words(self.check)
        return Repair(
            columns=tuple(column.name for column in facts.columns if column.name in named),
            demand=f"{self.check} ({self.name})",
            replacements=self.replacements(facts),
            met=self.met,
            # As PostgreSQL has it: a condition that is NULL is not broken ("CREATE TABLE", CHECK).
            violated=sql.SQL("({}) IS FALSE").format(verbatim(self.check)),
            fallible=True,
            heals=True,
        )

    def _constraint(self, facts: Table) -> tuple[Step, ...]:
        condition = sql.SQL("CHECK ({})").format(verbatim(self.check))
        return constraints.validated(facts, self.name, condition, what=self.check)

    @override
    def rehearsed(self, facts: Table) -> tuple[Statement, ...]:
        return (*rehearsing.copy(facts), rehearsing.check(facts, self.check))

    @override
    def hold(self, facts: Table) -> tuple[Step, ...]:
        return self._constraint(facts)[:1]

    @override
    def before_contract(self, facts: Table) -> tuple[Step, ...]:
        return (*super().before_contract(facts), *self._constraint(facts)[1:])

    @override
    def edits(self, facts: Facts) -> Edits:
        return Edits(contract=(Kept(table=self.target, name=self.name, condition=self.check),))
