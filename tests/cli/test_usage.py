"""Wrong input: exit code 2, what is wrong, and what was meant; on stdout nothing."""

import pytest
from cli.runs import PLAN, Project

WRONG = {
    ("statu",): "did you mean 'status'?",
    ("status", "--jsn"): "did you mean --json?",
    ("status", "--branch"): "requires an argument",
    ("advance", PLAN): "missing option '--branch'",
    ("advance", "--branch", "development", PLAN, "more"): "unexpected extra argument",
    ("advance", PLAN, "--branch", "develpment"): "did you mean development?",
    ("advance", "rename-publishd-year", "--branch", "development"): f"did you mean {PLAN}?",
    ("advance", PLAN, "--branch", "development", "--to", "contract"): "did you mean contracted?",
    ("gate", PLAN, "--branch", "development", "--to", "finished"): "the states: planned, expanded",
    ("plan", "show", PLAN, "--phase", "backfil"): "did you mean backfill?",
    ("plan", "rename-colum", "books", "a", "b"): "did you mean 'rename-column'?",
    ("plan", "rename-column", "books", "a"): "missing argument 'TO'",
    ("plan", "rename-column", "books", "a", "a", "--offline"): "nothing to rename",
    ("plan", "rename-column", "books", "a", "b", "--offline", "--branch", "development"): "--offline",
    ("plan", "rename-column", "books", "a", "b", "--offline", "--name", "Bad Name"): "such as bad-name",
    ("plan", "rename-column", "books", "a", "ctid", "--offline"): "system column",
    ("plan", "split-column", "users", "full_name"): "--into \"first_name text = split_part(full_name, ' ', 1)\"",
    ("plan", "split-column", "users", "a", "--into", "b", "--offline"): "neither COLUMN TYPE [not null] = EXPRESSION",
    ("plan", "split-column", "users", "a", "--into", "{column: b}", "--offline"): "--into 1 type: Field required",
    ("plan", "split-column", "users", "a", "--into", "{column: b", "--offline"): "is not YAML",
    ("plan", "split-column", "users", "a", "--into", "b text = a", "--offline"): "reverse does not say",
    ("plan", "merge-columns", "users", "--columns", "a"): "missing option '--into'",
    ("plan", "add-column", "users", "a"): "ecm plan add-column --help says what each is",
    ("plan", "validate", "nothere"): "there is no plan nothere",
    ("init", "--provider", "neo"): "there is no provider neo",
    ("status", "--watch"): "--watch redraws a terminal",
    ("status", "--watch", "--exit-code"): "has no --exit-code",
    ("history", "--branch", "development"): "no such option: --branch",
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.items(), ids=" ".join)
def test_wrong_input_is_a_usage_error(offline: Project, arguments: tuple[str, ...], said: str) -> None:
    """Every mistake is named on stderr with exit code 2."""
    answer = offline.ecm(*arguments)

    assert (answer.code, answer.out) == (2, "")
    assert said in " ".join(answer.err.split())
    assert answer.err.startswith("error: ")


@pytest.mark.parametrize("arguments", [each for each in WRONG if "--watch" not in each], ids=" ".join)
def test_wrong_input_with_json_is_an_error_on_stdout(offline: Project, arguments: tuple[str, ...]) -> None:
    """With --json the error is a value, whatever it was that could not be parsed."""
    answer = offline.ecm(*arguments, "--json")

    assert answer.code == 2
    assert {"code": "usage"}.items() <= answer.json["error"].items()
    assert set(answer.json["error"]) == {"code", "message", "details", "hint"}
    assert answer.err == ""


@pytest.mark.parametrize("state", ["reads_migrated", "reads-migrated", "Reads Migrated"])
def test_a_state_may_be_written_as_people_do(project: Project, state: str) -> None:
    """A hyphen, a space or a capital letter in a state is no mistake."""
    answer = project.ecm("gate", PLAN, "--branch", "development", "--to", state, "--json")

    assert (answer.code, answer.json["to"]) == (0, "reads_migrated")


def test_a_state_that_is_reached_already_is_no_error(project: Project) -> None:
    """A script may say where it wants to be as often as it likes, forward and back."""
    for command in ("advance", "rollback"):
        answer = project.ecm(command, PLAN, "--branch", "development", "--to", "planned", "--json")
        assert (answer.code, answer.json["moves"], answer.json["state"]) == (0, [], "planned")
        answer = project.ecm(command, PLAN, "--branch", "development", "--to", "planned")
        assert (answer.code, "planned on development already" in answer.out) == (0, True)


def test_nothing_to_verify_before_the_backfill(project: Project) -> None:
    """Rows that nobody filled yet are not wrong, and not reported as such."""
    project.ecm("advance", PLAN, "--branch", "development")
    answer = project.ecm("verify", PLAN, "--branch", "development")
    assert answer.code == 4
    assert "not backfilled yet" in answer.err


def test_outside_a_project(nowhere: Project) -> None:
    """Without ecm.yaml every command says where it looked and what to run."""
    answer = nowhere.ecm("status")

    assert answer.code == 1
    assert "there is no ecm.yaml" in answer.err
    assert "ecm init" in answer.err


@pytest.mark.parametrize("before", [True, False])
def test_config_is_taken_before_and_after_the_command(offline: Project, nowhere: Project, *, before: bool) -> None:
    """`-c FILE` names the project from any folder."""
    option = ["-c", str(offline.root / "ecm.yaml")]
    arguments = [*option, "plan", "list"] if before else ["plan", "list", *option]
    answer = nowhere.ecm(*arguments)

    assert (answer.code, answer.err) == (0, "")
    assert PLAN in answer.out


def test_a_config_that_is_not_there(nowhere: Project) -> None:
    """A project file that does not exist is named."""
    answer = nowhere.ecm("status", "--config", "other.yaml", "--json")

    assert (answer.code, answer.json["error"]["code"]) == (1, "configuration")
    assert "other.yaml" in answer.json["error"]["message"]


def test_a_broken_plan_is_told_by_line(offline: Project) -> None:
    """`plan validate` exits 1 and says file, line and column of what is wrong; other plans are checked too."""
    (offline.root / "plans" / "broken.yaml").write_text("plan: broken\nchanges:\n  - {kind: rename_colum}\n")
    answer = offline.ecm("plan", "validate")

    assert answer.code == 1
    assert "plans/broken.yaml:3:" in answer.out
    assert f"✓ plans/{PLAN}.yaml" in answer.out
    assert offline.ecm("plan", "validate", PLAN).code == 0
