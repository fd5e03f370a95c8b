"""`--help`: short, with an example, and there at once."""

import subprocess
import sys

import pytest
from cli.runs import Project

from orchestrator.operations import KINDS

COMMANDS = (
    "init", "doctor", "advance", "rollback", "gate", "status", "verify", "readers", "history", "audit verify", "demo",
    "detect", "inspect", "emit", "plan list", "plan show", "plan validate", "plan schema", "plan rename-column",
)  # fmt: skip

_HEAVY = ("rich", "pydantic", "psycopg", "sqlalchemy", "transitions", "ruamel", "orchestrator.operations")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(nowhere: Project, command: str) -> None:
    """Help says what the command does and shows it, in 80 columns."""
    answer = nowhere.ecm(*command.split(), "--help")

    assert (answer.code, answer.err) == (0, "")
    assert f"Example: ecm {command}" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


@pytest.mark.parametrize("command", ["detect", "inspect", "emit"])
def test_help_fits_a_narrow_terminal(nowhere: Project, command: str) -> None:
    """Also its examples, which no screen may break."""
    answer = nowhere.ecm(command, "--help", COLUMNS="60")

    assert [line for line in answer.out.splitlines() if len(line) > 60] == []


@pytest.mark.parametrize("arguments", [("--help",), ("-h",)])
def test_help_lists_every_command(nowhere: Project, arguments: tuple[str, ...]) -> None:
    """The first page names all commands with a whole sentence each."""
    answer = nowhere.ecm(*arguments)

    assert answer.code == 0
    listed = {line.split()[0] for line in answer.out.splitlines() if line.startswith("  ") and line.split()}
    assert {command.split()[0] for command in COMMANDS} <= listed
    assert "..." not in answer.out.partition("\n")[2], "a sentence was cut"


def test_help_of_init_names_what_it_writes(nowhere: Project) -> None:
    """No more than is there afterwards: plans/ is empty."""
    said = nowhere.ecm("init", "--help").out
    assert nowhere.ecm("init").code == 0

    assert "ecm.yaml, an empty plans/, and .env.example" in said
    assert {"ecm.yaml", "plans", ".env.example"} <= {path.name for path in nowhere.root.iterdir()}
    assert list((nowhere.root / "plans").iterdir()) == []


def test_help_of_plan_lists_the_kinds_of_change(nowhere: Project) -> None:
    """A kind of change is a subcommand with its fields as arguments."""
    assert "rename-column" in nowhere.ecm("plan", "--help").out
    assert "{TABLE} {COLUMN} {TO}" in nowhere.ecm("plan", "rename-column", "--help").out
    # A field may be called name; the plan's own is an option still.
    unique = nowhere.ecm("plan", "add-unique", "--help").out
    assert "{TABLE} {NAME}" in unique
    assert "--name" in unique


def test_help_of_plan_is_grouped_and_whole(nowhere: Project) -> None:
    """Its own commands come first, then the kinds by what they are about, each with a whole sentence, in 80 columns."""
    out = nowhere.ecm("plan", "--help").out
    titles = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]

    assert titles[:3] == ["Options:", "Look at plans:", "Write a plan for a column:"]
    assert max(map(len, out.splitlines())) <= 80
    assert "..." not in out.partition("\n")[2], "a sentence was cut"
    assert all(f"\n  {kind.replace('_', '-')} " in out for kind in KINDS)
    for kind in KINDS:
        answer = nowhere.ecm("plan", kind.replace("_", "-"), "--help")
        assert f"Example: ecm plan {kind.replace('_', '-')} " in answer.out
        assert max(map(len, answer.out.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_loads_nothing_that_is_slow(arguments: list[str]) -> None:
    """What takes long to import is not imported before a command needs it."""
    program = f"import sys; from orchestrator.cli.main import main; main({arguments}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert set(_HEAVY).isdisjoint(loaded.splitlines()[-1].split())


def test_version(nowhere: Project) -> None:
    """`--version` names the program and its version."""
    answer = nowhere.ecm("--version")

    assert answer.code == 0
    assert answer.out.startswith("ecm ")


def test_no_command_shows_help_and_is_a_usage_error(nowhere: Project) -> None:
    """`ecm` alone explains itself on stderr; a script that forgot the command still fails."""
    answer = nowhere.ecm()

    assert (answer.code, answer.out) == (2, "")
    assert "Usage: ecm" in answer.err
