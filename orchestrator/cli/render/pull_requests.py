"""The plans of a pull request on screen."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from orchestrator.cli.render import look, rehearsal
from orchestrator.rehearsal_reports import CheckedPlan, PullRequestReport
from orchestrator.words import counted, listed


def pull_request(report: PullRequestReport) -> RenderableType:
    """Return what became of each plan that a pull request changes."""
    return look.stacked(look.item(mark(report), verdict(report)), *_plans(report))


def mark(report: PullRequestReport) -> str:
    """Return whether all is well, as an icon."""
    return look.BAD if report.exit_code else look.GOOD


def verdict(report: PullRequestReport) -> str:
    """Return what is to be said of all plans together."""
    if report.base is None:
        gone = f"deleted {listed(report.deleted)}" if report.deleted else "there are no branches to delete"
        return f"pull request {report.pull_request}: {gone}"
    if not report.plans:
        return f"no plan differs from {report.base}, so there is nothing to rehearse"
    passed = sum(not each.exit_code for each in report.plans)
    of = f"{passed} of {counted(len(report.plans), 'plan')}"
    return f"pull request {report.pull_request}: {of} passed on a copy of {report.branch}"


def _plans(report: PullRequestReport) -> Iterator[RenderableType]:
    for each in report.plans:
        yield Text()
        yield from _plan(each)


def _plan(checked: CheckedPlan) -> Iterator[RenderableType]:
    if checked.rehearsal is not None:
        yield rehearsal.rehearsal(checked.rehearsal)
    if checked.error is not None:
        yield look.item(look.BAD if checked.exit_code else look.GOOD, f"{checked.path}: {checked.error.message}")
        yield from (look.indented(Text(line), 4) for line in (*checked.error.details, checked.error.remedy) if line)
    if checked.linted:
        yield look.labelled([("lint", line) for line in checked.linted])
