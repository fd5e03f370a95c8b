"""The backfill beside an application and a server that do what they like."""

import json
import random
import threading
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from cli import forked
from engine.slowly import AS_SLOW_AS_TOLD
from operations.conftest import Journeys, Roles
from operations.harness import BRANCH, Journey, ask, rows, run

from orchestrator.engine import sweep
from orchestrator.errors import LockTimeoutError, PreconditionError, PrivilegeError, RefusedError
from orchestrator.events import Event, Progress, Waiting
from orchestrator.plan.lifecycle import State

RENAME = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
SMALL = {"batch_time": "1ms"}
BOOKS = """
    CREATE TABLE books (id integer PRIMARY KEY, year integer, title text) WITH (autovacuum_enabled = off);
    INSERT INTO books SELECT g, g, 'Title of book ' || g FROM generate_series(1, {}) g;
"""


def expanded(journeys: Journeys, start: str, **settings: Any) -> Journey:
    """Return a journey at the gate of its backfill."""
    journey = journeys(start, RENAME, **{"backfill": SMALL, **settings})
    journey.advance(State.EXPANDED)
    return journey


def differing(journey: Journey) -> int:
    """How many rows have two sides that differ."""
    return ask(journey.db, "SELECT count(*) FROM books WHERE year IS DISTINCT FROM published")


def progress(journey: Journey) -> list[Progress]:
    """What the backfill told of itself."""
    return [e for e in journey.events if isinstance(e, Progress) and e.what.startswith("backfill")]


def measured(journey: Journey) -> dict[str, Any]:
    """What was recorded of the sweep with its move."""
    (data,) = (row[0] for row in rows(journey.db, "SELECT data FROM ecm.moves WHERE target = 'backfilled'"))
    return data["sweep public.books"] if "sweep public.books" in data else data["sweep books"]


# ---------------------------------------------------------------- in place


def test_rows_stay_in_place(journeys: Journeys) -> None:
    """Most rows are updated without an entry in any index, and the report says how many."""
    journey = expanded(journeys, BOOKS.format(20_000) + "; CREATE INDEX ON books (title); CREATE INDEX ON books (year)")
    before = ask(journey.db, "SELECT pg_relation_size('books')")
    assert journey.advance() is State.BACKFILLED
    took = measured(journey)
    assert took["share_in_place"] > 0.6
    assert took["filled"] == 20_000
    assert ask(journey.db, "SELECT pg_relation_size('books')") < before * 1.4
    assert differing(journey) == 0


def test_a_transaction_held_open_all_along(journeys: Journeys) -> None:
    """Nothing can be pruned, so nothing stays in place; the backfill is done all the same, in fewer passes."""
    journey = expanded(journeys, BOOKS.format(60_000), backfill={})
    with psycopg.connect(journey.url) as other:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT 1")
        assert journey.advance() is State.BACKFILLED
    assert measured(journey)["share_in_place"] < 0.2
    assert differing(journey) == 0


# ---------------------------------------------------------------- tables of all kinds


def test_toasted_rows(journeys: Journeys) -> None:
    """Rows of 100 kB: what is out of line stays where it is."""
    start = """
        CREATE TABLE books (id integer PRIMARY KEY, year integer, text text);
        ALTER TABLE books ALTER text SET STORAGE EXTERNAL;
        INSERT INTO books SELECT g, g, repeat(md5(g::text), 3200) FROM generate_series(1, 200) g;
    """
    journey = expanded(journeys, start)
    toast = "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = 'books'::regclass"
    before = ask(journey.db, toast)
    assert journey.advance() is State.BACKFILLED
    assert differing(journey) == 0
    assert ask(journey.db, toast) == before
    assert ask(journey.db, "SELECT count(*) FROM books WHERE length(text) = 102400") == 200


def test_a_table_that_grows_tenfold(journeys: Journeys) -> None:
    """What is added behind the last page that was counted is filled by the trigger, under either name."""
    journey = expanded(journeys, BOOKS.format(2_000))
    grown = threading.Event()

    def grow(event: Event) -> None:
        if isinstance(event, Progress) and not grown.is_set():
            grown.set()
            run(journey.db, "INSERT INTO books (id, year) SELECT g, g FROM generate_series(2001, 11000) g")
            run(journey.db, "INSERT INTO books (id, published) SELECT g, g FROM generate_series(11001, 20000) g")

    journey.on_event = grow
    assert journey.advance() is State.BACKFILLED
    assert grown.is_set()
    assert differing(journey) == 0
    assert ask(journey.db, "SELECT count(*) FROM books WHERE year = id AND published = id") == 20_000


def test_only_rows_that_need_it_are_written(journeys: Journeys) -> None:
    """Rows without a value, and rows that a new writer has reached, are left as they are."""
    journey = expanded(journeys, BOOKS.format(3_000) + "; UPDATE books SET year = NULL WHERE id % 3 = 0")
    run(journey.db, "UPDATE books SET published = -id WHERE id % 3 = 1")
    before = dict(rows(journey.db, "SELECT id, xmin::text FROM books WHERE id % 3 <> 2"))
    assert journey.advance() is State.BACKFILLED
    assert dict(rows(journey.db, "SELECT id, xmin::text FROM books WHERE id % 3 <> 2")) == before
    assert measured(journey)["filled"] == 1_000
    assert ask(journey.db, "SELECT count(*) FROM books WHERE id % 3 = 1 AND published = -id AND year = -id") == 1_000


# ---------------------------------------------------------------- locked rows


def test_rows_that_are_locked_for_a_while(journeys: Journeys) -> None:
    """With 30% of all rows locked, the others are written meanwhile, and these when they are free; none is skipped."""
    journey = expanded(journeys, BOOKS.format(4_000))
    freed = threading.Event()
    with psycopg.connect(journey.url) as other:
        other.execute("SELECT FROM books WHERE id % 10 < 3 FOR UPDATE")

        def listen(event: Event) -> None:
            if isinstance(event, Waiting) and sum(isinstance(e, Waiting) for e in journey.events) > 30:
                other.rollback()
                freed.set()

        journey.on_event = listen
        assert journey.advance() is State.BACKFILLED
    assert freed.is_set()
    assert measured(journey)["retries"] > 30
    assert differing(journey) == 0


def test_rows_that_stay_locked(journeys: Journeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives up in the end, says who holds them, and the rest is done already."""
    from datetime import timedelta

    from orchestrator.engine import sweep

    monkeypatch.setattr(sweep, "PATIENCE", timedelta(milliseconds=300))
    journey = expanded(journeys, BOOKS.format(4_000))
    with psycopg.connect(journey.url) as other:
        other.execute("SELECT FROM books WHERE id = 2000 FOR UPDATE")
        with pytest.raises(LockTimeoutError) as refused:
            journey.advance()
        assert refused.value.exit_code == 5
        assert any(str(other.info.backend_pid) in line for line in refused.value.details)
    assert ask(journey.db, "SELECT count(*) FROM books WHERE published IS NULL") < 200
    assert journey.advance() is State.BACKFILLED
    assert differing(journey) == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_transactions_that_write_in_any_order(journeys: Journeys, workers: int) -> None:
    """Sessions that each write many rows of their own in random order are never a deadlock's victim."""
    journey = expanded(journeys, BOOKS.format(6_000), backfill={"batch_time": "30ms", "workers": workers})
    over, failed, wrote = threading.Event(), list[BaseException](), [0, 0, 0]

    def session(part: int) -> None:
        dice = random.Random(part)
        try:
            with psycopg.connect(journey.url) as db:
                while not over.is_set():
                    for number in dice.sample(range(part + 1, 6_001, 3), 12):
                        name = dice.choice(["year", "published"])
                        db.execute(f"UPDATE books SET {name} = {name} + 6000 WHERE id = %s", [number])
                    db.commit()
                    wrote[part] += 1
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failed.append(error)

    threads = [threading.Thread(target=session, args=[part]) for part in range(3)]
    for thread in threads:
        thread.start()
    try:
        while not all(wrote) and not failed:
            time.sleep(0.01)
        assert journey.advance() is State.BACKFILLED
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert differing(journey) == 0
    assert ask(journey.db, "SELECT count(*) FROM books WHERE (year - id) % 6000 <> 0") == 0
    assert ask(journey.db, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0


RACES = {
    "the old name": "UPDATE books SET year = 9 WHERE id = {id}",
    "the new name": "UPDATE books SET published = 9 WHERE id = {id}",
    "both names": "UPDATE books SET year = 9, published = 9 WHERE id = {id}",
    "another column": "UPDATE books SET title = 'x' WHERE id = {id}",
    "a key": "UPDATE books SET id = id + 100000 WHERE id = {id}",
    "NULL": "UPDATE books SET year = NULL WHERE id = {id}",
    "a deletion": "DELETE FROM books WHERE id = {id}",
}


@pytest.mark.parametrize("what", RACES)
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_write_that_a_batch_waits_for(journeys: Journeys, what: str, end: str) -> None:
    """A batch that comes upon a row under way takes what the other made of it, or leaves it as that did."""
    journey = expanded(journeys, BOOKS.format(300), backfill={"batch_time": "1m"}, expand={"lock_timeout": "5s"})
    write = RACES[what].format(id=150)
    with psycopg.connect(journey.url) as other:
        other.execute(write)
        ended = threading.Event()

        def listen(event: Event) -> None:
            if isinstance(event, Waiting) and not ended.is_set():
                ended.set()
                other.execute(end)

        journey.on_event = listen
        assert journey.advance() is State.BACKFILLED
    mirror = dict(rows(journey.db, "SELECT id, year FROM books"))
    assert differing(journey) == 0
    expected: dict[int, int | None] = {number: number for number in range(1, 301)}
    if end == "COMMIT":
        value = expected.pop(150)
        changed: dict[str, dict[int, int | None]] = {
            "another column": {150: value},
            "a key": {100_150: value},
            "NULL": {150: None},
            "a deletion": {},
        }
        expected |= changed.get(what, {150: 9})
    assert mirror == expected


# ---------------------------------------------------------------- sessions


def test_sessions_that_are_ended(journeys: Journeys) -> None:
    """Workers whose sessions are ended come back with others, and so does the one that holds the lease."""
    journey = expanded(journeys, BOOKS.format(30_000))
    ended = [0]

    def end(event: Event) -> None:
        if isinstance(event, Progress) and event.what.startswith("backfill") and ended[0] < 30:
            ended[0] += ask(
                journey.db,
                "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'ecm' AND datname = current_database() AND pid <> pg_backend_pid()) t",
            )

    journey.on_event = end
    assert journey.advance() is State.BACKFILLED
    assert ended[0] >= 30
    assert differing(journey) == 0


def test_a_role_with_a_short_statement_timeout(journeys: Journeys, roles: Roles) -> None:
    """What ALTER ROLE sets for an application's sessions is not what ecm's own run under."""
    role = roles()
    journey = journeys(BOOKS.format(20_000), RENAME, role=role, backfill={})
    name = ask(journey.db, "SELECT current_database()")
    run(journey.db, f"ALTER TABLE books OWNER TO {role}; GRANT ALL ON SCHEMA public TO {role}")
    run(journey.db, f'GRANT ALL ON DATABASE "{name}" TO {role}')
    run(journey.db, f"ALTER ROLE {role} SET statement_timeout = '200ms'; ALTER ROLE {role} SET lock_timeout = '1ms'")
    run(journey.db, f"ALTER ROLE {role} SET default_transaction_isolation = 'serializable'")
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


# ---------------------------------------------------------------- the throttle

GAUGE = "CREATE TABLE gauge (value integer); INSERT INTO gauge VALUES ({});"
CUSTOM = {"name": "queue", "sql": "SELECT value FROM gauge", "max": 10}


def held(journey: Journey) -> str | None:
    """Why the backfill holds back, as status tells it from elsewhere."""
    found = journey.conductor.status("change").plans[0].branches[0].progress
    return found.throttled_by if found else None


def test_a_signal_trips_and_clears(journeys: Journeys) -> None:
    """The backfill holds back while a signal is over its limit, says why where status is asked, and goes on."""
    journey = expanded(
        journeys, BOOKS.format(2_000) + ";" + GAUGE.format(50), backfill={**SMALL, "throttle": {"custom": CUSTOM}}
    )
    told: list[str | None] = []

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and event.throttled_by and not told:
            assert ask(journey.db, "SELECT count(published) FROM books") == 0
            told.append(held(journey))
            run(journey.db, "UPDATE gauge SET value = 0")

    journey.on_event = listen
    assert journey.advance() is State.BACKFILLED
    assert told == ["queue: queue is 50 (limit 10)"]
    assert held(journey) is None
    assert differing(journey) == 0


def test_a_signal_trips_in_the_middle(journeys: Journeys) -> None:
    """What trips after it has begun holds it back as well."""
    journey = expanded(
        journeys, BOOKS.format(40_000) + ";" + GAUGE.format(0), backfill={**SMALL, "throttle": {"custom": CUSTOM}}
    )
    at = list[int]()

    def listen(event: Event) -> None:
        if not isinstance(event, Progress) or not event.what.startswith("backfill"):
            return
        if event.throttled_by and not at:
            at.append(event.done)
            run(journey.db, "UPDATE gauge SET value = 0")
        elif event.done and not at:
            run(journey.db, "UPDATE gauge SET value = 50")
            time.sleep(0.02)

    journey.on_event = listen
    assert journey.advance() is State.BACKFILLED
    assert at
    assert at[0] < progress(journey)[-1].total
    assert differing(journey) == 0


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT nothing FROM nowhere", 'relation "nowhere" does not exist'),
        ("SELECT 'many'", "returned many, and not a number"),
        ("SELECT 'NaN'::float8", "returned nan, and not a number"),
        ("SELECT 'Infinity'::float8", "returned inf, and not a number"),
        ("DELETE FROM gauge RETURNING 1", "read-only transaction"),
    ],
)
def test_a_signal_that_can_never_be_read(journeys: Journeys, query: str, why: str) -> None:
    """A query that no waiting would mend is an error before anything is written; it may be corrected at any time."""
    throttle = {"custom": {"sql": query, "max": 10}}
    journey = expanded(journeys, BOOKS.format(100) + ";" + GAUGE.format(1), backfill={**SMALL, "throttle": throttle})
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert why in " ".join(refused.value.details)
    assert ask(journey.db, "SELECT count(published) FROM books") == 0
    assert ask(journey.db, "SELECT count(*) FROM gauge") == 1


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT NULL", "returned NULL, and not a number"),
        ("SELECT value FROM gauge WHERE value < 0", "returned no row"),
        ("SELECT pg_sleep(60)", "takes longer than 2s"),
    ],
)
def test_a_signal_that_cannot_be_read(journeys: Journeys, query: str, why: str) -> None:
    """What a plan names and nobody can read holds the backfill back: nobody can say that all is well."""
    throttle = {"custom": {"sql": query, "max": 10}}
    journey = expanded(journeys, BOOKS.format(100) + ";" + GAUGE.format(1), backfill={**SMALL, "throttle": throttle})

    class _SeenError(Exception):
        pass

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and event.throttled_by:
            raise _SeenError(event.throttled_by)

    journey.on_event = listen
    with pytest.raises(_SeenError, match=why):
        journey.advance()
    assert ask(journey.db, "SELECT count(published) FROM books") == 0
    assert ask(journey.db, "SELECT count(*) FROM gauge") == 1


def test_every_signal_is_read(journeys: Journeys) -> None:
    """Each has a value and a limit, and one that is far off holds nothing back."""
    throttle = {
        "replica_lag": "5s",
        "wal_rate": "100GB",
        "archive_backlog": 1000,
        "slot_retention": "100GB",
        "active_per_core": 1000,
        "cores": 2,
        "lock_waiters": 1000,
        "xmin_age": 1_000_000,
        "free_disk": "1MB",
        "disk": "100TB",
        "custom": {"sql": "SELECT 1", "max": 2},
    }
    journey = expanded(journeys, BOOKS.format(500), backfill={**SMALL, "throttle": throttle})
    assert journey.advance() is State.BACKFILLED
    (signals,) = (row[0] for row in rows(journey.db, "SELECT signals FROM ecm.sweeps"))
    assert [signal["signal"] for signal in signals] == [
        *("replica_lag", "wal_rate", "archive_backlog", "slot_retention", "active_per_core", "lock_waiters"),
        *("xmin_age", "free_disk", "custom"),
    ]
    assert all(signal["value"] is not None and not signal["holds"] for signal in signals), signals


def test_signals_that_a_plain_role_may_not_read(journeys: Journeys, roles: Roles) -> None:
    """What is there by default is shown as unreadable; what the plan names holds back, and names the privilege."""
    role = roles()
    journey = journeys(
        BOOKS.format(100), RENAME, role=role, backfill={"throttle": {"active_per_core": 100, "cores": 2}}
    )
    name = ask(journey.db, "SELECT current_database()")
    run(journey.db, f"ALTER TABLE books OWNER TO {role}; GRANT ALL ON SCHEMA public TO {role}")
    run(journey.db, f'GRANT ALL ON DATABASE "{name}" TO {role}')
    journey.advance(State.EXPANDED)
    reasons = list[str]()

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and event.throttled_by and not reasons:
            reasons.append(event.throttled_by)
            run(journey.db, f"GRANT pg_monitor TO {role}")

    journey.on_event = listen
    assert journey.advance() is State.BACKFILLED
    assert reasons == [f"active per core: cannot be read: GRANT pg_monitor TO {role}"]


# ---------------------------------------------------------------- pause and resume


def test_paused_from_elsewhere(journeys: Journeys, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Another process holds a running backfill back and lets it go on; status tells who."""
    journey = expanded(journeys, BOOKS.format(5_000) + AS_SLOW_AS_TOLD)
    steps = list[str]()
    environment = {"URL": journey.url, "ECM_ACTOR": "someone else", "PATH": ""}

    def ecm(command: str) -> dict[str, Any]:
        code, out, err = forked.run(
            [command, "change", "--branch", BRANCH, "--json"],
            folder=journey.folder,
            environment=environment,
            stdin=b"",
            files=tmp_path_factory.mktemp(command),
            patience=60,
        )
        assert code == 0, out + err
        return json.loads(out)

    def listen(event: Event) -> None:
        if not isinstance(event, Progress) or not event.what.startswith("backfill"):
            return
        if not steps and event.rows:
            report = ecm("pause")
            assert (report["paused"], report["running"]) == (True, True)
            steps.append("paused")
        elif steps == ["paused"] and event.throttled_by:
            assert "paused by someone else" in event.throttled_by
            filled = ask(journey.db, "SELECT count(published) FROM books")
            assert filled < 5_000
            assert "paused by someone else" in str(held(journey))
            (branch,) = journey.conductor.status("change").plans[0].branches
            assert branch.next_command == f"ecm resume change --branch {BRANCH}"
            run(journey.db, "UPDATE pace SET seconds = 0")
            report = ecm("resume")
            assert (report["paused"], report["running"]) == (False, True)
            steps.append("resumed")

    journey.on_event = listen
    assert journey.advance() is State.BACKFILLED
    assert steps == ["paused", "resumed"]
    assert differing(journey) == 0


def test_locked_rows_are_told(journeys: Journeys) -> None:
    """Where nothing is left but rows that someone keeps locked, status says so and who, and promises no end."""
    journey = expanded(journeys, BOOKS.format(300))
    found = list[Progress]()
    with psycopg.connect(journey.url, application_name="hoarder") as hoarder:
        hoarder.execute("SELECT 1 FROM books WHERE id = 7 FOR UPDATE")
        holder = hoarder.info.backend_pid

        def listen(event: Event) -> None:
            if isinstance(event, Progress) and event.throttled_by and not found:
                found.append(event)
                branch = journey.conductor.status("change").plans[0].branches[0]
                assert branch.progress
                assert branch.progress.throttled_by == event.throttled_by
                assert (branch.progress.rows_per_second, branch.progress.eta_seconds) == (None, None)
                hoarder.rollback()

        journey.on_event = listen
        assert journey.advance() is State.BACKFILLED
    assert (found[0].throttled_by or "").startswith(f"rows are locked, held by pid {holder}")
    assert "hoarder" in (found[0].throttled_by or "")
    assert differing(journey) == 0


def test_a_pause_longer_than_its_patience(journeys: Journeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time in which it was held back does not count against rows that are locked once it goes on."""
    monkeypatch.setattr(sweep, "PATIENCE", timedelta(seconds=2))
    journey = expanded(
        journeys, BOOKS.format(300) + ";" + GAUGE.format(50), backfill={**SMALL, "throttle": {"custom": CUSTOM}}
    )
    began = time.monotonic()
    with psycopg.connect(journey.url) as hoarder:

        def listen(event: Event) -> None:
            if not isinstance(event, Progress) or not event.throttled_by:
                return
            if event.throttled_by.startswith("rows are locked"):
                hoarder.rollback()
            elif time.monotonic() - began > 3:
                hoarder.execute("SELECT 1 FROM books FOR UPDATE")
                run(journey.db, "UPDATE gauge SET value = 0")

        journey.on_event = listen
        assert journey.advance() is State.BACKFILLED
    assert differing(journey) == 0


def test_a_paused_backfill_does_not_go_on(journeys: Journeys) -> None:
    """Interrupted and paused, no advance goes on with it until it is resumed; a rollback does, and forgets the pause."""

    class _StopError(Exception):
        pass

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.done:
            raise _StopError

    journey = expanded(journeys, BOOKS.format(4_000))
    for command in (journey.conductor.pause, journey.conductor.resume):
        with pytest.raises(RefusedError, match="no backfill of change is under way"):
            command("change", BRANCH)
    journey.on_event = stop
    with pytest.raises(_StopError):
        journey.advance()
    journey.on_event = None
    assert not journey.conductor.pause("change", BRANCH).running
    with pytest.raises(RefusedError) as refused:
        journey.advance()
    assert refused.value.exit_code == 4
    status = journey.conductor.status("change").plans[0].branches[0]
    assert [reason.code for reason in status.blocked_by] == ["paused"]
    assert status.next_command == f"ecm resume change --branch {BRANCH}"
    journey.conductor.resume("change", BRANCH)
    with pytest.raises(RefusedError, match="is not paused"):
        journey.conductor.resume("change", BRANCH)
    journey.conductor.pause("change", BRANCH)
    assert journey.rollback() is State.EXPANDED
    assert journey.advance() is State.BACKFILLED


# ---------------------------------------------------------------- the table's own triggers

TOUCH = """;
    ALTER TABLE books ADD touched integer DEFAULT 0;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN NEW.touched := NEW.touched + 1; RETURN NEW; END$$;
    CREATE TRIGGER touches BEFORE UPDATE ON books FOR EACH ROW EXECUTE FUNCTION touch();
"""


@pytest.mark.parametrize(("setting", "touched"), [("fire", 1), ("suppress", 0)])
def test_triggers_of_the_table(journeys: Journeys, setting: str, touched: int) -> None:
    """They fire on what the backfill writes, or do not, as the plan says; the preview says which."""
    journey = journeys(BOOKS.format(500) + TOUCH, RENAME, backfill={"user_triggers": setting})
    words = "fires on every row the backfill writes" if touched else "is suppressed for what the backfill writes"
    assert f"trigger touches {words}" in journey.conductor.preview("change").beware
    journey.advance(State.EXPANDED)
    assert journey.advance() is State.BACKFILLED
    assert rows(journey.db, "SELECT touched, count(*) FROM books GROUP BY 1") == [(touched, 500)]
    assert differing(journey) == 0


def test_triggers_may_not_be_suppressed(journeys: Journeys, roles: Roles) -> None:
    """A role without the privilege is told so, by its name, before anything is touched."""
    role = roles()
    journey = journeys(BOOKS.format(10), RENAME, role=role, backfill={"user_triggers": "suppress"})
    name = ask(journey.db, "SELECT current_database()")
    run(journey.db, f"ALTER TABLE books OWNER TO {role}; GRANT ALL ON SCHEMA public TO {role}")
    run(journey.db, f'GRANT ALL ON DATABASE "{name}" TO {role}')
    with pytest.raises(PrivilegeError) as refused:
        journey.advance()
    assert f'GRANT SET ON PARAMETER session_replication_role TO "{role}"' in (refused.value.hint or "")
    assert ask(journey.db, "SELECT count(*) FROM pg_attribute WHERE attname = 'published'") == 0
    if journey.db.info.server_version >= 150000:
        run(journey.db, f"GRANT SET ON PARAMETER session_replication_role TO {role}")
        assert journey.advance(State.BACKFILLED) is State.BACKFILLED
