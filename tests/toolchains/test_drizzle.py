"""Beside the real drizzle-kit, both lines: what it generated and what ecm emitted are one history to it."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cli.conftest import MakeProject
from cli.runs import Project, said
from servers import Server

PLAN = "rename-published-year"

SCHEMA = """\
import {{ bigint, check, foreignKey, index, integer, pgEnum, pgTable, text, unique, varchar }} from "drizzle-orm/pg-core";
import {{ sql }} from "drizzle-orm";

export const status = pgEnum("status", ["draft", "in print", "gone"]);
export const authors = pgTable("authors", {{ id: integer("id").primaryKey(), name: text("name").notNull() }});
export const books = pgTable(
  "books",
  {{
    id: integer("id").primaryKey(),
    title: varchar("title", {{ length: 200 }}).notNull(),
    authorId: integer("author_id").references(() => authors.id),
    editorId: integer("editor_id"),
    publisher: varchar("publisher", {{ length: 80 }}),
    status: status("status").default("in print").notNull(),
    was: status("was").array().default(["in print", "draft"]),
{columns}
  }},
  (books) => [
    index("books_year").on(books.{year}),
    check("books_year_check", sql`${{books.{year}}} > 0`),
  ],
);
"""
_OLD = '    publishedYear: integer("published_year").default(2000),'
_NEW = '    publicationYear: integer("publication_year").default(2000),'
BEFORE = SCHEMA.format(columns=_OLD, year="publishedYear")
EXPANDED = SCHEMA.format(columns=f"{_OLD}\n{_NEW}", year="publishedYear")
AFTER = SCHEMA.format(columns=_NEW, year="publicationYear")

CONFIG = """\
import { defineConfig } from "drizzle-kit";
export default defineConfig({
  dialect: "postgresql",
  schema: "./schema.ts",
  out: process.env.OUT ?? "./drizzle",
  schemaFilter: ["public"],
  dbCredentials: { url: process.env.DATABASE_URL! },
});
"""
_PLAN = """\
plan: rename-published-year
changes:
  - {kind: rename_column, table: books, column: published_year, to: publication_year}
"""


@dataclass(frozen=True)
class Kit:
    """drizzle-kit in a project."""

    project: Project
    modules: str

    def __call__(self, *arguments: str, url: str = "", **environment: str) -> str:
        """Run a command; return what it said."""
        ran = self.run(*arguments, url=url, **environment)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def run(self, *arguments: str, url: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [f"{self.modules}/.bin/drizzle-kit", *arguments],
            cwd=self.project.root,
            env={"PATH": os.environ["PATH"], "HOME": str(self.project.root), "DATABASE_URL": url, **environment},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    def migrate(self, branch: str) -> list[tuple[Any, ...]]:
        """Run its migrate on a branch; return the rows of its table."""
        self("migrate", url=self.project.urls[branch])
        return applied(self.project, branch)

    @property
    def files(self) -> dict[str, str]:
        folder = self.project.root / "drizzle"
        return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def applied(project: Project, branch: str) -> list[tuple[Any, ...]]:
    return project.sql(branch, "SELECT hash, created_at FROM drizzle.__drizzle_migrations ORDER BY id")


@pytest.fixture(scope="session")
def begun(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, str]]:
    """Gives what a line of drizzle-kit has generated, and the database that it has brought there, with rows."""

    @cache
    def made(modules: str) -> tuple[Path, str]:
        root = tmp_path_factory.mktemp("begun")
        (root / "node_modules").symlink_to(modules)
        (root / "drizzle.config.ts").write_text(CONFIG)
        (root / "schema.ts").write_text(BEFORE)
        name = f"begun_with_{Path(modules).parent.name}"
        server.create_database(name)
        project = Project(root=root, urls={"begun": server.url(name)})
        kit = Kit(project, modules)
        kit("generate")
        kit.migrate("begun")
        project.sql(
            "begun",
            "INSERT INTO books (id, title, published_year) SELECT n, 'book ' || n, 1900 + n"
            " FROM generate_series(1, 20) n",
        )
        return root, name

    return made


@pytest.fixture
def kit(make_project: MakeProject, databases: Any, drizzle: str, begun: Callable[[str], tuple[Path, str]]) -> Kit:
    """A project that drizzle-kit has brought to development and production, with rows, and a plan for it."""
    files, template = begun(drizzle)
    urls = {**databases("development", "production", template=template), **databases("fresh", "declared")}
    project = make_project(urls, plan=False)
    shutil.copytree(files, project.root, symlinks=True, dirs_exist_ok=True)
    (project.root / "ecm.yaml").write_text(
        "project: bookstore\nbranches:\n  development: {}\n  production: {requires: [development]}\n"
    )
    (project.root / "plans" / f"{PLAN}.yaml").write_text(_PLAN)
    return Kit(project, drizzle)


def ecm(project: Project, *arguments: str) -> str:
    done = project.ecm(*arguments)
    assert done.code == 0, done.err + done.out
    return done.out


def _nothing_to_generate(kit: Kit, schema: str) -> None:
    (kit.project.root / "schema.ts").write_text(schema)
    before = kit.files
    assert "No schema changes" in kit("generate")
    assert kit.files == before
    assert "Everything's fine" in kit("check")


def test_from_one_schema_to_the_other(kit: Kit) -> None:
    """Both branches go through the cycle; drizzle-kit finds each of its migrations applied, and no difference."""
    project = kit.project
    emitted = json.loads(ecm(project, "emit", PLAN, "--as", "drizzle", "--part", "expand", "--json"))
    assert [each["part"] for each in emitted["migrations"]] == ["expand"]
    assert "is there already" in said(ecm(project, "emit", PLAN, "--as", "drizzle", "--part", "expand"))
    _nothing_to_generate(kit, EXPANDED)

    stopped = kit.run("migrate", url=project.urls["production"])
    assert stopped.returncode != 0, "rows are there, and ecm has not been"
    # drizzle-kit 0.31 stops without a word of why; PostgreSQL has said it.
    (file,) = (name for name in emitted["migrations"][0]["files"] if name.endswith(".sql"))
    with pytest.raises(psycopg.errors.RaiseException, match="ecm has not done expand in this database") as refused:
        project.sql("production", (project.root / file).read_text())
    assert f"ecm advance {PLAN} --to expanded" in (refused.value.diag.message_hint or "")

    for branch in ("development", "production"):
        ecm(project, "advance", PLAN, "--branch", branch, "--to", "reads_migrated")
        before = applied(project, branch)
        assert len(before) == 2
        assert kit.migrate(branch) == before, "drizzle-kit finds it applied"
    ecm(project, "emit", PLAN, "--as", "drizzle", "--part", "contract")
    _nothing_to_generate(kit, AFTER)
    for branch in ("development", "production"):
        ecm(project, "advance", PLAN, "--branch", branch, "--to", "contracted")
        before = applied(project, branch)
        assert len(before) == 3
        assert kit.migrate(branch) == before
        assert project.sql(branch, "SELECT sum(publication_year) FROM books") == [(38210,)]

    kit.migrate("fresh")
    assert len(applied(project, "fresh")) == 3
    described = (
        "SELECT column_name, data_type, column_default, is_nullable FROM information_schema.columns"
        " WHERE table_name = 'books' ORDER BY 1"
    )
    assert project.sql("fresh", described) == project.sql("production", described), "the tool alone gets there as well"

    # From schema.ts alone, by drizzle-kit alone; what pull writes of an index is more than what schema.ts declares.
    for command in ("generate", "migrate"):
        kit(command, url=project.urls["declared"], OUT="./declared")
    pulled = {branch: _pulled(kit, branch) for branch in ("declared", "production")}
    assert pulled["production"] == pulled["declared"]
    assert 'integer("publication_year").default(2000)' in pulled["production"]
    assert "published_year" not in pulled["production"]


def _pulled(kit: Kit, branch: str) -> str:
    """Return the schema that `pull` reads from a branch, its lines in alphabetical order."""
    out = kit.project.root / f"pulled-{branch}"
    kit("pull", url=kit.project.urls[branch], OUT=f"./{out.name}")
    lines = (line.strip() for line in (out / "schema.ts").read_text().splitlines())
    return "\n".join(sorted(line for line in lines if not line.startswith("import")))


def test_what_is_pending_and_what_goes_back(kit: Kit) -> None:
    """What a branch lacks holds ecm up with 0.31, where a row hides it; a rollback takes the row away."""
    project = kit.project
    (project.root / "schema.ts").write_text(BEFORE.replace('text("name").notNull()', 'text("name")'))
    kit("generate")
    kit.migrate("development")
    ecm(project, "emit", PLAN, "--as", "drizzle", "--part", "expand")
    ecm(project, "advance", PLAN, "--branch", "development")
    assert len(applied(project, "development")) == 3
    if (project.root / "drizzle" / "meta").is_dir():
        refused = project.ecm("advance", PLAN, "--branch", "production", "--json")
        assert refused.code == 4
        assert "drizzle-kit migrate" in refused.json["error"]["hint"]
        assert "is not applied" in refused.json["error"]["details"][0]
    else:
        ecm(project, "advance", PLAN, "--branch", "production")
        assert len(applied(project, "production")) == 2
        assert len(kit.migrate("production")) == 3, "it goes by name, and finds what is pending all the same"
    ecm(project, "emit", PLAN, "--as", "drizzle", "--part", "contract")
    ecm(project, "rollback", PLAN, "--branch", "development")
    assert len(applied(project, "development")) == 2

    for name, change in {
        "own-words": "{kind: sql, expand: CREATE TABLE words (id int), rollback: {expand: DROP TABLE words}}",
        "wide-title": "{kind: change_type, table: books, column: title, type: text, to: name}",
        "no-author": "{kind: drop_column, table: books, column: author_id}",
        "volumes": "{kind: rename_table, table: books, to: volumes}",
    }.items():
        (project.root / "plans" / f"{name}.yaml").write_text(f"plan: {name}\nchanges:\n  - {change}\n")
    refused = project.ecm("emit", "own-words", "--as", "drizzle", "--json")
    assert "ecm emit --as sql" in refused.json["error"]["hint"]
    before = kit.files
    assert not any("own_words" in name for name in before)
    for name in ("wide-title", "no-author", "volumes"):
        ecm(project, "emit", name, "--as", "drizzle")
    _nothing_to_generate(
        kit,
        AFTER.replace('"books",', '"volumes",')
        .replace('name: text("name").notNull()', 'name: text("name")')
        .replace('title: varchar("title", { length: 200 })', 'name: text("name")')
        .replace('    authorId: integer("author_id").references(() => authors.id),\n', ""),
    )
    kit.migrate("fresh")
    assert project.sql("fresh", "SELECT id, name, publication_year FROM volumes") == []


def test_the_lines_of_inspect_leave_nothing_to_generate(kit: Kit) -> None:
    """A foreign key stays on a column of another type, and is written out where the column gets another name."""
    project, schema = kit.project, BEFORE
    for name, change in {
        "wide-author": "{kind: change_type, table: books, column: author_id, type: bigint}",
        "writer": "{kind: rename_column, table: books, column: author_id, to: writer_id}",
    }.items():
        (project.root / "plans" / f"{name}.yaml").write_text(f"plan: {name}\nchanges:\n  - {change}\n")
        ecm(project, "emit", name, "--as", "drizzle")
        for phase in json.loads(ecm(project, "inspect", "--drizzle", name, "--json"))["phases"]:
            for table in phase["tables"]:
                schema = _put_in(schema, table["add"], table["remove"])
        _nothing_to_generate(kit, schema)
        ecm(project, "advance", name, "--branch", "development", "--to", "contracted")
    assert schema.count("authors.id") == 1


def _put_in(schema: str, add: list[str], remove: list[str]) -> str:
    """Return a schema edited as the lines say; those of columns begin with their names."""
    for line in remove:
        assert f"    {line}\n" in schema, schema
        schema = schema.replace(f"    {line}\n", "")
    for line in add:
        apart = line.startswith("foreignKey(")
        before = "    check(" if apart else "    publishedYear:"
        schema = schema.replace(before, f"    {line.replace('table.', 'books.') if apart else line}\n{before}", 1)
    return schema


@pytest.mark.parametrize("drizzle", ["0.31"], indirect=True)
def test_names_by_the_second_and_lines_that_end_otherwise(kit: Kit) -> None:
    """Two migrations of one second have a snapshot each; a row goes whatever the file's hash is where that is asked."""
    project, folder = kit.project, kit.project.root / "drizzle"
    shutil.rmtree(folder)
    config = CONFIG.replace("dialect:", 'migrations: { prefix: "timestamp" },\n  dialect:')
    (project.root / "drizzle.config.ts").write_text(config)
    kit("generate")
    project.sql("development", "TRUNCATE drizzle.__drizzle_migrations; TRUNCATE books")
    (entry,) = json.loads((folder / "meta" / "_journal.json").read_text())["entries"]
    project.sql(
        "development", f"INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('', {entry['when']})"
    )
    ecm(project, "emit", PLAN, "--as", "drizzle")
    snapshots = {name: json.loads(text) for name, text in kit.files.items() if name.endswith("_snapshot.json")}
    entries = json.loads((folder / "meta" / "_journal.json").read_text())["entries"]
    assert sorted(snapshots) == [f"meta/{each['tag'].partition('_')[0]}_snapshot.json" for each in entries]
    assert len({each["prevId"] for each in snapshots.values()}) == len(entries) == 3
    _nothing_to_generate(kit, AFTER)

    ecm(project, "advance", PLAN, "--branch", "development")
    for file in folder.glob("*.sql"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    ecm(project, "rollback", PLAN, "--branch", "development")
    assert len(applied(project, "development")) == 1


def test_what_no_snapshot_can_be_told_goes_into_a_migration_that_drizzle_kit_made(kit: Kit) -> None:
    """As the page says: its snapshot is right, ecm writes its row, and a fresh database gets it all from drizzle-kit."""
    project = kit.project
    change = "{kind: sql, contract: 'ALTER TABLE books ADD CONSTRAINT books_title_key UNIQUE (title)'}"
    (project.root / "plans" / "unique-title.yaml").write_text(f"plan: unique-title\nchanges:\n  - {change}\n")
    ecm(project, "emit", "unique-title", "--as", "sql", "--folder", "by-hand")
    schema = BEFORE.replace("{ length: 200 })", '{ length: 200 }).unique("books_title_key")')
    (project.root / "schema.ts").write_text(schema)
    kit("generate", "--name", "unique")

    (made,) = [
        path for path in (project.root / "drizzle").rglob("*.sql") if "unique" in str(path.relative_to(project.root))
    ]
    made.write_text((project.root / "by-hand" / "0001_unique_title_contract.sql").read_text())
    before = len(applied(project, "development"))
    ecm(project, "advance", "unique-title", "--branch", "development", "--to", "contracted")

    noted = applied(project, "development")
    assert len(noted) == before + 1
    assert kit.migrate("development") == noted
    _nothing_to_generate(kit, schema)
    kit.migrate("fresh")


_RULES = """\
plan: rules
changes:
  - {kind: add_unique, table: books, name: books_title_key, columns: [title, published_year]}
  - {kind: add_check, table: books, name: books_id_check, check: "id > 0"}
  - kind: add_foreign_key
    table: books
    name: books_editor_id_fkey
    columns: [editor_id]
    references: {table: authors, columns: [id]}
    on_delete: set null
  - kind: add_column
    table: books
    column: agent_id
    type: integer
    check: agent_id <> 0
    unique: true
    references: {table: authors}
"""
_PUBLISHERS = """\
plan: publishers
changes:
  - kind: extract_table
    table: books
    columns: [publisher]
    into: {table: publishers, key: id}
    reference: publisher_id
    index: true
"""
_LABELS = """\
plan: labels
changes:
  - kind: change_enum
    type: status
    rename: {in print: printed, draft: in print}
    remove: {gone: printed}
    add: [lost]
"""
_ALL = (
    BEFORE.replace('["draft", "in print", "gone"]', '["in print", "printed", "lost"]')
    .replace('.default("in print")', '.default("printed")')
    .replace('.default(["in print", "draft"])', '.default(["printed", "in print"])')
    .replace(
        "export const books",
        """\
export const publishers = pgTable(
  "publishers",
  {
    id: bigint("id", { mode: "number" }).primaryKey().generatedByDefaultAsIdentity(),
    publisher: varchar("publisher", { length: 80 }),
  },
  (table) => [unique("publishers_publisher_key").on(table.publisher)],
);
export const books""",
    )
    .replace(
        '    publisher: varchar("publisher", { length: 80 }),\n    status',
        """\
    publisherId: bigint("publisher_id", { mode: "number" }),
    agentId: integer("agent_id"),
    status""",
    )
    .replace(
        "    check(",
        """\
    unique("books_title_key").on(books.title, books.publishedYear),
    unique("books_agent_id_key").on(books.agentId),
    check("books_id_check", sql`id > 0`),
    check("books_agent_id_check", sql`agent_id <> 0`),
    index("books_publisher_id_idx").on(books.publisherId),
    foreignKey({
      name: "books_editor_id_fkey",
      columns: [books.editorId],
      foreignColumns: [authors.id],
    }).onDelete("set null"),
    foreignKey({ name: "books_agent_id_fkey", columns: [books.agentId], foreignColumns: [authors.id] }),
    foreignKey({ name: "books_publisher_id_fkey", columns: [books.publisherId], foreignColumns: [publishers.id] }),
    check(""",
    )
)
_DESCRIBED = (
    "SELECT table_name || '.' || column_name AS name, concat_ws(', ', data_type, column_default, is_nullable)"
    " FROM information_schema.columns WHERE table_schema = 'public'"
    " UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace"
    " UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    " UNION ALL SELECT typname, enum_range(NULL::status)::text FROM pg_type WHERE typname = 'status' ORDER BY 1, 2"
)


def test_constraints_labels_and_a_table_are_told(kit: Kit) -> None:
    """All that a schema can say of constraints, enums and a new table stands in the snapshots as drizzle-kit has it."""
    project = kit.project
    for name, text in {"rules": _RULES, "publishers": _PUBLISHERS, "labels": _LABELS}.items():
        (project.root / "plans" / f"{name}.yaml").write_text(text)
        told = said(ecm(project, "emit", name, "--as", "drizzle"))
        assert (f"ecm inspect --drizzle {name} prints" in told) == (name != "labels")
    _nothing_to_generate(kit, _ALL)
    kit.migrate("fresh")
    for name in ("rules", "publishers", "labels"):
        ecm(project, "advance", name, "--branch", "development", "--to", "contracted")
    before = applied(project, "development")
    assert kit.migrate("development") == before
    assert project.sql("fresh", _DESCRIBED) == project.sql("development", _DESCRIBED)

    project.sql("development", "CREATE TYPE size AS ENUM ('large'); ALTER TABLE books ADD size size")
    for name, change, what in (
        ("unknown", "{kind: change_enum, type: size, add: [small]}", "no enum size"),
        ("unseen", "{kind: add_unique, table: books, name: books_size_key, columns: [size]}", "no column books.size"),
    ):
        (project.root / "plans" / f"{name}.yaml").write_text(f"plan: {name}\nchanges:\n  - {change}\n")
        before = kit.files
        refused = project.ecm("emit", name, "--as", "drizzle", "--json").json["error"]
        assert what in refused["message"]
        assert "drizzle-kit generate" in refused["hint"]
        assert kit.files == before
