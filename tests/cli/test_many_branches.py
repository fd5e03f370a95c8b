"""Five branches and a graph of what requires what, on the screens of 80 columns."""

import pytest
from cli.conftest import MakeProject
from cli.runs import PLAN, Project, said

_BRANCHES = ("dev1", "dev2", "qa", "staging", "production")
_YAML = """
project: bookstore
branches:
  dev1: {}
  dev2: {}
  qa: {requires: [dev1, dev2]}
  staging: {requires: [qa]}
  production: {requires: [staging], protected: true}
"""


@pytest.fixture
def five(make_project: MakeProject, databases: object) -> Project:
    """A project of five branches, with the table of one plan on each."""
    made = make_project(databases(*_BRANCHES))  # type: ignore[operator]
    (made.root / "ecm.yaml").write_text(_YAML)
    for branch in _BRANCHES:
        made.sql(branch, "CREATE TABLE books (id int PRIMARY KEY, published_year int)")
    return made


def test_every_branch_waits_for_those_before_it_and_is_told_so_in_80_columns(five: Project) -> None:
    """Each screen fits, names who is waited for, and the next command is one that is not refused."""
    status = five.ecm("status")
    assert "production ○ planned waits for dev1, dev2, qa and staging" in said(status.out)

    done = five.ecm("advance", PLAN, "--branch", "dev1", "--to", "contracted")
    assert f"next ecm advance {PLAN} --branch dev2" in said(done.out), "qa would be refused for dev2"
    refused = five.ecm("advance", PLAN, "--branch", "qa")
    assert (refused.code, "dev2 has completed 0 of 4 phases" in refused.err) == (4, True)
    assert five.ecm("advance", PLAN, "--branch", "dev2").code == 0
    assert five.ecm("advance", PLAN, "--branch", "qa").code == 0

    gate = five.ecm("gate", PLAN, "--branch", "production", "--to", "contracted")
    missing = "expand, backfill, migrate reads and contract are missing"
    assert (gate.code, f"staging has completed 0 of 4 phases of the plan: {missing}" in said(gate.out)) == (4, True)
    assert "dev1" not in gate.out
    screens = (status, refused, gate, five.ecm("status"), five.ecm("branch", "list"), five.ecm("status", PLAN))
    assert max(len(line) for screen in screens for line in (screen.out + screen.err).splitlines()) <= 80


def test_a_graph_that_goes_round_is_refused_with_the_way(five: Project) -> None:
    """No branch could ever be the first."""
    (five.root / "ecm.yaml").write_text(_YAML.replace("dev1: {}", "dev1: {requires: [staging]}"))
    refused = five.ecm("status")
    assert refused.code == 1
    assert "dev1 requires staging requires qa requires dev1" in said(refused.err)
