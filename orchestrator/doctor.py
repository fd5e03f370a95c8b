"""Whether every branch can be worked on: what stands in the way, each with its remedy."""

import shlex
from dataclasses import dataclass
from functools import partial

from psycopg.conninfo import conninfo_to_dict

from orchestrator import instep, reports
from orchestrator.abreast import abreast, begun
from orchestrator.actor import holder, host_of
from orchestrator.engine import checkup, journal, remains, sentry, transport
from orchestrator.engine.connection import Connection
from orchestrator.engine.journal import Record
from orchestrator.errors import EcmError, LockTimeoutError, PreconditionError, PrivilegeError
from orchestrator.notices import fault
from orchestrator.overview import Overview, sync_triggers, to_verify
from orchestrator.plan import obstacles, scope
from orchestrator.plan.lifecycle import Phase, State
from orchestrator.plan.model import Plan
from orchestrator.sql.identifiers import TableName
from orchestrator.stage import Stage
from orchestrator.words import counted, listed
from orchestrator.workspace import Plans


class Doctor:
    """Examines a stage's branches, all at the same time, its plan files and its ledger."""

    def __init__(self, stage: Stage, overview: Overview) -> None:
        self._stage = stage
        self._overview = overview

    def examine(self, branch: str | None = None) -> reports.DoctorReport:
        """Look at connections, privileges, the search_path, long transactions, leftovers, plan files and the ledger."""
        branches = (branch,) if branch else tuple(self._stage.project.branches)
        if branch:
            self._stage.project.branch(branch)
        names: tuple[str, ...] = ()
        found = Plans(plans=(), errors=())
        try:
            names, found = self._stage.workspace.plan_names(), self._stage.workspace.plans()
        except EcmError as error:
            found = Plans(plans=(), errors=(error,))
        ledger = begun(partial(self._examine_ledger, branches))
        looks = abreast(partial(self._examine, names=names, plans=found.plans), branches)
        return reports.DoctorReport(
            findings=(
                *(finding for look in looks for finding in look.findings),
                *self._examine_files(names, found),
                ledger.result(),
                *self._examine_sharing(frozenset(host for look in looks for host in look.hosts)),
                *self._examine_notices(),
                *self._examine_tools(),
            )
        )

    def _examine(self, branch: str, names: tuple[str, ...], plans: tuple[Plan, ...]) -> "_Look":
        tls = self._examine_transport(branch)
        try:
            with self._stage.open(branch) as connection:
                seen = checkup.examine(connection, branch=branch, known_plans=names)
                seen = (*seen, remains.examine(connection))
                records = journal.read_all(connection)
                sync = _examine_sync(branch, connection, records)
                tables = self._examine_tables(branch, connection, plans, records)
                hosts = _hosts(connection, records)
                url = self._stage.own_url(branch)
        except EcmError as error:
            return _Look(findings=(*tls, _finding(branch, "connection", error)))
        findings = (
            *(_observed(branch, each) for each in seen[:1]),
            *tls,
            *(_observed(branch, each) for each in seen[1:]),
            *sync,
            *tables,
            *((reports.Finding(branch=branch, subject="psql", ok=True, message=_psql(url)),) if url else ()),
        )
        return _Look(findings=findings, hosts=hosts)

    def _examine_transport(self, branch: str) -> tuple[reports.Finding, ...]:
        """Tell from the URL alone whether sessions with a remote server are encrypted."""
        settings = self._stage.project.branches[branch]
        if self._stage.project.provider.kind != "url":
            return ()
        try:
            url = self._stage.provider.address(branch).url
        except EcmError:
            return ()  # of which the connection tells
        seen = transport.examine(url, self._stage.workspace.environment, variable=settings.url_env)
        return () if seen is None else (_observed(branch, seen),)

    def _examine_sharing(self, hosts: frozenset[str]) -> tuple[reports.Finding, ...]:
        """Tell whether a ledger that is a file here is missing what people on other machines prove there."""
        if self._stage.project.ledger_env is not None or not self._stage.workspace.ledger_url.startswith("sqlite"):
            return ()
        elsewhere = sorted(hosts - {host_of(holder())})
        if not elsewhere:
            return ()
        return (
            reports.Finding(
                branch=None,
                subject="ledger",
                ok=False,
                message=f"{self._stage.ledger_name} is a file on this machine, and plans were moved from"
                f" {listed(elsewhere[:3])}{' and others' if elsewhere[3:] else ''} too: what was proven there, and who"
                " approved, only the ledger there knows",
                remedy="keep one ledger in a PostgreSQL that all reach: ledger_env: ECM_LEDGER_URL in ecm.yaml",
            ),
        )

    def _examine_tables(
        self, branch: str, connection: Connection, plans: tuple[Plan, ...], records: tuple[Record, ...]
    ) -> tuple[reports.Finding, ...]:
        """Tell whether the role may alter the tables of plans that are there and not contracted yet."""
        known = {record.plan: record for record in records}
        looked_at, refused = 0, list[reports.Finding]()
        locked = set[TableName]()
        for plan in plans:
            record = known.get(plan.plan)
            if record and record.position.state is State.CONTRACTED:
                continue
            if locked.intersection(scope.tables(plan)):
                continue  # is told of already, and waiting again would take as long
            try:
                problems = obstacles.problems(plan, Phase.EXPAND, self._stage.facts(connection, plan, attempts=1))
            except PreconditionError:
                continue  # the table is still to come
            except LockTimeoutError as error:
                locked.update(scope.tables(plan))
                refused.append(_locked(branch, plan.plan, scope.tables(plan), error))
                continue
            looked_at += 1
            lacking = [error for error in problems if isinstance(error, PrivilegeError)]
            refused += [_finding(branch, "tables", error, about=f"{plan.plan}: ") for error in lacking]
        if refused or not looked_at:
            return tuple(refused)
        message = f"this role may alter the tables of {counted(looked_at, 'plan')}"
        return (reports.Finding(branch=branch, subject="tables", ok=True, message=message),)

    def _examine_files(self, names: tuple[str, ...], found: Plans) -> tuple[reports.Finding, ...]:
        readable = {plan.plan for plan in found.plans}
        broken = [name for name in names if name not in readable]
        wrong = (
            # What is about no plan's file: another suffix, or a folder that cannot be read.
            *(_finding(None, "plans", error) for error in found.errors[: len(found.errors) - len(broken)]),
            *(
                reports.Finding(
                    branch=None,
                    subject="plans",
                    ok=False,
                    message=self._overview.summary(name).error or "",
                    remedy=f"ecm plan validate {name}",
                )
                for name in broken
            ),
        )
        message = f"{counted(len(names), 'plan file')} can be read" if names else "no plan files yet"
        return wrong or (reports.Finding(branch=None, subject="plans", ok=True, message=message),)

    def _examine_ledger(self, branches: tuple[str, ...]) -> reports.Finding:
        try:
            found = self._overview.audit(branches)
        except EcmError as error:
            return _finding(None, "ledger", error)
        whole = not found.problems
        says = "the chain holds" if whole else counted(len(found.problems), "problem")
        return reports.Finding(
            branch=None,
            subject="ledger",
            ok=whole,
            message=f"{found.ledger}, {counted(found.entries, 'entry', 'entries')}, {says}",
            remedy="" if whole else "ecm audit verify",
        )

    def _examine_notices(self) -> tuple[reports.Finding, ...]:
        """Tell whether notices go anywhere; none is sent for that."""
        settings, url = self._stage.project.notices, self._stage.workspace.webhook
        if settings is None:
            return ()
        wrong = fault(url) if url else ""
        if wrong:
            message = f"{settings.webhook_env} cannot be used: {wrong}"
        elif url:
            message = f"{settings.webhook_env} is told of what happens"
        else:
            message = f"{settings.webhook_env} is not set here, so nobody is told of anything"
        remedy = f"give {settings.webhook_env} a URL such as https://host/path" if wrong else ""
        return (reports.Finding(branch=None, subject="notices", ok=not wrong, message=message, remedy=remedy),)

    def _examine_tools(self) -> tuple[reports.Finding, ...]:
        """Tell what the project's migration tools would do in silence, or to what is ecm's."""
        workspace = self._stage.workspace
        try:
            there = [tool.name for tool in instep.tools(workspace)]
        except EcmError as error:
            return (_finding(None, "migrations", error),)
        found = [
            reports.Finding(branch=None, subject="migrations", ok=False, message=line, remedy="")
            for line in instep.beware(workspace, ())
        ]
        if found or not there:
            return tuple(found)
        message = f"nothing in the files of {listed(there)} is in ecm's way"
        return (reports.Finding(branch=None, subject="migrations", ok=True, message=message),)


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What was seen of a branch, and the machines that its journal names."""

    findings: tuple[reports.Finding, ...]
    hosts: frozenset[str] = frozenset()


def _hosts(connection: Connection, records: tuple[Record, ...]) -> frozenset[str]:
    """Return the machines that a branch's journal names: of whoever moved plans there, or holds a lease."""
    holders = [
        *(move.data.get(journal.HOLDER) for move in journal.moves(connection)),
        *(each.holder for each in records),
    ]
    return frozenset(host for host in (host_of(str(each)) for each in holders if each) if host)


def _examine_sync(branch: str, connection: Connection, records: tuple[Record, ...]) -> tuple[reports.Finding, ...]:
    """Tell of each plan under way whether its sync triggers are on their post, as `ecm status` does."""
    found = list[reports.Finding]()
    for record in records:
        if record.position.state is State.PLANNED or record.at_rest:
            continue
        triggers = sync_triggers(connection, record)
        astray = sentry.absent(connection, triggers)
        if triggers:
            says = "; ".join(astray) or "every sync trigger is on its post"
            found.append(
                reports.Finding(
                    branch=branch,
                    subject="sync",
                    ok=not astray,
                    message=f"{record.plan}: {says}",
                    remedy=to_verify(record.plan, branch) if astray else "",
                )
            )
    return tuple(found)


def _psql(url: str) -> str:
    """Return how to connect to a URL by psql, in words that a shell reads and a screen can break between."""
    given = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    options = (("-h", "host"), ("-p", "port"), ("-U", "user"), ("-d", "dbname"))
    return " ".join(["psql", *(f"{option} {shlex.quote(given[key])}" for option, key in options if key in given)])


def _observed(branch: str, seen: checkup.Observation) -> reports.Finding:
    return reports.Finding(branch=branch, subject=seen.subject, ok=seen.ok, message=seen.message, remedy=seen.remedy)


def _finding(branch: str | None, subject: str, error: EcmError, *, about: str = "") -> reports.Finding:
    text = about + "; ".join((error.message, *error.details))
    return reports.Finding(branch=branch, subject=subject, ok=False, message=text, remedy=error.hint or "")


def _locked(branch: str, plan: str, tables: tuple[TableName, ...], error: LockTimeoutError) -> reports.Finding:
    """Return the finding for tables that somebody has locked; all else of the branch is told all the same."""
    names = " and ".join(str(table) for table in tables)
    by = "; ".join(error.details).replace("held by", "locked by", 1)
    return reports.Finding(
        branch=branch,
        subject="tables",
        ok=False,
        message=f"{plan}: {names} could not be looked at; {by}",
        remedy=f"end that session or wait, then run ecm doctor --branch {branch} again",
    )
