"""A table that is replicated row by row to another database, where it is changed as well."""

import time
from collections.abc import Generator
from urllib.parse import unquote, urlsplit

import pytest
from operations.conftest import Journeys
from operations.harness import Db, Journey, ask, rows, run
from servers import FAST, OwnServer

from orchestrator.plan.lifecycle import State

BOOKS = "CREATE TABLE books (id integer PRIMARY KEY, year integer, name text);"
RENAME = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
SPLIT = {
    "kind": "split_column",
    "table": "books",
    "column": "name",
    "into": [
        {"column": "first", "type": "text", "using": "split_part(name, ' ', 1)"},
        {"column": "last", "type": "text", "using": "split_part(name, ' ', 2)"},
    ],
    "reverse": "first || ' ' || last",
}


@pytest.fixture
def postgres(own_server: OwnServer) -> OwnServer:
    """A server whose WAL says what logical replication needs."""
    own_server.stop("fast")
    own_server.start({**FAST, "wal_level": "logical"})
    return own_server


@pytest.fixture
def ends(journeys: Journeys) -> Generator[tuple[Journey, Journey]]:
    """Gives a table and its replica, each with a plan of both changes; the replica follows from now on."""
    publisher = journeys(BOOKS, RENAME, SPLIT)
    subscriber = journeys(BOOKS, RENAME, SPLIT)
    run(publisher.db, "INSERT INTO books SELECT g, g, 'First' || g || ' Last' || g FROM generate_series(1, 20) g")
    run(publisher.db, "CREATE PUBLICATION all_books FOR TABLE books")
    # Both are on one server, where CREATE SUBSCRIPTION would wait for its own transaction to end.
    run(publisher.db, "SELECT pg_create_logical_replication_slot('of_books', 'pgoutput')")
    to = urlsplit(publisher.url)
    where = f"host={to.hostname} port={to.port} user={to.username} password={unquote(to.password or '')} dbname={to.path[1:]}"
    run(
        subscriber.db,
        f"CREATE SUBSCRIPTION of_books CONNECTION '{where}' PUBLICATION all_books"
        " WITH (create_slot = false, slot_name = 'of_books')",
    )
    yield publisher, subscriber
    # The slot's database cannot be dropped before the slot, nor the slot while it is in use.
    run(subscriber.db, "ALTER SUBSCRIPTION of_books DISABLE; ALTER SUBSCRIPTION of_books SET (slot_name = NONE)")
    run(subscriber.db, "DROP SUBSCRIPTION of_books")
    _until(publisher.db, "SELECT count(*) = 0 FROM pg_replication_slots WHERE active")
    run(publisher.db, "SELECT pg_drop_replication_slot('of_books')")


def _until(db: Db, query: str) -> None:
    for _ in range(600):
        if ask(db, query):
            return
        time.sleep(0.05)
    raise AssertionError(f"not within 30 seconds: {query}")


def caught_up(publisher: Journey, subscriber: Journey) -> None:
    """Wait until the replica has a row that was written last."""
    number = ask(publisher.db, "INSERT INTO books (id) SELECT max(id) + 1 FROM books RETURNING id")
    _until(subscriber.db, f"SELECT EXISTS (SELECT FROM books WHERE id = {number})")
    run(publisher.db, f"DELETE FROM books WHERE id = {number}")
    _until(subscriber.db, f"SELECT NOT EXISTS (SELECT FROM books WHERE id = {number})")


def both_sides(journey: Journey, number: int) -> tuple[object, ...]:
    """Return a row's columns."""
    return rows(journey.db, f"SELECT year, published, name, first, last FROM books WHERE id = {number}")[0]


def test_both_ends(ends: tuple[Journey, Journey]) -> None:
    """The replica has both sides first and longest; what comes over is in step on both, whichever side was written."""
    publisher, subscriber = ends
    caught_up(publisher, subscriber)
    # Old rows come with old columns only; the trigger fires for them as well, and no other trigger does.
    subscriber.advance(State.BACKFILLED)
    run(publisher.db, "INSERT INTO books VALUES (101, 101, 'Alan Turing'); UPDATE books SET year = 0 WHERE id = 1")
    caught_up(publisher, subscriber)
    assert both_sides(subscriber, 101) == (101, 101, "Alan Turing", "Alan", "Turing")
    assert both_sides(subscriber, 1) == (0, 0, "First1 Last1", "First1", "Last1")

    publisher.advance(State.READS_MIGRATED)
    run(publisher.db, "INSERT INTO books (id, published, first, last) VALUES (102, 102, 'Ada', 'Lovelace')")
    run(publisher.db, "UPDATE books SET published = -1, last = 'Byron' WHERE id = 2")
    caught_up(publisher, subscriber)
    for journey in ends:
        assert both_sides(journey, 102) == (102, 102, "Ada Lovelace", "Ada", "Lovelace")
        assert both_sides(journey, 2) == (-1, -1, "First2 Byron", "First2", "Byron")

    subscriber.advance(State.READS_MIGRATED)
    publisher.advance(State.CONTRACTED)
    run(publisher.db, "INSERT INTO books VALUES (103, 103, 'Kay', 'Alan')")
    caught_up(publisher, subscriber)
    assert both_sides(subscriber, 103) == (103, 103, "Kay Alan", "Kay", "Alan")
    assert subscriber.advance(State.CONTRACTED) is State.CONTRACTED
    run(publisher.db, "UPDATE books SET published = 7 WHERE id = 103")
    caught_up(publisher, subscriber)
    columns = "SELECT id, published, first, last FROM books ORDER BY id"
    assert rows(subscriber.db, columns) == rows(publisher.db, columns)


def test_a_replica_of_some_columns(ends: tuple[Journey, Journey]) -> None:
    """Where a publication lists its columns (PostgreSQL 15), the replica minds nothing but the new name in the end."""
    publisher, subscriber = ends
    if publisher.db.info.server_version >= 150000:
        run(publisher.db, "ALTER PUBLICATION all_books SET TABLE books (id, year)")
    else:
        run(subscriber.db, "ALTER TABLE books ADD published integer, ADD first text, ADD last text")
    caught_up(publisher, subscriber)
    publisher.advance(State.READS_MIGRATED)
    run(publisher.db, "INSERT INTO books (id, published) VALUES (101, 5); UPDATE books SET published = 6 WHERE id = 1")
    caught_up(publisher, subscriber)
    assert rows(subscriber.db, "SELECT id, year FROM books WHERE id IN (1, 101) ORDER BY id") == [(1, 6), (101, 5)]
    assert publisher.rollback(State.PLANNED) is State.PLANNED
    run(publisher.db, "UPDATE books SET year = 8 WHERE id = 1")
    caught_up(publisher, subscriber)
    assert rows(subscriber.db, "SELECT year FROM books WHERE id = 1") == [(8,)]
