"""A PostgreSQL server that ecm runs itself, from the programs inside a Python wheel.

The server belongs to a folder, not to a process: whichever process needs it starts it, it goes on
running when that process ends or is killed, and the next one finds it by its postmaster.pid.
"""

import fcntl
import hashlib
import os
import secrets
import shlex
import shutil
import socket
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, final
from urllib.parse import quote

import psycopg
from psycopg import sql
from tenacity import (
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_fixed,
)

from orchestrator.branches import quarters, watcher
from orchestrator.branches.copying import settled
from orchestrator.branches.postmaster import Postmaster, StopMode
from orchestrator.branches.quarters import Account, Quarters
from orchestrator.errors import ConfigurationError, ConnectionFailedError, PreconditionError

ROLE = "postgres"
LOOPBACK = "127.0.0.1"
USUAL_PORT = 5432
PATIENCE = 60
"""Seconds for a start, including recovery after a crash, or for a stop."""

_PASSING = ("Address already in use", "pre-existing shared memory block", "already exists", "is empty")
"""What a start fails with that the next attempt may not: a port taken meanwhile, the last processes
of a killed server, or a lock file just written for an ecm that was killed while it waited."""

_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})


@final
class EmbeddedServer:
    """A PostgreSQL server with its data under a folder. Making the object starts nothing.

    Listens on a unix socket that only its user and root can reach, and on the loopback interface,
    with a password, when asked to. Every process with an EmbeddedServer on the folder shares the
    one server; starting and stopping take turns by a lock on the folder. POSIX systems only.

    Args:
        folder: where the server belongs; made when it starts. A project that is moved keeps its
            server, one that is copied gets its own.
        version: the major version of PostgreSQL for a new folder. Existing data keep theirs.
        programs: the folder of PostgreSQL's programs, of that version; those of the wheel where it is left out.
        idle_stop: after how long without a session it is stopped, by a process of its own that each start sees to;
            never where it is zero. Where it is None, that is left as it is.
    """

    def __init__(
        self,
        folder: Path,
        version: int = 18,
        *,
        programs: Path | None = None,
        idle_stop: timedelta | None = None,
    ) -> None:
        self._idle_stop = idle_stop
        self.folder = folder.resolve()
        self._version = version
        self._own_programs = programs
        self._tcp = False

    @property
    def version(self) -> int:
        """The major version of PostgreSQL."""
        found = quarters.find(self.folder)
        stamp = None if found is None else found.data / "PG_VERSION"
        return int(stamp.read_text()) if stamp is not None and stamp.is_file() else self._version

    @property
    def running(self) -> bool:
        """Whether the server is up and answers."""
        found = quarters.find(self.folder)
        postmaster = None if found is None else Postmaster.of(found.data)
        return postmaster is not None and _answers(postmaster)

    @property
    def has_data(self) -> bool:
        """Whether it ever ran."""
        found = quarters.find(self.folder)
        return found is not None and found.data.is_dir()

    def start(self, options: Mapping[str, str] = _NO_OPTIONS, *, tcp: bool = False) -> None:
        """Start the server unless it runs; when this returns, it answers.

        Args:
            options: server settings, such as {"fsync": "off"}; they count for the start that this
                call makes, and are not kept for the next one.
            tcp: listen on the loopback interface too, on a port that stays the same over restarts
                while it is free. A server that runs without is restarted.

        Raises:
            ConfigurationError: the folder is another user's, or there is no such version.
            ConnectionFailedError: the server does not come up; details have its own words.
        """
        with self.alone():
            home = quarters.settle(self.folder)
            postmaster = _settled(home)
            if postmaster is not None and tcp and not postmaster.tcp:
                _end(postmaster, "fast")
                postmaster = None
            if postmaster is None:
                self._initialise(home, durable=options.get("fsync", "on") != "off")
                self._launch(home, options, tcp=tcp)
            if tcp:
                self._agree_on_password()
            self._tcp = tcp
            if self._idle_stop is not None:
                watcher.ensure(self.folder, self._idle_stop.total_seconds())

    def stop(self, mode: StopMode = "fast", *, unless: Callable[[], bool] = lambda: False) -> None:
        """Stop the server if it runs, and wait until it is gone.

        Args:
            mode: `fast` ends all sessions in good order; `immediate` is like a power cut.
            unless: asked when nobody else can start or stop it any more; where it is true, the server goes on.

        Raises:
            ConnectionFailedError: it is still there after a minute.
        """
        if quarters.find(self.folder) is None:
            return
        with self.alone():
            found = quarters.find(self.folder)
            postmaster = None if found is None else Postmaster.of(found.data)
            if postmaster is not None and not unless():
                _end(postmaster, mode)

    def destroy(self) -> None:
        """Stop the server and remove its data, and the folder with all that is in it."""
        if not self.folder.is_dir():
            return
        with self.alone():
            found = quarters.find(self.folder)
            if found is not None:
                found.remove()
            shutil.rmtree(self.folder)
        watcher.wait(self.folder)

    def url(self, database: str) -> str:
        """Return the URL of a database: over TCP with the password if this object started it so, else by socket.

        Raises:
            ConfigurationError: the server has never been started.
        """
        found = quarters.find(self.folder)
        if found is None:
            raise ConfigurationError(f"the embedded server of {self.folder} has never been started")
        name = quote(database, safe="")
        postmaster = Postmaster.of(found.data)
        if self._tcp:
            port = (self.folder / "port").read_text() if postmaster is None else postmaster.port
            return f"postgresql://{ROLE}:{quote(self._password(), safe='')}@{LOOPBACK}:{port}/{name}"
        sockets, port = (found.sockets, USUAL_PORT) if postmaster is None else (postmaster.sockets, postmaster.port)
        return f"postgresql://{ROLE}@/{name}?host={quote(str(sockets), safe='')}&port={port}"

    def databases(self) -> frozenset[str]:
        """Return the names of all databases, PostgreSQL's own included.

        Raises:
            ConnectionFailedError: the server is not running; so do all that follow.
        """
        with self.connect() as connection:
            return frozenset(name for (name,) in connection.execute("SELECT datname FROM pg_database"))

    def create_database(self, name: str, template: str | None = None) -> None:
        """Create a database, empty or as a copy of the template.

        Raises:
            PreconditionError: there is one of that name, or sessions on the template keep it from being copied.
        """
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        try:
            with self.connect() as connection:
                connection.execute(statement)
        except psycopg.errors.DuplicateDatabase as problem:
            raise PreconditionError(f"database {name} exists already") from problem
        except psycopg.errors.ObjectInUse as problem:
            raise PreconditionError(
                f"database {template} cannot be copied to {name} while it is in use",
                details=(problem.diag.message_detail or str(problem),),
                hint=f"close the connections to {template}, then run the same command again",
            ) from problem

    def ensure_database(self, name: str, *, copy_of: str | None = None) -> bool:
        """Create a database unless it exists; True if this call made it.

        Args:
            name: the database.
            copy_of: the database to copy where that exists; the new one is empty where it does not.

        Raises:
            PreconditionError: sessions on the other database keep it from being copied.
        """
        if name in self.databases():
            return False
        with self.alone():  # of two processes that need a new database, one makes it
            existing = self.databases()
            if name in existing:
                return False
            self.create_database(name, template=copy_of if copy_of in existing else None)
            return True

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, ending the sessions on it."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def alone(self, what: str = "server", *, make: bool = True) -> Generator[None]:
        """Keep other processes and threads out; the system frees the lock when its holder dies.

        Args:
            what: they start or stop the `server`, or make a `branch`: whoever waits for sessions on a database to end
                must not keep those from the server.
            make: make the folder where it is not there; otherwise that is an OSError.
        """
        try:
            if make:
                self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / f"{what}.lock").open("w" if make else "r+")
        except OSError as problem:
            if not make:
                raise
            raise ConfigurationError(
                f"the embedded server's folder {self.folder} cannot be written",
                details=(str(problem),),
                hint="run ecm as the user whom the folder belongs to",
            ) from problem
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def connect(self) -> psycopg.Connection[Any]:
        """Open a session in autocommit on the database postgres, as the server's own role."""
        found = quarters.find(self.folder)
        postmaster = None if found is None else Postmaster.of(found.data)
        if postmaster is None:
            raise ConnectionFailedError(f"the embedded server of {self.folder} is not running")
        try:
            return settled(_connected(postmaster))
        except psycopg.OperationalError as problem:
            raise ConnectionFailedError(
                f"the embedded server of {self.folder} does not answer", details=(str(problem),)
            ) from problem

    def _programs(self, version: int, account: Account) -> Path:
        if self._own_programs is None:
            return quarters.binaries(version, account)
        digest = hashlib.sha256(os.fsencode(self._own_programs)).hexdigest()[:12]
        return quarters.within_reach(self._own_programs, account, label=f"programs-{version}-{digest}")

    def _initialise(self, home: Quarters, *, durable: bool) -> None:
        """Make the data directory, in one piece: an interrupted initdb leaves nothing that looks like data."""
        if home.data.is_dir():
            return
        for interrupted in home.home.glob("new-*"):
            shutil.rmtree(interrupted, ignore_errors=True)
        # A name of its own, because an initdb whose ecm was killed may still be writing to the last one.
        unfinished = Path(tempfile.mkdtemp(prefix="new-", dir=home.home))
        home.account.make_folder(unfinished)
        programs = self._programs(self._version, home.account)
        result = home.account.run(
            [
                *(programs / "initdb", "-D", unfinished.name, "-U", ROLE, "--encoding=UTF8"),
                *("--auth-local=trust", "--auth-host=scram-sha-256"),
                *_locale(self._version),
                *(() if durable else ("--no-sync",)),
            ],
            folder=home.home,
            seconds=10 * PATIENCE,
        )
        if result.returncode != 0:
            raise ConnectionFailedError(
                f"the embedded server of {self.folder} could not be set up",
                details=result.stderr.strip().splitlines()[-5:],
                hint="see that the disk has room and can be written",
            )
        unfinished.rename(home.data)

    def _launch(self, home: Quarters, options: Mapping[str, str], *, tcp: bool) -> None:
        home.prepare_sockets()
        Postmaster.forget_stale(home.data, home.sockets)
        programs = self._programs(self.version, home.account)
        for attempt in Retrying(
            retry=retry_if_exception(_is_passing), stop=stop_after_attempt(10), wait=wait_fixed(0.3), reraise=True
        ):
            with attempt:
                if _settled(home) is not None:
                    return
                settings = {
                    **options,
                    "listen_addresses": LOOPBACK if tcp else "",
                    "port": str(self._port() if tcp else USUAL_PORT),
                    "unix_socket_permissions": "0700",
                    "unix_socket_directories": str(home.sockets),
                }
                self._pg_ctl_start(home, programs, settings)

    def _pg_ctl_start(self, home: Quarters, programs: Path, settings: Mapping[str, str]) -> None:
        log = home.data / "server.log"
        before = log.stat().st_size if log.is_file() else 0
        # pg_ctl hands the words after -o to a shell, and -D and -l too, unquoted: those are plain names, then.
        words = shlex.join([word for name, value in settings.items() for word in ("-c", f"{name}={value}")])
        result = home.account.run(
            [
                *(programs / "pg_ctl", "start", "-s", "-w", "-t", str(PATIENCE)),
                *("-D", "data", "-l", "data/server.log", "-o", words),
            ],
            folder=home.home,
            seconds=2 * PATIENCE,
        )
        if result.returncode != 0:
            raise ConnectionFailedError(
                f"the embedded server of {self.folder} does not start",
                details=(*_tail(log, before), *result.stderr.strip().splitlines()),
                hint=f"its log is {log}",
            )

    def _port(self) -> int:
        """Return a free port, the last one if possible, and remember it.

        New ports lie below those that systems give to outgoing connections (32768 and up on
        Linux): one of those could hold ours while the server is down.
        """
        memory = self.folder / "port"
        last = [int(known) for known in (memory.read_text() if memory.is_file() else "").split()]
        first = int(hashlib.sha256(os.fsencode(self.folder)).hexdigest(), 16)
        for port in [*last, *(15000 + (first + step) % 15000 for step in range(1000))]:
            with socket.socket() as probe, suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((LOOPBACK, port))
                memory.write_text(str(port))
                return port
        raise ConfigurationError("there is no free port for the embedded server between 15000 and 30000")

    def _agree_on_password(self) -> None:
        """Give the role the password in the folder; what PostgreSQL gets to see is its SCRAM verifier."""
        with self.connect() as connection:
            verifier = connection.pgconn.encrypt_password(
                self._password().encode(), ROLE.encode(), b"scram-sha-256"
            ).decode()
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(ROLE), sql.Literal(verifier)))

    def _password(self) -> str:
        path = self.folder / "password"
        if not path.is_file():
            new = path.with_name("password.new")
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24))
            new.rename(path)
        return path.read_text()


def _connected(postmaster: Postmaster) -> psycopg.Connection[Any]:
    if not postmaster.sockets:  # an empty host would be the system's own server
        raise psycopg.OperationalError("the server is only just starting")
    return psycopg.connect(
        host=postmaster.sockets,
        port=postmaster.port,
        user=ROLE,
        dbname="postgres",
        connect_timeout=10,
        autocommit=True,
        application_name="ecm",
    )


def _answers(postmaster: Postmaster) -> bool:
    try:
        _connected(postmaster).close()
    except psycopg.OperationalError:
        return False
    return True


def _settled(home: Quarters) -> Postmaster | None:
    """Return the running server, or None, after waiting for one that is on its way up or down."""
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type(psycopg.OperationalError),
            stop=stop_after_delay(PATIENCE),
            wait=wait_fixed(0.1),
            reraise=True,
        ):
            with attempt:
                postmaster = Postmaster.of(home.data)
                if postmaster is not None and postmaster.sockets and not postmaster.socket.exists():
                    _end(postmaster, "fast")  # its folder was moved while it ran: nobody can reach it
                    postmaster = None
                if postmaster is not None:
                    _connected(postmaster).close()
                return postmaster
    except psycopg.OperationalError as problem:
        raise ConnectionFailedError(
            f"the embedded server in {home.home} runs and does not answer",
            details=(str(problem),),
            hint=f"its log is {home.data / 'server.log'}",
        ) from problem
    return None


def _end(postmaster: Postmaster, mode: StopMode) -> None:
    if not postmaster.stop(mode, within=PATIENCE):
        raise ConnectionFailedError(
            f"the embedded server in {postmaster.data} did not stop within {PATIENCE} s",
            hint=f"see {postmaster.data / 'server.log'}",
        )


def _is_passing(problem: BaseException) -> bool:
    return isinstance(problem, ConnectionFailedError) and any(
        sign in line for sign in _PASSING for line in problem.details
    )


def _locale(version: int) -> tuple[str, ...]:
    """Return initdb's options for an order of text that is the same on every system."""
    builtin_since = 17
    if version >= builtin_since:
        return ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    return ("--locale=C",)


def _tail(log: Path, start: int) -> list[str]:
    """Return the last lines that the log gained; never through a link, which the server's user could have set."""
    try:
        with os.fdopen(os.open(log, os.O_RDONLY | os.O_NOFOLLOW)) as file:
            file.seek(start)
            return [line.strip() for line in file][-5:]
    except OSError:
        return []
