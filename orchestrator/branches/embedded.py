"""Branches as databases on one embedded server: no configuration, no account, no network."""

from collections.abc import Mapping
from typing import final

from pydantic import SecretStr

from orchestrator.branches.provider import Address, BranchSettings, unknown_branch
from orchestrator.branches.server import EmbeddedServer
from orchestrator.errors import ConfigurationError

RESERVED = frozenset({"postgres", "template0", "template1"})
LONGEST_NAME = 63
"""Bytes; PostgreSQL cuts longer identifiers off without an error ("Identifiers and Key Words")."""


@final
class EmbeddedProvider:
    """Keeps each branch in a database of its own name, made when it is first asked for.

    Args:
        branches: name → settings, from ecm.yaml.
        server: the server that holds them; it is started on demand and goes on running
            afterwards, because the application connects to it too.
    """

    def __init__(self, branches: Mapping[str, BranchSettings], server: EmbeddedServer) -> None:
        self._branches = branches
        self.server = server

    def names(self) -> tuple[str, ...]:
        """Return the branches' names, in the order of ecm.yaml."""
        return tuple(self._branches)

    def address(self, branch: str) -> Address:
        """Return the branch's address; its server runs and its database exists when this returns.

        A new branch starts as a copy of its parent, if the parent has a database, else empty.

        Raises:
            UsageError: there is no branch of that name.
            ConfigurationError: the name cannot be a database's.
            PreconditionError: the parent must be copied and is in use.
            ConnectionFailedError: the server does not come up.
        """
        if branch not in self._branches:
            raise unknown_branch(branch, self.names())
        if branch in RESERVED or len(branch.encode()) > LONGEST_NAME:
            raise ConfigurationError(
                f"branch {branch} cannot be kept on the embedded server",
                details=(
                    f"its database would have the same name, and {', '.join(sorted(RESERVED))} are PostgreSQL's own"
                    if branch in RESERVED
                    else f"its database would have the same name, which may have {LONGEST_NAME} bytes",
                ),
                hint="rename the branch in ecm.yaml",
            )
        self.server.start()
        self.server.ensure_database(branch, copy_of=self._branches[branch].parent)
        return Address(branch=branch, url=SecretStr(self.server.url(branch)))
