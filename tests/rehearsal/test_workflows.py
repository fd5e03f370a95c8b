"""The workflows that `ecm init --github` writes, run on this machine: every `run:` line, as GitHub would run it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import psycopg
import pytest
from ruamel.yaml import YAML

from orchestrator.branches import EMBEDDED_FOLDER
from orchestrator.branches.server import EmbeddedServer
from orchestrator.plan.project import Project
from orchestrator.workflows import texts

PLAN = "rename-published-year"
NUMBER = "42"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path: Path) -> Generator[Path]:
    """A repository with a project on an embedded server, which has the workflows, and a plan that main has not."""
    folder = tmp_path / "bookstore"
    folder.mkdir()
    _shims(tmp_path / "bin")
    run = _runner(folder, {})
    run("git init --quiet --initial-branch main && ecm init --provider embedded --github")
    (folder / "ecm.yaml").write_text(
        "project: bookstore\nprovider: {kind: embedded}\nbranches:\n  development: {}\n"
        "  production: {requires: [development], protected: true}\n"
    )
    run("git add . && git commit --quiet -m 'Begin' && git update-ref refs/remotes/origin/main HEAD")
    (folder / "plans" / f"{PLAN}.yaml").write_text(
        f"plan: {PLAN}\nchanges: [{{kind: rename_column, table: books, column: published_year, to: publication_year}}]\n"
    )
    run("git checkout --quiet -b rename && git add . && git commit --quiet -m 'Rename'")
    server = EmbeddedServer(folder / EMBEDDED_FOLDER)
    try:
        server.start()
        for branch in ("development", "production"):
            server.ensure_database(branch, copy_of=None)
            with psycopg.connect(server.url(branch)) as connection:
                connection.execute("CREATE TABLE books (id int PRIMARY KEY, published_year int)")
                connection.execute("INSERT INTO books SELECT n, 1900 + n FROM generate_series(1, 20) n")
        yield folder
    finally:
        server.destroy()


@pytest.mark.parametrize("below", ["apps/shop", "apps/shop, old: #1", 'the "shop"', "[shop]"])
@pytest.mark.parametrize("branch", ["production", "null", "1.0"])
def test_a_workflow_names_folder_and_environment_as_they_are(below: str, branch: str) -> None:
    """No folder is read as something else, and no environment's approval is lost to a word that YAML has for itself."""
    project = Project.model_validate({"project": "bookstore", "branches": {branch: {}}})
    read = {name: YAML(typ="safe").load(text) for name, text in texts(project, PurePosixPath(below)).items()}

    assert {each["defaults"]["run"]["working-directory"] for each in read.values()} == {below}
    assert read["ecm-production.yml"]["jobs"]["advance"]["environment"] == branch


def test_every_line_of_the_workflows_runs(repository: Path) -> None:
    """A pull request is rehearsed and cleared, production is taken to the end, and nothing stands still then."""
    written = {path.name: YAML(typ="safe").load(path) for path in sorted((repository / ".github/workflows").iterdir())}
    assert list(written) == ["ecm-production.yml", "ecm-pull-request.yml", "ecm-stalled.yml"]
    assert written["ecm-production.yml"]["jobs"]["advance"]["environment"] == "production"
    known = {"github.event.number": NUMBER, "inputs.plan": PLAN, "inputs.state": "contracted"}
    summary = repository.parent / "summary.md"
    variables = {
        "GITHUB_BASE_REF": "main",
        "GITHUB_REF": f"refs/pull/{NUMBER}/merge",
        "GITHUB_STEP_SUMMARY": str(summary),
    }

    def job(file: str, name: str) -> list[str]:
        return _performed(repository, written[file], written[file]["jobs"][name], known, variables)

    _runner(repository, {})(f"ecm advance {PLAN} --branch development --to contracted")
    job("ecm-pull-request.yml", "rehearse")
    made = _branches(repository)
    job("ecm-pull-request.yml", "cleanup")
    job("ecm-production.yml", "advance")
    told = job("ecm-stalled.yml", "stalled")

    page = summary.read_text()
    assert "1 of 1 plan passed on a copy of production" in page
    assert "ACCESS EXCLUSIVE" in page
    assert "column books.publication\\_year is only after" in page
    assert f"pr-{NUMBER}-bookstore-{PLAN}" in made
    assert not any(name.startswith("pr-") for name in _branches(repository))
    states = json.loads(_runner(repository, {})("ecm status --json"))["plans"][0]["branches"]
    assert [each["state"] for each in states] == ["contracted", "contracted"]
    assert told


def test_a_file_that_is_there_is_left_as_it_is(repository: Path) -> None:
    """In a project that exists only the workflows are written, and none over another."""
    folder = repository / ".github" / "workflows"
    (folder / "ecm-stalled.yml").unlink()
    (folder / "ecm-production.yml").write_text("name: mine\n")

    said = json.loads(_runner(repository, {})("ecm init --github --json"))

    assert said["written"] == [".github/workflows/ecm-stalled.yml"]
    assert said["left"] == [".github/workflows/ecm-pull-request.yml", ".github/workflows/ecm-production.yml"]
    assert (folder / "ecm-production.yml").read_text() == "name: mine\n"


def _performed(
    folder: Path, workflow: Mapping[str, Any], job: Mapping[str, Any], known: Mapping[str, str], more: Mapping[str, str]
) -> list[str]:
    """Run a job's commands with the variables that it declares; return what they wrote."""
    declared = {**workflow.get("env", {}), **job.get("env", {})}
    environment = {
        name: re.sub(r"\$\{\{ (.*?) \}\}", lambda found: known[found[1]], text) for name, text in declared.items()
    }
    lines = [step["run"] for step in job["steps"] if "run" in step]
    assert lines[0].startswith("pip install ")
    assert not any("${{" in line for line in lines), "what comes from outside may not be part of a command line"
    return [_runner(folder, {**more, **environment})(line) for line in lines]


def _runner(folder: Path, variables: Mapping[str, str]) -> Any:
    """Return what runs a command as a step does, and fails where it fails."""
    environment = {
        **{name: os.environ[name] for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR") if name in os.environ},
        "PATH": f"{folder.parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ECM_ACTOR": "ci",
        **{f"GIT_{who}_{what}": "ci@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        **variables,
    }

    def run(line: str) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", line],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


def _shims(folder: Path) -> None:
    """Put an `ecm` on the path that is this one, and a `pip` that has installed it already."""
    folder.mkdir()
    for name, text in {"pip": "exit 0", "ecm": f'exec "{sys.executable}" -m orchestrator.cli.main "$@"'}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)


def _branches(folder: Path) -> list[str]:
    return [each["branch"] for each in json.loads(_runner(folder, {})("ecm branch list --json"))["branches"]]
