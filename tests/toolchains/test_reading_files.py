"""Prisma's files, folders of plain SQL, and which tool a project has."""

from pathlib import Path

import pytest
from cli.conftest import MakeProject
from cli.runs import Project

from orchestrator.errors import ConfigurationError
from orchestrator.plan.project import ToolchainSettings
from orchestrator.toolchains import reading
from orchestrator.toolchains.reading import prisma, sql

_PRISMA = {
    "20250101000000_init": 'CREATE TABLE "Book" (\n    "id" SERIAL NOT NULL,\n    "publishedYear" INTEGER NOT NULL,\n'
    '    CONSTRAINT "Book_pkey" PRIMARY KEY ("id")\n);\n',
    # As `prisma migrate dev` has a field under another name.
    "20250201000000_year": "/*\n  Warnings:\n\n  - You are about to drop the column `publishedYear` on the `Book` table; it's lost.\n*/\n"
    '-- AlterTable\nALTER TABLE "Book" DROP COLUMN "publishedYear",\nADD COLUMN     "publicationYear" INTEGER NOT NULL;\n',
}


@pytest.fixture
def offline(make_project: MakeProject) -> Project:
    """A project whose databases do not answer, without a plan."""
    return make_project(
        {name: f"postgresql://127.0.0.1:1/{name}" for name in ("development", "production")}, plan=False
    )


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_prisma_rename_becomes_a_plan(offline: Project) -> None:
    """Prisma drops the old column and adds the new one; with the word of a person it is a rename."""
    write(offline.root, {f"prisma/migrations/{name}/migration.sql": text for name, text in _PRISMA.items()})
    (offline.root / "prisma" / "migrations" / "migration_lock.toml").write_text('provider = "postgresql"\n')
    found = offline.ecm("detect", "--all", "--json")

    assert found.code == 4
    assert [(each["rule"], each["line"]) for each in found.json["findings"]] == [
        ("drop-column", 7), ("add-column-not-null", 7),
    ]  # fmt: skip
    assert {each["likely"]["summary"] for each in found.json["findings"]} == {
        "Book.publishedYear becomes publicationYear"
    }
    assert offline.ecm("detect", "--all", "--write").code == 4
    assert offline.ecm("detect", "--all", "--write", "--renames").code == 0
    assert [path.name for path in (offline.root / "plans").iterdir()] == ["rename-publishedyear.yaml"]
    assert offline.ecm("plan", "validate").code == 0


def test_what_prisma_has_applied(tmp_path: Path) -> None:
    """A run that ended and was not rolled back."""
    write(tmp_path, {f"prisma/migrations/{name}/migration.sql": text for name, text in _PRISMA.items()})
    settings = prisma.find(tmp_path)
    assert settings is not None
    first, second = (each.name for each in prisma.listed(tmp_path, settings))
    done = {"migration_name": first, "finished_at": "2025-01-01", "rolled_back_at": None}

    assert prisma.pending(tmp_path, settings, [done]) == {second}
    assert prisma.pending(tmp_path, settings, [{**done, "finished_at": None}]) == {first, second}
    assert prisma.pending(tmp_path, settings, [{**done, "rolled_back_at": "2025-01-02"}]) == {first, second}


def test_sql_files_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Ways back, whole files or a file's end, are left out."""
    write(
        tmp_path,
        {
            "migrations/V10__ten.sql": "SELECT 10;",
            "migrations/V2__two.sql": "SELECT 2;\n\nSELECT\n  3",
            "migrations/U2__two.sql": "SELECT 'back';",
            "migrations/0001.down.sql": "SELECT 'back';",
            "migrations/x/up.sql": "-- +goose Up\nSELECT 'up';\n-- +goose Down\nSELECT 'back';",
            "migrations/x/down.sql": "SELECT 'back';",
            "migrations/y.sql": "-- migrate:up\nSELECT 'it';\n\n-- migrate:down\nSELECT 'back';",
            "migrations/README.md": "no",
        },
    )
    settings = sql.find(tmp_path)
    assert settings is not None
    found = sql.read(tmp_path, settings)

    assert [each.name for each in found] == ["V2__two", "V10__ten", "x/up", "y"]
    assert [(each.text, each.line) for each in found[0].statements] == [("SELECT 2", 1), ("SELECT\n  3", 3)]
    assert [[each.text for each in migration.statements] for migration in found[2:]] == [
        ["SELECT 'up'"],
        ["SELECT 'it'"],
    ]
    assert sql.pending(tmp_path, settings, [{"version": "2"}, {"name": "x/up"}]) == {"V10__ten", "y"}


@pytest.mark.parametrize(
    ("files", "kind", "folder"),
    [
        ({"drizzle.config.json": '{"out": "./db/out"}'}, "drizzle", "db/out"),
        ({"alembic.ini": "[alembic]\nscript_location = %(here)s/db\n"}, "alembic", "db/versions"),
        ({"manage.py": ""}, "django", None),
        ({"prisma/schema.prisma": ""}, "prisma", "prisma/migrations"),
        ({"migrations/1.sql": ""}, "sql", "migrations"),
        ({"manage.py": "", "migrations/1.sql": ""}, "django", None),
    ],
)
def test_which_tool_a_project_has(tmp_path: Path, files: dict[str, str], kind: str, folder: str | None) -> None:
    """By its files; a folder of SQL counts only where there is nothing else."""
    assert reading.find(tmp_path) is None
    write(tmp_path, files)
    found = reading.find(tmp_path)

    assert found is not None
    assert (found.kind, found.folder) == (kind, folder)


def test_two_tools_are_for_ecm_yaml_to_tell_apart(tmp_path: Path) -> None:
    """What it says counts, and the files tell the rest."""
    write(tmp_path, {"manage.py": "", "drizzle.config.ts": 'export default { out: "./out" }'})
    with pytest.raises(ConfigurationError, match="the files of drizzle and django"):
        reading.find(tmp_path)
    found = reading.find(tmp_path, ToolchainSettings(kind="drizzle"))
    assert found is not None
    assert found.folder == "out"


def test_what_only_psql_reads(tmp_path: Path) -> None:
    """Its commands and the data of COPY are no SQL; the statements beside them keep their lines."""
    text = (
        "\\set ON_ERROR_STOP on\n\\connect shop \\\\ it's\nALTER TABLE t DROP COLUMN a;\n"
        "COPY t (a) FROM stdin;\n1\tit's (\n;\n\\.\nDROP TABLE u;\n"
        "\\copy t from stdin\n'\n\\.\nSELECT 1 \\gset\nDROP TABLE v;\nSELECT 'DROP TABLE w'\\gexec\n"
        "\\i other's.sql\nSELECT E'\\\\n', $$\n\\i not\n$$;\nDROP TABLE x"
    )
    write(tmp_path, {"migrations/1.sql": text})
    found = sql.one(tmp_path, tmp_path / "migrations" / "1.sql").statements

    assert [(each.line, each.text) for each in found if each.text.startswith(("ALTER", "DROP", "\\"))] == [
        (3, "ALTER TABLE t DROP COLUMN a"), (8, "DROP TABLE u"), (13, "DROP TABLE v"), (14, "\\gexec"), (15, "\\i"),
        (19, "DROP TABLE x"),
    ]  # fmt: skip


def test_names_of_files_that_only_sound_like_a_way_back(tmp_path: Path) -> None:
    """A file is a way back where the way there is beside it; what Flyway runs again comes last."""
    names = [
        "V1__tear_down.sql",
        "R__views.sql",
        "V2__a.sql",
        "V2__a_rollback.sql",
        "3_b_up.sql",
        "3_b_down.sql",
        "4.down.sql",
    ]
    write(tmp_path, {f"migrations/{name}": "SELECT 1;" for name in names})

    found = sql.listed(tmp_path, ToolchainSettings(kind="sql", folder="migrations"))
    assert [each.path.name for each in found] == ["3_b_up.sql", "V1__tear_down.sql", "V2__a.sql", "R__views.sql"]


def test_psql_commands_that_run_something_else_are_told(offline: Project) -> None:
    """What another file holds, ecm does not read."""
    write(offline.root, {"migrations/1.sql": "\\ir other.sql\nALTER TABLE t DROP COLUMN a;\n"})
    found = offline.ecm("detect", "--all", "--json")

    assert found.code == 4
    assert [(each["rule"], each["line"]) for each in found.json["findings"]] == [("not-read", 1), ("drop-column", 2)]
