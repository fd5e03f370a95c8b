"""Where a column's values come from when nobody gives them: its default, identity and sequence, for a successor."""

from collections.abc import Iterable

from psycopg import sql

from orchestrator.sql.facts import Column, Table
from orchestrator.sql.heritage import Heir, HeldSequence, beside
from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.steps import Statement

_INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
"""By type: how many values it has on either side of zero."""


def fed(facts: Table, heir: Heir, *, returning: bool, waits: bool = False) -> Iterable[Statement]:
    """Give the successor the default, or the identity with its sequence.

    A default that draws from a sequence must not stay on the column as well, or each row would draw twice. Any other
    stays, and is found there on the way back: PostgreSQL would not cast it back by itself.

    Args:
        facts: of the table.
        heir: the column and its successor.
        returning: whether it is the way back.
        waits: whether the column keeps its default until it goes (`fed_at_last`): what a row has in either of the two
            then tells which of them was given.
    """
    column, said = facts.column(heir.column), facts.heritage.attributes[heir.column]
    if column is None:
        return
    table, old, new = facts.name.identifier, sql.Identifier(heir.column), sql.Identifier(heir.successor)
    if said.identity is not None and said.sequence is not None:
        yield from _identity(facts, heir, said.identity, said.sequence)
        return
    if waits:
        if said.sequence is not None:
            yield sql.SQL("ALTER SEQUENCE {} OWNED BY {}.{}").format(said.sequence.name.identifier, table, new)
        return
    if column.default is None:
        return
    drawn = is_drawn(column)
    if drawn or not returning:
        default = column.default if said.default is None else said.default
        yield sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {}").format(table, new, verbatim(default))
    if drawn or returning:
        yield sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP DEFAULT").format(table, old)
    if said.sequence is not None:
        yield sql.SQL("ALTER SEQUENCE {} OWNED BY {}.{}").format(said.sequence.name.identifier, table, new)


def fed_at_last(table: TableName, column: Column, successor: str) -> Statement:
    """Return what gives the successor the default that waited, before its column goes."""
    return sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {}").format(
        table.identifier, sql.Identifier(successor), verbatim(column.default or "NULL")
    )


def waits(column: Column, sequence: HeldSequence | None) -> bool:
    """Whether a column has a default that differs from row to row, and that it can keep as long as it is there.

    A sequence that goes on beyond the column's own type would then have every INSERT fail.
    """
    if column.default is None or column.default_is_constant or column.identity:
        return False
    return sequence is None or sequence.maximum < _INTEGERS.get(column.plain_type, sequence.maximum + 1)


def is_drawn(column: Column) -> bool:
    """Whether a column's default draws from a sequence."""
    return column.default is not None and "nextval(" in column.default


def _identity(facts: Table, heir: Heir, kind: str, sequence: HeldSequence) -> Iterable[Statement]:
    """Move an identity: PostgreSQL makes another sequence for it, which goes on where the first one is.

    ALTER SEQUENCE holds nextval() back until the end of the transaction ("ALTER SEQUENCE", notes).
    """
    table, first = facts.name.identifier, sequence.name.identifier
    second = TableName(sequence.name.schema, beside(sequence.name.name)).identifier
    yield sql.SQL(
        "ALTER TABLE {} ALTER COLUMN {} ADD GENERATED {} AS IDENTITY"
        " (SEQUENCE NAME {} START {} INCREMENT {} MINVALUE {} MAXVALUE {} CACHE {} {}CYCLE)"
    ).format(
        table,
        sql.Identifier(heir.successor),
        verbatim("ALWAYS" if kind == "a" else "BY DEFAULT"),
        second,
        sql.Literal(sequence.start),
        sql.Literal(sequence.increment),
        sql.Literal(_limit(sequence.minimum, sequence.type, _type_of(facts, heir), -1)),
        sql.Literal(_limit(sequence.maximum, sequence.type, _type_of(facts, heir), 1)),
        sql.Literal(sequence.cache),
        verbatim("" if sequence.cycle else "NO "),
    )
    yield sql.SQL("ALTER SEQUENCE {} CACHE {}").format(first, sql.Literal(sequence.cache))
    yield sql.SQL("SELECT pg_catalog.setval({}, last_value, is_called) FROM {}").format(
        sql.Literal(second.as_string(None)), first
    )
    yield sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP IDENTITY").format(table, sql.Identifier(heir.column))
    yield sql.SQL("ALTER SEQUENCE {} RENAME TO {}").format(second, sql.Identifier(sequence.name.name))
    if sequence.comment is not None:
        yield sql.SQL("COMMENT ON SEQUENCE {} IS {}").format(first, sql.Literal(sequence.comment))
    for grantee, privilege, grantable in sequence.grants:
        yield sql.SQL("GRANT {} ON SEQUENCE {} TO {}{}").format(
            verbatim(privilege),
            first,
            sql.SQL("PUBLIC") if grantee is None else sql.Identifier(grantee),
            sql.SQL(" WITH GRANT OPTION" if grantable else ""),
        )


def _type_of(facts: Table, heir: Heir) -> str:
    successor = facts.column(heir.successor)
    return successor.plain_type if successor is not None else heir.type or "bigint"


def _limit(value: int, before: str, after: str, side: int) -> int:
    """Return a sequence's limit in another type: the type's own becomes the other's ("ALTER SEQUENCE", AS)."""

    def own(type_name: str) -> int:
        size = _INTEGERS.get(type_name, 0)
        return size - 1 if side > 0 else -size

    return own(after) if value == own(before) and after in _INTEGERS else value


def widened(facts: Table, column: str, type_name: str) -> tuple[Statement, ...]:
    """Return what lets a sequence that feeds a column go on as far as its type does; PostgreSQL leaves it as it is."""
    sequence = facts.heritage.attributes[column].sequence
    if sequence is None or _INTEGERS.get(sequence.type, 0) >= _INTEGERS.get(type_name, 0):
        return ()
    return (sql.SQL("ALTER SEQUENCE {} AS {}").format(sequence.name.identifier, verbatim(type_name)),)
