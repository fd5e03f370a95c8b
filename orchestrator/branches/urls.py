"""Branches whose URLs stand in the environment: databases that someone else runs."""

from collections.abc import Mapping
from typing import final

from pydantic import SecretStr

from orchestrator.branches.provider import Address, BranchSettings, unknown_branch
from orchestrator.errors import ConfigurationError

SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


@final
class UrlProvider:
    """Reads each branch's URL from the variable its settings name.

    Args:
        branches: name → settings, from ecm.yaml.
        environment: variable → value; .env has been merged into it already.
    """

    def __init__(self, branches: Mapping[str, BranchSettings], environment: Mapping[str, str]) -> None:
        self._branches = branches
        self._environment = environment

    def names(self) -> tuple[str, ...]:
        """Return the branches' names, in the order of ecm.yaml."""
        return tuple(self._branches)

    def address(self, branch: str) -> Address:
        """Return the branch's address, its URL normalised to `postgresql://`.

        Raises:
            UsageError: there is no branch of that name.
            ConfigurationError: the variable is missing, empty, or no PostgreSQL URL.
        """
        if branch not in self._branches:
            raise unknown_branch(branch, self.names())
        variable = self._branches[branch].url_env
        value = self._environment.get(variable, "").strip()
        if not value:
            raise ConfigurationError(
                f"branch {branch} has no URL: {variable} is not set",
                details=("it is looked for in the environment, then in .env beside ecm.yaml",),
                hint=f"add {variable}=postgresql://user:password@host/database to .env",
            )
        return Address(branch=branch, url=SecretStr(_normalised(value, branch=branch, variable=variable)))


def _normalised(value: str, *, branch: str, variable: str) -> str:
    scheme, separator, rest = value.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        # The value is not quoted: whatever it is, it may hold a password.
        raise ConfigurationError(
            f"branch {branch} has no PostgreSQL URL: the value of {variable} does not start with postgresql://",
            details=(f"also accepted: {', '.join(f'{other}://' for other in SCHEMES[1:])}",),
            hint=f"set {variable}=postgresql://user:password@host/database in .env",
        )
    return f"postgresql://{rest}"
