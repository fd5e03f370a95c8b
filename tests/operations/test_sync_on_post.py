"""A write that passes the sync trigger by is never dropped with the side it reached: ecm stops, and says how to go on."""

import pytest
from operations.conftest import Journeys
from operations.harness import BRANCH, Journey, ask, rows, run

from orchestrator.errors import VerificationError
from orchestrator.events import Event, StepFinished
from orchestrator.plan.lifecycle import State
from orchestrator.sql.identifiers import TableName, bounded
from orchestrator.sql.sync import trigger_name

START = "CREATE TABLE t (id int PRIMARY KEY, old int); INSERT INTO t SELECT g, g FROM generate_series(1, 50) g;"
MEDDLER = (
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    " CREATE TRIGGER touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();"
)
CHANGE = {"kind": "rename_column", "table": "t", "column": "old", "to": "new"}
PASSES_BY = "UPDATE t SET new = 999 WHERE id = 7"


def tamperings(journey: Journey) -> dict[str, str]:
    table = TableName("public", "t")
    plan = journey.plan.plan
    name = trigger_name(plan, table)
    function = bounded("sync", plan, table.qualified)
    return {
        "all disabled": "ALTER TABLE t DISABLE TRIGGER ALL",
        "for replicated rows only": f'ALTER TABLE t ENABLE REPLICA TRIGGER "{name}"',
        "dropped": f'DROP TRIGGER "{name}" ON t',
        "its function emptied": f'CREATE OR REPLACE FUNCTION ecm."{function}"() RETURNS trigger LANGUAGE plpgsql'
        " AS 'BEGIN RETURN NEW; END'",
    }


KINDS = ("all disabled", "for replicated rows only", "dropped", "its function emptied")
STARTS = {"alone": START, "enclosing": START + MEDDLER}


def restore(journey: Journey, error: VerificationError) -> None:
    """Run what the error says."""
    statements = [line for line in error.details if line.endswith(";")]
    assert statements
    for statement in statements:
        run(journey.db, statement)


@pytest.mark.parametrize(("start", "kind"), [*(("alone", kind) for kind in KINDS), ("enclosing", "all disabled")])
def test_contract_keeps_what_was_written_after_the_last_proof(journeys: Journeys, kind: str, start: str) -> None:
    """Between the proof and contract's lock the trigger goes and the new application writes: nothing is dropped."""
    journey = journeys(STARTS[start], CHANGE)
    journey.advance(State.READS_MIGRATED)

    def meanwhile(event: Event) -> None:
        if isinstance(event, StepFinished) and event.key == "proof t":
            journey.on_event = None
            run(journey.db, tamperings(journey)[kind])
            run(journey.db, PASSES_BY)

    journey.on_event = meanwhile
    with pytest.raises(VerificationError) as refused:
        journey.advance()
    assert journey.state is State.READS_MIGRATED
    assert ask(journey.db, "SELECT new FROM t WHERE id = 7") == 999
    with pytest.raises(VerificationError):
        journey.conductor.verify(journey.plan.plan, BRANCH)
    while True:  # DISABLE TRIGGER ALL takes two of them off their post, and each is named in its turn
        restore(journey, refused.value)
        try:
            report = journey.conductor.verify(journey.plan.plan, BRANCH)
        except VerificationError as again:
            refused.value.details = again.details
        else:
            break
    assert report.mismatches == 1
    run(journey.db, "UPDATE t SET old = new WHERE old IS DISTINCT FROM new")
    assert journey.advance() is State.CONTRACTED
    assert rows(journey.db, "SELECT new FROM t WHERE id = 7") == [(999,)]


def test_a_trigger_that_was_away_for_a_moment_costs_the_proof(journeys: Journeys) -> None:
    """Disabled and enabled again between the proof and the lock: it is on its post, and yet a write passed it by."""
    journey = journeys(START, CHANGE)
    journey.advance(State.READS_MIGRATED)
    name = trigger_name(journey.plan.plan, TableName("public", "t"))

    def meanwhile(event: Event) -> None:
        if isinstance(event, StepFinished) and event.key == "proof t":
            journey.on_event = None
            run(journey.db, "ALTER TABLE t DISABLE TRIGGER ALL")
            run(journey.db, PASSES_BY)
            run(journey.db, f'ALTER TABLE t ENABLE TRIGGER ALL; ALTER TABLE t ENABLE ALWAYS TRIGGER "{name}"')

    journey.on_event = meanwhile
    with pytest.raises(VerificationError, match="was touched"):
        journey.advance()
    with pytest.raises(VerificationError, match="differ in 1 of"):
        journey.advance()
    assert ask(journey.db, "SELECT new FROM t WHERE id = 7") == 999


@pytest.mark.parametrize("state", [State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED])
@pytest.mark.parametrize("kind", KINDS)
def test_no_phase_begins_and_no_side_goes_without_it(journeys: Journeys, kind: str, state: State) -> None:
    """In every state in which both versions run, neither forward nor back past the point where a side is dropped."""
    journey = journeys(START, CHANGE)
    journey.advance(state)
    run(journey.db, tamperings(journey)[kind])
    run(journey.db, "INSERT INTO t (id, new) VALUES (1000, 5)")
    with pytest.raises(VerificationError):
        journey.advance()
    with pytest.raises(VerificationError):
        journey.rollback(State.PLANNED)
    assert ask(journey.db, "SELECT new FROM t WHERE id = 1000") == 5
    assert (
        "sync_trigger" in [reason.code for reason in journey.conductor.status().plans[0].branches[0].blocked_by]
        or kind == "its function emptied"
    )


def test_rollback_from_expanded_finds_what_the_new_side_alone_holds(journeys: Journeys) -> None:
    """Rows that nobody filled are right; one that was written past the trigger is named, and kept."""
    journey = journeys(START, CHANGE)
    journey.advance(State.EXPANDED)
    name = trigger_name(journey.plan.plan, TableName("public", "t"))
    run(journey.db, "ALTER TABLE t DISABLE TRIGGER ALL")
    run(journey.db, PASSES_BY)
    run(journey.db, f'ALTER TABLE t ENABLE ALWAYS TRIGGER "{name}"')
    with pytest.raises(VerificationError, match="1 of 50 rows"):
        journey.rollback()
    run(journey.db, "UPDATE t SET old = new WHERE new IS NOT NULL")
    assert journey.rollback() is State.PLANNED
    assert ask(journey.db, "SELECT old FROM t WHERE id = 7") == 999


def test_rollback_goes_on_where_the_new_column_is_gone(journeys: Journeys) -> None:
    """Someone dropped the scaffolding by hand: there is nothing to lose with it, and the rest is taken away."""
    journey = journeys(START, CHANGE)
    before = journey.fingerprint
    journey.advance(State.BACKFILLED)
    name = trigger_name(journey.plan.plan, TableName("public", "t"))
    run(journey.db, f'DROP TRIGGER "{name}" ON t; ALTER TABLE t DROP COLUMN new')
    assert journey.rollback() is State.PLANNED
    assert journey.fingerprint == before


DEFAULTED = (
    "timestamp(3) DEFAULT now()",
    "varchar(10) DEFAULT left(random()::text, 5)",
    "varchar(10) DEFAULT 'abc'",
    "char(3) DEFAULT 'ab'",
    "numeric(10,2) DEFAULT 0",
    "smallint DEFAULT 5",
    "bit(3) DEFAULT B'101'",
    "text[] DEFAULT '{}'",
    "jsonb DEFAULT '{}'",
    "interval(2) DEFAULT '1 day'",
    "timestamptz(0) DEFAULT '2020-01-01 00:00+00'",
    "bigint GENERATED BY DEFAULT AS IDENTITY",
    "boolean DEFAULT 1 = 1",
    "real DEFAULT 1 + 0.5",
)


@pytest.mark.parametrize("column", DEFAULTED)
def test_what_expand_made_is_what_is_looked_for(journeys: Journeys, column: str) -> None:
    """Whatever the default and the type's modifier: compiled after expand, the trigger is the one that expand made."""
    start = f"CREATE TABLE t (id int PRIMARY KEY, old {column}); INSERT INTO t (id) SELECT generate_series(1, 20);"
    journey = journeys(start, CHANGE)
    assert journey.advance(State.READS_MIGRATED) is State.READS_MIGRATED
    assert journey.rollback(State.PLANNED) is State.PLANNED
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
