"""What the conductor returns: frozen values that the command line renders and `--json` dumps.

Field names are the interface for scripts; `FORMAT_VERSION` changes when one of them changes its
meaning or goes.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

FORMAT_VERSION = 1


class Report(BaseModel):
    """A value for people and scripts."""

    model_config = ConfigDict(frozen=True)


class ReasonReport(Report):
    """One unmet condition."""

    code: str
    message: str
    remedy: str = ""


class InProgress(Report):
    """A phase under way, or one that was interrupted."""

    phase: str
    direction: str
    started_at: datetime | None
    holder: str | None
    heartbeat_at: datetime | None
    error: str | None


class SignalReport(Report):
    """A signal of the throttle, as it was read last."""

    signal: str
    value: float | None
    """None where it cannot be read."""
    limit: float
    said: str
    holds: bool


class SweepProgress(Report):
    """How far a backfill is."""

    done: int
    total: int
    unit: str
    rows: int
    rows_per_second: float | None
    eta_seconds: float | None
    """At the faster of two paces, lately and over all; `eta_at_most` is at the slower."""
    eta_at_most: float | None = None
    throttled_by: str | None = None
    """Why it holds back, where it does."""
    workers: int = 0
    """Sessions that write at this moment."""
    share_in_place: float | None = None
    """The part of the rows that were updated on their page, without an entry in any index."""
    signals: tuple[SignalReport, ...] = ()
    """What the throttle looks at."""
    round: int = 1
    """How often all pages are gone over: the rows are those that all rounds wrote, together."""


class StepDone(Report):
    """A step as it was run on a branch."""

    phase: str
    key: str
    title: str
    started_at: datetime
    seconds: float | None
    lock_wait: float | None


class BranchStatus(Report):
    """A plan on a branch."""

    branch: str
    state: str | None
    """None where neither the branch nor the ledger could tell."""
    state_since: datetime | None = None
    in_progress: InProgress | None = None
    progress: SweepProgress | None = None
    undo_until: datetime | None = None
    blocked_by: tuple[ReasonReport, ...] = ()
    next_command: str | None = None
    source: Literal["journal", "ledger", "none"]
    as_of: datetime | None = None
    verified_at: datetime | None = None
    error: str | None = None
    """Why the branch did not answer, where it did not."""
    requires: tuple[str, ...] = ()
    steps: tuple[StepDone, ...] = ()
    evidence: tuple[str, ...] = ()
    """Phases the ledger holds as completed here for this text, whatever the branch's state is now."""


class PlanStatus(Report):
    """A plan on every branch."""

    plan: str
    checksum: str | None
    description: str
    branches: tuple[BranchStatus, ...]
    error: str | None = None
    """What is wrong with the plan's file, where something is."""
    has_file: bool = True
    """False where only the journals know of the plan, which is under way."""


class StatusReport(Report):
    """Every plan on every branch."""

    project: str
    ledger: str
    branches: tuple[str, ...]
    plans: tuple[PlanStatus, ...]


class StepPreview(Report):
    """A step as it would be run."""

    key: str
    title: str
    sql: str
    lock: str | None
    waits: str
    transactional: bool
    reversible: bool
    note: str
    tables: tuple[str, ...] = ()
    """What the lock is on."""


class PhasePreview(Report):
    """A phase as it would be run."""

    phase: str
    deploy: str
    steps: tuple[StepPreview, ...]
    lock_timeout: float | None = None
    """Seconds for which a lock is waited for before it is given way and tried again."""
    two_sides: bool = True
    """Whether rows have two sides; otherwise there is nothing to copy, and both versions work at once."""
    sides: str = "both"
    """What the two versions see of a row (`operations.sides`)."""
    retires: bool = True
    """Whether contract takes something away that the old version uses."""
    forfeits: tuple[str, ...] = ()
    """What a rollback to planned does not keep."""


class Range(Report):
    """What nobody knows exactly: at least, at most."""

    least: int | float
    most: int | float


class BuiltIndex(Report):
    """An index that the plan builds. Bytes; None where nobody can tell."""

    name: str
    like: str | None
    """The index that it is a twin of, if any."""
    bytes: Range | None


class ForecastReport(Report):
    """What a table's backfill is expected to take. Bytes and seconds."""

    writes: bool
    """Whether there is anything to fill; otherwise the rows are only read."""
    seconds: Range
    rows_per_second: Range | None
    as_on: str | None
    """The branch where the same sweep was measured; None where it is a guess."""
    share_in_place: float | None
    """As measured there."""
    new_columns: Range | None
    """None where nobody can tell before the values are made."""
    heap_growth: Range
    index_growth: Range
    indexes_built: tuple[BuiltIndex, ...]
    disk: Range
    """Beyond what the table takes now, at the peak, without WAL."""
    wal: Range


class DependentReport(Report):
    """Something that stands on a column, or names it."""

    kind: str
    name: str
    why: str = ""
    acknowledged: bool = False


class HangingReport(Report):
    """What PostgreSQL knows to hang on the columns that change, and what becomes of it."""

    fate: str
    dependents: tuple[DependentReport, ...]


class TableFacts(Report):
    """What a person wants to know about a table before it is touched."""

    table: str
    rows: int
    """An estimate; 0 where it was never analyzed."""
    bytes: int
    indexes: int
    analyzed: bool = True
    heap_bytes: int | None = None
    index_bytes: int | None = None
    toast_bytes: int | None = None
    forecast: ForecastReport | None = None
    """None where the backfill is over, or none of its rows has two sides."""
    hanging: tuple[HangingReport, ...] = ()
    unfollowed: tuple[DependentReport, ...] = ()
    """What ecm cannot bring along, and a person takes care of."""
    triggers: tuple[str, ...] = ()
    """The table's own triggers that fire on what the backfill writes."""
    publications: tuple[str, ...] = ()
    extension: str | None = None
    """The extension that the table belongs to, if any."""


class SessionReport(Report):
    """A session, or a prepared transaction, that the plan would wait for now."""

    pid: int | None
    seconds: float | None
    """How long its transaction has been open."""
    message: str


class PreviewReport(Report):
    """A plan's phases, statement by statement, as they would run on a branch now."""

    plan: str
    branch: str
    checksum: str
    description: str
    state: str
    changes: tuple[str, ...]
    tables: tuple[TableFacts, ...]
    phases: tuple[PhasePreview, ...]
    beware: tuple[str, ...]
    obstacles: tuple[ReasonReport, ...]
    next_command: str | None
    sessions: tuple[SessionReport, ...] = ()


class MoveReport(Report):
    """A move that was made, or would be (`dry_run`)."""

    direction: str
    origin: str
    target: str
    phases: tuple[str, ...]
    resumes: bool
    seconds: float | None = None
    deploy: str = ""
    measured: dict[str, Any] = {}
    steps: tuple[StepPreview, ...] = ()
    two_sides: bool = True
    """Whether rows have two sides; otherwise there is nothing to copy, and both versions work at once."""
    sides: str = "both"
    """What the two versions see of a row (`operations.sides`)."""
    retires: bool = True
    """Whether contract takes something away that the old version uses."""
    forfeits: tuple[str, ...] = ()
    """What a rollback to planned does not keep."""


class AdvanceReport(Report):
    """The moves a command made on a branch."""

    plan: str
    branch: str
    dry_run: bool
    moves: tuple[MoveReport, ...]
    state: str
    next_command: str | None
    warnings: tuple[str, ...] = ()


class PauseReport(Report):
    """A backfill that was asked to pause, or to go on."""

    plan: str
    branch: str
    paused: bool
    running: bool
    """Whether an ecm is at work on it, which does as it was asked within a second or two."""
    progress: SweepProgress | None
    next_command: str | None


class GateReport(Report):
    """May a plan go there?"""

    plan: str
    branch: str
    state: str
    to: str
    allowed: bool
    reasons: tuple[ReasonReport, ...]
    warnings: tuple[str, ...] = ()
    """What a person should know before contract."""
    next_command: str | None


class SampleReport(Report):
    """A row whose two sides differ."""

    table: str
    key: dict[str, str | None]
    old: dict[str, str | None]
    new: dict[str, str | None]


class VerifyReport(Report):
    """What a fresh scan found."""

    plan: str
    branch: str
    rows: int
    mismatches: int
    samples: tuple[SampleReport, ...]
    not_invertible: int
    expressions: tuple[str, ...] = ()
    """What has to hold in every row."""
    nothing_to_compare: str | None = None
    """Why there are no two sides, where a plan makes none."""
    next_command: str | None


class UseReport(Report):
    """Somebody who relies on what contract takes away."""

    kind: Literal["statement", "dependent", "write"]
    what: str
    """A statement without its constants, an object of the catalog and why, or the writes that were noticed."""
    role: str | None
    calls: int | None
    """Since the watch began; of writes, how often they were noticed: once a second for each session at most."""
    last_seen: datetime | None
    """At the latest; None of what stands in the catalog."""
    note: str
    holds: bool
    """Whether it has to be gone before contract; what the plan acknowledges has not."""


class ReadersReport(Report):
    """Who still reads or writes what a plan's contract takes away."""

    plan: str
    branch: str
    state: str
    uses: tuple[UseReport, ...]
    unseen: tuple[str, ...]
    """What could not be seen, a line each."""
    watched_since: datetime | None
    quiet_since: datetime | None
    """Since when nobody was seen; None where something stands in the catalog."""
    now: datetime
    """The database's clock."""
    sees_statements: bool
    """Whether pg_stat_statements was read: without it nobody who only reads is seen."""
    next_command: str | None


class HistoryEntry(Report):
    """One entry of the ledger."""

    seq: int
    kind: str
    plan: str | None
    branch: str | None
    checksum: str | None
    actor: str
    happened_at: datetime
    recorded_at: datetime
    data: dict[str, Any]
    hash: str


class HistoryReport(Report):
    """The ledger's entries, oldest first."""

    plan: str | None
    entries: tuple[HistoryEntry, ...]


class AuditProblem(Report):
    """Something in the ledger that is not as it was written."""

    seq: int | None
    """The entry; None where it is about entries that are not there."""
    kind: str
    message: str


class AuditReport(Report):
    """Whether the ledger's chain holds."""

    ledger: str
    entries: int
    problems: tuple[AuditProblem, ...]
    unanswered: tuple[str, ...] = ()
    """Branches whose journals could not be compared with the ledger."""


class Finding(Report):
    """One thing the doctor looked at."""

    branch: str | None
    subject: str
    ok: bool
    message: str
    remedy: str = ""


class DoctorReport(Report):
    """What the doctor found."""

    findings: tuple[Finding, ...]


class PlanSummary(Report):
    """A plan's file."""

    plan: str
    path: str
    description: str
    changes: tuple[str, ...]
    checksum: str | None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    """What a linter says of SQL that the plan's author wrote."""


class PlanListReport(Report):
    """Every plan file."""

    plans: tuple[PlanSummary, ...]


class DraftReport(Report):
    """A plan that was written."""

    plan: str
    path: str
    text: str
    preview: PreviewReport | None
    next_command: str
