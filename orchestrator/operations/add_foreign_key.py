"""Add a FOREIGN KEY: rows that point to nothing are repaired, those too that old writers write.

A row that is written before the one it points to is repaired like any other, since a BEFORE trigger cannot see what
the statement has yet to do. Its own value is given back at the end of the statement or the transaction; where the
other row comes later than that, by the next sweep, and for the last time under contract's lock (decision 31).
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from pydantic import Field, model_validator
from typing_extensions import override

from orchestrator.operations import constraints, rehearsing
from orchestrator.operations.add_column import Reference
from orchestrator.operations.base import ColumnField
from orchestrator.operations.repairing import Constraining
from orchestrator.sql.edits import AddForeignKey as Kept
from orchestrator.sql.edits import Edits, Facts
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.repair import Repair, is_repaired
from orchestrator.sql.steps import LockMode, Statement, Step, Transaction
from orchestrator.words import a, listed

Action = Literal["no action", "restrict", "cascade", "set null", "set default"]


class AddForeignKey(Constraining):
    """Columns point to rows of another table, and are a FOREIGN KEY from contract on."""

    kind: Literal["add_foreign_key"] = "add_foreign_key"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    columns: Annotated[tuple[ColumnField, ...], Field(min_length=1, description="A column that points")]
    references: Annotated[Reference, Field(description="What they point to: {table: authors, columns: [id]}")]
    on_delete: Annotated[Action | None, Field(description="What happens when the row pointed to goes")] = None
    on_update: Annotated[Action | None, Field(description="What happens when its key changes")] = None

    example: ClassVar[str] = (
        "orders orders_book_id_fkey --columns book_id --references 'books(id)' --using 'book_id = NULL'"
        " --on-delete 'set null'"
    )
    by_key: ClassVar[bool] = True
    later: ClassVar[str] = "One written before what it points to has its own value back once that is there."

    @model_validator(mode="after")
    def _one_for_each(self) -> "AddForeignKey":
        if len(self.references.columns) != len(self.columns):
            raise ValueError(
                f"columns has {len(self.columns)} and references.columns {len(self.references.columns)};"
                " name the column that each of them points to"
            )
        return self

    @property
    @override
    def summary(self) -> str:
        return f"{self.target} ({', '.join(self.columns)}) points to {self.references.target}"

    @property
    @override
    def broken(self) -> str:
        return f"rows with {a(listed(self.columns))} that is not in {self.references.target}"

    @property
    @override
    def kept(self) -> str:
        return f"{self.name} is a FOREIGN KEY"

    @property
    @override
    def ending(self) -> str:
        return f"leave rows to the foreign key {self.name}"

    @property
    @override
    def ruled(self) -> tuple[str, ...]:
        return self.columns

    @property
    def _what(self) -> str:
        return f"{a(' and '.join(self.columns))} that is in {self.references.target}, or none"

    @override
    def mentions(self) -> frozenset[tuple[str, str]]:
        pointed = frozenset((str(self.references.target), column) for column in self.references.columns)
        return super().mentions() | pointed

    @override
    def rule(self, facts: Table) -> Repair:
        replacements = self.replacements(facts)
        by_column = {each.column: each for each in replacements}

        def own(column: str) -> sql.Composable:
            return by_column[column].own if column in by_column else sql.Identifier(column)

        return Repair(
            columns=self.columns,
            demand=f"{self._what} ({self.name})",
            replacements=replacements,
            met=self.met,
            elsewhere=True,
            violated=self._astray(sql.Identifier),
            healed=sql.SQL("{} AND NOT {}").format(is_repaired(replacements), self._astray(own))
            if replacements
            else None,
            table=facts.name,
            key=facts.key,
        )

    def _astray(self, value: Callable[[str], sql.Composable]) -> sql.Composed:
        """Return a condition over the row: it points to nothing (MATCH SIMPLE: a NULL in it points nowhere, rightly).

        The row's own values get names of their own first, so that none is taken for a column of the other table.
        """
        numbers = range(len(self.columns))
        pointing = [sql.SQL("{} AS {}").format(value(self.columns[n]), sql.Identifier(f"to {n}")) for n in numbers]
        itself = self.references.target == self.target
        if itself:
            keys = self.references.columns
            pointing += [
                sql.SQL("{} AS {}").format(sql.Identifier(keys[n]), sql.Identifier(f"of {n}")) for n in numbers
            ]
        met = sql.SQL(" AND ").join(
            sql.SQL('"other".{} = "this".{}').format(sql.Identifier(key), sql.Identifier(f"to {n}"))
            for n, key in enumerate(self.references.columns)
        )
        own = sql.SQL(" AND ").join(
            sql.SQL('"this".{} = "this".{}').format(sql.Identifier(f"of {n}"), sql.Identifier(f"to {n}"))
            for n in numbers
        )
        return sql.SQL(
            '(SELECT {given} AND NOT EXISTS (SELECT FROM {other} AS "other" WHERE {met}){not_itself}'
            ' FROM (SELECT {pointing}) AS "this")'
        ).format(
            given=sql.SQL(" AND ").join(
                sql.SQL('"this".{} IS NOT NULL').format(sql.Identifier(f"to {n}")) for n in numbers
            ),
            other=self.references.target.identifier,
            met=met,
            not_itself=sql.SQL(" AND ({}) IS NOT TRUE").format(own) if itself else sql.SQL(""),
            pointing=sql.SQL(", ").join(pointing),
        )

    @property
    def _definition(self) -> sql.Composed:
        return sql.SQL("FOREIGN KEY ({}) REFERENCES {}{}{}{}").format(
            sql.SQL(", ").join(map(sql.Identifier, self.columns)),
            self.references.target.identifier,
            self.references.columns_of_it,
            _action("DELETE", self.on_delete),
            _action("UPDATE", self.on_update),
        )

    @override
    def tried(self, facts: Table) -> Transaction:
        tried = super().tried(facts)
        return replace(tried, statements=(*self._is_a_key(), *tried.statements))

    def _is_a_key(self) -> Iterable[Statement]:
        """Have PostgreSQL refuse now what it would refuse at contract: to point to what need not be one row."""
        other, keys = self.references.target, self.references.columns
        body = sql.SQL(
            "BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = {other}::pg_catalog.regclass"
            " AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL"
            " AND (SELECT pg_catalog.array_agg(a.attname::text ORDER BY a.attname)"
            " FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY u (number, place)"
            " JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.number"
            " WHERE u.place <= i.indnkeyatts) = {keys}::text[])"
            " THEN RAISE {refusal} USING ERRCODE = 'invalid_foreign_key'; END IF; END"
        ).format(
            other=sql.Literal(other.identifier.as_string(None)),
            keys=sql.Literal(sorted(keys)),
            refusal=sql.Literal(f"there is no unique constraint on {', '.join(keys)} of {other}".replace("%", "%%")),
        )
        yield sql.SQL("DO {}").format(sql.Literal(body.as_string(None)))

    def _constraint(self, facts: Table) -> tuple[Iterable[Step], Iterable[Step]]:
        """Return what adds it and what validates it: PostgreSQL before 18 adds none NOT VALID to a partitioned table.

        There each partition gets its own, and at contract the table itself, which takes those for its parts.
        """
        steps: list[tuple[Step, ...]] = []
        for heap in facts.partitions or (facts.name,):
            found = constraints.validated(
                replace(facts, name=heap, partitions=()),
                self.name,
                self._definition,
                what=self._what,
                also=(self.references.target,) if self.references.target != heap else (),
                lock=LockMode.SHARE_ROW_EXCLUSIVE,
            )
            steps.append(tuple(replace(step, key=f"{step.key} on {heap}") for step in found))
        return [hold for hold, _ in steps], [validate for _, validate in steps]

    @override
    def hold(self, facts: Table) -> tuple[Step, ...]:
        return tuple(self._constraint(facts)[0])

    @override
    def rehearsed(self, facts: Table) -> tuple[Statement, ...]:
        other = self.references
        return (
            *rehearsing.copy(facts),
            *rehearsing.foreign_key(facts, self.columns, other.target, other.columns_of_it),
        )

    @override
    def before_contract(self, facts: Table) -> tuple[Step, ...]:
        return (*super().before_contract(facts), *self._constraint(facts)[1])

    @override
    def also_locked(self, facts: Table) -> tuple[TableName, ...]:
        return (self.references.target,) if facts.partitions else ()

    @override
    def contract(self, facts: Table) -> tuple[Statement, ...]:
        whole = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
            self.target.identifier, sql.Identifier(self.name), self._definition
        )
        return (*super().contract(facts), *((whole,) if facts.partitions else ()))

    @override
    def edits(self, facts: Facts) -> Edits:
        kept = Kept(
            table=self.target,
            name=self.name,
            columns=self.columns,
            to=self.references.target,
            to_columns=self.references.columns,
            on_delete=self.on_delete,
            on_update=self.on_update,
        )
        return Edits(contract=(kept,))


def _action(event: str, action: str | None) -> sql.Composable:
    return verbatim(f" ON {event} {action.upper()}" if action else "")
