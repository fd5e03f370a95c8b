"""`ecm rehearse`: a plan's whole cycle on a throwaway copy of a branch, and what it took."""

import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import psycopg

from orchestrator.engine import failing, gauges, journal
from orchestrator.engine.connection import Connection, connect, unforeseen
from orchestrator.engine.synthetic import session
from orchestrator.errors import (
    ConfigurationError,
    ConnectionFailedError,
    EcmError,
    LeaseError,
    RefusedError,
    TamperingError,
    UsageError,
    VerificationError,
)
from orchestrator.events import Observer
from orchestrator.plan import compile as compiler
from orchestrator.plan import scope
from orchestrator.plan.checksum import checksum
from orchestrator.plan.lifecycle import Direction, Position, State
from orchestrator.plan.model import Plan
from orchestrator.records import REHEARSAL
from orchestrator.rehearsal import project
from orchestrator.rehearsal.copies import KEPT, LASTS, Copies, Copy, name_for
from orchestrator.rehearsal.cycle import Cycle, Moving, Watching
from orchestrator.rehearsal.writers import Crew
from orchestrator.rehearsal_reports import FailureReport, ForecastPhase, RehearsalReport, RehearsedPhase
from orchestrator.stage import Scene, Stage
from orchestrator.workspace import Workspace

_SEARCH = 60.0
"""Seconds that rows which an expression fails on are looked for."""

Nested = Callable[[Workspace, Observer], Moving]
"""Gives a conductor for a project that was made for a rehearsal."""

_NOT_THE_PLANS = (ConfigurationError, ConnectionFailedError, LeaseError, TamperingError, UsageError)
"""What stops a rehearsal and says nothing about the plan."""


class NothingLeftError(RefusedError):
    """The plan has been through its whole cycle on the branch."""


@dataclass(frozen=True, kw_only=True)
class _Original:
    """A plan, and the branch that is copied for it, as it was found."""

    plan: Plan
    branch: str
    position: Position
    rows: int | None
    server: tuple[str, str]


class Rehearsing:
    """Rehearses plans on a stage.

    Args:
        stage: the real project.
        nested: gives a conductor for a project of one branch.
    """

    def __init__(self, stage: Stage, nested: Nested) -> None:
        self._stage, self._nested = stage, nested
        self._copies = Copies(stage.provider, stage.workspace.root)

    def rehearse(
        self, name: str, branch: str, *, keep: bool = False, copy_name: str | None = None, previewed: bool = False
    ) -> RehearsalReport:
        """Take a plan through its cycle on a copy of a branch, and record how that went.

        Args:
            name: the plan.
            branch: whose data it is tried on.
            keep: leave the copy.
            copy_name: of the copy, in the place of one that has it already; one of its own where it is None.
            previewed: with the plan's statements.

        Raises:
            NothingLeftError: the plan is contracted there, so that nothing is left to rehearse.
            EcmError: the copy cannot be made or reached; what the plan itself meets is in the report.
        """
        self._stage.project.branch(branch)
        plan = self._stage.workspace.plan(name)
        notes = self._copies.clear()
        original = self._original(plan, branch)
        if original.position.state is State.CONTRACTED and not original.position.kept:
            raise NothingLeftError(
                f"{name} is contracted on {branch}, so there is nothing left to rehearse",
                hint=f"ecm history {name}",
            )
        made = self._copies.made(
            copy_name or name_for(name),
            parent=branch,
            keep=keep,
            anew=copy_name is not None,
            lasts=(KEPT if keep else LASTS) if self._stage.provider.expires else None,
        )
        with made as copy:
            report = _Rehearsal(self._stage, self._nested, copy, original).run(previewed=previewed)
        report = report.model_copy(update={"notes": (*notes, *report.notes), "kept": keep})
        self._record(plan, branch, report)
        return report

    def _original(self, plan: Plan, branch: str) -> _Original:
        # Its session is over before the copy is made, which some servers make only of what nobody uses.
        with self._stage.open(branch) as connection:
            record = journal.read(connection, plan.plan)
            return _Original(
                plan=plan,
                branch=branch,
                position=record.position if record else Position(),
                rows=gauges.rows(connection, scope.tables(plan)),
                server=gauges.server(connection),
            )

    def _record(self, plan: Plan, branch: str, report: RehearsalReport) -> None:
        with self._stage.open(branch) as connection:
            stopped = report.failure.phase if report.failure else None
            self._stage.note(
                # The text that was rehearsed: the file may say something else by now, and so may the branch's journal.
                Scene(plan=plan, branch=branch, connection=connection, record=None),
                REHEARSAL,
                {
                    "passed": report.passed,
                    "stopped": stopped,
                    "message": report.failure.message if report.failure else None,
                    "copy": report.copy_name,
                    "seconds": round(report.seconds, 3),
                    "rows": report.rows,
                    "measured_on": report.measured_on,
                    "phases": [
                        {
                            "phase": each.phase,
                            "direction": each.direction,
                            "seconds": round(each.seconds, 3),
                            "lock_wait": round(each.lock_wait, 3),
                            "lock_held": round(each.lock_held, 3),
                            "writer_wait": None if each.writer_wait is None else round(each.writer_wait, 3),
                            "wal": each.wal,
                            "disk": each.disk,
                        }
                        for each in report.phases
                    ],
                    "writer_errors": sum(each.times for each in report.writer_errors),
                },
            )


class _Rehearsal:
    """One run on one copy."""

    def __init__(self, stage: Stage, nested: Nested, copy: Copy, original: _Original) -> None:
        self._stage, self._copy, self._original = stage, copy, original
        self._plan, self._branch = original.plan, original.branch
        self._url = stage.provider.address(copy.name).url
        self._watching = Watching(stage.observer, branch=self._branch, copy=copy.name)
        here = project.apart(stage.workspace, self._plan, self._branch, self._url, copy.folder, actor=stage.actor)
        self._moving = nested(here, self._watching)
        self._rehearsed = project.as_rehearsed(self._plan)
        self._notes: list[str] = []

    def run(self, *, previewed: bool) -> RehearsalReport:
        """Go through the cycle; return what came of it, with the plan's statements if wanted."""
        started = time.monotonic()
        failure, preview = None, None
        with self._session() as connection:
            server, rows = gauges.server(connection), gauges.rows(connection, scope.tables(self._plan))
            cycle = Cycle(
                self._rehearsed,
                self._branch,
                moving=self._moving,
                connection=connection,
                watching=self._watching,
                gather=lambda: self._gathered(connection),
            )
            try:
                self._from_the_start()
                preview = self._moving.preview(self._plan.plan, self._branch) if previewed else None
                cycle.run()
            except _NOT_THE_PLANS:
                raise
            except EcmError as error:
                failure = _failure(error, cycle.under_way.says if cycle.under_way else "before expand")
                failure = failure.model_copy(update={"details": (*failure.details, *self._failing(connection, cycle))})
            finally:
                cycle.crew.end()
            failure = failure or _unlike(cycle) or _unwelcome(cycle.crew, self._branch)
            changed = cycle.changed() if failure is None else ()
        report = self._report(cycle, failure, changed, server=server, rows=rows)
        return report.model_copy(update={"preview": preview, "seconds": time.monotonic() - started})

    def _failing(self, connection: Connection, cycle: Cycle) -> tuple[str, ...]:
        """Return the rows that an expression fails on, where that kept the plan from beginning, a line each."""
        if cycle.phases:
            return ()
        found: list[str] = []
        with suppress(EcmError, psycopg.Error):
            facts = self._stage.facts(connection, self._rehearsed)
            for _, table, step in compiler.trials(self._rehearsed, facts):
                for _, statement in step.thorough:
                    rows = failing.rows(connection, table, statement, seconds=_SEARCH)
                    found += [f"{table.name}: {row}" for row in rows]
        return tuple(dict.fromkeys(found))

    def _gathered(self, connection: Connection) -> Crew:
        return Crew.gathered(
            connection,
            self._rehearsed,
            self._stage.facts(connection, self._rehearsed),
            lambda version: session(self._url, branch=self._copy.name, purpose=f"rehearsal: {version} version"),
        )

    def _report(
        self,
        cycle: Cycle,
        failure: FailureReport | None,
        changed: tuple[str, ...],
        *,
        server: tuple[str, str],
        rows: int | None,
    ) -> RehearsalReport:
        phases = tuple(cycle.phases)
        scale = _scale(self._original.rows, rows)
        return RehearsalReport(
            plan=self._plan.plan,
            branch=self._branch,
            copy_name=self._copy.name,
            kept=False,
            checksum=checksum(self._plan),
            passed=failure is None,
            exit_code=failure.exit_code if failure else 0,
            failure=failure,
            phases=phases,
            forecast=_forecast(phases, scale),
            measured_on=self._where(server),
            scale=scale,
            rows=max((each.rows for each in phases), default=0),
            not_invertible=cycle.not_invertible,
            writers=cycle.crew.report(),
            writer_errors=cycle.crew.errors(),
            unwritten=tuple(cycle.crew.unwritten),
            changed=changed,
            seconds=0.0,
            notes=tuple(self._notes),
            next_command=None if failure else f"ecm gate {self._plan.plan} --branch {self._branch}",
        )

    def _from_the_start(self) -> None:
        """Take the plan back on the copy where it is under way on the branch: the cycle is a whole one."""
        position = self._original.position
        if position == Position():
            return
        self._moving.rollback(self._plan.plan, self._branch, to=State.PLANNED)
        self._notes.append(
            f"{self._plan.plan} is {position.state.words} on {self._branch}; on the copy it was rolled back first"
        )

    def _where(self, server: tuple[str, str]) -> str:
        if server == self._original.server:
            return f"the same server as {self._branch}, {server[0]}"
        return f"a server of its own, {server[0]}; {self._branch} is on another, {self._original.server[0]}"

    @contextmanager
    def _session(self) -> Generator[Connection]:
        with closing(connect(self._url, branch=self._copy.name)) as connection:
            try:
                yield connection
            except psycopg.Error as error:
                raise unforeseen(error, self._copy.name) from error


def _failure(error: EcmError, phase: str) -> FailureReport:
    return FailureReport(
        code=error.code,
        message=error.message,
        details=tuple(line for line in error.details if line),
        hint=error.hint,
        phase=phase,
        exit_code=error.exit_code,
    )


def _unlike(cycle: Cycle) -> FailureReport | None:
    """Return the failure of a rollback that left the tables otherwise than they were."""
    if cycle.under_way is None or not cycle.phases or not cycle.phases[-1].differences:
        return None
    error = VerificationError(
        "after a rollback the tables are not what they were before",
        details=cycle.phases[-1].differences,
    )
    return _failure(error, cycle.under_way.says)


def _unwelcome(crew: Crew, branch: str) -> FailureReport | None:
    """Return the failure of a plan under which an application was refused a write."""
    found = crew.errors()
    if not found:
        return None
    error = VerificationError(
        "an application would have been refused writes while the plan went on",
        details=[f"{each.version} version, {each.phase}: {each.message} (SQLSTATE {each.sqlstate})" for each in found],
        hint=f"see whether your application makes such writes; then ecm rehearse again, before {branch}",
    )
    return _failure(error, found[0].phase)


def _scale(there: int | None, here: int | None) -> float:
    """Return by how much the branch has more rows than its copy; 1 where nobody knows, or it has not."""
    return max(1.0, there / here) if there and here else 1.0


def _forecast(phases: tuple[RehearsedPhase, ...], scale: float) -> tuple[ForecastPhase, ...]:
    """Return what each phase is expected to take: the most of the times that it was gone through, scaled by rows.

    What a rollback leaves behind is used again by the next time, which may take less disk and WAL for that.
    """
    made: dict[str, list[RehearsedPhase]] = {}
    for each in phases:
        if each.direction == Direction.FORWARD:
            made.setdefault(each.phase, []).append(each)
    return tuple(
        ForecastPhase(
            phase=phase,
            seconds=max(each.seconds for each in times) * scale,
            wal=int(max(each.wal for each in times) * scale),
            disk=int(max(0, *(each.disk for each in times)) * scale),
        )
        for phase, times in made.items()
    )
