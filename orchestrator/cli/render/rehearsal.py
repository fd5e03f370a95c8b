"""A rehearsal on screen."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.render import look, words
from orchestrator.plan.lifecycle import Direction
from orchestrator.rehearsal_reports import FailureReport, ForecastPhase, RehearsalReport, RehearsedPhase
from orchestrator.words import counted, listed

_LABEL = 10


def rehearsal(report: RehearsalReport) -> RenderableType:
    """Return what a rehearsal came to, phase by phase."""
    return look.stacked(
        look.heading(f"{report.plan}, rehearsed on a copy of {report.branch}", words.lasting(report.seconds)),
        Text(),
        look.item(look.GOOD if report.passed else look.BAD, outcome(report)),
        *(look.indented(failure(report.failure), 2) for _ in [0] if report.failure),
        *(_section("measured", phases(report)) if report.phases else ()),
        *(_section(f"expected on {report.branch}", forecast(report)) if report.passed else ()),
        Text(),
        look.labelled(_labelled(report), width=_LABEL),
        *look.onward(
            [
                report.next_command or (report.failure.hint if report.failure else None),
                f"ecm branch delete {report.copy_name}" if report.kept else None,
            ]
        ),
    )


def outcome(report: RehearsalReport) -> str:
    """Return how it ended, in a sentence."""
    if report.failure is not None:
        return f"stopped at {report.failure.phase}"
    back = sum(each.direction == Direction.BACK for each in report.phases)
    return f"passed: the whole cycle, {counted(back, 'rollback')} on the way, {counted(report.rows, 'row')}"


def failure(found: FailureReport) -> RenderableType:
    """Return why it stopped."""
    return look.stacked(Text(found.message), *(look.indented(Text(line)) for line in found.details))


def phases(report: RehearsalReport) -> RenderableType:
    """Return what each phase took, in the order in which they were made."""
    table = _table(*TITLES)
    for each in report.phases:
        table.add_row(*cells(each))
    return table


TITLES = ("", "time", "lock wait", "locked", "writer waits", "WAL", "disk")
"""What a phase's line consists of."""


def cells(phase: RehearsedPhase) -> tuple[str, ...]:
    """Return a phase's line; see `TITLES`."""
    return (
        said(phase),
        words.lasting(phase.seconds),
        words.lasting(phase.lock_wait),
        words.lasting(phase.lock_held),
        "\u2013" if phase.writer_wait is None else words.lasting(phase.writer_wait),
        words.size(phase.wal),
        grown(phase.disk),
    )


def said(phase: RehearsedPhase) -> str:
    """Return what a phase was: forward by its name, back by where it went."""
    if phase.direction == Direction.FORWARD:
        return phase.phase.replace("_", " ")
    return f"↩ to {words.state(phase.target)}"


def grown(size: int) -> str:
    """Return by how much something grew, or shrank."""
    return f"-{words.size(-size)}" if size < 0 else words.size(size)


def forecast(report: RehearsalReport) -> RenderableType:
    """Return what each phase is expected to take on the branch itself."""
    table = _table("", "time", "WAL", "disk")
    for each in report.forecast:
        table.add_row(*expected(each))
    return table


def expected(phase: ForecastPhase) -> tuple[str, ...]:
    """Return a phase's line in the forecast: its name, time, WAL, disk."""
    name = phase.phase.replace("_", " ")
    return name, words.lasting(phase.seconds), words.size(phase.wal), words.size(phase.disk)


def basis(report: RehearsalReport) -> str:
    """Return what a forecast is made from."""
    rows = "" if report.scale == 1 else f"; {report.branch} has {report.scale:.3g} times the rows of the copy"
    return f"{report.measured_on}{rows}"


def writers(report: RehearsalReport) -> str:
    """Return who wrote, and how often."""
    return listed(
        f"{each.version} version {counted(each.transactions, 'transaction')}, slowest statement"
        f" {words.lasting(each.longest)}"
        for each in report.writers
    )


def way_back(report: RehearsalReport) -> str | None:
    """Return what is to be said of rows that have no way back; None where nothing is."""
    if not report.not_invertible:
        return None
    return f"{counted(report.not_invertible, 'row')} would not come back as they were from a rollback in reads migrated"


def _labelled(report: RehearsalReport) -> Iterator[tuple[str, str]]:
    yield "server", basis(report)
    if report.writers:
        yield "writers", writers(report)
    for line in report.unwritten:
        yield "writers", line
    if lost := way_back(report):
        yield "way back", lost
    for line in report.changed:
        yield "schema", line
    yield "copy", f"{report.copy_name} " + ("is kept" if report.kept else "is gone")
    for line in report.notes:
        yield "note", line


def _section(title: str, body: RenderableType) -> tuple[RenderableType, ...]:
    return Text(), Text(title, style="dim"), look.indented(body)


def _table(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    for number, title in enumerate(titles):
        # On a narrow terminal a title, and then a value, goes on in the next line: of a number no part may be lost.
        table.add_column(
            title,
            justify="right" if number else "left",
            no_wrap=not number,
            overflow="fold",
            min_width=max(map(len, title.split()), default=None),
        )
    return table
