"""A column is added: its value in every row, from every writer, and its constraints in the end."""

from typing import Any

import pytest
from operations.conftest import Journeys
from operations.harness import Db, ask, make_plan, round_trip, rows, run, undone
from psycopg import errors
from pydantic import ValidationError

from orchestrator.errors import PreconditionError, StatementFailedError, VerificationError
from orchestrator.plan.lifecycle import State

BOOKS = """
    CREATE TABLE authors (id integer PRIMARY KEY); INSERT INTO authors SELECT generate_series(1, 100);
    CREATE TABLE books (id integer PRIMARY KEY, title text NOT NULL, price integer, number integer);
    INSERT INTO books SELECT g, 'Book ' || g, g, 2 FROM generate_series(1, 60) g;
"""
ADD = {"kind": "add_column", "table": "books", "column": "total", "type": "integer"}


def computed(db: Db) -> None:
    """It follows what old writers write, and keeps what new ones do."""

    def total(number: int) -> Any:
        return ask(db, f"SELECT total FROM books WHERE id = {number}")

    run(db, "INSERT INTO books VALUES (901, 'x', 5, 3); INSERT INTO books VALUES (902, 'y', 5, 3, 99)")
    assert (total(901), total(902)) == (15, 99)
    run(db, "UPDATE books SET price = 10 WHERE id IN (7, 901, 902)")
    assert (total(901), total(902), total(7)) == (30, 99, 20)
    run(db, "UPDATE books SET total = 1 WHERE id = 901; UPDATE books SET price = 2, total = 77 WHERE id = 8")
    assert (total(901), total(8)) == (1, 77)
    run(db, "UPDATE books SET title = 'z' WHERE id = 9")
    assert total(9) == 18


SET = "UPDATE books SET total = price * number"


@pytest.mark.parametrize(
    ("settings", "direct"),
    [
        ({}, ""),
        ({"not_null": True}, "; ALTER TABLE books ALTER total SET NOT NULL"),
        ({"unique": True}, "; ALTER TABLE books ADD UNIQUE (total)"),
        ({"check": "total >= 0"}, "; ALTER TABLE books ADD CHECK (total >= 0)"),
        ({"comment": "it's"}, "; COMMENT ON COLUMN books.total IS 'it''s'"),
    ],
    ids=["plain", "not null", "unique", "check", "comment"],
)
def test_of_the_row(journeys: Journeys, settings: dict[str, Any], direct: str) -> None:
    """An expression over the row, and what holds in the end."""
    journey = journeys(BOOKS, {**ADD, "using": "price * number", **settings})
    round_trip(journey, direct=f"ALTER TABLE books ADD total integer; {SET}{direct}", holds=computed)


@pytest.mark.parametrize("default", ["5", "'5'", "-3", "'7'::integer", "null"])
def test_constant_default(journeys: Journeys, default: str) -> None:
    """PostgreSQL keeps a constant in the catalog; nothing is filled."""
    journey = journeys(BOOKS, {**ADD, "default": default, "not_null": default != "null"})
    not_null = "" if default == "null" else " NOT NULL"
    round_trip(journey, direct=f"ALTER TABLE books ADD total integer DEFAULT {default}{not_null}")
    (swept,) = rows(
        journey.db, "SELECT (data->'sweep books'->>'filled')::int FROM ecm.moves WHERE target = 'backfilled'"
    )[-1:]
    assert swept == (0,)


def test_volatile_default(journeys: Journeys) -> None:
    """Every row has a value of its own, and the table is not rewritten for it."""
    journey = journeys(BOOKS, {**ADD, "type": "uuid", "default": "gen_random_uuid()", "not_null": True, "unique": True})
    before = ask(journey.db, "SELECT pg_relation_filenode('books')")
    journey.advance(State.EXPANDED)
    assert ask(journey.db, "SELECT pg_relation_filenode('books')") == before
    run(journey.db, "UPDATE books SET price = 1 WHERE id = 3; INSERT INTO books (id, title) VALUES (500, 'x')")
    early = rows(journey.db, "SELECT id, total FROM books WHERE total IS NOT NULL ORDER BY id")
    assert [number for number, _ in early] == [3, 500]
    journey.advance(State.BACKFILLED)
    run(journey.db, "UPDATE books SET price = 2")
    assert early == rows(journey.db, "SELECT id, total FROM books WHERE id IN (3, 500) ORDER BY id")
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
    assert ask(journey.db, "SELECT count(DISTINCT total) FROM books") == 61
    with pytest.raises(errors.NotNullViolation), undone(journey.db):
        run(journey.db, "INSERT INTO books (id, title, total) VALUES (501, 'x', NULL)")


@pytest.mark.parametrize("columns", [[], ["id"]])
def test_reference(journeys: Journeys, columns: list[str]) -> None:
    """A foreign key comes without a long lock, and holds in the end."""
    change = {**ADD, "column": "author_id", "using": "id", "references": {"table": "authors", "columns": columns}}
    direct = """
        ALTER TABLE books ADD author_id integer; UPDATE books SET author_id = id;
        ALTER TABLE books ADD FOREIGN KEY (author_id) REFERENCES authors (id)
    """
    round_trip(journeys(BOOKS, change), direct=direct)


def test_partitioned(journeys: Journeys) -> None:
    """A partitioned table gets it as one; unique it cannot be."""
    start = """
        CREATE TABLE books (id integer, title text, price integer, number integer) PARTITION BY RANGE (id);
        CREATE TABLE books_1 PARTITION OF books FOR VALUES FROM (0) TO (30);
        CREATE TABLE books_2 PARTITION OF books FOR VALUES FROM (30) TO (1000);
        INSERT INTO books SELECT g, 'Book ' || g, g, 2 FROM generate_series(1, 60) g;
    """
    change = {**ADD, "using": "price * number", "not_null": True}
    direct = f"ALTER TABLE books ADD total integer; {SET}; ALTER TABLE books ALTER total SET NOT NULL"
    round_trip(journeys(start, change), direct=direct, holds=computed)
    with pytest.raises(PreconditionError, match="cannot be unique"):
        journeys(start, {**change, "unique": True}).advance()


def test_it_may_point_to_a_table_that_its_own_plan_makes(journeys: Journeys) -> None:
    """Before the plan begins there is nothing there to point to, and that is no reason to refuse it."""
    makes = "CREATE TABLE shelves (id integer PRIMARY KEY)"
    written = {"kind": "sql", "expand": makes, "rollback": {"expand": "DROP TABLE shelves"}}
    change = {**ADD, "references": {"table": "shelves", "columns": ["id"]}}
    round_trip(
        journeys(BOOKS, written, change), direct=f"{makes}; ALTER TABLE books ADD total integer REFERENCES shelves"
    )


def test_rows_without_a_value(journeys: Journeys) -> None:
    """What cannot be NOT NULL in the end is named with its rows, before the plan begins and before readers come."""
    journey = journeys(BOOKS, {**ADD, "using": "nullif(price, 7)", "not_null": True})
    with pytest.raises(PreconditionError, match=r"gives NULL in 1 of") as early:
        journey.advance()
    assert any(line.startswith("id=7") for line in early.value.details)
    run(journey.db, "UPDATE books SET price = 8 WHERE id = 7")
    journey.advance()
    run(journey.db, "UPDATE books SET price = 7 WHERE id = 7")
    journey.advance(State.BACKFILLED)
    with pytest.raises(VerificationError, match="total may not be NULL in the end, and is in 1 of") as refused:
        journey.advance()
    assert any(line.startswith("id=7") for line in refused.value.details)
    run(journey.db, "UPDATE books SET total = 0 WHERE id = 7")
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


def test_a_contract_that_stops_half_way_can_be_taken_back(journeys: Journeys) -> None:
    """At rows that break a constraint it stops; back from there nothing is left, and once they are right it goes on."""
    settings = {"not_null": True, "check": "total > 0", "unique": True, "references": {"table": "authors"}}
    journey = journeys(BOOKS, {**ADD, "using": "id", **settings})
    start = journey.fingerprint
    for update, why in (
        ("total = 0 WHERE id = 3", "violated by some row"),
        ("total = 1000 WHERE id = 3", "violates foreign key"),
        ("total = 4 WHERE id = 3", "could not create unique index"),
    ):
        assert journey.advance(State.READS_MIGRATED) is State.READS_MIGRATED
        ready = journey.fingerprint
        run(journey.db, f"UPDATE books SET {update}")
        with pytest.raises(StatementFailedError, match=why):
            journey.advance()
        assert journey.rollback() is State.READS_MIGRATED
        assert journey.fingerprint == ready
        with pytest.raises(StatementFailedError, match=why):
            journey.advance()
        assert journey.rollback(State.PLANNED) is State.PLANNED
        assert journey.fingerprint == start
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"using": "prize"}, "using names a column prize that books does not have"),
        ({"default": "nothing()"}, "function nothing() does not exist"),
        ({"check": "totals > 0"}, "the check names a column totals that books does not have"),
        ({"type": "nothing"}, 'type "nothing" does not exist'),
        ({"type": "positive"}, "a column of a domain cannot be added without rewriting the table"),
        ({"type": "bigserial"}, 'type "bigserial" does not exist'),
        ({"type": "integer GENERATED ALWAYS AS IDENTITY"}, "syntax error"),
        ({"using": "1 / (price - 7)"}, "division by zero"),
    ],
)
def test_what_does_not_work_is_tried_first(journeys: Journeys, settings: dict[str, Any], why: str) -> None:
    """PostgreSQL refuses it before anything is kept."""
    journey = journeys(f"{BOOKS}; CREATE DOMAIN positive AS integer CHECK (VALUE > 0)", {**ADD, **settings})
    before = journey.fingerprint
    with pytest.raises(StatementFailedError) as refused:
        journey.advance()
    assert why in refused.value.message
    assert journey.fingerprint == before


def test_one_source() -> None:
    """What nobody gives is computed or the default, not both."""
    with pytest.raises(ValidationError, match="keep one of them"):
        make_plan("change", [{**ADD, "using": "1", "default": "1"}])
