"""What is written between the last proof and the lock that drops a side is looked at again, and never goes with it.

A rename cannot lose anything there: each side can hold what the other has. Of an expression that may fail, or of a
row in another table, that is not so.
"""

from dataclasses import dataclass

import pytest
from operations.conftest import Journeys
from operations.harness import Journey, ask, rows, run

from orchestrator.errors import VerificationError
from orchestrator.events import Event, StepFinished, StepStarted
from orchestrator.plan.lifecycle import State


@dataclass(frozen=True)
class Case:
    """A plan, and a write in the window that only one of its sides can hold.

    Attributes:
        frm: the state from which it moves.
        to: the state to which the move in question goes.
        write: leaves a value on the side that the move gives up, and on that side alone.
        kept: a query that is true as long as the value is there.
        after: the step after whose end the write comes.
    """

    start: str
    change: dict[str, object]
    frm: State
    to: State
    write: str
    kept: str
    after: str = "proof t"


NUMBERS = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT g, g FROM generate_series(1, 20) g;"
SPLIT = {
    "kind": "split_column",
    "table": "t",
    "column": "v",
    "into": [{"column": "a", "type": "integer", "using": "v::integer"}],
    "reverse": "a::text",
}
NARROW = {
    "kind": "change_type",
    "table": "t",
    "column": "v",
    "type": "integer",
    "using": "v::integer",
    "reverse": "v::text",
}
PAIR = (
    "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE o (t_id int PRIMARY KEY, w text);"
    "INSERT INTO t SELECT g, 'x' || g FROM generate_series(1, 20) g; INSERT INTO o SELECT id FROM t;"
)
MOVE = {"kind": "move_column", "table": "t", "column": "v", "to": {"table": "o", "column": "v"}, "on": {"id": "t_id"}}
WIDE = "CREATE TABLE t (id int PRIMARY KEY, v integer); INSERT INTO t SELECT g, g FROM generate_series(1, 20) g;"
WIDEN = {"kind": "change_type", "table": "t", "column": "v", "type": "bigint"}

CASES = {
    "split: an old value that has no parts, at contract": Case(
        NUMBERS, SPLIT, State.READS_MIGRATED, State.CONTRACTED,
        "UPDATE t SET v = 'many' WHERE id = 7", "SELECT v = 'many' FROM t WHERE id = 7",
    ),
    "in place: an old value that the new type cannot hold, at the switch": Case(
        NUMBERS, NARROW, State.BACKFILLED, State.READS_MIGRATED,
        "UPDATE t SET v = 'many' WHERE id = 7", "SELECT v = 'many' FROM t WHERE id = 7",
    ),
    "in place: a new value that the old type cannot hold, on the way back": Case(
        WIDE, WIDEN, State.READS_MIGRATED, State.BACKFILLED,
        "UPDATE t SET v = 3000000000 WHERE id = 7", "SELECT v = 3000000000 FROM t WHERE id = 7",
        after="proof t on return",
    ),
    "moved: a value without a row in the other table, at contract": Case(
        PAIR, MOVE, State.READS_MIGRATED, State.CONTRACTED,
        "INSERT INTO t VALUES (99, 'alone')", "SELECT v = 'alone' FROM t WHERE id = 99",
    ),
    "moved: a value of the other table alone, when the plan is given up": Case(
        PAIR, MOVE, State.BACKFILLED, State.PLANNED,
        "INSERT INTO o (t_id, v) VALUES (99, 'alone')", "SELECT v = 'alone' FROM o WHERE t_id = 99",
        after="proof o",
    ),
    "moved: the row of the other table goes, at contract": Case(
        PAIR, MOVE, State.READS_MIGRATED, State.CONTRACTED,
        "DELETE FROM o WHERE t_id = 7", "SELECT v = 'x7' FROM t WHERE id = 7", after="proof o",
    ),
    "moved: the row of the other table goes with another row from now on, at contract": Case(
        PAIR, MOVE, State.READS_MIGRATED, State.CONTRACTED,
        "UPDATE o SET t_id = 700 WHERE t_id = 7", "SELECT v = 'x7' FROM t WHERE id = 7", after="proof o",
    ),
    "moved: the row of the first table goes, when the plan is given up": Case(
        PAIR, MOVE, State.BACKFILLED, State.PLANNED,
        "DELETE FROM t WHERE id = 7", "SELECT v = 'x7' FROM o WHERE t_id = 7", after="proof o",
    ),
}  # fmt: skip


def move(journey: Journey, to: State) -> State:
    """Go forward or back, to a state."""
    ahead = list(State).index(to) > list(State).index(journey.state)
    return journey.advance(to) if ahead else journey.rollback(to)


def within(journey: Journey, after: str, *writes: str) -> list[str]:
    """Have an application write, each time that a step is over, once for each of the writes; return what is left."""
    left = list(writes)

    def meanwhile(event: Event) -> None:
        if isinstance(event, StepFinished) and event.key == after and left:
            run(journey.db, left.pop(0))

    journey.on_event = meanwhile
    return left


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_one_side_alone_can_hold_is_not_dropped(journeys: Journeys, case: Case) -> None:
    """Written after the last proof: the move goes no further, names the row, and nothing is lost."""
    journey = journeys(case.start, case.change)
    journey.advance(case.frm)
    left = within(journey, case.after, case.write)
    with pytest.raises(VerificationError) as refused:
        move(journey, case.to)
    assert not left
    assert journey.state is case.frm
    assert ask(journey.db, case.kept)
    assert any("7" in line or "99" in line for line in refused.value.details)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_was_put_right_again_does_not_stop_the_move(journeys: Journeys, case: Case) -> None:
    """A row that only one side could hold, and that is gone by the next look, costs another proof and no more."""
    journey = journeys(case.start, case.change)
    journey.advance(case.frm)
    table = "o" if " FROM o " in case.kept else "t"
    key = "t_id" if table == "o" else "id"
    gone = f"DELETE FROM {table} WHERE {key} IN (7, 99)"
    left = within(journey, case.after, f"{case.write}; {gone}")
    assert move(journey, case.to) is case.to
    assert not left


def test_writes_that_both_sides_can_hold_cost_no_second_proof(journeys: Journeys) -> None:
    """The application goes on writing what both sides hold: contract looks once."""
    journey = journeys(NUMBERS, SPLIT)
    journey.advance(State.READS_MIGRATED)
    left = within(journey, "proof t", "UPDATE t SET a = a + 1; UPDATE t SET v = '5' WHERE id = 5", "SELECT 1")
    assert journey.advance() is State.CONTRACTED
    assert left == ["SELECT 1"]
    assert rows(journey.db, "SELECT a FROM t WHERE id IN (5, 6) ORDER BY id") == [(5,), (7,)]


def test_a_row_that_comes_before_its_partner_is_not_a_stray(journeys: Journeys) -> None:
    """What counts is the end of the writer's transaction."""
    journey = journeys(PAIR, MOVE)
    journey.advance(State.READS_MIGRATED)
    pair = "BEGIN; INSERT INTO t VALUES (99, 'first'); INSERT INTO o (t_id) VALUES (99); COMMIT"
    left = within(journey, "proof t", pair, "SELECT 1")
    assert journey.advance() is State.CONTRACTED
    assert left == ["SELECT 1"]
    assert ask(journey.db, "SELECT v FROM o WHERE t_id = 99") == "first"


@pytest.mark.parametrize("window", [{}, {"undo_window": "1d"}], ids=["for good", "to be undone"])
def test_a_row_that_its_partner_was_written_to_is_judged_as_it_is_in_the_end(
    journeys: Journeys, window: dict[str, str]
) -> None:
    """Each transaction writes a row and then its partner, with the value: contract looks once, and goes on."""
    journey = journeys(PAIR, MOVE, contract=window)
    journey.advance(State.READS_MIGRATED)
    pair = "BEGIN; INSERT INTO t (id) VALUES (99); INSERT INTO o (t_id, v) VALUES (99, 'last'); COMMIT"
    left = within(journey, "proof t", pair, "SELECT 1")
    assert journey.advance() is State.CONTRACTED
    assert left == ["SELECT 1"]
    assert ask(journey.db, "SELECT v FROM o WHERE t_id = 99") == "last"


PARTED = PAIR.replace(
    "(t_id int PRIMARY KEY, w text)", "(t_id int PRIMARY KEY, w text) PARTITION BY RANGE (t_id)"
).replace(
    "INSERT INTO t",
    "CREATE TABLE o_1 PARTITION OF o FOR VALUES FROM (0) TO (10); CREATE TABLE o_2 PARTITION OF o DEFAULT; INSERT INTO t",
    1,
)


@pytest.mark.parametrize("write", ["TRUNCATE o", "TRUNCATE o_1", "DELETE FROM o_1 WHERE t_id = 7"])
def test_rows_of_the_other_table_that_go_at_once(journeys: Journeys, write: str) -> None:
    """No row's trigger sees TRUNCATE: that the table has another file tells. A value that is left alone is not dropped."""
    journey = journeys(PARTED, MOVE)
    journey.advance(State.READS_MIGRATED)
    left = within(journey, "proof o", write)
    with pytest.raises(VerificationError, match="of 20 rows of t"):
        journey.advance()
    assert not left
    assert ask(journey.db, "SELECT v FROM t WHERE id = 7") == "x7"


@pytest.mark.parametrize(
    "write",
    [
        "DELETE FROM t WHERE id = 7",
        "DELETE FROM o WHERE t_id = 7; DELETE FROM t WHERE id = 7",
        "UPDATE t SET v = NULL WHERE id = 7; DELETE FROM o WHERE t_id = 7",
        "UPDATE o SET w = 'more', v = 'other' WHERE t_id = 7",
    ],
)
def test_rows_that_go_and_leave_no_value_alone_cost_no_second_proof(journeys: Journeys, write: str) -> None:
    """What stays in the table that keeps the column has its place there."""
    journey = journeys(PAIR, MOVE)
    journey.advance(State.READS_MIGRATED)
    left = within(journey, "proof o", f"BEGIN; {write}; COMMIT", "SELECT 1")
    assert journey.advance() is State.CONTRACTED
    assert left == ["SELECT 1"]


def test_a_partition_that_comes_after_the_proof_is_proven_too(journeys: Journeys) -> None:
    """No trigger has seen its rows: contract proves again, and names the one that has no parts yet."""
    start = (
        "CREATE TABLE t (id int, v text) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9);"
        "INSERT INTO t VALUES (1, '1');"
    )
    journey = journeys(start, SPLIT)
    journey.advance(State.READS_MIGRATED)
    attached = (
        "CREATE TABLE t2 (LIKE t INCLUDING DEFAULTS); INSERT INTO t2 (id, v) VALUES (99, '99');"
        " ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (90) TO (100)"
    )
    within(journey, "proof t", attached)
    with pytest.raises(VerificationError, match="the two sides differ in 1 of 2 rows"):
        journey.advance()
    assert ask(journey.db, "SELECT v FROM t WHERE id = 99") == "99"


def test_the_trigger_that_counts_is_made_again_by_what_the_error_says(journeys: Journeys) -> None:
    """Somebody dropped it: contract says so, and goes on once the statements that it names were run."""
    journey = journeys(NUMBERS, SPLIT)
    journey.advance(State.READS_MIGRATED)
    (name,) = rows(journey.db, "SELECT tgname FROM pg_trigger WHERE tgname LIKE '~ecm_strays%'")[0]
    run(journey.db, f'DROP TRIGGER "{name}" ON t')
    with pytest.raises(VerificationError, match="is gone") as refused:
        journey.advance()
    for statement in refused.value.details:
        if statement.endswith(";"):
            run(journey.db, statement)
    assert journey.advance() is State.CONTRACTED


def test_the_counter_costs_nothing_until_it_counts(journeys: Journeys) -> None:
    """It is disabled in every state, but while a side is about to go, and at the end it is gone."""
    journey = journeys(NUMBERS, NARROW)
    found = "SELECT tgenabled::text FROM pg_trigger WHERE tgname LIKE '~ecm_strays%'"
    for state in (State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED):
        journey.advance(state)
        assert rows(journey.db, found) == [("D",)]
    journey.rollback()
    assert rows(journey.db, found) == [("D",)]
    journey.advance(State.CONTRACTED)
    assert rows(journey.db, found) == []
    assert ask(journey.db, "SELECT count(*) FROM pg_class WHERE relkind = 'S' AND relname LIKE 'strays%'") == 0


def test_a_rule_of_the_same_plan_is_not_counted(journeys: Journeys) -> None:
    """What is repaired in place has no side to lose, and is told by where a row is stored, which a trigger cannot say."""
    unique = {"kind": "add_unique", "table": "t", "name": "t_u", "columns": ["u"], "using": {"u": "u || '-' || id"}}
    journey = journeys(f"{NUMBERS} ALTER TABLE t ADD u text DEFAULT 'same';", SPLIT, unique)
    journey.advance(State.READS_MIGRATED)
    left = within(journey, "proof t", *("UPDATE t SET a = a + 1 WHERE id = 3",) * 2)
    assert journey.advance() is State.CONTRACTED
    assert len(left) == 1


REFUSED = {
    "on the way back": (WIDE, WIDEN, State.READS_MIGRATED, "UPDATE t SET v = 3000000000 WHERE id = 7"),
    "when the plan is given up": (PAIR, MOVE, State.BACKFILLED, "INSERT INTO o (t_id, v) VALUES (99, 'alone')"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_a_rollback_that_is_refused_leaves_the_plan_free_to_go_forward(journeys: Journeys, how: str) -> None:
    """To count undoes nothing: it ends with the refusal, and the plan is where it was."""
    start, change, state, write = REFUSED[how]
    journey = journeys(start, change)
    journey.advance(state)
    run(journey.db, write)
    with pytest.raises(VerificationError):
        journey.rollback()
    found = rows(journey.db, "SELECT DISTINCT tgenabled::text FROM pg_trigger WHERE tgname LIKE '~ecm_strays%'")
    assert found == [("D",)]
    assert journey.advance() is not state


def test_a_way_back_that_is_refused_holds_no_writer_to_the_old_type(journeys: Journeys) -> None:
    """It had readied the old column already; what came is named, both versions write on, and the plan may go forward."""
    start = "CREATE TABLE t (id int PRIMARY KEY, v integer NOT NULL CHECK (v <> 5)); INSERT INTO t SELECT g, g + 5 FROM generate_series(1, 20) g; CREATE INDEX ON t (v);"
    journey = journeys(start, WIDEN)
    journey.advance(State.READS_MIGRATED)
    before = journey.fingerprint
    left = within(journey, "proof t on return", "UPDATE t SET v = 3000000000 WHERE id = 7")
    with pytest.raises(VerificationError):
        journey.rollback()
    assert not left
    run(journey.db, "INSERT INTO t (id, v) VALUES (500, 4000000000)")
    assert journey.fingerprint == before
    assert journey.advance() is State.CONTRACTED
    assert rows(journey.db, "SELECT v FROM t WHERE id IN (7, 500) ORDER BY id") == [(3000000000,), (4000000000,)]


def test_a_switch_that_is_refused_holds_no_writer_to_the_new_type(journeys: Journeys) -> None:
    """The new column was readied already; what came is named, and the old version writes on."""
    start = (
        "CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL); INSERT INTO t SELECT g, g FROM generate_series(1, 20) g;"
    )
    journey = journeys(start, NARROW)
    journey.advance(State.BACKFILLED)
    left = within(journey, "proof t", "UPDATE t SET v = 'many' WHERE id = 7")
    with pytest.raises(VerificationError):
        journey.advance()
    assert not left
    run(journey.db, "INSERT INTO t VALUES (500, 'more')")
    run(journey.db, "UPDATE t SET v = '5' WHERE id IN (7, 500)")
    assert journey.advance() is State.READS_MIGRATED


WIDER = {"kind": "change_type", "table": "t", "column": "n", "type": "bigint", "to": "m"}
LARGE = "UPDATE t SET m = 3000000000 WHERE id = 3"


@pytest.mark.parametrize("state", [State.BACKFILLED, State.READS_MIGRATED])
@pytest.mark.parametrize("stopped", [False, True], ids=["at once", "stopped on the way, and begun again"])
def test_a_rollback_that_is_refused_counts_no_longer(journeys: Journeys, state: State, *, stopped: bool) -> None:
    """It had begun to count, and undone nothing: the plan goes forward as before, and no write pays for a count."""
    change = WIDER if state is State.BACKFILLED else {key: WIDER[key] for key in WIDER if key != "to"}
    journey = journeys("CREATE TABLE t (id integer PRIMARY KEY, n integer); INSERT INTO t VALUES (3, 3)", change)
    journey.advance(state)
    before = journey.fingerprint
    run(journey.db, LARGE if state is State.BACKFILLED else LARGE.replace("m =", "n ="))

    def stop(event: Event) -> None:
        if isinstance(event, StepStarted) and event.key.startswith("proof"):
            raise InterruptedError

    if stopped:
        journey.on_event = stop
        with pytest.raises(InterruptedError):
            journey.rollback()
        journey.on_event = None
    with pytest.raises(VerificationError, match="the old side cannot hold"):
        journey.rollback()
    assert journey.fingerprint == before
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


@pytest.mark.parametrize("state", [State.BACKFILLED, State.READS_MIGRATED])
def test_a_phase_that_was_stopped_before_it_counted_is_given_up(journeys: Journeys, state: State) -> None:
    """There is nothing to take back of the count, and it is the last thing to be: the plan is at rest after that."""
    journey = journeys(WIDE, {"kind": "change_type", "table": "t", "column": "v", "type": "bigint"})
    journey.advance(state)
    before = journey.fingerprint

    def stop(event: Event) -> None:
        if isinstance(event, StepStarted) and event.key == "count":
            raise InterruptedError

    journey.on_event = stop
    with pytest.raises(InterruptedError):
        journey.advance()
    journey.on_event = None
    assert journey.rollback() is state
    assert journey.fingerprint == before
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
