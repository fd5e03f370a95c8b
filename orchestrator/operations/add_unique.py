"""Add a UNIQUE constraint: of rows with the same values one keeps them, and the others are repaired.

The row that was there first keeps its values: of those that are stored, the one with the smallest key; of one that
is being written, any other. Two writers that do not see each other's rows yet are not made to wait for one another
(decision 18): the sweep of the next phase repairs what they made, and the last one comes right before the index.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import Field
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.operations.base import ColumnField
from orchestrator.operations.repairing import Constraining
from orchestrator.sql.edits import AddUnique as Kept
from orchestrator.sql.edits import Edits, Facts
from orchestrator.sql.facts import Index, Table
from orchestrator.sql.identifiers import NAME_BYTES, TableName, bounded
from orchestrator.sql.repair import Repair, Replacement, is_repaired, kept
from orchestrator.sql.steps import ConcurrentIndex, Statement, Step, Transaction
from orchestrator.words import listed


class AddUnique(Constraining):
    """No two rows have the same values, and the columns are UNIQUE from contract on."""

    kind: Literal["add_unique"] = "add_unique"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    columns: Annotated[tuple[ColumnField, ...], Field(min_length=1, description="A column that is unique, with others")]

    example: ClassVar[str] = """users users_email_key --columns email --using "email = id || '.' || email\""""
    by_key: ClassVar[bool] = True
    later: ClassVar[str] = "What two sessions write at one moment is repaired in the next phase."

    @property
    @override
    def summary(self) -> str:
        return f"{self.target} ({', '.join(self.columns)}) becomes unique"

    @property
    @override
    def broken(self) -> str:
        return f"rows with the {listed(self.columns)} of another"

    @property
    @override
    def kept(self) -> str:
        return f"{self.name} is a UNIQUE constraint"

    @property
    @override
    def ending(self) -> str:
        return f"make {listed(self.columns)} unique"

    @property
    @override
    def ruled(self) -> tuple[str, ...]:
        return self.columns

    @property
    @override
    def distinct(self) -> frozenset[str]:
        return frozenset(self.columns)

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        keyless = PreconditionError(
            f"{self.target} has no primary key, so nothing tells which of two rows was there first",
            hint="leave out `using`; without that, rows that share their values are named for you to set right",
        )
        missing = [column.name for column in facts.columns if column.partition_key and column.name not in self.columns]
        return (
            *super().problems(facts),
            *((keyless,) if self.using and not facts.key else ()),
            *(
                PreconditionError(
                    f"{self.target} is partitioned by {listed(missing)}, which {self.name} lacks",
                    details=["a unique constraint of a partitioned table holds the partition key"],
                    hint="add the partition key to `columns`",
                )
                for _ in missing[:1]
            ),
        )

    @override
    def rule(self, facts: Table) -> Repair:
        replacements = self.replacements(facts)
        was = self._own(replacements)
        return Repair(
            columns=self.columns,
            demand=f"unique {' and '.join(self.columns)} ({self.name})",
            replacements=replacements,
            elsewhere=True,
            violated=self._shared(facts, _first(facts, replacements)),
            arriving=self._shared(facts, _apart()),
            table=facts.name,
            key=facts.key,
            healed=sql.SQL("{} AND NOT {}").format(is_repaired(replacements), self._shared(facts, _apart(), was))
            if replacements
            else None,
            yields=self._shared(
                facts, _repaired_before(facts, replacements), was, theirs=kept(self.columns, replacements)
            ),
            whole=self._among_all(facts),
            met=self.met,
        )

    def _among_all(self, facts: Table) -> sql.Composed:
        """Return the condition that a row shares its values, by one look at the whole table for all of them."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        return sql.SQL("({columns}) IN (SELECT {columns} FROM {table} GROUP BY {columns} HAVING count(*) > 1)").format(
            columns=columns, table=facts.name.identifier
        )

    def _own(self, replacements: tuple[Replacement, ...]) -> tuple[sql.Composable, ...]:
        """Return the values that a row has by itself."""
        own = {each.column: each.own for each in replacements}
        return tuple(own.get(column, sql.Identifier(column)) for column in self.columns)

    def _shared(
        self,
        facts: Table,
        but: "_But",
        values: Iterable[sql.Composable] | None = None,
        theirs: Iterable[sql.Identifier] | None = None,
    ) -> sql.Composed:
        """Return a condition over the row: another one has the same values, and `but` holds between the two.

        What is taken of the row gets a name of its own first, so that none is taken for a column of the other.

        Args:
            facts: of the table.
            but: what else.
            values: those of the row, where they are not what stands in its columns.
            theirs: the other's columns that they are compared with, where these are not the same.
        """
        columns = tuple(map(sql.Identifier, self.columns))
        taken = [(value, sql.Identifier(f"is {n}")) for n, value in enumerate(values or columns)]
        same = (
            sql.SQL('"other".{} = "this".{}').format(column, name)
            for column, (_, name) in zip(theirs or columns, taken, strict=True)
        )
        return sql.SQL(
            'EXISTS (SELECT FROM (SELECT {this}) AS "this", {table} AS "other" WHERE {same} AND {but})'
        ).format(
            this=sql.SQL(", ").join(sql.SQL("{} AS {}").format(*pair) for pair in (*taken, *but.taken)),
            table=facts.name.identifier,
            same=sql.SQL(" AND ").join(same),
            but=but.condition,
        )

    # ------------------------------------------------------------ indexes

    def _name(self, heap: TableName, facts: Table) -> str:
        """Return the name of the index on a heap; on a partition, the one that PostgreSQL itself would give it."""
        if heap == facts.name:
            return self.name
        name = "_".join((heap.name, *self.columns, "key"))
        return name if len(name.encode()) <= NAME_BYTES else bounded(heap.name, *self.columns, "key")

    def _index(self, heap: TableName, name: str, *, unique: bool) -> ConcurrentIndex:
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns)).as_string(None)
        return ConcurrentIndex(
            key=f"index {name} on {heap}",
            title=f"index that keeps {', '.join(self.columns)} unique" if unique else "index by which rows find others",
            table=heap,
            name=name,
            unique=unique,
            tail=f" USING btree ({columns})",
            note="" if unique else "goes at contract, when the constraint's own index serves for it",
        )

    def _helpers(self, facts: Table) -> tuple[ConcurrentIndex, ...]:
        """Return the indexes without which each write would read the whole table; none where one serves already."""
        name = bounded(self.name, "ecm")
        if any(_serves(index, self.columns) for index in facts.indexes if index.name not in (name, self.name)):
            return ()
        if not facts.partitions:
            return (self._index(facts.name, name, unique=False),)
        return tuple(self._index(heap, bounded(self.name, heap.name, "ecm"), unique=False) for heap in facts.partitions)

    @override
    def tried(self, facts: Table) -> Transaction:
        tried = super().tried(facts)
        free = (_free(TableName(heap.schema, self._name(heap, facts))) for heap in facts.partitions or (facts.name,))
        return replace(tried, statements=(*free, *tried.statements))

    @override
    def before_expand(self, facts: Table) -> tuple[Step, ...]:
        return (*super().before_expand(facts), *self._helpers(facts))

    @override
    def before_contract(self, facts: Table) -> tuple[Step, ...]:
        heaps = facts.partitions or (facts.name,)
        return (
            *super().before_contract(facts),
            *(self._index(heap, self._name(heap, facts), unique=True) for heap in heaps),
        )

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        whole = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} UNIQUE ({})").format(
            self.target.identifier, sql.Identifier(self.name), columns
        )
        return (
            *super().contract(facts),
            *(
                sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(helper.table.schema, helper.name))
                for helper in self._helpers(facts)
            ),
            *(
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}").format(
                    heap.identifier, name=sql.Identifier(self._name(heap, facts))
                )
                for heap in facts.partitions or (facts.name,)
            ),
            # Takes the constraints of the partitions for its parts, and builds nothing.
            *((whole,) if facts.partitions else ()),
        )

    @override
    def edits(self, facts: Facts) -> Edits:
        return Edits(contract=(Kept(table=self.target, name=self.name, columns=self.columns),))


def _free(index: TableName) -> Statement:
    """Have PostgreSQL refuse now what it would refuse at contract: an index by the name of another relation."""
    body = sql.SQL(
        "BEGIN IF pg_catalog.to_regclass({}) IS NOT NULL THEN RAISE {} USING ERRCODE = 'duplicate_table'; END IF; END"
    ).format(
        sql.Literal(index.identifier.as_string(None)),
        sql.Literal(f"the name {index} is taken".replace("%", "%%")),
    )
    return sql.SQL("DO {}").format(sql.Literal(body.as_string(None)))


@dataclass(frozen=True, kw_only=True)
class _But:
    """What else is to be so of "other" and "this", two rows with the same values.

    Attributes:
        taken: what is taken of the row, and its names in "this".
    """

    taken: tuple[tuple[sql.Composable, sql.Identifier], ...]
    condition: sql.Composed


_PLACE = (sql.SQL("tableoid"), sql.SQL("ctid"))
"""What no two rows share that are stored. While a row is written, the trigger gives it its old version's."""


def _first(facts: Table, replacements: tuple[Replacement, ...]) -> _But:
    """The other has a better right to the values: it was not repaired, or comes first by its key."""
    key = tuple(map(sql.Identifier, facts.key)) or _PLACE
    order = (is_repaired(replacements), *key)
    theirs = (is_repaired(replacements, '"other".'), *(sql.SQL('"other".{}').format(each) for each in key))
    names = tuple(sql.Identifier(f"own {n}") for n in range(len(order)))
    apart = _apart()
    return _But(
        taken=(*zip(order, names, strict=True), *apart.taken),
        condition=sql.SQL("({}) < ({}) AND {}").format(
            sql.SQL(", ").join(theirs),
            sql.SQL(", ").join(sql.SQL('"this".{}').format(name) for name in names),
            apart.condition,
        ),
    )


def _apart() -> _But:
    """The other is not the row itself, as it is stored before the write."""
    names = (sql.Identifier("table"), sql.Identifier("place"))
    return _But(
        taken=tuple(zip(_PLACE, names, strict=True)),
        condition=sql.SQL('("other".tableoid, "other".ctid) IS DISTINCT FROM ("this".{}, "this".{})').format(*names),
    )


def _repaired_before(facts: Table, replacements: tuple[Replacement, ...]) -> _But:
    """The other was repaired too, and comes first by its key."""
    pairs = tuple((sql.Identifier(name), sql.Identifier(f"own {n}")) for n, name in enumerate(facts.key))
    return _But(
        taken=pairs,
        condition=sql.SQL("{} AND ({}) < ({})").format(
            is_repaired(replacements, '"other".'),
            sql.SQL(", ").join(sql.SQL('"other".{}').format(name) for name, _ in pairs),
            sql.SQL(", ").join(sql.SQL('"this".{}').format(name) for _, name in pairs),
        ),
    )


def _serves(index: Index, columns: tuple[str, ...]) -> bool:
    """Whether an index finds rows by these columns."""
    first = {key[1:-1].replace('""', '"') if key.startswith('"') else key for key in index.spelled[: len(columns)]}
    return (
        index.valid and first == set(columns) and index.tail.startswith(" USING btree") and " WHERE " not in index.tail
    )
