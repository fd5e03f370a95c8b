"""What every migration tool looks like to the rest of ecm.

A tool keeps its migrations in files of a project, and in a table of each database a row for every migration that was
applied there. ecm reads the files to find what would break production, writes files of its own in the tool's naming
and order, and where it does a migration's work itself leaves the row that the tool would have left.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orchestrator.sql.bookkeeping import Row
from orchestrator.sql.edits import Edit
from orchestrator.sql.identifiers import TableName

__all__ = ["Emission", "Migration", "Row", "Statement", "Toolchain", "Toolchains"]


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement of a migration.

    Attributes:
        text: without the semicolon.
        line: where it begins in the migration's file, from 1; None where the tool makes it when it is asked.
    """

    text: str
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class Migration:
    """A migration as the tool's files have it.

    Attributes:
        name: as the tool tells it (`0001_nice_name`, `20250102030405_nice_name`, `4f2c9e1`, `books.0002_year`).
        path: its file, from the project's folder.
        statements: what it runs, in order.
        transactional: whether all of it runs in one transaction.
    """

    name: str
    path: Path
    statements: tuple[Statement, ...]
    transactional: bool = True


@dataclass(frozen=True, kw_only=True)
class Emission:
    """A migration that ecm writes for a tool.

    Attributes:
        plan: the plan's name.
        part: `expand` or `contract`.
        checksum: of the plan's text, which stands in the file, so that one of another text is known.
        title: what it does, in a line.
        statement: SQL, one statement that may run in a transaction; see `orchestrator.sql.guard`.
        edits: what it comes to, for the tool's own snapshot or state.
    """

    plan: str
    part: str
    checksum: str
    title: str
    statement: str
    edits: tuple[Edit, ...]

    @property
    def slug(self) -> str:
        """A name for the file: letters, digits and underscores."""
        return f"{self.plan.replace('-', '_')}_{self.part}"


class Toolchain(Protocol):
    """A migration tool in a project.

    Every method may raise ConfigurationError where the tool's files are not as it leaves them.
    """

    @property
    def name(self) -> str:
        """`drizzle`, `alembic`, `django`, `prisma` or `sql`."""
        ...

    @property
    def table(self) -> TableName | None:
        """Where it keeps what was applied; None where it keeps nothing."""
        ...

    def migrations(self) -> tuple[Migration, ...]:
        """Return the migrations that the project has, oldest first."""
        ...

    def pending(self, rows: Iterable[Mapping[str, Any]]) -> frozenset[str]:
        """Return the names of the migrations that a database does not have, by the rows of that table."""
        ...

    def emit(self, emission: Emission) -> tuple[Path, ...]:
        """Write a migration as the tool's next one, with the tool's records; return the files written or changed.

        Raises:
            UsageError: the tool's records cannot tell of what it does.
        """
        ...

    def emitted(self, plan: str, part: str) -> Migration | None:
        """Return the migration that was emitted for a part of a plan, if there is one."""
        ...

    def row(self, migration: Migration) -> Row | None:
        """Return the row that the tool keeps of a migration that was applied; None where it keeps none."""
        ...

    def traps(self) -> tuple[str, ...]:
        """Return what in the project would have the tool do harm, or keep silent about it, a line each."""
        ...


Toolchains = Sequence[Toolchain]
