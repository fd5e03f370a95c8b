"""What the real drizzle-kit generates, both lines of it, as ecm reads it."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import MakeProject
from cli.runs import Project
from toolchains.drizzle_kit import generate

from orchestrator.errors import ConfigurationError, InvalidFileError
from orchestrator.toolchains.reading import drizzle as reading

BEFORE = """\
import { integer, pgEnum, pgTable, serial, text } from "drizzle-orm/pg-core";
export const status = pgEnum("status", ["draft", "live"]);
export const books = pgTable("books", {
  id: serial("id").primaryKey(),
  title: text("title").notNull(),
  publishedYear: integer("published_year"),
  status: status("status"),
});
"""
AFTER = BEFORE.replace('publishedYear: integer("published_year")', 'publicationYear: integer("publication_year")')
OTHERS = (
    AFTER.replace('"draft", "live"', '"draft", "published"')
    .replace('text("title").notNull()', 'integer("title").notNull()')
    .replace('  status: status("status"),', '  status: status("status"),\n  isbn: text("isbn").notNull().unique(),')
)
CONFIG = 'export default { dialect: "postgresql", schema: "./schema.ts", out: "./db/drizzle" };\n'


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives what a line of drizzle-kit has generated: a first migration, and one that renames a column."""

    @cache
    def made(modules: str) -> Path:
        project = Project(root=tmp_path_factory.mktemp("generated"), urls={})
        (project.root / "node_modules").symlink_to(modules)
        (project.root / "drizzle.config.ts").write_text(CONFIG)
        generate(project, BEFORE, "init")
        generate(project, AFTER, "year", rename=True)
        return project.root

    return made


@pytest.fixture
def project(make_project: MakeProject, databases: Any, drizzle: str, generated: Callable[[str], Path]) -> Project:
    made = make_project(databases("development", "production"), plan=False)
    shutil.copytree(generated(drizzle), made.root, symlinks=True, dirs_exist_ok=True)
    return made


def test_a_rename_becomes_a_plan(project: Project) -> None:
    """What drizzle-kit does in one statement, ecm offers as a plan; then it is covered."""
    settings = reading.find(project.root)
    assert settings is not None
    assert settings.folder == "db/drizzle"
    first, second = reading.read(project.root, settings)
    assert first.name.endswith("init")
    assert [each.text for each in second.statements] == [
        'ALTER TABLE "books" RENAME COLUMN "published_year" TO "publication_year"'
    ]
    assert second.statements[0].line == 1
    assert [each.line for each in first.statements] == [1, 2]

    found = project.ecm("detect", "--all", "--json")
    assert found.code == 4
    assert [each["change"]["kind"] for each in found.json["findings"]] == ["rename_column"]
    assert project.ecm("detect", "--all", "--write").code == 0
    assert project.ecm("plan", "validate").code == 0
    assert project.ecm("detect", str(second.path)).code == 0


def test_what_else_it_generates(project: Project) -> None:
    """A bare SET DATA TYPE, a column that old versions leave out, a unique constraint, an enum type made anew."""
    generate(project, OTHERS, "others")
    found = project.ecm("detect", "--all", "--json").json["findings"]

    rules = {each["rule"] for each in found if "others" in each["migration"]}
    assert rules == {"change-type", "add-column-not-null", "add-unique", "change-enum"}
    enum = next(each for each in found if each["rule"] == "change-enum")
    assert enum["likely"]["fields"] == {"type": "status", "rename": {"live": "published"}}


def test_what_its_table_says_is_applied(project: Project) -> None:
    """drizzle-kit's rows on the first branch tell which migrations are still to come."""
    settings = reading.find(project.root)
    assert settings is not None
    first, second = reading.listed(project.root, settings)
    assert reading.pending(project.root, settings, []) == {first.name, second.name}
    script = (
        f'import {{ drizzle }} from "drizzle-orm/node-postgres";\n'
        f'import {{ migrate }} from "drizzle-orm/node-postgres/migrator";\n'
        f'import pg from "pg";\n'
        f"const pool = new pg.Pool({{ connectionString: {json.dumps(project.urls['development'])} }});\n"
        f'await migrate(drizzle({{ client: pool }}), {{ migrationsFolder: "./db/drizzle" }});\nawait pool.end();\n'
    )
    aside = project.root / "aside"
    (project.root / second.path).rename(aside)
    _with_entries(project.root, 1)
    (project.root / "migrate.mjs").write_text(script)
    ran = subprocess.run(
        ["node", "migrate.mjs"], cwd=project.root, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    aside.rename(project.root / second.path)
    _with_entries(project.root, 2)

    answer = project.ecm("detect", "--json")
    assert [each["name"] for each in answer.json["migrations"]] == [second.name]
    assert answer.code == 4


_ENTRIES: dict[Path, list[Any]] = {}


def _with_entries(root: Path, number: int) -> None:
    """Leave so many entries in the journal of 0.31; 1.0 has none, and passes over a folder without a file."""
    path = root / "db" / "drizzle" / "meta" / "_journal.json"
    if path.is_file():
        journal = json.loads(path.read_text())
        every = _ENTRIES.setdefault(path, journal["entries"])
        path.write_text(json.dumps({**journal, "entries": every[:number]}))


def test_a_journal_that_is_none(tmp_path: Path) -> None:
    """It is named, with the command that looks at it."""
    (tmp_path / "drizzle.config.js").write_text("export default {};")
    meta = tmp_path / "drizzle" / "meta"
    meta.mkdir(parents=True)
    (meta / "_journal.json").write_text('{"entries": [{"idx": 0}]}')
    settings = reading.find(tmp_path)
    assert settings is not None
    with pytest.raises(InvalidFileError, match="is not a journal") as caught:
        reading.read(tmp_path, settings)
    assert caught.value.hint == "drizzle-kit check"


def test_what_a_comment_of_the_config_says_counts_for_nothing(tmp_path: Path) -> None:
    """An `out` that was taken out is not where migrations are."""
    text = "export default {\n  // out: './old', schemaFilter: ['public'],\n  /* out: './older' */ dbCredentials: { url: 'postgres://h/d' },\n"
    (tmp_path / "drizzle.config.ts").write_text(text + "  out: './new' };\n")
    found = reading.find(tmp_path)

    assert found is not None
    assert found.folder == "new"


@pytest.mark.parametrize("out", ["process.env.OUT", "path.join(here, './x')", "`./${name}`", "'./x' + name"])
def test_a_folder_that_is_computed_is_not_guessed(tmp_path: Path, out: str) -> None:
    """A wrong folder has no migrations, and so nothing dangerous: that would be silence where there is harm."""
    (tmp_path / "drizzle.config.ts").write_text(f"export default {{ out: {out}, dialect: 'postgresql' }};\n")
    settings = reading.find(tmp_path)
    assert settings is not None
    with pytest.raises(ConfigurationError, match="computes where migrations are") as caught:
        reading.listed(tmp_path, settings)
    assert caught.value.hint == "say it in ecm.yaml: toolchain: {kind: drizzle, folder: …}"

    (tmp_path / "drizzle").mkdir()
    assert reading.listed(tmp_path, settings) == (), "the usual one, where it is there"
