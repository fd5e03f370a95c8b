"""Add a column that readers can rely on: every row has its value, those too that old writers add.

A constant default is a matter of the catalog alone ("ALTER TABLE", ADD COLUMN). What is volatile, or depends on
the row, is filled by the sweep, and by the trigger in what old writers write.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.operations import constraints, foreseeing, rehearsing, trying
from orchestrator.operations.base import ColumnField, Guide, NewColumnField, OnTable, TableField, taken
from orchestrator.sql.edits import AddCheck, AddForeignKey, AddUnique, Edit, Edits, Facts, Other, SetNullable
from orchestrator.sql.edits import AddColumn as Added
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.filling import Filling
from orchestrator.sql.identifiers import NAME_BYTES, TableName, bounded, verbatim, words
from orchestrator.sql.steps import ConcurrentIndex, Proof, Statement, Step
from orchestrator.sql.sync import Ddl
from orchestrator.sql.value import Value
from orchestrator.words import a, kebab

Expression = Annotated[str, Field(min_length=1)]

_CONSTANT = re.compile(
    r"""\s*([+-]?\d+(\.\d+)?|'([^'\\]|'')*'|true|false|null)\s*(::[\w\s.,"\[\]()]+)?\s*""", re.IGNORECASE
)
"""A literal, cast or not. Anything else may be volatile, and would have ADD COLUMN rewrite the table."""


class Reference(BaseModel):
    """The columns that a foreign key points to."""

    said: ClassVar[str] = "TABLE(COLUMN, …)"
    """How it is given in short."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: Annotated[TableField, Field(description="The other table")]
    columns: Annotated[tuple[ColumnField, ...], Field(description="Its columns; the primary key otherwise")] = ()

    @classmethod
    def in_short(cls, text: str) -> dict[str, object] | None:
        """Return the fields of what is given in short, `authors` or `authors(id)`, or None."""
        found = re.fullmatch(r"\s*([^\s()]+)\s*(?:\(([^()]+)\))?\s*", text)
        columns = found[2].split(",") if found and found[2] else ()
        return found and {"table": found[1], "columns": [column.strip() for column in columns]}

    @property
    def target(self) -> TableName:
        """The other table."""
        return TableName.parse(self.table)

    @property
    def columns_of_it(self) -> sql.Composed:
        """Its columns as they stand after its name."""
        names = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        return sql.SQL(" ({})").format(names) if self.columns else sql.Composed([])


class AddColumn(OnTable):
    """A column is added, filled in every row, and held to its constraints from contract on."""

    kind: Literal["add_column"] = "add_column"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    column: Annotated[NewColumnField, Field(description="The column's name")]
    type: Annotated[str, Field(min_length=1, description="Its type")]
    using: Annotated[Expression | None, Field(description="Its value where nobody gives one, over the row")] = None
    default: Annotated[Expression | None, Field(description="Its DEFAULT, which stays")] = None
    not_null: Annotated[bool, Field(description="Whether it is NOT NULL in the end")] = False
    check: Annotated[Expression | None, Field(description="A condition that holds in every row in the end")] = None
    unique: Annotated[bool, Field(description="Whether it is UNIQUE in the end")] = False
    references: Annotated[
        Reference | None, Field(description="What it points to in the end: {table: authors, columns: [id]}")
    ] = None
    comment: Annotated[str | None, Field(description="Its comment")] = None

    standing: ClassVar[str] = "stands on the new column"
    example: ClassVar[str] = "books slug text --using \"lower(replace(title, ' ', '-'))\" --not-null"

    @model_validator(mode="after")
    def _one_source(self) -> "AddColumn":
        if self.using is not None and self.default is not None:
            raise ValueError("using and default both say what the column is where nobody gives it; keep one of them")
        return self

    @property
    @override
    def summary(self) -> str:
        return f"{self.target} gets a column {self.column}"

    @property
    @override
    def slug(self) -> str:
        return f"add-{kebab(self.column)}"

    @property
    @override
    def ending(self) -> str:
        held = self.not_null or self.check or self.unique or self.references
        return f"hold every row to the constraints of {self.column}" if held else f"leave {self.column} as it is"

    @property
    @override
    def distinct(self) -> frozenset[str]:
        # Two rows that are alike in what it is made of would be alike in it.
        return frozenset({self.column, *words(self.using or "")}) if self.unique else frozenset[str]()

    @override
    def guide(self) -> Mapping[str, Guide]:
        # A default stays, and goes on giving the old version's rows their value.
        last = self.using is not None or (self.not_null and self.default is None)
        unfilled = ", and nothing fills it in any more" if last else ""
        filled = f"{self.column} has its value in every row, those too that the old version adds."
        return {
            "expand": Guide(
                about=f"{self.column} appears; a version that does not know it goes on as it is.",
                deploy="nothing yet; the application goes on as it is",
            ),
            "backfill": Guide(
                about=filled if self._filled_with is not None else "There is nothing to fill; every row is read once.",
                deploy=f"the version that reads and writes {self.column} may be deployed from here on",
            ),
            "migrate_reads": Guide(
                about=f"Readers may rely on {self.column}.",
                deploy=f"the version that reads and writes {self.column}, everywhere",
            ),
            "contract": Guide(
                about=f"{self.column} is held to its constraints{unfilled}.",
                deploy=f"nothing; a version that does not write {self.column} must be gone everywhere"
                if last
                else "nothing",
            ),
        }

    @property
    @override
    def retires(self) -> bool:
        return False

    @property
    @override
    def forfeits(self) -> tuple[str, ...]:
        return (f"what was written to {self.column}",)

    @override
    def claims(self) -> frozenset[tuple[str, str]]:
        return frozenset({(str(self.target), self.column)})

    @override
    def mentions(self) -> frozenset[tuple[str, str]]:
        expressions = (each for each in (self._filled_with, self.check) if each is not None)
        return frozenset((str(self.target), word) for word in words(*expressions))

    @override
    def made(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def _is_constant(self) -> bool:
        return self.default is not None and _CONSTANT.fullmatch(self.default) is not None

    @property
    def _filled_with(self) -> str | None:
        return self.using if self._is_constant or self.default is None else self.default

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        found = [*taken(facts, self.column)]
        if self.unique and facts.kind == "p":
            found.append(
                PreconditionError(
                    f"{self.target} is partitioned, and {self.column} alone cannot be unique there",
                    details=["a unique constraint of a partitioned table holds the partition key"],
                    hint="leave unique out of the plan",
                )
            )
        return tuple(found)

    @override
    def warnings(self, facts: Table) -> tuple[str, ...]:
        lost = f"a rollback drops {self.column} with what new writers have written to it"
        absent = f"until contract, NULL in {self.column} is taken for not given, and replaced by its value"
        if self._filled_with is not None:
            return (lost, absent)
        if self.not_null and self.default is None:
            return (lost, f"a row without a {self.column} stops the plan before readers move: using would compute it")
        return (lost,)

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        return ()

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        return ()

    @override
    def mappings(self, facts: Table) -> tuple[Filling, ...]:
        value = Value(column=self.column, type=self.type, expression=self._filled_with, not_null=self.not_null)
        if self.using is not None:
            value = trying.attempting(facts, value, without=(self.column,))
        return (Filling(new=value),)

    @override
    def expand(self, facts: Table) -> Ddl:
        table, column = self.target.identifier, sql.Identifier(self.column)
        (mapping,) = self.mappings(facts)
        default = sql.SQL("({})").format(verbatim(self.default or "NULL"))
        added = sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(table, column, verbatim(self.type))
        statements: list[Statement] = [sql.SQL("{} DEFAULT {}").format(added, default) if self._is_constant else added]
        if self.default is not None and not self._is_constant:
            # Apart from ADD COLUMN, which would rewrite the table for a default that is not the same for every row.
            statements.append(sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {}").format(table, column, default))
        if self.comment is not None:
            statements.append(sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(table, column, sql.Literal(self.comment)))
        statements += trying.understood(facts, (mapping.new,), without=(self.column,))
        if self.check is not None:
            statements.append(sql.SQL("EXPLAIN SELECT FROM ONLY {} WHERE ({})").format(table, verbatim(self.check)))
        statements += [statement for value in mapping.attempts for statement in value.attempted]
        return Ddl(
            statements=tuple(statements),
            inverse=(
                *(statement for value in mapping.attempts for statement in value.abandoned),
                sql.SQL("ALTER TABLE {} DROP COLUMN IF EXISTS {}").format(table, column),
            ),
        )

    def _name(self, suffix: str) -> str:
        """Return the name that PostgreSQL itself would give a constraint of the column."""
        name = f"{self.target.name}_{self.column}_{suffix}"
        return name if len(name.encode()) <= NAME_BYTES else bounded(self.target.name, self.column, suffix)

    @override
    def before_expand(self, facts: Table) -> tuple[Step, ...]:
        return (trying.first(facts, (mapping.new for mapping in self.mappings(facts)), check=self.check),)

    @override
    def foreseen(self, facts: Table) -> tuple[Proof, ...]:
        given = self.using if self.using is not None else self.default
        if given is None:
            return ()  # new writers fill it, and nobody knows with what
        value = Value(column=self.column, type=self.type, expression=given, not_null=self.not_null)
        return (
            *foreseeing.not_null(facts, (value,)),
            *((foreseeing.checked(facts, value, self.check),) if self.check is not None else ()),
            *((foreseeing.unique(facts, value),) if self.unique else ()),
            # Without columns it points to the primary key, which is known to the catalog alone.
            *(
                foreseeing.pointing(facts, value, other.target, other.columns[0])
                for other in [self.references]
                if other is not None and len(other.columns) == 1
            ),
        )

    @override
    def rehearsed(self, facts: Table) -> tuple[Statement, ...]:
        value, other = Value(column=self.column, type=self.type, expression=self._filled_with), self.references
        pointing = other and rehearsing.foreign_key(facts, (self.column,), other.target, other.columns_of_it)
        return (
            *rehearsing.copy(facts, (value,)),
            *rehearsing.assigned(facts, (value,), without=(self.column,)),
            *((rehearsing.check(facts, self.check),) if self.check is not None else ()),
            *(pointing or ()),
        )

    @override
    def before_contract(self, facts: Table) -> tuple[Step, ...]:
        return tuple(self._constraints(facts))

    def _constraints(self, facts: Table) -> Iterable[Step]:
        column = sql.Identifier(self.column)
        if self.not_null:
            yield from constraints.validated_not_null(facts, self.column)
        if self.check is not None:
            condition = sql.SQL("CHECK ({})").format(verbatim(self.check))
            yield from constraints.validated(facts, self._name("check"), condition, what=self.check)
        if (other := self.references) is not None:
            pointing = sql.SQL("FOREIGN KEY ({}) REFERENCES {}{}").format(
                column, other.target.identifier, other.columns_of_it
            )
            what = f"{a(self.column)} that is in {other.target}"
            yield from constraints.validated(facts, self._name("fkey"), pointing, what=what, also=(other.target,))
        if self.unique:
            yield ConcurrentIndex(
                key=f"index {self._name('key')}",
                title=f"index that keeps {self.column} unique",
                table=self.target,
                name=self._name("key"),
                unique=True,
                tail=f" USING btree ({column.as_string(None)})",
            )

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        unique = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}").format(
            self.target.identifier, name=sql.Identifier(self._name("key"))
        )
        (mapping,) = self.mappings(facts)
        return (
            *(statement for value in mapping.attempts for statement in value.abandoned),
            *(constraints.not_null(facts, self.column) if self.not_null else ()),
            *((unique,) if self.unique else ()),
        )

    @override
    def edits(self, facts: Facts) -> Edits:
        table, column = self.target, self.column
        begun: list[Edit] = [Added(table=table, column=column, type=self.type, default=self.default)]
        if self.comment is not None:
            comment = sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(
                table.identifier, sql.Identifier(column), sql.Literal(self.comment)
            )
            begun.append(Other(statement=comment, says="the comment", silent=True))
        ended: list[Edit] = []
        if self.not_null:
            ended.append(SetNullable(table=table, column=column, nullable=False))
        if self.check is not None:
            ended.append(AddCheck(table=table, name=self._name("check"), condition=self.check))
        if self.unique:
            ended.append(AddUnique(table=table, name=self._name("key"), columns=(column,)))
        if (other := self.references) is not None:
            pointing = AddForeignKey(
                table=table, name=self._name("fkey"), columns=(column,), to=other.target, to_columns=other.columns
            )
            ended.append(pointing)
        return Edits(expand=tuple(begun), contract=tuple(ended))
