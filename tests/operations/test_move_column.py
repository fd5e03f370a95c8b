"""A column moves to another table: both sides of it, in whatever row they are."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any

import psycopg
import pytest
from operations.conftest import Journeys, Roles
from operations.harness import BOTH_RUN, Db, as_role, ask, make_plan, round_trip, run, undone
from operations.writers import Writers
from psycopg import errors
from pydantic import ValidationError
from servers import both_versions

from orchestrator.errors import PreconditionError, VerificationError
from orchestrator.plan.lifecycle import State

USERS = """
    CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL, bio text);
    CREATE TABLE profiles (id serial PRIMARY KEY, user_id integer NOT NULL UNIQUE REFERENCES users (id), theme text);
    INSERT INTO users SELECT g, 'User ' || g, nullif('Bio ' || g, 'Bio 7') FROM generate_series(1, 60) g;
    INSERT INTO profiles (user_id, theme) SELECT g, 'dark' FROM generate_series(1, 60) g;
"""
MOVE = {
    "kind": "move_column",
    "table": "users",
    "column": "bio",
    "to": {"table": "profiles", "column": "about"},
    "on": {"id": "user_id"},
}
DIRECT = """
    ALTER TABLE profiles ADD COLUMN about text;
    UPDATE profiles SET about = bio FROM users WHERE users.id = user_id;
    ALTER TABLE users DROP COLUMN bio
"""


def both(db: Db, user: int) -> tuple[Any, Any]:
    """What either version reads."""
    return (
        ask(db, f"SELECT bio FROM users WHERE id = {user}"),
        ask(db, f"SELECT about FROM profiles WHERE user_id = {user}"),
    )


def one_to_one(db: Db) -> None:
    """Each version sees what the other writes, and rows come in any order."""
    run(db, "UPDATE users SET bio = 'old' WHERE id = 1")
    assert both(db, 1) == ("old", "old")
    run(db, "UPDATE profiles SET about = 'new' WHERE user_id = 1")
    assert both(db, 1) == ("new", "new")
    run(db, "UPDATE users SET bio = NULL WHERE id = 1")
    assert both(db, 1) == (None, None)
    run(db, "UPDATE profiles SET theme = 'light' WHERE user_id = 2")
    assert both(db, 2) == ("Bio 2", "Bio 2")
    run(db, "UPDATE profiles SET about = NULL WHERE user_id = 2")
    assert both(db, 2) == (None, None)
    run(db, "INSERT INTO users VALUES (901, 'x', 'hello'); INSERT INTO profiles (user_id) VALUES (901)")
    assert both(db, 901) == ("hello", "hello")
    run(db, "INSERT INTO users VALUES (902, 'x'); INSERT INTO profiles (user_id, about) VALUES (902, 'hi')")
    assert both(db, 902) == ("hi", "hi")
    run(db, "UPDATE profiles SET user_id = 903 FROM (SELECT) q WHERE false")
    run(
        db,
        "INSERT INTO profiles (user_id, about) VALUES (901, 'up') ON CONFLICT (user_id) DO UPDATE SET about = excluded.about",
    )
    assert both(db, 901) == ("up", "up")


@both_versions
def test_one_to_one(journeys: Journeys) -> None:
    """Forward and back from everywhere, and to the end."""
    writes = [
        "UPDATE users SET bio = bio || '!' WHERE id % 5 = 0; UPDATE profiles SET about = 'p' WHERE user_id % 7 = 1",
        "UPDATE profiles SET about = NULL WHERE user_id = 9; UPDATE users SET bio = NULL WHERE id = 10",
    ]
    round_trip(journeys(USERS, MOVE), direct=DIRECT, holds=one_to_one, writes=writes)


def test_another_change_of_the_table_that_the_column_leaves(journeys: Journeys) -> None:
    """Its rows are swept for that other change, before the rows of the other table have got their values."""
    journey = journeys(USERS, MOVE, {"kind": "rename_column", "table": "users", "column": "name", "to": "called"})
    round_trip(journey, direct=f"{DIRECT}; ALTER TABLE users RENAME COLUMN name TO called")


ORDERS = """
    CREATE SCHEMA shop; CREATE TABLE shop."Cust omers" (id bigint PRIMARY KEY, "Name" text);
    CREATE TABLE orders (id serial PRIMARY KEY, "customer id" integer, "E Mail" varchar(80) COLLATE "C" NOT NULL DEFAULT '?');
    CREATE INDEX ON orders ("customer id");
    INSERT INTO shop."Cust omers" SELECT g, 'Customer ' || g FROM generate_series(1, 40) g;
    INSERT INTO orders ("customer id", "E Mail") SELECT 1 + g % 30, 'c' || (1 + g % 30) FROM generate_series(1, 90) g;
"""
TO_CUSTOMERS = {
    "kind": "move_column",
    "table": "orders",
    "column": "E Mail",
    "to": {"table": 'shop."Cust omers"', "column": "E-Mail"},
    "on": {"customer id": "id"},
    "reverse": "'?'",
}


def _crowd(first: str, keys: int) -> list[Callable[[Db], None]]:
    """Old and new writers of the same few pairs, and transactions that want rows of both tables."""
    numbers = count()
    order = ("users", "profiles") if first == "users" else ("profiles", "users")

    def old(key: int) -> list[str]:
        return [f"UPDATE users SET bio = 'o{next(numbers)}' WHERE id = {key}"]

    def new(key: int) -> list[str]:
        return [f"UPDATE profiles SET about = 'n{next(numbers)}' WHERE user_id = {key}"]

    def one_then_the_other(key: int) -> list[str]:
        of = {
            "users": f"users SET name = 'x' WHERE id = {key}",
            "profiles": f"profiles SET theme = 'x' WHERE user_id = {key}",
        }
        return [f"UPDATE {of[table]}" for table in order]

    def locks(key: int) -> list[str]:
        of = {"users": f"users WHERE id = {key}", "profiles": f"profiles WHERE user_id = {key}"}
        return [f"SELECT FROM {of[table]} FOR UPDATE" for table in order]

    def work(draw: random.Random, statements: Callable[[int], list[str]], db: Db) -> None:
        for statement in statements(draw.randint(1, keys)):
            run(db, statement)
            if draw.random() < 0.2:
                time.sleep(draw.random() / 50)
        if draw.random() < 0.2:
            raise psycopg.Rollback

    each = (old, new, old, new, one_then_the_other, locks)
    return [partial(work, random.Random(seed), statements) for seed, statements in enumerate(each)]


@pytest.mark.parametrize("first", ["users", "profiles"])
def test_writers_of_both_versions_at_once(journeys: Journeys, first: str) -> None:
    """Old and new writers of the same rows see no error, in whatever order others lock the tables; nothing is lost."""
    journey = journeys(USERS, MOVE)
    journey.advance(State.EXPANDED)
    with Writers(journey.url, _crowd(first, 3)) as writers:
        journey.advance(State.READS_MIGRATED)
        writers.until(300)
        journey.rollback(State.BACKFILLED)
        journey.advance(State.READS_MIGRATED)
    assert not writers.failures
    assert journey.advance() is State.CONTRACTED


@pytest.mark.parametrize("ends", ["COMMIT", "ROLLBACK"])
def test_what_a_new_writer_owes(journeys: Journeys, ends: str) -> None:
    """A new writer whose row an old one waits for goes on; the old one, or the next, brings both in line."""
    journey = journeys(USERS, MOVE)
    journey.advance(State.BACKFILLED)
    with psycopg.connect(journey.url) as old, psycopg.connect(journey.url) as new, ThreadPoolExecutor() as pool:
        run(old, "UPDATE users SET name = 'x' WHERE id = 1")
        written = pool.submit(run, new, "UPDATE profiles SET about = 'new' WHERE user_id = 1")
        time.sleep(0.2)
        assert not written.done()
        waiting = pool.submit(run, old, "UPDATE users SET bio = 'old' WHERE id = 1")
        written.result(5)
        new.commit()
        waiting.result(5)
        run(old, ends)
    if ends == "ROLLBACK":
        assert both(journey.db, 1) == ("Bio 1", "new")
    else:
        assert both(journey.db, 1) == ("old", "old")
    with undone(journey.db):
        run(journey.db, "UPDATE profiles SET theme = 'light' WHERE user_id = 1")
        assert both(journey.db, 1) == (("new", "new") if ends == "ROLLBACK" else ("old", "old"))
    with undone(journey.db):
        run(journey.db, "UPDATE users SET name = 'y' WHERE id = 1")
        assert both(journey.db, 1) == (("new", "new") if ends == "ROLLBACK" else ("old", "old"))
    journey.advance(State.READS_MIGRATED)
    assert both(journey.db, 1) == (("new", "new") if ends == "ROLLBACK" else ("old", "old"))
    assert ask(journey.db, 'SELECT count(*) FROM ecm."owed_public.users_bio"') == 0


@pytest.mark.parametrize("ends", ["COMMIT", "ROLLBACK"])
def test_what_an_old_writer_owes(journeys: Journeys, ends: str) -> None:
    """An old writer whose row the holder of the other waits for goes on, and that one pays."""
    journey = journeys(USERS, MOVE)
    journey.advance(State.EXPANDED)
    with psycopg.connect(journey.url) as old, psycopg.connect(journey.url) as other, ThreadPoolExecutor() as pool:
        run(other, "UPDATE profiles SET theme = 'light' WHERE user_id = 1")
        written = pool.submit(run, old, "UPDATE users SET bio = 'old' WHERE id = 1")
        time.sleep(0.2)
        assert not written.done()
        waiting = pool.submit(run, other, "UPDATE users SET name = 'x' WHERE id = 1")
        written.result(5)
        old.commit()
        waiting.result(5)
        run(other, ends)
    assert both(journey.db, 1)[0] == "old"
    journey.rollback()
    assert ask(journey.db, "SELECT bio FROM users WHERE id = 1") == "old"
    assert journey.advance(State.READS_MIGRATED) is State.READS_MIGRATED
    assert both(journey.db, 1) == ("old", "old")


def test_the_writers_own_lock_timeout(journeys: Journeys) -> None:
    """Who does not want to wait long for a row is told as always."""
    journey = journeys(USERS, MOVE)
    journey.advance(State.EXPANDED)
    with psycopg.connect(journey.url) as holder, psycopg.connect(journey.url) as writer:
        run(holder, "SELECT FROM profiles WHERE user_id = 1 FOR UPDATE")
        with pytest.raises(errors.LockNotAvailable):
            run(writer, "SET lock_timeout = '50ms'; UPDATE users SET bio = 'x' WHERE id = 1")


def test_values_without_a_place(journeys: Journeys) -> None:
    """What has no row on the other side is named before its column could go, and nothing is lost by going back."""
    alone = "INSERT INTO users VALUES (77, 'alone', 'only here')"
    journey = journeys(f"{USERS}; {alone}", MOVE)
    before = journey.fingerprint
    assert journey.advance(State.BACKFILLED) is State.BACKFILLED
    with pytest.raises(VerificationError) as refused:
        journey.advance()
    assert "1 of 61 rows of users" in refused.value.message
    assert "id=77  bio=only here" in refused.value.details
    assert "unmatched: lose" in (refused.value.hint or "")
    run(journey.db, "INSERT INTO profiles (user_id) VALUES (77)")
    assert journey.advance() is State.READS_MIGRATED
    run(journey.db, "ALTER TABLE profiles DROP CONSTRAINT profiles_user_id_fkey")
    run(journey.db, "INSERT INTO profiles (user_id, about) VALUES (78, 'new only')")
    journey.rollback(State.BACKFILLED)
    with pytest.raises(VerificationError) as refused:
        journey.rollback()
    assert any("about=new only" in line for line in refused.value.details)
    run(journey.db, "DELETE FROM profiles WHERE user_id = 78")
    run(journey.db, "ALTER TABLE profiles ADD FOREIGN KEY (user_id) REFERENCES users")
    assert journey.rollback() is State.PLANNED
    assert journey.fingerprint == before


def test_values_without_a_place_may_be_lost(journeys: Journeys) -> None:
    """A person may accept it."""
    start = USERS + "; INSERT INTO users VALUES (77, 'alone', 'only here')"
    round_trip(journeys(start, {**MOVE, "unmatched": "lose"}), direct=DIRECT, holds=one_to_one)


def test_not_null_in_the_end(journeys: Journeys) -> None:
    """Where every row of the other table has a value, it may have to."""
    journey = journeys(USERS, {**MOVE, "not_null": True})
    with undone(journey.db):
        run(journey.db, DIRECT)
        run(journey.db, "UPDATE profiles SET about = ''; ALTER TABLE profiles ALTER about SET NOT NULL")
        direct = journey.fingerprint
    journey.advance(State.BACKFILLED)
    with pytest.raises(VerificationError, match="1 of 60 rows of profiles"):
        journey.advance()
    run(journey.db, "UPDATE users SET bio = '' WHERE id = 7")
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
    assert journey.fingerprint == direct


def test_writers_need_no_rights_on_the_other_table(journeys: Journeys, roles: Roles) -> None:
    """An application that may use one of the tables only is served as before."""
    writer, reader = roles(), roles()
    grants = f"GRANT SELECT, UPDATE ON users TO {writer}; GRANT SELECT, INSERT, UPDATE ON profiles TO {reader}"
    journey = journeys(f"{USERS}; {grants}", MOVE)
    for state in BOTH_RUN:
        journey.advance(state)
        with psycopg.connect(as_role(journey.url, writer), autocommit=True) as old:
            run(old, f"SET search_path = pg_temp; UPDATE public.users SET bio = '{state}' WHERE id = 3")
        assert both(journey.db, 3) == (state, state)
        with psycopg.connect(as_role(journey.url, reader), autocommit=True) as new:
            run(new, f"SET search_path = ''; UPDATE public.profiles SET about = 'n {state}' WHERE user_id = 3")
        assert both(journey.db, 3) == (f"n {state}", f"n {state}")


def test_partitioned(journeys: Journeys) -> None:
    """Either table may be partitioned."""
    start = """
        CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL, bio text) PARTITION BY RANGE (id);
        CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM (0) TO (30);
        CREATE TABLE users_2 PARTITION OF users FOR VALUES FROM (30) TO (2000);
        CREATE TABLE profiles (id serial, user_id integer NOT NULL UNIQUE, theme text) PARTITION BY HASH (user_id);
        CREATE TABLE profiles_1 PARTITION OF profiles FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE profiles_2 PARTITION OF profiles FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO users SELECT g, 'User ' || g, 'Bio ' || g FROM generate_series(1, 60) g;
        INSERT INTO profiles (user_id, theme) SELECT g, 'dark' FROM generate_series(1, 60) g;
    """
    round_trip(journeys(start, MOVE), direct=DIRECT, holds=one_to_one)


def test_rows_that_would_share_a_value(journeys: Journeys) -> None:
    """A value of several rows has no place in one: the orders of a customer could come to differ."""
    with pytest.raises(PreconditionError, match="several rows of orders may go with one of"):
        journeys(ORDERS, TO_CUSTOMERS).advance()


@pytest.mark.parametrize(
    ("start", "settings", "why", "hint"),
    [
        ("ALTER TABLE profiles DROP CONSTRAINT profiles_user_id_key", {}, "several rows of profiles may have", 'CREATE UNIQUE INDEX CONCURRENTLY ON "public"."profiles" ("user_id")'),
        ("ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE", {}, "no index of users finds its rows by id", 'CREATE INDEX CONCURRENTLY ON "public"."users" ("id")'),
        ("UPDATE users SET bio = ''; ALTER TABLE users ALTER bio SET NOT NULL", {}, "is NOT NULL", "give reverse"),
        ("ALTER TABLE users ALTER bio SET DEFAULT random()", {}, "a default that is not the same", "drop the default"),
        ("CREATE DOMAIN short AS text; ALTER TABLE users ALTER bio TYPE short", {}, "is domain public.short", "the type beneath"),
        ("", {"on": {"id": "them"}}, "column them of profiles does not exist", "correct `on`"),
        ("", {"to": {"table": "profiles", "column": "theme"}}, "profiles already has a column theme", "choose another"),
    ],
)  # fmt: skip
def test_refusals(journeys: Journeys, start: str, settings: dict[str, Any], why: str, hint: str) -> None:
    """What cannot be kept in step is said before anything is touched."""
    journey = journeys(f"{USERS}; {start}", {**MOVE, **settings})
    before = journey.fingerprint
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert why in str(refused.value)
    assert hint in str(refused.value.hint)
    assert journey.fingerprint == before


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"to": {"table": "users", "column": "about"}}, "is users itself"),
        ({"on": {}}, "at least 1"),
        ({"on": {"bio": "user_id"}}, "the column that moves"),
        ({"on": {"id": "about"}}, "yet to be made"),
        ({"on": {"id": "user_id", "name": "user_id"}}, "twice"),
    ],
)
def test_plans_that_make_no_sense(settings: dict[str, Any], why: str) -> None:
    """Said when the plan is read."""
    with pytest.raises(ValidationError, match=why):
        make_plan("change", [{**MOVE, **settings}])


CASCADES = {
    "the new side follows the old": "ALTER TABLE profiles DROP CONSTRAINT profiles_user_id_fkey,"
    " ADD FOREIGN KEY (user_id) REFERENCES users ON UPDATE CASCADE",
    "the old side follows the new": "ALTER TABLE profiles DROP CONSTRAINT profiles_user_id_fkey;"
    " ALTER TABLE users ADD FOREIGN KEY (id) REFERENCES profiles (user_id) ON UPDATE CASCADE",
}


@pytest.mark.parametrize("way", CASCADES)
def test_a_key_that_one_table_hands_on_to_the_other(journeys: Journeys, way: str) -> None:
    """What is written with the key is not taken for older than what the other side had."""
    journey = journeys(f"{USERS}; {CASCADES[way]}", MOVE)
    first, key, value = ("users", "id", "bio") if way.startswith("the new") else ("profiles", "user_id", "about")
    for number, state in enumerate(BOTH_RUN):
        journey.advance(state)
        one, two, three, four = (10 * number + each for each in (1, 2, 3, 4))
        run(journey.db, f"UPDATE {first} SET {key} = {key} + 1000, {value} = 'written' WHERE {key} = {one}")
        assert both(journey.db, one + 1000) == ("written", "written")
        run(journey.db, f"UPDATE {first} SET {key} = {key} + 1000 WHERE {key} = {two}")
        assert both(journey.db, two + 1000) == (f"Bio {two}", f"Bio {two}")
        run(journey.db, f"UPDATE {first} SET {key} = {key} + 1000, {value} = NULL WHERE {key} = {three}")
        # NULL in a new column that was not filled yet is nothing that was written.
        unseen = state is State.EXPANDED and first == "profiles"
        assert both(journey.db, three + 1000) == (("Bio 3", "Bio 3") if unseen else (None, None))
        run(journey.db, f"UPDATE {first} SET {key} = -{key}, {value} = 'all' WHERE {key} BETWEEN {four} AND {four + 2}")
        assert {both(journey.db, -four - each) for each in range(3)} == {("all", "all")}
    assert journey.rollback(State.PLANNED) is State.PLANNED
    assert ask(journey.db, "SELECT bio FROM users WHERE id = 1001") == "written"
