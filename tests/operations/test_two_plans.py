"""Two plans under way on one table: in each other's way only where they touch the same columns."""

import itertools
from typing import Any

import pytest
from operations.conftest import Journeys
from operations.harness import BRANCH, Db, Journey, make_plan, rows, run

from orchestrator.errors import EcmError
from orchestrator.plan.lifecycle import State

START = """
    CREATE TABLE books (id integer PRIMARY KEY, year integer, name text, price numeric);
    CREATE INDEX ON books (year, name);
    INSERT INTO books SELECT g, 1900 + g, 'First' || g || ' Last' || g, g FROM generate_series(1, 40) g;
"""
ENCLOSED = """
    CREATE FUNCTION positive() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := abs(NEW.id); RETURN NEW; END $$;
    CREATE TRIGGER own BEFORE INSERT OR UPDATE ON books FOR EACH ROW EXECUTE FUNCTION positive();
"""
"""A trigger of the table's own, which each plan encloses with two of its own."""
YEAR = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
PRICE = {"kind": "rename_column", "table": "books", "column": "price", "to": "cost"}
NAME = {
    "kind": "split_column",
    "table": "books",
    "column": "name",
    "into": [
        {"column": "first", "type": "text", "using": "split_part(name, ' ', 1)"},
        {"column": "last", "type": "text", "using": "split_part(name, ' ', 2)"},
    ],
    "reverse": "first || ' ' || last",
}
DECADE = {"kind": "add_column", "table": "books", "column": "decade", "type": "integer", "using": "price::integer / 10"}

PAIRS = {
    "two renames": (START, YEAR, PRICE),
    "a rename and a split, around a trigger": (START + ENCLOSED, YEAR, NAME),
    "a split and a column": (START, NAME, DECADE),
}


def beside(journey: Journey, name: str, change: dict[str, Any]) -> Journey:
    """Put another plan into a journey's project; return the journey of that plan."""
    conductor = journey.conductor
    other = Journey(folder=journey.folder, url=journey.url, plan=make_plan(name, [change]), db=journey.db)
    other.__dict__["conductor"] = conductor
    other._write()
    return other


def in_step(db: Db, number: int) -> None:
    """Write every column that is there, one by one, and see the other side of it follow."""
    there = {
        name for (name,) in rows(db, "SELECT column_name FROM information_schema.columns WHERE table_name = 'books'")
    }

    def write(column: str, value: str) -> None:
        run(db, f"UPDATE books SET {column} = '{value}' WHERE id = {number}")

    for old, new in (("year", "published"), ("price", "cost")):
        if {old, new} <= there:
            for column, value in ((old, 7), (new, 8)):
                write(column, str(value))
                assert rows(db, f"SELECT {old}, {new} FROM books WHERE id = {number}") == [(value, value)]
    if {"name", "first", "last"} <= there:
        write("name", "Ada Lovelace")
        write("last", "Byron")
        assert rows(db, f"SELECT name, first, last FROM books WHERE id = {number}") == [("Ada Byron", "Ada", "Byron")]
    if "decade" in there:
        write("price" if "price" in there else "cost", "70")
        assert rows(db, f"SELECT decade IS NOT NULL FROM books WHERE id = {number}") == [(True,)]


WAYS = ["both forward, the first ends first", "both forward, the second ends first", "the first is rolled back"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pair", PAIRS)
def test_on_columns_of_their_own(journeys: Journeys, pair: str, way: str) -> None:
    """Each goes forward, back and to its end as if it were alone, whichever began or ends first."""
    start, one, two = PAIRS[pair]
    first = journeys(start, one, plan="zebra")
    second = beside(first, "ant", two)
    number = itertools.count(1)

    def go(journey: Journey, to: State) -> None:
        assert journey.advance(to) is to
        in_step(first.db, next(number))

    go(first, State.EXPANDED)
    go(second, State.BACKFILLED)
    go(first, State.BACKFILLED)
    go(second, State.READS_MIGRATED)
    if way == WAYS[2]:
        assert first.rollback() is State.PLANNED
        in_step(first.db, next(number))
        go(second, State.CONTRACTED)
    else:
        go(first, State.READS_MIGRATED)
        assert second.rollback() is State.BACKFILLED
        assert second.rollback() is State.PLANNED
        in_step(first.db, next(number))
        go(second, State.READS_MIGRATED)
        for journey in (first, second) if way == WAYS[0] else (second, first):
            go(journey, State.CONTRACTED)
    names = [name for (name,) in rows(first.db, "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")]
    assert names == (["own"] if ENCLOSED in start else [])
    assert rows(first.db, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'ecm'::regnamespace") == [(0,)]


UNIQUE = {
    "kind": "add_unique",
    "table": "books",
    "name": "books_name_key",
    "columns": ["name"],
    "using": {"name": "name || '.'"},
}
OVERLAPS = {
    "a key by which rows are told apart": ({**YEAR, "column": "id", "to": "number"}, UNIQUE),
    "the same column": (YEAR, {**YEAR, "to": "printed"}),
    "the same new name": (YEAR, {**PRICE, "to": "published"}),
    "an expression over it": (PRICE, DECADE),
    "a way back over it": (
        {**YEAR, "column": "price", "to": "amount"},
        {**NAME, "reverse": "first || ' ' || last || coalesce('', \"price\"::text)"},
    ),
}


@pytest.mark.parametrize("turned", [False, True], ids=["", "the other way round"])
@pytest.mark.parametrize("what", OVERLAPS)
def test_on_the_same_columns(journeys: Journeys, what: str, *, turned: bool) -> None:
    """The one that comes second is told which plan to finish first; and goes on once that has been done or undone."""
    one, two = OVERLAPS[what][::-1] if turned else OVERLAPS[what]
    first = journeys(START, one, plan="first")
    second = beside(first, "second", two)
    first.advance(State.EXPANDED)
    with pytest.raises(EcmError) as refused:
        second.advance()
    assert refused.value.exit_code == 4
    assert "first is under way on " + BRANCH in " ".join([refused.value.message, *refused.value.details])
    first.rollback()
    if what != "a way back over it":
        assert second.advance() is State.EXPANDED


def test_words_in_a_string_are_no_columns(journeys: Journeys) -> None:
    """An expression that says a column's name within quotes does not look at the column."""
    first = journeys(START, YEAR, plan="first")
    second = beside(first, "second", {**DECADE, "using": "length('year')"})
    first.advance(State.EXPANDED)
    assert second.advance() is State.EXPANDED


SHARED = {
    "an index": "CREATE INDEX ab ON t (a, b)",
    "statistics": "CREATE STATISTICS ab ON a, b FROM t",
    "a view": "CREATE VIEW ab AS SELECT a, b FROM t",
}


@pytest.mark.parametrize("state", [State.EXPANDED, State.READS_MIGRATED])
@pytest.mark.parametrize("what", SHARED)
def test_what_stands_on_columns_of_two_plans_is_made_again_by_one_at_a_time(
    journeys: Journeys, what: str, state: State
) -> None:
    """The second plan does not begin before the first is over, and is told what they share."""
    start = f"CREATE TABLE t (id int PRIMARY KEY, a int, b int); INSERT INTO t VALUES (1, 2, 3); {SHARED[what]}"
    change = {"kind": "change_type", "table": "t", "type": "bigint"}
    first = journeys(start, {**change, "column": "a"}, plan="widen-a")
    second = beside(first, "widen-b", {**change, "column": "b"})
    first.advance(state)
    with pytest.raises(EcmError) as refused:
        second.advance()
    assert "which another plan is changing" in str(refused.value) + "".join(refused.value.details)
    assert "drop it" not in str(refused.value) + "".join(refused.value.details) + (refused.value.hint or "")
    first.advance(State.CONTRACTED)
    assert second.advance(State.CONTRACTED) is State.CONTRACTED
