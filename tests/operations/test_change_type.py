"""A column gets another type: both sides in every state, and all that hangs on it comes along."""

import random

import pytest
from operations.conftest import Journeys, Roles
from operations.harness import BRANCH, Db, ask, round_trip, rows, run, undone
from psycopg import errors

from orchestrator.errors import PreconditionError, RefusedError, StatementFailedError, VerificationError
from orchestrator.events import Event, StepFinished
from orchestrator.plan.lifecycle import PHASES, Phase, State

WIDEN = {"kind": "change_type", "table": "events", "column": "amount", "type": "bigint"}
EVENTS = """
    CREATE TABLE events (id integer PRIMARY KEY, amount integer, note text);
    INSERT INTO events SELECT g, g * 10, 'n' || g FROM generate_series(1, 60) g;
"""
DIRECT = "ALTER TABLE events ALTER COLUMN amount TYPE bigint"


def in_step(db: Db) -> None:
    """Whatever its type is, the application sees one column."""
    run(db, "INSERT INTO events (id, amount) VALUES (901, 7); UPDATE events SET amount = 8 WHERE id = 7")
    run(db, "UPDATE events SET note = 'x' WHERE id = 8")
    assert rows(db, "SELECT id, amount FROM events WHERE id IN (7, 8, 901) ORDER BY id") == [(7, 8), (8, 80), (901, 7)]


START: dict[str, str] = {
    "plain": "",
    "not null with a default": "ALTER TABLE events ALTER amount SET NOT NULL, ALTER amount SET DEFAULT 5",
    "indexes": "CREATE INDEX ON events (amount); CREATE INDEX big ON events (id) WHERE amount > 3;"
    "CREATE UNIQUE INDEX ON events ((amount + 1)) INCLUDE (note); COMMENT ON INDEX big IS 'some';"
    "ALTER INDEX events_expr_note_idx ALTER COLUMN 1 SET STATISTICS 50",
    "unique": "ALTER TABLE events ADD UNIQUE (amount), ADD CONSTRAINT later UNIQUE (note, amount) DEFERRABLE;"
    "COMMENT ON CONSTRAINT later ON events IS 'later'",
    "primary key of two": "ALTER TABLE events DROP CONSTRAINT events_pkey, ADD PRIMARY KEY (amount, id);"
    "ALTER TABLE events CLUSTER ON events_pkey",
    "checks": "ALTER TABLE events ADD CHECK (amount > 0), ADD CONSTRAINT two CHECK (amount > -id) NOT VALID;"
    "COMMENT ON CONSTRAINT two ON events IS 'two'",
    "said of it": "COMMENT ON COLUMN events.amount IS 'how much'; GRANT SELECT (amount) ON events TO PUBLIC;"
    "ALTER TABLE events ALTER amount SET STATISTICS 77, ALTER amount SET (n_distinct = 5)",
    "statistics": "CREATE STATISTICS related (dependencies) ON id, amount FROM events;"
    "ALTER STATISTICS related SET STATISTICS 10; COMMENT ON STATISTICS related IS 'related'",
    "replica identity": "ALTER TABLE events ALTER amount SET NOT NULL; CREATE UNIQUE INDEX one ON events (amount);"
    "ALTER TABLE events REPLICA IDENTITY USING INDEX one",
    "update of": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    "CREATE TRIGGER t AFTER UPDATE OF amount ON events FOR EACH ROW EXECUTE FUNCTION f()",
    "before triggers": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN IF NEW.amount IS NULL THEN NEW.amount := 3; END IF; RETURN NEW; END';"
    "CREATE TRIGGER t BEFORE INSERT OR UPDATE ON events FOR EACH ROW EXECUTE FUNCTION f()",
}


READERS = """
    CREATE VIEW large AS SELECT id, amount FROM events WHERE amount > 50;
    CREATE VIEW larger AS SELECT max(amount) AS amount FROM large;
    CREATE MATERIALIZED VIEW sums AS SELECT note, sum(amount) AS total FROM events GROUP BY note;
    CREATE UNIQUE INDEX ON sums (note);
    CREATE FUNCTION biggest() RETURNS bigint LANGUAGE sql BEGIN ATOMIC; SELECT max(amount)::bigint FROM events; END;
    CREATE VIEW by_key AS SELECT id, amount, note FROM events GROUP BY id;
    ALTER TABLE events ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON events USING (amount > 0);
"""
AGAIN = """
    DROP MATERIALIZED VIEW sums; DROP VIEW larger; DROP VIEW large; DROP VIEW by_key; DROP FUNCTION biggest();
    DROP POLICY p ON events;
"""


def test_readers(journeys: Journeys) -> None:
    """Views, views on views, materialized views with indexes, functions and policies read the new column."""
    direct = AGAIN + DIRECT + ";" + READERS.replace("ALTER TABLE events ENABLE ROW LEVEL SECURITY;", "")
    round_trip(journeys(EVENTS + READERS, WIDEN), direct=direct, holds=in_step)


def test_readers_under_a_new_name(journeys: Journeys) -> None:
    """The same with `to`; what they call the column stays."""
    view = "CREATE VIEW large AS SELECT id, amount FROM events WHERE amount > 50"
    direct = f"DROP VIEW large; {DIRECT}; ALTER TABLE events RENAME amount TO total;"
    direct += "CREATE VIEW large AS SELECT id, total AS amount FROM events WHERE total > 50"
    round_trip(journeys(f"{EVENTS};{view}", {**WIDEN, "to": "total"}), direct=direct)


BOOKS = """
    CREATE SCHEMA shop;
    CREATE TABLE shop."Order" (id serial PRIMARY KEY, "Total" integer NOT NULL DEFAULT 1);
    CREATE TABLE shop.line (id integer PRIMARY KEY, "order" integer REFERENCES shop."Order" ON DELETE CASCADE ON UPDATE CASCADE,
      CONSTRAINT later FOREIGN KEY ("order") REFERENCES shop."Order" MATCH FULL ON UPDATE CASCADE
        DEFERRABLE INITIALLY DEFERRED);
    CREATE INDEX ON shop.line ("order");
    COMMENT ON CONSTRAINT later ON shop.line IS 'later';
    INSERT INTO shop."Order" ("Total") SELECT g FROM generate_series(1, 30) g;
    INSERT INTO shop.line SELECT g, g FROM generate_series(1, 30) g;
"""
PARENT = {"kind": "change_type", "table": "shop.Order", "column": "id", "type": "bigint"}
CHILD = {"kind": "change_type", "table": "shop.line", "column": "order", "type": "bigint"}
DIRECTLY = {
    "Order": 'ALTER TABLE shop."Order" ALTER id TYPE bigint; ALTER SEQUENCE shop."Order_id_seq" AS bigint;',
    "line": 'ALTER TABLE shop.line ALTER "order" TYPE bigint;',
}


def related(db: Db) -> None:
    """Orders and their lines come and go together."""
    run(
        db,
        """INSERT INTO shop."Order" ("Total") VALUES (5); INSERT INTO shop.line SELECT 900, max(id) FROM shop."Order" """,
    )
    with pytest.raises(errors.ForeignKeyViolation), undone(db):
        run(db, "INSERT INTO shop.line VALUES (901, 5000); SET CONSTRAINTS ALL IMMEDIATE")
    run(db, 'UPDATE shop."Order" SET id = 700 WHERE id = 3; UPDATE shop.line SET "order" = 700 WHERE id = 4')
    run(db, 'DELETE FROM shop."Order" WHERE id = 5')
    found = rows(db, 'SELECT id, "order" FROM shop.line WHERE id IN (3, 4, 5, 900) ORDER BY id')
    assert found == [(3, 700), (4, 700), (900, ask(db, 'SELECT id FROM shop."Order" WHERE "Total" = 5 AND id <> 5'))]


@pytest.mark.parametrize("changes", [("Order",), ("line",), ("Order", "line"), ("line", "Order")], ids=" and ".join)
def test_keys_and_those_that_point_to_them(journeys: Journeys, changes: tuple[str, ...]) -> None:
    """A primary key with a sequence, foreign keys to it, and both, in one plan or in one after the other."""
    journey = journeys(BOOKS, *({"Order": PARENT, "line": CHILD}[change] for change in changes))
    round_trip(journey, direct="".join(DIRECTLY[change] for change in sorted(changes)), holds=related)


def test_two_columns_of_one_table(journeys: Journeys) -> None:
    """What hangs on both is handed over once; a tree points to itself."""
    start = """
        CREATE TABLE events (id integer PRIMARY KEY, amount integer UNIQUE REFERENCES events, note text, UNIQUE (amount, id));
        CREATE INDEX ON events (id, amount);
        INSERT INTO events SELECT g, nullif(g - 1, 0) FROM generate_series(1, 40) g;
    """

    def tree(db: Db) -> None:
        run(db, "INSERT INTO events (id, amount) VALUES (50, 40); DELETE FROM events WHERE id = 50")
        with pytest.raises(errors.ForeignKeyViolation), undone(db):
            run(db, "INSERT INTO events (id, amount) VALUES (51, 4000)")

    direct = "ALTER TABLE events ALTER id TYPE bigint, ALTER amount TYPE bigint"
    round_trip(journeys(start, WIDEN, {**WIDEN, "column": "id"}), direct=direct, holds=tree)


def test_columns_of_one_name_in_two_tables(journeys: Journeys) -> None:
    """What stands for the column in each, and is of one name too (NOT NULL, a check), is done in each."""
    held = "ALTER TABLE {0} ALTER amount SET NOT NULL, ADD CONSTRAINT positive CHECK (amount > 0);"
    start = f"{EVENTS} CREATE TABLE sales AS TABLE events; ALTER TABLE sales ADD PRIMARY KEY (id);"
    start += held.format("events") + held.format("sales")
    direct = f"{DIRECT}; {DIRECT.replace('events', 'sales')}"
    round_trip(journeys(start, WIDEN, {**WIDEN, "table": "sales"}), direct=direct, holds=in_step)


def test_values_by_position(journeys: Journeys) -> None:
    """Who names no columns gives values in their order, in which the old column stands where it stood."""
    journey = journeys(EVENTS + "ALTER TABLE events ALTER amount SET DEFAULT 5", WIDEN)
    for number, state in enumerate((State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED), start=900):
        journey.advance(state)
        run(journey.db, f"INSERT INTO events VALUES ({number}, 7, 'x'); INSERT INTO events (id) VALUES ({number + 50})")
        found = rows(journey.db, f"SELECT amount FROM events WHERE id IN ({number}, {number + 50}) ORDER BY id")
        assert found == [(7,), (5,)]
    assert journey.advance() is State.CONTRACTED


@pytest.mark.parametrize("default", ["nextval('given')", "(10 * random())::integer + 500"])
def test_values_by_position_where_each_row_has_another_default(journeys: Journeys, default: str) -> None:
    """A value that was given is kept, whichever column it is for, and only a row without one gets the default."""
    start = f"{EVENTS}; CREATE SEQUENCE given AS integer START 500 OWNED BY events.amount; ALTER TABLE events ALTER amount SET DEFAULT {default}"
    journey = journeys(start, WIDEN)
    numbers = iter(range(900, 1000))

    def written(values: str) -> int:
        number = next(numbers)
        run(journey.db, f"INSERT INTO events {values.format(number)}")
        return ask(journey.db, f"SELECT amount FROM events WHERE id = {number}")

    for state in (State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED, State.CONTRACTED):
        journey.advance(state)
        assert ask(journey.db, "SELECT pg_get_serial_sequence('events', 'amount')") == "public.given"
        assert written("(id) VALUES ({})") >= 500
        assert written("(id, amount) VALUES ({}, DEFAULT)") >= 500
        assert written("(id, amount) VALUES ({}, 8)") == 8
        if state is State.CONTRACTED:
            break  # the column is the last one by now
        assert written("VALUES ({}, 7)") == 7
        assert written("VALUES ({}, DEFAULT)") >= 500
        copied = 'SELECT (jsonb_populate_record(e, \'{{"id": {}, "amount": 9}}\')).* FROM events e WHERE e.id = 5'
        if state is State.READS_MIGRATED:
            assert written(copied) == 9
    journey = journeys(start, WIDEN)
    direct = "ALTER TABLE events ALTER amount TYPE bigint; ALTER SEQUENCE given AS bigint"
    round_trip(journey, direct=direct, writes=["INSERT INTO events SELECT max(id) + 1, 7 FROM events"])


def test_a_sequence_that_goes_beyond_the_old_type(journeys: Journeys) -> None:
    """Its default moves with the readers, so that no INSERT fails at the old limit; what that means is said before."""
    start = f"{EVENTS}; CREATE SEQUENCE given OWNED BY events.amount; ALTER TABLE events ALTER amount SET DEFAULT nextval('given')"
    journey = journeys(start, WIDEN)
    shown = journey.conductor.preview(journey.plan.plan, BRANCH)
    assert any("without a list of columns have amount drawn" in line for line in shown.beware)
    journey.advance(State.READS_MIGRATED)
    run(journey.db, "SELECT setval('given', 3000000000); INSERT INTO events (id) VALUES (901)")
    assert ask(journey.db, "SELECT amount FROM events WHERE id = 901") == 3000000001
    assert journey.advance() is State.CONTRACTED


def test_writers_without_rights_on_the_journal(journeys: Journeys, roles: Roles) -> None:
    """The application's role writes in every state what its version of the column holds."""
    journey, writer = journeys(CODES, NUMBER), roles()
    run(journey.db, f"GRANT ALL ON events TO {writer}")
    for number, state in enumerate((State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED), start=900):
        journey.advance(state)
        run(journey.db, f"SET ROLE {writer}")
        run(
            journey.db,
            f"INSERT INTO events (id, amount) VALUES ({number}, '12'); UPDATE events SET amount = '8' WHERE id = 8",
        )
        run(journey.db, "UPDATE events SET note = 'x' WHERE id = 9; RESET ROLE")
        assert str(ask(journey.db, f"SELECT amount FROM events WHERE id = {number}")) == "12"
    assert journey.advance() is State.CONTRACTED


def test_identity(journeys: Journeys) -> None:
    """An identity column keeps its sequence's name, place and rights, on both ways."""
    start = """
        CREATE TABLE events (id integer GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 3) PRIMARY KEY, amount integer);
        INSERT INTO events (amount) SELECT g FROM generate_series(1, 20) g;
        GRANT USAGE ON SEQUENCE events_id_seq TO PUBLIC; COMMENT ON SEQUENCE events_id_seq IS 'ids';
    """

    def numbered(db: Db) -> None:
        run(db, "INSERT INTO events (amount) VALUES (500)")
        assert ask(db, "SELECT id FROM events WHERE amount = 500") == ask(db, "SELECT max(id) FROM events")

    journey = journeys(start, {**WIDEN, "column": "id"})
    writes = ["INSERT INTO events (amount) VALUES (77)"]
    round_trip(journey, direct="ALTER TABLE events ALTER id TYPE bigint", holds=numbered, writes=writes)
    run(journey.db, "INSERT INTO events (amount) VALUES (78)")
    assert ask(journey.db, "SELECT count(DISTINCT id) = count(*) FROM events")


@pytest.mark.parametrize("what", START)
def test_round_trip(journeys: Journeys, what: str) -> None:
    """In place: both versions in every state; back to the start from each; the end is what the direct DDL gives."""
    journey = journeys(EVENTS + START[what], WIDEN)
    direct = DIRECT
    if what == "update of":
        # PostgreSQL itself does not change the type while a trigger names the column.
        direct = f"DROP TRIGGER t ON events; {DIRECT}; CREATE{START[what].rpartition('CREATE')[2]}"
    round_trip(journey, direct=direct, holds=in_step, writes=["UPDATE events SET amount = amount + 1 WHERE id = 9"])


def test_a_view_on_two_columns_that_change(journeys: Journeys) -> None:
    """It can be moved once in a plan, and is named."""
    view = "CREATE VIEW v AS SELECT id, amount FROM events"
    journey = journeys(EVENTS + view, WIDEN, {**WIDEN, "column": "id"})
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert refused.value.message.startswith("view v reads events.amount and events.id")


def test_a_view_that_came_after_the_switch(journeys: Journeys) -> None:
    """It is made again over the old column on the way back, and over the new one on the way forward."""
    journey = journeys(EVENTS, WIDEN)
    journey.advance(State.READS_MIGRATED)
    run(journey.db, "CREATE VIEW late AS SELECT id, amount FROM events WHERE amount > 10")
    assert journey.rollback() is State.BACKFILLED
    assert ask(journey.db, "SELECT pg_typeof(amount)::text FROM late LIMIT 1") == "integer"
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
    assert ask(journey.db, "SELECT pg_typeof(amount)::text FROM late LIMIT 1") == "bigint"


@pytest.mark.parametrize(
    ("before", "after"),
    [("timestamp", "timestamptz"), ("timestamptz", "date"), ("date", "text"), ("text", "timestamptz")],
)
def test_a_cast_that_asks_the_session(journeys: Journeys, before: str, after: str) -> None:
    """Writers in two time zones would make two values of one: the plan has to say which."""
    journey = journeys(
        f"CREATE TABLE s (id integer PRIMARY KEY, at {before})",
        {"kind": "change_type", "table": "s", "column": "at", "type": after},
    )
    with pytest.raises(PreconditionError, match="TimeZone or DateStyle"):
        journey.advance()


def test_a_timestamp_gets_its_zone(journeys: Journeys) -> None:
    """With using and reverse, any session's writes mean the same."""
    start = "CREATE TABLE s (id integer PRIMARY KEY, at timestamp); INSERT INTO s VALUES (1, '2024-01-01 12:00')"
    change = {
        "kind": "change_type",
        "table": "s",
        "column": "at",
        "type": "timestamptz",
        "using": "at AT TIME ZONE 'Europe/Berlin'",
        "reverse": "at AT TIME ZONE 'Europe/Berlin'",
    }

    def holds(db: Db) -> None:
        run(db, "SET timezone = 'America/New_York'; UPDATE s SET at = at WHERE id = 1")
        assert ask(db, "SELECT at::text FROM s") in ("2024-01-01 12:00:00", "2024-01-01 06:00:00-05")
        run(db, "RESET timezone")

    direct = "ALTER TABLE s ALTER at TYPE timestamptz USING at AT TIME ZONE 'Europe/Berlin'"
    round_trip(journeys(start, change), direct=direct, holds=holds)


def test_a_value_that_comes_between_the_proof_and_the_way_back(journeys: Journeys) -> None:
    """What a change at once lets in after the proof keeps the rollback waiting, and is not rounded."""
    start = "CREATE TABLE s (id integer PRIMARY KEY, p numeric(10,2)); INSERT INTO s VALUES (1, 1.5)"
    journey = journeys(start, {"kind": "change_type", "table": "s", "column": "p", "type": "numeric"})
    journey.advance(State.EXPANDED)

    def listen(event: Event) -> None:
        if isinstance(event, StepFinished) and event.key.startswith("fits"):
            run(journey.db, "INSERT INTO s VALUES (2, 1.23456)")

    journey.on_event = listen
    with pytest.raises(StatementFailedError, match=r"old type cannot hold: 1\.23456"):
        journey.rollback()
    journey.on_event = None
    assert ask(journey.db, "SELECT p::text FROM s WHERE id = 2") == "1.23456"
    run(journey.db, "DELETE FROM s WHERE id = 2")
    assert journey.rollback() is State.PLANNED


class Stopped(BaseException):
    """What a kill is to the rest of the program."""


@pytest.mark.parametrize(("phase", "after"), [("back", "proof"), ("forward", "beside")])
def test_a_switch_that_was_interrupted(journeys: Journeys, phase: str, after: str) -> None:
    """The same command carries on after any step before the columns exchange their names, and after any before they do so again."""
    view = "CREATE MATERIALIZED VIEW sums AS SELECT sum(amount) AS total FROM events"
    journey = journeys(EVENTS + view, WIDEN)
    start = journey.fingerprint

    def listen(event: Event) -> None:
        if isinstance(event, StepFinished) and event.key.startswith(after):
            raise Stopped

    journey.advance(State.READS_MIGRATED if phase == "back" else State.BACKFILLED)
    journey.on_event = listen
    with pytest.raises(Stopped):
        _ = journey.rollback() if phase == "back" else journey.advance()
    journey.on_event = None
    assert journey.conductor.preview("change").phases is not None
    assert (journey.rollback() if phase == "back" else journey.advance()) in (State.BACKFILLED, State.READS_MIGRATED)
    assert journey.rollback(State.PLANNED) is State.PLANNED
    assert journey.fingerprint == start


def test_a_trigger_that_puts_a_value_back(journeys: Journeys) -> None:
    """The hidden side follows what the table's own trigger leaves, also where that is what was there before."""
    clamp = """
        CREATE FUNCTION clamp() RETURNS trigger LANGUAGE plpgsql AS
          'BEGIN NEW.amount := least(NEW.amount, 100); RETURN NEW; END';
        CREATE TRIGGER clamp BEFORE INSERT OR UPDATE ON s FOR EACH ROW EXECUTE FUNCTION clamp();
    """
    start = f"CREATE TABLE s (id integer PRIMARY KEY, amount integer); {clamp} INSERT INTO s VALUES (1, 100), (2, 5)"
    journey = journeys(start, {"kind": "change_type", "table": "s", "column": "amount", "type": "bigint"})
    for state in (State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED):
        assert journey.advance() is state
        run(journey.db, "UPDATE s SET amount = 150")
        assert rows(journey.db, "SELECT amount FROM s") == [(100,), (100,)]
    assert journey.rollback() is State.BACKFILLED
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


def test_another_plan_looks_at_the_column(journeys: Journeys) -> None:
    """Its trigger would read the column that has exchanged its name; it waits until that is over."""
    start = "CREATE TABLE t (id integer PRIMARY KEY, a integer, b text); INSERT INTO t VALUES (1, 1, 'x')"
    journey = journeys(start, {"kind": "change_type", "table": "t", "column": "a", "type": "bigint"}, plan="widen")
    other = journeys("", {"kind": "set_not_null", "table": "t", "column": "b", "using": "'none ' || a"}, plan="require")
    other.url, other.db = journey.url, journey.db
    journey.advance(State.BACKFILLED)
    with pytest.raises(RefusedError, match="may not enter"):
        other.advance()  # its expression looks at a column that is about to change


def test_a_partitioned_table(journeys: Journeys) -> None:
    """Indexes and constraints of every partition keep their names."""
    start = """
        CREATE TABLE events (id integer, amount integer NOT NULL CHECK (amount > 0), note text, PRIMARY KEY (id, amount))
          PARTITION BY RANGE (id);
        CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (30);
        CREATE TABLE "Events 2" PARTITION OF events FOR VALUES FROM (30) TO (5000);
        CREATE INDEX ON events (note, amount);
        ALTER TABLE events ADD CONSTRAINT once UNIQUE (id, amount, note);
        INSERT INTO events SELECT g, g * 10, 'n' || g FROM generate_series(1, 60) g;
    """
    round_trip(journeys(start, WIDEN), direct=DIRECT, holds=in_step)


def test_a_partitioned_table_that_points_to_another(journeys: Journeys) -> None:
    """Each partition is held to its foreign key, and validated, before the whole takes them over."""
    start = """
        CREATE TABLE kinds (id integer PRIMARY KEY); INSERT INTO kinds SELECT generate_series(1, 60);
        CREATE TABLE events (id integer, amount integer REFERENCES kinds ON DELETE CASCADE) PARTITION BY RANGE (id);
        CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (30);
        CREATE TABLE "Events 2" PARTITION OF events FOR VALUES FROM (30) TO (5000);
        INSERT INTO events SELECT g, g FROM generate_series(1, 60) g;
    """

    def held(db: Db) -> None:
        with pytest.raises(errors.ForeignKeyViolation), undone(db):
            run(db, "INSERT INTO events (id, amount) VALUES (3000, 3000)")
        run(db, "DELETE FROM kinds WHERE id = 40")
        assert ask(db, "SELECT count(*) FROM events") == 59

    round_trip(journeys(start, WIDEN), direct=DIRECT, holds=held)


def test_under_a_new_name(journeys: Journeys) -> None:
    """With `to` both names work until contract."""
    start = (
        EVENTS
        + """
        ALTER TABLE events ALTER amount SET DEFAULT 5, ADD CHECK (amount > 0);
        CREATE INDEX ON events (amount);
    """
    )

    def both(db: Db) -> None:
        run(db, "INSERT INTO events (id, amount) VALUES (901, 7); INSERT INTO events (id, total) VALUES (902, 8)")
        run(db, "UPDATE events SET total = 3 WHERE id = 1; UPDATE events SET amount = 4 WHERE id = 2")
        run(db, "INSERT INTO events (id) VALUES (903); INSERT INTO events (id, total) VALUES (904, 50000000000)")
        found = rows(db, "SELECT amount, total FROM events WHERE id IN (1, 2) OR id > 900 ORDER BY id")
        assert found == [(3, 3), (4, 4), (7, 7), (8, 8), (5, 5), (None, 50000000000)]

    direct = f"{DIRECT}; ALTER TABLE events RENAME amount TO total"
    round_trip(journeys(start, {**WIDEN, "to": "total"}), direct=direct, holds=both)


CODES = """
    CREATE TABLE events (id integer PRIMARY KEY, amount text NOT NULL, note text);
    INSERT INTO events SELECT g, '0' || g FROM generate_series(1, 60) g;
"""
NUMBER = {**WIDEN, "type": "integer", "using": "amount::integer", "reverse": "to_char(amount, 'FM00')"}


def test_expressions(journeys: Journeys) -> None:
    """A text becomes a number, by expressions that name the column as the application does."""
    journey = journeys(CODES, NUMBER)
    writes = ["UPDATE events SET amount = '77' WHERE id = 3"]
    round_trip(journey, direct="ALTER TABLE events ALTER amount TYPE integer USING amount::integer", writes=writes)


def test_an_old_value_that_cannot_be_converted(journeys: Journeys) -> None:
    """It is written all the same, and named before readers come."""
    journey = journeys(CODES, NUMBER)
    journey.advance(State.BACKFILLED)
    run(journey.db, "INSERT INTO events VALUES (500, 'many'); UPDATE events SET amount = 'few' WHERE id = 7")
    assert journey.conductor.verify("change", "main").mismatches == 2
    with pytest.raises(VerificationError) as refused:
        journey.advance()
    assert {line.split()[0] for line in refused.value.details if line.startswith("id=")} == {"id=7", "id=500"}
    assert journey.rollback(State.PLANNED) is State.PLANNED
    assert ask(journey.db, "SELECT amount FROM events WHERE id = 500") == "many"
    run(journey.db, "UPDATE events SET amount = '1' WHERE id IN (7, 500)")
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


@pytest.mark.parametrize("column", ["id", "amount"])
def test_a_new_value_that_the_old_type_cannot_hold(journeys: Journeys, column: str) -> None:
    """It is written; a rollback that would lose it is refused, and names it."""
    start = EVENTS + "ALTER TABLE events ALTER amount SET NOT NULL, ADD CHECK (amount > 0)"
    journey = journeys(start, {**WIDEN, "column": column})
    journey.advance(State.READS_MIGRATED)
    large = 50_000_000_000
    values = f"({large}, 1)" if column == "id" else f"(800, {large})"
    run(journey.db, f"INSERT INTO events (id, amount) VALUES {values}")
    run(journey.db, f"UPDATE events SET {column} = {large + 1} WHERE id = 7; UPDATE events SET note = 'x'")
    found = journey.conductor.verify("change", "main")
    assert (found.mismatches, found.not_invertible) == (0, 2)
    with pytest.raises(VerificationError) as refused:
        journey.rollback()
    assert str(large) in str(refused.value.details)
    run(journey.db, f"UPDATE events SET {column} = 777 WHERE {column} = {large}")
    run(journey.db, f"UPDATE events SET {column} = 778 WHERE {column} = {large + 1}")
    assert journey.rollback() is State.BACKFILLED
    assert rows(journey.db, f"SELECT {column} FROM events WHERE {column} IN (777, 778) ORDER BY 1") == [(777,), (778,)]
    journey.advance(State.READS_MIGRATED)
    run(journey.db, f"INSERT INTO events (id, amount) VALUES {values.replace('800', '801')}")
    assert journey.advance() is State.CONTRACTED
    assert ask(journey.db, f"SELECT max({column}) FROM events") == large


def test_random_writers_of_both_versions(journeys: Journeys) -> None:
    """Any order of writes and moves, forward and back: each row reads as who wrote it last left it."""
    journey, dice = journeys(EVENTS, {**WIDEN, "to": "total"}), random.Random(5)
    model = {number: number * 10 for number in range(1, 61)}
    for _ in range(10):
        both = journey.state is not State.PLANNED
        for _ in range(30):
            number, value = dice.randint(1, 80), dice.randrange(1000)
            column = "total" if both and dice.random() < 0.5 else "amount"
            if number in model:
                run(journey.db, f"UPDATE events SET {column} = {value} WHERE id = {number}")
            else:
                run(journey.db, f"INSERT INTO events (id, {column}) VALUES ({number}, {value})")
            model[number] = value
        assert dict(rows(journey.db, "SELECT id, amount FROM events")) == model
        if journey.state in (State.BACKFILLED, State.READS_MIGRATED):
            assert dict(rows(journey.db, "SELECT id, total FROM events")) == model
        back = journey.state is State.READS_MIGRATED or (both and dice.random() < 0.3)
        _ = journey.rollback() if back else journey.advance()


def test_random_writers_in_place(journeys: Journeys) -> None:
    """The same where the name stays: whatever was written last is what is read, on every way."""
    journey, dice = journeys(EVENTS + "ALTER TABLE events ALTER amount SET DEFAULT 3", WIDEN), random.Random(6)
    model: dict[int, int | None] = {number: number * 10 for number in range(1, 61)}
    for _ in range(10):
        for _ in range(30):
            number, value = dice.randint(1, 80), dice.choice([None, dice.randrange(1000)])
            text = "NULL" if value is None else str(value)
            if number in model:
                run(journey.db, f"UPDATE events SET amount = {text} WHERE id = {number}")
            else:
                run(journey.db, f"INSERT INTO events (id, amount) VALUES ({number}, {text})")
            model[number] = value
        assert dict(rows(journey.db, "SELECT id, amount FROM events")) == model
        back = journey.state is State.READS_MIGRATED or (journey.state is not State.PLANNED and dice.random() < 0.3)
        _ = journey.rollback() if back else journey.advance()


CHEAP: dict[str, tuple[str, str]] = {
    "a longer varchar": ("varchar(10)", "varchar(20)"),
    "a varchar without end": ("varchar(10)", "text"),
    "a numeric with more digits": ("numeric(8, 2)", "numeric(12, 2)"),
    "a timestamp with more digits": ("timestamp(3)", "timestamp(6)"),
}


@pytest.mark.parametrize("what", CHEAP)
def test_what_postgresql_does_without_writing(journeys: Journeys, what: str) -> None:
    """It is done at once, no row is written, and it can be taken back."""
    before, after = CHEAP[what]
    value = {"v": "'abc'", "n": "12.5", "t": "timestamp '2001-02-03 04:05:06.789'"}[before[0]]
    start = f"CREATE TABLE events (id integer PRIMARY KEY, amount {before} NOT NULL DEFAULT {value}); CREATE INDEX ON events (amount);"
    start += "INSERT INTO events SELECT generate_series(1, 10)"
    journey = journeys(start, {**WIDEN, "type": after})
    file = ask(journey.db, "SELECT pg_relation_filenode('events')")
    journey.advance(State.EXPANDED)
    assert ask(journey.db, "SELECT pg_relation_filenode('events')") == file
    journey.rollback()
    round_trip(journey, direct=f"ALTER TABLE events ALTER amount TYPE {after}")


@pytest.mark.parametrize(("after", "value"), [("text", "'much longer than ten'"), ("varchar(30)", "'eleven char'")])
def test_a_value_that_the_shorter_type_cannot_hold(journeys: Journeys, after: str, value: str) -> None:
    """The way back is refused while there is one, and names it."""
    journey = journeys("CREATE TABLE events (id integer PRIMARY KEY, amount varchar(10))", {**WIDEN, "type": after})
    journey.advance(State.BACKFILLED)
    run(journey.db, f"INSERT INTO events VALUES (1, 'short'), (2, {value})")
    with pytest.raises(VerificationError) as refused:
        journey.rollback()
    assert "id=2" in str(refused.value.details)
    run(journey.db, "DELETE FROM events WHERE id = 2")
    assert journey.rollback() is State.PLANNED
    assert ask(journey.db, "SELECT amount FROM events") == "short"


REFUSED: dict[str, tuple[str, str]] = {
    "a default that cannot be cast": ("ALTER TABLE events ALTER note SET DEFAULT 'many'", "default for column"),
    "a generated column": ("ALTER TABLE events ADD twice text GENERATED ALWAYS AS (note || note) STORED", "generated"),
    "an exclusion": ("ALTER TABLE events ADD CONSTRAINT ex EXCLUDE (note WITH =)", "constraint ex excludes rows by it"),
    "a condition of a trigger": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER t AFTER UPDATE ON events FOR EACH ROW WHEN (OLD.note IS NULL) EXECUTE FUNCTION f()",
        "trigger t looks at it",
    ),
    "a view that counts on its key": (
        "ALTER TABLE events DROP CONSTRAINT events_pkey, ADD PRIMARY KEY (note);"
        "CREATE VIEW v AS SELECT note, amount FROM events GROUP BY note",
        "view public.v groups rows by events_pkey",
    ),
    "no such type": ("", "does not exist"),
    "a key of a partitioned table that others point to": (
        "DROP TABLE events; CREATE TABLE events (note text PRIMARY KEY) PARTITION BY LIST (note);"
        "CREATE TABLE events_1 PARTITION OF events DEFAULT",
        "is part of the partition key",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_before_anything_is_touched(journeys: Journeys, what: str) -> None:
    """What stands in the way is said, and nothing is changed."""
    statement, why = REFUSED[what]
    kind = "nothing" if what == "no such type" else "integer"
    journey = journeys(EVENTS + statement, {**WIDEN, "column": "note", "type": kind, "using": "length(note)"})
    before = journey.fingerprint
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert why in " ".join([refused.value.message, *refused.value.details])
    assert journey.fingerprint == before


@pytest.mark.parametrize(
    "change", [WIDEN, {**WIDEN, "to": "total"}, {**WIDEN, "column": "note", "type": "varchar(90)"}]
)
def test_every_phase_is_shown_wherever_the_plan_is(journeys: Journeys, change: dict[str, str]) -> None:
    """A person sees the same of a phase before and after it ran; and several states are gone back at once."""
    start = (
        EVENTS
        + "ALTER TABLE events ALTER amount SET NOT NULL, ALTER note TYPE varchar(50); CREATE INDEX ON events (amount)"
    )
    journey = journeys(start, change)
    shown = {phase: [step.key for step in journey.steps(phase)] for phase in PHASES}
    for state in (State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED):
        journey.advance(state)
        assert {phase: [step.key for step in journey.steps(phase)] for phase in PHASES} == shown
    assert journey.rollback(State.PLANNED) is State.PLANNED
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


def test_steps(journeys: Journeys) -> None:
    """What is sent where readers move: names, and nothing that looks at a row."""
    more = "CREATE INDEX ON events (amount); ALTER TABLE events ADD UNIQUE (note, amount), ADD CHECK (amount > 0)"
    journey = journeys(EVENTS + more, WIDEN)
    journey.advance(State.BACKFILLED)
    *_, switch = journey.steps(Phase.MIGRATE_READS)
    assert [statement.as_string(None) for statement in switch.statements][:-1] == [
        'ALTER TABLE "public"."events" DISABLE TRIGGER "~ecm_strays_change_public.events"',
        'ALTER TABLE "public"."events" DROP CONSTRAINT "events_amount_check"',
        'ALTER INDEX "public"."events_amount_idx" RENAME TO "events_amount_idx_ecm_old"',
        'ALTER INDEX "public"."events_amount_idx_ecm_new" RENAME TO "events_amount_idx"',
        'ALTER INDEX "public"."events_note_amount_key" RENAME TO "events_note_amount_key_ecm_old"',
        'ALTER TABLE "public"."events" RENAME CONSTRAINT "events_amount_check_ecm_new" TO "events_amount_check"',
        'ALTER TABLE "public"."events" ADD CONSTRAINT "events_note_amount_key" UNIQUE'
        ' USING INDEX "events_note_amount_key_ecm_new"',
        'ALTER TABLE "public"."events" RENAME COLUMN "amount" TO "amount_ecm_old"',
        'ALTER TABLE "public"."events" RENAME COLUMN "amount_ecm_new" TO "amount"',
    ]


PARTS = """
    CREATE TABLE t (id int, region int, at {}) PARTITION BY LIST (region);
    CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2);
    INSERT INTO t VALUES (1, 1, '2024-05-05 12:34:56');
"""
WATCHED = """
    CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER same BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION same();
"""
DAY = {"kind": "change_type", "table": "t", "column": "at", "type": "date", "reverse": "at::timestamp"}


@pytest.mark.parametrize("more", ["", WATCHED], ids=["alone", "with a trigger"])
@pytest.mark.parametrize("default", ["", " DEFAULT '2020-01-01'", " DEFAULT clock_timestamp()"])
def test_a_row_that_moves_to_another_partition_keeps_its_old_value(journeys: Journeys, default: str, more: str) -> None:
    """Nobody wrote the column, so a rollback finds what it had; who gives another value writes both."""
    journey = journeys(PARTS.format("timestamp" + default) + more, DAY | {"using": "at::date"})
    journey.advance(State.READS_MIGRATED)
    run(journey.db, "UPDATE t SET region = 2; INSERT INTO t VALUES (2, 1, '2024-07-07')")
    run(journey.db, "INSERT INTO t (id, region, at) VALUES (3, 1, '2024-08-08')")
    journey.rollback()
    found = rows(journey.db, "SELECT at::text FROM t ORDER BY id")
    assert found == [("2024-05-05 12:34:56",), ("2024-07-07 00:00:00",), ("2024-08-08 00:00:00",)]


def test_a_row_that_moves_to_another_partition_keeps_what_a_new_writer_gave(journeys: Journeys) -> None:
    """Readers went back meanwhile, to a column that holds less: once they return, the rest is there."""
    change = {**DAY, "type": "timestamp", "using": "at::timestamp", "reverse": "at::date"}
    journey = journeys(PARTS.format("date"), change)
    journey.advance(State.READS_MIGRATED)
    run(journey.db, "UPDATE t SET at = '2024-05-06 10:00'")
    assert journey.rollback() is State.BACKFILLED
    run(journey.db, "UPDATE t SET region = 2; INSERT INTO t VALUES (2, 1, '2024-07-07')")
    journey.advance()
    found = rows(journey.db, "SELECT at::text FROM t ORDER BY id")
    assert found == [("2024-05-06 10:00:00",), ("2024-07-07 00:00:00",)]


@pytest.mark.parametrize("kind", ["change_type", "change_enum"])
def test_a_materialized_view_leaves_nothing_to_do_after_the_switch(journeys: Journeys, kind: str) -> None:
    """A phase that was stopped when readers had moved would find no proof that holds any more; so it ends with that."""
    start = """
        CREATE TYPE mood AS ENUM ('draft', 'live');
        CREATE TABLE posts (id integer PRIMARY KEY, views integer, state mood);
        INSERT INTO posts VALUES (1, 2, 'draft');
        CREATE MATERIALIZED VIEW sums AS SELECT views, state FROM posts; CREATE UNIQUE INDEX ON sums (views);
    """
    changes = {
        "change_type": {"kind": kind, "table": "posts", "column": "views", "type": "bigint"},
        "change_enum": {"kind": kind, "type": "mood", "rename": {"draft": "pending"}},
    }
    journey = journeys(start, changes[kind])
    journey.advance(State.BACKFILLED)
    before = journey.fingerprint

    def stop(event: Event) -> None:
        if isinstance(event, StepFinished) and event.key == "switch":
            raise InterruptedError

    journey.on_event = stop
    with pytest.raises(InterruptedError):
        journey.advance()
    journey.on_event = None
    assert journey.state is State.READS_MIGRATED
    run(journey.db, "UPDATE posts SET views = 3; REFRESH MATERIALIZED VIEW sums")
    assert journey.rollback() is State.BACKFILLED
    assert journey.fingerprint == before
    assert rows(journey.db, "SELECT views FROM sums") == [(3,)]
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


NESTED = """
    CREATE SCHEMA other; CREATE TABLE kinds (kind integer PRIMARY KEY); INSERT INTO kinds SELECT generate_series(0, 6);
    CREATE TABLE events (id integer, kind integer NOT NULL) PARTITION BY RANGE (id);
    CREATE TABLE other.early PARTITION OF events FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id);
    CREATE TABLE first PARTITION OF other.early FOR VALUES FROM (0) TO (50);
    CREATE TABLE second PARTITION OF other.early FOR VALUES FROM (50) TO (100);
    CREATE TABLE late PARTITION OF events FOR VALUES FROM (100) TO (200);
    INSERT INTO events SELECT g, g % 7 FROM generate_series(1, 150) g;
"""
HANGS_ON_IT = {
    "an index": "CREATE INDEX ON events (kind)",
    "a primary key": "ALTER TABLE events ADD PRIMARY KEY (id, kind)",
    "a unique constraint": "ALTER TABLE events ADD CONSTRAINT once UNIQUE (kind, id)",
    "a foreign key": "ALTER TABLE events ADD FOREIGN KEY (kind) REFERENCES kinds",
}


@pytest.mark.parametrize("what", HANGS_ON_IT)
def test_partitions_that_are_partitioned_again(journeys: Journeys, what: str) -> None:
    """What hangs on the column has its part, with its name, on those that only hold others together as well."""
    journey = journeys(NESTED + HANGS_ON_IT[what], {**WIDEN, "column": "kind"})
    round_trip(journey, direct="ALTER TABLE events ALTER kind TYPE bigint")


def said_meanwhile(roles: Roles, *, partitioned: bool) -> tuple[str, str]:
    """Return a table with something said of its column, and what is said of it later instead."""
    stays, comes, goes = roles(), roles(), roles()
    start = f"""CREATE TABLE books (id integer, year integer) {"PARTITION BY RANGE (id)" if partitioned else ""};
        {"CREATE TABLE books_1 PARTITION OF books DEFAULT;" if partitioned else ""}
        GRANT SELECT (year) ON books TO {stays} WITH GRANT OPTION; GRANT SELECT (year) ON books TO {goes};
        ALTER TABLE books ALTER year SET (n_distinct = 5); COMMENT ON COLUMN books.year IS 'of print'"""
    since = f"""GRANT SELECT (year), UPDATE (year) ON books TO {comes}; REVOKE SELECT (year) ON books FROM {goes};
        REVOKE GRANT OPTION FOR SELECT (year) ON books FROM {stays}; ALTER TABLE books ALTER year SET STATISTICS 77;
        ALTER TABLE books ALTER year RESET (n_distinct), ALTER year SET (n_distinct_inherited = 7);
        COMMENT ON COLUMN books.year IS NULL;"""
    return start, since


def granted(db: Db) -> list[str]:
    """Return the privileges on the column that has the name now."""
    found = ask(db, "SELECT attacl::text FROM pg_attribute WHERE attrelid = 'books'::regclass AND attname = 'year'")
    return sorted(found.strip("{}").split(","))


@pytest.mark.parametrize("partitioned", [False, True])
def test_what_is_said_of_a_column_after_expand(journeys: Journeys, roles: Roles, partitioned: bool) -> None:
    """Its successor is given that too, and keeps nothing that was taken back: who may read the column, say."""
    start, since = said_meanwhile(roles, partitioned=partitioned)
    journey = journeys(start, {"kind": "change_type", "table": "books", "column": "year", "type": "bigint"})
    journey.advance(State.BACKFILLED)
    run(journey.db, since)
    before = granted(journey.db)
    journey.advance(State.READS_MIGRATED)
    assert granted(journey.db) == before
    journey.advance()
    with undone(journey.db):
        run(journey.db, f"DROP TABLE books; {start}; {since}; ALTER TABLE books ALTER year TYPE bigint")
        direct = journey.fingerprint
    assert journey.fingerprint == direct


@pytest.mark.parametrize("partitioned", [False, True])
def test_what_is_said_of_a_column_after_readers_moved(journeys: Journeys, roles: Roles, partitioned: bool) -> None:
    """A rollback gives it to the column that comes back."""
    start, since = said_meanwhile(roles, partitioned=partitioned)
    journey = journeys(start, {"kind": "change_type", "table": "books", "column": "year", "type": "bigint"})
    with undone(journey.db):
        run(journey.db, since)
        direct = journey.fingerprint
    journey.advance(State.READS_MIGRATED)
    run(journey.db, since)
    before = granted(journey.db)
    journey.rollback()
    assert granted(journey.db) == before
    journey.rollback()
    assert journey.fingerprint == direct
