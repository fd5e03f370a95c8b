"""Branches as databases on one embedded server: no configuration, no account, no network."""

from collections.abc import Mapping
from typing import NoReturn, final

from pydantic import SecretStr

from orchestrator.branches import copying
from orchestrator.branches.copying import RESERVED, Kept, Source
from orchestrator.branches.provider import (
    Address,
    BranchSettings,
    Found,
    Making,
    OnServers,
    in_order,
    no_parent,
    unknown_branch,
)
from orchestrator.branches.server import EmbeddedServer
from orchestrator.errors import ConfigurationError, PreconditionError, UsageError

LONGEST_NAME = 63
"""Bytes; PostgreSQL cuts longer identifiers off without an error ("Identifiers and Key Words")."""


@final
class EmbeddedProvider(OnServers):
    """Keeps each branch in a database of its own name; those of the project are made when they are first asked for.

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

        A new branch of the project starts as a copy of its parent, if the parent has a database, else empty.

        Raises:
            UsageError: there is no branch of that name.
            ConfigurationError: the name cannot be a database's.
            PreconditionError: the parent must be copied and is in use.
            ConnectionFailedError: the server does not come up.
        """
        if branch in self._branches:
            self._refuse_misnamed(branch)
            self.server.start()
            self._ensure(branch)
        elif not self._is_there(branch):
            raise unknown_branch(branch, self.names())
        return Address(branch=branch, url=SecretStr(self.server.url(branch)))

    def found(self) -> tuple[Found, ...]:
        """Return the branches that have a database; the server is started to say so, if it ever ran."""
        if not self.server.has_data:
            return ()
        self.server.start()
        with self.server.connect() as session:
            databases = copying.kept(session)
        return in_order(
            self.names(), (_found(each) for each in databases if each.ours or each.database in self._branches)
        )

    def create(self, branch: str, making: Making) -> Found:
        """Make a branch as a copy of its parent, which must not be in use; an empty one where it has none.

        Raises:
            PreconditionError: there is one already, its parent is in use, or more than a copy was asked for.
        """
        copying.refuse_what_no_copy_can(branch, making)
        self._refuse_misnamed(branch)
        settings = self._branches.get(branch)
        parent = making.parent or (settings.parent if settings else None)
        if parent is None and settings is None:
            raise no_parent(branch, known=False)
        if parent == branch:
            raise UsageError(f"branch {branch} cannot be made from itself", hint="name another with --parent")
        if self._is_there(branch, ours=False):
            raise PreconditionError(f"there is a branch {branch} already", hint="ecm branch list")
        if parent is not None:
            self.address(parent)
        self.server.start()
        source = None if parent is None else Source(branch=parent, database=parent)
        return _found(copying.make(self.server.connect, branch, source))

    def reset(self, branch: str) -> None:
        """Put a new copy of the parent, which must not be in use, in the branch's place.

        Raises:
            PreconditionError: it has no parent, or that is in use; the branch is as it was.
        """
        self.address(branch)
        with self.server.connect() as session:
            (kept,) = copying.kept(session, branch)
        parent = self._branches[branch].parent if branch in self._branches else None
        parent = parent or kept.parent
        if parent is None:
            raise no_parent(branch, known=branch in self._branches)
        self.address(parent)
        copying.replace(self.server.connect, branch, Source(branch=parent, database=parent))

    def delete(self, branch: str) -> None:
        """Drop a branch's database, and end the sessions on it; a branch of the project begins anew when it is used.

        Raises:
            UsageError: there is a database of that name that is no branch.
        """
        self._refuse_misnamed(branch)
        if not self.server.has_data:
            return
        self.server.start()
        with self.server.connect() as session:
            there = copying.kept(session, branch)
        if there and not there[0].ours and branch not in self._branches:
            raise unknown_branch(branch, self.names())
        copying.drop(self.server.connect, branch)

    def check_restorable(self, branch: str) -> NoReturn:
        """Refuse: the server keeps no history to come back to.

        Raises:
            PreconditionError: always.
        """
        raise PreconditionError(
            f"branch {branch} cannot be restored to a moment",
            details=["the embedded server keeps no history: a branch is what it is now"],
            hint=f"before what you may want to take back: ecm branch create {branch}-before --parent {branch}",
        )

    def stop(self) -> bool:
        """Stop the server, and end all sessions on it in good order; whether it ran."""
        ran = self.server.running
        self.server.stop()
        return ran

    def _ensure(self, branch: str) -> None:
        if self._is_there(branch, ours=False):
            return
        with self.server.alone("branch"):  # of two processes that need a new database, one makes it
            with self.server.connect() as session:
                there = {each.database for each in copying.kept(session)}
            if branch in there:
                return
            parent = self._branches[branch].parent
            source = Source(branch=parent, database=parent) if parent is not None and parent in there else None
            copying.make(self.server.connect, branch, source)

    def _is_there(self, branch: str, *, ours: bool = True) -> bool:
        """Whether there is a database of that name, one that was made as a branch; the server is started to say so."""
        if branch in RESERVED or not self.server.has_data:
            return False
        self.server.start()
        with self.server.connect() as session:
            return any(each.ours or not ours for each in copying.kept(session, branch))

    def _refuse_misnamed(self, branch: str) -> None:
        if branch not in self._branches:
            copying.refuse_misnamed(branch)
        if branch in RESERVED or len(branch.encode()) > LONGEST_NAME:
            raise ConfigurationError(
                f"branch {branch} cannot be kept on the embedded server",
                details=(
                    f"its database would have the same name, and {', '.join(sorted(RESERVED))} are PostgreSQL's own"
                    if branch in RESERVED
                    else f"its database would have the same name, which may have {LONGEST_NAME} bytes",
                ),
                hint="give the branch another name",
            )


def _found(kept: Kept) -> Found:
    return Found(name=kept.database, parent=kept.parent, created_at=kept.made_at, size=kept.size)
