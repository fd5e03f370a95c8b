"""Commands about what happened: history, audit."""

import typer

from orchestrator.cli.commands import Plan, command, group
from orchestrator.cli.desk import Desk
from orchestrator.errors import TamperingError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "history", examples=["ecm history", "ecm history rename-published-year"])(history)
    audit = group("audit", "Check that the ledger is as it was written.")
    audit.callback()(_group)
    command(audit, "verify", examples=["ecm audit verify"])(verify)
    app.add_typer(audit)


def _group() -> None:
    """Check that the ledger is as it was written."""


def history(desk: Desk, plan: Plan = None) -> None:
    """Show what happened, where and by whom, oldest first."""
    desk.show(desk.conductor().history(plan))


def verify(desk: Desk) -> None:
    """Recompute the ledger's chain of hashes.

    Finds entries that were changed, taken out or put in.
    Exit code 6 when something is not as it was written.
    """
    report = desk.conductor().audit()
    desk.show(report)
    if report.problems:
        raise typer.Exit(TamperingError.exit_code)
