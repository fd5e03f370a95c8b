"""The throttle's signals, read from servers on which they really change."""

import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from servers import OwnServer

from orchestrator.engine.throttle import Gauge, Reading, reason
from orchestrator.errors import PreconditionError
from orchestrator.plan.phases import Throttle

Db = psycopg.Connection[Any]


@dataclass
class Clock:
    """A clock that goes on when told to."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server(scratch: Path) -> Generator[OwnServer]:
    """A server that writes what subscribers need, and archives nowhere."""
    own = OwnServer.chosen(scratch / "throttled", os.environ)
    own.start(
        {
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "30",
            "wal_level": "logical",
            "archive_mode": "on",
            "archive_command": "false",
        }
    )
    yield own
    own.embedded.destroy()


@pytest.fixture
def connect_to(server: OwnServer) -> Generator[Callable[[str], Db]]:
    """Open sessions, closed at the end."""
    opened: list[Db] = []

    def connect(name: str) -> Db:
        server.embedded.ensure_database(name)
        opened.append(psycopg.connect(server.url(name), autocommit=True))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


def read(gauge: Gauge, db: Db) -> Reading:
    """The only reading of a gauge."""
    (found,) = gauge.look(db)
    return found


def test_a_standby_that_is_stuck(connect_to: Callable[[str], Db], server: OwnServer) -> None:
    """What subscribes and does not come along holds back, though it does not answer; when it does, that is over."""
    db, other = connect_to("sends"), connect_to("receives")
    for each in (db, other):
        each.execute("CREATE TABLE t (id integer PRIMARY KEY)")
    db.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    db.execute("SELECT pg_create_logical_replication_slot('follows', 'pgoutput')")
    clock = Clock()
    gauge = Gauge(Throttle.model_validate({"replica_lag": "5s"}), clock=clock)
    assert (read(gauge, db).said, read(gauge, db).holds) == ("no standby (limit 5 s)", False)
    here = server.url("sends").replace("'", "''")
    other.execute(
        f"CREATE SUBSCRIPTION follows CONNECTION '{here}' PUBLICATION everything"
        " WITH (create_slot = false, slot_name = 'follows', copy_data = false)"
    )
    try:
        until(lambda: "follows is" in read(gauge, db).said)
        with psycopg.connect(server.url("receives")) as blocker:
            blocker.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
            db.execute("INSERT INTO t VALUES (1)")
            read(gauge, db)
            clock.now += 30
            until(lambda: read(gauge, db).holds)  # its session may begin anew after the first start
            stuck = read(gauge, db)
            assert stuck.value is not None
            assert stuck.value >= 30
            assert "replica lag: follows is 3" in str(reason((stuck,)))
        until(lambda: not read(gauge, db).holds)
        assert other.execute("SELECT id FROM t").fetchall() == [(1,)]
    finally:
        other.execute("DROP SUBSCRIPTION follows")


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that takes a moment."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError


def test_wal_a_second(connect_to: Callable[[str], Db]) -> None:
    """The rate between two looks, whoever wrote it."""
    db, clock = connect_to("wal"), Clock()
    gauge = Gauge(Throttle.model_validate({"replica_lag": None, "wal_rate": "1MB"}), clock=clock)
    assert not read(gauge, db).holds
    db.execute("CREATE TABLE t AS SELECT repeat('x', 100) FROM generate_series(1, 50000)")
    clock.now += 1
    assert read(gauge, db).holds
    clock.now += 1
    assert not read(gauge, db).holds


def test_files_that_wait_for_the_archiver(connect_to: Callable[[str], Db]) -> None:
    """An archiver that fails leaves more and more behind."""
    db = connect_to("archive")
    gauge = Gauge(Throttle.model_validate({"replica_lag": None, "archive_backlog": 1}))
    for _ in range(3):
        db.execute("SELECT pg_switch_wal(), txid_current()")
        db.execute("CREATE TABLE IF NOT EXISTS t (); DROP TABLE t")
    found = read(gauge, db)
    assert found.holds
    assert "WAL files wait for the archiver (limit 1)" in found.said


def test_a_slot_that_keeps_wal(connect_to: Callable[[str], Db]) -> None:
    """A slot nobody reads from is told by its name."""
    db = connect_to("slots")
    gauge = Gauge(Throttle.model_validate({"replica_lag": None, "slot_retention": "1MB"}))
    db.execute("CHECKPOINT")
    db.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
    try:
        assert not read(gauge, db).holds
        db.execute("CREATE TABLE t AS SELECT repeat('x', 100) FROM generate_series(1, 50000)")
        found = read(gauge, db)
        assert found.holds
        assert found.said.startswith("slot forgotten keeps")
    finally:
        db.execute("SELECT pg_drop_replication_slot('forgotten')")


def test_sessions_that_wait_for_a_lock(connect_to: Callable[[str], Db], server: OwnServer) -> None:
    """They are counted, and are over when they have it."""
    db = connect_to("locks")
    db.execute("CREATE TABLE t (id integer)")
    gauge = Gauge(Throttle.model_validate({"replica_lag": None, "lock_waiters": 0}))
    with psycopg.connect(server.url("locks")) as holder, psycopg.connect(server.url("locks")) as waiter:
        holder.execute("LOCK TABLE t")
        assert not read(gauge, db).holds
        with waiter.pipeline():
            waiter.execute("LOCK TABLE t")
            waiter.pgconn.send_flush_request()
            waiter.pgconn.flush()
            until(lambda: read(gauge, db).holds)
            holder.rollback()
        until(lambda: not read(gauge, db).holds)


def test_a_snapshot_of_long_ago(connect_to: Callable[[str], Db], server: OwnServer) -> None:
    """What holds back the horizon of the whole database is told in transactions."""
    db = connect_to("snapshots")
    gauge = Gauge(Throttle.model_validate({"replica_lag": None, "xmin_age": 20}))
    with psycopg.connect(server.url("snapshots")) as old:
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT 1")
        for _ in range(30):
            db.execute("SELECT txid_current()")
        assert read(gauge, db).holds
    until(lambda: not read(gauge, db).holds)


def test_disk_and_cores_that_the_server_does_not_tell(connect_to: Callable[[str], Db]) -> None:
    """They are asked for, and held back for until they are there."""
    db = connect_to("disk")
    unknown = read(Gauge(Throttle.model_validate({"replica_lag": None, "free_disk": "1GB"})), db)
    assert (unknown.holds, unknown.value) == (True, None)
    assert "write throttle.disk" in unknown.said
    full = read(Gauge(Throttle.model_validate({"replica_lag": None, "free_disk": "1GB", "disk": "1GB"})), db)
    assert full.holds
    assert "(at least 1 GB)" in full.said
    roomy = read(Gauge(Throttle.model_validate({"replica_lag": None, "free_disk": "1MB", "disk": "1TB"})), db)
    assert not roomy.holds
    busy = read(Gauge(Throttle.model_validate({"replica_lag": None, "active_per_core": 0.01, "cores": 1})), db)
    assert busy.value is not None


def test_a_query_of_ones_own_is_one_statement(connect_to: Callable[[str], Db]) -> None:
    """It asks and changes nothing: what would end its read-only transaction is refused before a row is written."""
    db = connect_to("sly")
    db.execute("CREATE TABLE gauge (value integer)")
    custom = {"sql": "SELECT 1; COMMIT; INSERT INTO public.gauge VALUES (1)", "max": 100}
    with pytest.raises(PreconditionError, match="custom query cannot be used"):
        Gauge(Throttle.model_validate({"replica_lag": None, "custom": custom})).check(db)
    assert db.execute("SELECT count(*) FROM gauge").fetchone() == (0,)


def test_what_tripped_clears_below_its_limit(connect_to: Callable[[str], Db]) -> None:
    """A signal about its limit does not flutter."""
    db = connect_to("flutter")
    db.execute("CREATE TABLE gauge (value integer); INSERT INTO gauge VALUES (100)")
    custom = {"sql": "SELECT value FROM gauge", "max": 100}
    gauge = Gauge(Throttle.model_validate({"replica_lag": None, "custom": custom}))
    seen: list[bool] = []
    for value in (100, 101, 99, 91, 90, 99, 101):
        db.execute("UPDATE gauge SET value = %s", [value])
        seen.append(read(gauge, db).holds)
    assert seen == [False, True, True, True, False, False, True]
