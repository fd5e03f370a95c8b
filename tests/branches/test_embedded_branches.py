"""Branches as databases on the embedded server."""

import os
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from branches import story
from branches.settings import Settings
from servers import FAST

from orchestrator.branches import EMBEDDED_FOLDER, provider_for
from orchestrator.branches.server import EmbeddedServer
from orchestrator.conductor import Conductor
from orchestrator.errors import ConfigurationError, PreconditionError, UsageError

BRANCHES = {"development": Settings(parent="production"), "production": Settings()}


@pytest.fixture
def project(server_folder):
    """A project's folder; its server runs without waiting for the disk."""
    folder = server_folder()
    server = EmbeddedServer(folder / EMBEDDED_FOLDER, 16)
    server.start(FAST)
    yield folder
    server.destroy()


def url(project, branch, branches=BRANCHES):
    return provider_for("embedded", branches, project, {}).address(branch).url.get_secret_value()


def databases(project):
    return EmbeddedServer(project / EMBEDDED_FOLDER).databases()


def test_nothing_is_made_before_a_branch_is_asked_for(server_folder):
    """Making the provider starts no server and writes no file."""
    folder = server_folder()
    provider = provider_for("embedded", BRANCHES, folder, {})

    assert provider.names() == ("development", "production")
    assert not folder.exists()


def test_a_branch_is_made_on_first_use_and_stays(project):
    """The first address makes the database, the second finds it with its rows."""
    with psycopg.connect(url(project, "production")) as connection:
        connection.execute("CREATE TABLE books (id int)")
        assert connection.info.dbname == "production"
    with psycopg.connect(url(project, "production")) as connection:
        assert connection.execute("SELECT count(*) FROM books").fetchone() == (0,)


def test_the_server_is_started_when_it_is_down(project):
    """An address is worth something: it can be connected to."""
    EmbeddedServer(project / EMBEDDED_FOLDER).stop()

    with psycopg.connect(url(project, "production")) as connection:
        assert connection.execute("SELECT 42").fetchone() == (42,)


def test_a_branch_starts_as_a_copy_of_its_parent(project):
    """What production had when development was first used, development has."""
    with psycopg.connect(url(project, "production")) as connection:
        connection.execute("CREATE TABLE books AS SELECT 42 AS id")
    with psycopg.connect(url(project, "development")) as connection:
        assert connection.execute("SELECT id FROM books").fetchone() == (42,)


def test_a_branch_whose_parent_has_no_database_starts_empty(project):
    """Asking for development does not make production."""
    url(project, "development")

    assert {"development"} == databases(project) & set(BRANCHES)


def test_a_parent_in_use_is_not_copied_and_nothing_is_left(project):
    """PostgreSQL copies no database that others are connected to; the error says what to close."""
    with (
        psycopg.connect(url(project, "production")),
        pytest.raises(PreconditionError, match="production cannot be copied to development") as caught,
    ):
        url(project, "development")

    assert "session" in caught.value.details[0]
    assert "development" not in databases(project)
    url(project, "development")


def test_a_new_branch_asked_for_by_many_at_once_is_made_once(project):
    """Each gets the address, none an error."""
    with ThreadPoolExecutor(4) as pool:
        urls = list(pool.map(lambda _: url(project, "production"), range(4)))

    assert len(set(urls)) == 1


def test_an_unknown_branch_makes_no_database(project):
    """A misspelt name is refused."""
    with pytest.raises(UsageError, match="there is no branch developmnt"):
        url(project, "developmnt")

    assert "developmnt" not in databases(project)


@pytest.mark.parametrize("name", ["postgres", "template1", "é" * 32])
def test_a_name_that_no_database_may_have_is_refused(server_folder, name):
    """PostgreSQL's own names would be overwritten, and longer ones cut off in silence."""
    provider = provider_for("embedded", {name: Settings()}, server_folder(), {})
    with pytest.raises(ConfigurationError, match="cannot be kept on the embedded server"):
        provider.address(name)


def test_the_whole_story(project):
    """Development proves a change, is reset from production and its evidence is kept; production follows."""
    (project / "plans").mkdir()
    (project / "ecm.yaml").write_text(f"project: bookstore\nprovider: {{kind: embedded}}\n{story.PROJECT}")
    (project / "plans" / f"{story.PLAN}.yaml").write_text(story.CHANGE)
    conductor = Conductor.open(project, environment={"ECM_ACTOR": "tests", "PATH": os.environ["PATH"]})
    story.play(provider_for("embedded", BRANCHES, project, {}), conductor)
