"""Servers for the tests: real ones, of the suite's own, that do not outlive it.

Each holder of servers (a pytest-xdist worker, say) keeps them in a scratch folder with a lock that
the system frees when the holder dies, however it dies. Whoever opens a scratch folder next stops
and removes what dead holders left behind.

    ECM_TEST_POSTGRES=18            the version of the embedded server; 16 if not set
    ECM_TEST_SERVER=container:17    the official image of that version instead, through Docker
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

import psycopg
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
    """

    def __init__(self, folder: Path, version: int) -> None:
        self.embedded = EmbeddedServer(folder, version)
        self.version = version
        self.url = self.embedded.url
        self.create_database = self.embedded.create_database
        self.drop_database = self.embedded.drop_database

    def start(self, options: Mapping[str, str] = FAST) -> None:
        self.embedded.start(options, tcp=True)

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


def embedded_version(environment: Mapping[str, str]) -> int:
    """The version of the embedded server that this run is for."""
    return int(environment.get("ECM_TEST_POSTGRES") or "16")


@contextmanager
def shared_server(folder: Path, environment: Mapping[str, str]) -> Generator[Server]:
    """The server that most tests of a worker share, running."""
    kind, _, tag = environment.get("ECM_TEST_SERVER", "embedded").partition(":")
    if kind == "container":
        with _container(int(tag)) as server:
            yield server
        return
    server = OwnServer(folder, embedded_version(environment))
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


@contextmanager
def scratch_folder() -> Generator[Path]:
    """A folder for servers, that any user can enter and only this one can write; removed in the end."""
    base = Path(tempfile.gettempdir()) / f"ecm-tests-{os.geteuid()}"
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
