"""Which writes a plan watches from reads migrated until contract, and the steps that begin and end it."""

from collections.abc import Iterable
from itertools import chain

from orchestrator.plan import scope
from orchestrator.plan.model import Plan
from orchestrator.sql import uses
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.steps import LockMode, Statement, Transaction
from orchestrator.sql.uses import Watch

_KEY = "watch"


def watches(plan: Plan, facts: Table) -> tuple[Watch, ...]:
    """Return what notices the writes of a table that rely on what contract takes away.

    An application that writes both sides itself is not told from one that knows the old side alone.
    """
    if not scope.kept_by_trigger(plan):
        return ()
    reliances = chain.from_iterable(change.reliances(facts) for change in scope.on(plan, facts))
    return uses.watches(plan.plan, facts, reliances)


def steps(plan: Plan, facts: scope.Facts) -> tuple[Transaction, ...]:
    """Return what begins the watch, and what a rollback does to end it, which takes a stronger lock."""
    found = tuple(watch for table in facts.values() for watch in watches(plan, table))
    if not found:
        return ()
    tables = tuple(chain.from_iterable(facts[name].lockable for name in _tables(found)))
    return (
        Transaction(
            key=_KEY,
            title="from here on, notice who still writes the old side",
            tables=tables,
            lock=LockMode.SHARE_ROW_EXCLUSIVE,
            statements=tuple(chain.from_iterable(watch.ddl.statements for watch in found)),
            inverse=(),
            note="what is noticed costs its writer some microseconds, and other writers nothing to speak of",
        ),
        Transaction(
            key=f"{_KEY} no more",
            title="notice who writes the old side no more",
            ends="notice who writes the old side no more",
            tables=tables,
            lock=LockMode.ACCESS_EXCLUSIVE,
            statements=(),
            inverse=tuple(chain.from_iterable(watch.ddl.inverse for watch in found)),
            follows=_KEY,
        ),
    )


def ended(plan: Plan, facts: scope.Facts) -> tuple[Statement, ...]:
    """Return what ends the watch, in a transaction that has the tables' locks already."""
    found = (watch for table in facts.values() for watch in watches(plan, table))
    return tuple(chain.from_iterable(watch.ddl.inverse for watch in found))


def begun(plan: Plan, facts: scope.Facts) -> tuple[Statement, ...]:
    """Return what begins the watch anew, in a transaction that has the tables' locks already."""
    found = (watch for table in facts.values() for watch in watches(plan, table))
    return tuple(chain.from_iterable(watch.ddl.statements for watch in found))


def _tables(found: Iterable[Watch]) -> tuple[TableName, ...]:
    return tuple(dict.fromkeys(watch.table for watch in found))
