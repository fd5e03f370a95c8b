"""May a plan go on? What the gates weigh is gathered here; the weighing itself is `plan.gates`."""

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Dictionary
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg

from orchestrator import instep, likeness, reports, trials
from orchestrator.engine import catalog, journal, sentry
from orchestrator.engine.connection import Connection, clock, explained, one_statement
from orchestrator.engine.journal import CompletedMove, Record
from orchestrator.engine.losses import foreseen, replaced
from orchestrator.engine.verification import Verdict, glance, unproven
from orchestrator.errors import (
    ConfigurationError,
    DriftError,
    EcmError,
    PreconditionError,
    PrivilegeError,
    RefusedError,
    StatementFailedError,
    TamperingError,
    VerificationError,
)
from orchestrator.ledger import Entry
from orchestrator.neighbours import as_begun, neighbours, under_way, unreadable
from orchestrator.plan import compile as compiler
from orchestrator.plan import drift, obstacles, scope, window
from orchestrator.plan.checksum import checksum, differences, meaning
from orchestrator.plan.drift import Drift
from orchestrator.plan.evidence import History
from orchestrator.plan.gates import Case, CheckResult, Reason, judge
from orchestrator.plan.lifecycle import STATES, Direction, Move, Phase, Position, State
from orchestrator.plan.model import Plan
from orchestrator.plan.usage import Usage
from orchestrator.records import history, tell, untold
from orchestrator.reporting import reason_report
from orchestrator.sql.conversion import Conversion
from orchestrator.sql.facts import Table
from orchestrator.sql.mapping import Mapping
from orchestrator.sql.repair import Repair
from orchestrator.sql.steps import Proof
from orchestrator.stage import Scene, Stage
from orchestrator.words import listed

GLANCE = 10.0
"""Seconds that a look at all rows may take before a plan has begun."""


Overridden = tuple[tuple[Phase, Reason], ...]
"""Conditions that are not met, each with the phase that it stands in the way of."""


class Judgement:
    """Judges moves on a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def refuse(
        self, scene: Scene, phases: tuple[Phase, ...], overrides: frozenset[str] = frozenset(), *, hurried: bool = False
    ) -> Overridden:
        """Raise a RefusedError with every reason that is not overridden, if there are any.

        Args:
            scene: the plan on the branch.
            phases: all that are to be entered.
            overrides: codes of conditions that need not be met.
            hurried: whether the undo window is cut short.

        Returns:
            The conditions that are not met, and overridden, each with the phase that it is about.
        """
        weighed = self.weigh(scene, phases, hurried=hurried)
        unmet = tuple(reason for _, reason in weighed if reason.code not in overrides)
        if not unmet:
            return weighed
        lines = [line for each in unmet for line in _told(each)]
        error = DriftError if all(reason.code == DriftError.code for reason in unmet) else RefusedError
        raise error(
            f"{scene.plan.plan} may not be finalized on {scene.branch} yet"
            if phases[-1] is Phase.FINALIZE
            else f"{scene.plan.plan} may not enter {phases[-1].words} on {scene.branch}",
            details=lines,
            hint=onward(scene, unmet),
        )

    def weigh(self, scene: Scene, phases: tuple[Phase, ...], *, hurried: bool = False) -> Overridden:
        """Judge every phase on the way, so that nothing is begun that could not end where it was meant to.

        Returns:
            What is not met, each with the last phase that it stands in the way of.
        """
        behind = self._stage.project.required_by(scene.branch)
        if (behind or {Phase.CONTRACT, Phase.FINALIZE}.intersection(phases)) and self._ledger_is_broken():
            so = f"it proves nothing about {listed(behind)}" if behind else "nothing is done that cannot be undone"
            raise TamperingError(f"the ledger is not as it was written, so {so}", hint="ecm audit verify")
        texts = self._catch_up(scene, behind)
        entries = self._stage.entries_of(scene)
        cases = (self._case(scene, phase, entries, texts, hurried=hurried) for phase in phases)
        # What stands in the way of several phases is told once, as of the last.
        found = {(each.code, each.subject): (weighed.phase, each) for weighed in cases for each in judge(weighed)}
        unreadable = self._unreadable_neighbours(scene) if Phase.EXPAND in phases else ()
        return (*found.values(), *((Phase.EXPAND, each) for each in unreadable))

    def case(self, scene: Scene, phase: Phase) -> Case:
        """Return all that is weighed when a plan asks to enter a phase, for whoever wants to see it."""
        texts = self._catch_up(scene, self._stage.project.required_by(scene.branch))
        return self._case(scene, phase, self._stage.entries(scene.plan.plan), texts)

    def _catch_up(self, scene: Scene, branches: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """Copy what this and other branches' journals hold and the ledger lacks, after a crash between the two.

        Returns:
            How the plan differs where a branch is on another text of it, by branch.

        Raises:
            ConfigurationError: one of them is this very database, which would prove itself.
            EcmError: the ledger cannot be told of what one of them has done, a rollback perhaps, which would take
                away what it proved.
        """
        texts = dict(_other_text(scene.plan, scene.branch, scene.record))
        with closing(self._stage.ledger()) as ledger:
            if not scene.looked:  # under the lease nobody else moves the plan, and what this one moves it tells
                # Where the plan is here, the journal says; but a rollback ends what was said of it, by the ledger's
                # order.
                moves = untold(scene.connection, ledger)
                with _unless(any(_is_of(each, scene) and each.direction is Direction.BACK for each in moves)):
                    tell(moves, ledger)
            for branch in branches:
                try:
                    connection = self._stage.connect(branch)
                except EcmError:
                    continue  # a branch that does not answer adds no evidence
                with closing(connection):
                    if _identity(connection) == _identity(scene.connection):
                        raise ConfigurationError(
                            f"{branch} and {scene.branch} are the same database, {connection.info.dbname}",
                            details=[f"{scene.branch} requires {branch}, and would be its own proof"],
                            hint=f"correct the URL of {branch} or {scene.branch}",
                        )
                    moves = ()
                    with suppress(EcmError, psycopg.Error):
                        moves = untold(connection, ledger)
                        texts.update(_other_text(scene.plan, branch, journal.read(connection, scene.plan.plan)))
                    with _unless(any(_is_of(each, scene) for each in moves)):
                        tell(moves, ledger)
        return texts

    def _case(
        self,
        scene: Scene,
        phase: Phase,
        entries: tuple[Entry, ...],
        texts: Dictionary[str, tuple[str, ...]],
        *,
        hurried: bool = False,
    ) -> Case:
        checks = scene.plan.phase(phase).checks if scene.position.begins(phase) else ()
        weighed = case(
            scene.plan,
            scene.branch,
            scene.record,
            phase,
            required=self._stage.project.required_by(scene.branch),
            history=history(entries),
            open_plans=_neighbours(scene) if phase is Phase.EXPAND else {},
            hurried=hurried,
        )
        return replace(
            weighed,
            texts=texts,
            now=weighed.now or (clock(scene.connection) if weighed.require.rehearsal else None),
            checks=tuple(self._check(scene.connection, each.name, each.sql, each.expect) for each in checks),
            approvals=self._stage.project.branch(scene.branch).approvals,
            actor=self._stage.actor,
            drift=self._drift(scene, phase, entries, weighed.required),
            usage=self._usage(scene, phase),
        )

    def _usage(self, scene: Scene, phase: Phase) -> Usage | None:
        """Return who still uses the old side, where the plan asks that nobody does."""
        asked = scene.plan.requirements(phase).no_readers is not None
        there = scene.position.state is State.READS_MIGRATED and not self._took_away(scene)
        return self._stage.usage_of(scene) if asked and there and phase is Phase.CONTRACT else None

    @staticmethod
    def _took_away(scene: Scene) -> bool:
        """Whether a contract that stopped took the old side away; before that, whoever uses it still does."""
        done = (Phase.CONTRACT, Direction.FORWARD, window.CONTRACT)
        steps = journal.steps(scene.connection, scene.plan.plan) if scene.position.phase is Phase.CONTRACT else ()
        return any((each.phase, each.direction, each.key) == done and each.finished_at for each in steps)

    def _drift(
        self, scene: Scene, phase: Phase, entries: tuple[Entry, ...], required: tuple[str, ...]
    ) -> tuple[Drift, ...]:
        """Return how the branch differs from those that it requires, as they were before the same phase."""
        if not required or not likeness.is_to_be_compared(scene.position, phase):
            return ()
        found = (
            # What it looked like when the phase began: since then there is something of ecm's own besides.
            drift.from_json(journal.looked_like(scene.connection, scene.plan.plan))
            if scene.position.phase is not None
            else self._stage.insist(
                scene.connection, scope.tables(scene.plan), lambda: likeness.look(scene.connection, scene.plan)
            )
        )
        if found is None:
            return ()
        return likeness.drifts(entries, found, plan=scene.plan, branch=scene.branch, required=required, phase=phase)

    def _check(self, connection: Connection, name: str, query: str, expected: object) -> CheckResult:
        try:
            with explained(f"check {name!r}"), connection.transaction(force_rollback=True):
                # A check asks and changes nothing, nor does set_config in one outlast it; its names are looked up as
                # its author's own session would.
                connection.execute("SET TRANSACTION READ ONLY")
                connection.execute("SET LOCAL search_path TO DEFAULT")
                row = one_statement(connection, query)
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
            history=History(),
            open_plans=_neighbours(scene),
        )
        overlaps = (reason for reason in judge(weighed) if reason.code == "overlap")
        return tuple(map(reason_report, (*overlaps, *self._unreadable_neighbours(scene))))

    def _unreadable_neighbours(self, scene: Scene) -> tuple[Reason, ...]:
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
        found = self._in_the_catalog(scene, move)
        if found and scene.record is None:
            alone = instep.alone(self._stage.workspace, scene.plan, scene.connection, branch=scene.branch)
            return (alone,) if alone is not None else found
        return found

    def _in_the_catalog(self, scene: Scene, move: Move) -> tuple[EcmError, ...]:
        if move.resumes and any(step.finished_at for step in journal.steps(scene.connection, scene.plan.plan)):
            return ()  # what was begun is carried on
        try:
            facts = self._stage.facts_of(scene)
        except (PreconditionError, PrivilegeError) as error:
            return (error,)  # there is no such table, or it may not be looked at
        problems = (
            *obstacles.problems(scene.plan, move.phases[0], facts),
            *instep.obstacles(self._stage.workspace, scene.plan, move, scene.connection, branch=scene.branch),
        )
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


def _is_of(move: CompletedMove, scene: Scene) -> bool:
    return move.plan == scene.plan.plan


def _unless(needed: bool) -> AbstractContextManager[None]:
    """Let pass that the ledger cannot be told, unless what it would be told is needed."""
    return nullcontext() if needed else suppress(EcmError)


def _broken(verdict: Verdict, proof: Proof | None = None) -> PreconditionError:
    """Return what a proof would say of rows, as something that is in the way before anything begins."""
    error = unproven(verdict, proof)
    return PreconditionError(error.message, details=error.details, hint=error.hint)


def unseen(scene: Scene) -> tuple[str, ...]:
    """Return what could not be seen of who uses the old side, where somebody looked, a line each."""
    return tuple(f"not seen: {line}" for usage in scene.seen for line in usage.unseen)


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


def _identity(connection: Connection) -> tuple[Any, ...]:
    """Return what no two databases share, by whatever name they are reached.

    A server's start tells it from a copy of it, which has the same system identifier and the same oids.
    """
    row = connection.execute(
        "SELECT pg_catalog.pg_postmaster_start_time(), oid FROM pg_catalog.pg_database"
        " WHERE datname = pg_catalog.current_database()"
    ).fetchone()
    return row or ()


def case(
    plan: Plan,
    branch: str,
    record: Record | None,
    phase: Phase,
    *,
    required: tuple[str, ...],
    history: History,
    open_plans: Dictionary[str, tuple[str, ...]] | None = None,
    hurried: bool = False,
) -> Case:
    """Return what is weighed when a plan asks to enter a phase, as far as journal and ledger tell."""
    return Case(
        plan=plan.plan,
        branch=branch,
        phase=phase,
        position=record.position if record else Position(),
        checksum=checksum(plan),
        recorded_checksum=record.checksum if record else None,
        required=required,
        history=history,
        require=plan.requirements(phase),
        verified_at=record.verified_at if record else None,
        soak=plan.migrate_reads.soak,
        state_since=record.state_since if record else None,
        now=record.now if record else None,
        open_plans=open_plans or {},
        paused_by=record.paused_by if record else None,
        undo_until=record.undo_until if record else None,
        hurried=hurried,
    )


def _other_text(plan: Plan, branch: str, record: Record | None) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Give how a plan differs from the text that a branch is on, where that is another."""
    if record is None or record.position == Position() or record.checksum == checksum(plan):
        return
    begun = as_begun(record)
    if begun is not None:
        yield branch, differences(meaning(begun), meaning(plan))


def onward(scene: Scene, reasons: Iterable[Reason | reports.ReasonReport]) -> str:
    """Return the command that goes on from unmet conditions; where what meets them is no command, a look at all.

    As long as the plan's text is another than the one that was begun, whatever else would be met is in vain.
    """
    reasons = tuple(reasons)
    if any(reason.code == "plan_changed" for reason in reasons) and scene.position.state is not State.CONTRACTED:
        return f"ecm rollback {scene.plan.plan} --branch {scene.branch}"
    return next((reason.remedy for reason in reasons if reason.remedy.startswith("ecm ")), "ecm status")


def _told(reason: Reason) -> Iterable[str]:
    """Give a reason's lines for a person."""
    yield reason.message
    yield from (f"  {line}" for line in (*reason.details, reason.remedy) if line)


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


def _others_under_way(scene: Scene) -> tuple[Record, ...]:
    return under_way(scene.plan.plan, journal.read_all(scene.connection))


def _neighbours(scene: Scene) -> dict[str, tuple[str, ...]]:
    return neighbours(scene.plan, _others_under_way(scene), partial(catalog.primary_key, scene.connection))
