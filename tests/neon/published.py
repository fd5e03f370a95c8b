"""What Neon publishes on npm: the description of its API, and its command line.

Both are fetched by the tests, kept in .cache/ of the project and never committed.
"""

import fcntl
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CACHE = Path(__file__).parents[2] / ".cache" / "neon"

CLIENT, DESCRIPTION = "@neondatabase/api-client@2.7.3", "public-v2-for-users.gen.yaml"
CLI = "neon@6.2.3"


class UnpublishedError(Exception):
    """npm is missing, or gives no such package."""


@cache
def description() -> dict[str, Any]:
    """Neon's own OpenAPI document, as it is published."""
    text = (_installed(CLIENT) / "@neondatabase" / "api-client" / DESCRIPTION).read_text()
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe


def command_line() -> tuple[str, ...]:
    """The real `neon`, as the words that run it."""
    return _found("node"), str(_installed(CLI) / "neon" / "dist" / "cli.js")


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise UnpublishedError(
            f"Neon's API description and command line come from npm, and there is no {program} here:"
            " install Node.js with npm to run these tests"
        )
    return path


def _installed(package: str) -> Path:
    """The folder node_modules with a package, fetched if it is not there yet."""
    folder = CACHE / package.replace("/", "_")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as turn:  # the workers of a run begin at the same time
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as unpacked:
                _fetch(_found("npm"), package, Path(unpacked) / "whole")
                (Path(unpacked) / "whole").rename(folder)
    return folder / "node_modules"


def _fetch(npm: str, package: str, folder: Path) -> None:
    folder.mkdir()
    if package == CLIENT:  # of this one a single file is wanted, and none of what it depends on
        packed = _run(npm, "pack", "--loglevel=error", "--pack-destination", str(folder), package)
        place = folder / "node_modules" / "@neondatabase" / "api-client"
        place.mkdir(parents=True)
        archive = folder / packed.strip().splitlines()[-1]
        shutil.unpack_archive(archive, folder / "unpacked", filter="data")
        shutil.move(folder / "unpacked" / "package" / DESCRIPTION, place)
        shutil.rmtree(folder / "unpacked")
        archive.unlink()
        return
    # Neither package.json nor a lock file is written: the version above is all that pins it.
    options = ("--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    _run(npm, "install", *options, "--prefix", str(folder), package)


def _run(*words: str) -> str:
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise UnpublishedError(f"{' '.join(words[1:3])} failed: {result.stderr.strip()[-500:]}")
    return result.stdout
