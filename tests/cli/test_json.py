"""`--json`: the shapes scripts hold on to, on stdout alone."""

from typing import Any

import pytest
from cli.runs import PLAN, Project

KEYS = {
    ("status",): {"project", "ledger", "branches", "plans"},
    ("gate", PLAN, "-b", "development"): {"plan", "branch", "state", "to", "allowed", "reasons", "next_command"},
    ("plan", "list"): {"plans"},
    ("plan", "validate"): {"plans"},
    ("plan", "show", PLAN): {"plan", "branch", "checksum", "phases", "beware", "obstacles", "next_command"},
    ("history",): {"plan", "entries"},
    ("audit", "verify"): {"ledger", "entries", "problems"},
    ("doctor",): {"findings"},
    ("advance", PLAN, "-b", "development", "--dry-run"): {"plan", "branch", "dry_run", "moves", "state"},
}


@pytest.mark.parametrize(("arguments", "keys"), KEYS.items(), ids=[" ".join(arguments) for arguments in KEYS])
def test_every_report_is_a_versioned_object(project: Project, arguments: tuple[str, ...], keys: set[str]) -> None:
    """Every report is one JSON object that begins with its format's version."""
    answer = project.ecm(*arguments, "--json")

    assert (answer.code, answer.err) == (0, "")
    assert next(iter(answer.json.items())) == ("format_version", 1)
    assert keys <= set(answer.json)


def test_json_may_come_before_the_command(project: Project) -> None:
    """`ecm --json status` and `ecm status --json` are the same."""
    before, after = project.ecm("--json", "history"), project.ecm("history", "--json")

    assert before.json == after.json


def test_status_has_every_key_of_a_branch(project: Project) -> None:
    """Where a plan is on a branch is told in full, null where there is nothing to tell."""
    project.ecm("advance", PLAN, "--branch", "development")
    (plan,) = project.ecm("status", "--json").json["plans"]

    assert {"plan": PLAN}.items() <= plan.items()
    assert plan["checksum"].startswith("sha256:")
    development, production = plan["branches"]
    assert {
        "branch": "development",
        "state": "expanded",
        "in_progress": None,
        "progress": None,
        "undo_until": None,
        "blocked_by": [],
        "next_command": f"ecm advance {PLAN} --branch development",
        "source": "journal",
    }.items() <= development.items()
    assert development["as_of"]
    assert (production["state"], production["source"]) == ("planned", "journal")


def test_a_preview_has_every_statement_with_its_lock(project: Project) -> None:
    """`plan show --json` lists what would run, phase by phase."""
    phases = project.ecm("plan", "show", PLAN, "--json").json["phases"]
    steps: list[Any] = [step for phase in phases for step in phase["steps"]]

    assert [phase["phase"] for phase in phases] == ["expand", "backfill", "migrate_reads", "contract"]
    assert all({"sql", "lock", "transactional", "reversible", "note"} <= set(step) for step in steps)
    assert "ACCESS EXCLUSIVE" in {step["lock"] for step in steps}


def test_progress_stays_off_stdout(project: Project) -> None:
    """What happens while a phase runs is told on stderr; stdout is the report alone."""
    answer = project.ecm("advance", PLAN, "--branch", "development", "--json")

    assert answer.json["state"] == "expanded"
    assert f"{PLAN} on development: expand" in answer.err


def test_a_refusal_is_an_error_object(project: Project) -> None:
    """A gate's no is exit code 4 and an error with its code and hint."""
    answer = project.ecm("advance", PLAN, "--branch", "production", "--yes", "--json")

    assert (answer.code, answer.json["error"]["code"]) == (4, "refused")
    assert answer.json["error"]["hint"] == f"ecm advance {PLAN} --branch development"


def test_a_closed_gate_is_a_report_with_exit_code_4(project: Project) -> None:
    """`gate` answers the question it was asked: a report, and an exit code for scripts."""
    answer = project.ecm("gate", PLAN, "--branch", "production", "--json")

    assert (answer.code, answer.json["allowed"]) == (4, False)
    assert {"requires"} == {reason["code"] for reason in answer.json["reasons"]}


def test_init_tells_what_it_wrote(nowhere: Project) -> None:
    """`init --json` lists the files it made."""
    answer = nowhere.ecm("init", "--json")

    assert (answer.code, answer.json["format_version"]) == (0, 1)
    assert "ecm.yaml" in answer.json["written"]


def test_the_schema_is_the_schema(nowhere: Project) -> None:
    """`plan schema` writes a JSON Schema and nothing else, and needs no project."""
    answer = nowhere.ecm("plan", "schema")

    assert answer.code == 0
    assert answer.json["$schema"].startswith("https://json-schema.org/")
