"""Sessions are direct ones with ecm's own settings, and no error of theirs shows a password."""

import socket
from contextlib import closing
from typing import Any

import psycopg
import pytest
from operations.conftest import Roles
from operations.harness import as_role
from psycopg import errors
from pydantic import SecretStr

from orchestrator.engine.connection import Link, connect, explained, is_lost, unforeseen
from orchestrator.errors import ConnectionFailedError, LeaseError, PrivilegeError, StatementFailedError

SECRET = "s3cr3t-p4ss"


def setting(connection: psycopg.Connection[Any], name: str) -> str:
    """Return a setting of the session."""
    row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row
    return row[0]


EVIL = {
    "statement_timeout": ("100", "0"),
    "lock_timeout": ("0", "1s"),
    "idle_in_transaction_session_timeout": ("1", "1min"),
    "search_path": ("odd", ""),
    "default_transaction_isolation": ("serializable", "read committed"),
    "default_transaction_read_only": ("on", "off"),
    "row_security": ("on", "off"),
    "quote_all_identifiers": ("on", "off"),
    "DateStyle": ("German", "ISO, DMY"),
    "TimeZone": ("Asia/Tokyo", "UTC"),
}
"""Setting → what an administrator made it for applications, what it is in ecm's session."""


def test_settings_of_the_role_are_for_applications(database: str, roles: Roles) -> None:
    """ALTER ROLE … SET does not reach ecm's sessions where it would get in the way."""
    role = roles()
    with psycopg.connect(database, autocommit=True) as administrator:
        for name, (theirs, _) in EVIL.items():
            administrator.execute(f"ALTER ROLE {role} SET {name} = '{theirs}'")
        with closing(psycopg.connect(as_role(database, role), autocommit=True)) as application:
            assert setting(application, "TimeZone") == "Asia/Tokyo"
        with connect(SecretStr(as_role(database, role)), branch="main") as connection:
            assert {name: setting(connection, name) for name in EVIL} == {
                name: ours for name, (_, ours) in EVIL.items()
            }
            assert connection.autocommit


def test_others_see_who_it_is(database: str) -> None:
    """Whoever looks at the server's sessions sees ecm, and what for."""
    with connect(SecretStr(database), branch="main", purpose="ecm backfill") as connection:
        assert setting(connection, "application_name") == "ecm backfill"


def _free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@[127.0.0.1/db",
        f"postgresql://me:{SECRET}%@127.0.0.1/db",
        f"postgresql://me:{SECRET}@127.0.0.1:nonsense/db",
        f"postgresql://me:{SECRET}@127.0.0.1/db?no_such_option=1",
        f"postgresql://me:x/{SECRET}@127.0.0.1/db",
        f"postgresql://me:x@{SECRET}@127.0.0.1/db",
        f"postgresql://me:x@y@{SECRET}@127.0.0.1/db",
        f"postgresql://me:x?{SECRET}@127.0.0.1/db",
        f"postgresql://me:x#{SECRET}@127.0.0.1/db",
        f"postgresql://me:x:{SECRET}@127.0.0.1/db",
        f"postgresql://me:{SECRET}@127.0.0.1:{{port}}/db",
        f"postgresql://me:{SECRET}@no-such-host.invalid/db?connect_timeout=2",
        f"postgresql://me:{SECRET}@ep-x-pooler.eu.aws.neon.tech/db",
    ],
)
def test_no_password_in_any_error(url: str) -> None:
    """Whatever is wrong with a URL, its password is not in the error, nor in what caused it."""
    url = url.replace("{port}", str(_free_port()))
    with pytest.raises(ConnectionFailedError) as failed:
        connect(SecretStr(url), branch="production")
    error: BaseException | None = failed.value
    assert "production" in failed.value.message
    shown = []
    while error is not None:
        shown += [repr(error), *map(str, getattr(error, "details", ())), str(getattr(error, "hint", ""))]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert SECRET not in "\n".join(shown)


def test_no_database_in_the_url() -> None:
    """Another database than the one that was meant is worse than none."""
    with pytest.raises(ConnectionFailedError, match="the URL of main names no database"):
        connect(SecretStr("postgresql://me@127.0.0.1"), branch="main")


def test_a_short_password_tears_no_word_apart() -> None:
    """It goes where it stands as a word; libpq's own words, a line for each address, stay whole."""
    with pytest.raises(ConnectionFailedError) as failed:
        connect(SecretStr(f"postgresql://me:on@127.0.0.1:{_free_port()}/db"), branch="main")
    assert "connection" in "\n".join(failed.value.details)
    assert len(failed.value.details) > 1


def test_wrong_password(database: str, roles: Roles) -> None:
    """The server's refusal is passed on without the password."""
    url = as_role(database, roles()).replace(":role_", f":{SECRET}_")
    with pytest.raises(ConnectionFailedError) as failed:
        connect(SecretStr(url), branch="main")
    assert "password authentication failed" in "\n".join(failed.value.details)
    assert SECRET not in "\n".join((failed.value.message, *failed.value.details))
    assert failed.value.hint


def test_no_such_database(database: str) -> None:
    """It says where it looked."""
    with pytest.raises(ConnectionFailedError) as failed:
        connect(SecretStr(database + "_gone"), branch="main")
    assert "main cannot be reached at 127.0.0.1, database test" in failed.value.message
    assert "does not exist" in "\n".join(failed.value.details)


@pytest.mark.parametrize(
    ("host", "direct"),
    [
        ("ep-cool-1-pooler.eu-central-1.aws.neon.tech", "ep-cool-1.eu-central-1.aws.neon.tech"),
        ("db-pooler", "db"),
    ],
)
def test_pooled_host_is_refused_without_being_asked(host: str, direct: str) -> None:
    """The direct host is named."""
    with pytest.raises(ConnectionFailedError) as refused:
        connect(SecretStr(f"postgresql://u:p@{host}/db"), branch="main")
    assert "connection pooler" in refused.value.message
    assert (refused.value.hint or "").endswith(f" {direct}")


def test_a_link_comes_back(database: str) -> None:
    """A session that was ended is opened anew, and prepared before it is used."""
    prepared: list[int] = []
    opened = lambda: connect(SecretStr(database), branch="main")  # noqa: E731
    with Link(opened, patience=5, sleep=lambda _: None) as link:
        link.reopened.append(lambda connection: prepared.append(connection.info.backend_pid))
        first = link.connection.info.backend_pid
        with psycopg.connect(database, autocommit=True) as administrator:
            administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
        with pytest.raises(psycopg.Error) as ended:
            link.connection.execute("SELECT 1")
        assert is_lost(ended.value)
        assert link.lost(ended.value)
        second = link.connection.info.backend_pid
        assert second != first
        assert prepared == [second]


def test_a_link_gives_up(database: str) -> None:
    """With nobody there, patience ends, in ecm's words."""
    alive = [True]

    def opens():
        if not alive[0]:
            raise ConnectionFailedError("main cannot be reached")
        return connect(SecretStr(database), branch="main")

    with Link(opens, patience=0.05, sleep=lambda _: None) as link:
        link.connection.close()
        alive[0] = False
        with pytest.raises(ConnectionFailedError):
            _ = link.connection


def test_refusals_are_explained(database: str, roles: Roles) -> None:
    """What PostgreSQL refuses comes out with what was done, why, and the statement; locks pass through."""
    with connect(SecretStr(as_role(database, roles())), branch="main") as connection:
        with (
            pytest.raises(PrivilegeError, match="a look: permission denied"),
            explained("a look", statement="SELECT 1"),
        ):
            connection.execute("SELECT * FROM pg_catalog.pg_authid")
        with pytest.raises(StatementFailedError) as failed, explained("a sum", statement="SELECT 1 / 0"):
            connection.execute("SELECT 1 / 0")
        assert failed.value.message == "a sum: division by zero"
        assert failed.value.details == ("SQLSTATE 22012", "SELECT 1 / 0")
        with pytest.raises(errors.LockNotAvailable), explained("a lock"):
            connection.execute("DO $$BEGIN RAISE lock_not_available; END$$")


def test_a_journal_that_went_under_way_is_told_of(database: str) -> None:
    """Somebody reset the branch: that is said, and not that some table does not exist; of other tables it is."""
    with connect(SecretStr(database), branch="development") as connection:
        with pytest.raises(errors.UndefinedTable) as gone:
            connection.execute("SELECT FROM ecm.leases")
        with pytest.raises(errors.UndefinedTable) as other:
            connection.execute("SELECT FROM public.books")
    assert isinstance(unforeseen(gone.value, "development"), LeaseError)
    assert isinstance(unforeseen(other.value, "development"), StatementFailedError)
