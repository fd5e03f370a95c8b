"""A column is renamed behind a view in the table's place: no copy, and both names work until contract."""

import threading
from collections.abc import Callable
from io import StringIO
from typing import Any

import psycopg
import pytest
from operations.conftest import Journeys, Roles
from operations.harness import Db, Journey, ask, make_plan, round_trip, rows, run, undone
from operations.test_rename_table import DIRECT as TABLE_DIRECT
from operations.test_rename_table import RENAME as TABLE
from psycopg import errors
from pydantic import ValidationError
from servers import both_versions

from orchestrator.cli.render import screen
from orchestrator.cli.render.look import console, rendered
from orchestrator.errors import PreconditionError, PrivilegeError, RefusedError
from orchestrator.plan import compile as compiler
from orchestrator.plan.checksum import checksum
from orchestrator.plan.lifecycle import PHASES, Phase, State
from orchestrator.reports import Report
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.steps import Transaction

BOOKS = """
    CREATE TABLE authors (id integer PRIMARY KEY); INSERT INTO authors SELECT generate_series(1, 9);
    CREATE TABLE books (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, year integer DEFAULT 1900 CHECK (year > 0) UNIQUE,
      title text NOT NULL, author integer REFERENCES authors, serial serial,
      century integer GENERATED ALWAYS AS (year / 100) STORED);
    INSERT INTO books (title, year, author) SELECT 'Book ' || g, 1000 + g, 1 + g % 9 FROM generate_series(1, 50) g;
    CREATE INDEX of_title ON books (title, year);
    CREATE TABLE loans (book integer REFERENCES books ON DELETE CASCADE); INSERT INTO loans VALUES (3);
    COMMENT ON TABLE books IS 'all of them'; COMMENT ON COLUMN books.year IS 'of publication';
    CREATE VIEW old AS SELECT id, year FROM books WHERE year < 1950;
    CREATE MATERIALIZED VIEW kept AS SELECT max(year) AS year FROM books;
    CREATE FUNCTION newest() RETURNS integer BEGIN ATOMIC SELECT max(year) FROM books; END;
    CREATE STATISTICS both_of ON year, title FROM books;
    ALTER TABLE books ALTER year SET STATISTICS 500;
"""
YEAR = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
FACADE = {"strategy": "facade"}
DIRECT = "ALTER TABLE books RENAME year TO published"


def in_step(db: Db) -> None:
    """What is written through one name shows under both, with all that the table gives a row."""
    for mine, other in (("year", "published"), ("published", "year")):
        inserted = rows(db, f"INSERT INTO books (title, {mine}) VALUES ('x', 2000) RETURNING {other}, century, author")
        assert inserted == [(2000, 20, None)]
        assert ask(db, "INSERT INTO books (title) VALUES ('y') RETURNING published") == 1900
        assert ask(db, f"UPDATE books SET {mine} = 2100 WHERE {other} = 2000 RETURNING {other}") == 2100
        assert ask(db, f"SELECT {other} FROM books WHERE {mine} = 2100 FOR UPDATE") == 2100
        for target in (mine, other):
            upsert = f"INSERT INTO books (title, {mine}) VALUES ('z', 2100) ON CONFLICT ({target})"
            assert ask(db, f"{upsert} DO UPDATE SET {mine} = excluded.{other} RETURNING {other}") == 2100
            run(db, f"{upsert} DO NOTHING")
        run(db, "INSERT INTO books (id, title, year) OVERRIDING SYSTEM VALUE VALUES (900, 'o', 7)")
        with pytest.raises(errors.GeneratedAlways), undone(db):
            run(db, "INSERT INTO books (id, title) VALUES (900, 'o')")
        for wrong, error in (
            (f"(title, {mine}) VALUES ('x', 0)", errors.CheckViolation),
            (f"(title, {mine}) VALUES ('x', 1001)", errors.UniqueViolation),
            ("(title, year, author) VALUES ('x', 1, 77)", errors.ForeignKeyViolation),
        ):
            with pytest.raises(error), undone(db):
                run(db, f"INSERT INTO books {wrong}")
        run(db, f"DELETE FROM books WHERE {mine} NOT BETWEEN 1001 AND 1050")
    # Positions are those of the table; the new name comes after them.
    assert rows(db, "SELECT * FROM books WHERE id = 5") == [(5, 1005, "Book 5", 6, 5, 10, 1005)]
    run(db, "DELETE FROM books WHERE id = 3")
    assert ask(db, "SELECT count(*) FROM loans") == 0
    assert ask(db, "SELECT count(*) FROM old") == 49
    run(db, "REFRESH MATERIALIZED VIEW kept")
    assert ask(db, "SELECT newest()") == 1050


def sent(journey: Journey, phase: Phase) -> list[str]:
    """Return what a phase sends."""
    return [statement.as_string(None) for step in journey.steps(phase) for statement in step.statements]


def taken_back(journey: Journey, phase: Phase) -> list[str]:
    """Return what its undoing sends."""
    steps = compiler.undo(journey.plan, phase, journey.facts(), filled=True)
    return [statement.as_string(None) for step in steps for statement in step.inverse]


def test_steps(journeys: Journeys) -> None:
    """Whatever the size; the facts stay those of the table, so that each phase is the same before and after it ran."""
    journey = journeys("CREATE TABLE books (id integer, year integer)", YEAR, expand=FACADE)
    invoker = "WITH (security_invoker = true) " if journey.db.info.server_version >= 150000 else ""
    steps: dict[Phase, list[str]] = {
        Phase.EXPAND: [
            'ALTER TABLE "public"."books" RENAME TO "books_ecm"',
            f'CREATE VIEW "public"."books" {invoker}AS SELECT *, "year" AS "published" FROM "public"."books_ecm"',
            'COMMENT ON VIEW "public"."books" IS \'made by ecm, and taken away at contract\'',
        ],
        Phase.BACKFILL: [],
        Phase.MIGRATE_READS: [],
        Phase.CONTRACT: [
            'DROP VIEW "public"."books"',
            'ALTER TABLE "public"."books_ecm" RENAME TO "books"',
            'ALTER TABLE "public"."books" RENAME COLUMN "year" TO "published"',
        ],
    }
    back = ['DROP VIEW "public"."books"', 'ALTER TABLE "public"."books_ecm" RENAME TO "books"']
    for phase in PHASES:
        assert {each: sent(journey, each) for each in PHASES} == steps
        assert taken_back(journey, Phase.EXPAND) == back
        journey.advance()
        assert phase is Phase.CONTRACT or journey.facts()[TableName("public", "books")].behind == TableName(
            "public", "books_ecm"
        )


@both_versions
def test_round_trip(journeys: Journeys) -> None:
    """All that hangs on the table stays where it is; the file of its rows is never another."""
    journey = journeys(BOOKS, YEAR, expand=FACADE)
    node = ask(journey.db, "SELECT pg_relation_filenode('books')")
    round_trip(journey, direct=DIRECT, holds=in_step)
    assert ask(journey.db, "SELECT pg_relation_filenode('books')") == node


def test_no_write_is_lost(journeys: Journeys) -> None:
    """What was written through the new name is there under the old one when the new is taken back."""
    writes = ["UPDATE books SET published = published + 1000", "INSERT INTO books (title, published) VALUES ('w', 3)"]
    start = BOOKS.replace(" UNIQUE", "")
    round_trip(journeys(start, YEAR, expand=FACADE), direct=DIRECT, writes=writes)


def test_several_columns_and_tables(journeys: Journeys) -> None:
    """One view for all of a table's columns; one transaction for all tables."""
    title = {**YEAR, "column": "title", "to": "heading"}
    author = {**YEAR, "table": "authors", "column": "id", "to": "number"}
    direct = f"{DIRECT}; ALTER TABLE books RENAME title TO heading; ALTER TABLE authors RENAME id TO number"
    journey = journeys(BOOKS, YEAR, author, title, expand=FACADE)

    def all_names(db: Db) -> None:
        run(db, "INSERT INTO authors (number) VALUES (10); INSERT INTO books (heading, published) VALUES ('h', 9)")
        assert rows(db, "SELECT title, year FROM books WHERE heading = 'h'") == [("h", 9)]
        assert ask(db, "SELECT count(*) FROM authors WHERE id = number") == 10

    round_trip(journey, direct=direct, holds=all_names)


def test_with_the_tables_own_name(journeys: Journeys) -> None:
    """Four names for a column, one row: old and new table, old and new column."""
    journey = journeys(BOOKS, YEAR, TABLE, expand=FACADE)

    def four(db: Db) -> None:
        in_step(db)
        run(db, "UPDATE volumes SET published = 2200 WHERE id = 7; UPDATE volumes SET year = year + 1 WHERE id = 7")
        assert rows(db, "SELECT year, published FROM books WHERE id = 7") == [(2201, 2201)]

    round_trip(journey, direct=f"{DIRECT}; {TABLE_DIRECT}", holds=four)


def test_the_tables_name_alone(journeys: Journeys) -> None:
    """It needs no more than a view beside it, as without a facade."""
    journey = journeys(BOOKS, TABLE, expand=FACADE)
    assert "RENAME" not in "".join(sent(journey, Phase.EXPAND))
    round_trip(journey, direct=TABLE_DIRECT)


@pytest.mark.parametrize(
    ("start", "change", "direct"),
    [
        (
            'CREATE SCHEMA "My Shop"; CREATE TABLE "My Shop"."Old""s %" ("Id %" integer);'
            ' INSERT INTO "My Shop"."Old""s %" VALUES (1)',
            {"table": '"My Shop"."Old""s %"', "column": "Id %", "to": 'n"ew'},
            'ALTER TABLE "My Shop"."Old""s %" RENAME "Id %" TO "n""ew"',
        ),
        (
            f"CREATE TABLE {'b' * 63} (year integer)",
            {"table": "b" * 63},
            f"ALTER TABLE {'b' * 63} RENAME year TO published",
        ),
        ("CREATE UNLOGGED TABLE books (id integer, year integer)", {}, DIRECT),
        (
            "CREATE TABLE books (id integer, year integer) PARTITION BY RANGE (year);"
            "CREATE TABLE b1 PARTITION OF books DEFAULT; CREATE INDEX ON books (year);"
            "CREATE TABLE b2 PARTITION OF books FOR VALUES FROM (1) TO (10); INSERT INTO books VALUES (1, 3), (2, 30)",
            {},
            DIRECT,
        ),
        ("CREATE TABLE books (id integer, year integer GENERATED ALWAYS AS (id * 2) STORED)", {}, DIRECT),
        ("CREATE DOMAIN d AS integer NOT NULL; CREATE TABLE books (year d); INSERT INTO books VALUES (1)", {}, DIRECT),
    ],
    ids=["quoted", "long", "unlogged", "partition key", "generated", "domain that refuses NULL"],
)
def test_any_table(journeys: Journeys, start: str, change: dict[str, Any], direct: str) -> None:
    """Any name; and columns that a copy cannot keep in step."""
    round_trip(journeys(start, {**YEAR, **change}, expand=FACADE), direct=direct)


def test_as_an_application_role(journeys: Journeys, roles: Roles) -> None:
    """Grants of the table, policies and triggers hold for a role as they do without the view."""
    role, other = roles(), roles()
    start = f"""{BOOKS}
        CREATE TABLE log (who text, what text); GRANT INSERT ON log TO PUBLIC;
        CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
          'BEGIN INSERT INTO public.log VALUES (current_user, TG_OP); RETURN NEW; END';
        CREATE TRIGGER noted BEFORE INSERT OR UPDATE OF year ON books FOR EACH ROW EXECUTE FUNCTION noted();
        GRANT SELECT, INSERT, UPDATE (year) ON books TO {role}; GRANT ALL ON books TO {other} WITH GRANT OPTION;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role};
        ALTER TABLE books ENABLE ROW LEVEL SECURITY;
        CREATE POLICY even ON books TO {role} USING (year % 2 = 0);
    """
    journey = journeys(start, YEAR, expand=FACADE)
    if journey.db.info.server_version < 150000:
        with pytest.raises(PreconditionError, match="row-level security, and a view would pass it by"):
            journey.advance()
        return

    def as_it(db: Db) -> None:
        run(db, f"SET LOCAL ROLE {role}")
        assert ask(db, "SELECT count(*) FROM books") == 25
        run(
            db,
            "INSERT INTO books (title, published) VALUES ('x', 2000); UPDATE books SET published = 2002 WHERE year = 2000",
        )
        assert ask(db, "UPDATE books SET published = 2004 WHERE year = 1001 RETURNING id") is None
        for refused in (
            "UPDATE books SET title = 'x'",
            "DELETE FROM books",
            "INSERT INTO books (title, year) VALUES ('x', 3)",
        ):
            with pytest.raises(errors.InsufficientPrivilege), undone(db):
                run(db, refused)
        run(db, "RESET ROLE")
        assert rows(db, "SELECT * FROM log") == [(role, "INSERT"), (role, "UPDATE")]

    round_trip(journey, direct=DIRECT, holds=as_it)


def test_as_a_role_that_may_read_some_columns(journeys: Journeys, roles: Roles) -> None:
    """A view with its users' rights would ask for every column; so the view acts with its owner's."""
    role = roles()
    start = f"{BOOKS}; GRANT SELECT (id, year), UPDATE (year) ON books TO {role}"
    journey = journeys(start, YEAR, expand=FACADE)

    def as_it(db: Db) -> None:
        run(db, f"SET LOCAL ROLE {role}")
        assert rows(db, "UPDATE books SET published = year + 1 WHERE id = 50 RETURNING year, published") == [
            (1051, 1051)
        ]
        with pytest.raises(errors.InsufficientPrivilege), undone(db):
            run(db, "SELECT title FROM books")
        run(db, "RESET ROLE")

    round_trip(journey, direct=DIRECT, holds=as_it)
    with pytest.raises(PreconditionError, match="row-level security"):
        journeys(f"{start}; ALTER TABLE books ENABLE ROW LEVEL SECURITY", YEAR, expand=FACADE).advance()


def test_as_the_owner(journeys: Journeys, roles: Roles) -> None:
    """A role that owns no more than the table can do it, and the view is its own."""
    role = roles()
    journey = journeys(BOOKS, YEAR, expand=FACADE, role=role)
    run(journey.db, f"ALTER TABLE books OWNER TO {role}; GRANT CREATE ON SCHEMA public TO {role}")
    run(journey.db, f"GRANT CREATE ON DATABASE {journey.db.info.dbname} TO {role}")
    round_trip(journey, direct=DIRECT)
    journey = journeys(BOOKS, YEAR, expand=FACADE)
    run(journey.db, f"ALTER TABLE books OWNER TO {role}")
    with pytest.raises(PrivilegeError, match="may not own a view in schema public"):
        journey.advance()
    run(journey.db, f"GRANT CREATE ON SCHEMA public TO {role}")
    journey.advance()
    assert ask(journey.db, "SELECT relowner::regrole::text FROM pg_class WHERE oid = 'books'::regclass") == role


def beware(journey: Journey) -> str:
    """Return what a person is told before the plan begins."""
    return "\n".join(compiler.beware(journey.plan, journey.facts()))


def test_what_the_application_must_not_do_is_said(journeys: Journeys, roles: Roles) -> None:
    """And it is so."""
    role = roles()
    journey = journeys(f"{BOOKS}; GRANT TRUNCATE ON books TO {role}", YEAR, expand=FACADE)
    text = beware(journey)
    assert "no INSERT or UPDATE may name both year and published: they are one column" in text
    assert "COPY, TRUNCATE" in text
    assert f"may TRUNCATE books, and would fail on the view: {role}" in text
    assert "pg_stat_statements cannot be read here" in text
    journey.advance()
    for statement in (
        "INSERT INTO books (title, year, published) VALUES ('x', 1, 1)",
        "UPDATE books SET year = 1, published = 1",
        "COPY books FROM '/dev/null'",
        "TRUNCATE books",
        "ALTER TABLE books ADD COLUMN z integer",
        "INSERT INTO books (title) VALUES ('x') ON CONFLICT ON CONSTRAINT books_pkey DO NOTHING",
    ):
        with pytest.raises(psycopg.Error), undone(journey.db):
            run(journey.db, statement)


COUNTED = """
    CREATE VIEW public.pg_stat_statements AS SELECT d.oid AS dbid, s.query, s.calls::bigint
    FROM (VALUES ('COPY books (title) FROM STDIN', 12), ('copy  public.books to stdout', 3), ('TRUNCATE loans, "books"', 4),
      ('ALTER TABLE books ADD x integer', 1), ('COPY (SELECT * FROM books) TO STDOUT', 9), ('SELECT * FROM books', 99),
      ('SELECT ctid FROM books', 5), ('COPY mybooks FROM STDIN', 8), ('TRUNCATE loans', 6)) s (query, calls)
    CROSS JOIN pg_database d WHERE d.datname = current_database()
"""


def test_statements_that_were_seen(journeys: Journeys) -> None:
    """Where pg_stat_statements counts, it tells who does what will not go through the view, and how often."""
    journey = journeys(f"{BOOKS}; {COUNTED}", YEAR, expand=FACADE)
    assert "pg_stat_statements cannot be read here" in beware(journey), "a view that is not the extension's is not read"
    run(journey.db, "ALTER EXTENSION plpgsql ADD VIEW public.pg_stat_statements")
    assert [line for line in beware(journey).splitlines() if "would fail on the view: " in line] == [
        f"would fail on the view: {line}"
        for line in (
            "COPY books (title) FROM STDIN  (12 calls)",
            "SELECT ctid FROM books  (5 calls)",
            'TRUNCATE loans, "books"  (4 calls)',
            "copy public.books to stdout  (3 calls)",
            "ALTER TABLE books ADD x integer  (1 call)",
        )
    ]


REPLICATED = {
    "table": "CREATE PUBLICATION p FOR TABLE books",
    "all": "CREATE PUBLICATION p FOR ALL TABLES",
    "subscription": """
        CREATE SUBSCRIPTION p CONNECTION 'dbname=nowhere' PUBLICATION q
          WITH (connect = false, slot_name = NONE, enabled = false);
        INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) SELECT oid, 'books'::regclass, 'r' FROM pg_subscription
    """,
}


@pytest.mark.parametrize("kind", REPLICATED)
def test_replicated_table(journeys: Journeys, kind: str) -> None:
    """Logical replication goes by name: the other side would look for the table that was renamed aside."""
    journey = journeys(BOOKS, YEAR, expand=FACADE)
    if kind == "subscription":
        run(journey.db, "SET allow_system_table_mods = on")
    for statement in REPLICATED[kind].split(";"):
        run(journey.db, statement)
    with pytest.raises(PreconditionError, match="books is replicated, and cannot be behind a view") as refused:
        journey.advance()
    assert "a copy keeps the table's name" in (refused.value.hint or "")
    if kind == "subscription":
        run(journey.db, "DROP SUBSCRIPTION p")


MINDING = {
    "takes": (
        "CREATE FUNCTION f(b books) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "SELECT f(b) FROM books b",
    ),
    "returns": (
        "CREATE FUNCTION f() RETURNS SETOF books LANGUAGE sql AS 'SELECT * FROM books'",
        "SELECT f()",
    ),
    "asks": (
        """
        CREATE TABLE log (what text);
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
          'BEGIN IF TG_TABLE_NAME <> ''books'' THEN RAISE ''who?''; END IF; RETURN NEW; END';
        CREATE TRIGGER t BEFORE UPDATE ON books FOR EACH ROW EXECUTE FUNCTION f()
        """,
        "UPDATE books SET author = 1",
    ),
}


@pytest.mark.parametrize("kind", MINDING)
def test_functions_that_mind_a_view(journeys: Journeys, kind: str) -> None:
    """A view has a row type and a table behind it of another name: who minds is named, and has to be acknowledged."""
    make, use = MINDING[kind]
    journey = journeys(f"{BOOKS}; {make}", YEAR, expand=FACADE)
    before = journey.fingerprint
    with pytest.raises(PreconditionError, match=r"function public\.f cannot follow"):
        journey.advance()
    assert journey.fingerprint == before
    run(journey.db, use)
    journey.with_plan(expand={**FACADE, "acknowledge": ["public.f"]})
    journey.advance()
    with pytest.raises(psycopg.Error):
        run(journey.db, use)
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
    run(journey.db, use)


def test_function_that_names_the_column(journeys: Journeys) -> None:
    """As with a copy: it fails once the old name is gone, and has to be acknowledged."""
    names = "CREATE FUNCTION f() RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(year) FROM books); END'"
    journey = journeys(f"{BOOKS}; {names}", YEAR, expand=FACADE)
    with pytest.raises(PreconditionError, match=r"public\.f cannot follow: its plpgsql body names year"):
        journey.advance()
    journey.with_plan(expand={**FACADE, "acknowledge": ["public.f"]})
    round_trip(journey, direct=DIRECT, holds=lambda db: run(db, "SELECT f()"))


MADE_ON_IT = {
    "view": ("CREATE VIEW public.on_it AS SELECT published FROM books", "DROP VIEW on_it"),
    "default value": ("ALTER TABLE books ALTER title SET DEFAULT 'x'", "ALTER TABLE books ALTER title DROP DEFAULT"),
    "grant": ("GRANT SELECT ON books TO pg_monitor", "GRANT SELECT ON books_ecm TO pg_monitor"),
    "grant on a column": (
        "GRANT SELECT (published) ON books TO pg_monitor",
        "GRANT SELECT (year) ON books_ecm TO pg_monitor",
    ),
    "owner": ("ALTER TABLE books OWNER TO pg_monitor", "ALTER TABLE books_ecm OWNER TO pg_monitor"),
}


@pytest.mark.parametrize("kind", MADE_ON_IT)
def test_what_was_made_on_the_view_stops_contract(journeys: Journeys, kind: str) -> None:
    """It would go with the view: it is named, and contract goes on once it is gone, or on the table too."""
    journey = journeys(BOOKS, YEAR, expand=FACADE)
    journey.advance(State.READS_MIGRATED)
    make, settle = MADE_ON_IT[kind]
    run(journey.db, make)
    before = journey.fingerprint
    with pytest.raises(PreconditionError, match="was made on the view that has the table's place") as refused:
        journey.advance()
    assert refused.value.message.startswith(kind.partition(" ")[0])
    assert journey.fingerprint == before
    run(journey.db, settle)
    assert journey.advance() is State.CONTRACTED


def test_a_view_of_someone_elses_is_no_facade(journeys: Journeys) -> None:
    """Not even where it has the same names: ecm's own says so."""
    start = f"{BOOKS}; ALTER TABLE books RENAME TO books_ecm; CREATE VIEW books AS SELECT * FROM books_ecm"
    for journey in (journeys(start, YEAR), journeys(start, YEAR, expand=FACADE)):
        before = journey.fingerprint
        with pytest.raises(PreconditionError, match="view books over books_ecm has not the comment"):
            journey.advance()
        assert journey.fingerprint == before


def test_a_facade_that_lost_its_comment(journeys: Journeys) -> None:
    """The hint gives it back."""
    journey = journeys(BOOKS, YEAR, expand=FACADE)
    journey.advance(State.READS_MIGRATED)
    run(journey.db, "COMMENT ON VIEW books IS 'mine'")
    with pytest.raises(PreconditionError, match="has not the comment by which ecm knows its own") as refused:
        journey.advance()
    run(journey.db, (refused.value.hint or "").partition(": ")[2])
    assert journey.advance() is State.CONTRACTED


@pytest.mark.parametrize("what", ["TABLE books_ecm (id integer)", "VIEW books_ecm AS SELECT * FROM books"])
def test_the_name_aside_is_taken(journeys: Journeys, what: str) -> None:
    """Whatever has that name keeps it."""
    with pytest.raises(PreconditionError, match="books_ecm already"):
        journeys(f"{BOOKS}; CREATE {what}", YEAR, expand=FACADE).advance()


def test_no_other_plan_on_the_table_meanwhile(journeys: Journeys) -> None:
    """Behind a facade the whole table is claimed, not the columns alone."""
    journey = journeys(BOOKS, YEAR, expand=FACADE)
    conductor = journey.conductor
    other = make_plan("other", [{**YEAR, "column": "title", "to": "heading"}])
    (journey.folder / "plans" / "other.yaml").write_text(other.model_dump_json())
    journey.advance()
    with pytest.raises(RefusedError) as refused:
        conductor.advance("other", "main")
    assert any("change is under way" in line for line in refused.value.details)
    obstacles = conductor.preview("other", "main").obstacles
    assert any("behind a view of ecm's until another plan contracts" in each.message for each in obstacles)


@pytest.mark.parametrize(
    "kind",
    [
        {"kind": "add_column", "table": "books", "column": "x", "type": "integer"},
        {"kind": "merge_columns", "table": "books", "columns": ["a", "b"], "into": {"column": "c", "type": "text", "using": "a"}, "reverse": {"a": "c", "b": "c"}},
    ],
    ids=lambda kind: kind["kind"],
)  # fmt: skip
def test_only_for_renames(kind: dict[str, Any]) -> None:
    """What makes another value cannot be shown by a view that is written through."""
    with pytest.raises(
        ValidationError, match=f"shows a column under two names, and {kind['kind']} makes another value"
    ):
        make_plan("p", [YEAR, kind], expand=FACADE)


def test_the_strategy_is_part_of_what_a_plan_means() -> None:
    """Development with a copy proves nothing about production with a facade."""
    assert checksum(make_plan("p", [YEAR], expand=FACADE)) != checksum(make_plan("p", [YEAR]))


def test_nothing_to_compare(journeys: Journeys) -> None:
    """Verify and status know that there is one row behind both names."""
    journey = journeys(BOOKS, YEAR, expand=FACADE)
    journey.advance()
    found = journey.conductor.verify("change", "main")
    assert (found.rows, found.mismatches) == (0, 0)
    assert found.nothing_to_compare
    (plan,) = journey.conductor.status().plans
    (branch,) = plan.branches
    assert (branch.state, branch.progress, branch.blocked_by) == ("expanded", None, ())


def test_is_proposed_where_it_can_be_done(journeys: Journeys) -> None:
    """For a table of some size, and where nothing is in the way of a view."""
    for settle, expected in (("", "facade"), ("CREATE PUBLICATION p FOR TABLE books", "copy")):
        journey = journeys(f"{BOOKS}; {settle}", YEAR)
        (change,) = journey.plan.changes
        conductor = journey.conductor
        small = conductor.draft(change, name="small", branch="main")
        large = conductor.draft(change, name="large", branch="main", facade_from=1)
        assert "strategy" not in small.text
        assert ("strategy: facade" in large.text) is (expected == "facade")
        assert ("# books is" in large.text) is (expected == "facade")
        assert large.preview is not None
        assert ("RENAME TO" in large.preview.phases[0].steps[0].sql) is (expected == "facade")
        assert conductor.advance("large", "main").state == "expanded"


def test_screens_say_that_there_is_nothing_to_copy(journeys: Journeys) -> None:
    """Before, while it is done, and when it is verified."""
    journey = journeys(BOOKS, YEAR, expand=FACADE)
    conductor = journey.conductor

    def shown(report: Report) -> str:
        return " ".join(rendered(console(StringIO(), {"COLUMNS": "200"}), screen(report)).split())

    before = shown(conductor.preview("change", "main"))
    assert "backfill nothing has two sides, so there is nothing to copy" in before
    assert "read empty" not in before
    assert "read empty" not in shown(conductor.advance("change", "main"))
    assert "nothing has two sides, so there is nothing to copy" in shown(conductor.advance("change", "main"))
    assert "change on main: nothing has two sides" in shown(conductor.verify("change", "main"))
    status = rendered(
        console(StringIO(), {"COLUMNS": "200"}), screen(conductor.status("change", "main"), detailed=True)
    )
    assert any("backfill" in line and "nothing to copy" in line for line in status.splitlines())


def busy(journey: Journey, number: int, names: Callable[[], str], stop: threading.Event, seen: list[str]) -> None:
    """Write and read by prepared statements until told to stop; keep what fails."""
    with psycopg.connect(journey.url, autocommit=True, prepare_threshold=1) as db:
        while not stop.is_set():
            try:
                run(db, f"UPDATE books SET {names()} = {names()} + 1 WHERE id = {number}")
                ask(db, f"SELECT count({names()}) FROM books WHERE id < 20")
            except psycopg.Error as error:
                seen.append(str(error))


def test_application_in_full_swing(journeys: Journeys) -> None:
    """Statements under way, prepared ones too, see no error in the moments of expand, contract and rollback."""
    journey = journeys(BOOKS.replace(" UNIQUE", ""), YEAR, expand=FACADE)
    written = 0

    def during(name: str, move: Callable[[], State]) -> None:
        nonlocal written
        stop, seen = threading.Event(), list[str]()
        threads = [threading.Thread(target=busy, args=(journey, n, lambda: name, stop, seen)) for n in (1, 2, 3)]
        for thread in threads:
            thread.start()
        try:
            move()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert seen == []
        now = ask(journey.db, f"SELECT sum({name}) FROM books")
        assert now > written
        written = now

    during("year", journey.advance)
    during("year", journey.rollback)
    during("year", lambda: journey.advance(State.READS_MIGRATED))
    during("published", journey.advance)
    assert journey.state is State.CONTRACTED


def test_locks_the_view_before_the_table(journeys: Journeys) -> None:
    """As those do who use the view: in the other order a busy view would never be had."""
    journey = journeys(BOOKS, YEAR, expand=FACADE)
    journey.advance(State.READS_MIGRATED)
    (step,) = [step for step in journey.steps(Phase.CONTRACT) if isinstance(step, Transaction)]
    assert [str(view) for view in step.views] == ["books"]
    assert [str(table) for table in step.tables] == ["books", "books_ecm"]
