"""What kinds share that put a rule on a table: rows that break it are repaired in place, or refuse the plan."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

from psycopg import sql
from pydantic import Field
from typing_extensions import override

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.operations import trying
from orchestrator.operations.base import (
    KEY,
    ColumnField,
    Guide,
    NewColumnField,
    OnTable,
    begun_with,
    nothing_to_fill,
)
from orchestrator.operations.sides import Sides
from orchestrator.sql.facts import Dependent, Index, Table
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, bounded, verbatim, words
from orchestrator.sql.repair import Repair, Replacement, is_repaired, kept
from orchestrator.sql.steps import ConcurrentIndex, Statement, Step, Transaction
from orchestrator.sql.sync import Ddl
from orchestrator.sql.value import Value
from orchestrator.words import did_you_mean, kebab

Expression = Annotated[str, Field(min_length=1)]
"""A SQL expression over the row."""


class Repairing(OnTable):
    """A rule for the rows of a table."""

    standing: ClassVar[str] = "stands on what contract drops"
    fate: ClassVar[str] = "stay as they are"
    by_key: ClassVar[bool] = False
    """Whether rows are told apart by the table's primary key, which may not be renamed meanwhile."""
    later: ClassVar[str] = ""
    """What is repaired in the next phase only, a sentence; empty where all is repaired as it is written."""

    @property
    @abstractmethod
    def repairs(self) -> Mapping[str, Expression]:
        """The value, by column, that a row which breaks the rule gets instead; empty where none is repaired."""

    @property
    @abstractmethod
    def ruled(self) -> tuple[str, ...]:
        """The columns that the rule is about, as far as the plan names them."""

    @property
    @abstractmethod
    def broken(self) -> str:
        """The rows that break it, as a person calls them: `rows without a year`."""

    @property
    @abstractmethod
    def kept(self) -> str:
        """What keeps rows to it in the end: `year is NOT NULL`."""

    @override
    def guide(self) -> Mapping[str, Guide]:
        keeps = f"the version that writes no {self.broken}"
        contract = Guide(
            about=f"{self.kept}: PostgreSQL refuses {self.broken}.",
            deploy=f"nothing; a version that writes {self.broken} must be gone everywhere",
        )
        if not self.repairs:
            return {
                "expand": Guide(
                    about=f"Nothing is written: {self.broken} are counted and named, and stop the plan.", deploy=keeps
                ),
                "backfill": nothing_to_fill(keeps),
                "migrate_reads": Guide(
                    about=f"Every row is read again: {self.broken} stop the plan.", deploy=f"{keeps}, everywhere"
                ),
                "contract": contract,
            }
        return {
            "expand": Guide(
                about=f"From here on {self.broken} are repaired as they are written. {self.later}".rstrip(),
                deploy="nothing yet; the application goes on as it is",
            ),
            "backfill": Guide(
                about="Rows from before are repaired, while the application writes; then every row is proven.",
                deploy=f"{keeps} may be deployed from here on, beside the old one",
            ),
            "migrate_reads": Guide(
                about="Every row is proven again: readers may rely on the rule.", deploy=f"{keeps}, everywhere"
            ),
            "contract": contract,
        }

    @abstractmethod
    def rule(self, facts: Table) -> Repair:
        """The rule itself, with what repairs it."""

    @override
    def synced(self) -> tuple[TableName, ...]:
        return self.tables() if self.repairs else ()

    @override
    def claims(self) -> frozenset[tuple[str, str]]:
        return frozenset((str(self.target), column) for column in (*self.ruled, *self.repairs))

    @override
    def touched(self, table: TableName) -> frozenset[str]:
        """Nothing has to be known of what stands on a column whose values alone change."""
        return frozenset()

    @override
    def made(self) -> tuple[str, ...]:
        return ()

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        return (
            *(error for name in dict.fromkeys((*self.ruled, *self.repairs)) for error in _unreadable(facts, name)),
            *(error for name in self.repairs for error in _unwritable(facts, name)),
        )

    @override
    def warnings(self, facts: Table) -> tuple[str, ...]:
        if self.repairs:
            return ()
        return ("old writers are not kept from breaking it: until contract, a row that does stops the plan",)

    @override
    def unfollowed(self, facts: Table) -> tuple[Dependent, ...]:
        return ()

    @override
    def standing_on(self, facts: Table) -> tuple[Dependent, ...]:
        return ()

    def replacements(self, facts: Table, *, of_null: bool = False) -> tuple[Replacement, ...]:
        """Return what replaces values in rows that break the rule."""
        return tuple(
            Replacement(
                column=name,
                type=column.plain_type,
                expression=expression,
                of_null=of_null,
                of_domain=column.type != column.plain_type,
            )
            for name, expression in self.repairs.items()
            for column in [begun_with(facts, name)]
        )

    @override
    def mentions(self) -> frozenset[tuple[str, str]]:
        key = (KEY,) if self.by_key and self.repairs else ()
        return frozenset((str(self.target), word) for word in (*words(*self.repairs.values()), *key))

    @override
    def sides(self, facts: Table) -> Sides:
        return Sides.REPAIRED if self.repairs else Sides.RULE

    @property
    @override
    def retires(self) -> bool:
        return False

    @override
    def mappings(self, facts: Table) -> tuple[Repair, ...]:
        return (self.rule(facts),) if self.repairs else ()

    @override
    def demands(self, facts: Table) -> tuple[Repair, ...]:
        return () if self.repairs else (self.rule(facts),)

    @override
    def before_expand(self, facts: Table) -> tuple[Step, ...]:
        return (self.tried(facts),)

    def tried(self, facts: Table) -> Transaction:
        """Return the step that tries the rule, and what repairs rows that break it, on rows that are there."""
        hidden = self._hidden(facts)
        values = [value.computed for value in self._values(facts)]
        heap = facts.partitions[0] if facts.partitions else facts.name
        broken = replace(self.rule(facts), replacements=()).at_once.mismatch
        tried = sql.SQL('SELECT {} FROM (SELECT {}, ctid, tableoid FROM ONLY {} LIMIT {}) AS "row" WHERE {}').format(
            sql.SQL(", ").join(sql.SQL("pg_catalog.count({})").format(value) for value in values or [sql.SQL("*")]),
            _readable(facts, without=hidden),
            heap.identifier,
            sql.Literal(trying.ROWS),
            broken,
        )
        assigned = [sql.SQL("{}::{}").format(each.computed, verbatim(each.type)) for each in self._values(facts)]
        every = sql.SQL('SELECT {} FROM (SELECT {}, ctid, tableoid FROM {}) AS "row" WHERE {}').format(
            sql.SQL(", ").join(sql.SQL("pg_catalog.count({})").format(each) for each in assigned),
            _readable(facts, without=hidden),
            facts.name.identifier,
            broken,
        )
        # What is assigned may be of another type than what is computed, or of that and too large.
        thorough = (*trying.understood(facts, self._values(facts), without=hidden), every) if assigned else ()
        return Transaction(
            key=f"try {self.slug}",
            title=f"try the rule on rows that are there: {self.summary}",
            tables=(facts.name,),
            lock=None,
            statements=(tried,),
            inverse=(),
            note="reads only",
            thorough=tuple(("using", statement) for statement in thorough),
        )

    def _values(self, facts: Table) -> tuple[Value, ...]:
        return tuple(
            Value(column=name, type=begun_with(facts, name).type, expression=expression)
            for name, expression in self.repairs.items()
        )

    @override
    def expand(self, facts: Table) -> Ddl:
        if not self.repairs:
            return Ddl(statements=(), inverse=())
        table, hidden = self.target.identifier, self._hidden(facts)
        # As the trigger will read it: a BEFORE trigger knows no generated column.
        parsed = sql.SQL('EXPLAIN SELECT FROM (SELECT {}, {}, ctid, tableoid FROM ONLY {}) AS "row" WHERE {}').format(
            _readable(facts, without=hidden),
            sql.SQL(", ").join(map(sql.Identifier, hidden)),
            table,
            self.rule(facts).violated,
        )
        return Ddl(
            statements=(
                self._meets(facts),
                *(
                    sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(table, sql.Identifier(name), verbatim(type_name))
                    for name, type_name in hidden.items()
                ),
                parsed,
                *trying.understood(facts, self._values(facts), without=hidden),
            ),
            inverse=(*self._drops(facts, sql.SQL("DROP COLUMN IF EXISTS")), self._forget),
        )

    @override
    def before_contract(self, facts: Table) -> tuple[Step, ...]:
        """An index of the rows that are repaired: of those that are healed by then, contract takes a last look."""
        if not (self.repairs and self.rule(facts).at_last):
            return ()
        rule = self.rule(facts)
        columns = sql.SQL(", ").join(kept(rule.columns, rule.replacements)).as_string(None)
        where = is_repaired(rule.replacements).as_string(None)
        return tuple(
            ConcurrentIndex(
                key=f"index of repaired rows for {self.slug} on {heap}",
                title="index of the rows that are repaired",
                table=heap,
                name=bounded(self.slug, heap.name, "ecm_repaired"),
                unique=False,
                tail=f" USING btree ({columns}) WHERE {where}",
                note="goes with the columns that hold what these rows had",
            )
            for heap in facts.partitions or (facts.name,)
        )

    @property
    def _function(self) -> sql.Identifier:
        return sql.Identifier(JOURNAL_SCHEMA, bounded("met", self.target.qualified, self.slug))

    @property
    def met(self) -> sql.Composed:
        """The call, in the trigger, of what tells whether an INSERT of NEW meets a stored row."""
        return sql.SQL("{}(NEW)").format(self._function)

    def _meets(self, facts: Table) -> Statement:
        """Return what makes that function, of the unique indexes that the table has now.

        It is apart from the trigger's, which has to be the same as long as the plan is under way, whatever indexes
        come and go.
        """
        meetings = [
            _meeting(facts.name, index) for index in facts.indexes if index.unique and index.valid and index.spelled
        ]
        met = sql.SQL(" OR ").join(meetings or [sql.SQL("false")])
        # An index that went since, with its column, is met by no row; PL/pgSQL finds out when it runs.
        body = sql.SQL(
            '#variable_conflict use_column\nBEGIN RETURN (SELECT {} FROM (SELECT $1.*) AS "row"); EXCEPTION'
            " WHEN undefined_column OR undefined_table OR undefined_function THEN RETURN false; END"
        ).format(met)
        return sql.SQL(
            "CREATE OR REPLACE FUNCTION {}({}) RETURNS boolean LANGUAGE plpgsql SET search_path = {}, pg_temp AS {}"
        ).format(
            self._function,
            facts.name.identifier,
            verbatim(facts.search_path),
            sql.Literal(body.as_string(None)),
        )

    @property
    def _forget(self) -> Statement:
        return sql.SQL("DROP FUNCTION IF EXISTS {}({})").format(self._function, self.target.identifier)

    def _hidden(self, facts: Table) -> dict[str, str]:
        return {name: type_name for each in self.rule(facts).replacements for name, type_name in each.hidden.items()}

    def _drops(self, facts: Table, how: sql.SQL) -> tuple[Statement, ...]:
        return tuple(
            sql.SQL("ALTER TABLE {} {} {}").format(self.target.identifier, how, sql.Identifier(name))
            for name in reversed(self._hidden(facts))
        )

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        return (*self._drops(facts, sql.SQL("DROP COLUMN")), self._forget) if self.repairs else ()


class Constraining(Repairing):
    """A rule that is a constraint with a name."""

    name: Annotated[NewColumnField, Field(description="The constraint's name")]
    using: Annotated[
        dict[ColumnField, Expression],
        Field(description="What repairs a row that breaks it, over the row: {column: expression}"),
    ] = {}  # noqa: RUF012 - pydantic copies it

    @override
    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @property
    @override
    def repairs(self) -> Mapping[str, Expression]:
        return self.using

    @property
    @override
    def slug(self) -> str:
        return f"add-{kebab(self.name)}"

    @override
    def claims(self) -> frozenset[tuple[str, str]]:
        return super().claims() | {(str(self.target), f"constraint {self.name}")}

    @override
    def problems(self, facts: Table) -> tuple[EcmError, ...]:
        taken = PreconditionError(
            f"{self.target} already has a constraint {self.name}", hint="choose another `name` in the plan"
        )
        return (*super().problems(facts), *((taken,) if self.name in facts.constraints else ()))


def _readable(facts: Table, *, without: Iterable[str] = ()) -> sql.Composed:
    hidden = set(without)
    return sql.SQL(", ").join(
        sql.Identifier(column.name) for column in facts.columns if not column.generated and column.name not in hidden
    )


def _meeting(table: TableName, index: Index) -> sql.Composed:
    """Return a condition over "row": a stored row has the same keys in a unique index.

    Keys and predicate are PostgreSQL's own text, of columns without their table's name: so each side is read where
    no other columns are in sight.
    """
    keys = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(verbatim(key), sql.Identifier(f"key {n}")) for n, key in enumerate(index.spelled)
    )
    where = sql.SQL(" WHERE {}").format(verbatim(index.predicate)) if index.predicate else sql.SQL("")
    same = (sql.SQL('"other".{0} = "this".{0}').format(sql.Identifier(f"key {n}")) for n in range(len(index.spelled)))
    return sql.SQL(
        'EXISTS (SELECT FROM (SELECT {keys} FROM {table}{where}) AS "other",'
        ' (SELECT {keys}{where}) AS "this" WHERE {same})'
    ).format(keys=keys, table=table.identifier, where=where, same=sql.SQL(" AND ").join(same))


def _unreadable(facts: Table, name: str) -> Iterable[EcmError]:
    column = facts.column(name)
    if column is None:
        yield PreconditionError(
            f"column {name} of {facts.name} does not exist",
            details=[did_you_mean(name, (column.name for column in facts.columns))],
            hint="correct the plan",
        )
    elif column.generated:
        yield PreconditionError(
            f"{facts.name}.{name} is a generated column",
            details=["nobody writes it, so it cannot be repaired as it is written"],
            hint="put the rule on the columns it is made of",
        )


def _unwritable(facts: Table, name: str) -> Iterable[EcmError]:
    column = facts.column(name)
    if column is not None and column.partition_key:
        yield PreconditionError(
            f"{facts.name}.{name} is part of the partition key",
            details=["PostgreSQL does not move a row to another partition from within a BEFORE trigger"],
            hint="leave it out of `using`; without that, rows that break the rule are named for you to set right",
        )
    if column is not None and column.identity:
        yield PreconditionError(
            f"{facts.name}.{name} is an identity column",
            details=["its values come from a sequence, and are not ecm's to replace"],
            hint="leave it out of `using`",
        )
