"""What was found in a migration: a statement, whom it hurts, and the change that does it safely."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from orchestrator.detection.deeds import Deed
from orchestrator.operations import Operation


class Level(IntEnum):
    """How bad a statement is."""

    NOTE = 0
    """Worth knowing."""
    LOCKING = 1
    """Writers or readers wait while a table is read or written as a whole."""
    BREAKING = 2
    """A version of the application that is running fails."""

    @property
    def word(self) -> Literal["breaking", "lock-hungry", "note"]:
        """The level as people and reports have it."""
        return "breaking" if self is Level.BREAKING else "lock-hungry" if self is Level.LOCKING else "note"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a statement stands.

    Attributes:
        migration: the migration's name.
        path: its file, from the project's folder.
        line: the statement's first, from 1; None where the tool makes the statement when it is asked.
        number: of the statement in its migration, from 0.
        text: the statement.
    """

    migration: str
    path: str
    line: int | None
    number: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A statement that should be known before it runs.

    Attributes:
        rule: what kind of finding, such as rename-column.
        level: how bad it is at its worst.
        locks: whether a table is held while it is read or written as a whole.
        place: where it stands.
        deed: what it does; None where only squawk says so.
        subject: what it is about: `books.published_year`.
        message: what it does to whom, a sentence without a final stop.
        change: the change that does it safely; None where there is no kind for it.
        likely: what it may be as well, with the statement that it goes with: offered, never assumed.
        left: what a person has to say before the plan can run, a line each.
        needs: columns of the table that the migrations add, and that have to be there before the plan begins.
    """

    rule: str
    level: Level
    locks: bool = False
    place: Place
    deed: Deed | None = None
    subject: str
    message: str
    change: Operation | None = None
    likely: Operation | None = None
    left: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
