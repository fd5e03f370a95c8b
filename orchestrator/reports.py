"""What the conductor returns: frozen values that the command line renders and `--json` dumps.

Field names are the interface for scripts; `FORMAT_VERSION` changes when one of them changes its
meaning or goes.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

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
    details: tuple[str, ...] = ()
    """What a person needs to see of it, a line each."""


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


class AttestationReport(Report):
    """What somebody attested of the application beside a branch, and stands."""

    claim: str
    version: str
    actor: str
    at: datetime


class OverrideReport(Report):
    """A condition that somebody let a plan pass."""

    phase: str
    code: str
    message: str
    reason: str
    actor: str
    at: datetime


class NoteReport(Report):
    """Something about a plan on a branch, or its database, that is no obstacle and should be known."""

    code: str
    """`reset`: it does not know moves of the branch that the ledger holds. `copy`: another branch wrote its journal.
    `hook`: the last try to go on was stopped by a hook."""
    message: str
    short: str
    """In a few words, for an overview."""
    since: datetime | None = None
    """When the last move was made that it does not know."""
    moves: int = 0
    """How many moves it does not know."""


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
    attested: tuple[AttestationReport, ...] = ()
    """What is attested of the application beside the branch."""
    overrides: tuple[OverrideReport, ...] = ()
    """Conditions that were overridden since the plan was begun here."""
    stalled_for: float | None = None
    """Seconds for which it has not moved, where that was asked and is too long; why, and what to do about it."""
    stalled_why: str | None = None
    stalled_remedy: str | None = None
    notes: tuple[NoteReport, ...] = ()


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
    stalled_after: float | None = None
    """Seconds, where only what has not moved for that long was asked for, and is in the plans."""
    unanswered: tuple[str, ...] = ()
    """Branches that were then judged by the ledger's last word."""
    ledger_error: str | None = None
    """Why the ledger could not be read, where it could not: what it knows is left out."""


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


class HookPreview(Report):
    """A command of the plan's that is run around a phase."""

    when: str
    """before or after."""
    argv: tuple[str, ...]
    timeout: float
    """Seconds."""


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
    hooks: tuple[HookPreview, ...] = ()
    """Commands of the plan's that are run around it."""
    undo_window: float = 0
    """Seconds for which contract can be undone."""
    requires: tuple[str, ...] = ()
    """What the plan asks for before it, besides what always has to be."""


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
    hooks: tuple[HookPreview, ...] = ()
    """Commands of the plan's that are run around it."""
    keeps: bool = False
    """Whether it leaves the old structure out of sight, so that it can be undone."""


class AdvanceReport(Report):
    """The moves a command made on a branch."""

    plan: str
    branch: str
    dry_run: bool
    moves: tuple[MoveReport, ...]
    state: str
    undo_until: datetime | None = None
    """Until when contract can be undone at least, where it can."""
    next_command: str | None
    warnings: tuple[str, ...] = ()
    overridden: tuple[ReasonReport, ...] = ()
    """Conditions that are not met, and were let pass."""


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


class AttestReport(Report):
    """An attestation that was taken down, or withdrawn."""

    plan: str
    branch: str
    claim: str
    says: str
    """The claim as the rest of a sentence about the application."""
    version: str
    withdrawn: bool
    actor: str
    standing: tuple[AttestationReport, ...]
    """All that stands for this plan there now."""
    next_command: str | None


class ApprovalReport(Report):
    """What is approved, and how many have."""

    plan: str
    branch: str
    to: str
    actor: str
    evidence: tuple[str, ...]
    """What the approval is bound to: where a line of it changes, the approval counts no more."""
    unmet: tuple[ReasonReport, ...]
    """What else stands in the way still."""
    given: int
    needed: int
    expires_at: datetime | None = None
    """None as long as nothing was recorded."""
    next_command: str | None = None


class TextReport(Report):
    """How a plan's file differs in meaning from the text that a branch is on."""

    plan: str
    branch: str
    state: str
    begun: bool
    """Whether the branch is on any text."""
    differences: tuple[str, ...]
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
    warnings: tuple[str, ...] = ()
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
    id: UUID
    kind: str
    plan: str | None
    branch: str | None
    checksum: str | None
    actor: str
    happened_at: datetime
    recorded_at: datetime
    data: dict[str, Any]
    ecm_version: str
    previous_hash: str
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
    notes: tuple[str, ...] = ()
    """What explains a difference between a journal and the ledger that nobody tampered with."""
    head: str | None = None
    """The hash of the last entry: noted elsewhere, it gives away a chain that was made anew."""
    plan: str | None = None
    """The only plan whose entries were checked, each by itself; None for a whole chain."""


class ExportReport(Report):
    """A ledger that was exported."""

    ledger: str
    plan: str | None
    entries: int
    head: str | None
    """The hash of the ledger's last entry."""
    output: str | None
    """The file; None where the lines are here."""
    lines: tuple[str, ...] = ()


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


class EmittedMigration(Report):
    """A migration that was written for a tool."""

    part: str
    name: str
    """As the tool tells it."""
    files: tuple[str, ...]
    """Written or changed, from the project's folder."""


class EmitReport(Report):
    """A plan's parts as migrations of a tool."""

    plan: str
    branch: str
    """Whose tables were looked at."""
    tool: str
    checksum: str
    migrations: tuple[EmittedMigration, ...]
    existing: tuple[str, ...] = ()
    """Those that had been emitted before, and are left as they are."""
    beware: tuple[str, ...] = ()
    schema_edit: str | None = None
    """Where the change of the ORM's schema that goes with it is told: a command, or in words."""
    next_command: str | None = None


class DraftReport(Report):
    """A plan that was written."""

    plan: str
    path: str
    text: str
    preview: PreviewReport | None
    next_command: str
