"""Moves on screen: what was done or would be, what the application may do now; and what a gate says."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from rich.console import RenderableType
from rich.text import Text

from orchestrator.cli.render import look, plans, words
from orchestrator.plan.lifecycle import Direction, State
from orchestrator.reports import AdvanceReport, GateReport, MoveReport
from orchestrator.words import counted

_LABEL = 18


def moved(report: AdvanceReport) -> RenderableType:
    """Return what was done; for a dry run what would be, without its statements."""
    if not report.moves:
        return _nothing(report)
    return _proposed(report, statements=False) if report.dry_run else _done(report)


def rehearsed(report: AdvanceReport) -> RenderableType:
    """Return what was done; for a dry run what would be, to the letter."""
    if not report.moves:
        return _nothing(report)
    if not report.dry_run:
        return _done(report)
    return look.stacked(_proposed(report, statements=True), *look.onward([_for_real(report)]))


def gate(report: GateReport) -> RenderableType:
    """Return whether a plan may go on, and everything that is not met."""
    where, to = f"{report.plan} on {report.branch}", words.state(report.to)
    if report.allowed:
        verdict = look.item(look.GOOD, f"{where} may go from {words.state(report.state)} to {to}")
        return look.stacked(verdict, *look.onward([report.next_command]))
    verdict = look.item(look.BAD, f"{where} may not go from {words.state(report.state)} to {to} yet")
    remedies = [reason.remedy for reason in report.reasons if reason.remedy.startswith("ecm ")]
    return look.stacked(verdict, *plans.conditions(report.reasons), *look.onward(remedies[:1]))


def _nothing(report: AdvanceReport) -> RenderableType:
    already = f"{report.plan} is {words.state(report.state)} on {report.branch} already; nothing to do"
    return look.stacked(look.item(look.DONE, already), *look.onward([report.next_command or "ecm status"]))


def _done(report: AdvanceReport) -> RenderableType:
    parts: list[RenderableType] = [
        look.item(look.DONE, f"{report.plan} on {report.branch}: {_way(report)}"),
        _measured(report.moves),
        Text(),
        look.indented(look.labelled(_now(report), width=_LABEL)),
    ]
    if report.warnings:
        parts += [Text(), look.labelled([("beware", warning) for warning in report.warnings])]
    return look.stacked(*parts, *look.onward([report.next_command or "ecm status"]))


def _proposed(report: AdvanceReport, *, statements: bool) -> RenderableType:
    parts: list[RenderableType] = [look.heading(f"{report.plan} on {report.branch}", "nothing is touched yet")]
    for move in report.moves:
        parts += [look.indented(Text(_arrow(move), style="bold")), *_steps(move, statements=statements)]
    if report.warnings:
        parts += [Text(), look.labelled([("beware", warning) for warning in report.warnings])]
    return look.stacked(*parts)


def _for_real(report: AdvanceReport) -> str:
    command = "rollback" if any(move.direction == Direction.BACK for move in report.moves) else "advance"
    to = f" --to {report.moves[-1].target}" if len(report.moves) > 1 else ""
    return f"ecm {command} {report.plan} --branch {report.branch}{to}"


def _steps(move: MoveReport, *, statements: bool) -> Iterator[RenderableType]:
    if not move.steps:
        yield look.indented(Text("nothing to run but the record", style="dim"), 4)
    yield from (
        look.indented(step) for step in plans.steps(move.steps, statements=statements, direction=move.direction)
    )


def _way(report: AdvanceReport) -> str:
    states = [words.state(report.moves[0].origin), *(words.state(move.target) for move in report.moves)]
    way = " → ".join(dict.fromkeys(states))
    return way if len(set(states)) > 1 else f"back to {way}"


def _arrow(move: MoveReport) -> str:
    done = " and ".join(words.phase(phase) for phase in move.phases)
    verb = f"undo {done}" if move.direction == Direction.BACK else done
    goes_on = ", from where it was interrupted" if move.resumes else ""
    arrow = f"{words.state(move.origin)} → {words.state(move.target)}"
    return f"{arrow} ({verb}{goes_on})" if move.origin != move.target else f"{verb}{goes_on}"


def _measured(moves: Sequence[MoveReport]) -> RenderableType:
    rows = [(_doing(move), ", ".join(_numbers(move))) for move in moves]
    return look.indented(look.labelled(rows, width=max(_LABEL, *(len(label) + 2 for label, _ in rows))))


def _doing(move: MoveReport) -> str:
    done = " and ".join(words.phase(phase) for phase in move.phases)
    return f"undid {done}" if move.direction == Direction.BACK else done


def _numbers(move: MoveReport) -> Iterator[str]:
    if move.seconds is not None:
        yield words.lasting(move.seconds)
    yield from map(_scanned, _scans(move.measured))


def _scans(measured: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return the scans among what was measured, each table's last."""
    values = [measured, *(cast("Mapping[str, Any]", each) for each in measured.values() if isinstance(each, dict))]
    by_table = {value.get("table"): value for value in values if {"rows", "mismatches"} <= value.keys()}
    yield from by_table.values()


def _scanned(value: Mapping[str, Any]) -> str:
    of = f" of {value['table']}" if "table" in value else ""
    return f"{counted(value['rows'], 'row')}{of} verified, {value['mismatches']} differ"


def _now(report: AdvanceReport) -> list[tuple[str, str]]:
    state = State(report.state)
    deploy = report.moves[-1].deploy.strip() if report.moves else ""
    rows = [("your application", line) for line in filter(None, [deploy, words.NOW_POSSIBLE[state]])]
    if any(move.direction == Direction.BACK for move in report.moves):
        rows.append(("lost", "nothing; what was written through either side is kept"))
    elif state is State.CONTRACTED:
        rows.append(("undo", "none: there is no way back"))
    else:
        rows.append(("undo", f"ecm rollback {report.plan} --branch {report.branch}"))
    return rows
