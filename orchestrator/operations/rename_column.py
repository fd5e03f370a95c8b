"""Give a column another name.

The original column is kept. The new name is a scaffolding column while both versions run; contract
drops the scaffolding and renames the original. PostgreSQL binds indexes, constraints, foreign keys,
views, policies, generated columns, grants, comments and publications by column number, so all of
them follow by themselves, and the end schema is that of a plain RENAME COLUMN.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import Field, model_validator
from typing_extensions import override

from orchestrator.errors import EcmError
from orchestrator.operations import dropping, saying
from orchestrator.operations.base import (
    ColumnField,
    Guide,
    NewColumnField,
    OnTable,
    begun_with,
    described,
    guide_to,
    taken,
    unusable,
)
from orchestrator.sql import identifiers
from orchestrator.sql.edits import AddColumn, DropColumn, Edits, Facts
from orchestrator.sql.edits import RenameColumn as Renamed
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.mapping import Copy
from orchestrator.sql.steps import Statement
from orchestrator.sql.sync import Ddl
from orchestrator.words import kebab


class RenameColumn(OnTable):
    """A column gets another name; both names work until contract."""

    kind: Literal["rename_column"] = "rename_column"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    column: Annotated[ColumnField, Field(description="The column's name now")]
    to: Annotated[NewColumnField, Field(description="The column's name in the end")]

    @model_validator(mode="after")
    def _really_renames(self) -> "RenameColumn":
        if self.column == self.to:
            raise ValueError(f"column and to are both {self.to!r}; there is nothing to rename")
        return self

    goes_along: ClassVar[str] = "contract drops that column and renames the original, and this would go with it"

    @property
    @override
    def summary(self) -> str:
        return f"{self.target}.{self.column} becomes {self.to}"

    @property
    @override
    def slug(self) -> str:
        return f"rename-{kebab(self.column)}"

    fate: ClassVar[str] = "follow by themselves"
    example: ClassVar[str] = "books published_year publication_year"

    @property
    @override
    def ending(self) -> str:
        return f"rename {self.column} to {self.to}"

    @override
    def guide(self) -> Mapping[str, Guide]:
        return guide_to(
            old=self.column,
            new=self.to,
            expand=f"{self.to} appears beside {self.column}; a write through either name shows under both.",
            ending=f"The name {self.column} goes; the column itself stays, and is called {self.to}.",
        )

    @property
    @override
    def writable(self) -> bool:
        return True

    @override
    def claims(self) -> frozenset[tuple[str, str]]:
        table = str(self.target)
        return frozenset({(table, self.column), (table, self.to)})

    @override
    def made(self) -> tuple[str, ...]:
        return (self.to,)

    @override
    def renames(self) -> tuple[tuple[str, str], ...]:
        return ((self.column, self.to),)

    @property
    @override
    def gone(self) -> tuple[str, ...]:
        return (self.column,)

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        found = unusable(facts, self.column)
        return found if facts.column(self.column) is None else (*taken(facts, self.to), *found)

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        return facts.untracked.get(self.column, ())

    @override
    def mappings(self, facts: Table) -> tuple[Copy, ...]:
        column = begun_with(facts, self.column)
        # The default that counts is the one the new column has, whatever has become of the old one's since.
        given = facts.column(self.to) or column
        return (
            Copy(
                old=self.column,
                new=self.to,
                type=column.plain_type,
                default=given.constant_default,
                old_default=column.constant_default,
                old_varies=column.default_varies,
                cast=column.type != column.plain_type,
            ),
        )

    @override
    def expand(self, facts: Table) -> Ddl:
        column, table, new = begun_with(facts, self.column), self.target.identifier, sql.Identifier(self.to)
        (mapping,) = self.mappings(facts)
        added = sql.SQL("ALTER TABLE {} ADD COLUMN {} {}{}").format(
            table,
            new,
            verbatim(column.plain_type),
            verbatim(f" COLLATE {column.collation}" if column.collation else ""),
        )
        statements: list[Statement] = [added]
        if mapping.default is not None:
            # Apart from ADD COLUMN, which would show the default in every row that is there already.
            statements.append(
                sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {}").format(table, new, mapping.default_value)
            )
        statements += saying.granted(table, self.to, column.grants)
        # Who reads a partition directly needs what he has there; that of the table does not count then.
        for partition, grants in facts.partition_grants.items():
            statements += saying.granted(partition.identifier, self.to, grants.get(self.column, ()))
        return Ddl(
            statements=tuple(statements),
            inverse=(sql.SQL("ALTER TABLE {} DROP COLUMN IF EXISTS {}").format(table, new),),
        )

    @override
    def expanded(self, facts: Table) -> Table:
        if facts.column(self.to):
            return facts
        return replace(facts, columns=(*facts.columns, replace(begun_with(facts, self.column), name=self.to)))

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        if facts.kept:
            return dropping.standing_on(facts, (identifiers.hidden(self.to),))
        return facts.tracked.get(self.to, ())

    @override
    def hidden(self, table: TableName) -> tuple[tuple[str, str], ...]:
        """The original has the new name from then on; what is kept, and follows, is the scaffolding."""
        return ((self.to, identifiers.hidden(self.to)), (self.column, self.to))

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        if facts.kept:
            return dropping.statements(facts, (identifiers.hidden(self.to),))
        table, new = self.target.identifier, sql.Identifier(self.to)
        return (
            sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(table, new),
            sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(table, sql.Identifier(self.column), new),
        )

    @override
    def edits(self, facts: Facts) -> Edits:
        table = self.target
        column = described(facts, table, self.column, self.to)
        return Edits(
            expand=(
                AddColumn(
                    table=table,
                    column=self.to,
                    type=column.plain_type,
                    collation=column.collation,
                    default=column.constant_default,
                    like=self.column,
                ),
            )
            if column
            else None,
            contract=(
                DropColumn(table=table, column=self.to),
                Renamed(table=table, column=self.column, to=self.to),
            ),
        )
