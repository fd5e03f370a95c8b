"""In reads migrated, who still writes the old side is noticed, and who writes the new side alone is not."""

from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from operations.conftest import Journeys, Roles
from operations.harness import Db, Journey, as_role, ask, rows, run
from psycopg import sql

from orchestrator.plan import watched
from orchestrator.plan.lifecycle import State


@dataclass(frozen=True)
class Case:
    """A plan, writes that rely on what contract takes away, and writes that do not."""

    start: str
    change: dict[str, Any]
    old: tuple[str, ...]
    new: tuple[str, ...]


T = "CREATE TABLE t (id int PRIMARY KEY, v text, w int); INSERT INTO t SELECT g, g, g FROM generate_series(1, 9) g;"
PAIR = "CREATE TABLE o (t_id int PRIMARY KEY, x int); INSERT INTO o SELECT g, g FROM generate_series(1, 20) g;"
INTO = [
    {"column": "a", "type": "text", "using": "left(v, 1)"},
    {"column": "b", "type": "text", "using": "substr(v, 2)"},
]
PARTED = (
    "CREATE TABLE t (id int, v text, w int) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (5);"
    "CREATE TABLE t2 PARTITION OF t DEFAULT; INSERT INTO t SELECT g, g, g FROM generate_series(1, 9) g;"
)
BUSY = (
    f"{T} CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN NEW.w := coalesce(NEW.w, 0); RETURN NEW; END $$;"
    " CREATE TRIGGER tidy BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tidy();"
)
RENAME = {"kind": "rename_column", "table": "t", "column": "v", "to": "n"}
OTHERS = ("UPDATE t SET w = 1 WHERE id = 1", "DELETE FROM t WHERE id = 2", "INSERT INTO t (id, w) VALUES (50, 1)")
RENAMED = Case(
    T, RENAME,
    ("UPDATE t SET v = 'x' WHERE id = 1", "INSERT INTO t (id, v) VALUES (20, 'x')", "UPDATE t SET v = v WHERE id = 1"),
    ("UPDATE t SET n = 'x' WHERE id = 1", "INSERT INTO t (id, n) VALUES (21, 'x')", *OTHERS),
)  # fmt: skip

CASES = {
    "rename": RENAMED,
    "rename, beside a trigger of the table's own": Case(BUSY, RENAME, RENAMED.old, RENAMED.new),
    "rename, with partitions": Case(
        PARTED, RENAME, RENAMED.old,
        (*RENAMED.new, "UPDATE t SET id = 70 WHERE id = 3", "UPDATE t SET id = 71, n = 'y' WHERE id = 4"),
    ),
    "rename of a column with a default": Case(
        T.replace("v text", "v text DEFAULT 'none'"), RENAME, RENAMED.old, RENAMED.new
    ),
    "rename of a column whose default varies": Case(
        T.replace("v text", "v text DEFAULT clock_timestamp()::text"), RENAME, RENAMED.old[:1], RENAMED.new
    ),
    "split": Case(
        T, {"kind": "split_column", "table": "t", "column": "v", "into": INTO, "reverse": "a || b"},
        RENAMED.old, ("UPDATE t SET a = 'x' WHERE id = 1", "INSERT INTO t (id, a, b) VALUES (21, 'x', 'y')", *OTHERS),
    ),
    "another type under another name": Case(
        T, {"kind": "change_type", "table": "t", "column": "v", "type": "integer", "to": "n", "using": "v::integer",
            "reverse": "n::text"},
        ("UPDATE t SET v = '7' WHERE id = 1", "INSERT INTO t (id, v) VALUES (20, '7')"),
        ("UPDATE t SET n = 8 WHERE id = 1", "INSERT INTO t (id, n) VALUES (21, 8)", *OTHERS),
    ),
    "drop": Case(T, {"kind": "drop_column", "table": "t", "column": "v"}, RENAMED.old, OTHERS),
    "drop, with a value for old readers": Case(
        T, {"kind": "drop_column", "table": "t", "column": "v", "reverse": "'gone'"}, RENAMED.old, OTHERS
    ),
    "move": Case(
        T + PAIR, {"kind": "move_column", "table": "t", "column": "v", "to": {"table": "o", "column": "v"}, "on": {"id": "t_id"}},
        RENAMED.old[:2],
        ("UPDATE o SET v = 'new' WHERE t_id = 1", "UPDATE o SET x = 2 WHERE t_id = 1", "UPDATE t SET w = 1 WHERE id = 1"),
    ),
    "extract": Case(
        T, {"kind": "extract_table", "table": "t", "columns": ["v"], "into": {"table": "vs", "key": "id"}, "reference": "v_id"},
        RENAMED.old[:2],
        ("UPDATE vs SET v = 'all' WHERE id = 1", "UPDATE t SET v_id = 2 WHERE id = 1", "INSERT INTO t (id, v_id) VALUES (21, 2)", *OTHERS),
    ),
    "set not null": Case(
        T, {"kind": "set_not_null", "table": "t", "column": "v", "using": "'none'"},
        ("UPDATE t SET v = NULL WHERE id = 1", "INSERT INTO t (id) VALUES (20)", "UPDATE t SET v = NULL WHERE id = 1"),
        ("UPDATE t SET v = 'x' WHERE id = 1", "INSERT INTO t (id, v) VALUES (21, 'x')", "UPDATE t SET w = 1 WHERE id = 20"),
    ),
    "check": Case(
        T, {"kind": "add_check", "table": "t", "name": "c", "check": "w > 0", "using": {"w": "1"}},
        ("UPDATE t SET w = -1 WHERE id = 1", "INSERT INTO t (id, w) VALUES (20, -1)"),
        ("UPDATE t SET w = 5 WHERE id = 1", "INSERT INTO t (id, w) VALUES (21, 5)", "UPDATE t SET v = 'x' WHERE id = 20"),
    ),
    "unique": Case(
        T, {"kind": "add_unique", "table": "t", "name": "u", "columns": ["v"], "using": {"v": "v || '-' || id"}},
        ("UPDATE t SET v = '9' WHERE id = 1", "INSERT INTO t (id, v) VALUES (20, '9')"),
        ("UPDATE t SET v = 'x' WHERE id = 1", "INSERT INTO t (id, v) VALUES (21, 'y')",
         "INSERT INTO t (id, v) VALUES (5, '5') ON CONFLICT (id) DO UPDATE SET w = 4"),
    ),
    "a column that is left out": Case(
        T, {"kind": "add_column", "table": "t", "column": "n", "type": "text", "using": "v || '!'", "not_null": True},
        ("INSERT INTO t (id, v) VALUES (20, 'x')",),
        ("INSERT INTO t (id, n) VALUES (21, 'x')", "UPDATE t SET w = 1 WHERE id = 1"),
    ),
}  # fmt: skip


def noticed(journey: Journey, db: Db | None = None) -> list[tuple[Any, ...]]:
    """Return what the watches on a plan's tables have noticed."""
    found: list[tuple[Any, ...]] = []
    for table in journey.facts().values():
        for watch in watched.watches(journey.plan, table):
            found += (db or journey.db).execute(watch.noticed).fetchall()
    return found


def watch_afresh(journey: Journey) -> Db:
    """Forget what was noticed; return a new session, which has noted nothing itself."""
    for (name,) in rows(
        journey.db,
        "SELECT format('ecm.%I', relname) FROM pg_class WHERE relkind = 'S' AND relname ~ '^(count|last)_uses'",
    ):
        run(journey.db, f"SELECT setval('{name}', 1, false)")
    return psycopg.connect(journey.url, autocommit=True)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_old_writers_are_noticed_and_new_ones_are_not(journeys: Journeys, case: Case) -> None:
    """Each write that relies on what contract takes away leaves its time and its role, and no other write does."""
    journey = journeys(case.start, case.change)
    journey.advance(State.BACKFILLED)
    before = journey.fingerprint
    assert ask(journey.db, "SELECT count(*) FROM pg_trigger WHERE tgname ~ '^[!~]ecm-uses'") == 0
    journey.advance(State.READS_MIGRATED)
    for write in (*case.old, *case.new):
        with watch_afresh(journey) as session:
            run(session, write)
        found = noticed(journey)
        assert bool(found) is (write in case.old), write
        if found:
            (count, last, role), *more = found
            assert (count, more) == (1, []), write
            assert role == ask(journey.db, "SELECT oid FROM pg_roles WHERE rolname = session_user")
            assert abs(last - ask(journey.db, "SELECT extract(epoch FROM clock_timestamp())::int8")) < 60
    journey.rollback()
    assert journey.fingerprint == before
    journey.advance(State.CONTRACTED)
    assert ask(journey.db, "SELECT count(*) FROM pg_class WHERE relkind = 'S' AND relname ~ 'uses'") == 0
    assert ask(journey.db, "SELECT count(*) FROM pg_trigger WHERE tgname ~ 'ecm'") == 0


def test_a_writer_without_rights_is_noticed_and_never_held_up(journeys: Journeys, roles: Roles) -> None:
    """The application's role has no rights in ecm's schema; and if the sequences were gone, its write would go on."""
    journey = journeys(T, RENAME)
    role = roles()
    run(journey.db, f"GRANT SELECT, INSERT, UPDATE ON t TO {role}")
    journey.advance(State.READS_MIGRATED)
    with psycopg.connect(as_role(journey.url, role), autocommit=True) as app:
        run(app, "UPDATE t SET v = 'x' WHERE id = 1; UPDATE t SET v = 'y' WHERE id = 2")
        ((count, _, oid),) = noticed(journey)
        assert count in (1, 2)
        assert oid == ask(journey.db, f"SELECT '{role}'::regrole::oid")
        for (name,) in rows(journey.db, "SELECT relname FROM pg_class WHERE relkind = 'S' AND relname ~ '_uses'"):
            journey.db.execute(sql.SQL("DROP SEQUENCE ecm.{}").format(sql.Identifier(name)))
    with psycopg.connect(as_role(journey.url, role), autocommit=True) as app:
        run(app, "UPDATE t SET v = 'z' WHERE id = 3")
    assert ask(journey.db, "SELECT n FROM t WHERE id = 3") == "z"
    assert journey.advance() is State.CONTRACTED


def test_a_write_that_is_rolled_back_was_noticed(journeys: Journeys) -> None:
    """Whoever tried knows the old side only; and a session that noted it in vain notes it again."""
    journey = journeys(T, RENAME)
    journey.advance(State.READS_MIGRATED)
    with psycopg.connect(journey.url, autocommit=True) as app:
        run(app, "BEGIN; UPDATE t SET v = 'x' WHERE id = 1; ROLLBACK")
        assert len(noticed(journey)) == 1


@pytest.mark.parametrize("start", [T, PARTED], ids=["a table", "partitions"])
@pytest.mark.parametrize("write", ["DELETE FROM p WHERE id = '1'", "UPDATE p SET id = 'other' WHERE id = '1'"])
def test_what_a_foreign_key_hands_on_is_nobodys_write(journeys: Journeys, start: str, write: str) -> None:
    """Its statement names the column by whatever name that has; a trigger of the application's own is told from it."""
    journey = journeys(
        f"{start} CREATE TABLE p (id text PRIMARY KEY); INSERT INTO p SELECT v FROM t; ALTER TABLE t ADD FOREIGN KEY (v)"
        " REFERENCES p ON DELETE SET NULL ON UPDATE CASCADE; CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN UPDATE t SET v = NULL WHERE v = OLD.id; RETURN OLD; END $$;"
        " CREATE TABLE q (id text); INSERT INTO q VALUES ('3');"
        " CREATE TRIGGER follow AFTER DELETE ON q FOR EACH ROW EXECUTE FUNCTION follow()",
        {**RENAME, "to": "n"},
        expand={"acknowledge": ["public.follow()"]},
    )
    journey.advance(State.READS_MIGRATED)
    run(journey.db, write)
    assert ask(journey.db, "SELECT count(*) FROM t WHERE n = '1'") == 0
    assert noticed(journey) == []
    run(journey.db, "DELETE FROM q")
    assert len(noticed(journey)) == 1
