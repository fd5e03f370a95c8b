"""`ecm status --stalled`: the plans that stand still, a paragraph each."""

from collections.abc import Iterator
from datetime import timedelta

from rich.console import RenderableType
from rich.text import Text

from orchestrator.cli.render import look
from orchestrator.plan.durations import humanize
from orchestrator.reports import StatusReport
from orchestrator.words import listed


def stalled(report: StatusReport) -> RenderableType:
    """Return which plans have not moved for longer than was asked, and what to do about each."""
    longest = humanize(timedelta(seconds=report.stalled_after or 0.0))
    silent = (
        look.item(look.BAD, f"{listed(report.unanswered)} did not answer; judged by the ledger's last word")
        if report.unanswered
        else None
    )
    if not report.plans:
        nothing = look.item(look.GOOD, f"no plan has stood still for {longest} or longer")
        return look.stacked(nothing, silent, *look.onward(["ecm status"]))
    head = look.heading(report.project, f"has not moved for {longest} or longer")
    return look.stacked(head, *_paragraphs(report), *((Text(), silent) if silent else ()), *look.onward(["ecm status"]))


def _paragraphs(report: StatusReport) -> Iterator[RenderableType]:
    for plan in report.plans:
        for branch in plan.branches:
            yield Text()
            yield look.indented(look.item(look.BAD, f"{plan.plan} on {branch.branch}: {branch.stalled_why}"))
            yield look.indented(Text(branch.stalled_remedy or "", style="bold"), 4)
