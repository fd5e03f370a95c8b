"""What a plan's tables look like, read from the catalog, and what differs between two databases."""

from typing import Any

import psycopg
from operations.conftest import Roles
from pydantic import SecretStr

from orchestrator.engine import snapshot
from orchestrator.engine.connection import connect
from orchestrator.plan.drift import UNREAD, Snapshot, Subjects, differences, from_json
from orchestrator.sql.identifiers import TableName

TABLES = Subjects(tables=(TableName("public", "books"), TableName("public", "editions")))
"""Those that the plan names; the second one is partitioned."""

TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN isbn AS text CONSTRAINT thirteen CHECK (length(VALUE) = 13);
"""
START = (
    TYPES
    + """
CREATE TABLE authors (id serial PRIMARY KEY, name text);
CREATE TABLE books (
  id serial PRIMARY KEY, title text NOT NULL, price numeric(8, 2) DEFAULT 0, code isbn, felt mood,
  author_id int REFERENCES authors ON DELETE CASCADE, lower_title text GENERATED ALWAYS AS (lower(title)) STORED
);
CREATE INDEX books_title_idx ON books (lower(title)) WHERE price > 0;
ALTER TABLE books ADD CONSTRAINT books_price_check CHECK (price >= 0);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.title := NEW.title; RETURN NEW; END $$;
CREATE TRIGGER books_touch BEFORE UPDATE ON books FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE books ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON books FOR SELECT USING (price > 0);
CREATE TABLE orders (id int PRIMARY KEY, book_id int CONSTRAINT of_book REFERENCES books);
CREATE VIEW titles AS SELECT id, title FROM books;
CREATE VIEW long_titles AS SELECT title FROM titles WHERE length(title) > 10;
CREATE MATERIALIZED VIEW prices AS SELECT id, price FROM books;
CREATE FUNCTION dear() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM books WHERE price > 99; END;
CREATE RULE keep AS ON DELETE TO books DO INSTEAD NOTHING;
CREATE PUBLICATION shop FOR TABLE books;
CREATE TABLE editions (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE editions_1 PARTITION OF editions FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE INDEX editions_day_idx ON editions (day);
"""
    + (
        INHERITED := """
ALTER TABLE editions ADD CHECK (id > -9), ADD FOREIGN KEY (id) REFERENCES books;
CREATE FUNCTION edit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER edited BEFORE UPDATE ON editions FOR EACH ROW EXECUTE FUNCTION edit();
CREATE TABLE reviews (id int, day date, FOREIGN KEY (id, day) REFERENCES editions);
"""
    )
)
"""What the last statements make, each partition has a part of."""


def lines(proven: Snapshot, found: Snapshot) -> list[str]:
    return [each.line("development", "production") for each in differences(proven, found)]


PLANTED: list[tuple[str, list[str]]] = [
    ("ALTER TABLE books ADD pages int", ["column books.pages is only on production"]),
    (
        "DROP VIEW long_titles, titles; DROP MATERIALIZED VIEW prices; DROP FUNCTION dear; DROP RULE keep ON books;"
        " DROP POLICY mine ON books; DROP INDEX books_title_idx; ALTER TABLE books ALTER price TYPE numeric(10, 2)",
        [
            "column books.price: numeric(8,2) on development, numeric(10,2) on production",
            "function public.dear() is only on development",
            "index books_title_idx is only on development",
            "materialized view prices is only on development",
            "policy mine on books is only on development",
            "rule keep on books is only on development",
            "view long_titles is only on development",
            "view titles is only on development",
        ],
    ),
    (
        "ALTER TABLE books ALTER title DROP NOT NULL",
        ["column books.title: NOT NULL on development, may be NULL on production"],
    ),
    (
        "ALTER TABLE books ALTER price DROP DEFAULT, ALTER author_id SET DEFAULT 7",
        [
            "column books.author_id: no default on development, default 7 on production",
            "column books.price: default 0 on development, no default on production",
        ],
    ),
    (
        "ALTER TABLE books ALTER id DROP DEFAULT; ALTER TABLE books ALTER id ADD GENERATED ALWAYS AS IDENTITY",
        [
            "column books.id: default nextval(its own sequence) on development, no default on production",
            "column books.id: no identity on development, GENERATED ALWAYS AS IDENTITY on production",
        ],
    ),
    (
        "ALTER TABLE books ALTER lower_title DROP EXPRESSION",
        ["column books.lower_title: generated as lower(title) STORED on development, not generated on production"],
    ),
    (
        'ALTER TABLE books ADD note text COLLATE "C"; CREATE TABLE other (note text)',
        ["column books.note is only on production"],
    ),
    (
        "DROP INDEX books_title_idx; CREATE UNIQUE INDEX books_title_idx ON books (lower(title)) WHERE price > 1",
        [
            "index books_title_idx: USING btree (lower(title)) WHERE (price > (0)::numeric) on development,"
            " USING btree (lower(title)) WHERE (price > (1)::numeric) on production",
            "index books_title_idx: not unique on development, unique on production",
        ],
    ),
    (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'books_title_idx'::regclass",
        ["index books_title_idx: valid on development, not valid on production"],
    ),
    (
        "ALTER TABLE books DROP CONSTRAINT books_price_check;"
        " ALTER TABLE books ADD CONSTRAINT books_price_check CHECK (price >= 0) NOT VALID",
        ["constraint books_price_check on books: validated on development, not validated on production"],
    ),
    (
        "ALTER TABLE books ALTER CONSTRAINT books_author_id_fkey DEFERRABLE",
        [
            "constraint books_author_id_fkey on books: …public.authors(id) ON DELETE CASCADE on development,"
            " …public.authors(id) ON DELETE CASCADE DEFERRABLE on production"
        ],
    ),
    (
        "DROP TRIGGER books_touch ON books;"
        " CREATE TRIGGER books_touch BEFORE INSERT OR UPDATE ON books FOR EACH ROW EXECUTE FUNCTION touch()",
        [
            "trigger books_touch on books: it fires BEFORE UPDATE on development, it fires BEFORE INSERT OR UPDATE on"
            " production"
        ],
    ),
    (
        "ALTER TABLE books DISABLE TRIGGER books_touch",
        ["trigger books_touch on books: enabled on development, disabled on production"],
    ),
    (
        "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        ["trigger books_touch on books: the text of its function is another on development than on production"],
    ),
    (
        "ALTER TABLE books DISABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        [
            "table books: row-level security not forced on development, row-level security forced on production",
            "table books: row-level security on on development, row-level security off on production",
        ],
    ),
    (
        "ALTER POLICY mine ON books USING (price > 1)",
        [
            "policy mine on books: USING (price > (0)::numeric) on development, USING (price > (1)::numeric) on"
            " production"
        ],
    ),
    (
        "CREATE OR REPLACE RULE keep AS ON DELETE TO books DO INSTEAD SELECT 1",
        ["rule keep on books: its query is another on development than on production"],
    ),
    (
        "CREATE OR REPLACE VIEW long_titles AS SELECT title FROM titles WHERE length(title) > 20",
        ["view long_titles: its query is another on development than on production"],
    ),
    (
        "ALTER VIEW titles SET (security_barrier = true)",
        ["view titles: without options on development, with security_barrier=true on production"],
    ),
    ("CREATE INDEX dear_idx ON prices (price)", ["index dear_idx is only on production"]),
    (
        "CREATE OR REPLACE FUNCTION dear() RETURNS bigint LANGUAGE sql"
        " BEGIN ATOMIC SELECT count(*) FROM books WHERE price > 9; END",
        ["function public.dear(): its query is another on development than on production"],
    ),
    ("ALTER TABLE orders DROP CONSTRAINT of_book", ["foreign key of_book on orders is only on development"]),
    (
        "ALTER TABLE books REPLICA IDENTITY FULL",
        ["table books: the usual REPLICA IDENTITY on development, REPLICA IDENTITY FULL on production"],
    ),
    ("DROP PUBLICATION shop", ["publication shop on books is only on development"]),
    (
        "CREATE PUBLICATION everything FOR ALL TABLES",
        [
            "publication everything on books is only on production",
            "publication everything on editions is only on production",
        ],
    ),
    (
        "ALTER TYPE mood ADD VALUE 'angry'",
        ["type mood: labels 'sad', 'happy' on development, labels 'sad', 'happy', 'angry' on production"],
    ),
    ("ALTER DOMAIN isbn SET NOT NULL", ["domain isbn: may be NULL on development, NOT NULL on production"]),
    ("CREATE INDEX alone ON editions_1 (id)", ["index alone is only on production"]),
    (
        "ALTER TABLE editions_1 ADD CHECK (id > 0)",
        ["constraint editions_1_id_check on editions_1 is only on production"],
    ),
    (
        "CREATE TRIGGER part BEFORE UPDATE ON editions_1 FOR EACH ROW EXECUTE FUNCTION touch()",
        ["trigger part on editions_1 is only on production"],
    ),
    (
        "ALTER TABLE editions_1 ENABLE ROW LEVEL SECURITY",
        ["partition editions_1: row-level security off on development, row-level security on on production"],
    ),
    (
        "ALTER TABLE editions_1 ALTER day SET DEFAULT '2024-07-07'",
        ["column of partition editions_1.day: no default on development, default '2024-07-07'::date on production"],
    ),
    (
        "DROP TABLE editions CASCADE",
        ["foreign key reviews_id_day_fkey on reviews is only on development", "table editions is only on development"],
    ),
    # none of these is a difference in what was proven
    ("COMMENT ON TABLE books IS 'All of them'; ALTER TABLE books SET (fillfactor = 70)", []),
    ("ALTER TABLE books ALTER title SET STATISTICS 500; CREATE STATISTICS s ON title, price FROM books", []),
    ("ALTER SEQUENCE books_id_seq RENAME TO numbers; SELECT setval('numbers', 99)", []),
    ("GRANT SELECT ON books TO PUBLIC", []),
    ("INSERT INTO books (title) SELECT 'book' FROM generate_series(1, 1000); ANALYZE books", []),
    ("CREATE TABLE editions_2 PARTITION OF editions FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')", []),
    ("CREATE TABLE unrelated (id int PRIMARY KEY); CREATE VIEW others AS SELECT * FROM unrelated", []),
]

SINCE_18 = [
    (
        "ALTER TABLE books ADD CONSTRAINT priced NOT NULL price NOT VALID",
        ["column books.price: may be NULL on development, NOT NULL, but not validated on production"],
    )
]


def test_each_thing_is_told(databases: Any) -> None:
    """What is added, taken away or changed is one line each, and what differs rightly none."""
    (url,) = databases(1)
    wrong: list[tuple[str, list[str]]] = []
    with psycopg.connect(url, autocommit=True) as db, connect(SecretStr(url), branch="main") as session:
        db.execute(START)  # pyright: ignore[reportArgumentType]
        proven = snapshot.read(session, TABLES)
        for statements, expected in (*PLANTED, *(SINCE_18 if db.info.server_version >= 180000 else ())):
            with session.transaction(force_rollback=True):
                with session.transaction():
                    session.execute("SET LOCAL search_path = public")
                    session.execute(statements)  # pyright: ignore[reportArgumentType]
                    session.execute("SET LOCAL search_path = ''")
                found = lines(proven, snapshot.read(session, TABLES))
            if found != expected:
                wrong.append((statements, found))
    assert wrong == []


OTHERWISE = (
    """
CREATE TABLE orders (note text, id int PRIMARY KEY, book_id int);
CREATE TYPE mood AS ENUM ('happy');
ALTER TYPE mood ADD VALUE 'sad' BEFORE 'happy';
CREATE DOMAIN isbn AS text CONSTRAINT thirteen CHECK (length(VALUE) = 13);
CREATE TABLE editions (day date, id int, gone int) PARTITION BY RANGE (day);
CREATE INDEX editions_day_idx ON editions (day);
ALTER TABLE editions ADD PRIMARY KEY (id, day);
CREATE TABLE editions_9 (id int NOT NULL, day date NOT NULL, gone int);
ALTER TABLE editions ATTACH PARTITION editions_9 FOR VALUES FROM ('2029-01-01') TO ('2030-01-01');
ALTER TABLE editions DROP gone;
CREATE SEQUENCE numbers AS int;
CREATE TABLE authors (name text, id int NOT NULL DEFAULT nextval('numbers') PRIMARY KEY);
CREATE TABLE books (
  gone int, felt mood, code isbn, price numeric(8, 2), author_id int, id int NOT NULL, title text CONSTRAINT never_null NOT NULL,
  lower_title text GENERATED ALWAYS AS (lower(title)) STORED, CHECK (price >= 0)
);
CREATE SEQUENCE of_books AS int OWNED BY books.id;
ALTER TABLE books DROP gone, ALTER id SET DEFAULT nextval('of_books'), ALTER price SET DEFAULT 0,
  ADD PRIMARY KEY (id), ENABLE ROW LEVEL SECURITY;
ALTER TABLE books ADD FOREIGN KEY (author_id) REFERENCES authors ON DELETE CASCADE;
ALTER TABLE orders ADD CONSTRAINT of_book FOREIGN KEY (book_id) REFERENCES books;
CREATE FUNCTION dear() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM books WHERE price > 99; END;
CREATE PUBLICATION shop FOR TABLE books;
CREATE POLICY mine ON books FOR SELECT USING (price > 0);
CREATE MATERIALIZED VIEW prices AS SELECT id, price FROM books;
CREATE VIEW titles AS SELECT id, title FROM books;
CREATE VIEW long_titles AS SELECT title FROM titles WHERE length(title) > 10;
CREATE INDEX books_title_idx ON books (lower(title)) WHERE price > 0;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.title := NEW.title; RETURN NEW; END $$;
CREATE TRIGGER books_touch BEFORE UPDATE ON books FOR EACH ROW EXECUTE FUNCTION touch();
CREATE RULE keep AS ON DELETE TO books DO INSTEAD NOTHING;
CREATE TABLE editions_2 PARTITION OF editions FOR VALUES FROM ('2022-01-01') TO ('2023-01-01');
"""
    + INHERITED
)


def test_what_was_made_in_another_order_looks_the_same(databases: Any, roles: Roles) -> None:
    """Other oids, positions of columns, names of sequences, of NOT NULLs, of roles and of partitions are no difference."""
    found: list[Snapshot] = []
    for start in (START, OTHERWISE):
        (url,) = databases(1)
        role = roles()
        with psycopg.connect(url, autocommit=True) as db, connect(SecretStr(url), branch="main") as session:
            db.execute(start)  # pyright: ignore[reportArgumentType]
            db.execute(f"ALTER TABLE books OWNER TO {role}; ALTER POLICY mine ON books TO {role}")
            found.append(snapshot.read(session, TABLES))
    one, other = found
    assert lines(one, other) == []
    assert one == other
    assert len(one.things) > 25, "and all of it was looked at"
    assert from_json(one.to_json()) == one


def test_tables_with_a_column_of_a_type_are_found(databases: Any) -> None:
    """A plan that changes a type names no table; nor is it an error where there is nothing at all."""
    (url,) = databases(1)
    mood = Subjects(tables=(TableName("public", "nowhere"),), types=(TableName("public", "mood"),))
    with psycopg.connect(url, autocommit=True) as db, connect(SecretStr(url), branch="main") as session:
        assert snapshot.read(session, mood).things == ()
        db.execute(TYPES + "CREATE TABLE moods (felt mood[]); CREATE TABLE apart (id int)")
        found = {(thing.kind, thing.name) for thing in snapshot.read(session, mood).things}
    assert found == {("table", "moods"), ("column", "moods.felt"), ("type", "mood")}


def test_nobody_waits_for_a_view_that_is_being_refreshed(databases: Any) -> None:
    """What its query is stays unread, which is no difference; that it is there, and all else, is known."""
    (url,) = databases(1)
    with psycopg.connect(url) as db, connect(SecretStr(url), branch="main") as session:
        db.execute(START)  # pyright: ignore[reportArgumentType]
        db.commit()
        proven = snapshot.read(session, TABLES)
        db.execute("REFRESH MATERIALIZED VIEW prices")
        session.execute("SET lock_timeout = '10ms'")
        found = snapshot.read(session, TABLES)
        assert {thing.has["query"] for thing in found.things if "query" in thing.has} == {UNREAD}
        assert found.things != proven.things
        assert lines(proven, found) == lines(found, proven) == []
        session.execute("DROP FUNCTION public.dear()")
        assert lines(proven, snapshot.read(session, TABLES)) == ["function public.dear() is only on development"]
