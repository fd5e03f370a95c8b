"""An enum type gets other labels: both sides in every state, in every table that has a column of it."""

import time
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from operations.conftest import Journeys, Roles
from operations.harness import Db, ask, round_trip, rows, run, undone
from operations.writers import Writers
from psycopg import errors
from pydantic import ValidationError

from orchestrator.errors import EcmError, PreconditionError, VerificationError
from orchestrator.operations.change_enum import ChangeEnum
from orchestrator.plan import obstacles
from orchestrator.plan.lifecycle import STATES, Phase, State
from orchestrator.plan.schema import Notes

START = """
    CREATE TYPE status AS ENUM ('draft', 'live', 'gone');
    CREATE TABLE posts (id serial PRIMARY KEY, s status NOT NULL DEFAULT 'draft', tags status[], note text,
      CONSTRAINT noted CHECK (s <> 'draft' OR note IS DISTINCT FROM 'ready'));
    CREATE TABLE notes (id serial PRIMARY KEY, s status DEFAULT 'live');
    CREATE INDEX posts_s ON posts (s) WHERE s = 'live';
    CREATE UNIQUE INDEX posts_two ON posts (id, s) WHERE s IN ('draft', 'live');
    CREATE INDEX notes_s ON notes (s);
    INSERT INTO posts (s, tags) VALUES ('draft', '{draft,NULL,gone}'), ('gone', NULL), ('live', '{}'),
      ('live', '[2:3][1:2]={{draft,draft},{live,gone}}');
    INSERT INTO notes (s) VALUES ('draft'), ('gone'), (NULL);
"""
ALL = {
    "kind": "change_enum",
    "type": "status",
    "rename": {"draft": "pending"},
    "remove": {"gone": "live"},
    "add": ["archived"],
}


def directly(change: dict[str, Any], labels: tuple[str, ...], type_name: str = "status") -> str:
    """Return DDL that does a change at once, in two tables that nobody uses meanwhile."""
    renames = {**change.get("rename", {}), **change.get("remove", {})}
    renames = {old: new.replace("'", "''") for old, new in renames.items()}
    default = renames.get("draft", "draft")
    case = " ".join(f"WHEN '{old}' THEN '{new}'" for old, new in renames.items())
    value = f"(CASE s::text {case} ELSE s::text END)" if case else "s::text"
    array = "tags::text[]"
    for old in renames:
        array = f"array_replace({array}, '{old}', 'was {old}')"
    for old, new in renames.items():
        array = f"array_replace({array}, 'was {old}', '{new}')"
    made = ", ".join(f"'{label}'" for label in labels)
    return f"""
        DROP INDEX posts_s; DROP INDEX posts_two; ALTER TABLE posts DROP CONSTRAINT noted;
        ALTER TABLE posts ALTER s DROP DEFAULT; ALTER TABLE notes ALTER s DROP DEFAULT;
        ALTER TYPE {type_name} RENAME TO former; CREATE TYPE {type_name} AS ENUM ({made});
        ALTER TABLE posts ALTER s TYPE {type_name} USING {value}::{type_name},
          ALTER tags TYPE {type_name}[] USING ({array})::{type_name}[];
        ALTER TABLE notes ALTER s TYPE {type_name} USING {value}::{type_name};
        ALTER TABLE posts ALTER s SET DEFAULT '{default}'; ALTER TABLE notes ALTER s SET DEFAULT 'live';
        ALTER TABLE posts ADD CONSTRAINT noted CHECK (s <> '{default}' OR note IS DISTINCT FROM 'ready');
        CREATE INDEX posts_s ON posts (s) WHERE s = 'live';
        CREATE UNIQUE INDEX posts_two ON posts (id, s) WHERE s IN ('{default}', 'live');
        DROP TYPE former;
    """


CHANGES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "all together": (ALL, ("pending", "live", "archived")),
    "rename": ({"rename": {"draft": 'it\'s "new"'}}, ("it''s \"new\"", "live", "gone")),
    "remove": ({"remove": {"gone": "draft"}}, ("draft", "live")),
    "add": ({"add": ["archived", "lost"]}, ("draft", "live", "gone", "archived", "lost")),
    "exchange": ({"rename": {"draft": "gone", "gone": "draft"}}, ("gone", "live", "draft")),
}


@pytest.mark.parametrize("what", CHANGES)
def test_round_trip(journeys: Journeys, what: str) -> None:
    """Forward and back from every state; at the end it is what the direct DDL gives."""
    change, labels = CHANGES[what]
    writes = ["UPDATE posts SET s = 'live' WHERE id = 2", "UPDATE posts SET note = coalesce(note, '') || 'x'"]
    journey = journeys(START, {**ALL, "rename": {}, "remove": {}, "add": [], **change})
    round_trip(journey, direct=directly(change, labels), writes=writes)


VIEWS = """
    CREATE VIEW drafts AS SELECT id, s FROM posts WHERE s = 'draft';
    CREATE VIEW both_tables AS SELECT p.id, p.s, p.tags, n.s AS other FROM posts p JOIN notes n ON p.s = n.s
      WHERE p.s = ANY ('{draft,live}'::status[]) AND NOT 'draft' = ANY (p.tags);
    CREATE VIEW on_both AS SELECT count(*) AS n FROM both_tables WHERE other = 'draft';
    CREATE FUNCTION first_draft() RETURNS integer LANGUAGE sql BEGIN ATOMIC;
      SELECT min(id) FROM posts WHERE s = 'draft'; END;
    CREATE POLICY p ON notes USING (s <> 'draft'); COMMENT ON VIEW drafts IS 'drafts';
    CREATE STATISTICS told ON (s = 'draft'), (tags = '{draft,live}'), id FROM posts;
"""
AGAIN = (
    "DROP VIEW on_both; DROP VIEW both_tables; DROP VIEW drafts; DROP FUNCTION first_draft(); DROP POLICY p ON notes;"
    "DROP STATISTICS told;"
)
RENAME = {"kind": "change_enum", "type": "status", "rename": {"draft": "pending"}}
RENAMED = ("pending", "live", "gone")


def test_readers(journeys: Journeys) -> None:
    """Views of one table, of several, of these, functions and policies read the new type, with its labels."""
    direct = AGAIN + directly(RENAME, RENAMED) + VIEWS.replace("draft'", "pending'").replace("{draft", "{pending")
    journey = journeys(START + VIEWS, RENAME)
    round_trip(journey, direct=direct)
    assert ask(journey.db, "SELECT n FROM on_both") == ask(
        journey.db, "SELECT count(*) FROM both_tables WHERE other = 'pending'"
    )


def test_a_materialized_view(journeys: Journeys) -> None:
    """It is built beside, and has its place and its index when readers move."""
    view = """CREATE MATERIALIZED VIEW sums AS SELECT s, count(*) AS n FROM notes WHERE s = 'draft' GROUP BY s;
        CREATE UNIQUE INDEX ON sums (n);"""
    direct = "DROP MATERIALIZED VIEW sums;" + directly(RENAME, RENAMED) + view.replace("draft", "pending")
    round_trip(journeys(START + view, RENAME), direct=direct)


def test_a_view_that_came_after_the_switch(journeys: Journeys) -> None:
    """On the way back it reads the old labels, and once readers move again the new ones."""
    journey = journeys(START, ALL)
    journey.advance(State.READS_MIGRATED)
    run(journey.db, "CREATE VIEW late AS SELECT id FROM posts WHERE s IN ('pending') AND tags[1] = 'pending'")
    for label in ("draft", "pending"):
        _ = journey.rollback() if label == "draft" else journey.advance()
        assert rows(journey.db, "SELECT id FROM late") == [(1,)]
        assert f"'{label}'::status" in ask(journey.db, "SELECT pg_get_viewdef('late'::regclass)")
    assert journey.advance() is State.CONTRACTED
    assert rows(journey.db, "SELECT id FROM late") == [(1,)]


SHOP = """
    CREATE SCHEMA "My shop"; CREATE ROLE {owner}; GRANT CREATE, USAGE ON SCHEMA "My shop" TO {owner};
    CREATE TYPE "My shop"."Order Status" AS ENUM ('Not paid', 'it''s paid', 'lost "it"');
    COMMENT ON TYPE "My shop"."Order Status" IS 'how far';
    REVOKE USAGE ON TYPE "My shop"."Order Status" FROM PUBLIC;
    GRANT USAGE ON TYPE "My shop"."Order Status" TO {owner} WITH GRANT OPTION;
    CREATE TABLE "My shop"."States" ("The State" "My shop"."Order Status" PRIMARY KEY, note text);
    CREATE TABLE orders (id integer, "State" "My shop"."Order Status" NOT NULL DEFAULT 'Not paid'
        REFERENCES "My shop"."States" ON UPDATE CASCADE, "all" "My shop"."Order Status"[] DEFAULT '{{"Not paid"}}',
      PRIMARY KEY (id, "State")) PARTITION BY RANGE (id);
    CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (0) TO (10);
    CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM (10) TO (100);
    CREATE INDEX ON orders ("State") WHERE "State" = 'Not paid';
    CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER t AFTER UPDATE OF "State" ON orders FOR EACH ROW EXECUTE FUNCTION f();
    INSERT INTO "My shop"."States" VALUES ('Not paid'), ('it''s paid'), ('lost "it"');
    INSERT INTO orders SELECT g, (enum_range(NULL::"My shop"."Order Status"))[1 + g % 3] FROM generate_series(1, 30) g;
"""


def test_names_that_need_quotes(journeys: Journeys) -> None:
    """Another schema, a key that another table points to, partitions, and labels with quotes in them."""
    change = {"type": '"My shop".Order Status', "rename": {"Not paid": 'it\'s "open"', "it's paid": "Not paid"}}
    journey = journeys(SHOP.format(owner=f"shop_{id(object())}"), {"kind": "change_enum", **change})
    direct = """
        DROP TRIGGER t ON orders; ALTER TABLE orders ALTER "State" DROP DEFAULT, ALTER "all" DROP DEFAULT;
        ALTER TABLE orders DROP CONSTRAINT "orders_State_fkey"; DROP INDEX "orders_State_idx";
        CREATE TEMPORARY TABLE kept AS SELECT typacl FROM pg_type WHERE typname = 'Order Status';
        ALTER TYPE "My shop"."Order Status" RENAME TO former;
        CREATE TYPE "My shop"."Order Status" AS ENUM ('it''s "open"', 'Not paid', 'lost "it"');
        COMMENT ON TYPE "My shop"."Order Status" IS 'how far';
        UPDATE pg_type SET typacl = (SELECT typacl FROM kept) WHERE typname = 'Order Status'; DROP TABLE kept;
        ALTER TABLE "My shop"."States" ALTER "The State" TYPE "My shop"."Order Status" USING
          (CASE "The State" WHEN 'Not paid' THEN 'it''s "open"' WHEN 'it''s paid' THEN 'Not paid'
           ELSE "The State"::text END)::"My shop"."Order Status";
        ALTER TABLE orders ALTER "State" TYPE "My shop"."Order Status" USING
          (CASE "State" WHEN 'Not paid' THEN 'it''s "open"' WHEN 'it''s paid' THEN 'Not paid'
           ELSE "State"::text END)::"My shop"."Order Status",
          ALTER "all" TYPE "My shop"."Order Status"[] USING ARRAY['it''s "open"']::"My shop"."Order Status"[];
        ALTER TABLE orders ALTER "State" SET DEFAULT 'it''s "open"', ALTER "all" SET DEFAULT ARRAY['it''s "open"']::"My shop"."Order Status"[];
        ALTER TABLE orders ALTER "all" SET DEFAULT '{"it''s \\"open\\""}';
        ALTER TABLE orders ADD FOREIGN KEY ("State") REFERENCES "My shop"."States" ON UPDATE CASCADE;
        CREATE INDEX ON orders ("State") WHERE "State" = 'it''s "open"'; DROP TYPE "My shop".former;
        CREATE TRIGGER t AFTER UPDATE OF "State" ON orders FOR EACH ROW EXECUTE FUNCTION f();
    """
    round_trip(journey, direct=direct, writes=["UPDATE orders SET id = 31 WHERE id = 30"])


def test_writers_of_both_versions(journeys: Journeys) -> None:
    """Before readers move the old labels are written, afterwards the new ones; nothing written is lost."""
    journey = journeys(START, ALL)
    everything = "SELECT id, s::text, tags::text FROM posts ORDER BY id"
    start = rows(journey.db, everything)
    journey.advance(State.EXPANDED)
    run(journey.db, "INSERT INTO posts (tags) VALUES ('{gone,live}'); UPDATE posts SET s = 'gone' WHERE id = 3")
    with pytest.raises(errors.InvalidTextRepresentation):
        run(journey.db, "INSERT INTO posts (s) VALUES ('pending')")
    journey.advance(State.READS_MIGRATED)
    assert rows(journey.db, everything) == [
        (1, "pending", "{pending,NULL,live}"),
        (2, "live", None),
        (3, "live", "{}"),
        (4, "live", "[2:3][1:2]={{pending,pending},{live,live}}"),
        (5, "pending", "{live,live}"),
    ]
    for label in ("draft", "gone"):
        with pytest.raises(errors.InvalidTextRepresentation):
            run(journey.db, f"UPDATE posts SET s = '{label}'")
    run(journey.db, "INSERT INTO posts (tags) VALUES ('{pending}'); UPDATE posts SET s = 'live' WHERE id = 1")
    run(journey.db, "UPDATE posts SET note = 'untouched'")
    journey.rollback(State.PLANNED)
    first, second, third, fourth = start
    assert rows(journey.db, everything) == [
        (1, "live", first[2]),
        second,
        (3, "gone", third[2]),
        fourth,
        (5, "draft", "{gone,live}"),
        (6, "draft", "{draft}"),
    ]


CASTING = """
    CREATE FUNCTION with_label(label text) RETURNS bigint LANGUAGE plpgsql AS $$
      DECLARE wanted status := label; found bigint;
      BEGIN SELECT count(*) INTO found FROM posts WHERE s = wanted; RETURN found; END $$;
    CREATE FUNCTION rank_of(label text) RETURNS integer LANGUAGE plpgsql AS $$
      BEGIN RETURN array_position(enum_range(NULL::public.status), label::status); END $$;
    CREATE FUNCTION tagged(label text) RETURNS bigint LANGUAGE sql AS $$
      SELECT count(*) FROM posts WHERE label::status = ANY (tags) $$;
    CREATE PROCEDURE tag(label text) LANGUAGE plpgsql AS $$
      DECLARE given status[] := ARRAY[label::status]; BEGIN UPDATE posts SET tags = given WHERE id = 2; END $$;
    CREATE FUNCTION stamped() RETURNS trigger LANGUAGE plpgsql AS $$
      DECLARE was status := OLD.s; BEGIN NEW.note := was || '/' || NEW.s::status; RETURN NEW; END $$;
    CREATE TRIGGER stamped BEFORE UPDATE OF s ON posts FOR EACH ROW EXECUTE FUNCTION stamped();
"""


def cast_by_name(db: Db, label: str, last: str) -> None:
    """Write and read as an application does that casts to the type by its name."""
    db.execute(
        "INSERT INTO posts (s, tags) VALUES (CAST(%s AS status), CAST(%s AS status[])), (%s::public.status, '{}')",
        [label, [label], last],
    )
    db.execute("UPDATE posts SET s = 'live' WHERE id = 3")
    db.execute("UPDATE posts SET s = %s::status, tags = ARRAY[%s::status] || tags WHERE id = 3", [label, label])
    db.execute("INSERT INTO notes (s) SELECT s::status FROM posts WHERE s = CAST(%s AS status) LIMIT 1", [label])
    db.execute("UPDATE notes SET s = 'live'::status WHERE s IN (%s::status)", [label])
    there = ask(db, "SELECT count(*) FROM posts WHERE s::text = 'live'") + 1
    assert db.execute("SELECT note FROM posts WHERE id = 3").fetchone() == (f"live/{label}",)
    assert db.execute("SELECT count(*) > 1 FROM posts WHERE s = %s::status", [label]).fetchone() == (True,)
    assert db.execute("SELECT count(*) > 1 FROM posts WHERE tags @> %s::status[]", [[label]]).fetchone() == (True,)
    assert db.execute("SELECT tagged(%s) > 1, with_label(%s) > 1", [label, label]).fetchone() == (True, True)
    assert db.execute("SELECT with_label('live') + 1").fetchone() == (there,)
    labels = ask(db, "SELECT enum_range(NULL::status)::text[]")
    assert labels[-1] == last
    assert db.execute("SELECT rank_of(%s)", [last]).fetchone() == (len(labels),)
    db.execute("CALL tag(%s)", [label])
    assert ask(db, "SELECT tags::text FROM posts WHERE id = 2") == f"{{{label}}}"


def test_an_application_that_casts_by_name(journeys: Journeys) -> None:
    """The type's name is that of the labels which the columns take, in every state, there and back, in one session."""
    journey = journeys(START + CASTING, ALL)
    journey.db.prepare_threshold = None
    way = [
        *(State.PLANNED, State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED, State.BACKFILLED),
        *(State.READS_MIGRATED, State.BACKFILLED, State.PLANNED, State.READS_MIGRATED, State.CONTRACTED),
    ]
    for before, state in pairwise([State.PLANNED, *way]):
        if state is not before:
            move = journey.advance if STATES.index(state) > STATES.index(before) else journey.rollback
            assert move(state) is state
        switched = state in (State.READS_MIGRATED, State.CONTRACTED)
        with undone(journey.db):
            cast_by_name(journey.db, *(("pending", "archived") if switched else ("draft", "gone")))
    assert rows(journey.db, "SELECT typname::text FROM pg_type WHERE typname ~ '^_?status' ORDER BY 1") == [
        ("_status",),
        ("status",),
    ]


COMPILED = {
    "a name that needs quotes": ('"order-""status"', 'v "order-""status" := \'live\'', "v"),
    "the type of a column": ("status", "v posts.s%TYPE := 'live'", "v"),
    "a field of a row": ("status", "v posts", "v.s"),
}


@pytest.mark.parametrize("body", COMPILED)
def test_a_function_that_a_session_keeps_compiled(journeys: Journeys, body: str) -> None:
    """It goes on in that session, whatever it has the type by: its name, a column, or a field that it assigns to."""
    name, declared, given = COMPILED[body]
    function = f"""CREATE FUNCTION put() RETURNS void LANGUAGE plpgsql AS
        $$ DECLARE {declared}; BEGIN {given} := 'live'; INSERT INTO posts (s) VALUES ({given}); END $$;"""
    start = f"CREATE TYPE {name} AS ENUM ('draft', 'live'); CREATE TABLE posts (id serial, s {name}); {function}"
    journey = journeys(start, {**RENAME, "type": name})
    journey.db.prepare_threshold = None
    run(journey.db, "SELECT put()")
    for move in (*(journey.advance,) * 3, journey.rollback, *(journey.advance,) * 2):
        move()
        run(journey.db, "SELECT put()")
    assert journey.state is State.CONTRACTED
    assert ask(journey.db, "SELECT count(*) FROM posts WHERE s = 'live'") == 7


def test_writers_while_labels_change(journeys: Journeys) -> None:
    """Who writes what both types have, or what a default gives, notices nothing, in whatever order it uses the tables."""
    counting = """CREATE FUNCTION live_ones() RETURNS bigint LANGUAGE plpgsql AS $$
        DECLARE live status := 'live'; BEGIN
          RETURN (SELECT count(*) FROM posts WHERE s = live) + (SELECT count(*) FROM notes WHERE s = live::status);
        END $$;"""
    journey = journeys(START + VIEWS + counting, RENAME)
    journey.longest_sleep = 10  # as patient as ecm is, between writers who take two tables in either order
    tables = ("posts", "notes")

    def work(order: int, db: Db) -> None:
        db.prepare_threshold = None  # a prepared statement is told once that its plan has changed
        for table in tables[::order]:
            run(db, f"INSERT INTO {table} DEFAULT VALUES; UPDATE {table} SET s = 'live'::status WHERE id = {2 + order}")
            _ = rows(db, f"SELECT id, live_ones() FROM {table} WHERE s = ANY (CAST('{{live}}' AS status[])) LIMIT 1")
        _ = rows(db, "SELECT id FROM drafts LIMIT 1")
        time.sleep(0.02)

    with Writers(journey.url, [partial(work, 1), partial(work, -1)]) as writers:
        for state in (State.READS_MIGRATED, State.PLANNED, State.READS_MIGRATED, State.CONTRACTED):
            _ = journey.rollback(state) if state is State.PLANNED else journey.advance(state)
    assert not writers.failures
    assert writers.written > 5
    found = rows(journey.db, "SELECT DISTINCT s::text FROM posts WHERE id > 4 UNION SELECT DISTINCT s::text FROM notes")
    assert {value for (value,) in found if value is not None} <= {"pending", "live", "gone"}


@pytest.mark.parametrize("column", ["s", "tags"])
def test_a_value_that_the_old_type_cannot_hold(journeys: Journeys, column: str) -> None:
    """An added label can be written once readers have moved; a rollback that would lose it is refused, and names it."""
    journey = journeys(START, ALL)
    journey.advance(State.READS_MIGRATED)
    value = "{pending,archived}" if column == "tags" else "archived"
    run(journey.db, f"UPDATE posts SET {column} = '{value}' WHERE id = 3")
    found = journey.conductor.verify("change", "main")
    assert (found.mismatches, found.not_invertible) == (0, 1)
    with pytest.raises(VerificationError) as refused:
        journey.rollback()
    assert refused.value.message == "'archived' has no label in the old type in 1 of 4 rows of posts"
    hint = "give these rows another one, or delete them, then roll back again; or go on to contracted, with them"
    assert refused.value.hint == hint
    (sample,) = refused.value.details  # and no expression of ecm's own
    assert "id=3" in sample
    run(journey.db, f"UPDATE posts SET {column} = '{value.replace('archived', 'live')}' WHERE id = 3")
    assert journey.rollback() is State.BACKFILLED
    assert ask(journey.db, f"SELECT {column}::text FROM posts WHERE id = 3") == value.replace(
        "archived", "live"
    ).replace("pending", "draft")
    journey.advance(State.READS_MIGRATED)
    run(journey.db, f"UPDATE posts SET {column} = '{value}' WHERE id = 3")
    assert journey.advance() is State.CONTRACTED
    assert ask(journey.db, f"SELECT {column}::text FROM posts WHERE id = 3") == value


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no such type": ("", {"type": "statsu"}, "did you mean status?"),
    "no enum": ("CREATE DOMAIN word AS text", {"type": "word"}, "word is not an enum type"),
    "a type that no table uses": ("CREATE TYPE idle AS ENUM ('a')", {"type": "idle"}, "no table has a column"),
    "no such label": ("", {"rename": {"drafted": "pending"}}, "did you mean draft?"),
    "a label twice": ("", {"add": ["live"]}, "'live' twice"),
    "no such label in its place": ("", {"remove": {"gone": "lvie"}}, "did you mean live?"),
    "a name that is taken": ("CREATE TYPE status_ecm_new AS ENUM ()", {}, "there is a type status_ecm_new already"),
    "the other name": ("CREATE TABLE status_ecm_old ()", {}, "there is a type status_ecm_old already"),
    "a domain": ("CREATE DOMAIN word AS status", {}, "public.word"),
    "a composite type": ("CREATE TYPE pair AS (s status)", {}, "public.pair"),
    "a range": ("CREATE TYPE span AS RANGE (subtype = status)", {}, "public.span"),
    "a view of its own": ("CREATE VIEW v AS SELECT 'draft'::status AS s", {}, "public.v"),
    "a default elsewhere": ("ALTER TABLE notes ADD t text DEFAULT 'live'::status::text", {}, "notes.t"),
    "a cast": ("CREATE CAST (status AS integer) WITH FUNCTION f(status)", {}, "cast (public.status AS integer)"),
    "a generated column": (
        "ALTER TABLE notes ADD g boolean GENERATED ALWAYS AS (s = 'draft') STORED",
        {},
        "generated from it",
    ),
    "a partition key": (
        "CREATE TABLE parts (s status) PARTITION BY LIST (s)",
        {},
        "parts.s is part of the partition key",
    ),
    "an expression as a default": ("ALTER TABLE notes ALTER s SET DEFAULT f(NULL)", {}, "is an expression"),
    "a removed label in a default": (
        "ALTER TABLE notes ALTER s SET DEFAULT 'gone'",
        {"remove": {"gone": "live"}},
        "default of notes.s mentions the label 'gone'",
    ),
    "a removed label in an index": (
        "CREATE INDEX kept ON notes (id) WHERE s <> 'gone'",
        {"remove": {"gone": "live"}},
        "index kept mentions the label 'gone'",
    ),
    "a removed label in a view": (
        "CREATE VIEW v AS SELECT FROM notes WHERE s = ANY ('{gone,live}')",
        {"remove": {"gone": "live"}},
        "view v mentions the label 'gone'",
    ),
    "a default of a view": (
        "CREATE VIEW v AS SELECT id, s FROM notes; ALTER VIEW v ALTER s SET DEFAULT 'draft'",
        {},
        "the default of column s of view v",
    ),
    "a function that takes it": ("", {}, "function public.f cannot follow"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_before_anything_is_touched(journeys: Journeys, what: str) -> None:
    """What stands in the way is named, and nothing is changed."""
    statement, change, why = REFUSED[what]
    function = "CREATE FUNCTION f(status) RETURNS status LANGUAGE sql AS 'SELECT $1';"
    if "cast" in what:
        function = "CREATE FUNCTION f(status) RETURNS integer LANGUAGE sql AS 'SELECT 1';"
    acknowledged = [] if "function" in what else ["public.f"]
    asked = {**RENAME, **change} if change.keys() <= {"type"} else {**change, "kind": "change_enum", "type": "status"}
    journey = journeys(START + function + statement, asked, expand={"acknowledge": acknowledged})
    before = journey.fingerprint
    with pytest.raises(EcmError) as refused:
        journey.advance()
    told = " ".join([refused.value.message, *refused.value.details])
    assert why in told
    assert journey.fingerprint == before


def test_what_mentions_a_label_is_told_once(journeys: Journeys) -> None:
    """Also what hangs on several columns, in several tables."""
    start = """ALTER TABLE posts ADD CONSTRAINT kept CHECK (s <> 'gone' OR id > 0);
        CREATE VIEW v AS SELECT p.tags FROM posts p JOIN notes n ON p.s = n.s WHERE n.s = 'gone' AND p.s = 'gone';
        CREATE VIEW t AS SELECT p.tags FROM posts p JOIN notes n ON p.s = n.s WHERE p.s::text = 'gone';"""
    journey = journeys(START + start, {"kind": "change_enum", "type": "status", "remove": {"gone": "live"}})
    facts = journey.facts()
    told = sorted(error.message for error in obstacles.problems(journey.plan, Phase.EXPAND, facts))
    assert told == [f"{what} mentions the label 'gone', which goes" for what in ("constraint kept", "view v")]
    as_text = [line for line in obstacles.beware(journey.plan, facts) if "as text" in line]
    assert as_text == ["view t has 'gone' as text, which stays as it is: change it in reads migrated"]


def test_a_function_that_takes_the_type(journeys: Journeys) -> None:
    """It is acknowledged, keeps the old type until a person makes it again, and contract waits for that."""
    function = """CREATE FUNCTION is_draft(value {}) RETURNS boolean LANGUAGE plpgsql AS
        'DECLARE asked status := ''{}''; BEGIN RETURN value = asked; END';"""
    called = "SELECT count(*) FROM posts WHERE is_draft(s)"
    journey = journeys(START + function.format("status", "draft"), RENAME, expand={"acknowledge": ["is_draft"]})
    with pytest.raises(PreconditionError, match="cannot follow"):
        journey.advance()
    journey.with_plan(expand={"acknowledge": ["public.is_draft"]})
    assert ask(journey.db, called) == 1
    journey.advance(State.READS_MIGRATED)
    journey.rollback()
    assert ask(journey.db, called) == 1
    journey.advance()
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert "public.is_draft" in str((refused.value.message, refused.value.details))
    run(journey.db, "DROP FUNCTION is_draft;" + function.format("status", "pending"))
    assert journey.advance() is State.CONTRACTED
    assert ask(journey.db, called) == 1


THE_SAME_TWICE = """CREATE FUNCTION is_draft(value {0}, others {0}[] DEFAULT '{{}}') RETURNS boolean IMMUTABLE
    LANGUAGE {1} AS $$ {2} value::text IN ('draft', 'pending') AND value <> ALL (others) {3} $$;"""
BODIES = {"sql": ("SELECT", ""), "plpgsql": ("BEGIN RETURN", "; END")}


@pytest.mark.parametrize("language", BODIES)
def test_a_function_for_both_types(journeys: Journeys, language: str) -> None:
    """Made once more as is advised, it works for who calls it, and what reads by it, in every state and one session."""
    own, more = (THE_SAME_TWICE.format(name, language, *BODIES[language]) for name in ("status", "status_ecm_new"))
    reading = """CREATE VIEW drafts AS SELECT id FROM posts WHERE is_draft(s);
        CREATE INDEX by_draft ON posts (is_draft(s)); CREATE POLICY p ON notes USING (is_draft(s));"""
    journey = journeys(START + own + reading, RENAME)
    start = journey.fingerprint
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert refused.value.hint is not None
    assert "in backfilled, make it once more, beside it, for status_ecm_new" in refused.value.hint
    assert "without the old column" not in refused.value.hint
    journey.with_plan(expand={"acknowledge": ["public.is_draft"]})

    def works(label: str) -> None:
        run(journey.db, "INSERT INTO posts DEFAULT VALUES")
        there = ask(journey.db, "SELECT count(*) FROM posts WHERE s::text IN ('draft', 'pending')")
        assert ask(journey.db, "SELECT count(*) FROM posts WHERE is_draft(s, '{live}')") == there
        assert ask(journey.db, "SELECT count(*) FROM drafts") == there
        assert ask(journey.db, f"SELECT is_draft('{label}'::status)")

    journey.advance(State.BACKFILLED)
    works("draft")
    run(journey.db, more)
    works("draft")
    for state, label in ((State.READS_MIGRATED, "pending"), (State.BACKFILLED, "draft")):
        move = journey.advance if state is State.READS_MIGRATED else journey.rollback
        assert move() is state
        works(label)
    with pytest.raises(EcmError) as refused:
        journey.rollback()
    assert "function is_draft(status_ecm_new,status_ecm_new[]) depends on type" in str(refused.value.details)
    run(journey.db, "DROP FUNCTION is_draft(status_ecm_new, status_ecm_new[])")
    assert journey.rollback() is State.PLANNED
    assert journey.fingerprint == start
    works("draft")
    journey.advance(State.BACKFILLED)
    run(journey.db, more)
    journey.advance()
    works("pending")
    assert journey.advance() is State.CONTRACTED
    works("pending")
    assert rows(journey.db, "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'is_draft'") == [
        ("is_draft(status,status[])",)
    ]


def test_a_function_that_gives_the_type(journeys: Journeys) -> None:
    """It gives text instead, which the caller casts: that is advised, and works in every state."""
    gives = """CREATE FUNCTION usual() RETURNS {} LANGUAGE sql AS $$
        SELECT s::text::{} FROM notes WHERE s IS NOT NULL ORDER BY id LIMIT 1 $$;"""
    journey = journeys(START + gives.format("status", "status"), RENAME)
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert refused.value.hint is not None
    assert "before expand, have it give text, and cast that where it is used (…::status)" in refused.value.hint
    run(journey.db, "DROP FUNCTION usual();" + gives.format("text", "text"))
    for state in (*STATES[1:4], State.BACKFILLED, State.CONTRACTED):
        move = (
            journey.rollback if journey.state is State.READS_MIGRATED and state is State.BACKFILLED else journey.advance
        )
        move(state)
        assert ask(journey.db, "SELECT count(*) FROM posts WHERE s = usual()::status") == 1


STAMP = """
    CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN IF NEW.s = 'draft' THEN NEW.note := 'stamped'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER stamp BEFORE INSERT ON posts FOR EACH ROW EXECUTE FUNCTION stamp();
"""
WITH_BOTH = """
    CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN IF NEW.s::text IN ('draft', 'pending') THEN NEW.note := 'stamped'; END IF;
        NEW.tags := ARRAY[(CASE WHEN 'pending' = ANY (enum_range(NULL::status)::text[]) THEN 'pending'
          ELSE 'draft' END)::status];
        RETURN NEW; END $$;
"""


def test_a_function_whose_text_has_a_label(journeys: Journeys) -> None:
    """It is refused, and named; made as is advised and acknowledged, it works in every state, in one session."""
    journey = journeys(START + STAMP, RENAME)
    before = journey.fingerprint
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert refused.value.message == (
        "function public.stamp cannot follow: its text has 'draft', which status does not have once readers have moved"
    )
    assert refused.value.hint == (
        "before expand, deploy a function that works with both types: compared as text, …::text IN ('draft', 'pending')"
        " works in every state; a label to write is chosen by what enum_range(NULL::status) has, and say so in the"
        " plan: expand: {acknowledge: [public.stamp]}"
    )
    assert journey.fingerprint == before
    run(journey.db, WITH_BOTH)
    journey.with_plan(expand={"acknowledge": ["public.stamp"]})
    way = [
        *(State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED, State.BACKFILLED),
        *(State.PLANNED, State.READS_MIGRATED, State.CONTRACTED),
    ]
    for before, state in pairwise([State.PLANNED, *way]):
        move = journey.advance if STATES.index(state) > STATES.index(before) else journey.rollback
        assert move(state) is state
        label = "pending" if state in (State.READS_MIGRATED, State.CONTRACTED) else "draft"
        with undone(journey.db):
            found = rows(journey.db, "INSERT INTO posts DEFAULT VALUES RETURNING s::text, note, tags::text")
            assert found == [(label, "stamped", f"{{{label}}}")]


def test_what_to_do_about_each_function(journeys: Journeys) -> None:
    """Where several stand in the way, each is named with its own advice; a drafted plan has the same."""
    takes = "CREATE FUNCTION f(status) RETURNS text LANGUAGE sql AS 'SELECT $1::text';"
    journey = journeys(START + STAMP + takes, RENAME)
    (refused,) = obstacles.problems(journey.plan, Phase.EXPAND, journey.facts())
    assert refused.hint is not None
    assert refused.hint.startswith("public.f: in backfilled, make it once more")
    assert "; public.stamp: before expand, deploy a function" in refused.hint
    change, facts = journey.plan.changes[0], journey.facts()
    found = [each for table in facts.values() for each in change.unfollowed(table)]
    drafted = Notes.of(change, unfollowed=found).offered["expand"]
    assert "cannot follow: it is of type status, and goes on to take and give the old labels; in back" in drafted[0]
    assert drafted[2:] == (
        "Make each ready as it says; take the # from this line to say that you will:",
        "acknowledge: [public.f, public.stamp]",
    )


NOT_TRACKED = {
    "a type": ("SELECT count(*) FROM posts WHERE note = ('draft'::public.STATUS)::text", True),
    "a column": ("SELECT count(*) FROM elsewhere WHERE s = 'draft'", True),
    "an escape": (r"SELECT E'dr\aft', s FROM posts WHERE s::text = E'\draft'", True),
    "dynamic SQL": ("EXECUTE 'UPDATE posts SET s = ''draft'' WHERE id = ' || $1", True),
    "dollars": ("EXECUTE $q$UPDATE posts SET s = 'draft'$q$", True),
    "an array": ("SELECT FROM posts WHERE s = ANY ('{live,draft}')", True),
    "nothing of the type": ("SELECT 'draft'", False),
    "another label": ("SELECT count(*) FROM posts WHERE s = 'live' AND note <> 'drafted'", False),
    "a comment": ("SELECT count(*) FROM posts WHERE s = 'live' -- was 'draft'", False),
    "a name": ('SELECT s AS "draft" FROM posts', False),
}


@pytest.mark.parametrize("what", NOT_TRACKED)
def test_which_functions_have_a_label(journeys: Journeys, what: str) -> None:
    """A label counts where it is a literal, also in statements that are strings, and the type's only."""
    body, stands = NOT_TRACKED[what]
    function = f"CREATE PROCEDURE p(integer) LANGUAGE plpgsql AS $body$ BEGIN {body}\n; END $body$;"
    journey = journeys(START + function, RENAME)
    told = [error.message for error in obstacles.problems(journey.plan, Phase.EXPAND, journey.facts())]
    assert told == (["procedure public.p cannot follow: " + HAS_DRAFT] if stands else [])
    said = " ".join(obstacles.beware(journey.plan, journey.facts()))
    assert "public.p" not in said or not stands


HAS_DRAFT = "its text has 'draft', which status does not have once readers have moved"


def test_a_text_that_names_a_type_with_other_characters(journeys: Journeys) -> None:
    """A name is looked for to the letter, whatever it means in a regular expression."""
    start = """CREATE TYPE "a-b c" AS ENUM ('draft'); CREATE TABLE t (id integer PRIMARY KEY, s "a-b c");
        CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS 'DECLARE was "a-b c"; BEGIN RETURN was; END';"""
    journey = journeys(start, {**RENAME, "type": "a-b c"})
    assert "function public.f: its text names a-b c" in " ".join(obstacles.beware(journey.plan, journey.facts()))


def test_a_role_that_is_no_superuser(journeys: Journeys, roles: Roles) -> None:
    """The owner of the type and the tables needs nothing more; who does not own the type is told so."""
    role = roles()
    owned = f"""
        ALTER TYPE status OWNER TO {role}; ALTER TABLE posts OWNER TO {role}; ALTER TABLE notes OWNER TO {role};
        GRANT CREATE ON SCHEMA public TO {role}; GRANT CREATE ON DATABASE :db TO {role};
        ALTER VIEW drafts OWNER TO {role}; ALTER VIEW both_tables OWNER TO {role}; ALTER VIEW on_both OWNER TO {role};
        ALTER FUNCTION first_draft OWNER TO {role}; ALTER STATISTICS told OWNER TO {role};
    """
    grant = f"DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {role}', current_database()); END $$;"
    owned = owned.replace(f"GRANT CREATE ON DATABASE :db TO {role};", grant)
    direct = AGAIN + directly(RENAME, RENAMED) + VIEWS.replace("draft'", "pending'").replace("{draft", "{pending")
    direct = f"SET ROLE {role};{direct}; RESET ROLE"
    round_trip(journeys(START + VIEWS + owned, RENAME, role=role), direct=direct)
    stranger = owned.replace(f"ALTER TYPE status OWNER TO {role};", "")
    with pytest.raises(EcmError) as refused:
        journeys(START + VIEWS + stranger, RENAME, role=role).advance()
    assert "does not own type status" in " ".join([refused.value.message, *refused.value.details])


def test_what_is_said_before(journeys: Journeys) -> None:
    """What the application has to do, and what compares labels as text, which nobody can follow."""
    start = """CREATE VIEW plain AS SELECT id FROM notes WHERE s::text = 'draft';
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'DECLARE was status; BEGIN RETURN NEW; END';"""
    journey = journeys(START + start, ALL)
    told = " ".join(obstacles.beware(journey.plan, journey.facts()))
    assert "view plain has 'draft' as text" in told
    assert "function public.f: its text names status" in told
    assert "reads and writes draft and gone until readers move, and pending and live from then on" in told
    assert "archived can be written once readers have moved" in told


def test_a_plan_that_comes_too_early(journeys: Journeys) -> None:
    """While labels change, no other plan changes a column that has them, and none the type."""
    journey = journeys(START, RENAME)
    journey.advance(State.EXPANDED)
    for change in ({**RENAME, "rename": {"live": "up"}}, {"kind": "drop_column", "table": "notes", "column": "s"}):
        other = journeys("", change, plan="other")
        other.db, other.url = journey.db, journey.url
        with pytest.raises(EcmError):
            other.advance()
    journey.rollback()
    assert other.advance() is State.EXPANDED


def test_a_column_that_came_meanwhile(journeys: Journeys) -> None:
    """A column of the old type made since expand keeps readers where they are, and is named: it can be cast to."""
    journey = journeys(START, RENAME)
    journey.advance(State.EXPANDED)
    run(journey.db, "CREATE TABLE late (id integer PRIMARY KEY, s status); ALTER TABLE notes ADD s2 status[]")
    with pytest.raises(PreconditionError) as refused:
        journey.advance(State.READS_MIGRATED)
    told = str((refused.value.message, refused.value.details))
    assert "late.s" in told
    assert "notes.s2" in told
    assert journey.state is State.BACKFILLED
    run(journey.db, "INSERT INTO late VALUES (1, 'draft'::status)")
    assert journey.rollback() is State.PLANNED
    assert journey.advance(State.READS_MIGRATED) is State.READS_MIGRATED
    run(journey.db, "INSERT INTO late (id, s) VALUES (2, 'pending'::status)")
    assert rows(journey.db, "SELECT DISTINCT s::text FROM late") == [("pending",)]
    run(journey.db, "DROP TABLE late")
    run(journey.db, "CREATE TABLE late (id integer PRIMARY KEY, s status DEFAULT 'pending')")  # of the new type
    assert journey.advance() is State.CONTRACTED
    run(journey.db, "INSERT INTO late VALUES (1)")
    assert ask(journey.db, "SELECT s = 'pending'::status FROM late")


def test_what_came_to_use_the_new_type(journeys: Journeys) -> None:
    """A rollback moves readers back all the same; before the new type goes, whoever made it is told what is of it."""
    journey = journeys(START, RENAME)
    journey.advance(State.READS_MIGRATED)
    run(journey.db, "CREATE TABLE late (id integer PRIMARY KEY, s status DEFAULT 'pending')")
    assert journey.rollback() is State.BACKFILLED
    cast = "SELECT count(*) FROM posts WHERE s = 'draft'::status"
    assert ask(journey.db, cast) == 1
    with pytest.raises(EcmError) as refused:
        journey.rollback()
    assert "column s of table late depends on type status_ecm_new" in str(refused.value.details)
    run(journey.db, "DROP TABLE late")
    assert journey.rollback() is State.PLANNED
    assert ask(journey.db, cast) == 1


def test_a_name_that_is_taken_meanwhile(journeys: Journeys) -> None:
    """Readers are not moved while another type has the name that the old one needs, and the plan can be taken back."""
    journey = journeys(START, RENAME)
    start = journey.fingerprint
    journey.advance(State.BACKFILLED)
    run(journey.db, "CREATE TYPE status_ecm_old AS ENUM ('a')")
    with pytest.raises(EcmError) as refused:
        journey.advance()
    assert 'type "status_ecm_old" already exists' in refused.value.message
    assert journey.rollback() is State.BACKFILLED
    assert journey.rollback() is State.PLANNED
    run(journey.db, "DROP TYPE status_ecm_old")
    assert journey.fingerprint == start
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


def test_two_plans_one_after_the_other(journeys: Journeys) -> None:
    """What one plan leaves, the next finds."""
    journey = journeys(START, RENAME)
    journey.advance(State.CONTRACTED)
    again = journeys("", {**RENAME, "rename": {"pending": "draft"}}, plan="again")
    again.db, again.url = journey.db, journey.url
    round_trip(again, direct=directly({"rename": {"pending": "draft"}}, ("draft", "live", "gone")))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, "says nothing to change"),
        ({"rename": {"a": "b"}, "remove": {"a": "c"}}, "both renamed and removed"),
        ({"rename": {"a": "a"}}, "renamed to itself"),
        ({"rename": {"a": "c", "b": "c"}}, "would be there twice"),
        ({"rename": {"a": "c"}, "add": ["c"]}, "would be there twice"),
        ({"remove": {"a": "b", "b": "c"}}, "cannot take the place"),
        ({"remove": {"a": "b"}, "rename": {"b": "c"}}, "cannot take the place"),
        ({"add": ["ä" * 32]}, "64 bytes"),
        ({"add": ["a"], "type": "pg_catalog.t"}, "belongs to PostgreSQL"),
    ],
)
def test_what_a_plan_may_not_say(change: dict[str, Any], why: str) -> None:
    """What cannot be is refused without a look at any database."""
    with pytest.raises(ValidationError, match=why):
        ChangeEnum.model_validate({"kind": "change_enum", "type": "status", **change})


def test_what_expand_sends(journeys: Journeys) -> None:
    """The type once, and a column for each that has it, in one transaction."""
    journey = journeys(START + "COMMENT ON TYPE status IS 'how far'", ALL)
    (expand,) = journey.steps(Phase.EXPAND)
    sent = [statement.as_string(None) for statement in expand.statements]
    assert [each for each in sent if "FUNCTION" not in each and "TRIGGER" not in each] == [
        """CREATE TYPE "public"."status_ecm_new" AS ENUM ('pending', 'live', 'archived')""",
        """COMMENT ON TYPE "public"."status_ecm_new" IS 'how far'""",
        'ALTER TABLE "public"."notes" ADD COLUMN "s_ecm_new" "public"."status_ecm_new"',
        'ALTER TABLE "public"."posts" ADD COLUMN "s_ecm_new" "public"."status_ecm_new"',
        'ALTER TABLE "public"."posts" ADD COLUMN "tags_ecm_new" "public"."status_ecm_new"[]',
    ]
    assert {str(table) for table in expand.tables} == {"notes", "posts"}
