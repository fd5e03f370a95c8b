"""Commands that take a plan forward and back: advance, rollback, pause, resume, gate."""

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands import Branch, Plan, To, command
from orchestrator.cli.consent import Consent
from orchestrator.cli.desk import Desk
from orchestrator.errors import DriftError, RefusedError, TamperingError, UsageError, VerificationError
from orchestrator.plan.lifecycle import STATES
from orchestrator.words import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.conductor import Conductor
    from orchestrator.conductor import Consent as Asked
    from orchestrator.reports import AdvanceReport

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be run; touch nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, on a protected branch either.")]
YesButContract = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask; to contract a protected branch takes --confirm.")
]
Now = Annotated[bool, typer.Option("--now", help="Before the time is over in which contract can be undone.")]
Events = Annotated[bool, typer.Option("--events", help="Write what happens to stderr, as lines of JSON.")]
Override = Annotated[
    list[str] | None,
    typer.Option(
        "--override",
        metavar="CODE",
        show_default=False,
        help="An unmet condition to let pass this time; may be given several times.",
    ),
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; it is kept.", show_default=False)]
Confirm = Annotated[
    str | None,
    typer.Option(
        "--confirm",
        metavar="PLAN",
        show_default=False,
        help="The plan's name again: consent to all that is asked, contract of a protected branch too.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(
        app,
        "advance",
        examples=[
            "ecm advance rename-published-year --branch development",
            "ecm advance rename-published-year --branch production --to backfilled",
        ],
    )(advance)
    command(
        app,
        "finalize",
        examples=[
            "ecm finalize rename-published-year --branch development",
            "ecm finalize rename-published-year --branch development --now",
        ],
    )(finalize)
    command(app, "rollback", examples=["ecm rollback rename-published-year --branch development"])(rollback)
    command(app, "pause", examples=["ecm pause rename-published-year --branch production"])(pause)
    command(app, "resume", examples=["ecm resume rename-published-year --branch production"])(resume)
    command(app, "gate", examples=["ecm gate rename-published-year --branch production"])(gate)


def advance(
    desk: Desk,
    plan: Plan = None,
    *,
    branch: Branch,
    to: To = None,
    dry_run: DryRun = False,
    yes: YesButContract = False,
    confirm: Confirm = None,
    override: Override = None,
    reason: Reason = None,
    events: Events = False,
) -> None:
    """Take a plan one phase on, or as far as a state.

    States: planned, expanded, backfilled, reads_migrated, contracted. When it is interrupted, the same command
    goes on from there. Without a terminal to ask on, a protected branch needs --yes, or for contract
    --confirm PLAN instead; where that is missing, it is exit code 2. Exit code 4 when it may not go on; ecm gate
    says why. A condition that --override lets pass stands in the ledger and in status, with its reason.
    """
    consent = Consent(yes=yes, confirm=confirm)

    def advanced(conductor: "Conductor", ask: "Asked") -> "AdvanceReport":
        return conductor.advance(
            plan, branch, to=_state(to), dry_run=dry_run, consent=ask, override=override or (), reason=reason
        )

    _move(desk, advanced, consent=consent, events=events)


def finalize(
    desk: Desk,
    plan: Plan = None,
    *,
    branch: Branch,
    now: Now = False,
    dry_run: DryRun = False,
    yes: YesButContract = False,
    confirm: Confirm = None,
    events: Events = False,
) -> None:
    """Drop for good what contract keeps; from then on there is no way back.

    With contract.undo_window in a plan, contract takes the old structure out of the application's sight and keeps it
    true, so that ecm rollback brings it back at once. When that time is over, this drops it (so does ecm advance);
    before that, with --now. Until then contract can be undone, however long that is.
    """

    def finalized(conductor: "Conductor", ask: "Asked") -> "AdvanceReport":
        return conductor.finalize(plan, branch, now=now, dry_run=dry_run, consent=ask)

    _move(desk, finalized, consent=Consent(yes=yes, confirm=confirm), events=events)


def rollback(
    desk: Desk,
    plan: Plan = None,
    *,
    branch: Branch,
    to: To = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    events: Events = False,
) -> None:
    """Take a plan one step back; what was written stays, where the old schema has a place for it.

    After contract it is possible as long as contract keeps the old structure (contract.undo_window in the plan);
    without that, or once it is finalized, the old structure is gone and there is no way back.
    """

    def rolled_back(conductor: "Conductor", ask: "Asked") -> "AdvanceReport":
        return conductor.rollback(plan, branch, to=_state(to), dry_run=dry_run, consent=ask)

    _move(desk, rolled_back, consent=Consent(yes=yes, confirm=None), events=events)


def pause(desk: Desk, plan: Plan = None, *, branch: Branch) -> None:
    """Hold a backfill back, from any terminal.

    A running one stops writing within a second or two, and keeps its place and its lease. One that is not
    running does not go on until ecm resume.
    """
    desk.show(desk.conductor().pause(plan, branch))


def resume(desk: Desk, plan: Plan = None, *, branch: Branch) -> None:
    """Let a paused backfill go on."""
    desk.show(desk.conductor().resume(plan, branch))


def gate(desk: Desk, plan: Plan = None, *, branch: Branch, to: To = None) -> None:
    """Ask whether a plan may go on; every condition that is not met.

    Exit code 4 when it may not, 6 when it may not because something is no longer as ecm made it. Touches
    nothing of yours.
    """
    with desk.watched() as conductor:
        report = conductor.gate(plan, branch, to=_state(to))
    desk.show(report)
    if not report.allowed:
        drifted = {VerificationError.code, TamperingError.code, DriftError.code}
        only = all(reason.code in drifted for reason in report.reasons)
        raise typer.Exit(VerificationError.exit_code if only else RefusedError.exit_code)


def _move(
    desk: Desk,
    made: "Callable[[Conductor, Asked], AdvanceReport]",
    *,
    consent: Consent,
    events: bool,
) -> None:
    workspace = desk.workspace()
    live = desk.live(lines=events)

    def ask(preview: "AdvanceReport") -> None:
        consent.give(desk, preview, protected=workspace.project.branch(preview.branch).protected)

    conductor = desk.conductor(workspace, observer=live)
    with live:
        report = made(conductor, ask)
    desk.show(report, detailed=True)


def _state(given: str | None) -> str | None:
    """Return a state by its name, with - or a space for _ too.

    Raises:
        UsageError: there is no such state.
    """
    if given is None:
        return None
    state = given.strip().lower().replace("-", "_").replace(" ", "_")
    if state not in STATES:
        raise UsageError(
            f"there is no state {given}",
            details=[did_you_mean(state, STATES) if nearest(state, STATES) else "", f"the states: {', '.join(STATES)}"],
        )
    return state
