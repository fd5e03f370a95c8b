"""What a statement does to whom, and which plan does it safely: as a table."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.detection.classify import findings
from orchestrator.detection.covering import covering
from orchestrator.detection.finding import Finding, Level, Place
from orchestrator.detection.parsing import read
from orchestrator.plan.model import Plan
from orchestrator.sql.identifiers import spelled

THERE = """\
CREATE TYPE status AS ENUM ('draft', 'live');
CREATE TABLE books (id serial PRIMARY KEY, title varchar(50), year integer NOT NULL DEFAULT 0, price numeric(10, 2),
                    status status, legacy_code text);
CREATE TABLE shelves (a integer, b integer, c integer)"""


def look(*statements: str, there: str = THERE, together: bool = True) -> list[Finding]:
    places = [
        Place(migration="m", path="m.sql", line=number + 1, number=number, text=text)
        for number, text in enumerate(statements)
    ]
    return list(findings([places], before=[there], together=together))


def said(*statements: str, **options: Any) -> list[tuple[str, str]]:
    return [(each.rule, each.level.word) for each in look(*statements, **options)]


def change(*statements: str) -> dict[str, Any]:
    """Return the change of the only finding."""
    (found,) = look(*statements)
    assert found.change is not None
    return found.change.model_dump(mode="json", exclude_defaults=True)


BREAKING = [
    ("ALTER TABLE books RENAME COLUMN year TO published", "rename_column", {"table": "books", "column": "year", "to": "published"}),
    ('ALTER TABLE ONLY "public"."books" RENAME year TO "Year"', "rename_column", {"table": "books", "column": "year", "to": "Year"}),
    ("ALTER TABLE IF EXISTS books RENAME TO volumes", "rename_table", {"table": "books", "to": "volumes"}),
    ("ALTER TABLE app.books RENAME TO volumes", "rename_table", {"table": "app.books", "to": "app.volumes"}),
    ("ALTER TABLE books DROP COLUMN IF EXISTS legacy_code CASCADE", "drop_column", {"table": "books", "column": "legacy_code"}),
    ("ALTER TABLE books ALTER year SET NOT NULL", "set_not_null", {"table": "books", "column": "year"}),
    ("ALTER TABLE books ALTER COLUMN year TYPE bigint", "change_type", {"table": "books", "column": "year", "type": "bigint"}),
    ('ALTER TABLE books ALTER "year" SET DATA TYPE bigint USING "year"::bigint', "change_type", {"table": "books", "column": "year", "type": "bigint"}),
    ("ALTER TABLE books ALTER year TYPE text USING 'y' || year", "change_type", {"table": "books", "column": "year", "type": "text", "using": "'y' || year"}),
    ("ALTER TABLE books ADD COLUMN isbn text NOT NULL", "add_column", {"table": "books", "column": "isbn", "type": "text", "not_null": True}),
    ("ALTER TABLE books ADD isbn text NOT NULL, ADD note text", "add_column", {"table": "books", "column": "isbn", "type": "text", "not_null": True}),
    ("ALTER TABLE books ADD CONSTRAINT positive CHECK (year > 0)", "add_check", {"table": "books", "name": "positive", "check": "year > 0"}),
    ("ALTER TABLE books ADD UNIQUE (title, year)", "add_unique", {"table": "books", "name": "books_title_year_key", "columns": ["title", "year"]}),
    ("ALTER TABLE books ADD CONSTRAINT f FOREIGN KEY (year) REFERENCES years (id) ON DELETE SET NULL ON UPDATE NO ACTION", "add_foreign_key",
     {"table": "books", "name": "f", "columns": ["year"], "references": {"table": "years", "columns": ["id"]}, "on_delete": "set null"}),
    ("DO $$ BEGIN ALTER TABLE books RENAME COLUMN year TO y; EXCEPTION WHEN undefined_column THEN null; END $$", "rename_column", {"table": "books", "column": "year", "to": "y"}),
    ("ALTER TYPE status RENAME VALUE 'live' TO 'it''s live'", "change_enum", {"type": "status", "rename": {"live": "it's live"}}),
    ("DROP TABLE shelves", "sql", {"contract": "DROP TABLE shelves"}),
    ("DROP VIEW IF EXISTS titles", "sql", {"contract": "DROP VIEW IF EXISTS titles"}),
    ("ALTER VIEW titles RENAME TO names", "sql", {"contract": "ALTER VIEW titles RENAME TO names"}),
    ("ALTER FUNCTION touch(int) SET SCHEMA library", "sql", {"contract": "ALTER FUNCTION touch(int) SET SCHEMA library"}),
    ("ALTER TABLE books SET SCHEMA library", "sql", {"contract": "ALTER TABLE books SET SCHEMA library"}),
    ("CREATE UNIQUE INDEX books_title ON books (title)", "sql", {"contract": "CREATE UNIQUE INDEX CONCURRENTLY books_title ON books (title)"}),
    ("ALTER TABLE books ALTER year DROP DEFAULT", "sql", {"contract": "ALTER TABLE books ALTER year DROP DEFAULT"}),
    ("CREATE UNIQUE INDEX ON books (title)", "sql", {"contract": "CREATE UNIQUE INDEX CONCURRENTLY books_title_idx ON books (title)"}),
    ("ALTER TABLE shelves ADD FOREIGN KEY (a) REFERENCES books", "add_foreign_key",
     {"table": "shelves", "name": "shelves_a_fkey", "columns": ["a"], "references": {"table": "books", "columns": ["id"]}}),
    *((text, "sql", {"contract": text}) for text in (
        "ALTER TABLE books ADD EXCLUDE USING gist (title WITH =)",
        "ALTER TABLE books ADD UNIQUE NULLS NOT DISTINCT (title)",
        "ALTER TABLE books ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE books ADD FOREIGN KEY (year) REFERENCES years",
        "ALTER TABLE books DETACH PARTITION old_books",
        "ALTER TABLE books ALTER id DROP IDENTITY IF EXISTS",
        "ALTER DOMAIN isbn ADD CONSTRAINT long CHECK (length(value) = 13)",
        "DROP EXTENSION citext",
        "DROP POLICY IF EXISTS own ON books",
        "ALTER POLICY own ON library.books USING (false)",
        "CREATE POLICY own ON books AS RESTRICTIVE USING (year > 0)",
        "REVOKE clerks FROM shop",
        "DROP OWNED BY shop CASCADE",
        "REVOKE SELECT (title), UPDATE ON TABLE books FROM shop",
        "REVOKE ALL ON ALL TABLES IN SCHEMA library FROM shop",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "kind", "fields"), BREAKING, ids=[each[0][:60] for each in BREAKING])
def test_what_breaks_a_version_that_runs(statement: str, kind: str, fields: dict[str, Any]) -> None:
    """Each has the change that does it safely, which is a plan, and that plan covers it."""
    (found,) = look(statement)

    assert found.level is Level.BREAKING
    assert found.change is not None
    assert found.change.kind == kind
    assert found.change.model_dump(mode="json", exclude_defaults=True) == fields
    plan = Plan.model_validate({"plan": "safely", "changes": [{**fields, "kind": kind}]})
    assert covering(found, [plan]) == "safely"
    other = Plan.model_validate({"plan": "other", "changes": [{"kind": "drop_column", "table": "x", "column": "y"}]})
    assert covering(found, [other]) is None


HUNGRY = [
    "CREATE INDEX books_title ON books (title)",
    "ALTER TABLE books ADD COLUMN token uuid DEFAULT gen_random_uuid()",
    "ALTER TABLE books ADD COLUMN n serial",
    "ALTER TABLE books ADD COLUMN isbn text UNIQUE",
    "ALTER TABLE books ADD COLUMN author_id integer REFERENCES authors (id)",
    "ALTER TABLE books ADD PRIMARY KEY (id)",
    "ALTER TABLE books SET UNLOGGED",
    "CLUSTER books USING books_title",
    "VACUUM (FULL) books",
    "REFRESH MATERIALIZED VIEW totals",
    "LOCK TABLE books",
    "UPDATE books SET year = 0",
]


@pytest.mark.parametrize("statement", HUNGRY)
def test_what_has_others_wait(statement: str) -> None:
    """A table is held while all of it is read or written, and no version fails."""
    (found,) = look(statement)

    assert (found.level, found.locks) == (Level.LOCKING, True)


NOTHING = [
    "ALTER TABLE books ADD COLUMN note text",
    "ALTER TABLE books ADD COLUMN pages integer NOT NULL DEFAULT 0",
    "ALTER TABLE books ADD COLUMN at timestamptz DEFAULT now() NOT NULL",
    "CREATE INDEX CONCURRENTLY books_title ON books (title)",
    "CREATE TABLE authors (id serial PRIMARY KEY, email text UNIQUE NOT NULL)",
    "ALTER TABLE books VALIDATE CONSTRAINT positive",
    "ALTER TABLE books RENAME CONSTRAINT a TO b",
    "ALTER TABLE books DROP CONSTRAINT positive",
    "ALTER TYPE status ADD VALUE 'gone'",
    "UPDATE books SET year = 0 WHERE id = 1",
    "CREATE VIEW titles AS SELECT title FROM books",
    "ALTER TABLE books ADD COLUMN decade integer GENERATED ALWAYS AS (year / 10) VIRTUAL",
    "VACUUM (FULL false, ANALYZE) books",
    "ALTER DOMAIN isbn ADD CHECK (length(value) = 13) NOT VALID",
    "ALTER POLICY own ON books RENAME TO mine",
    "CREATE POLICY own ON books USING (year > 0)",
    "REVOKE GRANT OPTION FOR SELECT ON books FROM shop",
    "INSERT INTO books (title) VALUES ('ALTER TABLE books DROP COLUMN title')",
    "COMMENT ON TABLE books IS 'DROP TABLE books; -- no'",
    "SELECT 1",
]


@pytest.mark.parametrize("statement", NOTHING)
def test_what_does_no_harm(statement: str) -> None:
    """Nobody fails and nobody waits; what stands in a string is no statement."""
    assert said(statement) == []


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE books ADD CONSTRAINT positive CHECK (year > 0) NOT VALID",
        "ALTER TABLE books ADD CONSTRAINT one UNIQUE USING INDEX books_title",
        "ALTER TABLE books ALTER title DROP NOT NULL",
        "ALTER TABLE books ALTER title TYPE varchar(80)",
        "ALTER TABLE books ALTER title TYPE text",
        "ALTER TABLE books ALTER price TYPE numeric(12, 2)",
        "DO $$ BEGIN EXECUTE 'DROP TABLE ' || 'books'; END $$",
    ],
)
def test_what_is_for_the_record(statement: str) -> None:
    """It costs nothing at that moment, or nobody can tell."""
    assert [level for _, level in said(statement)] == ["note"]


@pytest.mark.parametrize("type_name", ["varchar(20)", "numeric(12, 4)", "timestamptz", "varchar(80)[]"])
def test_a_narrower_or_another_type_writes_every_row(type_name: str) -> None:
    """Only what holds for every row as it is costs nothing."""
    assert said(f"ALTER TABLE books ALTER price TYPE {type_name}") == [("change-type", "breaking")]


def test_what_is_done_to_a_table_of_the_same_migrations_is_nothing() -> None:
    """It is empty, and nobody knows it; under a new name as well."""
    assert said(
        "CREATE TABLE loans (id int, who text)",
        "ALTER TABLE loans RENAME COLUMN who TO reader",
        "ALTER TABLE loans RENAME TO lendings",
        "CREATE INDEX lendings_reader ON lendings (reader)",
        "ALTER TABLE lendings ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES books (id)",
        "DROP TABLE lendings",
    ) == []  # fmt: skip


def test_each_by_itself_when_they_ran_one_after_the_other() -> None:
    """A table that an earlier migration made has rows by then."""
    made = [Place(migration="1", path="1", line=1, number=0, text="CREATE TABLE t (a int, b int)")]
    altered = [Place(migration="2", path="2", line=1, number=0, text="ALTER TABLE t DROP COLUMN a")]

    assert findings([made, altered]) == ()
    assert [each.rule for each in findings([made, altered], together=False)] == ["drop-column"]


@pytest.mark.parametrize(
    ("statements", "likely"),
    [
        (["ALTER TABLE books ADD published integer, DROP COLUMN year"], "books.year becomes published"),
        (["ALTER TABLE books DROP year", "ALTER TABLE books ADD publication_year bigint"],
         "books.year becomes bigint, as publication_year"),
        (["ALTER TABLE books DROP year, DROP legacy_code, ADD code text, ADD publication_year int"], "books.year becomes publication_year"),
    ],
)  # fmt: skip
def test_a_column_that_goes_and_one_like_it_that_comes(statements: list[str], likely: str) -> None:
    """They are offered as a rename; what is found stays the drop, and either plan covers it."""
    (found, *_) = [each for each in look(*statements) if each.subject == "books.year"]

    assert found.change is not None
    assert found.change.kind == "drop_column"
    assert found.likely is not None
    assert found.likely.summary == likely
    for op in (found.change, found.likely):
        plan = Plan.model_validate({"plan": "p", "changes": [op.model_dump()]})
        assert covering(found, [plan]) == "p"


@pytest.mark.parametrize(
    "statements",
    [
        ["ALTER TABLE books DROP year, ADD tags jsonb"],  # no cast between them
        ["ALTER TABLE books DROP year", "ALTER TABLE shelves ADD year integer"],  # another table
        ["ALTER TABLE books DROP year, DROP price, ADD shelf_mark integer"],  # two go, and neither name is near
    ],
)
def test_what_is_not_alike_is_no_rename(statements: list[str]) -> None:
    """Nothing is offered."""
    assert [each.likely for each in look(*statements)] == [None] * len(look(*statements))


AGAIN = 'CREATE INDEX books_published_index ON books USING btree ("published")'


@pytest.mark.parametrize(
    "statements",
    [
        ["ALTER TABLE books RENAME COLUMN year TO published", "DROP INDEX books_year_index", AGAIN],
        ["ALTER TABLE books ADD COLUMN published integer", AGAIN, "ALTER TABLE books DROP COLUMN year"],
    ],
)
def test_an_index_that_is_made_anew_for_a_renamed_column_comes_along(statements: list[str]) -> None:
    """No plan of its own is proposed for it, whose column is not there before; that of the rename covers it."""
    (found,) = [each for each in look(*statements) if each.rule == "create-index"]
    rename = found.likely or found.change

    assert rename is not None
    assert rename.summary == "books.year becomes published"
    assert "what hangs on year comes along" in found.message
    assert covering(found, [Plan.model_validate({"plan": "p", "changes": [rename.model_dump()]})]) == "p"


def test_a_new_index_on_a_renamed_column_waits_for_it() -> None:
    """It does not come along with a rename: there was none before."""
    (_, found) = look("ALTER TABLE books RENAME COLUMN year TO published", AGAIN)

    assert found.change is not None
    assert found.change.kind == "sql"
    assert found.message.endswith("build it once the rename of year has contracted")
    rename = {"kind": "rename_column", "table": "books", "column": "year", "to": "published"}
    assert covering(found, [Plan.model_validate({"plan": "p", "changes": [rename]})]) is None


def test_a_constraint_that_is_made_anew_for_a_renamed_column_comes_along() -> None:
    """drizzle-kit drops it and adds it again, for a name made up from the column's."""
    (_, found) = look(
        "ALTER TABLE books RENAME COLUMN title TO name",
        "ALTER TABLE books DROP CONSTRAINT books_title_unique",
        "ALTER TABLE books ADD CONSTRAINT books_name_unique UNIQUE (name)",
    )

    assert found.change is not None
    assert found.change.summary == "books.title becomes name"
    assert found.left == ()


def test_a_default_that_only_the_migration_had() -> None:
    """The way of Django: old versions leave the column out, and fail once its default is gone."""
    found = change(
        'ALTER TABLE books ADD COLUMN "pages" integer DEFAULT 7 NOT NULL',
        'ALTER TABLE books ALTER "pages" DROP DEFAULT',
    )

    assert found == {"table": "books", "column": "pages", "type": "integer", "using": "7", "not_null": True}


def test_a_default_that_is_away_for_a_moment() -> None:
    """The way of Prisma with a type: nobody meets the column without it, and no plan takes it away for good."""
    away, back = "ALTER TABLE books ALTER year DROP DEFAULT", "ALTER TABLE books ALTER year SET DEFAULT 1"

    assert [rule for rule, _ in said(away, "ALTER TABLE books ALTER year TYPE bigint", back)] == ["change-type"]
    assert said(back, away) == [("drop-default", "breaking")]
    assert said(away, back, away) == [("drop-default", "breaking")]


def test_what_later_statements_give_a_column_that_comes() -> None:
    """One plan adds it with all of it."""
    several = look(
        "ALTER TABLE books ADD author_id integer",
        "ALTER TABLE books ADD CONSTRAINT f FOREIGN KEY (author_id) REFERENCES authors (id)",
        "ALTER TABLE books ALTER author_id SET NOT NULL",
    )

    assert [each.rule for each in several] == ["add-foreign-key", "set-not-null"]
    assert {each.change.kind for each in several if each.change} == {"add_column"}
    (once, again) = (each.change for each in several)
    assert once == again
    assert once is not None
    assert once.model_dump()["references"]["table"] == "authors"


@pytest.mark.parametrize(
    "statements",
    [
        # drizzle-kit's way, and Prisma's.
        ["ALTER TABLE books ALTER COLUMN status SET DATA TYPE text", "DROP TYPE public.status",
         "CREATE TYPE public.status AS ENUM ('draft', 'published')",
         'ALTER TABLE books ALTER COLUMN status SET DATA TYPE "public"."status" USING status::"public"."status"'],
        ["CREATE TYPE \"status_new\" AS ENUM ('draft', 'published')",
         'ALTER TABLE "books" ALTER COLUMN "status" TYPE "status_new" USING ("status"::text::"status_new")',
         'ALTER TYPE "status" RENAME TO "status_old"', 'ALTER TYPE "status_new" RENAME TO "status"', 'DROP TYPE "status_old"'],
    ],
)  # fmt: skip
def test_an_enum_type_that_is_made_anew(statements: list[str]) -> None:
    """It is one finding; one label that goes and one that comes may be a rename."""
    (found,) = look(*statements)

    assert (found.rule, found.level) == ("change-enum", Level.BREAKING)
    assert found.change is None
    assert found.likely is not None
    assert found.likely.model_dump(exclude_defaults=True) == {"type": "status", "rename": {"live": "published"}}
    assert "ecm plan change-enum status --remove live=INSTEAD" in found.left[0]
    plan = Plan.model_validate({"plan": "p", "changes": [found.likely.model_dump()]})
    assert covering(found, [plan]) == "p"


def test_a_table_that_goes_and_one_like_it_that_comes() -> None:
    """Most of its columns are there again: a rename, perhaps."""
    (found,) = look("CREATE TABLE racks (a integer, b integer, c integer, d integer)", "DROP TABLE shelves")

    assert found.likely is not None
    assert found.likely.summary == "table shelves becomes racks"


def test_a_view_that_is_made_anew_goes_nowhere() -> None:
    """Tools drop a view and create it again."""
    assert said("DROP VIEW titles", "CREATE VIEW titles AS SELECT 1") == []


# ---------------------------------------------------------------- any names, spacing and company

_NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x24F), min_size=1, max_size=12).filter(
    lambda name: not (name.startswith('"') and name.endswith('"'))
)  # fmt: skip
_SPACES = st.sampled_from([" ", "\n", "\t ", " /* ; -- ' */ ", " -- it's; \"\n"])
_SHAPES = {
    "rename_column": "ALTER TABLE {t} RENAME COLUMN {c} TO {d}",
    "drop_column": "ALTER TABLE {t} DROP COLUMN {c}",
    "set_not_null": "ALTER TABLE {t} ALTER COLUMN {c} SET NOT NULL",
    "change_type": "ALTER TABLE {t} ALTER COLUMN {c} TYPE bigint",
    "add_column": "ALTER TABLE {t} ADD COLUMN {c} text NOT NULL",
    "add_unique": "ALTER TABLE {t} ADD CONSTRAINT {d} UNIQUE ( {c} )",
}
_OTHERS = st.sampled_from(
    ["SELECT ';'", "INSERT INTO log VALUES ('x;')", "CREATE TABLE brand_new (a int)", "COMMENT ON TABLE a IS $x$;$x$"]
)


@given(
    kind=st.sampled_from(sorted(_SHAPES)), table=_NAMES, one=_NAMES, other=_NAMES, space=_SPACES,
    quote=st.booleans(), before=st.lists(_OTHERS, max_size=2), after=st.lists(_OTHERS, max_size=2),
)  # fmt: skip
def test_any_shape_is_one_finding_with_its_exact_names(  # noqa: PLR0917 - what hypothesis draws
    kind: str, table: str, one: str, other: str, space: str, quote: bool, before: list[str], after: list[str]
) -> None:
    """Whatever names are called and whatever stands around it, the one statement is found, its names to the letter."""
    if one == other:
        other += "x"
    named = dict(
        zip(
            "tcd",
            ('"' + each.replace('"', '""') + '"' if quote else spelled(each) for each in (table, one, other)),
            strict=True,
        )
    )
    text = space.join(word.format(**named) for word in _SHAPES[kind].split(" "))
    found = look(*before, text, *after, there="")

    assert len(found) == 1
    assert found[0].level is Level.BREAKING
    assert found[0].place.number == len(before)
    deed = found[0].deed
    assert deed is not None
    assert deed.table.name == table  # pyright: ignore[reportAttributeAccessIssue]
    if found[0].change is not None:
        fields = found[0].change.model_dump()
        assert found[0].change.kind == kind
        assert found[0].change.target.name == table
        assert (fields.get("column") or fields["columns"][0]) == one


@given(st.text(max_size=80))
def test_any_text_is_read_without_an_error(text: str) -> None:
    """What is no SQL is no finding of weight, and never an exception."""
    read(text)
    look(text)
    look(f"ALTER TABLE {text}")
    look(f"ALTER TABLE a ADD COLUMN {text}")
    look(f"CREATE INDEX {text}")


@pytest.mark.parametrize(
    ("statement", "rules"),
    [
        ("DO $$ BEGIN FOR r IN SELECT 1 LOOP EXECUTE 'DROP TABLE ' || r; END LOOP; END $$", ["not-read"]),
        ("DO $$ BEGIN WHILE true LOOP DROP TABLE books; END LOOP; END $$", ["drop-table"]),
        ("DO $$ <<outer>> BEGIN DROP TABLE books; END $$", ["drop-table"]),
        ("DO $$ BEGIN CASE WHEN true THEN DROP TABLE books; ELSE DROP TABLE shelves; END CASE; END $$", ["drop-table", "drop-table"]),
        ("ALTER TYPE size DROP ATTRIBUTE width, RENAME ATTRIBUTE a TO b", ["alter-type", "alter-type"]),
        ("ALTER AGGREGATE total (integer) RENAME TO sum", ["alter-aggregate"]),
        ("ALTER ROUTINE touch SET SCHEMA library", ["alter-routine"]),
        ("ALTER TABLE books ADD CONSTRAINT present NOT NULL title", ["set-not-null"]),
        ("ALTER TABLE books ADD NOT NULL title NOT VALID", ["add-check"]),
        ("ALTER TABLE ${schema}.books DROP COLUMN year", ["not-read"]),
        ("ALTER TABLE shop.public.books DROP COLUMN year", ["not-read"]),
        ("DROP TABLE :table", ["not-read"]),
        ("CREATE INDEX i ON {{ table }} (a)", ["not-read"]),
    ],
)  # fmt: skip
def test_forms_that_are_seldom(statement: str, rules: list[str]) -> None:
    """Loops, labels and branches of PL/pgSQL, attributes, constraints that PostgreSQL 18 has; a name to come is told."""
    assert [rule for rule, _ in said(statement)] == rules


def test_what_stays_where_it_is_there_already_is_not_made() -> None:
    """IF NOT EXISTS makes no table that earlier migrations made, and no column."""
    assert said(
        "CREATE TABLE IF NOT EXISTS books (id int)",
        "ALTER TABLE books DROP COLUMN year",
        "ALTER TABLE books ADD COLUMN IF NOT EXISTS price numeric",
        "ALTER TABLE books DROP COLUMN price",
        "CREATE TABLE IF NOT EXISTS loans (id int)",
        "ALTER TABLE loans DROP COLUMN id",
    ) == [("drop-column", "breaking"), ("drop-column", "breaking")]  # fmt: skip


def test_a_collation_is_no_expression_of_a_plan() -> None:
    """Another collation is another order of every index, and no kind of change has one."""
    (found,) = look('ALTER TABLE books ALTER title TYPE text COLLATE "C"')
    (using,) = look('ALTER TABLE books ALTER title TYPE text COLLATE "C" USING lower(title)')

    assert [each.level for each in (found, using)] == [Level.BREAKING, Level.BREAKING]
    assert [each.change for each in (found, using)] == [None, None]
