"""Prisma: a folder for each migration, with a file migration.sql."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.plan.project import ToolchainSettings
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains.reading.files import shown, sql_file
from orchestrator.toolchains.toolchain import Migration

_FOLDER = "prisma/migrations"


def find(root: Path) -> ToolchainSettings | None:
    """Return the settings where there is prisma/migrations, or a schema of Prisma's."""
    there = (root / _FOLDER).is_dir() or (root / "prisma" / "schema.prisma").is_file()
    return ToolchainSettings(kind="prisma", folder=_FOLDER) if there else None


def listed(root: Path, settings: ToolchainSettings) -> tuple[Migration, ...]:
    """Return the migrations in the order of their names, which begin with their time."""
    files = sorted((root / (settings.folder or _FOLDER)).glob("*/migration.sql"), key=lambda path: path.parent.name)
    return tuple(Migration(name=path.parent.name, path=Path(shown(root, path)), statements=()) for path in files)


def read(
    root: Path, settings: ToolchainSettings, *, only: Callable[[Migration], bool] | None = None
) -> tuple[Migration, ...]:
    """Return migrations, oldest first: all, or only some of them.

    Prisma sends a file as one string, which PostgreSQL runs in one transaction where it holds several statements.
    """
    found: list[Migration] = []
    for each in listed(root, settings):
        if only is None or only(each):
            statements = sql_file(root, root / each.path)
            found.append(replace(each, statements=statements, transactional=len(statements) > 1))
    return tuple(found)


def table(_root: Path, settings: ToolchainSettings) -> TableName | None:
    """Return where Prisma keeps what was applied."""
    return TableName.parse(settings.table or "_prisma_migrations")


def pending(root: Path, settings: ToolchainSettings, rows: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the migrations without a row of a run that ended and was not rolled back."""
    done = {
        str(row["migration_name"])
        for row in rows
        if row.get("finished_at") is not None and row.get("rolled_back_at") is None
    }
    return frozenset(each.name for each in listed(root, settings)) - done
