"""What a column had before expand and a rollback gives back, kept where the column is: in the branch's catalog.

A phase is compiled from the facts of the moment, and those of an expanded table no longer tell that a column was
NOT NULL. So expand leaves a check that every row passes, with a comment that says what there was. Nobody's rights,
search_path or restart is in its way, a copy of the branch has it too, and it goes with the column or the rollback.
"""

import json

from psycopg import sql

from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import bounded
from orchestrator.sql.steps import Statement
from orchestrator.sql.sync import Ddl


def kept(facts: Table, column: str, had: dict[str, str | None]) -> Ddl:
    """Return what keeps something of a column in mind, and what forgets it."""
    table, name = facts.name.identifier, sql.Identifier(_name(column))
    return Ddl(
        statements=(
            # NOT VALID, or every row would be read under the lock for what is true of any.
            sql.SQL(
                "ALTER TABLE {} ADD CONSTRAINT {} CHECK ({column} IS NULL OR {column} IS NOT NULL) NOT VALID"
            ).format(table, name, column=sql.Identifier(column)),
            sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}").format(name, table, sql.Literal(json.dumps(had))),
        ),
        inverse=forgotten(facts, column),
    )


def forgotten(facts: Table, column: str) -> tuple[Statement, ...]:
    """Return what forgets it."""
    return (
        sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(
            facts.name.identifier, sql.Identifier(_name(column))
        ),
    )


def recalled(facts: Table, column: str) -> dict[str, str | None] | None:
    """Return what was kept in mind; None where nothing was, or is any more."""
    note = facts.notes.get(_name(column))
    return json.loads(note) if note is not None else None


def _name(column: str) -> str:
    return bounded(column, "had", "ecm")
