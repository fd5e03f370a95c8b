"""Contract that can be undone: it hides the old structure, keeps it true, gives it back at once, or drops it."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from operations.conftest import Journeys
from operations.harness import Db, rows, run, undone
from psycopg import errors

from orchestrator.plan.lifecycle import State

WINDOW = {"undo_window": "1d"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kind of change, and what either version of an application does with it.

    Attributes:
        start: the schema, and rows from before.
        change: as in a plan.
        direct: the DDL that does the same at once.
        new: what new writers write, none of whom knows the old side.
        old: the same of old ones, who do not know the new side.
        reads: what old readers ask for.
        found: what that gives once the new writers have written.
        again: what a query as new readers ask it gives once the old writers have written too.
        gone: a statement of the old version, which fails as long as the old side is out of sight; if any does.
        settings: of the plan's phases.
    """

    start: str
    change: dict[str, Any]
    direct: str
    new: tuple[str, ...]
    old: tuple[str, ...]
    reads: str
    found: list[tuple[Any, ...]]
    again: tuple[str, list[tuple[Any, ...]]]
    gone: str | None = None
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


BOOKS = "CREATE TABLE books (id integer PRIMARY KEY, title text, year integer); INSERT INTO books VALUES (1, 'One', 1901), (2, 'Two', NULL)"

CASES = {
    "rename_column": Case(
        start=BOOKS + "; CREATE INDEX books_year_idx ON books (year)",
        change={"kind": "rename_column", "table": "books", "column": "year", "to": "published"},
        direct="ALTER TABLE books RENAME COLUMN year TO published",
        new=("INSERT INTO books (id, published) VALUES (3, 1903)", "UPDATE books SET published = NULL WHERE id = 1"),
        old=("UPDATE books SET year = 1902 WHERE id = 2",),
        reads="SELECT id, year FROM books ORDER BY 1",
        found=[(1, None), (2, None), (3, 1903)],
        again=("SELECT id, published FROM books ORDER BY 1", [(1, None), (2, 1902), (3, 1903)]),
        gone="SELECT year FROM books",
    ),
    "behind a facade": Case(
        start=BOOKS + "; CREATE INDEX books_year_idx ON books (year); CREATE VIEW dated AS SELECT year FROM books",
        change={"kind": "rename_column", "table": "books", "column": "year", "to": "published"},
        settings={"expand": {"strategy": "facade"}},
        direct="ALTER TABLE books RENAME COLUMN year TO published",
        new=("INSERT INTO books (id, published) VALUES (3, 1903)", "UPDATE books SET published = NULL WHERE id = 1"),
        old=("UPDATE books SET year = 1902 WHERE id = 2",),
        reads="SELECT id, year FROM books ORDER BY 1",
        found=[(1, None), (2, None), (3, 1903)],
        again=("SELECT id, published FROM books ORDER BY 1", [(1, None), (2, 1902), (3, 1903)]),
        gone="SELECT year FROM books",
    ),
    "rename_table": Case(
        start=BOOKS + "; GRANT SELECT ON books TO PUBLIC",
        change={"kind": "rename_table", "table": "books", "to": "volumes"},
        direct="ALTER TABLE books RENAME TO volumes",
        new=("INSERT INTO volumes (id, year) VALUES (3, 1903)", "COPY volumes TO PROGRAM 'cat > /dev/null'"),
        old=("UPDATE books SET year = 1902 WHERE id = 2",),
        reads="SELECT id, year FROM books ORDER BY 1",
        found=[(1, 1901), (2, None), (3, 1903)],
        again=("SELECT id, year FROM volumes ORDER BY 1", [(1, 1901), (2, 1902), (3, 1903)]),
        gone="SELECT year FROM books",
    ),
    "split_column": Case(
        start="CREATE TABLE users (id integer PRIMARY KEY, full_name text NOT NULL);"
        " INSERT INTO users VALUES (1, 'Ada Lovelace'), (2, 'Alan Turing')",
        change={
            "kind": "split_column",
            "table": "users",
            "column": "full_name",
            "into": [
                {"column": "first", "type": "text", "using": "split_part(full_name, ' ', 1)", "not_null": True},
                {"column": "last", "type": "text", "using": "split_part(full_name, ' ', 2)"},
            ],
            "reverse": "concat_ws(' ', first, last)",
        },
        direct="ALTER TABLE users DROP full_name, ADD first text NOT NULL DEFAULT '', ADD last text;"
        " ALTER TABLE users ALTER first DROP DEFAULT",
        new=(
            "INSERT INTO users (id, first, last) VALUES (3, 'Jean Luc', 'Picard')",
            "UPDATE users SET last = 'King' WHERE id = 1",
        ),
        old=("UPDATE users SET full_name = 'Grace Hopper' WHERE id = 2",),
        reads="SELECT id, full_name FROM users ORDER BY 1",
        found=[(1, "Ada King"), (2, "Alan Turing"), (3, "Jean Luc Picard")],
        again=(
            "SELECT id, first, last FROM users ORDER BY 1",
            [(1, "Ada", "King"), (2, "Grace", "Hopper"), (3, "Jean Luc", "Picard")],
        ),
        gone="SELECT full_name FROM users",
    ),
    "merge_columns": Case(
        start="CREATE TABLE addresses (id integer PRIMARY KEY, street text, number text);"
        " INSERT INTO addresses VALUES (1, 'High Street', '1'), (2, 'Low Road', '2')",
        change={
            "kind": "merge_columns",
            "table": "addresses",
            "columns": ["street", "number"],
            "into": {"column": "line", "type": "text", "using": "concat_ws(' ', street, number)"},
            "reverse": {
                "street": "regexp_replace(line, ' [^ ]*$', '')",
                "number": "substring(line from ' ([^ ]*)$')",
            },
        },
        direct="ALTER TABLE addresses DROP street, DROP number, ADD line text",
        new=(
            "INSERT INTO addresses (id, line) VALUES (3, 'Mid Lane 3')",
            "UPDATE addresses SET line = 'High Street 10' WHERE id = 1",
        ),
        old=("UPDATE addresses SET number = '20' WHERE id = 2",),
        reads="SELECT id, street, number FROM addresses ORDER BY 1",
        found=[(1, "High Street", "10"), (2, "Low Road", "2"), (3, "Mid Lane", "3")],
        again=(
            "SELECT id, line FROM addresses ORDER BY 1",
            [(1, "High Street 10"), (2, "Low Road 20"), (3, "Mid Lane 3")],
        ),
        gone="SELECT street FROM addresses",
    ),
    "change_type with another name": Case(
        start="CREATE TABLE events (id integer PRIMARY KEY, amount integer NOT NULL DEFAULT 0);"
        " CREATE UNIQUE INDEX events_amount_key ON events (amount);"
        " ALTER TABLE events ADD CONSTRAINT positive CHECK (amount >= 0);"
        " COMMENT ON COLUMN events.amount IS 'cents'; CREATE STATISTICS of_events ON id, amount FROM events;"
        " CREATE VIEW amounts AS SELECT amount FROM events; INSERT INTO events VALUES (1, 10), (2, 20)",
        change={"kind": "change_type", "table": "events", "column": "amount", "type": "bigint", "to": "cents"},
        direct="DROP VIEW amounts; ALTER TABLE events ALTER amount TYPE bigint; ALTER TABLE events RENAME amount TO cents;"
        " CREATE VIEW amounts AS SELECT cents AS amount FROM events",
        new=("INSERT INTO events (id, cents) VALUES (3, 30)", "UPDATE events SET cents = 11 WHERE id = 1"),
        old=("UPDATE events SET amount = 22 WHERE id = 2",),
        reads="SELECT id, amount FROM events ORDER BY 1",
        found=[(1, 11), (2, 20), (3, 30)],
        again=("SELECT id, cents FROM events ORDER BY 1", [(1, 11), (2, 22), (3, 30)]),
        gone="SELECT amount FROM events",
    ),
    "change_type": Case(
        start="CREATE TABLE events (id integer PRIMARY KEY, amount integer NOT NULL DEFAULT 0);"
        " CREATE INDEX events_amount_idx ON events (amount); INSERT INTO events VALUES (1, 10), (2, 20)",
        change={"kind": "change_type", "table": "events", "column": "amount", "type": "bigint"},
        direct="ALTER TABLE events ALTER amount TYPE bigint",
        new=("INSERT INTO events (id, amount) VALUES (3, 30)", "UPDATE events SET amount = 11 WHERE id = 1"),
        old=("UPDATE events SET amount = 22 WHERE id = 2",),
        reads="SELECT id, amount FROM events ORDER BY 1",
        found=[(1, 11), (2, 20), (3, 30)],
        again=("SELECT id, amount FROM events ORDER BY 1", [(1, 11), (2, 22), (3, 30)]),
    ),
    "change_enum": Case(
        start="CREATE TYPE status AS ENUM ('draft', 'live', 'gone');"
        " CREATE TABLE posts (id integer PRIMARY KEY, status status NOT NULL DEFAULT 'draft');"
        " INSERT INTO posts VALUES (1, 'draft'), (2, 'live')",
        change={
            "kind": "change_enum",
            "type": "status",
            "rename": {"draft": "pending"},
            "remove": {"gone": "live"},
            "add": ["archived"],
        },
        direct="ALTER TABLE posts ALTER status DROP DEFAULT; CREATE TYPE other AS ENUM ('pending', 'live', 'archived');"
        " ALTER TABLE posts ALTER status TYPE other USING 'live'; DROP TYPE status; ALTER TYPE other RENAME TO status;"
        " ALTER TABLE posts ALTER status SET DEFAULT 'pending'",
        new=("INSERT INTO posts (id) VALUES (3)", "UPDATE posts SET status = 'live' WHERE id = 1"),
        old=("UPDATE posts SET status = 'pending' WHERE id = 2",),
        reads="SELECT id, status::text FROM posts ORDER BY 1",
        found=[(1, "live"), (2, "live"), (3, "pending")],
        again=("SELECT id, status::text FROM posts ORDER BY 1", [(1, "live"), (2, "pending"), (3, "pending")]),
    ),
    "add_column": Case(
        start=BOOKS,
        change={
            "kind": "add_column",
            "table": "books",
            "column": "slug",
            "type": "text",
            "using": "lower(title)",
            "not_null": True,
            "unique": True,
        },
        direct="ALTER TABLE books ADD slug text; UPDATE books SET slug = lower(title);"
        " ALTER TABLE books ALTER slug SET NOT NULL, ADD UNIQUE (slug)",
        new=("INSERT INTO books VALUES (3, 'Three', 1903, 'drei')", "UPDATE books SET slug = 'eins' WHERE id = 1"),
        old=("INSERT INTO books (id, title) VALUES (4, 'Four')",),
        reads="SELECT id, title FROM books ORDER BY 1",
        found=[(1, "One"), (2, "Two"), (3, "Three")],
        again=("SELECT id, slug FROM books ORDER BY 1", [(1, "eins"), (2, "two"), (3, "drei"), (4, "four")]),
        gone="INSERT INTO books (id, title) VALUES (9, 'Nine')",
    ),
    "drop_column": Case(
        start="CREATE TABLE books (id integer PRIMARY KEY, code text NOT NULL DEFAULT 'x'); INSERT INTO books VALUES (1, 'a')",
        change={"kind": "drop_column", "table": "books", "column": "code", "reverse": "'code ' || id"},
        direct="ALTER TABLE books DROP code",
        new=("INSERT INTO books VALUES (2)",),
        old=("INSERT INTO books VALUES (3, 'c')",),
        reads="SELECT id, code FROM books ORDER BY 1",
        found=[(1, "a"), (2, "code 2")],
        again=("SELECT id FROM books ORDER BY 1", [(1,), (2,), (3,)]),
        gone="SELECT code FROM books",
    ),
    "drop_column that nobody fills": Case(
        start="CREATE TABLE books (id integer PRIMARY KEY, code text DEFAULT 'x'); INSERT INTO books VALUES (1, 'a')",
        change={"kind": "drop_column", "table": "books", "column": "code"},
        direct="ALTER TABLE books DROP code",
        new=("INSERT INTO books VALUES (2)",),
        old=("INSERT INTO books VALUES (3, 'c')",),
        reads="SELECT id, code FROM books ORDER BY 1",
        found=[(1, "a"), (2, "x")],
        again=("SELECT id FROM books ORDER BY 1", [(1,), (2,), (3,)]),
        gone="SELECT code FROM books",
    ),
    "drop_not_null": Case(
        start="CREATE TABLE books (id integer PRIMARY KEY, isbn text NOT NULL); INSERT INTO books VALUES (1, 'a')",
        change={"kind": "drop_not_null", "table": "books", "column": "isbn", "reverse": "'none'"},
        direct="ALTER TABLE books ALTER isbn DROP NOT NULL",
        new=("INSERT INTO books VALUES (2)",),
        old=("INSERT INTO books VALUES (3, 'c')",),
        reads="SELECT id, isbn FROM books ORDER BY 1",
        found=[(1, "a"), (2, None)],
        again=("SELECT id, isbn FROM books ORDER BY 1", [(1, "a"), (2, None), (3, "c")]),
    ),
    "set_not_null": Case(
        start=BOOKS,
        change={"kind": "set_not_null", "table": "books", "column": "year", "using": "2000"},
        direct="UPDATE books SET year = 2000 WHERE year IS NULL; ALTER TABLE books ALTER year SET NOT NULL",
        new=("INSERT INTO books (id, year) VALUES (3, 1903)",),
        old=("INSERT INTO books (id) VALUES (4)",),
        reads="SELECT id, year FROM books ORDER BY 1",
        found=[(1, 1901), (2, 2000), (3, 1903)],
        again=("SELECT id, year FROM books ORDER BY 1", [(1, 1901), (2, 2000), (3, 1903), (4, 2000)]),
        gone="INSERT INTO books (id) VALUES (9)",
    ),
    "add_check": Case(
        start=BOOKS,
        change={
            "kind": "add_check",
            "table": "books",
            "name": "recent",
            "check": "year > 1950",
            "using": {"year": "1951"},
        },
        direct="UPDATE books SET year = 1951; ALTER TABLE books ADD CONSTRAINT recent CHECK (year > 1950)",
        new=("INSERT INTO books (id, year) VALUES (3, 1983)",),
        old=("INSERT INTO books (id, year) VALUES (4, 1904)",),
        reads="SELECT id, year FROM books ORDER BY 1",
        found=[(1, 1951), (2, None), (3, 1983)],
        again=("SELECT id, year FROM books ORDER BY 1", [(1, 1951), (2, None), (3, 1983), (4, 1951)]),
        gone="INSERT INTO books (id, year) VALUES (9, 1904)",
    ),
    "add_unique": Case(
        start="CREATE TABLE users (id integer PRIMARY KEY, email text); INSERT INTO users VALUES (1, 'a'), (2, 'a')",
        change={
            "kind": "add_unique",
            "table": "users",
            "name": "users_email_key",
            "columns": ["email"],
            "using": {"email": "id || '.' || email"},
        },
        direct="UPDATE users SET email = id; ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email)",
        new=("INSERT INTO users VALUES (3, 'c')",),
        old=("INSERT INTO users VALUES (4, 'a')",),
        reads="SELECT id, email FROM users ORDER BY 1",
        found=[(1, "a"), (2, "2.a"), (3, "c")],
        again=("SELECT id, email FROM users ORDER BY 1", [(1, "a"), (2, "2.a"), (3, "c"), (4, "4.a")]),
        gone="INSERT INTO users VALUES (9, 'a')",
    ),
    "add_foreign_key": Case(
        start="CREATE TABLE authors (id integer PRIMARY KEY); INSERT INTO authors VALUES (1);"
        " CREATE TABLE books (id integer PRIMARY KEY, author integer); INSERT INTO books VALUES (1, 1), (2, 7)",
        change={
            "kind": "add_foreign_key",
            "table": "books",
            "name": "by",
            "columns": ["author"],
            "references": {"table": "authors", "columns": ["id"]},
            "using": {"author": "NULL"},
        },
        direct="UPDATE books SET author = NULL; ALTER TABLE books ADD CONSTRAINT by FOREIGN KEY (author) REFERENCES authors (id)",
        new=("INSERT INTO books VALUES (3, 1)",),
        old=("INSERT INTO books VALUES (4, 8)",),
        reads="SELECT id, author FROM books ORDER BY 1",
        found=[(1, 1), (2, None), (3, 1)],
        again=("SELECT id, author FROM books ORDER BY 1", [(1, 1), (2, None), (3, 1), (4, None)]),
        gone="INSERT INTO books VALUES (9, 9)",
    ),
    "move_column": Case(
        start="CREATE TABLE users (id integer PRIMARY KEY, bio text);"
        " CREATE TABLE profiles (user_id integer PRIMARY KEY); INSERT INTO users VALUES (1, 'one'), (2, 'two');"
        " INSERT INTO profiles VALUES (1), (2)",
        change={
            "kind": "move_column",
            "table": "users",
            "column": "bio",
            "to": {"table": "profiles", "column": "bio"},
            "on": {"id": "user_id"},
        },
        direct="ALTER TABLE profiles ADD bio text; ALTER TABLE users DROP bio",
        new=(
            "INSERT INTO users VALUES (3); INSERT INTO profiles VALUES (3, 'three')",
            "UPDATE profiles SET bio = NULL WHERE user_id = 1",
        ),
        old=("UPDATE users SET bio = 'zwei' WHERE id = 2",),
        reads="SELECT id, bio FROM users ORDER BY 1",
        found=[(1, None), (2, "two"), (3, "three")],
        again=("SELECT user_id, bio FROM profiles ORDER BY 1", [(1, None), (2, "zwei"), (3, "three")]),
        gone="SELECT bio FROM users",
    ),
    "extract_table": Case(
        start="CREATE TABLE books (id integer PRIMARY KEY, publisher text, city text);"
        " INSERT INTO books VALUES (1, 'A', 'X'), (2, 'B', 'Y')",
        change={
            "kind": "extract_table",
            "table": "books",
            "columns": ["publisher", "city"],
            "into": {"table": "publishers", "key": "id"},
            "reference": "publisher_id",
            "index": True,
        },
        direct="CREATE TABLE publishers (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, publisher text, city text,"
        " UNIQUE (publisher, city)); ALTER TABLE books ADD publisher_id bigint REFERENCES publishers (id), DROP publisher,"
        " DROP city; CREATE INDEX ON books (publisher_id)",
        new=(
            "INSERT INTO publishers (publisher, city) VALUES ('C', 'Z')",
            "INSERT INTO books (id, publisher_id) SELECT 3, id FROM publishers WHERE publisher = 'C'",
            "UPDATE books SET publisher_id = NULL WHERE id = 1",
            "UPDATE publishers SET city = 'Q' WHERE publisher = 'B'",
        ),
        old=("UPDATE books SET city = 'W' WHERE id = 3",),
        reads="SELECT id, publisher, city FROM books ORDER BY 1",
        found=[(1, None, None), (2, "B", "Q"), (3, "C", "Z")],
        again=(
            "SELECT b.id, publisher, city FROM (SELECT id, publisher_id FROM books) b"
            " LEFT JOIN publishers p ON p.id = publisher_id ORDER BY 1",
            [(1, None, None), (2, "B", "Q"), (3, "C", "W")],
        ),
        gone="SELECT city FROM books",
    ),
    "sql": Case(
        start=BOOKS + "; CREATE INDEX old_idx ON books (title)",
        change={
            "kind": "sql",
            "expand": "ALTER TABLE books ADD COLUMN slug text",
            "contract": "DROP INDEX old_idx; CREATE TABLE done (id integer)",
            "rollback": {
                "expand": "ALTER TABLE books DROP COLUMN slug",
                "contract": "DROP TABLE done; CREATE INDEX old_idx ON books (title)",
            },
            "backfill": {"table": "books", "set": {"slug": "lower(title)"}},
        },
        direct="ALTER TABLE books ADD COLUMN slug text; DROP INDEX old_idx; CREATE TABLE done (id integer)",
        new=("INSERT INTO books (id, title) VALUES (3, 'Three'), (4, NULL)",),
        old=("UPDATE books SET title = 'Zwei' WHERE id = 2",),
        reads="SELECT id, title, slug FROM books ORDER BY 1",
        found=[(1, "One", "one"), (2, "Two", "two"), (3, "Three", "three"), (4, None, None)],
        again=("SELECT id, slug FROM books ORDER BY 1", [(1, "one"), (2, "zwei"), (3, "three"), (4, None)]),
    ),
    "sql without a table": Case(
        start=BOOKS,
        change={
            "kind": "sql",
            "contract": "DROP TABLE books",
            "rollback": {"contract": BOOKS},
        },
        direct="DROP TABLE books",
        new=(),
        old=(),
        reads="SELECT id FROM books ORDER BY 1",
        found=[(1,), (2,)],
        again=("SELECT 1", [(1,)]),
        gone="SELECT year FROM books",
    ),
}

kinds = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@kinds
def test_round(case: Case, journeys: Journeys) -> None:
    """Contract, undo, contract again and finalize: nothing that new or old writers wrote is lost, nothing is left."""
    journey = journeys(case.start, case.change, contract=WINDOW, **case.settings)
    with undone(journey.db):
        run(journey.db, case.direct)
        schema = journey.fingerprint
    assert journey.advance(State.READS_MIGRATED) is State.READS_MIGRATED
    both = journey.fingerprint

    assert journey.advance() is State.CONTRACTED
    if case.gone is not None:
        with pytest.raises((errors.UndefinedColumn, errors.UndefinedTable, errors.IntegrityError)):
            run(journey.db, case.gone)
    for statement in case.new:
        run(journey.db, statement)
    assert journey.rollback() is State.READS_MIGRATED
    assert journey.fingerprint == both
    assert rows(journey.db, case.reads) == case.found
    for statement in case.old:
        run(journey.db, statement)
    query, found = case.again
    assert rows(journey.db, query) == found

    assert journey.advance() is State.CONTRACTED
    assert journey.finalize() is State.CONTRACTED
    assert journey.fingerprint == schema
    assert rows(journey.db, query) == found
    assert _left(journey.db) == []


def _left(db: Db) -> list[tuple[Any, ...]]:
    """Return what is in ecm's schema besides its journal."""
    return rows(
        db,
        "SELECT proname FROM pg_proc WHERE pronamespace = 'ecm'::regnamespace UNION ALL SELECT relname FROM pg_class"
        " WHERE relnamespace = 'ecm'::regnamespace AND relkind IN ('r', 'S', 'v') AND relname NOT IN"
        " ('plans', 'leases', 'steps', 'sweeps', 'moves', 'moves_seq_seq', 'alembic_version')",
    )
