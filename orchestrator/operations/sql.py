"""Run the plan author's own SQL, phase by phase, for what no kind of change covers.

ecm takes the statements apart and sends them to the letter: each phase's in one transaction with its record, within
the lock timeout, the tables they name locked first. What they mean for old and new versions is the author's to know.
"""

from collections.abc import Iterable
from collections.abc import Mapping as Dictionary
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import override

from orchestrator.errors import EcmError
from orchestrator.operations.base import ColumnField, Guide, Operation, TableField, nothing_to_fill, unusable
from orchestrator.operations.converting import Expression
from orchestrator.operations.sides import Sides
from orchestrator.sql.adjustment import Adjustment, Assigned
from orchestrator.sql.edits import Edits, Facts, Other
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.lexer import Written, statements
from orchestrator.sql.script import Outright, concurrent_index, dropped_indexes, locks, refusal, without_concurrently
from orchestrator.sql.steps import ConcurrentIndex, Statement
from orchestrator.sql.sync import Ddl
from orchestrator.words import kebab, listed

Text = Annotated[str, Field(min_length=1)]
"""One or more SQL statements."""


class Inverse(BaseModel):
    """What takes statements back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    expand: Annotated[Text | None, Field(description="Takes expand back")] = None
    contract: Annotated[Text | None, Field(description="Takes contract back, within contract.undo_window")] = None


class Filled(BaseModel):
    """What is filled in the rows of a table, in batches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: Annotated[TableField, Field(description="The table, which is there before expand")]
    set: Annotated[
        dict[ColumnField, Expression], Field(min_length=1, description="Values, {column: expression over the row}")
    ]
    where: Annotated[
        Expression | None, Field(description="Which rows still lack them; those with NULL in all of them otherwise")
    ] = None
    reverse: Annotated[
        dict[ColumnField, Expression],
        Field(description="What old readers see in rows that new writers write, {column: expression over the row}"),
    ] = {}

    @model_validator(mode="after")
    def _two_sides(self) -> "Filled":
        if both := sorted(self.set.keys() & self.reverse.keys()):
            raise ValueError(
                f"set and reverse both give {listed(both)}: a row has one value there, which cannot be that of both"
                " versions; fill a column of its own"
            )
        return self

    @property
    def target(self) -> TableName:
        """The table."""
        return TableName.parse(self.table)


class Sql(Operation):
    """SQL of your own runs in expand and contract, with its own way back, and rows are filled between."""

    kind: Literal["sql"] = "sql"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    expand_sql: Annotated[
        Text | None, Field(alias="expand", description="Statements that add what new versions need")
    ] = None
    contract_sql: Annotated[
        Text | None, Field(alias="contract", description="Statements that take away what old versions needed")
    ] = None
    rollback: Annotated[
        Inverse, Field(description="What takes them back: {expand: statements, contract: statements}")
    ] = Inverse()
    backfill: Annotated[
        Filled | None,
        Field(
            description="What fills rows: {table: …, set: {column: expression}, where: condition,"
            " reverse: {column: expression}}"
        ),
    ] = None

    fate: ClassVar[str] = "are left to the statements"
    example: ClassVar[str] = (
        "--expand 'ALTER TABLE books ADD COLUMN slug text'"
        " --rollback '{expand: ALTER TABLE books DROP COLUMN slug}'"
        " --backfill '{table: books, set: {slug: lower(title)}}'"
    )

    # In a plan they are `expand` and `contract`, which here are what every operation does in those phases.
    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    @override
    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @model_validator(mode="after")
    def _can_be_sent(self) -> "Sql":
        if not (self.expand_sql or self.contract_sql or self.backfill):
            raise ValueError("there is nothing to do: give expand, contract or backfill")
        expand, contract, back = self._expand, self._contract, self._back
        _refuse((*expand, *contract, *back, *self._contract_back))
        _refuse_order(expand, last=True)
        _refuse_order(contract, last=False)
        _refuse_indexes((*back, *self._contract_back))
        if _plain(expand) and not back:
            raise ValueError("rollback.expand does not say what takes expand back: a rollback could not restore it")
        if back and not expand:
            raise ValueError("rollback.expand takes back what expand does, and expand does nothing")
        _refuse_mixed(back, self._built)
        _refuse_mixed(self._contract_back, self._built_last)
        if self.rollback.contract and not contract:
            raise ValueError("rollback.contract takes back what contract does, and contract does nothing")
        return self

    @property
    def _expand(self) -> tuple[Written, ...]:
        return _written(self.expand_sql, "expand")

    @property
    def _contract(self) -> tuple[Written, ...]:
        return _written(self.contract_sql, "contract")

    @property
    def _back(self) -> tuple[Written, ...]:
        return _written(self.rollback.expand, "rollback.expand")

    @property
    def _built(self) -> frozenset[TableName]:
        """The indexes that are built beside the application, and taken away where they are there (or half so)."""
        return frozenset(TableName(index.table.schema, index.name) for index in _indexes(self._expand))

    @property
    def _built_last(self) -> frozenset[TableName]:
        """The same of those that are built before contract."""
        return frozenset(TableName(index.table.schema, index.name) for index in _indexes(self._contract))

    @property
    def _taken_back(self) -> tuple[Written, ...]:
        """What the transaction of a rollback does: such an index is gone by then, or was never there."""
        return tuple(each for each in self._back if not self._built.intersection(dropped_indexes(each)))

    @property
    def _contract_taken_back(self) -> tuple[Written, ...]:
        """The same of contract's own."""
        return tuple(each for each in self._contract_back if not self._built_last.intersection(dropped_indexes(each)))

    @property
    def _contract_back(self) -> tuple[Written, ...]:
        return _written(self.rollback.contract, "rollback.contract")

    # ------------------------------------------------------------ what it is about

    @property
    @override
    def target(self) -> TableName:
        named = (*self.tables(), *locks(self._expand, self._contract).tables)
        return named[0] if named else TableName("public", "")

    @override
    def tables(self) -> tuple[TableName, ...]:
        """Only the table that is filled is looked at: others may be made by the statements themselves."""
        return (self.backfill.target,) if self.backfill else ()

    @property
    @override
    def summary(self) -> str:
        first = next(iter((*self._expand, *self._contract)), None)
        does = " ".join(first.text.split()) if first else ""
        does = does if len(does) <= _LINE else does[: _LINE - 1] + "…"
        filled = f"{self.backfill.table}: {', '.join(self.backfill.set)} filled" if self.backfill else ""
        return "; ".join(filter(None, (does, filled)))

    @property
    @override
    def slug(self) -> str:
        return f"sql-{kebab(self.target.name)}".rstrip("-")

    @property
    @override
    def beginning(self) -> str:
        return "run the statements of expand" if self.expand_sql else ""

    @property
    @override
    def ending(self) -> str:
        return "run the statements of contract" if self.contract_sql else "leave the rest as it is"

    @override
    def guide(self) -> Dictionary[str, Guide]:
        filled = f"{self.backfill.table}.{', '.join(self.backfill.set)}" if self.backfill else ""
        runs = "The statements of expand run, in one transaction" if self.expand_sql else "No statements run here"
        gone = (
            "nothing; a version that uses what contract takes away must be gone everywhere"
            if self.contract_sql
            else "nothing; a version that does not write what backfill fills must be gone everywhere"
            if self.backfill
            else "nothing"
        )
        new = (
            f"the version that uses {filled}"
            if filled
            else "the version that uses what expand added"
            if self.expand_sql
            else "the version that does without what contract takes away"
        )
        return {
            "expand": Guide(
                about=f"{runs}; from then on rows that are written get {filled}." if filled else f"{runs}.",
                deploy="nothing yet; the application goes on as it is"
                if filled
                else f"{new} may be deployed from here on, beside the old one",
            ),
            "backfill": Guide(
                about=f"Rows from before get {filled}, while the application writes; then every row is proven.",
                deploy=f"{new} may be deployed from here on, beside the old one",
            )
            if filled
            else nothing_to_fill(f"{new} may be deployed, beside the old one"),
            "migrate_reads": Guide(
                about="Every row is proven again: readers may rely on it." if filled else "No statements run here.",
                deploy=f"{new}, everywhere",
            ),
            "contract": Guide(
                about=("The statements of contract run" if self.contract_sql else "No statements run here")
                + (", and nothing fills rows any more." if filled else "; there is no way back."),
                deploy=gone,
            ),
        }

    @override
    def suggested_check(self) -> tuple[str, str] | None:
        """Find rows that have nothing in what was filled: an expression that does not know some value."""
        if (filled := self.backfill) is None:
            return None
        empty = sql.SQL(" AND ").join(sql.SQL("{} IS NULL").format(sql.Identifier(name)) for name in filled.set)
        query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(filled.target.identifier, empty)
        return f"{listed(filled.set)} known in every row", query.as_string(None)

    @override
    def sides(self, facts: Table) -> Sides:
        if self.backfill is None:
            return Sides.NONE
        return Sides.BOTH if self.backfill.reverse else Sides.FILLED

    @property
    @override
    def retires(self) -> bool:
        return bool(self.contract_sql)

    @property
    @override
    def forfeits(self) -> tuple[str, ...]:
        return ("what the plan's own rollback statements take away",) if self.expand_sql else ()

    @property
    @override
    def final(self) -> bool:
        return bool(self.contract_sql) and not self.rollback.contract

    @override
    def named(self) -> tuple[TableName, ...]:
        return tuple(dict.fromkeys((*super().named(), *locks(self._expand, self._contract).tables)))

    @override
    def claims(self) -> frozenset[tuple[str, str]]:
        filled = self.backfill
        return (
            frozenset((str(filled.target), name) for name in (*filled.set, *filled.reverse)) if filled else frozenset()
        )

    @override
    def made(self) -> tuple[str, ...]:
        return ()

    # ------------------------------------------------------------ what stands in the way

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        filled = self.backfill
        return (
            tuple(
                error
                for name in (*filled.set, *filled.reverse)
                if facts.column(name) is not None
                for error in unusable(facts, name)
            )
            if filled
            else ()
        )

    @override
    def warnings(self, facts: Table) -> tuple[str, ...]:
        filled = self.backfill
        if filled is None:
            return ()
        names = ", ".join(filled.set)
        replaced = (
            f"until contract, NULL in {names} is taken for not given, and replaced by its value"
            if filled.where is None
            else f"until contract, whoever writes a row in which {filled.where}, {names} is set as backfill says"
        )
        copied = f"until contract, where a row is copied whole and inserted (INSERT … SELECT *), {names} is kept"
        copied = (
            f"{copied}, and what the copy has changed in {', '.join(filled.reverse)} is lost: leave {names} out there"
            if filled.reverse
            else f"{copied} as it was copied, whatever else was changed in the copy: leave it out there"
        )
        return (replaced, copied)

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        return ()

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        return ()

    # ------------------------------------------------------------ what it does

    @override
    def outright(self) -> Outright:
        return Outright(
            expand=_plain(self._expand),
            inverse=self._taken_back,
            contract=_plain(self._contract),
            expand_locks=locks(_plain(self._expand), self._taken_back),
            contract_locks=locks(_plain(self._contract)),
            contract_inverse=self._contract_taken_back,
            undo_locks=locks(self._contract_taken_back),
            after_expand=_indexes(self._expand),
            before_contract=_indexes(self._contract),
        )

    @override
    def written(self) -> dict[str, str]:
        texts = {
            "expand": self.expand_sql,
            "contract": self.contract_sql,
            "rollback.expand": self.rollback.expand,
            "rollback.contract": self.rollback.contract,
        }
        return {key: text for key, text in texts.items() if text}

    @override
    def mappings(self, facts: Table) -> tuple[Adjustment, ...]:
        if (filled := self.backfill) is None:
            return ()

        def assigned(values: dict[str, str]) -> tuple[Assigned, ...]:
            known = ((name, facts.column(name), expression) for name, expression in values.items())
            return tuple(
                Assigned(column=name, type=column.type if column else None, expression=expression)
                for name, column, expression in known
            )

        return (Adjustment(new=assigned(filled.set), old=assigned(filled.reverse), where=filled.where),)

    @override
    def expand(self, facts: Table) -> Ddl:
        """After the plan's own statements: PostgreSQL is asked whether the trigger and the sweep will be understood."""
        tried = tuple(
            sql.SQL("EXPLAIN UPDATE ONLY {} SET {} = {} WHERE {}").format(
                facts.name.identifier, each.name, each.computed, mapping.lacking
            )
            for mapping in self.mappings(facts)
            for each in (*mapping.new, *mapping.old)
        )
        return Ddl(statements=tried, inverse=())

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        return ()

    @override
    def edits(self, facts: Facts) -> Edits:
        def each(written: tuple[Written, ...], key: str) -> tuple[Other, ...]:
            return tuple(
                Other(statement=without_concurrently(statement), says=f"{key}, statement {number}")
                for number, statement in enumerate(written, 1)
            )

        return Edits(expand=each(self._expand, "expand"), contract=each(self._contract, "contract"))


_LINE = 70
"""Characters of a statement that a summary shows."""


def _written(text: str | None, key: str) -> tuple[Written, ...]:
    return statements(text, key=key) if text else ()


def _plain(written: Iterable[Written]) -> tuple[Written, ...]:
    return tuple(each for each in written if concurrent_index(each) is None)


def _indexes(written: Iterable[Written]) -> tuple[ConcurrentIndex, ...]:
    return tuple(
        ConcurrentIndex(
            key=f"index {index.name}",
            title=f"index {index.name}, {each.place()}",
            table=index.table,
            name=index.name,
            unique=index.unique,
            tail=index.tail,
        )
        for each in written
        if (index := concurrent_index(each)) is not None
    )


def _refuse(written: Iterable[Written]) -> None:
    found = [f"{each.place()}: {_shown(each)}: {why}" for each in written if (why := refusal(each)) is not None]
    if found:
        raise ValueError("; ".join(found))


def _refuse_order(written: tuple[Written, ...], *, last: bool) -> None:
    """An index is built outside of the transaction: after that of expand, before that of contract."""
    concurrent = [concurrent_index(each) is not None for each in written]
    if concurrent != sorted(concurrent, reverse=not last):
        where = "after" if last else "before"
        key = written[0].key
        raise ValueError(f"{key}: ecm builds an index {where} the other statements, which are one transaction: put"
                         f" CREATE INDEX CONCURRENTLY {'last' if last else 'first'}")  # fmt: skip


def _refuse_mixed(written: Iterable[Written], built: frozenset[TableName]) -> None:
    """An index that ecm built it takes away itself, and a statement that drops it is not sent."""
    for each in written:
        dropped = dropped_indexes(each)
        if (ours := built.intersection(dropped)) and not ours.issuperset(dropped):
            raise ValueError(
                f"{each.place()}: {_shown(each)}: ecm takes {listed(sorted(map(str, ours)))} away where it was"
                " built: drop the others in a statement of their own"
            )


def _refuse_indexes(written: Iterable[Written]) -> None:
    for each in written:
        if concurrent_index(each) is not None:
            raise ValueError(
                f"{each.place()}: {_shown(each)}: the way back is one transaction: build the index plainly"
            )


def _shown(written: Written) -> str:
    line = " ".join(written.text.split())
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"
