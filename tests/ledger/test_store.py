"""Appending and reading, on both kinds of database."""

import multiprocessing
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vandals import Vandal, event, events

from orchestrator.errors import TamperingError
from orchestrator.ledger import Event, Ledger
from orchestrator.ledger.chain import GENESIS


def test_reading_makes_nothing(ledger: Ledger, url: str, tmp_path: Path) -> None:
    """A ledger that does not exist reads as empty, and still does not exist afterwards."""
    assert not ledger.exists
    assert ledger.entries() == ()
    assert ledger.known([UUID(int=1)]) == set()
    assert tuple(ledger.verify().model_dump().values()) == (0, GENESIS, ())
    assert ledger.append([]) == ()
    assert list(tmp_path.iterdir()) == []
    if not url.startswith("sqlite"):
        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT FROM pg_namespace WHERE nspname = 'ecm_ledger'").fetchall()
        assert found == []


def test_what_was_appended_is_read_back(ledger: Ledger, url: str) -> None:
    """Entries are the events in order, numbered from 1, chained, and the same from another process's view."""
    appended = ledger.append([event(1), event(2)]) + ledger.append([event(3)])
    assert [entry.seq for entry in appended] == [1, 2, 3]
    assert [UUID(int=1), UUID(int=2), UUID(int=3)] == [entry.id for entry in appended]
    assert [GENESIS, appended[0].hash, appended[1].hash] == [entry.previous_hash for entry in appended]
    with Ledger(url) as another:
        assert another.exists
        assert appended == another.entries()
        report = another.verify()
    assert (3, appended[2].hash, ()) == (report.entries, report.head, report.problems)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happened=st.lists(events, max_size=4, unique_by=lambda each: each.id))
def test_any_event_survives_the_database(ledger: Ledger, happened: list[Event]) -> None:
    """Whatever text, time and JSON an event holds, it comes back, and its hash holds."""
    fresh = [each for each in happened if each.id not in ledger.known(one.id for one in happened)]
    appended = ledger.append(happened)
    assert fresh == [Event(**entry.model_dump(include=set(Event.model_fields))) for entry in appended]
    assert appended == ledger.entries(newest_first=True, limit=len(fresh))[::-1]
    assert ledger.verify().problems == ()


def test_the_same_event_is_kept_once(ledger: Ledger) -> None:
    """Sending again adds only what is new, also within one call."""
    ledger.append([event(1), event(2)])
    added = ledger.append([event(2), event(3), event(3), event(1)])
    assert [UUID(int=3)] == [entry.id for entry in added]
    assert [entry.seq for entry in ledger.entries()] == [1, 2, 3]
    assert {UUID(int=1), UUID(int=3)} == ledger.known([UUID(int=1), UUID(int=3), UUID(int=9)])
    assert ledger.verify().problems == ()


def test_many_events_at_once(ledger: Ledger) -> None:
    """More events than a statement takes parameters."""
    many = [event(number) for number in range(1200)]
    assert len(ledger.append(many)) == 1200
    assert ledger.append(many) == ()


def test_entries_are_chosen_by_plan_branch_and_text(ledger: Ledger) -> None:
    """Each filter narrows; the limit counts in the order asked for."""
    ledger.append(
        [
            event(1, plan="a", branch="dev"),
            event(2, plan="a", branch="prod"),
            event(3, plan="b", branch="dev"),
            event(4, plan="a", branch="dev", checksum="sha256:2"),
            event(5, plan=None, branch=None, checksum=None),
        ]
    )

    def numbers(**wanted: Any) -> list[int]:
        return [entry.seq for entry in ledger.entries(**wanted)]

    assert numbers(plan="a") == [1, 2, 4]
    assert numbers(plan="a", branch="dev") == [1, 4]
    assert numbers(plan="a", checksum="sha256:2") == [4]
    assert numbers(limit=2) == [1, 2]
    assert numbers(limit=2, newest_first=True) == [5, 4]
    assert numbers(plan="a", newest_first=True) == [4, 2, 1]


def _append_many(url: str, start: int, both_there: "threading.Barrier") -> None:
    with Ledger(url, patience=60) as ledger:
        both_there.wait()
        for number in range(start, start + 100):
            ledger.append([event(number)])


def test_two_processes_append_to_a_new_ledger_at_once(url: str) -> None:
    """Both make the ledger, both append a hundred events one by one, and the chain is whole."""
    context = multiprocessing.get_context("spawn")
    both_there = context.Barrier(2)
    writers = [context.Process(target=_append_many, args=(url, start, both_there)) for start in (0, 1000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    with Ledger(url) as ledger:
        report = ledger.verify()
        found = [entry.id.int for entry in ledger.entries()]
    assert (report.entries, report.problems) == (200, ())
    for start in (0, 1000):
        assert list(range(start, start + 100)) == [number for number in found if start <= number < start + 100]


def test_a_batch_is_added_whole_or_not_at_all(ledger: Ledger, url: str, vandal: Callable[[], Vandal]) -> None:
    """When the database refuses one event of a batch, none of them is kept."""
    ledger.append([event(1)])
    someone = vandal()
    someone.disarm()
    # The head goes last: refusing it undoes the entries before it.
    if url.startswith("sqlite"):
        someone.query("CREATE TRIGGER no BEFORE UPDATE ON head BEGIN SELECT RAISE(ABORT, 'no'); END")
    else:
        someone.query("ALTER TABLE head ADD CHECK (seq < 2)")
    with pytest.raises(TamperingError):
        ledger.append([event(2), event(3)])
    assert [entry.seq for entry in ledger.entries()] == [1]
    assert ledger.verify().problems == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET actor = 'someone else' WHERE seq = 1",
        "DELETE FROM entries WHERE seq = 2",
        "UPDATE head SET seq = 1",
        "UPDATE head SET seq = seq",
        "DELETE FROM head",
    ],
)
def test_the_database_refuses_changes(ledger: Ledger, vandal: Callable[[], Vandal], statement: str) -> None:
    """What was recorded can be neither changed nor deleted while the triggers are there."""
    ledger.append([event(1), event(2)])
    before = ledger.entries()
    with pytest.raises(Exception, match="append-only"):
        vandal().query(statement)
    assert before == ledger.entries()


@pytest.mark.parametrize("table", ["entries", "head"])
def test_postgresql_refuses_truncate(database: str, table: str) -> None:
    """TRUNCATE fires no row trigger; it is refused all the same."""
    with Ledger(database) as ledger:
        ledger.append([event(1)])
    with psycopg.connect(database) as connection, pytest.raises(psycopg.Error, match="append-only: TRUNCATE"):
        connection.execute(f"TRUNCATE ecm_ledger.{table}")


@pytest.mark.parametrize(
    "statement",
    [
        (
            "REPLACE INTO entries SELECT 1, id, kind, plan, branch, checksum, 'someone else', happened_at, data,"
            " ecm_version, recorded_at, previous_hash, hash FROM entries WHERE seq = 1"
        ),
        "REPLACE INTO head VALUES (1, 0, '')",
    ],
)
def test_sqlite_refuses_replace(sqlite_url: str, statement: str) -> None:
    """REPLACE deletes without firing a delete trigger; it is refused all the same."""
    with Ledger(sqlite_url) as ledger:
        ledger.append([event(1)])
    someone = Vandal(sqlite_url)
    with pytest.raises(Exception, match="append-only"):
        someone.query(statement)
    someone.close()


def test_the_file_is_its_owners_alone(sqlite_url: str) -> None:
    """The file can be read by its owner only."""
    with Ledger(sqlite_url) as ledger:
        ledger.append([event(1)])
    mode = Path(sqlite_url.removeprefix("sqlite:///")).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_file_that_was_deleted_in_between_is_made_again(sqlite_url: str) -> None:
    """Deleting the local state under a running ecm starts a new ledger, and is no error."""
    with Ledger(sqlite_url) as ledger:
        ledger.append([event(1)])
        Path(sqlite_url.removeprefix("sqlite:///")).unlink()
        assert ledger.entries() == ()
        assert [entry.seq for entry in ledger.append([event(2)])] == [1]


def test_a_relative_path_means_the_folder_the_ledger_was_opened_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later change of the working folder does not lead elsewhere."""
    monkeypatch.chdir(tmp_path)
    with Ledger("sqlite:///.ecm/ledger.db") as ledger:
        monkeypatch.chdir("/")
        ledger.append([event(1)])
    assert (tmp_path / ".ecm" / "ledger.db").is_file()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_write_a_postgresql_url_works(database: str, scheme: str) -> None:
    """Users may write the URL as they know it."""
    with Ledger(database.replace("postgresql", scheme, 1)) as ledger:
        assert len(ledger.append([event(1)])) == 1


def test_readers_see_one_moment(ledger: Ledger, url: str) -> None:
    """Checking the chain while another appends never takes a half-seen append for tampering."""
    ledger.append([event(0)])
    done = threading.Event()

    def write() -> None:
        with Ledger(url, patience=60) as writer:
            for number in range(1, 60):
                writer.append([event(number)])
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    with Ledger(url, patience=60) as reader:
        while not done.is_set() and thread.is_alive():
            assert reader.verify().problems == ()
    thread.join()
    assert ledger.verify().entries == 60
