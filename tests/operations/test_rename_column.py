"""A column gets another name: the steps to the letter, and every kind of thing that can hang on a column."""

from collections.abc import Callable
from textwrap import dedent

import psycopg
import pytest
from operations.conftest import Journeys, Roles
from operations.harness import BRANCH, Db, ask, contents, make_plan, round_trip, rows, run, undone
from psycopg import errors

from orchestrator.errors import LockTimeoutError, PreconditionError
from orchestrator.plan.lifecycle import Phase, State
from orchestrator.sql.steps import LockMode, Step

RENAME = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
DIRECT = "ALTER TABLE books RENAME COLUMN year TO published"


def books(column: str = "year integer", *more: str, values: str = "1900 + g % 100") -> str:
    """Return the DDL of a table of 40 books, and whatever hangs on it."""
    table = f"CREATE TABLE books (id integer PRIMARY KEY, title text, {column}, price numeric)"
    filled = f"INSERT INTO books (id, title, year) SELECT g, 'book ' || g, {values} FROM generate_series(1, 40) g"
    return "; ".join((table, filled, *more))


def in_step(first: str = "1901", second: str = "1902") -> Callable[[Db], None]:
    """Return a check that a value (SQL) written under either name, by INSERT or UPDATE, is under both."""

    def check(db: Db) -> None:
        run(db, f"INSERT INTO books (id, year) VALUES (901, {first})")
        run(db, f"INSERT INTO books (id, published) VALUES (902, {second})")
        assert _sides(db, 901) == _value(db, first)
        assert _sides(db, 902) == _value(db, second)
        run(db, f"UPDATE books SET published = {second} WHERE id = 901")
        run(db, f"UPDATE books SET year = {first} WHERE id = 902")
        assert _sides(db, 901) == _value(db, second)
        assert _sides(db, 902) == _value(db, first)

    return check


def _sides(db: Db, number: int) -> set[str | None]:
    """Return the row's two sides as text, once where they are the same."""
    return set(rows(db, f"SELECT year::text, published::text FROM books WHERE id = {number}")[0])


def _value(db: Db, literal: str) -> set[str | None]:
    kind = ask(db, "SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 'books'::regclass AND attname = 'year'")
    modifier = ask(
        db,
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'books'::regclass AND attname = 'year'",
    )
    assert kind
    return {ask(db, f"SELECT (({literal})::{modifier})::text")}


def refuses(db: Db, statement: str, error: type[psycopg.Error]) -> None:
    """Assert that a statement fails as it should, and keep the transaction."""
    with pytest.raises(error), db.transaction():
        run(db, statement)


# ---------------------------------------------------------------- the steps, to the letter


def sent(steps: tuple[Step, ...]) -> list[str]:
    """Return the statements of steps as they are sent."""
    return [statement.as_string(None) for step in steps for statement in step.statements]


def test_steps_of_a_plain_column(journeys: Journeys) -> None:
    """Four phases of a column with an index, statement by statement."""
    journey = journeys(books("year integer", "CREATE INDEX books_year_idx ON books (year)"), RENAME, plan="golden")
    differ = "pg_catalog.record_image_ne(ROW({}), ROW({}))"
    row = differ.format('"year"', '"published"')
    update = differ.format('NEW."year"', 'NEW."published"')
    function = dedent(f"""\
        #variable_conflict use_column
        BEGIN
          IF TG_OP = 'INSERT' THEN
            IF NEW."published" IS DISTINCT FROM NULL{{unless}} THEN
              NEW."year" := NEW."published";
            ELSE
              NEW."published" := NEW."year";
            END IF;
          ELSE
            IF {update} THEN
              IF {{wins}} THEN
                NEW."year" := NEW."published";
              ELSE
                NEW."published" := NEW."year";
              END IF;
            END IF;
          END IF;
          RETURN NEW;
        END""")
    new_changed = differ.format('NEW."published"', 'OLD."published"')
    old_changed = differ.format('NEW."year"', 'OLD."year"')
    unless = ' AND NOT (NEW."year" IS DISTINCT FROM NULL)'
    old_wins = function.format(wins=f"{new_changed} AND NOT {old_changed}", unless=unless).replace("'", "''")
    new_wins = function.format(wins=new_changed, unless="").replace("'", "''")
    create = (
        """CREATE OR REPLACE FUNCTION "ecm"."sync_golden_public.books"() RETURNS trigger LANGUAGE plpgsql"""
        " SET search_path = pg_catalog, pg_temp"
    )
    scan = f"""SELECT count(*), count(*) FILTER (WHERE {row}) FROM ONLY "public"."books" WHERE"""
    pages = "ctid >= '(first,0)' AND ctid < '(end,0)'"

    expand = journey.steps(Phase.EXPAND)
    assert sent(expand) == [
        'ALTER TABLE "public"."books" ADD COLUMN "published" integer',
        f"{create} AS '{old_wins}'",
        'CREATE TRIGGER "~ecm_golden_public.books" BEFORE INSERT OR UPDATE ON "public"."books" FOR EACH ROW'
        " WHEN (pg_catalog.current_setting('ecm.backfill', true) IS DISTINCT FROM '~ecm_golden_public.books')"
        ' EXECUTE FUNCTION "ecm"."sync_golden_public.books"()',
        'ALTER TABLE "public"."books" ENABLE ALWAYS TRIGGER "~ecm_golden_public.books"',
    ]
    assert [statement.as_string(None) for statement in expand[0].inverse] == [
        'DROP TRIGGER IF EXISTS "~ecm_golden_public.books" ON "public"."books"',
        'DROP FUNCTION IF EXISTS "ecm"."sync_golden_public.books"()',
        'ALTER TABLE "public"."books" DROP COLUMN IF EXISTS "published"',
    ]
    assert sent(journey.steps(Phase.BACKFILL)) == [
        f'UPDATE ONLY "public"."books" SET "published" = "year" WHERE {pages}'
        ' AND (("published" IS NOT DISTINCT FROM NULL AND "year" IS DISTINCT FROM NULL))',
        f"{scan} {pages}",
    ]
    noticed = """CREATE OR REPLACE FUNCTION "ecm"."uses_0_golden_public.books"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS '#variable_conflict use_column
DECLARE
"~stack" pg_catalog.text;
BEGIN
IF pg_catalog.current_setting(''ecm.uses_3e82150517a7e7da'', true) IS DISTINCT FROM pg_catalog.floor(pg_catalog.date_part(''epoch'', pg_catalog.clock_timestamp()))::pg_catalog.int8::pg_catalog.text THEN
BEGIN
IF TG_OP = ''UPDATE'' AND pg_catalog.pg_trigger_depth() > 1 THEN
GET DIAGNOSTICS "~stack" = PG_CONTEXT;
IF "~stack" ~ ''^[^[:cntrl:]]*[[:cntrl:]]+[^[:cntrl:]]*"UPDATE (ONLY )?"[^[:cntrl:]]* WHERE [$][0-9]+ OPERATOR[(]'' THEN
RETURN NEW;
END IF;
END IF;
PERFORM pg_catalog.nextval(''"ecm"."count_uses_0_golden_public.books"''::pg_catalog.regclass), pg_catalog.setval(''"ecm"."last_uses_0_golden_public.books"''::pg_catalog.regclass, (pg_catalog.floor(pg_catalog.date_part(''epoch'', pg_catalog.clock_timestamp()))::pg_catalog.int8 - 946684800) * 4294967296 + pg_catalog.quote_ident(session_user)::pg_catalog.regrole::pg_catalog.oid::pg_catalog.int8), pg_catalog.set_config(''ecm.uses_3e82150517a7e7da'', pg_catalog.floor(pg_catalog.date_part(''epoch'', pg_catalog.clock_timestamp()))::pg_catalog.int8::pg_catalog.text, false);
EXCEPTION WHEN OTHERS THEN NULL;
END;
END IF;
RETURN NEW;
END'"""
    assert sent(journey.steps(Phase.MIGRATE_READS)) == [
        'CREATE INDEX CONCURRENTLY "books_year_idx_published_ecm" ON "public"."books" USING btree (published)',
        'ANALYZE "public"."books" ("published")',
        'CREATE SEQUENCE IF NOT EXISTS "ecm"."count_uses_0_golden_public.books"',
        'CREATE SEQUENCE IF NOT EXISTS "ecm"."last_uses_0_golden_public.books"',
        noticed,
        'CREATE TRIGGER "!ecm-uses_insert_0_golden_public.books" BEFORE INSERT ON "public"."books" FOR EACH ROW'
        ' WHEN (NEW."year" IS DISTINCT FROM NULL AND NOT (NEW."published" IS DISTINCT FROM NULL))'
        ' EXECUTE FUNCTION "ecm"."uses_0_golden_public.books"()',
        'ALTER TABLE "public"."books" ENABLE ALWAYS TRIGGER "!ecm-uses_insert_0_golden_public.books"',
        'CREATE TRIGGER "!ecm-uses_update_0_golden_public.books" BEFORE UPDATE OF "year" ON "public"."books" FOR EACH ROW'
        " WHEN (pg_catalog.current_setting('ecm.uses_3e82150517a7e7da', true) IS DISTINCT FROM"
        " pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()))::pg_catalog.int8::pg_catalog.text)"
        ' EXECUTE FUNCTION "ecm"."uses_0_golden_public.books"()',
        'ALTER TABLE "public"."books" ENABLE ALWAYS TRIGGER "!ecm-uses_update_0_golden_public.books"',
        f"{scan} {pages}",
        f"{create} AS '{new_wins}'",
    ]
    assert sent(journey.steps(Phase.CONTRACT)) == [
        f"{scan} {pages}",
        'DROP TRIGGER IF EXISTS "!ecm-uses_insert_0_golden_public.books" ON "public"."books"',
        'DROP TRIGGER IF EXISTS "!ecm-uses_update_0_golden_public.books" ON "public"."books"',
        'DROP FUNCTION IF EXISTS "ecm"."uses_0_golden_public.books"()',
        'DROP SEQUENCE IF EXISTS "ecm"."count_uses_0_golden_public.books", "ecm"."last_uses_0_golden_public.books"',
        'DROP TRIGGER IF EXISTS "~ecm_golden_public.books" ON "public"."books"',
        'DROP FUNCTION IF EXISTS "ecm"."sync_golden_public.books"()',
        'ALTER TABLE "public"."books" DROP COLUMN "published"',
        'ALTER TABLE "public"."books" RENAME COLUMN "year" TO "published"',
    ]


def test_locks_of_every_step(journeys: Journeys) -> None:
    """Readers and writers are kept out for the catalog changes of expand and contract only."""
    journey = journeys(books("year integer", "CREATE INDEX ON books (year)"), RENAME)
    locks = [(phase, step.lock, step.reversible) for phase in Phase for step in journey.steps(phase)]
    assert locks == [
        (Phase.EXPAND, LockMode.ACCESS_EXCLUSIVE, True),
        (Phase.BACKFILL, LockMode.ROW_EXCLUSIVE, True),
        (Phase.MIGRATE_READS, LockMode.SHARE_UPDATE_EXCLUSIVE, True),
        (Phase.MIGRATE_READS, LockMode.SHARE_UPDATE_EXCLUSIVE, True),
        (Phase.MIGRATE_READS, LockMode.SHARE_ROW_EXCLUSIVE, True),
        (Phase.MIGRATE_READS, LockMode.ACCESS_SHARE, True),
        (Phase.MIGRATE_READS, None, True),
        (Phase.CONTRACT, LockMode.ACCESS_SHARE, True),
        (Phase.CONTRACT, LockMode.ACCESS_EXCLUSIVE, False),
    ]


def test_steps_of_a_column_with_a_default_grants_and_a_collation(journeys: Journeys, roles: Roles) -> None:
    """What a writer of the new name needs on the first day comes with the new column, in the same transaction."""
    reader = roles()
    journey = journeys(
        books(
            """year text COLLATE "C" DEFAULT 'o''clock'""",
            f"GRANT SELECT (year) ON books TO {reader} WITH GRANT OPTION",
            "GRANT UPDATE (year) ON books TO PUBLIC",
            values="g::text",
        ),
        RENAME,
    )
    assert sent(journey.steps(Phase.EXPAND))[:4] == [
        'ALTER TABLE "public"."books" ADD COLUMN "published" text COLLATE pg_catalog."C"',
        """ALTER TABLE "public"."books" ALTER COLUMN "published" SET DEFAULT ('o''clock'::text)""",
        f'GRANT SELECT ("published") ON "public"."books" TO "{reader}" WITH GRANT OPTION',
        'GRANT UPDATE ("published") ON "public"."books" TO PUBLIC',
    ]


# ---------------------------------------------------------------- indexes


def _served(new_index: str) -> Callable[[Db], None]:
    """Return a check that both names are in step, and that readers of the new name have an index once they come."""

    def check(db: Db) -> None:
        in_step()(db)
        if ask(db, "SELECT count(*) FROM ecm.plans WHERE state = 'reads_migrated'"):
            definitions = [row[0] for row in rows(db, "SELECT indexdef FROM pg_indexes WHERE tablename = 'books'")]
            assert any(definition.endswith(new_index) for definition in definitions), definitions

    return check


@pytest.mark.parametrize(
    ("index", "twin"),
    [
        pytest.param("books (year)", " (published)", id="plain"),
        pytest.param("books (id) WHERE year > 1950", " (id) WHERE (published > 1950)", id="partial"),
        pytest.param("books ((year % 100))", " (((published % 100)))", id="expression"),
        pytest.param("books (title, year DESC NULLS LAST)", " (title, published DESC NULLS LAST)", id="multi-column"),
        pytest.param("books (id) INCLUDE (year)", " (id) INCLUDE (published)", id="covering"),
        pytest.param("books USING hash (year)", " USING hash (published)", id="hash"),
        pytest.param("books USING brin (year) WITH (pages_per_range = 7)", "(pages_per_range='7')", id="brin"),
    ],
)
def test_index(journeys: Journeys, index: str, twin: str) -> None:
    """An index on the column serves readers of the new name from migrate-reads on, and has its own name at the end."""
    journey = journeys(books("year integer", f"CREATE INDEX of_year ON {index}"), RENAME)
    round_trip(journey, direct=DIRECT, holds=_served(twin))


def test_unique_index(journeys: Journeys) -> None:
    """A duplicate is refused under either name, in every state."""
    start = books("year integer", "CREATE UNIQUE INDEX of_year ON books (year)", values="g")

    def holds(db: Db) -> None:
        run(db, "INSERT INTO books (id, year) VALUES (901, 1901); INSERT INTO books (id, published) VALUES (902, 1902)")
        refuses(db, "INSERT INTO books (id, year) VALUES (903, 7)", errors.UniqueViolation)
        refuses(db, "INSERT INTO books (id, published) VALUES (903, 7)", errors.UniqueViolation)
        refuses(db, "UPDATE books SET published = 7 WHERE id = 8", errors.UniqueViolation)

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_unique_constraint_that_is_deferred(journeys: Journeys) -> None:
    """Values can still be swapped within a transaction."""
    start = books("year integer CONSTRAINT one_a_year UNIQUE DEFERRABLE INITIALLY DEFERRED", values="g")

    def holds(db: Db) -> None:
        run(db, "UPDATE books SET published = 3 - id WHERE id IN (1, 2)")
        run(db, "SET CONSTRAINTS ALL IMMEDIATE")
        assert rows(db, "SELECT id, year FROM books WHERE id < 3 ORDER BY 1") == [(1, 2), (2, 1)]

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_index_that_is_invalid(journeys: Journeys) -> None:
    """An index that a build left behind stays as it is, and gets no twin."""
    start = books("year integer", values="g % 2")
    journey = journeys(start, RENAME)
    with pytest.raises(errors.UniqueViolation):
        run(journey.db, "CREATE UNIQUE INDEX CONCURRENTLY broken ON books (year)")
    round_trip(journey, direct=DIRECT, holds=in_step())


def test_index_with_comment_and_statistics_target(journeys: Journeys) -> None:
    """What was said about an index is still said."""
    start = books(
        "year integer",
        "CREATE INDEX of_year ON books ((year + 1))",
        "ALTER INDEX of_year ALTER COLUMN 1 SET STATISTICS 700",
        "COMMENT ON INDEX of_year IS 'the next year'",
        "CLUSTER books USING of_year",
    )
    round_trip(journeys(start, RENAME), direct=DIRECT)


# ---------------------------------------------------------------- constraints


def test_primary_key(journeys: Journeys) -> None:
    """A key column is written and found under both names."""
    start = "CREATE TABLE books (year integer PRIMARY KEY, title text); INSERT INTO books SELECT g FROM generate_series(1, 9) g"

    def holds(db: Db) -> None:
        run(db, "INSERT INTO books (published, title) VALUES (50, 'by the new')")
        run(db, "UPDATE books SET published = 51 WHERE published = 50")
        assert rows(db, "SELECT year, title FROM books WHERE year > 40") == [(51, "by the new")]
        refuses(db, "INSERT INTO books (published) VALUES (3)", errors.UniqueViolation)
        refuses(db, "INSERT INTO books (title) VALUES ('no key')", errors.NotNullViolation)

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_column_that_foreign_keys_refer_to(journeys: Journeys) -> None:
    """Children follow an update under the new name, and keep a parent from being deleted."""
    start = """
        CREATE TABLE books (year integer PRIMARY KEY, title text);
        CREATE TABLE editions (id integer, book integer REFERENCES books (year) ON UPDATE CASCADE);
        CREATE TABLE reviews (id integer, book integer CONSTRAINT of_a_book REFERENCES books DEFERRABLE);
        INSERT INTO books SELECT g FROM generate_series(1, 9) g;
        INSERT INTO editions VALUES (1, 3); INSERT INTO reviews VALUES (1, 4);
    """

    def holds(db: Db) -> None:
        run(db, "UPDATE books SET published = 33 WHERE year = 3")
        assert ask(db, "SELECT book FROM editions") == 33
        refuses(db, "UPDATE books SET published = 44 WHERE year = 4", errors.ForeignKeyViolation)
        refuses(db, "DELETE FROM books WHERE year = 4", errors.ForeignKeyViolation)
        run(db, "INSERT INTO books (published) VALUES (70); INSERT INTO reviews VALUES (2, 70)")

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_column_that_is_a_foreign_key(journeys: Journeys) -> None:
    """The parent is asked for whatever name the value came under, and its actions reach both names."""
    start = """
        CREATE TABLE years (year integer PRIMARY KEY); INSERT INTO years SELECT generate_series(1900, 2000);
    """ + books(
        "year integer DEFAULT 1900 CONSTRAINT in_a_year REFERENCES years ON UPDATE CASCADE ON DELETE SET DEFAULT"
    )

    def holds(db: Db) -> None:
        in_step()(db)
        refuses(db, "INSERT INTO books (id, published) VALUES (903, 3000)", errors.ForeignKeyViolation)
        refuses(db, "UPDATE books SET published = 3000 WHERE id = 1", errors.ForeignKeyViolation)
        run(db, "INSERT INTO books (id, published) VALUES (904, 1977), (905, 1978)")
        run(db, "UPDATE years SET year = 2077 WHERE year = 1977; DELETE FROM years WHERE year = 1978")
        assert rows(db, "SELECT year, published FROM books WHERE id IN (904, 905) ORDER BY id") == [
            (2077, 2077),
            (1900, 1900),
        ]

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_check_constraints(journeys: Journeys) -> None:
    """A check on the column holds for both names; those that are NOT VALID or NO INHERIT stay so."""
    start = books(
        "year integer CONSTRAINT sane CHECK (year BETWEEN 1400 AND 2100)",
        "ALTER TABLE books ADD CONSTRAINT yearly CHECK (price > year) NOT VALID",
        "ALTER TABLE books ADD CONSTRAINT alone CHECK (year <> 1666) NO INHERIT",
        "COMMENT ON CONSTRAINT sane ON books IS 'printed'",
    )

    def holds(db: Db) -> None:
        in_step()(db)
        refuses(db, "INSERT INTO books (id, published) VALUES (903, 1399)", errors.CheckViolation)
        refuses(db, "UPDATE books SET published = 1666 WHERE id = 1", errors.CheckViolation)

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_exclusion_constraint(journeys: Journeys) -> None:
    """Overlaps are refused under either name."""
    start = books(
        "year int4range",
        "ALTER TABLE books ADD CONSTRAINT apart EXCLUDE USING gist (year WITH &&)",
        values="int4range(g * 10, g * 10 + 5)",
    )

    def holds(db: Db) -> None:
        run(
            db,
            "INSERT INTO books (id, year) VALUES (901, '[9001,9002)'); INSERT INTO books (id, published) VALUES (902, '[9003,9004)')",
        )
        assert _sides(db, 901) | _sides(db, 902) == {"[9001,9002)", "[9003,9004)"}
        refuses(db, "INSERT INTO books (id, published) VALUES (903, '[11,13)')", errors.ExclusionViolation)

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_not_null(journeys: Journeys) -> None:
    """A NULL is refused under either name, and a writer of the new name need not know the old."""
    start = books("year integer NOT NULL")

    def holds(db: Db) -> None:
        in_step()(db)
        refuses(db, "INSERT INTO books (id, published) VALUES (903, NULL)", errors.NotNullViolation)
        refuses(db, "UPDATE books SET published = NULL WHERE id = 901", errors.NotNullViolation)
        refuses(db, "UPDATE books SET year = NULL WHERE id = 901", errors.NotNullViolation)

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


# ---------------------------------------------------------------- defaults


def test_constant_default(journeys: Journeys) -> None:
    """Both names have it, an explicit NULL is kept, and rows that are there already do not show it."""
    start = books("year integer DEFAULT 1850", values="nullif(g, 5)")

    def holds(db: Db) -> None:
        in_step()(db)
        run(db, "INSERT INTO books (id) VALUES (910); INSERT INTO books (id, published) VALUES (911, NULL)")
        run(
            db,
            "INSERT INTO books (id, year) VALUES (912, NULL); INSERT INTO books (id, published) VALUES (913, DEFAULT)",
        )
        assert rows(db, "SELECT year, published FROM books WHERE id > 909 ORDER BY id") == [
            (1850, 1850),
            (None, None),
            (None, None),
            (1850, 1850),
        ]

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_volatile_default(journeys: Journeys) -> None:
    """Each row has one value of its own, drawn once, under both names."""
    start = books("year double precision DEFAULT random()")

    def holds(db: Db) -> None:
        in_step("0.25", "0.75")(db)
        run(db, "INSERT INTO books (id) SELECT generate_series(910, 919)")
        found = rows(db, "SELECT year, published FROM books WHERE id BETWEEN 910 AND 919")
        assert len({old for old, _ in found}) == 10
        assert all(old == new for old, new in found)

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_default_that_changes_with_the_clock(journeys: Journeys) -> None:
    """`now()` is neither constant nor volatile: the old column has it, the new one follows."""
    start = books("year timestamptz DEFAULT now()", values="'2020-01-01'::timestamptz + make_interval(days => g)")

    def holds(db: Db) -> None:
        in_step("'2021-01-01Z'::timestamptz", "'2022-01-01Z'::timestamptz")(db)
        run(db, "INSERT INTO books (id) VALUES (910)")
        assert ask(db, "SELECT year = now() AND published = year FROM books WHERE id = 910")

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


@pytest.mark.parametrize("kind", ["ALWAYS", "BY DEFAULT"])
def test_identity(journeys: Journeys, kind: str) -> None:
    """Numbers are drawn for writers of either name, and a given one is taken under the new."""
    start = f"""
        CREATE TABLE books (year integer GENERATED {kind} AS IDENTITY (START WITH 7 INCREMENT BY 3) PRIMARY KEY, title text);
        INSERT INTO books (title) SELECT 'book ' || g FROM generate_series(1, 9) g;
    """

    def holds(db: Db) -> None:
        run(
            db, "INSERT INTO books (title) VALUES ('old'); INSERT INTO books (published, title) VALUES (DEFAULT, 'new')"
        )
        drawn = rows(db, "SELECT year, published FROM books WHERE title IN ('old', 'new') ORDER BY 1")
        assert len({old for old, _ in drawn}) == 2
        assert all(old == new for old, new in drawn)
        run(
            db,
            "INSERT INTO books (published, title) VALUES (5000, 'given'); UPDATE books SET published = 5001 WHERE year = 5000",
        )
        assert ask(db, "SELECT year FROM books WHERE title = 'given'") == 5001

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_serial(journeys: Journeys) -> None:
    """The sequence goes on being the column's own."""
    start = "CREATE TABLE books (year serial PRIMARY KEY, title text); INSERT INTO books (title) VALUES ('a'), ('b')"

    def holds(db: Db) -> None:
        assert rows(db, "INSERT INTO books (title) VALUES ('c') RETURNING year - published") == [(0,)]
        assert ask(db, "SELECT pg_get_serial_sequence('books', 'year')") == "public.books_year_seq"

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_generated_column_that_depends_on_it(journeys: Journeys) -> None:
    """What is computed from the column is computed from whatever name was written."""
    start = books("year integer, century integer GENERATED ALWAYS AS (year / 100 + 1) STORED")

    def holds(db: Db) -> None:
        in_step()(db)
        run(db, "INSERT INTO books (id, published) VALUES (910, 1515)")
        assert ask(db, "SELECT century FROM books WHERE id = 910") == 16
        run(db, "UPDATE books SET published = 1815 WHERE id = 910")
        assert ask(db, "SELECT century FROM books WHERE id = 910") == 19

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


# ---------------------------------------------------------------- domains


def test_domain_with_a_check_and_a_default(journeys: Journeys) -> None:
    """The domain's check and default apply to both names, and its rows are not rewritten."""
    start = "CREATE DOMAIN printed AS integer DEFAULT 1850 CHECK (VALUE > 1400);" + books("year printed")

    def holds(db: Db) -> None:
        in_step()(db)
        run(db, "INSERT INTO books (id) VALUES (910)")
        assert _sides(db, 910) == {"1850"}
        refuses(db, "INSERT INTO books (id, published) VALUES (911, 3)", errors.CheckViolation)
        refuses(db, "UPDATE books SET published = 3 WHERE id = 1", errors.CheckViolation)

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_domain_without_constraints(journeys: Journeys) -> None:
    """The new column is of the domain itself."""
    start = "CREATE DOMAIN label AS varchar(20);" + books("year label", values="'y' || g")
    round_trip(journeys(start, RENAME), direct=DIRECT, holds=in_step("'a'", "'b'"))


def test_domain_that_is_not_null(journeys: Journeys) -> None:
    """A writer of the new name leaves the old one out, which such a domain refuses before any trigger: ecm does first."""
    journey = journeys("CREATE DOMAIN present AS integer NOT NULL;" + books("year present"), RENAME)
    before = journey.fingerprint
    with pytest.raises(PreconditionError, match=r"domain public\.present, does not accept NULL"):
        journey.advance(State.EXPANDED)
    assert journey.fingerprint == before


def test_domain_that_is_not_null_with_a_default(journeys: Journeys) -> None:
    """With a default, leaving the column out is no NULL, and the rename goes its way."""
    start = "CREATE DOMAIN present AS integer NOT NULL;" + books("year present DEFAULT 1900")
    round_trip(journeys(start, RENAME), direct=DIRECT, holds=in_step())


@pytest.mark.parametrize(
    "domain",
    [
        pytest.param("CREATE DOMAIN printed AS timestamptz DEFAULT clock_timestamp()", id="volatile default"),
        pytest.param("CREATE DOMAIN printed AS timestamptz DEFAULT '2020-01-01Z'", id="constant default"),
        pytest.param(
            "CREATE DOMAIN inner_one AS timestamptz CHECK (VALUE > '1400-01-01Z'); CREATE DOMAIN printed AS inner_one",
            id="domain over a domain with a check",
        ),
        pytest.param(
            "CREATE DOMAIN inner_one AS timestamptz CHECK (VALUE > '1400-01-01Z');"
            " CREATE DOMAIN printed AS inner_one CHECK (VALUE < '2400-01-01Z')",
            id="a check at both levels",
        ),
    ],
)
def test_domain_does_not_rewrite_the_table(journeys: Journeys, domain: str) -> None:
    """Expand touches the catalog only: the heap is the same file, and no row has a new value before the backfill."""
    start = f"{domain}; {books('year printed', values=''' '2019-01-01Z'::timestamptz + make_interval(days => g) ''')}"
    journey = journeys(start, RENAME)
    heap = ask(journey.db, "SELECT pg_relation_filenode('books')")
    journey.advance()
    assert ask(journey.db, "SELECT pg_relation_filenode('books')") == heap
    assert ask(journey.db, "SELECT count(published) FROM books") == 0
    journey.rollback()
    round_trip(journey, direct=DIRECT, holds=in_step("'2021-01-01Z'::timestamptz", "'2022-01-01Z'::timestamptz"))


# ---------------------------------------------------------------- what is said about a column


def test_comment_statistics_storage_and_compression(journeys: Journeys) -> None:
    """Everything that was said about the column is still said."""
    start = books(
        "year text COMPRESSION pglz",
        "COMMENT ON COLUMN books.year IS 'of the first print; 100%'",
        "ALTER TABLE books ALTER year SET STATISTICS 500, ALTER year SET STORAGE EXTERNAL",
        "ALTER TABLE books ALTER year SET (n_distinct = -0.5)",
        values="g::text",
    )
    round_trip(journeys(start, RENAME), direct=DIRECT, holds=in_step("'a'", "'b'"))


def test_extended_statistics(journeys: Journeys) -> None:
    """Statistics over several columns and over expressions follow."""
    start = books(
        "year integer",
        "CREATE STATISTICS together (dependencies, mcv) ON title, year FROM books",
        "CREATE STATISTICS by_century ON (year / 100), title FROM books",
        "ALTER STATISTICS together SET STATISTICS 300",
        "COMMENT ON STATISTICS together IS 'they depend'",
    )
    round_trip(journeys(start, RENAME), direct=DIRECT)


def test_column_grants(journeys: Journeys, roles: Roles) -> None:
    """An application role with grants on columns alone writes both names; it has no right on schema ecm."""
    web, reader = roles(), roles()
    start = books(
        "year integer",
        f"GRANT SELECT (id, year), INSERT (id, year), UPDATE (year) ON books TO {web}",
        f"GRANT SELECT (year) ON books TO {reader} WITH GRANT OPTION",
        "GRANT REFERENCES (year) ON books TO PUBLIC",
    )

    def holds(db: Db) -> None:
        assert not ask(db, f"SELECT has_schema_privilege('{web}', 'ecm', 'USAGE')")
        run(db, f"SET LOCAL ROLE {web}")
        in_step()(db)
        refuses(db, "UPDATE books SET title = '' WHERE published = 1", errors.InsufficientPrivilege)
        run(db, f"SET LOCAL ROLE {reader}")
        assert ask(db, "SELECT count(published) FROM books") is not None
        refuses(db, "UPDATE books SET published = 1", errors.InsufficientPrivilege)
        run(db, f"GRANT SELECT (published) ON books TO {web}; RESET ROLE")

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


@pytest.mark.parametrize(
    ("column", "values", "first", "second"),
    [
        pytest.param(
            "year date DEFAULT '2020-01-01'",
            "'2020-01-01'::date + g",
            "date '2021-01-01'",
            "date '2022-01-01'",
            id="date",
        ),
        pytest.param("year text DEFAULT 'a'", "'y' || g", "'a'", "'b'", id="text"),
        pytest.param("year integer DEFAULT 7 + 1", "g", "1", "2", id="operators in the default"),
    ],
)
def test_any_search_path(journeys: Journeys, column: str, values: str, first: str, second: str) -> None:
    """Nothing that an application's search_path or temporary schema holds gets between the two sides."""
    start = "; ".join(
        (
            books(column, values=values),
            "CREATE SCHEMA odd",
            # Types, functions and operators with the names of PostgreSQL's own, that fail when they are used.
            "CREATE TYPE odd.date AS (wrong text)",
            "CREATE TYPE odd.text AS ENUM ('wrong')",
            "CREATE FUNCTION odd.wrong(pg_catalog.int4, pg_catalog.int4) RETURNS pg_catalog.int4 LANGUAGE plpgsql"
            " AS $$BEGIN RAISE 'the wrong operator'; END$$",
            "CREATE OPERATOR odd.+ (LEFTARG = pg_catalog.int4, RIGHTARG = pg_catalog.int4, FUNCTION = odd.wrong)",
            "CREATE FUNCTION odd.record_image_ne(record, record) RETURNS boolean LANGUAGE plpgsql"
            " AS 'BEGIN RETURN false; END'",
            "CREATE FUNCTION odd.current_setting(pg_catalog.text, boolean) RETURNS pg_catalog.text LANGUAGE sql"
            " AS $$SELECT 'on'::pg_catalog.text$$",
        )
    )

    def holds(db: Db) -> None:
        run(db, "CREATE TEMPORARY TABLE date (wrong pg_catalog.text); CREATE TEMPORARY TABLE text (wrong integer)")
        for path in ("odd, pg_catalog, public", "pg_temp, odd, pg_catalog, public"):
            run(db, f"SET LOCAL search_path = {path}; SAVEPOINT again")
            run(
                db,
                f"INSERT INTO public.books (id, year) VALUES (901, pg_catalog.{first})"
                if "date" in first
                else f"INSERT INTO public.books (id, year) VALUES (901, {first})",
            )
            run(
                db,
                f"INSERT INTO public.books (id, published) VALUES (902, pg_catalog.{second})"
                if "date" in second
                else f"INSERT INTO public.books (id, published) VALUES (902, {second})",
            )
            run(db, "INSERT INTO public.books (id) VALUES (903)")
            run(
                db,
                "UPDATE public.books SET published = (SELECT b.year FROM public.books b WHERE b.id = 901) WHERE id = 903",
            )
            run(db, "SET LOCAL search_path = pg_catalog, public, pg_temp")
            assert ask(db, "SELECT count(*) FROM public.books WHERE id > 900 AND year = published") == 3
            run(db, "ROLLBACK TO again")

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


# ---------------------------------------------------------------- triggers

STAMP = """
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM set_config('tests.fired', concat_ws(',', nullif(current_setting('tests.fired', true), ''), TG_NAME || ' ' || TG_OP), true);
      RETURN NEW;
    END$$;
"""
"""A trigger function that keeps in mind, for the length of a transaction, that it fired."""


def _fired(db: Db) -> list[str]:
    """Return which triggers fired in this transaction since the last time."""
    names = ask(db, "SELECT current_setting('tests.fired', true)") or ""
    run(db, "SELECT set_config('tests.fired', '', true)")
    return sorted(filter(None, names.split(",")))


def test_update_of_triggers(journeys: Journeys) -> None:
    """A trigger on the column fires for an update under either name, and for no other column."""
    start = STAMP + books(
        "year integer",
        "CREATE TRIGGER before_it BEFORE UPDATE OF year ON books FOR EACH ROW EXECUTE FUNCTION stamp()",
        "CREATE TRIGGER after_it AFTER INSERT OR UPDATE OF title, year ON books FOR EACH ROW"
        " WHEN (NEW.year IS NOT NULL) EXECUTE FUNCTION stamp('with', 'argu''ments')",
        "CREATE TRIGGER statement_wise AFTER UPDATE OF year ON books EXECUTE FUNCTION stamp()",
        "CREATE TRIGGER asleep AFTER UPDATE OF year ON books FOR EACH ROW EXECUTE FUNCTION stamp()",
        "ALTER TABLE books DISABLE TRIGGER asleep",
        "CREATE TRIGGER on_replicas AFTER UPDATE OF year ON books FOR EACH ROW EXECUTE FUNCTION stamp()",
        "ALTER TABLE books ENABLE REPLICA TRIGGER on_replicas",
        "CREATE TRIGGER ever AFTER UPDATE OF year ON books FOR EACH ROW EXECUTE FUNCTION stamp()",
        "ALTER TABLE books ENABLE ALWAYS TRIGGER ever",
        "COMMENT ON TRIGGER ever ON books IS 'fires on replicas ''too'''",
    )

    def holds(db: Db) -> None:
        expected = ["after_it UPDATE", "before_it UPDATE", "ever UPDATE", "statement_wise UPDATE"]
        run(db, "UPDATE books SET year = 1 WHERE id = 1")
        assert _fired(db) == expected
        run(db, "UPDATE books SET published = 2 WHERE id = 1")
        assert _fired(db) == expected
        run(db, "UPDATE books SET title = 'x' WHERE id = 1")
        assert _fired(db) == ["after_it UPDATE"]
        run(db, "UPDATE books SET price = 1 WHERE id = 1; INSERT INTO books (id, published) VALUES (901, 3)")
        assert _fired(db) == ["after_it INSERT"]

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_update_of_triggers_sleep_through_the_backfill(journeys: Journeys) -> None:
    """An audit of changes to the column is not told that every row was changed; a change by the new name it is told of."""
    start = """
        CREATE TABLE audit (id integer);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.audit VALUES (NEW.id); RETURN NULL; END$$;
    """ + books(
        "year integer", "CREATE TRIGGER audit AFTER UPDATE OF year ON books FOR EACH ROW EXECUTE FUNCTION note()"
    )
    journey = journeys(start, RENAME)
    journey.advance(State.BACKFILLED)
    assert rows(journey.db, "SELECT count(*) FROM books WHERE year IS DISTINCT FROM published") == [(0,)]
    assert rows(journey.db, "SELECT * FROM audit") == []
    run(journey.db, "UPDATE books SET published = 2 WHERE id = 1")
    assert rows(journey.db, "SELECT * FROM audit") == [(1,)]


def test_constraint_trigger(journeys: Journeys) -> None:
    """A deferred trigger on the column is made again as it was, with what was said about it."""
    start = STAMP + books(
        "year integer",
        "CREATE CONSTRAINT TRIGGER later AFTER UPDATE OF year ON books DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION stamp()",
        "COMMENT ON TRIGGER later ON books IS 'at the end'",
        "COMMENT ON CONSTRAINT later ON books IS 'as a constraint'",
    )

    def holds(db: Db) -> None:
        run(db, "UPDATE books SET published = 2 WHERE id = 1; UPDATE books SET title = 'x' WHERE id = 2")
        assert _fired(db) == []
        run(db, "SET CONSTRAINTS ALL IMMEDIATE")
        assert _fired(db) == ["later UPDATE"]

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_triggers_of_the_user_see_both_names(journeys: Journeys) -> None:
    """AFTER triggers see both sides alike; one that stamps each update does so for either name."""
    start = """
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.touched := coalesce(NEW.touched, 0) + 1; RETURN NEW; END$$;
        CREATE TABLE audit (line text);
        CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO public.audit VALUES (row_to_json(NEW)::text); RETURN NULL; END$$;
    """ + books("year integer, touched integer")
    more = """
        CREATE TRIGGER touches BEFORE UPDATE ON books FOR EACH ROW EXECUTE FUNCTION touch();
        CREATE TRIGGER keeps AFTER INSERT ON books FOR EACH ROW EXECUTE FUNCTION keep();
    """

    def holds(db: Db) -> None:
        run(db, "INSERT INTO books (id, published) VALUES (901, 1999)")
        assert ask(db, "SELECT line::json->>'year' FROM audit") == "1999"
        run(db, "UPDATE books SET published = 2000 WHERE id = 901")
        assert rows(db, "SELECT year, touched FROM books WHERE id = 901") == [(2000, 1)]

    journey = journeys(start + ";" + more, RENAME)
    # The sweep is an UPDATE, and fires `touches`: that is announced, and no loss.
    journey.advance(State.READS_MIGRATED)
    with undone(journey.db):
        holds(journey.db)
    assert ask(journey.db, "SELECT count(*) FROM books WHERE touched = 1") == 40
    assert "trigger touches fires on every row the backfill writes" in journey.conductor.preview("change").beware


def test_before_trigger_that_normalises_the_row(journeys: Journeys) -> None:
    """What a BEFORE trigger makes of an old writer's value reaches the new name, because ecm's trigger is the last."""
    start = (
        books("year text", values="'Y' || g")
        + """;
        CREATE FUNCTION lower_case() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.year := lower(NEW.year); RETURN NEW; END$$;
        CREATE TRIGGER zzz_lower BEFORE INSERT OR UPDATE ON books FOR EACH ROW EXECUTE FUNCTION lower_case();
    """
    )
    journey = journeys(start, RENAME, expand={"acknowledge": ["public.lower_case"]})
    journey.advance()
    run(journey.db, "INSERT INTO books (id, year) VALUES (901, 'ABC'); UPDATE books SET year = 'DEF' WHERE id = 1")
    assert rows(journey.db, "SELECT year, published FROM books WHERE id IN (1, 901) ORDER BY id") == [
        ("def", "def"),
        ("abc", "abc"),
    ]
    journey.advance()
    assert ask(journey.db, "SELECT count(*) FROM books WHERE year = published AND year = lower(year)") == 41


def test_before_trigger_conditional_on_the_column_fires_for_the_new_name(journeys: Journeys) -> None:
    """A trigger WHEN the column changed is not passed by when the change comes under the new name."""
    start = """
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.title := 'touched'; RETURN NEW; END$$;
    """ + books(
        "year integer",
        "CREATE TRIGGER on_change BEFORE UPDATE ON books FOR EACH ROW WHEN (OLD.year IS DISTINCT FROM NEW.year)"
        " EXECUTE FUNCTION touch()",
    )
    journey = journeys(start, RENAME)
    journey.advance(State.READS_MIGRATED)
    run(journey.db, "UPDATE books SET year = 1 WHERE id = 1; UPDATE books SET published = 1 WHERE id = 2")
    assert rows(journey.db, "SELECT title FROM books WHERE id < 3") == [("touched",), ("touched",)]


def test_trigger_that_would_fire_after_ours_is_refused(journeys: Journeys) -> None:
    """What such a trigger made of the row would not reach the other side."""
    start = STAMP + books(
        "year integer",
        'CREATE TRIGGER "~zzz" BEFORE UPDATE ON books FOR EACH ROW EXECUTE FUNCTION stamp()',
    )
    journey = journeys(start, RENAME)
    before = journey.fingerprint
    with pytest.raises(PreconditionError, match="trigger ~zzz on books would fire after ecm's own"):
        journey.advance()
    assert journey.fingerprint == before


@pytest.mark.parametrize("role", ["origin", "replica", "local"])
def test_every_replication_role_is_kept_in_step(journeys: Journeys, role: str) -> None:
    """What logical replication or a restore writes is kept in step too."""
    start = books("year integer")

    def holds(db: Db) -> None:
        run(db, f"SET LOCAL session_replication_role = {role}")
        in_step()(db)

    journey = journeys(start, RENAME)
    journey.advance(State.READS_MIGRATED)
    with undone(journey.db):
        holds(journey.db)


# ---------------------------------------------------------------- replication


def test_publications(journeys: Journeys) -> None:
    """Publications keep their tables, columns and rows, and the column its place in replica identity."""
    start = books(
        "year integer NOT NULL",
        "CREATE UNIQUE INDEX of_year ON books (year)",
        "ALTER TABLE books REPLICA IDENTITY USING INDEX of_year",
        "CREATE PUBLICATION whole FOR TABLE books",
        "CREATE PUBLICATION every FOR ALL TABLES WITH (publish = 'insert')",
        values="g",
    )

    def holds(db: Db) -> None:
        run(db, "UPDATE books SET published = 901 WHERE id = 1; DELETE FROM books WHERE id = 2")
        assert ask(db, "SELECT year FROM books WHERE id = 1") == 901

    journey = journeys(start, RENAME)
    if journey.db.info.server_version >= 150000:
        run(
            journey.db,
            "CREATE PUBLICATION part FOR TABLE books (year, title) WHERE (year > 1950);"
            " CREATE PUBLICATION in_schema FOR TABLES IN SCHEMA public",
        )
    round_trip(journey, direct=DIRECT, holds=holds)


def test_publications_are_announced(journeys: Journeys) -> None:
    """A subscriber without the new column stops; whoever publishes whole rows is told before."""
    journey = journeys(books("year integer", "CREATE PUBLICATION whole FOR TABLE books"), RENAME)
    listed = "CREATE PUBLICATION part FOR TABLE books (id, year)"
    schema_wide = "CREATE PUBLICATION in_schema FOR TABLES IN SCHEMA public"
    if journey.db.info.server_version >= 150000:
        run(journey.db, f"{listed}; {schema_wide}")
    beware = "\n".join(journey.conductor.preview("change").beware)
    assert "publication whole sends whole rows" in beware
    assert "publication part" not in beware
    assert ("publication in_schema" in beware) == (journey.db.info.server_version >= 150000)


def test_replica_identity_full(journeys: Journeys) -> None:
    """A table without a key that replicates whole rows stays so."""
    start = """
        CREATE TABLE books (id integer, year integer); ALTER TABLE books REPLICA IDENTITY FULL;
        INSERT INTO books SELECT g, g FROM generate_series(1, 9) g; INSERT INTO books SELECT g, g FROM generate_series(1, 9) g;
    """
    round_trip(journeys(start, RENAME), direct=DIRECT, holds=in_step())


# ---------------------------------------------------------------- views, functions, policies


def test_views(journeys: Journeys, roles: Roles) -> None:
    """Views over views, of all columns, with rules and triggers of their own, keep columns, grants and options."""
    reader = roles()
    start = books(
        "year integer",
        "CREATE VIEW plain WITH (security_barrier) AS SELECT id, year FROM books WHERE year > 1950 WITH CHECK OPTION",
        "CREATE VIEW everything AS SELECT * FROM books",
        "CREATE VIEW above AS SELECT e.year AS y, p.year FROM everything e JOIN plain p USING (id)",
        f"GRANT SELECT ON above TO {reader}",
        "COMMENT ON VIEW above IS 'two'; COMMENT ON COLUMN above.y IS 'the same'",
        "CREATE RULE kept AS ON DELETE TO plain DO INSTEAD NOTHING",
        "CREATE FUNCTION named() RETURNS TABLE (year integer) BEGIN ATOMIC SELECT year FROM everything; END",
    )

    def holds(db: Db) -> None:
        run(db, "INSERT INTO books (id, published) VALUES (901, 1999)")
        assert rows(db, "SELECT y, year FROM above WHERE y = 1999 AND year > 1998") == [(1999, 1999), (1999, 1999)][:1]
        assert ask(db, "SELECT year FROM everything WHERE id = 901") == 1999
        assert ask(db, "SELECT count(*) FROM named() WHERE year = 1999") >= 1
        run(db, "UPDATE plain SET year = 1998 WHERE id = 901")
        assert ask(db, "SELECT published FROM books WHERE id = 901") == 1998

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_materialized_view(journeys: Journeys) -> None:
    """It can be refreshed in every state, and keeps its indexes."""
    start = books(
        "year integer",
        "CREATE MATERIALIZED VIEW by_year AS SELECT year, count(*) AS n FROM books GROUP BY year",
        "CREATE UNIQUE INDEX ON by_year (year)",
        "CREATE MATERIALIZED VIEW empty AS SELECT year FROM books WITH NO DATA",
    )

    def holds(db: Db) -> None:
        run(db, "INSERT INTO books (id, published) VALUES (901, 1777); REFRESH MATERIALIZED VIEW by_year")
        assert ask(db, "SELECT n FROM by_year WHERE year = 1777") == 1

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_function_with_an_sql_body(journeys: Journeys) -> None:
    """A body that PostgreSQL has parsed reads and writes the column in every state."""
    start = books(
        "year integer",
        "CREATE FUNCTION newest() RETURNS integer BEGIN ATOMIC SELECT max(year) FROM books; END",
        "CREATE FUNCTION age(b books) RETURNS integer LANGUAGE sql IMMUTABLE RETURN 2024 - b.year",
        "CREATE PROCEDURE add(i integer, y integer) BEGIN ATOMIC INSERT INTO books (id, year) VALUES (i, y); END",
        "CREATE FUNCTION whole() RETURNS SETOF books STABLE LANGUAGE sql AS 'SELECT * FROM books'",
    )

    def holds(db: Db) -> None:
        run(db, "CALL add(901, 3000)")
        assert ask(db, "SELECT published FROM books WHERE id = 901") == 3000
        run(db, "UPDATE books SET published = 3001 WHERE id = 901")
        assert ask(db, "SELECT newest()") == 3001
        assert ask(db, "SELECT age(b) FROM books b WHERE id = 901") == -977
        assert ask(db, "SELECT count(*) FROM whole()") == 41

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


def test_function_that_returns_rows_of_the_table_from_a_parsed_body(journeys: Journeys) -> None:
    """Its list of columns was settled when it was made: a table with one more column must not break its callers."""
    start = books(
        "year integer",
        "CREATE FUNCTION whole() RETURNS SETOF books BEGIN ATOMIC SELECT id, title, year, price FROM books; END",
    )
    journey = journeys(start, RENAME)
    try:
        journey.advance()
    except PreconditionError as refused:
        assert "whole" in refused.message  # noqa: PT017 - to refuse it by name is as good as to have it work
        return
    assert ask(journey.db, "SELECT count(*) FROM whole()") == 40


def test_policies(journeys: Journeys, roles: Roles) -> None:
    """Policies on the column hold for both names; the owner that they are forced on is told, not robbed of rows."""
    web = roles()
    start = books(
        "year integer",
        f"GRANT SELECT, INSERT, UPDATE ON books TO {web}",
        "CREATE POLICY old_books ON books USING (year < 2000) WITH CHECK (year BETWEEN 1000 AND 2000)",
        "CREATE POLICY not_odd ON books AS RESTRICTIVE FOR UPDATE TO PUBLIC USING (year <> 1913)",
        "COMMENT ON POLICY not_odd ON books IS 'odd'",
        "ALTER TABLE books ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    )

    def holds(db: Db) -> None:
        run(db, f"SET LOCAL ROLE {web}")
        in_step()(db)
        refuses(db, "INSERT INTO books (id, published) VALUES (903, 2500)", errors.InsufficientPrivilege)
        refuses(db, "UPDATE books SET published = 2500 WHERE id = 1", errors.InsufficientPrivilege)
        assert db.execute("UPDATE books SET published = 1 WHERE published = 1913").rowcount == 0
        run(db, "RESET ROLE")

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


# ---------------------------------------------------------------- names that PostgreSQL does not track

BODIES = {
    "PL/pgSQL": (
        "CREATE FUNCTION newest() RETURNS integer LANGUAGE plpgsql AS $$BEGIN RETURN (SELECT max(year) FROM books); END$$",
        "public.newest",
    ),
    "SQL in a string": (
        "CREATE FUNCTION newest() RETURNS integer LANGUAGE sql AS 'SELECT max(Year) FROM Books'",
        "public.newest",
    ),
    "a trigger of this table": (
        "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.year > 3 THEN NULL; END IF; RETURN NEW; END$$;"
        " CREATE TRIGGER looks AFTER UPDATE ON books FOR EACH ROW EXECUTE FUNCTION look()",
        "public.look",
    ),
    "a trigger's argument": (
        "CREATE TRIGGER tells AFTER UPDATE ON books FOR EACH ROW EXECUTE FUNCTION stamp('id', 'year')",
        "public.tells",
    ),
    "dynamic SQL": (
        "CREATE FUNCTION any_table(t text) RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE 'UPDATE ' || t || ' SET year = 1'; END$$",
        "public.any_table",
    ),
    "a function of the table's row": (
        "CREATE FUNCTION shown(b books) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN b.year::text; END$$",
        "public.shown",
    ),
    "a procedure in another schema": (
        "CREATE SCHEMA jobs; CREATE PROCEDURE jobs.nightly() LANGUAGE plpgsql"
        """ AS $$BEGIN UPDATE public.books SET "year" = 0; END$$""",
        "jobs.nightly",
    ),
}


@pytest.mark.parametrize("where", BODIES)
def test_untracked_name(journeys: Journeys, where: str) -> None:
    """It stops the plan by name before anything is touched; acknowledged, the plan runs."""
    statement, name = BODIES[where]
    journey = journeys(STAMP + books("year integer", statement), RENAME, fresh=True)
    before = journey.fingerprint
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    assert name in refused.value.message
    assert f"acknowledge: [{name}]" in (refused.value.hint or "")
    assert journey.fingerprint == before
    assert ask(journey.db, "SELECT to_regnamespace('ecm')") is None
    journey.with_plan(expand={"acknowledge": [name]})
    assert journey.advance() is State.EXPANDED


def test_a_function_that_still_names_the_old_column_at_contract(journeys: Journeys) -> None:
    """Acknowledged, it is told of before and after; made since, it stops contract until it is rewritten."""
    body = "CREATE OR REPLACE FUNCTION {} RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max({}) FROM books); END'"
    journey = journeys(
        books("year integer", body.format("known()", "year")), RENAME, expand={"acknowledge": ["public.known"]}
    )
    journey.advance(State.READS_MIGRATED)
    run(journey.db, body.format("since()", "year"))
    with pytest.raises(PreconditionError, match=r"public\.since"):
        journey.advance()
    run(journey.db, body.format("since()", RENAME["to"]))
    report = journey.conductor.advance(journey.plan.plan, BRANCH)
    assert report.state == State.CONTRACTED
    assert [line for line in report.warnings if "public.known" in line]
    assert ask(journey.db, "SELECT since()") == ask(journey.db, f"SELECT max({RENAME['to']}) FROM books")


def test_names_that_mean_something_else_do_not_stop_a_plan(journeys: Journeys) -> None:
    """A body is looked at for the column's whole name beside the table's, not for pieces of words."""
    start = books(
        "year integer",
        "CREATE FUNCTION a() RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'leap_year of books'; END$$",
        "CREATE FUNCTION b() RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN extract(year FROM now()); END$$",
        "CREATE FUNCTION c() RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'year of mybooks'; END$$",
    )
    assert journeys(start, RENAME).advance() is State.EXPANDED


def test_every_untracked_name_at_once(journeys: Journeys) -> None:
    """Nobody has to come back for the second one."""
    start = STAMP + books("year integer", *(statement for statement, _ in BODIES.values() if "newest" not in statement))
    journey = journeys(start, RENAME)
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    told = "\n".join((refused.value.message, *refused.value.details))
    for _, name in BODIES.values():
        assert name in told or name == "public.newest"


# ---------------------------------------------------------------- types

TYPES = {
    "json": ("json", """('{"a":' || g || ', "a": 1}')::json""", """'{"b": 1}'::json""", """'{"b":1}'::json"""),
    "jsonb": ("jsonb", "to_jsonb(g)", "'[1.0]'::jsonb", "'[1.00]'::jsonb"),
    "point": ("point", "point(g, -g)", "point(0, 0)", "point(0, -0.0)"),
    "numeric": ("numeric", "g::numeric", "1.0", "1.00"),
    "numeric with a scale": ("numeric(6,2) DEFAULT 1.50", "g / 7.0", "1.5", "2"),
    "double precision": ("double precision", "'NaN'::float8", "'-0'::float8", "0::float8"),
    "real": ("real DEFAULT 0.1", "g / 3.0", "'NaN'::real", "'-Infinity'::real"),
    "array": ("integer[]", "array[g, NULL]", "'{}'::integer[]", "'[0:1]={1,2}'::integer[]"),
    "array of text": ("text[] DEFAULT '{a,NULL}'", "array[g::text]", "array['', NULL]", "array[['a'],['b']]"),
    "composite": ("pair", "row(g, NULL)::pair", "row(1, 'x')::pair", "row(NULL, NULL)::pair"),
    "enum": ("mood DEFAULT 'sad'", "'glad'::mood", "'sad'::mood", "'glad'::mood"),
    "bytea": ("bytea", "decode(md5(g::text), 'hex')", r"'\x00'::bytea", r"'\x'::bytea"),
    "char(n)": ("char(5) DEFAULT 'd'", "g::text", "'a'", "'b    '"),
    "varchar(n)": ("varchar(5)", "g::text", "'a'", "'a '"),
    "internal char": ('"char"', """'a'::"char" """, """'x'::"char" """, """'y'::"char" """),
    "bit": ("bit(3)", "(g % 8)::bit(3)", "B'101'", "B'010'"),
    "varbit": ("varbit(9)", "B'1'", "B'0'", "B''"),
    "interval": ("interval day to second", "make_interval(hours => g)", "'24 hours'", "'1 day'"),
    "timestamp": ("timestamp(0)", "'infinity'::timestamp", "'2020-01-01 12:00'", "'-infinity'"),
    "range": ("numrange", "numrange(g, NULL)", "'empty'::numrange", "'[1.0,2)'::numrange"),
    "multirange": (
        "nummultirange",
        "nummultirange(numrange(g, g + 1))",
        "'{}'::nummultirange",
        "'{[1,2)}'::nummultirange",
    ),
    "tsvector": ("tsvector", "to_tsvector('simple', 'a b')", "'a:1'::tsvector", "''::tsvector"),
    "text with another collation": ('text COLLATE "POSIX"', "g::text", "'a'", "'B'"),
    "text without case": ("text COLLATE caseless", "'y' || g", "'a'", "'A'"),
    "oid": ("regclass", "'pg_class'::regclass", "'books'::regclass", "'pg_type'::regclass"),
    "xml": ("xml", "xmlelement(name a, g)", "'<a/>'::xml", "'<a></a>'::xml"),
}
"""What it is → the type, values to fill it with, and two values that differ, be it in their image alone."""


@pytest.mark.parametrize("kind", TYPES)
def test_type(journeys: Journeys, kind: str) -> None:
    """A value of any type is the same on both sides, to the letter, whether its type knows equality or not."""
    declared, values, first, second = TYPES[kind]
    start = """
        CREATE TYPE pair AS (a integer, b text); CREATE TYPE mood AS ENUM ('sad', 'glad');
    """
    journey = journeys(start, RENAME)
    try:
        if "caseless" in declared:
            run(
                journey.db,
                "CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
            )
        run(journey.db, books(f"year {declared}", values=values))
    except errors.FeatureNotSupported:
        assert kind in ("xml", "text without case")
        return
    before = contents(journey.db)
    journey.advance()
    with undone(journey.db):
        in_step(first, second)(journey.db)
        run(journey.db, f"UPDATE books SET year = {first}; UPDATE books SET published = {second}")
        assert rows(journey.db, 'SELECT DISTINCT year::text COLLATE "C", published::text COLLATE "C" FROM books') == [
            (written := _value(journey.db, second).pop(), written)
        ]
        run(journey.db, "UPDATE books SET published = NULL")
        assert ask(journey.db, "SELECT count(year) FROM books") == 0
    journey.advance(State.READS_MIGRATED)
    with undone(journey.db):
        in_step(first, second)(journey.db)
    assert ask(journey.db, "SELECT count(*) FROM books WHERE year::text IS DISTINCT FROM published::text") == 0
    journey.rollback()
    journey.rollback()
    assert contents(journey.db) == before


def test_values_out_of_line(journeys: Journeys) -> None:
    """Values of 100 kB, compressed and not, are copied whole and compared whole."""
    start = books(
        "year text",
        "ALTER TABLE books ALTER year SET STORAGE EXTERNAL",
        "INSERT INTO books (id, year) VALUES (50, repeat('x', 100000))",
        values="(SELECT string_agg(md5((g * 1000 + n)::text), '') FROM generate_series(1, 3200) n)",
    )

    def holds(db: Db) -> None:
        run(db, "UPDATE books SET published = published || 'é' WHERE id IN (1, 50)")
        filled = ask(db, "SELECT state FROM ecm.plans") != "expanded"
        same = "SELECT count(*) FROM books WHERE right(year, 1) = 'é' AND year = published AND id IN (1, 50)"
        assert ask(db, same) == (2 if filled else 0)
        run(db, "UPDATE books SET published = repeat('z', 100001), title = 't' WHERE id = 2")
        assert ask(db, "SELECT year = repeat('z', 100001) FROM books WHERE id = 2")

    round_trip(journeys(start, RENAME), direct=DIRECT, holds=holds)


# ---------------------------------------------------------------- names

NAMES = {
    "reserved words": ("public", "select", "user", "group"),
    "capitals and spaces": ("public", "My Books", "The Year", "Year Of Print"),
    "quotes": ("public", 'b"ooks', 'y"ear', "pub'lished"),
    "percent and braces": ("public", "b%sooks", "%s", "{0}%"),
    "dollar signs and backslashes": ("public", "b$$ooks", "$$", "\\y$body$"),
    "unicode": ("público", "bücher", "año", "出版年"),
    "63 bytes": ("s" * 63, "t" * 63, "é" * 31 + "y", "ö" * 31 + "p"),
    "a schema with a dot": ("a.b", "c.d", "e.f", "g.h"),
    "a line break": ("public", "two\nlines", "a\tb", "c\nd"),
    "comment signs": ("public", "/*books", "--year", "*/--;"),
    "a fold away": ("public", "books", "year", "Year"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_any_name(journeys: Journeys, kind: str) -> None:
    """Names are taken to the letter, wherever they turn up: triggers, grants, indexes, messages."""
    schema, table, column, to = NAMES[kind]

    def quote(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    where, old, new = f"{quote(schema)}.{quote(table)}", quote(column), quote(to)
    start = f"""
        CREATE SCHEMA IF NOT EXISTS {quote(schema)};
        CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TABLE {where} (id integer PRIMARY KEY, {old} integer DEFAULT 7);
        CREATE UNIQUE INDEX ON {where} ({old}, id) WHERE {old} > 0;
        CREATE TRIGGER {quote("a" + column[:30])} BEFORE UPDATE OF {old} ON {where} FOR EACH ROW
          EXECUTE FUNCTION public.nothing('{table.replace("'", "''").replace(chr(92), "")}');
        GRANT SELECT ({old}) ON {where} TO PUBLIC;
        COMMENT ON COLUMN {where}.{old} IS 'said';
        INSERT INTO {where} SELECT g, g FROM generate_series(1, 20) g;
    """
    change = {"kind": "rename_column", "table": f"{quote(schema)}.{quote(table)}", "column": column, "to": to}

    def holds(db: Db) -> None:
        run(db, f"INSERT INTO {where} (id, {new}) VALUES (901, 70); INSERT INTO {where} (id) VALUES (902)")
        run(db, f"UPDATE {where} SET {new} = 71 WHERE id = 1; UPDATE {where} SET {old} = 72 WHERE id = 2")
        assert rows(db, f"SELECT {old}, {new} FROM {where} WHERE id IN (1, 2, 901, 902) ORDER BY id") == [
            (71, 71),
            (72, 72),
            (70, 70),
            (7, 7),
        ]

    journey = journeys(start, change, plan="p" * 63)
    round_trip(journey, direct=f"ALTER TABLE {where} RENAME COLUMN {old} TO {new}", holds=holds)


# ---------------------------------------------------------------- statements of the application


def test_statements(journeys: Journeys) -> None:
    """Every kind of statement writes through either name once readers have come."""
    journey = journeys(books("year integer", "CREATE UNIQUE INDEX ON books (year)", values="g"), RENAME)
    journey.advance(State.READS_MIGRATED)
    db = journey.db

    def both(number: int) -> list[tuple[int | None, int | None]]:
        return rows(db, f"SELECT year, published FROM books WHERE id = {number}")

    for name, other in (("year", "published"), ("published", "year")):
        with undone(db):
            upsert = f"INSERT INTO books (id, {name}) VALUES (901, 5) ON CONFLICT ({name}) DO"
            run(db, f"{upsert} UPDATE SET {name} = excluded.{name} + 500")
            assert both(5) == [(505, 505)]
            run(db, f"INSERT INTO books (id, {name}) VALUES (901, 505) ON CONFLICT ({name}) DO NOTHING")
            assert both(901) == []
            run(
                db,
                f"INSERT INTO books (id, {name}) VALUES (6, 606) ON CONFLICT (id) DO UPDATE SET {name} = excluded.{name}",
            )
            assert both(6) == [(606, 606)]
            run(db, f"INSERT INTO books (id, {name}) SELECT id + 1000, {name} + 1000 FROM books WHERE id < 4")
            assert both(1003) == [(1003, 1003)]
            run(db, f"UPDATE books b SET {name} = v.n FROM (VALUES (1, 71), (2, 72)) v (id, n) WHERE b.id = v.id")
            assert both(2) == [(72, 72)]
            with db.cursor().copy(f"COPY books (id, {name}) FROM STDIN") as copy:
                copy.write_row((2001, 2001))
            assert both(2001) == [(2001, 2001)]
            assert rows(db, f"INSERT INTO books (id, {name}) VALUES (902, 8000) RETURNING {other}, {name}") == [
                (8000, 8000)
            ]
            assert rows(db, f"UPDATE books SET {name} = 8001 WHERE id = 902 RETURNING {other}") == [(8001,)]
            run(
                db,
                f"WITH n AS (UPDATE books SET {name} = {name} + 1 WHERE id = 902 RETURNING {other}) UPDATE books SET title = (SELECT {other} FROM n) WHERE id = 3",
            )
            assert rows(db, "SELECT title FROM books WHERE id = 3") == [("8002",)]
            if db.info.server_version >= 150000:
                run(
                    db,
                    f"MERGE INTO books b USING (VALUES (7, 77), (903, 903)) v (id, n) ON b.id = v.id"
                    f" WHEN MATCHED THEN UPDATE SET {name} = v.n"
                    f" WHEN NOT MATCHED THEN INSERT (id, {name}) VALUES (v.id, v.n)",
                )
                assert (both(7), both(903)) == ([(77, 77)], [(903, 903)])


# ---------------------------------------------------------------- several changes at once


def test_two_columns_of_one_table(journeys: Journeys) -> None:
    """Two renames move together; an index on both serves readers of both new names."""
    start = """
        CREATE TABLE books (id integer PRIMARY KEY, year integer, name text);
        CREATE UNIQUE INDEX of_both ON books (year, name);
        INSERT INTO books SELECT g, g, 'n' || g FROM generate_series(1, 20) g;
    """
    other = {"kind": "rename_column", "table": "books", "column": "name", "to": "title"}

    def holds(db: Db) -> None:
        in_step()(db)
        run(db, "UPDATE books SET title = 'x', year = 77 WHERE id = 1")
        assert rows(db, "SELECT * FROM books WHERE id = 1") == [(1, 77, "x", 77, "x")]

    journey = journeys(start, RENAME, other)
    round_trip(journey, direct=f"{DIRECT}; ALTER TABLE books RENAME COLUMN name TO title", holds=holds)


def test_upsert_on_two_renamed_columns(journeys: Journeys) -> None:
    """A new writer's ON CONFLICT finds a unique index on the new names of both columns."""
    start = """
        CREATE TABLE books (id integer PRIMARY KEY, year integer, name text);
        CREATE UNIQUE INDEX of_both ON books (year, name);
        INSERT INTO books SELECT g, g, 'n' || g FROM generate_series(1, 20) g;
    """
    other = {"kind": "rename_column", "table": "books", "column": "name", "to": "title"}
    journey = journeys(start, RENAME, other)
    journey.advance(State.READS_MIGRATED)
    run(
        journey.db,
        "INSERT INTO books (id, published, title) VALUES (99, 1, 'n1') ON CONFLICT (published, title) DO NOTHING",
    )
    assert ask(journey.db, "SELECT count(*) FROM books") == 20


def test_two_tables(journeys: Journeys) -> None:
    """Changes of two tables are made in one transaction, under both locks."""
    start = (
        books("year integer") + "; CREATE TABLE authors (id integer, name text); INSERT INTO authors VALUES (1, 'a')"
    )
    other = {"kind": "rename_column", "table": "authors", "column": "name", "to": "full_name"}

    def holds(db: Db) -> None:
        in_step()(db)
        assert rows(db, "INSERT INTO authors VALUES (2, 'b') RETURNING full_name") == [("b",)]

    journey = journeys(start, RENAME, other)
    round_trip(journey, direct=f"{DIRECT}; ALTER TABLE authors RENAME name TO full_name", holds=holds)


def test_two_plans_on_one_table(journeys: Journeys) -> None:
    """Plans on different columns of a table do not get in each other's way, whichever ends first."""
    journey = journeys(books("year integer", "CREATE INDEX ON books (title, year)"), RENAME)
    other = make_plan("other", [{"kind": "rename_column", "table": "books", "column": "title", "to": "name"}])
    conductor = journey.conductor
    (journey.folder / "plans" / "other.yaml").write_text(other.model_dump_json())
    journey.advance(State.EXPANDED)
    conductor.advance("other", "main", to="backfilled")
    journey.advance(State.READS_MIGRATED)
    in_step()(journey.db)
    run(journey.db, "UPDATE books SET name = 'x', published = 5 WHERE id = 1")
    assert rows(journey.db, "SELECT title, year FROM books WHERE id = 1") == [("x", 5)]
    conductor.advance("other", "main", to="contracted")
    journey.advance(State.CONTRACTED)
    assert rows(journey.db, "SELECT name, published FROM books WHERE id = 1") == [("x", 5)]
    names = rows(
        journey.db,
        "SELECT attname FROM pg_attribute WHERE attrelid = 'books'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
    )
    assert [name for (name,) in names] == ["id", "name", "published", "price"]


# ---------------------------------------------------------------- what was built on the scaffolding


def test_what_was_made_on_the_new_column_stops_contract(journeys: Journeys) -> None:
    """Contract drops the scaffolding; a view or an index that someone made on it is named first, not dropped with it."""
    journey = journeys(books("year integer"), RENAME)
    journey.advance(State.READS_MIGRATED)
    run(journey.db, "CREATE VIEW fresh AS SELECT published FROM books; CREATE INDEX made_since ON books (published)")
    with pytest.raises(PreconditionError) as refused:
        journey.advance()
    told = "\n".join((refused.value.message, *refused.value.details))
    assert "view public.fresh" in told
    assert "index public.made_since" in told
    run(journey.db, "DROP VIEW fresh; DROP INDEX made_since")
    assert journey.advance() is State.CONTRACTED


def test_an_index_on_both_names_does_not_stop_a_rollback(journeys: Journeys) -> None:
    """Someone's index on both columns is no reason to fail in words that are not ecm's."""
    journey = journeys(books("year integer"), RENAME)
    journey.advance(State.READS_MIGRATED)
    run(journey.db, "CREATE INDEX on_both ON books (year, published)")
    assert journey.rollback() is State.BACKFILLED


def test_giving_up_expand_does_not_drop_a_column_of_someone_elses(journeys: Journeys) -> None:
    """Expand got no lock; meanwhile someone added a column of that name by hand. A rollback leaves it alone."""
    journey = journeys(books("year integer"), RENAME, expand={"lock_timeout": "1ms"})
    with undone(journey.db):
        run(journey.db, "LOCK TABLE books IN ROW EXCLUSIVE MODE")
        with pytest.raises(LockTimeoutError):
            journey.advance()
    run(journey.db, "ALTER TABLE books ADD COLUMN published integer; UPDATE books SET published = 7")
    before = journey.fingerprint
    assert journey.rollback() is State.PLANNED
    assert journey.fingerprint == before
    assert ask(journey.db, "SELECT sum(published) FROM books") == 280
