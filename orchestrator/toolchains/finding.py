"""Which migration tools a project has."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from orchestrator.errors import ConfigurationError, UsageError
from orchestrator.toolchains import drizzle_config
from orchestrator.toolchains.drizzle import Drizzle
from orchestrator.toolchains.toolchain import Toolchain
from orchestrator.words import did_you_mean

KINDS = ("drizzle", "alembic", "django", "prisma", "sql")

_FOUND_BY = {
    "drizzle": "drizzle.config.ts, .js, .mjs or .json",
    "alembic": "alembic.ini",
    "django": "manage.py",
    "prisma": "prisma/migrations",
    "sql": "migrations/*.sql",
}


def named(kind: str, root: Path, now: Callable[[], datetime]) -> Toolchain:
    """Return a project's tool of a kind.

    Args:
        kind: one of `KINDS`.
        root: the project's folder.
        now: tells the time, for names of files.

    Raises:
        UsageError: there is no such kind.
        ConfigurationError: the project has no such tool.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no tool {kind}", details=[did_you_mean(kind, KINDS)])
    found = _MAKERS[kind](root, now)
    if found is None:
        raise ConfigurationError(f"there is no {kind} in {root}", details=[f"it is found by {_FOUND_BY[kind]}"])
    return found


def found(root: Path, now: Callable[[], datetime]) -> tuple[Toolchain, ...]:
    """Return every tool that a project has; the same arguments."""
    return tuple(_all(root, now))


def _all(root: Path, now: Callable[[], datetime]) -> Iterator[Toolchain]:
    for kind in KINDS:
        if (tool := _MAKERS[kind](root, now)) is not None:
            yield tool


def _drizzle(root: Path, now: Callable[[], datetime]) -> Toolchain | None:
    config = drizzle_config.read(root)
    if config is None:
        return None
    return Drizzle(root=root, folder=config.folder, table=config.table, now=now, filtered=config.filtered)


_MAKERS: dict[str, Callable[[Path, Callable[[], datetime]], Toolchain | None]] = {
    "drizzle": _drizzle,
    "alembic": lambda _root, _now: None,
    "django": lambda _root, _now: None,
    "prisma": lambda _root, _now: None,
    "sql": lambda _root, _now: None,
}
