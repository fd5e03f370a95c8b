"""Move the readers of a column to another one, and back (`orchestrator.sql.readers` says how).

    follow(facts, move, swap)   Operation.switch: readers move, the columns exchange their names, and the way back
    beside(facts, move)         Operation.before_switch: what is built before it, in steps of their own
    refreshed(facts, move)      Operation.after_switch: what the way back begins with
    forget(facts, move)         Operation.clear: what stands aside goes, before contract drops the old column

The operation names its moves (`Operation.moves`), so that they are in the facts, and adds
`facts.unmovable` to what it reports as unfollowed.
"""

from psycopg import sql

from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, bounded, verbatim
from orchestrator.sql.readers import Move, Reader
from orchestrator.sql.steps import Statement, Step, Transaction
from orchestrator.sql.sync import Ddl


def follow(facts: Table, move: Move, swap: Ddl) -> Ddl:
    """Return what moves a column's readers in the switch transaction, and back.

    Args:
        facts: of the table, before or after the switch: the inverse is the same.
        move: from which column to which.
        swap: how the columns exchange their names, and back; nothing where the new one has another name.
    """
    raise NotImplementedError


def beside(facts: Table, move: Move) -> tuple[Step, ...]:
    """Return the steps that build, before the switch, the materialized views and what they stand on.

    For `before_switch`: as late as can be, so that the new ones are as fresh as the old ones were.
    """
    raise NotImplementedError


def refreshed(facts: Table, move: Move) -> tuple[Step, ...]:
    """Return the steps, for `after_switch`, that only do something on the way back, before the switch is undone.

    They refresh the materialized views that stand aside, which nobody reads.
    """
    raise NotImplementedError


def forget(facts: Table, move: Move) -> tuple[Statement, ...]:
    """Return what drops the readers of a column that stand aside, for contract.

    Args:
        facts: of the table, now.
        move: what was moved.
    """
    raise NotImplementedError
