"""A partitioned table is changed as one: its partitions follow, also those that come while both versions run."""

import pytest
from operations.conftest import Journeys
from operations.harness import Db, Journey, ask, round_trip, rows, run

from orchestrator.errors import PreconditionError, VerificationError
from orchestrator.events import Event, Progress
from orchestrator.plan.lifecycle import State

RENAME = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
DIRECT = "ALTER TABLE books RENAME COLUMN year TO published"
BOOKS = """
    CREATE TABLE books (id integer NOT NULL, year integer DEFAULT 1990, title text, PRIMARY KEY (id))
      PARTITION BY RANGE (id);
    CREATE TABLE books_1 PARTITION OF books FOR VALUES FROM (1) TO (1001);
    CREATE TABLE "Books 2" PARTITION OF books FOR VALUES FROM (1001) TO (2001);
    CREATE TABLE books_rest PARTITION OF books DEFAULT;
    CREATE INDEX books_year ON books (year);
    CREATE INDEX books_lower ON books (lower(title), year) WHERE year > 5;
    INSERT INTO books SELECT g, g, 'Book ' || g FROM generate_series(1, 2500) g;
    COMMENT ON COLUMN books.year IS 'when';
"""


def both(db: Db) -> None:
    """Old and new writers, through the table and through a partition, in each of the partitions."""
    run(db, "INSERT INTO books (id, year) VALUES (5001, 1), (5002, 2)")
    run(db, "INSERT INTO books (id, published) VALUES (5003, 3)")
    run(db, "INSERT INTO books_rest (id, published) VALUES (5004, 4)")
    run(db, "UPDATE books SET published = -id WHERE id IN (7, 1007, 2007)")
    run(db, "UPDATE books SET year = -id WHERE id IN (8, 1008, 2008)")
    run(db, "UPDATE books SET id = 3007 WHERE id = 7")
    found = rows(db, "SELECT id, year, published FROM books WHERE id > 5000 OR year < 0 ORDER BY id")
    expected = [(8, -8), (1007, -1007), (1008, -1008), (2007, -2007), (2008, -2008), (3007, -7)]
    expected += [(5001, 1), (5002, 2), (5003, 3), (5004, 4)]
    assert found == [(number, value, value) for number, value in expected]


def test_round_trip(journeys: Journeys) -> None:
    """Forward and back from every state, and to the end that the direct DDL gives."""
    round_trip(
        journeys(BOOKS, RENAME), direct=DIRECT, holds=both, writes=["UPDATE books SET year = year + 1 WHERE id = 9"]
    )


def test_partitions_that_come_meanwhile(journeys: Journeys) -> None:
    """One that is made has the trigger; one that is attached brings rows that nobody filled, and they are."""
    journey = journeys(BOOKS, RENAME, backfill={"batch_time": "1ms"})
    journey.advance(State.EXPANDED)
    come = list[str]()

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and event.what.startswith("backfill") and not come:
            come.append("both")
            run(journey.db, "CREATE TABLE made PARTITION OF books FOR VALUES FROM (10001) TO (11001)")
            run(journey.db, "INSERT INTO books (id, year) SELECT g, g FROM generate_series(10001, 10100) g")
            run(
                journey.db,
                "CREATE TABLE attached (id integer NOT NULL, year integer, title text, published integer);"
                "INSERT INTO attached SELECT g, g FROM generate_series(20001, 20500) g;"
                "ALTER TABLE books ATTACH PARTITION attached FOR VALUES FROM (20001) TO (21001)",
            )

    journey.on_event = listen
    assert journey.advance() is State.BACKFILLED
    assert come
    assert ask(journey.db, "SELECT count(*) FROM books WHERE published IS NULL") == 0
    assert ask(journey.db, "SELECT count(*) FROM books WHERE year IS DISTINCT FROM published") == 0
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


def test_a_trigger_disabled_on_one_partition(journeys: Journeys) -> None:
    """What PostgreSQL made for each partition is looked at on each."""
    journey = journeys(BOOKS, RENAME)
    journey.advance(State.BACKFILLED)
    run(journey.db, 'ALTER TABLE "Books 2" DISABLE TRIGGER ALL')
    with pytest.raises(VerificationError) as found:
        journey.advance()
    (remedy,) = (line for line in found.value.details if line.startswith("ALTER TABLE"))
    assert '"Books 2" ENABLE ALWAYS TRIGGER' in remedy
    run(journey.db, remedy)
    assert journey.advance() is State.READS_MIGRATED


def test_readers_of_the_new_name_have_their_indexes(journeys: Journeys) -> None:
    """Each index has a twin on every partition, valid as a whole, which goes again on the way back."""
    journey = journeys(BOOKS, RENAME)
    journey.advance(State.READS_MIGRATED)
    query = (
        "SELECT x.relname, count(*) FILTER (WHERE i.indisvalid) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid"
        " WHERE x.relname LIKE '%ecm%' GROUP BY 1 ORDER BY 1"
    )
    twins = rows(journey.db, query)
    assert len(twins) == 2 * (1 + 3)
    assert all(valid == 1 for _, valid in twins)
    journey.rollback()
    assert rows(journey.db, query) == []


REFUSED = {
    "a trigger of its own": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER own BEFORE INSERT ON books_1 FOR EACH ROW EXECUTE FUNCTION f()",
        "trigger own is on partition books_1 alone",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_partitions_that_are_not_alike(journeys: Journeys, what: str) -> None:
    """What ecm cannot treat as one table is named before anything is touched."""
    statement, why = REFUSED[what]
    journey = journeys(BOOKS + statement, RENAME)
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert why in refused.value.message
    assert ask(journey.db, "SELECT to_regnamespace('ecm') IS NULL")


def test_old_and_new_at_once(journeys: Journeys) -> None:
    """The plan's preview knows all of it: rows and bytes of every partition."""
    journey: Journey = journeys(BOOKS + "; ANALYZE books", RENAME)
    (table,) = journey.conductor.preview("change").tables
    assert (table.rows, table.indexes) == (2500, 3)
    assert table.bytes > 100_000
