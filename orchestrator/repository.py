"""What git knows of a project's files: which of them are other than at a commit."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from orchestrator.errors import UsageError

_TIMEOUT = 30.0
"""Seconds; it takes hundredths of one."""
_OF_A_HOOK = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"})
"""What a hook is told of the repository: with it, git takes the folder that it is asked in for the top of the tree."""


def changed_since(root: Path, ref: str) -> frozenset[Path]:
    """Return the files below a folder that came or changed since a ref, those that git does not have yet among them.

    What counts is where the work at hand left the ref, so that what came to the ref since is not taken for its own.

    Args:
        root: a folder in a working tree.
        ref: a branch, a tag or a commit.

    Raises:
        UsageError: there is no git, no working tree or no such ref.
    """
    commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if commit is None:
        raise UsageError(
            f"git knows no {ref} in {root}",
            details=["a clone of the last commit alone does not have it"],
            hint=f"git fetch origin {ref}, or name another with --base",
        )
    start = _git(root, "merge-base", commit.strip(), "HEAD") or commit
    return changed(lambda *arguments: _git(root, *arguments) or "", start.strip(), ".")


def folder_in_tree(root: Path) -> str:
    """Return where a folder is in its working tree, as `services/shop`; nothing where it is the top, or in none."""
    try:
        done = ask(root, "rev-parse", "--show-prefix")
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip("\n/") if done.returncode == 0 else ""


def changed(git: Callable[..., str], commit: str, below: str) -> frozenset[Path]:
    """Return the files that came or changed since a commit, those that git does not have yet among them.

    Args:
        git: asks git in a folder, and returns what it answers.
        commit: since when.
        below: where, from that folder.
    """
    named = ("--name-only", "-z", "--relative", "--no-renames", "--diff-filter=ACMRT")
    known = git("diff", *named, commit, "--", below)
    new = git("ls-files", "--others", "--exclude-standard", "-z", "--", below)
    return frozenset(Path(name) for name in (known + "\0" + new).split("\0") if name)


def ask(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask git something in a folder, without a shell.

    Raises:
        OSError, subprocess.TimeoutExpired: it is not there, or does not answer.
    """
    return subprocess.run(
        ["git", *arguments],  # noqa: S607 - git is where the person's PATH says
        cwd=root,
        env={name: value for name, value in os.environ.items() if name not in _OF_A_HOOK},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=_TIMEOUT,
    )


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git answers; None where it says no."""
    try:
        done = ask(root, *arguments)
    except FileNotFoundError:
        raise UsageError(
            "git was not found, and it tells which files changed", hint="install git, or name files"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(
            f"git could not be asked ({type(error).__name__})", hint="install git, or name files"
        ) from None
    return done.stdout if done.returncode == 0 else None
