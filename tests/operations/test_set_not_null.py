"""A column becomes NOT NULL: NULLs are replaced as they come and where they are, and come back on rollback."""

from operations.conftest import Journeys
from operations.harness import Db, round_trip, rows, run

REVIEWS = """
    CREATE TABLE reviews (id integer PRIMARY KEY, product text NOT NULL, review text);
    INSERT INTO reviews SELECT g, 'product ' || g, CASE WHEN g % 3 <> 0 THEN 'good' END FROM generate_series(1, 60) g;
"""
SET = {"kind": "set_not_null", "table": "reviews", "column": "review", "using": "product || ' is good'"}
DIRECT = """
    UPDATE reviews SET review = product || ' is good' WHERE review IS NULL;
    ALTER TABLE reviews ALTER review SET NOT NULL
"""


def no_null(db: Db) -> None:
    """Whatever is written has a value."""
    run(db, "INSERT INTO reviews (id, product) VALUES (901, 'a'), (902, 'b')")
    run(db, "UPDATE reviews SET review = NULL WHERE id IN (1, 2)")
    assert rows(db, "SELECT review FROM reviews WHERE id IN (1, 2, 901, 902) ORDER BY id") == [
        ("product 1 is good",),
        ("product 2 is good",),
        ("a is good",),
        ("b is good",),
    ]


WRITES = (
    "INSERT INTO reviews (id, product) SELECT coalesce(max(id), 0) + 1, 'new' FROM reviews",
    "UPDATE reviews SET review = NULL WHERE id = 1",
    "UPDATE reviews SET review = 'mine' WHERE id = 3",
    "UPDATE reviews SET product = 'other' WHERE id = 6",
)


def test_round_trip(journeys: Journeys) -> None:
    """Forward, back from every state, and to the end; rows that were repaired are NULL again after a rollback."""
    round_trip(journeys(REVIEWS, SET), direct=DIRECT, holds=no_null, writes=WRITES, repairs=True)
