"""Throwaway branches: made, and deleted whatever happens, by the next rehearsal at the latest.

Beside each is a folder under `.ecm/rehearsals`, whose record names the process and is locked for as long as that lives.
The system gives the lock back when the process is gone, however it went (flock(2)); so what is left of one that was
killed is told from one that is at work, and a branch that was made on another machine is left alone.
"""

import fcntl
import json
import os
import re
import shutil
import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from orchestrator.branches import InUseError, Making, Provider
from orchestrator.errors import EcmError, PreconditionError
from orchestrator.plan.durations import humanize
from orchestrator.sql.identifiers import NAME_BYTES

FOLDER = Path(".ecm") / "rehearsals"
LONGEST_NAME = NAME_BYTES
"""Bytes of a branch's name: on a server of ours it is a database's."""
LASTS = timedelta(days=1)
"""How long a throwaway copy lasts at most, where the provider deletes branches by itself."""
KEPT = timedelta(days=14)
"""How long one lasts that is to be kept."""

_PREFIX = "rehearse-"
_THROWAWAY = re.compile(rf"{_PREFIX}|pr-[0-9]+-")
"""How the names begin of what is made here, for a rehearsal or a pull request."""
_RECORD = "record.json"


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A copy of a branch, and a folder for what goes with it."""

    name: str
    folder: Path


def name_for(plan: str, *, unique: str | None = None) -> str:
    """Return the name of a throwaway branch for a plan, which no other has."""
    suffix = f"-{unique or uuid4().hex[:8]}"
    return f"{_PREFIX}{plan[: LONGEST_NAME - len(_PREFIX) - len(suffix)]}{suffix}"


class Copies:
    """The throwaway branches of a project.

    Args:
        provider: makes and deletes them.
        root: the project's folder.
    """

    def __init__(self, provider: Provider, root: Path) -> None:
        self._provider = provider
        self._folder = root / FOLDER

    @contextmanager
    def made(
        self, name: str, *, parent: str, keep: bool, anew: bool = False, lasts: timedelta | None = None
    ) -> Generator[Copy]:
        """Make a branch from another's data, and delete it when the block ends, however it ends.

        Args:
            name: the branch's.
            parent: where its data is from.
            keep: leave it.
            anew: put it in the place of one that has its name.
            lasts: after how long the provider itself deletes it; None where it does not.

        Raises:
            PreconditionError: the name is that of a branch in ecm.yaml, or another process here is at work on it.
            EcmError: as `Provider.create` and `Provider.delete`.
        """
        if name in self._provider.names():
            raise PreconditionError(
                f"branch {name} is one of the project's, and no throwaway copy takes its place",
                hint=f"call the branch {name} otherwise in ecm.yaml",
            )
        folder = self._folder / name
        if anew and _is_locked(folder / _RECORD):
            raise PreconditionError(
                f"branch {name} is being rehearsed on",
                details=["another ecm would lose its copy half way, and might delete the new one"],
                hint="wait until that is over, then run the same command again",
            )
        with self._recorded(name, parent, folder):
            made = kept = False
            try:
                if anew:
                    self._provider.delete(name)
                made = True  # from here on there may be one, however far that comes
                self._create(name, Making(parent=parent, expires_in=lasts))
                yield Copy(name=name, folder=folder)
                kept = keep
            except EcmError:
                # Why it could not be made, or reached, is what a person has to know; the next rehearsal deletes it.
                with suppress(EcmError):
                    self._delete(name, folder)
                made = False
                raise
            finally:
                if made and not kept:
                    self._delete(name, folder)
                elif kept:
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _recorded(self, name: str, parent: str, folder: Path) -> Generator[None]:
        """Keep a record of a copy, locked while the block runs."""
        folder.mkdir(parents=True, exist_ok=True)
        unnamed = folder / f"{_RECORD}.{os.getpid()}"
        record = {
            "branch": name,
            "parent": parent,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).isoformat(),
        }
        with unnamed.open("w", encoding="utf-8") as file:
            # By the time that it has its name, it is locked: nobody takes it for that of a process that is gone.
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(record))
            file.flush()
            unnamed.replace(folder / _RECORD)
            yield

    def _create(self, name: str, making: Making) -> None:
        try:
            self._provider.create(name, making)
        except InUseError as error:
            # Nobody closes an application's connections to production for a rehearsal.
            raise InUseError(
                error.message,
                details=error.details,
                hint="rehearse --from a branch that has its data and is idle, or use provider neon",
            ) from error

    def _delete(self, name: str, folder: Path) -> None:
        self._provider.delete(name)
        shutil.rmtree(folder, ignore_errors=True)

    def clear(self) -> tuple[str, ...]:
        """Delete what rehearsals left that were killed on this machine; say what was, and what is left to a person."""
        told: list[str] = []
        recorded: set[str] = set()
        for folder, record in self._records():
            name = str(record.get("branch", folder.name))
            recorded.add(name)
            if record.get("host") != socket.gethostname():
                continue
            if name != folder.name or name in self._provider.names() or not _THROWAWAY.match(name):
                told.append(f"{folder / _RECORD} names branch {name}, which no rehearsal made: it was left alone")
                continue
            with (folder / _RECORD).open("a", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    continue  # its process is at work
                self._delete(name, folder)
            told.append(f"branch {name} was left by a rehearsal that was killed (pid {record.get('pid')}): deleted")
        return (*told, *self._strangers(recorded))

    def _records(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in sorted(self._folder.glob(f"*/{_RECORD}")):
            record: dict[str, Any] = {}
            with suppress(OSError, ValueError):
                record = json.loads(path.read_text(encoding="utf-8"))
            # One that was killed before it had written its record has made no branch, or that of its folder's name.
            yield path.parent, {"branch": path.parent.name, "host": socket.gethostname(), **record}

    def _strangers(self, recorded: set[str]) -> Iterator[str]:
        """Tell of old copies that were made elsewhere: nobody knows here whether their process lives."""
        try:
            found = self._provider.found()
        except EcmError:
            return
        for each in found:
            age = datetime.now(UTC) - each.created_at if each.created_at else None
            if each.name.startswith(_PREFIX) and each.name not in recorded and age is not None and age > LASTS:
                yield (
                    f"branch {each.name} was made {humanize(age)} ago, on another machine or to be kept; if nobody"
                    f" needs it: ecm branch delete {each.name}"
                )


def _is_locked(record: Path) -> bool:
    try:
        with record.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
