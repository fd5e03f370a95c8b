"""A ledger that does not answer: what needs its word waits for it, and a way back does not."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from cli.runs import PLAN, Project, said

_NOWHERE: dict[str, Any] = {"ECM_LEDGER_URL": "postgresql://app:correct-horse-battery@127.0.0.1:1/ledger"}


@pytest.fixture
def apart(project: Project) -> Project:
    """A project with a ledger of its own, and a plan whose contract can be undone."""
    (project.root / "ecm.yaml").write_text(
        "project: bookstore\nledger_env: ECM_LEDGER_URL\nbranches:\n  development: {}\n"
    )
    with (project.root / "plans" / f"{PLAN}.yaml").open("a") as file:
        file.write("contract: {undo_window: 1h}\n")
    return project


def _there(project: Project) -> dict[str, Any]:
    return {"ECM_LEDGER_URL": f"sqlite:///{project.root}/ledger.db"}


def test_a_rollback_does_not_wait_for_the_ledger(apart: Project) -> None:
    """It is done, says that the ledger is still to be told, and the next command tells it."""
    where = (PLAN, "--branch", "development")
    assert apart.ecm("advance", *where, "--to", "contracted", **_there(apart)).code == 0

    away = apart.ecm("rollback", *where, **_NOWHERE)
    further = apart.ecm("rollback", *where, "--to", "planned", **_NOWHERE)
    again = apart.ecm("advance", *where, **_there(apart))
    moves = [each for each in apart.ecm("history", "--json", **_there(apart)).json["entries"] if each["kind"] == "move"]

    assert (away.code, further.code, again.code) == (0, 0, 0), (away, further, again)
    assert "the ledger was not reached and will be told by the next command" in said(away.out)
    assert [each["data"]["target"] for each in moves[4:]] == ["reads_migrated", "backfilled", "planned", "expanded"]
    assert "correct-horse" not in away.out + away.err + further.out + further.err


def test_an_advance_waits_for_the_ledger(apart: Project) -> None:
    """What it is judged by is there, and nowhere else."""
    where = (PLAN, "--branch", "development")
    refused = apart.ecm("advance", *where, **_NOWHERE)

    assert refused.code == 1
    assert "the ledger at postgresql://127.0.0.1:1/ledger cannot be used" in said(refused.err)


def _untold(project: Project, *command: str) -> None:
    """Run a command of which the ledger hears nothing, as when it is killed once the branch has committed."""
    file = project.root / "ledger.db"
    before = file.read_bytes()
    assert project.ecm(*command, **_there(project)).code == 0
    file.write_bytes(before)


def test_a_rollback_that_the_ledger_missed_ends_what_was_said(apart: Project) -> None:
    """The gate hears of it too, not only advance."""
    where = (PLAN, "--branch", "development")
    file = apart.root / "plans" / f"{PLAN}.yaml"
    file.write_text(
        file.read_text().replace("undo_window: 1h", "undo_window: 1h, require: {attestations: [reads-new]}")
    )
    assert apart.ecm("advance", *where, "--to", "reads_migrated", **_there(apart)).code == 0
    assert apart.ecm("attest", *where, "--as", "reads-new", "--version", "1", **_there(apart)).code == 0
    assert apart.ecm("advance", *where, **_there(apart)).code == 0
    _untold(apart, "rollback", *where)

    asked = apart.ecm("gate", *where, "--json", **_there(apart))

    assert asked.code == 4
    assert [reason["code"] for reason in asked.json["reasons"]] == ["attestation"]


def test_a_rollback_that_the_ledger_cannot_be_told_of(apart: Project) -> None:
    """What a required branch has taken back proves nothing, whether the ledger can be written or not."""
    (apart.root / "ecm.yaml").write_text(
        "project: bookstore\nledger_env: ECM_LEDGER_URL\nbranches:\n  development: {}\n"
        "  production: {requires: [development]}\n"
    )
    for branch, to in (("development", "contracted"), ("production", "reads_migrated")):
        assert apart.ecm("advance", PLAN, "--branch", branch, "--to", to, **_there(apart)).code == 0
    _untold(apart, "rollback", PLAN, "--branch", "development")

    with closing(sqlite3.connect(apart.root / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = apart.ecm("advance", PLAN, "--branch", "production", **_there(apart))
    again = apart.ecm("advance", PLAN, "--branch", "production", **_there(apart))

    assert refused.code == 1
    assert "is locked by another process" in said(refused.err)
    assert again.code == 4
    assert "contract is missing" in said(again.err)
