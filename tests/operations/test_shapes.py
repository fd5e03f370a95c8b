"""Tables of every shape, each taken through the round trip by each kind of change that can meet it.

A shape is a table with an id, a year and a name, and something that is special about it. The kinds are written once,
for whatever the table and its columns are called.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from operations.conftest import Journeys, Roles
from operations.harness import Db, Journey, ask, round_trip, rows, run
from psycopg import sql
from pydantic import ValidationError
from servers import both_versions

from orchestrator.errors import PreconditionError, VerificationError
from orchestrator.plan.lifecycle import State
from orchestrator.sql.identifiers import TableName

# ---------------------------------------------------------------- what is special about a table


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A table with rows in it.

    Attributes:
        start: makes it. {table}, {id}, {year} and {name} stand for its quoted names, {application} for a role.
        table: as a plan writes it.
        names: what columns are called that are not called what the kinds call them.
        session: run in a writer's session before it writes.
        through: how its statements are sent, where not by themselves.
        kinds: the kinds of change that it is taken through.
        filled: rows 1 to 60 are put in by the test.
    """

    start: str
    table: str = "books"
    names: tuple[tuple[str, str], ...] = ()
    session: str = ""
    through: str = "{}"
    kinds: tuple[str, ...] = ("rename_column", "split_column", "merge_columns", "add_column")
    filled: bool = True

    def exact(self, column: str) -> str:
        """Return what a column of that meaning is called."""
        return dict(self.names).get(column, column)

    def q(self, column: str) -> str:
        """Return a column's quoted name."""
        return sql.Identifier(self.exact(column)).as_string(None)

    @property
    def sql(self) -> str:
        """The table's quoted name."""
        return TableName.parse(self.table).identifier.as_string(None)

    def written(self, text: str, application: str = "") -> str:
        """Put the quoted names into a text."""
        named = {column: self.q(column) for column in ("id", "year", "name", *NEW)}
        return text.format(table=self.sql, application=application, **named)


NEW = ("published", "first", "last", "label", "initial")
COLUMNS = "({id} integer NOT NULL, {year} integer, {name} text)"
FILLED = "INSERT INTO {table} ({id}, {year}, {name}) SELECT g, 1900 + g, 'First' || g || ' Last' || g FROM generate_series(1, 60) g;"

TREE = """
    CREATE SCHEMA "Archive";
    CREATE TABLE {table} ({id} integer NOT NULL, {year} integer, {name} text, PRIMARY KEY ({id})) PARTITION BY RANGE ({id});
    CREATE TABLE books_low PARTITION OF {table} FOR VALUES FROM (MINVALUE) TO (41) PARTITION BY RANGE ({id});
    CREATE TABLE "Archive".low_1 PARTITION OF books_low FOR VALUES FROM (MINVALUE) TO (21);
    CREATE TABLE books_mid PARTITION OF books_low FOR VALUES FROM (21) TO (41) PARTITION BY HASH ({id});
    CREATE TABLE "Archive"."Mid 0" PARTITION OF books_mid FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE books_mid_1 (filler text, {name} text, {year} integer, {id} integer NOT NULL);
    ALTER TABLE books_mid_1 DROP COLUMN filler;
    ALTER TABLE books_mid ATTACH PARTITION books_mid_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE TABLE books_none PARTITION OF {table} FOR VALUES FROM (500) TO (600) PARTITION BY LIST ({id});
    CREATE TABLE books_rest PARTITION OF {table} DEFAULT;
    CREATE INDEX ON {table} ({year});
    CREATE INDEX of_name ON {table} (lower({name}), {year}) WHERE {year} > 5;
"""
SUBLIME = (("id", "Id"), ("year", "The Year"), ("name", 'na"me'), ("published", "select"), ("first", "Ünï cödé"))
SUBLIME += (("last", "l'ast.name"), ("label", "user"), ("initial", "i" * 63))

SHAPES = {
    "plain": Shape(start="CREATE TABLE {table} " + COLUMNS),
    "partitions of partitions": Shape(start=TREE),
    "unlogged": Shape(start="CREATE UNLOGGED TABLE {table} ({id} integer PRIMARY KEY, {year} integer, {name} text)"),
    "odd names": Shape(
        start='CREATE SCHEMA "My.Schema"; CREATE TABLE {table} ({id} integer PRIMARY KEY, {year} integer, {name} text);'
        "CREATE INDEX ON {table} ({year}); CREATE INDEX ON {table} ({name})",
        table='"My.Schema"."Ünï ""cödé"""',
        names=SUBLIME,
        kinds=("rename_column", "merge_columns"),
    ),
    "names of 63 bytes": Shape(
        start="CREATE SCHEMA "
        + "s" * 63
        + "; CREATE TABLE {table} "
        + COLUMNS
        + "; CREATE INDEX ON {table} ({year}, {name})",
        table="s" * 63 + "." + "t" * 63,
        names=tuple((name, name + "_" * (63 - len(name))) for name in ("year", "name", *NEW)),
        kinds=("rename_column", "split_column"),
    ),
    "dropped columns": Shape(
        start="CREATE TABLE {table} (a integer, {id} integer NOT NULL, b text, {year} integer, {name} text, c point);"
        "INSERT INTO {table} VALUES (1, 1001, 'b', 2001, 'Early Bird', point(1, 2));"
        "ALTER TABLE {table} DROP COLUMN a, DROP COLUMN b, DROP COLUMN c; ALTER TABLE {table} ADD d integer DEFAULT 7",
        kinds=("merge_columns", "add_column"),
    ),
    "as many columns as fit": Shape(
        start="DO $$ BEGIN EXECUTE 'CREATE TABLE books (id integer, year integer, name text, '"
        " || (SELECT string_agg('c' || g || ' bool', ', ') FROM generate_series(1, 1588) g) || ')'; END $$;"
        "INSERT INTO books (id, year, name) VALUES (1, 1900, 'First Last')",
        kinds=("rename_column", "split_column"),
        filled=False,
    ),
    "rows as large as a page": Shape(
        start="CREATE TABLE {table} ({id} integer, {year} integer, {name} text, filler text);"
        "ALTER TABLE {table} ALTER filler SET STORAGE EXTERNAL, ALTER {name} SET STORAGE EXTERNAL;"
        "INSERT INTO {table} SELECT g, 1900 + g, 'F' || g || ' ' || repeat('x', 1990), repeat('y', 6100 + g)"
        " FROM generate_series(1, 60) g",
        filled=False,
        kinds=("rename_column", "split_column"),
    ),
    "no key, replicated by whole rows": Shape(
        start="CREATE TABLE {table} " + COLUMNS + "; ALTER TABLE {table} REPLICA IDENTITY FULL;"
        "CREATE PUBLICATION every FOR TABLE {table}",
        kinds=("rename_column", "add_column"),
    ),
    "replicated by an index": Shape(
        start="CREATE TABLE {table} " + COLUMNS + "; CREATE UNIQUE INDEX key ON {table} ({id});"
        "ALTER TABLE {table} REPLICA IDENTITY USING INDEX key",
        kinds=("rename_column", "merge_columns"),
    ),
    "row-level security": Shape(
        start="CREATE TABLE {table} " + COLUMNS + "; ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY of_id ON {table} USING ({id} > 0) WITH CHECK ({id} < 100000);"
        "GRANT ALL ON {table} TO {application}",
        session="SET LOCAL ROLE {application}",
    ),
    "callers with the owner's rights alone": Shape(
        start="CREATE TABLE {table} " + COLUMNS + "; GRANT SELECT, DELETE ON {table} TO {application};"
        "CREATE FUNCTION on_behalf(statement text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''"
        " AS $$ BEGIN EXECUTE statement; END $$",
        session="SET LOCAL ROLE {application}",
        through="SELECT public.on_behalf($write${}$write$)",
        kinds=("rename_column", "split_column"),
    ),
    "column-level grants": Shape(
        start="CREATE TABLE {table} "
        + COLUMNS
        + "; GRANT SELECT, INSERT, DELETE, UPDATE (id, year) ON {table} TO {application}",
        session="SET LOCAL ROLE {application}",
        kinds=("rename_column",),
    ),
    "a session with settings of its own": Shape(
        start="CREATE TABLE {table} " + COLUMNS,
        session="SET LOCAL search_path = ''; SET LOCAL DateStyle = 'SQL, DMY'; SET LOCAL standard_conforming_strings = off;"
        " SET LOCAL backslash_quote = on; SET LOCAL quote_all_identifiers = on; SET LOCAL transform_null_equals = on;"
        " SET LOCAL IntervalStyle = 'iso_8601'; SET LOCAL bytea_output = 'escape'; SET LOCAL extra_float_digits = -15",
        kinds=("rename_column", "split_column"),
    ),
    "temporary tables that shadow": Shape(
        start="CREATE TABLE {table} " + COLUMNS,
        session="CREATE TEMPORARY TABLE text (a integer); CREATE TEMPORARY TABLE int4 (a integer);"
        " CREATE TEMPORARY TABLE books (a integer); SET LOCAL search_path = pg_temp, public, pg_catalog",
        kinds=("split_column", "merge_columns"),
    ),
    "triggers of every kind": Shape(
        start="CREATE TABLE {table} "
        + COLUMNS
        + """;
        CREATE FUNCTION of_statement() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE FUNCTION of_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          ASSERT NOT EXISTS (SELECT FROM came WHERE {id} < 0); RETURN NULL; END $$;
        CREATE FUNCTION of_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.{id} := abs(NEW.{id}); RETURN NEW; END $$;
        CREATE TRIGGER a BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION of_row();
        CREATE TRIGGER b AFTER INSERT ON {table} REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION of_rows();
        CREATE TRIGGER c AFTER UPDATE ON {table} REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION of_rows();
        CREATE CONSTRAINT TRIGGER d AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION of_row();
        CREATE TRIGGER e BEFORE UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION of_statement();
        """,
    ),
    "a rule that adds a row elsewhere": Shape(
        start="CREATE TABLE {table} " + COLUMNS + "; CREATE TABLE log (id integer);"
        "CREATE RULE log_it AS ON INSERT TO {table} DO ALSO INSERT INTO log VALUES (NEW.{id});"
        "CREATE RULE gone AS ON DELETE TO {table} DO ALSO DELETE FROM log WHERE id = OLD.{id}",
        kinds=("rename_column", "add_column"),
    ),
    "domains": Shape(
        start="CREATE DOMAIN a_year AS integer DEFAULT 1950 CHECK (VALUE > 0); CREATE DOMAIN a_name AS text CHECK (VALUE <> '');"
        "CREATE TABLE {table} ({id} integer NOT NULL, {year} a_year, {name} a_name)",
        kinds=("split_column", "merge_columns"),
    ),
    "generated columns of another": Shape(
        start="CREATE TABLE {table} ({id} integer NOT NULL, {year} integer, {name} text,"
        " twice integer GENERATED ALWAYS AS ({id} * 2) STORED)",
        kinds=("split_column", "merge_columns"),
    ),
    "a generated column of the year": Shape(
        start="CREATE TABLE {table} ({id} integer NOT NULL, {year} integer, {name} text,"
        " next integer GENERATED ALWAYS AS ({year} + 1) STORED)",
        kinds=("rename_column",),
    ),
}

# ---------------------------------------------------------------- kinds of change


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A change, on whatever shape, and what must hold of it.

    Attributes:
        fields: of the change, besides kind and table.
        direct: the DDL that does the same.
        sides: the columns whose values `written` gives.
        writes: (statement, what the row 90001 has in `sides` after it).
    """

    fields: Callable[[Shape], dict[str, Any]]
    direct: str
    sides: tuple[str, ...]
    writes: tuple[tuple[str, tuple[Any, ...]], ...]


def _split(shape: Shape) -> dict[str, Any]:
    name, first, last = map(shape.q, ("name", "first", "last"))
    return {
        "column": shape.exact("name"),
        "into": [
            {"column": shape.exact("first"), "type": "text", "using": f"split_part({name}, ' ', 1)", "not_null": True},
            {"column": shape.exact("last"), "type": "text", "using": f"substr({name}, strpos({name}, ' ') + 1)"},
        ],
        "reverse": f"{first} || ' ' || {last}",
    }


def _merge(shape: Shape) -> dict[str, Any]:
    year, name, label = map(shape.q, ("year", "name", "label"))
    return {
        "columns": [shape.exact("year"), shape.exact("name")],
        "into": {"column": shape.exact("label"), "type": "text", "using": f"{year} || ': ' || {name}"},
        "reverse": {
            shape.exact("year"): f"split_part({label}, ': ', 1)::integer",
            shape.exact("name"): f"substr({label}, strpos({label}, ': ') + 2)",
        },
    }


QUIET = "SET LOCAL session_replication_role = replica; "
"""The table's own triggers do not fire for what the direct DDL writes."""

KINDS = {
    "rename_column": Kind(
        fields=lambda shape: {"column": shape.exact("year"), "to": shape.exact("published")},
        direct="ALTER TABLE {table} RENAME COLUMN {year} TO {published}",
        sides=("year", "published"),
        writes=(
            ("INSERT INTO {table} ({id}, {year}) VALUES (90001, 1)", (1, 1)),
            ("UPDATE {table} SET {published} = 2 WHERE {id} = 90001", (2, 2)),
            ("UPDATE {table} SET {year} = 3 WHERE {id} = 90001", (3, 3)),
            ("INSERT INTO {table} ({id}, {published}) VALUES (90001, 4)", (4, 4)),
        ),
    ),
    "split_column": Kind(
        fields=_split,
        direct=QUIET + "ALTER TABLE {table} ADD {first} text, ADD {last} text;"
        "UPDATE {table} SET {first} = split_part({name}, ' ', 1), {last} = substr({name}, strpos({name}, ' ') + 1);"
        "ALTER TABLE {table} ALTER {first} SET NOT NULL, DROP {name}",
        sides=("name", "first", "last"),
        writes=(
            ("INSERT INTO {table} ({id}, {name}) VALUES (90001, 'Alan Turing')", ("Alan Turing", "Alan", "Turing")),
            ("UPDATE {table} SET {last} = 'Kay' WHERE {id} = 90001", ("Alan Kay", "Alan", "Kay")),
            ("UPDATE {table} SET {name} = 'Ada Lovelace' WHERE {id} = 90001", ("Ada Lovelace", "Ada", "Lovelace")),
            ("INSERT INTO {table} ({id}, {first}, {last}) VALUES (90001, 'A', 'B')", ("A B", "A", "B")),
        ),
    ),
    "merge_columns": Kind(
        fields=_merge,
        direct=QUIET + "ALTER TABLE {table} ADD {label} text; UPDATE {table} SET {label} = {year} || ': ' || {name};"
        "ALTER TABLE {table} DROP {year}, DROP {name}",
        sides=("year", "name", "label"),
        writes=(
            (
                "INSERT INTO {table} ({id}, {year}, {name}) VALUES (90001, 1984, 'Winston')",
                (1984, "Winston", "1984: Winston"),
            ),
            ("UPDATE {table} SET {label} = '85: Julia' WHERE {id} = 90001", (85, "Julia", "85: Julia")),
            ("UPDATE {table} SET {year} = 86 WHERE {id} = 90001", (86, "Julia", "86: Julia")),
            ("INSERT INTO {table} ({id}, {label}) VALUES (90001, '7: B')", (7, "B", "7: B")),
        ),
    ),
    "add_column": Kind(
        fields=lambda shape: {
            "column": shape.exact("initial"),
            "type": "text",
            "using": f"substr({shape.q('name')}, 1, 1)",
            "not_null": True,
        },
        direct=QUIET + "ALTER TABLE {table} ADD {initial} text; UPDATE {table} SET {initial} = substr({name}, 1, 1);"
        "ALTER TABLE {table} ALTER {initial} SET NOT NULL",
        sides=("name", "initial"),
        writes=(
            ("INSERT INTO {table} ({id}, {name}) VALUES (90001, 'Ada')", ("Ada", "A")),
            ("UPDATE {table} SET {initial} = 'x' WHERE {id} = 90001", ("Ada", "x")),
            ("UPDATE {table} SET {name} = 'Bob' WHERE {id} = 90001", ("Bob", "x")),
            ("INSERT INTO {table} ({id}, {name}, {initial}) VALUES (90001, 'Eve', 'y')", ("Eve", "y")),
        ),
    ),
}


def both(shape: Shape, kind: Kind, application: str) -> Callable[[Db], None]:
    """Return a check that old and new writers, in whatever session, see what the other wrote."""

    def check(db: Db) -> None:
        if shape.session:
            run(db, shape.written(shape.session, application))
        sides = ", ".join(map(shape.q, kind.sides))
        for statement, expected in kind.writes:
            if statement.startswith("INSERT"):
                run(db, shape.written("DELETE FROM {table} WHERE {id} = 90001"))
            run(db, shape.through.format(shape.written(statement)))
            assert rows(db, shape.written(f"SELECT {sides} FROM {{table}} WHERE {{id}} = 90001")) == [expected], (
                statement
            )
        run(db, "SET CONSTRAINTS ALL IMMEDIATE; RESET ROLE")

    return check


def taken_through(journeys: Journeys, roles: Roles, name: str, kind: str) -> None:
    """Take a shape through the round trip of a kind."""
    shape, change = SHAPES[name], KINDS[kind]
    application = roles()
    start = ";".join([shape.start, *([FILLED] if shape.filled else [])])
    journey: Journey = journeys(
        shape.written(start.replace("{}", "{{}}"), application),
        {"kind": kind, "table": shape.table, **change.fields(shape)},
    )
    round_trip(
        journey,
        direct=shape.written(change.direct),
        holds=both(shape, change, application),
        writes=[shape.written("UPDATE {table} SET {year} = {year} + 1 WHERE {id} % 7 = 0")],
    )


def _crossed(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, kind, id=f"{name}-{kind}") for name in names for kind in SHAPES[name].kinds]


@both_versions
@pytest.mark.parametrize(("name", "kind"), _crossed(["plain", "partitions of partitions"]))
def test_round_trip(journeys: Journeys, roles: Roles, name: str, kind: str) -> None:
    """Every kind of change, on the plainest of tables and on the deepest, on the usual and the newest PostgreSQL."""
    taken_through(journeys, roles, name, kind)


@pytest.mark.parametrize(("name", "kind"), _crossed([*SHAPES][2:]))
def test_shape(journeys: Journeys, roles: Roles, name: str, kind: str) -> None:
    """Both versions in every state, back to the start from each, and the end of the direct DDL."""
    taken_through(journeys, roles, name, kind)


@pytest.mark.parametrize("kind", ["rename_column", "split_column"])
def test_a_table_of_one_column(journeys: Journeys, kind: str) -> None:
    """There is nothing beside it: no key, and no column that could be set to itself."""
    shape, change = SHAPES["plain"], KINDS[kind]
    journey = journeys(
        "CREATE TABLE books (year integer, name text); INSERT INTO books SELECT g, g || ' ' || g FROM generate_series(1, 9) g;"
        f"ALTER TABLE books DROP COLUMN {'name' if kind == 'rename_column' else 'year'}",
        {"kind": kind, "table": "books", **change.fields(shape)},
    )
    round_trip(journey, direct=shape.written(change.direct))


def test_partitions_that_come_at_any_level(journeys: Journeys) -> None:
    """One that is made, one that is attached with rows, and a whole tree that is attached, while both versions run."""
    shape = SHAPES["partitions of partitions"]
    journey = journeys(
        shape.written(f"{shape.start}; {FILLED}"),
        {"kind": "rename_column", "table": "books", "column": "year", "to": "published"},
    )
    db = journey.db
    journey.advance(State.EXPANDED)
    run(
        db,
        """
        CREATE TABLE made PARTITION OF books_none FOR VALUES IN (500);
        CREATE TABLE attached (id integer NOT NULL, year integer, name text, published integer);
        INSERT INTO attached VALUES (501, 1501, 'b', NULL);
        ALTER TABLE books_none ATTACH PARTITION attached FOR VALUES IN (501);
        CREATE TABLE deep (id integer NOT NULL, year integer, name text, published integer) PARTITION BY LIST (id);
        CREATE TABLE deeper PARTITION OF deep FOR VALUES IN (601);
        INSERT INTO deep VALUES (601, 1601, 'c', NULL);
        ALTER TABLE books ATTACH PARTITION deep FOR VALUES FROM (600) TO (700);
        INSERT INTO books (id, year) VALUES (500, 1500);
        """,
    )
    journey.advance(State.BACKFILLED)
    assert rows(db, "SELECT id, published FROM books WHERE id >= 500 ORDER BY id") == [
        (500, 1500),
        (501, 1501),
        (601, 1601),
    ]
    run(
        db,
        "CREATE TABLE late PARTITION OF deep FOR VALUES IN (602); INSERT INTO books (id, published) VALUES (602, 1602)",
    )
    journey.advance(State.READS_MIGRATED)
    run(db, "UPDATE books SET published = -id WHERE id >= 500")
    assert rows(db, "SELECT id, year FROM books WHERE id >= 500 ORDER BY id") == [(n, -n) for n in (500, 501, 601, 602)]
    broken = "SELECT count(*) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE x.relname LIKE '%ecm%' AND NOT i.indisvalid"
    assert ask(db, broken) == 0
    assert journey.advance() is State.CONTRACTED
    assert ask(db, "SELECT count(*) FROM pg_class WHERE relname LIKE '%ecm%'") == ask(
        db, "SELECT count(*) FROM pg_class WHERE relnamespace = 'ecm'::regnamespace AND relname LIKE '%ecm%'"
    )


@pytest.mark.parametrize("partition", ['"Archive"."Mid 0"', "books_mid"])
def test_a_trigger_disabled_at_any_level(journeys: Journeys, partition: str) -> None:
    """On a leaf it lets rows pass by; on a branch, partitions that come would have it disabled from the beginning."""
    shape = SHAPES["partitions of partitions"]
    journey = journeys(shape.written(f"{shape.start}; {FILLED}"), {**RENAME})
    journey.advance(State.BACKFILLED)
    run(journey.db, f"ALTER TABLE ONLY {partition} DISABLE TRIGGER USER")
    with pytest.raises(VerificationError) as found:
        journey.advance()
    (remedy,) = (line for line in found.value.details if line.startswith("ALTER TABLE"))
    assert partition.rpartition(".")[2].strip('"') in remedy
    run(journey.db, remedy)
    assert journey.advance() is State.READS_MIGRATED


# ---------------------------------------------------------------- types of every kind, split and put together again

TYPES = {
    "json": (
        "json",
        """'{"a": 1, "b": [2, 3]}'""",
        {"a": ("text", "{0} -> 'a'"), "b": ("json", "{0} -> 'b'")},
        "json_build_object('a', a::json, 'b', b)",
    ),
    "composite": (
        "pair",
        "row(7, NULL)::pair",
        {"a": ("integer", "({0}).a"), "b": ("text", "({0}).b")},
        "row(a, b)::public.pair",
    ),
    "array": ("text[]", "'{x,y,NULL}'", {"a": ("text", "{0}[1]"), "b": ("text[]", "{0}[2:]")}, "array_prepend(a, b)"),
    "range": (
        "int4range",
        "'[3,9)'",
        {"a": ("integer", "lower({0})"), "b": ("integer", "upper({0})")},
        "int4range(a, b)",
    ),
    "enum": (
        "mood",
        "'very glad'",
        {"a": ("text", "split_part({0}::text, ' ', 1)"), "b": ("text", "split_part({0}::text, ' ', 2)")},
        "(a || ' ' || b)::public.mood",
    ),
    "bytea out of line": (
        "bytea",
        "(SELECT string_agg(decode(md5(i::text), 'hex'), '') FROM generate_series(1, 2000) i)",
        {"a": ("bytea", "substr({0}, 1, 16000)"), "b": ("bytea", "substr({0}, 16001)")},
        "a || b",
    ),
    "point": (
        "point",
        "point(0.1, -0.0)",
        {"a": ("double precision", "({0})[0]"), "b": ("double precision", "({0})[1]")},
        "point(a, b)",
    ),
    "interval": (
        "interval",
        "interval '14 months 3 days'",
        {
            "a": ("integer", "extract(year FROM {0})::integer"),
            "b": ("interval", "{0} - make_interval(years => extract(year FROM {0})::integer)"),
        },
        "make_interval(years => a) + b",
    ),
    "numeric": (
        "numeric(8,2)",
        "12.50",
        {"a": ("integer", "trunc({0})::integer"), "b": ("numeric(8,2)", "{0} - trunc({0})")},
        "a + b",
    ),
}
"""Type, a value, the columns that it is split into with their types and expressions, and what makes it again of them."""


@pytest.mark.parametrize("name", TYPES)
def test_split_type(journeys: Journeys, name: str) -> None:
    """A column of the type is split into two."""
    type_name, value, parts, back = TYPES[name]
    whole = "doc"
    start = f"""
        CREATE TYPE pair AS (a integer, b text); CREATE TYPE mood AS ENUM ('very glad', 'very sad');
        CREATE TABLE books (id integer, doc {type_name}); INSERT INTO books SELECT g, {value} FROM generate_series(1, 9) g;
        INSERT INTO books VALUES (10, NULL);
    """
    split = {
        "kind": "split_column",
        "table": "books",
        "column": whole,
        "into": [{"column": c, "type": t, "using": e.format(whole)} for c, (t, e) in parts.items()],
        "reverse": back,
    }
    direct = QUIET + "; ".join(
        [
            "ALTER TABLE books " + ", ".join(f"ADD {column} {kind}" for column, (kind, _) in parts.items()),
            "UPDATE books SET " + ", ".join(f"{column} = {of.format(whole)}" for column, (_, of) in parts.items()),
            "ALTER TABLE books DROP doc",
        ]
    )

    def holds(db: Db) -> None:
        run(db, f"INSERT INTO books (id, doc) VALUES (901, {value})")
        run(db, "INSERT INTO books (id, a, b) SELECT 902, a, b FROM books WHERE id = 901")
        run(db, "UPDATE books SET a = (SELECT a FROM books WHERE id = 901) WHERE id = 1")
        run(db, f"UPDATE books SET doc = {value} WHERE id = 10")
        assert len(rows(db, "SELECT DISTINCT a::text, b::text FROM books WHERE id IN (1, 10, 901, 902)")) == 1
        assert ask(db, "SELECT doc::text FROM books WHERE id = 902") == ask(
            db, f"SELECT ({back})::text FROM books WHERE id = 901"
        )

    round_trip(journeys(start, split), direct=direct, holds=holds)


@pytest.mark.parametrize("name", TYPES)
def test_merged_type(journeys: Journeys, name: str) -> None:
    """Two columns are merged into one of the type."""
    type_name, value, parts, back = TYPES[name]
    start = f"""
        CREATE TYPE pair AS (a integer, b text); CREATE TYPE mood AS ENUM ('very glad', 'very sad');
        CREATE TABLE books (id integer, {", ".join(f"{column} {kind}" for column, (kind, _) in parts.items())});
        INSERT INTO books SELECT g, {", ".join(of.format("doc") for _, of in parts.values())}
          FROM generate_series(1, 9) g, (SELECT ({value})::{type_name} AS doc) d;
    """
    merge = {
        "kind": "merge_columns",
        "table": "books",
        "columns": list(parts),
        "into": {"column": "doc", "type": type_name, "using": back},
        "reverse": {column: of.format("doc") for column, (_, of) in parts.items()},
    }
    direct = f"{QUIET} ALTER TABLE books ADD doc {type_name}; UPDATE books SET doc = {back}; ALTER TABLE books DROP a, DROP b"

    def holds(db: Db) -> None:
        run(db, "INSERT INTO books (id, a, b) SELECT 901, a, b FROM books WHERE id = 1")
        run(db, f"INSERT INTO books (id, doc) VALUES (902, {value})")
        run(db, f"UPDATE books SET doc = {value} WHERE id = 2")
        written = "FROM books WHERE id IN (2, 901, 902)"
        assert ask(db, f"SELECT count(DISTINCT concat(a::text, '|', b::text)) {written}") == 1
        assert ask(db, f"SELECT count(DISTINCT doc::text) {written} AND id <> 901") == 1
        assert ask(db, "SELECT doc::text FROM books WHERE id = 901") == ask(
            db, f"SELECT ({back})::text FROM books WHERE id = 902"
        )

    round_trip(journeys(start, merge), direct=direct, holds=holds)


# ---------------------------------------------------------------- what is refused, with its reason

RENAME = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
PLAIN = "CREATE TABLE books (id integer, year integer, name text);"
FOREIGN = "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER s FOREIGN DATA WRAPPER nowhere;"
DEEP = """
    CREATE TABLE books (id integer, year integer, name text) PARTITION BY RANGE (id);
    CREATE TABLE low PARTITION OF books FOR VALUES FROM (1) TO (10) PARTITION BY RANGE (id);
    CREATE TABLE leaf PARTITION OF low DEFAULT;
    CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
"""
FULL = (
    "DO $$ BEGIN EXECUTE 'CREATE TABLE books (year integer, ' || (SELECT string_agg('c' || g || ' bool', ', ')"
    " FROM generate_series(1, 1599) g) || ')'; END $$;"
)
REFUSED = {
    "a foreign partition beneath a partition": (
        DEEP + FOREIGN + "DROP TABLE leaf; CREATE FOREIGN TABLE far PARTITION OF low DEFAULT SERVER s",
        "partition far is a foreign table",
    ),
    "a trigger on a leaf alone": (
        DEEP + "CREATE TRIGGER own BEFORE INSERT ON leaf FOR EACH ROW EXECUTE FUNCTION f()",
        "trigger own is on partition leaf alone",
    ),
    "a trigger on a branch alone": (
        DEEP + "CREATE TRIGGER own BEFORE UPDATE ON low FOR EACH ROW EXECUTE FUNCTION f()",
        "trigger own is on partition",
    ),
    "a table that is full": (FULL, "books has no room for 1 more column: 1600 of 1600 are taken"),
    "a table that dropped columns fill": (
        FULL + "ALTER TABLE books DROP c1",
        "1 dropped column among them: PostgreSQL never uses their place again",
    ),
    "a rule on UPDATE": (
        PLAIN + "CREATE RULE also AS ON UPDATE TO books DO ALSO SELECT 1",
        "rule also on books rewrites UPDATE before any trigger sees the row",
    ),
    "a rule instead of INSERT": (
        PLAIN + "CREATE RULE no AS ON INSERT TO books WHERE NEW.id < 0 DO INSTEAD NOTHING",
        "rule no on books rewrites INSERT before any trigger sees the row",
    ),
    "a rule that looks at the column": (
        PLAIN
        + "CREATE TABLE log (year integer); CREATE RULE log AS ON INSERT TO books DO ALSO INSERT INTO log VALUES (NEW.year)",
        'ALTER TABLE "public"."books" DISABLE RULE "log"',
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(journeys: Journeys, what: str) -> None:
    """It is said why, before anything is touched."""
    start, why = REFUSED[what]
    journey = journeys(start, RENAME)
    before = journey.fingerprint
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert why in " ".join([refused.value.message, *refused.value.details, refused.value.hint or ""])
    assert journey.fingerprint == before


def test_a_rule_that_is_disabled_meanwhile(journeys: Journeys) -> None:
    """The remedy that is named for a rule works."""
    journey = journeys(
        PLAIN + "CREATE RULE also AS ON UPDATE TO books DO ALSO SELECT 1; ALTER TABLE books DISABLE RULE also", RENAME
    )
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED


@pytest.mark.parametrize("schema", ["pg_temp", "pg_temp_3"])
def test_a_temporary_table(journeys: Journeys, schema: str) -> None:
    """No other session sees it, ecm's least of all."""
    with pytest.raises(ValidationError, match="it is there for the session that made it, and for no other"):
        journeys("", {**RENAME, "table": f"{schema}.books"})


STANDING = {
    "a generated column": (14, "ALTER TABLE books ADD short text GENERATED ALWAYS AS (left(name, 3)) STORED"),
    "a rule on DELETE": (
        14,
        "CREATE TABLE gone (name text); CREATE RULE kept AS ON DELETE TO books DO ALSO INSERT INTO gone VALUES (OLD.name)",
    ),
    "a policy": (14, "CREATE POLICY named ON books USING (name <> '')"),
    "a publication's list of columns": (15, "CREATE PUBLICATION part FOR TABLE books (id, name)"),
    "a publication's condition": (15, "CREATE PUBLICATION part FOR TABLE books WHERE (name <> '')"),
}
"""What PostgreSQL would keep the old column for, with the version that it came with."""


@pytest.mark.parametrize("kind", ["split_column", "merge_columns"])
@pytest.mark.parametrize("what", STANDING)
def test_what_stands_on_a_column_that_goes(journeys: Journeys, what: str, kind: str) -> None:
    """It is named before anything is touched, not by PostgreSQL at the end of the migration."""
    journey = journeys(PLAIN, {"kind": kind, "table": "books", **KINDS[kind].fields(SHAPES["plain"])})
    since, statement = STANDING[what]
    if journey.db.info.server_version < since * 10000:
        return
    run(journey.db, statement)
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert refused.value.message.startswith(what.removeprefix("a ").split("'")[0].split(" on ")[0])
    assert "stands on name, which contract drops" in refused.value.message
