"""The ledger outside of itself: exported for an archive, and an export checked without any project."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from orchestrator import reports
from orchestrator.errors import ConfigurationError
from orchestrator.ledger.events import timestamp
from orchestrator.ledger.export import check, render
from orchestrator.stage import Stage
from orchestrator.workspace import read_text, replace_file, write_new_file


def export(stage: Stage, *, output: Path | None, plan: str | None, force: bool) -> reports.ExportReport:
    """Export a ledger; see `ledger.export` for the format.

    Args:
        stage: whose ledger it is.
        output: the file to write, whole or not at all; None to have the lines in the report.
        plan: only this plan's entries.
        force: write over a file that exists.

    Raises:
        ConfigurationError: the file exists, or cannot be written.
    """
    if output is not None and output.exists() and not force:
        raise ConfigurationError(f"{output} exists already", hint="choose another name, or --force to write over it")
    with closing(stage.ledger()) as ledger:
        snapshot = ledger.snapshot()
    at = snapshot.taken_at or timestamp(datetime.now(UTC))
    lines = tuple(render(snapshot, ledger=stage.ledger_name, plan=plan, exported_at=at))
    if output is not None:
        text = "".join(f"{line}\n" for line in lines)
        (replace_file if force else write_new_file)(output, text)
    return reports.ExportReport(
        ledger=stage.ledger_name,
        plan=plan,
        entries=len(lines) - 1,
        head=snapshot.head.hash if snapshot.head else None,
        output=str(output) if output is not None else None,
        lines=() if output is not None else lines,
    )


def verify(file: Path) -> reports.AuditReport:
    """Check an export, with nothing but the file.

    Raises:
        InvalidFileError: it cannot be read, or is no export.
    """
    found = check(read_text(file, shown=str(file)), file=str(file))
    return reports.AuditReport(
        ledger=str(file),
        entries=found.report.entries,
        problems=tuple(
            reports.AuditProblem(seq=each.seq or None, kind=each.kind, message=each.message)
            for each in found.report.problems
        ),
        head=found.report.head,
        plan=found.plan,
    )
