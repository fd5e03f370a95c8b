"""The whole story of a change at Neon, and the way back that only Neon has."""

import re
import shlex
import subprocess
from pathlib import Path

from branches import story
from cli.runs import said
from neon.conftest import ID, KEY, NeonCommand, OpenNeon
from neon.fake import Fake

from orchestrator.conductor import Conductor


def test_the_whole_story_at_neon(open_neon: OpenNeon, bookstore: NeonCommand) -> None:
    """Development proves a change, is reset from production and its evidence is kept; production follows."""
    story.play(open_neon().provider, Conductor.open(bookstore.root, environment=bookstore.environment()))


def test_production_is_restored_to_before_contract(neon: Fake, open_neon: OpenNeon, bookstore: NeonCommand) -> None:
    """The moment is noted before contract; one command brings the branch back to it, and status tells the truth."""
    provider = open_neon().provider
    story.run(provider, "production", story.BOOKS)
    bookstore.write_alone("production")
    move = ("advance", story.PLAN, "--branch", "production", "--to")
    assert bookstore.ecm(*move, "reads_migrated").code == 0
    neon.project.remember("production")
    assert bookstore.ecm(*move, "contracted").code == 0
    assert "before contract on production: 20" in said(bookstore.ecm("history").out)

    restored = bookstore.ecm(
        "branch", "restore", "production", "--to", "before-contract", "--keep-as", "broken", "--yes"
    )

    assert restored.code == 0, restored
    assert story.columns(provider, "production") == {"id", "title", story.OLD, story.NEW}
    assert "broken" in {each.name for each in provider.found()}
    (plan,) = bookstore.ecm("status", "--json").json["plans"]
    assert plan["branches"][0]["state"] == "reads_migrated"
    assert bookstore.ecm("advance", story.PLAN, "--branch", "production").code == 0


def test_the_quick_start_for_neon(neon: Fake, open_neon: OpenNeon, tmp_path: Path) -> None:
    """The README's commands for Neon, once the two files have what it says is to be put in."""
    open_neon()
    text = (Path(__file__).parents[2] / "README.md").read_text()
    (block,) = (each for each in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "neon" in each)
    project = NeonCommand(root=tmp_path, urls={"NEON_API_KEY": KEY, "NEON_API_HOST": neon.host})
    for command in block.splitlines():
        words = shlex.split(command, comments=True)
        if words[0] != "ecm":
            subprocess.run(words, cwd=tmp_path, check=True)
            continue
        answer = project.ecm(*words[1:])
        assert answer.code == 0, answer
        if words[1] == "init":
            config = tmp_path / "ecm.yaml"
            config.write_text(re.sub(r"project_id: \S+", f"project_id: {ID}", config.read_text()))
            config.write_text(
                re.sub(r"  development: .*\n", "", config.read_text()).replace(
                    "requires: [development]", "requires: []"
                )
            )
