"""The whole story of a change, on whatever provider it is played with.

Development is made from production, proves the change, is reset, and production follows on the evidence that is kept.
A pull request then brings the next plan, which is rehearsed on a copy of production.
"""

import subprocess
from typing import Any, LiteralString, cast

import psycopg

from orchestrator.branches import Provider
from orchestrator.conductor import Conductor

PLAN = "rename-published-year"
OLD, NEW = "published_year", "publication_year"
ROWS = 1000
PROJECT = "branches:\n  development: {parent: production}\n  production: {requires: [development]}\n"
CHANGE = f"plan: {PLAN}\nchanges:\n  - {{kind: rename_column, table: books, column: {OLD}, to: {NEW}}}\n"
NEXT = "plan: rename-title\nchanges:\n  - {kind: rename_column, table: books, column: title, to: name}\n"

BOOKS = f"""
CREATE TABLE books (id int PRIMARY KEY, title text, {OLD} int DEFAULT 2000);
INSERT INTO books SELECT n, 'book ' || n, 1900 + n % 120 FROM generate_series(1, {ROWS}) n;
ANALYZE books;
"""


def play(provider: Provider, conductor: Conductor) -> None:
    """Play it.

    Args:
        provider: has production, empty, and nothing else yet.
        conductor: of a project with the branches of `PROJECT` and the plan `CHANGE`, and nothing else.
    """
    run(provider, "production", BOOKS)
    assert conductor.branch_create("development").parent == "production"

    conductor.advance(PLAN, "development", to="contracted")
    run(provider, "development", f"DELETE FROM books WHERE {NEW} < 2000")
    assert (columns(provider, "development"), columns(provider, "production")) == ({"id", "title", NEW}, _before())

    (fall,) = conductor.branch_reset("development").plans
    assert (fall.plan, fall.before, fall.after) == (PLAN, "contracted", "planned")
    assert (columns(provider, "development"), _rows(provider, "development")) == (_before(), ROWS)
    (plan,) = conductor.status(PLAN).plans
    (development, production) = plan.branches
    assert (development.branch, development.state, development.source) == ("development", "planned", "journal")
    assert (len(development.evidence), production.blocked_by) == (4, ())

    conductor.advance(PLAN, "production", to="contracted")
    assert (columns(provider, "production"), _rows(provider, "production")) == ({"id", "title", NEW}, ROWS)

    conductor.branch_reset("development")
    (plan,) = conductor.status(PLAN).plans
    assert [each.state for each in plan.branches] == ["contracted", "contracted"]
    assert conductor.branch_diff("development", "production").differences == ()
    assert conductor.audit().problems == ()

    _rehearse_a_pull_request(conductor)
    assert (columns(provider, "production"), _rows(provider, "production")) == ({"id", "title", NEW}, ROWS)
    assert {each.name for each in provider.found()} == {"development", "production"}


def _rehearse_a_pull_request(conductor: Conductor) -> None:
    """A plan that a branch of the repository adds is rehearsed on a branch of its own, which is deleted in the end."""
    root = conductor.workspace.root
    (root / ".gitignore").write_text(".ecm/\n")
    for command in (
        ("init", "--quiet", "--initial-branch", "main"),
        ("add", "."),
        ("commit", "--quiet", "-m", "Begin"),
    ):
        who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
        subprocess.run(["git", *who, *command], cwd=root, check=True)
    (root / "plans" / "rename-title.yaml").write_text(NEXT)
    report = conductor.check_pull_request(base="main", pull_request=7)
    assert (report.exit_code, [each.plan for each in report.plans]) == (0, ["rename-title"]), report
    assert {each.branch for each in conductor.branch_list().branches} == {
        "development",
        "production",
        "pr-7-bookstore-rename-title",
    }
    assert conductor.clear_pull_request(7).deleted == ("pr-7-bookstore-rename-title",)


def _before() -> set[str]:
    return {"id", "title", OLD}


def _rows(provider: Provider, branch: str) -> int:
    return run(provider, branch, "SELECT count(*) FROM books")[0][0]


def columns(provider: Provider, branch: str) -> set[str]:
    """Return the names of the columns of books."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = 'books'::regclass AND attnum > 0 AND NOT attisdropped"
    return {name for (name,) in run(provider, branch, query)}


def run(provider: Provider, branch: str, statements: str) -> list[tuple[Any, ...]]:
    """Run statements on a branch; return the rows of the last."""
    with psycopg.connect(provider.address(branch).url.get_secret_value(), autocommit=True) as connection:
        cursor = connection.execute(cast("LiteralString", statements))
        return cursor.fetchall() if cursor.description else []
