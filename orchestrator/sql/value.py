"""A column of one side of a mapping, whose value an expression gives in terms of the row."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from psycopg import sql

from orchestrator.sql import plpgsql
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, verbatim
from orchestrator.sql.mapping import Hiding, named


@dataclass(frozen=True, kw_only=True)
class Value:
    """A column of one side of a conversion.

    Attributes:
        type: as in the catalog.
        expression: its value in terms of the other side's columns; None where it cannot be told.
        default: its constant default, as SQL; None where a column not given is NULL.
        default_varies: whether one that is not given has a value by which nobody can tell that.
        not_null: whether it may not be NULL once contract is over.
        scope: (name, column): under which names the expression finds the columns that it is made of; empty where
            those are the columns' own.
        attempt: the function in the journal's schema that evaluates an expression which may fail, as
            `'many'::integer` does; None where it cannot, or may not. SQL has no other way to go on after an error
            ("Trapping Errors", manual 43.6.8). Only ecm calls it: who writes has no rights on that schema.
    """

    column: str
    type: str
    expression: str | None
    default: str | None = None
    default_varies: bool = False
    not_null: bool = False
    scope: tuple[tuple[str, str], ...] = ()
    attempt: str | None = None

    @property
    def name(self) -> sql.Identifier:
        """The column as an identifier."""
        return sql.Identifier(self.column)

    @property
    def computed(self) -> sql.Composed:
        """Its expression over the row."""
        expression = sql.SQL("({})").format(verbatim(self.expression or "NULL"))
        return expression if all(name == column for name, column in self.scope) else named(expression, self.scope)

    def hidden(self, how: Hiding) -> "Value":
        """Return the same of a column, and over columns, of which contract keeps some out of sight."""
        scope = tuple((name, how.name(column)) for name, column in self.scope) or how.scope(self.expression)
        return replace(self, column=how.name(self.column), scope=scope)

    @property
    def follows(self) -> sql.Composed:
        """A condition over the row: it is what its expression gives."""
        return sql.SQL("{} IS TRUE").format(self._call(self.name)) if self.attempt else self.is_computed

    @property
    def is_computed(self) -> sql.Composed:
        """The same, or the error that the expression ends in."""
        return sql.SQL("pg_catalog.record_image_eq(ROW({}), ROW({}::{}))").format(
            self.name, self.computed, verbatim(self.type)
        )

    @property
    def fails(self) -> sql.Composed:
        """A condition over the row: its expression cannot be evaluated, and it has no value."""
        if self.attempt is None:
            return sql.Composed([sql.SQL("false")])
        return sql.SQL("({} IS NOT DISTINCT FROM NULL AND {} IS NULL)").format(self.name, self._call(self.name))

    @property
    def filling(self) -> sql.Composed:
        """Its expression over the row, as a sweep sets it: NULL where it fails."""
        return self._call() if self.attempt else self.computed

    def _call(self, *more: sql.Composable) -> sql.Composed:
        """Return a call of the function that attempts the expression.

        With a row alone it gives the value, or NULL; with a value as well, whether that is the one, or NULL where the
        expression fails.
        """
        row = sql.SQL("ROW({})").format(sql.SQL(", ").join(sql.Identifier(column) for _, column in self.scope))
        name = sql.Identifier(JOURNAL_SCHEMA, self.attempt or "")
        return sql.SQL("{}({})").format(name, sql.SQL(", ").join([row, *more]))

    @property
    def attempted(self) -> tuple[sql.Composed, ...]:
        """The CREATE of the functions that attempt the expression; without a scope, there is nothing to attempt."""
        if self.attempt is None:
            return ()
        name, kind = sql.Identifier(JOURNAL_SCHEMA, self.attempt), verbatim(self.type)
        fields = sql.SQL(", ").join(
            sql.SQL("the_row.{} AS {}").format(verbatim(f"f{number}"), sql.Identifier(field))
            for number, (field, _) in enumerate(self.scope, start=1)
        )
        # A variable takes a value as a column does: what does not fit is refused, and not cut off as by a cast.
        body = sql.SQL(
            "#variable_conflict use_column\nDECLARE answer {}; BEGIN"
            ' answer := (SELECT ({}) FROM (SELECT {}) AS "named");'
            " RETURN {}; EXCEPTION WHEN OTHERS THEN RETURN NULL; END"
        )

        def function(more: str, returns: sql.Composable, answer: str) -> sql.Composed:
            text = body.format(kind, verbatim(self.expression or "NULL"), fields, verbatim(answer)).as_string(None)
            return sql.SQL("CREATE OR REPLACE FUNCTION {}(the_row record{}) RETURNS {} LANGUAGE plpgsql AS {}").format(
                name, verbatim(more), returns, sql.Literal(text)
            )

        same = "pg_catalog.record_image_eq(ROW(given), ROW(answer))"
        return (function("", kind, "answer"), function(f", given {self.type}", sql.SQL("pg_catalog.bool"), same))

    @property
    def abandoned(self) -> tuple[sql.Composed, ...]:
        """The DROP of the same functions."""
        if self.attempt is None:
            return ()
        drop = sql.SQL("DROP FUNCTION IF EXISTS {}({})")
        name = sql.Identifier(JOURNAL_SCHEMA, self.attempt)
        return tuple(drop.format(name, verbatim(of)) for of in ("record", f"record, {self.type}"))


def any_given(values: Iterable[Value]) -> sql.Composed:
    """Return a condition over the row being written: at least one of the columns was given."""
    return sql.SQL(" OR ").join(plpgsql.given(plpgsql.new(value.column), value.default, value.type) for value in values)


def computed(values: tuple[Value, ...]) -> sql.Composed:
    """Return the statements that give columns of NEW their values."""
    return sql.SQL("\n").join(map(assigned, values))


def assigned(value: Value, of: str = "NEW") -> sql.Composed:
    """Return the statement that gives a column of NEW its value, whatever its expression makes of a writer's.

    Args:
        value: the column and its expression.
        of: the row that the expression is over, NEW or OLD.
    """
    column = plpgsql.new(value.column)
    statement = sql.SQL("{} := {};").format(column, plpgsql.over(of, value.computed))
    if value.attempt is None:
        return statement  # a cast that always works, or a DEFAULT, which would fail the write without ecm as well
    return sql.SQL("BEGIN\n{}\nEXCEPTION WHEN OTHERS THEN {} := NULL;\nEND;").format(statement, column)
