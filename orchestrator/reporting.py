"""From the values of the layers below to the reports that leave the conductor."""

import shlex
from dataclasses import asdict
from datetime import timedelta
from typing import TypeVar, cast

from orchestrator import reports
from orchestrator.engine.journal import Record, StepRecord, SweepRecord
from orchestrator.errors import EcmError, PreconditionError, UsageError
from orchestrator.ledger import Entry
from orchestrator.plan import scope
from orchestrator.plan.durations import parse_duration
from orchestrator.plan.editing import Part
from orchestrator.plan.gates import Reason
from orchestrator.plan.lifecycle import Direction, Move, Phase, State
from orchestrator.plan.model import Plan
from orchestrator.plan.usage import Usage
from orchestrator.records import Unknown
from orchestrator.redaction import redact
from orchestrator.sql.steps import ConcurrentIndex, Step, sent, told
from orchestrator.words import counted, did_you_mean

Named = TypeVar("Named", State, Phase, Part)


def named(kind: type[Named], word: str) -> Named:
    """Return the state, phase or part of a name as a person types it.

    Raises:
        UsageError: there is none.
    """
    try:
        return kind(word.replace("-", "_"))
    except ValueError:
        names = [each.value for each in kind]
        raise UsageError(f"there is no {kind.__name__.lower()} {word}", details=[did_you_mean(word, names)]) from None


def length(given: str | timedelta, option: str) -> timedelta:
    """Return a length of time as a person types it.

    Raises:
        UsageError: it is none.
    """
    try:
        return parse_duration(given)
    except ValueError as error:
        raise UsageError(f"--{option}: {error}") from None


def reason_report(reason: Reason) -> reports.ReasonReport:
    """Return an unmet condition."""
    return reports.ReasonReport(code=reason.code, message=reason.message, remedy=reason.remedy, details=reason.details)


def error_report(error: EcmError) -> reports.ReasonReport:
    """Return an error as an unmet condition."""
    return reports.ReasonReport(
        code=error.code, message="; ".join(filter(None, (error.message, *error.details))), remedy=error.hint or ""
    )


def readers_report(
    plan: str, branch: str, state: State, seen: Usage, *, next_command: str | None
) -> reports.ReadersReport:
    """Return who relies on what contract takes away."""
    return reports.ReadersReport(
        plan=plan,
        branch=branch,
        state=state,
        uses=tuple(reports.UseReport(**asdict(use)) for use in seen.uses),
        unseen=seen.unseen,
        watched_since=seen.watched_since,
        quiet_since=seen.quiet_since,
        now=seen.now,
        sees_statements=seen.sees_statements,
        next_command=next_command,
    )


def step_preview(step: Step, direction: Direction) -> reports.StepPreview:
    """Return a step as it would be run in a direction."""
    return reports.StepPreview(
        key=step.key,
        title=told(step, back=direction is Direction.BACK),
        sql=";\n".join(statement.as_string(None) for statement in sent(step, back=direction is Direction.BACK)),
        lock=step.lock.value if step.lock else None,
        waits=step.waits,
        tables=tuple(map(str, step.tables)),
        transactional=not isinstance(step, ConcurrentIndex),
        reversible=step.reversible,
        note=step.note,
    )


def hooks_preview(plan: Plan, phase: Phase) -> tuple[reports.HookPreview, ...]:
    """Return the commands that are run around a phase."""
    hooks = plan.phase(phase).hooks
    return tuple(
        reports.HookPreview(when=when, argv=tuple(map(redact, hook.run)), timeout=hook.timeout.total_seconds())
        for when, several in (("before", hooks.before), ("after", hooks.after))
        for hook in several
    )


def hook_note(entry: Entry) -> reports.NoteReport:
    """Return what the ledger holds of a hook that kept a phase from beginning, for `status`."""
    phase, command = Phase(str(entry.data["phase"])).words, shlex.join(cast("list[str]", entry.data["argv"]))
    short = f"{entry.plan} on {entry.branch}: a hook before {phase} failed: {command}"
    # An older ecm recorded no outcome.
    outcome = f" {entry.data['outcome']}" if entry.data.get("outcome") else ""
    message = f"the last try to enter {phase} was stopped by a hook before it: {command}{outcome}"
    return reports.NoteReport(code="hook", message=message, short=short, since=entry.happened_at)


def move_report(
    move: Move,
    plan: Plan,
    *,
    seconds: float | None = None,
    measured: dict[str, object] | None = None,
    steps: tuple[reports.StepPreview, ...] = (),
    two_sides: bool = True,
    sides: str = "both",
) -> reports.MoveReport:
    """Return a move that was made, or would be."""
    return reports.MoveReport(
        direction=move.direction,
        origin=move.origin,
        target=move.target,
        phases=tuple(phase.value for phase in move.phases),
        resumes=move.resumes,
        keeps=move.keeps,
        seconds=seconds,
        deploy=plan.phase(move.phases[0]).deploy if move.direction is Direction.FORWARD else "",
        measured=measured or {},
        steps=steps,
        two_sides=two_sides,
        sides=sides,
        retires=scope.retires(plan),
        forfeits=scope.forfeits(plan) if move.direction is Direction.BACK and Phase.EXPAND in move.phases else (),
        hooks=hooks_preview(plan, move.phases[0]) if move.direction is Direction.FORWARD else (),
    )


def unknown_report(found: Unknown) -> reports.AuditProblem:
    """Return moves that the ledger does not know as a problem of the ledger's."""
    first = found.moves[0]
    why = {
        "emptied": "it was emptied, or is not the one they were recorded in",
        "removed": f"it knows later ones, so they were removed; the first is {first.plan},"
        f" {first.origin.words} → {first.target.words}, by {first.actor}",
    }
    moves = counted(len(found.moves), "move")
    message = f"this ledger does not know {moves} that {found.branch}'s journal holds: {why[found.kind]}"
    return reports.AuditProblem(seq=None, kind=found.kind, message=message)


def in_progress(record: Record | None) -> reports.InProgress | None:
    """Return what is under way, if anything."""
    if record is None or record.position.phase is None or record.position.direction is None:
        return None
    return reports.InProgress(
        phase=record.position.phase,
        direction=record.position.direction,
        started_at=record.phase_started_at,
        holder=(record.holder or None) if record.held else None,
        heartbeat_at=record.heartbeat_at,
        error=record.phase_error,
    )


def sweep_progress(sweeps: tuple[SweepRecord, ...]) -> reports.SweepProgress | None:
    """Return how far a backfill is, if there is one."""
    if not sweeps:
        return None
    current = next((sweep for sweep in sweeps if sweep.next_page < sweep.pages), sweeps[-1])
    return reports.SweepProgress(
        done=current.next_page,
        total=current.pages,
        unit="pages",
        rows=current.rows,
        rows_per_second=current.rows_per_second,
        eta_seconds=current.eta_seconds,
        eta_at_most=current.eta_at_most,
        throttled_by=current.throttled_by,
        workers=current.workers,
        share_in_place=current.share_in_place,
        signals=tuple(reports.SignalReport(**signal) for signal in current.signals),
        round=current.round,
    )


def step_done(step: StepRecord) -> reports.StepDone:
    """Return a step as it was run."""
    seconds = (step.finished_at - step.started_at).total_seconds() if step.finished_at else None
    return reports.StepDone(
        phase=step.phase,
        key=step.key,
        title=step.title,
        started_at=step.started_at,
        seconds=seconds,
        lock_wait=step.lock_wait,
    )


def is_missing(error: EcmError) -> bool:
    """Whether an error says that a table or column is not there, so that no step can be made for it."""
    return isinstance(error, PreconditionError) and "does not exist" in error.message
