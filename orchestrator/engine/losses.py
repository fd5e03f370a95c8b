"""Values that contract takes away and the new side does not hold, counted and sampled before they go.

A row is right when its new side follows from the old one, and then the old one need not come again from the new: the
middle name is in neither of two parts. Until contract it is in the old column; with that it goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from psycopg import errors, sql

from orchestrator.engine import catalog, locks
from orchestrator.engine.connection import Connection
from orchestrator.sql import plpgsql
from orchestrator.sql.conversion import Conversion
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import verbatim
from orchestrator.sql.repair import Repair, is_repaired
from orchestrator.sql.statements import OWN
from orchestrator.sql.value import Value
from orchestrator.words import counted, listed

_SAMPLES = 3
_LONGEST = 40
"""Characters of a value that are shown."""


def foreseen(connection: Connection, facts: Table, mapping: Conversion, *, filled: bool, seconds: float) -> str | None:
    """Return a line about the values that would go at contract; None where there are none.

    Args:
        connection: a session with the branch.
        facts: of the table.
        mapping: what the two sides are made of.
        filled: whether the backfill is over; before that, what it would give is taken in its place.
        seconds: the longest look.
    """
    known = [value for value in mapping.old if value.expression is not None]
    if not known:
        return None  # there is no way back, and whoever wrote the plan accepted that
    if not filled:
        # The functions that attempt an expression come with expand.
        known = [replace(value, attempt=None) for value in known]
    loss = _Loss(
        rows=_rows(facts, mapping, filled=filled),
        condition=sql.SQL(" OR ").join(
            sql.SQL("({} IS DISTINCT FROM NULL AND NOT ({}))").format(value.name, value.follows) for value in known
        ),
        values=[(value.column, value.name, value.filling) for value in known],
        verb="would be",
    )
    try:
        total, lost, samples = _look(connection, facts, loss, seconds)
    except (errors.UndefinedObject, errors.UndefinedColumn, errors.UndefinedFunction):
        return None  # what is to be compared comes with expand, or expand itself will say what is wrong
    except errors.QueryCanceled:
        return f"rows of {facts.name} were not counted within {seconds:g} s: nobody knows what contract drops for good"
    except errors.DatabaseError as error:
        why = error.diag.message_primary or type(error).__name__
        cause = "an expression fails on a value, so that " if isinstance(error, errors.DataError) else ""
        return f"{cause}nobody could count what contract drops for good of {facts.name}: {why}"
    if not lost:
        return None
    olds = listed([value.column for value in known])
    return (
        f"{lost:,} of {counted(total, 'row')} of {facts.name} hold in {olds} what does not come again from"
        f" {'the new type' if mapping.sees else listed(mapping.news)}, and contract drops it: {'; '.join(samples)}"
    )


def replaced(connection: Connection, facts: Table, rule: Repair, *, seconds: float) -> str | None:
    """Return a line about the values that were replaced to keep a rule, and go at contract; None where there are none.

    Args:
        connection: a session with the branch.
        facts: of the table.
        rule: by which rows were repaired.
        seconds: the longest look.
    """
    if any(facts.column(name) is None for name in rule.scaffolding):
        return None  # nothing is repaired yet
    loss = _Loss(
        rows=sql.SQL("{} AS {}").format(facts.name.identifier, sql.Identifier(OWN)),
        condition=is_repaired(rule.replacements),
        values=[(each.column, each.own, each.name) for each in rule.replacements],
        verb="is now",
    )
    try:
        _, lost, samples = _look(connection, facts, loss, seconds)
    except errors.QueryCanceled:
        return (
            f"rows of {facts.name} were not counted within {seconds:g} s: nobody knows what contract forgets for good"
        )
    if not lost:
        return None
    return (
        f"{counted(lost, 'row')} of {facts.name} {'has' if lost == 1 else 'have'} another value than"
        f" {'its' if lost == 1 else 'their'} own, to keep the rule, and contract forgets that: {'; '.join(samples)}"
    )


@dataclass(frozen=True, kw_only=True)
class _Loss:
    """What is looked for.

    Attributes:
        rows: the table, or what stands for it.
        condition: over a row: something of it goes for good.
        values: a column, what goes of it, and the value that there is instead; over a row.
        verb: between the two, for a person.
    """

    rows: sql.Composable
    condition: sql.Composable
    values: Sequence[tuple[str, sql.Composable, sql.Composable]]
    verb: str


def _look(connection: Connection, facts: Table, loss: _Loss, seconds: float) -> tuple[int, int, tuple[str, ...]]:
    """Return how many rows there are, how many of them lose something, and some of these, a line each."""
    with locks.looking(connection, seconds=seconds):
        total, lost = connection.execute(
            sql.SQL("SELECT count(*), count(*) FILTER (WHERE {}) FROM {}").format(loss.condition, loss.rows)
        ).fetchone() or (0, 0)
        return total, lost, _samples(connection, facts, loss) if lost else ()


def _samples(connection: Connection, facts: Table, loss: _Loss) -> tuple[str, ...]:
    columns = [column for column, _, _ in loss.values]
    keys = [name for name in catalog.primary_key(connection, facts.name) if name not in columns]
    shown = (*map(sql.Identifier, keys), *(goes for _, goes, _ in loss.values), *(there for _, _, there in loss.values))
    found = connection.execute(
        sql.SQL("SELECT {} FROM {} WHERE {} LIMIT {}").format(
            sql.SQL(", ").join(sql.SQL("({})::text").format(each) for each in shown),
            loss.rows,
            loss.condition,
            sql.Literal(_SAMPLES),
        )
    ).fetchall()
    names = [*keys, *columns]
    return tuple(
        f"{' '.join(f'{name}={_short(value)}' for name, value in zip(names, row[: len(names)], strict=True))}"
        f" {loss.verb} {', '.join(map(_short, row[len(names) :]))}"
        for row in found
    )


def _rows(facts: Table, mapping: Conversion, *, filled: bool) -> sql.Composed:
    """Return the table's rows, with the new columns as the backfill will have filled them."""
    table = sql.SQL("{} AS {}").format(facts.name.identifier, sql.Identifier(OWN))
    if filled:
        return table
    new = {value.column: value for value in mapping.new}
    empty = plpgsql.all_null(value.name for value in mapping.new if facts.column(value.column))

    def shown(value: Value) -> sql.Composed:
        computed = sql.SQL("{}::{}").format(value.computed, verbatim(value.type))
        if facts.column(value.column) is None:
            return sql.SQL("{} AS {}").format(computed, value.name)
        return sql.SQL("CASE WHEN {} THEN {} ELSE {} END AS {}").format(empty, computed, value.name, value.name)

    columns = (
        *(sql.Identifier(column.name) for column in facts.columns if column.name not in new),
        *(shown(value) for value in mapping.new),
    )
    return sql.SQL("(SELECT {} FROM {}) AS {}").format(sql.SQL(", ").join(columns), table, sql.Identifier(OWN))


def _short(value: str | None) -> str:
    if value is None:
        return "NULL"
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
