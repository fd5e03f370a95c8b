"""The project's folder: what is found, what is written, and what a person is told when neither works."""

import json
import os
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from orchestrator.errors import ConfigurationError, EcmError, InvalidFileError, UsageError
from orchestrator.workspace import Workspace

PROJECT = "project: bookstore\nbranches: {development: {}, production: {}}\n"
PLAN = """\
plan: {name}
changes:
  - kind: rename_column
    table: books
    column: published_year
    to: publication_year
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ecm.yaml").write_text(PROJECT)
    (tmp_path / "plans").mkdir()
    return tmp_path


def put(folder, stem, text=None, suffix=".yaml"):
    (folder / "plans" / f"{stem}{suffix}").write_text(text or PLAN.format(name=stem))


def found(folder, **environment):
    return Workspace.find(folder, None, environment)


def said(error):
    return "\n".join([error.value.message, *error.value.details, error.value.hint or ""])


# --- finding the project --------------------------------------------------------------------------


def test_the_project_is_found_from_below(folder):
    """Any folder under the project's will do to start from."""
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    assert found(below).root == folder
    assert found(below).project.project == "bookstore"


def test_a_named_file_is_the_project(folder):
    """`--config` may name a file of any name, and its folder is the root."""
    other = folder / "other"
    other.mkdir()
    (other / "x.yaml").write_text(PROJECT.replace("bookstore", "other"))
    workspace = Workspace.find(folder, other / "x.yaml", {})
    assert (workspace.root, workspace.project.project) == (other, "other")


def test_no_project_says_how_to_make_one(tmp_path):
    """The hint is the command to run."""
    with pytest.raises(ConfigurationError) as error:
        found(tmp_path)
    assert error.value.hint == "ecm init"
    (tmp_path / "ecm.yml").write_text(PROJECT)
    with pytest.raises(ConfigurationError, match=r"ecm\.yml"):
        found(tmp_path)
    with pytest.raises(ConfigurationError, match=r"there is no file .*nowhere\.yaml"):
        Workspace.find(tmp_path, tmp_path / "nowhere.yaml", {})


def test_a_broken_project_file_is_told_by_line(folder):
    """ecm.yaml is checked like a plan."""
    (folder / "ecm.yaml").write_text(PROJECT + "plnas: x\n")
    with pytest.raises(InvalidFileError) as error:
        found(folder)
    assert error.value.details == ("ecm.yaml:3:1: unknown key 'plnas'; did you mean 'plans'?",)


# --- the environment ------------------------------------------------------------------------------


def test_the_real_environment_wins_over_the_file(folder):
    """`.env` fills in what is not set; even an empty variable is set."""
    (folder / ".env").write_text("A=file\nB=file\nC=file\n# comment\nD\n")
    environment = found(folder, B="real", C="").environment
    assert dict(environment) == {"A": "file", "B": "real", "C": ""}


def test_the_environment_keeps_its_values_to_itself(folder):
    """Neither the workspace's repr nor the environment's shows a password."""
    (folder / ".env").write_text("DATABASE_URL_PRODUCTION=postgres://u:from-file@h/d\n")
    workspace = found(folder, OTHER="from-process")
    assert "from-file" not in f"{workspace!r} {workspace.environment!r} {workspace.environment}"
    assert "from-process" not in repr(workspace)


@pytest.mark.parametrize(
    ("said_of_it", "minutes"), [("", 30), (", idle_stop: 2h", 120), (", idle_stop: 0s", 0), (", idle_stop: never", 0)]
)
def test_the_embedded_server_may_be_left_running(folder, said_of_it, minutes):
    """Half an hour without a session stops it, unless the project says otherwise."""
    (folder / "ecm.yaml").write_text(f"{PROJECT}provider: {{kind: embedded{said_of_it}}}\n")
    assert found(folder).project.provider.idle_stop == timedelta(minutes=minutes)


def test_a_server_that_is_none_of_ecms_is_not_said_to_be_stopped(folder):
    """A setting that would do nothing is an error, with its place."""
    (folder / "ecm.yaml").write_text(f"{PROJECT}provider: {{kind: url, idle_stop: 10m}}\n")
    with pytest.raises(InvalidFileError) as error:
        found(folder)
    assert "ecm.yaml:3" in said(error)
    assert "ecm runs no server for provider url" in said(error)


def test_an_env_file_in_another_encoding_is_refused(folder):
    """The place is told, the contents are not."""
    (folder / ".env").write_bytes(b"A=1\nB=\xe9secret\n")
    with pytest.raises(InvalidFileError) as error:
        found(folder)
    assert ".env:2:3: the byte 0xe9 is not UTF-8" in said(error)
    assert "secret" not in said(error)


# --- plans ----------------------------------------------------------------------------------------


def test_plans_are_found_by_file_name(folder):
    """All plan files count, in order; editors' leavings do not."""
    put(folder, "b")
    put(folder, "a")
    put(folder, ".#a")
    put(folder, "notes", suffix=".txt")
    assert found(folder).plan_names() == ("a", "b")
    assert found(folder).plan("a").plan == "a"


def test_a_project_without_a_plans_folder_has_no_plans(folder):
    """Git does not keep an empty folder; a fresh clone works all the same."""
    (folder / "plans").rmdir()
    assert found(folder).plan_names() == ()
    assert found(folder).plans().errors == ()


def test_the_project_fills_in_what_a_plan_leaves_open(folder):
    """`defaults` in ecm.yaml reach the plans."""
    (folder / "ecm.yaml").write_text(PROJECT + "defaults: {lock_timeout: 3s}\n")
    put(folder, "a")
    assert found(folder).plan("a").contract.lock_timeout == timedelta(seconds=3)


def test_a_plan_that_is_not_there_gets_its_nearest_name(folder):
    """A slip of the hand is answered with what was meant, and how to see all."""
    put(folder, "rename-year")
    with pytest.raises(UsageError) as error:
        found(folder).plan("rename-yaer")
    assert error.value.details == ("did you mean rename-year?",)
    assert error.value.hint == "ecm plan list"


def test_a_name_cannot_lead_out_of_the_folder(folder):
    """A plan's name is not a path."""
    (folder / "outside.yaml").write_text(PLAN.format(name="outside"))
    with pytest.raises(UsageError):
        found(folder).plan("../outside")
    with pytest.raises(EcmError):
        found(folder).write_plan(PLAN.format(name="fresh"), "../fresh")
    assert not (folder / "fresh.yaml").exists()


def test_a_file_must_be_named_after_its_plan(folder):
    """Both names are told, and both ways to make them agree."""
    put(folder, "a", PLAN.format(name="b"))
    with pytest.raises(InvalidFileError) as error:
        found(folder).plan("a")
    assert "plans/a.yaml is named a and holds the plan b" in said(error)
    assert "write `plan: a`, or rename the file to plans/b.yaml" in said(error)


def test_asking_for_the_plan_inside_a_misnamed_file_finds_the_reason(folder):
    """The name that the file holds leads to the file."""
    put(folder, "a", PLAN.format(name="zebra"))
    with pytest.raises(UsageError) as error:
        found(folder).plan("zebra")
    assert "plans/a.yaml" in said(error)


def test_two_files_of_one_plan_are_told_apart(folder):
    """The copy is refused and the plan is not."""
    put(folder, "a")
    put(folder, "copy", PLAN.format(name="a"))
    plans = found(folder).plans()
    assert [plan.plan for plan in plans.plans] == ["a"]
    assert "plans/a.yaml is that plan already" in plans.errors[0].details[0]


def test_a_short_suffix_is_not_passed_over_in_silence(folder):
    """`.yml` is told with the command that mends it."""
    put(folder, "a", suffix=".yml")
    assert [error.hint for error in found(folder).plans().errors] == ["mv plans/a.yml plans/a.yaml"]
    with pytest.raises(InvalidFileError, match=r"plans/a\.yml is not read"):
        found(folder).plan("a")


def test_broken_files_do_not_hide_the_good_ones(folder):
    """Every plan that can be read is there, beside an error for each that cannot."""
    put(folder, "good")
    put(folder, "empty", "# nothing\n")
    put(folder, "wrong", PLAN.format(name="wrong").replace("column:", "colum:"))
    (folder / "plans" / "latin.yaml").write_bytes(b"plan: latin\ndescription: \xe9t\xe9\n")
    (folder / "plans" / "folder.yaml").mkdir()
    plans = found(folder).plans()
    assert [plan.plan for plan in plans.plans] == ["good"]
    messages = "\n".join("\n".join([error.message, *error.details]) for error in plans.errors)
    assert len(plans.errors) == 4
    assert "plans/latin.yaml:2:14: the byte 0xe9 is not UTF-8" in messages
    assert "plans/folder.yaml cannot be read" in messages
    assert "plans/wrong.yaml:5:5: unknown key 'colum'" in messages


def test_a_byte_order_mark_does_no_harm(folder):
    """Some editors begin a file with one."""
    (folder / "plans" / "a.yaml").write_bytes(b"\xef\xbb\xbf" + PLAN.format(name="a").encode())
    (folder / ".env").write_bytes(b"\xef\xbb\xbfFIRST=1\n")
    assert dict(found(folder).environment) == {"FIRST": "1"}
    assert found(folder).plan("a").plan == "a"


# --- writing --------------------------------------------------------------------------------------


def test_a_written_plan_is_there_with_its_schema(folder):
    """The file reads back, nothing temporary stays, and the schema it refers to exists."""
    workspace = found(folder)
    text = PLAN.format(name="a")
    path = workspace.write_plan(text, "a")
    assert path.read_text() == text
    assert [entry.name for entry in (folder / "plans").iterdir()] == ["a.yaml"]
    assert workspace.schema_reference == "../.ecm/plan.schema.json"
    assert json.loads((folder / "plans" / workspace.schema_reference).read_text())["title"] == "Plan"


def test_a_plan_is_never_overwritten(folder):
    """What someone wrote stays as it is."""
    put(folder, "a", "# precious\n")
    with pytest.raises(ConfigurationError, match="exists already"):
        found(folder).write_plan(PLAN.format(name="a"), "a")
    assert (folder / "plans" / "a.yaml").read_text() == "# precious\n"
    assert len(list((folder / "plans").iterdir())) == 1


def test_of_many_writers_one_succeeds(folder):
    """The name is taken in one step, so nobody overwrites what another has just written."""
    workspace = found(folder)
    outcomes, start = [], threading.Barrier(8)

    def write(number):
        text = PLAN.format(name="a") + f"# {number}\n"
        start.wait()
        try:
            workspace.write_plan(text, "a")
            outcomes.append(text)
        except ConfigurationError:
            outcomes.append(None)

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [text for text in outcomes if text]
    assert len(outcomes) == 8
    assert (folder / "plans" / "a.yaml").read_text() == winner


def test_only_the_plan_itself_is_written(folder):
    """A text that is wrong, or another plan's, does not reach the folder."""
    for text in ("plan: a\n", PLAN.format(name="b")):
        with pytest.raises(InvalidFileError):
            found(folder).write_plan(text, "a")
    assert list((folder / "plans").iterdir()) == []


# --- the ledger -----------------------------------------------------------------------------------


def test_a_relative_ledger_lives_in_the_project(folder, monkeypatch):
    """Whatever folder ecm was started in, the ledger is the same file."""
    monkeypatch.chdir("/")
    assert found(folder).ledger_url == f"sqlite:///{folder}/.ecm/ledger.db"


@pytest.mark.parametrize("url", ["sqlite:////var/ecm.db", "postgresql://h/d", "sqlite:///:memory:"])
def test_any_other_ledger_is_taken_as_it_is(folder, url):
    """Absolute files and servers need no root."""
    (folder / "ecm.yaml").write_text(PROJECT + f"ledger: '{url}'\n")
    assert found(folder).ledger_url == url


def test_the_ledger_may_come_from_the_environment(folder):
    """A team's ledger has a password, which does not belong in ecm.yaml."""
    (folder / "ecm.yaml").write_text(PROJECT + "ledger_env: LEDGER\n")
    assert found(folder, LEDGER="postgresql://h/d").ledger_url == "postgresql://h/d"
    for environment in ({}, {"LEDGER": ""}):
        with pytest.raises(ConfigurationError, match="LEDGER is not set"):
            _ = found(folder, **environment).ledger_url


# --- init -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["url", "embedded", "neon"])
def test_a_new_project_can_be_opened(tmp_path, provider):
    """What init writes is a project, with its plans folder, its example and its schema."""
    root = tmp_path / "My Shop!"
    written = Workspace.init(root, provider)
    workspace = found(root)
    assert (workspace.project.project, workspace.project.provider.kind) == ("my-shop", provider)
    assert workspace.project.required_by("production") == ("development",)
    assert workspace.project.branches["production"].protected
    assert workspace.folder.is_dir()
    assert {".gitignore", ".env.example", "ecm.yaml", "plan.schema.json"} == {path.name for path in written}
    assert (root / ".gitignore").read_text() == ".ecm/\n.env\n"


def test_the_example_names_what_the_branches_need(tmp_path):
    """A copy of .env.example has a line for every branch."""
    Workspace.init(tmp_path, "url")
    (tmp_path / ".env.example").rename(tmp_path / ".env")
    workspace = found(tmp_path)
    assert {branch.url_env for branch in workspace.project.branches.values()} == set(workspace.environment)


@pytest.mark.parametrize(("provider", "parent"), [("url", None), ("embedded", "production"), ("neon", "production")])
def test_development_has_a_parent_where_ecm_makes_branches(tmp_path, provider, parent):
    """It is made and reset from production; databases that are there are nobody's copy until somebody says so."""
    Workspace.init(tmp_path, provider)
    project = Workspace.find(tmp_path, None, {}).project
    assert (project.branches["development"].parent, project.branches["production"].parent) == (parent, None)


def test_init_adds_only_what_is_missing(tmp_path):
    """A .gitignore and a .env.example that are there keep every line, and get no line twice."""
    (tmp_path / ".gitignore").write_text("node_modules\n.env")
    (tmp_path / ".env.example").write_text("DATABASE_URL_PRODUCTION=mine\n")
    Workspace.init(tmp_path, "url")
    assert (tmp_path / ".gitignore").read_text() == "node_modules\n.env\n.ecm/\n"
    example = (tmp_path / ".env.example").read_text().splitlines()
    assert example[0] == "DATABASE_URL_PRODUCTION=mine"
    assert len([line for line in example if line.startswith("DATABASE_URL_PRODUCTION")]) == 1


def test_init_refuses_to_overwrite(folder):
    """A project that is there stays as it is, and nothing is added to it."""
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(ConfigurationError, match="exists already"):
        Workspace.init(folder, "url")
    assert (folder / "ecm.yaml").read_text() == PROJECT
    assert sorted(path.name for path in folder.iterdir()) == before


def test_init_knows_its_providers(tmp_path):
    """A provider that does not exist is told with those that do, and nothing is written."""
    with pytest.raises(UsageError) as error:
        Workspace.init(tmp_path, "embeded")
    assert "did you mean embedded?" in said(error)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    """A file where a folder is needed is an error to read, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Workspace.init(tmp_path / "file" / "below", "url")


# --- weight ---------------------------------------------------------------------------------------


def test_opening_a_project_needs_no_database_library():
    """`ecm --help` and shell completion do not wait for SQLAlchemy or psycopg."""
    code = "import sys, orchestrator.workspace as w; print(*[m for m in ('sqlalchemy', 'psycopg') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert result.stdout == "\n"
