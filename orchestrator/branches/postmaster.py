"""The server process that runs on a data directory, as found in its postmaster.pid.

The file alone proves nothing: it outlives a killed server, and after a reboot its number may
belong to another process. So the process is asked too.
"""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from tenacity import Retrying, retry_if_not_result, stop_after_delay, wait_fixed

StopMode = Literal["fast", "immediate"]

_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_PID, _DATA, _PORT, _SOCKETS, _LISTENS = 0, 1, 3, 4, 5
"""Lines of postmaster.pid, as pidfile.h of PostgreSQL numbers them, less one."""


@dataclass(frozen=True, kw_only=True)
class Postmaster:
    """A live server process.

    Args:
        data: its data directory, as it was when it started.
        pid: its process id.
        port: its port, also the last part of its socket's file name.
        sockets: the folder of its unix socket; empty in the first instant of its life.
        tcp: it listens on the loopback interface as well.
    """

    data: Path
    pid: int
    port: int
    sockets: str
    tcp: bool

    @classmethod
    def of(cls, data: Path) -> "Postmaster | None":
        """Return the server that runs on this data directory, ready or not, or None."""
        found = cls._read(data / "postmaster.pid")
        return found if found is not None and found.is_on(data) and found.lives() else None

    @classmethod
    def forget_stale(cls, data: Path, sockets: Path) -> None:
        """Remove lock files whose pid is another process's by now; PostgreSQL would not start for them.

        All others it judges itself: a file that is still being written, or whose process is dead.

        Args:
            data: the data directory.
            sockets: the folder of its unix socket, which no other server uses.
        """
        for file in (data / "postmaster.pid", *sockets.glob(".s.PGSQL.*.lock")):
            found = cls._read(file)
            if found is not None and psutil.pid_exists(found.pid) and not (found.is_on(data) and found.lives()):
                file.unlink(missing_ok=True)

    @classmethod
    def _read(cls, file: Path) -> "Postmaster | None":
        try:
            lines = file.read_text().splitlines()
        except (FileNotFoundError, PermissionError):
            return None
        lines += [""] * (_LISTENS + 1 - len(lines))
        if not (lines[_PID].isdigit() and lines[_PORT].isdigit()):
            return None
        return cls(
            data=Path(lines[_DATA]),
            pid=int(lines[_PID]),
            port=int(lines[_PORT]),
            sockets=lines[_SOCKETS].strip(),
            tcp=bool(lines[_LISTENS].strip()),
        )

    @property
    def socket(self) -> Path:
        """The unix socket."""
        return Path(self.sockets) / f".s.PGSQL.{self.port}"

    def stop(self, mode: StopMode, *, within: float) -> bool:
        """End the server and wait until it is gone; True if it went within that many seconds.

        `fast` ends the sessions and writes a checkpoint; `immediate` leaves as after a power cut,
        and the next start recovers ("Shutting Down the Server"; these are pg_ctl's signals).
        """
        try:
            psutil.Process(self.pid).send_signal(_SIGNALS[mode])
        except psutil.NoSuchProcess:
            return True
        # Not a wait for the process: nobody may reap it in a container, and it is no child of ours.
        gone = Retrying(
            retry=retry_if_not_result(bool),
            stop=stop_after_delay(within),
            wait=wait_fixed(0.05),
            retry_error_callback=lambda _: False,
        )
        return gone(lambda: not self.lives())

    def is_on(self, data: Path) -> bool:
        """Whether it is this directory's server: it is not when the directory was copied while it ran."""
        return self.data == data or not (self.data / "postmaster.pid").exists()

    def lives(self) -> bool:
        """Whether the process is there and is the server that the file tells of."""
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            command = process.cmdline()
            if not self.sockets:
                return process.name().startswith("postgres")
        except psutil.NoSuchProcess:
            return False
        # Which server it is shows in its command line, which any user may read: see server.py, _launch.
        return any(part.endswith(f"unix_socket_directories={self.sockets}") for part in command)
