"""Commands beside another migration tool: inspect, detect."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands import LookAt, command
from orchestrator.cli.desk import Desk
from orchestrator.errors import RefusedError, UsageError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(
        app,
        "inspect",
        examples=["ecm inspect --branch production", "ecm inspect --drizzle rename-published-year"],
    )(inspect)
    command(
        app,
        "detect",
        examples=["ecm detect --base main --sarif ecm.sarif", "ecm detect --write", "ecm detect migrations/0007.sql"],
    )(detect)


def inspect(
    desk: Desk,
    tables: Annotated[
        list[str] | None,
        typer.Argument(metavar="TABLE...", show_default=False, help="Those to show in full; a list of all otherwise."),
    ] = None,
    *,
    branch: LookAt = None,
    drizzle: Annotated[
        str | None,
        typer.Option("--drizzle", metavar="PLAN", show_default=False, help="Which lines of schema.ts a plan edits."),
    ] = None,
    sqlalchemy: Annotated[
        str | None,
        typer.Option("--sqlalchemy", metavar="PLAN", show_default=False, help="The same of SQLAlchemy models."),
    ] = None,
) -> None:
    """Show tables as PostgreSQL has them, or which lines of an ORM's schema a plan edits.

    With --drizzle or --sqlalchemy: phase by phase, the lines to add and those to remove. No file is written.
    """
    plan = drizzle or sqlalchemy
    if plan is None:
        with desk.watched() as conductor:
            desk.show(conductor.inspect(tables or (), branch))
        return
    if (drizzle and sqlalchemy) or tables:
        raise UsageError(
            "a plan's lines are those of its own tables, for one ORM", hint=f"ecm inspect --drizzle {plan}"
        )
    with desk.watched() as conductor:
        desk.show(conductor.schema_edit(plan, "drizzle" if drizzle else "sqlalchemy", branch))


def detect(
    desk: Desk,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILES...",
            show_default=False,
            help="Migrations to read; otherwise those that the first branch lacks, by the tool's own table there.",
        ),
    ] = None,
    *,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="REF", show_default=False, help="Read those that changed since REF, by git."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Read all, each as it ran after those before.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write a plan for each that none covers.")] = False,
    renames: Annotated[
        bool,
        typer.Option("--renames", help="With --write: a column that goes, and one like it that comes, is a rename."),
    ] = False,
    tool: Annotated[
        str | None,
        typer.Option("--as", metavar="TOOL", show_default=False, help="The tool, where the project has several."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 4 for what is lock-hungry, too.")] = False,
    sarif: Annotated[
        Path | None,
        typer.Option("--sarif", metavar="FILE", show_default=False, help="Write the findings for code review, too."),
    ] = None,
) -> None:
    """Find what another tool's migrations would break, and the plans that do the same safely.

    Reads what Drizzle, Alembic, Django, Prisma or a folder of .sql files generated. Breaking: a version of the
    application that is running fails. Lock-hungry: others wait while a table is read or written as a whole.

    Exit code 4 when something breaking is not covered by a plan.
    """
    if renames and not write:
        raise UsageError("--renames says what --write writes", hint="ecm detect --write --renames")
    with desk.watched() as conductor:
        report = conductor.detect(
            files or (), base=base, everything=everything, write=write, renames=renames, tool=tool
        )
    if sarif is not None:
        conductor.write_sarif(report, sarif)
        report = report.model_copy(update={"sarif": str(sarif)})
    desk.show(report)
    if report.breaking or (strict and report.lock_hungry):
        raise typer.Exit(RefusedError.exit_code)
