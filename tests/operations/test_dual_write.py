"""`dual_write: application`: no trigger is installed, and the application writes both sides itself."""

from typing import Any

import pytest
from operations.conftest import Journeys
from operations.harness import BRANCH, Journey, round_trip, rows, run
from pydantic import ValidationError

from orchestrator.errors import RefusedError, VerificationError
from orchestrator.plan.lifecycle import State

BY_APPLICATION = {"dual_write": "application"}
BOOKS = """
CREATE TABLE books (id int PRIMARY KEY, year int, price numeric(8, 2));
CREATE INDEX ON books (year);
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touch BEFORE UPDATE OF year ON books FOR EACH ROW EXECUTE FUNCTION touched();
INSERT INTO books SELECT n, 1900 + n, n FROM generate_series(1, 50) n;
"""
RENAME = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
USERS = "CREATE TABLE users (id int PRIMARY KEY, full_name text); INSERT INTO users VALUES (1, 'Ada Lovelace');"
SPLIT = {
    "kind": "split_column",
    "table": "users",
    "column": "full_name",
    "into": [
        {"column": "first_name", "type": "text", "using": "split_part(full_name, ' ', 1)"},
        {"column": "last_name", "type": "text", "using": "split_part(full_name, ' ', 2)"},
    ],
    "reverse": "concat_ws(' ', first_name, last_name)",
}
RETYPE = {"kind": "change_type", "table": "books", "column": "price", "type": "bigint", "to": "cents",
          "using": "(price * 100)::bigint", "reverse": "(cents / 100.0)::numeric(8, 2)"}  # fmt: skip


def attested(journey: Journey) -> None:
    """Say that the application writes both."""
    journey.conductor.attest(None, BRANCH, claim="writes-both", version="4f2c9e1")


def triggers(journey: Journey) -> list[Any]:
    """Return ecm's triggers in the database."""
    return rows(journey.db, "SELECT tgname FROM pg_trigger WHERE tgname ~ 'ecm'")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            (
                BOOKS,
                RENAME,
                "UPDATE books SET year = year + 1, published = year + 1 WHERE id = 1",
                "ALTER TABLE books RENAME COLUMN year TO published",
            ),
            id="rename_column",
        ),
        pytest.param(
            (
                USERS,
                SPLIT,
                "UPDATE users SET full_name = 'Ada Byron', first_name = 'Ada', last_name = 'Byron'",
                "ALTER TABLE users ADD first_name text, ADD last_name text;"
                "UPDATE users SET first_name = 'Ada', last_name = 'Byron'; ALTER TABLE users DROP full_name",
            ),
            id="split_column",
        ),
        pytest.param(
            (
                BOOKS,
                RETYPE,
                "UPDATE books SET price = 9.5, cents = 950 WHERE id = 1",
                "ALTER TABLE books ADD cents bigint; UPDATE books SET cents = price * 100; ALTER TABLE books DROP price",
            ),
            id="change_type",
        ),
    ],
)
def test_round_trip(
    journeys: Journeys, monkeypatch: pytest.MonkeyPatch, case: tuple[str, dict[str, Any], str, str]
) -> None:
    """Forward and back from every state, with writers of both sides, and no trigger of ecm's at any time."""
    start, change, both, direct = case
    journey = journeys(start, change, expand=BY_APPLICATION)
    advance = Journey.advance

    def with_its_word(self: Journey, to: State | None = None) -> State:
        if to is not None and to is not State.EXPANDED:
            advance(self, State.EXPANDED) if self.state is State.PLANNED else None
            attested(self)
        reached = advance(self, to)
        assert not triggers(self)
        return reached

    monkeypatch.setattr(Journey, "advance", with_its_word)
    round_trip(journey, direct=direct, writes=[both])


def test_backfill_waits_for_the_application(journeys: Journeys) -> None:
    """Rows are filled only once somebody has attested that the application writes both sides."""
    journey = journeys(BOOKS, RENAME, expand=BY_APPLICATION)
    journey.advance()

    with pytest.raises(RefusedError) as refused:
        journey.advance()
    assert "writes both sides (writes-both)" in " ".join(refused.value.details)
    attested(journey)
    assert journey.advance() is State.BACKFILLED


def test_a_writer_of_one_side_is_found(journeys: Journeys) -> None:
    """A row that was written on one side alone stops the next phase, and the hint says who has to do what."""
    asked = {"require": {"verified": "1h"}}
    journey = journeys(BOOKS, RENAME, expand=BY_APPLICATION, migrate_reads=asked)
    journey.advance()
    attested(journey)
    journey.advance()
    run(journey.db, "UPDATE books SET year = 1815 WHERE id = 7")

    assert journey.conductor.gate(None, BRANCH).allowed, "as far as anybody has looked"
    assert journey.conductor.verify(None, BRANCH).mismatches == 1
    assert [reason.code for reason in journey.conductor.gate(None, BRANCH).reasons] == ["verified"]
    run(journey.db, "UPDATE books SET year = 1907 WHERE id = 7")
    assert journey.conductor.verify(None, BRANCH).mismatches == 0
    run(journey.db, "UPDATE books SET year = 1815 WHERE id = 7")

    with pytest.raises(VerificationError) as found:
        journey.advance()
    assert "id=7  year=1815  published=1907" in found.value.details
    assert "every instance" in str(found.value.hint)
    run(journey.db, "UPDATE books SET published = 1815 WHERE id = 7")
    assert journey.advance() is State.READS_MIGRATED


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(({"kind": "set_not_null", "table": "books", "column": "year", "using": "0"}, {}), id="one column"),
        pytest.param(
            ({"kind": "change_type", "table": "books", "column": "year", "type": "bigint"}, {}), id="one name"
        ),
        pytest.param((RENAME, {"strategy": "facade"}), id="a facade"),
    ],
)
def test_what_an_application_cannot_write(journeys: Journeys, plan: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Where there are no two columns side by side, the plan's file is refused."""
    change, settings = plan
    with pytest.raises(ValidationError, match=r"dual_write: application|both names are one column"):
        journeys(BOOKS, change, expand={**BY_APPLICATION, **settings})
