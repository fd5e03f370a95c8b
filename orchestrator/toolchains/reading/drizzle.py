"""Drizzle: of drizzle-kit 0.31 numbered files and a journal, of 1.0 a folder for each migration."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from orchestrator.errors import ConfigurationError, InvalidFileError
from orchestrator.plan.project import ToolchainSettings
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains import drizzle_config
from orchestrator.toolchains.reading.files import shown, sql_file
from orchestrator.toolchains.toolchain import Migration
from orchestrator.workspace import read_text

_USUAL = "drizzle"
"""Where migrations are if nothing else is said."""
_BREAKPOINT = "--> statement-breakpoint"


def find(root: Path) -> ToolchainSettings | None:
    """Return the settings where there is a drizzle.config, with the folder that it names as `out`, if that is plain."""
    config = drizzle_config.read(root)
    if config is None:
        return None
    # Where it is computed, the usual folder is taken for it if it is there, by who writes to it as well.
    usual = _USUAL if (root / _USUAL).is_dir() else None
    folder = config.folder.as_posix() if config.folder else usual
    return ToolchainSettings(kind="drizzle", folder=folder, table=str(config.table))


def listed(root: Path, settings: ToolchainSettings) -> tuple[Migration, ...]:
    """Return the journal's migrations, or those of the folders, without their statements."""
    folder = _folder(root, settings)
    if (folder / "meta" / "_journal.json").is_file():
        return tuple(
            Migration(name=entry["tag"], path=_from(root, folder / f"{entry['tag']}.sql"), statements=())
            for entry in _entries(root, folder)
        )
    files = sorted(folder.glob("*/migration.sql"), key=lambda path: path.parent.name)
    return tuple(Migration(name=path.parent.name, path=_from(root, path), statements=()) for path in files)


def read(
    root: Path, settings: ToolchainSettings, *, only: Callable[[Migration], bool] | None = None
) -> tuple[Migration, ...]:
    """Return migrations, oldest first: all, or only some of them."""
    return tuple(
        replace(each, statements=sql_file(root, root / each.path, separator=_BREAKPOINT))
        for each in listed(root, settings)
        if only is None or only(each)
    )


def table(root: Path, settings: ToolchainSettings) -> TableName | None:
    """Return where Drizzle keeps what was applied."""
    said = settings.table or (found.table if (found := find(root)) else None)
    return TableName.parse(said or "drizzle.__drizzle_migrations")


def pending(root: Path, settings: ToolchainSettings, rows: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return what drizzle-kit migrate would run: what is newer than the newest row; in 1.0 what has no row.

    An entry of the journal with an older `when` is passed over in silence, so it is pending for us: nobody ran it.
    """
    known = tuple(rows)
    folder = _folder(root, settings)
    names = {each.name for each in listed(root, settings)}
    if not (folder / "meta" / "_journal.json").is_file():
        return frozenset(names - {str(row.get("name")) for row in known})
    times = {int(row["created_at"]) for row in known if row.get("created_at") is not None}
    newest = max(times, default=0)
    return frozenset(
        entry["tag"]
        for entry in _entries(root, folder)
        if entry["when"] > newest or (times and _passed_over(entry, times))
    )


def _passed_over(entry: Mapping[str, Any], times: set[int]) -> bool:
    return entry["when"] not in times


def _folder(root: Path, settings: ToolchainSettings) -> Path:
    said = settings.folder or (found.folder if (found := find(root)) else _USUAL)
    if said is None and not (root / _USUAL).is_dir():
        raise ConfigurationError(
            "drizzle.config computes where migrations are (`out`)",
            details=["it is a program, and ecm runs none to read it"],
            hint="say it in ecm.yaml: toolchain: {kind: drizzle, folder: …}",
        )
    return root / (said or _USUAL)


def _from(root: Path, path: Path) -> Path:
    return Path(shown(root, path))


def _entries(root: Path, folder: Path) -> list[dict[str, Any]]:
    path = folder / "meta" / "_journal.json"
    where = shown(root, path)
    try:
        found = json.loads(read_text(path, shown=where))
        entries = cast("list[dict[str, Any]]", found["entries"])
        ordered = sorted(entries, key=lambda entry: int(entry["idx"]))
        _ = [(str(entry["tag"]), int(entry["when"])) for entry in ordered]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidFileError(f"{where} is not a journal of drizzle-kit ({error})", hint="drizzle-kit check") from None
    return ordered
