"""Sessions with a branch's database: direct ones only, with settings that are ecm's own.

A role's or database's settings (ALTER ROLE … SET) would apply to ecm's sessions too, so each
setting that ecm depends on is set here.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, LiteralString, Self, TypeVar

import psycopg
from psycopg import conninfo, errors, sql
from psycopg.rows import dict_row
from pydantic import SecretStr
from tenacity import (
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from orchestrator.errors import (
    ConnectionFailedError,
    EcmError,
    LeaseError,
    LockTimeoutError,
    PrivilegeError,
    StatementFailedError,
)
from orchestrator.redaction import redact
from orchestrator.sql.identifiers import verbatim

MINIMUM_VERSION = 14
Connection = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")

_CANCELLING = 5.0
"""Seconds to wait for the server to take a request to give up a statement."""
_TRIES = 5
"""How often a session may be lost in the middle of one thing."""

_SETTINGS = {
    # Names are qualified by ecm itself, and what PostgreSQL prints (pg_get_viewdef, regclass) is qualified too.
    "search_path": "",
    # ALTER ROLE … SET statement_timeout is made for applications, and would end a sweep or an index build.
    "statement_timeout": "0",
    "lock_timeout": "1s",
    # A client that vanished in the middle of a transaction must not keep its locks.
    "idle_in_transaction_session_timeout": "60s",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    # Row-level security would hide rows from the sweep in silence; off turns that into an error.
    "row_security": "off",
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
}


def connect(url: SecretStr, *, branch: str, purpose: str = "ecm") -> Connection:
    """Open a direct session with a branch, in autocommit, with ecm's settings.

    Args:
        url: a libpq URL; its password appears in no error.
        branch: for the words of errors.
        purpose: application_name, as others see it in pg_stat_activity.

    Raises:
        ConnectionFailedError: malformed, unreachable, refused, pooled, or older than PostgreSQL 14.
    """
    parameters = _parse(url, branch)
    _refuse_pooler_host(parameters, branch)
    try:
        connection = psycopg.connect(
            url.get_secret_value(),
            autocommit=True,
            application_name=purpose,
            connect_timeout=int(parameters.get("connect_timeout") or 10),
            # A plan prepared before a column changed fails after it ("cached plan must not change result type").
            prepare_threshold=None,
            keepalives_idle=30,
        )
    except psycopg.Error as error:
        raise _unreachable(error, parameters, branch) from None
    try:
        _check(connection, parameters, branch)
        _settle(connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, psycopg.Error):
            raise _unreachable(error, parameters, branch) from None
        raise
    return connection


def _parse(url: SecretStr, branch: str) -> dict[str, Any]:
    try:
        parameters = dict(conninfo.conninfo_to_dict(url.get_secret_value()))
    except psycopg.Error:
        # The driver's words quote parts of the URL, the password among them.
        raise _unreadable(branch) from None
    # A password with an / or @ as it is spills over into what follows it, and would be shown as that.
    if any("@" in str(parameters.get(part, "")) for part in ("host", "port", "dbname")):
        raise _unreadable(branch)
    if not (parameters.get("dbname") or parameters.get("service")):
        raise ConnectionFailedError(
            f"the URL of {branch} names no database",
            details=["libpq would take the one with the user's name, which is seldom the one that was meant"],
            hint="add it at the end: postgresql://user:password@host:port/database",
        )
    return parameters


def _unreadable(branch: str) -> ConnectionFailedError:
    return ConnectionFailedError(
        f"the URL of {branch} cannot be read",
        details=["it has the form postgresql://user:password@host:port/database", "special characters are written %xx"],
        hint="correct it in .env or the environment; ecm doctor",
    )


def _refuse_pooler_host(parameters: dict[str, Any], branch: str) -> None:
    host = str(parameters.get("host") or "")
    label, dot, rest = host.partition(".")
    if label.endswith("-pooler"):
        raise ConnectionFailedError(
            f"the URL of {branch} goes through a connection pooler ({host})",
            details=["behind a pooler, locks and settings of one session leak to another"],
            hint=f"use the direct host {label.removesuffix('-pooler')}{dot}{rest}",
        )


def _unreachable(error: psycopg.Error, parameters: dict[str, Any], branch: str) -> ConnectionFailedError:
    password = str(parameters.get("password") or "")
    # libpq writes a line for each address that it tried.
    lines = (" ".join(line.split()) for line in redact(str(error), [password]).splitlines())
    where = f"{parameters.get('host') or 'the local socket'}, database {parameters.get('dbname') or '(default)'}"
    return ConnectionFailedError(
        f"{branch} cannot be reached at {where}",
        details=[line for line in lines if line],
        hint=f"check the URL of {branch} in .env or the environment, and that the server runs; ecm doctor",
    )


def _check(connection: Connection, parameters: dict[str, Any], branch: str) -> None:
    version = connection.info.server_version
    if version < MINIMUM_VERSION * 10000:
        raise ConnectionFailedError(
            f"{branch} runs PostgreSQL {version // 10000}; ecm needs {MINIMUM_VERSION} or newer",
            hint="upgrade the server",
        )
    host = str(parameters.get("host") or "")
    if host.endswith(".neon.tech"):
        return  # Neon's proxy invents the number that the client is told.
    row = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    if row and row[0] != connection.info.backend_pid:
        raise ConnectionFailedError(
            f"the URL of {branch} goes through a connection pooler",
            details=[f"{host}:{parameters.get('port') or 5432} answers for another server process than it announced"],
            hint="use the server's own host and port",
        )


def _settle(connection: Connection) -> None:
    settings = dict(_SETTINGS)
    if connection.info.server_version >= 170000:  # noqa: PLR2004 - transaction_timeout came with PostgreSQL 17
        settings["transaction_timeout"] = "0"
    query = sql.SQL("SELECT {}").format(
        sql.SQL(", ").join(
            sql.SQL("pg_catalog.set_config({}, {}, false)").format(sql.Literal(name), sql.Literal(value))
            for name, value in settings.items()
        )
    )
    connection.execute(query)
    # The server notices within 2 s that ecm was killed, and gives up what it was doing for it. It cannot
    # on every platform; there it notices when it next writes to the client.
    with suppress(errors.InvalidParameterValue):
        connection.execute("SET client_connection_check_interval = '2s'")


def select(connection: Connection, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
    """Return what a query of ecm's own gives, by the names of its columns."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(verbatim(query), values).fetchall()


def one_statement(connection: Connection, query: str) -> tuple[Any, ...] | None:
    """Return the first row of a query by the plan's author, which has to be one statement.

    In a transaction that is read only, a COMMIT would be the way to write; the simple protocol takes it with others in
    one string ("Simple Query", manual 54.2.2 in PostgreSQL 18). Rows that are streamed come by the extended protocol,
    which takes one. To ask for a prepared statement does not bring it about: these connections prepare none.

    Raises:
        psycopg.Error: it is several statements, gives no rows, or fails.
    """
    first: tuple[Any, ...] | None = None
    with connection.cursor() as cursor:
        for row in cursor.stream(verbatim(query)):
            first = first or row
    return first


def cancel(connection: Connection) -> None:
    """Ask the server to give up what a session of another thread is at; one that does not answer is not waited for.

    The request is encrypted as the session is, where libpq is 17 or newer ("Canceling Queries in Progress", manual
    32.7 in PostgreSQL 18); before, it was sent in the clear, and held up every thread.
    """
    with suppress(psycopg.Error):
        connection.cancel_safe(timeout=_CANCELLING)


def clock(connection: Connection) -> datetime:
    """Return the time by the database's own clock."""
    row = connection.execute("SELECT pg_catalog.clock_timestamp()").fetchone()
    if row is None:
        raise AssertionError  # a SELECT of a value has a row
    moment: datetime = row[0]
    return moment


def lacking(connection: Connection, privilege: LiteralString) -> tuple[str, str, str]:
    """Return the role and the database of a session, and the GRANT of a privilege on the one to the other."""
    role, database = connection.execute("SELECT current_user, pg_catalog.current_database()").fetchone() or ("?", "?")
    grant = sql.SQL("GRANT {} ON DATABASE {} TO {}").format(
        sql.SQL(privilege), sql.Identifier(database), sql.Identifier(role)
    )
    return role, database, grant.as_string(None)


class Link:
    """A session that comes back after it was lost.

    Args:
        opens: opens a new session.
        patience: seconds to keep trying to come back.
        sleep: how to wait.
        first: a session that is open already, to begin with; the link's own from then on.
    """

    def __init__(
        self,
        opens: Callable[[], Connection],
        *,
        patience: float,
        sleep: Callable[[float], None],
        first: Connection | None = None,
    ) -> None:
        self._opens = opens
        self._patience = patience
        self._sleep = sleep
        self._connection = first
        self.reopened: list[Callable[[Connection], None]] = []
        """Called with every new session after the first, before it is used."""

    def another(self, prepare: Callable[[Connection], None]) -> "Link":
        """Return a link of its own to the same branch; `prepare` is called with every session of it, the first too."""

        def opens() -> Connection:
            connection = self._opens()
            try:
                prepare(connection)
            except BaseException:
                connection.close()
                raise
            return connection

        return Link(opens, patience=self._patience, sleep=self._sleep)

    def __enter__(self) -> Self:
        self._connection = self._connection or self._opens()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the session, if there is one."""
        if self._connection is not None:
            self._connection.close()

    @property
    def connection(self) -> Connection:
        """The session; opened anew where it was lost."""
        if self._connection is None or self._connection.closed:
            self._connection = self._reopen()
        return self._connection

    def do(self, work: Callable[[Connection], T]) -> T:
        """Do something that may be done twice; again where the session is lost in the middle of it."""
        for attempt in Retrying(
            retry=retry_if_exception(self.lost),
            stop=stop_after_attempt(_TRIES),
            reraise=True,
        ):
            with attempt:
                return work(self.connection)
        raise AssertionError  # Retrying either returns or raises

    def lost(self, error: BaseException) -> bool:
        """Whether an error means that the session is gone; it is then closed, and the next use opens another."""
        if not is_lost(error):
            return False
        if self._connection is not None:
            self._connection.close()
        return True

    @property
    def current(self) -> Connection | None:
        """The session as it is, lost or not."""
        return self._connection

    def _reopen(self) -> Connection:
        for attempt in Retrying(
            retry=retry_if_exception_type(ConnectionFailedError),
            stop=stop_after_delay(self._patience),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            sleep=self._sleep,
            reraise=True,
        ):
            with attempt:
                connection = self._opens()
                try:
                    for prepare in self.reopened:
                        prepare(connection)
                except BaseException:
                    connection.close()
                    raise
                return connection
        raise AssertionError  # Retrying either returns or raises


def is_lost(error: BaseException) -> bool:
    """Whether an error means that the session is gone, so that what it was doing may or may not have committed."""
    if not isinstance(error, psycopg.Error):
        return False
    # What the driver says by itself, without an answer of the server's, it says of a connection that broke.
    return _is_fatal(error) or (isinstance(error, psycopg.OperationalError) and error.sqlstate is None)


def _is_fatal(error: psycopg.Error) -> bool:
    """Whether PostgreSQL closes the session after this error: a shutdown, or a session idle for too long."""
    return error.diag.severity_nonlocalized in ("FATAL", "PANIC")


_FOR_THE_CALLER = (
    EcmError,
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.DeadlockDetected,
)


@contextmanager
def explained(doing: str, *, statement: str | None = None) -> Generator[None]:
    """Turn PostgreSQL's refusal of a statement into an error with what, where and why.

    Locks, lost sessions and cancelled statements pass through: they are for the caller to judge.
    """
    try:
        yield
    except _FOR_THE_CALLER:
        raise
    except errors.InsufficientPrivilege as error:
        raise PrivilegeError(f"{doing}: {error.diag.message_primary}", details=_lines(error, statement)) from error
    except psycopg.Error as error:
        if is_lost(error):
            raise  # the session was lost, perhaps before an answer came
        raise StatementFailedError(
            f"{doing}: {error.diag.message_primary or str(error)}",
            details=_lines(error, statement),
            hint="nothing of this step was kept; put right what it names, then run the same command again, or take the"
            " plan back: ecm rollback",
        ) from error


def unforeseen(error: psycopg.Error, branch: str) -> EcmError:
    """Return the error for a refusal or a loss that no step was prepared for."""
    if isinstance(error, errors.InsufficientPrivilege):
        return PrivilegeError(f"{branch}: {error.diag.message_primary}", hint="ecm doctor")
    if isinstance(error, errors.LockNotAvailable):
        return LockTimeoutError(f"{branch}: something is locked by another session", hint="run the same command again")
    if is_lost(error):
        return ConnectionFailedError(f"the connection to {branch} was lost", hint="run the same command again")
    if isinstance(error, errors.UndefinedTable) and ' "ecm.' in (error.diag.message_primary or ""):
        return LeaseError(
            f"the journal of {branch} is gone: its database was reset, or made anew, meanwhile",
            details=["this ecm did nothing in the one that is there now"],
            hint="ecm status",
        )
    return StatementFailedError(
        f"{branch}: {error.diag.message_primary or error}", details=_lines(error, None), hint="ecm doctor"
    )


def _lines(error: psycopg.Error, statement: str | None) -> list[str]:
    lines = [f"SQLSTATE {error.sqlstate}"] if error.sqlstate else []
    lines += [text for text in (error.diag.message_detail, error.diag.message_hint) if text]
    return [*lines, *([statement] if statement else [])]
