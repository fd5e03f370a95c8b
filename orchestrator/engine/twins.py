"""How a table's indexes would read with their columns under other names."""

from psycopg import errors, sql

from orchestrator.engine.connection import Connection, select
from orchestrator.engine.heritage_queries import COPIED_INDEXES
from orchestrator.errors import PrivilegeError
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import verbatim


class _UndoError(Exception):
    """Ends a transaction whose only purpose was to ask PostgreSQL something."""


def twins(connection: Connection, table: Table, renames: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return how the indexes on columns would read under other names, without what CREATE INDEX begins with.

    PostgreSQL itself says so, on an empty temporary copy that nobody else sees. The copy's columns are renamed and its
    indexes printed again. Expressions and predicates are bound by column number, so PostgreSQL prints the new name
    wherever the old one was meant, and nowhere else.
    """
    renames = tuple(pair for pair in renames if table.column(pair[0]) is not None)
    old, new = {pair[0] for pair in renames}, {pair[1] for pair in renames}
    # One on an old and a new column is someone else's: ecm's own twins are on new ones alone.
    indexes = [index for index in table.indexes if old & index.columns and not new & index.columns]
    # Who may not alter the table may not copy it either, and is told so by what this is asked for.
    if not indexes or not table.may_alter:
        return {}
    tails: list[str] = []
    try:
        with connection.transaction():
            tails = _renamed(connection, table, renames, [index.tail for index in indexes])
            raise _UndoError  # noqa: TRY301 - it ends the transaction around it
    except _UndoError:
        return {index.name: tail for index, tail in zip(indexes, tails, strict=True)}
    except errors.InsufficientPrivilege as error:
        row = connection.execute("SELECT current_user, pg_catalog.current_database()").fetchone() or ("?", "?")
        grant = sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(sql.Identifier(row[1]), sql.Identifier(row[0]))
        raise PrivilegeError(
            f"role {row[0]} may not make temporary tables in {row[1]}",
            details=["ecm asks PostgreSQL how the indexes would read, on an empty copy of the table"],
            hint=grant.as_string(None),
        ) from error


def _renamed(connection: Connection, table: Table, renames: tuple[tuple[str, str], ...], tails: list[str]) -> list[str]:
    """Return how index definitions read after renames; leaves the copy behind, for the caller to roll back."""
    copy = sql.Identifier("pg_temp", "ecm_copy")
    connection.execute(sql.SQL("CREATE TEMPORARY TABLE ecm_copy (LIKE {})").format(table.name.identifier))
    for _, new in renames:
        connection.execute(sql.SQL("ALTER TABLE {} DROP COLUMN IF EXISTS {}").format(copy, sql.Identifier(new)))
    # An index expression may call what relies on the role's own search_path; what is printed must not.
    connection.execute("SET LOCAL search_path TO DEFAULT")
    for number, tail in enumerate(tails):
        name = sql.Identifier(f"ecm_copy_{number}")
        connection.execute(sql.SQL("CREATE INDEX {} ON {}{}").format(name, copy, verbatim(tail)))
    connection.execute("SET LOCAL search_path TO ''")
    for old, new in renames:
        pair = (sql.Identifier(old), sql.Identifier(new))
        connection.execute(sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(copy, *pair))
    found = {row["name"]: row["text"] for row in select(connection, COPIED_INDEXES)}
    return [found[f"ecm_copy_{number}"] for number in range(len(tails))]
