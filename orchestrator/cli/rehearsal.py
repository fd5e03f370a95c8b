"""Commands that try a plan on copies: rehearse, ci."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands import Plan, command
from orchestrator.cli.desk import Desk

if TYPE_CHECKING:
    from orchestrator.reports import Report

From = Annotated[
    str, typer.Option("--from", metavar="BRANCH", help="The branch whose data it is tried on.", show_default=False)
]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the copy, to look at it.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write it to a file, as Markdown.", show_default=False),
]

_STOPS = "Ctrl-C stops, and deletes the copy"
_INTERRUPTED = "interrupted; the copy was deleted, and nothing was recorded"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(
        app,
        "rehearse",
        examples=[
            "ecm rehearse rename-published-year --from production",
            "ecm rehearse rename-published-year --from production --output rehearsal.md",
        ],
    )(rehearse)


def rehearse(desk: Desk, plan: Plan = None, *, branch: From, keep: Keep = False, output: Output = None) -> None:
    """Try a plan on a throwaway copy of a branch: the whole cycle, with a rollback in each state.

    Two synthetic applications write meanwhile, one of each version. The report says what each phase took, and what it
    is expected to take on the branch itself; which rows, dependents or writes would stop it. It is kept, for gates that
    ask for it (contract.require.rehearsal). The copy is deleted at the end, and after a crash by the next rehearsal.
    Exit code 4 or 6 where the plan did not get through, as the phase itself would give.
    """
    desk.interruption = _INTERRUPTED
    with desk.watched(stops=_STOPS) as conductor:
        report = conductor.rehearse(plan, branch, keep=keep)
    _written(desk, report, output)
    desk.show(report)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _written(desk: Desk, report: "Report", output: Path | None) -> None:
    """Write a report as Markdown, where that is asked for; an older one of that name is written over."""
    if output is None:
        return
    from orchestrator.cli.render.markdown import markdown
    from orchestrator.workspace import replace_file

    replace_file(output.absolute(), desk.redact(markdown(report)))
