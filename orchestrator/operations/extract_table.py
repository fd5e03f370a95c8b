"""Move columns to a lookup table: one row for each combination of values, and a reference to it."""

from collections.abc import Iterable
from collections.abc import Mapping as Dictionary
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.operations import constraints, dropping
from orchestrator.operations.base import (
    WHOLE,
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
from orchestrator.operations.sides import Sides
from orchestrator.sql import moving
from orchestrator.sql.edits import AddColumn as Added
from orchestrator.sql.edits import AddForeignKey, AddIndex, CreateTable, Edit, Edits, Facts, Other, SetNullable
from orchestrator.sql.edits import DropColumn as Dropped
from orchestrator.sql.extracted import Extracted
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.identifiers import NAME_BYTES, TableName, bounded, verbatim
from orchestrator.sql.steps import ConcurrentIndex, Statement, Step
from orchestrator.sql.sync import Ddl
from orchestrator.sql.value import Value
from orchestrator.words import kebab, listed


class Lookup(BaseModel):
    """The table that is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: Annotated[TableField, Field(description="Its name, as table or schema.table")]
    key: Annotated[NewColumnField, Field(description="Its primary key, a bigint that counts itself")]

    @property
    def target(self) -> TableName:
        """The table."""
        return TableName.parse(self.table)


class ExtractTable(OnTable):
    """Columns become a table of their own, one row for each combination of values that there is.

    A row whose columns are all NULL refers to nothing.
    """

    kind: Literal["extract_table"] = "extract_table"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    columns: Annotated[tuple[ColumnField, ...], Field(min_length=1, description="A column that moves")]
    into: Annotated[Lookup, Field(description="The table that is made: {table: …, key: id}")]
    reference: Annotated[NewColumnField, Field(description="The column that takes their place")]
    not_null: Annotated[bool, Field(description="Whether the reference is NOT NULL in the end")] = False
    index: Annotated[bool, Field(description="Whether the reference has an index in the end")] = False

    standing: ClassVar[str] = "stands on a column that contract drops"
    fate: ClassVar[str] = "go with the old columns"
    example: ClassVar[str] = (
        "books publisher_id --columns publisher --columns city --into '{table: publishers, key: id}' --index"
    )

    @model_validator(mode="after")
    def _names_differ(self) -> "ExtractTable":
        if len({*self.columns, self.reference}) <= len(self.columns):
            raise ValueError("columns names one twice, or the reference")
        if self.into.key in self.columns:
            raise ValueError(f"the key {self.into.key} is among columns, and the new table has both")
        if self.into.target == self.target:
            raise ValueError(f"into.table is {self.target} itself")
        return self

    @property
    @override
    def summary(self) -> str:
        become = "becomes" if len(self.columns) == 1 else "become"
        return f"{listed(self.columns)} of {self.target} {become} {self.into.target}, by {self.reference}"

    @property
    @override
    def slug(self) -> str:
        return f"extract-{kebab(self.into.target.name)}"

    @property
    @override
    def ending(self) -> str:
        return f"drop {listed(self.columns)}"

    @override
    def guide(self) -> Dictionary[str, Guide]:
        old, lookup, go = listed(self.columns), self.into.target, "goes" if len(self.columns) == 1 else "go"
        rows = "one row for each value" if len(self.columns) == 1 else "one row for each combination of values"
        new = f"{lookup} by {self.reference}"
        return {
            **guide_to(
                old=old,
                new=new,
                expand=f"{lookup} appears, with {rows} of {old} that is written from here on, and {self.reference}"
                " refers to it; what is written to one side is written to the other.",
                ending=f"{old} {go}, with indexes and constraints on that side.",
            ),
            "backfill": Guide(
                about=f"Rows from before refer to {lookup}, while the application writes; then every row is proven.",
                deploy=f"the version that reads and writes {new} may be deployed from here on, beside the old one",
            ),
        }

    @override
    def sides(self, facts: Table) -> Sides:
        return Sides.BOTH

    @property
    @override
    def forfeits(self) -> tuple[str, ...]:
        lookup = self.into.target
        return (f"what {lookup} alone has: rows that no row of {self.target} refers to, and columns of its own",)

    @property
    @override
    def gone(self) -> tuple[str, ...]:
        return self.columns

    @override
    def claims(self) -> frozenset[tuple[str, str]]:
        return frozenset((str(self.target), column) for column in (*self.columns, self.reference))

    @override
    def mentions(self) -> frozenset[tuple[str, str]]:
        return frozenset({(str(self.into.target), WHOLE)})

    @override
    def made(self) -> tuple[str, ...]:
        return (self.reference,)

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        required = [name for name in self.columns if (column := facts.column(name)) and column.not_null]
        found = [*taken(facts, self.reference), *(error for name in self.columns for error in unusable(facts, name))]
        if required and not self.not_null:
            found.append(
                PreconditionError(
                    f"{required[0]} of {self.target} is NOT NULL, and new writers may leave {self.reference} out",
                    details=["there would be nothing to put there, and their rows would be refused"],
                    hint="say not_null: true, if each row is to refer to one",
                )
            )
        for name in self.columns:
            column = facts.column(name)
            if column and (column.identity or (column.default is not None and not column.default_is_constant)):
                found.append(
                    PreconditionError(
                        f"{self.target}.{name} has a default that is not the same for every row",
                        details=["a row that a new writer adds without a reference would bring a value of its own"],
                        hint="drop the default first",
                    )
                )
        found += dropping.named_by_triggers(facts, self.columns)
        return tuple(found)

    @override
    def warnings(self, facts: Table) -> tuple[str, ...]:
        how = "by the index from migrate reads on" if self.index else "by reading all of it, without index: true"
        spread = f"a change of a row of {self.into.target} writes the rows of {self.target} that refer to it, {how}"
        waits = (
            "where a session that brings new values would wait for another for more than a second, its row refers to"
            " nothing until it is written again, or until ecm's next step"
        )
        return (
            f"a rollback drops {self.into.target}: what is in the columns stays, rows that nothing refers to are lost",
            spread,
            waits,
            f"values that PostgreSQL takes for equal, such as 1.0 and 1.00, become one row of {self.into.target}",
        )

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        return (*(each for name in self.columns for each in facts.untracked.get(name, ())), *self.standing_on(facts))

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        return dropping.standing_on(facts, self.columns)

    @override
    def mappings(self, facts: Table) -> tuple[Extracted, ...]:
        return (
            Extracted(
                table=self.target,
                old=tuple(
                    Value(column=name, type=column.type, expression=None, default=column.constant_default)
                    for name in self.columns
                    for column in [begun_with(facts, name)]
                ),
                reference=self.reference,
                lookup=self.into.target,
                key=self.into.key,
                not_null=self.not_null,
            ),
        )

    def _name(self, *parts: str) -> str:
        """Return the name that PostgreSQL itself gives, as long as it does not have to cut it."""
        name = "_".join(parts)
        return name if len(name.encode()) <= NAME_BYTES else bounded(*parts)

    @override
    def expand(self, facts: Table) -> Ddl:
        """Make the table, and the foreign key on a column where nothing is to be checked yet."""
        (mapping,) = self.mappings(facts)
        table, lookup, reference = self.target.identifier, self.into.target.identifier, sql.Identifier(self.reference)
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}{}").format(
                sql.Identifier(name),
                verbatim(column.type),
                sql.SQL(" COLLATE {}").format(verbatim(column.collation)) if column.collation else sql.SQL(""),
            )
            for name, column in [(name, begun_with(facts, name)) for name in self.columns]
        )
        spreading = mapping.spreading
        return Ddl(
            statements=(
                sql.SQL(
                    "CREATE TABLE {} ({} bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, {},"
                    " CONSTRAINT {} UNIQUE ({}))"
                ).format(
                    lookup,
                    sql.Identifier(self.into.key),
                    columns,
                    sql.Identifier(self._unique),
                    sql.SQL(", ").join(map(sql.Identifier, self.columns)),
                ),
                _same_rights(self.target, self.into.target),
                sql.SQL('CREATE TABLE {} ("~key" bigint)').format(mapping.owed),
                sql.SQL("ALTER TABLE {} ADD COLUMN {} bigint").format(table, reference),
                # A partitioned table takes none that is not valid; in a new column there is nothing to read.
                self._pointing(valid=facts.kind == "p"),
                spreading.create_function,
                spreading.create,
                spreading.enable,
            ),
            inverse=(
                *mapping.without_spreading,
                mapping.paid(),
                sql.SQL("ALTER TABLE {} DROP COLUMN IF EXISTS {}").format(table, reference),
                sql.SQL("DROP TABLE IF EXISTS {}").format(mapping.owed),
                sql.SQL("DROP TABLE IF EXISTS {}").format(lookup),
            ),
        )

    def _pointing(self, *, valid: bool) -> Statement:
        return sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){}").format(
            self.target.identifier,
            sql.Identifier(self._foreign_key),
            sql.Identifier(self.reference),
            self.into.target.identifier,
            sql.Identifier(self.into.key),
            sql.SQL("" if valid else " NOT VALID"),
        )

    def _validation(self, facts: Table) -> Iterable[Step]:
        """Validate the foreign key; a contract that is taken back makes it anew, as it was before that."""
        if facts.kind == "p":
            return
        yield replace(
            constraints.validation(facts, self._foreign_key, what="a row to refer to"),
            inverse=(
                # Only the way back takes locks that others wait for.
                moving.SECOND_LOCK,
                sql.SQL("LOCK TABLE {}, {} IN ACCESS EXCLUSIVE MODE").format(
                    self.into.target.identifier, self.target.identifier
                ),
                sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
                    self.target.identifier, sql.Identifier(self._foreign_key)
                ),
                self._pointing(valid=False),
            ),
        )

    @property
    def _foreign_key(self) -> str:
        return self._name(self.target.name, self.reference, "fkey")

    @override
    def before_reads(self, facts: Table) -> tuple[Step, ...]:
        if not self.index or facts.kind == "p":
            return ()
        return (
            ConcurrentIndex(
                key=f"index {self.reference}",
                title=f"index of {self.reference}",
                table=self.target,
                name=self._index,
                unique=False,
                tail=f" USING btree ({sql.Identifier(self.reference).as_string(None)})",
            ),
        )

    @override
    def before_contract(self, facts: Table) -> tuple[Step, ...]:
        return (
            *self._validation(facts),
            *(constraints.validated_not_null(facts, self.reference) if self.not_null else ()),
        )

    @property
    def _unique(self) -> str:
        return self._name(self.into.target.name, *self.columns, "key")

    @property
    def _index(self) -> str:
        return self._name(self.target.name, self.reference, "idx")

    @override
    def edits(self, facts: Facts) -> Edits:
        """The table and the reference to it at expand; at contract the columns go."""
        table, lookup = self.target, self.into.target
        found = [described(facts, table, name) for name in self.columns]
        columns = [
            Added(table=lookup, column=name, type=column.type, collation=column.collation)
            for name, column in zip(self.columns, found, strict=True)
            if column is not None
        ]
        begun: tuple[Edit, ...] = (
            CreateTable(table=lookup, key=self.into.key, columns=tuple(columns), unique=self._unique, like=table),
            Other(statement=_same_rights(table, lookup), says=f"the owner of {lookup}", silent=True),
            Added(table=table, column=self.reference, type="bigint"),
            AddForeignKey(
                table=table,
                name=self._foreign_key,
                columns=(self.reference,),
                to=lookup,
                to_columns=(self.into.key,),
            ),
        )
        ended: list[Edit] = [Dropped(table=table, column=name) for name in self.columns]
        if self.not_null:
            ended.append(SetNullable(table=table, column=self.reference, nullable=False))
        if self.index and not (table in facts and facts[table].kind == "p"):
            ended.append(AddIndex(table=table, name=self._index, column=self.reference))
        return Edits(expand=begun if len(columns) == len(self.columns) else None, contract=tuple(ended))

    @override
    def hidden(self, table: TableName) -> tuple[tuple[str, str], ...]:
        return dropping.hidden(self.columns)

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        (mapping,) = self.mappings(facts)
        return (
            *mapping.without_spreading,
            sql.SQL("DROP TABLE {}").format(mapping.owed),
            *(constraints.not_null(facts, self.reference) if self.not_null else ()),
            *dropping.statements(facts, self.columns),
        )


def _same_rights(of: TableName, to: TableName) -> Statement:
    """Return what gives a new table the owner of another, and to each role what it may do with that one's rows."""
    body = sql.SQL(
        "DECLARE g record; BEGIN"
        " EXECUTE (SELECT pg_catalog.format('ALTER TABLE %s OWNER TO %I', {to}, pg_catalog.pg_get_userbyid(relowner))"
        " FROM pg_catalog.pg_class WHERE oid = {of}::pg_catalog.regclass);"
        " FOR g IN SELECT a.privilege_type AS privilege, a.is_grantable AS grantable, CASE WHEN a.grantee = 0"
        " THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END AS grantee"
        " FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a WHERE c.oid = {of}::pg_catalog.regclass"
        " AND a.grantee <> c.relowner AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE') LOOP"
        " EXECUTE pg_catalog.format('GRANT %s ON %s TO %s%s', g.privilege, {to}, g.grantee,"
        " CASE WHEN g.grantable THEN ' WITH GRANT OPTION' END); END LOOP; END"
    ).format(of=sql.Literal(of.identifier.as_string(None)), to=sql.Literal(to.identifier.as_string(None)))
    return sql.SQL("DO {}").format(sql.Literal(body.as_string(None)))
