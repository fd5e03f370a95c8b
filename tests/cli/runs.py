"""The real command, run as a process in a project's folder: with pipes, or on a terminal."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
from cli import forked

ECM = (sys.executable, "-m", "orchestrator.cli.main")
PATIENCE = 60.0
"""Seconds after which a process that says nothing is given up."""

PLAN = "rename-published-year"


def said(text: str) -> str:
    """Return what a screen says, wherever its lines end."""
    return " ".join(text.split())


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a run of the command gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """A run of the command on a terminal of its own."""

    def __init__(self, arguments: tuple[str, ...], folder: Path, environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [*ECM, *arguments], cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        self.shown = ""

    def wait_for(self, text: str) -> None:
        """Return when the text has been shown; an error where it never is."""
        until = monotonic() + PATIENCE
        while text not in self.shown:
            assert self._read(until), f"{text!r} was never shown; what was: {self.shown!r}"

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def hang_up(self) -> int:
        """Close the terminal, as a window is closed; return the exit code."""
        os.close(self._master)
        self._master = -1
        self._process.send_signal(signal.SIGHUP)
        return self._process.wait(PATIENCE)

    def end(self) -> int:
        """Read what is still shown; return the exit code."""
        until = monotonic() + PATIENCE
        while self._read(until):
            pass
        return self._process.wait(PATIENCE)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._master >= 0:
            os.close(self._master)

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, until - monotonic()))
        with suppress(OSError):  # Linux reports the end of a terminal as an error
            if ready and (more := os.read(self._master, 65536)):
                self.shown += more.decode(errors="replace")
                return True
        return False


@dataclass(frozen=True, kw_only=True)
class Project:
    """A folder with ecm.yaml, and the command run in it.

    Attributes:
        root: the folder.
        urls: of the branches' databases, by branch.
    """

    root: Path
    urls: dict[str, str] = field(default_factory=dict)
    terminals: list[Terminal] = field(default_factory=list)

    def ecm(self, *arguments: str, stdin: str = "", attempts: int | None = None, **environment: str) -> Answer:
        """Run the command without a terminal; with `attempts` at a lock, if those it makes are too many to wait for."""
        return self._forked("ecm", arguments, environment, stdin, attempts)

    def tool(self, program: forked.Program, *arguments: str, **environment: str) -> Answer:
        """Run another tool's own command."""
        return self._forked(program, arguments, environment)

    def _forked(
        self,
        program: forked.Program,
        arguments: Sequence[str],
        environment: dict[str, str],
        stdin: str = "",
        attempts: int | None = None,
    ) -> Answer:
        with tempfile.TemporaryDirectory() as files:
            code, out, err = forked.run(
                arguments,
                folder=self.root,
                environment=self.environment(**environment),
                stdin=stdin.encode(),
                files=Path(files),
                patience=PATIENCE,
                attempts=attempts,
                program=program,
            )
        return Answer(code=code, out=out.decode(), err=err.decode())

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start the command without a terminal, for whoever wants to meddle."""
        return subprocess.Popen([*ECM, *arguments], cwd=self.root, env=self.environment(), encoding="utf-8", **options)

    def terminal(self, *arguments: str, **environment: str) -> Terminal:
        """Run the command on a terminal."""
        started = Terminal(arguments, self.root, self.environment(TERM="xterm", **environment))
        self.terminals.append(started)
        return started

    def sql(self, branch: str, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.urls[branch], autocommit=True) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)  # pyright: ignore[reportArgumentType, reportCallIssue]
            # Rows of no columns are rows, and have no description.
            rows = cursor.pgresult is not None and cursor.pgresult.status == psycopg.pq.ExecStatus.TUPLES_OK
            return cursor.fetchall() if rows else []

    def environment(self, **more: str) -> dict[str, str]:
        """What the command sees: no settings of whoever runs the tests."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT", "TMPDIR") if name in os.environ}
        urls = {f"DATABASE_URL_{branch.upper()}": url for branch, url in self.urls.items()}
        return {
            **kept,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "ECM_ACTOR": "tester",
            "PYTHONUTF8": "1",
            **urls,
        } | more
