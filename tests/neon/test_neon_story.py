"""The whole story of a change at Neon, and the way back that only Neon has."""

from branches import story
from cli.runs import said
from neon.conftest import NeonCommand, OpenNeon
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
