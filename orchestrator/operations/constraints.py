"""Constraints without a long lock: they come NOT VALID, and are validated while reads and writes go on.

"ALTER TABLE", ADD table_constraint [ NOT VALID ], and its notes: a constraint must not be validated in the
transaction that added it, or its lock is held for the whole scan.
"""

from dataclasses import dataclass, replace

from psycopg import sql
from typing_extensions import override

from orchestrator.sql.facts import Table
from orchestrator.sql.filling import Filling
from orchestrator.sql.identifiers import TableName, bounded
from orchestrator.sql.steps import RESTORE, LockMode, Proof, Statement, Step, Sweep, Transaction
from orchestrator.sql.value import Value


def validated(
    facts: Table,
    name: str,
    definition: sql.Composed,
    *,
    what: str,
    also: tuple[TableName, ...] = (),
    lock: LockMode = LockMode.ACCESS_EXCLUSIVE,
) -> tuple[Step, ...]:
    """Return the steps that put a constraint on a table.

    Args:
        facts: of the table.
        name: the constraint's.
        definition: from CHECK or FOREIGN KEY on.
        what: what it demands of a row, for a person.
        also: other tables that it locks.
        lock: the lock that it takes.
    """
    table, constraint = facts.name.identifier, sql.Identifier(name)
    return (
        Transaction(
            key=f"hold {name}",
            title=f"new rows must have {what}",
            tables=(*facts.lockable, *also),
            lock=lock,
            statements=(
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {} NOT VALID").format(table, constraint, definition),
            ),
            # A contract that stopped half way, at rows that break the constraint, can still be taken back.
            inverse=(sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(table, constraint),),
            note="catalog only: rows that are there already are not read",
        ),
        validation(facts, name, what=what),
    )


def validation(facts: Table, name: str, *, what: str) -> Transaction:
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


@dataclass(frozen=True, kw_only=True)
class _Lacking(Filling):
    """What a row cannot keep when its column becomes NOT NULL: NULL that nothing gives a value."""

    @property
    @override
    def mismatch(self) -> sql.Composed:
        return sql.SQL("{} IS NULL AND {} IS NULL").format(self.new.name, self.new.computed)


def refused_again(facts: Table, column: str, *, remedy: str, reverse: str | None = None) -> tuple[Step, ...]:
    """Return what a rollback does before it makes a column NOT NULL again: judge, then hold, then validate.

    All of it is done while reads and writes go on, and before anything is taken away: where a row has no value, the
    rollback ends with its name, and both versions go on as they are. With `reverse`, rows are given a value in
    batches: most of them before NULL is refused, what was written meanwhile after.

    Args:
        facts: of the table.
        column: which.
        remedy: what to do about rows without a value.
        reverse: their value, over the row.
    """
    known = facts.column(column)
    value = Value(column=column, type=known.type if known else "", expression=reverse, not_null=True)
    held, validated_ = (
        replace(step, statements=(), inverse=step.statements, follows="expand")
        for step in validated_not_null(facts, column)
        if isinstance(step, Transaction)
    )
    judged = Proof(
        key=f"required {column} of {facts.name}",
        title=f"find no row without {column}",
        table=facts.name,
        mappings=(_Lacking(new=value),),
        complaint=f"{column} is NULL",
        remedy=remedy,
    )
    if reverse is None:
        return (judged, held, validated_)
    fill = Sweep(
        key=f"fill {column} of {facts.name}",
        title=f"give {column} its value where it is NULL",
        table=facts.name,
        mappings=(Filling(new=replace(value, not_null=False)),),
        spared=None,
        purpose=RESTORE,
        note="in batches of pages; each batch commits with its own checkpoint",
    )
    again = replace(fill, key=f"{fill.key} again", title=f"{fill.title}, for what was written meanwhile")
    return (judged, fill, held, again, validated_)


def not_null_again(facts: Table, column: str, name: str | None) -> tuple[Statement, ...]:
    """Return what makes a column NOT NULL after `refused_again`.

    Args:
        facts: of the table.
        column: which.
        name: of the constraint, where it is to have the one it had; PostgreSQL names none before 18.
    """
    table, check = facts.name.identifier, sql.Identifier(_check_name(column))
    if name is None:
        return not_null(facts, column)
    return (
        sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} NOT NULL {}").format(
            table, sql.Identifier(name), sql.Identifier(column)
        ),
        sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(table, check),
    )


def bound_to_not_null(facts: Table, column: str) -> str | None:
    """Return why a column cannot lose its NOT NULL, or None: what else it is that PostgreSQL keeps it for."""
    found = facts.column(column)
    if found is not None and found.identity:
        return "it is an identity column, which is always NOT NULL"
    if column in facts.key:
        return "it is part of the primary key, whose columns are always NOT NULL"
    for index in facts.indexes:
        if index.replica_identity and column in index.columns:
            return f"it is part of the replica identity ({index.name}), whose columns are always NOT NULL"
    return None


def _check_name(column: str) -> str:
    return bounded(column, "not_null", "ecm")
