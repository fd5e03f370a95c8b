"""Commands for what people say of a plan on a branch: attest, approve."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands import Branch, Plan, command
from orchestrator.cli.desk import Desk
from orchestrator.errors import DeclinedError
from orchestrator.plan.claims import Claim
from orchestrator.plan.lifecycle import State

if TYPE_CHECKING:
    from orchestrator.reports import ApprovalReport


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(
        app,
        "attest",
        examples=["ecm attest rename-published-year --branch production --as reads-new --version 4f2c9e1"],
    )(attest)
    command(app, "approve", examples=["ecm approve rename-published-year --branch production --to contracted"])(approve)


def attest(
    desk: Desk,
    plan: Plan = None,
    *,
    branch: Branch,
    claim: Annotated[
        str, typer.Option("--as", metavar="CLAIM", help=f"What it does: {', '.join(Claim)}.", show_default=False)
    ],
    version: Annotated[
        str,
        typer.Option(
            "--version", metavar="VERSION", help="The version deployed, such as a commit's hash.", show_default=False
        ),
    ],
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Say that it is no longer so.")] = False,
) -> None:
    """Say what the application deployed beside a branch does.

    The word stands in the ledger, for gates that ask for it, until the plan is rolled back there.
    """
    desk.show(desk.conductor().attest(plan, branch, claim=claim, version=version, withdraw=withdraw))


def approve(
    desk: Desk,
    plan: Plan = None,
    *,
    branch: Branch,
    to: Annotated[str, typer.Option("--to", metavar="STATE", help="What is approved.")] = State.CONTRACTED,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Approve of contract on a branch that asks for approvals.

    It counts for whoever else contracts, as long as the evidence shown stays as it is, until it expires.
    """

    def ask(shown: "ApprovalReport") -> None:
        if yes or not desk.interactive:
            return
        desk.put(desk.screen(shown), to=sys.stderr)
        desk.write("\nApprove of this? [y/N] ", to=sys.stderr, end="")
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise DeclinedError("nothing was approved", details=["the answer was not yes"])

    desk.show(desk.conductor().approve(plan, branch, to=to, consent=ask))
