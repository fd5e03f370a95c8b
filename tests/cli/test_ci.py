"""`ecm ci`: what a pull request changes is rehearsed, and told to whoever reviews it."""

import subprocess
import time
from pathlib import Path

import pytest
from cli.conftest import MakeProject
from cli.runs import PATIENCE, PLAN, Project, said

BRANCH = "production"
RENAMED = "kind: rename_column, table: books, column: published_year, to: publication_year"
CI = ("ci", "--base", "main", "--pr", "7")


@pytest.fixture
def bookstore(make_project: MakeProject, databases: object) -> Project:
    """A repository with a project of one branch; what is written after that is a pull request."""
    made = make_project(databases(BRANCH), plan=False)  # pyright: ignore[reportCallIssue]
    made.sql(
        BRANCH,
        "CREATE TABLE books (id int PRIMARY KEY, published_year int, isbn text);"
        "INSERT INTO books SELECT n, 1900 + n, n FROM generate_series(1, 20) n; ANALYZE books",
    )
    plan(made, "through", RENAMED)
    (made.root / ".gitignore").write_text(".ecm/\n")
    git(made.root, "init", "--quiet", "--initial-branch", "main")
    git(made.root, "add", ".")
    git(made.root, "commit", "--quiet", "--message", "Begin")
    git(made.root, "checkout", "--quiet", "-b", "change")
    return made


def git(folder: Path, *arguments: str) -> None:
    """Run git."""
    who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True)


def plan(project: Project, name: str, change: str) -> None:
    """Write a plan's file."""
    (project.root / "plans" / f"{name}.yaml").write_text(f"plan: {name}\nchanges: [{{{change}}}]\n")


def copies(project: Project) -> list[str]:
    """Return the databases of the pull request's branches."""
    return [name for (name,) in project.sql(BRANCH, "SELECT datname FROM pg_database WHERE datname LIKE 'pr-7-%'")]


def test_a_pull_request_without_plans_has_nothing_to_rehearse(bookstore: Project) -> None:
    """That is said, and is no failure; nobody has to know its number."""
    (bookstore.root / "notes.md").write_text("notes\n")

    answer = bookstore.ecm("ci", "--base", "main")

    assert answer.code == 0, answer
    assert "no plan differs from main, so there is nothing to rehearse" in answer.out


def test_a_plan_that_passes_has_its_branch_until_the_end(bookstore: Project) -> None:
    """Each run makes the branch anew; the summary is told in the file that GitHub shows; cleanup deletes the branch."""
    plan(bookstore, PLAN, RENAMED)
    summary = bookstore.root / "summary.md"

    answers = [bookstore.ecm(*CI, "--output", "ci.md", GITHUB_STEP_SUMMARY=str(summary)) for _ in range(2)]
    made = copies(bookstore)
    cleared = bookstore.ecm("ci", "--cleanup", GITHUB_REF="refs/pull/7/merge")

    assert [answer.code for answer in answers] == [0, 0], answers
    assert "pull request 7: 1 of 1 plan passed on a copy of production" in said(answers[0].out)
    page = (bookstore.root / "ci.md").read_text()
    assert summary.read_text().count("# ✅ pull request 7") == 2
    assert all(word in page for word in ("| backfill |", "Expected on production", "ALTER TABLE", "ACCESS EXCLUSIVE"))
    assert "column books.publication\\_year is only after" in page
    assert made == [f"pr-7-bookstore-{PLAN}"]
    assert cleared.code == 0
    assert f"pull request 7: deleted pr-7-bookstore-{PLAN}" in said(cleared.out)
    assert copies(bookstore) == []


def test_a_plan_that_is_dropped_again_leaves_no_branch(bookstore: Project) -> None:
    """Its copy goes with the next run; what another project, or a person, has under a like name stays."""
    plan(bookstore, PLAN, RENAMED)
    assert bookstore.ecm(*CI).code == 0
    others = ["pr-7-demo", f"pr-7-library-{PLAN}"]
    for other in others:
        bookstore.sql(BRANCH, f'CREATE DATABASE "{other}"')
    (bookstore.root / "plans" / f"{PLAN}.yaml").unlink()

    answer = bookstore.ecm(*CI, "--json")
    cleared = bookstore.ecm("ci", "--cleanup", "--pr", "7", "--json")
    left = sorted(copies(bookstore))
    for other in others:
        bookstore.sql(BRANCH, f'DROP DATABASE "{other}"')

    assert (answer.code, answer.json["deleted"]) == (0, [f"pr-7-bookstore-{PLAN}"])
    assert (cleared.code, cleared.json["deleted"], left) == (0, [], others)


def test_each_plan_is_told_of_and_the_gravest_decides(bookstore: Project) -> None:
    """A file that cannot be read is named with its line, and another plan is rehearsed all the same."""
    plan(bookstore, "through", f"{RENAMED}, strategy: copy")
    plan(
        bookstore, "numbers", "kind: change_type, table: books, column: isbn, type: int, using: isbn::int, one_way: yes"
    )
    plan(bookstore, "count-isbn", "kind: change_type, table: books, column: isbn, type: int, using: isbn::int")
    bookstore.sql(BRANCH, "UPDATE books SET isbn = 'unknown' WHERE id = 7")

    answer = bookstore.ecm(*CI, "--json")
    bookstore.ecm("ci", "--cleanup", "--pr", "7")

    assert answer.code == 4, answer
    found = {each["plan"]: each for each in answer.json["plans"]}
    assert list(found) == ["count-isbn", "numbers", "through"]
    assert "books: id=7" in found["count-isbn"]["rehearsal"]["failure"]["details"]
    assert "plans/through.yaml:2:" in " ".join(found["through"]["error"]["details"])
    assert [each["exit_code"] for each in found.values()] == [4, 1, 1]


def test_what_it_needs_to_know_is_asked_for(bookstore: Project) -> None:
    """Which pull request it is, and a base that git knows; each with what to do about it."""
    plan(bookstore, PLAN, RENAMED)

    nameless = bookstore.ecm("ci", "--base", "main")
    cleaning = bookstore.ecm("ci", "--cleanup")
    baseless = bookstore.ecm("ci", "--pr", "7", GITHUB_BASE_REF="trunk")

    assert nameless.code == 2
    assert "ecm ci --pr NUMBER" in nameless.err
    assert "ecm ci --cleanup --pr NUMBER" in cleaning.err, "what is proposed deletes, too"
    assert baseless.code == 1
    assert "git does not know how this differs from origin/trunk" in said(baseless.err)
    assert "fetch-depth: 0" in baseless.err


def test_a_branch_of_the_project_is_never_taken_for_a_copy(bookstore: Project) -> None:
    """Where its name is that of the pull request's copy, the plan is told of, and the branch is as it was."""
    plan(bookstore, PLAN, RENAMED)
    own = f"pr-7-bookstore-{PLAN}"
    bookstore.ecm("branch", "create", own, "--parent", BRANCH)
    settings = bookstore.root / "ecm.yaml"
    settings.write_text(f"{settings.read_text()}  {own}: {{protected: yes, url_env: DATABASE_URL_OWN}}\n")
    url = bookstore.urls[BRANCH].rpartition("/")[0] + f"/{own}"
    (bookstore.root / ".env").write_text(f"DATABASE_URL_OWN={url}\n")
    bookstore.urls[own] = url
    bookstore.sql(own, "CREATE TABLE kept ()")

    answer = bookstore.ecm(*CI)

    assert "is one of the project's" in said(answer.out + answer.err), answer
    assert bookstore.sql(own, "SELECT to_regclass('kept')::text") == [("kept",)]
    bookstore.sql(BRANCH, f'DROP DATABASE "{own}"')


def test_of_two_at_once_the_second_leaves_the_first_its_copy(bookstore: Project) -> None:
    """It says why it does not begin, and the first goes on to its end."""
    plan(bookstore, PLAN, RENAMED)
    first = bookstore.start(*CI, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + PATIENCE
    while not list((bookstore.root / ".ecm" / "rehearsals").glob("*/.ecm/ledger.db")):
        assert time.monotonic() < until
        time.sleep(0.01)

    second = bookstore.ecm(*CI)

    assert "is being rehearsed on" in said(second.out), second
    assert first.wait() == 0
    bookstore.ecm("ci", "--cleanup", "--pr", "7")
