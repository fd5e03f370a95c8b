"""Commands about the project itself: init, doctor."""

import os
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands import OnlyBranch, command
from orchestrator.cli.desk import Desk
from orchestrator.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "init", examples=["ecm init", "ecm init --provider embedded", "ecm init --github"], configured=False)(
        init
    )
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
    github: Annotated[
        bool, typer.Option("--github", help="Write workflows for GitHub too; in a project that is there, only these.")
    ] = False,
) -> None:
    """Make this folder a project: ecm.yaml, an empty plans/, and .env.example.

    With --github there are three workflows besides: one rehearses the plans of a pull request, one takes a plan on in
    production by hand, with an environment's approval, and one tells every night of plans that stand still. A file that
    is there is left as it is.
    """
    from orchestrator.conductor import Conductor

    if desk.config is not None:
        raise UsageError("init writes ecm.yaml into the current folder and takes no --config", hint="ecm init")
    here = Path.cwd()
    written: tuple[Path, ...] = ()
    left: tuple[Path, ...] = ()
    steps = ["name your branches in ecm.yaml", "ecm doctor", "ecm plan rename-column TABLE COLUMN NEW_NAME"]
    if Conductor.tools(here):
        steps.insert(2, "ecm detect --all, which tells what your migrations would break")
    if github and (here / "ecm.yaml").exists():
        steps = []
    else:
        written = Conductor.init(here, provider=provider)
        if provider == "url":
            steps.insert(1, "copy .env.example to .env and put your databases' URLs in")
        elif provider == "neon":
            steps[0] = "put the project_id and the names of your Neon branches in ecm.yaml"
            steps.insert(1, "copy .env.example to .env and put NEON_API_KEY in")
        else:
            steps[1] = "ecm doctor, which starts the server and says how to connect to it"
    if github:
        conductor = Conductor.open(here, environment=desk.environment)
        added, left = conductor.write_workflows()
        written = (*written, *added)
        project = conductor.workspace.project
        steps += [*_ELSEWHERE] if project.provider.kind == "embedded" else []
        steps += [] if project.ledger_env else [*_SHARED]
        steps += ["give the repository the secrets that .github/workflows/ecm-*.yml name", *_REVIEWED]
    names, kept = ([Path(os.path.relpath(path, here)).as_posix() for path in paths] for paths in (written, left))
    if desk.json:
        desk.dump({"written": names, "left": kept, "next": steps})
        return
    for title, several in (("wrote", names), ("left as they are", kept)):
        if several:
            desk.write("\n".join([title, *(f"  {name}" for name in several), ""]))
    desk.write("\n".join(f"{'next' if row == 1 else '':6}{row}. {step}" for row, step in enumerate(steps, 1)))


_SHARED = (
    "all machines need one ledger: ledger_env: ECM_LEDGER_URL in ecm.yaml",
    "name ECM_LEDGER_URL under env in the workflows, for a secret so called",
)
_ELSEWHERE = ("use provider url or neon: a runner has a server of its own, empty",)
_REVIEWED = ("give its environment production required reviewers, in the settings",)


def doctor(desk: Desk, *, branch: OnlyBranch = None) -> None:
    """Check that every branch can be worked on.

    Exit code 1 when something is not as it should be.
    """
    report = desk.conductor().doctor(branch)
    desk.show(report)
    if not all(finding.ok for finding in report.findings):
        raise typer.Exit(1)
