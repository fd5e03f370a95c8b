"""Contract that can be undone: it hides the old structure, keeps it true, gives it back at once, or drops it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, LiteralString, cast

import pytest
from operations.conftest import Journeys
from operations.harness import BRANCH, Db, make_plan, rows, run, undone
from operations.writers import Writers
from psycopg import errors
from pydantic import ValidationError

from orchestrator.errors import EcmError, PreconditionError, RefusedError, StatementFailedError, VerificationError
from orchestrator.events import Event, StepFinished
from orchestrator.plan.lifecycle import Phase, State
from orchestrator.plan.phases import Defaults

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
        " ('plans', 'leases', 'steps', 'sweeps', 'moves', 'moves_seq_seq', 'watches', 'statements', 'alembic_version')",
    )


# ---------------------------------------------------------------- while the application writes


def _writes(*statements: str) -> Callable[[Db], None]:
    """Return a transaction of a new writer: an INSERT, whose key %s stands for, and what else it writes."""
    keys = count(1000)

    def work(connection: Db) -> None:
        key = next(keys)
        for statement in statements:
            connection.execute(cast("LiteralString", statement.replace("%s", str(key))))

    return work


RUNNING = {
    "rename_column": (
        (
            "INSERT INTO books (id, published) VALUES (%s, %s)",
            "UPDATE books SET published = published + 1 WHERE id < 3",
        ),
        "SELECT count(*) FROM books WHERE year IS DISTINCT FROM published",
    ),
    "split_column": (
        (
            "INSERT INTO users (id, first, last) VALUES (%s, 'a%s', 'b')",
            "UPDATE users SET last = 'c%s' WHERE id IN (1, %s - 1)",
        ),
        "SELECT count(*) FROM users WHERE full_name IS DISTINCT FROM concat_ws(' ', first, last)",
    ),
    "change_type with another name": (
        ("INSERT INTO events (id, cents) VALUES (%s, %s)", "UPDATE events SET cents = 100000 + %s WHERE id = 1"),
        "SELECT count(*) FROM events WHERE amount IS DISTINCT FROM cents",
    ),
    "move_column": (
        ("UPDATE profiles SET bio = 'late %s' WHERE user_id = 1", "INSERT INTO users (id) VALUES (%s)"),
        "SELECT count(*) FROM users JOIN profiles ON user_id = id WHERE users.bio IS DISTINCT FROM profiles.bio",
    ),
    "extract_table": (
        (
            "INSERT INTO publishers (id, publisher, city) VALUES (%s, 'p%s', 'c')",
            "INSERT INTO books (id, publisher_id) VALUES (%s, %s)",
            "UPDATE publishers SET city = 'd%s' WHERE id IN (SELECT publisher_id FROM books WHERE id = 1)",
        ),
        "SELECT count(*) FROM (SELECT id, publisher AS p, city AS c, publisher_id FROM books) b"
        " LEFT JOIN publishers l ON l.id = publisher_id WHERE (p, c) IS DISTINCT FROM (publisher, city)",
    ),
}
"""What new writers write while contract comes, goes and comes again; and how many rows differ after."""


@pytest.mark.parametrize("kind", RUNNING)
def test_new_writers_running_through_it(kind: str, journeys: Journeys) -> None:
    """None is refused, and once contract is undone the old side of every row is what they wrote."""
    statements, differing = RUNNING[kind]
    case = CASES[kind]
    journey = journeys(case.start, case.change, contract=WINDOW)
    journey.advance(State.READS_MIGRATED)
    with Writers(journey.url, [_writes(*statements)]) as writers:
        for move in (journey.advance, journey.rollback, journey.advance, journey.rollback):
            writers.until(writers.written + 20)
            move()
    assert writers.failures == []
    assert rows(journey.db, differing) == [(0,)]
    assert journey.advance() is State.CONTRACTED
    assert journey.finalize() is State.CONTRACTED


# ---------------------------------------------------------------- what else there may be


def test_expressions_find_columns_out_of_sight(journeys: Journeys) -> None:
    """Changes of one plan on one table: an expression over a column that another one renames, and the table's name."""
    journey = journeys(
        "CREATE TABLE books (id integer PRIMARY KEY, title text NOT NULL, publisher text, code text);"
        " INSERT INTO books VALUES (1, 'One', 'A', 'c')",
        {"kind": "drop_column", "table": "books", "column": "code", "reverse": "'of ' || title"},
        {"kind": "rename_column", "table": "books", "column": "title", "to": "name"},
        {"kind": "add_column", "table": "books", "column": "slug", "type": "text", "using": "lower(title)"},
        {
            "kind": "extract_table",
            "table": "books",
            "columns": ["publisher"],
            "into": {"table": "publishers", "key": "id"},
            "reference": "publisher_id",
        },
        {"kind": "rename_table", "table": "books", "to": "volumes"},
        contract=WINDOW,
    )
    journey.advance(State.READS_MIGRATED)
    both = journey.fingerprint
    journey.advance()
    run(journey.db, "INSERT INTO volumes (id, name) VALUES (2, 'Two'); UPDATE publishers SET publisher = 'B'")
    run(journey.db, "INSERT INTO volumes (id, name, publisher_id) VALUES (3, 'Three', 1)")
    assert journey.conductor.verify(journey.plan.plan, BRANCH).mismatches == 0
    journey.rollback()
    assert journey.fingerprint == both
    assert rows(journey.db, "SELECT id, title, slug, publisher, code FROM books ORDER BY 1") == [
        (1, "One", "one", "B", "c"),
        (2, "Two", "two", None, "of Two"),
        (3, "Three", "three", "B", "of Three"),
    ]
    journey.advance()
    journey.finalize()
    assert _left(journey.db) == []
    assert rows(journey.db, "SELECT id, name, slug, publisher_id FROM volumes ORDER BY 1") == [
        (1, "One", "one", 1),
        (2, "Two", "two", None),
        (3, "Three", "three", 1),
    ]


@pytest.mark.parametrize("table", ["users", "profiles"])
def test_rows_go_together_by_columns_that_have_other_names_by_then(table: str, journeys: Journeys) -> None:
    """A value moves between tables, of which one has its key renamed, and the other its name, by the same plan."""
    case = CASES["move_column"]
    key, other = ("id", "profiles") if table == "users" else ("user_id", "users")
    journey = journeys(
        case.start,
        case.change,
        {"kind": "rename_column", "table": table, "column": key, "to": "number"},
        {"kind": "rename_table", "table": other, "to": "others"},
        contract=WINDOW,
    )
    journey.advance(State.READS_MIGRATED)
    both = journey.fingerprint
    journey.advance()
    profiles, its_key = ("others", "user_id") if table == "users" else ("profiles", "number")
    run(journey.db, f"UPDATE {profiles} SET bio = 'eins' WHERE {its_key} = 1")
    journey.rollback()
    assert journey.fingerprint == both
    assert rows(journey.db, "SELECT id, bio FROM users ORDER BY 1") == [(1, "eins"), (2, "two")]
    journey.advance()
    journey.finalize()
    assert _left(journey.db) == []
    assert rows(journey.db, f"SELECT {its_key}, bio FROM {profiles} ORDER BY 1") == [(1, "eins"), (2, "two")]


def test_what_is_owed_is_paid_before_the_old_side_is_out_of_sight(journeys: Journeys) -> None:
    """An old writer could not wait for the other row, and came after the last proof: new readers have its value."""
    case = CASES["move_column"]
    journey = journeys(case.start, case.change, contract=WINDOW)
    journey.advance(State.READS_MIGRATED)

    def owe(event: Event) -> None:
        if isinstance(event, StepFinished) and event.key == "proof profiles":
            run(journey.db, "INSERT INTO ecm.\"owed_public.users_bio\" VALUES (1, 'late', true)")

    journey.on_event = owe
    journey.advance()
    journey.on_event = None
    assert rows(journey.db, "SELECT bio FROM profiles WHERE user_id = 1") == [("late",)]
    journey.rollback()
    assert rows(journey.db, "SELECT bio FROM users WHERE id = 1") == [("late",)]


def test_partitions_and_triggers_of_the_tables_own(journeys: Journeys) -> None:
    """A partitioned table with a BEFORE trigger that fires on the old column, and on the original whatever its name."""
    journey = journeys(
        "CREATE TABLE books (id integer PRIMARY KEY, year integer, changed integer DEFAULT 0) PARTITION BY RANGE (id);"
        " CREATE TABLE low PARTITION OF books FOR VALUES FROM (0) TO (10);"
        " CREATE TABLE high PARTITION OF books DEFAULT;"
        " CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.changed := OLD.changed + 1; RETURN NEW; END';"
        " CREATE TRIGGER stamp BEFORE UPDATE OF year ON books FOR EACH ROW EXECUTE FUNCTION stamp();"
        " INSERT INTO books VALUES (1, 1901), (11, 1911)",
        {"kind": "rename_column", "table": "books", "column": "year", "to": "published"},
        contract=WINDOW,
    )
    journey.advance(State.READS_MIGRATED)
    both = journey.fingerprint
    journey.advance()
    run(journey.db, "UPDATE books SET published = 5 WHERE id = 1; UPDATE books SET id = 12 WHERE id = 1")
    journey.rollback()
    assert journey.fingerprint == both
    assert rows(journey.db, "SELECT id, year, published, changed FROM books ORDER BY 1") == [
        (11, 1911, 1911, 0),
        (12, 5, 5, 1),
    ]
    journey.advance()
    journey.finalize()
    assert rows(journey.db, "SELECT id, published FROM books ORDER BY 1") == [(11, 1911), (12, 5)]


def test_values_that_changed_without_a_trigger_are_seen(journeys: Journeys) -> None:
    """A change of type with USING writes every row and calls no trigger: undo names the rows, and leaves all as it is."""
    case = CASES["split_column"]
    journey = journeys(case.start, case.change, contract=WINDOW)
    journey.advance(State.CONTRACTED)
    run(journey.db, "ALTER TABLE users ALTER last TYPE text USING upper(last)")
    with pytest.raises(VerificationError, match="differ in 2 of 2 rows"):
        journey.rollback()
    run(journey.db, "UPDATE users SET last = initcap(last)")
    assert journey.rollback() is State.READS_MIGRATED
    assert rows(journey.db, case.reads) == [(1, "Ada Lovelace"), (2, "Alan Turing")]


def test_all_the_way_back(journeys: Journeys) -> None:
    """One command undoes contract and all before it; what new writers wrote after contract is kept."""
    case = CASES["split_column"]
    journey = journeys(case.start, case.change, contract=WINDOW)
    start = journey.fingerprint
    journey.advance(State.CONTRACTED)
    for statement in case.new:
        run(journey.db, statement)
    assert journey.rollback(State.PLANNED) is State.PLANNED
    assert journey.fingerprint == start
    assert rows(journey.db, case.reads) == case.found


def test_a_facade_with_the_tables_name(journeys: Journeys) -> None:
    """Contract takes the views away at once; undo makes them again over the columns as they were called."""
    journey = journeys(
        BOOKS,
        {"kind": "rename_column", "table": "books", "column": "year", "to": "published"},
        {"kind": "rename_table", "table": "books", "to": "volumes"},
        expand={"strategy": "facade"},
        contract=WINDOW,
    )
    journey.advance(State.READS_MIGRATED)
    both = journey.fingerprint
    journey.advance()
    run(journey.db, "INSERT INTO volumes (id, published) VALUES (3, 1903); CREATE TABLE books (other integer)")
    assert journey.state is State.CONTRACTED
    with pytest.raises(StatementFailedError, match="already exists"):
        journey.rollback()
    run(journey.db, "DROP TABLE books")
    assert journey.rollback() is State.READS_MIGRATED
    assert journey.fingerprint == both
    assert rows(journey.db, "SELECT year FROM books WHERE id = 3") == [(1903,)]
    journey.advance()
    assert journey.finalize() is State.CONTRACTED
    assert rows(journey.db, "SELECT published FROM volumes WHERE id = 3") == [(1903,)]


def test_what_stands_on_a_hidden_column_keeps_finalize_waiting(journeys: Journeys) -> None:
    """A view of all columns that somebody makes meanwhile is named, and contract can still be undone."""
    case = CASES["split_column"]
    journey = journeys(case.start, case.change, contract=WINDOW)
    journey.advance(State.CONTRACTED)
    run(journey.db, "CREATE VIEW everything AS SELECT * FROM users")
    with pytest.raises(PreconditionError, match="everything"):
        journey.finalize()
    assert journey.rollback() is State.READS_MIGRATED
    run(journey.db, "DROP VIEW everything")
    journey.advance()
    assert journey.finalize() is State.CONTRACTED


@pytest.mark.parametrize("kind", ["rename_column", "split_column"])
def test_subscribers_are_thought_of(kind: str, journeys: Journeys) -> None:
    """A publication sends what is out of sight too, by a name that its subscribers do not have: said beforehand."""
    case = CASES[kind]
    table = case.change["table"]
    journey = journeys(f"{case.start}; CREATE PUBLICATION news FOR TABLE {table}", case.change, contract=WINDOW)
    journey.advance(State.READS_MIGRATED)
    (warning,) = journey.conductor.advance(journey.plan.plan, BRANCH, dry_run=True).warnings
    assert "publication news sends whole rows" in warning
    assert any(warning in step.note for step in journey.steps(Phase.CONTRACT))
    journey.advance()
    hidden = rows(journey.db, "SELECT attname FROM pg_attribute WHERE attname LIKE '%hidden' AND attnum > 0")
    assert hidden
    assert all(name in warning for (name,) in hidden)
    journey.finalize()


@pytest.mark.parametrize(
    "meddled",
    [
        "ALTER TABLE users ADD full_name text",
        "ALTER TABLE users ALTER last TYPE integer USING 1",
        'DROP TRIGGER "~ecm_change_public.users" ON users; ALTER TABLE users DROP last',
    ],
)
def test_what_cannot_be_undone_any_more_can_be_finalized(meddled: str, journeys: Journeys) -> None:
    """Somebody changed what undo needs: it fails, has done nothing, and the old structure can be dropped all the same."""
    case = CASES["split_column"]
    journey = journeys(case.start, case.change, contract=WINDOW)
    journey.advance(State.CONTRACTED)
    run(journey.db, meddled)
    with pytest.raises(EcmError):
        journey.rollback()
    assert journey.conductor.status(journey.plan.plan).plans[0].branches[0].in_progress is None
    assert journey.finalize() is State.CONTRACTED
    assert _left(journey.db) == []


@pytest.mark.parametrize(("kind", "name"), [("rename_column", "year"), ("split_column", "full_name")])
def test_an_old_name_that_is_taken_again(kind: str, name: str, journeys: Journeys) -> None:
    """A tool of the old version made the column that it missed: undo names that, and goes on once it is gone."""
    case = CASES[kind]
    journey = journeys(case.start, case.change, contract=WINDOW)
    journey.advance(State.CONTRACTED)
    table = case.change["table"]
    run(journey.db, f"ALTER TABLE {table} ADD {name} text")
    with pytest.raises(PreconditionError, match=f"{table} has a column {name} again"):
        journey.rollback()
    run(journey.db, f"ALTER TABLE {table} DROP {name}")
    assert journey.rollback() is State.READS_MIGRATED


@pytest.mark.parametrize("kind", ["change_type", "change_enum", "set_not_null", "split_column", "rename_column"])
def test_what_stays_in_sight_of_all_columns_is_said_beforehand(kind: str, journeys: Journeys) -> None:
    """SELECT * goes on to see what contract keeps, also where it has had its name since readers moved, or before."""
    case = CASES[kind]
    journey = journeys(case.start, case.change, contract=WINDOW)
    journey.advance(State.READS_MIGRATED)
    (step,) = (step for step in journey.steps(Phase.CONTRACT) if step.key == "contract")
    journey.advance()
    ours = rows(journey.db, "SELECT attname FROM pg_attribute WHERE attname ~ '_ecm_' AND attnum > 0 AND NOT attisdropped"
                " AND attrelid::regclass::text IN ('books', 'users', 'events', 'posts')")  # fmt: skip
    assert ours
    assert all(name in step.note for (name,) in ours)


def test_a_plan_that_is_kept_is_under_way(journeys: Journeys) -> None:
    """Its columns are still there, so that no other plan may begin on them before it is finalized."""
    case = CASES["rename_column"]
    journey = journeys(case.start, case.change, contract=WINDOW)
    journey.advance(State.CONTRACTED)
    other = make_plan("other", [{"kind": "drop_column", "table": "books", "column": "published"}])
    (journey.folder / "plans" / "other.yaml").write_text(json.dumps(other.model_dump(mode="json")))
    with pytest.raises(RefusedError, match="other") as refused:
        journey.conductor.advance("other", BRANCH)
    assert any("change is under way" in line for line in refused.value.details)
    journey.finalize()
    assert journey.conductor.advance("other", BRANCH).state == State.EXPANDED


def test_statements_of_the_authors_own_need_a_way_back() -> None:
    """Contract in the author's words can be undone by the author's words alone; a project's default passes it by."""
    change = {"kind": "sql", "contract": "DROP INDEX old_idx"}
    with pytest.raises(ValidationError, match=r"rollback\.contract"):
        make_plan("change", [change], contract=WINDOW)
    given = Defaults.model_validate({"undo_window": "1d"})
    assert not make_plan("change", [change]).with_defaults(given).contract.undo_window
    assert make_plan("change", [CASES["sql"].change]).with_defaults(given).contract.undo_window
