"""May a plan go on? What the gates weigh is gathered here; the weighing itself is `plan.gates`."""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as Dictionary
from contextlib import closing, suppress
from functools import partial

import psycopg
from pydantic import ValidationError

from orchestrator import reports, trials
from orchestrator.engine import catalog, journal, sentry
from orchestrator.engine.connection import Connection, explained
from orchestrator.engine.journal import Record
from orchestrator.engine.losses import foreseen, replaced
from orchestrator.engine.verification import Verdict, glance, unproven
from orchestrator.errors import (
    ConfigurationError,
    EcmError,
    PreconditionError,
    PrivilegeError,
    RefusedError,
    StatementFailedError,
    TamperingError,
    VerificationError,
)
from orchestrator.operations.base import KEY, WHOLE, Claim, overlaps
from orchestrator.plan import compile as compiler
from orchestrator.plan import obstacles, scope
from orchestrator.plan.checksum import checksum
from orchestrator.plan.facade import changes
from orchestrator.plan.gates import Case, CheckResult, Passage, judge
from orchestrator.plan.lifecycle import PHASES, STATES, Move, Phase, Position, State
from orchestrator.plan.model import Plan
from orchestrator.records import copy_moves, passages
from orchestrator.reporting import reason_report
from orchestrator.sql.conversion import Conversion
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName, verbatim
from orchestrator.sql.mapping import Mapping
from orchestrator.sql.repair import Repair
from orchestrator.sql.steps import Proof
from orchestrator.stage import Scene, Stage
from orchestrator.words import listed

GLANCE = 10.0
"""Seconds that a look at all rows may take before a plan has begun."""


class Judgement:
    """Judges moves on a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def refuse(self, scene: Scene, phases: tuple[Phase, ...], *, hurried: bool = False) -> None:
        """Raise a RefusedError with every reason, if there are any."""
        reasons = self.reasons(scene, phases, hurried=hurried)
        if not reasons:
            return
        lines = [line for reason in reasons for line in (reason.message, *(f"  {r}" for r in [reason.remedy] if r))]
        raise RefusedError(
            f"{scene.plan.plan} may not be finalized on {scene.branch} yet"
            if phases[-1] is Phase.FINALIZE
            else f"{scene.plan.plan} may not enter {phases[-1].words} on {scene.branch}",
            details=lines,
            hint=next((reason.remedy for reason in reasons if reason.remedy.startswith("ecm ")), None),
        )

    def reasons(
        self, scene: Scene, phases: tuple[Phase, ...], *, hurried: bool = False
    ) -> tuple[reports.ReasonReport, ...]:
        """Judge every phase on the way, so that nothing is begun that could not end where it was meant to."""
        behind = self._stage.project.required_by(scene.branch)
        if (behind or {Phase.CONTRACT, Phase.FINALIZE}.intersection(phases)) and self._ledger_is_broken():
            so = f"it proves nothing about {listed(behind)}" if behind else "nothing is done that cannot be undone"
            raise TamperingError(f"the ledger is not as it was written, so {so}", hint="ecm audit verify")
        self._catch_up(scene, behind)
        entries = self._stage.entries(scene.plan.plan)
        unreadable = self._unreadable_neighbours(scene) if Phase.EXPAND in phases else ()
        return (*_judged(self._case(scene, phase, passages(entries), hurried=hurried) for phase in phases), *unreadable)

    def _catch_up(self, scene: Scene, branches: tuple[str, ...]) -> None:
        """Copy what other branches' journals hold and the ledger lacks, after a crash between the two.

        Raises:
            ConfigurationError: one of them is this very database, which would prove itself.
        """
        with closing(self._stage.ledger()) as ledger:
            for branch in branches:
                try:
                    connection = self._stage.connect(branch)
                except EcmError:
                    continue  # a branch that does not answer adds no evidence
                with closing(connection):
                    if _address(connection) == _address(scene.connection):
                        raise ConfigurationError(
                            f"{branch} and {scene.branch} are the same database, {connection.info.dbname}",
                            details=[f"{scene.branch} requires {branch}, and would be its own proof"],
                            hint=f"correct the URL of {branch} or {scene.branch}",
                        )
                    with suppress(EcmError, psycopg.Error):
                        copy_moves(connection, ledger)

    def _case(self, scene: Scene, phase: Phase, history: tuple[Passage, ...], *, hurried: bool) -> Case:
        begins_there = phase in PHASES and PHASES.index(phase) == STATES.index(scene.position.state)
        checks = scene.plan.phase(phase).checks if begins_there else ()
        return case(
            scene.plan,
            scene.branch,
            scene.record,
            phase,
            required=self._stage.project.required_by(scene.branch),
            history=history,
            checks=tuple(self._check(scene.connection, each.name, each.sql, each.expect) for each in checks),
            open_plans=_neighbours(scene) if phase is Phase.EXPAND else {},
            hurried=hurried,
        )

    def _check(self, connection: Connection, name: str, query: str, expected: object) -> CheckResult:
        try:
            with explained(f"check {name!r}"), connection.transaction():
                # A check asks and changes nothing; its names are looked up as its author's own session would.
                connection.execute("SET TRANSACTION READ ONLY")
                connection.execute("SET LOCAL search_path TO DEFAULT")
                # Prepared, because that takes one statement only: a COMMIT in it would end what is read-only here.
                row = connection.execute(verbatim(query), prepare=True).fetchone()
        except (StatementFailedError, PrivilegeError) as error:
            # It says no like any other, so that every reason is told at once.
            why = error.message.removeprefix(f"check {name!r}: ")
            return CheckResult(name=name, expected=str(expected), found=f"an error ({why})", passed=False)
        found = row[0] if row else None
        return CheckResult(name=name, expected=str(expected), found=str(found), passed=str(found) == str(expected))

    def neighbours(self, scene: Scene) -> tuple[reports.ReasonReport, ...]:
        """Return the other plans under way on the branch that keep this one from beginning."""
        if scene.position != Position():
            return ()
        weighed = case(
            scene.plan,
            scene.branch,
            scene.record,
            Phase.EXPAND,
            required=(),
            history=(),
            open_plans=_neighbours(scene),
        )
        overlaps = (reason_report(reason) for reason in judge(weighed) if reason.code == "overlap")
        return (*overlaps, *self._unreadable_neighbours(scene))

    def _unreadable_neighbours(self, scene: Scene) -> tuple[reports.ReasonReport, ...]:
        return unreadable(scene.branch, _others_under_way(scene))

    def refuse_obstacles(self, scene: Scene, move: Move) -> None:
        """Raise the first thing in the branch's catalog that stands in the way of a move, with all others."""
        problems = self.obstacles(scene, move)
        for problem in problems:
            if not isinstance(problem, VerificationError):
                # Before anything is touched it is a refusal, as `gate` says, whatever it is about.
                problem.exit_code = RefusedError.exit_code
        raise_first(problems)

    def obstacles(self, scene: Scene, move: Move) -> tuple[EcmError, ...]:
        """Return what stands in the way of a move in the branch's catalog."""
        if move.resumes and any(step.finished_at for step in journal.steps(scene.connection, scene.plan.plan)):
            return ()  # what was begun is carried on
        try:
            facts = self._stage.facts_of(scene)
        except (PreconditionError, PrivilegeError) as error:
            return (error,)  # there is no such table, or it may not be looked at
        problems = obstacles.problems(scene.plan, move.phases[0], facts)
        if problems or move.origin is State.PLANNED:
            return problems or (() if scene.looked else self.broken(scene, facts)[0])
        if move.phases == (Phase.FINALIZE,):
            return ()  # what kept the old side true does not matter any more
        try:
            sentry.on_post(scene.connection, compiler.sync_triggers(scene.plan, facts))
        except VerificationError as error:
            return (error,)
        return ()

    def broken(self, scene: Scene, facts: scope.Facts) -> tuple[tuple[EcmError, ...], tuple[str, ...]]:
        """Look for expressions that fail, and for rows that break what nothing repairs, before a plan begins.

        Returns:
            An error for each expression, or else for each table that has such rows; and a line for each table where
            the look took too long, which expand itself then takes, range by range.
        """
        if failing := trials.refused(scene.connection, scene.plan, facts, seconds=GLANCE):
            return failing, ()
        found: list[EcmError] = []
        unknown: list[str] = []
        for proof in compiler.demanded(scene.plan, facts):
            with explained(proof.title):
                verdict = glance(scene.connection, proof, seconds=GLANCE)
            if verdict is None:
                unknown.append(
                    f"rows of {proof.table} were not counted within {GLANCE:g} s; expand looks at all of them"
                )
            elif verdict.mismatches:
                found.append(_broken(verdict))
        for proof in compiler.foreseen(scene.plan, facts):
            # What a look cannot evaluate was tried already, and here it is no reason to say anything.
            with suppress(psycopg.DatabaseError):
                verdict = glance(scene.connection, proof, seconds=GLANCE)
                if verdict is not None and verdict.mismatches:
                    found.append(_broken(verdict, proof))
        return tuple(found), tuple(unknown)

    def _ledger_is_broken(self) -> bool:
        with closing(self._stage.ledger()) as ledger:
            return bool(ledger.verify().problems)


def _broken(verdict: Verdict, proof: Proof | None = None) -> PreconditionError:
    """Return what a proof would say of rows, as something that is in the way before anything begins."""
    error = unproven(verdict, proof)
    return PreconditionError(error.message, details=error.details, hint=error.hint)


def uncarried(scene: Scene, facts: scope.Facts) -> tuple[str, ...]:
    """Return what contract would drop for good, because the new side does not hold it, a line for each table."""
    if scene.position.state is State.CONTRACTED:
        return ()
    filled = STATES.index(scene.position.state) >= STATES.index(State.BACKFILLED)

    def told(table: Table, mapping: Mapping) -> str | None:
        match mapping:
            case Conversion():
                return foreseen(scene.connection, table, mapping, filled=filled, seconds=GLANCE)
            case Repair():
                return replaced(scene.connection, table, mapping, seconds=GLANCE)
            case _:
                return None

    found = (told(table, mapping) for table in facts.values() for mapping in scope.mappings(scene.plan, table))
    return tuple(filter(None, found))


def _address(connection: Connection) -> tuple[str, int, str]:
    return connection.info.host, connection.info.port, connection.info.dbname


def case(
    plan: Plan,
    branch: str,
    record: Record | None,
    phase: Phase,
    *,
    required: tuple[str, ...],
    history: tuple[Passage, ...],
    checks: tuple[CheckResult, ...] = (),
    open_plans: Dictionary[str, tuple[str, ...]] | None = None,
    hurried: bool = False,
) -> Case:
    """Return what is weighed when a plan asks to enter a phase, from what a branch's journal says of it."""
    return Case(
        plan=plan.plan,
        branch=branch,
        phase=phase,
        position=record.position if record else Position(),
        checksum=checksum(plan),
        recorded_checksum=record.checksum if record else None,
        required=required,
        passages=history,
        checks=checks,
        soak=plan.migrate_reads.soak,
        state_since=record.state_since if record else None,
        now=record.now if record else None,
        open_plans=open_plans or {},
        paused_by=record.paused_by if record else None,
        undo_until=record.undo_until if record else None,
        hurried=hurried,
    )


def raise_first(problems: Sequence[EcmError]) -> None:
    """Raise the first problem, with the others among its details."""
    if not problems:
        return
    first, *others = problems
    if others:
        first.details = (
            *first.details,
            *(line for o in others for line in ("", o.message, *o.details, o.hint or "")),
        )
    raise first


def as_begun(record: Record) -> Plan | None:
    """Return a plan as it was begun on a branch; None where this ecm cannot read that text."""
    try:
        return Plan.model_validate(record.recorded)
    except ValidationError:
        return None


def unreadable(branch: str, others: Iterable[Record]) -> tuple[reports.ReasonReport, ...]:
    """Return the plans under way that another version of ecm began: what they claim cannot be known."""
    return tuple(
        reports.ReasonReport(
            code="overlap",
            message=f"{record.plan} is under way on {branch}, and this ecm cannot read its text:"
            " it may touch the same columns",
            remedy=f"take {record.plan} to its end, or back, with the ecm that began it",
        )
        for record in others
        if as_begun(record) is None
    )


def under_way(plan: str, records: Iterable[Record]) -> tuple[Record, ...]:
    """Return the records of other plans that are under way."""
    return tuple(record for record in records if record.plan != plan and not record.at_rest)


def neighbours(
    plan: Plan, others: Iterable[Record], keys: Callable[[TableName], tuple[str, ...]] = lambda _: ()
) -> dict[str, tuple[str, ...]]:
    """Return what other plans under way change that this one changes or looks at, or the other way round, by plan.

    Args:
        plan: the one that is to begin.
        others: as their records have them.
        keys: the columns of a table's primary key, where anybody can be asked.
    """
    begun = {record.plan: as_begun(record) for record in others}
    shared = {name: _overlap(plan, other, keys) for name, other in begun.items() if other is not None}
    return {name: tuple(map(_claimed, sorted(both))) for name, both in shared.items() if both}


def _others_under_way(scene: Scene) -> tuple[Record, ...]:
    return under_way(scene.plan.plan, journal.read_all(scene.connection))


def _neighbours(scene: Scene) -> dict[str, tuple[str, ...]]:
    return neighbours(scene.plan, _others_under_way(scene), partial(catalog.primary_key, scene.connection))


def _claimed(claim: Claim) -> str:
    table, column = claim
    return table if column == WHOLE else f"{table}.{column}"


def _overlap(one: Plan, other: Plan, keys: Callable[[TableName], tuple[str, ...]]) -> frozenset[Claim]:
    """Return what one of two plans claims and the other claims too, or its expressions may look at."""
    mine, theirs = _claims(one), _claims(other)
    return overlaps(mine, theirs | _mentions(other, keys)) | overlaps(theirs, _mentions(one, keys))


def _mentions(plan: Plan, keys: Callable[[TableName], tuple[str, ...]]) -> frozenset[Claim]:
    found = frozenset(mention for change in changes(plan) for mention in change.mentions())
    keyed = (table for table, name in found if name == KEY)
    return found | {(table, column) for table in keyed for column in keys(TableName.parse(table))}


def _claims(plan: Plan) -> frozenset[Claim]:
    return frozenset(claim for change in changes(plan) for claim in change.claims())


def _judged(cases: Iterable[Case]) -> tuple[reports.ReasonReport, ...]:
    """Return the reasons of several cases; what stands in the way of several phases is told once, as of the last."""
    found = {(reason.code, reason.subject): reason_report(reason) for case in cases for reason in judge(case)}
    return tuple(found.values())
