"""Where the demo plays: a throwaway project with a server of its own, real commands in it, and words in between."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Self

from rich.console import RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.text import Text

from orchestrator.branches import EMBEDDED_FOLDER
from orchestrator.branches.server import EmbeddedServer
from orchestrator.cli.demo.interrupts import SIGNALS, Interrupts
from orchestrator.cli.render import look
from orchestrator.errors import EcmError

_WIDEST = 80
_PROJECT = "bookstore"
_PAUSE = 1.0
"""Seconds between two acts in which the applications work on, where nobody watches."""
_READING = 2.0
"""The same on a terminal."""
_BREATH = 1.0
"""Seconds between what is told and what is done, on a terminal."""


class Stage:
    """A project folder, its server, and the terminal.

    Args:
        folder: a new folder of ours; the project is in it.
        environment: for the commands.
        interrupts: held off while what must be ended again is begun.
        sleep: how to wait.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        interrupts: Interrupts,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.project = folder / _PROJECT
        self.server = EmbeddedServer(self.project / EMBEDDED_FOLDER)
        self._folder = folder
        self._interrupts = interrupts
        self._environment = {**environment, "ECM_ACTOR": "demo"}
        self._console = look.console(sys.stdout, environment)
        self._console.width = min(self._console.width, _WIDEST)
        self._animated = self._console.is_terminal and not self._console.is_dumb_terminal
        self._sleep = sleep
        self._act = 0

    @classmethod
    @contextmanager
    def set_up(cls, environment: Mapping[str, str], interrupts: Interrupts, *, keep: bool) -> Generator[Self]:
        """Make the folder; in the end stop the server, and remove the folder unless it is to be kept.

        Args:
            environment: the process's variables.
            interrupts: held off while the folder is made and removed.
            keep: leave the project where it is.
        """
        stage = None
        try:
            with interrupts.held():
                folder = Path(tempfile.mkdtemp(prefix="ecm-demo-"))
                # Root's server runs as another user, who must pass through; there are no secrets in it.
                folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
                stage = cls(folder, environment, interrupts)
                stage.project.mkdir()
            yield stage
        finally:
            with interrupts.held():
                if stage is not None:
                    stage.strike(keep=keep)

    def start_server(self) -> None:
        """Start the project's server."""
        with self._interrupts.held():
            # What is thrown away in a minute need not survive a power cut, and a slow disk would be all one sees.
            self.server.start({"fsync": "off"})

    def strike(self, *, keep: bool) -> None:
        """Stop the server, and remove the folder unless it is to be kept."""
        if keep:
            self.server.stop()
            return
        try:
            self.server.destroy()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    # --- words ------------------------------------------------------------------------------------

    def act(self, title: str, *narration: str) -> None:
        """Begin an act: its number and title, and what happens in it."""
        self._act += 1
        self.put(Text(), Rule(Text(f"{self._act}  {title}", style="bold"), align="left", style="dim"))
        for paragraph in narration:
            self.say(paragraph)
        if self._animated:
            self._sleep(_BREATH)

    def say(self, paragraph: str) -> None:
        """Tell something, after an empty line."""
        self.put(Text(), Text(paragraph))

    def put(self, *screens: RenderableType) -> None:
        """Write screens below one another.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        self._write(look.rendered(self._console, look.stacked(*screens)) + "\n")

    def watch(self, screen: Callable[[], RenderableType]) -> None:
        """Give the applications time; show how they fare, redrawn meanwhile on a terminal."""
        self.put(Text())
        until = time.monotonic() + (_READING if self._animated else _PAUSE)
        live = Live(console=self._console, auto_refresh=False, transient=True) if self._animated else None
        with live or nullcontext():
            while time.monotonic() < until:
                self._sleep(0.1)
                if live is not None:
                    live.update(screen(), refresh=True)
        self.put(screen())

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    # --- commands ---------------------------------------------------------------------------------

    def ecm(self, command: str, *, expect: int = 0) -> None:
        """Show a command line and run it for real, its output as it comes.

        Args:
            command: the arguments, as they are typed after `ecm`.
            expect: the exit code; shown when it is not 0.

        Raises:
            EcmError: it ended with another one.
        """
        self.prompt("$", f"ecm {command}")
        code = self._run([sys.executable, "-m", "orchestrator.cli.main", *shlex.split(command)])
        if code != expect:
            raise EcmError(
                f"ecm {command} ended with exit code {code}",
                details=[f"the demo expected {expect}"],
                hint="ecm demo --keep, and look around in the folder it leaves",
            )
        if expect:
            self.put(Text(f"(exit code {code})", style="dim"))

    def prompt(self, prompt: str, command: str) -> None:
        """Show what someone types."""
        self.put(Text(), Text.assemble((f"{prompt} ", "dim"), (command, "bold cyan")))

    def _run(self, command: Sequence[str]) -> int:
        process = None
        try:
            with self._interrupts.held(), _blocked():
                process = subprocess.Popen(
                    command, cwd=self.project, env=self._environment, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT
                )
            return process.wait()
        finally:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
                self._console.show_cursor()  # which a progress bar may have hidden


@contextmanager
def _blocked() -> Generator[None]:
    """Have what the block starts never see Ctrl-C.

    A terminal sends it to every process on it, and a child inherits which signals are blocked. It is
    for the demo, which ends the command that runs.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
