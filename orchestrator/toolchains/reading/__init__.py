"""The reading side of the migration tools: which one a project has, its migrations, and which of them are applied."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from orchestrator.errors import ConfigurationError, UsageError
from orchestrator.plan.project import ToolchainKind, ToolchainSettings
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains.reading import alembic, django, drizzle, prisma, sql
from orchestrator.toolchains.toolchain import Migration
from orchestrator.words import did_you_mean, listed

Rows = Iterable[Mapping[str, Any]]


class Reading(Protocol):
    """How one tool's migrations are read; each module here is one."""

    def find(self, root: Path) -> ToolchainSettings | None:
        """Return the tool's settings where its files are in a folder; None where they are not."""
        ...

    def listed(self, root: Path, settings: ToolchainSettings) -> tuple[Migration, ...]:
        """Return the migrations without their statements, oldest first; no command is run for it."""
        ...

    def read(
        self, root: Path, settings: ToolchainSettings, *, only: Callable[[Migration], bool] | None = None
    ) -> tuple[Migration, ...]:
        """Return migrations, oldest first: all, or only some of them."""
        ...

    def table(self, root: Path, settings: ToolchainSettings) -> TableName | None:
        """Return where the tool keeps what was applied; None where it keeps nothing."""
        ...

    def pending(self, root: Path, settings: ToolchainSettings, rows: Rows) -> frozenset[str]:
        """Return the names of the migrations that a database does not have, by the rows of the tool's table."""
        ...


READINGS = cast(
    "Mapping[ToolchainKind, Reading]",
    {"drizzle": drizzle, "alembic": alembic, "django": django, "prisma": prisma, "sql": sql},
)


def kind_of(name: str) -> ToolchainKind:
    """Return a kind by its name.

    Raises:
        UsageError: there is no such kind.
    """
    found: ToolchainKind | None = next((kind for kind in READINGS if kind == name), None)
    if found is None:
        raise UsageError(f"there is no tool {name}", details=[did_you_mean(name, READINGS)])
    return found


def reading(settings: ToolchainSettings) -> Reading:
    """Return how a tool's migrations are read."""
    return READINGS[settings.kind]


def there(root: Path) -> tuple[ToolchainKind, ...]:
    """Return the tools whose files are in a folder."""
    return tuple(kind for kind, tool in READINGS.items() if tool.find(root) is not None)


def find(
    root: Path, configured: ToolchainSettings | None = None, *, tool: str | None = None
) -> ToolchainSettings | None:
    """Return the settings of the tool that a project has; what ecm.yaml says counts, its files tell the rest.

    Args:
        root: the project's folder.
        configured: what ecm.yaml says.
        tool: which one it is, where there may be several.

    Raises:
        ConfigurationError: there are the files of several tools, or not those of the one that is named.
    """
    if tool is not None and (configured is None or configured.kind != tool):
        named = READINGS[kind_of(tool)].find(root)
        if named is None:
            raise ConfigurationError(
                f"there is no {tool} in {root}",
                hint=f"say in ecm.yaml where it is: toolchain: {{kind: {tool}, folder: …}}",
            )
        return named
    if configured is not None:
        there = reading(configured).find(root)
        folder = configured.folder or (there.folder if there else None)
        return configured.model_copy(update={"folder": folder})
    found = [each for each in (tool.find(root) for kind, tool in READINGS.items() if kind != "sql") if each]
    if len(found) > 1:
        raise ConfigurationError(
            f"there are the files of {listed(each.kind for each in found)} in {root}",
            details=["ecm reads the migrations of one of them"],
            hint=f"name one: ecm detect --as {found[0].kind}",
        )
    return found[0] if found else sql.find(root)
