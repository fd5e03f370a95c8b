"""The rows that migration tools keep of what was applied to a database, as data. Pure."""

from dataclasses import dataclass

from orchestrator.sql.identifiers import TableName
from orchestrator.sql.steps import Statement


@dataclass(frozen=True, kw_only=True)
class Row:
    """The row by which a tool knows that a migration was applied to a database.

    Attributes:
        tool: the tool's name.
        migration: the migration's, as the tool tells it.
        table: the tool's own table.
        ready: makes that table as the tool would; run where it is not there.
        insert: writes the row, unless it is there.
        delete: takes it away, where it is there.
        missing: a query for what keeps the row from being written, a line each: migrations that come before it and
            were not applied there, most often. Asked where the table is.
        before: what it would say of a database without the table.
        catch_up: the command that applies what is missing.
        held: a query for what keeps the row from being taken away, a line each.
    """

    tool: str
    migration: str
    table: TableName
    ready: tuple[Statement, ...]
    insert: Statement
    delete: Statement
    missing: Statement
    before: tuple[str, ...]
    catch_up: str
    held: Statement | None = None
