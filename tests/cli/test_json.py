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


def test_a_preview_tells_what_it_expects(project: Project) -> None:
    """Sizes, a forecast with its ranges, and what hangs on the columns, as values; the branch that was measured too."""
    project.sql("development", "CREATE VIEW recent AS SELECT published_year FROM books")
    report = project.ecm("plan", "show", PLAN, "--json").json
    (books,) = report["tables"]

    assert {"rows": 100, "analyzed": True, "extension": None, "triggers": [], "unfollowed": []}.items() <= books.items()
    assert books["heap_bytes"] + books["index_bytes"] + books["toast_bytes"] == books["bytes"]
    assert books["hanging"] == [
        {
            "fate": "follow by themselves",
            "dependents": [{"kind": "view", "name": "public.recent", "why": "", "acknowledged": False}],
        }
    ]
    assert {"writes": True, "as_on": None, "indexes_built": []}.items() <= books["forecast"].items()
    for key in ("seconds", "rows_per_second", "new_columns", "heap_growth", "index_growth", "disk", "wal"):
        assert 0 <= books["forecast"][key]["least"] <= books["forecast"][key]["most"]
    assert report["sessions"] == []
    assert {phase["lock_timeout"] for phase in report["phases"]} == {1.0}
    assert all(step["waits"] and step["tables"] == ["books"] for phase in report["phases"] for step in phase["steps"])


def test_a_preview_goes_by_what_was_measured_elsewhere(project: Project) -> None:
    """The pace and the growth of the same plan on another branch are what is expected here."""
    more = "INSERT INTO books SELECT n, 'more', n FROM generate_series(1000, 20999) n; ANALYZE books"
    for branch in project.urls:
        project.sql(branch, more)
    project.ecm("advance", PLAN, "--branch", "development", "--to", "backfilled")
    (books,) = project.ecm("plan", "show", PLAN, "-b", "production", "--phase", "expand", "--json").json["tables"]

    assert books["forecast"]["as_on"] == "development"
    assert books["forecast"]["rows_per_second"]["least"] == books["forecast"]["rows_per_second"]["most"] > 0
    assert "as development did" in project.ecm("plan", "show", PLAN, "-b", "production").out
    (done,) = project.ecm("plan", "show", PLAN, "-b", "development", "--json").json["tables"]
    assert done["forecast"] is None, "there the backfill is over"


def test_a_preview_names_a_neighbour_on_the_same_columns(project: Project) -> None:
    """Before a plan begins, another one that changes the same column there is told, with the column."""
    project.ecm("advance", PLAN, "--branch", "development")
    (project.root / "plans" / "again.yaml").write_text(
        "plan: again\nchanges:\n  - {kind: rename_column, table: books, column: published_year, to: year}\n"
    )
    shown = project.ecm("plan", "show", "again", "--json").json["obstacles"]
    gate = project.ecm("gate", "again", "--branch", "development", "--json").json["reasons"]

    assert [reason["code"] for reason in shown] == ["overlap"]
    assert shown[0]["message"] == f"{PLAN} is under way on development and changes books.published_year too"
    assert gate == shown
    assert project.ecm("plan", "show", PLAN, "--json").json["obstacles"] == []


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
