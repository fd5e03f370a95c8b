"""SQL of the plan's author: sent to the letter, with its locks, its way back, and rows that are filled between."""

from typing import Any

import pytest
from operations.conftest import Journeys
from operations.harness import BOTH_RUN, Db, Journey, ask, make_plan, round_trip, rows, run
from pydantic import ValidationError

from orchestrator.errors import PreconditionError, StatementFailedError, VerificationError
from orchestrator.events import StepFinished
from orchestrator.plan.lifecycle import PHASES, Phase, State
from orchestrator.sql.steps import ConcurrentIndex, LockMode, Transaction

START = """
    CREATE TABLE books (id integer PRIMARY KEY, title text NOT NULL, price numeric(8, 2));
    INSERT INTO books SELECT g, 'Book ' || g, g FROM generate_series(1, 60) g;
"""
EXPAND = "ALTER TABLE books ADD COLUMN gross numeric(8, 1);\nCREATE FUNCTION one() RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT 1; END;"
BACK = "DROP FUNCTION one; ALTER TABLE books DROP COLUMN gross"
FILL = {"table": "books", "set": {"gross": "price * 1.19"}}
CHANGE: dict[str, Any] = {"kind": "sql", "expand": EXPAND, "rollback": {"expand": BACK}, "backfill": FILL}
DIRECT = f"{EXPAND}; UPDATE books SET gross = price * 1.19"


def gross(db: Db, number: int) -> str:
    """Return what a row has."""
    return str(ask(db, f"SELECT gross FROM books WHERE id = {number}"))


def filled(db: Db) -> None:
    """It follows what old writers write, as the column keeps it, and what a new writer gives stays."""
    run(db, "INSERT INTO books VALUES (901, 'x', 10); INSERT INTO books VALUES (902, 'y', 10, 5)")
    assert (gross(db, 901), gross(db, 902)) == ("11.9", "5.0")
    run(db, "UPDATE books SET price = 20 WHERE id IN (901, 902, 7)")
    assert (gross(db, 901), gross(db, 902), gross(db, 7)) == ("23.8", "5.0", "23.8")
    run(db, "UPDATE books SET gross = 1 WHERE id = 901; UPDATE books SET price = 30, gross = 2 WHERE id = 8")
    run(db, "UPDATE books SET title = 'z' WHERE id = 901")
    assert (gross(db, 901), gross(db, 8)) == ("1.0", "2.0")


def test_round_trip(journeys: Journeys) -> None:
    """Statements, a way back and a backfill of a column whose type rounds what is computed."""
    round_trip(journeys(START, CHANGE), direct=DIRECT, holds=filled, writes=["UPDATE books SET price = price + 1"])


def test_what_names_no_table(journeys: Journeys) -> None:
    """A type and a function lock nothing; contract takes away what old versions used."""
    start = "CREATE FUNCTION old() RETURNS integer LANGUAGE sql AS 'SELECT 1'"
    change = {
        "kind": "sql",
        "expand": "CREATE TYPE mood AS ENUM ('so', 'so;so'); DO $$ BEGIN PERFORM 1; END $$;",
        "contract": "DROP FUNCTION old; -- nobody calls it; any more\n",
        "rollback": {"expand": "DROP TYPE mood", "contract": "CREATE FUNCTION old() RETURNS int LANGUAGE sql AS '1'"},
    }
    direct = "CREATE TYPE mood AS ENUM ('so', 'so;so'); DROP FUNCTION old"
    journey = journeys(start, change)
    assert [len(journey.steps(phase)) for phase in PHASES] == [1, 0, 0, 1]
    round_trip(journey, direct=direct)


def test_where_and_several_columns(journeys: Journeys) -> None:
    """`where` says which rows still lack it; all values are of the row as it was, and the rest is left alone."""
    change = {
        "kind": "sql",
        "backfill": {
            "table": "books",
            "set": {"title": "upper(title)", "price": "length(title) + 100"},
            "where": "price < 11",
        },
    }
    journey = journeys(START, change)
    journey.advance(State.EXPANDED)
    run(journey.db, "INSERT INTO books VALUES (901, 'abc', 1), (902, 'abc', 20)")
    assert rows(journey.db, "SELECT title, price::integer FROM books WHERE id > 900 ORDER BY id") == [
        ("ABC", 103),
        ("abc", 20),
    ]
    journey.advance(State.CONTRACTED)
    assert ask(journey.db, "SELECT count(*) FROM books WHERE title = upper(title) AND price > 100") == 11
    assert rows(journey.db, "SELECT title, price::integer FROM books WHERE id = 20") == [("Book 20", 20)]


def both_ways(db: Db) -> None:
    """What is written through either side shows on both."""
    run(db, "INSERT INTO books (id, title) VALUES (901, 'old'); INSERT INTO books (id, shout) VALUES (902, 'NEW')")
    run(db, "UPDATE books SET shout = 'LOUD' WHERE id = 3; UPDATE books SET title = 'quiet' WHERE id = 4")
    run(db, "UPDATE books SET price = 1 WHERE id = 5")
    found = rows(db, "SELECT title, shout FROM books WHERE id IN (3, 4, 5, 901, 902) ORDER BY id")
    assert found == [("loud", "LOUD"), ("quiet", "QUIET"), ("Book 5", "BOOK 5"), ("old", "OLD"), ("new", "NEW")]


def test_reverse(journeys: Journeys) -> None:
    """With reverse old readers see what new writers write, and a rollback keeps it."""
    change = {
        "kind": "sql",
        "expand": "ALTER TABLE books ADD shout text",
        "contract": "ALTER TABLE books DROP COLUMN title",
        "rollback": {"expand": "ALTER TABLE books DROP shout"},
        "backfill": {"table": "books", "set": {"shout": "upper(title)"}, "reverse": {"title": "lower(shout)"}},
    }
    direct = "ALTER TABLE books ADD shout text; UPDATE books SET shout = upper(title); ALTER TABLE books DROP title"
    round_trip(journeys(START, change), direct=direct, holds=both_ways, writes=["UPDATE books SET price = 2"])


COPY = """
    DO $$ DECLARE copy books; BEGIN
      SELECT * INTO copy FROM books WHERE id = 3; copy.id := 903; copy.{}; INSERT INTO books SELECT copy.*;
    END $$
"""


def test_the_preview_says_what_a_copy_of_a_row_brings_with_it(journeys: Journeys) -> None:
    """Who copies a row as a whole gives the new side too; what he changes on the old one is not seen in it."""
    journey = journeys(START, CHANGE)
    (line,) = (each for each in journey.conductor.preview("change").beware if "is copied whole" in each)
    assert line.endswith("is kept as it was copied, whatever else was changed in the copy: leave it out there")
    journey.advance(State.BACKFILLED)
    run(journey.db, COPY.format("price := 100"))
    assert gross(journey.db, 903) == gross(journey.db, 3)


def test_the_preview_says_what_a_copy_of_a_row_loses(journeys: Journeys) -> None:
    """Where the old side follows from the new one, what was changed on it in the copy is gone at once."""
    fill = {"table": "books", "set": {"shout": "upper(title)"}, "reverse": {"title": "lower(shout)"}}
    add, back = "ALTER TABLE books ADD shout text", "ALTER TABLE books DROP shout"
    journey = journeys(START, {"kind": "sql", "expand": add, "rollback": {"expand": back}, "backfill": fill})
    (line,) = (each for each in journey.conductor.preview("change").beware if "is copied whole" in each)
    assert line.endswith("what the copy has changed in title is lost: leave shout out there")
    journey.advance(State.BACKFILLED)
    run(journey.db, COPY.format("title := 'changed'"))
    assert rows(journey.db, "SELECT title, shout FROM books WHERE id = 903") == [("book 3", "BOOK 3")]


@pytest.mark.parametrize("unless", ["", "IF NOT EXISTS "])
def test_an_index_of_the_applications_own_is_not_taken_for_the_plans(journeys: Journeys, unless: str) -> None:
    """It has the name of one that the plan would build: refused, and a rollback leaves it where it is."""
    own = "CREATE INDEX books_title_idx ON books (title)"
    expand = f"CREATE INDEX CONCURRENTLY {unless}books_title_idx ON books (lower(title))"
    change = {"kind": "sql", "expand": expand, "rollback": {"expand": "DROP INDEX books_title_idx"}}
    journey = journeys(f"{START}; {own}", change)
    start = journey.fingerprint
    with pytest.raises(PreconditionError, match="is there already"):
        journey.advance()
    assert journey.rollback() is State.PLANNED
    assert journey.fingerprint == start
    run(journey.db, "ALTER INDEX books_title_idx RENAME TO other")
    assert journey.advance(State.EXPANDED) is State.EXPANDED
    assert journey.rollback() is State.PLANNED
    run(journey.db, "ALTER INDEX other RENAME TO books_title_idx")
    assert journey.fingerprint == start


def test_an_expression_that_fails_on_a_writers_value(journeys: Journeys) -> None:
    """His write is not refused; the proof stops on it, and goes on once it was set right."""
    change = {
        "kind": "sql",
        "expand": "ALTER TABLE books ADD pages integer",
        "contract": "ALTER TABLE books DROP COLUMN title",
        "rollback": {"expand": "ALTER TABLE books DROP pages"},
        "backfill": {"table": "books", "set": {"pages": "substr(title, 6)::integer"}},
    }
    journey = journeys(START, change)
    journey.advance(State.BACKFILLED)
    run(
        journey.db,
        "INSERT INTO books (id, title) VALUES (901, 'Book many'); UPDATE books SET title = 'none' WHERE id = 7",
    )
    assert rows(journey.db, "SELECT title, pages FROM books WHERE id IN (7, 901) ORDER BY id") == [
        ("none", None),
        ("Book many", None),
    ]
    with pytest.raises(StatementFailedError, match="invalid input syntax"):
        journey.advance()
    run(journey.db, "UPDATE books SET title = 'Book 5' WHERE id IN (7, 901)")
    assert journey.advance() is State.READS_MIGRATED
    journey.on_event = lambda event: (
        run(journey.db, "UPDATE books SET title = 'late' WHERE id = 9")
        if isinstance(event, StepFinished) and event.key == "proof books"
        else None
    )
    with pytest.raises(StatementFailedError, match="invalid input syntax"):
        journey.advance()
    assert ask(journey.db, "SELECT title FROM books WHERE id = 9") == "late"


def test_what_passes_the_trigger_is_found(journeys: Journeys) -> None:
    """Readers do not come before every row has what the plan says."""
    journey = journeys(START, CHANGE)
    journey.advance(State.BACKFILLED)
    run(journey.db, "SET ecm.backfill = '~ecm_change_public.books'; UPDATE books SET gross = NULL WHERE id = 7")
    with pytest.raises(VerificationError) as refused:
        journey.advance()
    assert refused.value.details[0].startswith("id=7")


def test_indexes_are_built_beside_the_application(journeys: Journeys) -> None:
    """After the transaction of expand, before that of contract, and dropped by a rollback."""
    change = {
        "kind": "sql",
        "expand": "ALTER TABLE books ADD note text; CREATE INDEX CONCURRENTLY of_note ON books (note);",
        "contract": "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS of_title ON public.books USING btree (lower(title));"
        "COMMENT ON TABLE books IS 'done'",
        "rollback": {"expand": "ALTER TABLE books DROP note"},
    }
    journey: Journey = journeys(START, change)
    assert [type(step) for step in journey.steps(Phase.EXPAND)] == [Transaction, ConcurrentIndex]
    assert [type(step) for step in journey.steps(Phase.CONTRACT)] == [ConcurrentIndex, Transaction]
    direct = """
        ALTER TABLE books ADD note text; CREATE INDEX of_note ON books (note);
        CREATE UNIQUE INDEX of_title ON books (lower(title)); COMMENT ON TABLE books IS 'done'
    """
    round_trip(journey, direct=direct)


def test_locks_are_told_and_taken_first(journeys: Journeys) -> None:
    """Each statement's lock is said with its line; what is not known is taken for the strongest."""
    change = {
        "kind": "sql",
        "expand": "CREATE TABLE shelves (id integer PRIMARY KEY);\n"
        "ALTER TABLE books ADD CONSTRAINT cheap CHECK (price < 9999) NOT VALID;\nSECURITY LABEL ON TABLE books IS 'x'",
        "rollback": {"expand": "ALTER TABLE books DROP CONSTRAINT cheap; DROP TABLE shelves"},
        "contract": "ALTER TABLE books VALIDATE CONSTRAINT cheap",
    }
    journey = journeys(START, change)
    (expand,), (contract,) = journey.steps(Phase.EXPAND), journey.steps(Phase.CONTRACT)
    assert isinstance(expand, Transaction)
    assert (expand.lock, [table.name for table in expand.tables]) == (LockMode.ACCESS_EXCLUSIVE, ["books"])
    assert contract.lock is LockMode.SHARE_UPDATE_EXCLUSIVE
    assert "expand, statement 1, line 1: locks no table that was there" in expand.note
    assert "expand, statement 2, line 2: ACCESS EXCLUSIVE on books, waits for" in expand.note
    assert "statement 3, line 3: ACCESS EXCLUSIVE, assumed: ecm does not know this statement" in expand.note


def test_an_error_names_phase_statement_and_line(journeys: Journeys) -> None:
    """The line is that of the word PostgreSQL points at; nothing of the phase is kept."""
    expand = "ALTER TABLE books ADD note text;\n\n-- next\nUPDATE books\n  SET prize = 1;"
    journey = journeys(START, {"kind": "sql", "expand": expand, "rollback": {"expand": "SELECT 1"}})
    before = journey.fingerprint
    with pytest.raises(StatementFailedError) as refused:
        journey.advance()
    assert refused.value.message == 'expand, statement 2, line 5: column "prize" of relation "books" does not exist'
    assert journey.fingerprint == before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"expand": None, "rollback": {}, "backfill": None}, "there is nothing to do"),
        ({"rollback": {}}, "rollback.expand does not say what takes expand back"),
        ({"expand": "SELECT 1;\nBEGIN; SELECT 2"}, "expand, statement 2, line 2: BEGIN: ecm begins and ends"),
        ({"contract": "COMMIT"}, "contract, statement 1, line 1: COMMIT: ecm begins and ends"),
        ({"rollback": {"expand": "savepoint x"}}, "rollback.expand, statement 1, line 1: savepoint x: ecm begins"),
        ({"rollback": {"expand": BACK, "contract": "SELECT 1"}}, "contract does nothing"),
        ({"expand": "VACUUM books"}, "PostgreSQL does not run VACUUM in a transaction"),
        ({"expand": "SET search_path = x"}, "write SET LOCAL"),
        ({"expand": "DROP INDEX CONCURRENTLY x"}, "write DROP INDEX"),
        ({"expand": "REINDEX TABLE CONCURRENTLY x"}, "ecm could not tell whether it was done"),
        ({"expand": "CREATE INDEX CONCURRENTLY ON books (id)"}, "ecm builds an index by its name"),
        ({"expand": "CREATE INDEX CONCURRENTLY i ON books (id); SELECT 1"}, "put CREATE INDEX CONCURRENTLY last"),
        ({"contract": "SELECT 1; CREATE INDEX CONCURRENTLY i ON books (id)"}, "put CREATE INDEX CONCURRENTLY first"),
        ({"expand": "SELECT 'x"}, "expand, line 1: a quote is not closed"),
        ({"backfill": {**FILL, "reverse": {"gross": "1"}}}, "set and reverse both give gross"),
    ],
)
def test_what_cannot_be_sent(change: dict[str, Any], why: str) -> None:
    """It is refused as the file is read, with the statement and its line."""
    with pytest.raises(ValidationError) as refused:
        make_plan("change", [{**CHANGE, **change}])
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("fill", "why"),
    [
        ({**FILL, "set": {"gross": "prize"}}, 'column "prize" does not exist'),
        ({**FILL, "set": {"gros": "price"}}, 'column "gros" does not exist'),
        ({**FILL, "where": "nothing(id)"}, "function nothing(integer) does not exist"),
    ],
)
def test_an_expression_that_does_not_work(journeys: Journeys, fill: dict[str, Any], why: str) -> None:
    """It is tried in the transaction of the statements, which is then undone."""
    journey = journeys(START, {**CHANGE, "backfill": fill})
    before = journey.fingerprint
    with pytest.raises(StatementFailedError) as refused:
        journey.advance()
    assert why in refused.value.message
    assert journey.fingerprint == before


BUILT = {
    "kind": "sql",
    "expand": "ALTER TABLE books ADD note text; CREATE UNIQUE INDEX CONCURRENTLY of_title ON books (lower(title))",
    "rollback": {"expand": "DROP INDEX public.of_title; ALTER TABLE books DROP note"},
}


def test_the_way_back_names_an_index_that_was_built(journeys: Journeys) -> None:
    """It is dropped where it is there: one that could not be built leaves nothing to drop, and nothing in the way."""
    journey = journeys(START, BUILT)
    before = journey.fingerprint
    assert journey.advance() is State.EXPANDED
    assert ask(journey.db, "SELECT to_regclass('of_title') IS NOT NULL")
    assert journey.rollback() is State.PLANNED
    assert journey.fingerprint == before
    run(journey.db, "UPDATE books SET title = 'same' WHERE id IN (1, 2)")
    with pytest.raises(StatementFailedError, match="could not create unique index"):
        journey.advance()
    assert journey.rollback() is State.PLANNED
    assert journey.fingerprint == before


def test_the_way_back_of_an_index_stands_alone() -> None:
    """Of a statement that drops others too, half could not be left out."""
    with pytest.raises(ValidationError, match="ecm takes of_title away where it was built"):
        make_plan("change", [{**BUILT, "rollback": {"expand": "DROP INDEX of_title, other"}}])


DAYS = {
    "kind": "sql",
    "expand": "ALTER TABLE t ADD COLUMN day date",
    "rollback": {"expand": "ALTER TABLE t DROP COLUMN day"},
    "backfill": {"table": "t", "set": {"day": "at::date"}, "reverse": {"at": "day::timestamp"}},
}


@pytest.mark.parametrize("state", BOTH_RUN)
def test_a_row_whose_sides_agree_is_inserted_as_it_is(journeys: Journeys, state: State) -> None:
    """As one that is copied whole, or moves to another partition: the way back would give the day alone."""
    start = """
        CREATE TABLE t (id int, region int, at timestamp) PARTITION BY LIST (region);
        CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2);
        INSERT INTO t VALUES (1, 1, '2024-05-05 12:34:56');
    """
    journey = journeys(start, DAYS)
    journey.advance(state)
    run(journey.db, "UPDATE t SET region = 2; INSERT INTO t SELECT 2, 1, at, day FROM t")
    run(journey.db, "INSERT INTO t (id, region, day) VALUES (3, 1, '2024-06-06')")
    copies = [("2024-05-05 12:34:56", "2024-05-05")] * 2
    found = rows(journey.db, "SELECT at::text, day::text FROM t ORDER BY id")
    assert found == [*copies, ("2024-06-06 00:00:00", "2024-06-06")]


LOWER = """
    CREATE TABLE t (id int PRIMARY KEY, email text); INSERT INTO t VALUES (1, 'a@b'), (2, 'OLD@B');
    CREATE FUNCTION lower() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN NEW.email := lower(NEW.email); RETURN NEW; END';
    CREATE TRIGGER lower BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION lower();
"""
LINK = {
    "kind": "sql",
    "expand": "ALTER TABLE t ADD COLUMN link text",
    "rollback": {"expand": "ALTER TABLE t DROP COLUMN link"},
    "backfill": {"table": "t", "set": {"link": "'to:' || email"}},
}
LINKS: dict[str, dict[str, Any]] = {
    "without a way back": LINK,
    "with one": LINK | {"backfill": LINK["backfill"] | {"reverse": {"email": "substr(link, 4)"}}},
    "add_column": {"kind": "add_column", "table": "t", "column": "link", "type": "text", "using": "'to:' || email"},
}


@pytest.mark.parametrize("how", LINKS)
def test_the_tables_own_triggers_have_the_last_word(journeys: Journeys, how: str) -> None:
    """What is computed is computed of what they make of a row, and what they make of it stays."""
    journey = journeys(LOWER, LINKS[how])
    for number, state in enumerate(BOTH_RUN, 11):
        journey.advance(state)
        run(journey.db, f"INSERT INTO t (id, email) VALUES ({number}, 'FOO'); UPDATE t SET email = 'BAR' WHERE id = 1")
        found = rows(journey.db, f"SELECT email, link FROM t WHERE id IN (1, {number}) ORDER BY id")
        assert found == [("bar", "to:bar"), ("foo", "to:foo")]
        if how == "with one":
            run(journey.db, "UPDATE t SET link = 'to:BAZ' WHERE id = 1")
            assert rows(journey.db, "SELECT email, link FROM t WHERE id = 1") == [("baz", "to:baz")]
        else:
            run(journey.db, "UPDATE t SET link = 'own' WHERE id = 1; UPDATE t SET email = 'QUX' WHERE id = 1")
            assert rows(journey.db, "SELECT email, link FROM t WHERE id = 1") == [("qux", "own")]
            run(journey.db, "UPDATE t SET link = 'to:qux' WHERE id = 1")
    assert rows(journey.db, "SELECT email, link FROM t WHERE id = 2") == [("old@b", "to:old@b")]
    assert journey.advance() is State.CONTRACTED
