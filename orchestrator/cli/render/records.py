"""What was found and what happened, on screen: verify, history, audit, doctor."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.render import look, words
from orchestrator.plan.lifecycle import STATES, Direction
from orchestrator.reports import (
    AuditReport,
    DoctorReport,
    ExportReport,
    Finding,
    HistoryEntry,
    HistoryReport,
    SampleReport,
    VerifyReport,
)
from orchestrator.words import counted, listed


def verification(report: VerifyReport) -> RenderableType:
    """Return what a fresh scan found."""
    where = f"{report.plan} on {report.branch}"
    rows = counted(report.rows, "row")
    if report.mismatches:
        said = f"{where}: {report.mismatches:,} of {rows} have sides that do not follow from one another"
        verdict = look.item(look.BAD, said)
    elif report.nothing_to_compare:
        verdict = look.item(look.GOOD, f"{where}: {report.nothing_to_compare}")
    else:
        verdict = look.item(look.GOOD, f"{where}: {rows}, the two sides of each follow from one another")
    samples = _samples(report.samples) if report.samples else None
    expected = (
        look.indented(Text(f"each row should have {listed(report.expressions)}"))
        if report.mismatches and report.expressions
        else None
    )
    survive = None
    if report.not_invertible:
        count = counted(report.not_invertible, "row")
        survive = look.indented(Text(f"the new side of {count} would not come again from the old one"))
    onward = [f"ecm status {report.plan} --branch {report.branch}" if report.mismatches else report.next_command]
    beware = look.labelled([("beware", each) for each in report.warnings]) if report.warnings else None
    return look.stacked(verdict, samples, expected, survive, beware, *look.onward(onward))


def _samples(samples: tuple[SampleReport, ...]) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        grid.add_column(overflow="fold")
    grid.add_row(*(Text(title, style="dim") for title in ("row", "old side", "new side")))
    for sample in samples:
        grid.add_row(Text(f"{sample.table} {_pairs(sample.key)}"), Text(_pairs(sample.old)), Text(_pairs(sample.new)))
    return look.indented(grid)


def _pairs(values: dict[str, str | None]) -> str:
    return ", ".join(f"{name}={'NULL' if value is None else value}" for name, value in values.items())


def history(report: HistoryReport) -> RenderableType:
    """Return the ledger's entries, two lines each."""
    return _entries(report, sql=False)


def statements(report: HistoryReport) -> RenderableType:
    """Return the ledger's entries, with the statements that each move ran."""
    return _entries(report, sql=True)


def _entries(report: HistoryReport, *, sql: bool) -> RenderableType:
    if not report.entries:
        about = f" of {report.plan}" if report.plan else ""
        return look.stacked(Text(f"nothing has happened yet{about}"), *look.onward(["ecm status"]))
    latest = report.entries[-1].happened_at
    parts: list[RenderableType] = []
    grid = _grid()
    for entry in report.entries:
        what = look.stacked(Text(_what(entry)), Text(_whose(entry, report.plan), style="dim"))
        grid.add_row(
            Text(str(entry.seq), style="dim"),
            Text(words.moment(entry.happened_at, latest)),
            what,
        )
        if sql and (run := tuple(_statements(entry))):
            parts += [grid, *(look.indented(each, 4) for each in run)]
            grid = _grid()
    return look.stacked(*parts, grid, *look.onward(["ecm status"]))


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _statements(entry: HistoryEntry) -> Iterator[RenderableType]:
    for step in cast("list[dict[str, Any]]", entry.data.get("sql") or []):
        yield Text(str(step["title"]), style="dim")
        yield look.indented(look.Code(";\n".join(step["statements"])))


def _what(entry: HistoryEntry) -> str:
    where = f" on {entry.branch}" if entry.branch else ""
    origin, target = (entry.data.get(key) for key in ("origin", "target"))
    if origin not in STATES or target not in STATES:
        told = _TOLD.get(entry.kind)
        return told(entry.data, where) if told else f"{entry.kind.replace('_', ' ')}{where}"
    back = ", rolled back" if entry.data.get("direction") == Direction.BACK else ""
    if back and origin == target:
        given_up = ", ".join(str(phase).replace("_", " ") for phase in _phases(entry))
        return f"{given_up} given up{where}, which is {words.state(str(target))} as before"
    if origin == target:
        return f"finalized{where}: what contract kept is dropped"
    return f"{words.state(str(origin))} → {words.state(str(target))}{where}{back}"


def _attestation(data: Mapping[str, Any], where: str) -> str:
    withdrawn = "no longer " if data.get("withdrawn") else ""
    return f"{withdrawn}{data.get('claim')} attested of version {data.get('version')}{where}"


def _approval(data: Mapping[str, Any], where: str) -> str:
    return f"{words.state(str(data.get('to')))} approved{where}"


def _override(data: Mapping[str, Any], where: str) -> str:
    return f"{data.get('code')} overridden{where} ({data.get('message')}): {data.get('reason')}"


def _refusal(data: Mapping[str, Any], where: str) -> str:
    details = data.get("details")
    why = f": {cast('list[str]', details)[0]}" if isinstance(details, list) and details else ""
    return f"{data.get('command')} refused{where}: {data.get('message')}{why}"


def _verified(data: Mapping[str, Any], where: str) -> str:
    return f"verified{where}: {int(data.get('rows', 0)):,} rows, {int(data.get('mismatches', 0)):,} differ"


def _rehearsal(data: Mapping[str, Any], where: str) -> str:
    """Return how a rehearsal went, and why it stopped where it did."""
    how = "passed" if data.get("passed") else f"stopped at {data.get('stopped')}: {data.get('message')}"
    return f"rehearsed on a copy{where.replace(' on ', ' of ', 1)}: {how}"


def _hook(data: Mapping[str, Any], where: str) -> str:
    """Return which hook was run, and how it ended where that was not well."""
    argv = cast("list[str]", data.get("argv") or [])
    problem = data.get("problem") or ("time over" if data.get("timed_out") else f"exit code {data.get('exit_code')}")
    phase = words.phase(str(data.get("phase"))).lower()
    return f"hook {data.get('when')} {phase}{where}: {shlex.join(argv)}" + ("" if data.get("ok") else f", {problem}")


def _moment(data: Mapping[str, Any], where: str) -> str:
    """Return where a branch's history stood, and how it is brought back there."""
    return f"before {data.get('before')}{where}: " + ", ".join(
        str(data[key]) for key in ("time", "lsn") if data.get(key)
    )


def _branch(done: str) -> Callable[[Mapping[str, Any], str], str]:
    """Return how it is said what was done to a branch as a whole, and what became of plans there."""

    def told(data: Mapping[str, Any], where: str) -> str:
        source = f" from {data['parent']}" if data.get("parent") else ""
        source += f" to {data.get('time') or data.get('lsn')}" if done == "restored" else ""
        falls = cast("list[dict[str, str | None]]", data.get("plans") or [])
        fell = listed(f"{each['plan']} {_fell(each)}" for each in falls) if falls else ""
        return f"branch {where.removeprefix(' on ')} {done}{source}{f': {fell}' if fell else ''}"

    return told


def _fell(fall: Mapping[str, str | None]) -> str:
    return words.state(str(fall["before"])) + (f" → {words.state(fall['after'])}" if fall["after"] else "")


_TOLD: Mapping[str, Callable[[Mapping[str, Any], str], str]] = {
    "attestation": _attestation,
    "approval": _approval,
    "override": _override,
    "hook": _hook,
    "moment": _moment,
    "branch_created": _branch("made"),
    "branch_deleted": _branch("deleted"),
    "branch_reset": _branch("reset"),
    "branch_restored": _branch("restored"),
    "refused": _refusal,
    "rehearsal": _rehearsal,
    "verified": _verified,
}
"""What is said of an event that is no move, by its kind, given its data and where it was."""


def _phases(entry: HistoryEntry) -> list[object]:
    phases = entry.data.get("phases")
    return cast("list[object]", phases) if isinstance(phases, list) else []


def _whose(entry: HistoryEntry, plan: str | None) -> str:
    return ", ".join(filter(None, [entry.plan if entry.plan != plan else "", f"by {entry.actor}"]))


def export(report: ExportReport) -> RenderableType:
    """Return what was exported, and the hash to note elsewhere."""
    of = f" of {report.plan}" if report.plan else ""
    wrote = f"wrote {counted(report.entries, 'entry', 'entries')}{of} to {report.output}"
    noted = look.indented(Text(f"the ledger's last hash: {report.head}", style="dim", overflow="fold"))
    return look.stacked(look.item(look.GOOD, wrote), noted, *look.onward([f"ecm audit verify --file {report.output}"]))


def audit(report: AuditReport) -> RenderableType:
    """Return whether the ledger is as it was written."""
    entries = counted(report.entries, "entry", "entries")
    unasked = [
        look.indented(Text(f"{branch} did not answer, so its journal was not compared with the ledger"))
        for branch in report.unanswered
    ]
    unasked += [look.indented(Text(note)) for note in report.notes]
    if not report.problems:
        holds = f"of {report.plan}, the hash of each is right" if report.plan else "the chain of hashes holds"
        verdict = look.item(look.GOOD, f"{report.ledger}: {entries}{' ' if report.plan else ', '}{holds}")
        return look.stacked(verdict, *unasked, *look.onward(["ecm history"]))
    return look.stacked(
        look.item(look.BAD, f"{report.ledger}: {entries}, {counted(len(report.problems), 'problem')}"),
        *(
            look.indented(Text(problem.message if problem.seq is None else f"entry {problem.seq}: {problem.message}"))
            for problem in report.problems
        ),
        *unasked,
        *look.onward(["ecm history"]),
    )


def doctor(report: DoctorReport) -> RenderableType:
    """Return what the doctor found, branch by branch."""
    parts: list[RenderableType] = []
    for branch in dict.fromkeys(finding.branch for finding in report.findings):
        found = [finding for finding in report.findings if finding.branch == branch]
        parts += [Text(branch or "project", style="bold"), *_findings(found)]
    wrong = sum(not finding.ok for finding in report.findings)
    end = (
        look.marked(look.BAD, f"{counted(wrong, 'finding')} to see to")
        if wrong
        else look.marked(look.GOOD, "all is well")
    )
    return look.stacked(*parts, Text(), end, *look.onward([None if wrong else "ecm status"]))


def _findings(found: list[Finding]) -> Iterator[RenderableType]:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for finding in found:
        remedy = Text(finding.remedy, style="bold", overflow="fold") if finding.remedy and not finding.ok else None
        message = look.Command(finding.message) if finding.subject == "psql" else Text(finding.message, overflow="fold")
        grid.add_row(look.marked(look.GOOD if finding.ok else look.BAD, finding.subject), look.stacked(message, remedy))
    yield look.indented(grid)
