"""Looking at every branch at once: where each plan is, and whether the ledger tells the same."""

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg import sql

from orchestrator import reports, resets
from orchestrator.abreast import abreast
from orchestrator.engine import journal, sentry
from orchestrator.engine.connection import Connection, clock
from orchestrator.engine.journal import Record
from orchestrator.errors import EcmError, UsageError
from orchestrator.judgement import case
from orchestrator.ledger import Entry
from orchestrator.linter import lint
from orchestrator.neighbours import as_begun, neighbours, under_way, unreadable
from orchestrator.plan import scope
from orchestrator.plan.checksum import checksum
from orchestrator.plan.evidence import History
from orchestrator.plan.gates import judge
from orchestrator.plan.lifecycle import PHASES, STATES, Direction, Phase, Position, State
from orchestrator.plan.model import Plan
from orchestrator.records import failed_hook, history, last_state, unknown
from orchestrator.reporting import hook_note, in_progress, reason_report, step_done, sweep_progress, unknown_report
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.sync import trigger_name
from orchestrator.stage import Stage
from orchestrator.stalling import stalled


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What a branch's journal says of all plans."""

    as_of: datetime | None
    records: dict[str, Record]
    sweeps: dict[str, tuple[journal.SweepRecord, ...]]
    steps: dict[str, tuple[journal.StepRecord, ...]]
    absent: dict[str, tuple[str, ...]]
    """Sync triggers that are not on their post."""
    known: frozenset[UUID]
    """The moves in its journal."""


class Overview:
    """Looks at a stage's branches, all at the same time."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def summary(self, name: str, *, linted: bool = False) -> reports.PlanSummary:
        """Return what a plan's file says, or what is wrong with it; what a linter says, where that is wanted."""
        path = f"{self._stage.project.plans}/{name}.yaml"
        try:
            plan = self._stage.workspace.plan(name)
        except UsageError:
            raise
        except EcmError as error:
            text = "\n".join((error.message, *error.details))
            return reports.PlanSummary(plan=name, path=path, description="", changes=(), checksum=None, error=text)
        return reports.PlanSummary(
            plan=name,
            path=path,
            description=plan.description,
            changes=tuple(change.summary for change in plan.changes),
            checksum=checksum(plan),
            warnings=lint(plan) if linted else (),
        )

    def audit(self, branches: tuple[str, ...] | None = None) -> reports.AuditReport:
        """Check the ledger's chain, and compare it with the journals of branches (all, where none is named)."""
        names = branches or tuple(self._stage.project.branches)
        # Before the ledger: what is copied to it in between is then no riddle.
        journals = dict(zip(names, abreast(self._moves, names), strict=True))
        with closing(self._stage.ledger()) as ledger:
            found = ledger.verify()
            lacking = [
                unknown(branch, moves, ledger, empty=not found.entries)
                for branch, moves in journals.items()
                if moves is not None
            ]
            entries = () if found.problems else ledger.entries()
        gone = self._gone(journals, entries)
        replaced = resets.replaced(journals, entries, gone, [each for each in lacking if each])
        return reports.AuditReport(
            ledger=self._stage.ledger_name,
            entries=found.entries,
            problems=(
                *(reports.AuditProblem(seq=p.seq, kind=p.kind, message=p.message) for p in found.problems),
                *(unknown_report(each) for each in lacking if each and each not in replaced),
            ),
            unanswered=tuple(branch for branch, moves in journals.items() if moves is None),
            notes=(*map(resets.told, gone), *map(resets.told_of_another, replaced)),
            head=found.head,
        )

    def _gone(
        self, journals: dict[str, tuple[journal.CompletedMove, ...] | None], entries: tuple[Entry, ...]
    ) -> tuple[resets.Reset, ...]:
        """Return the branches whose databases do not know what the ledger holds of them."""

        def lost(branch: str, moves: tuple[journal.CompletedMove, ...] | None) -> resets.Reset | None:
            return None if moves is None else resets.reset(branch, entries, {move.id for move in moves})

        # The journals were read before the ledger; what was made in between is known to a second look.
        doubtful = [branch for branch, moves in journals.items() if lost(branch, moves)]
        again = (lost(branch, self._moves(branch)) for branch in doubtful)
        return tuple(found for found in again if found)

    def _moves(self, branch: str) -> tuple[journal.CompletedMove, ...] | None:
        try:
            with self._stage.open(branch) as connection:
                return journal.moves(connection)
        except EcmError:
            return None

    def status(self, plan: str | None = None, branch: str | None = None) -> reports.StatusReport:
        """Return where every plan is on every branch; the branches are asked at the same time."""
        branches = (branch,) if branch else tuple(self._stage.project.branches)
        for name in branches:
            self._stage.project.branch(name)
        files = self._stage.workspace.plan_names()
        plans = {each.plan: each for each in self._stage.workspace.plans().plans}
        if plan in files and plan not in plans:
            plans = {plan: self._stage.workspace.plan(plan)}
        # Before the journals: a move that is recorded in between is then known to the one that made it.
        try:
            entries, silent = self._stage.entries(None), None
        except EcmError as error:
            # Where the plans are, the journals say; and whoever was refused for want of the ledger comes here to look.
            entries, silent = (), error.message
        answers = dict(zip(branches, abreast(self._ask, branches), strict=True))
        open_plans = {
            record.plan: record
            for answer in answers.values()
            for record in (answer.records.values() if isinstance(answer, _Answer) else ())
            if not record.at_rest
        }
        names = [*files, *sorted(open_plans.keys() - set(files))]
        if plan and plan not in names:
            self._stage.workspace.plan(plan)  # says that there is none, and what there is
        return reports.StatusReport(
            project=self._stage.project.project,
            ledger=self._stage.ledger_name,
            branches=branches,
            ledger_error=silent,
            plans=tuple(
                self._plan_status(
                    plans.get(name) if name in files else open_plans[name],
                    name,
                    answers,
                    entries,
                    has_file=name in files,
                )
                for name in names
                if plan in (None, name)
            ),
        )

    def stalled(self, report: reports.StatusReport, longer_than: timedelta) -> reports.StatusReport:
        """Return what of a status has not moved for that long."""
        entries = self._stage.entries(None)
        clocks = [each.as_of for plan in report.plans for each in plan.branches if each.as_of and not each.error]
        return stalled(
            report,
            {plan.plan: history(e for e in entries if e.plan == plan.plan).passages for plan in report.plans},
            longer_than=longer_than,
            now=max(clocks, default=datetime.now(UTC)),
        )

    def _plan_status(
        self,
        text: Plan | Record | None,
        name: str,
        answers: "dict[str, _Answer | EcmError]",
        entries: tuple[Entry, ...],
        *,
        has_file: bool,
    ) -> reports.PlanStatus:
        """Return where a plan is, by its file or, where there is none, by what a journal recorded of it."""
        mine = tuple(entry for entry in entries if entry.plan in (name, None))
        match text:
            case Plan():
                said, description, error = checksum(text), text.description, None
            case Record():
                said, description, error = text.checksum, str(text.recorded.get("description", "")), None
            case None:
                said, description, error = None, "", self.summary(name).error
        file = text if isinstance(text, Plan) else None
        return reports.PlanStatus(
            plan=name,
            checksum=said,
            description=description,
            branches=tuple(
                self._branch_status(name, file, branch, answer, mine, has_file=has_file)
                for branch, answer in answers.items()
            ),
            error=error,
            has_file=has_file,
        )

    def _ask(self, branch: str) -> "_Answer | EcmError":
        try:
            with self._stage.open(branch) as connection:
                records = journal.read_all(connection)
                return _Answer(
                    as_of=clock(connection),
                    records={record.plan: record for record in records},
                    sweeps={
                        r.plan: journal.sweeps(connection, r.plan)
                        for r in records
                        if r.position.phase is Phase.BACKFILL
                    },
                    steps={record.plan: journal.steps(connection, record.plan) for record in records},
                    absent={
                        record.plan: sentry.absent(connection, sync_triggers(connection, record))
                        for record in records
                        if record.position.state is not State.PLANNED and not record.at_rest
                    },
                    known=frozenset(journal.known(connection)),
                )
        except EcmError as error:
            return error

    def _branch_status(
        self,
        name: str,
        plan: Plan | None,
        branch: str,
        answer: "_Answer | EcmError",
        entries: tuple[Entry, ...],
        *,
        has_file: bool,
    ) -> reports.BranchStatus:
        required = self._stage.project.required_by(branch)
        if isinstance(answer, EcmError):
            known = last_state(entries, branch)
            return reports.BranchStatus(
                branch=branch,
                state=known[0] if known else None,
                source="ledger" if known else "none",
                as_of=known[1].happened_at if known else None,
                error=answer.message,
                requires=required,
            )
        record = answer.records.get(name)
        position = record.position if record else Position()
        others, recorded = under_way(name, answer.records.values()), history(entries)
        reasons = self._status_reasons(plan, branch, record, recorded, others) if plan else ()
        if record and not record.at_rest and not has_file:
            reasons = (self._without_file(record, branch),)
        reasons += tuple(
            reports.ReasonReport(code="sync_trigger", message=line, remedy=to_verify(name, branch))
            for line in answer.absent.get(name, ())
        )
        progress = sweep_progress(answer.sweeps.get(name, ()))
        proven = recorded.completed(branch=branch, checksum=checksum(plan)) if plan else frozenset[Phase]()
        return reports.BranchStatus(
            branch=branch,
            state=position.state,
            state_since=record.state_since if record else None,
            in_progress=in_progress(record),
            progress=progress,
            undo_until=record.undo_until if record else None,
            blocked_by=reasons,
            next_command=(
                f"ecm resume {name} --branch {branch}"
                if record and record.held and progress and (progress.throttled_by or "").startswith("paused by")
                else self._next_command(name, branch, record, reasons, readable=plan is not None)
                if has_file
                else _way_back(record, branch)
            ),
            source="journal",
            as_of=answer.as_of,
            verified_at=record.verified_at if record else None,
            requires=required,
            steps=tuple(step_done(step) for step in answer.steps.get(name, ())),
            evidence=tuple(phase for phase in PHASES if phase in proven),
            attested=_attested(recorded, branch, plan),
            overrides=_overridden(recorded, branch, plan),
            notes=(
                *resets.notes(branch, entries, answer.known, record),
                *((hook_note(failed),) if (failed := failed_hook(entries, branch)) else ()),
            ),
        )

    def _status_reasons(
        self,
        plan: Plan,
        branch: str,
        record: Record | None,
        recorded: History,
        others: tuple[Record, ...],
    ) -> tuple[reports.ReasonReport, ...]:
        """What can be told of the next phase without running its checks."""
        position = record.position if record else Position()
        if position.state is State.CONTRACTED or position.direction is Direction.BACK:
            return ()
        phase = PHASES[STATES.index(position.state)]
        begins = phase is Phase.EXPAND
        weighed = replace(
            case(
                plan,
                branch,
                record,
                phase,
                required=self._stage.project.required_by(branch),
                history=recorded,
                open_plans=neighbours(plan, others) if begins else {},
            ),
            approvals=self._stage.project.branch(branch).approvals,
            actor=self._stage.actor,
        )
        return tuple(map(reason_report, (*judge(weighed), *(unreadable(branch, others) if begins else ()))))

    def _without_file(self, record: Record, branch: str) -> reports.ReasonReport:
        back = _way_back(record, branch)
        return reports.ReasonReport(
            code="no_file",
            message=f"there is no file {self._stage.project.plans}/{record.plan}.yaml for what is under way here",
            remedy=f"bring it back, or {back}" if back else "bring it back",
        )

    def _next_command(
        self,
        name: str,
        branch: str,
        record: Record | None,
        reasons: tuple[reports.ReasonReport, ...],
        *,
        readable: bool,
    ) -> str | None:
        """Return what to run next, so that it works: what would be refused gives way to what its reason asks for."""
        if not readable:
            return f"ecm plan validate {name}"
        if any(reason.code == "plan_changed" for reason in reasons):
            return _way_back(record, branch)
        if reasons:
            return next((reason.remedy for reason in reasons if reason.remedy.startswith("ecm ")), None)
        over = record is not None and record.undo_until is not None and record.now >= record.undo_until
        return self._stage.next_command(name, branch, record.position if record else Position(), undoable=not over)


def _attested(recorded: History, branch: str, plan: Plan | None) -> tuple[reports.AttestationReport, ...]:
    standing = recorded.attested(branch=branch, checksum=checksum(plan)) if plan else ()
    return tuple(
        reports.AttestationReport(claim=each.claim, version=each.version, actor=each.actor, at=each.at)
        for each in standing
    )


def _overridden(recorded: History, branch: str, plan: Plan | None) -> tuple[reports.OverrideReport, ...]:
    found = recorded.overridden(branch=branch, checksum=checksum(plan)) if plan else ()
    return tuple(
        reports.OverrideReport(
            phase=each.phase, code=each.code, message=each.message, reason=each.reason, actor=each.actor, at=each.at
        )
        for each in found
    )


def _way_back(record: Record | None, branch: str) -> str | None:
    """Return the command that undoes what was begun, which needs the text that was begun and no file."""
    if record is None or record.at_rest or as_begun(record) is None:
        return None
    return f"ecm rollback {record.plan} --branch {branch}"


def to_verify(plan: str, branch: str) -> str:
    """Return the command that names what a sync trigger off its post let pass, and how to set it right."""
    return f"ecm verify {plan} --branch {branch}"


def sync_triggers(connection: Connection, record: Record) -> tuple[tuple[TableName, str], ...]:
    """Return the trigger of each of a plan's tables that is always there; none where its text cannot be read.

    Where a type changes at once, expand made no trigger, and the plan's text alone does not tell.
    """
    plan = as_begun(record)
    if plan is None:
        return ()
    if record.position.kept and record.position.direction is None:
        return sentry.watched(record.undo_watch or {})
    made = "\n".join(journal.statements(connection, record.plan, Phase.EXPAND))
    found = ((table, trigger_name(plan.plan, table)) for table in scope.synced(plan))
    return tuple((table, name) for table, name in found if sql.Identifier(name).as_string(None) in made)
