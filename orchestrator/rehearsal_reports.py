"""What rehearsals and checks of pull requests return: frozen values, as those of `orchestrator.reports`."""

from orchestrator.reports import PreviewReport, ReasonReport, Report


class RehearsedPhase(Report):
    """A phase of a rehearsal, forward or back, as it was measured on the copy. Bytes and seconds."""

    phase: str
    direction: str
    origin: str
    target: str
    seconds: float
    lock_wait: float
    """The longest that ecm waited for a lock."""
    lock_held: float
    """The longest that it held those of a table that writers wait for, at most."""
    writer_wait: float | None
    """The longest that a statement of a synthetic writer took meanwhile; None where there was none."""
    wal: int
    """What the whole server wrote meanwhile, the writers' part too."""
    disk: int
    """By how much the database grew."""
    rows: int
    """Rows that were looked at, or filled."""
    differences: tuple[str, ...] = ()
    """After a rollback: how the tables differ from what they were before."""


class ForecastPhase(Report):
    """What a phase is expected to take on the branch itself. Bytes and seconds."""

    phase: str
    seconds: float
    wal: int
    disk: int


class WriterError(Report):
    """What a synthetic writer met."""

    version: str
    """old or new."""
    phase: str
    """In which it was, and where to: `expand, planned → expanded`."""
    sqlstate: str
    message: str
    statement: str
    times: int


class WriterReport(Report):
    """A synthetic writer: an application of one version."""

    version: str
    transactions: int
    longest: float
    """Seconds that its slowest statement took."""


class FailureReport(Report):
    """Why a rehearsal stopped, in the words of the phase that it stopped in."""

    code: str
    message: str
    details: tuple[str, ...]
    hint: str | None
    phase: str
    exit_code: int


class RehearsalReport(Report):
    """A plan's whole cycle on a throwaway copy of a branch."""

    plan: str
    branch: str
    copy_name: str
    kept: bool
    """Whether the copy is still there."""
    checksum: str
    passed: bool
    exit_code: int
    failure: FailureReport | None
    phases: tuple[RehearsedPhase, ...]
    forecast: tuple[ForecastPhase, ...]
    measured_on: str
    """The server, and how it stands to the branch's own."""
    scale: float
    """By how much the branch has more rows than its copy."""
    rows: int
    not_invertible: int | None
    """Rows that would not survive the way back; None where it did not get that far, or none has two sides."""
    writers: tuple[WriterReport, ...]
    writer_errors: tuple[WriterError, ...]
    unwritten: tuple[str, ...]
    """What no synthetic writer wrote, and why."""
    changed: tuple[str, ...]
    """How the tables differ after contract from what they were before the plan."""
    seconds: float
    notes: tuple[str, ...] = ()
    preview: PreviewReport | None = None
    """The plan's statements as they were about to be run on the copy, where that was asked for."""
    next_command: str | None = None


class CheckedPlan(Report):
    """A plan that a pull request changes, as it was checked."""

    plan: str
    path: str
    """Its file, from the project's folder."""
    error: ReasonReport | None = None
    """Why it was not rehearsed, where it was not: its file cannot be read, no copy could be made, or it is through."""
    exit_code: int = 0
    linted: tuple[str, ...] = ()
    """What a linter says of SQL that the plan's author wrote."""
    rehearsal: RehearsalReport | None = None


class PullRequestReport(Report):
    """Every plan that a pull request changes, rehearsed; or the branches that were made for it, deleted."""

    pull_request: int | None
    """None where nothing was changed, and nobody said which it is."""
    base: str | None
    """What it was compared with."""
    branch: str | None
    """Whose data the plans were tried on."""
    plans: tuple[CheckedPlan, ...] = ()
    deleted: tuple[str, ...] = ()
    exit_code: int = 0
