"""The use cases: what a person or a script can ask for. Load, judge, compile, run, record.

Also the Python API. Everything comes in as arguments, every answer is a value of
`orchestrator.reports`, everything that is refused is an error of `orchestrator.errors`.
"""

import time
from collections.abc import Callable, Sequence

from orchestrator import reports
from orchestrator.actor import actor
from orchestrator.choosing import only
from orchestrator.engine import journal, sentry, usage
from orchestrator.engine.connection import explained
from orchestrator.engine.verification import verify
from orchestrator.errors import RefusedError
from orchestrator.events import Observer, Progress, ignore
from orchestrator.journey import Consent, Journey, contracts
from orchestrator.judgement import Judgement, uncarried
from orchestrator.missing import remedied
from orchestrator.operations import Operation
from orchestrator.overview import Overview
from orchestrator.plan import compile as compiler
from orchestrator.plan import facade
from orchestrator.plan.lifecycle import (
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
from orchestrator.previews import Previews
from orchestrator.reporting import error_report, named, readers_report, sweep_progress
from orchestrator.sql.steps import Proof
from orchestrator.stage import Scene, Stage
from orchestrator.words import NOTHING_TO_COPY
from orchestrator.workspace import Workspace


def _allow(_: reports.AdvanceReport) -> None:
    """Consent to everything."""


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
        self._stage = Stage(workspace, observer=observer, sleep=sleep)
        self._judgement = Judgement(self._stage)
        self._journey = Journey(self._stage)
        self._overview = Overview(self._stage)
        self._previews = Previews(self._stage, self._judgement)

    # ------------------------------------------------------------ plans

    def plan_list(self) -> reports.PlanListReport:
        """Return every plan file, the broken ones with what is wrong."""
        return reports.PlanListReport(
            plans=tuple(self._overview.summary(name) for name in self._workspace.plan_names())
        )

    def validate(self, names: Sequence[str] = ()) -> reports.PlanListReport:
        """Check plan files without a database; all of them where none is named."""
        return reports.PlanListReport(
            plans=tuple(self._overview.summary(name, linted=True) for name in names or self._workspace.plan_names())
        )

    def draft(
        self,
        operation: Operation,
        *,
        name: str | None = None,
        branch: str | None = None,
        offline: bool = False,
        facade_from: int = facade.PROPOSED_FROM,
    ) -> reports.DraftReport:
        """Write a plan for a change, after a look at its table.

        Args:
            operation: the change.
            name: the plan's name; made from the change where it is None.
            branch: where to look; the project's first where it is None.
            offline: do not look.
            facade_from: bytes of a table from which on a rename of a column is proposed behind a facade.

        Raises:
            PreconditionError: the table is not as the change needs it.
            ConfigurationError: there is a plan of this name already.
        """
        return self._previews.draft(operation, name=name, branch=branch, offline=offline, facade_from=facade_from)

    def preview(self, plan: str | None, branch: str | None = None, phase: str | None = None) -> reports.PreviewReport:
        """Return every statement of a plan's phases as they would run on a branch now."""
        name = self._only("plan show", plan)
        branch = branch or next(iter(self._project.branches))
        with self._stage.scene(name, branch) as scene:
            return self._previews.preview(scene, named(Phase, phase) if phase else None)

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
        name = self._only("advance", plan, branch)
        state = named(State, to) if to else None

        def moves(scene: Scene) -> tuple[Move, ...]:
            if state is not None and scene.position == Position(state=state):
                return ()
            target = state or STATES[min(STATES.index(scene.position.state) + 1, len(STATES) - 1)]
            found = forward_moves(scene.position, target, plan=name, branch=branch)
            self._judgement.refuse(scene, tuple(phase for move in found for phase in move.phases))
            self._judgement.refuse_obstacles(scene, found[0])
            return found

        with self._stage.scene(name, branch) as scene:
            self._stage.tell_ledger(scene.connection)
            return self._journey.make(scene, moves, dry_run=dry_run, consent=consent)

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
        name = self._only("rollback", plan, branch)
        state = named(State, to) if to else None

        def moves(scene: Scene) -> tuple[Move, ...]:
            if state is not None and scene.position == Position(state=state):
                return ()
            if state is None:
                return (previous_move(scene.position, plan=name, branch=branch),)
            return backward_moves(scene.position, state, plan=name, branch=branch)

        with self._stage.scene(name, branch, as_begun=True) as scene:
            self._stage.tell_ledger(scene.connection)
            return self._journey.make(scene, moves, dry_run=dry_run, consent=consent)

    # ------------------------------------------------------------ holding a backfill back

    def pause(self, plan: str | None, branch: str) -> reports.PauseReport:
        """Ask a plan's backfill on a branch to pause; a running one holds back, and none begins until `resume`.

        Raises:
            RefusedError: no backfill is under way there.
        """
        return self._hold(plan, branch, actor(self._workspace.environment, self._workspace.root))

    def resume(self, plan: str | None, branch: str) -> reports.PauseReport:
        """Let a plan's backfill on a branch go on; raises as `pause`."""
        return self._hold(plan, branch, None)

    def _hold(self, plan: str | None, branch: str, by: str | None) -> reports.PauseReport:
        name = self._only("pause" if by else "resume", plan, branch)
        with self._stage.scene(name, branch, as_begun=True) as scene:
            record = scene.record
            if (
                record is None
                or record.position.phase is not Phase.BACKFILL
                or record.position.direction is not Direction.FORWARD
            ):
                raise RefusedError(
                    f"no backfill of {name} is under way on {branch}",
                    details=[f"it is {scene.position.state.words}"],
                    hint="ecm status",
                )
            if by is None and record.paused_by is None:
                raise RefusedError(f"the backfill of {name} on {branch} is not paused", hint="ecm status")
            journal.prepare(scene.connection)
            journal.pause(scene.connection, name, by)
            onward = f"ecm resume {name} --branch {branch}" if by else "ecm status --watch"
            return reports.PauseReport(
                plan=name,
                branch=branch,
                paused=by is not None,
                running=record.held,
                progress=sweep_progress(journal.sweeps(scene.connection, name)),
                next_command=onward if record.held or by else f"ecm advance {name} --branch {branch}",
            )

    # ------------------------------------------------------------ what stands in the way

    def gate(self, plan: str | None, branch: str, to: str | None = None) -> reports.GateReport:
        """Return whether a plan may enter the phases that lead to a state on a branch, and every unmet condition."""
        name = self._only("gate", plan, branch)
        with self._stage.scene(name, branch) as scene:
            position = scene.position
            target = named(State, to) if to else STATES[min(STATES.index(position.state) + 1, len(STATES) - 1)]
            moves = forward_moves(position, target, plan=name, branch=branch)
            reasons = self._judgement.reasons(scene, tuple(phase for move in moves for phase in move.phases))
            if not reasons:
                reasons = tuple(error_report(error) for error in self._judgement.obstacles(scene, moves[0]))
            warnings = uncarried(scene, self._stage.facts_of(scene)) if contracts(moves) else ()
        return reports.GateReport(
            plan=name,
            branch=branch,
            state=position.state,
            to=target,
            allowed=not reasons,
            reasons=reasons,
            warnings=warnings,
            next_command=f"ecm advance {name} --branch {branch}" + (f" --to {target}" if to else "")
            if not reasons
            else None,
        )

    # ------------------------------------------------------------ looking

    def verify(self, plan: str | None, branch: str) -> reports.VerifyReport:
        """Scan a plan's tables on a branch for rows whose two sides do not follow from one another.

        Raises:
            RefusedError: there are no two sides to compare: the plan has not begun, is not backfilled
                yet, or is contracted.
            VerificationError: a sync trigger is not on its post.
        """
        name = self._only("verify", plan, branch)
        with self._stage.scene(name, branch, as_begun=True) as scene:
            if scene.position.state in (State.PLANNED, State.CONTRACTED):
                raise RefusedError(
                    f"{name} is {scene.position.state.words} on {branch}; there are no two sides to compare",
                    hint="ecm status",
                )
            facts = self._stage.facts(scene.connection, scene.plan)
            proofs = compiler.proofs(scene.plan, facts, "verify")

            def told(proof: Proof) -> Callable[[int, int, int], None]:
                return lambda done, total, rows: self._stage.observer(
                    Progress(what=f"verify {proof.table}", done=done, total=total, rows=rows)
                )

            with explained(f"verification of {name}"):
                sentry.on_post(scene.connection, compiler.sync_triggers(scene.plan, facts))
                if proofs and scene.position.state is State.EXPANDED:
                    raise RefusedError(
                        f"{name} is not backfilled yet on {branch}; rows that nobody filled are not wrong",
                        details=["the sync trigger is in order, so what is written now reaches both sides"],
                        hint=f"ecm advance {name} --branch {branch}",
                    )
                link = self._stage.link(branch, scene.connection)
                with link, remedied(link, name), explained(f"verification of {name}"):
                    workers = scene.plan.backfill.workers
                    verdicts = [verify(link, proof, workers=workers, progress=told(proof)) for proof in proofs]
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
                expressions=tuple(each for verdict in verdicts for each in verdict.expressions),
                nothing_to_compare=None if proofs else NOTHING_TO_COPY,
                next_command=self._stage.next_command(name, branch, scene.position),
            )

    def readers(self, plan: str | None, branch: str) -> reports.ReadersReport:
        """Return who still reads or writes on a branch what a plan's contract takes away, as far as can be seen.

        Raises:
            RefusedError: the plan is not backfilled yet, so that everybody may, or it is contracted.
        """
        name = self._only("readers", plan, branch)
        with self._stage.scene(name, branch, as_begun=True) as scene:
            if scene.position.state not in (State.BACKFILLED, State.READS_MIGRATED):
                raise RefusedError(
                    f"{name} is {scene.position.state.words} on {branch}",
                    details=["who still uses the old side is looked for from backfilled on, until contract"],
                    hint="ecm status",
                )
            facts = self._stage.facts(scene.connection, scene.plan)
            with explained(f"readers of {name}"):
                seen = usage.observe(scene.connection, scene.plan, facts, scene.record)
            return readers_report(
                scene.plan.plan,
                branch,
                scene.position.state,
                seen,
                next_command=self._stage.next_command(name, branch, scene.position),
            )

    def history(self, plan: str | None = None) -> reports.HistoryReport:
        """Return the ledger's entries, of one plan or of all."""
        entries = self._stage.entries(plan)
        return reports.HistoryReport(
            plan=plan,
            entries=tuple(
                reports.HistoryEntry(**entry.model_dump(include=set(reports.HistoryEntry.model_fields)))
                for entry in entries
            ),
        )

    def audit(self) -> reports.AuditReport:
        """Check the ledger's chain."""
        return self._overview.audit()

    def doctor(self, branch: str | None = None) -> reports.DoctorReport:
        """Look at connections, privileges, long transactions and leftovers."""
        return self._overview.doctor(branch)

    def status(self, plan: str | None = None, branch: str | None = None) -> reports.StatusReport:
        """Return where every plan is on every branch; the branches are asked at the same time."""
        return self._overview.status(plan, branch)

    # ------------------------------------------------------------ names

    def _only(self, command: str, plan: str | None, branch: str | None = None) -> str:
        """Return the plan's name; where none is given, that of the only one that the command could act on."""
        if plan is not None:
            return plan
        return only(command, self._workspace.plan_names(), branch, lambda branch: self.status(branch=branch))
