"""Where a ledger is, how to open it, and what its database's refusals mean.

All that differs between SQLite and PostgreSQL is here; `store` does not know which it has. No text
that leaves here holds the password.
"""

import os
import sqlite3
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, LiteralString
from urllib.parse import quote

from sqlalchemy import URL, ColumnElement, Connection, Engine, NullPool, create_engine, func, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from orchestrator.errors import ConfigurationError, ConnectionFailedError, EcmError, PrivilegeError, TamperingError
from orchestrator.ledger.tables import SCHEMA, Tables, tables

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_INSUFFICIENT_PRIVILEGE = "42501"
_LOCK_NOT_AVAILABLE = "55P03"

_EXAMPLES = "sqlite:///.ecm/ledger.db, or postgresql://user:password@host/database for a team"


THIS_DATABASE: LiteralString = (
    "SELECT concat_ws('/', extract(epoch FROM pg_catalog.pg_postmaster_start_time()), oid, datname)"
    " FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
)
"""What no two databases have alike at one time, whatever their URLs call them."""


class Location(ABC):
    """A place for a ledger."""

    tables: Tables
    engine: Engine
    now: ColumnElement[str]
    """The database's time as SQL, written as `events.timestamp` writes it."""

    @property
    @abstractmethod
    def shown(self) -> str:
        """The place in words for people, without a password."""

    @abstractmethod
    def present(self) -> object | None:
        """Return what tells this ledger from another in the same place; None where there is nothing to open.

        None saves opening, and so making, an empty file.
        """

    @abstractmethod
    def database(self) -> str | None:
        """Return which database the ledger is in, as `THIS_DATABASE` tells; None where it is a file."""

    @abstractmethod
    def create(self) -> None:
        """Make ready what must be there before a first connection that writes."""

    @abstractmethod
    def begin_reading(self, connection: Connection) -> None:
        """Begin a transaction in which every query sees the same state."""

    @abstractmethod
    def begin_writing(self, connection: Connection) -> None:
        """Begin a transaction that may write."""

    @abstractmethod
    def failure(self, error: SQLAlchemyError) -> EcmError:
        """Say in plain words what an error from the database means."""


def locate(url: str, *, patience: float) -> Location:
    """Read a ledger's URL.

    Args:
        url: `sqlite:///path`, `postgresql://…`, `postgres://…` or `postgresql+psycopg://…`.
        patience: seconds to wait for a connection or for another writer.

    Raises:
        ConfigurationError: it is none of these.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None  # raised outside, because the cause may hold the password
    # A second @ is one that a password should have had as %40. What follows it would be taken for
    # the host, and shown as such.
    if parsed is None or parsed.drivername not in _KINDS or ("sqlite" not in parsed.drivername and url.count("@") > 1):
        scheme = f" of the kind {parsed.drivername}" if parsed else ""
        raise ConfigurationError(
            f"the ledger's URL{scheme} cannot be used",
            details=("it must be a whole URL for SQLite or PostgreSQL, with characters like @ in a password as %40",),
            hint=f"set ledger in ecm.yaml, for example to {_EXAMPLES}",
        )
    return _KINDS[parsed.drivername](parsed, patience)


class _Sqlite(Location):
    """A file. It is opened for each transaction, so that no lock outlives one."""

    def __init__(self, url: URL, patience: float) -> None:
        if url.database in {None, "", ":memory:"} or url.query or url.host:
            raise ConfigurationError(
                "the ledger's URL must name a file, and nothing more",
                details=("a ledger in memory would forget what gates rely on",),
                hint="set ledger in ecm.yaml, for example to sqlite:///.ecm/ledger.db",
            )
        self._shown: Final = str(url.database)
        self._path: Final = Path(self._shown).absolute()
        self._patience: Final = patience
        self.tables = tables(None)
        self.now = func.strftime("%Y-%m-%dT%H:%M:%f000Z", "now")
        self.engine = create_engine("sqlite://", creator=self._connect, poolclass=NullPool, hide_parameters=True)

    def _connect(self) -> sqlite3.Connection:
        # mode=rw never makes a file, and falls back to reading where writing is not allowed. The
        # driver's own BEGIN is turned off (isolation_level): it would not cover DDL.
        connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=rw",
            uri=True,
            timeout=self._patience,
            isolation_level=None,
            check_same_thread=False,
        )
        # A tampered file may hold text that is no UTF-8; it is to be found, not stumbled over.
        connection.text_factory = _lenient
        return connection

    @property
    def shown(self) -> str:
        return self._shown

    def present(self) -> object | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return (found.st_dev, found.st_ino, found.st_size > 0)

    def database(self) -> None:
        return None

    def create(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConnectionFailedError(
                f"the ledger {self._shown} cannot be written",
                details=(f"{error.filename}: {reason}",),
                hint="make the folder writable, or set ledger in ecm.yaml to another place",
            ) from None

    def begin_reading(self, connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    def begin_writing(self, connection: Connection) -> None:
        # With a plain BEGIN two writers could both read the head before either moves it.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def failure(self, error: SQLAlchemyError) -> EcmError:
        origin = error.orig if isinstance(error, DBAPIError) else error
        name: str = getattr(origin, "sqlite_errorname", "")
        if isinstance(error, IntegrityError):
            return _unfit(self._shown, str(origin))
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return ConnectionFailedError(
                f"the ledger {self._shown} is locked by another process",
                details=(f"it was still locked after {self._patience:g} s",),
                hint="wait for the other ecm, or close the program that has the file open, and run the command again",
            )
        if name in {"SQLITE_NOTADB", "SQLITE_CORRUPT"}:
            return ConnectionFailedError(
                f"{self._shown} is not a ledger, or is damaged",
                details=(str(origin),),
                hint="set ledger in ecm.yaml to the right file, or restore it from a backup",
            )
        return ConnectionFailedError(
            f"the ledger {self._shown} cannot be used",
            details=(str(origin),),
            hint="check that the file and its folder may be read and written",
        )


class _Postgresql(Location):
    """A database shared by a team. Works behind a transaction pooler: nothing outlives a transaction."""

    def __init__(self, url: URL, patience: float) -> None:
        self._url: Final = url.set(drivername="postgresql+psycopg")
        self._patience: Final = patience
        self.tables = tables(SCHEMA)
        self.now = func.to_char(func.timezone("UTC", func.clock_timestamp()), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        arguments: dict[str, object] = {"prepare_threshold": None}
        if "connect_timeout" not in url.query:
            arguments["connect_timeout"] = max(2, round(patience))  # libpq's least
        if "application_name" not in url.query:
            arguments["application_name"] = "ecm ledger"
        self.engine = create_engine(
            self._url,
            connect_args=arguments,
            pool_size=1,
            pool_pre_ping=True,  # a server that suspends when idle drops connections
            isolation_level="READ COMMITTED",
            hide_parameters=True,
        )

    @property
    def shown(self) -> str:
        return URL.create(
            "postgresql", host=self._url.host, port=self._url.port, database=self._url.database
        ).render_as_string()

    def present(self) -> object | None:
        return self._url

    def database(self) -> str | None:
        with self.engine.connect() as connection:
            self.begin_reading(connection)
            return str(connection.execute(text(THIS_DATABASE)).scalar_one())

    def create(self) -> None:
        pass

    def begin_reading(self, connection: Connection) -> None:
        connection.execution_options(isolation_level="REPEATABLE READ")
        self._set_timeouts(connection)

    def begin_writing(self, connection: Connection) -> None:
        self._set_timeouts(connection)

    def _set_timeouts(self, connection: Connection) -> None:
        # For this transaction only, and whatever the role or the database has for a default.
        milliseconds = str(max(1, round(self._patience * 1000)))
        connection.execute(
            text(
                "SELECT set_config('lock_timeout', :patience, true), set_config('statement_timeout', '60s', true),"
                " set_config('idle_in_transaction_session_timeout', '60s', true)"
            ),
            {"patience": milliseconds},
        )

    def failure(self, error: SQLAlchemyError) -> EcmError:
        origin = error.orig if isinstance(error, DBAPIError) else error
        sqlstate: str | None = getattr(origin, "sqlstate", None)
        reason = self._redact(str(origin))
        if isinstance(error, IntegrityError):
            return _unfit(self.shown, reason)
        if sqlstate == _INSUFFICIENT_PRIVILEGE:
            return self._missing_privilege(reason)
        if sqlstate == _LOCK_NOT_AVAILABLE:
            return ConnectionFailedError(
                f"the ledger at {self.shown} is locked by another process",
                details=(f"it was still locked after {self._patience:g} s",),
                hint="wait for the other ecm, and run the command again",
            )
        if isinstance(error, ProgrammingError) and sqlstate is None:
            # It never came to a connection: libpq does not know a parameter of the URL.
            return ConfigurationError(
                "the ledger's URL cannot be used", details=(reason,), hint=f"it should look like {_EXAMPLES}"
            )
        return ConnectionFailedError(
            f"the ledger at {self.shown} cannot be used",
            details=(reason,),
            hint="check the ledger's URL (ledger or ledger_env in ecm.yaml), and that the server can be reached",
        )

    def _missing_privilege(self, reason: str) -> EcmError:
        quoted = self.engine.dialect.identifier_preparer.quote_identifier
        role = quoted(self._url.username) if self._url.username else "CURRENT_USER"
        if "database" in reason:
            needed = f"GRANT CREATE ON DATABASE {quoted(self._url.database or 'postgres')} TO {role};"
        else:
            needed = (
                f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}; "
                f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA {SCHEMA} TO {role}; "
                f"GRANT UPDATE ON {SCHEMA}.head TO {role};"
            )
        return PrivilegeError(
            f"the ledger at {self.shown} may not be used by this role",
            details=(reason,),
            hint=f"as its owner: {needed}",
        )

    def _redact(self, words: str) -> str:
        given = self._url.password, *(self._url.query.get(key) for key in ("password", "sslpassword"))
        for secret in given:
            if isinstance(secret, str) and secret:
                words = words.replace(secret, "***").replace(quote(secret, safe=""), "***")
        return words.splitlines()[0] if words else "no reason was given"


def _unfit(shown: str, reason: str) -> EcmError:
    return TamperingError(
        f"the ledger {shown} does not take the next entry",
        details=(reason.splitlines()[0], "something other than ecm has written to it"),
        hint="ecm audit verify",
    )


def _lenient(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


_KINDS = {
    "sqlite": _Sqlite,
    "sqlite+pysqlite": _Sqlite,
    "postgresql": _Postgresql,
    "postgres": _Postgresql,
    "postgresql+psycopg": _Postgresql,
}
