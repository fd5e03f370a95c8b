"""Someone is in the way: ecm waits within its budget, keeps nobody waiting longer, and leaves nothing behind."""

import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from servers import OwnServer

from crash.applications import applications
from crash.conftest import Stages
from crash.harness import NEW, OLD, STATES, Project, fill, holding, position, schema, sessions

BUDGET = "{lock_timeout: 200ms}"
GENEROUS = "3s"
"""How long another session may wait at most while ecm asks for its lock with a budget of 200 ms."""
SHORT = {phase: BUDGET.strip("{}") for phase in ("expand", "backfill", "migrate_reads", "contract")}


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until something is so."""
    limit = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < limit, f"it never came to this: {what}"
        time.sleep(0.005)
    return found


def waits_for_lock(url: str, kind: str = "relation") -> bool:
    """Whether a session of ecm waits for a lock of this kind now."""
    with psycopg.connect(url, autocommit=True) as connection:
        return bool(
            connection.execute(
                "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                " WHERE NOT granted AND locktype = %s AND application_name LIKE 'ecm%%'"
                " AND datname = current_database()",
                [kind],
            ).fetchone()
        )


class Reader:
    """Someone who reads the table again and again, and must never be kept waiting for long."""

    def __init__(self, url: str) -> None:
        self.reads, self.waited, self._over = 0, 0.0, threading.Event()
        self.error: BaseException | None = None
        # PostgreSQL itself says when a wait was too long; no clock of ours takes part.
        self._connection = psycopg.connect(url, autocommit=True, options=f"-c lock_timeout={GENEROUS}")
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                began = time.monotonic()
                self._connection.execute("SELECT count(*) FROM books WHERE id < 5")
                self.waited = max(self.waited, time.monotonic() - began)
                self.reads += 1
        except BaseException as error:  # noqa: BLE001 - told at the end
            self.error = error

    @classmethod
    @contextmanager
    def reading(cls, url: str) -> "Generator[Reader]":
        reader = cls(url)
        reader._thread.start()
        try:
            yield reader
        finally:
            reader._over.set()
            reader._thread.join(30)
            reader._connection.close()
        assert reader.error is None, repr(reader.error)
        assert reader.reads


@pytest.mark.parametrize(
    ("command", "origin", "target"),
    [
        ("advance", "planned", "expanded"),
        ("advance", "reads_migrated", "contracted"),
        ("rollback", "expanded", "planned"),
    ],
)
def test_a_reader_in_the_way_is_named_and_nothing_is_changed(
    stages: Stages, project: Callable[..., Project], command: str, origin: str, target: str
) -> None:
    """Kept from its lock by an idle transaction, ecm names it, changes nothing, and finishes when it has gone."""
    url = stages.copy(origin)
    ecm = project(SHORT, development=url, patience={"attempts": 3})
    with psycopg.connect(url, autocommit=True) as connection:
        # The plan's text has been begun with other settings in this copy; nothing else is different.
        if origin != "planned":
            connection.execute("UPDATE ecm.plans SET checksum = %s", [_checksum(ecm)])
    shape = schema(url)
    with (
        holding(url, "SELECT 42 FROM books", application_name="report") as reader,
        Reader.reading(url),
    ):
        process = ecm.start(command, to=target)
        until(lambda: waits_for_lock(url), "ecm waits for the table")
        outcome = process.wait()
        assert outcome.code == 5, str(outcome)
        for part in (str(reader.info.backend_pid), "postgres", "report", "idle in transaction", "SELECT 42 FROM books"):
            assert part in outcome.words, f"{part} is not named: {outcome.words}"
        assert schema(url) == shape
        assert not sessions(url)
        assert position(url)[0] == origin
    done = ecm.run(command, to=target)
    assert done.code == 0, str(done)
    assert schema(url) == (stages.direct if target == "contracted" else stages.schemas[target])


def _checksum(ecm: Project) -> str:
    report = ecm.done("plan_list", branch=None, arguments={"plan": None}).told["report"]
    return report["plans"][0]["checksum"]


def test_locked_rows_are_waited_for(stages: Stages, project: Callable[..., Project]) -> None:
    """Rows that a transaction holds for a while are filled when it has ended; the sweep goes on by itself."""
    url = stages.copy("expanded")
    ecm = project(development=url)
    with applications(url, "expanded") as running:
        with holding(url, "SELECT 1 FROM books WHERE id % 3 = 0 FOR UPDATE") as owner:
            process = ecm.start("advance", to="backfilled")
            until(lambda: waits_for_lock(url, "transactionid"), "the sweep meets a locked row")
            owner.commit()
        outcome = process.wait()
        running.reached("backfilled")
    assert outcome.code == 0, str(outcome)
    running.check(OLD, NEW)


def test_a_frozen_ecm_lets_go_of_its_rows(stages: Stages, project: Callable[..., Project]) -> None:
    """Stopped in the middle of a batch (a suspended laptop), it does not keep rows locked; later it goes on."""
    url = stages.copy("expanded")
    ecm = project(development=url)
    with psycopg.connect(url, autocommit=True) as application:
        application.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END$$"
        )
        application.execute("CREATE TRIGGER slows AFTER UPDATE ON books FOR EACH ROW EXECUTE FUNCTION slow()")
        process = ecm.start("advance", to="backfilled")
        asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        until(lambda: application.execute(asleep).fetchone(), "a batch is under way")
        os.kill(process.pid, signal.SIGSTOP)
        # PostgreSQL itself says when it took too long: much longer than ecm's 2 s, and less than forever.
        application.execute("SET statement_timeout = '30s'")
        application.execute("SELECT count(*) FROM (SELECT 1 FROM books FOR UPDATE) AS every_row")
        application.execute("DROP TRIGGER slows ON books")
        process.go_on()
    outcome = process.wait()
    assert outcome.code == 0, str(outcome)
    assert ecm.done("verify").told["report"]["mismatches"] == 0


def test_rows_that_stay_locked_end_the_sweep_with_a_name(stages: Stages, project: Callable[..., Project]) -> None:
    """Rows that nobody lets go of make the sweep give up within its patience; it goes on where it stopped."""
    url = stages.copy("expanded")
    ecm = project(development=url, patience={"rows_ms": 1500})
    with holding(url, "SELECT 1 FROM books WHERE id = 100 FOR UPDATE", application_name="hoarder") as owner:
        outcome = ecm.run("advance", to="backfilled")
        assert outcome.code == 5, str(outcome)
        assert str(owner.info.backend_pid) in outcome.words
        assert "hoarder" in outcome.words
        assert not sessions(url)
    assert ecm.run("advance", to="backfilled").code == 0
    assert ecm.done("verify").told["report"]["mismatches"] == 0


def indexes(url: str) -> dict[str, bool]:
    with psycopg.connect(url, autocommit=True) as connection:
        return dict(
            connection.execute(
                "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid"
                " WHERE indrelid = 'books'::regclass"
            ).fetchall()
        )


@contextmanager
def old_snapshot(url: str, *statements: str) -> Generator[psycopg.Connection[Any]]:
    """A snapshot that an index build has to wait for, of someone who does not even read the table."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS elsewhere (id integer)")
    first = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    with holding(url, first, "SELECT count(*) FROM elsewhere", *statements, application_name="backup") as connection:
        yield connection
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS elsewhere")


def test_an_index_left_invalid_by_a_kill_is_built_again(stages: Stages, project: Callable[..., Project]) -> None:
    """Killed while its index build waits for an old snapshot, ecm replaces the invalid index on the next run."""
    url = stages.copy("backfilled")
    ecm = project(development=url)
    with old_snapshot(url):
        process = ecm.start("advance", to="reads_migrated")
        until(lambda: waits_for_lock(url, "virtualxid"), "the build waits for the snapshot")
        process.kill()
        until(lambda: not sessions(url), "PostgreSQL notices the kill")
        assert False in indexes(url).values()
    assert ecm.run("advance", to="reads_migrated").code == 0
    assert schema(url) == stages.schemas["reads_migrated"]


def test_an_index_left_invalid_by_a_kill_goes_with_the_rollback(
    stages: Stages, project: Callable[..., Project]
) -> None:
    """Killed while its index build waits, ecm takes the invalid index away when the phase is given up."""
    url = stages.copy("backfilled")
    ecm = project(development=url)
    with old_snapshot(url):
        process = ecm.start("advance", to="reads_migrated")
        until(lambda: waits_for_lock(url, "virtualxid"), "the build waits for the snapshot")
        process.kill()
        until(lambda: not sessions(url), "PostgreSQL notices the kill")
    assert ecm.run("rollback").code == 0
    assert position(url) == ("backfilled", None, None)
    assert schema(url) == stages.schemas["backfilled"]


def test_an_index_build_that_gives_up_leaves_no_index(stages: Stages, project: Callable[..., Project]) -> None:
    """Kept from its index by an old snapshot, ecm gives up with exit 5, names it, and leaves no invalid index."""
    url = stages.copy("backfilled")
    ecm = project(development=url, patience={"attempts": 2, "index_ms": 300})
    with old_snapshot(url) as backup:
        outcome = ecm.run("advance", to="reads_migrated")
        assert outcome.code == 5, str(outcome)
        assert all(indexes(url).values()), "an invalid index was left"
        assert str(backup.info.backend_pid) in outcome.words, f"the snapshot's owner is not named: {outcome.words}"
        assert "backup" in outcome.words
    assert ecm.run("advance", to="reads_migrated").code == 0
    assert schema(url) == stages.schemas["reads_migrated"]


def test_an_index_that_cannot_even_be_dropped_is_admitted(stages: Stages, project: Callable[..., Project]) -> None:
    """Where the snapshot's owner has read the table too, the error is still ecm's own; the next run clears up."""
    url = stages.copy("backfilled")
    ecm = project(development=url, patience={"attempts": 2, "index_ms": 300})
    with old_snapshot(url, "SELECT count(*) FROM books"):
        outcome = ecm.run("advance", to="reads_migrated")
        assert outcome.code == 5, str(outcome)
        if not all(indexes(url).values()):
            assert "nothing was changed" not in outcome.words, "an invalid index was left, and it says that nothing was"
    assert ecm.run("advance", to="reads_migrated").code == 0
    assert schema(url) == stages.schemas["reads_migrated"]


@pytest.mark.parametrize("origin", STATES[:4])
def test_a_table_locked_by_ddl_of_others_is_waited_for(
    stages: Stages, project: Callable[..., Project], origin: str
) -> None:
    """While someone else's ALTER TABLE holds the table, ecm says so with exit 5; when it is over, ecm goes on."""
    url = stages.copy(origin)
    ecm = project(development=url, patience={"attempts": 1})
    target = STATES[STATES.index(origin) + 1]
    with holding(url, "LOCK TABLE books IN ACCESS EXCLUSIVE MODE", application_name="rebuild") as owner:
        outcome = ecm.run("advance", to=target)
        assert outcome.code == 5, str(outcome)
        assert str(owner.info.backend_pid) in outcome.words
    assert ecm.run("advance", to=target).code == 0


def test_an_autovacuum_in_the_way_gives_way(own_server: OwnServer, project: Callable[..., Project]) -> None:
    """A vacuum that PostgreSQL started by itself, and that would take for ever, is no reason to give up."""
    own_server.create_database("development")
    url = own_server.url("development")
    fill(url, 600)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(
            "ALTER TABLE books SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,"
            " autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)"
        )
        connection.execute("UPDATE books SET title = title || 'y'")

        def vacuuming() -> bool:
            query = (
                "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND query LIKE '%public.books'"
            )
            return bool(connection.execute(query).fetchone())

        until(vacuuming, "an autovacuum worker is at work on the table")
        outcome = project(development=url).run("advance", to="expanded")
        assert outcome.code == 0, str(outcome)
