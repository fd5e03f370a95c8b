"""What kinds share that drop a column of the user's at contract: what goes with it, and what keeps it from going."""

import re
from collections.abc import Iterable

from psycopg import sql

from orchestrator.errors import EcmError, PreconditionError
from orchestrator.sql import identifiers
from orchestrator.sql.facts import Dependent, Table
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.steps import Statement
from orchestrator.words import listed

_NULL = re.compile(r"[\s(]*null[\s)]*(::[\w\s.,\"\[\]()]+)?", re.IGNORECASE)
"""NULL in so many words, cast or not."""

_GOES_WITH_ITS_COLUMN = frozenset({"index", "statistics", "sequence"})
"""What DROP COLUMN takes along by itself, as the direct DDL does ("ALTER TABLE", DROP COLUMN)."""


def standing_on(facts: Table, columns: Iterable[str]) -> tuple[Dependent, ...]:
    """Return what stands on columns and does not go with them by itself: views, functions, other tables' keys."""
    stands: dict[tuple[str, str], list[str]] = {}
    for name in map(facts.found, columns):
        for each in facts.tracked.get(name, ()):
            if each.kind not in _GOES_WITH_ITS_COLUMN and not _is_own(each, facts):
                stands.setdefault((each.kind, each.name), []).append(name)
    return tuple(
        Dependent(
            kind=kind,
            name=name,
            why=f"it stands on {gone}, which contract drops",
            remedy=f"make it again without {gone}, or drop it",
        )
        for (kind, name), on in stands.items()
        for gone in [listed(dict.fromkeys(on))]
    )


def unfollowed(facts: Table, columns: Iterable[str]) -> tuple[Dependent, ...]:
    """Return what a person takes care of before columns go: what stands on them, and what names them in its text."""
    columns = tuple(columns)
    return (*(each for name in columns for each in facts.untracked.get(name, ())), *standing_on(facts, columns))


def named_by_triggers(facts: Table, columns: Iterable[str]) -> Iterable[EcmError]:
    """Return an error for each trigger that keeps a column from being dropped."""
    for trigger in facts.triggers:
        for name in columns:
            if name in trigger.update_of:
                yield PreconditionError(
                    f"trigger {trigger.name} on {facts.name} fires on UPDATE OF {name}, which contract drops",
                    details=["PostgreSQL does not drop a column that a trigger names"],
                    hint="make the trigger without a list of columns",
                )


def never_given(facts: Table, name: str, *, reverse: str | None) -> Iterable[EcmError]:
    """Return why a column cannot be left out by new writers: nothing else would give it a value."""
    column = facts.column(name)
    if column and column.not_null and not (column.default or column.identity or column.generated) and reverse is None:
        yield PreconditionError(
            f"{facts.name}.{name} is NOT NULL, and new writers do not give it",
            details=["without reverse there is nothing to put there, and their rows would be refused"],
            hint="give reverse in the plan, or drop the NOT NULL first",
        )
    yield from gives_null(facts, name, reverse)


def gives_null(facts: Table, name: str, reverse: str | None) -> Iterable[EcmError]:
    """Return why `reverse` is none: it is NULL, and a rollback would be refused for every row that it was put in."""
    column = facts.column(name)
    if column and column.not_null and reverse is not None and _NULL.fullmatch(reverse):
        yield PreconditionError(
            f"{facts.name}.{name} is NOT NULL, and reverse gives it NULL",
            details=["a rollback would be refused for the rows that it was put in"],
            hint="have reverse give a value, or leave it out of the plan",
        )


def statements(facts: Table, columns: Iterable[str]) -> tuple[Statement, ...]:
    """Return what drops columns."""
    return tuple(
        sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(facts.name.identifier, sql.Identifier(facts.found(name)))
        for name in columns
    )


def hidden(columns: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return what keeps columns out of sight instead, as `Operation.hidden`."""
    return tuple((name, identifiers.hidden(name)) for name in columns)


def _is_own(dependent: Dependent, facts: Table) -> bool:
    """Whether it goes along anyway: a constraint of the table's own, or a view of ecm's, which contract drops first."""
    if dependent.kind == "constraint":
        return dependent.name.endswith(tuple(f" on {name}" for name in _spellings(facts.name)))
    return dependent.kind == "view" and any(dependent.name in _spellings(view.name) for view in facts.views.views)


def _spellings(table: TableName) -> frozenset[str]:
    """Return how PostgreSQL may write a name: qualified, each part in quotes only where it needs them."""
    schema, name = ((part, sql.Identifier(part).as_string(None)) for part in (table.schema, table.name))
    return frozenset(f"{one}.{other}" for one in schema for other in name)
