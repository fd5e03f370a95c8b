"""Moves on screen: what was done or would be, what the application may do now; and what a gate says."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from rich.console import RenderableType
from rich.text import Text

from orchestrator.cli.render import look, plans, words
from orchestrator.plan.lifecycle import Direction, Phase, State, command_of
from orchestrator.plan.sizes import humanize_size
from orchestrator.reports import AdvanceReport, GateReport, MoveReport, PauseReport, ReasonReport
from orchestrator.words import NOTHING_TO_COPY, counted

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
    step = f"go from {words.state(report.state)} to {to}" if report.state != report.to else "be finalized"
    if report.allowed:
        there = report.state == report.to and not (report.next_command or "").startswith("ecm finalize")
        verdict = look.item(look.GOOD, f"{where} is {to} already" if there else f"{where} may {step}")
        return look.stacked(verdict, *_beware(report.warnings), *look.onward([report.next_command]))
    verdict = look.item(look.BAD, f"{where} may not {step} yet")
    conditions = plans.conditions(report.reasons)
    return look.stacked(verdict, *conditions, *_beware(report.warnings), *look.onward([report.next_command]))


def paused(report: PauseReport) -> RenderableType:
    """Return what was asked of a backfill, and what becomes of it."""
    where = f"the backfill of {report.plan} on {report.branch}"
    if not report.paused:
        goes_on = "goes on" if report.running else "may go on; none is running"
        return look.stacked(look.item(look.DONE, f"{where} {goes_on}"), *look.onward([report.next_command]))
    far = f" at {words.percent(report.progress.done, report.progress.total)}" if report.progress else ""
    held = "holds back after its batch" if report.running else "is not running, and will not go on until it is resumed"
    return look.stacked(look.item(look.PART, f"{where} is paused{far}: it {held}"), *look.onward([report.next_command]))


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
    parts += _beware((*map(_overridden, report.overridden), *report.warnings))
    return look.stacked(*parts, *look.onward([report.next_command or "ecm status"]))


def _overridden(reason: ReasonReport) -> str:
    return f"{reason.code} was overridden: {reason.message}"


def _beware(warnings: Sequence[str]) -> tuple[RenderableType, ...]:
    return (Text(), look.labelled([("beware", warning) for warning in warnings])) if warnings else ()


def _proposed(report: AdvanceReport, *, statements: bool) -> RenderableType:
    parts: list[RenderableType] = [look.heading(f"{report.plan} on {report.branch}", "nothing is touched yet")]
    for move in report.moves:
        parts += [look.indented(Text(_arrow(move), style="bold")), *_steps(move, statements=statements)]
    parts += _beware((*map(_overridden, report.overridden), *report.warnings))
    return look.stacked(*parts)


def _for_real(report: AdvanceReport) -> str:
    if report.next_command is not None:
        return report.next_command
    command = command_of(report.moves[0].direction, report.moves[0].phases)
    to = f" --to {report.moves[-1].target}" if len(report.moves) > 1 else ""
    return f"ecm {command} {report.plan} --branch {report.branch}{to}"


def _steps(move: MoveReport, *, statements: bool) -> Iterator[RenderableType]:
    if not move.steps:
        yield look.indented(Text("nothing to run but the record", style="dim"), 4)
    yield from (look.indented(step) for step in plans.steps(move.steps, statements=statements))
    if hooks := plans.hooks(move.hooks):
        yield look.indented(look.labelled(hooks, width=_LABEL), 4)


def _way(report: AdvanceReport) -> str:
    if report.moves[-1].phases == (Phase.FINALIZE,):
        return "finalized; what contract kept is dropped"
    states = [words.state(report.moves[0].origin), *(words.state(move.target) for move in report.moves)]
    way = " → ".join(dict.fromkeys(states))
    return way if len(set(states)) > 1 else f"back to {way}"


def _arrow(move: MoveReport) -> str:
    done = " and ".join(words.phase(phase) for phase in move.phases)
    verb = f"undo {done}" if move.direction == Direction.BACK else done
    goes_on = ", from where it stopped" if move.resumes else ""
    arrow = f"{words.state(move.origin)} → {words.state(move.target)}"
    return f"{arrow} ({verb}{goes_on})" if move.origin != move.target else f"{verb}{goes_on}"


def _measured(moves: Sequence[MoveReport]) -> RenderableType:
    rows = [
        (label, line)
        for move in moves
        for label, line in (
            (_doing(move), ", ".join(_numbers(move))),
            *(("", line) for line in _sweeps(move)),
        )
    ]
    return look.indented(look.labelled(rows, width=max(_LABEL, *(len(label) + 2 for label, _ in rows))))


def _doing(move: MoveReport) -> str:
    done = " and ".join(words.phase(phase) for phase in move.phases)
    return f"undid {done}" if move.direction == Direction.BACK else done


def _numbers(move: MoveReport) -> Iterator[str]:
    if move.seconds is not None:
        yield words.lasting(move.seconds)
    yield from map(_scanned, _scans(move.measured))
    if move.direction == Direction.FORWARD and Phase.BACKFILL in move.phases and not move.two_sides:
        yield NOTHING_TO_COPY


def _sweeps(move: MoveReport) -> Iterator[str]:
    for value in move.measured.values():
        # Where there was nothing to fill, there is nothing to say of how it went.
        if isinstance(value, dict) and cast("Mapping[str, Any]", value).get("filled"):
            yield from _swept(cast("Mapping[str, Any]", value))


def _scans(measured: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return the scans among what was measured, each table's last."""
    values = [measured, *(cast("Mapping[str, Any]", each) for each in measured.values() if isinstance(each, dict))]
    by_table = {value.get("table"): value for value in values if {"rows", "mismatches"} <= value.keys()}
    yield from by_table.values()


def _swept(value: Mapping[str, Any]) -> Iterator[str]:
    """Return what a sweep took, a line each."""
    rate = f" at {words.compact(value['rows_per_second'])} rows/s" if value.get("rows_per_second") else ""
    held = f", held back for {words.lasting(value['held'])} of it" if value.get("held") else ""
    filled, written = value["filled"], value.get("written", value["filled"])
    # Where it went over the table several times, a row may have been written in each.
    said = f"{counted(filled, 'row')} filled" if filled <= value.get("rows", filled) else counted(filled, "write")
    since = f", {written:,} of them since it went on," if written < filled else ""
    yield f"{said}{since} in {words.lasting(value['seconds'])}{held}{rate}"
    if value.get("share_in_place") is not None:
        longest = words.lasting(value["longest_batch"])
        yield f"{value['share_in_place']:.0%} in place; no batch held its rows for longer than {longest}"
    grown = [
        f"{part} {humanize_size(value[f'{key}_before'])} → {humanize_size(value[f'{key}_after'])}"
        for part, key in (("heap", "heap"), ("indexes", "indexes"))
        if value.get(f"{key}_before") is not None
    ]
    retries = f", {counted(value['retries'], 'retry', 'retries')} for locked rows" if value.get("retries") else ""
    yield f"{', '.join(grown)}; {humanize_size(value['wal'])} of WAL{retries}"


def _scanned(value: Mapping[str, Any]) -> str:
    of = f" of {value['table']}" if "table" in value else ""
    return f"{counted(value['rows'], 'row')}{of} verified, {value['mismatches']} differ"


def _now(report: AdvanceReport) -> list[tuple[str, str | RenderableType]]:
    state = State(report.state)
    last = report.moves[-1] if report.moves else None
    possible = (
        words.now_possible(state, sides=last.sides, retires=last.retires, kept=last.keeps)
        if last
        else words.now_possible(state)
    )
    rows: list[tuple[str, str | RenderableType]] = [
        ("your application", line) for line in filter(None, [last.deploy.strip() if last else "", possible])
    ]
    if any(move.direction == Direction.BACK for move in report.moves):
        lost = tuple(dict.fromkeys(line for move in report.moves for line in move.forfeits))
        kept = "nothing; what was written through either side is kept"
        rows += [("lost", line) for line in lost or (kept,)]
    elif state is State.CONTRACTED and report.undo_until is None:
        rows.append(("undo", "none: there is no way back"))
    elif report.undo_until is not None:
        rows.append(("undo", look.Command(f"ecm rollback {report.plan} --branch {report.branch}")))
        rows.append(("", f"at once and without loss, until {words.moment(report.undo_until)}, and until ecm finalize"))
    else:
        rows.append(("undo", look.Command(f"ecm rollback {report.plan} --branch {report.branch}")))
    return rows
