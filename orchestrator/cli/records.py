"""Commands about what happened: history, audit."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands import Plan, command, group
from orchestrator.cli.desk import Desk
from orchestrator.errors import TamperingError

OnlyPlan = Annotated[
    str | None, typer.Option("--plan", metavar="PLAN", help="Only this plan's entries.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "history", examples=["ecm history", "ecm history rename-published-year --sql"])(history)
    audit = group("audit", "Check that the ledger is as it was written, and export it.")
    audit.callback()(_group)
    command(audit, "verify", examples=["ecm audit verify", "ecm audit verify --file ledger-2026-03.jsonl"])(verify)
    command(audit, "export", examples=["ecm audit export --output ledger-2026-03.jsonl"])(export)
    app.add_typer(audit)


def _group() -> None:
    """Check that the ledger is as it was written, and export it."""


def history(
    desk: Desk,
    plan: Plan = None,
    *,
    sql: Annotated[bool, typer.Option("--sql", help="With the statements that were run.")] = False,
) -> None:
    """Show what happened, where and by whom, oldest first."""
    desk.show(desk.conductor().history(plan), detailed=sql)


def verify(
    desk: Desk,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="An export, instead of the ledger.", show_default=False),
    ] = None,
) -> None:
    """Recompute the ledger's chain of hashes.

    Tells apart entries that were changed, taken out, put in, moved, or cut off the end. An export can be checked
    anywhere, without the project. Exit code 6 when something is not as it was written.
    """
    if file is None:
        report = desk.conductor().audit()
    else:
        from orchestrator.conductor import Conductor

        report = Conductor.audit_file(file)
    desk.show(report)
    if report.problems:
        raise typer.Exit(TamperingError.exit_code)


def export(
    desk: Desk,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write to a file, not to stdout.", show_default=False),
    ] = None,
    plan: OnlyPlan = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
) -> None:
    """Write the ledger as JSON Lines, for an archive.

    The first line says what it is; each after it is one entry, to the letter as it is hashed, so that anybody can
    check it. ecm audit verify --file does.
    """
    report = desk.conductor().audit_export(output=output, plan=plan, force=force)
    if output is None:
        for line in report.lines:
            desk.write(line)
    else:
        desk.show(report)
