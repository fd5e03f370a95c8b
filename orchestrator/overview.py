"""Looking at every branch at once: where each plan is, and whether each branch can be worked on."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from orchestrator import reports
from orchestrator.engine import checkup, journal, sentry
from orchestrator.engine.journal import Record
from orchestrator.errors import EcmError, UsageError
from orchestrator.judgement import case
from orchestrator.ledger import Entry
from orchestrator.plan import compile as compiler
from orchestrator.plan.checksum import checksum
from orchestrator.plan.gates import Passage, completed, judge
from orchestrator.plan.lifecycle import PHASES, STATES, Direction, Phase, Position, State
from orchestrator.plan.model import Plan
from orchestrator.records import last_state, passages
from orchestrator.reporting import in_progress, reason_report, step_done, sweep_progress
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.sync import trigger_name
from orchestrator.stage import Stage


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What a branch's journal says of all plans."""

    as_of: datetime | None
    records: dict[str, Record]
    sweeps: dict[str, tuple[journal.SweepRecord, ...]]
    steps: dict[str, tuple[journal.StepRecord, ...]]
    absent: dict[str, tuple[str, ...]]
    """Sync triggers that are not on their post."""


class Overview:
    """Looks at a stage's branches, all at the same time."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def summary(self, name: str) -> reports.PlanSummary:
        """Return what a plan's file says, or what is wrong with it."""
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
        )

    def audit(self) -> reports.AuditReport:
        """Check the ledger's chain."""
        with closing(self._stage.ledger()) as ledger:
            found = ledger.verify()
        return reports.AuditReport(
            ledger=self._stage.ledger_name,
            entries=found.entries,
            problems=tuple(reports.AuditProblem(seq=p.seq, kind=p.kind, message=p.message) for p in found.problems),
        )

    def doctor(self, branch: str | None = None) -> reports.DoctorReport:
        """Look at connections, privileges, long transactions and leftovers."""
        names = (branch,) if branch else tuple(self._stage.project.branches)
        if branch:
            self._stage.project.branch(branch)
        with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
            per_branch = [finding for findings in pool.map(self._examine, names) for finding in findings]
        return reports.DoctorReport(findings=(*per_branch, self._examine_ledger()))

    def _examine(self, branch: str) -> tuple[reports.Finding, ...]:
        try:
            with self._stage.open(branch) as connection:
                plans = tuple(str(name) for name in self._stage.workspace.plan_names())
                found = checkup.examine(connection, known_plans=plans)
        except EcmError as error:
            text = "; ".join((error.message, *error.details))
            return (
                reports.Finding(branch=branch, subject="connection", ok=False, message=text, remedy=error.hint or ""),
            )
        return tuple(
            reports.Finding(branch=branch, subject=f.subject, ok=f.ok, message=f.message, remedy=f.remedy)
            for f in found
        )

    def _examine_ledger(self) -> reports.Finding:
        try:
            found = self.audit()
        except EcmError as error:
            text = "; ".join((error.message, *error.details))
            return reports.Finding(branch=None, subject="ledger", ok=False, message=text, remedy=error.hint or "")
        whole = not found.problems
        message = f"{found.ledger}, {found.entries} entries, " + ("the chain holds" if whole else "the chain is broken")
        return reports.Finding(
            branch=None, subject="ledger", ok=whole, message=message, remedy="" if whole else "ecm audit verify"
        )

    def status(self, plan: str | None = None, branch: str | None = None) -> reports.StatusReport:
        """Return where every plan is on every branch; the branches are asked at the same time."""
        branches = (branch,) if branch else tuple(self._stage.project.branches)
        for name in branches:
            self._stage.project.branch(name)
        found = self._stage.workspace.plans()
        plans = {each.plan: each for each in found.plans}
        if plan and plan not in plans:
            plans = {plan: self._stage.workspace.plan(plan)}
        names = [plan] if plan else list(self._stage.workspace.plan_names())
        broken = {name: self.summary(name).error for name in names if name not in plans}
        with ThreadPoolExecutor(max_workers=len(branches)) as pool:
            answers = dict(zip(branches, pool.map(self._ask, branches), strict=True))
        entries = self._stage.entries(None)
        return reports.StatusReport(
            project=self._stage.project.project,
            ledger=self._stage.ledger_name,
            branches=branches,
            plans=tuple(
                reports.PlanStatus(
                    plan=name,
                    checksum=checksum(plans[name]) if name in plans else None,
                    description=plans[name].description if name in plans else "",
                    branches=tuple(
                        self._branch_status(name, plans.get(name), each, answers[each], entries) for each in branches
                    ),
                    error=broken.get(name),
                )
                for name in names
            ),
        )

    def _ask(self, branch: str) -> "_Answer | EcmError":
        try:
            with self._stage.open(branch) as connection:
                records = journal.read_all(connection)
                row = connection.execute("SELECT pg_catalog.clock_timestamp()").fetchone()
                return _Answer(
                    as_of=row[0] if row else None,
                    records={record.plan: record for record in records},
                    sweeps={
                        r.plan: journal.sweeps(connection, r.plan)
                        for r in records
                        if r.position.phase is Phase.BACKFILL
                    },
                    steps={record.plan: journal.steps(connection, record.plan) for record in records},
                    absent={
                        record.plan: sentry.absent(connection, _sync_triggers(record))
                        for record in records
                        if record.position.state not in (State.PLANNED, State.CONTRACTED)
                    },
                )
        except EcmError as error:
            return error

    def _branch_status(
        self, name: str, plan: Plan | None, branch: str, answer: "_Answer | EcmError", entries: tuple[Entry, ...]
    ) -> reports.BranchStatus:
        mine = tuple(entry for entry in entries if entry.plan == name)
        required = self._stage.project.required_by(branch)
        if isinstance(answer, EcmError):
            known = last_state(mine, branch)
            return reports.BranchStatus(
                branch=branch,
                state=known[0] if known else State.PLANNED,
                source="ledger" if known else "none",
                as_of=known[1].happened_at if known else None,
                error=answer.message,
                requires=required,
            )
        record = answer.records.get(name)
        position = record.position if record else Position()
        reasons = self._status_reasons(plan, branch, record, passages(mine)) if plan else ()
        remedy = f"ecm verify {name} --branch {branch}"
        reasons += tuple(
            reports.ReasonReport(code="sync_trigger", message=line, remedy=remedy)
            for line in answer.absent.get(name, ())
        )
        proven = completed(passages(mine), branch=branch, checksum=checksum(plan)) if plan else frozenset[Phase]()
        return reports.BranchStatus(
            branch=branch,
            state=position.state,
            state_since=record.state_since if record else None,
            in_progress=in_progress(record, branch),
            progress=sweep_progress(answer.sweeps.get(name, ())),
            blocked_by=reasons,
            next_command=self._stage.next_command(name, branch, position),
            source="journal",
            as_of=answer.as_of,
            verified_at=record.verified_at if record else None,
            requires=required,
            steps=tuple(step_done(step) for step in answer.steps.get(name, ())),
            evidence=tuple(phase for phase in PHASES if phase in proven),
        )

    def _status_reasons(
        self, plan: Plan, branch: str, record: Record | None, history: tuple[Passage, ...]
    ) -> tuple[reports.ReasonReport, ...]:
        """What can be told of the next phase without running its checks."""
        position = record.position if record else Position()
        if position.state is State.CONTRACTED or position.direction is Direction.BACK:
            return ()
        weighed = case(
            plan,
            branch,
            record,
            PHASES[STATES.index(position.state)],
            required=self._stage.project.required_by(branch),
            history=history,
        )
        return tuple(reason_report(reason) for reason in judge(weighed))


def _sync_triggers(record: Record) -> tuple[tuple[TableName, str], ...]:
    """Return the trigger of each of a plan's tables that is always there; none where its text cannot be read."""
    try:
        plan = Plan.model_validate(record.recorded)
    except ValidationError:
        return ()
    return tuple((table, trigger_name(plan.plan, table)) for table in compiler.tables(plan))
