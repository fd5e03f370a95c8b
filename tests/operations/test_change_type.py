"""A column gets another type: both sides in every state, and all that hangs on it comes along."""

from typing import Any

import pytest
from operations.conftest import Journeys
from operations.harness import Db, ask, round_trip, rows, run

from orchestrator.plan.lifecycle import State

WIDEN = {"kind": "change_type", "table": "events", "column": "amount", "type": "bigint"}
EVENTS = """
    CREATE TABLE events (id integer PRIMARY KEY, amount integer, note text);
    INSERT INTO events SELECT g, g * 10, 'n' || g FROM generate_series(1, 60) g;
"""
DIRECT = "ALTER TABLE events ALTER COLUMN amount TYPE bigint"


def in_step(db: Db) -> None:
    """Whatever its type is, the application sees one column."""
    run(db, "INSERT INTO events (id, amount) VALUES (901, 7); UPDATE events SET amount = 8 WHERE id = 7")
    run(db, "UPDATE events SET note = 'x' WHERE id = 8")
    assert rows(db, "SELECT id, amount FROM events WHERE id IN (7, 8, 901) ORDER BY id") == [(7, 8), (8, 80), (901, 7)]


START: dict[str, str] = {
    "plain": "",
    "not null with a default": "ALTER TABLE events ALTER amount SET NOT NULL, ALTER amount SET DEFAULT 5",
    "indexes": "CREATE INDEX ON events (amount); CREATE INDEX big ON events (id) WHERE amount > 3;"
    "CREATE UNIQUE INDEX ON events ((amount + 1)) INCLUDE (note); COMMENT ON INDEX big IS 'some';"
    "ALTER INDEX events_expr_note_idx ALTER COLUMN 1 SET STATISTICS 50",
    "unique": "ALTER TABLE events ADD UNIQUE (amount), ADD CONSTRAINT later UNIQUE (note, amount) DEFERRABLE;"
    "COMMENT ON CONSTRAINT later ON events IS 'later'",
    "primary key of two": "ALTER TABLE events DROP CONSTRAINT events_pkey, ADD PRIMARY KEY (amount, id);"
    "ALTER TABLE events CLUSTER ON events_pkey",
    "checks": "ALTER TABLE events ADD CHECK (amount > 0), ADD CONSTRAINT two CHECK (amount >= id) NOT VALID;"
    "COMMENT ON CONSTRAINT two ON events IS 'two'",
    "said of it": "COMMENT ON COLUMN events.amount IS 'how much'; GRANT SELECT (amount) ON events TO PUBLIC;"
    "ALTER TABLE events ALTER amount SET STATISTICS 77, ALTER amount SET (n_distinct = 5)",
    "statistics": "CREATE STATISTICS related (dependencies) ON amount, note FROM events;"
    "ALTER STATISTICS related SET STATISTICS 10; COMMENT ON STATISTICS related IS 'related'",
    "replica identity": "ALTER TABLE events ALTER amount SET NOT NULL; CREATE UNIQUE INDEX one ON events (amount);"
    "ALTER TABLE events REPLICA IDENTITY USING INDEX one",
    "update of": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    "CREATE TRIGGER t AFTER UPDATE OF amount ON events FOR EACH ROW EXECUTE FUNCTION f()",
    "before triggers": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN IF NEW.amount IS NULL THEN NEW.amount := 3; END IF; RETURN NEW; END';"
    "CREATE TRIGGER t BEFORE INSERT OR UPDATE ON events FOR EACH ROW EXECUTE FUNCTION f()",
}


@pytest.mark.parametrize("what", START)
def test_round_trip(journeys: Journeys, what: str) -> None:
    """In place: both versions in every state; back to the start from each; the end is what the direct DDL gives."""
    journey = journeys(EVENTS + START[what], WIDEN)
    direct = DIRECT
    if what == "update of":
        # PostgreSQL itself does not change the type while a trigger names the column.
        direct = f"DROP TRIGGER t ON events; {DIRECT}; CREATE{START[what].rpartition('CREATE')[2]}"
    round_trip(journey, direct=direct, holds=in_step, writes=["UPDATE events SET amount = amount + 1 WHERE id = 9"])
