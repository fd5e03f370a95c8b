"""What goes wrong on the way to the database is said in plain words, without a password."""

import sqlite3
import traceback
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from threading import Thread
from time import sleep
from urllib.parse import unquote
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url
from vandals import Vandal, event

from orchestrator.errors import ConfigurationError, ConnectionFailedError, EcmError, PrivilegeError, TamperingError
from orchestrator.ledger import Ledger

SECRET = "s3cr%74-w0rd"  # %74 is a t


def assert_secret(error: EcmError, *secrets: str) -> None:
    """Check that no password is in what an error says, nor in what Python shows with it."""
    said = "\n".join([error.message, *error.details, error.hint or ""])
    shown: BaseException | None = error
    while shown is not None:
        said += "".join(traceback.format_exception_only(shown))
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    for secret in secrets or (SECRET, unquote(SECRET)):
        assert secret not in said


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ledger.db",
        "postgresql:/host/database",
        f"mysql://user:{SECRET}@host/database",
        f"postgresql+asyncpg://user:{SECRET}@host/database",
        f"postgresql://user:{SECRET}@host:{SECRET}/database",
        f"postgresql://user@host:12{SECRET}/database",
        f"postgresql://user:p@{SECRET}@host/database",
        f"postgresql://user:p@{SECRET}?@host/database",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///ledger.db?mode=memory",
    ],
)
def test_a_url_that_means_nothing_is_a_matter_of_configuration(url: str) -> None:
    """It is refused before anything is opened, and not repeated, for it may hold a password."""
    with pytest.raises(ConfigurationError, match="URL") as refused:
        Ledger(url)
    assert_secret(refused.value)
    assert "ecm.yaml" in str(refused.value.hint)


def test_a_parameter_that_postgresql_does_not_know_is_a_matter_of_configuration() -> None:
    """The parameter is named, the password is not."""
    with Ledger(f"postgresql://user:{SECRET}@127.0.0.1/database?colour={SECRET}") as ledger:
        with pytest.raises(ConfigurationError) as refused:
            ledger.entries()
        assert "colour" in refused.value.details[0]
        assert_secret(refused.value)


def test_a_password_in_the_drivers_own_words_is_blotted_out() -> None:
    """Libpq repeats a value that it does not understand; where that is the password, it is not passed on."""
    with Ledger(f"postgresql://user:{SECRET}@127.0.0.1/database?sslmode={SECRET}") as ledger:
        with pytest.raises(EcmError) as refused:
            ledger.entries()
        assert 'sslmode value: "***"' in refused.value.details[0]
        assert_secret(refused.value)


def test_a_server_that_does_not_answer() -> None:
    """The error says where ecm looked."""
    with Ledger(f"postgresql://user:{SECRET}@127.0.0.1:1/database", patience=2) as ledger:
        for attempt in (ledger.entries, lambda: ledger.append([event(1)])):
            with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:1/database") as failed:
                attempt()
            assert_secret(failed.value)


def test_a_wrong_password(database: str) -> None:
    """The server's refusal is passed on, neither password is."""
    right = str(make_url(database).password)
    with Ledger(database.replace(right, SECRET)) as ledger, pytest.raises(ConnectionFailedError) as failed:
        ledger.append([event(1)])
    assert "password authentication failed" in failed.value.details[0]
    assert_secret(failed.value, right, SECRET, unquote(SECRET))


def test_a_ledger_does_not_show_its_password(database: str) -> None:
    """Not even to a debugger."""
    with Ledger(database) as ledger:
        assert str(make_url(database).password) not in repr(ledger)


def test_a_file_that_another_process_has_locked(sqlite_url: str) -> None:
    """Neither reading nor appending waits longer than it was told to."""
    with Ledger(sqlite_url, patience=0.05) as ledger:
        ledger.append([event(1)])
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for attempt in (ledger.entries, lambda: ledger.append([event(2)])):
                with pytest.raises(ConnectionFailedError, match="locked by another process"):
                    attempt()
        assert len(ledger.append([event(2)])) == 1


def test_a_postgresql_ledger_that_another_session_has_locked(database: str) -> None:
    """A writer that never ends does not hold up the others for longer than they were told to wait."""
    with Ledger(database, patience=0.05) as ledger:
        ledger.append([event(1)])
        with psycopg.connect(database) as other:
            other.execute("SELECT FROM ecm_ledger.head FOR UPDATE")
            with pytest.raises(ConnectionFailedError, match="locked by another process"):
                ledger.append([event(2)])
            assert len(ledger.entries()) == 1
        assert len(ledger.append([event(2)])) == 1


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """The error names what is in the way."""
    (tmp_path / "file").touch()
    for place in (f"{tmp_path}/file/ledger.db", f"{tmp_path}/file/folder/ledger.db", "/proc/ecm/ledger.db"):
        with Ledger(f"sqlite:///{place}") as ledger:
            assert ledger.entries() == ()
            with pytest.raises(ConnectionFailedError, match="cannot be written") as failed:
                ledger.append([event(1)])
            assert Path(place).parent.name in failed.value.details[0]


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    """A path that is a folder is an error for readers and writers."""
    with Ledger(f"sqlite:///{tmp_path}") as ledger:
        with pytest.raises(ConnectionFailedError, match="cannot be used"):
            ledger.entries()
        with pytest.raises(ConnectionFailedError, match="cannot be written"):
            ledger.append([event(1)])


def test_a_file_that_is_no_ledger(tmp_path: Path) -> None:
    """Another file is neither read as a ledger nor written over."""
    notes = tmp_path / "notes.txt"
    notes.write_text("not a database " * 100)
    with Ledger(f"sqlite:///{notes}") as ledger:
        for attempt in (ledger.entries, lambda: ledger.append([event(1)])):
            with pytest.raises(ConnectionFailedError, match="not a ledger"):
                attempt()
    assert notes.read_text() == "not a database " * 100


def test_a_connection_that_was_dropped_is_made_anew(database: str) -> None:
    """A server that suspends or restarts between two calls is not an error."""
    with Ledger(database) as ledger:
        ledger.append([event(1)])
        with psycopg.connect(database, autocommit=True) as other:
            killed = other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'ecm ledger'"
                " AND datname = current_database()"
            ).fetchall()
        assert killed == [(True,)]
        assert len(ledger.append([event(2)])) == 1


def test_a_role_that_insists_on_another_isolation_and_time_zone(database: str) -> None:
    """A writer that waited for another goes on after it, and keeps UTC, whatever the database's defaults are."""
    with psycopg.connect(database, autocommit=True) as owner:
        name = str(make_url(database).database)
        owner.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'".encode())
        owner.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Kolkata'".encode())
    with Ledger(database, patience=60) as ledger, psycopg.connect(database) as other:
        ledger.append([event(1)])
        other.execute("UPDATE ecm_ledger.head SET seq = 2")
        writer = Thread(target=ledger.append, args=([event(2)],))
        writer.start()
        waiting = "SELECT FROM pg_stat_activity WHERE application_name = 'ecm ledger' AND wait_event_type = 'Lock'"
        with psycopg.connect(database, autocommit=True) as watcher:
            while writer.is_alive() and not watcher.execute(waiting).fetchall():
                sleep(0.01)
        other.commit()
        writer.join()
        first, second = ledger.entries()
        age = other.execute("SELECT abs(extract(epoch FROM now() - %s)) < 300", (first.recorded_at,)).fetchone()
    assert (first.seq, second.seq) == (1, 3)
    assert age == (True,)


@pytest.fixture
def clerk(database: str) -> Generator[str]:
    """The URL of the database for a role with no rights of its own, whose name needs quoting."""
    name = f"Clerk-{uuid4().hex[:8]}"
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'clerk'".encode())
        yield make_url(database).set(username=name, password="clerk").render_as_string(hide_password=False)
        owner.execute(f'DROP OWNED BY "{name}"'.encode())
        owner.execute(f'DROP ROLE "{name}"'.encode())


def test_a_role_that_may_not_make_the_ledger_is_told_what_it_lacks(database: str, clerk: str) -> None:
    """The GRANT in the hint is enough."""
    with Ledger(clerk) as ledger:
        assert ledger.entries() == ()
        with pytest.raises(PrivilegeError) as refused:
            ledger.append([event(1)])
        _follow(refused.value, database)
        assert len(ledger.append([event(1)])) == 1


def test_a_role_that_may_not_use_the_ledger_is_told_what_it_lacks(database: str, clerk: str) -> None:
    """The GRANTs in the hint are enough to read and to append."""
    with Ledger(database) as owner:
        owner.append([event(1)])
    with Ledger(clerk) as ledger:
        for attempt in (ledger.entries, ledger.verify, lambda: ledger.append([event(2)])):
            with pytest.raises(PrivilegeError) as refused:
                attempt()
        _follow(refused.value, database)
        assert len(ledger.append([event(2)])) == 1
        assert ledger.verify().entries == 2


def _follow(error: PrivilegeError, database: str) -> None:
    grants = str(error.hint).removeprefix("as its owner: ")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(grants.encode())


def test_an_entry_that_cannot_be_read_is_named(sqlite_url: str) -> None:
    """Reading does not pass over an entry that ecm cannot have written, nor fail with a driver's error."""
    with Ledger(sqlite_url) as ledger:
        ledger.append([event(1), event(2)])
        someone = Vandal(sqlite_url)
        someone.disarm()
        someone.query("UPDATE entries SET happened_at = 'soon' WHERE seq = 2")
        someone.close()
        with pytest.raises(TamperingError, match="entry 2 "):
            ledger.entries()


def test_a_ledger_without_its_head_takes_no_entries(sqlite_url: str) -> None:
    """Without the note of the last entry, adding one would hide what may be missing before it."""
    with Ledger(sqlite_url) as ledger:
        ledger.append([event(1)])
        someone = Vandal(sqlite_url)
        someone.disarm()
        someone.query("DELETE FROM head")
        with pytest.raises(TamperingError, match="note of its last entry"):
            ledger.append([event(2)])
        someone.query("INSERT INTO head VALUES (1, 'one', 'x')")
        assert [(problem.seq, problem.kind) for problem in ledger.verify().problems] == [(2, "truncated")]
        someone.close()
