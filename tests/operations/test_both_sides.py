"""What the sync trigger makes of every kind of write, as a table, and against a model that knows no PostgreSQL."""

from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from fingerprint import fingerprint
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from operations.conftest import Journeys
from operations.harness import Db, ask, rows, run
from psycopg import sql

from orchestrator.plan import compile as compiler
from orchestrator.plan.lifecycle import PHASES, Phase, State
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.steps import Statement, Step, Sweep, Transaction, region
from orchestrator.sql.sync import GUARD

CHANGE = {"kind": "rename_column", "table": "t", "column": "old", "to": "new"}
TABLE = TableName("public", "t")

OLD_WINS, NEW_WINS = "until reads are migrated", "from then on"
UNFILLED, FILLED = "not filled yet", "filled"

# The row with id 1 has 5 under the old name; filled, also under the new. Neither column has a default.
WRITES: list[tuple[str, str, dict[str, tuple[int | None, int | None]]]] = [
    # statement, what it says, the two sides afterwards
    ("UPDATE t SET old = 6 WHERE id = 1", "old alone", {"": (6, 6)}),
    ("UPDATE t SET new = 7 WHERE id = 1", "new alone", {"": (7, 7)}),
    ("UPDATE t SET old = NULL WHERE id = 1", "old to NULL", {"": (None, None)}),
    (
        "UPDATE t SET new = NULL WHERE id = 1",
        "new to NULL",
        # Where the row is not filled, NULL is what the new side has already: nobody can tell that it was written.
        {UNFILLED: (5, 5), FILLED: (None, None)},
    ),
    ("UPDATE t SET old = 5 WHERE id = 1", "old to what it was", {"": (5, 5)}),
    ("UPDATE t SET new = 5 WHERE id = 1", "new to what the old was", {"": (5, 5)}),
    ("UPDATE t SET note = 'x' WHERE id = 1", "another column", {"": (5, 5)}),
    ("UPDATE t SET old = 6, new = 6 WHERE id = 1", "both to the same", {"": (6, 6)}),
    ("UPDATE t SET old = 6, new = 7 WHERE id = 1", "both to different values", {OLD_WINS: (6, 6), NEW_WINS: (7, 7)}),
    ("UPDATE t SET old = 5, new = 7 WHERE id = 1", "both, the old as it was", {"": (7, 7)}),
    (
        "UPDATE t SET old = NULL, new = 7 WHERE id = 1",
        "old to NULL, new to a value",
        {OLD_WINS: (None, None), NEW_WINS: (7, 7)},
    ),
    ("INSERT INTO t (id, old) VALUES (2, 6)", "a row by the old", {"": (6, 6)}),
    ("INSERT INTO t (id, new) VALUES (2, 7)", "a row by the new", {"": (7, 7)}),
    ("INSERT INTO t (id) VALUES (2)", "a row by neither", {"": (None, None)}),
    ("INSERT INTO t (id, old, new) VALUES (2, 6, 6)", "a row by both", {"": (6, 6)}),
    (
        "INSERT INTO t (id, old, new) VALUES (2, 6, 7)",
        "a row by both that differ",
        {OLD_WINS: (6, 6), NEW_WINS: (7, 7)},
    ),
    ("INSERT INTO t (id, old, new) VALUES (2, 6, NULL)", "a row by both, the new NULL", {"": (6, 6)}),
    ("INSERT INTO t (id, old, new) VALUES (2, NULL, 7)", "a row by both, the old NULL", {"": (7, 7)}),
]


def _cases() -> list[Any]:
    return [
        pytest.param(statement, both, wins, filled, id=f"{words}, {wins}, {filled}")
        for statement, words, expected in WRITES
        for wins in (OLD_WINS, NEW_WINS)
        for filled in (UNFILLED, FILLED)
        for both in [next(expected[key] for key in (wins, filled, "") if key in expected)]
        if not (filled == UNFILLED and wins == NEW_WINS)  # readers come when every row is filled
    ]


# ---------------------------------------------------------------- a table, without the conductor


@dataclass(frozen=True)
class Compiled:
    """Everything a plan would send to a table, compiled once."""

    forward: dict[Phase, tuple[Step, ...]]
    back: dict[Phase, tuple[Step, ...]]

    def sweep(self) -> Sweep:
        (step,) = self.forward[Phase.BACKFILL]
        assert isinstance(step, Sweep)
        return step


class Bench:
    """One table that is made again and again, on which the steps of a plan are run directly.

    Args:
        db: a session with a database of the bench's own.
        column: the type and default of column `old`.
        trigger: DDL of a trigger of the table's own; empty for none.
        plan: of the one change.
        facts: of the table, read once.
    """

    def __init__(self, db: Db, column: str, trigger: str, journey: Any) -> None:
        self.db = db
        self.column = column
        self.trigger = trigger
        run(db, "CREATE SCHEMA IF NOT EXISTS ecm; CREATE SEQUENCE drawn")
        self.make()
        facts: dict[TableName, Table] = journey.facts()
        self.steps = Compiled(
            forward={phase: compiler.steps(journey.plan, phase, facts) for phase in PHASES},
            back={phase: compiler.undo(journey.plan, phase, facts, filled=False) for phase in PHASES},
        )

    def make(self) -> None:
        """Begin with an empty table."""
        # Four rows a page, so that a few rows are a few pages for the sweep.
        run(
            self.db,
            "DROP TABLE IF EXISTS t; DROP FUNCTION IF EXISTS ecm.sync_change_public_t(), ecm.settle_change_public_t();"
            f" CREATE TABLE t (id integer PRIMARY KEY, old {self.column}, note text,"
            " pad text DEFAULT repeat('x', 1800)) WITH (autovacuum_enabled = off);"
            f" ALTER TABLE t ALTER pad SET STORAGE PLAIN; {self.trigger}",
        )

    def do(self, phase: Phase) -> None:
        """Run a phase's catalog changes."""
        self._send([s for step in self.steps.forward[phase] if isinstance(step, Transaction) for s in step.statements])

    def undo(self, phase: Phase) -> None:
        """Take a phase's catalog changes back."""
        self._send([statement for step in self.steps.back[phase] for statement in step.inverse])

    def _send(self, statements: list[Statement]) -> None:
        with self.db.transaction():
            for statement in statements:
                self.db.execute(statement)

    def sweep(self, first: int = 0, end: int | None = None) -> int:
        """Fill a range of pages, as a batch of the sweep does; return how many rows were written."""
        step = self.steps.sweep()
        with self.db.transaction():
            if step.spared:
                self.db.execute("SELECT set_config(%s, %s, true)", [GUARD, step.spared])
            return self.db.execute(step.update(step.table, region(first, end))).rowcount

    @property
    def differing(self) -> int:
        """How many rows the proof finds wrong."""
        proof = self.steps.sweep().proof
        row = self.db.execute(proof.count(proof.table, sql.SQL("true"))).fetchone()
        assert row
        return row[1]

    @property
    def pages(self) -> int:
        """The number of pages of the table."""
        return ask(self.db, "SELECT pg_relation_size('t') / current_setting('block_size')::int")


MODEST = """
    CREATE FUNCTION modest() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN IF NEW.old > 2 THEN NEW.old := 2; END IF; RETURN NEW; END';
"""
BEFORE = "CREATE TRIGGER modest BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION modest()"


@pytest.fixture
def bench(journeys: Journeys):
    """Makes a bench with the given column."""

    def make(column: str = "integer", trigger: str = "") -> Bench:
        journey = journeys("CREATE SCHEMA ecm;" + MODEST, CHANGE, fresh=True)
        return Bench(journey.db, column, trigger, journey)

    return make


def test_every_write_reaches_both_sides(bench) -> None:
    """The table above, line by line."""
    table = bench()
    wrong = []
    for case in _cases():
        statement, expected, wins, filled = case.values
        table.make()
        run(table.db, "INSERT INTO t (id, old) VALUES (1, 5)")
        table.do(Phase.EXPAND)
        if filled == FILLED:
            table.sweep()
        if wins == NEW_WINS:
            table.do(Phase.MIGRATE_READS)
        run(table.db, statement)
        number = 2 if statement.startswith("INSERT") else 1
        found = rows(table.db, f"SELECT old, new FROM t WHERE id = {number}")
        if found != [expected]:
            wrong.append((case.id, found, expected))
    assert not wrong


# column, statement → both sides
DEFAULTS: list[tuple[str, str, str, tuple[Any, Any]]] = [
    ("integer DEFAULT 9", "id", "2", (9, 9)),
    ("integer DEFAULT 9", "id, old", "2, 6", (6, 6)),
    ("integer DEFAULT 9", "id, new", "2, 7", (7, 7)),
    ("integer DEFAULT 9", "id, old", "2, NULL", (None, None)),
    ("integer DEFAULT 9", "id, new", "2, NULL", (None, None)),
    ("integer DEFAULT 9", "id, old", "2, 9", (9, 9)),
    ("integer DEFAULT 9", "id, new", "2, 9", (9, 9)),
    ("integer DEFAULT 9", "id, new", "2, DEFAULT", (9, 9)),
    ("integer DEFAULT 9", "id, old, new", "2, 6, 9", (6, 6)),
    ("integer DEFAULT 9", "id, old, new", "2, 9, 7", (7, 7)),
    ("integer DEFAULT 9 NOT NULL", "id, new", "2, 7", (7, 7)),
    ("integer NOT NULL", "id, new", "2, 7", (7, 7)),
    ("integer DEFAULT nextval('drawn')", "id", "2", (1, 1)),
    ("integer DEFAULT nextval('drawn')", "id, new", "2, 7", (7, 7)),
    ("integer DEFAULT nextval('drawn')", "id, old", "2, 6", (6, 6)),
    # NULL is what a new side that was not given holds, where each row draws a default of its own.
    ("integer DEFAULT nextval('drawn')", "id, new", "2, NULL", (1, 1)),
    ("integer DEFAULT nextval('drawn')", "id, old", "2, NULL", (None, None)),
    ("integer DEFAULT NULL", "id, new", "2, 7", (7, 7)),
    ("integer DEFAULT abs(-9)", "id, new", "2, 7", (7, 7)),
    ("integer DEFAULT abs(-9)", "id", "2", (9, 9)),
    ("integer DEFAULT length(current_setting('server_version'))", "id, new", "2, 7", (7, 7)),
]


@pytest.mark.parametrize("column", sorted({column for column, *_ in DEFAULTS}))
def test_defaults(bench, column: str) -> None:
    """Which side counts as given, by the column's default."""
    table = bench(column)
    table.do(Phase.EXPAND)
    for declared, columns, values, expected in DEFAULTS:
        if declared == column:
            run(
                table.db,
                f"DELETE FROM t; SELECT setval('drawn', 1, false); INSERT INTO t ({columns}) VALUES ({values})",
            )
            assert rows(table.db, "SELECT old, new FROM t") == [expected], (columns, values)


def test_a_constant_default_shows_in_no_row_that_was_there(bench) -> None:
    """Rows from before have nothing under the new name until they are filled or written."""
    table = bench("integer DEFAULT 9")
    run(table.db, "INSERT INTO t (id, old) VALUES (1, NULL), (2, 3)")
    table.do(Phase.EXPAND)
    assert rows(table.db, "SELECT new FROM t") == [(None,), (None,)]
    run(table.db, "UPDATE t SET note = 'x'")
    assert rows(table.db, "SELECT old, new FROM t ORDER BY id") == [(None, None), (3, 3)]


def test_the_sweep_writes_only_what_is_not_filled(bench) -> None:
    """A row that a write has filled already is left alone, and what was written under the new name stays."""
    table = bench()
    run(table.db, "INSERT INTO t (id, old) SELECT g, g FROM generate_series(1, 20) g")
    table.do(Phase.EXPAND)
    run(
        table.db,
        "UPDATE t SET new = 100 WHERE id = 3; UPDATE t SET old = 200 WHERE id = 4; INSERT INTO t (id, new) VALUES (21, 300)",
    )
    assert table.differing == 18
    assert table.sweep() == 18
    assert table.differing == 0
    assert rows(table.db, "SELECT old, new FROM t WHERE id IN (3, 4, 21) ORDER BY id") == [
        (100, 100),
        (200, 200),
        (300, 300),
    ]
    assert table.sweep() == 0


# ---------------------------------------------------------------- any sequence of writes and moves

SWEEPS = 4
"""After how many sweeps over a part of the pages every row is filled."""
VALUES = st.one_of(st.none(), st.integers(0, 3))
GIVEN = st.one_of(st.just("DEFAULT"), VALUES)


def _sql(value: object) -> str:
    return "NULL" if value is None else str(value)


@dataclass
class Row:
    """What the model knows of a row: its value, and whether both sides must have it."""

    value: int | None
    filled: bool


class Application(RuleBasedStateMachine):
    """An old and a new application write while a plan moves; no write is lost, whatever the order."""

    bench: Bench
    default: int | None
    draws: bool
    most: int
    """What a trigger of the table's own makes of greater values, whatever name they came under."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State.PLANNED
        self.rows: dict[int, Row] = {}
        self.numbers = count(1)
        self.swept = 0
        self.pages = 0
        self.bench.make()
        self.start = fingerprint(self.bench.db)

    # ---- the model

    @property
    def both(self) -> bool:
        return self.state in (State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED)

    @property
    def old_name(self) -> str:
        return "new" if self.state is State.CONTRACTED else "old"

    def run(self, statement: str) -> None:
        run(self.bench.db, statement)

    def drawn(self, number: int) -> int | None:
        return ask(self.bench.db, f"SELECT {self.old_name} FROM t WHERE id = {number}")

    def put(self, number: int, given: object) -> None:
        """Remember an INSERT's value; the one that the database drew is read back."""
        value = (self.drawn(number) if self.draws else self.default) if given == "DEFAULT" else given
        assert value is None or isinstance(value, int)
        self.rows[number] = Row(self.capped(value), filled=True)

    def capped(self, value: int | None) -> int | None:
        return value if value is None else min(value, self.most)

    # ---- the applications

    @initialize(values=st.lists(VALUES, max_size=12))
    def some_rows(self, values: list[int | None]) -> None:
        for value in values:
            self.insert_old(value)

    @rule(given=GIVEN)
    def insert_old(self, given: object) -> None:
        number = next(self.numbers)
        self.run(f"INSERT INTO t (id, {self.old_name}) VALUES ({number}, {_sql(given)})")
        self.put(number, given)

    @precondition(lambda self: self.both)
    @rule(given=GIVEN)
    def insert_new(self, given: object) -> None:
        number = next(self.numbers)
        self.run(f"INSERT INTO t (id, new) VALUES ({number}, {_sql(given)})")
        # See DEFAULTS: where each row draws a default of its own, NULL under the new name is nothing given.
        self.put(number, "DEFAULT" if self.draws and given is None else given)

    @precondition(lambda self: self.both)
    @rule(old=VALUES, new=VALUES)
    def insert_both(self, old: int | None, new: int | None) -> None:
        number = next(self.numbers)
        self.run(f"INSERT INTO t (id, old, new) VALUES ({number}, {_sql(old)}, {_sql(new)})")
        not_given = None if self.draws else self.default
        # Where each row draws a default of its own, nobody can tell that the old one was given.
        new_wins = self.draws or old == not_given or self.state is State.READS_MIGRATED
        self.put(number, new if new != not_given and new_wins else old)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), value=VALUES)
    def update_old(self, data: st.DataObject, value: int | None) -> None:
        number = data.draw(st.sampled_from(sorted(self.rows)))
        self.run(f"UPDATE t SET {self.old_name} = {_sql(value)} WHERE id = {number}")
        self.rows[number] = Row(self.capped(value), filled=self.both or self.state is State.CONTRACTED)

    @precondition(lambda self: self.rows and self.both)
    @rule(data=st.data(), value=VALUES)
    def update_new(self, data: st.DataObject, value: int | None) -> None:
        number = data.draw(st.sampled_from(sorted(self.rows)))
        before = self.rows[number]
        self.run(f"UPDATE t SET new = {_sql(value)} WHERE id = {number}")
        kept = value is None and not self.is_filled(number, before)
        self.rows[number] = Row(before.value if kept else self.capped(value), filled=True)

    @precondition(lambda self: self.rows and self.both)
    @rule(data=st.data(), old=VALUES, new=VALUES)
    def update_both(self, data: st.DataObject, old: int | None, new: int | None) -> None:
        number = data.draw(st.sampled_from(sorted(self.rows)))
        before = self.rows[number]
        new_before = before.value if self.is_filled(number, before) else None
        self.run(f"UPDATE t SET old = {_sql(old)}, new = {_sql(new)} WHERE id = {number}")
        new_wins = new != new_before and (self.state is State.READS_MIGRATED or old == before.value)
        self.rows[number] = Row(self.capped(new if new_wins else old), filled=True)

    def is_filled(self, number: int, row: Row) -> bool:
        """Whether the row's sides were the same before this statement; remembered, because the statement fills it."""
        return row.filled or row.value is None

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def update_neither(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.rows)))
        self.run(f"UPDATE t SET note = note || 'x' WHERE id = {number}")
        self.rows[number].filled = self.rows[number].filled or self.both

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.rows)))
        self.run(f"DELETE FROM t WHERE id = {number}")
        del self.rows[number]

    @precondition(lambda self: not self.both)
    @rule()
    def vacuum(self) -> None:
        """Free space on early pages lets later rows move behind the sweep."""
        self.run("VACUUM t")

    # ---- the plan

    @precondition(lambda self: self.state is State.PLANNED)
    @rule()
    def expand(self) -> None:
        self.bench.do(Phase.EXPAND)
        for row in self.rows.values():
            row.filled = False
        self.state, self.swept, self.pages = State.EXPANDED, 0, self.bench.pages

    @precondition(lambda self: self.state is State.EXPANDED)
    @rule()
    def sweep_some_pages(self) -> None:
        # How many pages there are hangs on what PostgreSQL has pruned, and no rule may: what comes next would, too.
        first, end = (self.pages * third // SWEEPS for third in (self.swept, self.swept + 1))
        if first < end:
            self.bench.sweep(first, end)
        self.swept += 1
        self.notice()
        if self.swept == SWEEPS:
            self.state = State.BACKFILLED
            for row in self.rows.values():
                row.filled = True

    def notice(self) -> None:
        """See which rows were on the page; their two sides are the same from now on."""
        for number, old, new in rows(self.bench.db, "SELECT id, old, new FROM t"):
            if old == new:
                self.rows[number].filled = True

    @precondition(lambda self: self.state is State.BACKFILLED)
    @rule()
    def migrate_reads(self) -> None:
        assert self.bench.differing == 0
        self.bench.do(Phase.MIGRATE_READS)
        self.state = State.READS_MIGRATED

    @precondition(lambda self: self.state is State.READS_MIGRATED)
    @rule()
    def back_to_backfilled(self) -> None:
        self.bench.undo(Phase.MIGRATE_READS)
        self.state = State.BACKFILLED

    @precondition(lambda self: self.state in (State.EXPANDED, State.BACKFILLED))
    @rule()
    def back_to_planned(self) -> None:
        self.bench.undo(Phase.EXPAND)
        self.state = State.PLANNED
        assert fingerprint(self.bench.db) == self.start

    # The trigger's body has the old name, and PostgreSQL does not see it: whoever wrote it takes care of it then.
    @precondition(lambda self: self.state is State.READS_MIGRATED and not self.bench.trigger)
    @rule()
    def contract(self) -> None:
        assert self.bench.differing == 0
        self.bench.do(Phase.CONTRACT)
        self.state = State.CONTRACTED
        expected = fingerprint(self.bench.db)
        renamed = {key.replace("t.old", "t.new"): value for key, value in self.start.items()}
        assert expected == renamed

    @invariant()
    def nothing_is_lost(self) -> None:
        if not self.both:
            found = rows(self.bench.db, f"SELECT id, {self.old_name} FROM t")
            assert dict(found) == {number: row.value for number, row in self.rows.items()}
            return
        found = {number: (old, new) for number, old, new in rows(self.bench.db, "SELECT id, old, new FROM t")}
        assert found == {number: (row.value, row.value if row.filled else None) for number, row in self.rows.items()}


@pytest.mark.parametrize(
    ("column", "default", "draws", "trigger"),
    [
        pytest.param("integer", None, False, "", id="no default"),
        pytest.param("integer DEFAULT 2", 2, False, "", id="constant default"),
        pytest.param("integer DEFAULT nextval('drawn')", None, True, "", id="drawn default"),
        pytest.param("integer DEFAULT 1", 1, False, BEFORE, id="a trigger of the table's own"),
    ],
)
def test_no_write_is_lost(bench, column: str, default: int | None, trigger: str, *, draws: bool) -> None:
    """Old-style and new-style writes, sweeps and moves in any order leave what plain reasoning says."""
    settled = {"default": default, "draws": draws, "most": 2 if trigger else 10**6}
    made = type("Application", (Application,), {"bench": bench(column, trigger), **settled})
    run_state_machine_as_test(
        made,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


MOMENTS = """
    CREATE TABLE t (id int, region int, at timestamp DEFAULT clock_timestamp()) PARTITION BY LIST (region);
    CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2);
    INSERT INTO t VALUES (1, 1, '2024-05-05 12:34:56');
"""
DAYS = {"kind": "change_type", "table": "t", "column": "at", "to": "day", "type": "date"} | {
    "using": "at::date", "reverse": "day::timestamp"
}  # fmt: skip
BOTH_RUN = (State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED)


@pytest.mark.parametrize("state", BOTH_RUN)
def test_a_row_whose_sides_agree_is_inserted_as_it_is(journeys: Journeys, state: State) -> None:
    """An INSERT that gives both, as of a row that moves to another partition, takes no value for one drawn by default."""
    journey = journeys(MOMENTS, DAYS)
    journey.advance(state)
    run(journey.db, "UPDATE t SET region = 2; INSERT INTO t SELECT 2, 1, at, day FROM t")
    found = rows(journey.db, "SELECT at::text, day::text FROM t")
    assert found == [("2024-05-05 12:34:56", "2024-05-05")] * 2


@pytest.mark.parametrize("state", BOTH_RUN)
def test_a_copy_of_a_row_that_the_old_side_cannot_hold(journeys: Journeys, state: State) -> None:
    """Its old side is NULL, which is not that column's default, and was nevertheless not given by anyone."""
    start = "CREATE TABLE t (id int PRIMARY KEY, v integer DEFAULT 0); INSERT INTO t VALUES (1, 5);"
    journey = journeys(start, {"kind": "change_type", "table": "t", "column": "v", "type": "bigint", "to": "big"})
    journey.advance(state)
    run(journey.db, "UPDATE t SET big = 3000000000; INSERT INTO t SELECT 2, v, big FROM t")
    assert rows(journey.db, "SELECT v, big FROM t") == [(None, 3000000000)] * 2
    run(journey.db, "INSERT INTO t (id, v, big) VALUES (3, NULL, 7)")
    wins = (7, 7) if state is State.READS_MIGRATED else (None, None)
    assert rows(journey.db, "SELECT v, big FROM t WHERE id = 3") == [wins]
