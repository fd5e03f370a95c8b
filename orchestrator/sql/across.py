"""Rows of two tables that carry one value, and how whoever writes one of them brings the others in line.

What one side is given goes to the other in an AFTER trigger: a BEFORE trigger's row may still be
changed or refused. Both sides lock the other table's row before they compare. Two comparisons
without a lock in common would let two writers at a time pass each other by.

An old writer comes with its own row locked and wants the other table's; a new writer comes the other
way round. PostgreSQL would find a deadlock, and end one of the two. So no lock is waited for that
others could find in a circle: a row that is not free is asked for again and again. Before each time
ecm's function looks whether a session waits for its own, as one does in every circle, or has said
that it comes from the other side. Then it does not go on asking: it leaves a note of what it owes
the other side, in its own transaction, and lets the writer go on. Whoever writes any of these rows
next pays it; mostly that is the session that waited. So nobody waits in a circle, and nothing is
lost if that session gives up ("Deadlocks", manual 13.3.4, and
docs/decisions/0023-what-cannot-wait-is-owed.md).
"""

import hashlib
from dataclasses import dataclass, replace

from psycopg import sql

from orchestrator.sql.identifiers import JOURNAL_SCHEMA, TableName, bounded, verbatim
from orchestrator.sql.mapping import Hiding
from orchestrator.sql.plpgsql import changed, differ, is_not_null
from orchestrator.sql.steps import Statement

VALUE = sql.SQL('"~value"')
"""In a trigger: the value that all rows are to have."""
WANTED = sql.SQL('"~wanted"')
"""In a trigger: how many rows were to be locked."""
WROTE = sql.SQL('"~wrote"')
"""In a trigger: whether this statement gave the value, or something is owed only."""
LEAVE = sql.SQL('EXIT "~ecm";')
"""Leave the block."""
THEIR_VALUE = sql.SQL('"~their value"')
"""In a condition: the partner's value."""

_PAIR = sql.SQL('"~pair"')
LONGEST_NAP = 0.02
"""Seconds until a row that was not free is asked for again."""
LONGEST_WAIT = "10 s"
"""After which a new writer owes, whoever it is that holds the row: the two sides may write a key differently."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two tables.

    Attributes:
        column: that carries the value.
        keys: by which its rows go with those of the other side, in the same order there.
        known_as: (table, column) as the plan has them, where contract gave them other names.
    """

    table: TableName
    column: str
    keys: tuple[str, ...]
    known_as: tuple[TableName, str] | None = None

    @property
    def called(self) -> str:
        """Its table and column as the plan has them, by which it is told from others."""
        table, column = self.known_as or (self.table, self.column)
        return f"{table.qualified}.{column}"

    def hidden(self, how: Hiding) -> "Side":
        """Return the same under the names that contract gives its columns and its table."""
        return replace(
            self,
            table=how.tables.get(self.table, self.table),
            column=how.name(self.column, self.table),
            keys=tuple(how.name(key, self.table) for key in self.keys),
            known_as=(self.table, self.column),
        )

    @property
    def value(self) -> sql.Identifier:
        """Its column, in a condition over its row."""
        return sql.Identifier(self.column)

    @property
    def given(self) -> sql.Composed:
        """Its column in NEW."""
        return sql.SQL("NEW.{}").format(self.value)

    @property
    def theirs(self) -> sql.Composed:
        """Its column where the row is called t."""
        return sql.SQL("t.{}").format(self.value)

    @property
    def rewritten(self) -> sql.Composed:
        """A condition over OLD and NEW: the value was changed."""
        return changed((self.column,))

    @property
    def moved(self) -> sql.Composed:
        """A condition over OLD and NEW: the row goes with others than before."""
        return changed(self.keys)

    def with_new(self, mine: "Side", *more: sql.Composable) -> sql.Composed:
        """Return a condition over a row t of this side: it goes with the trigger's row, which is of side `mine`."""
        pairs = zip(self.keys, mine.keys, strict=True)
        same = [sql.SQL("t.{} = NEW.{}").format(sql.Identifier(own), sql.Identifier(key)) for own, key in pairs]
        return sql.SQL(" AND ").join([*same, *more])

    def rows(self, mine: "Side", *more: sql.Composable) -> sql.Composed:
        """Return `FROM this side WHERE it goes with the trigger's row`, as `with_new`."""
        return sql.SQL("FROM {} AS t WHERE {}").format(self.table.identifier, self.with_new(mine, *more))

    @property
    def leave_if_written_since(self) -> sql.Composed:
        """Return what ends an AFTER trigger for a row that has another value by now: that write has handed it on.

        Where a foreign key hands on the rows' keys (ON UPDATE CASCADE), it writes the other table before the trigger
        of the statement itself has fired, and that row's trigger fires after it, with the value from before.
        """
        return sql.SQL("IF EXISTS (SELECT {}) THEN\n{}\nEND IF;").format(
            self.rows(self, differ(self.theirs, self.given)), LEAVE
        )

    def update(self, mine: "Side", *more: sql.Composable) -> sql.Composed:
        """Return the UPDATE that gives the value to the rows that go with the trigger's and have another."""
        return sql.SQL("UPDATE {} AS t SET {} = {} WHERE {};").format(
            self.table.identifier, self.value, VALUE, self.with_new(mine, differ(self.theirs, VALUE), *more)
        )

    def partner(self, mine: "Side", *more: sql.Composable) -> sql.Composed:
        """Return a condition over a row of side `mine`: this side has a row that goes with it.

        The columns of this side have names of their own inside, so that those of the row can stand as they are.

        Args:
            mine: the side of the row.
            more: what else holds, with this side's value as THEIR_VALUE.
        """
        keys = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(sql.Identifier(key), numbered(place)) for place, key in enumerate(self.keys)
        )
        same = (sql.SQL("{} = {}").format(numbered(place), sql.Identifier(key)) for place, key in enumerate(mine.keys))
        return sql.SQL('EXISTS (SELECT FROM (SELECT {}, {} AS {} FROM {}) AS "~partner" WHERE {})').format(
            keys, self.value, THEIR_VALUE, self.table.identifier, sql.SQL(" AND ").join([*same, *more])
        )


@dataclass(frozen=True, kw_only=True)
class Debts:
    """What a writer could not give the other side without waiting in a circle, until someone does.

    Attributes:
        of: the side whose types its columns have.
    """

    of: Side

    @property
    def table(self) -> sql.Identifier:
        """In ecm's own schema; two plans under way never have the same column."""
        table, column = self.of.known_as or (self.of.table, self.of.column)
        return sql.Identifier(JOURNAL_SCHEMA, bounded("owed", table.qualified, column))

    @property
    def number(self) -> sql.Literal:
        """By which an advisory lock tells the two sides from others ("Advisory Locks", manual 13.3.5)."""
        digest = hashlib.sha256(self.of.called.encode()).digest()
        return sql.Literal(int.from_bytes(digest[:3]))

    @property
    def create(self) -> tuple[Statement, ...]:
        """What makes it. A row without `given` says: take what the other table has."""
        keys = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(sql.Identifier(key), numbered(place)) for place, key in enumerate(self.of.keys)
        )
        return (
            sql.SQL("CREATE TABLE {} AS SELECT {}, {} AS value FROM ONLY {} WITH NO DATA").format(
                self.table, keys, self.of.value, self.of.table.identifier
            ),
            sql.SQL("ALTER TABLE {} ADD COLUMN given boolean, ADD COLUMN number bigserial").format(self.table),
        )

    @property
    def drop(self) -> Statement:
        """What takes it away."""
        return sql.SQL("DROP TABLE IF EXISTS {}").format(self.table)

    def to(self, mine: Side, row: str = "NEW.") -> sql.Composed:
        """Return `FROM … WHERE …`: what is owed to those that go with a row of side `mine`.

        Args:
            mine: the row's side.
            row: what stands before its columns.
        """
        same = (
            sql.SQL("o.{} = {}{}").format(numbered(place), verbatim(row), sql.Identifier(key))
            for place, key in enumerate(mine.keys)
        )
        return sql.SQL("FROM {} AS o WHERE {}").format(self.table, sql.SQL(" AND ").join(same))

    def owe(self, mine: Side, value: sql.Composable, given: sql.Composable) -> sql.Composed:
        """Return the statement that notes what those that go with the trigger's row are to have."""
        keys = sql.SQL(", ").join(sql.SQL("NEW.{}").format(sql.Identifier(key)) for key in mine.keys)
        return sql.SQL("INSERT INTO {} VALUES ({}, {}, {});").format(self.table, keys, value, given)

    def take(self, mine: Side, otherwise: sql.Composable) -> sql.Composed:
        """Return what sets the value to the last that is owed; where that is what the other table has, `otherwise`."""
        last = sql.SQL("{} ORDER BY o.number DESC LIMIT 1").format(self.to(mine))
        return sql.SQL(
            "IF (SELECT o.given {last}) THEN\n{value} := (SELECT o.value {last});\n"
            "ELSE\n{value} := {otherwise};\nIF {value} IS NOT DISTINCT FROM NULL THEN\n{leave}\nEND IF;\nEND IF;"
        ).format(last=last, value=VALUE, otherwise=otherwise, leave=LEAVE)

    def pay(self, to: Side, of: Side) -> tuple[Statement, ...]:
        """Return what gives one side all that is owed to it: when the other goes, and nobody writes either.

        Args:
            to: the side that stays.
            of: the side that goes.
        """
        keys = sql.SQL(", ").join(numbered(place) for place, _ in enumerate(to.keys))
        same = sql.SQL(" AND ").join(
            sql.SQL("t.{} = o.{}").format(sql.Identifier(key), numbered(place)) for place, key in enumerate(to.keys)
        )
        last = sql.SQL("(SELECT DISTINCT ON ({keys}) * FROM {} ORDER BY {keys}, number DESC) AS o").format(
            self.table, keys=keys
        )
        update = sql.SQL("UPDATE {} AS t SET {} = ").format(to.table.identifier, to.value)
        given = sql.SQL("{}o.value FROM {} WHERE o.given AND {} AND {}").format(
            update, last, same, differ(to.theirs, sql.SQL("o.value"))
        )
        if to != self.of:
            return (given,)
        theirs = sql.SQL("f.{}").format(of.value)
        of_the_other = sql.SQL("{}{value} FROM {}, {} AS f WHERE NOT o.given AND {} AND {} AND {} AND {}").format(
            update,
            last,
            of.table.identifier,
            same,
            sql.SQL(" AND ").join(
                sql.SQL("f.{} = o.{}").format(sql.Identifier(key), numbered(place)) for place, key in enumerate(of.keys)
            ),
            is_not_null(theirs),
            differ(to.theirs, theirs),
            value=theirs,
        )
        return (given, of_the_other)

    def settled(self, source: Side, other: Side) -> Statement:
        """Return what forgets debts whose rows agree by now, or are gone."""
        same = (
            sql.SQL("t.{} = s.{}").format(sql.Identifier(theirs), sql.Identifier(mine))
            for theirs, mine in zip(other.keys, source.keys, strict=True)
        )
        differing = sql.SQL("SELECT FROM {} AS s JOIN {} AS t ON {} WHERE {} AND {}").format(
            source.table.identifier,
            other.table.identifier,
            sql.SQL(" AND ").join(same),
            sql.SQL(" AND ").join(
                sql.SQL("s.{} = o.{}").format(sql.Identifier(key), numbered(place))
                for place, key in enumerate(source.keys)
            ),
            differ(sql.SQL("s.{}").format(source.value), other.theirs),
        )
        return sql.SQL("DELETE FROM {} AS o WHERE NOT EXISTS ({})").format(self.table, differing)


def numbered(place: int) -> sql.Identifier:
    """Return the name of a key's column in ecm's own table, and inside a condition."""
    return sql.Identifier(f"~key {place + 1}")


def block(value_of: Side, *work: sql.Composable) -> sql.Composed:
    """Return a block of PL/pgSQL with the variables that these pieces use; no column has names like theirs."""
    return sql.SQL(
        '<<"~ecm">>\nDECLARE\n{value} {table}.{column}%TYPE; {wanted} pg_catalog.int8; {wrote} pg_catalog.bool;'
        ' "~own" pg_catalog.int8; "~pair" pg_catalog.int4; "~began" pg_catalog.timestamptz; "~naps" pg_catalog.int4;\n'
        'BEGIN\n{work}\nEND "~ecm";'
    ).format(
        value=VALUE,
        table=value_of.table.identifier,
        column=value_of.value,
        wanted=WANTED,
        wrote=WROTE,
        work=sql.SQL("\n").join(work),
    )


def somebody_waits() -> sql.Composed:
    """Return a condition: a session waits for this one, as one does in every circle that this one is part of."""
    return sql.Composed(
        [
            sql.SQL(
                "EXISTS (SELECT FROM pg_catalog.pg_locks AS w WHERE NOT w.granted"
                " AND pg_catalog.pg_backend_pid() = ANY (pg_catalog.pg_blocking_pids(w.pid)))"
            )
        ]
    )


def locked(pair: Debts, mine: Side, rows: sql.Composable, *, otherwise: sql.Composable) -> sql.Composed:
    """Return what locks rows without waiting in a circle; where it would have to, it leaves the block.

    Without contention this is two reads by index. A row that is not free is asked for again and again: who waits in
    PostgreSQL's own queue is part of its graph, where a session that waits for longer may find a circle first.

    Args:
        pair: names the two sides.
        mine: the side of the trigger's row.
        rows: `FROM … WHERE …`.
        otherwise: what is done before the block is left.
    """
    old = mine == pair.of
    keys = sql.SQL(", ").join(sql.SQL("NEW.{}").format(sql.Identifier(key)) for key in mine.keys)
    # Who comes from the old side says that it is going to settle the pair, because nobody waits for it to be seen.
    promise = sql.SQL("PERFORM pg_catalog.pg_advisory_xact_lock_shared({}, {});\n").format(pair.number, _PAIR)
    promised = sql.SQL(
        " OR EXISTS (SELECT FROM pg_catalog.pg_locks AS w WHERE w.locktype = 'advisory' AND w.objsubid = 2"
        " AND w.classid = {}::pg_catalog.int8::pg_catalog.oid"
        " AND w.objid = ({}::pg_catalog.int8 & 4294967295)::pg_catalog.oid"
        " AND w.database = (SELECT d.oid FROM pg_catalog.pg_database AS d"
        " WHERE d.datname = pg_catalog.current_database())"
        " AND w.granted AND w.pid <> pg_catalog.pg_backend_pid())"
        ' OR pg_catalog.clock_timestamp() > "~began" + {}::pg_catalog.interval'
    ).format(pair.number, _PAIR, sql.Literal(LONGEST_WAIT))
    return sql.SQL(
        "{wanted} := (SELECT pg_catalog.count(*) {rows});\n"
        "IF {wanted} > {got} THEN\n"
        "\"~own\" := (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'lock_timeout');\n"
        "{number} := pg_catalog.hashtext(ROW({keys})::pg_catalog.text);\n"
        '"~began" := pg_catalog.clock_timestamp();\n"~naps" := 0;\n{promise}'
        "WHILE (SELECT pg_catalog.count(*) {rows}) > {got} LOOP\n"
        "IF {waits}{promised} THEN\n"
        "{otherwise}\n{leave}\nEND IF;\n"
        'IF "~own" > 0 AND pg_catalog.clock_timestamp() >='
        ' "~began" + pg_catalog.make_interval(secs => "~own" / 1000.0) THEN\n'
        "RAISE EXCEPTION 'canceling statement due to lock timeout' USING ERRCODE = 'lock_not_available';\nEND IF;\n"
        'PERFORM pg_catalog.pg_sleep(LEAST(0.001 * 2 ^ LEAST("~naps", 9), {nap}));\n"~naps" := "~naps" + 1;\n'
        "END LOOP;\nEND IF;"
    ).format(
        wanted=WANTED,
        rows=rows,
        got=sql.SQL("(SELECT pg_catalog.count(*) FROM (SELECT {} FOR NO KEY UPDATE SKIP LOCKED) AS q)").format(rows),
        number=_PAIR,
        keys=keys,
        waits=somebody_waits(),
        promise=promise if old else sql.SQL(""),
        promised=sql.SQL("") if old else promised,
        otherwise=otherwise,
        leave=LEAVE,
        nap=sql.Literal(LONGEST_NAP),
    )
