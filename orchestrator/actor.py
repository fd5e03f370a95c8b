"""Who does it: the CI job, else the git identity, else the user of the operating system."""

import getpass
import os
import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

_CI = (
    ("GITHUB_TRIGGERING_ACTOR", "github"),  # who runs a workflow again is not who it was first run by
    ("GITHUB_ACTOR", "github"),
    ("GITLAB_USER_LOGIN", "gitlab"),
    ("BUILDKITE_BUILD_CREATOR", "buildkite"),
    ("CIRCLE_USERNAME", "circleci"),
    ("BUILD_USER_ID", "jenkins"),
    ("BUILD_REQUESTEDFOR", "azure"),
    ("BITBUCKET_STEP_TRIGGERER_UUID", "bitbucket"),
    ("CODEBUILD_INITIATOR", "codebuild"),
    ("CF_BUILD_INITIATOR", "codefresh"),
)
"""The variable in which a CI service names whoever set it off. A bare CI=true names nobody: git is asked then."""


def actor(environment: Mapping[str, str], folder: Path) -> str:
    """Return the name that stands in the record for what is done now.

    Args:
        environment: variables; `ECM_ACTOR` wins over everything.
        folder: where to ask git for its identity.
    """
    if named := _plain(environment.get("ECM_ACTOR", "")):
        return named
    for variable, service in _CI:
        if name := _plain(environment.get(variable, "")):
            return f"{name} ({service})"
    return _plain(_git_identity(folder) or "") or _user()


def _plain(name: str) -> str:
    """Return a name in one line, without what a terminal would obey: one person is not two by a blank more or less."""
    return " ".join("".join(each if each.isprintable() else " " for each in name).split())


def holder() -> str:
    """Return this process as others should see it in a lease."""
    return f"{_user()} on {socket.gethostname()}, pid {os.getpid()}"


def host_of(holder: str) -> str | None:
    """Return the machine that a process of `holder` is on; None where the words are others."""
    found = re.fullmatch(r".* on (\S+), pid \d+", holder)
    return found[1] if found else None


def _git_identity(folder: Path) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "config", "user.email"],  # noqa: S607 - git is where the person's PATH says
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"  # a container without an entry for its user
