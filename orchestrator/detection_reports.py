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

    deferred: bool
    """Whether the plan runs the statement as it is, at contract: what is lost by it is lost all the same."""

    @property
    def done_by_plan(self) -> str:
        """What its plan does with it, after the plan's name."""
        return "runs it at contract, once no version needs that" if self.deferred else "does it safely"


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


class ColumnReport(Report):
    """A column as PostgreSQL has it."""

    name: str
    type: str
    not_null: bool
    default: str | None
    identity: bool
    generated: bool


class ConstraintReport(Report):
    """A constraint, as PostgreSQL prints it."""

    name: str
    definition: str
    validated: bool


class IndexReport(Report):
    """An index, from USING on."""

    name: str
    definition: str
    unique: bool
    primary: bool
    valid: bool
    bytes: int


class TriggerReport(Report):
    """A trigger, and what it runs."""

    name: str
    fires: str
    function: str
    enabled: bool


class TableReport(Report):
    """A table as PostgreSQL has it."""

    table: str
    rows: int | None
    """As PostgreSQL estimates them; None where it never analyzed the table."""
    bytes: int
    """With its indexes, and of all its partitions."""
    columns: tuple[ColumnReport, ...]
    key: tuple[str, ...]
    constraints: tuple[ConstraintReport, ...]
    indexes: tuple[IndexReport, ...]
    triggers: tuple[TriggerReport, ...]
    views: tuple[str, ...]
    """Those that read it."""
    pointed_to: tuple[str, ...]
    """Tables with a foreign key to it."""
    partitions: tuple[str, ...]


class InspectReport(Report):
    """Tables of a branch."""

    branch: str
    tables: tuple[TableReport, ...]
    next_command: str


class LineReport(Report):
    """What becomes of a table's description in an ORM's schema."""

    table: str
    add: tuple[str, ...]
    remove: tuple[str, ...]
    keep: tuple[str, ...]
    """Lines beside the columns that are there already, and say the same of a column whose line changes."""
    notes: tuple[str, ...]


class PhaseLines(Report):
    """The edits of a phase."""

    phase: str
    done: bool
    """Whether it is over on the branch."""
    tables: tuple[LineReport, ...]
    unread: bool
    """Whether it has statements in the plan's own words, of which nothing is told."""
    application: str
    """What the application does once the phase is through."""


class SchemaEditReport(Report):
    """A plan as edits of an ORM's schema; no file is written."""

    plan: str
    branch: str
    orm: Literal["drizzle", "sqlalchemy"]
    phases: tuple[PhaseLines, ...]
    next_command: str
