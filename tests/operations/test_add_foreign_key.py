"""A FOREIGN KEY is added: what points to nothing is repaired."""

from operations.conftest import Journeys
from operations.harness import Db, round_trip, rows, run

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


def test_round_trip(journeys: Journeys) -> None:
    """Forward, back from every state, and to the end."""
    round_trip(journeys(BOOKS, ADD), direct=DIRECT, holds=pointing, writes=WRITES, repairs=True)
