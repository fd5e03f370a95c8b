"""`ecm`: the entry point, the options before any command, and what becomes of errors.

Exit codes: 0 done; 1 an error; 2 usage; 3 something is pending (`status --exit-code`); 4 refused;
5 no lock or lease in time; 6 verification, drift or tampering; 130 interrupted.
"""

import importlib
import os
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated, Any

import typer

from orchestrator.cli import branch, emitting, looks, migrations, moves, plans, project, records, rehearsal, testimony
from orchestrator.cli.commands import Config, Json, Sections, command, example_of
from orchestrator.cli.desk import Desk, hush
from orchestrator.errors import EcmError, UsageError

_INTERRUPTED = 130

app = typer.Typer(
    name="ecm",
    cls=Sections,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ecm {version('expand-contract')}")
        raise typer.Exit


@app.callback(
    epilog="\b\nBegin with `ecm demo`, which needs nothing, or `ecm init` in your project.\n"
    "Every report ends with the next command to run."
)
def options(
    ctx: typer.Context,
    config: Config = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    _json: Json = False,  # looked for by the desk, so that the errors of this very parsing are JSON too
) -> None:
    """Take breaking PostgreSQL schema changes through expand and contract.

    One branch at a time, with old and new versions of the application working side by side throughout.
    """
    ctx.obj.config = config


for part in (project, plans, migrations, emitting, moves, testimony, looks, records, branch, rehearsal):
    part.register(app)


@command(app, "demo", examples=["ecm demo"], reports=False, configured=False)
def demo(
    _: Desk,
    *,
    rows: Annotated[int | None, typer.Option("--rows", min=1, help="How many books.", show_default=False)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the project's folder to look at.")] = False,
) -> None:
    """See the whole story on a server of ecm's own; nothing to set up."""
    run_demo = importlib.import_module("orchestrator.cli.demo").run
    run_demo(keep=keep, **({} if rows is None else {"rows": rows}))


def run() -> None:
    """Run the command line and exit."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run a command line; return the exit code."""
    desk = Desk(arguments, os.environ)
    came = _on_termination()
    try:
        code = _perform(desk, arguments)
    except KeyboardInterrupt:
        desk.interrupted()
        code = 128 + came[0] if came else _INTERRUPTED
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            hush(stream)
    return code


def _perform(desk: Desk, arguments: list[str]) -> int:
    """Run a command; turn whatever it raises into words and an exit code."""
    try:
        result = typer.main.get_command(app).main(arguments, prog_name="ecm", standalone_mode=False, obj=desk)
    except EcmError as error:
        return desk.fail(error)
    except typer.TyperException as error:
        return _misused(desk, error)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        return 0
    except SystemExit as left:
        return _left(left)
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback for people who did not ask for one
        return _unexpected(desk, error)
    if result == _INTERRUPTED:  # typer's word for KeyboardInterrupt
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0


def _left(left: SystemExit) -> int:
    """Return the exit code of a command that left by itself."""
    if isinstance(left.__context__, BrokenPipeError):
        return 0  # typer leaves so when the reader of its help has gone
    return left.code if isinstance(left.code, int) else int(left.code is not None)


def _misused(desk: Desk, error: typer.TyperException) -> int:
    """Say what is wrong with the command line, as any other error is said; help where only that is missing."""
    context: typer.Context | None = getattr(error, "ctx", None)
    said = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError" and not desk.json:
        desk.write(said, to=sys.stderr)
        return error.exit_code
    if type(error).__name__ == "NoArgsIsHelpError":
        said = "Missing command."
    message, _, suggestion = said.partition(". Did you mean ")
    message, _, options_like_it = message.partition(" (Possible options: ")
    # Commands come nearest first, and those of kinds are alike; options come in order of the alphabet.
    near = (suggestion.partition(", ")[0] or options_like_it).rstrip("?)")
    example = example_of(context.command) if context and type(error).__name__ == "MissingParameter" else ""
    more = f"{context.command_path if context else 'ecm'} --help"
    return desk.fail(
        UsageError(
            (message[:1].lower() + message[1:]).rstrip("."),
            details=[f"did you mean {near}?"]
            if near
            else [f"{more} says what each is; an example:"]
            if example
            else [],
            hint=example or more,
        )
    )


def _unexpected(desk: Desk, error: Exception) -> int:
    if desk.environment.get("ECM_DEBUG"):
        desk.tell("".join(traceback.format_exception(error)).rstrip())
    words = " ".join(str(error).split())
    return desk.fail(
        EcmError(
            f"unexpected {type(error).__name__}{': ' if words else ''}{words}",
            details=["this is a fault in ecm; what was done before it is kept"],
            hint="run it again with ECM_DEBUG=1 for a traceback",
        )
    )


def _on_termination() -> list[int]:
    """Have SIGTERM, and SIGHUP of a closed terminal, end the run as Ctrl-C does, so that a lease is given back.

    Returns the list that holds the signal once it came. A SIGHUP that nohup has set aside stays so. After the
    first, both are ignored to the end: the run is ending already, and Ctrl-C still cuts that short.
    """
    came: list[int] = []
    listened = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]

    def stop(number: int, _: FrameType | None) -> Any:
        came.append(number)
        for each in listened:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in listened:
        signal.signal(number, stop)
    return came


if __name__ == "__main__":
    run()
