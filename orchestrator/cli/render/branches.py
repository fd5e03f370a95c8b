"""Branches as a whole, on screen: the list, what is lost with one, how two differ."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.branch_reports import (
    BranchChangeReport,
    BranchDiffReport,
    BranchEntry,
    BranchListReport,
    PlanFall,
    TableLoss,
)
from orchestrator.cli.render import look, words
from orchestrator.words import counted

_SHOWN = 8
"""Lines of one kind that a screen shows."""
_NAME = 24
"""What a name takes of a line at most, beside others."""
_LEAST = 6
"""What a name takes at least: its title."""
_PLANS = 18
"""What is left for plans at least."""
_GAP = 2

_DONE = {"create": "made", "reset": "reset", "delete": "deleted", "restore": "restored", "stop": "stopped"}


def branch_list(report: BranchListReport) -> RenderableType:
    """Return every branch in a line or two, with the plans that were begun there."""
    made = sum(branch.exists for branch in report.branches)
    head = look.heading(report.project, f"provider {report.provider}, {counted(made, 'branch', 'branches')}")
    return look.stacked(head, Text(), look.indented(_Columns(report)), *look.onward([report.next_command]))


class _Columns:
    """The list's columns. A branch's name is never broken: one that is too long has a line to itself."""

    def __init__(self, report: BranchListReport) -> None:
        self._report = report
        self._age = _widest("age", *(_age(each.created_at, report.now) for each in report.branches))
        self._size = _widest("size", *(_size(each) for each in report.branches))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        branches = self._report.branches
        for_names = max(2 * _LEAST, options.max_width - self._age - self._size - 4 * _GAP - _PLANS)
        parent = min(_NAME, for_names - _LEAST, _widest("parent", *(each.parent or "" for each in branches)))
        most = min(_NAME, for_names - parent)
        name = _widest("branch", *(each.branch for each in branches if len(each.branch) <= most))
        yield self._row(
            (name, parent), *(Text(title, style="dim") for title in ("branch", "parent", "age", "size", "plans"))
        )
        for branch in branches:
            called = Text(branch.branch, style="bold" if branch.of_project else "")
            if len(called) > name:
                yield called
                called = Text()
            yield self._row(
                (name, parent),
                called,
                Text(branch.parent or "\u2013", style="" if branch.parent else "dim"),
                Text(_age(branch.created_at, self._report.now)),
                Text(_size(branch)),
                look.stacked(*_plans(branch, self._report.now)),
            )

    def _row(self, names: tuple[int, int], *cells: RenderableType) -> Table:
        # Each row is a table, so that a line can stand between two; equal widths keep them in columns.
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        for width in names:
            grid.add_column(width=width, overflow="fold")
        grid.add_column(width=self._age, no_wrap=True)
        grid.add_column(width=self._size, no_wrap=True, justify="right")
        grid.add_column(overflow="fold")
        grid.add_row(*cells)
        return grid


def _widest(*texts: str) -> int:
    return max(map(len, texts))


def _size(branch: BranchEntry) -> str:
    return "\u2013" if branch.size is None else words.size(branch.size)


def _age(since: datetime | None, now: datetime) -> str:
    if since is None:
        return "\u2013"
    seconds = max(0, int((now - since).total_seconds()))
    for length, noun in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            return counted(seconds // length, noun)
    return "just now"


def _plans(branch: BranchEntry, now: datetime) -> Iterator[RenderableType]:
    if not branch.exists:
        yield Text(branch.note or "not made yet", style="dim")
        return
    if branch.error:
        yield look.item(look.BAD, branch.error)
    for plan in branch.plans:
        mark = look.PART if plan.in_progress else look.DONE
        yield look.item(mark, f"{plan.plan}: {words.state(plan.state)}{', under way' if plan.in_progress else ''}")
    if branch.note:
        yield Text(branch.note, style="dim")
    if branch.expires_at:
        yield Text(f"deleted in {words.lasting(max(0, (branch.expires_at - now).total_seconds()))}", style="dim")
    if not (branch.plans or branch.error or branch.note or branch.expires_at):
        yield Text("\u2013", style="dim")


def change(report: BranchChangeReport) -> RenderableType:
    """Return what is about to be lost, or was done."""
    said = _said(report)
    if report.action == "stop":
        return look.stacked(look.item(look.GOOD, said), *look.onward([report.next_command]))
    rows: list[tuple[str, str | RenderableType]] = []
    falls = "plans" if report.done else "plan"
    rows += [(falls, _fall(fall)) for fall in report.plans[:_SHOWN]]
    rows += _more(falls, len(report.plans))
    rows += [("data", _loss(report, loss)) for loss in _worst(report.tables)]
    rows += _more("data", len(report.tables))
    if not report.done:
        rows += [("sessions", f"ended: {who}") for who in report.sessions[:_SHOWN]]
        rows += _more("sessions", len(report.sessions))
        rows.append(("loses", _whole(report)))
        rows.append(("keeps", "what was proven there stays proven: the ledger has it"))
    rows += [("beware", each) for each in report.warnings]
    if report.note:
        rows.append(("note", report.note))
    verdict = look.item(look.GOOD, said) if report.done else Text(said, style="bold")
    onward = look.onward([report.next_command]) if report.done else ()
    return look.stacked(verdict, look.indented(look.labelled(rows)) if rows else None, *onward)


def _said(report: BranchChangeReport) -> str:
    if report.action == "stop":
        return f"the embedded server {'is stopped' if report.done else 'is stopped already'}: {report.note}"
    source = {"create": " from", "reset": " to what it is on"}.get(report.action, "")
    if report.action == "reset":
        source = f" to {report.parent} as it is now"
    elif report.parent:
        source = f" from {report.parent}"
    elif report.to:
        source = f" to {report.to}"
    else:
        source = ""
    kept = f", kept until now as {report.kept_as}" if report.kept_as else ""
    size = f", {words.size(report.size)}" if report.size is not None and report.action == "create" else ""
    if report.done:
        return f"{report.branch} is {_DONE[report.action]}{source}{kept}{size}"
    return f"{report.action} {report.branch}{source}{kept}"


def _fall(fall: PlanFall) -> str:
    becomes = "" if fall.after is None else f" → {words.state(fall.after)}"
    return f"{fall.plan}: {words.state(fall.before)}{becomes}"


def _worst(tables: tuple[TableLoss, ...]) -> list[TableLoss]:
    """Return those that are shown: what only this branch has first, then the largest differences."""
    return sorted(tables, key=lambda loss: (not loss.only_here, -abs((loss.here or 0) - (loss.there or 0))))[:_SHOWN]


def _loss(report: BranchChangeReport, loss: TableLoss) -> str:
    about = "" if loss.exact else "about "
    here = "an unknown number of rows" if loss.here is None else f"{about}{counted(loss.here, 'row')}"
    if report.action == "delete":
        return f"{loss.table}: {here}"
    if loss.only_here:
        return f"{loss.table} is only on {report.branch}: {here}"
    there = "unknown" if loss.there is None else f"{loss.there:,}"
    return f"{loss.table}: {here} on {report.branch}, {about}{there} on {report.parent}"


def _whole(report: BranchChangeReport) -> str:
    size = f" ({words.size(report.size)})" if report.size is not None else ""
    if report.action == "restore":
        kept = f"; it is kept as {report.kept_as}" if report.kept_as else ""
        return f"all that was written on {report.branch} since then{size}{kept}"
    return f"all that is on {report.branch} alone{size}, rows that were changed there too"


def _more(label: str, number: int) -> list[tuple[str, str | RenderableType]]:
    return [(label, f"and {number - _SHOWN} more")] if number > _SHOWN else []


def difference(report: BranchDiffReport) -> RenderableType:
    """Return how two schemas differ, a line each."""
    one, other = report.branches
    onward = look.onward([report.next_command])
    if not report.differences:
        same = f"{one} and {other} have the same schema ({counted(report.compared, 'thing')} compared)"
        return look.stacked(look.item(look.GOOD, same), *onward)
    number = counted(len(report.differences), "difference")
    lines = [look.item("·", each.message) for each in report.differences]
    return look.stacked(
        look.item(look.BAD, f"{one} and {other}: {number}"), *(look.indented(each) for each in lines), *onward
    )
