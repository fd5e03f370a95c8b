"""Prisma's and plain SQL's migrations: their names, their rows, and what PostgreSQL makes of them."""

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cli.conftest import MakeProject
from cli.runs import Project, said

from orchestrator.toolchains.writing import literal

PLAN = "rename-published-year"
_PLAN = """\
plan: rename-published-year
changes:
  - {kind: rename_column, table: books, column: published_year, to: publication_year}
"""
_TABLE = "CREATE TABLE books (id int PRIMARY KEY, title text, published_year int DEFAULT 2000)"


@pytest.fixture
def project(make_project: MakeProject, databases: Any) -> Project:
    made = make_project(databases("development", "fresh"), plan=False)
    (made.root / "ecm.yaml").write_text("project: bookstore\nbranches:\n  development: {}\n")
    (made.root / "plans" / f"{PLAN}.yaml").write_text(_PLAN)
    for branch in made.urls:
        made.sql(branch, _TABLE)
    made.sql("development", "INSERT INTO books SELECT n, 'b', n FROM generate_series(1, 9) n")
    return made


def ecm(project: Project, *arguments: str) -> str:
    done = project.ecm(*arguments)
    assert done.code == 0, done.err + done.out
    return done.out


def test_prisma(project: Project) -> None:
    """A folder and a checksum as Prisma has them; on empty tables the SQL does all of it, on others nothing undone."""
    folder = project.root / "prisma" / "migrations"
    (folder / "29990101000000_books").mkdir(parents=True)
    (folder / "29990101000000_books" / "migration.sql").write_text(_TABLE)
    ecm(project, "emit", PLAN, "--as", "prisma")
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "29990101000000_books",
        "29990101000001_rename_published_year_expand",
        "29990101000002_rename_published_year_contract",
    ], "each after the last one, whatever the clock says"
    refused = project.ecm("advance", PLAN, "--branch", "development", "--json")
    assert refused.code == 4, "Prisma has not run the first one"
    assert "prisma migrate deploy" in refused.json["error"]["hint"]
    project.sql(
        "development",
        "CREATE TABLE _prisma_migrations (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL,"
        " finished_at timestamptz, migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz,"
        " started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count integer NOT NULL DEFAULT 0);"
        " INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name)"
        " VALUES ('1', '', now(), '29990101000000_books')",
    )
    project.sql(
        "development",
        f"INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('2', '', '{names[1]}')",
    )
    _hold(project, "development")
    assert project.ecm("advance", PLAN, "--branch", "development").code == 1
    assert "publication_year" not in _columns(project), "what is done and the row that tells of it go together"
    project.sql("development", "DROP FUNCTION hold CASCADE")

    with (project.root / "plans" / f"{PLAN}.yaml").open("a") as file:
        file.write("contract: {undo_window: 1h}\n")
    stale = project.ecm("emit", PLAN, "--as", "prisma", "--json")
    assert "another text" in stale.json["error"]["message"]
    back = ecm(project, "rollback", PLAN, "--branch", "development")
    told = said(ecm(project, "advance", PLAN, "--branch", "development", "--to", "contracted"))
    assert told.count(f"was emitted for another text of {PLAN}") == 2
    assert "another text" not in said(back)
    failed = "SELECT FROM _prisma_migrations WHERE finished_at IS NULL AND rolled_back_at IS NULL"
    assert project.sql("development", failed) == [], "Prisma would go no further"
    project.sql("development", "DELETE FROM _prisma_migrations WHERE id = '2'")
    applied = "SELECT migration_name FROM _prisma_migrations ORDER BY 1"
    assert [name for (name,) in project.sql("development", applied)] == names
    ecm(project, "rollback", PLAN, "--branch", "development")
    assert [name for (name,) in project.sql("development", applied)] == names[:2]
    ecm(project, "advance", PLAN, "--branch", "development")
    ecm(project, "finalize", PLAN, "--branch", "development", "--now")
    rows = project.sql("development", "SELECT migration_name, checksum FROM _prisma_migrations ORDER BY 1")
    digests = [hashlib.sha256((folder / name / "migration.sql").read_bytes()).hexdigest() for name in names[1:]]
    assert rows[1:] == list(zip(names[1:], digests, strict=True))
    for name in names[1:]:
        text = (folder / name / "migration.sql").read_text()
        for branch in project.urls:
            project.sql(branch, text)
    assert _columns(project, "fresh") == _columns(project)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_branch_that_the_tool_built_alone(project: Project, parts: int) -> None:
    """Nothing is left there that ecm could begin with, and it says so, and how to go on."""
    (project.root / "prisma" / "migrations").mkdir(parents=True)
    ecm(project, "emit", PLAN, "--as", "prisma")
    project.sql(
        "development",
        "TRUNCATE books; CREATE TABLE _prisma_migrations (id text PRIMARY KEY DEFAULT gen_random_uuid(), checksum text,"
        " finished_at timestamptz, migration_name text, rolled_back_at timestamptz, applied_steps_count integer)",
    )
    for folder in sorted((project.root / "prisma" / "migrations").iterdir())[:parts]:
        project.sql("development", (folder / "migration.sql").read_text())
        project.sql(
            "development",
            f"INSERT INTO _prisma_migrations (finished_at, migration_name) VALUES (now(), '{folder.name}')",
        )
    refused = project.ecm("advance", PLAN, "--branch", "development", "--json")
    assert refused.code == 4
    assert "before ecm began" in refused.json["error"]["message"]
    assert refused.json["error"]["hint"].endswith("ecm branch reset development")


def test_in_the_order_in_which_they_were_emitted(project: Project) -> None:
    """What is missing and was emitted by ecm, ecm has to do: the tool would stop at it."""
    (project.root / "prisma" / "migrations").mkdir(parents=True)
    (project.root / "plans" / "title.yaml").write_text(
        _PLAN.replace(PLAN, "title").replace("published_year", "title").replace("publication_year", "name")
    )
    for name in (PLAN, "title"):
        ecm(project, "emit", name, "--as", "prisma", "--part", "expand")
    refused = project.ecm("advance", "title", "--branch", "development", "--json")
    assert refused.json["error"]["hint"] == (
        f"ecm advance {PLAN} --to expanded --branch development, then run the same command again"
    )


def test_sql_beside_the_tool_of_the_project(project: Project) -> None:
    """Files go where they are told to, numbered by what is there; ecm.yaml, and so the project's tool, stay."""
    (project.root / "prisma" / "migrations").mkdir(parents=True)
    refused = project.ecm("emit", PLAN, "--as", "sql", "--json").json["error"]
    assert "toolchain" not in refused["hint"], "that would take the place of Prisma"
    assert "ecm emit --as sql --folder DIR" in refused["hint"]
    assert "the project's tool is prisma" in refused["details"][0]

    told = json.loads(
        ecm(project, "emit", PLAN, "--as", "sql", "--folder", "sql/by hand", "--part", "expand", "--json")
    )
    assert told["migrations"][0]["files"] == ["sql/by hand/0001_rename_published_year_expand.sql"]
    ecm(project, "emit", PLAN, "--as", "sql", "--folder", "sql/by hand")
    assert sorted(path.name for path in (project.root / "sql" / "by hand").iterdir()) == [
        "0001_rename_published_year_expand.sql",
        "0002_rename_published_year_contract.sql",
    ]
    assert list((project.root / "prisma" / "migrations").iterdir()) == []
    for arguments, message in (
        (("--as", "sql", "--folder", ".."), "outside of the project"),
        (("--as", "sql", "--folder", "ecm.yaml"), "is no folder"),
        (("--as", "prisma", "--folder", "sql"), "--folder is for .sql files"),
    ):
        answer = project.ecm("emit", PLAN, *arguments)
        assert answer.code == 2
        assert message in said(answer.err)


def _columns(project: Project, branch: str = "development") -> list[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = 'books'::regclass AND attnum > 0 AND NOT attisdropped"
    return [name for (name,) in project.sql(branch, query)]


def _hold(project: Project, branch: str) -> None:
    """Have a branch refuse every row of Prisma's."""
    project.sql(
        branch,
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no rows today''; END';"
        "CREATE TRIGGER hold BEFORE INSERT ON _prisma_migrations FOR EACH ROW EXECUTE FUNCTION hold()",
    )


@pytest.mark.parametrize(
    ("last", "text", "following"),
    [
        ("0007_books.sql", "", "0008_rename_published_year_expand.sql"),
        ("V9__books.sql", "", "V10__rename_published_year_expand.sql"),
        ("000012_books.up.sql", "", "000013_rename_published_year_expand.up.sql"),
        ("29990101000000_books.sql", "-- migrate:up\n", "29990101000001_rename_published_year_expand.sql"),
    ],
)
def test_sql(project: Project, last: str, text: str, following: str) -> None:
    """The next file has the name that follows the last one's, with the marks of what runs them."""
    folder = project.root / "migrations"
    folder.mkdir()
    (folder / last).write_text(text + _TABLE)
    ecm(project, "emit", PLAN, "--as", "sql", "--part", "expand")
    (made,) = set(folder.iterdir()) - {folder / last}
    assert made.name == following
    assert ("-- migrate:up" in made.read_text()) == bool(text)
    refusal = _refusal(project, made)
    assert refusal.message_primary == f"{PLAN}: the tables have rows, and ecm has not done expand in this database"
    project.sql("fresh", made.read_text())
    project.sql("fresh", "INSERT INTO books (id) VALUES (1)")
    assert project.sql("fresh", "SELECT publication_year FROM books") == [(2000,)]


def _refusal(project: Project, file: Path) -> Any:
    with pytest.raises(psycopg.errors.RaiseException) as refused:
        project.sql("development", file.read_text())
    return refused.value.diag


def test_names_that_would_end_a_comment(project: Project) -> None:
    """A carriage return ends a line of SQL, and one of Python: nothing of a name gets out of the header's lines."""
    (project.root / "migrations").mkdir()
    (project.root / "migrations" / "1_books.sql").write_text(_TABLE)
    name, default = "a\rDROP TABLE books; --\u2028 $ecm$", "E'1\r\n2'"
    added = {"kind": "add_column", "table": "books", "column": name, "type": "text", "default": default}
    (project.root / "plans" / f"{PLAN}.yaml").write_text(json.dumps({"plan": PLAN, "changes": [added]}))
    ecm(project, "emit", PLAN, "--as", "sql")
    (file,) = (project.root / "migrations").glob("*_rename_*.sql")
    project.sql("fresh", file.read_bytes().decode())
    assert name in _columns(project, "fresh")
    assert ast.literal_eval(literal(f'"{name} \\ """" {default};')) == f'"{name} \\ """" {default};'


def test_what_ecm_has_begun_is_its_own(project: Project) -> None:
    """Empty or not: where ecm is on its way, the second file would pull the tables out from under its triggers."""
    (project.root / "migrations").mkdir()
    (project.root / "migrations" / "1_books.sql").write_text(_TABLE)
    ecm(project, "emit", PLAN, "--as", "sql")
    project.sql("development", "DELETE FROM books")
    ecm(project, "advance", PLAN, "--branch", "development")
    expand, contract = sorted((project.root / "migrations").glob("*_rename_*.sql"))
    project.sql("development", expand.read_text())
    refusal = _refusal(project, contract)
    assert refusal.message_primary == f"{PLAN}: it is under way in this database, and ecm has not done contract there"
    assert refusal.message_hint == f"ecm advance {PLAN} --to contracted --branch BRANCH"
    ecm(project, "advance", PLAN, "--branch", "development", "--to", "contracted")
    project.sql("development", contract.read_text())


def test_rows_that_are_out_of_sight(project: Project) -> None:
    """Rows that row security hides from their own table's owner, or that were committed after the snapshot, are rows."""
    (project.root / "migrations").mkdir()
    (project.root / "migrations" / "1_books.sql").write_text(_TABLE)
    project.sql("fresh", "CREATE ROLE owner_of_books")
    for branch in project.urls:
        project.sql(branch, "GRANT ALL ON SCHEMA public TO owner_of_books; ALTER TABLE books OWNER TO owner_of_books")
        project.sql(branch, "ALTER TABLE books ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    try:
        ecm(project, "emit", PLAN, "--as", "sql")
        files = sorted((project.root / "migrations").glob("*_rename_*.sql"))
        texts = [f"SET ROLE owner_of_books; {file.read_text()}" for file in files]
        for text in texts:
            with pytest.raises(psycopg.errors.RaiseException, match="the tables have rows"):
                project.sql("development", text)
            project.sql("fresh", text)
        assert project.sql("development", "SELECT count(published_year) FROM books") == [(9,)]
        project.sql("development", "CREATE SCHEMA ecm; CREATE TABLE ecm.plans (plan text)")
        with pytest.raises(psycopg.errors.RaiseException, match="this role may not read ecm") as refused:
            project.sql("development", texts[0])
        assert "GRANT SELECT ON ecm.plans TO owner_of_books" in str(refused.value.diag.message_hint)
        with psycopg.connect(project.urls["fresh"]) as early:
            early.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            early.execute("SELECT")
            project.sql("fresh", "INSERT INTO books VALUES (1, 'b', 1)")
            with pytest.raises(psycopg.errors.RaiseException, match="the tables have rows"):
                early.execute(texts[-1].encode())
    finally:
        for branch in project.urls:
            project.sql(branch, "DROP OWNED BY owner_of_books CASCADE")
        project.sql("fresh", "DROP ROLE owner_of_books")


def test_statements_that_do_not_say_what_they_touch(project: Project) -> None:
    """What a plan's own statements make is not looked at, and what they do not name is looked for everywhere."""
    (project.root / "migrations").mkdir()
    (project.root / "migrations" / "1_books.sql").write_text(_TABLE)
    (project.root / "plans" / "own.yaml").write_text("""\
plan: own
changes:
  - kind: sql
    expand: |
      CREATE TABLE covers (id int);
      CREATE INDEX CONCURRENTLY covers_id ON covers (id)
    contract: |
      INSERT INTO covers VALUES (1);
      WITH gone AS (DELETE FROM books RETURNING 1) SELECT count(*) FROM gone
    rollback: {expand: DROP TABLE covers}
""")
    ecm(project, "emit", "own", "--as", "sql")
    expand, contract = sorted((project.root / "migrations").glob("*_own_*.sql"))
    project.sql("fresh", expand.read_text())
    project.sql("fresh", contract.read_text())
    project.sql("development", "INSERT INTO books SELECT n, 'b', n FROM generate_series(10, 9999) n")
    project.sql("development", "CREATE TABLE covers (id int)")
    refusal = _refusal(project, contract)
    assert refusal.message_primary.startswith("own: the tables have rows"), "they were never analyzed"
    project.sql("development", "DROP TABLE covers; ANALYZE")
    _refusal(project, expand)
    assert project.sql("development", "SELECT count(*) FROM books") == [(9999,)]


_VIEWS = """\
CREATE VIEW modern WITH (security_barrier) AS SELECT id, published_year FROM books WHERE published_year > 1900;
COMMENT ON VIEW modern IS 'not old'; COMMENT ON COLUMN modern.id IS 'a book''s';
GRANT SELECT ON modern TO PUBLIC;
CREATE MATERIALIZED VIEW years AS SELECT published_year AS year, count(*) AS books FROM modern GROUP BY 1;
CREATE UNIQUE INDEX years_key ON years (year);
CREATE VIEW titles AS SELECT b.title, years.books FROM years JOIN books b ON b.published_year = years.year;
"""


@pytest.mark.parametrize("to", ["", ", to: year"])
def test_what_hangs_on_a_column_of_another_type(project: Project, to: str) -> None:
    """Its default as it is written, the type of its sequence, and what goes over to the column that follows it."""
    (project.root / "migrations").mkdir()
    (project.root / "migrations" / "1_books.sql").write_text(_TABLE)
    for branch in project.urls:
        project.sql(branch, "CREATE INDEX by_year ON books (published_year) WHERE published_year > 0")
        project.sql(branch, "ALTER TABLE books ADD CHECK (published_year > 0), ADD volume serial")
        project.sql(branch, _VIEWS)
    (project.root / "plans" / f"{PLAN}.yaml").write_text(f"""\
plan: {PLAN}
changes:
  - {{kind: change_type, table: books, column: published_year, type: bigint{to}}}
  - {{kind: change_type, table: books, column: volume, type: bigint}}
""")
    ecm(project, "emit", PLAN, "--as", "sql")
    files = sorted((project.root / "migrations").glob("*_rename_*.sql"))
    emitted = [file.read_text() for file in files]
    for text in emitted:
        project.sql("fresh", text)
    ecm(project, "advance", PLAN, "--branch", "development", "--to", "reads_migrated")
    for file in files:
        file.unlink()
    ecm(project, "emit", PLAN, "--as", "sql", "--branch", "development")
    again = sorted((project.root / "migrations").glob("*_rename_*.sql"))
    assert [file.read_text() for file in again] == emitted, "whatever the state is"
    ecm(project, "advance", PLAN, "--branch", "development", "--to", "contracted")
    for described in (
        "SELECT column_name, data_type, column_default FROM information_schema.columns WHERE table_name = 'books' ORDER BY 1",
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'books'::regclass ORDER BY 1",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'books'::regclass ORDER BY 1",
        "SELECT sequencename, data_type::text FROM pg_sequences WHERE schemaname = 'public'",
        "SELECT oid::regclass::text, pg_get_viewdef(oid), reloptions, relacl::text, obj_description(oid), col_description(oid, 1)"
        " FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT indexdef FROM pg_indexes WHERE tablename = 'years' ORDER BY 1",
    ):
        assert project.sql("fresh", described) == project.sql("development", described)


_ENUMS = """\
CREATE TYPE state AS ENUM ('new', 'old', 'lost', 'gone');
COMMENT ON TYPE state IS 'of a book';
CREATE TYPE size AS ENUM ('small', 'large');
ALTER TABLE books ADD state state NOT NULL DEFAULT 'new', ADD states state[] DEFAULT '{new,old}', ADD cover state,
  ADD size size;
ALTER TABLE covers ADD state state UNIQUE;
CREATE INDEX books_new ON books (published_year) WHERE state = 'new';
CREATE VIEW stated AS SELECT id, state FROM books;
ALTER TABLE books ADD CONSTRAINT books_old CHECK (state <> 'old' OR published_year > 0),
  ADD CONSTRAINT books_state_fkey FOREIGN KEY (cover) REFERENCES covers (state),
  ADD CONSTRAINT books_small CHECK (size <> 'small');
"""
_DESCRIBED = (
    "SELECT table_name || '.' || column_name AS name, concat_ws(', ', data_type, column_default, is_nullable)"
    " FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'ecm_plans'"
    " UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace"
    " UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    " UNION ALL SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'"
    " UNION ALL SELECT typname, concat_ws(', ', obj_description(t.oid, 'pg_type'),"
    " (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))"
    " FROM pg_type t WHERE typtype = 'e' AND typnamespace = 'public'::regnamespace ORDER BY 1, 2"
)


def test_every_kind_comes_to_something_on_empty_tables(project: Project) -> None:
    """Constraints, moved columns and statements of one's own: what ecm's own cycle ends with, the file makes too."""
    (project.root / "migrations").mkdir()
    (project.root / "migrations" / "1_books.sql").write_text("-- +goose Up\n" + _TABLE)
    for branch in project.urls:
        project.sql(branch, "CREATE TABLE authors (id int PRIMARY KEY); CREATE TABLE covers (book int PRIMARY KEY)")
        project.sql(
            branch, "ALTER TABLE books ADD author_id int, ADD image text, ADD publisher text, ADD city varchar(9)"
        )
        project.sql(branch, _ENUMS)
    (project.root / "plans" / "all.yaml").write_text("""\
plan: all
changes:
  - {kind: add_check, table: books, name: books_check, check: "published_year > 0"}
  - {kind: add_unique, table: books, name: books_title_key, columns: [title]}
  - {kind: move_column, table: books, column: image, to: {table: covers, column: image}, on: {id: book}}
  - {kind: add_foreign_key, table: books, name: books_fkey, columns: [author_id], references: {table: authors, columns: [id]}, on_delete: set null}
""")
    (project.root / "plans" / "own.yaml").write_text("""\
plan: own
changes:
  - kind: sql
    expand: |
      CREATE INDEX CONCURRENTLY books_by_title ON books (title);
    contract: |
      SELECT 1;
      DROP INDEX books_by_title
    rollback: {expand: DROP INDEX books_by_title}
""")
    (project.root / "plans" / "new.yaml").write_text("""\
plan: new
changes:
  - {kind: add_column, table: books, column: isbn, type: text, unique: true, check: "isbn <> ''"}
  - {kind: add_column, table: books, column: agent, type: int, not_null: true, default: "1", references: {table: authors}}
  - kind: extract_table
    table: books
    columns: [publisher, city]
    into: {table: publishers, key: id}
    reference: publisher_id
    not_null: true
    index: true
""")
    (project.root / "plans" / "labels.yaml").write_text("""\
plan: labels
changes:
  - {kind: change_enum, type: state, rename: {new: old, old: new}, remove: {lost: gone}, add: [lost]}
""")
    (project.root / "plans" / "more-labels.yaml").write_text("""\
plan: more-labels
changes:
  - {kind: change_enum, type: size, rename: {small: little}, add: [it's huge]}
""")
    project.sql("development", "UPDATE books SET title = id, publisher = 'p'; INSERT INTO authors VALUES (1)")
    for name in ("all", "own", "new", "labels", "more-labels"):
        ecm(project, "emit", name, "--as", "sql")
        for file in sorted((project.root / "migrations").glob(f"*_{name.replace('-', '_')}_*.sql")):
            text = file.read_text()
            assert "INDEX CONCURRENTLY" not in text.partition("DO $ecm$")[2]
            assert text.startswith("-- +goose Up\n-- +goose StatementBegin\n")
            project.sql("fresh", text)
    for name in ("all", "new", "labels", "more-labels"):
        ecm(project, "advance", name, "--branch", "development", "--to", "contracted")
    assert project.sql("fresh", _DESCRIBED) == project.sql("development", _DESCRIBED)
    assert [labels for (labels,) in project.sql("fresh", "SELECT enum_range(NULL::state)::text")] == [
        "{old,new,gone,lost}"
    ]
    assert project.sql("fresh", "SELECT image FROM covers") == []
    assert project.sql("fresh", "SELECT FROM pg_class WHERE relname = 'books_by_title'") == []
