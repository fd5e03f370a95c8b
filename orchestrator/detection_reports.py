"""What `ecm detect` and `ecm inspect` return."""

from typing import Any, Literal

from orchestrator.reports import Report


class ChangeReport(Report):
    """A change that does safely what a statement does at once."""

    kind: str
    summary: str
    fields: dict[str, Any]
    """As a plan has them."""
    command: str | None
    """The command that writes the plan; None where its fields are more than a command line holds."""


class DetectedReport(Report):
    """A statement of a migration that should be known before it runs."""

    rule: str
    level: Literal["breaking", "lock-hungry", "note"]
    lock_hungry: bool
    """Whether a table is held while it is read or written as a whole."""
    migration: str
    path: str
    line: int | None
    statement: str
    subject: str
    message: str
    change: ChangeReport | None
    likely: ChangeReport | None
    """What it may be as well: somebody has to say."""
    left: tuple[str, ...]
    """What a person has to say before the plan can run."""
    covered_by: str | None
    """The plan that does it."""


class MigrationReport(Report):
    """A migration that was read."""

    name: str
    path: str
    statements: int
    emitted_for: str | None
    """The plan that ecm wrote it for."""


class DetectReport(Report):
    """What was found in migrations."""

    toolchain: str | None
    selection: str
    """Which migrations were read, in words: `changed since main`."""
    migrations: tuple[MigrationReport, ...]
    findings: tuple[DetectedReport, ...]
    breaking: int
    """Breaking statements that no plan covers."""
    lock_hungry: int
    """Lock-hungry statements that no plan covers, and that break nothing."""
    written: tuple[str, ...] = ()
    """The plan files that were written."""
    remarks: tuple[str, ...] = ()
    sarif: str | None = None
    """The file that was written for code review."""
    next_command: str | None
