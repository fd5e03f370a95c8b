"""npm packages for the tests of migration tools, kept in .cache/ of the project.

Neither package.json nor a lock file of the project is written: the versions here are all that pins them.
"""

import fcntl
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

CACHE = Path(__file__).parents[1] / ".cache" / "npm"

DRIZZLE = {
    "0.31": ("drizzle-kit@0.31.11", "drizzle-orm@0.45.4", "pg@8.16.3"),
    "1.0": ("drizzle-kit@1.0.0-rc.5", "drizzle-orm@1.0.0-rc.5", "pg@8.16.3"),
}
"""By line: what it takes to run drizzle-kit against PostgreSQL."""


def installed(name: str, packages: tuple[str, ...]) -> Path:
    """Return the `node_modules` of packages, fetched if they are not there yet.

    Raises:
        RuntimeError: npm is missing, or could not fetch them.
    """
    folder = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as turn:  # the workers of a run begin at the same time
        fcntl.flock(turn, fcntl.LOCK_EX)
        if _known(folder) != list(packages):
            _fetch(folder, packages)
    return folder / "node_modules"


def _known(folder: Path) -> list[str] | None:
    listed = folder / "packages.json"
    return json.loads(listed.read_text()) if listed.is_file() else None


def _fetch(folder: Path, packages: tuple[str, ...]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(f"{packages[0]} comes from npm, and there is no npm here: install Node.js with npm")
    with tempfile.TemporaryDirectory(dir=CACHE) as made:
        (Path(made) / "package.json").write_text('{"private": true}')
        options = ("--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
        fetched = subprocess.run(
            [npm, "install", *options, "--prefix", made, *packages], capture_output=True, text=True, check=False
        )
        if fetched.returncode != 0:
            raise RuntimeError(f"npm could not install {', '.join(packages)}:\n{fetched.stderr.strip()}")
        (Path(made) / "packages.json").write_text(json.dumps(packages))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, folder, symlinks=True)
