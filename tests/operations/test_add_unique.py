"""A UNIQUE constraint is added: of rows with the same values one keeps them."""

import psycopg
import pytest
from operations.conftest import Journeys
from operations.harness import Db, ask, round_trip, rows, run, undone
from servers import both_versions

from orchestrator.errors import PreconditionError, StatementFailedError, VerificationError
from orchestrator.events import Event, StepStarted
from orchestrator.plan.lifecycle import Phase, State
from orchestrator.sql.steps import ConcurrentIndex

USERS = """
    CREATE TABLE users (id integer PRIMARY KEY, email text, name text);
    INSERT INTO users SELECT g, 'user' || g % 40 || '@x', 'User ' || g FROM generate_series(1, 60) g;
    INSERT INTO users VALUES (61, NULL, 'none'), (62, NULL, 'none');
"""
ADD = {
    "kind": "add_unique",
    "table": "users",
    "name": "users_email_key",
    "columns": ["email"],
    "using": {"email": "id || '.' || email"},
}
DIRECT = """
    UPDATE users u SET email = id || '.' || email
      WHERE EXISTS (SELECT FROM users o WHERE o.email = u.email AND o.id < u.id);
    ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email)
"""
WRITES = (
    "INSERT INTO users SELECT max(id) + 1, 'user5@x', 'new' FROM users",
    "UPDATE users SET email = 'user6@x' WHERE id = 30",
    "UPDATE users SET email = 'mine@x' WHERE id = 43",
    "UPDATE users SET name = 'other' WHERE id IN (4, 44)",
)


def alone(db: Db) -> None:
    """Whatever is written differs from what is there, in one statement too."""
    run(db, "INSERT INTO users VALUES (901, 'user1@x'), (902, 'new@x'), (903, 'new@x'), (904, NULL)")
    run(db, "UPDATE users SET email = 'user2@x' WHERE id IN (905, 21, 22)")
    found = "SELECT id, email FROM users WHERE id IN (1, 2, 21, 22, 901, 902, 903, 904) ORDER BY id"
    assert rows(db, found) == [
        (1, "user1@x"),
        (2, "user2@x"),
        (21, "21.user2@x"),
        (22, "22.user2@x"),
        (901, "901.user1@x"),
        (902, "new@x"),
        (903, "903.new@x"),
        (904, None),
    ]
    run(db, "INSERT INTO users VALUES (25, 'user25@x', 'x') ON CONFLICT (id) DO UPDATE SET email = excluded.email")
    run(db, "UPDATE users SET id = 925 WHERE id = 25")
    assert rows(db, "SELECT id, email FROM users WHERE id IN (25, 925)") == [(925, "user25@x")]


@both_versions
def test_round_trip(journeys: Journeys) -> None:
    """Forward, back from every state, and to the end."""
    round_trip(journeys(USERS, ADD), direct=DIRECT, holds=alone, writes=WRITES, repairs=True)


def test_two_that_did_not_see_each_other(journeys: Journeys) -> None:
    """Neither waits for the other; the sweep of the next phase repairs the later one by its key, and contract goes through."""
    journey = journeys(USERS, ADD)
    journey.advance(State.BACKFILLED)
    for number in (100, 200):
        if number == 200:
            assert journey.advance() is State.READS_MIGRATED
        with psycopg.connect(journey.url) as one, psycopg.connect(journey.url) as other:
            one.execute("INSERT INTO users VALUES (%s, 'twin@x')", [number + 1])
            other.execute("INSERT INTO users VALUES (%s, 'twin@x')", [number])
            one.commit()
            other.commit()
    assert journey.advance() is State.CONTRACTED
    assert rows(journey.db, "SELECT id, email FROM users WHERE id >= 100 ORDER BY id") == [
        (100, "twin@x"),
        (101, "101.twin@x"),
        (200, "200.twin@x"),
        (201, "201.twin@x"),
    ]


def test_a_pair_that_slips_in_before_the_index(journeys: Journeys) -> None:
    """The index is taken away, the pair repaired, and the index built anew."""
    journey = journeys(USERS, ADD)
    journey.advance(State.READS_MIGRATED)
    times = list[int]()

    def slip_in(event: Event) -> None:
        if isinstance(event, StepStarted) and event.key.startswith("index users_email_key"):
            with psycopg.connect(journey.url) as one, psycopg.connect(journey.url) as other:
                one.execute("INSERT INTO users VALUES (301, 'late@x')")
                other.execute("INSERT INTO users VALUES (300, 'late@x')")
                one.commit()
                other.commit()
            times.append(1)

    journey.on_event = slip_in
    assert journey.advance() is State.CONTRACTED
    assert times == [1]
    assert rows(journey.db, "SELECT id, email FROM users WHERE id >= 300 ORDER BY id") == [
        (300, "late@x"),
        (301, "301.late@x"),
    ]


def test_an_index_that_cannot_be_built_is_not_left(journeys: Journeys) -> None:
    """Where nothing repairs, what shares a value is named, and no half index refuses old writers after that."""
    start = f"{USERS}; UPDATE users SET email = id || email"
    journey = journeys(start, {name: value for name, value in ADD.items() if name != "using"})
    journey.advance(State.READS_MIGRATED)

    def slip_in(event: Event) -> None:
        if isinstance(event, StepStarted) and event.key.startswith("index users_email_key"):
            run(journey.db, "INSERT INTO users VALUES (300, 'late@x'), (301, 'late@x') ON CONFLICT DO NOTHING")

    journey.on_event = slip_in
    with pytest.raises(VerificationError, match="do not have unique email") as refused:
        journey.advance()
    assert any("late@x" in line for line in refused.value.details)
    assert ask(journey.db, "SELECT to_regclass('users_email_key') IS NULL")
    run(journey.db, "INSERT INTO users VALUES (302, 'late@x')")
    assert journey.rollback() is State.READS_MIGRATED


def test_which_index_serves(journeys: Journeys) -> None:
    """One that finds rows by the columns is used; where there is none, one is built for the while."""

    def helpers(more: str) -> int:
        journey = journeys(f"{USERS}; {more}", ADD)
        steps = journey.steps(Phase.EXPAND)
        return sum(isinstance(step, ConcurrentIndex) for step in steps)

    assert helpers("") == 1
    assert helpers("CREATE INDEX ON users (email, name)") == 0
    assert helpers("CREATE INDEX ON users (email) WHERE id > 5") == 1
    assert helpers("CREATE INDEX ON users (lower(email), email)") == 1


def test_what_an_upsert_meets(journeys: Journeys) -> None:
    """The row that an INSERT turns into an UPDATE of is not taken for another, by whichever of its keys it is met."""
    start = """
        CREATE TABLE users (id serial PRIMARY KEY, isbn text, email text, name text);
        CREATE UNIQUE INDEX ON users (lower(isbn), (1));
        INSERT INTO users (isbn, email) VALUES ('A', 'a@x'), ('B', 'b@x'), ('C', 'b@x');
    """
    journey = journeys(start, ADD)
    journey.advance(State.BACKFILLED)
    upsert = "INSERT INTO users (isbn, email, name) VALUES ('{}', '{}', 'n') ON CONFLICT (lower(isbn), (1))"
    upsert += " DO UPDATE SET (email, name) = (excluded.email, excluded.name)"
    for isbn, email in (("a", "a@x"), ("B", "b@x"), ("c", "c@x"), ("D", "a@x")):
        run(journey.db, upsert.format(isbn, email))
    found = rows(journey.db, "SELECT isbn, email FROM users ORDER BY id")
    assert found[:3] == [("A", "a@x"), ("B", "b@x"), ("C", "c@x")]
    assert found[3][1].endswith(".a@x")


def test_what_cannot_be(journeys: Journeys) -> None:
    """Without a key nothing tells who was first; a partitioned table's key holds what it is partitioned by."""
    start = "CREATE TABLE users (id integer, email text) PARTITION BY LIST (id)"
    with pytest.raises(PreconditionError, match="has no primary key") as refused:
        journeys(start, ADD).advance()
    assert any("is partitioned by id, which users_email_key lacks" in line for line in refused.value.details)
    with pytest.raises(PreconditionError, match="already has a constraint users_email_key"):
        journeys(f"{USERS}; ALTER TABLE users ADD CONSTRAINT users_email_key CHECK (true)", ADD).advance()
    with pytest.raises(StatementFailedError, match="taken"):
        journeys(f"{USERS}; CREATE TABLE users_email_key ()", ADD).advance()


PLACES = """
    CREATE TABLE places (id integer PRIMARY KEY, pos integer, note text);
    INSERT INTO places SELECT g, g FROM generate_series(1, 9) g;
"""
NUMBER = {
    "kind": "add_unique",
    "table": "places",
    "name": "places_pos_key",
    "columns": ["pos"],
    "using": {"pos": "-id"},
}
THEIRS = "(SELECT pos FROM places WHERE id = {})"
REORDERED = (
    "UPDATE places SET pos = pos + 1",
    "UPDATE places SET pos = pos + 1",
    f"UPDATE places SET pos = CASE id WHEN 1 THEN {THEIRS.format(2)} ELSE {THEIRS.format(1)} END WHERE id IN (1, 2)",
    "BEGIN; UPDATE places SET pos = pos + 1 WHERE id = 8; UPDATE places SET pos = pos + 1 WHERE id = 9; COMMIT",
)


def test_values_that_move_from_row_to_row(journeys: Journeys) -> None:
    """Each statement and each transaction is judged by what it leaves, in every state; then the next one reads that."""
    journey, found = journeys(PLACES, NUMBER), "SELECT id, pos FROM places ORDER BY id"
    for state in (State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED):
        journey.advance(state)
        with psycopg.connect(journey.url, autocommit=True) as db:
            with undone(db):
                run(db, "ALTER TABLE places DISABLE TRIGGER USER; ALTER TABLE places DISABLE TRIGGER ALL")
                for statement in REORDERED:
                    run(db, statement.removeprefix("BEGIN;").removesuffix("COMMIT"))
                expected = rows(db, found)
            for statement in REORDERED:
                run(db, statement)
            assert rows(db, found) == expected
    assert ask(journey.db, "SELECT count(*) FROM places WHERE pos_ecm_repaired") == 0
    assert journey.advance() is State.CONTRACTED
    assert rows(journey.db, found) == expected


def test_a_row_has_its_own_value_once_the_other_gives_it_up(journeys: Journeys) -> None:
    """In the next phase, and for the last time at contract: of two that had the same, one then has it."""
    journey, found = journeys(PLACES, NUMBER), "SELECT id, pos FROM places WHERE id > 100 OR pos < 0 ORDER BY id"
    journey.advance(State.BACKFILLED)
    run(journey.db, "INSERT INTO places VALUES (101, 5), (102, 5), (103, 6), (104, 6)")
    assert rows(journey.db, found) == [(101, -101), (102, -102), (103, -103), (104, -104)]
    run(journey.db, "DELETE FROM places WHERE id = 5")
    journey.advance()
    assert rows(journey.db, found) == [(101, 5), (102, -102), (103, -103), (104, -104)]

    def give_up(event: Event) -> None:
        if isinstance(event, StepStarted) and event.key == "contract":
            run(journey.db, "UPDATE places SET pos = 600 WHERE id = 6")

    journey.on_event = give_up
    assert journey.advance() is State.CONTRACTED
    assert rows(journey.db, found) == [(101, 5), (102, -102), (103, 6), (104, -104)]


def test_what_is_ecms_own_may_be_gone(journeys: Journeys) -> None:
    """An index or a function that someone took away keeps neither the rollback nor contract waiting."""
    journey = journeys(USERS, ADD)
    before = journey.fingerprint
    for end, back in ((State.PLANNED, True), (State.CONTRACTED, False)):
        journey.advance(State.READS_MIGRATED)
        (met,) = rows(journey.db, "SELECT oid::regprocedure::text FROM pg_proc WHERE proname LIKE 'met%'")
        run(journey.db, f"DROP INDEX users_email_key_ecm; DROP FUNCTION {met[0]}")
        assert (journey.rollback(end) if back else journey.advance(end)) is end
        assert (journey.fingerprint == before) is back
