"""A column may be NULL: nothing but the catalog changes, and no NULL that was written is lost on the way back."""

import pytest
from operations.conftest import Journeys
from operations.harness import Db, ask, round_trip, run, undone
from psycopg import errors
from servers import both_versions

from orchestrator.errors import PreconditionError, VerificationError
from orchestrator.plan.lifecycle import PHASES, State

START = """
    CREATE TABLE books (id integer PRIMARY KEY, isbn text NOT NULL DEFAULT 'none', title text);
    COMMENT ON COLUMN books.isbn IS 'number'; CREATE UNIQUE INDEX ON books (isbn, id);
    INSERT INTO books SELECT g, 'isbn ' || g, 'Book ' || g FROM generate_series(1, 60) g;
"""
PARTITIONED = """
    CREATE TABLE books (id integer, isbn text NOT NULL, title text) PARTITION BY RANGE (id);
    CREATE TABLE books_1 PARTITION OF books FOR VALUES FROM (0) TO (30);
    CREATE TABLE books_2 PARTITION OF books FOR VALUES FROM (30) TO (1000);
    INSERT INTO books SELECT g, 'isbn ' || g, 'Book ' || g FROM generate_series(1, 60) g;
"""
CHANGE = {"kind": "drop_not_null", "table": "books", "column": "isbn"}
DIRECT = "ALTER TABLE books ALTER isbn DROP NOT NULL"


def both_write(db: Db) -> None:
    """New writers write NULL, old ones what they always wrote."""
    run(db, "INSERT INTO books (id, isbn) VALUES (901, NULL), (902, 'x'); UPDATE books SET isbn = NULL WHERE id = 3")
    assert ask(db, "SELECT count(*) FROM books WHERE isbn IS NULL") == 2


@both_versions
@pytest.mark.parametrize("start", [START, PARTITIONED], ids=["plain", "partitioned"])
def test_round_trip(journeys: Journeys, start: str) -> None:
    """NULL in every state; back to the start from each; and the end is what the direct DDL gives."""
    round_trip(journeys(start, CHANGE), direct=DIRECT, holds=both_write, writes=["UPDATE books SET title = 'x'"])


def test_a_named_constraint(journeys: Journeys) -> None:
    """PostgreSQL 18 has a name for it, which comes back with it."""
    journey = journeys(START, CHANGE)
    if journey.db.info.server_version >= 180000:
        run(journey.db, "ALTER TABLE books RENAME CONSTRAINT books_isbn_not_null TO has_a_number")
    round_trip(journey, direct=DIRECT)


def test_steps(journeys: Journeys) -> None:
    """Where nothing is to be filled or proven, the phases between have nothing to run."""
    journey = journeys(START, CHANGE)
    assert [len(journey.steps(phase)) for phase in PHASES] == [1, 0, 0, 1]
    journey.advance(State.EXPANDED)
    assert ask(journey.db, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == 0


@pytest.mark.parametrize("state", [State.EXPANDED, State.BACKFILLED])
def test_a_rollback_loses_no_null(journeys: Journeys, state: State) -> None:
    """It is refused with the rows, before anything is taken away; NULL can still be written then."""
    journey = journeys(START, CHANGE)
    start = journey.fingerprint
    journey.advance(state)
    run(journey.db, "INSERT INTO books (id, isbn) VALUES (901, NULL)")
    expanded = journey.fingerprint
    with pytest.raises(VerificationError) as refused:
        journey.rollback()
    assert refused.value.message == "isbn is NULL in 1 of 61 rows of books"
    assert refused.value.details[0].startswith("id=901")
    assert "give these rows an isbn" in (refused.value.hint or "")
    assert journey.fingerprint == expanded
    run(journey.db, "INSERT INTO books (id, isbn) VALUES (902, NULL)")
    run(journey.db, "UPDATE books SET isbn = 'set' WHERE isbn IS NULL")
    assert journey.rollback() is State.PLANNED
    assert journey.fingerprint == start
    with pytest.raises(errors.NotNullViolation), undone(journey.db):
        run(journey.db, "INSERT INTO books (id, isbn) VALUES (903, NULL)")


@pytest.mark.parametrize("start", [START, PARTITIONED], ids=["plain", "partitioned"])
@pytest.mark.parametrize("state", [State.EXPANDED, State.BACKFILLED])
def test_reverse(journeys: Journeys, start: str, state: State) -> None:
    """A rollback gives NULL the value that the plan says, in batches, and leaves the rest as it is."""
    journey = journeys(start, {**CHANGE, "reverse": "'none of ' || id"})
    before = journey.fingerprint
    for _ in range(2):
        journey.advance(state)
        run(journey.db, "UPDATE books SET isbn = NULL WHERE id % 2 = 0")
        assert journey.rollback() is State.PLANNED
        assert journey.fingerprint == before
    wrong = "isbn <> CASE WHEN id % 2 = 0 THEN 'none of ' ELSE 'isbn ' END || id"
    assert ask(journey.db, f"SELECT count(*) FROM books WHERE {wrong}") == 0
    assert ask(journey.db, "SELECT count(*) FROM ecm.sweeps") == 0


def test_reverse_that_has_no_value_for_a_row(journeys: Journeys) -> None:
    """It is judged before anything is written."""
    journey = journeys(START, {**CHANGE, "reverse": "title"})
    journey.advance(State.EXPANDED)
    run(journey.db, "UPDATE books SET isbn = NULL WHERE id < 3; UPDATE books SET title = NULL WHERE id = 2")
    with pytest.raises(VerificationError) as refused:
        journey.rollback()
    assert refused.value.message == "isbn is NULL in 1 of 60 rows of books"
    assert ask(journey.db, "SELECT count(*) FROM books WHERE isbn IS NULL") == 2
    run(journey.db, "UPDATE books SET isbn = 'mine' WHERE id = 2")
    assert journey.rollback() is State.PLANNED


def test_a_reverse_of_null_is_refused(journeys: Journeys) -> None:
    """A rollback could never put it where NULL was written, and that is said before anything is touched."""
    with pytest.raises(PreconditionError, match="isbn is NOT NULL, and reverse gives it NULL"):
        journeys(START, {**CHANGE, "reverse": "NULL"}).advance()


@pytest.mark.parametrize(
    ("column", "start", "why"),
    [
        ("id", "", "part of the primary key, whose"),
        ("title", "", "is not NOT NULL"),
        ("isbns", "", "column isbns of books does not exist"),
        ("number", "ALTER TABLE books ADD number integer GENERATED ALWAYS AS IDENTITY", "an identity column"),
        (
            "isbn",
            "CREATE UNIQUE INDEX told ON books (isbn); ALTER TABLE books REPLICA IDENTITY USING INDEX told",
            "part of the replica identity (told)",
        ),
    ],
)
def test_refused_before_anything_is_touched(journeys: Journeys, column: str, start: str, why: str) -> None:
    """What PostgreSQL would refuse is said before, with its reason."""
    journey = journeys(f"{START}; {start}", {**CHANGE, "column": column})
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert why in refused.value.message
