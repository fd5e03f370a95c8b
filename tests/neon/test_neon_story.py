"""The whole story of a change at Neon."""

from branches import story
from neon.conftest import NeonCommand, OpenNeon

from orchestrator.conductor import Conductor


def test_the_whole_story_at_neon(open_neon: OpenNeon, bookstore: NeonCommand) -> None:
    """Development proves a change, is reset from production and its evidence is kept; production follows."""
    story.play(open_neon().provider, Conductor.open(bookstore.root, environment=bookstore.environment()))
