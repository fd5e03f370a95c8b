"""A column moves to another table: both sides of it, in whatever row they are."""

from typing import Any

from operations.conftest import Journeys
from operations.harness import Db, ask, round_trip, rows, run

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


def test_one_to_one(journeys: Journeys) -> None:
    """Forward and back from everywhere, and to the end."""
    writes = [
        "UPDATE users SET bio = bio || '!' WHERE id % 5 = 0; UPDATE profiles SET about = 'p' WHERE user_id % 7 = 1",
        "UPDATE profiles SET about = NULL WHERE user_id = 9; UPDATE users SET bio = NULL WHERE id = 10",
    ]
    round_trip(journeys(USERS, MOVE), direct=DIRECT, holds=one_to_one, writes=writes)


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
DIRECT_TO_CUSTOMERS = """
    ALTER TABLE shop."Cust omers" ADD COLUMN "E-Mail" varchar(80) COLLATE "C";
    UPDATE shop."Cust omers" c SET "E-Mail" = "E Mail" FROM orders WHERE "customer id" = c.id;
    ALTER TABLE orders DROP COLUMN "E Mail"
"""


def mails(db: Db, customer: int) -> tuple[Any, set[Any]]:
    """What new readers see, and what old ones see in all orders."""
    return (
        ask(db, f'SELECT "E-Mail" FROM shop."Cust omers" WHERE id = {customer}'),
        {mail for (mail,) in rows(db, f'SELECT "E Mail" FROM orders WHERE "customer id" = {customer}')},
    )


def many_to_one(db: Db) -> None:
    """All orders of a customer have his address, whoever wrote it where."""
    run(db, """UPDATE orders SET "E Mail" = 'old' WHERE id = 1""")
    assert mails(db, 2) == ("old", {"old"})
    run(db, """UPDATE shop."Cust omers" SET "E-Mail" = 'new' WHERE id = 2""")
    assert mails(db, 2) == ("new", {"new"})
    run(db, """INSERT INTO orders ("customer id") VALUES (2)""")
    assert mails(db, 2) == ("new", {"new"})
    run(db, """INSERT INTO orders ("customer id", "E Mail") VALUES (2, 'newer')""")
    assert mails(db, 2) == ("newer", {"newer"})
    run(db, """UPDATE orders SET "E Mail" = 'x' || id WHERE "customer id" = 3""")
    mail, seen = mails(db, 3)
    assert seen == {mail}
    assert mail.startswith("x")
    run(db, """UPDATE shop."Cust omers" SET "E-Mail" = NULL WHERE id = 2""")
    assert mails(db, 2) == ("?", {"?"})
    run(db, """UPDATE orders SET "customer id" = 4 WHERE "customer id" = 3""")
    assert mails(db, 4) == ("c4", {"c4"})
    run(db, """INSERT INTO shop."Cust omers" (id, "E-Mail") VALUES (901, 'first')""")
    run(db, """INSERT INTO orders ("customer id") VALUES (901), (902)""")
    assert mails(db, 901) == ("first", {"first"})
    run(db, """INSERT INTO shop."Cust omers" (id) VALUES (902)""")
    assert mails(db, 902) == ("?", {"?"})
    run(
        db,
        """UPDATE orders SET "customer id" = NULL WHERE "customer id" = 901; DELETE FROM orders WHERE "customer id" = 902""",
    )
    assert (mails(db, 901)[0], mails(db, 902)[0]) == ("first", "?")


def test_many_to_one(journeys: Journeys) -> None:
    """Several rows share the value of one in another schema, with names that need quotes."""
    writes = [
        """UPDATE orders SET "E Mail" = 'w' || "customer id" WHERE "customer id" % 5 = 0""",
        """UPDATE shop."Cust omers" SET "E-Mail" = 'n' || id WHERE id % 7 = 1 AND id <= 30""",
    ]
    journey = journeys(ORDERS, TO_CUSTOMERS)
    round_trip(journey, direct=DIRECT_TO_CUSTOMERS, holds=many_to_one, writes=writes)
