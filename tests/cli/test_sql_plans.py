"""SQL of one's own on the command line: drafted from options, shown with locks, linted where a linter is."""

import json
import sys
from pathlib import Path

import pytest
from cli.runs import Project

from orchestrator import linter
from orchestrator.linter import ABSENT, lint
from orchestrator.plan.model import Plan

PLAN = {
    "plan": "own",
    "changes": [
        {
            "kind": "sql",
            "expand": "ALTER TABLE books ADD COLUMN note text;\nCREATE INDEX of_note ON books (note);",
            "contract": "ALTER TABLE books DROP COLUMN title",
            "rollback": {"expand": "ALTER TABLE books DROP COLUMN note"},
        }
    ],
}


def test_findings_have_their_line() -> None:
    """What holds up writers is told with its line; what contract and the way back are for is not."""
    (found,) = lint(Plan.model_validate(PLAN), server_version=160000)
    assert found.startswith("expand, line 2: During normal index creation, table updates are blocked")
    assert found.endswith("(squawk: require-concurrent-index-creation)")


def test_without_a_linter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """That nothing was linted is said, and only where there is something to lint."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lint(Plan.model_validate(PLAN)) == (ABSENT,)
    plain = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
    assert lint(Plan.model_validate({"plan": "plain", "changes": [plain]})) == ()


def test_a_linter_that_does_not_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is no reason to stop."""
    broken = tmp_path / "squawk"
    broken.write_text("#!/bin/sh\necho nothing\n")
    broken.chmod(0o755)
    monkeypatch.setattr(linter.sys, "executable", str(tmp_path / "python"))
    assert lint(Plan.model_validate(PLAN))[0] == "expand: squawk could not lint it (JSONDecodeError)"


def test_from_the_command_line(project: Project) -> None:
    """`ecm plan sql` takes each field as an option; the plan reads back, is shown with its locks, and runs."""
    drafted = project.ecm(
        "plan", "sql", "--name", "own", "--expand", "ALTER TABLE books ADD COLUMN note text",
        "--rollback", "{expand: ALTER TABLE books DROP COLUMN note}",
        "--backfill", "{table: books, set: {note: lower(title)}}",
    )  # fmt: skip
    assert drafted.code == 0, drafted.err
    shown = project.ecm("plan", "show", "own", "--json")
    (step,) = shown.json["phases"][0]["steps"]
    assert step["sql"].startswith("ALTER TABLE books ADD COLUMN note text;\n")
    assert step["lock"] == "ACCESS EXCLUSIVE"
    assert "expand, statement 1, line 1: ACCESS EXCLUSIVE on books" in step["note"]
    assert project.ecm("plan", "validate", "own").code == 0
    assert project.ecm("advance", "own", "--branch", "development", "--to", "contracted").code == 0


def test_findings_are_shown(project: Project) -> None:
    """With the line, where a plan is shown and where it is validated."""
    (project.root / "plans" / "own.yaml").write_text(json.dumps(PLAN))
    for command in (("plan", "show", "own"), ("plan", "validate", "own")):
        answer = project.ecm(*command)
        assert answer.code == 0, answer.err
        assert "expand, line 2: During normal index creation" in " ".join(answer.out.split())


def test_a_file_with_a_statement_that_cannot_be_sent(offline: Project) -> None:
    """The error has the place in the file, and the line of the text."""
    (project := offline.root / "plans" / "own.yaml").write_text(
        "plan: own\nchanges:\n  - kind: sql\n    expand: COMMIT\n"
    )
    answer = offline.ecm("plan", "validate", "own")
    assert answer.code == 1
    assert "expand, statement 1, line 1: COMMIT: ecm begins and ends" in " ".join((answer.out + answer.err).split())
    project.write_text("plan: own\nchanges:\n  - kind: sql\n    expends: SELECT 1\n    contract: SELECT 1\n")
    answer = offline.ecm("plan", "validate", "own")
    assert "did you mean 'expand'?" in " ".join((answer.out + answer.err).split())
