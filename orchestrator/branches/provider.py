"""What every source of branches looks like to the rest of ecm.

A branch is known by its name only; a provider turns the name into an address. Nothing above
this package knows whether the database behind it is a server of ours or someone else's.
"""

from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from orchestrator.errors import UsageError


class BranchSettings(Protocol):
    """The part of a branch's entry in ecm.yaml that a provider reads."""

    @property
    def url_env(self) -> str:
        """The environment variable that holds the branch's URL."""
        ...

    @property
    def parent(self) -> str | None:
        """The branch it is created from and reset to, or None."""
        ...


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a branch's database is.

    Args:
        branch: the branch's name in ecm.yaml.
        url: a `postgresql://` URL; its password shows in no repr.
    """

    branch: str
    url: SecretStr


class Provider(Protocol):
    """A source of branches."""

    def names(self) -> tuple[str, ...]:
        """Return the branches' names, in the order of ecm.yaml."""
        ...

    def address(self, branch: str) -> Address:
        """Return where the branch's database is, once it can be connected to or is someone else's to run.

        Raises:
            UsageError: there is no branch of that name.
            ConfigurationError: the project lacks what the provider needs.
            ConnectionFailedError: a server of ours does not come up.
        """
        ...


def unknown_branch(branch: str, names: tuple[str, ...]) -> UsageError:
    """Return the error for a name that is no branch of the project."""
    return UsageError(
        f"there is no branch {branch}",
        details=(f"branches in ecm.yaml: {', '.join(names) or 'none'}",),
        hint="name one of those, or add it under `branches` in ecm.yaml",
    )
