"""`ecm inspect`: tables as PostgreSQL has them, and the lines of an ORM's schema that a plan edits."""

from cli.runs import PLAN, Project

_MORE = """
CREATE TABLE authors (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(50) NOT NULL);
ALTER TABLE books ADD COLUMN author_id bigint REFERENCES authors, ADD CONSTRAINT positive CHECK (published_year > 0);
CREATE INDEX books_title ON books (title);
CREATE VIEW titles AS SELECT id, title FROM books;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER books_touch BEFORE UPDATE ON books FOR EACH ROW EXECUTE FUNCTION touch();
"""


def test_a_table_is_shown_with_all_that_is_on_it(project: Project) -> None:
    """Columns, constraints, indexes, triggers, views and who points to it, within 80 columns, with the next command."""
    project.sql("development", _MORE)
    shown = project.ecm("inspect", "books", "--branch", "development")

    assert shown.code == 0, shown.err
    for word in (
        "published_year  integer  default 2000", "positive CHECK", "books_title USING btree (title)",
        "books_touch BEFORE UPDATE for each row: touch", "read by       titles", "FOREIGN KEY (author_id)", "100 rows",
    ):  # fmt: skip
        assert word in shown.out, shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    assert "next      ecm plan rename-column books COLUMN NEW_NAME --branch development" in shown.out


def test_all_tables_are_listed_and_told_in_full_as_json(project: Project) -> None:
    """Without a name a line each; JSON has everything of all of them; ecm's own schema is not the application's."""
    project.sql("development", _MORE)
    listed, told = project.ecm("inspect"), project.ecm("inspect", "--json").json

    assert "authors" in listed.out
    assert "next      ecm inspect authors --branch development" in listed.out
    assert [table["table"] for table in told["tables"]] == ["authors", "books"]
    authors, books = told["tables"]
    assert authors["columns"][0] == {
        "name": "id", "type": "bigint", "not_null": True, "default": None, "identity": True, "generated": False,
    }  # fmt: skip
    assert authors["pointed_to"] == ["books"]
    assert books["key"] == ["id"]
    assert books["views"] == ["titles"]


def test_rows_that_nobody_has_counted_are_unknown(project: Project) -> None:
    """Not none; and what is next is a table of the application's, not of its migration tool's."""
    project.sql(
        "development",
        "CREATE SCHEMA apart; CREATE TABLE apart.journal (id integer); CREATE TABLE fresh (id integer);"
        " CREATE TABLE zero (id integer); INSERT INTO fresh VALUES (1), (2)",
    )
    listed, told = project.ecm("inspect"), project.ecm("inspect", "--json").json

    assert "fresh          rows unknown" in listed.out, listed.out
    rows = {table["table"]: table["rows"] for table in told["tables"]}
    assert (rows["fresh"], rows["zero"]) == (None, 0)
    assert "next      ecm inspect books --branch development" in listed.out


def test_a_table_that_is_not_there_is_named(project: Project) -> None:
    """With what it may have been meant for."""
    answer = project.ecm("inspect", "boks")

    assert answer.code == 1
    assert "did you mean books?" in answer.err


def test_the_lines_of_a_drizzle_schema(project: Project) -> None:
    """Expand adds the new line; contract takes the old one, and the new one has what the old one had."""
    project.sql("development", "ALTER TABLE books ALTER published_year SET NOT NULL")
    before = sorted(project.root.rglob("*"))
    shown = project.ecm("inspect", "--drizzle", PLAN)
    told = project.ecm("inspect", "--drizzle", PLAN, "--json").json

    assert shown.code == 0, shown.err
    assert "no file was written" in shown.out
    assert [path for path in sorted(project.root.rglob("*")) if ".ecm" not in path.parts] == before
    phases = {phase["phase"]: phase["tables"] for phase in told["phases"]}
    (expand,), (contract,) = phases["expand"], phases["contract"]
    assert expand["add"] == ['publicationYear: integer("publication_year").default(2000),']
    assert expand["remove"] == []
    assert contract["add"] == ['publicationYear: integer("publication_year").notNull().default(2000),']
    assert contract["remove"] == [
        'publishedYear: integer("published_year").notNull().default(2000),',
        'publicationYear: integer("publication_year").default(2000),',
    ]
    assert phases["backfill"] == []


def test_an_index_that_an_orm_makes_the_name_of_up(project: Project) -> None:
    """It keeps its name with its column's new one, and so has to be written out; where the lines are told."""
    project.sql("development", "CREATE INDEX books_published_year_index ON books (published_year)")
    shown = project.ecm("inspect", "--drizzle", PLAN)
    told = project.ecm("inspect", "--drizzle", PLAN, "--json").json

    notes = {phase["phase"]: [note for table in phase["tables"] for note in table["notes"]] for phase in told["phases"]}
    assert (
        "index books_published_year_index is over publication_year now and keeps its name: write it out"
        in notes["contract"]
    )
    assert notes["expand"] == []
    assert "keep what else yours say" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80


_KINDS = """\
plan: kinds
changes:
  - {kind: add_unique, table: books, name: books_title_key, columns: [title]}
  - {kind: add_check, table: books, name: books_id_check, check: "id > 0"}
  - kind: add_foreign_key
    table: books
    name: books_author_id_fkey
    columns: [author_id]
    references: {table: authors, columns: [id]}
    on_delete: set null
  - kind: extract_table
    table: books
    columns: [city]
    into: {table: cities, key: id}
    reference: city_id
    index: true
"""
_LABELS = "plan: labels\nchanges: [{kind: change_enum, type: state, rename: {draft: new}, add: [gone]}]\n"


def test_the_lines_of_what_is_no_column(project: Project) -> None:
    """Constraints and indexes, a table that comes and an enum's labels, with the defaults of its columns."""
    project.sql(
        "development",
        "CREATE TABLE authors (id int PRIMARY KEY); CREATE TYPE state AS ENUM ('draft', 'kept');"
        " ALTER TABLE books ADD author_id int, ADD city text, ADD state state DEFAULT 'draft'",
    )
    for name, text in {"kinds": _KINDS, "labels": _LABELS}.items():
        (project.root / "plans" / f"{name}.yaml").write_text(text)

    def lines(orm: str, plan: str, phase: str) -> list[str]:
        told = project.ecm("inspect", f"--{orm}", plan, "--json").json["phases"]
        tables = next(each["tables"] for each in told if each["phase"] == phase)
        return [f"{sign} {line}" for each in tables for sign in ("remove", "add") for line in each[sign]]

    assert lines("drizzle", "kinds", "expand") == [
        'add export const cities = pgTable("cities", {',
        'add   id: bigint("id", { mode: "number" }).primaryKey().generatedByDefaultAsIdentity(),',
        'add   city: text("city"),',
        'add }, (table) => [unique("cities_city_key").on(table.city)]);',
        'add cityId: bigint("city_id", { mode: "number" }),',
        'add foreignKey({ name: "books_city_id_fkey", columns: [table.cityId], foreignColumns: [cities.id] }),',
    ]
    assert lines("drizzle", "kinds", "contract") == [
        'remove city: text("city"),',
        'add unique("books_title_key").on(table.title),',
        'add check("books_id_check", sql`id > 0`),',
        'add foreignKey({ name: "books_author_id_fkey", columns: [table.authorId], foreignColumns: [authors.id] })'
        '.onDelete("set null"),',
        'add index("books_city_id_idx").on(table.cityId),',
    ]
    assert lines("drizzle", "labels", "contract") == [
        'remove export const state = pgEnum("state", ["draft", "kept"]);',
        'remove state: state("state").default("draft"), // state: your pgEnum or customType for public.state',
        'add export const state = pgEnum("state", ["new", "kept", "gone"]);',
        'add state: state("state").default("new"), // state: your pgEnum or customType for public.state',
    ]
    assert lines("sqlalchemy", "kinds", "expand")[:5] == [
        "add class Cities(Base):",
        "add     __tablename__ = 'cities'",
        "add     id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)",
        "add     city: Mapped[str | None] = mapped_column(Text)",
        "add     __table_args__ = (UniqueConstraint('city', name='cities_city_key'),)",
    ]
    assert lines("sqlalchemy", "kinds", "contract")[1:] == [
        "add UniqueConstraint('title', name='books_title_key'),",
        "add CheckConstraint('id > 0', name='books_id_check'),",
        "add ForeignKeyConstraint(['author_id'], ['authors.id'], name='books_author_id_fkey', ondelete='SET NULL'),",
        "add Index('books_city_id_idx', 'city_id'),",
    ]
    assert "add Enum('new', 'kept', 'gone', name='state')" in lines("sqlalchemy", "labels", "contract")


def test_the_lines_of_sqlalchemy_models(project: Project) -> None:
    """The same in the declarative form; also once the plan is under way."""
    first = project.ecm("inspect", "--sqlalchemy", PLAN, "--json").json
    project.ecm("advance", PLAN, "--branch", "development")
    again = project.ecm("inspect", "--sqlalchemy", PLAN, "--json").json

    assert first["phases"][0]["tables"][0]["add"] == [
        "publication_year: Mapped[int | None] = mapped_column(Integer, server_default=text('2000'))"
    ]
    assert [each["tables"] for each in again["phases"]] == [each["tables"] for each in first["phases"]]
    assert [each["done"] for each in again["phases"]] == [True, False, False, False]


def test_a_name_that_a_shell_would_take_apart(project: Project) -> None:
    """What is next can be run as it stands."""
    project.sql("development", 'CREATE TABLE "Weird Table" (id int); CREATE TABLE zoo (id int); DROP TABLE books')
    listed = project.ecm("inspect").out
    shown = project.ecm("inspect", "Weird Table").out

    assert "next      ecm inspect 'Weird Table' --branch development" in listed
    assert "ecm plan rename-column 'Weird Table' COLUMN NEW_NAME \\\n" in shown
    assert "\n  id  integer\n" in shown


def test_raw_sql_is_not_read(project: Project) -> None:
    """Nobody is told that nothing changes."""
    (project.root / "plans" / "raw.yaml").write_text(
        "plan: raw\nchanges: [{kind: sql, contract: ALTER TABLE books ADD COLUMN pages int}]\n"
    )
    shown = project.ecm("inspect", "--drizzle", "raw")

    assert shown.code == 0, shown.err
    expand, contract = shown.out.partition("\nexpand\n")[2].split("\ncontract\n")
    assert "no line changes" in expand
    assert "raw SQL is not read" in contract
    assert "no line changes" not in contract
