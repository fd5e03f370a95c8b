"""Give a table another name.

Until contract a view has the new name, and everything written through it is written to the table: nothing is
copied, whatever the size. Contract drops the view and renames the table, so that the end is that of a plain ALTER
TABLE … RENAME. What hangs on the table follows by itself; only text that names it (PL/pgSQL, say) needs a person.
"""

from collections.abc import Mapping as Dictionary
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import Field, model_validator
from typing_extensions import override

from orchestrator.errors import EcmError
from orchestrator.operations import viewing
from orchestrator.operations.base import (
    WHOLE,
    Claim,
    Guide,
    NewTableField,
    OnTable,
    Operation,
    moves_readers,
    nothing_to_fill,
)
from orchestrator.sql.edits import Edits, Facts
from orchestrator.sql.edits import RenameTable as Renamed
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.mapping import Mapping
from orchestrator.sql.steps import Statement
from orchestrator.sql.sync import Ddl
from orchestrator.words import kebab


class RenameTable(OnTable):
    """A table gets another name; both names work until contract."""

    kind: Literal["rename_table"] = "rename_table"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    to: Annotated[NewTableField, Field(description="Its name in the end, in the same schema")]

    fate: ClassVar[str] = "follow by themselves"
    example: ClassVar[str] = "books volumes"
    comes_last: ClassVar[bool] = True
    standing: ClassVar[str] = "was made on the view, which has the new name until contract"
    goes_along: ClassVar[str] = "contract drops the view and gives the table that name, and this would go with it"

    @model_validator(mode="after")
    def _really_renames(self) -> "RenameTable":
        if self.new == self.target:
            raise ValueError(f"table and to are both {self.target}; there is nothing to rename")
        if self.new.schema != self.target.schema:
            raise ValueError(
                f"{self.new} is in another schema than {self.target}, and a table takes its indexes and sequences"
                " along there, where roles need USAGE; rename it within its schema"
            )
        return self

    @property
    def new(self) -> TableName:
        """The table's name in the end."""
        return TableName.parse(self.to, schema=self.target.schema)

    @property
    @override
    def summary(self) -> str:
        return f"table {self.target} becomes {self.new.name}"

    @property
    @override
    def slug(self) -> str:
        return f"rename-{kebab(self.target.name)}"

    @property
    @override
    def beginning(self) -> str:
        return f"show {self.target} as {self.new.name} too, by a view"

    @property
    @override
    def ending(self) -> str:
        return f"drop the view and rename {self.target} to {self.new.name}"

    @override
    def guide(self) -> Dictionary[str, Guide]:
        renamed = f"the version that uses {self.new.name}"
        return {
            "expand": Guide(
                about=f"A view {self.new.name} appears; what is written through it is written to {self.target}.",
                deploy=f"{renamed} may be deployed from here on, beside the old one",
            ),
            "backfill": nothing_to_fill(
                f"{renamed} may be deployed, beside the old one",
                "There is nothing to fill: both names show the same rows.",
            ),
            "migrate_reads": Guide(
                about="Nothing changes in the database: both names still work.", deploy=f"{renamed}, everywhere"
            ),
            "contract": Guide(
                about=f"The view goes, and the table is called {self.new.name}.",
                deploy=f"nothing; a version that uses {self.target} must be gone everywhere",
            ),
        }

    @property
    @override
    def gone(self) -> tuple[str, ...]:
        return (WHOLE,)

    @override
    def claims(self) -> frozenset[Claim]:
        return frozenset({(str(self.target), WHOLE), (str(self.new), WHOLE)})

    @override
    def alongside(self, other: Operation) -> str | None:
        if self.new in other.tables():
            return f"until contract the table is {self.target}, and that is how a change of it names it"
        if moves_readers(other):
            return f"{other.kind} gives names another meaning in migrate reads, and the view would keep the old one"
        return None

    @override
    def relations(self) -> tuple[TableName, ...]:
        return (self.new,)

    @override
    def synced(self) -> tuple[TableName, ...]:
        return ()

    @override
    def made(self) -> tuple[str, ...]:
        return ()

    @override
    def begun(self, facts: Table) -> bool:
        return facts.views.view(self.new) is not None

    @override
    def warnings(self, facts: Table) -> tuple[str, ...]:
        at_contract = (
            f"{each} knows {self.target} by its name: from contract on the other side needs a table {self.new.name}"
            for each in facts.views.replicated
        )
        minding = (f"{each.kind} {each.name} minds the view: {each.why}" for each in facts.views.typed)
        return (*viewing.warnings(facts, str(self.new)), *minding, *at_contract)

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        return viewing.problems(facts)

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        return facts.views.naming

    @override
    def mappings(self, facts: Table) -> tuple[Mapping, ...]:
        return ()

    @override
    def expand(self, facts: Table) -> Ddl:
        return Ddl(
            statements=viewing.over(facts, self.target, self.new),
            inverse=(viewing.dropped(self.new, if_there=True),),
        )

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        if facts.kept:
            return ()
        return (*viewing.added(facts, self.new), *facts.views.occupied)

    @override
    def locked_first(self, facts: Table) -> tuple[TableName, ...]:
        return (self.new,) if self.begun(facts) else ()

    @override
    def clear(self, facts: Table) -> tuple[Statement, ...]:
        return () if facts.kept else (viewing.dropped(self.new, if_there=True),)

    @override
    def hiding(self, facts: Table) -> Ddl:
        """All that contract does: no row has two sides, so there is nothing that would have to be kept."""
        back = sql.SQL("ALTER TABLE {} RENAME TO {}").format(self.new.identifier, sql.Identifier(self.target.name))
        return Ddl(
            statements=(viewing.dropped(self.new), *self.contract(replace(facts, kept=False))),
            inverse=(back, *self.expand(facts).statements),
        )

    @override
    def renamed_to(self, table: TableName) -> TableName | None:
        return self.new

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        if facts.kept:
            return ()
        return (sql.SQL("ALTER TABLE {} RENAME TO {}").format(self.target.identifier, sql.Identifier(self.new.name)),)

    @override
    def edits(self, facts: Facts) -> Edits:
        return Edits(contract=(Renamed(table=self.target, to=self.new),))
