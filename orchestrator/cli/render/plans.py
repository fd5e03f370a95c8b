"""Plans on screen: their files, and every statement they would run."""

import shlex
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from orchestrator.cli.render import forecasts, look, words
from orchestrator.plan.lifecycle import Phase
from orchestrator.reports import (
    DraftReport,
    HookPreview,
    PhasePreview,
    PlanListReport,
    PreviewReport,
    ReasonReport,
    StepPreview,
)
from orchestrator.sql.steps import LockMode
from orchestrator.words import NOTHING_TO_COPY, counted, listed

_LABEL = 18
_NUMBER = 5


def plan_list(report: PlanListReport) -> RenderableType:
    """Return every plan file with what it changes."""
    if not report.plans:
        return look.stacked(Text("no plans yet"), *look.onward(["ecm plan rename-column TABLE COLUMN NEW_NAME"]))
    parts: list[RenderableType] = []
    for plan in report.plans:
        parts.append(Text(plan.plan, style="bold"))
        if plan.error:
            parts.append(look.indented(_wrong(plan.error)))
            continue
        said = [*plan.changes, *([plan.description] if plan.description not in ("", *plan.changes) else [])]
        parts += [look.indented(Text(line, style="dim" if row else "")) for row, line in enumerate(said)]
    return look.stacked(
        *parts, *look.onward([f"ecm plan show {report.plans[0].plan}" if _one(report) else "ecm status"])
    )


def validation(report: PlanListReport) -> RenderableType:
    """Return whether each plan file can be read as one."""
    wrong = [plan for plan in report.plans if plan.error]
    lines: list[RenderableType] = []
    said: set[str] = set()  # that there is no linter is said once, however many plans it would have read
    for plan in report.plans:
        lines.append(_wrong(plan.error) if plan.error else look.item(look.GOOD, f"{plan.path} is a plan"))
        lines += [look.indented(look.labelled([("beware", line)])) for line in plan.warnings if line not in said]
        said.update(plan.warnings)
    if not report.plans:
        lines = [Text("no plans yet")]
    end = Text(f"{len(wrong)} of {counted(len(report.plans), 'plan')} cannot be read") if wrong else None
    return look.stacked(*lines, end, *look.onward([None if wrong or not report.plans else "ecm status"]))


def draft(report: DraftReport) -> RenderableType:
    """Return the plan that was written, and its phases in short."""
    if report.preview is None:
        shown: RenderableType = look.indented(look.Code(report.text.rstrip()))
    else:
        shown = look.indented(_in_short(report.preview))
    ready = report.preview is None or not report.preview.obstacles
    looks = [f"ecm plan show {report.plan}", report.next_command if ready else None]
    return look.stacked(look.item(look.GOOD, f"wrote {report.path}"), Text(), shown, *look.onward(looks))


def preview(report: PreviewReport) -> RenderableType:
    """Return every statement of a plan's phases, with its lock and what that waits for."""
    parts: list[RenderableType] = [
        look.heading(f"{report.plan} on {report.branch}", words.state(report.state)),
        *(look.indented(Text(change)) for change in report.changes),
        *(part for table in report.tables for part in (Text(), look.indented(forecasts.table(table)))),
        *forecasts.sessions(report.sessions),
    ]
    for phase in report.phases:
        parts += [Text(), *_phase(phase)]
    parts += [*_beware(report.beware), *_obstacles(report.obstacles)]
    onward = past(report.obstacles, report.plan, report.branch) if report.obstacles else report.next_command
    return look.stacked(*parts, *look.onward([onward or "ecm status"]))


def steps(
    several: Sequence[StepPreview],
    *,
    statements: bool,
    patience: float | None = None,
) -> Iterator[RenderableType]:
    """Return steps numbered, with their locks; their statements too where wanted.

    Args:
        several: the steps.
        statements: whether to show what is sent.
        patience: seconds for which each waits for its lock, where that is known.
    """
    for number, step in enumerate(several, 1):
        yield look.labelled([(f"{number:3}", Text(step.title))], width=_NUMBER)
        yield look.indented(Text(lock(step, patience), style="dim"), _NUMBER)
        if statements and step.sql:
            yield look.indented(look.Code(step.sql), _NUMBER + 2)
        if step.note:
            yield look.indented(Text(step.note, style="dim"), _NUMBER)


def hooks(several: Sequence[HookPreview]) -> list[tuple[str, str]]:
    """Return the commands that are run around a phase, as lines after labels."""
    return [
        (f"hook {hook.when}", f"{shlex.join(hook.argv)}, for {words.lasting(hook.timeout)} at most") for hook in several
    ]


def application(phase: PhasePreview) -> str:
    """Return what the application may do once a phase is through: the plan's words, else ecm's own."""
    possible = words.now_possible(
        Phase(phase.phase).leads_to, sides=phase.sides, retires=phase.retires, kept=phase.undo_window > 0
    )
    return phase.deploy.strip() or possible


def _phase(phase: PhasePreview) -> Iterator[RenderableType]:
    yield Text(words.phase(phase.phase), style="bold")
    yield from steps(phase.steps, statements=True, patience=phase.lock_timeout)
    if not phase.steps:
        copying = phase.phase == Phase.BACKFILL and not phase.two_sides
        yield look.indented(Text(NOTHING_TO_COPY if copying else "nothing to run", style="dim"))
    lost = f"with it goes {listed(phase.forfeits)}" if phase.forfeits else "nothing that was written is lost"
    undo = f"ecm rollback takes it back; {lost}"
    if phase.phase == Phase.CONTRACT and phase.undo_window:
        window = words.lasting(phase.undo_window)
        undo = (
            f"ecm rollback brings the old structure back at once, for {window} and until ecm finalize; nothing is lost"
        )
    elif phase.phase in (Phase.CONTRACT, Phase.FINALIZE):
        undo = "none: from here on there is no way back"
    needs = [("requires", line) for line in phase.requires]
    rows = [*needs, *hooks(phase.hooks), ("your application", application(phase)), ("undo", undo)]
    yield look.indented(look.labelled(rows, width=_LABEL))


def _in_short(report: PreviewReport) -> RenderableType:
    """Return what changes, on what table, and how many steps each phase has."""
    rows = [
        (
            words.phase(phase.phase),
            f"{counted(len(phase.steps), 'step')}; {_strongest(phase.steps)}" if phase.steps else "nothing to run",
        )
        for phase in report.phases
    ]
    return look.stacked(
        *(Text(change) for change in report.changes),
        *(forecasts.in_short(table) for table in report.tables),
        Text(),
        look.labelled(rows, width=15),
        *forecasts.sessions(report.sessions),
        *_beware(report.beware),
        *_obstacles(report.obstacles),
    )


_FOR_A_MOMENT = tuple(mode.value for mode in LockMode if mode.waits_for.startswith("waits"))
"""Locks that somebody may have to wait for, the strongest first."""


def _strongest(several: Sequence[StepPreview]) -> str:
    held = next((lock for lock in _FOR_A_MOMENT if lock in {step.lock for step in several}), None)
    return f"{held}, for a moment" if held else "reads and writes go on"


def lock(step: StepPreview, patience: float | None = None) -> str:
    """Return a step's lock, and what that waits for; `patience` is for how many seconds, where that is known."""
    where = f" on {listed(step.tables)}" if len(step.tables) > 1 else ""
    lock = f"{step.lock}{where}: {step.waits}" if step.lock else step.waits
    if patience and step.lock in _FOR_A_MOMENT:
        lock += f", up to {words.lasting(patience)}, then gives way and tries again"
    return lock if step.transactional else f"{lock}; not in a transaction"


def _beware(lines: Sequence[str]) -> Iterator[RenderableType]:
    if lines:
        yield Text()
        yield look.labelled([("beware", line) for line in lines])


def _obstacles(reasons: Sequence[ReasonReport]) -> Iterator[RenderableType]:
    if not reasons:
        return
    yield Text()
    yield Text("in the way, before anything is touched:", style="bold")
    yield from conditions(reasons)


def remedy(reasons: Sequence[ReasonReport]) -> str | None:
    """Return the command that removes what is in the way; None where what does is no command of ecm's."""
    return next((reason.remedy for reason in reasons if reason.remedy.startswith("ecm ")), None)


def past(reasons: Sequence[ReasonReport], plan: str, branch: str) -> str:
    """Return the command that removes what is in the way; or else the one that tells whether it is gone."""
    return remedy(reasons) or f"ecm gate {plan} --branch {branch}"


def conditions(reasons: Sequence[ReasonReport]) -> Iterator[RenderableType]:
    """Return unmet conditions, each with what would make it so."""
    for reason in reasons:
        yield look.indented(look.item(look.BAD, reason.message))
        yield from (look.indented(Text(line), 4) for line in reason.details)
        if reason.remedy:
            yield look.indented(Text(reason.remedy, style="dim"), 4)


def _wrong(error: str) -> RenderableType:
    first, *rest = error.splitlines() or [""]
    return look.stacked(look.item(look.BAD, first), *(look.indented(Text(line), 4) for line in rest))


def _one(report: PlanListReport) -> bool:
    return len(report.plans) == 1 and report.plans[0].error is None
