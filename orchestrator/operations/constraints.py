"""Constraints without a long lock: they come NOT VALID, and are validated while reads and writes go on.

"ALTER TABLE", ADD table_constraint [ NOT VALID ], and its notes: a constraint must not be validated in the
transaction that added it, or its lock is held for the whole scan.
"""

from psycopg import sql

from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName, bounded
from orchestrator.sql.steps import LockMode, Statement, Step, Transaction


def validated(
    facts: Table, name: str, definition: sql.Composed, *, what: str, also: tuple[TableName, ...] = ()
) -> tuple[Step, ...]:
    """Return the steps that put a constraint on a table.

    Args:
        facts: of the table.
        name: the constraint's.
        definition: from CHECK or FOREIGN KEY on.
        what: what it demands of a row, for a person.
        also: other tables that it locks.
    """
    table, constraint = facts.name.identifier, sql.Identifier(name)
    return (
        Transaction(
            key=f"hold {name}",
            title=f"new rows must have {what}",
            tables=(*facts.lockable, *also),
            lock=LockMode.ACCESS_EXCLUSIVE,
            statements=(
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {} NOT VALID").format(table, constraint, definition),
            ),
            # A contract that stopped half way, at rows that break the constraint, can still be taken back.
            inverse=(sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(table, constraint),),
            note="catalog only: rows that are there already are not read",
        ),
        validation(facts, name, what=what),
    )


def validation(facts: Table, name: str, *, what: str) -> Step:
    """Return the step that validates a constraint which is there: it reads the table, and holds nobody back."""
    return Transaction(
        key=f"validate {name}",
        title=f"every row has {what}",
        tables=facts.lockable,
        lock=LockMode.SHARE_UPDATE_EXCLUSIVE,
        statements=(
            sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(facts.name.identifier, sql.Identifier(name)),
        ),
        inverse=(),
        note="reads every row, while reads and writes go on",
    )


def validated_not_null(facts: Table, column: str) -> tuple[Step, ...]:
    """Return what lets SET NOT NULL trust what is known already, instead of reading the table under its lock.

    "If a valid CHECK constraint is found which proves no NULL can exist, then the table scan is skipped"
    ("ALTER TABLE", SET NOT NULL).
    """
    condition = sql.SQL("CHECK ({} IS NOT NULL)").format(sql.Identifier(column))
    return validated(facts, _check_name(column), condition, what=column)


def not_null(facts: Table, column: str) -> tuple[Statement, ...]:
    """Return what makes a column NOT NULL after `validated_not_null`."""
    table = facts.name.identifier
    return (
        sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET NOT NULL").format(table, sql.Identifier(column)),
        sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(table, sql.Identifier(_check_name(column))),
    )


def _check_name(column: str) -> str:
    return bounded(column, "not_null", "ecm")
