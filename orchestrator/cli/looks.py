"""Commands that look and change nothing: status, verify, readers."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands import Branch, OnlyBranch, Plan, command
from orchestrator.cli.desk import Desk
from orchestrator.errors import UsageError, VerificationError
from orchestrator.plan.lifecycle import State

if TYPE_CHECKING:
    from orchestrator.reports import BranchStatus, StatusReport

_EVERY = 2.0
"""Seconds between two looks of `status --watch`."""

_ERROR, _PENDING = 1, 3


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(
        app,
        "status",
        examples=[
            "ecm status",
            "ecm status rename-published-year --branch production",
            "ecm status --stalled 30d --exit-code",
        ],
    )(status)
    command(app, "verify", examples=["ecm verify rename-published-year --branch development"])(verify)
    command(app, "readers", examples=["ecm readers rename-published-year --branch production"])(readers)


def status(
    desk: Desk,
    plan: Plan = None,
    *,
    branch: OnlyBranch = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every 2 seconds, on a terminal, until Ctrl-C (exit code 0).")
    ] = False,
    exit_code: Annotated[
        bool,
        typer.Option("--exit-code", help="Exit 3 when something is pending, 1 when a branch or plan cannot be read."),
    ] = False,
    stalled: Annotated[
        str | None,
        typer.Option(
            "--stalled",
            metavar="DURATION",
            show_default=False,
            help="Only what has not moved for so long (30d); with --exit-code, 3 when there is any.",
        ),
    ] = None,
) -> None:
    """Show where every plan is, what blocks, and what is next.

    --stalled is for a nightly job: it shows plans that were left half way, or were contracted on one branch and never
    begun on the one that requires it, and tells of them where ecm.yaml has notices.
    """
    if watch and (exit_code or stalled is not None):
        unfit, hint = ("--exit-code", "") if exit_code else ("--stalled", " 30d")
        raise UsageError(f"--watch goes on until Ctrl-C and has no {unfit}", hint=f"ecm status {unfit}{hint}")
    if stalled is not None:
        _stalled(desk, plan, branch, stalled, exit_code=exit_code)
        return
    conductor, detailed = desk.conductor(), plan is not None or branch is not None
    if watch:
        _watch(desk, lambda: conductor.status(plan, branch), detailed=detailed)
        return
    report = conductor.status(plan, branch)
    desk.show(report, detailed=detailed)
    if exit_code and (code := _exit_code(report)):
        raise typer.Exit(code)


def verify(
    desk: Desk,
    plan: Plan = None,
    *,
    branch: Branch,
) -> None:
    """Check that every row's old and new side match.

    Exit code 6 when some do not.
    """
    with desk.live() as live:
        report = desk.conductor(observer=live).verify(plan, branch)
    desk.show(report)
    if report.mismatches:
        raise typer.Exit(VerificationError.exit_code)


def readers(
    desk: Desk,
    plan: Plan = None,
    *,
    branch: Branch,
) -> None:
    """Show who still reads or writes the old side.

    Statements in pg_stat_statements, what stands in the catalog, and writes that were noticed, with when that was
    last. Each look also takes a sample that the next one is compared with.
    """
    desk.show(desk.conductor().readers(plan, branch))


def _stalled(desk: Desk, plan: str | None, branch: str | None, stalled: str, *, exit_code: bool) -> None:
    with desk.live() as live:
        report = desk.conductor(observer=live).status(plan, branch, stalled=stalled)
    desk.show(report)
    if exit_code and (report.plans or report.unanswered):
        raise typer.Exit(_PENDING if report.plans else _ERROR)


def _watch(desk: Desk, look: Callable[[], "StatusReport"], *, detailed: bool) -> None:
    if desk.json or not desk.animated:
        raise UsageError(
            "--watch redraws a terminal, and this is none", hint="ecm status, or ecm status --json --exit-code"
        )
    from rich.live import Live

    with Live(console=desk.console(sys.stdout), auto_refresh=False) as live:
        try:
            while True:
                live.update(desk.screen(look(), detailed=detailed), refresh=True)
                time.sleep(_EVERY)
        except KeyboardInterrupt:
            return


def _to_finalize(branch: "BranchStatus") -> bool:
    """Whether the time in which contract can be undone is over, and what it keeps is still there."""
    return branch.undo_until is not None and branch.as_of is not None and branch.as_of >= branch.undo_until


def _exit_code(report: "StatusReport") -> int:
    """Return what --exit-code says: an error before anything pending."""
    branches = [branch for plan in report.plans for branch in plan.branches]
    if report.ledger_error or any(plan.error for plan in report.plans) or any(branch.error for branch in branches):
        return _ERROR
    pending = any(branch.state != State.CONTRACTED or branch.in_progress or _to_finalize(branch) for branch in branches)
    return _PENDING if pending else 0
