"""Commands about plan files: list, show, validate, schema; and a subcommand for each kind of change."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from orchestrator.cli.commands import Branch, LookAt, Plan, Sections, command, group
from orchestrator.cli.desk import Desk
from orchestrator.errors import EcmError, RefusedError, UsageError
from orchestrator.plan.lifecycle import Phase
from orchestrator.words import did_you_mean, nearest


class Kinds(Sections):
    """`ecm plan`: its own commands at once, those of the kinds of change when one is asked for."""

    SECTIONS: Mapping[str, tuple[str, ...]] = {
        "Look at plans": ("list", "show", "diff", "validate", "schema"),
        "Write a plan for a column": (
            "add-column", "rename-column", "change-type", "split-column", "merge-columns", "move-column", "drop-column",
        ),
        "Write a plan for a constraint": (
            "set-not-null", "drop-not-null", "add-check", "add-unique", "add-foreign-key",
        ),
        "Write a plan for a table or a type": ("rename-table", "extract-table", "change-enum"),
        "Write a plan of your own statements": ("sql",),
    }  # fmt: skip
    OTHERS = "Write a plan for another change"

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; load the kinds only where it is none of ours."""
        return super().get_command(ctx, cmd_name) or self._all().get(cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return every command's name, ours first."""
        return [*dict.fromkeys([*super().list_commands(ctx), *self._all()])]

    def _all(self) -> Any:
        from orchestrator.cli.kinds import commands

        self.commands.update(commands())
        return self.commands


def register(app: typer.Typer) -> None:
    """Add the commands."""
    plan = group("plan", "Write a plan for a kind of change, or look at plans.")
    command(plan, "list", examples=["ecm plan list"])(list_plans)
    command(
        plan,
        "show",
        examples=[
            "ecm plan show rename-published-year",
            "ecm plan show rename-published-year -b production --phase expand",
        ],
    )(show)
    command(plan, "diff", examples=["ecm plan diff rename-published-year --branch development"])(diff)
    command(plan, "validate", examples=["ecm plan validate", "ecm plan validate rename-published-year"])(validate)
    command(plan, "schema", examples=["ecm plan schema > plan.schema.json"], reports=False, configured=False)(schema)
    app.add_typer(plan, cls=Kinds)


def list_plans(desk: Desk) -> None:
    """List every plan file."""
    desk.show(desk.conductor().plan_list())


def show(
    desk: Desk,
    plan: Plan = None,
    *,
    branch: LookAt = None,
    phase: Annotated[
        str | None, typer.Option("--phase", metavar="PHASE", show_default=False, help=f"Only one: {', '.join(Phase)}.")
    ] = None,
) -> None:
    """Show what a plan would do and take: each statement with its lock, time, disk, and what hangs on its columns."""
    with desk.watched() as conductor:
        report = conductor.preview(plan, branch, phase=_phase(phase))
    desk.show(report)


def diff(desk: Desk, plan: Plan = None, *, branch: Branch) -> None:
    """Show how a plan's file differs in meaning from the text that a branch is on.

    Exit code 4 when it does: what was begun goes on with the text that it was begun with.
    """
    report = desk.conductor().diff(plan, branch)
    desk.show(report)
    if report.differences:
        raise typer.Exit(RefusedError.exit_code)


def validate(
    desk: Desk,
    plans: Annotated[
        list[str] | None,
        typer.Argument(metavar="PLAN...", help="Those to check; all where none is named.", show_default=False),
    ] = None,
) -> None:
    """Check plan files without a database.

    Exit code 1 when one cannot be read.
    """
    report = desk.conductor().validate(plans or ())
    desk.show(report, detailed=True)
    if any(plan.error for plan in report.plans):
        raise typer.Exit(EcmError.exit_code)


def schema(desk: Desk) -> None:
    """Write the JSON Schema of plan files, for editors."""
    from orchestrator.conductor import Conductor

    desk.write(json.dumps(Conductor.plan_schema(), indent=2))


def _phase(given: str | None) -> str | None:
    if given is None:
        return None
    phase = given.strip().lower().replace("-", "_").replace(" ", "_")
    if phase not in tuple(Phase):
        raise UsageError(
            f"there is no phase {given}",
            details=[did_you_mean(phase, Phase) if nearest(phase, Phase) else "", f"the phases: {', '.join(Phase)}"],
        )
    return phase
