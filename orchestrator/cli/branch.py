"""Commands about branches as a whole: list, create, reset, delete, diff, restore, stop."""

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands import BranchName, command, group
from orchestrator.cli.desk import Desk
from orchestrator.errors import DeclinedError, UsageError

if TYPE_CHECKING:
    from orchestrator.branch_reports import BranchChangeReport

_DIFFERENT = 3

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Confirm = Annotated[
    str | None,
    typer.Option(
        "--confirm",
        metavar="BRANCH",
        help="The branch's name, given again: what a protected branch wants.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    branch = group("branch", "List, make, reset, delete and compare branches.")
    branch.callback()(_group)
    command(branch, "list", examples=["ecm branch list"])(list_branches)
    command(
        branch,
        "create",
        examples=["ecm branch create development", "ecm branch create pr-7 --parent production --expires 3d"],
    )(create)
    command(branch, "reset", examples=["ecm branch reset development"])(reset)
    command(branch, "delete", examples=["ecm branch delete pr-7", "ecm branch delete pr-7 --yes --if-exists"])(delete)
    command(
        branch,
        "diff",
        examples=["ecm branch diff development production", "ecm branch diff development production --exit-code"],
    )(diff)
    command(
        branch,
        "restore",
        examples=[
            "ecm branch restore production --to before-contract --keep-as production-broken",
            "ecm branch restore production --to 2026-03-01T12:00:00Z",
        ],
    )(restore)
    command(branch, "stop", examples=["ecm branch stop"])(stop)
    app.add_typer(branch)


def _group() -> None:
    """List, make, reset, delete and compare branches."""


def list_branches(desk: Desk) -> None:
    """List every branch, with its parent, age, size and plans."""
    desk.show(desk.conductor().branch_list())


def create(
    desk: Desk,
    branch: BranchName,
    *,
    parent: Annotated[
        str | None,
        typer.Option(
            "--parent",
            metavar="BRANCH",
            help="What it is made from; the parent in ecm.yaml otherwise.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME|LSN", help="As its parent was at that moment.", show_default=False),
    ] = None,
    schema_only: Annotated[bool, typer.Option("--schema-only", help="Without rows.")] = False,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="DURATION", help="Have it deleted after so long (7d).", show_default=False),
    ] = None,
    compute: Annotated[
        str | None,
        typer.Option("--compute", metavar="MIN-MAX", help="The size of its compute (0.25-2).", show_default=False),
    ] = None,
) -> None:
    """Make a branch from another one, with all that is in it.

    It need not be in ecm.yaml. What a provider cannot do of what is asked for, it refuses.
    """  # fmt: skip
    desk.show(
        desk.conductor().branch_create(
            branch, parent=parent, at=at, schema_only=schema_only, expires=expires, compute=_sizes(compute)
        )
    )


def reset(desk: Desk, branch: BranchName, *, yes: Yes = False, confirm: Confirm = None) -> None:
    """Make a branch what its parent is now.

    Says what will be lost, and asks. What was proven on the branch stays proven. The sessions there end.
    """
    consent = _Consent(yes=yes, confirm=confirm)
    desk.show(desk.conductor().branch_reset(branch, consent=lambda proposal: consent.give(desk, proposal)))


def delete(
    desk: Desk,
    branch: BranchName,
    *,
    yes: Yes = False,
    confirm: Confirm = None,
    if_exists: Annotated[bool, typer.Option("--if-exists", help="No error where there is no such branch.")] = False,
) -> None:
    """Delete a branch with all that is in it.

    Says what will be lost, and asks. What was proven on the branch stays proven. The sessions there end.
    """
    consent = _Consent(yes=yes, confirm=confirm)
    report = desk.conductor().branch_delete(
        branch, missing_ok=if_exists, consent=lambda proposal: consent.give(desk, proposal)
    )
    if report is not None:
        desk.show(report)
    elif desk.json:
        desk.dump({"action": "delete", "branch": branch, "done": False})
    else:
        desk.tell(f"there is no branch {branch}; nothing to delete")


def diff(
    desk: Desk,
    branch: BranchName,
    other: BranchName,
    *,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 3 when they differ.")] = False,
) -> None:
    """Compare the schemas of two branches, as PostgreSQL sees them.

    Tables, columns, indexes, constraints, views, types, functions, sequences and what else belongs to the application;
    schema ecm is left out.
    """
    report = desk.conductor().branch_diff(branch, other)
    desk.show(report)
    if exit_code and report.differences:
        raise typer.Exit(_DIFFERENT)


def restore(
    desk: Desk,
    branch: BranchName,
    *,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="TIME|LSN|before-contract", help="The moment; before-contract is the last one there."
        ),
    ],
    keep_as: Annotated[
        str | None,
        typer.Option("--keep-as", metavar="NAME", help="Keep what it was until now as a branch.", show_default=False),
    ] = None,
    yes: Yes = False,
    confirm: Confirm = None,
) -> None:
    """Take a branch back to a moment in its history.

    For providers that keep one. Says what will be lost, and asks. Whatever was written since then is gone, or kept
    under another name.
    """  # fmt: skip
    consent = _Consent(yes=yes, confirm=confirm)
    desk.show(
        desk.conductor().branch_restore(
            branch, to, keep_as=keep_as, consent=lambda proposal: consent.give(desk, proposal)
        )
    )


def stop(desk: Desk) -> None:
    """Stop the server that ecm runs (provider embedded).

    It starts again when a branch is next used.
    """
    desk.show(desk.conductor().branch_stop())


def _sizes(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", text)
    if found is None or float(found[1]) > float(found[2] or found[1]):
        raise UsageError(f"--compute {text} is no size", details=["the least and the most, such as 0.25-2, or one"])
    return float(found[1]), float(found[2] or found[1])


@dataclass(frozen=True, kw_only=True)
class _Consent:
    """What the command line says about asking, of what takes data away: it always asks.

    Attributes:
        yes: not to ask; a protected branch wants more.
        confirm: the branch's name, given again for that.
    """

    yes: bool
    confirm: str | None

    def give(self, desk: Desk, proposal: "BranchChangeReport") -> None:
        """Return if what the report says may be done; it is shown wherever nobody has said so yet.

        Raises:
            UsageError: there is nobody to ask, or `confirm` names another branch.
            DeclinedError: the answer was no.
        """
        branch = proposal.branch
        if self.confirm is not None and self.confirm != branch:
            raise UsageError(f"--confirm says {self.confirm}, and the branch is {branch}", hint=f"--confirm {branch}")
        if self.confirm is not None or (self.yes and not proposal.protected):
            return
        desk.put(desk.screen(proposal), to=sys.stderr)
        if not desk.interactive:
            desk.tell("")
            why = "it is protected; it wants the branch's name" if proposal.protected else ""
            raise UsageError(
                f"{proposal.action} takes away what is on {branch}, and there is no terminal to ask on",
                details=[why],
                hint=f"{proposal.next_command} {f'--confirm {branch}' if proposal.protected else '--yes'}",
            )
        wanted = branch if proposal.protected else "y"
        question = (
            f"{branch} is protected. Type its name to {proposal.action} it: "
            if proposal.protected
            else f"{proposal.action.capitalize()} {branch}? [y/N] "
        )
        desk.write(f"\n{question}", to=sys.stderr, end="")
        answer = sys.stdin.readline()
        if not answer.endswith("\n"):
            desk.write("", to=sys.stderr)
        if answer.strip() != wanted and (proposal.protected or answer.strip().lower() != "yes"):
            raise DeclinedError(f"nothing was done to {branch}", details=["the answer was not yes"])
