"""How a table's indexes would read with their columns under other names."""

from psycopg import errors

from orchestrator.engine.connection import Connection, lacking
from orchestrator.engine.texts import Texts
from orchestrator.errors import PrivilegeError
from orchestrator.sql.facts import Table
from orchestrator.sql.heritage import Heir


def twins(connection: Connection, table: Table, renames: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return how the indexes on columns would read under other names, without what CREATE INDEX begins with.

    Args:
        connection: a session with the branch, in autocommit.
        table: its facts.
        renames: (old, new) columns; those that are not there have no indexes.

    Raises:
        PrivilegeError: the role may not make temporary tables.
    """
    renames = tuple(pair for pair in renames if table.column(pair[0]) is not None)
    old, new = {pair[0] for pair in renames}, {pair[1] for pair in renames}
    # One on an old and a new column is someone else's: ecm's own twins are on new ones alone.
    indexes = [index for index in table.indexes if old & index.columns and not new & index.columns]
    # Who may not alter the table may not copy it either, and is told so by what this is asked for.
    if not indexes or not table.may_alter:
        return {}
    heirs = tuple(Heir(column=column, successor=name) for column, name in renames)
    try:
        tails = Texts(connection, table, heirs).indexes([index.tail for index in indexes])
    except errors.InsufficientPrivilege as error:
        role, database, grant = lacking(connection, "TEMPORARY")
        raise PrivilegeError(
            f"role {role} may not make temporary tables in {database}",
            details=["ecm asks PostgreSQL how the indexes would read, on an empty copy of the table"],
            hint=grant,
        ) from error
    return {index.name: tail for index, tail in zip(indexes, tails, strict=True)}
