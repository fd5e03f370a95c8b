"""On a terminal: questions, progress, --watch; and what never happens without one."""

import pytest
from cli.runs import PLAN, Project

ESCAPE = "\x1b"


@pytest.mark.parametrize(
    ("answer", "code", "state"), [("y", 0, "expanded"), ("yes", 0, "expanded"), ("n", 4, "planned")]
)
def test_a_protected_branch_asks(project: Project, answer: str, code: int, state: str) -> None:
    """On a terminal a protected branch shows what would be done and asks; no is exit code 4."""
    project.ecm("advance", PLAN, "--branch", "development")
    terminal = project.terminal("advance", PLAN, "--branch", "production")
    terminal.wait_for("Do this on production? [y/N]")
    terminal.type(f"{answer}\n")

    assert terminal.end() == code
    assert "ACCESS EXCLUSIVE" in terminal.shown
    assert _state(project, "production") == state


def test_an_empty_answer_is_no(project: Project) -> None:
    """Return alone, and the end of the input, touch nothing."""
    project.ecm("advance", PLAN, "--branch", "development")
    for typed in ("\n", "\x04"):
        terminal = project.terminal("advance", PLAN, "--branch", "production")
        terminal.wait_for("[y/N]")
        terminal.type(typed)

        assert terminal.end() == 4
        assert "nothing was done on production" in terminal.shown
    assert _state(project, "production") == "planned"


def test_yes_does_not_ask(project: Project) -> None:
    """--yes skips the question, on a terminal and without one."""
    project.ecm("advance", PLAN, "--branch", "development", "--to", "backfilled")
    terminal = project.terminal("advance", PLAN, "--branch", "production", "--yes")

    assert terminal.end() == 0
    assert "[y/N]" not in terminal.shown
    assert project.ecm("advance", PLAN, "--branch", "production", "--yes").code == 0


def test_a_branch_that_is_not_protected_does_not_ask(project: Project) -> None:
    """Development is advanced at once."""
    terminal = project.terminal("advance", PLAN, "--branch", "development")

    assert terminal.end() == 0
    assert "[y/N]" not in terminal.shown


def test_without_a_terminal_a_protected_branch_needs_yes(project: Project) -> None:
    """Where nobody can be asked, nothing is done, and the option that consents is named."""
    project.ecm("advance", PLAN, "--branch", "development")
    answer = project.ecm("advance", PLAN, "--branch", "production", stdin="y\n")

    assert (answer.code, answer.out) == (2, "")
    assert f"ecm advance {PLAN} --branch production --yes" in answer.err
    assert _state(project, "production") == "planned"


@pytest.mark.parametrize(("typed", "code"), [(PLAN, 0), ("y", 4)])
def test_contract_on_a_protected_branch_wants_the_plans_name(project: Project, typed: str, code: int) -> None:
    """Contract cannot be undone: --yes is not enough, the plan's name is to be typed."""
    _up_to_contract(project)
    terminal = project.terminal("advance", PLAN, "--branch", "production", "--yes")
    terminal.wait_for("There is no way back. Type the plan's name to go on:")
    terminal.type(f"{typed}\n")

    assert terminal.end() == code
    assert _state(project, "production") == ("contracted" if code == 0 else "reads_migrated")


def test_contract_without_a_terminal_wants_confirm(project: Project) -> None:
    """--yes does not contract a protected branch, a wrong name neither; --confirm with the plan's name does."""
    _up_to_contract(project)
    consents = {("--yes",): 2, ("--yes", "--confirm", "another"): 2, ("--confirm", PLAN): 0}
    for consent, code in consents.items():
        answer = project.ecm("advance", PLAN, "--branch", "production", *consent)

        assert answer.code == code
        assert code == 0 or f"--confirm {PLAN}" in " ".join(answer.err.replace("\\", " ").split())


def test_confirm_is_all_that_is_asked_for(project: Project) -> None:
    """The plan's name consents to every phase on the way to contract; --yes is not wanted too, and help says so."""
    project.ecm("advance", PLAN, "--branch", "development", "--to", "contracted")
    answer = project.ecm("advance", PLAN, "--branch", "production", "--to", "contracted", "--confirm", PLAN)

    assert answer.code == 0
    assert _state(project, "production") == "contracted"
    said = " ".join(project.ecm("advance", "--help").out.split())
    assert "a protected branch needs --yes, or for contract --confirm PLAN instead" in said


def test_a_dry_run_does_not_ask_and_does_nothing(project: Project) -> None:
    """--dry-run shows every statement and touches nothing, a protected branch neither."""
    project.ecm("advance", PLAN, "--branch", "development")
    answer = project.ecm("advance", PLAN, "--branch", "production", "--dry-run")

    assert answer.code == 0
    assert "ALTER TABLE" in answer.out
    assert _state(project, "production") == "planned"


def test_watch_redraws_until_interrupted(project: Project) -> None:
    """`status --watch` shows what changes elsewhere, and Ctrl-C is its ordinary end."""
    terminal = project.terminal("status", "--watch")
    terminal.wait_for("○ planned")
    project.ecm("advance", PLAN, "--branch", "development")
    terminal.wait_for("expanded")
    terminal.interrupt()

    assert terminal.end() == 0
    assert "interrupted" not in terminal.shown


def test_no_color_is_respected(project: Project) -> None:
    """With NO_COLOR a terminal is sent no colour, and says the same."""
    plain, coloured = project.terminal("plan", "list", NO_COLOR="1"), project.terminal("plan", "list")

    assert (plain.end(), coloured.end()) == (0, 0)
    assert "\x1b[3" not in plain.shown
    assert PLAN in plain.shown
    assert ESCAPE in coloured.shown


def test_nothing_is_animated_without_a_terminal(project: Project) -> None:
    """In a pipe there is no escape sequence and no carriage return, in the report or the progress."""
    answer = project.ecm("advance", PLAN, "--branch", "development", "--to", "backfilled")

    assert answer.code == 0
    assert ESCAPE not in answer.out + answer.err
    assert "\r" not in answer.out + answer.err
    assert "backfill" in answer.err


def _up_to_contract(project: Project) -> None:
    assert project.ecm("advance", PLAN, "-b", "development", "--to", "contracted").code == 0
    assert project.ecm("advance", PLAN, "-b", "production", "--to", "reads_migrated", "--yes").code == 0


def _state(project: Project, branch: str) -> str:
    (plan,) = project.ecm("status", PLAN, "--branch", branch, "--json").json["plans"]
    return plan["branches"][0]["state"]
