"""The embedded server that nobody uses is stopped, by one process of its own that survives whoever started it."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
from servers import FAST
from tenacity import retry, retry_if_not_result, stop_after_delay, wait_fixed

from orchestrator.branches import quarters
from orchestrator.branches.postmaster import Postmaster
from orchestrator.branches.server import EmbeddedServer

ROOT = Path(__file__).parents[2]
SOON = timedelta(seconds=1)
START = (
    "import sys; from datetime import timedelta; from pathlib import Path;"
    "from orchestrator.branches.server import EmbeddedServer;"
    "server = EmbeddedServer(Path(sys.argv[1]), 16, idle_stop=timedelta(seconds=1));"
    f"server.start({FAST!r}); import psycopg; c = psycopg.connect(server.url('postgres')); print('ready', flush=True);"
    "sys.stdin.read()"
)


@pytest.fixture
def new_server(server_folder):
    """Makes servers that are destroyed in the end; none is started."""
    made = []

    def make(idle_stop=SOON, folder=None):
        made.append(EmbeddedServer(folder or server_folder(), 16, idle_stop=idle_stop))
        return made[-1]

    yield make
    for server in made:
        server.destroy()


def is_up(server):
    found = quarters.find(server.folder)
    return found is not None and Postmaster.of(found.data) is not None


def watchers(server):
    """The processes that watch a server, by what their command lines say."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if "orchestrator.branches.watcher" in " ".join(line) and line[-1] == str(server.folder):
            found.append(process)
    return found


@retry(retry=retry_if_not_result(bool), stop=stop_after_delay(30), wait=wait_fixed(0.05))
def until(condition):
    """Wait until it is so; an error where it never is."""
    return condition()


def test_a_server_without_sessions_is_stopped_and_starts_again_when_asked_for(new_server):
    """A session keeps it; short ones between two looks do too; the process that stops it goes with it."""
    server = new_server()
    server.start(FAST)
    with psycopg.connect(server.url("postgres")):
        time.sleep(1.5 * SOON.total_seconds())
        assert is_up(server)
    for _ in range(12):
        psycopg.connect(server.url("postgres")).close()
        time.sleep(SOON.total_seconds() / 6)
    assert is_up(server)

    until(lambda: not is_up(server))
    until(lambda: not watchers(server))
    server.start(FAST)
    assert server.running
    until(lambda: not is_up(server))


def test_it_is_watched_by_one_process_however_often_it_is_started(new_server):
    """Those that come later go at once; after a restart there is one again, of the same server."""
    server = new_server(timedelta(hours=1))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: server.start(FAST), range(3)))
    until(lambda: len(watchers(server)) == 1)
    time.sleep(0.5)
    assert len(watchers(server)) == 1

    server.stop()
    server.start(FAST)
    until(lambda: len(watchers(server)) == 1 and watching(server) == 1)
    server.stop()
    until(lambda: not watchers(server))


def watching(server):
    """How many sessions there are on the server besides this one."""
    with psycopg.connect(server.url("template1"), autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
        return row[0] if row else 0


def test_a_killed_client_leaves_a_server_that_is_still_stopped(new_server, server_folder):
    """Its sessions end with it, and the process that watches is none of its own; another project's server goes on."""
    server, other = new_server(), new_server(timedelta(hours=1))
    other.start(FAST)
    client = subprocess.Popen(
        [sys.executable, "-c", START, str(server.folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert client.stdout.readline() == b"ready\n"
        time.sleep(1.5 * SOON.total_seconds())
        assert is_up(server)
    finally:
        client.send_signal(signal.SIGKILL)
        client.communicate()
    until(lambda: not is_up(server))
    assert is_up(other)


def test_it_is_never_stopped_where_it_is_not_to_be(new_server):
    """Zero means never; an object that says nothing leaves it as it was; the limit can be changed while it runs."""
    server = new_server(timedelta(0))
    server.start(FAST)
    assert watchers(server) == []
    new_server(None, server.folder).start()
    assert watchers(server) == []
    new_server(timedelta(seconds=0.3), server.folder).start()
    until(lambda: not is_up(server))


def test_whoever_comes_at_the_last_moment_keeps_it(new_server):
    """The last look is taken when nobody else can start or stop it any more."""
    server = new_server(timedelta(0))
    server.start(FAST)
    server.stop(unless=lambda: True)
    assert server.running
    server.stop(unless=lambda: False)
    assert not server.running
