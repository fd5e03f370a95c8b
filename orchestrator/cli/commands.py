"""How a command is declared: its name, its parameters, its examples, and the options that all share.

A command is a function of a `Desk` and its own parameters. What it is declared with here becomes
its help and its entry in the command line.
"""

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from typer.core import TyperGroup

from orchestrator.cli.desk import Desk
from orchestrator.errors import EcmError

P = ParamSpec("P")

EXAMPLE = "Example:"
_LINE = 68
"""What fits on a line of help after the word for an example."""
_KEPT = "interrupted; state kept, the same command goes on from here"


def _names(kind: str) -> Callable[[typer.Context, str], list[str]]:
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        """Complete a plan's or a branch's name for the shell; nothing where there is no project."""
        desk = Desk([], os.environ)
        desk.config = ctx.find_root().params.get("config")
        try:
            workspace = desk.workspace()
            names = workspace.plan_names() if kind == "plan" else tuple(workspace.project.branches)
        except EcmError:
            return []
        return [name for name in names if name.startswith(incomplete)]

    return complete


Plan = Annotated[
    str | None,
    typer.Argument(
        metavar="PLAN",
        help="The plan's name; may be left out when only one is active.",
        autocompletion=_names("plan"),
        show_default=False,
    ),
]


def _branch(help_text: str) -> Any:
    return typer.Option(
        "--branch", "-b", metavar="BRANCH", help=help_text, autocompletion=_names("branch"), show_default=False
    )


Branch = Annotated[str, _branch("The branch it is about.")]
OnlyBranch = Annotated[str | None, _branch("Only this branch.")]
BranchName = Annotated[
    str, typer.Argument(metavar="BRANCH", help="The branch's name.", autocompletion=_names("branch"))
]
LookAt = Annotated[str | None, _branch("Whose tables to look at; the first branch's otherwise.")]
To = Annotated[
    str | None,
    typer.Option("--to", metavar="STATE", help="As far as this state; one phase otherwise.", show_default=False),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The project file, instead of the ecm.yaml above here."),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]


def group(name: str, summary: str) -> typer.Typer:
    """Return a command that holds others."""
    return typer.Typer(name=name, help=summary, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def command(
    app: typer.Typer,
    name: str,
    *,
    examples: Iterable[str],
    reports: bool = True,
    configured: bool = True,
    interruption: str = _KEPT,
) -> Callable[[Callable[Concatenate[Desk, P], None]], Callable[Concatenate[Desk, P], None]]:
    """Declare a function as a command.

    Args:
        app: what it is a command of.
        name: as it is typed.
        examples: command lines for the end of its help.
        reports: whether it knows --json.
        configured: whether it is about a project, and knows --config.
        interruption: what is said when Ctrl-C ends it.
    """

    def declare(function: Callable[Concatenate[Desk, P], None]) -> Callable[Concatenate[Desk, P], None]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        register(
            app,
            name,
            function,
            own,
            help_text=inspect.getdoc(function) or "",
            examples=examples,
            reports=reports,
            configured=configured,
            interruption=interruption,
        )
        return function

    return declare


def register(
    app: typer.Typer,
    name: str,
    function: Callable[..., None],
    parameters: Sequence[inspect.Parameter],
    *,
    help_text: str,
    examples: Iterable[str],
    reports: bool = True,
    configured: bool = True,
    interruption: str = _KEPT,
) -> None:
    """Make a function a command with these parameters, and those that all commands share."""

    def run(**given: Any) -> None:
        desk: Desk = given.pop("ctx").obj
        desk.interruption = interruption
        desk.config = given.pop("config", None) or desk.config
        given.pop("as_json", None)
        function(desk, **given)

    shared = [_parameter("config", Config, None)] if configured else []
    shared += [_parameter("as_json", Json, default=False)] if reports else []
    signature = inspect.Signature([_parameter("ctx", typer.Context), *map(_by_name, parameters), *shared])
    described: Any = run
    described.__signature__ = signature
    described.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    app.command(name, help=help_text, epilog=_epilog(examples))(run)


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _by_name(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)


def _epilog(examples: Iterable[str]) -> str:
    # \b keeps the help formatter from running the lines together.
    lines = (line for example in examples for line in _broken(example))
    return "\b\n" + "\n".join(f"{EXAMPLE if not row else '':9}{line}" for row, line in enumerate(lines))


def _broken(example: str) -> list[str]:
    """Return a command line's lines, as a shell can read them: broken at its options where it is long."""
    if len(example) <= _LINE:
        return [example]
    first, *options = re.split(r" (?=--)", example)
    return [*(f"{line} \\" for line in (first, *(f"    {option}" for option in options[:-1]))), f"    {options[-1]}"]


def example_of(command: Any) -> str:
    """Return the first example of a command's help as one line; empty where it has none."""
    lines = (command.epilog or "").removeprefix("\b\n").splitlines()
    if not lines or not lines[0].startswith(EXAMPLE):
        return ""
    parts = [lines[0].removeprefix(EXAMPLE)]
    for line in lines[1:]:
        if not parts[-1].endswith("\\"):
            break
        parts.append(line)
    return " ".join(part.strip().removesuffix("\\").strip() for part in parts)


class Sections(TyperGroup):
    """The commands of `ecm --help`, grouped by what they are for."""

    SECTIONS: Mapping[str, tuple[str, ...]] = {
        "Begin": ("init", "doctor", "demo"),
        "Make and compare branches": ("branch",),
        "Write a plan, and try it": ("plan", "inspect", "rehearse", "ci"),
        "Take it through a branch": (
            "advance",
            "rollback",
            "finalize",
            "pause",
            "resume",
            "gate",
            "attest",
            "approve",
        ),
        "At home beside your migration tool": ("detect", "emit"),
        "Look": ("status", "verify", "readers", "history", "audit"),
    }
    OTHERS = "Other commands"

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each purpose."""
        listed = self.list_commands(ctx)
        width = max(map(len, listed))
        placed = {name for names in self.SECTIONS.values() for name in names}
        others = tuple(name for name in listed if name not in placed)
        for title, names in {**self.SECTIONS, self.OTHERS: others}.items():
            if present := [name for name in names if name in listed]:
                with formatter.section(title):
                    formatter.write_dl(
                        [(name.ljust(width), _first_sentence(self.get_command(ctx, name))) for name in present]
                    )


def _first_sentence(command: Any) -> str:
    return " ".join((command.help or "").partition("\n\n")[0].split())
