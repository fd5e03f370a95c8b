"""Commands that meet a lock on a plan's table: what they tell meanwhile, and how Ctrl-C ends them."""

import json
import signal
import socket
import subprocess
from collections.abc import Generator
from typing import Any

import psycopg
import pytest
from cli.runs import PATIENCE, PLAN, Project

HERE = ("--branch", "development")
COMMANDS = {
    "plan show": ("plan", "show", PLAN, *HERE),
    "gate": ("gate", PLAN, *HERE),
    "advance": ("advance", PLAN, *HERE),
    "rollback": ("rollback", PLAN, *HERE),
    "a new plan": ("plan", "set-not-null", "books", "title", *HERE),
}


@pytest.fixture
def holder(project: Project) -> Generator["psycopg.Connection[Any]"]:
    """A session that has locked books on development."""
    project.ecm("advance", PLAN, *HERE)
    with psycopg.connect(project.urls["development"], application_name="report") as session:
        session.execute("LOCK TABLE books IN ACCESS EXCLUSIVE MODE")
        yield session


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_what_is_waited_for_is_told(
    project: Project, holder: "psycopg.Connection[Any]", arguments: tuple[str, ...]
) -> None:
    """Who meets a lock is told of it on stderr at once, with who holds it; the error at the end says it again."""
    answer = project.ecm(*arguments, attempts=2)
    first, error = " ".join(answer.err.split()).split("error:")

    assert answer.code == 5
    assert "books: locked by another session, held by pid" in first
    assert f'held by pid {holder.info.backend_pid}, user postgres, application "report"' in first
    assert f"held by pid {holder.info.backend_pid}" in error


@pytest.mark.parametrize("arguments", [COMMANDS["plan show"], COMMANDS["gate"]])
def test_json_is_all_that_a_program_reads(
    project: Project, holder: "psycopg.Connection[Any]", arguments: tuple[str, ...]
) -> None:
    """With --json a look tells nothing on the way; the error names who holds the lock."""
    answer = project.ecm(*arguments, "--json", attempts=2)

    assert (answer.code, answer.err) == (5, "")
    assert f"held by pid {holder.info.backend_pid}" in answer.json["error"]["details"][0]


def test_a_terminal_is_told_before_the_first_step(project: Project, holder: "psycopg.Connection[Any]") -> None:
    """Where nothing is redrawn yet, what is waited for is a line that stays."""
    terminal = project.terminal("advance", PLAN, *HERE)
    terminal.wait_for(f"held by pid {holder.info.backend_pid}")
    terminal.interrupt()

    assert terminal.end() == 130


@pytest.mark.usefixtures("holder")
@pytest.mark.parametrize("arguments", [COMMANDS["plan show"], COMMANDS["gate"]])
def test_interrupted_while_it_waits(project: Project, arguments: tuple[str, ...]) -> None:
    """Ctrl-C ends the wait for a lock."""
    run = project.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stderr is not None
    while "locked by another session" not in (line := run.stderr.readline()):
        assert line
    run.send_signal(signal.SIGINT)

    assert run.wait(PATIENCE) == 130
    assert "interrupted" in run.communicate()[1]


def test_the_doctor_names_who_locks_a_table(project: Project, holder: "psycopg.Connection[Any]") -> None:
    """It tries once, tells who stands in the way, and reports all else, for each table that is locked once."""
    (project.root / "plans" / "title.yaml").write_text(
        "plan: title\nchanges: [{kind: set_not_null, table: books, column: title}]\n"
    )
    answer = project.ecm("doctor", "--json")
    here, there = (each for each in json.loads(answer.out)["findings"] if each["subject"] == "tables")

    assert answer.code == 1
    assert f"{PLAN}: books could not be looked at; locked by pid {holder.info.backend_pid}, user" in here["message"]
    assert "ecm doctor --branch development" in here["remedy"]
    assert there["ok"], "production is not locked"


@pytest.mark.parametrize("command", ["doctor", "status", "audit verify"])
def test_interrupted_while_a_branch_does_not_answer(project: Project, command: str) -> None:
    """Ctrl-C ends what looks at all branches, whatever its threads wait for."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        project.urls["development"] = f"postgresql://u@127.0.0.1:{port}/d?connect_timeout=3600"
        run = project.start(*command.split(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            caller, _ = silent.accept()
            with caller:
                run.send_signal(signal.SIGINT)

                assert "interrupted" in run.communicate(timeout=PATIENCE)[1]
                assert run.returncode == 130
        finally:
            run.kill()
