"""Let a column be NULL. The catalog is all that changes, at expand; what takes care is the way back."""

from collections.abc import Mapping as Dictionary
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import Field
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.operations import constraints, dropping, keepsake, trying
from orchestrator.operations.base import ColumnField, Guide, OnTable, missing, nothing_to_fill, with_column
from orchestrator.operations.converting import Expression
from orchestrator.sql.edits import Edits, Facts, SetNullable
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.mapping import Mapping
from orchestrator.sql.steps import Statement, Step
from orchestrator.sql.sync import Ddl
from orchestrator.sql.value import Value
from orchestrator.words import a, kebab


class DropNotNull(OnTable):
    """A column may be NULL from expand on; a rollback refuses to lose what NULL was written."""

    kind: Literal["drop_not_null"] = "drop_not_null"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    column: Annotated[ColumnField, Field(description="The column that may be NULL in the end")]
    reverse: Annotated[
        Expression | None, Field(description="What a rollback puts where NULL was written, over the row")
    ] = None

    fate: ClassVar[str] = "stay as they are"
    example: ClassVar[str] = """books isbn --reverse "'unknown'\""""

    @override
    def synced(self) -> tuple[TableName, ...]:
        return ()

    @property
    @override
    def summary(self) -> str:
        return f"{self.target}.{self.column} may be NULL"

    @property
    @override
    def slug(self) -> str:
        return f"allow-null-{kebab(self.column)}"

    @property
    @override
    def beginning(self) -> str:
        return f"let {self.column} be NULL"

    @property
    @override
    def ending(self) -> str:
        return f"forget that {self.column} was NOT NULL"

    @override
    def guide(self) -> Dictionary[str, Guide]:
        back = (
            f"is refused while a row has NULL in {self.column}"
            if self.reverse is None
            else f"gives rows with NULL in {self.column} what reverse says"
        )
        copes = f"the version that copes with NULL in {self.column}, everywhere, before one writes it"
        return {
            "expand": Guide(
                about=f"From here on {self.column} may be NULL, for both versions; until contract, a rollback {back}.",
                deploy=copes,
            ),
            "backfill": nothing_to_fill(copes),
            "migrate_reads": Guide(
                about=f"Nothing changes in the database: by now every reader copes with NULL in {self.column}.",
                deploy=f"the version that writes NULL to {self.column}",
            ),
            "contract": Guide(about=f"{self.column} may be NULL for good; there is no way back.", deploy="nothing"),
        }

    @property
    @override
    def retires(self) -> bool:
        return False

    @property
    @override
    def forfeits(self) -> tuple[str, ...]:
        return () if self.reverse is None else (f"every NULL in {self.column}, which reverse replaces",)

    @override
    def claims(self) -> frozenset[tuple[str, str]]:
        return frozenset({(str(self.target), self.column)})

    @override
    def made(self) -> tuple[str, ...]:
        return ()

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        column, where = facts.column(self.column), f"{facts.name}.{self.column}"
        if column is None:
            return (missing(facts, self.column),)
        if not column.not_null:
            return (
                PreconditionError(
                    f"{where} is not NOT NULL",
                    details=["a check or a domain may still refuse NULL there, and is dropped by itself"]
                    if not column.accepts_null
                    else ["there is nothing to drop"],
                    hint="take the change out of the plan",
                ),
            )
        if (why := constraints.bound_to_not_null(facts, self.column)) is not None:
            return (
                PreconditionError(
                    f"{where} cannot be NULL: {why}",
                    details=["PostgreSQL drops NOT NULL only where nothing else needs it"],
                    hint="take that from the column first, if it is really to be NULL",
                ),
            )
        return tuple(dropping.gives_null(facts, self.column, self.reverse))

    @override
    def warnings(self, facts: Table) -> tuple[str, ...]:
        back = f"a rollback is refused as long as a row has NULL in {self.column}"
        if self.reverse is not None:
            back = f"a rollback puts {self.reverse} where {self.column} is NULL"
        return (f"from expand on old readers meet NULL in {self.column} wherever a new writer writes it", back)

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        return ()

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        return ()

    @override
    def mappings(self, facts: Table) -> tuple[Mapping, ...]:
        return ()

    @override
    def expand(self, facts: Table) -> Ddl:
        column = facts.column(self.column)
        had = keepsake.recalled(facts, self.column) or {"not_null": column.not_null_name if column else None}
        kept = keepsake.kept(facts, self.column, had)
        dropped = sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL").format(
            facts.name.identifier, sql.Identifier(self.column)
        )
        return Ddl(
            statements=(*kept.statements, dropped, *trying.understood(facts, self._values(facts), without=())),
            inverse=(*constraints.not_null_again(facts, self.column, had["not_null"]), *kept.inverse),
        )

    def _values(self, facts: Table) -> tuple[Value, ...]:
        column = facts.column(self.column)
        if column is None or self.reverse is None:
            return ()
        return (Value(column=self.column, type=column.type, expression=self.reverse),)

    @override
    def before_expand(self, facts: Table) -> tuple[Step, ...]:
        values = self._values(facts)
        return (trying.first(facts, values, kept=True),) if values else ()

    @override
    def before_withdrawal(self, facts: Table) -> tuple[Step, ...]:
        if keepsake.recalled(facts, self.column) is None:
            return ()
        remedy = f"give these rows {a(self.column)}, then roll back again"
        return constraints.refused_again(facts, self.column, remedy=remedy, reverse=self.reverse)

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        return keepsake.forgotten(facts, self.column)

    @override
    def unexpanded(self, facts: Table, *, contracted: bool) -> Table:
        column = facts.column(self.column)
        return with_column(facts, column and replace(column, not_null=True))

    @override
    def edits(self, facts: Facts) -> Edits:
        return Edits(expand=(SetNullable(table=self.target, column=self.column, nullable=True),))
