"""The pages of docs/ about other migration tools: what they tell a person to do, done beside the real tools.

A page is gone through from its first line to its last. YAML is written at the end of ecm.yaml, SQL into the file that was
named last, a diff is made to the schema, a command is run and has to end as the page says (`# exit code 4`, or well), and what is shown below it is said.
"""

import os
import re
import shlex
import string
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cli.conftest import MakeProject
from cli.runs import Project
from toolchains.drizzle_kit import generate

DOCS = Path(__file__).parents[2] / "docs"
PLAN = "rename-published-year"
BRANCHES = ("development", "production")
ROWS = "INSERT INTO books (id, title, published_year) SELECT n, 'book ' || n, 1900 + n FROM generate_series(1, 20) n"


@dataclass
class Reader:
    """Somebody who does in a project what a page says.

    Attributes:
        schema: the file that diffs are made to.
        instead: what runs a command in the reader's place, by what the command begins with.
    """

    project: Project
    schema: str = ""
    instead: dict[str, Callable[[str], str]] = field(default_factory=dict)

    def follow(self, page: str) -> None:
        """Go through a page."""
        text = (DOCS / page).read_text()
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
            match language:
                case "yaml":
                    with (self.project.root / "ecm.yaml").open("a") as file:
                        file.write(block)
                case "diff":
                    self._edit(block)
                case "sql":
                    named = re.findall(r"`(\S+\.sql)`", text[: text.index(block)])[-1]
                    (self.project.root / named).write_text(block)
                case "console":
                    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                        command, _, shown = part.partition("\n")
                        self.do(command, shown)
                case _:
                    raise AssertionError(f"{page}: what is {language} for?")

    def _edit(self, diff: str) -> None:
        path = self.project.root / self.schema
        lines = diff.splitlines()
        before = "\n".join(line[1:] for line in lines if line[0] != "+")
        after = "\n".join(line[1:] for line in lines if line[0] != "-")
        assert path.read_text().count(before) == 1, f"{before} is in {self.schema} once"
        path.write_text(path.read_text().replace(before, after))

    def do(self, command: str, shown: str = "") -> None:
        """Run a command of a page, which ends and says what the page tells."""
        expected = re.search(r"# exit code (\d+)", command)
        code, wrote = self._run(command)
        assert code == int(expected[1] if expected else 0), f"{command}: {wrote}"
        for line in filter(None, map(str.strip, shown.splitlines())):
            assert " ".join(line.split()) in " ".join(wrote.split()), f"{command}: {wrote}"

    def _run(self, command: str) -> tuple[int, str]:
        names = {f"DATABASE_URL_{branch.upper()}": url for branch, url in self.project.urls.items()}
        names["DATABASE_URL"] = self.project.urls["development"]
        names["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command = string.Template(command).safe_substitute(names)
        for beginning, does in self.instead.items():
            if command.startswith(beginning):
                return 0, does(command)
        words = shlex.split(command, comments=True)
        while re.match(r"[A-Z_]+=", words[0]):
            name, _, value = words.pop(0).partition("=")
            names[name] = value
        if words[0] == "ecm":
            done = self.project.ecm(*words[1:], stdin="", attempts=None, **names)
            return done.code, done.out + done.err
        words = words[1:] if words[0] == "python" else words
        if words[0] in ("alembic", "manage.py"):
            done = self.project.tool("alembic" if words[0] == "alembic" else "manage.py", *words[1:], **names)
            return done.code, done.out + done.err
        if words[0] == "npx":  # npm's own way to what lies here, which takes a second each time
            words[:2] = [f"{self.project.root}/node_modules/.bin/{words[1]}"]
        done = subprocess.run(
            words,
            cwd=self.project.root,
            env={"HOME": str(self.project.root), "PYTHONDONTWRITEBYTECODE": "1", "TERM": "xterm", **names},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout + done.stderr


def remember(project: Project) -> None:
    """Have git know the project as it is."""
    (project.root / ".gitignore").write_text(".ecm/\nnode_modules\n__pycache__/\n")
    git = ["git", "-c", "user.name=ana", "-c", "user.email=ana@example.org"]
    for words in (["init", "--quiet", "--initial-branch", "main"], ["add", "."], ["commit", "--quiet", "-m", "Begin"]):
        subprocess.run([*git, *words], cwd=project.root, check=True)


def columns(project: Project, branch: str) -> list[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = 'books'::regclass AND attnum > 0 AND NOT attisdropped"
    return sorted(name for (name,) in project.sql(branch, query))


@pytest.fixture
def project(make_project: MakeProject, databases: Callable[..., dict[str, str]]) -> Project:
    return make_project(databases(*BRANCHES, "fresh"), plan=False)


CONFIG = """\
export default {
  dialect: "postgresql",
  schema: "./schema.ts",
  out: "./drizzle",
  schemaFilter: ["public"],
  dbCredentials: { url: process.env.DATABASE_URL },
};
"""
SCHEMA = """\
import { integer, pgTable, text } from "drizzle-orm/pg-core";
export const books = pgTable("books", {
  id: integer("id").primaryKey(),
  title: text("title"),
  publishedYear: integer("published_year"),
});
"""


def play(project: Project, reader: Reader, page: str, *, migrate: str) -> None:
    """Follow a page from where the tool's first migration is applied and there are rows: all databases end alike."""
    for branch in BRANCHES:
        reader.do(f"DATABASE_URL={project.urls[branch]} {migrate}")
        project.sql(branch, ROWS)
    remember(project)
    reader.follow(page)
    assert [columns(project, branch) for branch in project.urls] == [["id", "publication_year", "title"]] * 3


@pytest.mark.parametrize("drizzle", ["0.31"], indirect=True)
def test_drizzle(project: Project, drizzle: str) -> None:
    """From schema.ts to schema.ts, and drizzle-kit has nothing to do on any branch."""
    (project.root / "node_modules").symlink_to(drizzle)
    (project.root / "drizzle.config.ts").write_text(CONFIG)
    generate(project, SCHEMA, "init")

    def answered(_: str) -> str:
        generate(project, (project.root / "schema.ts").read_text(), "year", rename=True)
        return ""

    reader = Reader(project, schema="schema.ts", instead={"npx drizzle-kit generate --name year": answered})
    play(project, reader, "drizzle.md", migrate="npx drizzle-kit migrate")
    applied = "SELECT count(*) FROM drizzle.__drizzle_migrations"
    assert [project.sql(branch, applied) for branch in project.urls] == [[(3,)]] * 3


ENV = """\
import os

from alembic import context
from models import Base
from sqlalchemy import create_engine, pool

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
    with create_engine(url, poolclass=pool.NullPool).connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            context.run_migrations()
"""
MODELS = """\
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str | None]
    published_year: Mapped[int | None]
"""


def test_alembic(project: Project) -> None:
    """From models.py to models.py, and Alembic has nothing to do on any branch."""
    reader = Reader(project, schema="models.py")
    reader.do("alembic init migrations")
    (project.root / "migrations" / "env.py").write_text(ENV)
    (project.root / "models.py").write_text(MODELS)
    reader.do("alembic revision --autogenerate -m init")
    play(project, reader, "alembic.md", migrate="alembic upgrade head")
    version = "SELECT version_num FROM alembic_version"
    assert len({project.sql(branch, version)[0] for branch in project.urls}) == 1


SETTINGS = """\
import os

from psycopg.conninfo import conninfo_to_dict

_said = conninfo_to_dict(os.environ["DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _said["dbname"],
        "USER": _said.get("user"),
        "PASSWORD": _said.get("password", ""),
        "HOST": _said.get("host"),
        "PORT": _said.get("port", ""),
    }
}
INSTALLED_APPS = ["shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
MANAGE = """\
import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""
BOOK = """\
from django.db import models


class Book(models.Model):
    title = models.TextField(null=True)
    published_year = models.IntegerField(null=True)

    class Meta:
        db_table = "books"
"""


def test_django(project: Project) -> None:
    """From models.py to models.py, and Django has nothing to do on any branch."""
    (project.root / "settings.py").write_text(SETTINGS)
    (project.root / "manage.py").write_text(MANAGE)
    shop = project.root / "shop"
    (shop / "migrations").mkdir(parents=True)
    (shop / "__init__.py").touch()
    (shop / "migrations" / "__init__.py").touch()
    (shop / "models.py").write_text(BOOK)
    reader = Reader(project, schema="shop/models.py")
    reader.do("python manage.py makemigrations")
    play(project, reader, "django.md", migrate="python manage.py migrate")
    applied = "SELECT count(*) FROM django_migrations"
    assert [project.sql(branch, applied) for branch in project.urls] == [[(3,)]] * 3


PRISMA = """\
generator client {
  provider = "prisma-client-js"
}

datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model books {
  id             Int  @id
  title          String?
  published_year Int?
}
"""
TABLE = "CREATE TABLE books (id int PRIMARY KEY, title text, published_year int);\n"
# As `prisma migrate dev` has a field under another name.
YEAR = "-- AlterTable\nALTER TABLE books DROP COLUMN published_year,\nADD COLUMN     publication_year INTEGER;\n"
TABLE_OF_PRISMA = """
CREATE TABLE _prisma_migrations (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL, finished_at timestamptz,
  migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz,
  started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count integer NOT NULL DEFAULT 0);
INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name)
  VALUES ('1', '', now(), '20250101000000_init');
"""


def test_prisma(project: Project) -> None:
    """From schema.prisma to schema.prisma, with Prisma's files and rows; its engine cannot be had everywhere."""
    folder = project.root / "prisma" / "migrations"
    (folder / "20250101000000_init").mkdir(parents=True)
    (folder / "20250101000000_init" / "migration.sql").write_text(TABLE)
    (folder.parent / "schema.prisma").write_text(PRISMA)
    for branch in BRANCHES:
        project.sql(branch, TABLE + TABLE_OF_PRISMA + ROWS)
    remember(project)
    (folder / "20250201000000_year").mkdir()
    (folder / "20250201000000_year" / "migration.sql").write_text(YEAR)
    Reader(project, schema="prisma/schema.prisma").follow("prisma.md")
    for file in sorted(folder.glob("*/migration.sql")):
        project.sql("fresh", file.read_text())
    assert [columns(project, branch) for branch in project.urls] == [["id", "publication_year", "title"]] * 3
    for branch in BRANCHES:
        assert project.sql(branch, "SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NOT NULL") == [(3,)]


def test_sql(project: Project) -> None:
    """From one file to three, which run on every branch; psql is done without."""
    folder = project.root / "migrations"
    folder.mkdir()
    (folder / "0001_books.sql").write_text(TABLE)
    for branch in BRANCHES:
        project.sql(branch, TABLE + ROWS)
        project.sql(branch, "CREATE TABLE schema_migrations AS SELECT '0001' AS version")
    remember(project)

    def psql(command: str) -> str:
        _, url, _, file = shlex.split(command)
        branch = next(name for name, each in project.urls.items() if each == url)
        project.sql(branch, (project.root / file).read_text())
        return ""

    Reader(project, instead={"psql": psql}).follow("sql.md")
    assert [columns(project, branch) for branch in project.urls] == [["id", "publication_year", "title"]] * 3
