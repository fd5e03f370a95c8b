"""Other plans under way on a branch: what they change that this one changes or looks at."""

from collections.abc import Callable, Iterable

from pydantic import ValidationError

from orchestrator.engine.journal import Record
from orchestrator.operations.base import KEY, WHOLE, Claim, overlaps
from orchestrator.plan.facade import changes
from orchestrator.plan.gates import Reason
from orchestrator.plan.model import Plan
from orchestrator.sql.identifiers import TableName


def as_begun(record: Record) -> Plan | None:
    """Return a plan as it was begun on a branch; None where this ecm cannot read that text."""
    try:
        return Plan.model_validate(record.recorded)
    except ValidationError:
        return None


def unreadable(branch: str, others: Iterable[Record]) -> tuple[Reason, ...]:
    """Return the plans under way that another version of ecm began: what they claim cannot be known."""
    return tuple(
        Reason(
            code="overlap",
            message=f"{record.plan} is under way on {branch}, and this ecm cannot read its text:"
            " it may touch the same columns",
            remedy=f"take {record.plan} to its end, or back, with the ecm that began it",
            subject=record.plan,
        )
        for record in others
        if as_begun(record) is None
    )


def under_way(plan: str, records: Iterable[Record]) -> tuple[Record, ...]:
    """Return the records of other plans that are under way."""
    return tuple(record for record in records if record.plan != plan and not record.at_rest)


def neighbours(
    plan: Plan, others: Iterable[Record], keys: Callable[[TableName], tuple[str, ...]] = lambda _: ()
) -> dict[str, tuple[str, ...]]:
    """Return what other plans under way change that this one changes or looks at, or the other way round, by plan.

    Args:
        plan: the one that is to begin.
        others: as their records have them.
        keys: the columns of a table's primary key, where anybody can be asked.
    """
    begun = {record.plan: as_begun(record) for record in others}
    shared = {name: _overlap(plan, other, keys) for name, other in begun.items() if other is not None}
    return {name: tuple(map(_claimed, sorted(both))) for name, both in shared.items() if both}


def _claimed(claim: Claim) -> str:
    table, column = claim
    return table if column == WHOLE else f"{table}.{column}"


def _overlap(one: Plan, other: Plan, keys: Callable[[TableName], tuple[str, ...]]) -> frozenset[Claim]:
    """Return what one of two plans claims and the other claims too, or its expressions may look at."""
    mine, theirs = _claims(one), _claims(other)
    return overlaps(mine, theirs | _mentions(other, keys)) | overlaps(theirs, _mentions(one, keys))


def _mentions(plan: Plan, keys: Callable[[TableName], tuple[str, ...]]) -> frozenset[Claim]:
    found = frozenset(mention for change in changes(plan) for mention in change.mentions())
    keyed = (table for table, name in found if name == KEY)
    return found | {(table, column) for table in keyed for column in keys(TableName.parse(table))}


def _claims(plan: Plan) -> frozenset[Claim]:
    return frozenset(claim for change in changes(plan) for claim in change.claims())
