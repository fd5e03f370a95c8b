"""What every migration tool looks like to the rest of ecm.

A tool keeps its migrations in files of a project, and in a table of each database a row for every migration that was
applied there. ecm reads the files to find what would break production, writes files of its own in the tool's naming
and order, and where it does a migration's work itself leaves the row that the tool would have left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from psycopg import sql


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
        statements: SQL, in order; those that may not run in a transaction by themselves.
        before, after: what the plan's tables have, as the tool's own snapshot would say it; see each tool.
    """

    plan: str
    part: str
    checksum: str
    title: str
    statements: tuple[str, ...]
    not_in_transaction: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    """The row by which a tool knows that a migration was applied to a database.

    Attributes:
        ready: makes the tool's table where it is not there, as the tool would.
        insert: writes the row, unless it is there.
        delete: takes it away.
    """

    ready: tuple[sql.Composed, ...]
    insert: sql.Composed
    delete: sql.Composed


class Toolchain(Protocol):
    """A migration tool in a project. Every method may raise ConfigurationError where the tool's files are not as it
    leaves them."""

    @property
    def name(self) -> str:
        """`drizzle`, `alembic`, `django`, `prisma` or `sql`."""
        ...

    def migrations(self) -> tuple[Migration, ...]:
        """Return the migrations that the project has, oldest first."""
        ...

    def emit(self, emission: Emission) -> tuple[Path, ...]:
        """Write a migration as the tool's next one, with the tool's records; return the files written or changed.

        Nothing is written where the last migration is that one already.
        """
        ...

    def emitted(self, plan: str, part: str) -> Migration | None:
        """Return the migration that was emitted for a part of a plan, if there is one."""
        ...

    def row(self, migration: Migration) -> Row:
        """Return the row that the tool keeps of a migration that was applied."""
        ...


Toolchains = Sequence[Toolchain]
