"""Exit codes: what scripts branch on."""

import sqlite3

import psycopg
import pytest
from cli.runs import PLAN, Project


def test_status_says_pending_only_when_asked(project: Project) -> None:
    """`status` is 0, and 3 with --exit-code as long as a branch is not contracted."""
    assert project.ecm("status").code == 0
    assert project.ecm("status", "--exit-code").code == 3

    for branch in project.urls:
        arguments = ["--to", "contracted", "--confirm", PLAN]
        assert project.ecm("advance", PLAN, "--branch", branch, *arguments).code == 0
    assert project.ecm("status", "--exit-code").code == 0


def test_status_of_branches_that_do_not_answer(offline: Project) -> None:
    """Where a branch does not answer, status shows it; --exit-code makes it an error, not something pending."""
    plain, asked = offline.ecm("status"), offline.ecm("status", "--exit-code", "--json")

    assert plain.code == 0
    assert "no answer" in plain.out
    assert asked.code == 1
    assert asked.json["plans"][0]["branches"][0]["error"]


def test_doctor_finds_a_branch_that_does_not_answer(offline: Project) -> None:
    """A finding that is not ok is exit code 1."""
    answer = offline.ecm("doctor")

    assert answer.code == 1
    assert "✗ connection" in answer.out


def test_verify_finds_rows_that_differ(project: Project) -> None:
    """Rows whose sides do not follow from one another are shown, with exit code 6."""
    project.ecm("advance", PLAN, "--branch", "development", "--to", "backfilled")
    assert project.ecm("verify", PLAN, "--branch", "development").code == 0

    project.sql(
        "development",
        "SET session_replication_role = replica; ALTER TABLE books DISABLE TRIGGER USER;"
        " UPDATE books SET publication_year = 1 WHERE id = 7",
    )
    answer = project.ecm("verify", PLAN, "--branch", "development")

    assert answer.code == 6
    assert "1 of 100 rows" in answer.out
    assert "id=7" in answer.out


def test_audit_finds_a_changed_entry(project: Project) -> None:
    """A ledger that is not as it was written is exit code 6."""
    project.ecm("advance", PLAN, "--branch", "development")
    assert project.ecm("audit", "verify").code == 0

    with sqlite3.connect(project.root / ".ecm" / "ledger.db") as ledger:
        (table,) = next(
            row
            for row in ledger.execute(
                "SELECT name FROM sqlite_master WHERE sql LIKE '%previous_hash%' AND type = 'table'"
            )
        )
        for (trigger,) in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            ledger.execute(f"DROP TRIGGER {trigger}")
        ledger.execute(f"UPDATE {table} SET actor = 'nobody'")
    ledger.close()
    answer = project.ecm("audit", "verify")

    assert answer.code == 6
    assert "entry 1" in answer.out


@pytest.mark.parametrize("command", ["advance", "rollback", "verify"])
def test_what_the_lifecycle_refuses_is_4(project: Project, command: str) -> None:
    """A step that the lifecycle does not have is refused, with the reason and the next command."""
    if command == "advance":
        assert project.ecm("advance", PLAN, "-b", "development", "--to", "contracted").code == 0
    answer = project.ecm(command, PLAN, "--branch", "development")

    assert (answer.code, answer.out) == (4, "")
    assert "next    ecm " in answer.err


def test_a_table_that_is_held_is_5(project: Project) -> None:
    """A lock that could not be had in time is exit code 5, and names who holds it."""
    text = (project.root / "plans" / f"{PLAN}.yaml").read_text()
    (project.root / "plans" / f"{PLAN}.yaml").write_text(f"{text}expand: {{lock_timeout: 1ms}}\n")
    with psycopg.connect(project.urls["development"], application_name="report") as reader:
        reader.execute("SELECT count(*) FROM books")
        answer = project.ecm("advance", PLAN, "--branch", "development")

    assert answer.code == 5
    assert "report" in answer.err
    assert "◐" in answer.err, "waiting is told while it lasts"
