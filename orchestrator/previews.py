"""A plan before it runs: what every phase would do on a branch, and what that is expected to take; and new plans."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from orchestrator import instep, reports
from orchestrator.engine import survey
from orchestrator.engine.connection import Connection
from orchestrator.engine.locks import Blocker
from orchestrator.errors import ConfigurationError, EcmError, UsageError
from orchestrator.judgement import Judgement, raise_first, uncarried
from orchestrator.linter import lint
from orchestrator.operations import Operation
from orchestrator.plan import compile as compiler
from orchestrator.plan import facade, forecast, obstacles, scope, window
from orchestrator.plan.checksum import checksum
from orchestrator.plan.facade import changes
from orchestrator.plan.gates import asked
from orchestrator.plan.lifecycle import PHASES, STATES, Direction, Phase, Position, State
from orchestrator.plan.model import Plan
from orchestrator.plan.phases import NAME_LENGTH, is_plan_name
from orchestrator.plan.schema import Notes, render_plan
from orchestrator.records import MOVE
from orchestrator.reporting import error_report, hooks_preview, is_missing, step_preview
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.steps import LockMode, Step
from orchestrator.stage import Scene, Stage
from orchestrator.words import kebab

_MINDED = 60.0
"""Seconds after which the oldest snapshot of a database is worth a word."""

_FINE = 1000
"""Below it, tenths say something."""

Steps = dict[Phase, tuple[Step, ...]]


class Previews:
    """Looks at plans before they run, on a stage."""

    def __init__(self, stage: Stage, judgement: Judgement) -> None:
        self._stage = stage
        self._judgement = judgement

    def draft(
        self, operation: Operation, *, name: str | None, branch: str | None, offline: bool, facade_from: int
    ) -> reports.DraftReport:
        """Write a plan for a change, after a look at its table; as `Conductor.draft`."""
        plan = new_plan(operation, name or self._free_name(operation))
        self._refuse_taken(plan.plan)
        branch = branch or next(iter(self._stage.project.branches))
        preview, left, why = None, (), dict[str, str]()
        if not offline:
            with self._stage.open(branch) as connection:
                facts = self._stage.facts(connection, plan, texts=True)
                raise_first(obstacles.unfit(plan, facts))
                if (proposed := facade.proposal(plan, facts.values(), facade_from)) is not None:
                    behind = self._stage.facts(connection, proposed, texts=True)
                    if not obstacles.problems(proposed, Phase.EXPAND, behind):
                        plan, facts, why = proposed, behind, {"expand": facade.reason(facts.values())}
                scene = Scene(plan=plan, branch=branch, connection=connection, record=None)
                preview = self.preview(scene, None, facts)
                left = tuple(each for table in facts.values() for each, _ in obstacles.unfollowed(plan, table))
        text = render_plan(
            plan,
            schema=self._stage.workspace.schema_reference,
            notes=Notes.of(changes(plan)[0], unfollowed=left, why=why),
        )
        path = self._stage.workspace.write_plan(text, plan.plan)
        return reports.DraftReport(
            plan=plan.plan,
            path=Path(os.path.relpath(path, self._stage.workspace.root)).as_posix(),
            text=text,
            preview=preview,
            next_command=f"ecm advance {plan.plan} --branch {branch}",
        )

    def _free_name(self, operation: Operation) -> str:
        """Return a plan's name made from its change; with the table where a plan of another table has that already."""
        slug, table = operation.slug, operation.target
        taken = self._stage.workspace.plan_names()
        with suppress(EcmError):
            if slug in taken and all(table not in scope.tables(plan) for plan in [self._stage.workspace.plan(slug)]):
                return f"{slug[: NAME_LENGTH // 2]}-in-{kebab(table.name)}"[:NAME_LENGTH].strip("-")
        return slug

    def _refuse_taken(self, name: str) -> None:
        workspace = self._stage.workspace
        if name not in workspace.plan_names():
            return
        found: tuple[str, ...] = ()
        with suppress(EcmError):
            found = tuple(change.summary for change in workspace.plan(name).changes)
        raise ConfigurationError(
            f"there is a plan {name} already",
            details=found,
            hint=f"give this one another name with --name, or remove {workspace.project.plans}/{name}.yaml first",
        )

    def preview(self, scene: Scene, phase: Phase | None, facts: scope.Facts | None = None) -> reports.PreviewReport:
        """Return every statement of a plan's phases, or of one, as they would run now, and what they would take."""
        plan, state = scene.plan, scene.position.state
        facts = self._stage.facts_of(scene, texts=True) if facts is None else facts
        ahead = (*PHASES[STATES.index(state) :], *_finalized(plan, scene.position))
        problems = obstacles.problems(plan, ahead[0], facts) if ahead and scene.position.phase is None else ()
        unknown: tuple[str, ...] = ()
        if ahead[: len(PHASES)] == PHASES and not problems and scene.position.phase is None:
            problems, unknown = self._judgement.broken(scene, facts)
        there = not any(is_missing(error) for error in problems)
        steps: Steps = {each: compiler.steps(plan, each, facts) for each in ahead if there}
        tables = tuple(self._table(scene, table, steps) for table in facts.values())
        if phase and there:
            steps = {phase: compiler.steps(plan, phase, facts)}
        return reports.PreviewReport(
            plan=plan.plan,
            branch=scene.branch,
            checksum=checksum(plan),
            description=plan.description,
            state=state,
            changes=tuple(change.summary for change in plan.changes),
            tables=tables,
            phases=tuple(
                reports.PhasePreview(
                    phase=each,
                    deploy=plan.phase(each).deploy,
                    steps=tuple(step_preview(step, Direction.FORWARD) for step in several),
                    lock_timeout=plan.phase(each).lock_timeout.total_seconds(),
                    two_sides=scope.has_two_sides(plan, facts),
                    sides=scope.sides(plan, facts),
                    retires=scope.retires(plan),
                    forfeits=scope.forfeits(plan) if each in (Phase.EXPAND, Phase.BACKFILL) else (),
                    hooks=hooks_preview(plan, each),
                    requires=asked(plan, each),
                    undo_window=plan.contract.undo_window.total_seconds() if each is Phase.CONTRACT else 0,
                )
                for each, several in steps.items()
            ),
            beware=(
                *obstacles.beware(plan, facts),
                *unknown,
                *(uncarried(scene, facts) if there and not problems else ()),
                *lint(plan, server_version=scene.connection.info.server_version),
                *_of_extensions(tables),
                *instep.beware(self._stage.workspace, _written(steps)),
            ),
            obstacles=(*map(error_report, problems), *self._judgement.neighbours(scene)),
            next_command=self._stage.next_command(plan.plan, scene.branch, scene.position),
            sessions=_in_the_way(scene.connection, steps, tuple(facts)),
        )

    def _table(self, scene: Scene, table: Table, steps: Steps) -> reports.TableFacts:
        heaps = table.partitions or (table.name,)
        extent = self._stage.insist(scene.connection, heaps, lambda: survey.extent(scene.connection, table))
        return reports.TableFacts(
            table=str(table.name),
            rows=extent.rows or 0,
            bytes=table.bytes,
            indexes=len(table.indexes),
            analyzed=extent.rows is not None,
            heap_bytes=extent.heap,
            index_bytes=extent.indexes,
            toast_bytes=extent.toast,
            forecast=self._forecast(scene, table, extent, steps),
            hanging=tuple(
                reports.HangingReport(
                    fate=fate,
                    dependents=tuple(reports.DependentReport(kind=each.kind, name=each.name) for each in dependents),
                )
                for fate, dependents in obstacles.hanging(scene.plan, table)
            ),
            unfollowed=tuple(
                reports.DependentReport(kind=each.kind, name=each.name, why=each.why, acknowledged=acknowledged)
                for each, acknowledged in obstacles.unfollowed(scene.plan, table)
            ),
            triggers=obstacles.fired(scene.plan, table),
            publications=table.publications,
            extension=survey.extension(scene.connection, table),
        )

    def _forecast(
        self, scene: Scene, table: Table, extent: forecast.Extent, steps: Steps
    ) -> reports.ForecastReport | None:
        sweep = next((step for step in steps.get(Phase.BACKFILL, ()) if step.tables == (table.name,)), None)
        if sweep is None:
            return None
        heaps = set(table.lockable)
        built = forecast.builds(step for several in steps.values() for step in several if heaps & set(step.tables))
        measured = forecast.measured(sweep.key, self._moves(scene.plan.plan), here=scene.branch)
        found = forecast.forecast(extent, scope.mappings(scene.plan, table), built, measured)
        return reports.ForecastReport(
            writes=found.writes,
            seconds=_range(found.seconds),
            rows_per_second=_range(found.pace) if found.pace else None,
            as_on=found.measured.branch if found.measured else None,
            share_in_place=found.measured.share_in_place if found.measured else None,
            new_columns=_range(found.added) if found.added else None,
            heap_growth=_range(found.heap),
            index_growth=_range(found.indexes),
            indexes_built=tuple(
                reports.BuiltIndex(name=index.name, like=index.like, bytes=_range(size) if size else None)
                for index in built
                for size in [found.built[index.name]]
            ),
            disk=_range(found.disk),
            wal=_range(found.wal),
        )

    def _moves(self, plan: str) -> tuple[tuple[str, dict[str, object]], ...]:
        """Return what a plan's moves measured, by branch; nothing where the ledger is out of reach."""
        with suppress(EcmError):
            return tuple(
                (entry.branch or "", dict(measured))
                for entry in self._stage.entries(plan)
                if entry.kind == MOVE and isinstance(measured := entry.data.get("measured"), dict)
            )
        return ()


def _written(steps: Steps) -> Iterable[str]:
    """Give what is sent for every step, as text."""
    previews = (step_preview(step, Direction.FORWARD) for several in steps.values() for step in several)
    return (preview.sql for preview in previews if preview.sql)


def _finalized(plan: Plan, position: Position) -> tuple[Phase, ...]:
    """Return the phase that drops what contract keeps, where there is anything of it ahead."""
    ahead = position.kept or position.state is not State.CONTRACTED
    return (Phase.FINALIZE,) if window.is_open(plan) and ahead else ()


def new_plan(operation: Operation, name: str) -> Plan:
    """Return a plan of one change, with what its kind says the application does in each phase.

    Raises:
        UsageError: that is no name for a plan.
    """
    if not is_plan_name(name):
        raise UsageError(
            f"{name!r} is not a name for a plan",
            details=["a plan's name, which is also its file's, is of lower-case letters, digits and hyphens"],
            hint=f"give it another with --name, such as {kebab(name)[:NAME_LENGTH].strip('-')}",
        )
    deploys = {phase: {"deploy": guide.deploy} for phase, guide in operation.guide().items() if guide.deploy}
    return Plan.model_validate(
        {"plan": name, "description": operation.summary, "changes": [operation.model_dump()], **deploys}
    )


def _range(span: forecast.Span) -> reports.Range:
    """Return a span as a report: bytes and rows whole, seconds to the tenth."""
    digits = 1 if span.most < _FINE else None
    return reports.Range(least=round(span.least, digits), most=round(span.most, digits))


def _of_extensions(tables: Iterable[reports.TableFacts]) -> tuple[str, ...]:
    return tuple(
        f"{table.table} belongs to extension {table.extension}, whose next update may expect it as it was"
        for table in tables
        if table.extension
    )


def _in_the_way(
    connection: Connection, steps: Steps, tables: tuple[TableName, ...]
) -> tuple[reports.SessionReport, ...]:
    """Return who would be waited for at this moment, and whose snapshot keeps dead rows from being taken away."""
    locking = (LockMode.ACCESS_EXCLUSIVE, LockMode.SHARE_ROW_EXCLUSIVE)
    wanted = tuple(
        dict.fromkeys(
            table for several in steps.values() for step in several if step.lock in locking for table in step.tables
        )
    )
    if not wanted:
        return ()
    now = survey.present(connection, wanted)
    # Partitions and referenced tables are locked too; they are not told apart here.
    found = [_session(each, f"holds a lock on {' or '.join(map(str, tables))}") for each in now.holding]
    found += [reports.SessionReport(pid=None, seconds=None, message=line) for line in now.prepared]
    oldest = now.oldest
    if oldest is not None and oldest.seconds >= _MINDED and oldest.pid not in {each.pid for each in now.holding}:
        why = "has the oldest snapshot: while it is open, dead rows stay, and no index can be built beside it"
        found.append(_session(oldest, why))
    return tuple(found)


def _session(blocker: Blocker, why: str) -> reports.SessionReport:
    application = f', application "{blocker.application}"' if blocker.application else ""
    message = f"pid {blocker.pid}, user {blocker.user}{application}, {blocker.state}, {why}"
    return reports.SessionReport(pid=blocker.pid, seconds=round(blocker.seconds, 1), message=message)
