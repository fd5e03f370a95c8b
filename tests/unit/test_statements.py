"""Which statements name what contract takes away: it must not miss one, and not cry for another table's column."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.sql.identifiers import TableName
from orchestrator.sql.references import OldSide, Reading
from orchestrator.sql.statements import is_own, reading

BOOKS = OldSide(
    table=TableName("public", "books"),
    columns=frozenset({"published_year"}),
    others=frozenset({"id", "title", "author_id", "published_year", "publication_year"}),
)
HOLDERS = {"published_year": frozenset({"authors"})}
"""Another table has a column of that name; magazines, say, has not."""
NAMES, WHOLE, UNCLEAR = Reading.NAMES, Reading.WHOLE, Reading.UNCLEAR

READ = {
    "SELECT published_year FROM books WHERE id = $1": NAMES,
    'SELECT "published_year" FROM "public"."books"': NAMES,
    "select Published_Year from Books": NAMES,
    'SELECT "Published_Year" FROM books, "Published" p': None,
    "SELECT b.published_year FROM public.books AS b": NAMES,
    "SELECT public.books.published_year FROM public.books": NAMES,
    "SELECT published_year FROM archive.books": None,
    "SELECT title FROM books": None,
    "SELECT title FROM books WHERE published_year > $1": NAMES,
    "SELECT title FROM books ORDER BY published_year DESC LIMIT $1": NAMES,
    "SELECT title AS published_year FROM books ORDER BY published_year": None,
    "SELECT count(*) FROM books": None,
    "SELECT count(*), max(published_year) FROM books GROUP BY author_id": NAMES,
    "SELECT count(*) FROM books GROUP BY published_year": NAMES,
    "SELECT row_number() OVER (PARTITION BY published_year) FROM books": NAMES,
    "SELECT publication_year FROM books WHERE publication_year = $1": None,
    # of another table
    "SELECT a.published_year FROM authors a JOIN books b ON b.author_id = a.id": None,
    "SELECT published_year FROM authors WHERE id IN (SELECT author_id FROM books)": None,
    "SELECT title FROM books WHERE author_id IN (SELECT id FROM authors WHERE published_year > $1)": None,
    "SELECT title FROM books WHERE author_id IN (SELECT id FROM magazines WHERE published_year > $1)": NAMES,
    "SELECT (SELECT max(published_year) FROM authors) FROM books": None,
    "SELECT b.title FROM books b JOIN (SELECT published_year FROM authors) a ON true": None,
    "SELECT a.published_year, b.title FROM books b, LATERAL (SELECT published_year FROM authors) a": None,
    "SELECT b.title FROM books b, (SELECT published_year FROM of_old($1)) x": None,
    "SELECT b.title FROM books b, LATERAL (SELECT published_year FROM of_old($1)) x": NAMES,
    "SELECT a.y FROM books b, LATERAL (SELECT b.published_year AS y) a": NAMES,
    "UPDATE authors SET published_year = $1 FROM books b WHERE b.author_id = authors.id": None,
    "DELETE FROM authors a USING books b WHERE b.author_id = a.id AND a.published_year = $1": None,
    "SELECT 1 FROM books JOIN authors USING (published_year)": NAMES,
    "SELECT 1 FROM books NATURAL JOIN authors": WHOLE,
    "SELECT b.title FROM (books b JOIN authors a ON a.id = b.author_id) WHERE b.published_year = $1": NAMES,
    "SELECT b.title FROM (books b JOIN authors a ON a.id = b.author_id) WHERE a.published_year = $1": None,
    # by the names of WITH and of subqueries
    "WITH x AS (SELECT * FROM books) SELECT title FROM x": WHOLE,
    "WITH x AS (SELECT id, title FROM books) SELECT * FROM x": None,
    "WITH x AS (SELECT published_year AS y FROM books) SELECT y FROM x": NAMES,
    "WITH books AS (SELECT published_year FROM authors) SELECT published_year FROM books": None,
    "WITH RECURSIVE r AS (SELECT id FROM books UNION ALL SELECT b.id FROM books b JOIN r ON true) SELECT * FROM r": None,
    "WITH d AS (DELETE FROM books WHERE id = $1 RETURNING *) SELECT count(*) FROM d": WHOLE,
    "SELECT s.published_year FROM (SELECT title AS published_year FROM books) s": None,
    "SELECT published_year FROM (SELECT publication_year FROM books) AS s(published_year)": None,
    "SELECT title FROM books UNION SELECT published_year::text FROM books": NAMES,
    "SELECT x.published_year FROM generate_series($1, $2) x(published_year), books b": None,
    # whole rows
    "SELECT * FROM books": WHOLE,
    "SELECT b.* FROM books b JOIN authors a ON true": WHOLE,
    "SELECT a.* FROM books b JOIN authors a ON true": None,
    "SELECT b FROM books b": WHOLE,
    "SELECT row_to_json(books) FROM books": WHOLE,
    "SELECT json_agg(to_jsonb(b)) FROM books b": WHOLE,
    "SELECT to_jsonb(b.*) - $1 FROM books b": WHOLE,
    "SELECT (b).title FROM books b": None,
    "SELECT (b).published_year FROM books b": NAMES,
    "SELECT 1 FROM authors a WHERE EXISTS (SELECT * FROM books WHERE author_id = a.id)": None,
    "SELECT 1 FROM authors a WHERE EXISTS (SELECT * FROM books WHERE published_year = $1)": NAMES,
    "TABLE books": WHOLE,
    "SELECT y FROM books AS b(i, t, y)": WHOLE,
    # writes
    "INSERT INTO books (id, published_year) VALUES ($1, $2)": NAMES,
    "INSERT INTO books (id, publication_year) VALUES ($1, $2), ($3, $4)": None,
    "INSERT INTO books VALUES ($1, $2, $3)": WHOLE,
    "INSERT INTO books DEFAULT VALUES": None,
    "INSERT INTO books (id) VALUES ($1) RETURNING id": None,
    "INSERT INTO books (id) VALUES ($1) RETURNING *": WHOLE,
    "INSERT INTO books (id) VALUES ($1) RETURNING published_year": NAMES,
    "INSERT INTO books (id) VALUES ($1) ON CONFLICT (id) DO NOTHING": None,
    "INSERT INTO books (id, title) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET published_year = $3": NAMES,
    "INSERT INTO books (id, title) VALUES ($1, $2) ON CONFLICT (published_year) DO NOTHING": NAMES,
    "INSERT INTO books AS b (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET title = b.published_year::text": NAMES,
    "INSERT INTO books (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET title = excluded.title": None,
    "INSERT INTO books (id, title) SELECT id, published_year FROM authors": None,
    "INSERT INTO authors (id, published_year) SELECT id, publication_year FROM books": None,
    "INSERT INTO log SELECT b FROM books b": WHOLE,
    "UPDATE books SET published_year = $1 WHERE id = $2": NAMES,
    'UPDATE "books" SET "title" = $1 WHERE "books"."id" = $2': None,
    "UPDATE books SET title = published_year::text": NAMES,
    "UPDATE books SET (title, published_year) = ($1, $2)": NAMES,
    "UPDATE books b SET title = $1 FROM authors a WHERE a.published_year = $2 AND a.id = b.author_id": None,
    "UPDATE books SET title = $1 RETURNING *": WHOLE,
    "DELETE FROM books WHERE published_year < $1": NAMES,
    "DELETE FROM books WHERE id = $1": None,
    "MERGE INTO books t USING authors s ON t.id = s.id WHEN MATCHED THEN UPDATE SET published_year = s.id": NAMES,
    "MERGE INTO books t USING authors s ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id, published_year) VALUES (s.id, 1)": NAMES,
    "MERGE INTO books t USING authors s ON t.id = s.published_year WHEN MATCHED THEN UPDATE SET title = $1": None,
    "MERGE INTO authors t USING books s ON t.id = s.author_id WHEN MATCHED THEN UPDATE SET published_year = $1": None,
    "COPY books (id, title) FROM STDIN": None,
    "COPY books (id, published_year) FROM STDIN": NAMES,
    "COPY books TO STDOUT": WHOLE,
    "COPY (SELECT published_year FROM books) TO STDOUT": NAMES,
    # what PostgreSQL writes that others do not
    "SELECT title FROM books WHERE published_year = ANY ($1::int[])": NAMES,
    "SELECT title FROM books WHERE added > date $1 - interval $2": None,
    "SELECT data->>$1, data #> $2, data @> $3 FROM books": None,
    "SELECT title FROM books WHERE published_year IN ($1 /*, ... */)": NAMES,
    "SELECT DISTINCT ON (published_year) title FROM books": NAMES,
    "SELECT title FROM ONLY books TABLESAMPLE bernoulli ($1) FOR UPDATE SKIP LOCKED": None,
    "SELECT extract($1 FROM added) FROM books FETCH FIRST $2 ROWS ONLY": None,
    "EXPLAIN (ANALYZE, BUFFERS) SELECT published_year FROM books": NAMES,
    "PREPARE q (int) AS SELECT published_year FROM books WHERE id = $1": NAMES,
    "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM books": WHOLE,
    "CREATE INDEX ON books (published_year)": NAMES,
    "CREATE VIEW v AS SELECT published_year FROM books": NAMES,
    "CREATE TABLE copy AS SELECT title FROM books": None,
    "TRUNCATE books": None,
    "VACUUM books": None,
    "LOCK TABLE books IN SHARE MODE": None,
    # cannot be understood
    "SELEKT published_year FORM books": UNCLEAR,
    "SELEKT title FORM books": None,
    "SELEKT * FORM books": UNCLEAR,
    "SELECT $1": None,
    "SELECT published_year FROM bookshelf": None,
}  # fmt: skip


@pytest.mark.parametrize(("statement", "expected"), READ.items(), ids=READ)
def test_what_a_statement_does_with_an_old_column(statement: str, expected: Reading | None) -> None:
    """Each name is of the table that PostgreSQL takes it for."""
    assert reading(statement, [BOOKS], HOLDERS) is expected


RENAMED = OldSide(table=TableName("public", "books"), columns=frozenset(), whole=True)
OF_TABLE = {
    "SELECT 1 FROM books": NAMES,
    'SELECT "books".* FROM "public"."books"': NAMES,
    "UPDATE books SET title = $1": NAMES,
    "INSERT INTO books VALUES ($1)": NAMES,
    "DELETE FROM authors WHERE id IN (SELECT author_id FROM books)": NAMES,
    "TRUNCATE books": NAMES,
    "COPY books FROM STDIN": NAMES,
    "SELECT * FROM volumes": None,
    "SELECT books FROM authors": None,
    "SELECT * FROM archive.books": None,
    "WITH books AS (SELECT 1) SELECT * FROM books": None,
    "VACUUM books": UNCLEAR,
}


@pytest.mark.parametrize(("statement", "expected"), OF_TABLE.items(), ids=OF_TABLE)
def test_what_a_statement_does_with_a_table_whose_name_goes(statement: str, expected: Reading | None) -> None:
    """Only a table that is named as one counts."""
    assert reading(statement, [RENAMED], {}) is expected


ODD = OldSide(table=TableName("My Shop", 'b"x'), columns=frozenset({"Wéird $1", "select"}))


@pytest.mark.parametrize(
    "statement",
    [
        'SELECT "Wéird $1" FROM "My Shop"."b""x"',
        'UPDATE "My Shop"."b""x" SET "select" = $1',
        'SELECT o."select" FROM "b""x" AS o',
    ],
)
def test_names_are_taken_as_postgresql_has_them(statement: str) -> None:
    """Quoted, with quotes, spaces and dollar signs in them, and words that mean something else."""
    assert reading(statement, [ODD], {}) is NAMES


PLAIN = st.from_regex(r"[a-z][a-z_]{2,8}", fullmatch=True).filter(lambda name: name not in ("books", "published_year"))


@given(st.sampled_from([text for text in READ if READ[text] in (NAMES, WHOLE)]), PLAIN, st.booleans())
def test_more_around_a_statement_hides_nothing(statement: str, name: str, above: bool) -> None:
    """What a query names it names as well within another one."""
    if not statement.upper().startswith(("SELECT", "WITH")):
        return
    around = (
        f'SELECT q.* FROM ({statement}) AS "{name}_q", authors q'
        if above
        else f'WITH "{name}_c" AS ({statement}) SELECT 1 FROM authors'
    )
    if "DELETE" in statement and above:
        return  # PostgreSQL has such a WITH on top alone
    assert reading(around, [BOOKS], HOLDERS) is READ[statement]


@given(st.text(max_size=60))
def test_any_text_has_an_answer(text: str) -> None:
    """Nothing that stands in pg_stat_statements ends the look at the others."""
    reading(f"{text} books published_year", [BOOKS], HOLDERS)


def test_ecms_own_statements_are_told_from_an_applications() -> None:
    """By its schema, and by how it reads pages; not by quotes, which frameworks write too."""
    own = [
        'SELECT count(*) FROM ONLY "public"."books" WHERE ctid >= $1::pg_catalog.tid AND ctid < $2::pg_catalog.tid',
        'LOCK TABLE "public"."books" IN ACCESS EXCLUSIVE MODE',
        'SELECT count(*) FILTER (WHERE "published_year" IS NULL) FROM "public"."books" AS "~ecm"',
        'UPDATE "public"."books" AS t SET "published_year" = "~value" WHERE t."id" = NEW."id"',
        'SELECT 1 FROM ONLY "public"."books" x WHERE "published_year" OPERATOR(pg_catalog.=) $1 FOR KEY SHARE OF x',
        'CREATE TRIGGER "x" BEFORE UPDATE ON "public"."books" FOR EACH ROW EXECUTE FUNCTION "ecm"."uses"()',
    ]
    theirs = [
        'SELECT "public"."books"."published_year" FROM "public"."books"',
        "SELECT ecm FROM books",
        "UPDATE ONLY books SET id = $1",
    ]
    assert [text for text in (*own, *theirs) if is_own(text)] == own
