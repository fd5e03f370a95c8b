"""`ecm demo`: the whole story on an embedded server, in a throwaway project.

`story` tells it, act by act; `stage` is the project, its server and the terminal; `bookstore` has
the data, `applications` the two versions at work, `closing` the table in the end, and `interrupts`
what becomes of Ctrl-C.
"""

import logging
import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path

import typer

from orchestrator.cli.demo.interrupts import Interrupted, Interrupts
from orchestrator.cli.demo.stage import Stage
from orchestrator.cli.demo.story import play

BOOKS = 50_000
"""Books on each branch."""


def run(*, rows: int = BOOKS, keep: bool = False) -> None:
    """Tell the story, check what it promises, and leave nothing behind.

    Args:
        rows: books on each branch.
        keep: leave the project's folder; the server is stopped all the same.

    Raises:
        EcmError: a command did not end as it should have, or there is no server to be had here.
        typer.Exit: 1, a check failed.
        SystemExit: 130 after Ctrl-C, and so on for other signals.
    """
    # A person's settings for PostgreSQL's clients are for servers of theirs.
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    # An interrupt in the middle of a query would have it tell of a ROLLBACK that could not be sent.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    kept = None
    try:
        with Interrupts() as interrupts, Stage.set_up(os.environ, interrupts, keep=keep) as stage:
            kept = stage.project if keep else None
            good = play(stage, rows=rows)
    except Interrupted as interrupted:
        with suppress(OSError):  # the terminal may be gone
            sys.stderr.write(f"\n{_interrupted(kept)}\n")
        raise SystemExit(interrupted.exit_code) from None
    if kept:
        typer.echo(f"kept      cd {shlex.quote(str(kept))} && ecm status")
    if not good:
        raise typer.Exit(1)


def _interrupted(kept: Path | None) -> str:
    rest = f"the project is in {kept}" if kept else "the project is removed"
    return f"interrupted; the server is stopped, and {rest}"
