"""What is looked at before a plan begins: sizes, widths, and who is at work there."""

import psycopg
from operations.conftest import Journeys
from operations.harness import Journey, ask

from orchestrator.engine import survey
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName

RENAME = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
BOOKS = TableName("public", "books")
FILLED = """
CREATE TABLE books (id integer PRIMARY KEY, year integer, note text);
INSERT INTO books SELECT n, CASE WHEN n % 2 = 0 THEN n END FROM generate_series(1, 1000) n;
"""


def table(journey: Journey) -> Table:
    return journey.facts()[BOOKS]


def test_sizes_are_of_heap_indexes_and_toast(journeys: Journeys) -> None:
    """Together they are what PostgreSQL says the whole is."""
    journey = journeys(FILLED, RENAME)
    found = survey.extent(journey.db, table(journey))
    assert found.heap + found.indexes + found.toast == ask(journey.db, "SELECT pg_total_relation_size('books')")
    assert min(found.heap, found.indexes, found.toast) > 0
    assert found.index_sizes == {"books_pkey": found.indexes}


def test_rows_are_unknown_until_they_are_counted(journeys: Journeys) -> None:
    """Never analyzed is not none; as many rows a page as when it was analyzed are taken for the pages since."""
    journey = journeys(FILLED, RENAME)
    assert survey.extent(journey.db, table(journey)).rows is None
    journey.db.execute("ANALYZE books")
    analyzed = survey.extent(journey.db, table(journey))
    assert analyzed.rows == 1000
    assert analyzed.widths["year"] == 2.0, "four bytes in every other row"
    journey.db.execute("INSERT INTO books SELECT n, n FROM generate_series(2001, 4000) n")
    assert 2500 < (survey.extent(journey.db, table(journey)).rows or 0) < 3500


def test_an_empty_table_has_no_rows(journeys: Journeys) -> None:
    """Without a page there is nothing to count."""
    journey = journeys("CREATE TABLE books (id integer, year integer)", RENAME)
    assert survey.extent(journey.db, table(journey)).rows == 0


def test_partitions_are_part_of_their_table(journeys: Journeys) -> None:
    """Their sizes, rows and indexes count as the table's; one that was never analyzed leaves the rows unknown."""
    start = """
        CREATE TABLE books (id integer, year integer) PARTITION BY RANGE (id);
        CREATE TABLE books_1 PARTITION OF books FOR VALUES FROM (0) TO (500);
        CREATE TABLE books_2 PARTITION OF books FOR VALUES FROM (500) TO (5000);
        CREATE INDEX of_year ON books (year);
        INSERT INTO books SELECT n, n FROM generate_series(1, 1000) n;
    """
    journey = journeys(start, RENAME)
    journey.db.execute("ANALYZE books_1")
    assert survey.extent(journey.db, table(journey)).rows is None
    journey.db.execute("ANALYZE books")
    found = survey.extent(journey.db, table(journey))
    assert found.rows == 1000
    assert found.index_sizes["of_year"] == found.indexes > 0


def test_who_is_at_work_on_a_table(journeys: Journeys) -> None:
    """A session with a lock on it is found, with the age of its transaction; one elsewhere has a snapshot at most."""
    journey = journeys(FILLED, RENAME)
    assert survey.present(journey.db, (BOOKS,)).holding == ()
    with psycopg.connect(journey.url, autocommit=True) as other, other.transaction():
        other.execute("SELECT count(*) FROM books")
        pid = other.info.backend_pid
        assert [each.pid for each in survey.present(journey.db, (BOOKS,)).holding] == [pid]
    with psycopg.connect(journey.url, autocommit=True) as other, other.transaction():
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT 1")
        present = survey.present(journey.db, (BOOKS,))
        assert present.holding == ()
        assert present.oldest
        assert present.oldest.pid == other.info.backend_pid


def test_no_extension_owns_a_table_of_ones_own(journeys: Journeys) -> None:
    """Only what CREATE EXTENSION made belongs to it."""
    journey = journeys(FILLED, RENAME)
    assert survey.extension(journey.db, table(journey)) is None
    journey.db.execute("ALTER EXTENSION plpgsql ADD TABLE books")
    assert survey.extension(journey.db, table(journey)) == "plpgsql"
    assert any("belongs to extension plpgsql" in line for line in journey.conductor.preview("change").beware)
