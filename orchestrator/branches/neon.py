"""Branches of a Neon project: the branches of ecm.yaml are Neon's, by their names.

Ids, hosts and passwords are asked for in each run, and kept in memory only.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from threading import Lock
from typing import Any, ClassVar, Protocol, final

import psycopg
from pydantic import SecretStr

from orchestrator.branches.neon_answers import Branch, Changed, Endpoint
from orchestrator.branches.neon_api import HOST, MissingError, NeonApi
from orchestrator.branches.neon_requests import (
    WRITABLE,
    at,
    children,
    creation,
    described,
    history,
    named,
    refuse_protected,
    refuse_restricted,
)
from orchestrator.branches.provider import Address, BranchSettings, Found, Making, Moment
from orchestrator.errors import ConfigurationError, ConnectionFailedError, EcmError, PreconditionError
from orchestrator.words import did_you_mean

KEY = "NEON_API_KEY"
START = 60.0
"""Seconds for a compute to start; most take less than one."""


class NeonSettings(Protocol):
    """The part of `provider` in ecm.yaml that is Neon's."""

    @property
    def project_id(self) -> str | None:
        """The project's id, from Neon's console."""
        ...

    @property
    def database(self) -> str | None:
        """The database of each branch; its only one where it is None."""
        ...

    @property
    def role(self) -> str | None:
        """The role that ecm connects as; the database's owner where it is None."""
        ...


@final
class NeonProvider:
    """Opens, makes and resets the branches of a Neon project.

    Args:
        branches: name → settings, from ecm.yaml.
        settings: `provider` in ecm.yaml.
        api: gives Neon's API, once it is needed.
        learn: told every URL with a password that Neon gives, so that it is shown nowhere.
        clock: the time now, with its zone.
    """

    def __init__(
        self,
        branches: Mapping[str, BranchSettings],
        settings: NeonSettings | None,
        *,
        api: Callable[[], NeonApi],
        learn: Callable[[str], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._branches = branches
        self._settings = settings
        self._open = api
        self._learn = learn
        self._clock = clock
        self._ids: dict[str, str] = {}
        self._urls: dict[str, tuple[object, SecretStr]] = {}
        """By a branch's id: the compute as it was when its URL was asked for, and the URL."""
        self._turn = Lock()

    expires: ClassVar[bool] = True

    @cached_property
    def _api(self) -> NeonApi:
        return self._open()

    def names(self) -> tuple[str, ...]:
        """Return the names of the project's branches, in the order of ecm.yaml."""
        return tuple(self._branches)

    # ------------------------------------------------------------ opening

    def address(self, branch: str) -> Address:
        """Return the direct URL of a branch, its compute started.

        Raises:
            UsageError: Neon has no branch of that name.
            PreconditionError: it has no compute, or one that may not be connected to.
            ConfigurationError: as `Provider`; or it has several databases, and ecm.yaml names none.
            ConnectionFailedError: as `Provider`; or the compute does not start.
        """
        with self._turn:  # of several sessions that were lost together, one starts the compute
            try:
                return self._address(branch, self._ids.get(branch) or self._branch(branch).id)
            except MissingError:
                # Somebody deleted it since, and perhaps made another of the same name.
                return self._address(branch, self._branch(branch).id)

    def _address(self, branch: str, known_as: str) -> Address:
        compute = self._started(branch, known_as)
        # A compute that was started anew, or moved, may be elsewhere, and a reset may have changed the password.
        version = (compute.id, compute.host, compute.started_at)
        before, url = self._urls.get(known_as, (None, SecretStr("")))
        if before != version:
            database, role = self._database(branch, known_as)
            url = self._api.uri(known_as, database=database, role=role)
            self._learn(url.get_secret_value())
            self._urls[known_as] = (version, url)
        return Address(branch=branch, url=url)

    def _started(self, branch: str, known_as: str) -> Endpoint:
        compute = self._compute(branch, known_as)
        if compute.current_state == "active":
            return compute
        if _is_suspended(compute):
            self._api.settle(
                self._api.once(
                    lambda: self._api.start_endpoint(compute.id),
                    lambda: None if _is_suspended(self._compute(branch, known_as)) else (),
                ),
                within=START,
            )
        latest = [compute]

        def active() -> bool:
            latest[0] = self._compute(branch, known_as)
            return latest[0].current_state == "active"

        self._api.wait(
            active,
            lambda: ConnectionFailedError(
                f"the compute of {branch} does not start",
                details=(f"{latest[0].id} is {latest[0].current_state}",),
                hint="look at it in Neon's console, then run the same command again",
            ),
            within=START,
        )
        return latest[0]

    def _compute(self, branch: str, known_as: str) -> Endpoint:
        computes = [each for each in self._api.endpoints(known_as) if each.type == WRITABLE]
        if not computes:
            raise PreconditionError(
                f"branch {branch} has no compute to connect to",
                hint=f"add one in Neon's console, or with its command line: neon branches add-compute {branch}",
            )
        if computes[0].disabled:
            raise PreconditionError(
                f"the compute of {branch} is disabled", details=(computes[0].id,), hint="enable it in Neon's console"
            )
        return computes[0]

    def _database(self, branch: str, known_as: str) -> tuple[str, str]:
        wanted, role = (self._settings.database, self._settings.role) if self._settings else (None, None)
        if wanted and role:
            return wanted, role
        owners = {each.name: each.owner_name for each in self._api.databases(known_as)}
        name = wanted or (next(iter(owners)) if len(owners) == 1 else None)
        if name is None:
            raise ConfigurationError(
                f"branch {branch} has {len(owners)} databases, and ecm.yaml does not say which one is meant",
                details=(f"databases: {', '.join(sorted(owners))}",) if owners else (),
                hint="name it in ecm.yaml: provider.database",
            )
        if name not in owners:
            raise ConfigurationError(
                f"branch {branch} has no database {name}",
                details=(did_you_mean(name, owners),),
                hint="correct provider.database in ecm.yaml",
            )
        return name, role or owners[name]

    # ------------------------------------------------------------ looking

    def found(self) -> tuple[Found, ...]:
        """Return the branches that Neon has, those of ecm.yaml first."""
        branches = self._api.branches()
        computes = {each.branch_id: each for each in self._api.endpoints() if each.type == WRITABLE}
        order = {name: place for place, name in enumerate(self._branches)}
        known = [described(branch, branches, computes.get(branch.id)) for branch in branches]
        return tuple(sorted(known, key=lambda each: order.get(each.name, len(order))))

    def _all(self) -> dict[str, Branch]:
        """Return Neon's branches by name, and remember their ids."""
        branches = {branch.name: branch for branch in self._api.branches()}
        self._ids = {name: branch.id for name, branch in branches.items()}
        return branches

    def _branch(self, branch: str) -> Branch:
        return named(branch, self._all())

    # ------------------------------------------------------------ making

    def create(self, branch: str, making: Making) -> Found:
        """Make a branch with a compute of its own; one that Neon does not finish is deleted again.

        Raises:
            PreconditionError: there is one already, or Neon cannot make one so; others as `Provider`.
        """
        branches = self._all()
        if branch in branches:
            raise PreconditionError(f"there is a branch {branch} already", hint="ecm branch list")
        settings = self._branches.get(branch)
        wanted = making.parent or (settings.parent if settings else None)
        parent = named(wanted, branches) if wanted else next((each for each in branches.values() if each.default), None)
        request = creation(branch, parent, making, self._clock())

        def made() -> Changed | None:
            one = next((each for each in self._api.branches() if each.name == branch), None)
            return None if one is None else Changed(branch=one, operations=self._api.under_way(one.id))

        change = self._api.once(lambda: self._api.create_branch(request), made)
        self._ids[branch] = change.branch.id
        try:
            self._api.settle(change.operations)
            compute = self._started(branch, change.branch.id)
        except EcmError as error:
            raise self._taken_back(branch, change.branch.id, error) from error
        except KeyboardInterrupt:
            # Half made, it would be in the way of the same command, and cost money.
            with suppress(EcmError):
                self._api.settle(self._api.delete_branch(change.branch.id))
            raise
        branches = self._all()
        return described(named(branch, branches), tuple(branches.values()), compute)

    def _taken_back(self, branch: str, known_as: str, error: EcmError) -> EcmError:
        """Delete a branch that was not finished; return the error, with where it is if that fails too."""
        self._ids.pop(branch, None)
        try:
            self._api.settle(self._api.delete_branch(known_as))
        except EcmError as another:
            more = f"branch {branch} is there, unfinished, and could not be deleted: {another.message}"
            return type(error)(error.message, details=(*error.details, more), hint=f"ecm branch delete {branch}")
        return error

    def reset(self, branch: str) -> None:
        """Make a branch what its parent is now: the one that ecm.yaml names, or that Neon made it from.

        Raises:
            PreconditionError: it is a root branch, is protected, or has children; others as `Provider`.
        """
        branches = self._all()
        before = named(branch, branches)
        settings = self._branches.get(branch)
        wanted = settings.parent if settings else None
        parent = named(wanted, branches).id if wanted else before.parent_id
        refuse_protected(before, "reset")
        if before.parent_id is None or parent is None:
            raise PreconditionError(
                f"branch {branch} is a root branch, and cannot be reset: it was not made from another",
                hint=f"ecm branch restore {branch} makes it what it was at a moment",
            )
        if offspring := children(before, branches.values()):
            raise PreconditionError(
                f"branch {branch} cannot be reset while it has children",
                details=(f"children: {', '.join(offspring)}",),
                hint=f"ecm branch delete {offspring[0]}",
            )
        refuse_restricted(before)

        def done() -> Changed | None:
            # What Neon changes of the branch is final only when its operations are finished.
            self._api.settle(self._api.under_way(before.id))
            now = self._branch(branch)
            return None if history(now) == history(before) else Changed(branch=now)

        self._change(before, {"source_branch_id": parent}, done)

    def delete(self, branch: str) -> None:
        """Delete a branch, and its computes with it; one that is not there is deleted already.

        Raises:
            PreconditionError: it is protected, Neon's default branch, or has children; others as `Provider`.
        """
        branches = self._all()
        if branch not in branches:
            return
        one = branches[branch]
        refuse_protected(one, "deleted")
        if one.default:
            raise PreconditionError(
                f"branch {branch} is the default branch of the Neon project, and cannot be deleted",
                hint="make another the default in Neon's console first",
            )
        if offspring := children(one, branches.values()):
            raise PreconditionError(
                f"branch {branch} cannot be deleted while it has children",
                details=(f"children: {', '.join(offspring)}",),
                hint=f"ecm branch delete {offspring[0]}",
            )
        self._ids.pop(branch, None)
        self._urls.pop(one.id, None)
        self._api.settle(self._api.delete_branch(one.id))

    # ------------------------------------------------------------ time

    def moment(self, branch: str) -> Moment:
        """Return the time and the place in the WAL by the branch's own database; both are restored to from its history.

        The API tells neither. What is flushed is what Neon's storage is sure to have ("Backup Control Functions",
        manual 9.28.3 in PostgreSQL 18).
        """
        address = self.address(branch)
        try:
            with psycopg.connect(address.url.get_secret_value(), autocommit=True, connect_timeout=10) as connection:
                row = connection.execute(
                    "SELECT pg_catalog.clock_timestamp(), pg_catalog.pg_current_wal_flush_lsn()::text"
                ).fetchone()
        except psycopg.Error as error:
            raise ConnectionFailedError(
                f"{branch} does not tell its moment",
                details=(str(error).strip(),),
                hint=f"ecm doctor --branch {branch}",
            ) from None
        time, lsn = row or (None, None)
        return Moment(time=time, lsn=lsn)

    def check_restorable(self, branch: str) -> None:
        """Return: Neon keeps a history of every branch."""

    def restore(self, branch: str, to: Moment, *, keep_as: str | None = None) -> None:
        """Make a branch what it was at a moment, by its LSN where that is known.

        Neon keeps what it was until now in any case, and its children go on from that. It is named after the branch and
        the time where no name is given.

        Raises:
            PreconditionError: the name is taken, or Neon does not keep that moment; others as `Provider`.
        """
        branches = self._all()
        before = named(branch, branches)
        kept = keep_as or f"{branch}-before-{self._clock():%Y%m%dT%H%M%SZ}"
        if kept in branches:
            raise PreconditionError(f"there is a branch {kept} already", hint="keep what is there under another name")
        refuse_restricted(before)
        request = {"source_branch_id": before.id, "preserve_under_name": kept, **at("source", to)}

        def done() -> Changed | None:
            now = self._all()
            if kept not in now:
                return None
            return Changed(branch=named(branch, now), operations=self._api.under_way(named(branch, now).id))

        self._change(before, request, done)

    def _change(self, before: Branch, request: Mapping[str, Any], done: Callable[[], Changed | None]) -> None:
        change = self._api.once(lambda: self._api.restore_branch(before.id, request), done)
        self._ids[before.name] = change.branch.id
        # Its children had passwords of their own where it was protected: those are new now.
        self._urls.pop(before.id, None)
        self._api.settle(change.operations)


def api_of(settings: NeonSettings | None, environment: Mapping[str, str]) -> NeonApi:
    """Return the API of the project that ecm.yaml names.

    Raises:
        ConfigurationError: there is no project or no key.
    """
    if settings is None or settings.project_id is None:
        raise ConfigurationError("the provider neon needs a project_id", hint="set provider.project_id in ecm.yaml")
    key = environment.get(KEY, "").strip()
    if not key:
        raise ConfigurationError(
            f"{KEY} is not set, and Neon's API needs it",
            details=("it is looked for in the environment, then in .env beside ecm.yaml",),
            hint=f"make one in Neon's console (API keys), and add {KEY}=… to .env",
        )
    if not re.fullmatch(r"[!-~]+", key):
        # It would come to no request, and what says so would quote it.
        raise ConfigurationError(
            f"{KEY} cannot be a key of Neon's: it has a space, a line break or a letter beyond ASCII",
            hint="copy it again from Neon's console (API keys), as one word",
        )
    return NeonApi(settings.project_id, SecretStr(key), host=environment.get("NEON_API_HOST", "").strip() or HOST)


def _is_suspended(compute: Endpoint) -> bool:
    return compute.current_state == "idle" and compute.pending_state in (None, "idle")
