"""A UNIQUE constraint is added: of rows with the same values one keeps them."""

from operations.conftest import Journeys
from operations.harness import Db, round_trip, rows, run

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


def test_round_trip(journeys: Journeys) -> None:
    """Forward, back from every state, and to the end."""
    round_trip(journeys(USERS, ADD), direct=DIRECT, holds=alone, writes=WRITES, repairs=True)
