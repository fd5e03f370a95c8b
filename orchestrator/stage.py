"""The stage: a project's branches, plans and ledger, opened as the use cases need them."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from orchestrator import missing, resets
from orchestrator.actor import actor, holder
from orchestrator.branches import Moment, Provider, provider_for
from orchestrator.engine import catalog, journal, leases, locks, usage
from orchestrator.engine.connection import Connection, Link, clock, connect, explained, unforeseen
from orchestrator.engine.heartbeat import heartbeat
from orchestrator.engine.journal import Record
from orchestrator.engine.leases import Lease
from orchestrator.errors import EcmError, LeaseError, PreconditionError
from orchestrator.events import Observer, Waiting
from orchestrator.ledger import Entry, Event, Ledger
from orchestrator.notices import Notices
from orchestrator.plan import scope, window
from orchestrator.plan.checksum import checksum
from orchestrator.plan.facade import changes
from orchestrator.plan.lifecycle import Direction, Phase, Position, State
from orchestrator.plan.model import Plan
from orchestrator.plan.usage import Usage
from orchestrator.records import copy_moves, ecm_version, last_state
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName
from orchestrator.workspace import Workspace

T = TypeVar("T")

LEASE_PATIENCE = 15.0
"""Seconds to wait for another holder's session to end; that of a killed ecm does so within two."""
RECONNECT_PATIENCE = 120.0
"""Seconds to try to come back after a session was lost."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A plan on a branch, with what is known of it before anything is done."""

    plan: Plan
    branch: str
    connection: Connection
    record: Record | None
    facts: dict[bool, scope.Facts] = field(default_factory=dict[bool, scope.Facts], compare=False, repr=False)
    """Those of its tables that were read for it, with the texts of readers or without; see `Stage.facts_of`."""
    seen: list[Usage] = field(default_factory=list[Usage], compare=False, repr=False)
    """Who uses the old side, once somebody looked for it; see `Stage.usage_of`."""
    made: list[State] = field(default_factory=list[State], compare=False, repr=False)
    """The states that it was taken to since, one after the other."""
    entries: list[tuple[Entry, ...]] = field(default_factory=list[tuple[Entry, ...]], compare=False, repr=False)
    """What the ledger holds of it, once it was read to judge it; see `Stage.entries_of`."""
    looked: bool = False
    """Whether its rows were looked at in this command, before anybody was asked; expand itself proves what it needs."""

    @property
    def position(self) -> Position:
        """Where the plan is on the branch."""
        return self.record.position if self.record else Position()

    @property
    def reached(self) -> State:
        """The state that it is in by now: a command of several phases may be refused the last of them."""
        return self.made[-1] if self.made else self.position.state


class Stage:
    """What the use cases share.

    Args:
        workspace: the project on disk.
        observer: told what happens.
        sleep: how to wait.
    """

    def __init__(self, workspace: Workspace, *, observer: Observer, sleep: Callable[[float], None]) -> None:
        self.workspace = workspace
        self.project = workspace.project
        self.observer = observer
        self.sleep = sleep
        self._ledger_is_silent = False
        """Whether the ledger did not answer when it was to be told: nobody waits for it twice to hear a mere remark."""

    @cached_property
    def provider(self) -> Provider:
        """Where the project's branches come from."""
        return provider_for(
            self.project.provider.kind,
            self.project.branches,
            self.workspace.root,
            self.workspace.environment,
            project=self.project.project,
            settings=self.project.provider,
            learn=self.workspace.secrets.learn,
            idle_stop=self.project.provider.idle_stop,
        )

    @cached_property
    def actor(self) -> str:
        """Who does it, as it is recorded."""
        return actor(self.workspace.environment, self.workspace.root)

    def note(self, scene: Scene, kind: str, data: Mapping[str, Any]) -> None:
        """Append to the ledger what happened to a plan on a branch and is no move of it; at the branch's own time.

        Raises:
            EcmError: as `Ledger.append`.
        """
        self.record(kind, scene.branch, data, at=self._time_there(scene), plan=scene.plan)

    def record(
        self, kind: str, branch: str, data: Mapping[str, Any], *, at: datetime, plan: Plan | None = None
    ) -> None:
        """Append to the ledger what happened to a branch, or to a plan there; raises as `Ledger.append`."""
        event = Event(
            id=uuid4(),
            kind=kind,
            plan=plan.plan if plan else None,
            branch=branch,
            checksum=checksum(plan) if plan else None,
            actor=self.actor,
            happened_at=at,
            data=dict(data),
            ecm_version=ecm_version(),
        )
        with closing(self.ledger()) as ledger:
            ledger.append([event])

    def _time_there(self, scene: Scene) -> datetime:
        """Return the time by the branch's clock; a scene whose session is over, or was lost, is asked in another."""
        if not scene.connection.closed:
            return clock(scene.connection)
        with self.open(scene.branch) as connection:
            return clock(connection)

    @cached_property
    def notices(self) -> Notices:
        """Whom the project tells of what happens; nobody where its webhook is not set here."""
        settings = self.project.notices
        return Notices(
            self.workspace.webhook,
            timeout=settings.timeout.total_seconds() if settings else 0.0,
            observer=self.observer,
            secrets=self.workspace.secrets,
        )

    def own_url(self, branch: str) -> str | None:
        """Return the URL of a branch on a server that ecm started, by which anybody connects; None of all others.

        Raises:
            EcmError: as `connect`.
        """
        if self.project.provider.kind != "embedded":
            return None
        url = self.provider.address(branch).url.get_secret_value()
        return None if urlsplit(url).password else url

    def connect(self, branch: str) -> Connection:
        """Open a session with a branch, for the caller to close."""
        self.project.branch(branch)
        return connect(self.provider.address(branch).url, branch=branch)

    def moment(self, branch: str) -> Moment | None:
        """Return where a branch's history stands, to come back to; None where its provider cannot restore it."""
        return self.provider.moment(branch)

    def link(self, branch: str, first: Connection | None = None) -> Link:
        """Return a session with a branch that comes back after it was lost; to be entered by the caller.

        It begins with the one that is open already, where there is one: what that has read of the catalog, it knows.
        """
        return Link(lambda: self.connect(branch), patience=RECONNECT_PATIENCE, sleep=self.sleep, first=first)

    @contextmanager
    def open(self, branch: str) -> Generator[Connection]:
        """Open a session with a branch; what PostgreSQL refuses in the block comes out as an EcmError."""
        with closing(self.connect(branch)) as connection:
            try:
                yield connection
            except psycopg.Error as error:
                raise unforeseen(error, branch) from error

    @contextmanager
    def scene(self, name: str, branch: str, *, as_begun: bool = False) -> Generator[Scene]:
        """Open a plan on a branch.

        Args:
            name: the plan.
            branch: where.
            as_begun: take the text that was begun there, whatever the file says now.
        """
        self.project.branch(branch)
        plan = None if as_begun else self.workspace.plan(name)
        with self.open(branch) as connection:
            record = journal.read(connection, name)
            if plan is None and record is not None and record.position != Position():
                plan = Plan.model_validate(record.recorded)
            yield Scene(plan=plan or self.workspace.plan(name), branch=branch, connection=connection, record=record)

    def now(self, scene: Scene, connection: Connection) -> Scene:
        """Return the scene as it is now; its rows need no second look."""
        return Scene(
            plan=scene.plan,
            branch=scene.branch,
            connection=connection,
            record=journal.read(connection, scene.plan.plan),
            looked=True,
        )

    def facts_of(self, scene: Scene, *, texts: bool = False) -> scope.Facts:
        """Return the facts of a scene's tables, read once: what it is judged by is what it is compiled for."""
        found = scene.facts.get(texts) or scene.facts.get(True)
        if found is None:
            known = scene.facts.get(False)
            kept = scene.position.kept and not self._is_reopened(scene)
            found = scene.facts[texts] = self.facts(scene.connection, scene.plan, texts=texts, known=known, kept=kept)
        return found

    def facts_if_named(self, scene: Scene) -> scope.Facts:
        """Return the facts of a scene's tables; none where contract gave them names that the plan does not know."""
        try:
            return self.facts_of(scene)
        except PreconditionError:
            if scene.position.state is not State.CONTRACTED:
                raise
            return {}

    @staticmethod
    def _is_reopened(scene: Scene) -> bool:
        """Whether a rollback that stopped on its way has brought the old structure back already."""
        back = (Phase.CONTRACT, Direction.BACK, window.CONTRACT)
        steps = journal.steps(scene.connection, scene.plan.plan) if scene.position.direction is Direction.BACK else ()
        return any((each.phase, each.direction, each.key) == back and each.finished_at for each in steps)

    def usage_of(self, scene: Scene) -> Usage:
        """Return who still relies on what contract takes away; looked for once in a scene."""
        if not scene.seen:
            with explained(f"readers of {scene.plan.plan}"):
                scene.seen.append(usage.observe(scene.connection, scene.plan, self.facts_of(scene), scene.record))
        return scene.seen[0]

    def facts(
        self,
        connection: Connection,
        plan: Plan,
        *,
        texts: bool = False,
        known: scope.Facts | None = None,
        attempts: int | None = None,
        kept: bool = False,
    ) -> dict[TableName, Table]:
        """Return the facts of a plan's tables; a standby cannot be asked everything, and is of no use anyway.

        With `texts`, also how readers would read over the new columns: that may lock a table for a moment, and
        only that is asked where all else is `known`. For a table that is locked it waits as `locks.insist`. Where
        contract keeps the old side out of sight (`kept`), they are of the tables with that.
        """
        _refuse_standby(connection)
        names = scope.tables(plan)

        def read() -> dict[TableName, Table]:
            if known is not None:
                return catalog.with_readers(connection, changes(plan), known, texts=texts)
            return catalog.read_tables(connection, changes(plan), texts=texts, kept=kept)

        try:
            return self.insist(connection, names, read, attempts=attempts)
        except PreconditionError as error:
            missing.tell_of_table(connection, names, error)
            raise

    def insist(
        self, connection: Connection, tables: Sequence[TableName], work: Callable[[], T], *, attempts: int | None = None
    ) -> T:
        """Do what only needs tables not to be locked by someone else's DDL; as `locks.insist`."""
        return locks.insist(connection, tables, work, sleep=self.sleep, observer=self.observer, attempts=attempts)

    @contextmanager
    def lease(self, link: Link, scene: Scene) -> Generator[Lease]:
        """Hold the lease on the plan in this database while the block runs."""
        plan = scene.plan.plan
        until, attempt = time.monotonic() + LEASE_PATIENCE, 0
        while (lease := leases.take(link.connection, plan, holder())) is None:
            attempt += 1
            if time.monotonic() > until:
                raise _taken(link.connection, scene)
            self.observer(Waiting(what=plan, why="another ecm is at work on it", attempt=attempt, seconds=0.5))
            self.sleep(0.5)
        with heartbeat(lambda: self.connect(scene.branch), lease):
            writer = journal.Writer(connection=link.connection, lease=lease, branch=scene.branch)
            if scene.record is not None and scene.record.branch != scene.branch:
                writer.adopt()
            try:
                yield lease
            finally:
                # After Ctrl-C or a lost session there may be nothing to give it back with; it ends with the session.
                with suppress(psycopg.Error):
                    if link.current is not None and not link.current.closed:
                        leases.release(link.current, lease)

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger(self.workspace.ledger_url)

    def ledger(self) -> Ledger:
        """Return the project's ledger, for the caller to close: to let go of its connection until it is used again."""
        return self._ledger

    def notes(self, scene: Scene) -> tuple[str, ...]:
        """Return what is to be known of a branch's database: that it was reset, or is a copy of another branch's.

        Where the ledger does not answer, that it was reset cannot be told; what needs its word says so itself.
        """
        entries = scene.entries[0] if scene.entries else self.entries_if_any(scene.plan.plan)
        known = frozenset(journal.known(scene.connection))
        return tuple(note.message for note in resets.notes(scene.branch, entries, known, scene.record))

    @property
    def ledger_name(self) -> str:
        """The ledger for a person: its file, or the variable that holds its URL."""
        if self.project.ledger_env:
            return f"${self.project.ledger_env}"
        return self.project.ledger.removeprefix("sqlite:///")

    def entries(self, plan: str | None) -> tuple[Entry, ...]:
        """Return the ledger's entries of a plan, with those of branches as a whole, or all of them; oldest first."""
        with closing(self.ledger()) as ledger:
            return ledger.entries(plan=plan, of_no_plan=True)

    def entries_of(self, scene: Scene) -> tuple[Entry, ...]:
        """Return the ledger's entries of a scene's plan, read once: what it is judged by is what is told of it."""
        if not scene.entries:
            scene.entries.append(self.entries(scene.plan.plan))
        return scene.entries[0]

    def entries_if_any(self, plan: str) -> tuple[Entry, ...]:
        """Return the ledger's entries of a plan; none where it does not answer, for what must not wait for it."""
        if not self._ledger_is_silent:
            with suppress(EcmError):
                return self.entries(plan)
        return ()

    def tell_ledger(self, connection: Connection) -> tuple[str, ...]:
        """Copy the journal's moves to the ledger; what cannot be copied now is left to the next command."""
        self._ledger_is_silent = False
        try:
            with closing(self.ledger()) as ledger:
                copy_moves(connection, ledger)
        except EcmError as error:
            self._ledger_is_silent = True
            return (f"the ledger was not reached and will be told by the next command: {error.message}",)
        return ()

    def next_command(self, plan: str, branch: str, position: Position, *, undoable: bool = True) -> str | None:
        """Return what to run next for a plan; None where everything that follows is done by others, or in time.

        Args:
            plan: its name.
            branch: where.
            position: where it is there.
            undoable: whether the time in which contract can be undone is not over, where it can.
        """
        if position.direction is Direction.BACK:
            return f"ecm rollback {plan} --branch {branch}"
        if position.state is not State.CONTRACTED:
            return f"ecm advance {plan} --branch {branch}"
        if position.kept and not undoable:
            return f"ecm finalize {plan} --branch {branch}"
        entries = self.entries_if_any(plan)

        def over(name: str) -> bool:
            last = last_state(entries, name)
            return name == branch or (last is not None and last[0] is State.CONTRACTED)

        for name, following in self.project.branches.items():
            if branch in following.requires and not over(name):
                # Where it requires others too, it would be refused for the one that is furthest behind.
                first = next((each for each in self.project.required_by(name) if not over(each)), name)
                return f"ecm advance {plan} --branch {first}"
        return None


def _refuse_standby(connection: Connection) -> None:
    row = connection.execute("SELECT pg_catalog.pg_is_in_recovery()").fetchone()
    if row and row[0]:
        raise PreconditionError(
            f"{connection.info.dbname} at {connection.info.host} is a standby, and cannot be written",
            hint="give the branch the URL of its primary",
        )


def _taken(connection: Connection, scene: Scene) -> LeaseError:
    record = journal.read(connection, scene.plan.plan)
    who = record.holder if record and record.holder else "unknown"
    since = f"last sign of life {record.heartbeat_at:%H:%M:%S}" if record and record.heartbeat_at else "no sign of life"
    rows = connection.execute(
        sql.SQL(
            "SELECT a.pid FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND a.application_name LIKE 'ecm%' AND a.pid <> pg_catalog.pg_backend_pid()"
        )
    ).fetchall()
    sessions = ", ".join(str(row[0]) for row in rows)
    return LeaseError(
        f"another ecm is at work on {scene.plan.plan} on {scene.branch}",
        details=[f"{who}; {since}" + (f"; its session there has pid {sessions}" if sessions else "")],
        hint="wait for it: ecm status; or, if it is gone for good, end that session: SELECT pg_terminate_backend(pid)",
    )
