"""What contract will ask of new columns, asked of what their expressions give rows that are there.

It is a look before anything is begun, and no step of a plan: until contract rows change, and are proven again.
"""

from collections.abc import Iterable

from psycopg import sql

from orchestrator.operations.trying import with_computed
from orchestrator.sql import plpgsql
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName, verbatim, words
from orchestrator.sql.repair import Repair
from orchestrator.sql.steps import Proof
from orchestrator.sql.value import Value

_REMEDY = "correct the plan, or set these rows right; then go on"


def not_null(facts: Table, values: Iterable[Value]) -> tuple[Proof, ...]:
    """Return a look, for each column that is NOT NULL in the end, for rows for which its expression gives NULL."""
    return tuple(
        _look(
            facts,
            value,
            plpgsql.is_null(value.computed),
            complaint=f"{value.column} is NOT NULL in the end, and {value.expression} gives NULL",
            demand=f"a value for {value.column}",
        )
        for value in values
        if value.not_null and value.expression is not None
    )


def checked(facts: Table, value: Value, condition: str) -> Proof:
    """Return a look for rows that break a check of a new column; as PostgreSQL has it, by NULL it is not broken."""
    return _look(
        facts,
        value,
        sql.SQL('(SELECT ({}) IS FALSE FROM ({}) AS "row")').format(
            verbatim(condition), with_computed(facts, (value,))
        ),
        complaint=f"the check of {value.column} is broken by {value.expression}",
        demand=condition,
        also=condition,
    )


def unique(facts: Table, value: Value) -> Proof:
    """Return a look for rows that share the value that a new column, which is unique in the end, has for them."""
    given = sql.SQL("{}::{}").format(value.computed, verbatim(value.type))
    return _look(
        facts,
        value,
        sql.SQL("({0}) IN (SELECT {0} FROM {1} GROUP BY 1 HAVING count(*) > 1)").format(given, facts.name.identifier),
        complaint=f"{value.column} is unique in the end, and {value.expression} is the same as in another row",
        demand=f"a {value.column} of its own",
    )


def pointing(facts: Table, value: Value, other: TableName, column: str) -> Proof:
    """Return a look for rows whose value of a new column is in no row of the table that it points to in the end."""
    return _look(
        facts,
        value,
        sql.SQL("({}::{}) NOT IN (SELECT {column} FROM {} WHERE {column} IS NOT NULL)").format(
            value.computed, verbatim(value.type), other.identifier, column=sql.Identifier(column)
        ),
        complaint=f"{value.column} points to {other} in the end, and {value.expression} is not there",
        demand=f"a {value.column} that is in {other}",
    )


def _look(facts: Table, value: Value, violated: sql.Composed, *, complaint: str, demand: str, also: str = "") -> Proof:
    named = words(value.expression or "", also)
    rule = Repair(
        columns=tuple(column.name for column in facts.columns if column.name in named),
        demand=demand,
        replacements=(),
        violated=violated,
    )
    return Proof(
        key=f"look at {value.column}",
        title=f"look whether rows that are there have {demand}",
        table=facts.name,
        mappings=(rule,),
        complaint=complaint,
        remedy=_REMEDY,
    )
