"""The use cases: what a person or a script can ask for. Load, judge, compile, run, record.

Also the Python API. Everything comes in as arguments, every answer is a value of
`orchestrator.reports`, everything that is refused is an error of `orchestrator.errors`.
"""

import os
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg import sql

from orchestrator import reports
from orchestrator.actor import actor, holder
from orchestrator.branches import Provider, provider_for
from orchestrator.engine import catalog, checkup, journal
from orchestrator.engine.connection import Connection, Link, connect, explained, unforeseen
from orchestrator.engine.heartbeat import heartbeat
from orchestrator.engine.journal import Lease, Record
from orchestrator.engine.runner import Runner, Task
from orchestrator.engine.verification import verify
from orchestrator.errors import EcmError, LeaseError, PreconditionError, RefusedError, TamperingError, UsageError
from orchestrator.events import Observer, Waiting, ignore
from orchestrator.ledger import Entry, Ledger
from orchestrator.operations import Operation
from orchestrator.plan import compile as compiler
from orchestrator.plan.checksum import checksum
from orchestrator.plan.gates import Case, CheckResult, Passage, Reason, completed, judge
from orchestrator.plan.lifecycle import (
    PHASES,
    STATES,
    Direction,
    Move,
    Phase,
    Position,
    State,
    backward_moves,
    forward_moves,
    previous_move,
)
from orchestrator.plan.model import Plan
from orchestrator.plan.schema import render_plan
from orchestrator.records import copy_moves, last_state, passages
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import verbatim
from orchestrator.sql.steps import ConcurrentIndex, Step
from orchestrator.words import did_you_mean, listed
from orchestrator.workspace import Workspace

Named = TypeVar("Named", State, Phase)
Consent = Callable[[reports.AdvanceReport], None]

LEASE_PATIENCE = 15.0
"""Seconds to wait for another holder's session to end; that of a killed ecm does so within two."""
RECONNECT_PATIENCE = 120.0
"""Seconds to try to come back after a session was lost."""


def _allow(_: reports.AdvanceReport) -> None:
    """Consent to everything."""


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """A plan on a branch, with what is known of it before anything is done."""

    plan: Plan
    branch: str
    connection: Connection
    record: Record | None

    @property
    def position(self) -> Position:
        return self.record.position if self.record else Position()


class Conductor:
    """Everything ecm does, for one project.

    Args:
        workspace: the project on disk.
        observer: told what happens while a phase runs.
        sleep: how to wait.
    """

    def __init__(
        self, workspace: Workspace, *, observer: Observer = ignore, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._workspace = workspace
        self._project = workspace.project
        self._observer = observer
        self._sleep = sleep

    # ------------------------------------------------------------ plans

    def plan_list(self) -> reports.PlanListReport:
        """Return every plan file, the broken ones with what is wrong."""
        return self.validate(())

    def validate(self, names: Sequence[str] = ()) -> reports.PlanListReport:
        """Check plan files without a database; all of them where none is named."""
        return reports.PlanListReport(
            plans=tuple(self._summary(name) for name in names or self._workspace.plan_names())
        )

    def _summary(self, name: str) -> reports.PlanSummary:
        path = f"{self._project.plans}/{name}.yaml"
        try:
            plan = self._workspace.plan(name)
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

    def draft(
        self, operation: Operation, *, name: str | None = None, branch: str | None = None, offline: bool = False
    ) -> reports.DraftReport:
        """Write a plan for a change, after a look at its table.

        Args:
            operation: the change.
            name: the plan's name; made from the change where it is None.
            branch: where to look; the project's first where it is None.
            offline: do not look.

        Raises:
            PreconditionError: the table is not as the change needs it.
            ConfigurationError: there is a plan of this name already.
        """
        name = name or operation.slug
        plan = Plan.model_validate(
            {"plan": name, "description": operation.summary, "changes": [operation.model_dump()]}
        )
        branch = branch or next(iter(self._project.branches))
        preview = None
        if not offline:
            with self._open(branch) as connection:
                facts = self._facts(connection, plan)
                self._raise(compiler.unfit(plan, facts))
                preview = self._preview(
                    _Scene(plan=plan, branch=branch, connection=connection, record=None), facts, None
                )
        text = render_plan(plan, schema=self._workspace.schema_reference)
        path = self._workspace.write_plan(text, name)
        return reports.DraftReport(
            plan=name,
            path=Path(os.path.relpath(path, self._workspace.root)).as_posix(),
            text=text,
            preview=preview,
            next_command=f"ecm advance {name} --branch {branch}",
        )

    def preview(self, plan: str | None, branch: str | None = None, phase: str | None = None) -> reports.PreviewReport:
        """Return every statement of a plan's phases as they would run on a branch now."""
        name = self._only(plan)
        branch = branch or next(iter(self._project.branches))
        with self._scene(name, branch) as scene:
            facts = self._facts(scene.connection, scene.plan)
            return self._preview(scene, facts, _named(Phase, phase) if phase else None)

    def _preview(self, scene: _Scene, facts: compiler.Facts, phase: Phase | None) -> reports.PreviewReport:
        plan, state = scene.plan, scene.position.state
        ahead = PHASES[STATES.index(state) :]
        shown = (phase,) if phase else ahead
        obstacles = compiler.problems(plan, ahead[0], facts) if ahead and scene.position.phase is None else ()
        phases = () if any(_is_missing(error) for error in obstacles) else shown
        return reports.PreviewReport(
            plan=plan.plan,
            branch=scene.branch,
            checksum=checksum(plan),
            description=plan.description,
            state=state,
            changes=tuple(change.summary for change in plan.changes),
            tables=tuple(
                reports.TableFacts(table=str(t.name), rows=t.rows, bytes=t.bytes, indexes=len(t.indexes))
                for t in facts.values()
            ),
            phases=tuple(
                reports.PhasePreview(
                    phase=each,
                    deploy=plan.phase(each).deploy,
                    steps=tuple(_step(s, Direction.FORWARD) for s in compiler.steps(plan, each, facts)),
                )
                for each in phases
            ),
            beware=compiler.beware(plan, facts),
            obstacles=tuple(_as_reason(error) for error in obstacles),
            next_command=self._next(plan.plan, scene.branch, scene.position),
        )

    # ------------------------------------------------------------ forward and back

    def advance(
        self,
        plan: str | None,
        branch: str,
        *,
        to: str | None = None,
        dry_run: bool = False,
        consent: Consent = _allow,
    ) -> reports.AdvanceReport:
        """Take a plan one phase on, or as far as a state, on a branch.

        Args:
            plan: its name; the only active one where it is None.
            branch: where.
            to: how far; one phase where it is None.
            dry_run: say what would be done.
            consent: called once with what would be done, before anything is touched; raises to stop it.

        Raises:
            RefusedError: a gate or the lifecycle does not allow it; every reason is in the details.
            PreconditionError, PrivilegeError: the database is not as the plan needs it.
            LockTimeoutError, LeaseError, VerificationError, StatementFailedError: it could not be done;
                nothing half done is left, and the same call carries on.
        """
        name = self._only(plan)
        state = _named(State, to) if to else None

        def moves(scene: _Scene) -> tuple[Move, ...]:
            target = state or STATES[min(STATES.index(scene.position.state) + 1, len(STATES) - 1)]
            found = forward_moves(scene.position, target, plan=name, branch=branch)
            self._judge(scene, tuple(phase for move in found for phase in move.phases))
            self._refuse_obstacles(scene, found[0])
            return found

        with self._scene(name, branch) as scene:
            return self._carry_out(scene, moves, dry_run=dry_run, consent=consent)

    def rollback(
        self,
        plan: str | None,
        branch: str,
        *,
        to: str | None = None,
        dry_run: bool = False,
        consent: Consent = _allow,
    ) -> reports.AdvanceReport:
        """Take a plan one step back, or as far back as a state; the arguments and errors are those of `advance`.

        It follows the text that was begun, whatever has become of the plan's file since.
        """
        name = plan or self._only(None)
        state = _named(State, to) if to else None

        def moves(scene: _Scene) -> tuple[Move, ...]:
            if state is None:
                return (previous_move(scene.position, plan=name, branch=branch),)
            return backward_moves(scene.position, state, plan=name, branch=branch)

        with self._scene(name, branch, as_begun=True) as scene:
            return self._carry_out(scene, moves, dry_run=dry_run, consent=consent)

    def _carry_out(
        self, scene: _Scene, moves: Callable[[_Scene], tuple[Move, ...]], *, dry_run: bool, consent: Consent
    ) -> reports.AdvanceReport:
        """Judge, ask, take the lease, judge again, and make the moves one by one."""
        proposed = moves(scene)
        proposal = self._proposal(scene, proposed)
        if dry_run:
            return proposal
        consent(proposal)
        journal.prepare(scene.connection)
        link = Link(lambda: self._connect(scene.branch), patience=RECONNECT_PATIENCE, sleep=self._sleep)
        done: list[reports.MoveReport] = []
        with link, self._lease(link, scene) as lease:
            runner = Runner(link, lease, scene.branch, observer=self._observer, sleep=self._sleep)
            for number in range(len(proposed)):
                now = self._now(scene, link.connection)
                move = moves(now)[0] if number == 0 else self._next_of(proposed, number, now, moves)
                started = time.monotonic()
                measured = runner.run(self._task(now, move))
                done.append(_moved(move, scene.plan, seconds=time.monotonic() - started, measured=measured))
            warnings = self._copy(link.connection)
            position = self._now(scene, link.connection).position
        return reports.AdvanceReport(
            plan=scene.plan.plan,
            branch=scene.branch,
            dry_run=False,
            moves=tuple(done),
            state=position.state,
            next_command=self._next(scene.plan.plan, scene.branch, position),
            warnings=warnings,
        )

    def _next_of(
        self, proposed: tuple[Move, ...], number: int, now: _Scene, moves: Callable[[_Scene], tuple[Move, ...]]
    ) -> Move:
        """Return the next move, judged anew from where the last one led."""
        self._copy(now.connection)
        if proposed[number].direction is Direction.FORWARD:
            return moves(now)[0]
        return previous_move(now.position, plan=now.plan.plan, branch=now.branch)

    def _proposal(self, scene: _Scene, moves: tuple[Move, ...]) -> reports.AdvanceReport:
        facts = self._facts(scene.connection, scene.plan)
        return reports.AdvanceReport(
            plan=scene.plan.plan,
            branch=scene.branch,
            dry_run=True,
            moves=tuple(
                _moved(
                    move,
                    scene.plan,
                    steps=tuple(
                        _step(step, move.direction)
                        for _, steps in self._steps(scene.plan, move, facts)
                        for step in steps
                    ),
                )
                for move in moves
            ),
            state=scene.position.state,
            next_command=None,
        )

    def _task(self, scene: _Scene, move: Move) -> Task:
        facts = self._facts(scene.connection, scene.plan)
        forward = move.direction is Direction.FORWARD
        recorded = scene.record.recorded if scene.record and not forward else scene.plan.model_dump(mode="json")
        return Task(
            move=move,
            position=scene.position,
            checksum=checksum(scene.plan),
            recorded=recorded,
            actor=self._actor,
            steps=self._steps(scene.plan, move, facts),
            lock_timeout=scene.plan.phase(move.phases[0]).lock_timeout,
            batch_time=scene.plan.backfill.batch_time,
        )

    def _steps(self, plan: Plan, move: Move, facts: compiler.Facts) -> tuple[tuple[Phase, tuple[Step, ...]], ...]:
        if move.direction is Direction.FORWARD:
            return tuple((phase, compiler.steps(plan, phase, facts)) for phase in move.phases)
        filled = STATES.index(move.origin) >= STATES.index(State.BACKFILLED)
        return tuple((phase, compiler.undo(plan, phase, facts, filled=filled)) for phase in move.phases)

    @cached_property
    def _actor(self) -> str:
        return actor(self._workspace.environment, self._workspace.root)

    # ------------------------------------------------------------ what stands in the way

    def gate(self, plan: str | None, branch: str, to: str | None = None) -> reports.GateReport:
        """Return whether a plan may enter the phases that lead to a state on a branch, and every unmet condition."""
        name = self._only(plan)
        with self._scene(name, branch) as scene:
            position = scene.position
            target = _named(State, to) if to else STATES[min(STATES.index(position.state) + 1, len(STATES) - 1)]
            moves = forward_moves(position, target, plan=name, branch=branch)
            reasons = self._reasons(scene, tuple(phase for move in moves for phase in move.phases))
            if not reasons:
                reasons = tuple(_as_reason(error) for error in self._obstacles(scene, moves[0]))
        return reports.GateReport(
            plan=name,
            branch=branch,
            state=position.state,
            to=target,
            allowed=not reasons,
            reasons=reasons,
            next_command=self._next(name, branch, position) if not reasons else None,
        )

    def _judge(self, scene: _Scene, phases: tuple[Phase, ...]) -> None:
        reasons = self._reasons(scene, phases)
        if not reasons:
            return
        lines = [line for reason in reasons for line in (reason.message, *(f"  {r}" for r in [reason.remedy] if r))]
        raise RefusedError(
            f"{scene.plan.plan} may not enter {phases[-1].words} on {scene.branch}",
            details=lines,
            hint=next((reason.remedy for reason in reasons if reason.remedy.startswith("ecm ")), None),
        )

    def _reasons(self, scene: _Scene, phases: tuple[Phase, ...]) -> tuple[reports.ReasonReport, ...]:
        """Judge every phase on the way, so that nothing is begun that could not end where it was meant to."""
        behind = self._project.required_by(scene.branch)
        if behind and self.audit().problems:
            raise TamperingError(
                f"the ledger {self._ledger_name} is not as it was written, so it proves nothing about {listed(behind)}",
                hint="ecm audit verify",
            )
        entries = self._entries(scene.plan.plan)
        found = _judged(self._case(scene, phase, passages(entries)) for phase in phases)
        if any(reason.code == "requires" for reason in found) and self._catch_up(behind):
            entries = self._entries(scene.plan.plan)
            found = _judged(self._case(scene, phase, passages(entries)) for phase in phases)
        return found

    def _catch_up(self, branches: tuple[str, ...]) -> int:
        """Copy what other branches' journals hold and the ledger lacks, after a crash between the two."""
        copied = 0
        with closing(self._ledger()) as ledger:
            for branch in branches:
                try:
                    with self._open(branch) as connection:
                        copied += copy_moves(connection, ledger)
                except EcmError:
                    continue  # a branch that does not answer adds no evidence
        return copied

    def _case(self, scene: _Scene, phase: Phase, history: tuple[Passage, ...]) -> Case:
        plan, record = scene.plan, scene.record
        begins_there = PHASES.index(phase) == STATES.index(scene.position.state)
        return Case(
            plan=plan.plan,
            branch=scene.branch,
            phase=phase,
            position=scene.position,
            checksum=checksum(plan),
            recorded_checksum=record.checksum if record else None,
            required=self._project.required_by(scene.branch),
            passages=history,
            checks=tuple(self._check(scene.connection, c.name, c.sql, c.expect) for c in plan.phase(phase).checks)
            if begins_there
            else (),
            soak=plan.migrate_reads.soak,
            state_since=record.state_since if record else None,
            now=record.now if record else None,
            open_plans=self._neighbours(scene) if phase is Phase.EXPAND else (),
        )

    def _check(self, connection: Connection, name: str, query: str, expected: object) -> CheckResult:
        with explained(f"check {name!r}", statement=query), connection.transaction():
            # A check asks and changes nothing; its names are looked up as its author's own session would.
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute("SET LOCAL search_path TO DEFAULT")
            row = connection.execute(verbatim(query)).fetchone()
        found = row[0] if row else None
        return CheckResult(name=name, expected=str(expected), found=str(found), passed=str(found) == str(expected))

    def _neighbours(self, scene: _Scene) -> tuple[str, ...]:
        """Other plans under way on the branch that claim one of the same columns."""
        claims = _claims(scene.plan)
        others = (record for record in journal.read_all(scene.connection) if record.plan != scene.plan.plan)
        return tuple(
            record.plan
            for record in others
            if record.position != Position()
            and record.position != Position(state=State.CONTRACTED)
            and claims & _claims(Plan.model_validate(record.recorded))
        )

    def _refuse_obstacles(self, scene: _Scene, move: Move) -> None:
        self._raise(self._obstacles(scene, move))

    def _obstacles(self, scene: _Scene, move: Move) -> tuple[EcmError, ...]:
        if move.resumes and journal.steps(scene.connection, scene.plan.plan):
            return ()  # what was begun is carried on
        return compiler.problems(scene.plan, move.phases[0], self._facts(scene.connection, scene.plan))

    @staticmethod
    def _raise(problems: Sequence[EcmError]) -> None:
        """Raise the first problem, with the others among its details."""
        if not problems:
            return
        first, *others = problems
        if others:
            first.details = (
                *first.details,
                *(line for o in others for line in ("", o.message, *o.details, o.hint or "")),
            )
        raise first

    # ------------------------------------------------------------ looking

    def verify(self, plan: str | None, branch: str) -> reports.VerifyReport:
        """Scan a plan's tables on a branch for rows whose two sides do not follow from one another.

        Raises:
            RefusedError: there are no two sides: the plan has not begun, or is contracted.
        """
        name = plan or self._only(None)
        with self._scene(name, branch, as_begun=True) as scene:
            if scene.position.state in (State.PLANNED, State.CONTRACTED):
                raise RefusedError(
                    f"{name} is {scene.position.state.words} on {branch}; there are no two sides to compare",
                    hint="ecm status",
                )
            facts = self._facts(scene.connection, scene.plan)
            proofs = compiler.proofs(scene.plan, facts, "verify")
            with explained(f"verification of {name}"):
                verdicts = [verify(scene.connection, proof) for proof in proofs]
            return reports.VerifyReport(
                plan=name,
                branch=branch,
                rows=sum(verdict.rows for verdict in verdicts),
                mismatches=sum(verdict.mismatches for verdict in verdicts),
                samples=tuple(
                    reports.SampleReport(table=str(v.table), key=s.key, old=s.old, new=s.new)
                    for v in verdicts
                    for s in v.samples
                ),
                not_invertible=sum(verdict.not_invertible for verdict in verdicts),
                next_command=self._next(name, branch, scene.position),
            )

    def history(self, plan: str | None = None) -> reports.HistoryReport:
        """Return the ledger's entries, of one plan or of all."""
        entries = self._entries(plan)
        return reports.HistoryReport(
            plan=plan,
            entries=tuple(
                reports.HistoryEntry(**entry.model_dump(include=set(reports.HistoryEntry.model_fields)))
                for entry in entries
            ),
        )

    def audit(self) -> reports.AuditReport:
        """Check the ledger's chain."""
        with closing(self._ledger()) as ledger:
            found = ledger.verify()
        return reports.AuditReport(
            ledger=self._ledger_name,
            entries=found.entries,
            problems=tuple(reports.AuditProblem(seq=p.seq, kind=p.kind, message=p.message) for p in found.problems),
        )

    def doctor(self, branch: str | None = None) -> reports.DoctorReport:
        """Look at connections, privileges, long transactions and leftovers."""
        names = (branch,) if branch else tuple(self._project.branches)
        if branch:
            self._project.branch(branch)
        with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
            per_branch = [finding for findings in pool.map(self._examine, names) for finding in findings]
        return reports.DoctorReport(findings=(*per_branch, self._examine_ledger()))

    def _examine(self, branch: str) -> tuple[reports.Finding, ...]:
        try:
            with self._open(branch) as connection:
                plans = tuple(str(name) for name in self._workspace.plan_names())
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
        branches = (branch,) if branch else tuple(self._project.branches)
        for name in branches:
            self._project.branch(name)
        found = self._workspace.plans()
        plans = {each.plan: each for each in found.plans}
        if plan and plan not in plans:
            plans = {plan: self._workspace.plan(plan)}
        names = [plan] if plan else list(self._workspace.plan_names())
        broken = {name: self._summary(name).error for name in names if name not in plans}
        with ThreadPoolExecutor(max_workers=len(branches)) as pool:
            answers = dict(zip(branches, pool.map(self._ask, branches), strict=True))
        entries = self._entries(None)
        return reports.StatusReport(
            project=self._project.project,
            ledger=self._ledger_name,
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
            with self._open(branch) as connection:
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
                )
        except EcmError as error:
            return error

    def _branch_status(
        self, name: str, plan: Plan | None, branch: str, answer: "_Answer | EcmError", entries: tuple[Entry, ...]
    ) -> reports.BranchStatus:
        mine = tuple(entry for entry in entries if entry.plan == name)
        required = self._project.required_by(branch)
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
        reasons = self._status_reasons(plan, branch, position, record, passages(mine)) if plan else ()
        proven = completed(passages(mine), branch=branch, checksum=checksum(plan)) if plan else frozenset[Phase]()
        return reports.BranchStatus(
            branch=branch,
            state=position.state,
            state_since=record.state_since if record else None,
            in_progress=_in_progress(record),
            progress=_sweep_progress(answer.sweeps.get(name, ())),
            blocked_by=reasons,
            next_command=self._next(name, branch, position),
            source="journal",
            as_of=answer.as_of,
            verified_at=record.verified_at if record else None,
            requires=required,
            steps=tuple(_step_done(step) for step in answer.steps.get(name, ())),
            evidence=tuple(phase for phase in PHASES if phase in proven),
        )

    def _status_reasons(
        self, plan: Plan, branch: str, position: Position, record: Record | None, history: tuple[Passage, ...]
    ) -> tuple[reports.ReasonReport, ...]:
        """What can be told of the next phase without running its checks."""
        if position.state is State.CONTRACTED or position.direction is Direction.BACK:
            return ()
        case = Case(
            plan=plan.plan,
            branch=branch,
            phase=PHASES[STATES.index(position.state)],
            position=position,
            checksum=checksum(plan),
            recorded_checksum=record.checksum if record else None,
            required=self._project.required_by(branch),
            passages=history,
            soak=plan.migrate_reads.soak,
            state_since=record.state_since if record else None,
            now=record.now if record else None,
        )
        return tuple(_reason(reason) for reason in judge(case))

    # ------------------------------------------------------------ opening things

    @cached_property
    def _provider(self) -> Provider:
        return provider_for(
            self._project.provider.kind, self._project.branches, self._workspace.root, self._workspace.environment
        )

    def _connect(self, branch: str) -> Connection:
        self._project.branch(branch)
        return connect(self._provider.address(branch).url, branch=branch)

    @contextmanager
    def _open(self, branch: str) -> Generator[Connection]:
        with closing(self._connect(branch)) as connection:
            try:
                yield connection
            except psycopg.Error as error:
                raise unforeseen(error, branch) from error

    @contextmanager
    def _scene(self, name: str, branch: str, *, as_begun: bool = False) -> Generator[_Scene]:
        """Open a plan on a branch.

        Args:
            name: the plan.
            branch: where.
            as_begun: take the text that was begun there, whatever the file says now.
        """
        self._project.branch(branch)
        plan = None if as_begun else self._workspace.plan(name)
        with self._open(branch) as connection:
            record = journal.read(connection, name)
            if plan is None and record is not None and record.position != Position():
                plan = Plan.model_validate(record.recorded)
            yield _Scene(plan=plan or self._workspace.plan(name), branch=branch, connection=connection, record=record)

    def _now(self, scene: _Scene, connection: Connection) -> _Scene:
        """Return the scene as it is now."""
        return _Scene(
            plan=scene.plan,
            branch=scene.branch,
            connection=connection,
            record=journal.read(connection, scene.plan.plan),
        )

    def _facts(self, connection: Connection, plan: Plan) -> dict[compiler.TableName, Table]:
        """Return the facts of a plan's tables; a standby cannot be asked everything, and is of no use anyway."""
        _refuse_standby(connection)
        renames: dict[compiler.TableName, list[tuple[str, str]]] = {}
        for change in plan.changes:
            renames.setdefault(change.target, []).extend(change.renames())
        return {table: catalog.read_table(connection, table, renames=pairs) for table, pairs in renames.items()}

    @contextmanager
    def _lease(self, link: Link, scene: _Scene) -> Generator[Lease]:
        """Hold the lease on the plan in this database while the block runs."""
        plan = scene.plan.plan
        until, attempt = time.monotonic() + LEASE_PATIENCE, 0
        while (lease := journal.try_lease(link.connection, plan, holder())) is None:
            attempt += 1
            if time.monotonic() > until:
                raise _taken(link.connection, scene)
            self._observer(Waiting(what=plan, why="another ecm is at work on it", attempt=attempt, seconds=0.5))
            self._sleep(0.5)
        with heartbeat(lambda: self._connect(scene.branch), lease):
            writer = journal.Writer(connection=link.connection, lease=lease, branch=scene.branch)
            if scene.record is not None and scene.record.branch != scene.branch:
                writer.adopt()
            try:
                yield lease
            finally:
                # After Ctrl-C or a lost session there may be nothing to give it back with; it ends with the session.
                with suppress(psycopg.Error):
                    if link.current is not None and not link.current.closed:
                        journal.release(link.current, lease)

    # ------------------------------------------------------------ the ledger

    def _ledger(self) -> Ledger:
        return Ledger(self._workspace.ledger_url)

    @property
    def _ledger_name(self) -> str:
        if self._project.ledger_env:
            return f"${self._project.ledger_env}"
        return self._project.ledger.removeprefix("sqlite:///")

    def _entries(self, plan: str | None) -> tuple[Entry, ...]:
        with closing(self._ledger()) as ledger:
            return ledger.entries(plan=plan)

    def _copy(self, connection: Connection) -> tuple[str, ...]:
        """Copy the journal's moves to the ledger; what cannot be copied now is left to the next command."""
        try:
            with closing(self._ledger()) as ledger:
                copy_moves(connection, ledger)
        except EcmError as error:
            return (f"the ledger was not reached and will be told by the next command: {error.message}",)
        return ()

    # ------------------------------------------------------------ names

    def _only(self, plan: str | None) -> str:
        """Return the plan's name; where none is given, that of the only one that is not contracted everywhere."""
        if plan is not None:
            return plan
        names = self._workspace.plan_names()
        if len(names) > 1:
            open_ones = [each.plan for each in self.status().plans if any(_is_open(b) for b in each.branches)]
            names = tuple(open_ones) or names
        if len(names) == 1:
            return names[0]
        if not names:
            raise UsageError("there is no plan yet", hint="ecm plan rename-column TABLE COLUMN NEW_NAME")
        raise UsageError(f"several plans are active: {', '.join(names)}", hint="name one: ecm … PLAN")

    def _next(self, plan: str, branch: str, position: Position) -> str | None:
        if position.direction is Direction.BACK:
            return f"ecm rollback {plan} --branch {branch}"
        if position.state is not State.CONTRACTED:
            return f"ecm advance {plan} --branch {branch}"
        following = [name for name in self._project.branches if branch in self._project.branches[name].requires]
        return f"ecm advance {plan} --branch {following[0]}" if following else None


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What a branch's journal says of all plans."""

    as_of: datetime | None
    records: dict[str, Record]
    sweeps: dict[str, tuple[journal.SweepRecord, ...]]
    steps: dict[str, tuple[journal.StepRecord, ...]]


# ---------------------------------------------------------------- values to reports


def _named(kind: type[Named], word: str) -> Named:
    try:
        return kind(word.replace("-", "_"))
    except ValueError:
        names = [each.value for each in kind]
        raise UsageError(f"there is no {kind.__name__.lower()} {word}", details=[did_you_mean(word, names)]) from None


def _claims(plan: Plan) -> frozenset[tuple[str, str]]:
    return frozenset(claim for change in plan.changes for claim in change.claims())


def _judged(cases: "Generator[Case]") -> tuple[reports.ReasonReport, ...]:
    """Return the reasons of several cases, those of the last phase for each code and message once."""
    by_kind = {(reason.code, reason.remedy): _reason(reason) for case in cases for reason in judge(case)}
    return tuple(by_kind.values())


def _reason(reason: Reason) -> reports.ReasonReport:
    return reports.ReasonReport(code=reason.code, message=reason.message, remedy=reason.remedy)


def _as_reason(error: EcmError) -> reports.ReasonReport:
    return reports.ReasonReport(
        code=error.code, message="; ".join(filter(None, (error.message, *error.details))), remedy=error.hint or ""
    )


def _step(step: Step, direction: Direction) -> reports.StepPreview:
    sent = step.statements if direction is Direction.FORWARD else step.inverse
    return reports.StepPreview(
        key=step.key,
        title=step.title,
        sql=";\n".join(statement.as_string(None) for statement in sent),
        lock=step.lock.value if step.lock else None,
        waits=step.lock.waits_for if step.lock else "takes no lock on a table",
        transactional=not isinstance(step, ConcurrentIndex),
        reversible=step.reversible,
        note=step.note,
    )


def _moved(
    move: Move,
    plan: Plan,
    *,
    seconds: float | None = None,
    measured: dict[str, object] | None = None,
    steps: tuple[reports.StepPreview, ...] = (),
) -> reports.MoveReport:
    return reports.MoveReport(
        direction=move.direction,
        origin=move.origin,
        target=move.target,
        phases=tuple(phase.value for phase in move.phases),
        resumes=move.resumes,
        seconds=seconds,
        deploy=plan.phase(move.phases[0]).deploy if move.direction is Direction.FORWARD else "",
        measured=measured or {},
        steps=steps,
    )


def _in_progress(record: Record | None) -> reports.InProgress | None:
    if record is None or record.position.phase is None or record.position.direction is None:
        return None
    return reports.InProgress(
        phase=record.position.phase,
        direction=record.position.direction,
        started_at=record.phase_started_at,
        holder=record.holder or None,
        heartbeat_at=record.heartbeat_at,
        error=record.phase_error,
    )


def _sweep_progress(sweeps: tuple[journal.SweepRecord, ...]) -> reports.SweepProgress | None:
    if not sweeps:
        return None
    current = next((sweep for sweep in sweeps if sweep.next_page < sweep.pages), sweeps[-1])
    seconds = (current.updated_at - current.started_at).total_seconds()
    rate = current.rows / seconds if seconds > 0 else None
    left = (current.pages - current.next_page) * seconds / current.next_page if current.next_page else None
    return reports.SweepProgress(
        done=current.next_page,
        total=current.pages,
        unit="pages",
        rows=current.rows,
        rows_per_second=rate,
        eta_seconds=left,
    )


def _step_done(step: journal.StepRecord) -> reports.StepDone:
    seconds = (step.finished_at - step.started_at).total_seconds() if step.finished_at else None
    return reports.StepDone(
        phase=step.phase,
        key=step.key,
        title=step.title,
        started_at=step.started_at,
        seconds=seconds,
        lock_wait=step.lock_wait,
    )


def _is_open(status: reports.BranchStatus) -> bool:
    return status.state != State.CONTRACTED


def _is_missing(error: EcmError) -> bool:
    return isinstance(error, PreconditionError) and "does not exist" in error.message


def _refuse_standby(connection: Connection) -> None:
    row = connection.execute("SELECT pg_catalog.pg_is_in_recovery()").fetchone()
    if row and row[0]:
        raise PreconditionError(
            f"{connection.info.dbname} at {connection.info.host} is a standby, and cannot be written",
            hint="give the branch the URL of its primary",
        )


def _taken(connection: Connection, scene: _Scene) -> LeaseError:
    record = journal.read(connection, scene.plan.plan)
    who = record.holder if record and record.holder else "unknown"
    since = f"last sign of life {record.heartbeat_at:%H:%M:%S}" if record and record.heartbeat_at else "no sign of life"
    rows = connection.execute(
        sql.SQL(
            "SELECT a.pid FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND a.application_name LIKE 'ecm%' AND a.pid <> pg_catalog.pg_backend_pid()"
        )
    ).fetchall()
    sessions = ", ".join(str(row[0]) for row in rows)
    return LeaseError(
        f"another ecm is at work on {scene.plan.plan} on {scene.branch}",
        details=[f"{who}; {since}" + (f"; its session there has pid {sessions}" if sessions else "")],
        hint="wait for it: ecm status; or, if it is gone for good, end that session: SELECT pg_terminate_backend(pid)",
    )
