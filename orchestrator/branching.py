"""Branches as a whole: which there are, how two of them differ, and making, resetting, restoring and deleting one.

What was proven on a branch is in the ledger before its database goes, and that it went is recorded there too.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, runtime_checkable

import psycopg

from orchestrator.abreast import abreast
from orchestrator.branch_reports import (
    BranchChangeReport,
    BranchDiffReport,
    BranchEntry,
    BranchListReport,
    BranchPlan,
    DifferenceReport,
    PlanFall,
    TableLoss,
)
from orchestrator.branches import Found, Making, Moment, no_parent
from orchestrator.engine import contents, journal, snapshot
from orchestrator.engine.connection import Connection, clock, connect, unforeseen
from orchestrator.engine.contents import Rows
from orchestrator.engine.journal import Record
from orchestrator.errors import EcmError, LeaseError, PreconditionError, UsageError
from orchestrator.ledger import THIS_DATABASE, Entry
from orchestrator.moments import BEFORE_CONTRACT, before_contract, parsed, told
from orchestrator.plan import drift
from orchestrator.plan.lifecycle import State
from orchestrator.records import (
    BRANCH_CREATED,
    BRANCH_DELETED,
    BRANCH_RESET,
    BRANCH_RESTORED,
    MOVE,
    copy_moves,
)
from orchestrator.sql.identifiers import TableName
from orchestrator.stage import Stage
from orchestrator.words import did_you_mean

Consent = Callable[[BranchChangeReport], None]


@runtime_checkable
class Stoppable(Protocol):
    """A provider that runs a server of its own."""

    def stop(self) -> bool:
        """Stop it; whether it ran."""
        ...


class Branching:
    """The use cases of `ecm branch`, on a stage's provider."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._project = stage.project

    # ------------------------------------------------------------ looking

    def listed(self) -> BranchListReport:
        """Return every branch that the provider has or ecm.yaml names, with what its journal says; makes none."""
        found = {each.name: each for each in self._stage.provider.found()}
        names = [*self._project.branches, *(name for name in found if name not in self._project.branches)]
        entries = abreast(partial(self._entry, found), names)
        there = {each.branch for each in entries if each.exists}
        missing = [each for each in entries if not each.exists]
        # Without a parent that is there, none can be made; what has no URL may be there. The doctor says what lacks.
        made_from = next((each.branch for each in missing if each.parent in there and not each.note), None)
        onward = f"ecm branch create {made_from}" if made_from else "ecm doctor" if missing else "ecm status"
        return BranchListReport(
            project=self._project.project,
            provider=self._project.provider.kind,
            branches=tuple(entries),
            now=datetime.now(UTC),
            next_command=onward,
        )

    def _entry(self, found: Mapping[str, Found], branch: str) -> BranchEntry:
        settings, there = self._project.branches.get(branch), found.get(branch)
        records, error = tuple[Record, ...](), None
        if there is not None:
            try:
                with self._open(branch) as connection:
                    records = journal.read_all(connection)
            except EcmError as problem:
                error = "; ".join((problem.message, *problem.details[:1]))
        return BranchEntry(
            branch=branch,
            of_project=settings is not None,
            exists=there is not None,
            parent=(there.parent if there else None) or (settings.parent if settings else None),
            requires=settings.requires if settings else (),
            protected=(settings.protected if settings else False) or (there.protected if there else False),
            created_at=there.created_at if there else None,
            expires_at=there.expires_at if there else None,
            size=there.size if there else None,
            plans=tuple(
                BranchPlan(plan=record.plan, state=record.position.state, in_progress=record.position.phase is not None)
                for record in records
                if record.position.state is not State.PLANNED or record.position.phase is not None
            ),
            note=None if error else there.note if there else self._unset(branch),
            error=error,
        )

    def _unset(self, branch: str) -> str | None:
        """Return what is to be said of a branch whose URL is not set: whether it is there, nobody can tell."""
        variable = self._project.branches[branch].url_env if self._project.provider.kind == "url" else None
        return None if variable is None or self._stage.workspace.environment.get(variable, "").strip() else "no URL set"

    def diff(self, one: str, other: str) -> BranchDiffReport:
        """Return how the whole schemas of two branches differ; what is ecm's own is left out.

        Raises:
            UsageError: there is no such branch, or the two are one.
        """
        if one == other:
            raise UsageError(f"{one} is compared with itself", hint="ecm branch diff BRANCH OTHER")
        first, second = abreast(self._schema, self._known(one, other))
        found = drift.differences(first, second)
        return BranchDiffReport(
            branches=(one, other),
            differences=tuple(_difference(each, one, other) for each in found),
            compared=len(first.things),
            next_command="ecm status",
        )

    def _schema(self, branch: str) -> drift.Snapshot:
        with self._open(branch) as connection:
            return snapshot.read_all(connection)

    # ------------------------------------------------------------ making

    def create(self, branch: str, making: Making) -> BranchChangeReport:
        """Make a branch; raises as `Provider.create`."""
        if making.parent is not None:
            self._known(making.parent)
        made = self._stage.provider.create(branch, making)
        data = {"parent": made.parent, "schema_only": making.schema_only}
        warnings = self._record(BRANCH_CREATED, branch, data, at=datetime.now(UTC))
        return BranchChangeReport(
            action="create",
            branch=branch,
            done=True,
            parent=made.parent,
            size=made.size,
            note=made.note,
            warnings=warnings,
            next_command="ecm branch list",
        )

    # ------------------------------------------------------------ what loses something

    def reset(self, branch: str, consent: Consent) -> BranchChangeReport:
        """Make a branch what its parent is now, once that was consented to; raises as `Provider.reset`.

        Raises:
            LeaseError: an ecm is at work there.
            EcmError: the ledger cannot be told beforehand what was proven there.
        """
        found = self._found(branch)
        settings = self._project.branches.get(branch)
        parent = (settings.parent if settings else None) or found.parent
        if parent is None:
            raise no_parent(branch, known=settings is not None)
        here, above = (self._look(each) for each in self._known(branch, parent))
        proposal = BranchChangeReport(
            action="reset",
            branch=branch,
            done=False,
            parent=parent,
            protected=self._is_protected(branch, found),
            plans=_falls(here.records, {record.plan: record.position.state for record in above.records}),
            tables=_losses(here.rows, above.rows),
            size=found.size,
            sessions=here.sessions,
            next_command=f"ecm branch reset {branch}",
        )
        consent(proposal)
        at = self._evidence_first(branch)
        self._stage.provider.reset(branch)
        return self._done(proposal, BRANCH_RESET, {"parent": parent}, at=at)

    def delete(self, branch: str, consent: Consent, *, missing_ok: bool = False) -> BranchChangeReport | None:
        """Delete a branch, once that was consented to; None where there was none and that is as well.

        Raises:
            UsageError: there is no such branch.
            LeaseError, EcmError: as for `reset`; and as `Provider.delete`.
        """
        names = {each.name: each for each in self._stage.provider.found()}
        if branch not in names and missing_ok:
            return None
        found = self._found(branch, names)
        settings = self._project.branches.get(branch)
        here, unseen = self._look_if_it_answers(branch)
        if unseen and settings:
            raise unseen
        if settings and self._project.provider.kind == "embedded":
            of_what = f"as a copy of {settings.parent}" if settings.parent in names else "as an empty database"
            anew = f"ecm.yaml names it: it is made again when it is next used, {of_what}"
        else:
            anew = "ecm.yaml names it, and status will say that it does not answer"
        proposal = BranchChangeReport(
            action="delete",
            branch=branch,
            done=False,
            protected=self._is_protected(branch, found),
            plans=tuple(fall.model_copy(update={"after": None}) for fall in _falls(here.records, {})),
            tables=_losses(here.rows, {}),
            size=found.size,
            sessions=here.sessions,
            warnings=(anew,)
            if settings
            else (f"what is lost could not be looked at: {unseen.message}",)
            if unseen
            else (),
            next_command=f"ecm branch delete {branch}",
        )
        consent(proposal)
        at = datetime.now(UTC) if unseen else self._evidence_first(branch)
        self._stage.provider.delete(branch)
        return self._done(proposal, BRANCH_DELETED, {}, at=at)

    def restore(self, branch: str, to: str, consent: Consent, *, keep_as: str | None = None) -> BranchChangeReport:
        """Make a branch what it was at a moment, once that was consented to; raises as `Provider.restore`.

        Args:
            branch: which.
            to: a time (ISO 8601), a place in the WAL, or `before-contract`.
            consent: called once with what will be lost.
            keep_as: the name under which what it was until now is kept.

        Raises:
            UsageError: `to` is no moment.
            PreconditionError: the provider can restore none, or no moment was recorded before a contract there.
        """
        given = None if to == BEFORE_CONTRACT else parsed(to)
        self._known(branch)
        # Before anything is shown or asked: there is nothing to consent to where it cannot be done.
        self._stage.provider.check_restorable(branch)
        found = self._found(branch)
        entries = [entry for entry in self._stage.entries(None) if entry.branch == branch]
        moment = given or before_contract(branch, entries)
        here = self._look(branch)
        proposal = BranchChangeReport(
            action="restore",
            branch=branch,
            done=False,
            to=told(moment),
            kept_as=keep_as,
            protected=self._is_protected(branch, found),
            plans=_rewound(here.records, entries, moment),
            size=found.size,
            sessions=here.sessions,
            warnings=() if moment.time else ("a place in the WAL does not tell which plans were where",),
            next_command=f"ecm branch restore {branch} --to {to}" + (f" --keep-as {keep_as}" if keep_as else ""),
        )
        consent(proposal)
        at = self._evidence_first(branch)
        self._stage.provider.restore(branch, moment, keep_as=keep_as)
        data = {"time": moment.time.isoformat() if moment.time else None, "lsn": moment.lsn, "kept_as": keep_as}
        return self._done(proposal, BRANCH_RESTORED, data, at=at)

    def stop(self) -> BranchChangeReport:
        """Stop the server that the provider runs, if it runs; it starts again when a branch is next used.

        Raises:
            PreconditionError: the provider runs none.
        """
        provider = self._stage.provider
        if not isinstance(provider, Stoppable):
            raise PreconditionError(
                f"there is no server of ecm's to stop: the branches come from provider {self._project.provider.kind}",
                details=["ecm starts and stops the server of provider embedded alone"],
                hint="stop it with the means of whoever runs it",
            )
        ran = provider.stop()
        return BranchChangeReport(
            action="stop",
            branch="",
            done=ran,
            note="it starts again when a branch is next used" if ran else "it was not running",
            next_command="ecm status",
        )

    # ------------------------------------------------------------ before and after

    def _look(self, branch: str) -> "_Sight":
        with self._open(branch) as connection:
            records = journal.read_all(connection)
            _refuse_at_work(branch, records)
            return _Sight(records=records, rows=contents.rows(connection), sessions=contents.sessions(connection))

    def _look_if_it_answers(self, branch: str) -> "tuple[_Sight, EcmError | None]":
        """Look at a branch; what nobody can connect to any more can still be deleted."""
        try:
            return self._look(branch), None
        except LeaseError:
            raise
        except EcmError as error:
            return _Sight(records=(), rows={}, sessions=()), error

    def _evidence_first(self, branch: str) -> datetime:
        """Copy to the ledger what was proven on a branch, and return the time there; without that nothing is lost.

        Raises:
            PreconditionError: the ledger would be lost with the branch.
        """
        with self._open(branch) as connection, closing(self._stage.ledger()) as ledger:
            _refuse_at_work(branch, journal.read_all(connection))
            row = connection.execute(THIS_DATABASE).fetchone()
            if row is not None and ledger.is_in(row[0]):
                raise PreconditionError(
                    f"the ledger is in the database of {branch}, and what was proven would be lost with it",
                    hint="keep the ledger in a database of its own: ledger_env in ecm.yaml",
                )
            copy_moves(connection, ledger)
            return clock(connection)

    def _done(
        self, proposal: BranchChangeReport, kind: str, data: Mapping[str, Any], *, at: datetime
    ) -> BranchChangeReport:
        plans = [fall.model_dump() for fall in proposal.plans]
        warnings = self._record(kind, proposal.branch, {**data, "plans": plans}, at=at)
        lost = {"warnings": (*proposal.warnings, *warnings), "done": True, "next_command": "ecm status"}
        return proposal.model_copy(update=lost)

    def _record(self, kind: str, branch: str, data: Mapping[str, Any], *, at: datetime) -> tuple[str, ...]:
        """Append what was done to a branch to the ledger; what cannot be recorded any more is said, and done it is."""
        try:
            self._stage.record(kind, branch, data, at=at)
        except EcmError as error:
            return (f"it could not be recorded in the ledger: {error.message}",)
        return ()

    # ------------------------------------------------------------ names

    def _found(self, branch: str, names: Mapping[str, Found] | None = None) -> Found:
        """Return what the provider knows of a branch that is there."""
        there = names if names is not None else {each.name: each for each in self._stage.provider.found()}
        if branch in there:
            return there[branch]
        if branch in self._project.branches:
            raise PreconditionError(f"branch {branch} is not there yet", hint=f"ecm branch create {branch}")
        known = dict.fromkeys([*self._project.branches, *there])
        raise UsageError(f"there is no branch {branch}", details=[did_you_mean(branch, known)], hint="ecm branch list")

    def _known(self, *branches: str) -> tuple[str, ...]:
        """Return branches that are there or are the project's; those of the project may be made by being asked for."""
        if not all(branch in self._project.branches for branch in branches):
            names = {each.name: each for each in self._stage.provider.found()}
            for branch in branches:
                if branch not in self._project.branches:
                    self._found(branch, names)
        return branches

    def _is_protected(self, branch: str, found: Found) -> bool:
        settings = self._project.branches.get(branch)
        return found.protected or (settings is not None and settings.protected)

    @contextmanager
    def _open(self, branch: str) -> Generator[Connection]:
        """Open a session with any branch, also one beyond those of ecm.yaml."""
        with closing(connect(self._stage.provider.address(branch).url, branch=branch)) as connection:
            try:
                yield connection
            except psycopg.Error as error:
                raise unforeseen(error, branch) from error


@dataclass(frozen=True, kw_only=True)
class _Sight:
    """What is on a branch: the plans of its journal, its tables' rows, and who is connected."""

    records: tuple[Record, ...]
    rows: Mapping[TableName, Rows]
    sessions: tuple[str, ...]


def _refuse_at_work(branch: str, records: Iterable[Record]) -> None:
    for record in records:
        if record.held:
            raise LeaseError(
                f"an ecm is at work on {record.plan} on {branch}",
                details=[record.holder or "unknown"],
                hint="wait for it: ecm status; or stop it, which keeps its state",
            )


# --- what is lost -----------------------------------------------------------------------------------


def _falls(records: Iterable[Record], after: Mapping[str, State]) -> tuple[PlanFall, ...]:
    """Return the plans whose state becomes another, given what it will be; planned where nothing is known of one."""
    before = {record.plan: record.position.state for record in records}
    return tuple(
        PlanFall(plan=plan, before=before.get(plan, State.PLANNED), after=after.get(plan, State.PLANNED))
        for plan in sorted({*before, *after})
        if before.get(plan, State.PLANNED) is not after.get(plan, State.PLANNED)
    )


def _rewound(records: Iterable[Record], entries: Iterable[Entry], moment: Moment) -> tuple[PlanFall, ...]:
    """Return where plans will be that were moved on a branch since a moment, by the ledger."""
    origin = dict[str, str]()
    for entry in entries:
        if entry.kind == MOVE and moment.time is not None and entry.plan and entry.happened_at > moment.time:
            origin.setdefault(entry.plan, str(entry.data["origin"]))
    after = {record.plan: record.position.state for record in records}
    return _falls(records, {**after, **{plan: State(state) for plan, state in origin.items()}})


def _losses(here: Mapping[TableName, Rows], there: Mapping[TableName, Rows]) -> tuple[TableLoss, ...]:
    """Return the tables that only one branch has, and those with another number of rows."""
    found = list[TableLoss]()
    for table, rows in here.items():
        other = there.get(table)
        if other is None or rows.number != other.number:
            found.append(
                TableLoss(
                    table=str(table),
                    here=rows.number,
                    there=other.number if other else None,
                    exact=rows.exact and (other is None or other.exact),
                    only_here=other is None,
                )
            )
    return tuple(found)


def _difference(found: drift.Difference, one: str, other: str) -> DifferenceReport:
    only = {"proven": one, "found": other}.get(found.where)
    return DifferenceReport(
        kind=found.kind,
        name=found.name,
        only_on=only,
        trait=found.trait or None,
        values={} if only else {one: found.proven, other: found.found},
        message=found.line(one, other),
    )
