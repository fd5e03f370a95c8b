"""Mapping: which columns follow from which.

Nearly every column change is the same thing: an old side, a new side, and values for each in
terms of the other. The sync trigger, the backfill's SET, the proof and the contract all derive
from the mapping.

Values are compared by their image ("Composite Type Comparison", manual 9.25.6), not with `=`:
json and point have no equality, numeric 1.0 and 1.00 are equal but not the same, and an operator
named without its schema would be looked up on the application's search_path. The comparison is
the function behind `*<>`, because PostgreSQL takes `ROW(a) *<> ROW(b)` apart into columns.
"""

from dataclasses import dataclass

from psycopg import sql

from orchestrator.sql.identifiers import verbatim


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """One old column and one new column that carry the same value.

    Attributes:
        old: the column's name before the change.
        new: the name of the column added beside it.
        type: the new column's type; both sides are compared in it.
        default: the constant default of the new column, as SQL; None where a column not given is NULL.
        cast: whether the old column's type is another, a domain over `type`. A type is named only where it
            must be: in a trigger that takes USAGE on its schema, which the writer may not have.
    """

    old: str
    new: str
    type: str
    default: str | None
    cast: bool = False

    @property
    def default_value(self) -> sql.Composed:
        """The value of the new column in a row that does not give it."""
        return sql.SQL("({})").format(verbatim(self.default or "NULL"))

    def differ(self, left: sql.Composable, right: sql.Composable) -> sql.Composed:
        """Return a condition: the two values are not the same, byte for byte (NULL is the same as NULL)."""
        return sql.SQL("pg_catalog.record_image_ne(ROW({left}{cast}), ROW({right}{cast}))").format(
            left=left, right=right, cast=verbatim(f"::{self.type}" if self.cast else "")
        )

    def given(self, value: sql.Composable) -> sql.Composed:
        """Return a condition: a value of the new column is not the one it has when it is left out."""
        if self.default is None:
            # PostgreSQL takes this as a plain test for NULL, of a composite value too.
            return sql.SQL("{} IS DISTINCT FROM NULL").format(value)
        return sql.SQL("pg_catalog.record_image_ne(ROW({}), ROW({}::{}))").format(
            value, self.default_value, verbatim(self.type)
        )

    @property
    def mismatch(self) -> sql.Composed:
        """A condition over the table's row: its two sides do not follow from one another."""
        return self.differ(sql.Identifier(self.old), sql.Identifier(self.new))

    @property
    def unfilled(self) -> sql.Composed:
        """A condition over the table's row: no write has reached its new side yet.

        Only then is the new side NULL while the old is not: the column was added without a default, and
        whatever is written under the trigger is in step. A row that differs in another way was written
        past the trigger, and is for the proof to name, not for the sweep to overwrite.

        Both are plain tests for NULL, of a composite value too: every pass of the sweep looks at every row.
        """
        return sql.SQL("{} IS NOT DISTINCT FROM NULL AND {} IS DISTINCT FROM NULL").format(
            sql.Identifier(self.new), sql.Identifier(self.old)
        )

    @property
    def only_new(self) -> sql.Composed:
        """A condition over the table's row: its new side holds what the old does not, and would be lost with it."""
        return sql.SQL("{} IS DISTINCT FROM NULL AND {}").format(sql.Identifier(self.new), self.mismatch)

    @property
    def assignment(self) -> sql.Composed:
        """The SET clause that makes the new side follow from the old, evaluated inside the UPDATE itself.

        PostgreSQL evaluates it again on the newest row version after a lock wait ("Read Committed
        Isolation Level", manual 13.2.1), so a value is never carried from an earlier read.
        """
        return sql.SQL("{} = {}").format(sql.Identifier(self.new), sql.Identifier(self.old))
