"""The suite's own fixtures: what every other test stands on."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from servers import FAST, scratch_folder

from orchestrator.branches.server import EmbeddedServer

HOLDER = (
    "import sys; sys.path.insert(0, 'tests'); from servers import *\n"
    "with scratch_folder() as folder:\n"
    "    EmbeddedServer(folder / 'nested' / 'server', 16).start(FAST)\n"
    "    print(folder, flush=True)\n"
    "    sys.stdin.read()\n"
)


def test_a_database_is_empty_and_its_own(database, databases, connect):
    """Two databases of one test do not see each other."""
    other = databases("development", "production")["production"]
    connect(database).execute("CREATE TABLE t ()")

    assert connect(other).execute("SELECT to_regclass('t')").fetchone() == (None,)
    assert "://postgres:" in database


@pytest.mark.parametrize("turn", [1, 2])
def test_a_database_is_dropped_with_its_test(turn, server, databases, connect):
    """The second turn finds none of the first, though the first left a connection open."""
    connect(databases("mine")["mine"])
    left = connect(server.url("postgres")).execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'mine%'")

    assert left.fetchone() == (1,)


def test_an_own_server_can_be_killed_and_restarted(own_server, connect):
    """The URL is good again after the restart."""
    url = own_server.url("postgres")
    connection = connect(url)
    own_server.stop()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    own_server.start()

    assert connect(url).execute("SELECT 42").fetchone() == (42,)


def test_servers_of_a_killed_worker_are_stopped_by_the_next(scratch):
    """A worker that dies of SIGKILL leaves a server running only until someone else starts."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        folder = Path(holder.stdout.readline().strip())
        server = EmbeddedServer(folder / "nested" / "server", 16)
        with scratch_folder():
            assert server.running, "a living worker's server was stopped"
        holder.kill()
    with scratch_folder() as mine:
        assert not server.running
        assert not folder.exists()
        assert scratch.exists()
        assert FAST
    assert not mine.exists()
