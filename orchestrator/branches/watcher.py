"""Stops an embedded server that nobody uses: a small process of its own, left behind by whoever started the server.

It holds a session on the server, so that it knows at once when that is gone, and goes with it. There is at most one for
a server: it holds a lock on the folder for as long as it lives, which the system frees when it dies, however it dies.
"""

import fcntl
import os
import select
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from orchestrator.errors import EcmError

if TYPE_CHECKING:
    from orchestrator.branches.server import EmbeddedServer

_LOCK = "watcher.lock"
_LIMIT = "idle-stop"
"""The file that holds the seconds after which an idle server is stopped; 0 for never."""
_LONGEST_END = 10.0
"""Seconds to wait for the process to end."""
_LONGEST_NAP = 30.0
"""Seconds between two looks, at most; a limit that was changed counts after that."""

# The parent goes at once, before anything is imported: whoever started the server neither waits nor gets a child.
_PROGRAM = (
    "import os, sys; os.fork() and os._exit(0); from orchestrator.branches.watcher import main; main(sys.argv[1])"
)

_KEPT = (
    *("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
    *("PYTHONHOME", "PYTHONPATH", "PYTHONUTF8", "VIRTUAL_ENV"),
)
"""Variables that the process is given. Those with the project's passwords are none of them."""


def ensure(folder: Path, seconds: float) -> None:
    """Have a server watched, by a new process unless there is one; to be called while nobody else starts or stops it.

    Args:
        folder: the embedded server's.
        seconds: after so long without a session it is stopped; 0 for never.
    """
    with suppress(OSError):  # another user's folder: whoever owns the server has it watched
        _set_limit(folder, seconds)
        if seconds > 0 and not _is_watched(folder):
            home = str(Path(__file__).parents[2])
            path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
            environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {"PYTHONPATH": path}
            subprocess.run(
                [sys.executable, "-P", "-c", _PROGRAM, str(folder)],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                check=False,
            )


def wait(folder: Path) -> None:
    """Wait until nobody watches a folder that is gone: whoever did ends by itself, one that is just starting too."""
    import psutil

    def watches(process: psutil.Process) -> bool:
        words = process.info["cmdline"] or [""]
        return words[-1] == str(folder) and _PROGRAM in words

    psutil.wait_procs([each for each in psutil.process_iter(["cmdline"]) if watches(each)], timeout=_LONGEST_END)


def main(folder: str) -> None:
    """Watch the server of a folder until it is gone, or somebody else watches it."""
    from orchestrator.branches.server import EmbeddedServer

    with suppress(EcmError, psycopg.Error, OSError), _alone(Path(folder)) as first:
        if first:
            _watch(EmbeddedServer(Path(folder)))


def _watch(server: "EmbeddedServer") -> None:
    while _limit(server.folder) > 0:
        with suppress(EcmError, psycopg.OperationalError), server.connect() as session:
            _stop_when_idle(server, session)
        with server.alone(make=False):
            # Whoever starts it next looks, under this lock, whether it is watched: it is until here.
            if not server.running:
                _release(server.folder)
                return


def _stop_when_idle(server: "EmbeddedServer", session: psycopg.Connection[Any]) -> None:
    """Stop the server after so long without a session; returns then, when it is not to be, and when it is gone."""
    seen, since = _use(session), time.monotonic()
    while (limit := _limit(server.folder)) > 0:
        # A server that goes closes the session, which ends the nap.
        select.select([session.fileno()], [], [], max(0.02, min(_LONGEST_NAP, limit / 4)))
        now = _use(session)
        if now != seen or now[0]:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since >= limit:
            server.stop(unless=lambda seen=seen: _use(session) != seen)
            since = time.monotonic()


def _use(session: psycopg.Connection[Any]) -> tuple[int, int]:
    """Return how many other sessions there are, and how many there were: short ones between two looks count too."""
    row = session.execute(
        "SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE pid <> pg_catalog.pg_backend_pid()"
        " AND backend_type IN ('client backend', 'walsender')),"
        " (SELECT coalesce(sum(sessions), 0)::bigint FROM pg_catalog.pg_stat_database)"
    ).fetchone()
    return (row[0], row[1]) if row else (0, 0)


# --- the lock and the limit -------------------------------------------------------------------------

_held: dict[Path, int] = {}
"""The descriptors of the locks that this process holds."""


@contextmanager
def _alone(folder: Path) -> Generator[bool]:
    """Hold the lock of the one that watches; False where somebody has it."""
    _held[folder] = os.open(folder / _LOCK, os.O_RDWR)
    try:
        fcntl.flock(_held[folder], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        _release(folder)


def _release(folder: Path) -> None:
    if (descriptor := _held.pop(folder, None)) is not None:
        os.close(descriptor)


def _is_watched(folder: Path) -> bool:
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _set_limit(folder: Path, seconds: float) -> None:
    if _limit(folder) != seconds:
        new = folder / f"{_LIMIT}.new"
        new.write_text(f"{seconds:g}")
        new.replace(folder / _LIMIT)


def _limit(folder: Path) -> float:
    try:
        return float((folder / _LIMIT).read_text())
    except (OSError, ValueError):
        return 0.0
