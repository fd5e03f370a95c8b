"""A CHECK constraint is added: what breaks it is repaired as it comes and where it is."""

from operations.conftest import Journeys
from operations.harness import Db, round_trip, rows, run

BOOKS = """
    CREATE TABLE books (id integer PRIMARY KEY, title text, price integer, kept integer);
    INSERT INTO books SELECT g, 'Book ' || g, g - 20, g FROM generate_series(1, 60) g;
    INSERT INTO books VALUES (61, 'free', NULL, 61);
"""
ADD = {
    "kind": "add_check",
    "table": "books",
    "name": "a fair price",
    "check": "price > 0",
    "using": {"price": "1", "title": "title || '?'"},
}
DIRECT = """
    UPDATE books SET price = 1, title = title || '?' WHERE NOT price > 0;
    ALTER TABLE books ADD CONSTRAINT "a fair price" CHECK (price > 0)
"""
WRITES = (
    "INSERT INTO books SELECT max(id) + 1, 'new', -max(id) FROM books",
    "UPDATE books SET price = -5 WHERE id = 50",
    "UPDATE books SET title = 'mine' WHERE id = 3",
    "UPDATE books SET kept = 0 WHERE id = 4",
)


def fair(db: Db) -> None:
    """Whatever is written keeps the rule."""
    run(db, "INSERT INTO books VALUES (901, 'a', -1), (902, 'b', 5), (903, 'c', NULL)")
    run(db, "UPDATE books SET price = -price WHERE id IN (55, 56)")
    found = "SELECT id, title, price FROM books WHERE id IN (55, 56, 901, 902, 903) ORDER BY id"
    assert rows(db, found) == [
        (55, "Book 55?", 1),
        (56, "Book 56?", 1),
        (901, "a?", 1),
        (902, "b", 5),
        (903, "c", None),
    ]


def test_round_trip(journeys: Journeys) -> None:
    """Forward, back from every state, and to the end."""
    round_trip(journeys(BOOKS, ADD), direct=DIRECT, holds=fair, writes=WRITES, repairs=True)
