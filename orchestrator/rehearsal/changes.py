"""Which plan files a pull request changes, as git tells, and what GitHub says of it in the environment.

The variables are those of "Variables reference" in GitHub's documentation of Actions.
"""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from orchestrator import repository
from orchestrator.errors import ConfigurationError, UsageError


def pull_request(given: int | None, environment: Mapping[str, str], *, hint: str) -> int:
    """Return the number of the pull request: the one that was given, or GitHub's; `hint` is how to give it.

    Raises:
        UsageError: nobody says.
    """
    if given is not None:
        return given
    found = re.fullmatch(r"refs/pull/([0-9]+)/\w+", environment.get("GITHUB_REF", ""))
    if found is None:
        raise UsageError(
            "it is not known which pull request this is",
            details=["GITHUB_REF is that of a pull request where GitHub runs this for one"],
            hint=hint,
        )
    return int(found[1])


def base(given: str | None, environment: Mapping[str, str]) -> str:
    """Return what a pull request is compared with: as given, else its target as GitHub says, else origin/main."""
    target = environment.get("GITHUB_BASE_REF", "")
    return given or f"origin/{target or 'main'}"


def changed(folder: Path, plans: str, since: str) -> tuple[str, ...]:
    """Return the plan files that are new or otherwise than where a branch began, in order of the alphabet.

    What is in the working tree counts, committed or not.

    Args:
        folder: the project's.
        plans: the folder of the plans, from there.
        since: the branch that is compared with.

    Raises:
        ConfigurationError: git is not there, this is no repository, or it does not know the branch.
    """
    began = _git(folder, "merge-base", "--", since, "HEAD", asked=since).strip()
    paths = repository.changed(lambda *arguments: _git(folder, *arguments, asked=since), began, plans)
    return tuple(
        sorted(
            path.as_posix()
            for path in paths
            if path.suffix == ".yaml" and path.parent == Path(plans) and path.name[0] not in ".#~"
        )
    )


def _git(folder: Path, *arguments: str, asked: str) -> str:
    try:
        answer = repository.ask(folder, *arguments)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"git could not be asked which plans were changed ({type(error).__name__})", hint="install git"
        ) from None
    if answer.returncode:
        said = answer.stderr.strip().splitlines()
        raise ConfigurationError(
            f"git does not know how this differs from {asked}",
            details=said[-1:] or [f"it knows no commit that HEAD and {asked} have in common"],
            hint="fetch it with its history (in a workflow: fetch-depth: 0), or name another with --base",
        )
    return answer.stdout
