"""`ecm rehearse`: the whole cycle on a copy that is gone afterwards, whatever becomes of it."""

import json
import re
import signal
import time
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from cli.conftest import MakeProject
from cli.runs import PATIENCE, PLAN, Project, said

from orchestrator.cli.render.look import console, rendered
from orchestrator.cli.render.rehearsal import phases
from orchestrator.rehearsal_reports import RehearsalReport, RehearsedPhase

BRANCH = "production"
REHEARSE = ("rehearse", PLAN, "--from", BRANCH)


@pytest.fixture
def bookstore(make_project: MakeProject, databases: object) -> Project:
    """A project of one branch, with a table of 60 books."""
    made = make_project(databases(BRANCH))  # pyright: ignore[reportCallIssue]
    made.sql(
        BRANCH,
        "CREATE TABLE books (id int PRIMARY KEY, title text NOT NULL CHECK (title LIKE '% %'), published_year int,"
        " isbn text);"
        "INSERT INTO books SELECT n, 'book ' || n, 1900 + n, nullif(n, 7) FROM generate_series(1, 60) n;"
        "ANALYZE books",
    )
    return made


def plan(project: Project, change: str, more: str = "") -> None:
    """Write the plan's file."""
    (project.root / "plans" / f"{PLAN}.yaml").write_text(f"plan: {PLAN}\nchanges: [{{{change}}}]\n{more}")


def copies(project: Project) -> list[str]:
    """Return the databases of copies that are there."""
    return [name for (name,) in project.sql(BRANCH, "SELECT datname FROM pg_database WHERE datname LIKE 'rehearse-%'")]


def test_a_rehearsal_that_passes(bookstore: Project) -> None:
    """It says what each phase took, the ledger keeps that it passed, and nothing else is left of it."""
    plan(
        bookstore,
        "kind: rename_column, table: books, column: published_year, to: publication_year",
        "migrate_reads: {soak: 1d}\nbackfill: {hooks: {before: [{run: 'false'}]}}\n"
        "contract: {undo_window: 1h, require: {attestations: [reads-new]}}\n",
    )

    answer = bookstore.ecm(*REHEARSE, "--output", "report.md", "--json")

    assert answer.code == 0, answer
    report, page = answer.json, (bookstore.root / "report.md").read_text()
    targets = [each["target"] for each in report["phases"]]
    assert targets[-5:] == ["reads_migrated", "contracted", "reads_migrated", "contracted", "contracted"]
    assert targets.count("planned") == 3
    assert [each["phase"] for each in report["forecast"]] == [
        "expand",
        "backfill",
        "migrate_reads",
        "contract",
        "finalize",
    ]
    assert {each["version"]: each["transactions"] > 0 for each in report["writers"]} == {"old": True, "new": True}
    assert report["writer_errors"] == report["unwritten"] == []
    assert "column books.publication_year is only after" in report["changed"]
    assert "✅ passed: the whole cycle, 5 rollbacks on the way, 60 rows" in page
    assert re.search(r"^\| ↩ to backfilled \| .* \| .* \| .* \| .* \| .* \|$", page, re.MULTILINE)
    (entry,) = bookstore.ecm("history", PLAN, "--json").json["entries"]
    assert (entry["kind"], entry["branch"], entry["data"]["passed"]) == ("rehearsal", BRANCH, True)
    assert "rehearsed on a copy of production: passed" in said(bookstore.ecm("history").out)
    assert copies(bookstore) == []
    assert list((bookstore.root / ".ecm" / "rehearsals").iterdir()) == []
    assert bookstore.sql(BRANCH, "SELECT count(*) FROM pg_namespace WHERE nspname = 'ecm'") == [(0,)]


def test_its_screen_fits(bookstore: Project) -> None:
    """What went well is told in 80 columns, and what is next; to delete a copy that was kept proves nothing."""
    answer = bookstore.ecm(*REHEARSE, "--keep")

    assert answer.code == 0, answer
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "✓ passed: the whole cycle, 4 rollbacks on the way, 60 rows" in answer.out
    assert re.search(r"↩ to backfilled +\S+ m?s", answer.out)
    assert "the same server as production" in said(answer.out)
    assert f"ecm gate {PLAN} --branch production" in answer.out
    (kept,) = copies(bookstore)
    assert f"{kept} is kept" in answer.out
    assert f"ecm branch delete {kept}" in said(answer.out.replace("\\\n", ""))
    assert bookstore.ecm("branch", "delete", kept, "--yes").code == 0
    kinds = [(entry["kind"], entry["branch"]) for entry in bookstore.ecm("history", "--json").json["entries"]]
    assert kinds == [("rehearsal", BRANCH), ("branch_deleted", kept)]


@pytest.mark.parametrize(
    ("change", "before", "code", "words"),
    [
        (
            "kind: change_type, table: books, column: isbn, type: int, using: isbn::int, reverse: isbn::text",
            "UPDATE books SET isbn = 'unknown' WHERE id = 7",
            4,
            ["expand, planned → expanded", "books: id=7", "unknown"],
        ),
        (
            "kind: rename_column, table: books, column: published_year, to: publication_year",
            "CREATE FUNCTION newest() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN max(published_year) FROM books; END'",
            4,
            ["expand, planned → expanded", "newest"],
        ),
        (
            "kind: split_column, table: books, column: title, reverse: \"kind || '-' || number\", into: ["
            "{column: kind, type: text, using: \"split_part(title, ' ', 1)\"},"
            "{column: number, type: text, using: \"split_part(title, ' ', 2)\"}]",
            "",
            6,
            ["expanded", "new version", "books_title_check"],
        ),
    ],
    ids=["rows that fail", "a dependent", "writes that would be refused"],
)
def test_what_would_stop_the_plan_is_a_report(
    bookstore: Project, change: str, before: str, code: int, words: list[str]
) -> None:
    """It has the exit code of the phase, names what it met there, and the ledger keeps that it did not pass."""
    plan(bookstore, change, "contract: {require: {rehearsal: 7d}}\n")
    if before:
        bookstore.sql(BRANCH, before)

    answer = bookstore.ecm(*REHEARSE, "--output", "report.md", "--json")

    assert answer.code == code, answer
    failure = answer.json["failure"]
    told = " ".join((failure["phase"], failure["message"], *failure["details"]))
    assert all(word in told for word in words), told
    assert f"❌ stopped at {failure['phase']}" in (bookstore.root / "report.md").read_text()
    (entry,) = bookstore.ecm("history", PLAN, "--json").json["entries"]
    assert (entry["data"]["passed"], entry["data"]["stopped"]) == (False, failure["phase"])
    assert copies(bookstore) == []


def test_no_number_is_cut_on_a_narrow_terminal() -> None:
    """In 60 columns titles go on in a second line, and each time, size and phase is there in full."""
    phase = RehearsedPhase(
        phase="contract",
        direction="back",
        origin="contracted",
        target="reads_migrated",
        seconds=0.456,
        lock_wait=0.084,
        lock_held=0.026,
        writer_wait=0.187,
        wal=985_000,
        disk=4_780_000,
        rows=1,
        differences=(),
    )
    report = RehearsalReport.model_construct(phases=(phase,))

    text = rendered(console(StringIO(), {"COLUMNS": "60"}), phases(report))

    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 60
    assert "↩ to reads migrated" in text


def test_a_plan_of_ones_own_statements_has_no_writers(bookstore: Project) -> None:
    """Nobody can tell what the two versions write, and that is said."""
    plan(
        bookstore,
        "kind: sql, expand: 'CREATE INDEX books_title_idx ON books (title)',"
        " rollback: {expand: 'DROP INDEX books_title_idx'}",
    )

    answer = bookstore.ecm(*REHEARSE, "--json")

    assert answer.code == 0, answer
    assert answer.json["writers"] == []
    assert "a plan of kind sql does not say" in answer.json["unwritten"][0]


def test_a_rehearsal_that_was_killed_is_cleared_by_the_next(bookstore: Project) -> None:
    """What it left is deleted and told of; what another machine may be at work on is not."""
    elsewhere = bookstore.root / ".ecm" / "rehearsals" / "rehearse-other"
    elsewhere.mkdir(parents=True)
    (elsewhere / "record.json").write_text(json.dumps({"branch": "rehearse-other", "host": "elsewhere", "pid": 1}))
    bookstore.sql(BRANCH, 'CREATE DATABASE "rehearse-other"')
    process = bookstore.start(*REHEARSE)
    _wait_until_under_way(bookstore, elsewhere.parent)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = set(copies(bookstore)) - {"rehearse-other"}

    answer = bookstore.ecm(*REHEARSE)

    assert answer.code == 0, answer
    assert f"branch {left} was left by a rehearsal that was killed (pid {process.pid}): deleted" in said(answer.out)
    assert copies(bookstore) == ["rehearse-other"]
    assert list(elsewhere.parent.iterdir()) == [elsewhere]
    bookstore.sql(BRANCH, 'DROP DATABASE "rehearse-other"')


def test_a_parent_in_use_is_left_in_peace(bookstore: Project) -> None:
    """Nobody is told to disconnect an application for a rehearsal: an idle branch with that data is named, or Neon."""
    with psycopg.connect(bookstore.urls[BRANCH], application_name="shop"):
        refused = bookstore.ecm(*REHEARSE)

    assert refused.code == 1, refused
    told = said(refused.err)
    assert "cannot be copied to rehearse-" in told
    assert 'application "shop"' in told
    assert "rehearse --from a branch that has its data and is idle, or use provider neon" in told
    assert "close the connections" not in told


def test_ctrl_c_deletes_the_copy(bookstore: Project) -> None:
    """It ends at once, says so, and has recorded nothing."""
    terminal = bookstore.terminal(*REHEARSE)
    _wait_until_under_way(bookstore, bookstore.root / ".ecm" / "rehearsals")

    terminal.interrupt()

    assert terminal.end() == 130
    assert "interrupted; it leaves no copy, and nothing was recorded" in said(terminal.shown)
    assert copies(bookstore) == []
    assert bookstore.ecm("history", "--json").json["entries"] == []


def _wait_until_under_way(project: Project, folder: Path) -> None:
    """Return once a plan was expanded on a copy, which its own ledger tells."""
    until = time.monotonic() + PATIENCE
    while not list(folder.glob("*/.ecm/ledger.db")):
        assert time.monotonic() < until, f"no rehearsal began: {copies(project)}"
        time.sleep(0.01)


def test_what_is_recorded_is_the_text_that_was_rehearsed(bookstore: Project) -> None:
    """A plan that is changed meanwhile was not rehearsed."""
    plan(bookstore, "kind: rename_column, table: books, column: published_year, to: publication_year")
    process = bookstore.start(*REHEARSE)
    _wait_until_under_way(bookstore, bookstore.root / ".ecm" / "rehearsals")
    plan(
        bookstore,
        "kind: rename_column, table: books, column: isbn, to: number",
        "expand: {require: {rehearsal: 1d}}\n",
    )
    process.wait()

    answer = bookstore.ecm("gate", PLAN, "--branch", BRANCH)

    assert "it was, but with another text" in said(answer.out + answer.err), answer


@pytest.mark.parametrize("name", [BRANCH, "try-out"])
def test_a_record_deletes_no_branch_that_no_rehearsal_made(bookstore: Project, name: str) -> None:
    """Whatever stands in the folder of copies, a branch of the project stays, and so does one that a person made."""
    assert bookstore.ecm("branch", "create", "try-out", "--parent", BRANCH).code == 0
    try:
        forged = bookstore.root / ".ecm" / "rehearsals" / "forged"
        forged.mkdir(parents=True)
        (forged / "record.json").write_text(json.dumps({"branch": name}))

        bookstore.ecm(*REHEARSE)

        listed = bookstore.ecm("branch", "list", "--json").json["branches"]
        assert name in {each["branch"] for each in listed if each["exists"]}
    finally:
        assert bookstore.ecm("branch", "delete", "try-out", "--yes").code == 0
