"""What a migration tool does in silence, or to what is not its own: a line for the person who is about to meet it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.sql.lexer import UnreadableSqlError
from orchestrator.toolchains import drizzle_config
from orchestrator.toolchains.drizzle_types import mentions
from orchestrator.toolchains.toolchain import Migration
from orchestrator.workspace import read_text

PULL = (
    "drizzle: while a check is NOT VALID, drizzle-kit pull writes a schema that cannot be read; pull before it is"
    " added, or once it is validated"
)
PULL_NOW = (
    "drizzle: a check is NOT VALID here now, and drizzle-kit pull would write a schema that cannot be read; pull from"
    " another branch, or after contract"
)


def of_drizzle(root: Path, migrations: Iterable[Migration]) -> Iterator[str]:
    """Give the traps that both lines of drizzle-kit have."""
    config = drizzle_config.read(root)
    if config is not None and not config.filtered:
        yield (
            'drizzle: drizzle.config has no schemaFilter: ["public"], so drizzle-kit push would drop schema ecm, with'
            " all that ecm knows of a database"
        )
    for migration in migrations:
        if _concurrently(root, migration.path):
            yield (
                f"drizzle: {migration.name} says CONCURRENTLY, and drizzle-kit migrate runs all in one transaction,"
                " where that fails without a word; build the index with ecm (kind: sql), or leave the word out"
            )


def _concurrently(root: Path, path: Path) -> bool:
    text = read_text(root / path, shown=path.as_posix())
    try:
        return "concurrently" in text.lower() and mentions(text, "concurrently")
    except UnreadableSqlError:
        return False
