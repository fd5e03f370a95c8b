"""Constraints that come, as edits of a schema: what a migration tool's records say of them too. Pure.

Each is known by its name, which is the one it has in the database in the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql

from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.steps import Statement


@dataclass(frozen=True, kw_only=True)
class AddUnique:
    """No two rows have the same values from then on.

    Attributes:
        table: its table.
        name: the constraint's.
        columns: in their order.
    """

    table: TableName
    name: str
    columns: tuple[str, ...]

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What adds it."""
        return (_added(self.table, self.name, sql.SQL("UNIQUE ({})").format(_listed(self.columns))),)


@dataclass(frozen=True, kw_only=True)
class AddCheck:
    """A condition holds in every row from then on.

    Attributes:
        table: its table.
        name: the constraint's.
        condition: SQL over the row, as the plan has it.
    """

    table: TableName
    name: str
    condition: str

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What adds it."""
        return (_added(self.table, self.name, sql.SQL("CHECK ({})").format(verbatim(self.condition))),)


@dataclass(frozen=True, kw_only=True)
class AddForeignKey:
    """Columns point to rows of another table from then on.

    Attributes:
        table: its table.
        name: the constraint's.
        columns: those that point.
        to: the other table.
        to_columns: what they point to; its primary key where there are none.
        on_delete: what happens when the row pointed to goes, in lower case; nothing is said where it is None.
        on_update: what happens when its key changes.
    """

    table: TableName
    name: str
    columns: tuple[str, ...]
    to: TableName
    to_columns: tuple[str, ...] = ()
    on_delete: str | None = None
    on_update: str | None = None

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What adds it."""
        there = sql.SQL(" ({})").format(_listed(self.to_columns)) if self.to_columns else sql.SQL("")
        actions = ((" ON DELETE ", self.on_delete), (" ON UPDATE ", self.on_update))
        definition = sql.SQL("FOREIGN KEY ({}) REFERENCES {}{}{}").format(
            _listed(self.columns),
            self.to.identifier,
            there,
            verbatim("".join(words + action.upper() for words, action in actions if action)),
        )
        return (_added(self.table, self.name, definition),)


def _listed(columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _added(table: TableName, name: str, definition: sql.Composable) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(table.identifier, sql.Identifier(name), definition)
