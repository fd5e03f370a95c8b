"""What is said of a column, for a successor: its comment, grants, statistics target and options.

PostgreSQL keeps them on a table and on each of its partitions apart, and each says its own of the successor: at expand,
and once more where it was changed since.
"""

from collections.abc import Iterable

from psycopg import sql

from orchestrator.sql.facts import Column, Grant, Table
from orchestrator.sql.heritage import Words
from orchestrator.sql.identifiers import verbatim
from orchestrator.sql.steps import Statement

_ALL, _ONLY = sql.SQL(""), sql.SQL("ONLY ")
"""Whether ALTER TABLE goes on to the partitions, where what is altered does."""


def said(facts: Table, column: Column, successor: str) -> Iterable[Statement]:
    """Yield what says of a successor that was just added what is said of the column."""
    own = facts.heritage.attributes[column.name]
    words = Words(
        comment=own.comment,
        statistics=own.statistics,
        options=own.options,
        grants=tuple((grant.grantee, grant.privilege, grant.grantable) for grant in column.grants),
    )
    yield from _says(facts.name.identifier, successor, words, Words())
    # SET STATISTICS goes on to the partitions; nothing else does.
    passed_on = Words(statistics=own.statistics)
    for partition, theirs in facts.heritage.words.items():
        if partition != facts.name and column.name in theirs:
            yield from _says(partition.identifier, successor, theirs[column.name], passed_on, only=_ONLY)


def said_since(facts: Table) -> Iterable[Statement]:
    """Yield what says of the successors, on the table and each partition, what is said of the columns by now."""
    for table, words in facts.heritage.words.items():
        for heir in facts.heritage.heirs:
            if heir.column in words and heir.successor in words:
                own, already = words[heir.column], words[heir.successor]
                yield from _says(table.identifier, heir.successor, own, already, only=_ONLY)


def granted(table: sql.Identifier, column: str, grants: Iterable[Grant]) -> Iterable[Statement]:
    """Yield the GRANTs of privileges on a column."""
    for grant in grants:
        yield sql.SQL("GRANT {privilege} ({column}) ON {table} TO {role}{option}").format(
            privilege=verbatim(grant.privilege),
            column=sql.Identifier(column),
            table=table,
            role=sql.SQL("PUBLIC") if grant.grantee is None else sql.Identifier(grant.grantee),
            option=sql.SQL(" WITH GRANT OPTION" if grant.grantable else ""),
        )


def _says(
    table: sql.Identifier, column: str, words: Words, already: Words, *, only: sql.SQL = _ALL
) -> Iterable[Statement]:
    name, alter = sql.Identifier(column), sql.SQL("ALTER TABLE {}{} ALTER COLUMN {} {}")
    yield from _grants(table, column, words, already)
    if words.comment != already.comment:
        yield sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(table, name, sql.Literal(words.comment))
    if words.statistics != already.statistics:
        # -1 is the default; the word for it came with PostgreSQL 17.
        target = sql.Literal(-1 if words.statistics is None else words.statistics)
        yield alter.format(only, table, name, sql.SQL("SET STATISTICS {}").format(target))
    now, before = dict(words.options), dict(already.options)
    if gone := [key for key in before if key not in now]:
        keys = sql.SQL(", ").join(map(verbatim, gone))
        yield alter.format(only, table, name, sql.SQL("RESET ({})").format(keys))
    if new := [(key, value) for key, value in now.items() if before.get(key) != value]:
        options = sql.SQL(", ").join(sql.SQL("{} = {}").format(verbatim(key), verbatim(v)) for key, v in new)
        yield alter.format(only, table, name, sql.SQL("SET ({})").format(options))


def _grants(table: sql.Identifier, column: str, words: Words, already: Words) -> Iterable[Statement]:
    now, before = _granted(words), _granted(already)
    for (grantee, privilege), grantable in {**before, **now}.items():
        have, want = before.get((grantee, privilege)), now.get((grantee, privilege))
        if want is None or (have and not want):
            yield sql.SQL("REVOKE {option}{privilege} ({column}) ON {table} FROM {role}").format(
                option=sql.SQL("" if want is None else "GRANT OPTION FOR "),
                privilege=verbatim(privilege),
                column=sql.Identifier(column),
                table=table,
                role=sql.SQL("PUBLIC") if grantee is None else sql.Identifier(grantee),
            )
        elif have is None or (want and not have):
            yield from granted(table, column, [Grant(grantee=grantee, privilege=privilege, grantable=grantable)])


def _granted(words: Words) -> dict[tuple[str | None, str], bool]:
    """Return what is granted to whom, and whether they may grant it; several may have granted the same."""
    found: dict[tuple[str | None, str], bool] = {}
    for grantee, privilege, grantable in words.grants:
        found[grantee, privilege] = found.get((grantee, privilege), False) or grantable
    return found
