"""Beside the real Alembic and Django: what ecm emitted is applied to them once ecm has done it."""

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from cli.conftest import MakeProject
from cli.runs import Project, said

PLAN = "rename-published-year"
_PLAN = """\
plan: rename-published-year
description: "12:30 and 100% of it"
changes:
  - {kind: rename_column, table: books, column: published_year, to: publication_year}
  - {kind: change_type, table: books, column: pages, type: bigint, using: "pages::bigint + 0 * length(':a 100%s::b')"}
  - {kind: set_not_null, table: books, column: title, using: "'a: 100%'"}
"""
BRANCHES = ("development", "production")
DESCRIBED = (
    "SELECT column_name, data_type, column_default, is_nullable FROM information_schema.columns"
    " WHERE table_name = 'books' ORDER BY 1"
)
ROWS = (
    "INSERT INTO books (id, title, published_year, pages)"
    " SELECT n, 'book ' || n, 1900 + n, n FROM generate_series(1, 20) n"
)


@pytest.fixture
def project(make_project: MakeProject, databases: Any) -> Project:
    made = make_project(databases(*BRANCHES, "fresh"), plan=False)
    (made.root / "ecm.yaml").write_text(
        "project: bookstore\nbranches:\n  development: {}\n  production: {requires: [development]}\n"
    )
    (made.root / "plans" / f"{PLAN}.yaml").write_text(_PLAN)
    return made


def ecm(project: Project, *arguments: str) -> str:
    done = project.ecm(*arguments, DATABASE_URL=project.urls["development"])
    assert done.code == 0, done.err + done.out
    return done.out


_ENV = """\
import os
from alembic import context
from sqlalchemy import create_engine, pool

url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
_ENUM = (
    "CREATE TYPE state AS ENUM ('draft', 'kept', 'gone'); ALTER TABLE books ADD state state DEFAULT 'draft', ADD was"
    " state[]; CREATE INDEX books_draft ON books (pages) WHERE state = 'draft';"
    " ALTER TABLE books ADD CONSTRAINT books_kept CHECK (state <> 'kept' OR pages > 0)"
)
_ALL_DESCRIBED = (
    "SELECT table_name || '.' || column_name AS name, concat_ws(', ', data_type, column_default, is_nullable)"
    " FROM information_schema.columns WHERE table_schema = 'public'"
    " UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace"
    " UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    " UNION ALL SELECT typname, enum_range(NULL::state)::text FROM pg_type WHERE typname = 'state' ORDER BY 1, 2"
)
_FIRST = f"""\
\"\"\"books\"\"\"
from alembic import op

revision = "a1"
down_revision = None


def upgrade():
    op.execute("CREATE TABLE books (id int PRIMARY KEY, title text, published_year int DEFAULT 2000, pages int)")
    op.execute(\"\"\"{_ENUM}\"\"\")
    op.execute("ALTER TABLE books ADD publisher text")


def downgrade():
    op.execute("DROP TABLE books")
"""


def _alembic(project: Project, *words: str, branch: str, fails: bool = False) -> str:
    """Run alembic on a branch; return what it said."""
    done = project.tool("alembic", *words, DATABASE_URL=project.urls[branch])
    assert (done.code != 0) == fails, done.out + done.err
    return done.out + done.err


def _versions(project: Project) -> set[str]:
    return {name for (name,) in project.sql("development", "SELECT version_num FROM alembic_version")}


def test_alembic(project: Project) -> None:
    """Its version moves with ecm's phases, forward and back; upgrade finds nothing to do, and builds a fresh database."""
    alembic = partial(_alembic, project)

    def version(branch: str) -> str:
        return project.sql(branch, "SELECT version_num FROM alembic_version")[0][0]

    alembic("init", "migrations", branch="development")
    (project.root / "migrations" / "env.py").write_text(_ENV)
    (project.root / "migrations" / "versions" / "a1_books.py").write_text(_FIRST)
    for branch in BRANCHES:
        alembic("upgrade", "head", branch=branch)
        project.sql(branch, ROWS)
    assert "one that SQLAlchemy makes up" in said(ecm(project, "emit", PLAN, "--as", "alembic"))
    (expand,) = (project.root / "migrations" / "versions").glob("*_expand.py")
    (contract,) = (project.root / "migrations" / "versions").glob("*_contract.py")
    expanded, contracted = expand.name.partition("_")[0], contract.name.partition("_")[0]
    assert "ecm has not done expand" in alembic("upgrade", expanded, branch="development", fails=True)

    ecm(project, "advance", PLAN, "--branch", "development")
    assert version("development") == expanded
    ecm(project, "rollback", PLAN, "--branch", "development")
    assert version("development") == "a1"
    for branch in BRANCHES:
        ecm(project, "advance", PLAN, "--branch", branch, "--to", "reads_migrated")
        assert version(branch) == expanded
        assert "ecm has not done contract" in alembic("upgrade", "head", branch=branch, fails=True)
    for branch in BRANCHES:
        ecm(project, "advance", PLAN, "--branch", branch, "--to", "contracted")
        assert version(branch) == contracted
        assert "Running upgrade" not in alembic("upgrade", "head", branch=branch)

    alembic("upgrade", "head", branch="fresh")
    assert project.sql("fresh", DESCRIBED) == project.sql("production", DESCRIBED)
    assert "Running upgrade" not in alembic("upgrade", "head", branch="fresh")

    for name in ("labels", "publishers"):
        (project.root / "plans" / f"{name}.yaml").write_text(f"plan: {name}\nchanges:\n  - {_KINDS[name]}\n")
        ecm(project, "emit", name, "--as", "alembic")
        ecm(project, "advance", name, "--branch", "development", "--to", "contracted")
    alembic("upgrade", "head", branch="fresh")
    assert project.sql("fresh", _ALL_DESCRIBED) == project.sql("development", _ALL_DESCRIBED)
    contracted = version("development")

    (project.root / "plans" / "other.yaml").write_text(
        "plan: other\nchanges: [{kind: drop_column, table: books, column: pages}]\n"
    )
    ecm(project, "emit", "other", "--as", "alembic")
    alembic("upgrade", expanded, branch="fresh")
    project.sql("development", f"UPDATE alembic_version SET version_num = '{expanded}'")
    refused = project.ecm("advance", "other", "--branch", "development", "--to", "contracted", "--json")
    assert (refused.code, refused.json["error"]["hint"]) == (
        4,
        f"alembic upgrade {contracted}, then run the same command again",
    )
    alembic("revision", "-m", "beside it", "--head", "a1", "--splice", branch="production")
    (project.root / "plans" / "another.yaml").write_text(
        "plan: another\nchanges: [{kind: drop_column, table: books, column: title}]\n"
    )
    refused = project.ecm("emit", "another", "--as", "alembic", "--json")
    assert "several heads" in refused.json["error"]["message"]


def test_beside_a_revision_of_somebody_else(project: Project) -> None:
    """Where a colleague's revision follows the same one, a database has both, as Alembic counts them; and back."""
    alembic = partial(_alembic, project, branch="development")
    alembic("init", "migrations")
    (project.root / "migrations" / "env.py").write_text(_ENV)
    folder = project.root / "migrations" / "versions"
    (folder / "a1_books.py").write_text(_FIRST)
    alembic("upgrade", "head")
    project.sql("development", ROWS)
    ecm(project, "emit", PLAN, "--as", "alembic", "--part", "expand")
    (emitted,) = (path.name.partition("_")[0] for path in folder.glob("*_expand.py"))
    alembic("revision", "-m", "beside it", "--rev-id", "b1", "--head", "a1", "--splice")
    alembic("upgrade", "b1")
    ecm(project, "advance", PLAN, "--branch", "development")
    assert _versions(project) == {emitted, "b1"}
    ecm(project, "rollback", PLAN, "--branch", "development")
    assert _versions(project) == {"b1"}
    ecm(project, "advance", PLAN, "--branch", "development")
    alembic("merge", "heads", "-m", "both", "--rev-id", "m1")
    alembic("upgrade", "head")
    assert _versions(project) == {"m1"}
    ecm(project, "rollback", PLAN, "--branch", "development")
    assert _versions(project) == {"m1"}


def test_beside_a_branch_that_depends_on_the_one_before(project: Project) -> None:
    """Alembic counts what a revision depends on as applied with it, and has no row of it then."""
    alembic = partial(_alembic, project, branch="development")
    alembic("init", "migrations")
    (project.root / "migrations" / "env.py").write_text(_ENV)
    template, folder = project.root / "migrations" / "script.py.mako", project.root / "migrations" / "versions"
    template.write_text(template.read_text().partition("def downgrade")[0])
    (folder / "a1_books.py").write_text(_FIRST)
    alembic("upgrade", "head")
    ecm(project, "emit", PLAN, "--as", "alembic", "--part", "expand")
    (emitted,) = (path.name.partition("_")[0] for path in folder.glob("*_expand.py"))
    (folder / "b1_others.py").write_text(
        'revision = "b1"\ndown_revision = None\ndepends_on = "a1"\n\n\ndef upgrade():\n    pass\n'
    )
    alembic("upgrade", "b1")
    assert _versions(project) == {"b1"}
    pending = json.loads(ecm(project, "detect", "--json"))
    assert [each["name"] for each in pending["migrations"]] == [emitted]
    ecm(project, "advance", PLAN, "--branch", "development")
    assert _versions(project) == {emitted, "b1"}
    alembic("upgrade", "heads")
    ecm(project, "rollback", PLAN, "--branch", "development")
    assert _versions(project) == {"b1"}


def test_a_row_that_a_later_one_stands_on(project: Project) -> None:
    """It stays at a rollback: Django refuses a history in which a migration comes before one that it needs."""
    project.sql("development", "CREATE TABLE books (title text, published_year int, pages int)")
    project.sql(
        "development",
        "CREATE TABLE django_migrations (id bigint GENERATED BY DEFAULT AS IDENTITY, app text, name text, applied timestamptz)",
    )
    folder = project.root / "shop" / "migrations"
    folder.mkdir(parents=True)
    (project.root / "manage.py").touch()
    text = "class Migration:\n    dependencies = [{}]\n"
    (folder / "0001_year.py").write_text(f"# ecm: {PLAN} expand sha256:0\n{text.format('')}")
    ecm(project, "advance", PLAN, "--branch", "development")
    (folder / "0002_more.py").write_text(text.format('("shop", "0001_year")'))
    project.sql("development", "INSERT INTO django_migrations (app, name) VALUES ('shop', '0002_more')")
    told = said(ecm(project, "rollback", PLAN, "--branch", "development"))
    assert "django goes on counting shop.0001_year as applied: it has shop.0002_more" in told
    assert project.sql("development", "SELECT name FROM django_migrations ORDER BY id") == [
        ("0001_year",),
        ("0002_more",),
    ]


_SETTINGS = """\
import os
from urllib.parse import urlsplit

found = urlsplit(os.environ["DATABASE_URL"])
SECRET_KEY = "for a test"
INSTALLED_APPS = ["shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": found.path[1:],
        "USER": found.username,
        "PASSWORD": found.password,
        "HOST": found.hostname,
        "PORT": found.port,
    }
}
"""
_MANAGE = """\
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
_MODELS = """\
from django.db import models


class Book(models.Model):
    title = models.TextField({title})
{year}
    pages = models.{pages}(null=True)

    class Meta:
        db_table = "books"
        indexes = [models.Index(fields=["pages", "-{named}"], name="books_by_year")]
"""
_OLD = "    published_year = models.IntegerField(null=True, db_index=True)"
_NEW = "    publication_year = models.IntegerField(null=True{})"
BEFORE = _MODELS.format(title="null=True", year=_OLD, pages="IntegerField", named="published_year")
EXPANDED = _MODELS.format(
    title="null=True", year=f"{_OLD}\n{_NEW.format('')}", pages="IntegerField", named="published_year"
)
AFTER = _MODELS.format(title="", year=_NEW.format(", db_index=True"), pages="BigIntegerField", named="publication_year")


def _manage(project: Project, models: str) -> Callable[..., str]:
    """Make a project of Django's with an application and its first migration; return what runs manage.py."""

    def manage(*words: str, branch: str = "development", fails: bool = False) -> str:
        done = project.tool("manage.py", *words, DATABASE_URL=project.urls[branch])
        assert (done.code != 0) == fails, done.out + done.err
        return done.out + done.err

    with (project.root / "ecm.yaml").open("a") as file:
        file.write(f"toolchain: {{kind: django, command: [{sys.executable}, manage.py]}}\n")
    shop = project.root / "shop"
    (shop / "migrations").mkdir(parents=True)
    (shop / "__init__.py").touch()
    (shop / "migrations" / "__init__.py").touch()
    (project.root / "settings.py").write_text(_SETTINGS)
    (project.root / "manage.py").write_text(_MANAGE)
    (shop / "models.py").write_text(models)
    manage("makemigrations", "shop")
    return manage


def test_django(project: Project) -> None:
    """Its rows come and go with ecm's phases; makemigrations --check is clean, and migrate builds a fresh database."""

    def applied(branch: str) -> list[str]:
        return [
            row[0] for row in project.sql(branch, "SELECT name FROM django_migrations WHERE app = 'shop' ORDER BY id")
        ]

    shop, manage = project.root / "shop", _manage(project, BEFORE)
    for branch in BRANCHES:
        manage("migrate", branch=branch)
        project.sql(branch, ROWS)
    ecm(project, "emit", PLAN, "--as", "django", "--part", "expand")
    (shop / "models.py").write_text(EXPANDED)
    assert "No changes detected" in manage("makemigrations", "--check")
    assert "ecm has not done expand" in manage("migrate", branch="production", fails=True)
    for branch in BRANCHES:
        ecm(project, "advance", PLAN, "--branch", branch, "--to", "reads_migrated")
        assert applied(branch) == ["0001_initial", "0002_rename_published_year_expand"]
        assert "No migrations to apply" in manage("migrate", branch=branch)
    ecm(project, "emit", PLAN, "--as", "django", "--part", "contract")
    (shop / "models.py").write_text(AFTER)
    assert "No changes detected" in manage("makemigrations", "--check")
    for branch in BRANCHES:
        ecm(project, "advance", PLAN, "--branch", branch, "--to", "contracted")
        assert len(applied(branch)) == 3
        assert "No migrations to apply" in manage("migrate", branch=branch)
    manage("migrate", branch="fresh")
    assert project.sql("fresh", DESCRIBED) == project.sql("production", DESCRIBED)


def test_a_squashed_migration_and_another_application_in_django(project: Project) -> None:
    """Rows of what was squashed count for what is in their place; what a key points to is made first."""
    manage = _manage(project, BEFORE)
    people = project.root / "writers" / "migrations"
    people.mkdir(parents=True)
    for package in (people.parent, people):
        (package / "__init__.py").touch()
    (people.parent / "models.py").write_text(_WRITERS)
    settings = project.root / "settings.py"
    settings.write_text(settings.read_text().replace('["shop"]', '["shop", "writers"]'))
    (project.root / "shop" / "models.py").write_text(
        BEFORE.replace("    pages", "    x = models.TextField(null=True)\n    pages")
    )
    manage("makemigrations", "shop", "writers", "--name", "more")
    manage("migrate")
    manage("squashmigrations", "--noinput", "shop", "0002")
    assert json.loads(ecm(project, "detect", "--json"))["migrations"] == []

    (project.root / "plans" / "writer.yaml").write_text(
        "plan: writer\nchanges: [{kind: add_column, table: books, column: writer_id, type: bigint,"
        " references: {table: writers}}]\n"
    )
    ecm(project, "emit", "writer", "--as", "django")
    ecm(project, "advance", "writer", "--branch", "development", "--to", "contracted")
    assert "No migrations to apply" in manage("migrate")
    manage("migrate", branch="fresh")
    assert project.sql("fresh", DESCRIBED) == project.sql("development", DESCRIBED)


_WRITERS = """\
from django.db import models


class Writer(models.Model):
    class Meta:
        db_table = "writers"
"""
_KINDS = {
    "unique-title": "{kind: add_unique, table: books, name: books_title_key, columns: [title, publication_year]}",
    "checked": '{kind: add_check, table: books, name: books_pages_check, check: "pages % 1000 <> 7"}',
    "author": "{kind: add_foreign_key, table: books, name: books_author_fkey, columns: [author_id],"
    " references: {table: authors, columns: [id]}}",
    "agent": "{kind: add_column, table: books, column: agent_id, type: bigint, unique: true,"
    " references: {table: authors}}",
    "labels": "{kind: change_enum, type: state, rename: {draft: printed}, remove: {gone: kept}}",
    "publishers": "{kind: extract_table, table: books, columns: [publisher], into: {table: publishers, key: id},"
    " reference: publisher_id, index: true}",
}
_REFUSED = {
    "two": (
        "{kind: add_foreign_key, table: books, name: two, columns: [pages, author_id],"
        " references: {table: authors, columns: [id, id]}}",
        "points by several columns",
    ),
    "narrow": (
        "{kind: add_foreign_key, table: books, name: narrow, columns: [publication_year],"
        " references: {table: authors, columns: [id]}}",
        "is integer, and a ForeignKey to shop.Author would be bigint",
    ),
    "elsewhere": (
        "{kind: add_foreign_key, table: books, name: elsewhere, columns: [author_id],"
        " references: {table: publishers, columns: [id]}}",
        "does not point to shop.Publishers",
    ),
    "own-words": ("{kind: sql, contract: SELECT 1}", "cannot be written into the records of django"),
}
_ALL = """\
from django.db import models
from django.db.models.expressions import RawSQL


class Author(models.Model):
    class Meta:
        db_table = "authors"


class Publishers(models.Model):
    publisher = models.CharField(max_length=80, null=True)

    class Meta:
        db_table = "publishers"
        constraints = [models.UniqueConstraint(fields=["publisher"], name="publishers_publisher_key")]


class Book(models.Model):
    title = models.TextField()
    publication_year = models.IntegerField(null=True, db_index=True)
    pages = models.BigIntegerField(null=True)
    author = models.ForeignKey(Author, null=True, db_index=False, on_delete=models.DO_NOTHING)
    agent = models.ForeignKey(Author, null=True, db_index=False, on_delete=models.DO_NOTHING, related_name="+")
    publisher_ref = models.ForeignKey(Publishers, null=True, on_delete=models.DO_NOTHING, db_column="publisher_id")

    class Meta:
        db_table = "books"
        constraints = [
            models.UniqueConstraint(fields=["title", "publication_year"], name="books_title_key"),
            models.CheckConstraint(
                condition=RawSQL("pages %% 1000 <> 7", [], models.BooleanField()), name="books_pages_check"
            ),
            models.UniqueConstraint(fields=["agent"], name="books_agent_id_key"),
        ]
"""
_BEGUN = """\
from django.db import models


class Author(models.Model):
    class Meta:
        db_table = "authors"


class Book(models.Model):
    title = models.TextField()
    publication_year = models.IntegerField(null=True, db_index=True)
    pages = models.BigIntegerField(null=True)
    author_id = models.BigIntegerField(null=True)
    publisher = models.CharField(max_length=80, null=True)

    class Meta:
        db_table = "books"
        indexes = [models.Index(fields=["publisher"], name="books_publisher")]
"""


def test_constraints_labels_and_a_table_in_django(project: Project) -> None:
    """The state of Django's models tells of all that a model can say, and migrate comes to what ecm comes to."""
    manage = _manage(project, _BEGUN)
    for branch in ("development", "fresh"):
        manage("migrate", branch=branch)
        project.sql(branch, _ENUM)
    for name, change in _KINDS.items():
        (project.root / "plans" / f"{name}.yaml").write_text(f"plan: {name}\nchanges:\n  - {change}\n")
        ecm(project, "emit", name, "--as", "django")
    (project.root / "shop" / "models.py").write_text(_ALL)
    assert "No changes detected" in manage("makemigrations", "--check")
    manage("migrate", branch="fresh")
    for name in _KINDS:
        ecm(project, "advance", name, "--branch", "development", "--to", "contracted")
    assert "No migrations to apply" in manage("migrate", branch="development")
    assert project.sql("fresh", _ALL_DESCRIBED) == project.sql("development", _ALL_DESCRIBED)

    for name, (change, why) in _REFUSED.items():
        (project.root / "plans" / f"{name}.yaml").write_text(f"plan: {name}\nchanges:\n  - {change}\n")
        refused = project.ecm("emit", name, "--as", "django", "--json", DATABASE_URL=project.urls["development"])
        assert why in refused.json["error"]["message"]
        assert "ecm emit --as sql" in refused.json["error"]["hint"]
