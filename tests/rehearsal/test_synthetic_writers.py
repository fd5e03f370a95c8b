"""Synthetic writers on a real table: what they leave as it is, and what they leave out."""

from collections.abc import Generator
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from orchestrator.engine import catalog
from orchestrator.engine.connection import Connection, connect
from orchestrator.engine.synthetic import Way, session
from orchestrator.plan.facade import changes
from orchestrator.plan.model import Plan
from orchestrator.plan.versions import Version, known
from orchestrator.rehearsal.writers import Crew
from orchestrator.sql.identifiers import TableName

PLAN = Plan.model_validate(
    {
        "plan": "rename",
        "changes": [
            {"kind": "rename_column", "table": "books", "column": "year", "to": "published"},
            {"kind": "rename_table", "table": "books", "to": "volumes"},
        ],
    }
)
TABLE = """
CREATE TABLE public.books (id int PRIMARY KEY, isbn text UNIQUE, year int, title text, twice int GENERATED ALWAYS AS (year * 2) STORED);
INSERT INTO public.books SELECT n, 'isbn ' || n, 1900 + n, 'book ' || n FROM generate_series(1, 30) n;
"""


@pytest.fixture
def branch(database: str) -> Generator[Connection]:
    """A session with a database that has the table."""
    with connect(SecretStr(database), branch="copy") as connection:
        connection.execute(TABLE)
        yield connection


def gathered(connection: Connection, url: str) -> Crew:
    """Return the crew for the plan."""
    facts = catalog.read_tables(connection, changes(PLAN))
    return Crew.gathered(
        connection, PLAN, facts, lambda version: session(SecretStr(url), branch="copy", purpose=str(version))
    )


def rows(connection: Connection, columns: str) -> list[tuple[Any, ...]]:
    """Return what the table holds."""
    return connection.execute(f"SELECT {columns} FROM public.books ORDER BY 1").fetchall()  # pyright: ignore[reportArgumentType, reportCallIssue]


def test_a_row_is_given_what_another_has(branch: Connection, database: str) -> None:
    """What is a row's own stays: its key, and whatever else is unique. What was written goes together."""
    own = rows(branch, "id, isbn")
    crew = gathered(branch, database)
    try:
        assert crew.unwritten == []
        assert rows(branch, "id, isbn") == own
        assert len({year for _, year in rows(branch, "id, year")}) < 30
        assert all(title == f"book {year - 1900}" for _, year, title in rows(branch, "id, year, title"))
    finally:
        crew.end()


def test_what_the_table_refuses_by_itself_is_left_out(branch: Connection, database: str) -> None:
    """It is no fault of the plan's; the other ways of writing go on."""
    branch.execute("CREATE TABLE public.loans (book int REFERENCES public.books)")
    branch.execute("CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'years stay'; END$$")
    branch.execute(
        "CREATE TRIGGER years BEFORE UPDATE ON public.books FOR EACH ROW"
        " WHEN (old.year IS DISTINCT FROM new.year) EXECUTE FUNCTION public.no()"
    )
    crew = gathered(branch, database)
    try:
        assert crew.unwritten == ["no UPDATE of books, which is refused without the plan too: years stay"]
        assert all(not hand.writer.pairs() for hand in crew.hands)
    finally:
        crew.end()


def test_the_versions_names(branch: Connection) -> None:
    """The new one knows the table and the column by their new names; neither writes what is generated."""
    (facts,) = catalog.read_tables(branch, changes(PLAN)).values()
    old, new = (known(PLAN, facts, version) for version in Version)
    assert (old.table, list(old.columns)) == (TableName("public", "books"), ["id", "isbn", "year", "title"])
    assert (new.table, list(new.columns)) == (TableName("public", "volumes"), ["id", "isbn", "title", "published"])
    assert (new.made, new.called("year"), new.called("id")) == (("published",), "published", "id")


def test_an_error_is_kept_with_its_statement(branch: Connection, database: str) -> None:
    """A statement that is refused later on is told with its SQLSTATE, and how it was written."""
    crew = gathered(branch, database)
    try:
        (old,) = (hand for hand in crew.hands if hand.version is Version.OLD)
        branch.execute("ALTER TABLE public.books ADD CONSTRAINT late CHECK (year < 0) NOT VALID")
        write, way = next(pair for pair in old.writer.pairs() if pair[1] is Way.CHANGE)
        _, failure = old.writer.perform(write, way, guarded=False)
        assert failure is not None
        assert failure.sqlstate == psycopg.errors.CheckViolation.sqlstate
        assert failure.statement.startswith('UPDATE "public"."books"')
    finally:
        crew.end()
