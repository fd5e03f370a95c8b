"""Several columns become one: both sides in every state, and the way back of each."""

import pytest
from operations.conftest import Journeys
from operations.harness import Db, make_plan, round_trip, rows, run
from pydantic import ValidationError

from orchestrator.plan.lifecycle import State

LINE = "concat_ws(' ', street, number)"
MERGE = {
    "kind": "merge_columns",
    "table": "addresses",
    "columns": ["street", "number"],
    "into": {"column": "line", "type": "text", "using": LINE, "not_null": True},
    "reverse": {"street": "regexp_replace(line, ' [^ ]*$', '')", "number": "substring(line from ' ([^ ]*)$')"},
}
ADDRESSES = """
    CREATE TABLE addresses (id integer PRIMARY KEY, street text NOT NULL, number varchar(5), city text);
    INSERT INTO addresses SELECT g, 'Long Street', g, 'Springfield' FROM generate_series(1, 60) g;
"""
DIRECT = f"""
    ALTER TABLE addresses ADD COLUMN line text;
    UPDATE addresses SET line = {LINE};
    ALTER TABLE addresses ALTER line SET NOT NULL, DROP COLUMN street, DROP COLUMN number
"""


def in_step(db: Db) -> None:
    """What is written through either side shows on both."""

    def row(number: int) -> tuple[str, ...]:
        return rows(db, f"SELECT street, number, line FROM addresses WHERE id = {number}")[0]

    run(db, "INSERT INTO addresses (id, street, number) VALUES (901, 'Main Road', '7')")
    run(db, "INSERT INTO addresses (id, line) VALUES (902, 'High Street 12')")
    assert row(901) == ("Main Road", "7", "Main Road 7")
    assert row(902) == ("High Street", "12", "High Street 12")
    run(db, "UPDATE addresses SET number = '8' WHERE id = 902")
    run(db, "UPDATE addresses SET line = 'Low Lane 1' WHERE id = 901")
    assert row(902) == ("High Street", "8", "High Street 8")
    assert row(901) == ("Low Lane", "1", "Low Lane 1")
    run(db, "UPDATE addresses SET number = 'x' WHERE id = 5")
    assert row(5) == ("Long Street", "x", "Long Street x")


def test_round_trip(journeys: Journeys) -> None:
    """Both sides in every state; back to the start from each; and the end is what the direct DDL gives."""
    writes = ["UPDATE addresses SET line = 'Short Street ' || id WHERE id % 2 = 0"]
    round_trip(journeys(ADDRESSES, MERGE), direct=DIRECT, holds=in_step, writes=writes)


def test_beside_another_change(journeys: Journeys) -> None:
    """Two changes of one plan on one table do not disturb each other."""
    rename = {"kind": "rename_column", "table": "addresses", "column": "city", "to": "town"}
    direct = f"{DIRECT}; ALTER TABLE addresses RENAME city TO town"
    round_trip(journeys(ADDRESSES, MERGE, rename), direct=direct, holds=in_step)


def test_some_of_the_old_columns_have_no_way_back(journeys: Journeys) -> None:
    """It is accepted, or it is no plan."""
    partly = {**MERGE, "reverse": {"street": "line"}}
    with pytest.raises(ValidationError, match="does not say what number is"):
        make_plan("change", [partly])
    with pytest.raises(ValidationError, match="reverse names town"):
        make_plan("change", [{**MERGE, "reverse": {"town": "line"}}])
    start = ADDRESSES.replace("NOT NULL", "")
    journey = journeys(start, {**partly, "reverse": {}, "one_way": True})
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
