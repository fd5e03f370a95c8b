"""A partitioned table is changed as one: its partitions follow, also those that come while both versions run."""

import pytest
from operations.conftest import Journeys, Roles
from operations.harness import Db, Journey, ask, round_trip, rows, run

from orchestrator.errors import PreconditionError, VerificationError
from orchestrator.events import Event, Progress
from orchestrator.plan.lifecycle import State

RENAME = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
DIRECT = "ALTER TABLE books RENAME COLUMN year TO published"
BOOKS = """
    CREATE TABLE books (id integer NOT NULL, year integer DEFAULT 1990, title text, PRIMARY KEY (id))
      PARTITION BY RANGE (id);
    CREATE TABLE books_1 PARTITION OF books FOR VALUES FROM (1) TO (1001);
    CREATE TABLE "Books 2" PARTITION OF books FOR VALUES FROM (1001) TO (2001);
    CREATE TABLE books_rest PARTITION OF books DEFAULT;
    CREATE INDEX books_year ON books (year);
    CREATE INDEX books_lower ON books (lower(title), year) WHERE year > 5;
    INSERT INTO books SELECT g, g, 'Book ' || g FROM generate_series(1, 2500) g;
    COMMENT ON COLUMN books.year IS 'when';
"""


def both(db: Db) -> None:
    """Old and new writers, through the table and through a partition, in each of the partitions."""
    run(db, "INSERT INTO books (id, year) VALUES (5001, 1), (5002, 2)")
    run(db, "INSERT INTO books (id, published) VALUES (5003, 3)")
    run(db, "INSERT INTO books_rest (id, published) VALUES (5004, 4)")
    run(db, "UPDATE books SET published = -id WHERE id IN (7, 1007, 2007)")
    run(db, "UPDATE books SET year = -id WHERE id IN (8, 1008, 2008)")
    run(db, "UPDATE books SET id = 3007 WHERE id = 7")
    found = rows(db, "SELECT id, year, published FROM books WHERE id > 5000 OR year < 0 ORDER BY id")
    expected = [(8, -8), (1007, -1007), (1008, -1008), (2007, -2007), (2008, -2008), (3007, -7)]
    expected += [(5001, 1), (5002, 2), (5003, 3), (5004, 4)]
    assert found == [(number, value, value) for number, value in expected]


def test_round_trip(journeys: Journeys) -> None:
    """Forward and back from every state, and to the end that the direct DDL gives."""
    round_trip(
        journeys(BOOKS, RENAME), direct=DIRECT, holds=both, writes=["UPDATE books SET year = year + 1 WHERE id = 9"]
    )


def test_partitions_that_come_meanwhile(journeys: Journeys) -> None:
    """One that is made has the trigger; one that is attached brings rows that nobody filled, and they are."""
    journey = journeys(BOOKS, RENAME, backfill={"batch_time": "1ms"})
    journey.advance(State.EXPANDED)
    come = list[str]()

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and event.what.startswith("backfill") and not come:
            come.append("both")
            run(journey.db, "CREATE TABLE made PARTITION OF books FOR VALUES FROM (10001) TO (11001)")
            run(journey.db, "INSERT INTO books (id, year) SELECT g, g FROM generate_series(10001, 10100) g")
            run(
                journey.db,
                "CREATE TABLE attached (LIKE books INCLUDING DEFAULTS);"
                "INSERT INTO attached (id, year, published) SELECT g, g, NULL FROM generate_series(20001, 20500) g;"
                "ALTER TABLE books ATTACH PARTITION attached FOR VALUES FROM (20001) TO (21001)",
            )

    journey.on_event = listen
    assert journey.advance() is State.BACKFILLED
    assert come
    assert ask(journey.db, "SELECT count(*) FROM books WHERE published IS NULL") == 0
    assert ask(journey.db, "SELECT count(*) FROM books WHERE year IS DISTINCT FROM published") == 0
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


@pytest.mark.parametrize("state", [State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED])
def test_a_partition_that_comes_without_the_default(journeys: Journeys, state: State) -> None:
    """What is written to it is taken for what it is not, so it is named before the next phase, with the remedy."""
    start = """CREATE TABLE books (id integer, year integer DEFAULT 5) PARTITION BY RANGE (id);
        CREATE TABLE books_1 PARTITION OF books FOR VALUES FROM (0) TO (10)"""
    journey = journeys(start, RENAME)
    journey.advance(state)
    run(
        journey.db,
        "CREATE TABLE late (LIKE books); ALTER TABLE books ATTACH PARTITION late FOR VALUES FROM (10) TO (20)",
    )
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert "partition late alone has no default on books.year" in str(refused.value)
    run(journey.db, "ALTER TABLE late ALTER year SET DEFAULT 5, ALTER published SET DEFAULT 5")
    run(journey.db, "INSERT INTO late (id, published) VALUES (10, 9)")
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
    assert rows(journey.db, "SELECT published FROM books") == [(9,)]


def test_a_trigger_disabled_on_one_partition(journeys: Journeys) -> None:
    """What PostgreSQL made for each partition is looked at on each."""
    journey = journeys(BOOKS, RENAME)
    journey.advance(State.BACKFILLED)
    run(journey.db, 'ALTER TABLE "Books 2" DISABLE TRIGGER ALL')
    with pytest.raises(VerificationError) as found:
        journey.advance()
    (remedy,) = (line for line in found.value.details if line.startswith("ALTER TABLE"))
    assert '"Books 2" ENABLE ALWAYS TRIGGER' in remedy
    run(journey.db, remedy)
    assert journey.advance() is State.READS_MIGRATED


def test_readers_of_the_new_name_have_their_indexes(journeys: Journeys) -> None:
    """Each index has a twin on every partition, valid as a whole, which goes again on the way back."""
    journey = journeys(BOOKS, RENAME)
    journey.advance(State.READS_MIGRATED)
    query = (
        "SELECT x.relname, count(*) FILTER (WHERE i.indisvalid) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid"
        " WHERE x.relname LIKE '%ecm%' GROUP BY 1 ORDER BY 1"
    )
    twins = rows(journey.db, query)
    assert len(twins) == 2 * (1 + 3)
    assert all(valid == 1 for _, valid in twins)
    journey.rollback()
    assert rows(journey.db, query) == []


REFUSED = {
    "a trigger of its own": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER own BEFORE INSERT ON books_1 FOR EACH ROW EXECUTE FUNCTION f()",
        "trigger own is on partition books_1 alone",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_partitions_that_are_not_alike(journeys: Journeys, what: str) -> None:
    """What ecm cannot treat as one table is named before anything is touched."""
    statement, why = REFUSED[what]
    journey = journeys(BOOKS + statement, RENAME, fresh=True)
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert why in refused.value.message
    assert ask(journey.db, "SELECT to_regnamespace('ecm') IS NULL")


CHANGED = """
    CREATE TABLE events (id integer NOT NULL, amount integer, note text) PARTITION BY RANGE (id);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (30);
    CREATE TABLE "Events 2" PARTITION OF events FOR VALUES FROM (30) TO (60) PARTITION BY RANGE (id);
    CREATE TABLE events_3 PARTITION OF "Events 2" FOR VALUES FROM (30) TO (60);
    INSERT INTO events SELECT g, g * 10, 'n' || g FROM generate_series(1, 50) g;
"""
WIDEN = {"kind": "change_type", "table": "events", "column": "amount", "type": "bigint"}
WIDENED = "ALTER TABLE events ALTER COLUMN amount TYPE bigint"
SAID = """
    COMMENT ON COLUMN events.amount IS 'of all'; COMMENT ON COLUMN events_1.amount IS 'of the first';
    ALTER TABLE events ALTER amount SET STATISTICS 500; ALTER TABLE events_1 ALTER amount SET STATISTICS 40;
    ALTER TABLE ONLY "Events 2" ALTER amount SET STATISTICS -1; ALTER TABLE events_3 ALTER amount SET STATISTICS -1;
    ALTER TABLE events_1 ALTER amount SET (n_distinct = 7, n_distinct_inherited = 8);
    GRANT SELECT (amount) ON events_1 TO PUBLIC; GRANT UPDATE (amount) ON "Events 2" TO {role} WITH GRANT OPTION;
"""


@pytest.mark.parametrize("kind", ["in place", "with to"])
def test_what_is_said_of_a_partitions_own_column(journeys: Journeys, roles: Roles, kind: str) -> None:
    """Comment, grants, statistics target and options of a partition stay its own, as ALTER COLUMN TYPE leaves them."""
    to = {"to": "total"} if kind == "with to" else {}
    journey = journeys(CHANGED + SAID.format(role=roles()), {**WIDEN, **to})
    round_trip(journey, direct=WIDENED + ("; ALTER TABLE events RENAME COLUMN amount TO total" if to else ""))


LABELED = """
    CREATE TYPE status AS ENUM ('draft', 'done');
    CREATE TABLE events (id integer NOT NULL, state status) PARTITION BY RANGE (id);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (30);
    COMMENT ON COLUMN events_1.state IS 'of the first'; ALTER TABLE events_1 ALTER state SET STATISTICS 40;
    GRANT SELECT (state) ON events_1 TO PUBLIC;
    INSERT INTO events VALUES (1, 'draft'), (2, 'done');
"""


def test_what_is_said_of_a_partitions_own_label(journeys: Journeys) -> None:
    """A column of a type whose labels change has a successor like any other."""
    journey = journeys(LABELED, {"kind": "change_enum", "type": "status", "rename": {"draft": "pending"}})
    round_trip(journey, direct="ALTER TYPE status RENAME VALUE 'draft' TO 'pending'")


ATTACHED = """
    CREATE TABLE attached (id integer NOT NULL, amount integer, note text, amount_ecm_new bigint);
    INSERT INTO attached SELECT g, g FROM generate_series(60, 90) g;
    COMMENT ON COLUMN attached.amount IS 'of the attached'; ALTER TABLE attached ALTER amount SET STATISTICS 60;
    GRANT SELECT (amount) ON attached TO PUBLIC; ALTER TABLE attached ALTER amount SET (n_distinct = 5);
    ALTER TABLE events ATTACH PARTITION attached FOR VALUES FROM (60) TO (100);
"""


def test_what_is_said_of_a_column_of_a_partition_that_came_meanwhile(journeys: Journeys) -> None:
    """It came with what is said of the old column alone, and keeps that."""
    journey = journeys(CHANGED, WIDEN)
    journey.advance(State.EXPANDED)
    run(journey.db, ATTACHED)
    journey.advance(State.BACKFILLED)
    said = journey.fingerprint["column public.attached.amount"]
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
    assert journey.fingerprint["column public.attached.amount"] == said.replace("integer", "bigint")


OWN = {
    "a default": ("events_1", "ALTER TABLE events_1 ALTER amount SET DEFAULT 5"),
    "no default": (
        "events_1",
        "ALTER TABLE events ALTER amount SET DEFAULT 5; ALTER TABLE events_1 ALTER amount DROP DEFAULT",
    ),
    "NOT NULL": ("events_1", "ALTER TABLE events_1 ALTER amount SET NOT NULL"),
    "an index": ("events_1", "CREATE INDEX own ON events_1 (note, amount)"),
    "an index of expressions": ("events_1", "CREATE INDEX own ON events_1 ((amount + 1))"),
    "a check": ("events_1", "ALTER TABLE events_1 ADD CONSTRAINT own CHECK (amount > 0)"),
    "a unique constraint": ("events_3", "ALTER TABLE events_3 ADD CONSTRAINT own UNIQUE (amount)"),
    "a foreign key": (
        "events_1",
        "CREATE TABLE kinds (id integer PRIMARY KEY); INSERT INTO kinds SELECT g * 10 FROM generate_series(1, 50) g;"
        "ALTER TABLE events_1 ADD CONSTRAINT own FOREIGN KEY (amount) REFERENCES kinds",
    ),
    "statistics": ("events_1", "CREATE STATISTICS own ON amount, note FROM events_1"),
    "a view": ("events_1", "CREATE VIEW own AS SELECT amount FROM events_1"),
    "a policy": ("Events 2", 'CREATE POLICY own ON "Events 2" USING (amount > 0)'),
}


@pytest.mark.parametrize("to", ["", "total"])
@pytest.mark.parametrize("what", OWN)
def test_what_a_partition_alone_has_on_a_column(journeys: Journeys, what: str, to: str) -> None:
    """What would stay behind is refused before anything is touched, with the statement that takes it away."""
    partition, statement = OWN[what]
    journey = journeys(CHANGED + statement, {**WIDEN, **({"to": to} if to else {})}, fresh=True)
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert f"partition {partition} alone has " in refused.value.message
    assert ask(journey.db, "SELECT to_regnamespace('ecm') IS NULL")
    run(journey.db, str(refused.value.hint).partition(";")[0])
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


@pytest.mark.parametrize("to", ["", "total"])
@pytest.mark.parametrize("what", [what for what in OWN if what != "no default"])
def test_what_a_partition_alone_has_that_came_meanwhile(journeys: Journeys, what: str, to: str) -> None:
    """Nor does it stay behind where it came after expand: the phase that would lose it waits."""
    partition, statement = OWN[what]
    journey = journeys(CHANGED, {**WIDEN, **({"to": to} if to else {})})
    journey.advance(State.READS_MIGRATED if to else State.BACKFILLED)
    run(journey.db, statement)
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert f"partition {partition} alone has " in refused.value.message
    run(journey.db, str(refused.value.hint).partition(";")[0])
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


def test_a_long_column_at_once(journeys: Journeys) -> None:
    """Where the catalog alone changes, PostgreSQL keeps all that a partition has of its own, and nothing is refused."""
    start = CHANGED + (
        "ALTER TABLE events ALTER note TYPE varchar(20); ALTER TABLE events_1 ALTER note SET DEFAULT 'x';"
        "ALTER TABLE events_1 ALTER note SET NOT NULL; CREATE INDEX own ON events_1 (note);"
        "COMMENT ON COLUMN events_1.note IS 'of the first'; CREATE STATISTICS own2 ON note, amount FROM events_1"
    )
    change = {"kind": "change_type", "table": "events", "column": "note", "type": "character varying(30)"}
    round_trip(journeys(start, change), direct="ALTER TABLE events ALTER note TYPE varchar(30)")


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("ALTER TABLE events ADD UNIQUE (id, amount)", "events_1_id_amount_key"),
        ("CREATE UNIQUE INDEX ON events (id, amount)", "events_1_id_amount_idx"),
    ],
)
def test_a_partition_by_whose_index_subscribers_know_its_rows(journeys: Journeys, key: str, part: str) -> None:
    """It stays the replica identity: PostgreSQL refuses to update rows that are published and have none."""
    told = f"ALTER TABLE events_1 REPLICA IDENTITY USING INDEX {part};"
    start = f"{CHANGED} ALTER TABLE events ALTER amount SET NOT NULL; {key}; {told} CREATE PUBLICATION sent FOR TABLE events_1"
    journey = journeys(start, WIDEN)
    # ALTER COLUMN TYPE itself forgets it.
    round_trip(journey, direct=f"{WIDENED}; {told}", writes=["UPDATE events SET note = note || '!' WHERE id = 1"])


def test_how_a_trigger_is_set_to_fire_on_a_partition(journeys: Journeys) -> None:
    """A trigger on the column is made anew, for the new one as well, and each partition's part of it is set as it was."""
    own = """CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER noting BEFORE UPDATE OF amount ON events FOR EACH ROW EXECUTE FUNCTION nothing();
        ALTER TABLE events ENABLE REPLICA TRIGGER noting; ALTER TABLE events_1 DISABLE TRIGGER noting;
        COMMENT ON TRIGGER noting ON events_1 IS 'not here'"""
    journey = journeys(f"{CHANGED}{own}", {**RENAME, "table": "events", "column": "amount"})
    round_trip(journey, direct="ALTER TABLE events RENAME amount TO published")


def test_a_rename_leaves_a_partition_what_it_has(journeys: Journeys, roles: Roles) -> None:
    """The original column is kept, and all that a partition has on it."""
    own = "ALTER TABLE events_1 ALTER amount SET NOT NULL; CREATE INDEX own ON events_1 (amount); CREATE STATISTICS s ON amount, note FROM events_1"
    journey = journeys(
        f"{CHANGED}{SAID.format(role=roles())}; {own}", {**RENAME, "table": "events", "column": "amount"}
    )
    round_trip(journey, direct="ALTER TABLE events RENAME amount TO published")


def test_grants_on_a_partitions_own_column(journeys: Journeys, roles: Roles) -> None:
    """Who may read and write a column of a partition may do so under the new name, in every state."""
    role = roles()
    granted = (
        f'GRANT SELECT (amount) ON events_1 TO {role}; GRANT UPDATE (amount), SELECT (amount) ON "Events 2" TO {role}'
    )
    journey = journeys(f"{CHANGED}{granted}", {**RENAME, "table": "events", "column": "amount"})

    def holds(db: Db) -> None:
        run(db, f"SET LOCAL ROLE {role}")
        assert len(rows(db, "SELECT published FROM events_1")) > 0
        run(db, 'UPDATE "Events 2" SET published = 7; RESET ROLE')
        assert rows(db, 'SELECT DISTINCT amount FROM "Events 2"') == [(7,)]

    round_trip(journey, direct="ALTER TABLE events RENAME amount TO published", holds=holds)


def test_a_partitions_own_default(journeys: Journeys) -> None:
    """By its default ecm tells what a row was given; where a partition has another, a new writer's value was lost."""
    journey = journeys(BOOKS + "ALTER TABLE books_1 ALTER year SET DEFAULT 2000", RENAME)
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert refused.value.message == "partition books_1 alone has default 2000 on books.year"
    run(journey.db, str(refused.value.hint).partition(";")[0])
    journey.advance(State.BACKFILLED)
    run(journey.db, "DELETE FROM books_1 WHERE id = 5; INSERT INTO books_1 (id, published) VALUES (5, 55)")
    assert ask(journey.db, "SELECT ARRAY[year, published] FROM books WHERE id = 5") == [55, 55]


def test_a_partition_that_is_partitioned_by_the_column(journeys: Journeys) -> None:
    """Where a row belongs is decided before a trigger sees it, on any level."""
    more = "CREATE TABLE more PARTITION OF events FOR VALUES FROM (60) TO (90) PARTITION BY RANGE (amount)"
    with pytest.raises(PreconditionError) as refused:
        journeys(CHANGED + more, {**RENAME, "table": "events", "column": "amount"}).advance()
    assert refused.value.message == "partition more alone has the partition key of its own partitions on events.amount"


def test_old_and_new_at_once(journeys: Journeys) -> None:
    """The plan's preview knows all of it: rows and bytes of every partition."""
    journey: Journey = journeys(BOOKS + "; ANALYZE books", RENAME)
    (table,) = journey.conductor.preview("change").tables
    assert (table.rows, table.indexes) == (2500, 3)
    assert table.bytes > 100_000
