"""Projects on disk to run the command in."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from cli.runs import PLAN, Project

_TABLE = """
CREATE TABLE books (id int PRIMARY KEY, title text, published_year int DEFAULT 2000);
INSERT INTO books SELECT n, 'book ' || n, 1900 + n FROM generate_series(1, 100) n;
ANALYZE books;
"""

MakeProject = Callable[..., Project]


@pytest.fixture
def make_project(tmp_path: Path) -> Generator[MakeProject]:
    """Make a project: `make_project(urls)`; production is protected and requires development."""
    made: list[Project] = []

    def make(urls: dict[str, str], *, plan: bool = True) -> Project:
        root = tmp_path / f"bookstore{len(made) or ''}"
        (root / "plans").mkdir(parents=True)
        names = list(urls)
        branches = "".join(f"  {name}: {{protected: {str(name == 'production').lower()}}}\n" for name in names)
        (root / "ecm.yaml").write_text(f"project: bookstore\nbranches:\n{branches}")
        if plan:
            (root / "plans" / f"{PLAN}.yaml").write_text(
                f"plan: {PLAN}\nchanges:\n"
                "  - {kind: rename_column, table: books, column: published_year, to: publication_year}\n"
            )
        made.append(Project(root=root, urls=urls))
        return made[-1]

    yield make
    for project in made:
        for terminal in project.terminals:
            terminal.close()


@pytest.fixture
def project(make_project: MakeProject, databases: Any) -> Project:
    """A project of two branches with a table of 100 books each, and one plan; no branch has begun it."""
    made = make_project(databases("development", "production"))
    for branch in made.urls:
        made.sql(branch, _TABLE)
    return made


@pytest.fixture
def offline(make_project: MakeProject) -> Project:
    """A project whose databases do not answer: nothing listens at port 1."""
    nowhere = "postgresql://app:correct-horse-battery@127.0.0.1:1/"
    return make_project({name: f"{nowhere}{name}" for name in ("development", "production")})


@pytest.fixture
def nowhere(tmp_path: Path) -> Project:
    """A folder that is no project."""
    return Project(root=tmp_path)
