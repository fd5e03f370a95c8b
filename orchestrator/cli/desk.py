"""What one run of the command line has at hand: its options, its streams, the project, the conductor.

Data goes to stdout, everything else to stderr. Whatever is written passes through here, and leaves
its passwords behind.
"""

import codecs
import contextlib
import json
import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

from orchestrator.errors import EcmError
from orchestrator.redaction import redact, secrets_in

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from orchestrator.cli.render.live import Lines, Live
    from orchestrator.conductor import Conductor
    from orchestrator.events import Observer
    from orchestrator.reports import Report
    from orchestrator.workspace import Workspace

R = TypeVar("R", bound="Report")

_FREE_TEXT = frozenset(
    {
        "error",
        "failure",
        "holder",
        "ledger",
        "message",
        "note",
        "notes",
        "remedy",
        "throttled_by",
        "unwritten",
        "warnings",
    }
)
"""The fields of reports that quote what a driver or a server said."""

_LOOKALIKES = {
    "○": "o", "◐": "~", "●": "*", "✓": "+", "✗": "x", "\u2013": "-", "\u2014": "-", "…": "~", "·": ",", "→": ">",
    "━": "=", "╸": "=", "╺": "-", "─": "-", "│": "|",
}  # fmt: skip


def _look_alike(error: UnicodeError) -> tuple[str, int]:
    """Put a character that the stream can take in place of one that it cannot; always one for one."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    return "".join(_LOOKALIKES.get(character, "?") for character in unknown), error.end


codecs.register_error("ecm.look_alike", _look_alike)


class Desk:
    """One run of the command line.

    Args:
        arguments: as given, without the program's name.
        environment: the process's variables.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        before_operands = arguments[: arguments.index("--")] if "--" in arguments else arguments
        self.json = "--json" in before_operands
        self._events, self._watching = "--events" in before_operands, "--watch" in before_operands
        self.config: Path | None = None
        self.interruption = "interrupted before anything was done"
        """What is said when Ctrl-C or a signal ended the run; a command says its own once it is under way."""
        self.environment = environment
        self._secrets: list[Iterable[str]] = [secrets_in(environment)]
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError):  # a stream that someone put there may be of another kind
                cast("Any", stream).reconfigure(errors="ecm.look_alike")

    # --- what commands work on --------------------------------------------------------------------

    def workspace(self) -> "Workspace":
        """Open the project.

        Raises:
            EcmError: there is none, or it cannot be read.
        """
        from orchestrator.workspace import Workspace

        workspace = Workspace.find(Path.cwd(), self.config, self.environment)
        self._secrets.append(workspace.secrets)
        return workspace

    def conductor(self, workspace: "Workspace | None" = None, *, observer: "Observer | None" = None) -> "Conductor":
        """Return the conductor of the project."""
        from orchestrator.conductor import Conductor
        from orchestrator.events import ignore

        return Conductor(workspace or self.workspace(), observer=observer or ignore)

    @contextlib.contextmanager
    def watched(self, *, stops: str | None = None) -> "Generator[Conductor]":
        """Give a conductor that tells on stderr what it waits for; with --json it does not."""
        if self.json:
            yield self.conductor()
            return
        with self.live(stops=stops) as live:
            yield self.conductor(observer=live)

    def live(self, *, lines: bool = False, stops: str | None = None) -> "Live | Lines":
        """Return an observer that shows on stderr what is going on, as lines of JSON if asked; a context manager.

        `stops` says what Ctrl-C would do, where it does not leave off for the same command to go on.
        """
        from orchestrator.cli.render.live import Lines, Live

        if lines:
            return Lines(lambda line: self.write(line, to=sys.stderr), self.redact)
        return Live(self.console(sys.stderr), self.redact, stops=stops)

    # --- what people read -------------------------------------------------------------------------

    @property
    def interactive(self) -> bool:
        """Whether someone is there to answer a question."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def animated(self) -> bool:
        """Whether stdout is a terminal that a screen can be redrawn on."""
        return self.console(sys.stdout).is_terminal and not self.console(sys.stdout).is_dumb_terminal

    def redact(self, text: str) -> str:
        """Return the text without passwords."""
        return redact(text, chain.from_iterable(self._secrets))

    def show(self, report: "Report", *, detailed: bool = False) -> None:
        """Write a report to stdout: its screen, or its values with --json."""
        report = self._scrubbed(report)
        if self.json:
            self.dump(report.model_dump(mode="json"))
        else:
            self.put(self.screen(report, detailed=detailed))

    def screen(self, report: "Report", *, detailed: bool = False) -> "RenderableType":
        """Return a report's screen."""
        from orchestrator.cli.render import screen

        return screen(self._scrubbed(report), detailed=detailed)

    def dump(self, values: Mapping[str, Any]) -> None:
        """Write values to stdout as JSON, under their format's version."""
        from orchestrator.reports import FORMAT_VERSION

        self.write(json.dumps({"format_version": FORMAT_VERSION, **values}, indent=2, ensure_ascii=False))

    def put(self, screen: "RenderableType", *, to: TextIO | None = None) -> None:
        """Lay a screen out for a stream's width and write it; to stdout unless told otherwise."""
        stream = to or sys.stdout
        from orchestrator.cli.render.look import rendered

        self.write(rendered(self.console(stream), screen), to=stream)

    def tell(self, text: str) -> None:
        """Write a message to stderr."""
        self.write(self.redact(text), to=sys.stderr)

    def write(self, text: str, *, to: TextIO | None = None, end: str = "\n") -> None:
        """Write text as it is. When nobody reads any more (`| head -1`, a closed terminal), say nothing and go on."""
        stream = to or sys.stdout
        try:
            stream.write(text + end)
            stream.flush()
        except OSError:
            hush(stream)

    def console(self, stream: TextIO) -> "Console":
        """Return rich's console for a stream: as wide as its terminal, 80 columns without one."""
        from orchestrator.cli.render.look import console

        return console(stream, self.environment)

    def interrupted(self) -> None:
        """Say that Ctrl-C or a signal ended the run, to whoever reads: a person, or a program."""
        said = self.interruption
        if self.json and not self._watching:
            self.dump({"error": {"code": "interrupted", "message": said, "details": [], "hint": None}})
        self.tell(json.dumps({"event": "interrupted", "message": said}) if self._events else said)

    def fail(self, error: EcmError) -> int:
        """Say what went wrong, on stderr or as JSON on stdout; return the exit code."""
        message, hint = self.redact(error.message), error.hint and self.redact(error.hint)
        details = [self.redact(detail) for detail in error.details if detail]
        if self.json:
            self.dump({"error": {"code": error.code, "message": message, "details": details, "hint": hint}})
        else:
            from orchestrator.cli.render.failure import failure

            self.put(failure(message, details, hint), to=sys.stderr)
        return error.exit_code

    def _scrubbed(self, report: R) -> R:
        values = report.model_dump()
        scrubbed = _in_free_text(values, self.redact)
        return report if scrubbed == values else report.model_validate(scrubbed)


def hush(stream: TextIO) -> None:
    """Send a stream whose reader has gone to nowhere, so that nothing complains at exit either."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _in_free_text(value: object, change: Callable[[str], str], *, free: bool = False) -> object:
    match value:
        case dict():
            items = cast("dict[str, object]", value).items()
            return {key: _in_free_text(item, change, free=free or key in _FREE_TEXT) for key, item in items}
        case list() | tuple():
            several = cast("Sequence[object]", value)
            return type(several)(_in_free_text(item, change, free=free) for item in several)  # pyright: ignore[reportCallIssue] - a list or a tuple
        case str() if free:
            return change(value)
        case _:
            return value
