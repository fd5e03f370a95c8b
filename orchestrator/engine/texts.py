"""How definitions read over other columns, asked of PostgreSQL on an empty temporary copy that nobody else sees."""

from collections.abc import Callable

from psycopg import sql

from orchestrator.engine import enums
from orchestrator.engine import heritage_queries as queries
from orchestrator.engine.connection import Connection, select
from orchestrator.sql.facts import Table
from orchestrator.sql.heritage import Heir
from orchestrator.sql.identifiers import verbatim


class Texts:
    """Has PostgreSQL print definitions again as they read over the columns that take over from others.

    The copy's columns are renamed and what was made on it is printed again. Expressions and predicates are bound by
    column number, so PostgreSQL prints the new name wherever the old one was meant, and nowhere else.

    Args:
        connection: a session with the branch, in autocommit.
        table: the facts of the table that is copied.
        heirs: its columns, and who takes over from each.
    """

    def __init__(self, connection: Connection, table: Table, heirs: tuple[Heir, ...]) -> None:
        self._connection = connection
        self._table = table
        self._heirs = heirs

    def indexes(self, tails: list[str]) -> list[str]:
        """Return definitions of indexes from ` USING` on."""

        def make(copy: sql.Identifier, number: int, tail: str) -> sql.Composed:
            return sql.SQL("CREATE INDEX {} ON {}{}").format(sql.Identifier(f"ecm_{number}"), copy, verbatim(tail))

        return self._printed(tails, make, queries.COPIED_INDEXES)

    def checks(self, definitions: list[str]) -> list[str]:
        """Return definitions of checks, without NOT VALID."""

        def make(copy: sql.Identifier, number: int, definition: str) -> sql.Composed:
            return sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                copy, sql.Identifier(f"ecm_{number}"), verbatim(definition)
            )

        return self._printed(definitions, make, queries.COPIED_CHECKS)

    def statistics(self, definitions: list[str]) -> list[str]:
        """Return definitions of statistics: their kinds, ` ON ` and their columns."""

        def make(copy: sql.Identifier, number: int, definition: str) -> sql.Composed:
            name = sql.Identifier("pg_temp", f"ecm_{number}")
            return sql.SQL("CREATE STATISTICS {}{} FROM {}").format(name, verbatim(definition), copy)

        # Only these are made once the types have exchanged their names.
        return self._printed(definitions, make, queries.COPIED_STATISTICS, named=False)

    def _printed(
        self,
        texts: list[str],
        make: Callable[[sql.Identifier, int, str], sql.Composed],
        query: str,
        *,
        named: bool = True,
    ) -> list[str]:
        if not texts:
            return []
        with self._connection.transaction(force_rollback=True):
            copy = sql.Identifier("pg_temp", "ecm_copy")
            like = sql.SQL("CREATE TEMPORARY TABLE ecm_copy (LIKE {})").format(self._table.name.identifier)
            self._connection.execute(like)
            for heir in self._heirs:
                self._alter("DROP COLUMN IF EXISTS {}", heir.successor)
            # An expression may call what relies on the role's own search_path; what is printed must not.
            self._connection.execute("SET LOCAL search_path TO DEFAULT")
            for number, text in enumerate(texts):
                self._connection.execute(make(copy, number, text))
            self._connection.execute("SET LOCAL search_path TO ''")
            for restated in {heir.restated for heir in self._heirs if heir.restated is not None}:
                enums.restate(self._connection, restated, named=named)
            for heir in self._heirs:
                self._alter("RENAME COLUMN {} TO {}", heir.column, heir.successor)
            printed = {row["name"]: row["text"] for row in select(self._connection, query, {})}
        return [printed[f"ecm_{number}"] for number in range(len(texts))]

    def _alter(self, what: str, *columns: str) -> None:
        names = map(sql.Identifier, columns)
        self._connection.execute(sql.SQL("ALTER TABLE pg_temp.ecm_copy {}").format(verbatim(what).format(*names)))
