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
_INTERRUPTED = "interrupted; it leaves no copy, and nothing was recorded"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(
        app,
        "rehearse",
        examples=[
            "ecm rehearse rename-published-year --from production",
            "ecm rehearse rename-published-year --from production --output rehearsal.md",
        ],
        interruption=_INTERRUPTED,
    )(rehearse)
    command(
        app,
        "ci",
        examples=["ecm ci", "ecm ci --base origin/main --pr 42 --from production", "ecm ci --cleanup --pr 42"],
        interruption=_INTERRUPTED,
    )(ci)


def rehearse(desk: Desk, plan: Plan = None, *, branch: From, keep: Keep = False, output: Output = None) -> None:
    """Try a plan on a throwaway copy of a branch: the whole cycle, with a rollback in each state.

    Two synthetic applications write meanwhile, one of each version. The report says what each phase took, and what it
    is expected to take on the branch itself; which rows, dependents or writes would stop it. It is kept, for gates that
    ask for it (contract.require.rehearsal). The copy is deleted at the end, and after a crash by the next rehearsal.
    Exit code 4 or 6 where the plan did not get through, as the phase itself would give.
    """
    with desk.watched(stops=_STOPS) as conductor:
        report = conductor.rehearse(plan, branch, keep=keep)
    _written(desk, report, output)
    desk.show(report)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def ci(
    desk: Desk,
    *,
    branch: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="BRANCH", help="The branch whose data is used; production otherwise.", show_default=False
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="REF",
            help="What the pull request is compared with; GITHUB_BASE_REF, or origin/main otherwise.",
            show_default=False,
        ),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option(
            "--pr", metavar="NUMBER", min=1, help="The pull request; that of GITHUB_REF otherwise.", show_default=False
        ),
    ] = None,
    output: Output = None,
    cleanup: Annotated[bool, typer.Option("--cleanup", help="Delete the pull request's branches instead.")] = False,
) -> None:
    """Rehearse every plan that a pull request changes, and write a summary.

    Each plan has a branch for the pull request, made from another's data and anew with every run. It is kept to look
    at until --cleanup. The summary is Markdown: what each phase took and is expected to take, what stood in the way,
    each statement with its lock, how the schema changes, and what a linter says. Where GITHUB_STEP_SUMMARY is set it is
    added to that file too. Exit code 0 when all passed, or nothing was changed; 4 or 6 as ecm rehearse; 1 when a plan
    cannot be read.
    """
    if cleanup:
        desk.show(desk.conductor().clear_pull_request(number))
        return
    with desk.watched(stops=_STOPS) as conductor:
        report = conductor.check_pull_request(branch, base=base, pull_request=number)
    _written(desk, report, output)
    _summarized(desk, report)
    desk.show(report)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _summarized(desk: Desk, report: "Report") -> None:
    """Add a report to the page that GitHub shows for the job; that it cannot be is no reason to fail."""
    from orchestrator.cli.render.markdown import markdown

    if file := desk.environment.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(file).open("a", encoding="utf-8") as page:
                page.write(desk.redact(markdown(report)))
        except OSError as error:
            desk.tell(f"GITHUB_STEP_SUMMARY could not be written: {error.strerror}")


def _written(desk: Desk, report: "Report", output: Path | None) -> None:
    """Write a report as Markdown, where that is asked for; an older one of that name is written over."""
    if output is None:
        return
    from orchestrator.cli.render.markdown import markdown
    from orchestrator.workspace import replace_file

    replace_file(output.absolute(), desk.redact(markdown(report)))
