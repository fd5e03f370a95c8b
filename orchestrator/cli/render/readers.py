"""Who still reads or writes the old side, on screen."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from orchestrator.cli.render import look, words
from orchestrator.reports import ReadersReport, UseReport
from orchestrator.words import counted


def readers(report: ReadersReport) -> RenderableType:
    """Return who was seen, who could not be, and since when nobody was."""
    where = f"{report.plan} on {report.branch}"
    parts: list[RenderableType] = [look.heading(where, words.state(report.state)), Text()]
    if report.uses:
        for use in report.uses:
            parts += _use(report, use)
    else:
        since = f" since {words.moment(report.watched_since, report.now)}" if report.watched_since else ""
        parts.append(look.item(look.GOOD, f"nobody was seen to read or write the old side{since}"))
    if report.unseen:
        parts += [Text(), Text("not seen")]
        parts += [look.indented(look.item(look.NONE, line)) for line in report.unseen]
    return look.stacked(*parts, Text(), look.labelled(_since(report)), *look.onward([report.next_command]))


def _use(report: ReadersReport, use: UseReport) -> Iterator[RenderableType]:
    yield look.item(look.BAD if use.holds else look.NONE, use.what)
    said = [
        f"by {use.role}" if use.role else "",
        _calls(use),
        f"last seen {words.ago(use.last_seen, report.now)}" if use.last_seen else "",
        use.note,
    ]
    if any(said):
        yield look.indented(Text(", ".join(filter(None, said)), style="dim"))


def _calls(use: UseReport) -> str:
    if use.calls is None:
        return ""
    return f"at least {counted(use.calls, 'write')}" if use.kind == "write" else counted(use.calls, "call")


def _since(report: ReadersReport) -> Iterator[tuple[str, str]]:
    if report.watched_since is not None:
        yield "watched", f"since {words.moment(report.watched_since, report.now)}"
    if report.quiet_since is not None:
        passed = words.lasting(max(0.0, (report.now - report.quiet_since).total_seconds()) // 1 or 0.001)
        quiet = "just now" if passed == "1 ms" else passed
        yield "quiet", f"for {quiet}" if quiet != "just now" else "not yet: somebody was seen just now"
