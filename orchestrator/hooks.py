"""Run a hook: a command of the user's, without a shell, in a process group of its own, for a limited time.

What it does is its own affair. Here it is started, listened to, stopped when its time is over or ecm itself is
stopped, and told of as a value.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import IO

from orchestrator.plan.durations import humanize
from orchestrator.plan.phases import Hook
from orchestrator.redaction import redact

KEPT = 4096
"""Characters of each of its two outputs that are kept: the last ones."""
GRACE = 5.0
"""Seconds between the word to stop (SIGTERM) and the end (SIGKILL)."""
_SHOWN = 10
"""Lines of its output that an error quotes."""
_DRAIN = 1.0
"""Seconds to wait for the end of its output, which a process that it left behind may hold open."""

# A terminal's escape sequences, and every control character but the end of a line and the tab.
_CONTROLS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class HookResult:
    """What became of a hook.

    Attributes:
        argv: the program and its arguments.
        exit_code: None where it was never started; negative where a signal ended it.
        seconds: how long it ran.
        stdout, stderr: the last `KEPT` characters of each, without passwords and control characters.
        timed_out: whether it was stopped because its time was over.
        problem: why it could not be started, where it could not.
    """

    argv: tuple[str, ...]
    exit_code: int | None
    seconds: float
    stdout: str = ""
    stderr: str = ""
    timed_out: bool = False
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it did what it was there for."""
        return self.exit_code == 0 and not self.timed_out

    @property
    def said(self) -> tuple[str, ...]:
        """The last lines of what it wrote: of its errors, where there are any."""
        lines = [line.rstrip() for line in (self.stderr.strip() or self.stdout).splitlines() if line.strip()]
        return tuple(lines[-_SHOWN:])

    @property
    def outcome(self) -> str:
        """How it ended, in a few words."""
        if self.problem is not None:
            return self.problem
        if self.timed_out:
            return f"was stopped after {humanize(timedelta(seconds=round(self.seconds)))}, when its time was over"
        if self.exit_code is not None and self.exit_code < 0:
            return f"was ended by signal {-self.exit_code}"
        return f"ended with exit code {self.exit_code}"


def run(hook: Hook, *, folder: Path, environment: Mapping[str, str], secrets: Iterable[str] = ()) -> HookResult:
    """Run a hook to its end; it never raises for what the hook does.

    Ctrl-C, or a signal that ends ecm, ends the hook too, and comes out of here as it came in.

    Args:
        hook: the command and its time limit.
        folder: where it runs, and where a program with a slash in its name is looked for; others are on the PATH.
        environment: all that it sees.
        secrets: what is struck from its output.
    """
    argv, started = hook.run, monotonic()
    program = str(folder / argv[0]) if "/" in argv[0] else argv[0]
    try:
        # A session of its own: it has no terminal to ask on, and Ctrl-C there reaches it through us alone.
        process = subprocess.Popen(
            [program, *argv[1:]],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return HookResult(argv=argv, exit_code=None, seconds=monotonic() - started, problem=_why(error))
    ears = [_Ear(stream) for stream in (process.stdout, process.stderr) if stream is not None]
    timed_out = False
    try:
        process.wait(hook.timeout.total_seconds())
    except subprocess.TimeoutExpired:
        timed_out = True
    finally:
        if process.poll() is None:
            _stop(process)
    stdout, stderr = (ear.heard(secrets) for ear in ears)
    return HookResult(
        argv=argv,
        exit_code=process.returncode,
        seconds=monotonic() - started,
        stdout=stdout,
        stderr=stderr,
        timed_out=timed_out,
    )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process and all that it started to stop, and end what has not after the grace."""
    try:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    finally:
        # What it started may have outlived it.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _why(error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError():
            return "was not found"
        case PermissionError():
            return "may not be executed (chmod +x makes it so)"
        case OSError():
            return f"could not be started: {error.strerror or type(error).__name__}"
        case _:
            return f"could not be started: {error}"


class _Ear:
    """Hears one output of a process to its end, and keeps the last of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._tail = b""
        self._thread = Thread(target=self._listen, name="ecm hook", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with suppress(OSError, ValueError):
            while heard := os.read(self._stream.fileno(), 65536):
                self._tail = (self._tail + heard)[-2 * KEPT :]
            self._stream.close()

    def heard(self, secrets: Iterable[str]) -> str:
        """Return the last of what was written, as text without passwords."""
        self._thread.join(_DRAIN)
        text = _CONTROLS.sub("", self._tail.decode(errors="replace").replace("\r\n", "\n"))
        if len(self._tail) == 2 * KEPT:
            # What the beginning cuts through may be the rest of a password, which nobody would know.
            text = re.split(r"\s", text, maxsplit=1)[-1]
        return redact(text, secrets)[-KEPT:]
