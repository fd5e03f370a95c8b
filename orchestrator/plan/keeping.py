"""The triggers of a plan: what makes them, and how they have to be found."""

from itertools import chain

from orchestrator.plan import scope
from orchestrator.plan.model import Plan
from orchestrator.sql import strays, sync
from orchestrator.sql.facts import Table
from orchestrator.sql.mapping import Truth
from orchestrator.sql.steps import SyncTrigger
from orchestrator.sql.sync import Ddl


def sync_triggers(plan: Plan, facts: scope.Facts, truth: Truth = Truth.OLD) -> tuple[SyncTrigger, ...]:
    """Return what has to keep both sides in step from expand until nothing of the old one is kept any more."""
    return tuple(chain.from_iterable(kept_by(plan, table, truth) for table in scope.in_step(plan, facts)))


def kept_by(plan: Plan, facts: Table, truth: Truth = Truth.OLD) -> tuple[SyncTrigger, ...]:
    """Return the same for one table, with those on others."""
    if not scope.kept_by_trigger(plan):
        return ()
    pairs = scope.mappings(plan, facts)
    others = chain.from_iterable(mapping.keepers for mapping in pairs)
    return (*sync.triggers(plan.plan, facts, pairs, truth), *others)


def installed(plan: Plan, facts: Table) -> Ddl:
    """Return what puts a table's own triggers there, and what takes them away."""
    pairs = scope.mappings(plan, facts)
    if not pairs or not scope.kept_by_trigger(plan):
        return Ddl(statements=(), inverse=())
    kept, counted = sync.install(plan.plan, facts, pairs), strays.install(plan.plan, facts, pairs)
    return Ddl(statements=(*kept.statements, *counted.statements), inverse=(*counted.inverse, *kept.inverse))
