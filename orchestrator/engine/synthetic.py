"""Writes as an application makes them, for a rehearsal: rows of a plan's tables are given values of other rows.

What a row is given all comes from one other row, so that it fits the table's constraints; what no two rows may have
alike is left as it is. Where nothing refers to a table's rows, a row is also deleted and inserted again. Rows are
addressed by their primary key, which neither changes: so both versions of an application find them under whatever
names, and through a view as well.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Any

import psycopg
from psycopg import sql
from pydantic import SecretStr

from orchestrator.engine.connection import Connection, connect, is_lost, select
from orchestrator.plan.versions import Names
from orchestrator.sql.identifiers import TableName

_SAMPLE = 1000
"""Rows of each table that are written."""
_READ = 32 * 1024**2
"""Bytes of a table that are read to choose them; one that is smaller as a whole."""
_LONGEST = "60s"
"""How long a statement may take before it counts as an error."""

_GROUND = """
SELECT
  ARRAY(
    SELECT a.attname FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::pg_catalog.int2[])
    WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY a.attnum
  ) AS key,
  ARRAY(
    SELECT DISTINCT a.attname FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
     AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid AND d.refobjsubid > 0
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
    WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion)
    UNION
    SELECT a.attname FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::pg_catalog.int2[])
    WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion)
  ) AS apart,
  ARRAY(
    SELECT a.attname FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = 'a'
  ) AS counted,
  EXISTS (SELECT FROM pg_catalog.pg_constraint r WHERE r.confrelid = c.oid AND r.contype = 'f') AS referred,
  EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS triggered,
  (
    SELECT coalesce(sum(pg_catalog.pg_relation_size(t.relid)), 0)::pg_catalog.float8
    FROM pg_catalog.pg_partition_tree(c.oid) t WHERE t.isleaf
  ) AS size
FROM pg_catalog.pg_class c
WHERE c.oid = pg_catalog.to_regclass(%s)
"""


class Way(StrEnum):
    """How a row is written."""

    CHANGE = "UPDATE"
    AGAIN = "DELETE and INSERT"


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A table before the plan begins, as far as it has to be known to write its rows.

    Attributes:
        key: the columns of its primary key; without one nobody writes it.
        apart: columns whose value is a row's own.
        replaceable: whether a row can be deleted and inserted again.
        keys: of rows that are written, each as text.
    """

    table: TableName
    key: tuple[str, ...]
    apart: frozenset[str]
    replaceable: bool
    keys: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Write:
    """What a version of an application does to rows of one table.

    Attributes:
        table: the table's name before the plan.
        change: with the keys of the row that is given values, and of the one that has them.
        again: with the key of a row; None where none may be deleted.
        guarded: the same two for as long as rows may have no value yet in columns that are new.
        keys: of rows.
    """

    table: TableName
    change: sql.Composed | None
    again: sql.Composed | None
    guarded: tuple[sql.Composed | None, sql.Composed | None]
    keys: tuple[tuple[str, ...], ...]

    def statement(self, way: Way, *, guarded: bool) -> sql.Composed | None:
        """Return the statement of a way; None where there is none."""
        change, again = self.guarded if guarded else (self.change, self.again)
        return change if way is Way.CHANGE else again


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What a write met. `seconds` is how long it had waited by then."""

    sqlstate: str
    message: str
    statement: str
    seconds: float


def survey(connection: Connection, table: TableName) -> Ground | None:
    """Return what has to be known of a table; None where it has no primary key, or no rows.

    Args:
        connection: a session with the branch.
        table: as it is named before the plan begins.
    """
    (found,) = select(connection, _GROUND, [table.identifier.as_string(None)]) or [None]
    if found is None or not found["key"]:
        return None
    key = tuple(found["key"])
    keys = _sample(connection, table, key, found["size"])
    if not keys:
        return None
    return Ground(
        table=table,
        key=key,
        apart=frozenset((*found["apart"], *found["counted"])),
        replaceable=not found["referred"] and not found["triggered"],
        keys=keys,
    )


def _sample(connection: Connection, table: TableName, key: tuple[str, ...], size: float) -> tuple[tuple[str, ...], ...]:
    """Return the keys of some rows, from all over the table."""
    part = sql.SQL("")
    if size > _READ:
        # Pages chosen at random ("SELECT", TABLESAMPLE SYSTEM).
        part = sql.SQL(" TABLESAMPLE SYSTEM ({})").format(sql.Literal(100.0 * _READ / size))
    query = sql.SQL("SELECT {} FROM {}{} ORDER BY pg_catalog.random() LIMIT {}").format(
        sql.SQL(", ").join(sql.SQL("{}::pg_catalog.text").format(sql.Identifier(name)) for name in key),
        table.identifier,
        part,
        sql.Literal(_SAMPLE),
    )
    return tuple(tuple(map(str, row)) for row in connection.execute(query).fetchall())


def write(ground: Ground, names: Names, *, alone: frozenset[str], replaces: bool) -> Write | None:
    """Return what a version does to a table's rows; None where it finds no row by its key.

    Args:
        ground: the table, before the plan began.
        names: how the version knows it.
        alone: columns that are not given another row's value either.
        replaces: whether rows may be deleted and inserted again.
    """
    key = tuple(name for before in ground.key for name in [names.called(before)] if name is not None)
    if len(key) != len(ground.key):
        return None
    given = tuple(
        name
        for name, befores in names.columns.items()
        if name not in alone and not ground.apart.intersection(befores or (name,))
    )
    every = tuple(names.columns)
    again = _replaced(names.table, key, every, ()) if replaces and ground.replaceable else None
    return Write(
        table=ground.table,
        change=_changed(names.table, key, given, ()) if given else None,
        again=again,
        guarded=(
            _changed(names.table, key, given, names.made) if given else None,
            again and _replaced(names.table, key, every, names.made),
        ),
        keys=ground.keys,
    )


def _changed(table: TableName, key: Sequence[str], given: Sequence[str], filled: Sequence[str]) -> sql.Composed:
    return sql.SQL(
        'UPDATE {table} AS "row" SET {values} FROM {table} AS "other" WHERE {row} AND {other}{filled}'
    ).format(
        table=table.identifier,
        values=sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Identifier("other", name)) for name in given
        ),
        row=_is("row", key),
        other=_is("other", key),
        filled=_filled("other", filled),
    )


def _replaced(table: TableName, key: Sequence[str], columns: Sequence[str], filled: Sequence[str]) -> sql.Composed:
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL(
        'WITH "gone" AS (DELETE FROM {table} AS "row" WHERE {row}{filled} RETURNING {listed})'
        ' INSERT INTO {table} ({listed}) OVERRIDING SYSTEM VALUE SELECT {listed} FROM "gone"'
    ).format(table=table.identifier, row=_is("row", key), filled=_filled("row", filled), listed=listed)


def _is(alias: str, key: Sequence[str]) -> sql.Composed:
    # A value without a type is taken for one of the column's.
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(alias, name), sql.Placeholder()) for name in key
    )


def _filled(alias: str, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("").join(sql.SQL(" AND {} IS NOT NULL").format(sql.Identifier(alias, name)) for name in columns)


def session(url: SecretStr, *, branch: str, purpose: str) -> Connection:
    """Open a session as an application has one: with the role's own settings, and not with ecm's.

    Raises:
        ConnectionFailedError: as `connect`.
    """
    connection = connect(url, branch=branch, purpose=purpose)
    connection.execute("RESET ALL")
    connection.execute(sql.SQL("SET statement_timeout = {}").format(sql.Literal(_LONGEST)))
    return connection


class Writer:
    """One session that writes, a transaction of a few rows at a time.

    Args:
        connection: of its own, as `session` gives it.
        writes: what it does, a table each.
        seed: of its choices.
    """

    def __init__(self, connection: Connection, writes: Sequence[Write], *, seed: int) -> None:
        self._connection = connection
        self._writes = tuple(writes)
        self._random = random.Random(seed)  # noqa: S311 - which rows are written is no secret
        self.given_up: set[tuple[TableName, Way]] = set()
        """What it does no more, because it is refused for reasons of its own."""

    def pairs(self) -> tuple[tuple[Write, Way], ...]:
        """Return every write in every way that it is made."""
        return tuple(
            (each, way)
            for each in self._writes
            for way in Way
            if each.statement(way, guarded=False) is not None and (each.table, way) not in self.given_up
        )

    def transact(self, *, guarded: bool) -> tuple[float, Failure | None]:
        """Write a few rows of one table; return the longest wait of a statement in seconds, and what went wrong.

        Raises:
            psycopg.Error: the session was lost.
        """
        pairs = self.pairs()
        if not pairs:
            return 0.0, None
        return self.perform(*self._random.choice(pairs), guarded=guarded)

    def perform(self, write: Write, way: Way, *, guarded: bool) -> tuple[float, Failure | None]:
        """Write a few rows in a certain way, as `transact`."""
        statement = write.statement(way, guarded=guarded)
        if statement is None:
            return 0.0, None
        # In an order, so that two writers do not wait for one another.
        rows = sorted(self._random.choices(write.keys, k=self._random.randint(1, 3)))
        longest, started = 0.0, monotonic()
        try:
            with self._connection.transaction():
                for row in rows:
                    started = monotonic()
                    self._connection.execute(statement, self._values(write, way, row))
                    longest = max(longest, monotonic() - started)
                started = monotonic()
        except psycopg.Error as error:
            if is_lost(error):
                raise
            return longest, _failure(error, statement, monotonic() - started)
        return max(longest, monotonic() - started), None

    def _values(self, write: Write, way: Way, row: tuple[str, ...]) -> tuple[Any, ...]:
        return row if way is Way.AGAIN else (*row, *self._random.choice(write.keys))


def _failure(error: psycopg.Error, statement: sql.Composed, seconds: float) -> Failure:
    return Failure(
        sqlstate=error.sqlstate or "",
        message=error.diag.message_primary or str(error),
        statement=statement.as_string(None),
        seconds=seconds,
    )
