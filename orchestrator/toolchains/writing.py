"""What the writing side of every tool shares: a project's migrations, as they are read, and which of them ecm wrote."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestrator.plan.project import ToolchainSettings
from orchestrator.sql.identifiers import TableName
from orchestrator.toolchains import header
from orchestrator.toolchains.reading import reading
from orchestrator.toolchains.toolchain import Migration
from orchestrator.workspace import read_text


@dataclass(frozen=True, kw_only=True)
class Written:
    """A migration tool's files in a project.

    Attributes:
        root: the project's folder.
        settings: which tool, and where its migrations are.
        now: tells the time, for names of files.
    """

    root: Path
    settings: ToolchainSettings
    now: Callable[[], datetime]

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.settings.kind

    @property
    def folder(self) -> Path:
        """Where migrations are."""
        return self.root / (self.settings.folder or "")

    @property
    def table(self) -> TableName | None:
        """Where the tool keeps what was applied; None where it keeps nothing."""
        return reading(self.settings).table(self.root, self.settings)

    @property
    def records(self) -> TableName:
        """Where the tool keeps what was applied, of one that does."""
        found = self.table
        if found is None:
            raise NotImplementedError(f"{self.name} keeps nothing in a database")
        return found

    def pending(self, rows: Iterable[Mapping[str, Any]]) -> frozenset[str]:
        """Return the names of the migrations that a database does not have, by the rows of that table."""
        return reading(self.settings).pending(self.root, self.settings, rows)

    def migrations(self) -> tuple[Migration, ...]:
        """Return the project's migrations without their statements, oldest first."""
        return reading(self.settings).listed(self.root, self.settings)

    def emitted(self, plan: str, part: str) -> Migration | None:
        """Return the last migration whose header says that it is this part of this plan."""
        for migration in reversed(self.migrations()):
            said = header.of(self.root, migration)
            if said is not None and (said.plan, said.part) == (plan, part):
                return migration
        return None

    def text(self, path: Path) -> str:
        """Return a migration's text; its path is from the project's folder."""
        return read_text(self.root / path, shown=path.as_posix())

    def traps(self) -> tuple[str, ...]:
        """Return what would have the tool do harm, a line each."""
        return ()


def literal(text: str) -> str:
    """Return text as a string of Python's that can be read line by line."""
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"').replace("\r", "\\r")
    return f'"""{escaped}"""'
