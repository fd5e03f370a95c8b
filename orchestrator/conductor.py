"""The use cases: what a person or a script can ask for. Load, judge, compile, run, record.

Also the Python API (docs/python.md); the command line does its work through this class alone. Everything comes in as
arguments, every answer is a value of `orchestrator.reports`, everything that is refused is an error of
`orchestrator.errors`.
"""

import json
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from orchestrator import archive, reports
from orchestrator.branches import Making
from orchestrator.choosing import only
from orchestrator.engine import journal
from orchestrator.errors import RefusedError, UsageError
from orchestrator.events import Observer, ignore
from orchestrator.journey import Consent, Journey, contracts
from orchestrator.judgement import Judgement, onward, uncarried, unseen
from orchestrator.moments import parsed
from orchestrator.neighbours import as_begun
from orchestrator.operations import Operation
from orchestrator.overview import Overview
from orchestrator.plan import facade, window
from orchestrator.plan.checksum import differences, meaning
from orchestrator.plan.gates import Reason, overridable
from orchestrator.plan.lifecycle import (
    STATES,
    Direction,
    Move,
    Phase,
    Position,
    State,
    backward_moves,
    finalizing,
    forward_moves,
    previous_move,
)
from orchestrator.plan.schema import json_schema
from orchestrator.previews import Previews
from orchestrator.proving import Proving
from orchestrator.reporting import error_report, length, named, readers_report, reason_report, sweep_progress
from orchestrator.stage import Scene, Stage
from orchestrator.telling import Telling
from orchestrator.testimony import Testimony, given_reason
from orchestrator.workspace import Workspace, replace_file

if TYPE_CHECKING:
    # What most commands do without is imported where it is used: `ecm status` answers at once.
    from orchestrator import branching
    from orchestrator.branch_reports import BranchChangeReport, BranchDiffReport, BranchListReport
    from orchestrator.branching import Branching
    from orchestrator.detection_reports import DetectReport, InspectReport, SchemaEditReport
    from orchestrator.rehearsal.pull_requests import PullRequests
    from orchestrator.rehearsal.rehearsing import Rehearsing
    from orchestrator.rehearsal_reports import PullRequestReport, RehearsalReport

Approving = Callable[[reports.ApprovalReport], None]


def _allow(_: reports.AdvanceReport) -> None:
    """Consent to everything."""


def _approve(_: reports.ApprovalReport) -> None:
    """Consent to what is shown."""


def _agree(_: "BranchChangeReport") -> None:
    """Consent to what is about to be lost."""


def _ahead(scene: Scene, state: State | None) -> tuple[Move, ...]:
    """Return the moves forward to a state, one of them where there is none; raises as `forward_moves`."""
    position, name, branch = scene.position, scene.plan.plan, scene.branch
    if position.kept and state is None:
        return (finalizing(position, plan=name, branch=branch),)
    target = state or STATES[min(STATES.index(position.state) + 1, len(STATES) - 1)]
    return forward_moves(position, target, plan=name, branch=branch, undoable=window.is_open(scene.plan))


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
        self._telling = Telling(self._stage)
        self._journey = Journey(self._stage, self._telling)
        self._overview = Overview(self._stage)
        self._previews = Previews(self._stage, self._judgement)
        self._testimony = Testimony(self._stage, self._judgement)
        self._proving = Proving(self._stage, self._testimony)

    # ------------------------------------------------------------ the project

    @classmethod
    def open(
        cls,
        path: str | Path = ".",
        *,
        config: str | Path | None = None,
        environment: Mapping[str, str] | None = None,
        observer: Observer = ignore,
    ) -> Self:
        """Open the project that a folder is in, as the command line does.

        Args:
            path: a folder; ecm.yaml is looked for here and upwards.
            config: the project file, instead.
            environment: variables, over those of `.env` beside ecm.yaml; the process's where it is None.
            observer: told what happens while a phase runs.

        Raises:
            ConfigurationError: there is no project file.
            InvalidFileError: the project file or `.env` cannot be read.
        """
        variables = os.environ if environment is None else environment
        found = Workspace.find(Path(path), None if config is None else Path(config), variables)
        return cls(found, observer=observer)

    @staticmethod
    def init(folder: str | Path = ".", *, provider: str = "url") -> tuple[Path, ...]:
        """Make a folder a project; return the files written or added to.

        Raises:
            UsageError: there is no such provider.
            ConfigurationError: the folder is a project already.
        """
        return Workspace.init(Path(folder), provider)

    @staticmethod
    def tools(folder: str | Path = ".") -> tuple[str, ...]:
        """Return the migration tools whose files are in a folder, such as `drizzle`."""
        from orchestrator.toolchains.reading import there

        return there(Path(folder))

    def write_workflows(self) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """Write workflows for GitHub; return the files written, and those that were there and are left as they are.

        Raises:
            ConfigurationError: a file cannot be written.
        """
        from orchestrator import workflows

        return workflows.write(self._workspace)

    @property
    def workspace(self) -> Workspace:
        """The project on disk: what ecm.yaml says (`project`), its plans, the environment."""
        return self._workspace

    # ------------------------------------------------------------ plans

    @staticmethod
    def plan_schema() -> dict[str, object]:
        """Return the JSON Schema of plan files."""
        return json_schema()

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

    def emit(
        self,
        plan: str | None,
        tool: str,
        *,
        part: str | None = None,
        branch: str | None = None,
        folder: str | Path | None = None,
    ) -> reports.EmitReport:
        """Write a plan's parts as migrations of a tool, in its folder, with its records.

        Args:
            plan: its name; the only active one where it is None.
            tool: `drizzle`, `alembic`, `django`, `prisma` or `sql`.
            part: `expand` or `contract`; both where it is None, those that are there already left out.
            branch: whose tables tell what types and defaults are; the project's first where it is None.
            folder: for `sql`: where its files go, from the project's folder, beside whatever tool the project has.

        Raises:
            UsageError: the tool's records cannot tell of what the plan does, or the folder is not in the project's.
            ConfigurationError: there is no such tool here, or it was emitted for another text of the plan.
        """
        from orchestrator.emitting import Emitting

        name = self._only("emit", plan)
        with self._stage.scene(name, branch or next(iter(self._project.branches))) as scene:
            within = None if folder is None else self._stage.workspace.within(folder)
            return Emitting(self._stage).emit(scene, tool, part, within)

    # ------------------------------------------------------------ migrations of other tools

    def detect(
        self,
        files: Sequence[str | Path] = (),
        *,
        base: str | None = None,
        everything: bool = False,
        write: bool = False,
        renames: bool = False,
        tool: str | None = None,
    ) -> "DetectReport":
        """Return what another tool's migrations would break, and which plan does the same safely.

        Args:
            files: migrations to read; those that the project's first branch does not have where nothing is said.
            base: read those that changed since this branch or commit of git.
            everything: read all, each as what ran when those before it had.
            write: write a plan for each statement that none covers.
            renames: take a column that goes, and one like it that comes, for a rename; never assumed otherwise.
            tool: whose migrations, where the project has several: as `emit`.

        Raises:
            UsageError: no such file or commit.
            ConfigurationError: no tool was found, or its command fails.
        """
        from orchestrator.detecting import Detecting

        return Detecting(self._stage).detect(
            [Path(file) for file in files], base=base, everything=everything, write=write, renames=renames, tool=tool
        )

    def inspect(self, tables: Sequence[str] = (), branch: str | None = None) -> "InspectReport":
        """Return tables as PostgreSQL has them on a branch, the project's first where it is None.

        Args:
            tables: table or schema.table; all where none is named.
            branch: where.

        Raises:
            PreconditionError: there is no such table.
        """
        from orchestrator.inspecting import Inspecting

        return Inspecting(self._stage).inspect(tables, branch or next(iter(self._project.branches)))

    def schema_edit(
        self, plan: str, orm: Literal["drizzle", "sqlalchemy"], branch: str | None = None
    ) -> "SchemaEditReport":
        """Return which lines of an ORM's schema come and go in each phase of a plan; no file is written.

        Args:
            plan: its name.
            orm: `drizzle` or `sqlalchemy`.
            branch: whose tables tell what the columns are; the project's first where it is None.

        Raises:
            UsageError: there is no such plan, or what it comes to is not for a schema to say.
        """
        from orchestrator.inspecting import Inspecting

        return Inspecting(self._stage).schema_edit(plan, branch or next(iter(self._project.branches)), orm)

    def write_sarif(self, report: "DetectReport", path: str | Path) -> Path:
        """Write what was found as SARIF 2.1.0, for code review; a file that is there is replaced."""
        from orchestrator.records import ecm_version
        from orchestrator.repository import folder_in_tree
        from orchestrator.sarif import log

        found = log(report, version=ecm_version(), folder=folder_in_tree(self._workspace.root))
        return replace_file(Path(path), json.dumps(found, indent=2) + "\n")

    # ------------------------------------------------------------ forward and back

    def advance(
        self,
        plan: str | None,
        branch: str,
        *,
        to: str | None = None,
        dry_run: bool = False,
        consent: Consent = _allow,
        override: Sequence[str] = (),
        reason: str | None = None,
    ) -> reports.AdvanceReport:
        """Take a plan one phase on, or as far as a state, on a branch.

        Args:
            plan: its name; the only active one where it is None.
            branch: where.
            to: how far; one phase where it is None.
            dry_run: say what would be done.
            consent: called once with what would be done, before anything is touched; raises to stop it.
            override: codes of unmet conditions to let pass this time; it is recorded, with the reason.
            reason: why.

        Raises:
            RefusedError: a gate or the lifecycle does not allow it; every reason is in the details.
            PreconditionError, PrivilegeError: the database is not as the plan needs it.
            LockTimeoutError, LeaseError, VerificationError, StatementFailedError: it could not be done;
                nothing half done is left, and the same call carries on.
        """
        name = self._only("advance", plan, branch)
        state = named(State, to) if to else None
        overrides, why = overridable(override), given_reason(override, reason)
        passed: dict[tuple[Phase, str, str], Reason] = {}
        told: dict[tuple[Phase, str, str], tuple[tuple[str, ...], ...]] = {}

        def moves(scene: Scene) -> tuple[Move, ...]:
            if state is not None and replace(scene.position, kept=False) == Position(state=state):
                return ()
            found = _ahead(scene, state)
            unmet = self._judgement.refuse(scene, tuple(phase for move in found for phase in move.phases), overrides)
            passed.update({(phase, reason.code, reason.subject): reason for phase, reason in unmet})
            self._judgement.refuse_obstacles(scene, found[0])
            return found

        def entering(scene: Scene) -> None:
            # A hook may have added to what is let pass; how much of a time is left is nothing new.
            new = {each: reason for each, reason in passed.items() if told.get(each) != (reason.details, reason.marks)}
            self._testimony.override(scene, new, why)
            told.update({each: (reason.details, reason.marks) for each, reason in new.items()})

        def with_overrides(report: reports.AdvanceReport) -> reports.AdvanceReport:
            return report.model_copy(update={"overridden": tuple(map(reason_report, passed.values()))})

        with self._moving("advance", name, branch, dry_run=dry_run) as scene:
            report = self._journey.make(
                scene,
                moves,
                dry_run=dry_run,
                consent=lambda proposed: consent(with_overrides(proposed)),
                entering=entering,
            )
            return with_overrides(report)

    def finalize(
        self,
        plan: str | None,
        branch: str,
        *,
        now: bool = False,
        dry_run: bool = False,
        consent: Consent = _allow,
    ) -> reports.AdvanceReport:
        """Drop for good what contract keeps within its undo window; the arguments and errors are those of `advance`.

        Args:
            plan: its name.
            branch: where.
            now: do so before that time is over.
            dry_run: say what would be done.
            consent: called once with what would be done.
        """
        name = self._only("finalize", plan, branch)

        def moves(scene: Scene) -> tuple[Move, ...]:
            move = finalizing(scene.position, plan=name, branch=branch)
            self._judgement.refuse(scene, move.phases, hurried=now)
            self._judgement.refuse_obstacles(scene, move)
            return (move,)

        again = {"next_command": f"ecm finalize {name} --branch {branch}" + (" --now" if now else "")}

        def ask(proposal: reports.AdvanceReport) -> None:
            consent(proposal.model_copy(update=again))

        with self._moving("finalize", name, branch, dry_run=dry_run, as_begun=True) as scene:
            report = self._journey.make(scene, moves, dry_run=dry_run, consent=ask)
            return report.model_copy(update=again) if dry_run else report

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
            if state is not None and replace(scene.position, kept=False) == Position(state=state):
                return ()
            if state is None:
                return (previous_move(scene.position, plan=name, branch=branch),)
            return backward_moves(scene.position, state, plan=name, branch=branch)

        with self._moving("rollback", name, branch, dry_run=dry_run, as_begun=True) as scene:
            return self._journey.make(scene, moves, dry_run=dry_run, consent=consent)

    @contextmanager
    def _moving(
        self, command: str, name: str, branch: str, *, dry_run: bool, as_begun: bool = False
    ) -> Generator[Scene]:
        """Yield the scene of a command that moves a plan, with the ledger told of what was moved before.

        What is refused in the block is recorded and told; of a dry run nothing is.
        """
        direction = Direction.BACK if command == "rollback" else Direction.FORWARD
        with self._stage.notices.delivered(), self._stage.scene(name, branch, as_begun=as_begun) as scene:
            self._stage.tell_ledger(scene.connection)
            with (
                self._telling.refusing(scene, direction, dry_run=dry_run),
                self._testimony.refusals(scene, command, dry_run=dry_run),
            ):
                yield scene

    # ------------------------------------------------------------ holding a backfill back

    def pause(self, plan: str | None, branch: str) -> reports.PauseReport:
        """Ask a plan's backfill on a branch to pause; a running one holds back, and none begins until `resume`.

        Raises:
            RefusedError: no backfill is under way there.
        """
        return self._hold(plan, branch, self._stage.actor)

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
            if to and replace(position, kept=False) == Position(state=named(State, to)):
                return self._there(scene)
            moves = _ahead(scene, named(State, to) if to else None)
            target = moves[-1].target
            unmet = self._judgement.weigh(scene, tuple(phase for move in moves for phase in move.phases))
            reasons = tuple(reason_report(reason) for _, reason in unmet)
            if not reasons:
                reasons = tuple(error_report(error) for error in self._judgement.obstacles(scene, moves[0]))
            lost = uncarried(scene, self._stage.facts_of(scene)) if contracts(moves) else ()
            warnings = (*self._stage.notes(scene), *lost, *unseen(scene))
            again = f"ecm {'finalize' if position.kept else 'advance'} {name} --branch {branch}"
            further = onward(scene, reasons) if reasons else again + (f" --to {target}" if to else "")
        return reports.GateReport(
            plan=name,
            branch=branch,
            state=position.state,
            to=target,
            allowed=not reasons,
            reasons=reasons,
            warnings=warnings,
            next_command=further,
        )

    def _there(self, scene: Scene) -> reports.GateReport:
        """Return that nothing stands in the way to where a plan is already."""
        name, branch, state = scene.plan.plan, scene.branch, scene.position.state
        return reports.GateReport(
            plan=name,
            branch=branch,
            state=state,
            to=state,
            allowed=True,
            reasons=(),
            next_command=self._stage.next_command(name, branch, scene.position),
        )

    def diff(self, plan: str | None, branch: str) -> reports.TextReport:
        """Return how a plan's file differs in meaning from the text that a branch is on."""
        name = self._only("plan diff", plan)
        with self._stage.scene(name, branch) as scene:
            begun = as_begun(scene.record) if scene.record and scene.position != Position() else None
            found = differences(meaning(begun), meaning(scene.plan)) if begun else ()
            onward = f"ecm rollback {name} --branch {branch}" if found else f"ecm gate {name} --branch {branch}"
            return reports.TextReport(
                plan=name,
                branch=branch,
                state=scene.position.state,
                begun=begun is not None,
                differences=found,
                next_command=onward,
            )

    # ------------------------------------------------------------ what people say

    def attest(
        self, plan: str | None, branch: str, *, claim: str, version: str, withdraw: bool = False
    ) -> reports.AttestReport:
        """Record what you attest of the application that is deployed beside a branch.

        Args:
            plan: its name; the only active one where it is None.
            branch: where.
            claim: `writes-both`, `reads-new` or `stops-writing-old`.
            version: the version that is deployed, a commit's hash most often.
            withdraw: say that it is no longer so.

        Raises:
            RefusedError: nothing has begun there, or it is over.
        """
        name = self._only("attest", plan, branch)
        with self._stage.scene(name, branch, as_begun=True) as scene:
            self._stage.tell_ledger(scene.connection)
            return self._testimony.attest(scene, claim, version, withdrawn=withdraw)

    def approve(
        self, plan: str | None, branch: str, *, to: str = State.CONTRACTED, consent: Approving = _approve
    ) -> reports.ApprovalReport:
        """Record that you approve of a plan's contract on a branch that asks for approvals.

        Args:
            plan: its name; the only active one where it is None.
            branch: where.
            to: the state that is approved; contracted is the only one that asks for it.
            consent: called once with the evidence, before anything is recorded; raises to stop it.

        Raises:
            RefusedError: the branch asks for none, or the plan is not there yet.
        """
        name = self._only("approve", plan, branch)
        if named(State, to) is not State.CONTRACTED:
            raise UsageError(f"{to} needs no approval", details=["approvals are for contract"], hint="--to contracted")
        with self._stage.scene(name, branch) as scene:
            self._stage.tell_ledger(scene.connection)
            return self._testimony.approve(scene, consent=consent)

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
            return self._proving.verify(scene)

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
            seen = self._stage.usage_of(scene)
            return readers_report(
                scene.plan.plan,
                branch,
                scene.position.state,
                seen,
                next_command=f"ecm gate {name} --branch {branch}"
                if any(use.holds for use in seen.uses)
                else self._stage.next_command(name, branch, scene.position),
            )

    def history(self, plan: str | None = None) -> reports.HistoryReport:
        """Return the ledger's entries, of one plan or of all.

        Raises:
            UsageError: there is neither an entry nor a file of such a plan.
        """
        entries = self._stage.entries(plan)
        if plan is not None:
            # What happened to a branch as a whole happened to a plan that was there.
            there = {entry.branch for entry in entries if entry.plan == plan}
            entries = tuple(entry for entry in entries if entry.plan == plan or entry.branch in there)
        if plan is not None and not entries and plan not in self._stage.workspace.plan_names():
            self._stage.workspace.plan(plan)  # which says what there is; what was removed long ago has its history
        return reports.HistoryReport(
            plan=plan,
            entries=tuple(
                reports.HistoryEntry(**entry.model_dump(include=set(reports.HistoryEntry.model_fields)))
                for entry in entries
            ),
        )

    def audit(self) -> reports.AuditReport:
        """Check the ledger's chain, and compare the ledger with the branches' journals."""
        return self._overview.audit()

    def audit_export(
        self, *, output: str | Path | None = None, plan: str | None = None, force: bool = False
    ) -> reports.ExportReport:
        """Return the ledger as JSON Lines, or write them to a file.

        Args:
            output: the file, written whole or not at all; None to have the lines in the report.
            plan: only this plan's entries.
            force: write over a file that exists.

        Raises:
            ConfigurationError: the file exists, or cannot be written.
        """
        return archive.export(self._stage, output=None if output is None else Path(output), plan=plan, force=force)

    @staticmethod
    def audit_file(file: str | Path) -> reports.AuditReport:
        """Check an export of a ledger, which needs neither the project nor the ledger.

        Raises:
            InvalidFileError: it cannot be read, or is no export.
        """
        return archive.verify(Path(file))

    def doctor(self, branch: str | None = None) -> reports.DoctorReport:
        """Look at connections, privileges, long transactions and leftovers."""
        from orchestrator.doctor import Doctor

        return Doctor(self._stage, self._overview).examine(branch)

    def status(
        self, plan: str | None = None, branch: str | None = None, *, stalled: str | timedelta | None = None
    ) -> reports.StatusReport:
        """Return where every plan is on every branch; the branches are asked at the same time.

        Args:
            plan: only this one.
            branch: only this one.
            stalled: only what has not moved for so long (`30d`), with why and what to do; notices are sent of it.

        Raises:
            UsageError: `stalled` is not a length of time.
        """
        longest = None if stalled is None else length(stalled, "stalled")
        report = self._overview.status(plan, branch)
        if longest is None:
            return report
        found = self._overview.stalled(report, longest)
        with self._stage.notices.delivered():
            self._telling.stalled(found)
        return found

    # ------------------------------------------------------------ rehearsing

    def rehearse(self, plan: str | None, branch: str, *, keep: bool = False) -> "RehearsalReport":
        """Take a plan through its whole cycle on a throwaway copy of a branch, and record how that went.

        Args:
            plan: its name; the only active one where it is None.
            branch: whose data it is tried on.
            keep: leave the copy, to look at it.

        Raises:
            RefusedError: the plan is contracted there.
            EcmError: the copy cannot be made or reached; what the plan itself meets is in the report.
        """
        return self._rehearsing.rehearse(self._only("rehearse", plan, branch), branch, keep=keep)

    def check_pull_request(
        self, branch: str | None = None, *, base: str | None = None, pull_request: int | None = None
    ) -> "PullRequestReport":
        """Rehearse every plan that a pull request changes, each on a branch of its own that is kept for it.

        Args:
            branch: whose data they are tried on; production where it is None.
            base: what the pull request is compared with, as git names it; as GitHub says where it is None.
            pull_request: its number; as GitHub says where it is None.

        Raises:
            UsageError: nobody says which pull request it is.
            ConfigurationError: git does not know what it is compared with.
        """
        return self._pull_requests.check(branch, base=base, pull_request=pull_request)

    def clear_pull_request(self, pull_request: int | None = None) -> "PullRequestReport":
        """Delete the branches that were made for a pull request; arguments and errors as of `check_pull_request`."""
        return self._pull_requests.clear(pull_request)

    @cached_property
    def _pull_requests(self) -> "PullRequests":
        from orchestrator.rehearsal.pull_requests import PullRequests

        return PullRequests(self._stage, self._rehearsing)

    @cached_property
    def _rehearsing(self) -> "Rehearsing":
        from orchestrator.rehearsal.rehearsing import Rehearsing

        return Rehearsing(
            self._stage, lambda workspace, observer: Conductor(workspace, observer=observer, sleep=self._stage.sleep)
        )

    # ------------------------------------------------------------ branches as a whole

    @cached_property
    def _branching(self) -> "Branching":
        from orchestrator.branching import Branching

        return Branching(self._stage)

    def branch_list(self) -> "BranchListReport":
        """Return every branch: its parent, age and size, and where the plans are that were begun there; makes none."""
        return self._branching.listed()

    def branch_create(
        self,
        branch: str,
        *,
        parent: str | None = None,
        at: str | None = None,
        schema_only: bool = False,
        expires: str | timedelta | None = None,
        compute: tuple[float, float] | None = None,
    ) -> "BranchChangeReport":
        """Make a branch from another one.

        Args:
            branch: its name, in ecm.yaml or not.
            parent: the branch that it is made from; the one that ecm.yaml names where it is None.
            at: as the parent was then, a time (ISO 8601) or a place in the WAL.
            schema_only: without rows.
            expires: how long it is kept (`7d`).
            compute: the smallest and the largest size of its compute.

        Raises:
            PreconditionError: there is one already, the parent cannot be copied now, or none can be made so.
            PrivilegeError: the role, or the key, may not.
        """
        making = Making(
            parent=parent,
            at=None if at is None else parsed(at),
            schema_only=schema_only,
            expires_in=None if expires is None else length(expires, "expires"),
            compute=compute,
        )
        return self._branching.create(branch, making)

    def branch_reset(self, branch: str, *, consent: "branching.Consent" = _agree) -> "BranchChangeReport":
        """Make a branch what its parent is now; what was proven on it stays proven.

        Args:
            branch: which.
            consent: called once with what will be lost, before anything is touched; raises to stop it.

        Raises:
            PreconditionError: it has no parent, or that cannot be copied now; the branch is as it was.
            LeaseError: an ecm is at work there.
        """
        return self._branching.reset(branch, consent)

    def branch_delete(
        self, branch: str, *, missing_ok: bool = False, consent: "branching.Consent" = _agree
    ) -> "BranchChangeReport | None":
        """Delete a branch; None where there was none and that is as well; arguments and errors as of `branch_reset`."""
        return self._branching.delete(branch, consent, missing_ok=missing_ok)

    def branch_diff(self, one: str, other: str) -> "BranchDiffReport":
        """Return how the schemas of two branches differ, as PostgreSQL sees them; schema ecm is left out."""
        return self._branching.diff(one, other)

    def branch_restore(
        self, branch: str, to: str, *, keep_as: str | None = None, consent: "branching.Consent" = _agree
    ) -> "BranchChangeReport":
        """Make a branch what it was at a moment: a time, a place in the WAL, or `before-contract`.

        Args:
            branch: which.
            to: the moment.
            keep_as: what it was until now is kept as a branch of this name.
            consent: as for `branch_reset`.

        Raises:
            UsageError: `to` is no moment.
            PreconditionError: the provider cannot go back to it, or none was recorded before a contract.
        """
        return self._branching.restore(branch, to, consent, keep_as=keep_as)

    def branch_stop(self) -> "BranchChangeReport":
        """Stop the server that ecm runs for the project.

        Raises:
            PreconditionError: it runs none.
        """
        return self._branching.stop()

    # ------------------------------------------------------------ names

    def _only(self, command: str, plan: str | None, branch: str | None = None) -> str:
        """Return the plan's name; where none is given, that of the only one that the command could act on."""
        if plan is not None:
            return plan
        return only(command, self._workspace.plan_names(), branch, lambda branch: self.status(branch=branch))
