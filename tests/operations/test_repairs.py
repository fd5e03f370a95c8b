"""What the kinds have in common that repair rows in place: writers of every sort, rollbacks, and rows nobody repairs."""

from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from operations.conftest import Journeys, Roles
from operations.harness import BRANCH, Journey, as_role, ask, contents, round_trip, rows, run

from orchestrator.errors import PreconditionError, StatementFailedError, VerificationError
from orchestrator.plan.lifecycle import Phase, State

START = """
    CREATE TABLE authors (id integer PRIMARY KEY); INSERT INTO authors SELECT generate_series(1, 20);
    CREATE TABLE books (id integer PRIMARY KEY, isbn text, price integer, author integer, title text);
    INSERT INTO books SELECT g, 'isbn ' || g % 50, g - 10, g % 25, CASE WHEN g % 4 > 0 THEN 'Book ' || g END
      FROM generate_series(1, 60) g;
"""
CHANGES: dict[str, dict[str, Any]] = {
    "set_not_null": {"kind": "set_not_null", "table": "books", "column": "title", "using": "'Book ' || id"},
    "add_check": {"kind": "add_check", "table": "books", "name": "fair", "check": "price > 0", "using": {"price": "1"}},
    "add_unique": {
        "kind": "add_unique",
        "table": "books",
        "name": "books_isbn_key",
        "columns": ["isbn"],
        "using": {"isbn": "isbn || '/' || id"},
    },
    "add_foreign_key": {
        "kind": "add_foreign_key",
        "table": "books",
        "name": "books_author_fkey",
        "columns": ["author"],
        "references": {"table": "authors", "columns": ["id"]},
        "using": {"author": "NULL"},
    },
}
BROKEN = {
    "set_not_null": ("title IS NULL", "title = NULL"),
    "add_check": ("price <= 0", "price = -7"),
    "add_unique": (
        "EXISTS (SELECT FROM books o WHERE o.isbn = books.isbn AND o.id < books.id)",
        "isbn = 'isbn 12'",
    ),
    "add_foreign_key": ("author NOT IN (SELECT id FROM authors)", "author = 77"),
}
"""Which rows break the rule, and what has row 41 break it."""
DIRECT = {
    "set_not_null": "ALTER TABLE books ALTER title SET NOT NULL",
    "add_check": "ALTER TABLE books ADD CONSTRAINT fair CHECK (price > 0)",
    "add_unique": "ALTER TABLE books ADD CONSTRAINT books_isbn_key UNIQUE (isbn)",
    "add_foreign_key": "ALTER TABLE books ADD CONSTRAINT books_author_fkey FOREIGN KEY (author) REFERENCES authors (id)",
}
kinds = pytest.mark.parametrize("kind", sorted(CHANGES))


def column(kind: str) -> str:
    """Return the column that a kind's rule is about."""
    return BROKEN[kind][1].partition(" ")[0]


def broken(journey: Journey, kind: str) -> int:
    """Return how many rows break the rule."""
    return ask(journey.db, f"SELECT count(*) FROM books WHERE {BROKEN[kind][0]}")


def direct(kind: str) -> str:
    """Return the statements that do the same at once."""
    change = CHANGES[kind]
    using = {change["column"]: change["using"]} if kind == "set_not_null" else change["using"]
    (assignment,) = (f"{name} = {value}" for name, value in using.items())
    return f"UPDATE books SET {assignment} WHERE {BROKEN[kind][0]}; {DIRECT[kind]}"


def without(kind: str) -> dict[str, Any]:
    """Return the change without what repairs rows."""
    return {name: value for name, value in CHANGES[kind].items() if name != "using"}


# ---------------------------------------------------------------- nothing repairs


@kinds
def test_rows_that_nothing_repairs_are_counted_and_named(journeys: Journeys, kind: str) -> None:
    """`plan show` has them among its obstacles, expand refuses, and nothing was touched."""
    journey = journeys(START, without(kind))
    before = journey.fingerprint
    (obstacle,) = journey.conductor.preview(journey.plan.plan, BRANCH).obstacles
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert refused.value.message in obstacle.message
    assert refused.value.message.startswith(("12 of 60", "15 of 60", "10 of 60", "20 of 60"))
    assert any(line.startswith("id=") for line in refused.value.details)
    assert "using" in (refused.value.hint or "")
    assert journey.state is State.PLANNED
    assert journey.fingerprint == before


@kinds
def test_what_nothing_repairs_is_found_range_by_range(
    journeys: Journeys, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a look at all rows takes too long, expand's own scan finds them, and a rollback leaves nothing."""
    monkeypatch.setattr("orchestrator.judgement.GLANCE", 0.0)
    journey = journeys(f"{START}; INSERT INTO books SELECT g FROM generate_series(1000, 60000) g", without(kind))
    before = journey.fingerprint
    shown = journey.conductor.preview(journey.plan.plan, BRANCH)
    assert not shown.obstacles
    assert any("were not counted within" in line for line in shown.beware)
    with pytest.raises(VerificationError, match="do not have") as refused:
        journey.advance()
    assert any(line.startswith("id=") for line in refused.value.details)
    assert journey.rollback() is State.PLANNED
    assert journey.fingerprint == before


@kinds
def test_a_row_that_breaks_it_later_is_named_before_readers_come(journeys: Journeys, kind: str) -> None:
    """Old writers are not refused; once the row is right, the plan goes on, and ends like the direct DDL."""
    journey = journeys(f"{START}; {direct(kind).partition(';')[0]}", without(kind))
    round_trip(journey, direct=DIRECT[kind])
    journey = journeys(f"{START}; {direct(kind).partition(';')[0]}", without(kind))
    journey.advance(State.BACKFILLED)
    run(journey.db, f"UPDATE books SET {BROKEN[kind][1]} WHERE id = 41")
    with pytest.raises(VerificationError, match="do not have") as refused:
        journey.advance()
    assert any(line.startswith("id=41") for line in refused.value.details)
    run(
        journey.db,
        f"UPDATE books SET {column(kind)} = (SELECT {column(kind)} FROM books WHERE id = 1)"
        if kind != "add_unique"
        else "UPDATE books SET isbn = 'another' WHERE id = 41",
    )
    assert journey.advance(State.READS_MIGRATED) is State.READS_MIGRATED


# ---------------------------------------------------------------- writers


@kinds
def test_rows_have_their_own_values_back_unless_the_application_changed_them(journeys: Journeys, kind: str) -> None:
    """Repaired by the sweep, repaired as it came, repaired and then written to: each has what it would have had."""
    journey, name = journeys(START, CHANGES[kind]), column(kind)
    expected = dict(rows(journey.db, f"SELECT id, {name} FROM books"))
    journey.advance(State.EXPANDED)
    run(journey.db, f"UPDATE books SET {BROKEN[kind][1]} WHERE id = 41")
    run(journey.db, "UPDATE books SET id = id + 100 WHERE id = 41")
    expected[141] = ask(journey.db, f"SELECT ({BROKEN[kind][1].partition('= ')[2]})")
    del expected[41]
    journey.advance(State.BACKFILLED)
    changed = [
        number for number, _ in rows(journey.db, f"SELECT id, 1 FROM books WHERE {name}_ecm_repaired AND id < 100")
    ]
    assert len(changed) > 5
    assert broken(journey, kind) == 0
    own = {"isbn": "'mine'", "price": "99", "author": "3", "title": "'mine'"}[name]
    run(journey.db, f"UPDATE books SET {name} = {own} WHERE id = {changed[0]}")
    # Whole rows are saved as they were read: that changes nothing.
    run(journey.db, f"UPDATE books SET {name} = {name}, id = id WHERE id = {changed[1]}")
    expected[changed[0]] = ask(journey.db, f"SELECT {own}")
    assert journey.rollback() is State.PLANNED
    assert dict(rows(journey.db, f"SELECT id, {name} FROM books")) == expected


@kinds
def test_contract_says_which_values_it_forgets(journeys: Journeys, kind: str) -> None:
    """The gate before it, and its own report: how many rows have a replacement, and what theirs was."""
    journey = journeys(START, CHANGES[kind])
    journey.advance(State.READS_MIGRATED)
    repaired = ask(journey.db, f"SELECT count(*) FROM books WHERE {column(kind)}_ecm_repaired")
    (warning,) = (line for line in journey.conductor.gate(journey.plan.plan, BRANCH).warnings if "forgets" in line)
    assert warning.startswith(f"{repaired} rows of books have another value than their own")
    assert f"{column(kind)}=" in warning
    journey.advance()


@kinds
def test_a_row_that_is_copied_whole_has_what_its_writer_gave_it(journeys: Journeys, kind: str) -> None:
    """It brings what was hidden in a repaired row; that stays its own only as long as its value does."""
    journey, name = journeys(START, CHANGES[kind]), column(kind)
    journey.advance(State.BACKFILLED)
    copied = ask(journey.db, f"SELECT min(id) FROM books WHERE {name}_ecm_repaired")
    own = {"isbn": "'mine'", "price": "99", "author": "3", "title": "'mine'"}[name]
    run(journey.db, f"CREATE TEMP TABLE copy AS SELECT * FROM books WHERE id = {copied}")
    run(journey.db, f"UPDATE copy SET id = 500, {name} = {own}; INSERT INTO books SELECT * FROM copy")
    expected = ask(journey.db, f"SELECT {own}")
    assert ask(journey.db, f"SELECT {name} FROM books WHERE id = 500") == expected
    journey.rollback()
    assert ask(journey.db, f"SELECT {name} FROM books WHERE id = 500") == expected


@kinds
def test_old_writers_while_the_sweep_is_under_way(journeys: Journeys, kind: str) -> None:
    """They are neither refused nor does a row escape; after the rollback every row is as they alone would have left it."""
    more = (
        "INSERT INTO books SELECT g, 'isbn ' || g % 15000, g % 3 - 1, g % 30, NULL FROM generate_series(100, 20000) g"
    )
    journey = journeys(f"{START}; {more}", CHANGES[kind], backfill={"batch_time": "20ms"})
    journey.advance(State.EXPANDED)
    name, value = BROKEN[kind][1].split(" = ")
    over, failed, written = Event(), list[Exception](), set[int]()

    def write(seed: int) -> None:
        try:
            with psycopg.connect(journey.url, autocommit=True) as db:
                number = seed
                while not over.is_set():
                    number = 100 + (number * 7919 + seed) % 19000
                    if number % 2 == seed:
                        run(db, f"UPDATE books SET {name} = {value} WHERE id = {number}")
                        written.add(number)
        except Exception as error:  # noqa: BLE001 - whatever it is, a writer met it
            failed.append(error)

    expected = dict(rows(journey.db, f"SELECT id, {name} FROM books"))
    writers = [Thread(target=write, args=(seed,)) for seed in (0, 1)]
    for writer in writers:
        writer.start()
    try:
        journey.advance(State.READS_MIGRATED)
    finally:
        over.set()
        for writer in writers:
            writer.join()
    assert not failed
    if kind != "add_unique":  # two that do not see each other may both write a value; the next sweep tells
        assert broken(journey, kind) == 0
    for number in written:
        expected[number] = ask(journey.db, f"SELECT {value}")
    assert journey.rollback(State.PLANNED) is State.PLANNED
    assert dict(rows(journey.db, f"SELECT id, {name} FROM books")) == expected


@kinds
def test_a_writer_without_rights(journeys: Journeys, roles: Roles, kind: str) -> None:
    """An application that may use neither schema ecm nor see every row writes like any other."""
    app = roles()
    journey = journeys(
        f"{START}; GRANT INSERT, UPDATE, SELECT ON books TO {app}; ALTER TABLE books ENABLE ROW LEVEL SECURITY;"
        f" CREATE POLICY own ON books TO {app} USING (id > 30) WITH CHECK (true)",
        CHANGES[kind],
    )
    journey.advance(State.BACKFILLED)
    with psycopg.connect(as_role(journey.url, app), autocommit=True) as db:
        run(db, "CREATE TEMPORARY TABLE books (id integer); CREATE TEMPORARY TABLE authors (id integer)")
        run(db, "SET search_path = pg_temp")
        run(db, f"UPDATE public.books SET {BROKEN[kind][1]} WHERE id = 41")
        run(db, "INSERT INTO public.books VALUES (901, 'isbn 3', -3, 90, NULL)")
    assert broken(journey, kind) == 0
    assert journey.rollback() is State.PLANNED
    assert ask(journey.db, f"SELECT {column(kind)} FROM books WHERE id = 901") in ("isbn 3", -3, 90, None)


@kinds
def test_the_tables_own_triggers_come_first(journeys: Journeys, kind: str) -> None:
    """What they fill in is not repaired before, and what they break is repaired after them."""
    fills = {"isbn": "'mine ' || NEW.id", "price": "5", "author": "4", "title": "'mine'"}[column(kind)]
    value = BROKEN[kind][1].partition("= ")[2]
    name = column(kind)
    start = f"""{START};
        CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF NEW.id = 901 AND NEW.{name} IS NOT DISTINCT FROM {value} THEN NEW.{name} := {fills}; ELSIF NEW.id = 902 THEN NEW.{name} := {value}; END IF;
          RETURN NEW; END $$;
        CREATE TRIGGER own BEFORE INSERT OR UPDATE ON books FOR EACH ROW EXECUTE FUNCTION own();
    """
    journey = journeys(start, CHANGES[kind])
    journey.advance(State.BACKFILLED)
    run(journey.db, f"INSERT INTO books (id, {name}) VALUES (901, {value}), (902, {fills.replace('NEW.id', '0')})")
    assert ask(journey.db, f"SELECT {name} FROM books WHERE id = 901") == ask(
        journey.db, f"SELECT {fills.replace('NEW.id', '901')}"
    )
    assert broken(journey, kind) == 0
    assert journey.rollback() is State.PLANNED
    assert ask(journey.db, f"SELECT {name} FROM books WHERE id = 902") == ask(journey.db, f"SELECT {value}")


@kinds
def test_a_replacement_that_cannot_be_computed_refuses_no_writer(journeys: Journeys, kind: str) -> None:
    """The write stands as it is, and the proof names the row."""
    failing = {
        "isbn": "(1 / (id - 901))::text || id",
        "price": "1 / (id - 901) + 5",
        "author": "1 / (id - 901) + 1",
        "title": "(1 / (id - 901))::text",
    }[column(kind)]
    using: Any = failing if kind == "set_not_null" else {column(kind): failing}
    journey = journeys(START, {**CHANGES[kind], "using": using})
    journey.advance(State.BACKFILLED)
    run(journey.db, "INSERT INTO books VALUES (901, 'isbn 3', -3, 90, NULL)")
    with pytest.raises((VerificationError, StatementFailedError)) as refused:
        journey.advance()
    assert (
        any(line.startswith("id=901") for line in refused.value.details) or "division by zero" in refused.value.message
    )


@kinds
def test_an_upsert_says_what_it_said(journeys: Journeys, kind: str) -> None:
    """What INSERT … ON CONFLICT DO UPDATE gives reaches its SET as it was given; what comes of it is repaired there."""
    name, value = BROKEN[kind][1].split(" = ")
    start = f"{START}; CREATE UNIQUE INDEX ON books (lower(id::text)) WHERE id > 0; ALTER TABLE books DROP CONSTRAINT books_pkey"
    journey = journeys(START if kind == "add_unique" else start, CHANGES[kind])
    journey.advance(State.BACKFILLED)
    given = {"isbn": "'isbn 3'", "price": "-1", "author": "88", "title": "NULL"}[name]
    target = "(id)" if kind == "add_unique" else "(lower(id::text)) WHERE id > 0"
    upsert = f"INSERT INTO books (id, {name}) VALUES ({{}}, {given}) ON CONFLICT {target} DO UPDATE SET {name} = "
    own = ask(journey.db, f"SELECT {name} FROM books WHERE id = 41")
    run(journey.db, upsert.format(41) + f"CASE WHEN excluded.{name} IS NOT DISTINCT FROM {given} THEN books.{name} END")
    assert ask(journey.db, f"SELECT {name} FROM books WHERE id = 41") == own
    run(journey.db, upsert.format(42) + f"excluded.{name}")
    run(journey.db, upsert.format(902) + f"excluded.{name}")
    assert broken(journey, kind) == 0
    assert journey.rollback() is State.PLANNED
    found = rows(journey.db, f"SELECT {name} FROM books WHERE id IN (41, 42, 902) ORDER BY id")
    assert found == [(own,), *[(ask(journey.db, f"SELECT {given}"),)] * 2]
    assert value


def test_an_upsert_that_meets_an_insert_in_flight_keeps_the_replacement(journeys: Journeys) -> None:
    """The limit that docs/decisions/0017 names: the upsert's own SET writes the replacement, and without a flag."""
    start = "CREATE TABLE t (id integer PRIMARY KEY, y integer); INSERT INTO t VALUES (1, 1)"
    journey = journeys(start, {"kind": "set_not_null", "table": "t", "column": "y", "using": "-1"})
    journey.advance()
    upsert = "INSERT INTO t VALUES ({}, NULL) ON CONFLICT (id) DO UPDATE SET y = excluded.y"
    with psycopg.connect(journey.url) as first, psycopg.connect(journey.url, autocommit=True) as second:
        run(first, "INSERT INTO t VALUES (2, 2)")
        waiting = Thread(target=run, args=(second, upsert.format(2)))
        waiting.start()
        while not ask(journey.db, f"SELECT pg_blocking_pids({second.info.backend_pid}) <> '{{}}'"):
            pass
        first.commit()
        waiting.join()
    run(journey.db, upsert.format(1))
    assert rows(journey.db, "SELECT id, y, y_ecm_repaired FROM t ORDER BY id") == [(1, -1, True), (2, -1, None)]
    assert journey.rollback() is State.PLANNED
    assert rows(journey.db, "SELECT id, y FROM t ORDER BY id") == [(1, None), (2, -1)]


# ---------------------------------------------------------------- shapes


@kinds
def test_quoted_names(journeys: Journeys, kind: str) -> None:
    """Names are exact, whatever is in them."""
    start = START.replace("books", '"The ""Books"""').replace("authors", '"Au.thors"')
    for name in ("isbn", "price", "author ", "author,", "title"):
        start = start.replace(f" {name}", f' "a {name.strip()} %"' + name[len(name.strip()) :])
    start = start.replace("a author %", "a author %")
    text = dict(CHANGES[kind].items())
    name = f"a {column(kind)} %"
    text["table"] = '"The ""Books"""'
    if kind == "set_not_null":
        text |= {"column": name, "using": "'Book ' || id"}
    else:
        using = {"add_check": "1", "add_unique": f"\"{name}\" || '/' || id", "add_foreign_key": "NULL"}[kind]
        text |= {"name": 'a "rule" %', "using": {name: using}}
    if kind == "add_check":
        text |= {"check": f'"{name}" > 0'}
    if "columns" in text:
        text |= {"columns": [name]}
    if "references" in text:
        text |= {"references": {"table": '"Au.thors"', "columns": ["id"]}}
    assert start
    journey = journeys(start, text)
    before = journey.fingerprint, contents(journey.db)
    journey.advance(State.READS_MIGRATED)
    assert journey.rollback(State.PLANNED) is State.PLANNED
    assert (journey.fingerprint, contents(journey.db)) == before
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


PARTITIONED = """
    CREATE TABLE authors (id integer PRIMARY KEY); INSERT INTO authors SELECT generate_series(1, 20);
    CREATE TABLE books (id integer, isbn text, price integer, author integer, title text, PRIMARY KEY (id))
      PARTITION BY RANGE (id);
    CREATE TABLE books_1 PARTITION OF books FOR VALUES FROM (0) TO (30);
    CREATE TABLE books_2 PARTITION OF books FOR VALUES FROM (30) TO (1000);
    INSERT INTO books SELECT g, 'isbn ' || g % 50, g - 10, g % 25, CASE WHEN g % 4 > 0 THEN 'Book ' || g END
      FROM generate_series(1, 60) g;
"""


@kinds
def test_partitioned(journeys: Journeys, kind: str) -> None:
    """Every partition is repaired, and held to the rule like the whole; a row that moves keeps what was kept of it."""
    change = (
        {**CHANGES[kind], "columns": ["isbn", "id"], "name": "books_isbn_id_key"}
        if kind == "add_unique"
        else CHANGES[kind]
    )
    end = direct(kind)
    if kind == "add_unique":  # no two rows share an id
        end = "ALTER TABLE books ADD CONSTRAINT books_isbn_id_key UNIQUE (isbn, id)"
    writes = (
        f"UPDATE books SET {BROKEN[kind][1]} WHERE id = 41",
        "INSERT INTO books SELECT max(id) + 1, 'isbn 3', -3, 90, NULL FROM books",
        "UPDATE books SET id = id + 500 WHERE id IN (4, 24, 25)",
    )
    round_trip(journeys(PARTITIONED, change), direct=end, writes=writes, repairs=True)


# ---------------------------------------------------------------- half way


@kinds
def test_a_contract_that_stops_half_way_can_be_taken_back(
    journeys: Journeys, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the validation it stops; back from there nothing is left but what reads migrated had."""
    journey = journeys(START, CHANGES[kind])
    start, first = journey.fingerprint, contents(journey.db)
    journey.advance(State.READS_MIGRATED)
    ready = journey.fingerprint

    def stop(event: Any) -> None:
        key = getattr(event, "key", "")
        if type(event).__name__ == "StepStarted" and (key.startswith("validate") or key == "contract"):
            raise StatementFailedError("stopped")

    journey.on_event = stop
    with pytest.raises(StatementFailedError, match="stopped"):
        journey.advance()
    journey.on_event = None
    assert journey.fingerprint != ready
    run(journey.db, f"UPDATE books SET {BROKEN[kind][1]} WHERE id = 41")  # old writers are still at work
    assert journey.rollback() is State.READS_MIGRATED
    assert journey.fingerprint == ready
    journey.on_event = stop
    with pytest.raises(StatementFailedError, match="stopped"):
        journey.advance()
    journey.on_event = None
    assert journey.rollback(State.PLANNED) is State.PLANNED
    assert journey.fingerprint == start
    run(journey.db, "UPDATE books SET (isbn, price, author, title) = ('isbn 41', 31, 16, 'Book 41') WHERE id = 41")
    assert contents(journey.db) == first
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


# ---------------------------------------------------------------- golden steps


def keys(journey: Journey, phase: Phase) -> list[str]:
    """Return the keys of a phase's steps."""
    return [step.key for step in journey.steps(phase)]


@kinds
def test_the_order_of_steps(journeys: Journeys, kind: str) -> None:
    """New rows are held to the rule, the others repaired for the last time and proven, and only then it is validated."""
    journey = journeys(START, CHANGES[kind])
    (tried, *more, last) = keys(journey, Phase.EXPAND)
    assert tried.startswith("try")
    assert more == (["index books_isbn_key_ecm on books"] if kind == "add_unique" else [])
    assert last == "expand"
    again = ["sweep books again"] if kind in ("add_unique", "add_foreign_key") else []
    assert keys(journey, Phase.BACKFILL) == ["sweep books"]
    assert keys(journey, Phase.MIGRATE_READS) == ["analyze books", *again, "watch", "proof books"]
    contract = {
        "set_not_null": ["hold title_not_null_ecm of books", "proof books", "validate title_not_null_ecm of books"],
        "add_check": ["hold fair of books", "proof books", "validate fair of books"],
        "add_unique": [
            *again,
            "proof books",
            "index of repaired rows for add-books-isbn-key on books",
            "index books_isbn_key on books",
        ],
        "add_foreign_key": [
            "hold books_author_fkey on books",
            *again,
            "proof books",
            "index of repaired rows for add-books-author-fkey on books",
            "validate books_author_fkey on books",
        ],
    }
    assert keys(journey, Phase.CONTRACT) == [*contract[kind], "contract"]


def test_what_is_sent_to_set_not_null(journeys: Journeys) -> None:
    """To the letter: the hidden column, the sweep, and contract."""
    journey = journeys(START, CHANGES["set_not_null"])
    expand = [statement.as_string(None) for statement in journey.steps(Phase.EXPAND)[-1].statements]
    assert 'ALTER TABLE "public"."books" ADD COLUMN "title_ecm_repaired" boolean' in expand
    (sweep,) = journey.steps(Phase.BACKFILL)
    assert sweep.statements[0].as_string(None) == (
        'UPDATE ONLY "public"."books" SET ("title", "title_ecm_repaired", "title_ecm_put") ='
        ' (SELECT "~value", true, "~value" FROM (SELECT CASE WHEN true THEN (\'Book \' || id) ELSE "title" END'
        ' AS "~value") AS "~put")'
        " WHERE ctid >= '(first,0)' AND ctid < '(end,0)' AND ((\"title\" IS NOT DISTINCT FROM NULL))"
    )
    contract = [statement.as_string(None) for statement in journey.steps(Phase.CONTRACT)[-1].statements]
    assert contract[-3:] == [
        'DROP FUNCTION IF EXISTS "ecm"."met_public.books_require-title"("public"."books")',
        'ALTER TABLE "public"."books" ALTER COLUMN "title" SET NOT NULL',
        'ALTER TABLE "public"."books" DROP CONSTRAINT "title_not_null_ecm"',
    ]


# ---------------------------------------------------------------- together


def test_together_with_two_sides(journeys: Journeys) -> None:
    """One plan renames a column and puts rules on others, on a table with triggers of its own."""
    start = f"""{START};
        CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          NEW.price := NEW.price + 0; RETURN NEW; END $$;
        CREATE TRIGGER own BEFORE INSERT OR UPDATE OF title ON books FOR EACH ROW EXECUTE FUNCTION own();
    """
    rename = {"kind": "rename_column", "table": "books", "column": "title", "to": "name"}
    journey = journeys(start, rename, *(CHANGES[kind] for kind in ("add_check", "add_unique", "add_foreign_key")))
    repaired = ("add_unique", "add_check", "add_foreign_key")
    end = "; ".join((*map(direct, repaired), "ALTER TABLE books RENAME COLUMN title TO name"))
    writes = (
        "INSERT INTO books SELECT max(id) + 1, 'isbn 3', -3, 90, NULL FROM books",
        "UPDATE books SET title = 'other', price = -9 WHERE id = 41",
        "UPDATE books SET author = 77 WHERE id = 42",
    )
    round_trip(journey, direct=end, writes=writes, repairs=True)


def test_a_row_whose_own_value_keeps_the_rule_again(journeys: Journeys) -> None:
    """What the application wrote counts as soon as another of its writes makes it right, and for good."""
    start = "CREATE TABLE ev (id integer PRIMARY KEY, a integer, b integer); INSERT INTO ev VALUES (1, 5, 8), (2, 9, 3)"
    change = {"kind": "add_check", "table": "ev", "name": "ordered", "check": "a < b", "using": {"b": "a + 1"}}
    journey = journeys(start, change)
    journey.advance(State.BACKFILLED)
    run(journey.db, "UPDATE ev SET b = 4 WHERE id = 1")
    assert rows(journey.db, "SELECT a, b FROM ev ORDER BY id") == [(5, 6), (9, 10)]
    run(journey.db, "UPDATE ev SET a = 1")
    assert rows(journey.db, "SELECT a, b FROM ev ORDER BY id") == [(1, 4), (1, 3)]
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
    assert rows(journey.db, "SELECT a, b FROM ev ORDER BY id") == [(1, 4), (1, 3)]


TWO_SIDED = "CREATE TABLE t (id integer PRIMARY KEY, n integer, u text DEFAULT 'same'); INSERT INTO t SELECT g, g FROM generate_series(1, 9) g;"
WIDER = {"kind": "change_type", "table": "t", "column": "n", "type": "bigint", "to": "m"}
UNIQUE = {"kind": "add_unique", "table": "t", "name": "t_u", "columns": ["u"], "using": {"u": "u || '/' || id"}}
LARGE = "UPDATE t SET m = 3000000000 WHERE id = 3"


@pytest.mark.parametrize("state", [State.EXPANDED, State.BACKFILLED])
@pytest.mark.parametrize("resumed", [False, True])
def test_a_rollback_that_another_change_refuses_leaves_the_repair_as_it_was(
    journeys: Journeys, state: State, *, resumed: bool
) -> None:
    """It had ended the repair before the proof: that is taken up again, and the plan may go on, and back later."""
    journey = journeys(TWO_SIDED, WIDER, UNIQUE)
    journey.advance(state)
    before = journey.fingerprint
    run(journey.db, LARGE)
    for _ in range(1 + resumed):
        with pytest.raises(VerificationError, match="the old side cannot hold what the new one has"):
            journey.rollback()
    assert journey.state is state
    assert journey.fingerprint == before
    run(journey.db, "INSERT INTO t (id, n, u) VALUES (30, 5, 'same/1'), (31, 6, 'same/1')")
    if state is State.BACKFILLED:
        assert ask(journey.db, "SELECT count(DISTINCT u) = count(*) AND bool_and(m IS NOT NULL) FROM t")
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
    assert ask(journey.db, "SELECT m FROM t WHERE id = 3") == 3000000000


def test_a_rollback_that_another_change_refuses_ends_once_it_is_set_right(journeys: Journeys) -> None:
    """Every row has its own value back."""
    journey = journeys(TWO_SIDED, WIDER, UNIQUE)
    before, own = journey.fingerprint, contents(journey.db)
    journey.advance(State.BACKFILLED)
    run(journey.db, LARGE)
    with pytest.raises(VerificationError):
        journey.rollback()
    run(journey.db, "UPDATE t SET m = 3 WHERE id = 3")
    assert journey.rollback() is State.PLANNED
    assert (journey.fingerprint, contents(journey.db)) == (before, own)


def test_a_value_that_comes_while_rows_have_their_own_back(journeys: Journeys) -> None:
    """There is no way forward any more, and the error says so; both versions write, and the way back ends."""
    journey = journeys(TWO_SIDED, WIDER, UNIQUE)
    before, own = journey.fingerprint, contents(journey.db)
    journey.advance(State.BACKFILLED)
    left = [LARGE]

    def meanwhile(event: Any) -> None:
        if getattr(event, "key", "") == "restore t" and left:
            run(journey.db, left.pop())

    journey.on_event = meanwhile
    with pytest.raises(VerificationError) as refused:
        journey.rollback()
    journey.on_event = None
    assert refused.value.hint == "change these values or delete these rows, then roll back again"
    run(
        journey.db,
        "INSERT INTO t (id, n, u) VALUES (30, 5, 'own'), (31, 6, 'own'); INSERT INTO t (id, m, u) VALUES (32, 5, 'own')",
    )
    assert ask(journey.db, "SELECT bool_and(m = n) FROM t WHERE id >= 30")
    run(journey.db, "DELETE FROM t WHERE id >= 30; UPDATE t SET m = 3 WHERE id = 3")
    assert journey.rollback() is State.PLANNED
    assert (journey.fingerprint, contents(journey.db)) == (before, own)
