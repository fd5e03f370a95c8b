"""Servers for the tests: real ones, of the suite's own, that do not outlive it.

Each holder of servers (a pytest-xdist worker, say) keeps them in a scratch folder with a lock that
the system frees when the holder dies, however it dies. Whoever opens a scratch folder next stops
and removes what dead holders left behind.

    ECM_TEST_POSTGRES=18            the version of the embedded server; 16 if not set
    ECM_TEST_SERVER=npm:17          the programs of an npm package (`programs`) instead of those of the wheel
    ECM_TEST_SERVER=container:17    the official image of that version instead, through Docker

With none of them, tests marked `both_versions` run on both versions of the wheel.
"""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import programs
import psutil
import psycopg
import pytest
from psycopg import sql

from orchestrator.branches.postmaster import StopMode
from orchestrator.branches.server import EmbeddedServer

FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
}
"""Nothing here survives a power cut, and nothing needs to. A killed server still recovers."""

ROOM = 4 * 2**30
"""Bytes that must be free in memory for the servers to live there; those of two workers take up half a gigabyte."""

USUAL, NEWEST = 16, 18
"""The versions in the wheel: the one that the tests run on, and the one that those of both versions run on as well."""


class Server(Protocol):
    """What tests need of a server: databases, by URL."""

    @property
    def version(self) -> int: ...

    def url(self, database: str) -> str: ...

    def create_database(self, name: str, template: str | None = None) -> None: ...

    def drop_database(self, name: str) -> None: ...


class OwnServer:
    """A server for one test to kill. Its URLs stay the same over restarts.

    Args:
        folder: where it lives.
        version: the major version of PostgreSQL.
        binaries: the folder of its programs; those of the wheel where it is left out.
    """

    def __init__(self, folder: Path, version: int, binaries: Path | None = None) -> None:
        self.embedded = EmbeddedServer(folder, version, programs=binaries)
        self.version = version
        self.url = self.embedded.url
        self.drop_database = self.embedded.drop_database

    def create_database(self, name: str, template: str | None = None) -> None:
        # Without fsync, copying files and checkpointing is several times faster than writing each block to the WAL.
        strategy = sql.SQL(" STRATEGY FILE_COPY" if self.version >= 15 else "")
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}{}")
            connection.execute(
                statement.format(sql.Identifier(name), sql.Identifier(template or "template1"), strategy)
            )

    @classmethod
    def chosen(cls, folder: Path, environment: Mapping[str, str]) -> "OwnServer":
        """Return a server of the version that this run is for; a container cannot be killed, so never one."""
        kind, _, tag = environment.get("ECM_TEST_SERVER", "embedded").partition(":")
        if kind == "npm":
            return cls(folder, int(tag), programs.installed(int(tag)))
        return cls(folder, int(environment.get("ECM_TEST_POSTGRES") or USUAL))

    def start(self, options: Mapping[str, str] = FAST) -> None:
        # A round trip opens a hundred sessions, and with 4096 rounds the hash of a password takes longer than the rest.
        quick = {"scram_iterations": "1"} if self.version >= 16 else {}
        self.embedded.start({**quick, **options}, tcp=True)

    def stop(self, mode: StopMode = "immediate") -> None:
        self.embedded.stop(mode)

    def restart(self, mode: StopMode = "immediate") -> None:
        self.stop(mode)
        self.start()


class ContainerServer:
    """The official image, for a version that the embedded server lacks.

    Args:
        version: the image's tag.
        root: the URL of its database postgres.
    """

    def __init__(self, version: int, root: str) -> None:
        self.version = version
        self._root = root

    def url(self, database: str) -> str:
        return re.sub(r"/postgres$", f"/{database}", self._root)

    def create_database(self, name: str, template: str | None = None) -> None:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template or "template1")))

    def drop_database(self, name: str) -> None:
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._root, autocommit=True) as connection:
            connection.execute(statement)


def _versions(environment: Mapping[str, str]) -> tuple[int | None, ...]:
    """The versions that a test of both runs on; None is the one that this run is for."""
    chosen = {"ECM_TEST_POSTGRES", "ECM_TEST_SERVER"}.intersection(environment)
    return (None,) if chosen else (None, NEWEST)


both_versions = pytest.mark.parametrize(
    "postgres", _versions(os.environ), indirect=True, ids=lambda version: "usual" if version is None else str(version)
)
"""Marks a test that runs on both versions of the wheel, whatever its other parameters."""


@contextmanager
def shared_server(folder: Path, environment: Mapping[str, str]) -> Generator[Server]:
    """The server that most tests of a worker share, running."""
    kind, _, tag = environment.get("ECM_TEST_SERVER", "embedded").partition(":")
    if kind == "container":
        with _container(int(tag)) as server:
            yield server
        return
    server = OwnServer.chosen(folder, environment)
    server.start()
    try:
        yield server
    finally:
        server.embedded.destroy()


@contextmanager
def _container(version: int) -> Generator[ContainerServer]:
    # Imported here: it needs a Docker engine, which most runs neither have nor miss.
    from testcontainers.postgres import PostgresContainer

    image = PostgresContainer(
        f"postgres:{version}", username="postgres", password="postgres", dbname="postgres", driver=None
    )
    with image as container:
        yield ContainerServer(version, container.get_connection_url())


def scratch_parent() -> Path:
    """Where the tests' folders are: in memory where there is plenty, or among the other temporary files.

    A third of the time that a run spends on ext4 goes into inodes: each test's database is some three hundred
    files, and ext4 looks for an inode past all that were freed in the last seconds (recently_deleted, ialloc.c).
    """
    memory = Path("/dev/shm")  # noqa: S108 - the folder in it is made, and checked, as one among the temporary files
    try:
        room = min(shutil.disk_usage(memory).free, psutil.virtual_memory().available)
    except OSError:
        room = 0
    return memory if room > ROOM and os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


@contextmanager
def scratch_folder() -> Generator[Path]:
    """A folder for servers, that any user can enter and only this one can write; removed in the end."""
    base = scratch_parent() / f"ecm-tests-{os.geteuid()}"
    base.mkdir(mode=0o755, exist_ok=True)
    found = base.lstat()
    assert stat.S_ISDIR(found.st_mode), f"{base} is no folder"
    assert found.st_uid == os.geteuid(), f"{base} is another user's"
    with (base / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for left_behind in base.iterdir():
            if left_behind.is_dir():
                _remove_if_dead(left_behind)
        folder = Path(tempfile.mkdtemp(dir=base))
        folder.chmod(0o711)  # ours, empty, and the server's user must pass through it when we are root
        alive = (folder / "alive").open("w")
        fcntl.flock(alive, fcntl.LOCK_EX)
    with alive:
        try:
            yield folder
        finally:
            _remove(folder)


def _remove_if_dead(folder: Path) -> None:
    with (folder / "alive").open("w") as alive:
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        _remove(folder)


def _remove(folder: Path) -> None:
    for lock in list(folder.rglob("server.lock")):
        EmbeddedServer(lock.parent).destroy()
    shutil.rmtree(folder)
