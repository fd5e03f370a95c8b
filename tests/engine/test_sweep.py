"""The sweep reaches every row, whatever the application and others do to the table meanwhile."""

import random
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from engine.slowly import AS_SLOW_AS_TOLD
from operations.conftest import Journeys, Roles
from operations.harness import Journey, ask, rows, run

from orchestrator.errors import VerificationError
from orchestrator.events import Event, Progress
from orchestrator.plan.lifecycle import State

RENAME = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
SMALL = {"batch_time": "1ms"}
"""So that there are many batches."""


def shelf(count: int) -> str:
    """Return a table of so many rows, three a page."""
    return f"""
        CREATE TABLE books (id integer PRIMARY KEY, year integer, pad text DEFAULT repeat('x', 2400))
          WITH (autovacuum_enabled = off);
        ALTER TABLE books ALTER pad SET STORAGE PLAIN;
        INSERT INTO books SELECT g, g FROM generate_series(1, {count}) g;
    """


def batches(journey: Journey) -> list[Progress]:
    """Return what the backfill told of itself."""
    return [e for e in journey.events if isinstance(e, Progress) and e.what.startswith("backfill")]


def once(action: Callable[[], None], *, after_pages: int) -> Callable[[Event], None]:
    """Return a listener that acts once, between two batches, when so many pages are done."""
    done = [False]

    def listen(event: Event) -> None:
        if (
            isinstance(event, Progress)
            and event.what.startswith("backfill")
            and event.done >= after_pages
            and not done[0]
        ):
            done[0] = True
            action()

    return listen


def differing(journey: Journey) -> int:
    """How many rows have two sides that differ."""
    return ask(journey.db, "SELECT count(*) FROM books WHERE year IS DISTINCT FROM published")


def expanded(journeys: Journeys, start: str, **settings: Any) -> Journey:
    """Return a journey at the gate of its backfill."""
    journey = journeys(start, RENAME, **{"backfill": SMALL, **settings})
    journey.advance(State.EXPANDED)
    return journey


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 700])
def test_tables_of_any_size(journeys: Journeys, count: int) -> None:
    """None, one, a page, a page and one more, several batches."""
    journey = expanded(journeys, shelf(count))
    assert journey.advance() is State.BACKFILLED
    assert differing(journey) == 0
    assert ask(journey.db, "SELECT count(published) FROM books") == count
    pages = batches(journey)[-1]
    assert (pages.done, pages.rows) == (pages.total, count)


def test_pages_without_rows(journeys: Journeys) -> None:
    """A table that was emptied by DELETE still has pages, and holes are no end."""
    journey = expanded(journeys, shelf(300) + "DELETE FROM books WHERE id NOT BETWEEN 200 AND 210")
    journey.advance()
    assert ask(journey.db, "SELECT count(published) FROM books") == 11


def test_table_without_a_key(journeys: Journeys) -> None:
    """No key is needed; equal rows are two rows."""
    start = "CREATE TABLE books (year integer); INSERT INTO books SELECT 7 FROM generate_series(1, 2000)"
    journey = expanded(journeys, start)
    journey.advance()
    assert ask(journey.db, "SELECT count(*) FROM books WHERE published = 7") == 2000


def test_writers_of_both_kinds_meanwhile(journeys: Journeys) -> None:
    """Inserts, updates and deletes under either name, all along: the last write of each row is what both sides hold."""
    journey = expanded(journeys, shelf(900))
    over, model = threading.Event(), {number: number for number in range(1, 901)}
    writers = [_Writer(journey.url, model, over, part) for part in range(2)]
    # A writer ahead of the sweep, and rows that move behind it.
    journey.on_event = writers[0].between
    for writer in writers:
        writer.start()
    try:
        assert journey.advance() is State.BACKFILLED
    finally:
        over.set()
        for writer in writers:
            writer.join()
    assert [writer.failed for writer in writers] == [None, None]
    assert all(writer.wrote > 10 for writer in writers)
    assert differing(journey) == 0
    assert dict(rows(journey.db, "SELECT id, published FROM books")) == model


class _Writer(threading.Thread):
    """An application of both versions; it keeps to its own half of the rows, and remembers what it wrote."""

    def __init__(self, url: str, model: dict[int, int], over: threading.Event, part: int) -> None:
        super().__init__(daemon=True)
        self._url, self._model, self._over, self._part = url, model, over, part
        self._random = random.Random(part)
        self._turn = threading.Semaphore(20)
        self.wrote, self.failed = 0, None

    def between(self, _: Event) -> None:
        """Let more writes happen between two batches, so that the two really mix."""
        self._turn.release(5)

    def run(self) -> None:
        try:
            with psycopg.connect(self._url, autocommit=True) as db:
                while not self._over.is_set():
                    if self._part == 0 and not self._turn.acquire(timeout=0.01):
                        continue
                    self._write(db)
        except Exception as error:  # noqa: BLE001 - shown by the test
            self.failed = error

    def _write(self, db: psycopg.Connection[Any]) -> None:
        mine = [number for number in list(self._model) if number % 2 == self._part]  # the other one adds to it
        number, value = self._random.choice(mine), self._random.randrange(10**6)
        name = self._random.choice(["year", "published"])
        match self._random.randrange(4):
            case 0:
                fresh = 10_000 + self.wrote * 2 + self._part
                db.execute(f"INSERT INTO books (id, {name}) VALUES (%s, %s)", [fresh, value])
                self._model[fresh] = value
            case 1 if len(mine) > 20:
                db.execute("DELETE FROM books WHERE id = %s", [number])
                del self._model[number]
            case _:
                db.execute(f"UPDATE books SET {name} = %s WHERE id = %s", [value, number])
                self._model[number] = value
        self.wrote += 1


@pytest.mark.parametrize("command", ["VACUUM FULL books", "CLUSTER books USING books_pkey"])
def test_table_is_rewritten_in_the_middle(journeys: Journeys, command: str) -> None:
    """Its pages are other ones afterwards; the sweep begins again, and misses none."""
    journey = expanded(journeys, shelf(900) + AS_SLOW_AS_TOLD)
    # Rows on the last pages would come to be on the first, which the sweep has behind it.
    run(journey.db, "DELETE FROM books WHERE id <= 300")

    def rewrite() -> None:
        run(journey.db, "UPDATE pace SET seconds = 0")
        run(journey.db, command)

    journey.on_event = once(rewrite, after_pages=150)
    assert journey.advance() is State.BACKFILLED
    assert differing(journey) == 0
    done = [event.done for event in batches(journey)]
    assert any(later < earlier for earlier, later in pairwise(done)), "it did not begin again"
    file = ask(journey.db, "SELECT pg_relation_filenode('books')")
    assert rows(journey.db, "SELECT filenode::bigint, next_page = pages, round FROM ecm.sweeps") == [(file, True, 1)]


def test_table_is_truncated_in_the_middle(journeys: Journeys) -> None:
    """An empty table is a filled one."""
    journey = expanded(journeys, shelf(600))
    journey.on_event = once(lambda: run(journey.db, "TRUNCATE books"), after_pages=50)
    assert journey.advance() is State.BACKFILLED


class _StopError(Exception):
    """Ends a command between two batches."""


def stopped(journeys: Journeys) -> Journey:
    """Return a backfill that was stopped after a hundred of three hundred pages."""

    def stop() -> None:
        raise _StopError

    journey = expanded(journeys, shelf(900))
    journey.on_event = once(stop, after_pages=100)
    with pytest.raises(_StopError):
        journey.advance()
    return journey


def test_goes_on_where_it_was(journeys: Journeys) -> None:
    """What was interrupted resumes at its checkpoint; no page is done twice."""
    journey = stopped(journeys)
    (checkpoint,) = (row[0] for row in rows(journey.db, "SELECT next_page FROM ecm.sweeps"))
    assert 0 < checkpoint < 300
    filled = ask(journey.db, "SELECT count(published) FROM books")
    assert 0 < filled < 900
    journey.events.clear()
    assert journey.advance() is State.BACKFILLED
    assert batches(journey)[0].done == checkpoint
    assert batches(journey)[-1].rows == 900


def test_what_was_told_last_is_what_is_kept(journeys: Journeys) -> None:
    """Where it stopped is told as the journal has it, and as the next run begins; that tells its rows from all."""
    journey = stopped(journeys)
    kept = rows(journey.db, "SELECT next_page, rows FROM ecm.sweeps")
    last = batches(journey)[-1]
    assert [(last.done, last.rows)] == kept
    journey.events.clear()
    assert journey.advance() is State.BACKFILLED
    first = batches(journey)[0]
    assert [(first.done, first.rows)] == kept
    took = ask(journey.db, "SELECT data->'sweep books' FROM ecm.moves WHERE target = 'backfilled'")
    assert (took["filled"], took["written"]) == (900, 900 - last.rows)


def test_what_was_interrupted_can_be_given_up(journeys: Journeys) -> None:
    """A rollback from the middle of a backfill leads back to expanded, and the next backfill begins anew."""
    journey = stopped(journeys)
    journey.on_event = None
    assert journey.rollback() is State.EXPANDED
    assert rows(journey.db, "SELECT next_page FROM ecm.sweeps") == []
    assert journey.advance() is State.BACKFILLED
    assert differing(journey) == 0


SKIPS = """;
    CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF OLD.id % 100 = 0 THEN RETURN NULL; END IF; RETURN NEW; END$$;
    CREATE TRIGGER archived BEFORE UPDATE ON books FOR EACH ROW EXECUTE FUNCTION skip();
"""


def test_trigger_that_keeps_rows_from_being_written(journeys: Journeys) -> None:
    """Nothing can be filled past such a trigger: the rows are shown, and the phase does not end."""
    journey = expanded(journeys, shelf(600) + SKIPS)
    with pytest.raises(VerificationError) as unproven:
        journey.advance()
    assert unproven.value.exit_code == 6
    assert "6 of 600 rows of books" in unproven.value.message
    assert "id=100  year=100  published=NULL" in unproven.value.details
    assert journey.state is State.EXPANDED
    run(journey.db, "ALTER TABLE books DISABLE TRIGGER archived; UPDATE books SET year = year; ")
    run(journey.db, "ALTER TABLE books ENABLE TRIGGER archived")
    assert journey.advance() is State.BACKFILLED


def test_trigger_that_alters_what_is_written(journeys: Journeys) -> None:
    """What such a trigger makes of the old side in the backfill's own UPDATE is on both sides."""
    meddling = """;
        CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.year := NEW.year + 1; RETURN NEW; END$$;
        CREATE TRIGGER zzz_meddles BEFORE UPDATE ON books FOR EACH ROW EXECUTE FUNCTION meddle();
    """
    journey = expanded(journeys, shelf(200) + meddling, expand={"acknowledge": ["public.meddle"]})
    assert journey.advance() is State.BACKFILLED
    assert ask(journey.db, "SELECT count(*) FROM books WHERE year = published AND year = id + 1") == 200


# ---------------------------------------------------------------- the sync trigger is switched off


def _switch(journey: Journey, *, off: bool) -> None:
    # A superuser's hand, or a tool that disables all triggers for a bulk load and enables them after it.
    run(journey.db, f"ALTER TABLE books {'DISABLE' if off else 'ENABLE'} TRIGGER ALL")
    if not off:
        run(journey.db, 'ALTER TABLE books ENABLE ALWAYS TRIGGER "~ecm_change_public.books"')


@pytest.mark.parametrize("state", [State.BACKFILLED, State.READS_MIGRATED])
def test_a_write_past_the_trigger_is_found(journeys: Journeys, state: State) -> None:
    """Neither the next phase nor the way back goes past rows that differ; set right, both are open again."""
    journey = journeys(shelf(30), RENAME)
    journey.advance(state)
    _switch(journey, off=True)
    run(journey.db, "UPDATE books SET published = 1000 + id WHERE id <= 7")
    _switch(journey, off=False)
    report = journey.conductor.verify("change", "main")
    assert (report.rows, report.mismatches, len(report.samples)) == (30, 7, 5)
    assert report.samples[0].key == {"id": "1"}
    assert (report.samples[0].old, report.samples[0].new) == ({"year": "1"}, {"published": "1001"})
    with pytest.raises(VerificationError) as unproven:
        journey.advance()
    assert "7 of 30 rows of books" in unproven.value.message
    assert "id=1  year=1  published=1001" in unproven.value.details
    assert journey.state is state
    with pytest.raises(VerificationError):
        journey.rollback(State.PLANNED)
    assert ask(journey.db, "SELECT count(*) FROM books WHERE published > 1000") == 7
    # An UPDATE that names the right side brings the other along.
    run(journey.db, "UPDATE books SET year = published WHERE id <= 7")
    assert differing(journey) == 0
    assert journey.rollback(State.PLANNED) is State.PLANNED
    assert ask(journey.db, "SELECT count(*) FROM books WHERE year > 1000") == 7


def test_trigger_off_during_the_backfill(journeys: Journeys) -> None:
    """A row that was written past the trigger, on a page that the sweep has behind it, is filled in another round."""
    journey = expanded(journeys, shelf(600))
    run(journey.db, "DELETE FROM books WHERE id = 1")
    run(journey.db, "VACUUM books")

    def past_the_trigger() -> None:
        _switch(journey, off=True)
        run(journey.db, "INSERT INTO books (id, year) VALUES (1, 1)")
        _switch(journey, off=False)

    journey.on_event = once(past_the_trigger, after_pages=100)
    assert journey.advance() is State.BACKFILLED
    assert rows(journey.db, "SELECT year, published FROM books WHERE id = 1") == [(1, 1)]
    assert ask(journey.db, "SELECT round FROM ecm.sweeps") == 2


# ---------------------------------------------------------------- what the table's own code expects of a session

UNQUALIFIED = {
    "a trigger": """
        CREATE TABLE audit (id integer);
        CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
          $$BEGIN INSERT INTO audit VALUES (NEW.id); RETURN NULL; END$$;
        CREATE TRIGGER keeps AFTER UPDATE ON books FOR EACH ROW EXECUTE FUNCTION keep();
    """,
    "a check": """
        CREATE FUNCTION allowed() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 10000';
        CREATE FUNCTION fits(y integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
          $$BEGIN RETURN y < allowed(); END$$;
        ALTER TABLE books ADD CHECK (fits(year));
    """,
    "a generated column": """
        CREATE FUNCTION century() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 100';
        CREATE FUNCTION part(y integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
          $$BEGIN RETURN y / century(); END$$;
        ALTER TABLE books ADD part integer GENERATED ALWAYS AS (part(year)) STORED;
    """,
    "an index": """
        CREATE FUNCTION century() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 100';
        CREATE FUNCTION part(y integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
          $$BEGIN RETURN y / century(); END$$;
        CREATE INDEX by_part ON books (part(year));
    """,
    "an index by an SQL function": """
        CREATE FUNCTION century() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 100';
        CREATE FUNCTION part(y integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT y / century()';
        CREATE INDEX by_part ON books (part(year));
    """,
}
"""Code that finds its names on the search_path, as most code does that was written for one schema."""


@pytest.mark.parametrize("what", UNQUALIFIED)
def test_code_that_relies_on_the_search_path(journeys: Journeys, what: str) -> None:
    """A backfill runs the table's own code; that finds what it finds in the application's sessions."""
    journey = journeys(shelf(30), RENAME)
    try:
        run(journey.db, UNQUALIFIED[what])
    except psycopg.errors.UndefinedFunction:
        # Since PostgreSQL 17 nothing that an index or a generated column calls may rely on it.
        assert journey.db.info.server_version >= 170000
        return
    assert journey.advance(State.READS_MIGRATED) is State.READS_MIGRATED
    assert differing(journey) == 0
    journey.rollback()
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


def test_trigger_that_reads_a_table_under_row_level_security(journeys: Journeys, roles: Roles) -> None:
    """A trigger sees of other tables what their policies let it see; that is no reason to fail the backfill."""
    role = roles()
    start = (
        shelf(9)
        + """
        CREATE TABLE audit (id integer);
        CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS
          $$BEGIN PERFORM FROM audit WHERE id = NEW.id; RETURN NULL; END$$;
        CREATE TRIGGER looks AFTER UPDATE ON books FOR EACH ROW EXECUTE FUNCTION look();
        CREATE POLICY of_all ON audit USING (true);
        ALTER TABLE audit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    """
    )
    journey = journeys(start, RENAME, role=role)
    run(journey.db, f"ALTER TABLE books OWNER TO {role}; ALTER TABLE audit OWNER TO {role}")
    run(journey.db, f"GRANT ALL ON SCHEMA public TO {role}; GRANT ALL ON DATABASE {journey.db.info.dbname} TO {role}")
    assert journey.advance(State.BACKFILLED) is State.BACKFILLED
    assert differing(journey) == 0
