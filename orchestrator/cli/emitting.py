"""The command that writes a plan as migrations of the project's own tool."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands import LookAt, Plan, command
from orchestrator.cli.desk import Desk


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(
        app,
        "emit",
        examples=["ecm emit --as drizzle --part expand", "ecm emit rename-published-year --as alembic"],
    )(emit)


def emit(
    desk: Desk,
    plan: Plan = None,
    *,
    tool: Annotated[
        str,
        typer.Option("--as", metavar="TOOL", show_default=False, help="drizzle, alembic, django, prisma or sql."),
    ],
    part: Annotated[
        str | None,
        typer.Option("--part", metavar="expand|contract", show_default=False, help="Only this one; both otherwise."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", show_default=False, help="With --as sql: where the files go."),
    ] = None,
    branch: LookAt = None,
) -> None:
    """Write a plan as migrations of your tool, one for expand and one for contract.

    Each does nothing where ecm has done that part, all of it on empty tables, and stops with an error else. Where ecm
    runs the part, it writes the tool's own row with it, so that the tool finds its migration applied.

    With --as sql --folder DIR, .sql files are written there, whatever tool the project has, numbered by what is there.
    """
    desk.show(desk.conductor().emit(plan, tool, part=part, branch=branch, folder=folder and folder.absolute()))
