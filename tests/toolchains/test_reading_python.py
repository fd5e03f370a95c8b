"""What the real Alembic and the real Django write, as ecm reads it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import MakeProject
from cli.runs import Project

from orchestrator.errors import ConfigurationError
from orchestrator.plan.project import ToolchainSettings
from orchestrator.toolchains.reading import alembic, django

ENV = """\
from alembic import context
from sqlalchemy import create_engine

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""
HEAD = """\
\"\"\"A revision.\"\"\"
import sqlalchemy as sa
from alembic import op

revision: str = "{name}"
down_revision = {down!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
{body}
"""
FIRST = '    op.create_table("books", sa.Column("id", sa.Integer, primary_key=True), sa.Column("published_year", sa.Integer))'
RENAME = '    op.alter_column("books", "published_year", new_column_name="publication_year")'
# As `alembic revision --autogenerate` has it, which knows no renames.
AGAIN = (
    '    op.add_column("books", sa.Column("title", sa.String(), nullable=True))\n'
    '    op.add_column("books", sa.Column("year", sa.Integer(), nullable=True))\n'
    '    op.drop_column("books", "publication_year")'
)


def revise(root: Path, name: str, down: Any, body: str) -> None:
    path = root / "db" / "versions" / f"{name}_revision.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD.format(name=name, down=down, body=body))


@pytest.fixture
def revised(make_project: MakeProject, databases: Any) -> Project:
    """A project with three revisions; their files' names are not in their order."""
    project = make_project(databases("development", "production"), plan=False)
    (project.root / "alembic.ini").write_text(
        f"[alembic]\nscript_location = %(here)s/db\nsqlalchemy.url = {_url(project)}\n"
    )
    (project.root / "db").mkdir()
    (project.root / "db" / "env.py").write_text(ENV)
    revise(project.root, "f1", None, FIRST)
    revise(project.root, "c2", "f1", RENAME)
    revise(project.root, "a3", "c2", AGAIN)
    config = project.root / "ecm.yaml"
    config.write_text(config.read_text() + f"toolchain: {{kind: alembic, command: [{sys.executable}, -m, alembic]}}\n")
    return project


def _url(project: Project) -> str:
    return project.urls["development"].replace("postgresql://", "postgresql+psycopg://").replace("%", "%%")


def _settings(kind: Any, *command: str, **more: Any) -> ToolchainSettings:
    return ToolchainSettings(kind=kind, command=(sys.executable, *command), **more)


def test_revisions_in_the_order_of_their_chain(revised: Project) -> None:
    """With the SQL that Alembic writes, without that of its own table."""
    found = alembic.find(revised.root)
    assert found is not None
    assert found.folder == "db/versions"
    settings = _settings("alembic", "-m", "alembic", folder=found.folder)
    first, second, third = alembic.read(revised.root, settings)

    assert [each.name for each in (first, second, third)] == ["f1", "c2", "a3"]
    assert second.path == Path("db/versions/c2_revision.py")
    assert [each.text for each in second.statements] == ["ALTER TABLE books RENAME published_year TO publication_year"]
    assert second.statements[0].line is None
    assert len(third.statements) == 3
    (only,) = alembic.read(revised.root, settings, only=lambda each: each.name == "a3")
    assert only == third


def test_an_alembic_rename_becomes_a_plan(revised: Project) -> None:
    """Whether it is one, or a column that goes and one like it that comes."""
    found = revised.ecm("detect", "--all", "--json")

    assert found.code == 4, found.out + found.err
    assert [(each["migration"], each["rule"]) for each in found.json["findings"]] == [
        ("c2", "rename-column"), ("a3", "drop-column"),
    ]  # fmt: skip
    assert found.json["findings"][1]["likely"]["summary"] == "books.publication_year becomes year"
    assert revised.ecm("detect", "--all", "--write", "--renames").code == 0
    assert revised.ecm("plan", "validate").code == 0


def test_what_alembic_has_applied(revised: Project) -> None:
    """The branch is at a revision; what is after it is to come. A rename that is detected runs as a plan."""
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "f1"], cwd=revised.root, check=True, capture_output=True
    )
    found = revised.ecm("detect", "--json")

    assert [each["name"] for each in found.json["migrations"]] == ["c2", "a3"]
    assert revised.ecm("detect", "db/versions/c2_revision.py", "--write").code == 0
    ran = revised.ecm("advance", "rename-published-year", "--branch", "development", "--to", "contracted")
    assert ran.code == 0, ran.err
    assert revised.sql("development", "SELECT publication_year FROM books") == []


def test_revisions_that_part_and_join(tmp_path: Path) -> None:
    """Each comes after those that it follows, and one that joins two is not begun before either."""
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = db\n")
    for name, down in (("d", ("b", "c")), ("a", None), ("c", "a"), ("b", "a")):
        revise(tmp_path, name, down, "    pass")
    settings = ToolchainSettings(kind="alembic", folder="db/versions")
    names = [each.name for each in alembic.listed(tmp_path, settings)]

    assert names[0] == "a"
    assert names[-1] == "d"
    assert alembic.pending(tmp_path, settings, [{"version_num": "c"}]) == {"b", "d"}


def test_a_command_that_fails_says_so(revised: Project) -> None:
    """With its last words and what to do; within its time."""
    revise(revised.root, "b4", "a3", "    raise RuntimeError('no database here')")
    settings = _settings("alembic", "-m", "alembic")
    with pytest.raises(ConfigurationError, match="failed") as caught:
        alembic.read(revised.root, settings)
    assert "no database here" in caught.value.details[-1]
    assert "command: […]" in (caught.value.hint or "")
    slow = _settings("alembic", "-c", "import time; time.sleep(30)", timeout="1s")
    with pytest.raises(ConfigurationError, match="more than 1 s"):
        alembic.read(revised.root, slow)
    with pytest.raises(ConfigurationError, match="cannot be run: No such file"):
        alembic.read(revised.root, ToolchainSettings(kind="alembic", command=("no-such-command",)))


# ---------------------------------------------------------------- Django

MODELS = """\
from django.db import models


class Author(models.Model):
    name = models.TextField()


class Book(models.Model):
    title = models.CharField(max_length=50)
    published_year = models.IntegerField(null=True)
"""
LATER = """\
from django.db import migrations, models
import django.db.models.deletion


class Migration(migrations.Migration):
    dependencies = [("library", "0001_initial")]
    operations = [
        migrations.RenameField("book", "published_year", "publication_year"),
        migrations.AddField("book", "pages", models.IntegerField(default=7)),
    ]
"""
PAIR = """\
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("library", "0002_year")]
    operations = [
        migrations.RemoveField("book", "title"),
        migrations.AddField("book", "heading", models.CharField(max_length=50, null=True)),
    ]
"""


@pytest.fixture
def site(make_project: MakeProject, databases: Any) -> Project:
    """A Django project with an application whose label is not its folder's name."""
    project = make_project(databases("development", "production"), plan=False)
    address = project.urls["development"]
    (project.root / "settings.py").write_text(
        "from psycopg.conninfo import conninfo_to_dict\n"
        f"_said = conninfo_to_dict({address!r})\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': _said.get('dbname'),\n"
        "  'USER': _said.get('user'), 'PASSWORD': _said.get('password', ''), 'HOST': _said.get('host'),\n"
        "  'PORT': _said.get('port', '')}}\n"
        "INSTALLED_APPS = ['books.apps.BooksConfig']\nDEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
    )
    (project.root / "manage.py").write_text(
        "import os, sys\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\n"
        "from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n"
    )
    app = project.root / "books"
    (app / "migrations").mkdir(parents=True)
    (app / "__init__.py").touch()
    (app / "migrations" / "__init__.py").touch()
    (app / "apps.py").write_text(
        "from django.apps import AppConfig\n\n\nclass BooksConfig(AppConfig):\n    name = 'books'\n    label = 'library'\n"
    )
    (app / "models.py").write_text(MODELS)
    _manage(project, "makemigrations")
    _manage(project, "migrate")
    (app / "migrations" / "0002_year.py").write_text(LATER)
    (app / "migrations" / "0003_heading.py").write_text(PAIR)
    config = project.root / "ecm.yaml"
    config.write_text(config.read_text() + f"toolchain: {{kind: django, command: [{sys.executable}, manage.py]}}\n")
    return project


def _manage(project: Project, *arguments: str) -> None:
    ran = subprocess.run([sys.executable, "manage.py", *arguments], cwd=project.root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_a_django_rename_becomes_a_plan(site: Project) -> None:
    """Django's rows say what is to come; its SQL, what that does; a default that only the migration has is seen too."""
    found = site.ecm("detect", "--json")

    assert found.code == 4, found.out + found.err
    assert [each["name"] for each in found.json["migrations"]] == ["library.0002_year", "library.0003_heading"]
    by_rule = {each["rule"]: each for each in found.json["findings"]}
    assert by_rule.keys() == {"rename-column", "drop-default", "drop-column"}
    assert by_rule["rename-column"]["path"] == "books/migrations/0002_year.py"
    assert by_rule["rename-column"]["change"]["fields"] == {
        "table": "library_book", "column": "published_year", "to": "publication_year",
    }  # fmt: skip
    assert by_rule["drop-default"]["change"]["fields"]["using"] == "7"
    assert by_rule["drop-column"]["likely"]["summary"] == "library_book.title becomes heading"
    assert site.ecm("detect", "--write", "--renames").code == 0
    assert site.ecm("plan", "validate").code == 0
    assert site.ecm("detect", "books/migrations/0002_year.py").code == 0


def test_django_says_what_runs_outside_of_a_transaction(site: Project) -> None:
    """By `atomic`, which its SQL shows as BEGIN and COMMIT."""
    path = site.root / "books" / "migrations" / "0002_year.py"
    path.write_text(LATER.replace("    dependencies", "    atomic = False\n    dependencies"))
    _, second, third = django.read(site.root, _settings("django", "manage.py"))

    assert (second.transactional, third.transactional) == (False, True)


def test_a_revision_that_joins_two_and_does_something(revised: Project) -> None:
    """What it does is read like any other's; one that does nothing costs no run."""
    revise(revised.root, "b3", "c2", "    pass")
    revise(revised.root, "m4", ("a3", "b3"), '    op.drop_table("books")')
    revise(revised.root, "n5", "m4", '    op.execute("ALTER TABLE shelves DROP COLUMN version_num")')
    found = revised.ecm("detect", "--all", "--json")

    assert [(each["migration"], each["rule"]) for each in found.json["findings"]] == [
        ("c2", "rename-column"), ("a3", "drop-column"), ("m4", "drop-table"), ("n5", "drop-column"),
    ]  # fmt: skip
    assert found.json["findings"][-1]["subject"] == "shelves.version_num"


def test_revisions_in_several_folders(revised: Project) -> None:
    """Alembic runs those of all its version_locations, and so all are read."""
    config = revised.root / "alembic.ini"
    lines = "version_locations = %(here)s/db/versions:%(here)s/shop/versions\npath_separator = :\n"
    config.write_text(config.read_text() + lines)
    revise(revised.root, "d4", "a3", '    op.drop_column("books", "title")')
    (revised.root / "shop" / "versions").mkdir(parents=True)
    (revised.root / "db" / "versions" / "d4_revision.py").rename(revised.root / "shop" / "versions" / "d4.py")
    found = revised.ecm("detect", "shop/versions/d4.py", "--json")

    assert [(each["path"], each["rule"]) for each in found.json["findings"]] == [("shop/versions/d4.py", "drop-column")]
    assert [each["name"] for each in revised.ecm("detect", "--all", "--json").json["migrations"]][-1] == "d4"


def test_a_folder_that_is_not_there_is_not_passed_over(revised: Project) -> None:
    """A check that looks in the wrong place would be green for ever."""
    (revised.root / "alembic.ini").write_text("[alembic]\nscript_location = shop:migrations\n")
    assert "no folder shop:migrations/versions" in revised.ecm("detect", "--all").err
    config = revised.root / "ecm.yaml"
    config.write_text(config.read_text().partition("toolchain:")[0] + "toolchain: {kind: sql, folder: no/such}\n")
    assert "no folder no/such" in revised.ecm("detect", "--all").err
    assert revised.ecm("detect", "--all").code == 1
