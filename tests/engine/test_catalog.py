"""What is read from the catalog means the same in any session, and reading it changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from operations.conftest import Journeys
from operations.harness import Db, ask, contents, run

from orchestrator.sql.facts import Grant, Table
from orchestrator.sql.identifiers import TableName, naming

RENAME = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}


def facts(journeys: Journeys, start: str, role: str | None = None) -> Table:
    """Read the facts of table books."""
    return journeys(start, RENAME, role=role).facts()[TableName("public", "books")]


NAMES = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=20)


def test_a_name_is_found_in_a_text(journeys: Journeys) -> None:
    """Whatever it is made of, as it is and with its quotes doubled, and among others; not as a part of another word."""
    db, found = journeys("", RENAME).db, "SELECT %s::text ~ %s"

    @given(name=NAMES, others=st.lists(NAMES, max_size=2))
    def look(name: str, others: list[str]) -> None:
        for text in (f'x "{name}" y', 'x "' + name.replace('"', '""') + '" y'):
            assert db.execute(found, [text, naming(*others, name)]).fetchone() == (True,)
        assert db.execute(found, [f"x{name}x", naming(f"{name}y")]).fetchone() == (False,)

    look()


DEFAULTS = {
    "7": True,
    "-7": True,
    "3 + 4": True,
    "abs(-9)": True,
    "NULL": True,
    "length('x'::text)": True,
    "'2020-01-01'::date - '2019-01-01'::date": True,
    "CASE WHEN true THEN 1 ELSE 2 END": True,
    "coalesce(NULL, 1)": True,
    "random()": False,
    "nextval('numbers')": False,
    "extract(epoch FROM now())": False,
    "length(current_user)": False,
    "length(current_setting('TimeZone'))": False,
    "date_part('year', CURRENT_DATE)": False,
    "pg_backend_pid()": False,
    "drawn()": False,
    "CASE WHEN random() > 0.5 THEN 1 END": False,
    "(ARRAY[1, pg_backend_pid()])[1]": False,
    "coalesce(NULL, drawn())": False,
}


@pytest.mark.parametrize("default", DEFAULTS)
def test_constant_defaults(journeys: Journeys, default: str) -> None:
    """A default is constant when it is the same for every row, in every session."""
    start = f"""
        CREATE SEQUENCE numbers; CREATE FUNCTION drawn() RETURNS integer LANGUAGE sql VOLATILE AS 'SELECT 1';
        CREATE TABLE books (id integer, year double precision DEFAULT {default});
    """
    column = facts(journeys, start).column("year")
    assert column
    assert (column.default is not None) == (default != "NULL")
    assert column.default_is_constant == (DEFAULTS[default] and default != "NULL")


def test_defaults_are_printed_with_their_schemas(journeys: Journeys) -> None:
    """Text from the catalog can be used in a session with another search_path."""
    start = """
        CREATE SCHEMA shop; CREATE TYPE shop.mood AS ENUM ('sad'); CREATE DOMAIN shop.label AS varchar(20) DEFAULT 'none';
        CREATE FUNCTION shop.fixed() RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT 1';
        CREATE TABLE books (a shop.mood DEFAULT 'sad', b integer DEFAULT shop.fixed(), c shop.label, year text COLLATE "C");
    """
    a, b, c, year = facts(journeys, start).columns
    assert (a.type, a.default) == ("shop.mood", "'sad'::shop.mood")
    assert (b.default, b.default_is_constant) == ("shop.fixed()", True)
    assert (c.type, c.plain_type, c.default, c.default_is_constant) == (
        "shop.label",
        "character varying(20)",
        "'none'::character varying",
        True,
    )
    assert year.collation == 'pg_catalog."C"'


def test_columns(journeys: Journeys) -> None:
    """Everything that decides how a column is changed, and no column that was dropped."""
    start = """
        CREATE TABLE books (id integer GENERATED ALWAYS AS IDENTITY, year numeric(6,2) NOT NULL, gone integer,
          twice numeric GENERATED ALWAYS AS (year * 2) STORED);
        ALTER TABLE books DROP COLUMN gone; GRANT SELECT (year), UPDATE (year) ON books TO PUBLIC;
    """
    table = facts(journeys, start)
    assert [column.name for column in table.columns] == ["id", "year", "twice"]
    identity, year, twice = table.columns
    assert (identity.identity, year.identity, twice.generated, twice.default) == (True, False, True, None)
    assert (year.type, year.not_null, year.collation) == ("numeric(6,2)", True, None)
    assert set(year.grants) == {
        Grant(grantee=None, privilege="SELECT", grantable=False),
        Grant(grantee=None, privilege="UPDATE", grantable=False),
    }


def test_indexes(journeys: Journeys) -> None:
    """An index depends on every column it names, be it in an expression, a predicate or INCLUDE."""
    start = """
        CREATE TABLE books (id integer PRIMARY KEY, year integer, title text, price numeric);
        CREATE INDEX a ON books (title) WHERE year > 1900; CREATE INDEX b ON books ((year + id), title);
        CREATE INDEX c ON books (title) INCLUDE (year); CREATE INDEX d ON books (price);
        ALTER TABLE books ADD CONSTRAINT e UNIQUE (year) DEFERRABLE; CREATE UNIQUE INDEX f ON books (year);
    """
    table = facts(journeys, start)
    found = {index.name: (index.columns, index.unique) for index in table.indexes}
    assert found == {
        "books_pkey": ({"id"}, True),
        "a": ({"title", "year"}, False),
        "b": ({"year", "id", "title"}, False),
        "c": ({"title", "year"}, False),
        "d": ({"price"}, False),
        "e": ({"year"}, False),  # a duplicate waits for the end of the statement or transaction
        "f": ({"year"}, True),
    }
    assert table.twins == {
        "a": " USING btree (title) WHERE (published > 1900)",
        "b": " USING btree (((published + id)), title)",
        "c": " USING btree (title) INCLUDE (published)",
        "e": " USING btree (published)",
        "f": " USING btree (published)",
    }


@pytest.mark.parametrize(
    "arguments", [[], [""], ["a"], ["", "b", ""], ["it''s", r"\x", "ünï", "%s", "a b"], ["00", "000"]]
)
def test_trigger_arguments(journeys: Journeys, arguments: list[str]) -> None:
    """They are kept as bytes with a zero between; empty ones and odd letters are read back."""
    written = ", ".join(f"'{argument}'" for argument in arguments)
    start = f"""
        CREATE TABLE books (id integer, year integer);
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER "The Trigger" AFTER INSERT OR DELETE OR UPDATE OF year, id ON books FOR EACH ROW EXECUTE FUNCTION f({written});
    """
    (trigger,) = facts(journeys, start).triggers
    assert trigger.arguments == tuple(argument.replace("''", "'") for argument in arguments)
    assert (trigger.name, trigger.timing, trigger.per_row) == ("The Trigger", "AFTER", True)
    assert (trigger.events, trigger.update_of) == (("INSERT", "DELETE", "UPDATE"), ("year", "id"))


def test_triggers_of_every_kind_can_be_read(journeys: Journeys) -> None:
    """Whatever PostgreSQL prints of a trigger is taken apart at the right place."""
    start = """
        CREATE TABLE books (id integer, year integer, "On" integer);
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER " ON " BEFORE UPDATE OF "On", year ON books FOR EACH ROW WHEN (NEW."On" > 1) EXECUTE FUNCTION f();
        CREATE TRIGGER truncated BEFORE TRUNCATE ON books EXECUTE FUNCTION f();
        CREATE TRIGGER seen AFTER UPDATE ON books REFERENCING OLD TABLE AS o NEW TABLE AS n EXECUTE FUNCTION f();
        CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON books DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION f();
        ALTER TABLE books ENABLE REPLICA TRIGGER late; COMMENT ON TRIGGER late ON books IS 'late';
    """
    on, late, seen, truncated = sorted(facts(journeys, start).triggers, key=lambda trigger: trigger.name)
    assert on.tail == ' ON public.books FOR EACH ROW WHEN ((new."On" > 1)) EXECUTE FUNCTION public.f()'
    assert (on.update_of, on.timing) == (("On", "year"), "BEFORE")
    assert (late.constraint, late.enabled, late.comment) == (True, "R", "late")
    assert late.tail.startswith(" ON public.books DEFERRABLE INITIALLY DEFERRED FOR EACH ROW")
    assert "REFERENCING OLD TABLE AS o NEW TABLE AS n" in seen.tail
    assert (truncated.events, truncated.per_row) == (("TRUNCATE",), False)


def test_internal_triggers_are_none_of_the_tables_own(journeys: Journeys) -> None:
    """Those behind foreign keys belong to PostgreSQL."""
    start = "CREATE TABLE books (id integer PRIMARY KEY, year integer REFERENCES books)"
    assert facts(journeys, start).triggers == ()


def _busy(db: Db) -> set[str]:
    return {row[0] for row in db.execute("SELECT relname::text FROM pg_class WHERE relname LIKE 'ecm%'").fetchall()}


def test_reading_leaves_nothing_behind(journeys: Journeys) -> None:
    """The temporary copy that PostgreSQL is asked on is gone, and the table is as it was."""
    start = """
        CREATE TABLE books (id integer PRIMARY KEY, year integer); CREATE UNIQUE INDEX ON books (year);
        INSERT INTO books SELECT g, g FROM generate_series(1, 9) g;
    """
    journey = journeys(start, RENAME)
    before, data = journey.fingerprint, contents(journey.db)
    journey.facts()
    assert journey.fingerprint == before
    assert contents(journey.db) == data
    assert _busy(journey.db) == set()


def test_a_table_someone_writes_to_can_be_read(journeys: Journeys) -> None:
    """Writers and the reader of facts do not wait for one another."""
    journey = journeys("CREATE TABLE books (id integer, year integer); CREATE INDEX ON books (year)", RENAME)
    with journey.db.transaction():
        run(journey.db, "INSERT INTO books VALUES (1, 1)")
        assert journey.facts()
        assert ask(journey.db, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 0
