"""Reports as Markdown, for a file or a pull request: the values of the screens."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from orchestrator.cli.render import plans, words
from orchestrator.cli.render import pull_requests as pages
from orchestrator.cli.render import rehearsal as screen
from orchestrator.rehearsal_reports import CheckedPlan, FailureReport, PullRequestReport, RehearsalReport
from orchestrator.reports import PreviewReport, Report
from orchestrator.words import counted


def markdown(report: Report) -> str:
    """Return a report as Markdown.

    Args:
        report: one of those that are written so: of a rehearsal, or of a pull request.
    """
    return "\n".join(_PAGES[type(report)](report)) + "\n"


def _rehearsal(report: RehearsalReport) -> Iterator[str]:
    yield f"# {_plain(report.plan)}, rehearsed on a copy of {_plain(report.branch)}"
    yield ""
    yield from rehearsed(report)


def rehearsed(report: RehearsalReport) -> Iterator[str]:
    """Return the lines about one rehearsal, without a heading."""
    yield f"{'✅' if report.passed else '❌'} {_plain(screen.outcome(report))} ({words.lasting(report.seconds)})"
    if report.failure is not None:
        yield from _failure(report.failure)
    if report.phases:
        yield from _table(("phase", *screen.TITLES[1:]), (screen.cells(each) for each in report.phases))
    if report.passed:
        yield ""
        yield f"Expected on {_plain(report.branch)}, as measured on {_plain(screen.basis(report))}:"
        yield from _table(("phase", "time", "WAL", "disk"), (screen.expected(each) for each in report.forecast))
    if report.changed:
        yield from ("", "The schema, before the plan and after contract:", "")
        yield from (f"- {_plain(line)}" for line in report.changed)
    yield ""
    yield from (f"- {_plain(line)}" for line in _others(report))


def _failure(failure: FailureReport) -> Iterator[str]:
    yield from ("", f"**{_plain(failure.message)}**", "")
    yield from (f"- {_plain(line)}" for line in failure.details)
    if failure.hint:
        yield from (
            "",
            f"Next: `{failure.hint}`" if failure.hint.startswith("ecm ") else f"Next: {_plain(failure.hint)}",
        )


def _others(report: RehearsalReport) -> Iterator[str]:
    if not report.passed:
        yield f"measured on {screen.basis(report)}"
    if report.writers:
        yield f"writers: {screen.writers(report)}"
    yield from report.unwritten
    if lost := screen.way_back(report):
        yield lost
    yield f"copy {report.copy_name} " + ("is kept" if report.kept else "is gone")
    yield f"plan {report.checksum}"
    yield from report.notes


def _pull_request(report: PullRequestReport) -> Iterator[str]:
    yield f"# {'❌' if report.exit_code else '✅'} {_plain(pages.verdict(report))}"
    for each in report.plans:
        yield from ("", f"## {_plain(each.plan)}", "")
        yield from _checked(each)


def _checked(checked: CheckedPlan) -> Iterator[str]:
    report = checked.rehearsal
    if checked.error is not None:
        yield from (f"{'❌' if checked.exit_code else '✅'} `{checked.path}`: {_plain(checked.error.message)}", "")
        yield from (f"- {_plain(line)}" for line in (*checked.error.details, checked.error.remedy) if line)
    if report is not None:
        yield from rehearsed(report)
    if checked.linted:
        yield from ("", "Lint:", "")
        yield from (f"- {_plain(line)}" for line in checked.linted)
    if report is not None and report.preview is not None:
        yield from _statements(report.preview)


def _statements(preview: PreviewReport) -> Iterator[str]:
    """Give each statement with its lock, folded away until somebody looks."""
    for phase in preview.phases:
        if not phase.steps:
            continue
        name = words.phase(phase.phase)
        yield from ("", f"<details><summary>{name}: {counted(len(phase.steps), 'step')}</summary>", "")
        for number, step in enumerate(phase.steps, 1):
            yield f"{number}. {_plain(step.title)}<br>{_plain(plans.lock(step, phase.lock_timeout))}"
            yield from _code(step.sql)
        yield from ("", "</details>")


def _code(text: str) -> Iterator[str]:
    """Give statements in a block whose fence is longer than any in them."""
    if not text:
        return
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    yield from ("", f"   {fence}sql", *(f"   {line}" for line in text.splitlines()), f"   {fence}", "")


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(titles)} |"
    yield f"| {' | '.join('---' if not place else '---:' for place in range(len(titles)))} |"
    yield from (f"| {' | '.join(map(_plain, row))} |" for row in rows)


_SPECIAL = str.maketrans({each: f"\\{each}" for each in "\\`*_[]<>|#"})


def _plain(text: str) -> str:
    """Return a text in one line that Markdown shows as it is."""
    return " ".join(text.split()).translate(_SPECIAL)


_PAGES = cast(
    "Mapping[type[Report], Callable[[Any], Iterable[str]]]",
    {RehearsalReport: _rehearsal, PullRequestReport: _pull_request},
)
