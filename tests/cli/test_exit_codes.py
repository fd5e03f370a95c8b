"""Exit codes: what scripts branch on."""

import sqlite3
from contextlib import closing
from uuid import UUID

import psycopg
import pytest
from cli.runs import PLAN, Answer, Project

from orchestrator.ledger import Event, Ledger


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
        " UPDATE books SET publication_year = 1 WHERE id = 7; ALTER TABLE books ENABLE TRIGGER USER;"
        f' ALTER TABLE books ENABLE ALWAYS TRIGGER "~ecm_{PLAN}_public.books"',
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


@pytest.mark.parametrize("phases", [1, 2])
def test_audit_finds_a_ledger_that_was_emptied(project: Project, phases: int) -> None:
    """A new chain holds, but the branches remember what it does not; the next command tells it."""
    for _ in range(phases):
        project.ecm("advance", PLAN, "--branch", "development")
    (project.root / ".ecm" / "ledger.db").unlink()
    answer = project.ecm("audit", "verify")

    assert answer.code == 6
    moves = "1 move" if phases == 1 else "2 moves"
    assert f"this ledger does not know {moves} that development's journal holds" in " ".join(answer.out.split())
    (problem,) = project.ecm("audit", "verify", "--json").json["problems"]
    assert (problem["seq"], problem["kind"]) == (None, "emptied")
    assert not project.sql("production", "SELECT to_regnamespace('ecm')")[0][0], "a look makes no journal"
    project.ecm("advance", PLAN, "--branch", "development")
    assert project.ecm("audit", "verify").code == 0


def test_audit_finds_moves_that_a_whole_chain_lacks(project: Project) -> None:
    """Entries taken out and the rest chained anew: the journals tell; the newest may be still to be copied."""
    for _ in range(3):
        project.ecm("advance", PLAN, "--branch", "development")
    entries = project.root / ".ecm" / "ledger.db"
    ids = [row[0] for row in project.sql("development", "SELECT id::text FROM ecm.moves ORDER BY seq")]
    before = project.ecm("history", "--json").json["entries"]
    assert len(before) == 3

    def left_with(*kept: int) -> Answer:
        """Put a ledger there that holds those events only, in a chain that is whole."""
        entries.unlink()
        with Ledger(f"sqlite:///{entries}") as ledger:
            ledger.append(
                Event(
                    id=UUID(ids[number]),
                    ecm_version="0",
                    **{
                        key: before[number][key]
                        for key in ("kind", "plan", "branch", "checksum", "actor", "happened_at", "data")
                    },
                )
                for number in kept
            )
        return project.ecm("audit", "verify", "--json")

    assert left_with(0, 1, 2).code == 0
    assert left_with(0, 1).code == 0, "a crash between journal and ledger leaves the newest"
    removed = left_with(0, 2)
    assert removed.code == 6
    (problem,) = removed.json["problems"]
    assert (problem["seq"], problem["kind"]) == (None, "removed")
    assert "development" in problem["message"]
    assert "planned" not in problem["message"]


def test_audit_says_whom_it_could_not_ask(project: Project) -> None:
    """A branch that does not answer cannot be compared, and is no fault of the ledger's."""
    nowhere = "postgresql://app:correct-horse-battery@127.0.0.1:1/x"
    answer = project.ecm("audit", "verify", DATABASE_URL_PRODUCTION=nowhere)
    report = project.ecm("audit", "verify", "--json", DATABASE_URL_PRODUCTION=nowhere).json

    assert answer.code == 0
    assert report["unanswered"] == ["production"]
    assert "production did not answer" in " ".join(answer.out.split())


def test_contract_needs_a_whole_ledger(project: Project) -> None:
    """What cannot be taken back is not done on a record that was tampered with, required by another branch or not."""
    arguments = ("advance", PLAN, "--branch", "development")
    project.ecm(*arguments, "--to", "backfilled")
    with closing(sqlite3.connect(project.root / ".ecm" / "ledger.db", isolation_level=None)) as ledger:
        for (trigger,) in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            ledger.execute(f"DROP TRIGGER {trigger}")
        ledger.execute("UPDATE entries SET actor = 'nobody' WHERE seq = 1")

    assert project.ecm(*arguments).code == 0, "what can be rolled back goes on"
    refused = project.ecm(*arguments)
    assert refused.code == 6
    assert "the ledger is not as it was written" in refused.err
    assert "next    ecm audit verify" in refused.err


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
        answer = project.ecm("advance", PLAN, "--branch", "development", attempts=2)

    assert answer.code == 5
    assert "report" in answer.err
    assert "◐" in answer.err, "waiting is told while it lasts"
