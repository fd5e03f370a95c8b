"""`ecm status` of what is not as it should be: a run that was killed, files that are gone, broken or edited."""

import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from cli.runs import PLAN, Project

DEVELOPMENT = ("--branch", "development")
ROLLBACK = f"ecm rollback {PLAN} --branch development"


@contextmanager
def held_up(project: Project) -> Generator["subprocess.Popen[str]"]:
    """A backfill of development that waits for rows which someone else has locked."""
    assert project.ecm("advance", PLAN, *DEVELOPMENT).code == 0
    with psycopg.connect(project.urls["development"]) as other:
        other.execute("SELECT FROM books FOR UPDATE")
        running = project.start(
            "advance", PLAN, *DEVELOPMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        assert running.stderr is not None
        while "rows are locked" not in running.stderr.readline():
            assert running.poll() is None
        yield running
        running.communicate()


def on_development(project: Project) -> dict[str, Any]:
    (plan,) = project.ecm("status", PLAN, *DEVELOPMENT, "--json").json["plans"]
    return plan["branches"][0]


def under_way_elsewhere(project: Project, name: str) -> None:
    """Let the plan's record on development be that of another plan, which has no file."""
    assert project.ecm("advance", PLAN, *DEVELOPMENT).code == 0
    project.sql(
        "development",
        f'UPDATE ecm.plans SET plan = \'{name}\', recorded = recorded || \'{{"plan": "{name}", "description": "Cats"}}\'',
    )


def test_a_run_that_was_killed_runs_no_more(project: Project) -> None:
    """Whoever was killed cannot say so: its session's end does, and the next command carries on."""
    with held_up(project) as running:
        assert on_development(project)["in_progress"]["holder"]
        assert "interrupted" not in project.ecm("status").out
        running.send_signal(signal.SIGKILL)
        running.wait()
    until_gone = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    while project.sql("development", until_gone):
        pass

    branch = on_development(project)
    assert branch["in_progress"]["holder"] is None
    assert branch["next_command"] == f"ecm advance {PLAN} --branch development"
    overview, closer = project.ecm("status").out, project.ecm("status", PLAN, *DEVELOPMENT).out
    assert "interrupted" in overview
    assert f"next      ecm advance {PLAN} --branch development" in overview
    assert "interrupted; the next command goes on from here" in closer
    assert f"next      ecm advance {PLAN} --branch development" in closer


def test_a_plan_under_way_without_a_file_is_shown(project: Project) -> None:
    """What was begun stays in sight when its file is gone; what can be done without the file is said."""
    assert project.ecm("advance", PLAN, *DEVELOPMENT).code == 0
    (project.root / "plans" / f"{PLAN}.yaml").unlink()
    command = f"ecm rollback {PLAN} --branch development"

    (plan,) = project.ecm("status", "--json").json["plans"]
    development, production = plan["branches"]
    assert (plan["plan"], plan["has_file"], plan["error"]) == (PLAN, False, None)
    assert plan["checksum"].startswith("sha256:")
    assert (development["state"], development["next_command"]) == ("expanded", command)
    assert [reason["code"] for reason in development["blocked_by"]] == ["no_file"]
    assert (production["state"], production["blocked_by"], production["next_command"]) == ("planned", [], None)
    overview, closer = project.ecm("status").out, project.ecm("status", PLAN, *DEVELOPMENT).out
    for screen in (overview, closer):
        said = " ".join(screen.split())
        assert "no file" in said
        assert f"there is no file plans/{PLAN}.yaml" in said
        assert command in said
    assert project.ecm("status", "--exit-code").code == 3

    assert project.ecm(*command.split()[1:]).code == 0
    assert project.ecm("status", "--json").json["plans"] == []
    assert project.ecm("status", PLAN).code == 2


def test_a_plan_without_a_file_beside_another(project: Project) -> None:
    """The text that was begun gives its description; the plan that has a file is shown as ever."""
    under_way_elsewhere(project, "cat")

    plans = {plan["plan"]: plan for plan in project.ecm("status", "--json").json["plans"]}
    assert (plans["cat"]["has_file"], plans["cat"]["description"]) == (False, "Cats")
    assert (plans[PLAN]["has_file"], plans[PLAN]["branches"][0]["state"]) == (True, "planned")


def test_a_neighbour_that_cannot_be_read_is_a_reason(project: Project) -> None:
    """A plan that another version began may touch the same columns: it is named, and nothing is begun beside it."""
    under_way_elsewhere(project, "cat")
    project.sql("development", 'UPDATE ecm.plans SET recorded = \'{"changes": [{"kind": "purr"}]}\'')

    status = project.ecm("status", "--json")
    cat = next(plan for plan in status.json["plans"] if plan["plan"] == "cat")
    assert cat["branches"][0]["state"] == "expanded"
    assert cat["branches"][0]["next_command"] is None
    gate = project.ecm("gate", PLAN, *DEVELOPMENT, "--json")
    advance = project.ecm("advance", PLAN, *DEVELOPMENT)

    assert (gate.code, advance.code) == (4, 4)
    (reason,) = gate.json["reasons"]
    assert reason["code"] == "overlap"
    assert reason["message"].startswith("cat is under way on development, and this ecm cannot read its text")
    assert "cat is under way on development" in advance.err


def test_a_file_that_cannot_be_read_is_to_be_validated(project: Project) -> None:
    """No command that needs the plan is proposed where there is none to be had."""
    (project.root / "plans" / f"{PLAN}.yaml").write_text("plan: [")
    command = f"ecm plan validate {PLAN}"

    (plan,) = project.ecm("status", "--json").json["plans"]
    assert [branch["next_command"] for branch in plan["branches"]] == [command, command]
    assert f"next      {command}" in project.ecm("status").out
    assert f"plans/{PLAN}.yaml" in "".join(project.ecm(*command.split()[1:]).out.split())


def test_an_edited_plan_is_to_be_rolled_back(project: Project) -> None:
    """Advance would be refused; the command that is proposed instead works."""
    assert project.ecm("advance", PLAN, *DEVELOPMENT).code == 0
    file = project.root / "plans" / f"{PLAN}.yaml"
    file.write_text(file.read_text().replace("publication_year", "pub_year"))

    assert on_development(project)["next_command"] == ROLLBACK
    assert f"ecm advance {PLAN} --branch development" not in project.ecm("status").out
    closer = project.ecm("status", PLAN, *DEVELOPMENT).out
    assert f"next      {ROLLBACK}" in closer
    assert " ".join(closer.split()).count(ROLLBACK) == 2, "in the reason and once as a command"
    assert project.ecm(*ROLLBACK.split()[1:]).code == 0


@pytest.mark.parametrize(
    ("edit", "expected"),
    [("", f"ecm advance {PLAN} --branch development"), ("migrate_reads: {soak: 1h}\n", None)],
)
def test_what_blocks_says_what_to_run(project: Project, edit: str, expected: str | None) -> None:
    """The command of the first reason that has one; none where there is nothing to do but wait."""
    file = project.root / "plans" / f"{PLAN}.yaml"
    file.write_text(file.read_text() + edit)
    if edit:
        assert project.ecm("advance", PLAN, *DEVELOPMENT, "--to", "reads_migrated").code == 0
        assert on_development(project)["next_command"] == expected
        return
    (plan,) = project.ecm("status", "--json").json["plans"]
    assert plan["branches"][1]["next_command"] == expected


def test_a_branch_that_nobody_knows_has_no_state(offline: Project) -> None:
    """Where neither the branch nor the ledger has a word, the state is unknown, and not planned."""
    (plan,) = offline.ecm("status", "--json").json["plans"]

    assert [(branch["state"], branch["source"]) for branch in plan["branches"]] == [(None, "none")] * 2
    assert "✗ unknown" in offline.ecm("status").out
    assert "unknown" in offline.ecm("status", PLAN).out
    assert "planned" not in offline.ecm("status").out + offline.ecm("status", PLAN).out


def test_a_plan_that_stopped_says_what_it_goes_on_with(project: Project) -> None:
    """In either direction: what stopped it, and the commands that go on and back, beside it and at the end."""
    change = ("add-column", "books", "pages", "int", "--using", "id", "--check", "pages < 1000", "--name", "pages")
    project.ecm("plan", *change)
    assert project.ecm("advance", "pages", *DEVELOPMENT, "--to", "reads_migrated").code == 0
    project.sql("development", "UPDATE books SET pages = 5000 WHERE id = 1")
    assert project.ecm("advance", "pages", *DEVELOPMENT).code == 1
    forward, back = "ecm advance pages --branch development", "ecm rollback pages --branch development"
    overview, closer = project.ecm("status").out, project.ecm("status", "pages", *DEVELOPMENT).out

    said = " ".join(overview.split())
    assert "pages on development stopped in contract: every row has pages < 1000" in said
    assert f"once that is set right, {forward} goes on, and {back} takes back what was done of it" in said
    assert f"next      {forward}" in overview
    assert closer.endswith(f"next      {forward}\nback      {back}\n")

    project.sql("development", "UPDATE ecm.plans SET direction = 'back' WHERE plan = 'pages'")
    overview, closer = project.ecm("status").out, project.ecm("status", "pages", *DEVELOPMENT).out
    said = " ".join(overview.split())
    assert "pages on development stopped in undoing contract: every row has pages < 1000" in said
    assert f"once that is set right, {back} goes on" in said
    assert forward not in overview
    assert f"next      {back}" in overview
    assert closer.endswith(f"next      {back}\n")
