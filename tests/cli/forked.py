"""The command in a process of its own, forked from one that has imported everything already.

A run spends most of its time on imports, and there are many hundred runs. What starts the command anew, and how long
that takes, is for `Project.start`, `Project.terminal` and tests/cli/test_help.py, which run the real thing.
"""

import io
import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Literal

_TESTS = Path(__file__).parents[1]
Program = Literal["ecm", "alembic", "manage.py"]
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["cli.imported"])


def run(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    stdin: bytes,
    files: Path,
    patience: float,
    attempts: int | None = None,
    program: Program = "ecm",
) -> tuple[int, bytes, bytes]:
    """Run the command without a terminal; return its exit code and what it wrote to stdout and stderr.

    Args:
        arguments: without the program's name.
        folder: to run it in.
        environment: all that it sees.
        stdin: what it reads.
        files: an empty folder for what goes in and out.
        patience: seconds after which it is given up.
        attempts: how often it asks for a lock before it gives up, where a test is about what it does then.
        program: another tool's own command where it is not ecm's; `manage.py` is that in the folder.
    """
    (files / "in").write_bytes(stdin)
    _start_server()
    process = _CONTEXT.Process(
        target=_perform,
        args=(tuple(arguments), folder, dict(environment), files),
        kwargs={"attempts": attempts, "program": program},
    )
    process.start()
    process.join(patience)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"{program} {' '.join(arguments)} did not end within {patience:g} s")
    return process.exitcode, (files / "out").read_bytes(), (files / "err").read_bytes()


def _start_server() -> None:
    """Start what forks, unless it runs; before Python 3.12 it is not told of sys.path, and imports nothing in silence."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(_TESTS), str(_TESTS.parent), *([before] if before else [])])
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _perform(
    arguments: tuple[str, ...],
    folder: Path,
    environment: dict[str, str],
    files: Path,
    *,
    attempts: int | None,
    program: Program,
) -> None:
    assert "cli.imported" in sys.modules, "a run would import everything anew"
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, (name, mode) in enumerate((("in", os.O_RDONLY), ("out", os.O_WRONLY), ("err", os.O_WRONLY))):
        opened = os.open(files / name, mode | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb", closefd=False), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), encoding="utf-8", line_buffering=True)
    sys.argv = [program, *arguments]
    import alembic.config

    from orchestrator.cli.main import main
    from orchestrator.engine import locks

    locks.ATTEMPTS = attempts or locks.ATTEMPTS
    code = 0
    try:
        match program:
            case "ecm":
                code = main(list(arguments))
            case "alembic":
                alembic.config.main(list(arguments))
            case "manage.py":
                sys.path.insert(0, str(folder))
                runpy.run_path("manage.py", run_name="__main__")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    sys.exit(code)
