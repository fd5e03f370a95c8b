"""What was found in another tool's migrations, on screen."""

from collections.abc import Iterator
from itertools import groupby

from rich.console import RenderableType
from rich.text import Text

from orchestrator.cli.render import look
from orchestrator.detection_reports import ChangeReport, DetectedReport, DetectReport
from orchestrator.words import counted

_MARKS = {"breaking": look.BAD, "lock-hungry": look.PART, "note": look.NONE}
_LABEL = 8


def detected(report: DetectReport) -> RenderableType:
    """Return each finding under its migration, with the plan that does it safely or the command that writes one."""
    statements = sum(each.statements for each in report.migrations)
    read = f"{counted(len(report.migrations), 'migration')}, {counted(statements, 'statement')}"
    parts: list[RenderableType] = [look.heading(_about(report), read)]
    for path, several in groupby(report.findings, key=lambda each: each.path):
        parts += [Text(), Text(path, style="bold"), *(part for each in several for part in _finding(each))]
    emitted = [each for each in report.migrations if each.emitted_for]
    parts += [Text()] if emitted else []
    parts += [look.item(look.GOOD, f"{each.path} was written by ecm for {each.emitted_for}") for each in emitted]
    parts += [Text(), look.item(*_verdict(report))]
    parts += [look.item(look.GOOD, f"wrote {path}") for path in (*report.written, *filter(None, [report.sarif]))]
    parts += [look.labelled([("beware", line)]) for line in report.remarks]
    return look.stacked(*parts, *look.onward([report.next_command]))


def _about(report: DetectReport) -> str:
    return f"{report.toolchain}: {report.selection}" if report.toolchain else report.selection


def _finding(found: DetectedReport) -> Iterator[RenderableType]:
    level = found.level + (" and lock-hungry" if found.level == "breaking" and found.lock_hungry else "")
    covered = found.covered_by is not None
    place = f"line {found.line}, " if found.line else ""
    head = f"{place}{level}{': ' if found.subject else ''}{found.subject}"
    yield look.indented(look.item(look.GOOD if covered else _MARKS[found.level], head))
    yield look.indented(look.Code(found.statement), 4)
    yield look.indented(Text(found.message, style="dim"), 4)
    yield look.indented(look.labelled(_remedies(found), width=_LABEL), 4)


def _remedies(found: DetectedReport) -> list[tuple[str, str | RenderableType]]:
    if found.covered_by is not None:
        return [("plan", f"{found.covered_by} {found.done_by_plan}; take the statement out of the migration")]
    if found.level == "note":
        return []
    lines: list[tuple[str, str | RenderableType]] = []
    if found.likely is not None:
        lines.append(("rename?", _way(found.likely)))
        lines += [("or", _way(found.change))] if found.change else []
    elif found.change is not None:
        lines.append(("later" if found.deferred else "safely", _way(found.change)))
    lines += [("say", line) for line in found.left]
    return lines


def _way(change: ChangeReport) -> str | RenderableType:
    return look.Command(change.command) if change.command else f"{change.summary} (ecm detect --write)"


def _verdict(report: DetectReport) -> tuple[str, str]:
    if report.breaking or report.lock_hungry:
        found = [
            words
            for number, words in (
                (report.breaking, f"{report.breaking} breaking"),
                (report.lock_hungry, f"{report.lock_hungry} lock-hungry"),
            )
            if number
        ]
        statements = "statement" if report.breaking + report.lock_hungry == 1 else "statements"
        mark = look.BAD if report.breaking else look.PART
        return mark, f"{' and '.join(found)} {statements} without a plan{_size(report)}"
    if not report.migrations:
        return look.GOOD, "there is none"
    if any(each.level != "note" for each in report.findings):
        return look.GOOD, "a plan covers everything that is breaking or lock-hungry"
    return look.GOOD, "nothing is breaking or lock-hungry"


def _size(report: DetectReport) -> str:
    """Say why lock-hungry statements alone are let pass."""
    return "" if report.breaking else "; on a small table that is a moment, so they pass without --strict"
