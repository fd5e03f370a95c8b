"""Commands about the project itself: init, doctor."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands import OnlyBranch, command
from orchestrator.cli.desk import Desk
from orchestrator.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "init", examples=["ecm init", "ecm init --provider embedded"], configured=False)(init)
    command(app, "doctor", examples=["ecm doctor", "ecm doctor --branch production"])(doctor)


def init(
    desk: Desk,
    *,
    provider: Annotated[
        str,
        typer.Option(
            "--provider",
            metavar="url|embedded|neon",
            help="Where branches are: databases you have, on a server that ecm starts, or at Neon.",
        ),
    ] = "url",
) -> None:
    """Make this folder a project: ecm.yaml, an empty plans/, and .env.example."""
    from orchestrator.conductor import Conductor

    if desk.config is not None:
        raise UsageError("init writes ecm.yaml into the current folder and takes no --config", hint="ecm init")
    here = Path.cwd()
    written = [path.relative_to(here).as_posix() for path in Conductor.init(here, provider=provider)]
    steps = ["name your branches in ecm.yaml", "ecm doctor", "ecm plan rename-column TABLE COLUMN NEW_NAME"]
    if provider == "url":
        steps.insert(1, "copy .env.example to .env and put your databases' URLs in")
    elif provider == "neon":
        steps[0] = "put the project_id and the names of your Neon branches in ecm.yaml"
        steps.insert(1, "copy .env.example to .env and put NEON_API_KEY in")
    else:
        steps[1] = "ecm doctor, which starts the server and says how to connect to it"
    if desk.json:
        desk.dump({"written": written, "next": steps})
        return
    desk.write("\n".join(["wrote", *(f"  {name}" for name in written), ""]))
    desk.write("\n".join(f"{'next' if row == 1 else '':6}{row}. {step}" for row, step in enumerate(steps, 1)))


def doctor(desk: Desk, *, branch: OnlyBranch = None) -> None:
    """Check that every branch can be worked on.

    Exit code 1 when something is not as it should be.
    """
    report = desk.conductor().doctor(branch)
    desk.show(report)
    if not all(finding.ok for finding in report.findings):
        raise typer.Exit(1)
