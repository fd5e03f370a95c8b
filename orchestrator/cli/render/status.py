"""`ecm status`: plans down and branches across, or a list where they do not fit; and one plan's phases."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.render import look, words
from orchestrator.plan.lifecycle import PHASES, STATES, Direction, Phase, State
from orchestrator.reports import BranchStatus, InProgress, NoteReport, PlanStatus, StatusReport, SweepProgress
from orchestrator.words import counted, listed

_NARROWEST_CELL = 16
_BAR, _WIDE_BAR = 16, 24
_GAP = 2
_MOST_COMMANDS = 6
_FINISHED_SHOWN = 5
"""So many finished plans keep a row of their own; with more, they share a line."""


def status(report: StatusReport) -> RenderableType:
    """Return the overview of all plans on all branches."""
    head = look.heading(report.project, f"ledger {report.ledger}")
    if not report.plans:
        hint = look.onward(["ecm plan rename-column TABLE COLUMN NEW_NAME"])
        return look.stacked(head, Text(), Text(f"  no plans yet; branches: {listed(report.branches)}"), *hint)
    finished = [plan for plan in report.plans if _is_finished(plan)]
    gathered = finished if len(finished) > _FINISHED_SHOWN else []
    shown = [plan for plan in report.plans if plan not in gathered]
    return look.stacked(
        head,
        Text(),
        _Overview(plans=tuple(shown), branches=report.branches) if shown else None,
        *_gathered(gathered),
        *_remarks(report),
        *_onward(report),
    )


def plan_status(report: StatusReport) -> RenderableType:
    """Return every phase of one plan, on each branch of the report; of each plan where there are several."""
    parts: list[RenderableType] = []
    for plan in report.plans:
        if plan.error:
            onward = look.onward(branch.next_command for branch in plan.branches)
            parts += [look.heading(plan.plan), Text(), look.indented(_wrong(plan.error)), *onward, Text()]
            continue
        for branch in plan.branches:
            parts += [_phases(plan, branch), Text()]
    if not parts:
        return status(report)
    return look.stacked(*parts[:-1])


# --- the overview -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """A plan on a branch in a few words."""

    mark: str
    title: str
    bar: SweepProgress | None
    remark: str

    @property
    def width(self) -> int:
        return max(len(self.title) + 2, _NARROWEST_CELL)


@dataclass(frozen=True, kw_only=True)
class _Overview:
    """Plans down and branches across where the width allows; a list where it does not."""

    plans: Sequence[PlanStatus]
    branches: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        del console
        fits = self._least_width() <= options.max_width
        yield look.indented(self._grid() if fits else self._list())

    def _least_width(self) -> int:
        cells = [[_cell(branch) for branch in plan.branches] for plan in self.plans]
        columns = [
            max([len(name), *(row[place].width for row in cells if place < len(row))])
            for place, name in enumerate(self.branches)
        ]
        return 2 + max(len(plan.plan) for plan in self.plans) + sum(columns) + _GAP * len(columns)

    def _grid(self) -> Table:
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        grid.add_column(no_wrap=True)
        for _ in self.branches:
            grid.add_column(min_width=_NARROWEST_CELL)
        grid.add_row(*(Text(name, style="dim") for name in ("plan", *self.branches)))
        for plan in self.plans:
            cells = [_cell(branch) for branch in plan.branches]
            if plan.error:
                cells = [_Cell(mark=look.BAD, title="not readable", bar=None, remark="see below")]
            grid.add_row(Text(plan.plan, style="bold"), *(_in_grid(cell) for cell in cells))
        return grid

    def _list(self) -> RenderableType:
        parts: list[RenderableType] = []
        width = max(map(len, self.branches))
        for plan in self.plans:
            parts.append(Text(plan.plan, style="bold", overflow="ellipsis", no_wrap=True))
            if plan.error:
                parts.append(look.indented(look.marked(look.BAD, "not readable; see below")))
                continue
            lines = Table.grid(padding=(0, _GAP, 0, 0))
            lines.add_column(no_wrap=True, max_width=width, overflow="ellipsis")
            lines.add_column(no_wrap=True)
            lines.add_column()
            for branch in plan.branches:
                cell = _cell(branch)
                remark = Text(cell.remark, style="dim")
                lines.add_row(Text(branch.branch), look.marked(cell.mark, cell.title), remark)
            parts.append(look.indented(lines))
        return look.stacked(*parts)


def _in_grid(cell: _Cell) -> RenderableType:
    bar = look.bar(cell.bar.done, cell.bar.total, width=_BAR) if cell.bar and cell.bar.total else None
    remark = Text(cell.remark, style="dim") if cell.remark else None
    return look.stacked(look.marked(cell.mark, cell.title), bar, remark)


def _cell(branch: BranchStatus) -> _Cell:
    mark, title = _standing(branch)
    return _Cell(
        mark=mark,
        title=title,
        bar=branch.progress if branch.in_progress else None,
        remark=_remark(branch),
    )


def _standing(branch: BranchStatus) -> tuple[str, str]:
    """Return the icon and the words for where a plan is."""
    if branch.state is None:
        return look.BAD, "unknown"
    if under_way := branch.in_progress:
        title = words.doing(under_way.phase, under_way.direction)
        if branch.progress and under_way.phase == Phase.BACKFILL and under_way.direction == Direction.FORWARD:
            title += " " + words.percent(branch.progress.done, branch.progress.total)
        return (look.BAD if under_way.error else look.PART), title
    return _MARKS.get(State(branch.state), look.PART), words.state(branch.state)


_MARKS = {State.PLANNED: look.NONE, State.CONTRACTED: look.DONE}


def _remark(branch: BranchStatus) -> str:
    """Return what is most worth saying of a plan on a branch, in a few words."""
    if branch.error:
        return "no answer; from the ledger" if branch.source == "ledger" else "no answer"
    if branch.in_progress:
        return _under_way(branch.in_progress, branch.progress)
    if branch.blocked_by:
        return _blocked(branch)
    if branch.state_since is None or branch.state == State.PLANNED:
        return ""
    if branch.undo_until is not None:
        return _undoable(branch.undo_until, branch)
    since = words.ago(branch.state_since, branch.as_of or branch.state_since)
    return f"{since}, verified" if branch.verified_at and branch.state == State.BACKFILLED else since


def _undoable(until: datetime, branch: BranchStatus) -> str:
    """Return until when contract can be undone: `undo until 20 Nov 10:02`; or that it may be finalized."""
    now = branch.as_of or until
    if now >= until:
        return "can be undone until it is finalized"
    return f"undo until {words.moment(until, branch.as_of)}"


def _under_way(under_way: InProgress, progress: SweepProgress | None) -> str:
    if under_way.error:
        return "stopped; see below"
    if under_way.holder is None:
        return "interrupted"
    return _pace(progress) if progress else "running"


def _pace(progress: SweepProgress) -> str:
    if progress.throttled_by:
        reasons = {"paused by": "paused", "rows are locked": "waits for locked rows"}
        return next((short for why, short in reasons.items() if progress.throttled_by.startswith(why)), "holding back")
    rate = f"{words.compact(progress.rows_per_second)} rows/s" if progress.rows_per_second else ""
    return ", ".join(filter(None, [rate, words.left_between(progress.eta_seconds, progress.eta_at_most)]))


def _blocked(branch: BranchStatus) -> str:
    codes = {reason.code for reason in branch.blocked_by}
    if codes == {"requires"}:
        waited_for = [name for name in branch.requires if any(f"{name} " in r.message for r in branch.blocked_by)]
        return f"waits for {listed(waited_for or branch.requires or ('another branch',))}"
    return _IN_SHORT.get((codes - {"requires"}).pop(), "blocked; see below")


_IN_SHORT = {
    "soak": "soaking",
    "attestation": "waits for a word",
    "approval": "waits for approval",
    "verified": "to be verified",
    "drift": "tables differ",
    "readers": "still used",
    "rehearsal": "to be rehearsed",
    "plan_changed": "plan was edited",
    "overlap": "another plan first",
    "check": "a check fails",
    "no_file": "no file",
    "sync_trigger": "trigger is off",
}


# --- what the overview has to add -------------------------------------------------------------------


def _gathered(finished: Sequence[PlanStatus]) -> tuple[RenderableType, ...]:
    if not finished:
        return ()
    names = ", ".join(plan.plan for plan in finished)
    return (look.indented(look.item(look.DONE, f"contracted on every branch: {names}")),)


def _is_finished(plan: PlanStatus) -> bool:
    settled = all(_is_settled(each) and not each.error for each in plan.branches)
    return settled and plan.error is None


def _is_settled(branch: BranchStatus) -> bool:
    """Whether a plan is contracted on a branch, and nothing is kept there."""
    return branch.state == State.CONTRACTED and not branch.in_progress and branch.undo_until is None


def _remarks(report: StatusReport) -> tuple[RenderableType, ...]:
    """Return what is wrong and what blocks, beyond waiting for another branch, each once."""
    lines = [look.item(look.BAD, line) for line in dict.fromkeys(_worth_saying(report))]
    lines += [look.item(look.PART, note) for note in _notes(report)]
    return (Text(), *lines) if lines else ()


def _notes(report: StatusReport) -> Iterable[str]:
    """Return what is to be known of each branch's database, once for all plans that are not finished."""
    open_ones = [branch for plan in report.plans if not _is_finished(plan) for branch in plan.branches]
    latest: dict[tuple[str, str], NoteReport] = {}
    for branch in open_ones:
        for note in branch.notes:
            known = latest.get((branch.branch, note.code))
            if known is None or (note.since and known.since and note.since > known.since):
                latest[branch.branch, note.code] = note
    return (note.short for note in latest.values())


def _worth_saying(report: StatusReport) -> Iterable[str]:
    if report.ledger_error:
        yield f"what the ledger knows is not here: {report.ledger_error}"
    for plan in report.plans:
        if plan.error:
            yield plan.error
        for branch in plan.branches:
            if branch.error:
                yield branch.error if branch.branch in branch.error else f"{branch.branch}: {branch.error}"
            elif branch.in_progress and branch.in_progress.error:
                yield _stopped(plan.plan, branch, branch.in_progress)
            for each in branch.overrides:
                yield f"{plan.plan} on {branch.branch}: {each.code} was overridden by {each.actor}: {each.reason}"
            for reason in branch.blocked_by:
                if reason.code != "requires":
                    choice = f"; {reason.remedy}" if reason.code == "no_file" else ""
                    yield f"{plan.plan} on {branch.branch}: {reason.message}{choice}"


def _stopped(plan: str, branch: BranchStatus, under_way: InProgress) -> str:
    """Return why a phase stopped, and what it goes on with, or is taken back with, once that is set right."""
    doing = words.doing(under_way.phase, under_way.direction)
    stopped = f"{plan} on {branch.branch} stopped in {doing}: {under_way.error}"
    back = f"ecm rollback {plan} --branch {branch.branch}"
    if under_way.direction == Direction.BACK:
        return f"{stopped}; once that is set right, {back} goes on"
    if branch.blocked_by or branch.next_command is None:
        return f"{stopped}; {back} takes back what was done of it"
    return (
        f"{stopped}; once that is set right, {branch.next_command} goes on, and {back} takes back what was done of it"
    )


def _onward(report: StatusReport) -> tuple[RenderableType, ...]:
    open_ones = [branch for plan in report.plans for branch in plan.branches if _may_go_on(branch)]
    commands = [branch.next_command for branch in sorted(open_ones, key=_urgency) if branch.next_command]
    several = list(dict.fromkeys(commands)) or [_when_nothing_is_open(report)]
    more = [Text(f"and {len(several) - _MOST_COMMANDS} more", style="dim")] if len(several) > _MOST_COMMANDS else []
    return (*look.onward(several[:_MOST_COMMANDS]), *(look.labelled([("", each)]) for each in more))


def _urgency(branch: BranchStatus) -> int:
    """Return a place in line: what stopped or is blocked, then what has begun, then what has not."""
    if branch.blocked_by or (branch.in_progress and branch.in_progress.error):
        return 0
    return 1 if branch.in_progress or branch.state not in {None, State.PLANNED} else 2


def _may_go_on(branch: BranchStatus) -> bool:
    """Tell whether a branch's next command is its own, and of use now; after contract it is another branch's."""
    contracted = branch.state == State.CONTRACTED and branch.in_progress is None
    settled = contracted and not (branch.next_command or "").startswith("ecm finalize ")
    waits = any(reason.code == "requires" for reason in branch.blocked_by)
    return not (settled or waits or branch.error or (_is_running(branch) and not _is_paused(branch)))


def _when_nothing_is_open(report: StatusReport) -> str:
    """Return what to look at where no plan can be taken further now."""
    branches = [(plan, branch) for plan in report.plans for branch in plan.branches]
    if any(_is_running(branch) for _, branch in branches):
        return "ecm status --watch"
    if any(plan.error for plan in report.plans):
        return "ecm plan validate"
    if any(branch.error for _, branch in branches):
        return "ecm doctor"
    judged = [(plan, branch) for plan, branch in branches if plan.has_file and branch.blocked_by]
    blocked = [f"ecm gate {plan.plan} --branch {branch.branch}" for plan, branch in judged]
    return blocked[0] if blocked else "ecm history"


def _is_paused(branch: BranchStatus) -> bool:
    """Whether it runs, and waits for somebody to let it go on."""
    return (branch.next_command or "").startswith("ecm resume ")


def _is_running(branch: BranchStatus) -> bool:
    return branch.in_progress is not None and branch.in_progress.holder is not None and not branch.in_progress.error


# --- one plan on one branch -------------------------------------------------------------------------


def _phases(plan: PlanStatus, branch: BranchStatus) -> RenderableType:
    requires = f"requires {listed(branch.requires)}" if branch.requires else ""
    head = look.heading(f"{plan.plan} on {branch.branch}", requires)
    described = look.indented(Text(plan.description, style="dim")) if plan.description else None
    if branch.error:
        return look.stacked(head, described, Text(), look.indented(_unanswered(branch)))
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column()
    for phase in PHASES:
        grid.add_row(*_phase(phase, branch))
    return look.stacked(head, described, Text(), look.indented(grid), *_below(plan, branch))


def _phase(phase: Phase, branch: BranchStatus) -> tuple[RenderableType, RenderableType, RenderableType]:
    under_way = branch.in_progress if branch.in_progress and branch.in_progress.phase == phase else None
    state = State(branch.state or State.PLANNED)
    done = PHASES.index(phase) < STATES.index(state)
    steps = [step for step in branch.steps if step.phase == phase]
    started = words.moment(min(step.started_at for step in steps), branch.as_of) if steps else ""
    if under_way:
        mark = look.marked(look.BAD if under_way.error else look.PART, words.doing(phase, under_way.direction))
        return mark, Text(started), _running(branch)
    if done:
        measured = Text(_measured(phase, branch))
        if phase is Phase.CONTRACT and branch.undo_until is not None:
            left = (branch.undo_until - (branch.as_of or branch.undo_until)).total_seconds()
            soon = f" (in {words.lasting_between(left, left)})" if left > 0 else ""
            kept = Text(_undoable(branch.undo_until, branch) + soon, style="dim")
            return look.marked(look.DONE, phase.words), Text(started), look.stacked(measured, kept, *_reasons(branch))
        return look.marked(look.DONE, phase.words), Text(started), measured
    is_next = PHASES.index(phase) == STATES.index(state)
    return (
        look.marked(look.NONE, phase.words),
        Text(),
        _ahead(phase, branch, is_next=is_next and not branch.in_progress),
    )


def _measured(phase: Phase, branch: BranchStatus) -> str:
    steps = [step for step in branch.steps if step.phase == phase]
    if branch.steps and not steps:  # the journal knows of other phases, and this one had no step
        return "nothing to copy" if phase is Phase.BACKFILL else "nothing to run"
    seconds = [step.seconds for step in steps if step.seconds is not None]
    waits = [step.lock_wait for step in steps if step.lock_wait]
    said = [
        words.lasting(sum(seconds)) if seconds else "",
        f"longest lock wait {words.lasting(max(waits))}" if waits else "",
        f"{words.compact(branch.progress.rows)} rows" if phase is Phase.BACKFILL and branch.progress else "",
        f"verified {words.moment(branch.verified_at, branch.as_of)}"
        if phase is Phase.BACKFILL and branch.verified_at
        else "",
    ]
    return ", ".join(filter(None, said))


def _running(branch: BranchStatus) -> RenderableType:
    under_way, progress = branch.in_progress, branch.progress
    if under_way is None:
        return Text()
    if under_way.error:
        state = f"stopped: {under_way.error}"
    elif under_way.holder is None:
        state = "interrupted" + ("" if branch.blocked_by else "; the next command goes on from here")
    else:
        state = f"by {under_way.holder}"
    if not progress or not progress.total:
        return look.stacked(Text(state), *_reasons(branch))
    far = words.far(progress.done, progress.total, progress.rows, sweep=True, rounds=progress.round)
    pace = f"; {_pace(progress)}" if under_way.holder and _pace(progress) else ""
    by = [
        counted(progress.workers, "worker") if under_way.holder and progress.workers else "",
        f"{progress.share_in_place:.0%} in place" if progress.share_in_place is not None else "",
    ]
    far = "; ".join(filter(None, [far, ", ".join(filter(None, by))]))
    held = Text(f"holding back: {progress.throttled_by}") if progress.throttled_by else None
    unread = [Text(f"{s.signal} {s.said}", style="dim") for s in progress.signals if s.value is None and not s.holds]
    return look.stacked(
        look.bar(progress.done, progress.total, width=_WIDE_BAR),
        Text(far + pace),
        held,
        *unread,
        Text(state, style="dim"),
        *_reasons(branch),
    )


def _ahead(phase: Phase, branch: BranchStatus, *, is_next: bool) -> RenderableType:
    if is_next and branch.blocked_by:
        return look.stacked(*_reasons(branch))
    if phase in branch.evidence:
        return Text("completed here before, and kept as evidence", style="dim")
    return Text("next" if is_next else "", style="dim")


def _reasons(branch: BranchStatus) -> Iterator[RenderableType]:
    for reason in branch.blocked_by:
        yield look.item(look.PART if reason.code == "paused" else look.BAD, reason.message)
        yield from (look.indented(Text(line)) for line in reason.details)
        if reason.remedy:
            yield look.indented(Text(reason.remedy, style="dim"))


def _said(branch: BranchStatus) -> Iterator[tuple[str, str | RenderableType]]:
    """Give what people said of the plan there: what they attested, and what they let pass."""
    for each in branch.attested:
        yield "attested", f"{each.claim}: version {each.version}, by {each.actor}, {_when(each.at, branch)}"
    for each in branch.overrides:
        yield "overridden", f"{each.code} by {each.actor}, {_when(each.at, branch)}: {each.reason} ({each.message})"


def _when(moment: datetime, branch: BranchStatus) -> str:
    return words.ago(moment, branch.as_of or moment)


def _below(plan: PlanStatus, branch: BranchStatus) -> Iterator[RenderableType]:
    if said := list(_said(branch)):
        yield Text()
        yield look.labelled(said, width=12)
    rows: list[tuple[str, str | RenderableType]] = []
    for note in branch.notes:
        yield Text()
        yield look.indented(look.item(look.PART, note.message))
    running = _is_running(branch)
    remedies = [reason.remedy for reason in branch.blocked_by if reason.remedy.startswith("ecm ")]
    onward = next(iter(remedies), branch.next_command)
    if onward and (not running or _is_paused(branch)):
        rows.append(("next", look.Command(onward)))
    reversible = branch.state not in (None, State.PLANNED) and not _is_settled(branch)
    back = f"ecm rollback {plan.plan} --branch {branch.branch}"
    if reversible and not running and onward != back:
        rows.append(("back", look.Command(back)))
    if rows:
        yield Text()
        yield look.labelled(rows)


def _unanswered(branch: BranchStatus) -> RenderableType:
    known = "where the plan is there is unknown"
    if branch.state is not None:
        when = f" since {words.moment(branch.as_of)}" if branch.as_of else ""
        known = f"the ledger's last word: {words.state(branch.state)}{when}"
    return look.stacked(
        look.item(look.BAD, f"no answer: {branch.error}"),
        look.indented(Text(known, style="dim")) if known else None,
        *look.onward([f"ecm doctor --branch {branch.branch}"]),
    )


def _wrong(error: str) -> RenderableType:
    first, *rest = error.splitlines() or [""]
    return look.stacked(look.item(look.BAD, first), *(look.indented(Text(line)) for line in rest))
