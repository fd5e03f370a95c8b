"""The process that faults happen to: runs one command of ecm, and stops or kills itself on the way.

`python -m crash.driver` imports everything once and then forks a process for each job it reads, so
that a test can afford to kill hundreds of them. A job and what is told of it are lines of JSON on
stdin and stdout. The forked process is an ecm like any other: it shares nothing with its siblings.
"""

import dataclasses
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

# What ecm loads only when it is needed is loaded here before the fork.
import alembic.command
import alembic.config
import sqlalchemy
import transitions

from orchestrator.conductor import Conductor
from orchestrator.engine import locks, sweep
from orchestrator.errors import EcmError
from orchestrator.events import Event, StepFinished, StepStarted
from orchestrator.workspace import Workspace

_ = alembic.command, alembic.config, sqlalchemy, transitions

UNEXPLAINED = 70
"""The exit code for an error that is none of ecm's own."""


class _Saboteur:
    """An observer that stops or kills its own process at an event.

    Args:
        job: `at` names the event by its number from 1, or every event with "every"; a step that starts where
            another has just finished is not counted, as nothing is done between the two; or `past` has the steps
            that it passes over before it stops at the end of one; `signal` is what to send; `here` is the file
            that tells which event it was.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self._at, self._signal, self._here = job.get("at"), job.get("signal"), Path(job["here"])
        self._past: list[str] | None = job.get("past")
        self.events: list[dict[str, Any]] = []
        self._number = 0

    def __call__(self, event: Event) -> None:
        seen = {"event": type(event).__name__, **dataclasses.asdict(event)}
        goes_on = isinstance(event, StepStarted) and bool(self.events) and self.events[-1]["event"] == "StepFinished"
        self.events.append(seen)
        self._number += not goes_on
        if self._at == "every" or (self._at == self._number and not goes_on) or self._ends_a_new_step(event):
            new = self._here.with_suffix(".new")
            new.write_text(json.dumps(seen, default=str))
            new.rename(self._here)
            os.kill(os.getpid(), getattr(signal, self._signal))

    def _ends_a_new_step(self, event: Event) -> bool:
        return self._past is not None and isinstance(event, StepFinished) and event.key not in self._past


def _perform(job: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Run the command; return its exit code and what to tell of it."""
    _shorten(job.get("patience", {}))
    saboteur, proposals = _Saboteur(job), []
    longest = job.get("longest_sleep", 60)
    told: dict[str, Any] = {"events": saboteur.events, "proposed": proposals}

    def consent(report: Any) -> None:
        proposals.extend([str(move.origin), str(move.target)] for move in report.moves)

    try:
        workspace = Workspace.find(Path(job["root"]), None, job["environment"])
        conductor = Conductor(workspace, observer=saboteur, sleep=lambda seconds: time.sleep(min(seconds, longest)))
        act = getattr(conductor, job["command"])
        given = {"consent": consent} if job["command"] in ("advance", "rollback") else {}
        report = act(**job["arguments"], **given)
    except EcmError as error:
        said = {"code": error.code, "message": error.message, "details": list(error.details), "hint": error.hint}
        return error.exit_code, told | {"error": said, "traceback": traceback.format_exc()}
    except Exception as error:  # noqa: BLE001 - that there are none of these is what some tests are about
        said = {"code": type(error).__name__, "message": str(error), "details": [], "hint": None}
        return UNEXPLAINED, told | {"error": said, "traceback": traceback.format_exc()}
    return 0, told | {"report": report.model_dump(mode="json")}


def _shorten(patience: dict[str, Any]) -> None:
    """Shorten how long ecm keeps trying before it gives up; what it does then is what a test is about."""
    if "attempts" in patience:
        locks.ATTEMPTS = patience["attempts"]
    if "index_ms" in patience:
        locks.INDEX_LOCK_TIMEOUT = timedelta(milliseconds=patience["index_ms"])
    if "rows_ms" in patience:
        sweep.PATIENCE = timedelta(milliseconds=patience["rows_ms"])


def _fork(job: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = UNEXPLAINED
    try:
        code, told = _perform(job)
        Path(job["result"]).write_text(json.dumps(told, default=str))
    finally:
        os._exit(code)


def _lines() -> Iterator[str | None]:
    """Yield what is read from stdin, and None now and then while nothing comes."""
    buffer = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.005)
        if not ready:
            yield None
            continue
        read = os.read(0, 65536)
        if not read:
            return
        *whole, buffer = (buffer + read).split(b"\n")
        yield from (line.decode() for line in whole)


def _reap() -> None:
    """Tell of every process that stopped, went on or ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        except ChildProcessError:
            return
        if not pid:
            return
        if os.WIFSTOPPED(status):
            _tell({"pid": pid, "now": "stopped"})
        elif os.WIFCONTINUED(status):
            _tell({"pid": pid, "now": "continued"})
        else:
            _tell({"pid": pid, "now": "ended", "code": os.waitstatus_to_exitcode(status)})


def _tell(fact: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Fork a process for each job until stdin ends."""
    for line in _lines():
        if line:
            _tell({"pid": _fork(json.loads(line)), "now": "started"})
        _reap()


if __name__ == "__main__":
    main()
