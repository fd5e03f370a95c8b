"""A FOREIGN KEY is added: what points to nothing is repaired."""

import pytest
from operations.conftest import Journeys
from operations.harness import Db, ask, make_plan, round_trip, rows, run
from pydantic import ValidationError
from servers import both_versions

from orchestrator.errors import StatementFailedError
from orchestrator.events import Event, StepFinished, StepStarted
from orchestrator.plan.lifecycle import State

BOOKS = """
    CREATE TABLE authors (id integer PRIMARY KEY, name text);
    INSERT INTO authors SELECT g, 'Author ' || g FROM generate_series(1, 20) g;
    CREATE TABLE books (id integer PRIMARY KEY, title text, author integer);
    INSERT INTO books SELECT g, 'Book ' || g, g FROM generate_series(1, 30) g;
"""
ADD = {
    "kind": "add_foreign_key",
    "table": "books",
    "name": "books_author_fkey",
    "columns": ["author"],
    "references": {"table": "authors", "columns": ["id"]},
    "on_delete": "set null",
    "using": {"author": "NULL"},
}
DIRECT = """
    UPDATE books SET author = NULL WHERE author NOT IN (SELECT id FROM authors);
    ALTER TABLE books ADD CONSTRAINT books_author_fkey FOREIGN KEY (author) REFERENCES authors (id) ON DELETE SET NULL
"""
WRITES = (
    "INSERT INTO books SELECT max(id) + 1, 'new', 99 FROM books",
    "UPDATE books SET author = 77 WHERE id = 5",
    "UPDATE books SET author = 3 WHERE id = 25",
    "UPDATE books SET title = 'other' WHERE id = 26",
)


def pointing(db: Db) -> None:
    """Whatever is written points to a row, or to none."""
    run(db, "INSERT INTO books VALUES (901, 'a', 1), (902, 'b', 50), (903, 'c', NULL)")
    run(db, "UPDATE books SET author = 51 WHERE id = 2")
    found = "SELECT id, author FROM books WHERE id IN (2, 901, 902, 903) ORDER BY id"
    assert rows(db, found) == [(2, None), (901, 1), (902, None), (903, None)]


@both_versions
def test_round_trip(journeys: Journeys) -> None:
    """Forward, back from every state, and to the end."""
    round_trip(journeys(BOOKS, ADD), direct=DIRECT, holds=pointing, writes=WRITES, repairs=True)


def test_what_is_left_astray_later_is_repaired(journeys: Journeys) -> None:
    """The row that others point to goes: the next phase repairs them, and the last sweep is under the constraint."""
    journey = journeys(BOOKS, ADD)
    journey.advance(State.BACKFILLED)
    run(journey.db, "DELETE FROM authors WHERE id = 7")
    assert journey.advance(State.READS_MIGRATED) is State.READS_MIGRATED
    assert ask(journey.db, "SELECT author FROM books WHERE id = 7") is None
    assert journey.rollback() is State.BACKFILLED
    assert journey.advance(State.READS_MIGRATED) is State.READS_MIGRATED
    run(journey.db, "DELETE FROM authors WHERE id = 8")
    gone = list[int]()

    def delete(event: Event) -> None:
        """Between the constraint and the sweep the key itself sees to it; before, nothing does."""
        if isinstance(event, StepStarted) and event.key.startswith("hold") and not gone:
            gone.append(9)
            run(journey.db, "DELETE FROM authors WHERE id = 9")
        if isinstance(event, StepFinished) and event.key.startswith("hold"):
            run(journey.db, "DELETE FROM authors WHERE id = 10")

    journey.on_event = delete
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
    assert rows(journey.db, "SELECT author FROM books WHERE id BETWEEN 6 AND 10 ORDER BY id") == [
        (6,),
        (None,),
        (None,),
        (None,),
        (None,),
    ]


def test_a_row_that_was_written_first_has_its_value_back(journeys: Journeys) -> None:
    """Its author came later: by the next phase it points there again, unless someone wrote to it."""
    journey = journeys(BOOKS, ADD)
    journey.advance(State.BACKFILLED)
    run(journey.db, "INSERT INTO books VALUES (901, 'a', 50), (902, 'b', 50), (903, 'c', 51)")
    run(journey.db, "INSERT INTO authors VALUES (50); UPDATE books SET author = 1 WHERE id = 902")
    found = "SELECT id, author FROM books WHERE id > 900 ORDER BY id"
    assert rows(journey.db, found) == [(901, None), (902, 1), (903, None)]
    journey.advance(State.READS_MIGRATED)
    assert rows(journey.db, found) == [(901, 50), (902, 1), (903, None)]
    assert journey.rollback(State.PLANNED) is State.PLANNED
    assert rows(journey.db, found) == [(901, 50), (902, 1), (903, 51)]


def test_a_row_and_the_one_it_points_to_in_one_transaction(journeys: Journeys) -> None:
    """Whichever comes first, the row has its value at the end, until contract is over."""
    journey = journeys(BOOKS, ADD)
    number = iter(range(901, 1000))

    def write(statements: str = "INSERT INTO books VALUES ({0}, 'a', {0}); INSERT INTO authors VALUES ({0})") -> None:
        run(journey.db, f"BEGIN; {statements.format(next(number))}; COMMIT")

    def write_in_between(event: Event) -> None:
        if isinstance(event, StepStarted) and event.key == "contract":
            write()
            # Not in one transaction: contract itself takes the last look.
            write("INSERT INTO books VALUES ({0}, 'a', {0}); COMMIT; BEGIN; INSERT INTO authors VALUES ({0})")
        if isinstance(event, StepFinished) and event.key.startswith("hold"):
            write()

    journey.on_event = write_in_between
    for state in (State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED):
        assert journey.advance() is state
        write()
        assert ask(journey.db, "SELECT count(*) FROM books WHERE id > 900 AND author IS DISTINCT FROM id") == 0
    assert journey.advance() is State.CONTRACTED
    assert rows(journey.db, "SELECT author FROM books WHERE id > 900 ORDER BY id") == [
        (each,) for each in range(901, 907)
    ]


def test_a_table_that_points_to_itself(journeys: Journeys) -> None:
    """A row may point to itself, and to one that the same statement brings later."""
    start = "CREATE TABLE parts (id integer PRIMARY KEY, of integer); INSERT INTO parts VALUES (1, 1), (2, 1), (3, 9)"
    change = {**ADD, "table": "parts", "columns": ["of"], "using": {"of": "id"}, "on_delete": None, "name": "parts_of"}
    change |= {"references": {"table": "parts", "columns": ["id"]}}
    journey = journeys(start, change)
    journey.advance(State.BACKFILLED)
    run(journey.db, "INSERT INTO parts VALUES (4, 4), (5, 6), (6, 1)")
    found = "SELECT id, of FROM parts ORDER BY id"
    assert rows(journey.db, found)[2:] == [(3, 3), (4, 4), (5, 6), (6, 1)]
    journey.advance(State.CONTRACTED)
    assert rows(journey.db, found) == [(1, 1), (2, 1), (3, 3), (4, 4), (5, 6), (6, 1)]


def test_several_columns(journeys: Journeys) -> None:
    """A NULL in it points nowhere, whatever the rest; the actions are those of the plan."""
    start = """
        CREATE TABLE places (land text, city text, PRIMARY KEY (city, land)); INSERT INTO places VALUES ('a', 'b');
        CREATE TABLE shops (id integer PRIMARY KEY, city text, land text);
        INSERT INTO shops VALUES (1, 'b', 'a'), (2, 'a', 'b'), (3, NULL, 'x'), (4, 'x', NULL);
    """
    change = {
        "kind": "add_foreign_key",
        "table": "shops",
        "name": "placed",
        "columns": ["land", "city"],
        "references": {"table": "places", "columns": ["land", "city"]},
        "on_delete": "cascade",
        "on_update": "restrict",
        "using": {"land": "NULL"},
    }
    direct = """
        UPDATE shops SET land = NULL WHERE id = 2;
        ALTER TABLE shops ADD CONSTRAINT placed FOREIGN KEY (land, city) REFERENCES places (land, city)
          ON DELETE CASCADE ON UPDATE RESTRICT
    """
    round_trip(journeys(start, change), direct=direct, repairs=True)


def test_what_is_no_key_cannot_be_pointed_to(journeys: Journeys) -> None:
    """What PostgreSQL would refuse at contract is refused before anything is touched."""
    references = {"table": "authors", "columns": ["name"]}
    journey = journeys(BOOKS, {**ADD, "columns": ["title"], "references": references, "using": {"title": "NULL"}})
    with pytest.raises(StatementFailedError, match="no unique constraint on name of authors"):
        journey.advance()
    with pytest.raises(ValidationError, match="name the column that each of them points to"):
        make_plan("change", [{**ADD, "references": {"table": "authors"}}])
