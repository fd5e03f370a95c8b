"""What every source of branches looks like to the rest of ecm.

A branch is known by its name only; a provider turns the name into an address. Nothing above
this package knows whether the database behind it is a server of ours or someone else's.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Protocol

from pydantic import SecretStr

from orchestrator.errors import PreconditionError, UsageError


class InUseError(PreconditionError):
    """A branch cannot be copied while others are connected to it."""


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


@dataclass(frozen=True, kw_only=True)
class Found:
    """A branch that is there, as its provider knows it. What the provider cannot tell is None.

    Attributes:
        name: the branch's.
        parent: the branch that it was made from.
        created_at: when.
        size: bytes of its data.
        protected: whether the provider itself refuses to reset or delete it.
        expires_at: when the provider deletes it by itself.
        note: what else is to be known of it, for a person (`its compute is suspended`).
    """

    name: str
    parent: str | None = None
    created_at: datetime | None = None
    size: int | None = None
    protected: bool = False
    expires_at: datetime | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A moment in a branch's history: by the clock, or by a place in its WAL (`0/16B3740`)."""

    time: datetime | None = None
    lsn: str | None = None


@dataclass(frozen=True, kw_only=True)
class Making:
    """How a branch is to be made.

    Attributes:
        parent: the branch that it is made from; the one that ecm.yaml names where it is None.
        at: as the parent was then; as it is now where it is None.
        schema_only: without rows.
        expires_in: how long it is kept, where the provider deletes branches by itself.
        compute: the smallest and the largest size of its compute, where it has one of its own.
    """

    parent: str | None = None
    at: Moment | None = None
    schema_only: bool = False
    expires_in: timedelta | None = None
    compute: tuple[float, float] | None = None


class Provider(Protocol):
    """A source of branches.

    A branch is opened by its name. Those of ecm.yaml are the project's (`names`); others may be there besides, for a
    rehearsal or a pull request, and are opened the same way. Every method may raise:

    - UsageError: there is no branch of that name;
    - ConfigurationError: the project lacks what the provider needs;
    - ConnectionFailedError: the provider, or a server of ours, does not answer.
    """

    expires: ClassVar[bool]
    """Whether it deletes branches by itself, once they have lasted as long as they were made for."""

    def names(self) -> tuple[str, ...]:
        """Return the names of the project's branches, in the order of ecm.yaml."""
        ...

    def address(self, branch: str) -> Address:
        """Return where the branch's database is, once it can be connected to or is someone else's to run."""
        ...

    def found(self) -> tuple[Found, ...]:
        """Return the branches that are there, those of the project first, in the order of ecm.yaml."""
        ...

    def create(self, branch: str, making: Making) -> Found:
        """Make a branch, ready to be connected to; whole or not at all.

        Raises:
            PreconditionError: there is one already, its parent cannot be copied now, or none can be made so.
            PrivilegeError: the role, or the key, may not.
        """
        ...

    def reset(self, branch: str) -> None:
        """Make a branch what its parent is now; what it held is gone, and the sessions on it end.

        Raises:
            PreconditionError: it has no parent, is protected there, or the parent cannot be copied now.
            PrivilegeError: the role, or the key, may not.
        """
        ...

    def delete(self, branch: str) -> None:
        """Delete a branch and end the sessions on it; one that is not there is deleted already.

        Raises:
            PreconditionError: it is protected there, or has children.
            PrivilegeError: the role, or the key, may not.
        """
        ...

    def moment(self, branch: str) -> Moment | None:
        """Return the branch's present moment, to come back to with `restore`; None where that cannot be done."""
        ...

    def check_restorable(self, branch: str) -> None:
        """Return where branches can be brought back to a moment at all; asked before anybody is to consent to it.

        Raises:
            PreconditionError: the provider cannot; with what is to be done instead.
        """
        ...

    def restore(self, branch: str, to: Moment, *, keep_as: str | None = None) -> None:
        """Make a branch what it was at a moment.

        Args:
            branch: which.
            to: the moment, within what the provider keeps.
            keep_as: what it was until now is kept as a branch of this name, where it is given.

        Raises:
            PreconditionError: the provider cannot, the branch is protected there, or that moment is not kept.
        """
        ...


class OnServers(ABC):
    """The part of a provider whose branches are databases: each is what it is now, until somebody deletes it."""

    expires: ClassVar[bool] = False

    @abstractmethod
    def check_restorable(self, branch: str) -> None:
        """Refuse to restore a branch, and say what can be done instead.

        Raises:
            PreconditionError: always.
        """

    def moment(self, branch: str) -> Moment | None:
        """Return None: there is nothing to come back to."""
        return None

    def restore(self, branch: str, to: Moment, *, keep_as: str | None = None) -> None:
        """Refuse, as `check_restorable`."""
        self.check_restorable(branch)


def unknown_branch(branch: str, names: tuple[str, ...]) -> UsageError:
    """Return the error for a name that is no branch of the project."""
    return UsageError(
        f"there is no branch {branch}",
        details=(f"branches in ecm.yaml: {', '.join(names) or 'none'}",),
        hint="name one of those, or add it under `branches` in ecm.yaml",
    )


def in_order(names: tuple[str, ...], found: Iterable[Found]) -> tuple[Found, ...]:
    """Return branches in the order that `Provider.found` promises: the project's as in ecm.yaml, then by name."""
    place = {name: number for number, name in enumerate(names)}
    return tuple(sorted(found, key=lambda each: (place.get(each.name, len(place)), each.name)))


def no_parent(branch: str, *, known: bool) -> PreconditionError:
    """Return the error for a branch that is to be made or reset from its parent and has none; `known` by ecm.yaml."""
    return PreconditionError(
        f"branch {branch} has no parent to be made from",
        hint=f"give it one: `parent: …` under {branch} in ecm.yaml" if known else "name one with --parent",
    )
