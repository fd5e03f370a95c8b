"""Views and tables in transactions that overlap all the time: ecm gets its locks, and nobody waits long for it."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import pytest
from operations.conftest import Journeys
from operations.harness import Journey, rows
from servers import both_versions

from orchestrator.plan.lifecycle import State

BOOKS = """
    CREATE TABLE books (id integer PRIMARY KEY, year integer);
    CREATE TABLE loans (id serial PRIMARY KEY, book integer REFERENCES books (id));
    INSERT INTO books SELECT g, 1900 + g FROM generate_series(1, 100) g;
"""
VIEWS = """
    CREATE VIEW recent AS SELECT id, year FROM books WHERE year > 1950;
    CREATE VIEW newest AS SELECT max(year) AS year FROM recent;
"""
WIDEN = {"kind": "change_type", "table": "books", "column": "year", "type": "bigint"}
RENAME = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
ORDERS: dict[str, tuple[LiteralString, LiteralString]] = {
    "the child first": ("INSERT INTO loans (book) VALUES (7)", "SELECT count(*) FROM books WHERE id = 7"),
    "the view alone": ("SELECT count(*) FROM books WHERE id = 7", "SELECT count(*) FROM books WHERE id = 8"),
}


@contextmanager
def overlapping(journey: Journey, *statements: LiteralString) -> Generator[None]:
    """Run the statements as one transaction after the other, in sessions of which one is always in the middle."""
    over, failed = threading.Event(), list[BaseException]()

    def work(number: int) -> None:
        try:
            # PostgreSQL says when somebody was kept waiting for longer than ecm's budget allows, and who is a victim.
            with psycopg.connect(journey.url, options="-c lock_timeout=3s", prepare_threshold=None) as db:
                time.sleep(number * 0.05)
                while not over.is_set():
                    for statement in statements:
                        db.execute(statement)
                        time.sleep(0.1)
                    db.commit()
        except BaseException as error:  # noqa: BLE001 - told at the end
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failed == []


@both_versions
def test_readers_are_locked_before_their_table(journeys: Journeys) -> None:
    """As those do who use a view: behind ecm's lock on the table they would hold the view for as long as that waits."""
    journey = journeys(BOOKS + VIEWS, WIDEN)
    journey.advance(State.BACKFILLED)
    with overlapping(journey, "SELECT count(*) FROM recent", "SELECT year FROM newest"):
        assert journey.advance() is State.READS_MIGRATED
        assert journey.rollback() is State.BACKFILLED
        assert journey.advance(State.READS_MIGRATED) is State.READS_MIGRATED
    assert journey.advance() is State.CONTRACTED


@pytest.mark.parametrize("order", ORDERS)
def test_either_order_of_a_facade_and_its_table(journeys: Journeys, order: str) -> None:
    """Who writes a child has the table before the view; so each attempt goes the other way round."""
    journey = journeys(BOOKS, RENAME, expand={"strategy": "facade"})
    journey.advance(State.READS_MIGRATED)
    with overlapping(journey, *ORDERS[order]):
        assert journey.rollback(State.PLANNED) is State.PLANNED
        assert journey.advance(State.EXPANDED) is State.EXPANDED
        journey.advance(State.READS_MIGRATED)
        found: list[tuple[Any, ...]] = rows(journey.db, "SELECT relkind FROM pg_class WHERE relname = 'books'")
        assert found == [("v",)]
        assert journey.advance() is State.CONTRACTED
