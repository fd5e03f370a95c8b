"""Plain SQL: a folder of .sql files, run in the order of their names by whatever the team runs them with."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.plan.project import ToolchainSettings
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains.reading.files import natural, shown, statements_of
from orchestrator.toolchains.reading.psql import without_psql
from orchestrator.toolchains.toolchain import Migration
from orchestrator.workspace import read_text

_FOLDER = "migrations"
_DOWN = re.compile(r"(^|\.)(down|undo|rollback)\.sql$|^U\d[^/]*\.sql$", re.IGNORECASE)
"""The files of a way back: `0002.down.sql`, `down.sql`, Flyway's `U2__name.sql`."""
_PERHAPS = re.compile(r"[_-](down|undo|rollback)\.sql$", re.IGNORECASE)
"""One where the way there is beside it: `0002_name_down.sql` and `0002_name_up.sql`, or `0002_name.sql`."""
_AGAIN = re.compile(r"R__", re.IGNORECASE)
"""How the name of a file begins that Flyway runs after all others, and again whenever it changes."""
_BACK = re.compile(r"^\s*--\s*(?:\+goose\s+Down|migrate:down)\b", re.IGNORECASE | re.MULTILINE)
"""Where in a file the way back begins, as goose and dbmate have it."""


def find(root: Path) -> ToolchainSettings | None:
    """Return the settings where there is a folder `migrations` with .sql files."""
    there = any((root / _FOLDER).rglob("*.sql"))
    return ToolchainSettings(kind="sql", folder=_FOLDER) if there else None


def listed(root: Path, settings: ToolchainSettings) -> tuple[Migration, ...]:
    """Return the files in the order of their names, numbers in them as numbers; without those of a way back."""
    folder = root / (settings.folder or _FOLDER)
    files = [path for path in folder.rglob("*.sql") if not _is_back(path)]
    ordered = sorted(files, key=lambda path: _place(path, folder))
    return tuple(
        Migration(
            name=path.relative_to(folder).with_suffix("").as_posix(),
            path=Path(shown(root, path)),
            statements=(),
            transactional=False,
        )
        for path in ordered
    )


def _is_back(path: Path) -> bool:
    """Whether a file is a way back."""
    perhaps = _PERHAPS.search(path.name)
    there = [f"{path.name[: perhaps.start()]}{ending}.sql" for ending in ("", "_up", "-up")] if perhaps else []
    return _DOWN.search(path.name) is not None or any(path.with_name(name).is_file() for name in there)


def _place(path: Path, folder: Path) -> tuple[Any, ...]:
    return _AGAIN.match(path.name) is not None, natural(path.relative_to(folder).as_posix())


def read(
    root: Path, settings: ToolchainSettings, *, only: Callable[[Migration], bool] | None = None
) -> tuple[Migration, ...]:
    """Return migrations, oldest first: all, or only some of them."""
    return tuple(
        replace(each, statements=one(root, root / each.path).statements)
        for each in listed(root, settings)
        if only is None or only(each)
    )


def one(root: Path, path: Path) -> Migration:
    """Return a file of SQL as a migration, wherever it is; a way back in it is left out."""
    where = shown(root, path)
    text = without_psql(read_text(path, shown=where), where=where)
    back = _BACK.search(text)
    statements = statements_of(text[: back.start()] if back else text, where=where)
    return Migration(name=path.stem, path=Path(where), statements=statements, transactional=False)


def table(_root: Path, settings: ToolchainSettings) -> TableName | None:
    """Return the table that ecm.yaml names; files alone keep nothing of what was applied."""
    return TableName.parse(settings.table) if settings.table else None


def pending(root: Path, settings: ToolchainSettings, rows: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the files of which no row tells: neither their name, nor their number."""
    said = {str(value) for row in rows for value in row.values() if isinstance(value, str | int)}
    return frozenset(each.name for each in listed(root, settings) if not said.intersection(_names(each)))


def _names(migration: Migration) -> frozenset[str]:
    """Return what a tool's row may call a file: its name, its stem, the number that it begins with."""
    name = migration.path.name
    number = re.match(r"V?(\d+)", migration.path.stem)
    numbers = {number[1], number[1].lstrip("0")} if number else set[str]()
    return frozenset({migration.name, name, migration.path.stem, *numbers} - {""})
