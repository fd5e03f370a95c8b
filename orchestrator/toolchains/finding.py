"""Which migration tools a project has, for whoever writes their migrations and rows."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from orchestrator.errors import ConfigurationError, UsageError
from orchestrator.plan.project import ToolchainKind, ToolchainSettings
from orchestrator.toolchains.alembic import Alembic
from orchestrator.toolchains.django import Django
from orchestrator.toolchains.drizzle import Drizzle
from orchestrator.toolchains.drizzle_folders import DrizzleFolders
from orchestrator.toolchains.prisma import Prisma
from orchestrator.toolchains.reading import READINGS, find, kind_of, there
from orchestrator.toolchains.sql import Sql
from orchestrator.toolchains.toolchain import Toolchain
from orchestrator.words import listed

Clock = Callable[[], datetime]

_FOUND_BY = {
    "drizzle": "drizzle.config, and a migration that drizzle-kit generate has written",
    "alembic": "alembic.ini",
    "django": "manage.py",
    "prisma": "prisma/migrations",
    "sql": "migrations/*.sql",
}


def named(
    kind: str, root: Path, now: Clock, configured: ToolchainSettings | None = None, *, folder: str | None = None
) -> Toolchain:
    """Return a project's tool of a kind.

    Args:
        kind: `drizzle`, `alembic`, `django`, `prisma` or `sql`.
        root: the project's folder.
        now: tells the time, for names of files.
        configured: what ecm.yaml says of the project's tool.
        folder: where .sql files are to be, from the project's folder, whatever else it has.

    Raises:
        UsageError: there is no such kind, or it has a place of its own for its files.
        ConfigurationError: the project has no such tool.
    """
    known = kind_of(kind)
    if folder is not None:
        if known != "sql":
            raise UsageError(
                f"{kind} keeps its migrations in a place of its own, and --folder is for .sql files",
                hint="leave --folder out, or: ecm emit --as sql --folder DIR",
            )
        return Sql(root=root, settings=ToolchainSettings(kind="sql", folder=folder), now=now)
    own = configured if configured is not None and configured.kind == kind else None
    settings = find(root, own) if own else READINGS[known].find(root)
    made = _MAKERS[known](root, settings, now) if settings else None
    if made is None and known == "sql" and (others := {*there(root), *([configured.kind] if configured else [])}):
        raise ConfigurationError(
            f"there is no folder of .sql files in {root}",
            details=[f"it is found by {_FOUND_BY[kind]}; the project's tool is {listed(sorted(others))}"],
            hint="say where they are to be written, beside that tool's: ecm emit --as sql --folder DIR",
        )
    if made is None:
        raise ConfigurationError(
            f"there is no {kind} in {root}",
            details=[f"it is found by {_FOUND_BY[kind]}"],
            hint=f"or say in ecm.yaml where it is: toolchain: {{kind: {kind}, folder: …}}",
        )
    return made


def found(root: Path, now: Clock, configured: ToolchainSettings | None = None) -> tuple[Toolchain, ...]:
    """Return the tools that a project has: that which ecm.yaml names, or all whose files are there."""
    if configured is not None:
        several = [find(root, configured)]
    else:
        several = [reading.find(root) for reading in READINGS.values()]
    made = (_MAKERS[each.kind](root, each, now) for each in several if each is not None)
    return tuple(each for each in made if each is not None)


def _drizzle(root: Path, settings: ToolchainSettings, now: Clock) -> Toolchain | None:
    folder = root / (settings.folder or "drizzle")
    if (folder / "meta" / "_journal.json").is_file():
        return Drizzle(root=root, settings=settings, now=now)
    if any(folder.glob("*/snapshot.json")):
        return DrizzleFolders(root=root, settings=settings, now=now)
    return None


_MAKERS: Mapping[ToolchainKind, Callable[[Path, ToolchainSettings, Clock], Toolchain | None]] = {
    "drizzle": _drizzle,
    "alembic": lambda root, settings, now: Alembic(root=root, settings=settings, now=now),
    "django": lambda root, settings, now: Django(root=root, settings=settings, now=now),
    "prisma": lambda root, settings, now: Prisma(root=root, settings=settings, now=now),
    "sql": lambda root, settings, now: Sql(root=root, settings=settings, now=now),
}
