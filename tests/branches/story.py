"""The whole story of a change, on whatever provider it is played with.

Development is made from production, proves the change, is reset, and production follows on the evidence that is kept.
"""

from typing import Any

import psycopg

from orchestrator.branches import Making, Provider
from orchestrator.conductor import Conductor

PLAN = "rename-published-year"
OLD, NEW = "published_year", "publication_year"
ROWS = 1000

_BOOKS = f"""
CREATE TABLE books (id int PRIMARY KEY, title text, {OLD} int DEFAULT 2000);
INSERT INTO books SELECT n, 'book ' || n, 1900 + n % 120 FROM generate_series(1, {ROWS}) n;
"""


def play(provider: Provider, conductor: Conductor) -> None:
    """Play it.

    Args:
        provider: has production, empty, and nothing else yet.
        conductor: of a project with development, made from production, and production, which requires it; with a plan
            that renames books.published_year.
    """
    _run(provider, "production", _BOOKS)
    made = provider.create("development", Making())
    assert made.name == "development"

    conductor.advance(PLAN, "development", to="contracted")
    _run(provider, "development", f"DELETE FROM books WHERE {NEW} < 2000")
    assert (_columns(provider, "development"), _columns(provider, "production")) == ({"id", "title", NEW}, _before())

    provider.reset("development")
    assert (_columns(provider, "development"), _rows(provider, "development")) == (_before(), ROWS)
    (plan,) = conductor.status(PLAN).plans
    (development, production) = plan.branches
    assert (development.branch, development.state, development.source) == ("development", "planned", "journal")
    assert (len(development.evidence), production.blocked_by) == (4, ())

    conductor.advance(PLAN, "production", to="contracted")
    assert (_columns(provider, "production"), _rows(provider, "production")) == ({"id", "title", NEW}, ROWS)

    provider.reset("development")
    (plan,) = conductor.status(PLAN).plans
    assert [each.state for each in plan.branches] == ["contracted", "contracted"]
    assert conductor.audit().problems == ()

    provider.create("pull-request-7", Making(parent="production"))
    assert _rows(provider, "pull-request-7") == ROWS
    provider.delete("pull-request-7")
    assert {each.name for each in provider.found()} == {"development", "production"}


def _before() -> set[str]:
    return {"id", "title", OLD}


def _rows(provider: Provider, branch: str) -> int:
    return _run(provider, branch, "SELECT count(*) FROM books")[0][0]


def _columns(provider: Provider, branch: str) -> set[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = 'books'::regclass AND attnum > 0 AND NOT attisdropped"
    return {name for (name,) in _run(provider, branch, query)}


def _run(provider: Provider, branch: str, statements: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(provider.address(branch).url.get_secret_value(), autocommit=True) as connection:
        cursor = connection.execute(statements)  # pyright: ignore[reportArgumentType, reportCallIssue]
        return cursor.fetchall() if cursor.description else []
