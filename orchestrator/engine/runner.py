"""Run a move's steps on a branch, recording each with what it did.

Intent recorded, act, outcome recorded. A step that is a transaction commits together with its
record, and the last one together with the new state, so there is no instant at which the database
and the journal disagree. After a lost session the journal is asked what became of the step.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import chain
from time import monotonic
from typing import Any, TypeGuard

import psycopg
from psycopg import errors
from tenacity import RetryCallState

from orchestrator.engine import bookkeeping, indexing, journal, leases, locks, sentry, snapshot
from orchestrator.engine.connection import Connection, Link, explained
from orchestrator.engine.journal import Writer
from orchestrator.engine.leases import Lease
from orchestrator.engine.lookout import Lookout, StrayedError
from orchestrator.engine.sweep import ROUNDS, Sweeper
from orchestrator.engine.verification import Verdict, unproven, verify
from orchestrator.errors import (
    EcmError,
    StatementFailedError,
    VerificationError,
)
from orchestrator.events import Observer, PhaseStarted, Progress, StateReached, StepFinished, StepStarted
from orchestrator.plan.drift import Subjects
from orchestrator.plan.lifecycle import Direction, Move, Phase, Position
from orchestrator.plan.phases import Backfill
from orchestrator.sql.bookkeeping import Row
from orchestrator.sql.lexer import Written
from orchestrator.sql.steps import (
    RESTORE,
    ConcurrentIndex,
    Proof,
    Statement,
    Step,
    Sweep,
    SyncTrigger,
    Transaction,
    sent,
    told,
)
from orchestrator.words import listed


@dataclass(frozen=True, kw_only=True)
class Task:
    """A move with everything that is recorded with it.

    Attributes:
        steps: of each of the move's phases, in their order of execution.
        recorded: the plan as it was begun.
        looks_at: what is looked at, and recorded, before a phase begins.
    """

    move: Move
    position: Position
    checksum: str
    recorded: dict[str, Any]
    looks_at: Subjects
    actor: str
    steps: tuple[tuple[Phase, tuple[Step, ...]], ...]
    lock_timeout: timedelta
    backfill: Backfill
    keeping: tuple[SyncTrigger, ...] = ()
    """What keeps the old structure true from then on, where the move keeps it."""
    window: timedelta = timedelta(0)
    """How long the old structure is kept then."""
    rehearsed: bool = False
    """Whether it is made on a copy, in the name of the branch that this is a copy of."""
    watch: sentry.Watch | None = None
    """The versions of what kept it true, where nothing came between that and any write, so that none is proven."""
    bookkeeping: tuple[Row, ...] = ()
    """What migration tools keep of it: written with a move forward, and taken away with one back."""


class Runner:
    """Runs tasks on one branch under one lease.

    Args:
        link: the session with the branch.
        lease: held by that session.
        branch: the branch's name.
        observer: told what happens.
        sleep: how to wait.
    """

    def __init__(
        self, link: Link, lease: Lease, branch: str, *, observer: Observer, sleep: Callable[[float], None]
    ) -> None:
        self._link = link
        self._lease = lease
        self._branch = branch
        self._observer = observer
        self._sleep = sleep
        self._waited = 0.0
        self._attempts = 0
        self._lookout = Lookout()
        link.reopened.append(lambda connection: leases.renew(connection, lease))

    def run(self, task: Task) -> dict[str, Any]:
        """Do or undo what the task says; return what was measured, as it is recorded with the move.

        Raises:
            LockTimeoutError, StatementFailedError, PrivilegeError, VerificationError: a step could not be done;
                what was done before it stays done, and the same task carries on from there.
            LeaseError: another ecm took over.
        """
        move = task.move
        plan = self._lease.plan
        self._observer(
            PhaseStarted(
                plan=plan,
                branch=self._branch,
                phase=move.phases[0],
                direction=move.direction,
                resumes=move.resumes,
            )
        )
        position = self._begin(task)
        self._lookout.trust(task.watch or {})
        data: dict[str, Any] = {}
        todo = [(phase, step) for phase, steps in task.steps for step in steps]
        number, proofs = 0, 1
        try:
            while number < len(todo):
                phase, step = todo[number]
                number += 1
                last = number == len(todo) and isinstance(step, Transaction)
                complete = self._completion(task, position, data) if last else None
                proof = _proof_of(todo[:number], phase)
                try:
                    self._step(task, phase, step, data, complete)
                except StrayedError as strayed:
                    if proofs == ROUNDS or proof is None:
                        raise strayed.for_good(ROUNDS) from None
                    number, proofs = proof, proofs + 1
                except StatementFailedError as error:
                    # A row breaks a constraint that is validated: it came after the proof, if that would name it.
                    if proofs > 1 or proof is None or not _breaks_a_rule(error):
                        raise
                    number, proofs = proof, proofs + 1
            if not (todo and isinstance(todo[-1][1], Transaction)):
                self._settled(
                    task,
                    lambda connection: (
                        self._is_complete(connection, task)  # it was, and only the answer was lost
                        or self._transaction(connection, self._completion(task, position, data))
                    ),
                )
        except Exception as error:
            if isinstance(error, VerificationError) or _breaks_a_rule(error):
                self._let_go(task, todo, task.move.phases[0] if not number else todo[number - 1][0], error)
            if not self._called_off(task, position, error):
                self._remember(error)
            raise
        self._observer(StateReached(plan=plan, branch=self._branch, state=move.target))
        return data

    # ------------------------------------------------------------ the journal's side

    def _writer(self, connection: Connection) -> Writer:
        return Writer(connection=connection, lease=self._lease, branch=self._branch)

    def _begin(self, task: Task) -> Position:
        begun = replace(task.position, phase=task.move.phases[0], direction=task.move.direction)
        forward = task.move.direction is Direction.FORWARD and not task.move.resumes

        def begin(connection: Connection) -> None:
            record = journal.read(connection, self._lease.plan)
            if record is not None and record.position == begun and not task.move.resumes:
                return  # committed, but the answer was lost
            looked_like = snapshot.read(connection, task.looks_at).to_json() if forward else None
            with connection.transaction():
                self._writer(connection).begin(
                    task.move,
                    task.position,
                    checksum=task.checksum,
                    recorded=task.recorded,
                    looked_like=looked_like,
                )

        self._settled(task, begin)
        return begun

    def _completion(self, task: Task, position: Position, data: dict[str, Any]) -> Callable[[Connection], None]:
        def complete(connection: Connection) -> None:
            watch = None
            if task.move.keeps:
                watch = sentry.lasting(connection, sentry.on_post(connection, task.keeping))
            self._writer(connection).complete(
                task.move,
                position,
                checksum=task.checksum,
                actor=task.actor,
                data={
                    **data,
                    journal.HOLDER: self._lease.holder,
                    **({journal.REHEARSED: True} if task.rehearsed else {}),
                },
                window=task.window,
                watch=watch,
            )
            told = bookkeeping.leave if task.move.direction is Direction.BACK else bookkeeping.enter
            told(connection, task.bookkeeping)

        return complete

    def _transaction(self, connection: Connection, work: Callable[[Connection], None]) -> None:
        with connection.transaction():
            work(connection)

    def _is_complete(self, connection: Connection, task: Task) -> bool:
        record = journal.read(connection, self._lease.plan)
        return record is not None and record.position == task.move.reaches

    def _was_begun(self, connection: Connection, task: Task, phase: Phase) -> bool:
        """Whether a transaction was done that is now taken back; what was tried or built before it made no new side."""
        undone = {
            step.follows or step.key
            for each, steps in task.steps
            for step in steps
            if each is phase and isinstance(step, Transaction) and step.inverse and not step.on_return
        }
        return any(
            step.phase is phase and step.direction is Direction.FORWARD and step.finished_at and step.key in undone
            for step in journal.steps(connection, self._lease.plan)
        )

    def _done_before(self, task: Task) -> bool:
        """Whether an earlier step of the move is done, and stays so."""
        try:
            steps = journal.steps(self._link.connection, self._lease.plan)
        except (psycopg.Error, EcmError):
            return True  # then nothing is promised
        phases = task.move.phases
        done = [step for step in steps if step.finished_at and not step.key.startswith("proof ")]
        return any(step.phase in phases and step.direction is task.move.direction for step in done)

    def _let_go(self, task: Task, todo: list[tuple[Phase, Step]], phase: Phase, error: Exception) -> None:
        """Take back what was done after a proof that does not stand any more: it may hold writers to what is not to be.

        So does a check that new rows are to keep, for one. To count costs every writer something. What was done to
        such a check, and has no inverse of its own, is to be done anew with it.
        """
        proof = _proof_of(todo, phase)
        after = [step for its, step in todo[proof:] if its is phase] if proof is not None else []
        try:
            if task.move.direction is Direction.BACK:
                # What a rollback does before its proof is taken back as well, unless rows rely on it by now.
                own = (
                    after if self._past_return(self._link.connection) else [step for its, step in todo if its is phase]
                )
                readied = [step for step in own if isinstance(step, Transaction | ConcurrentIndex) and step.on_return]
            else:
                readied = [step for step in after if isinstance(step, Transaction) and phase in _WITH_READERS]
            for step in reversed(readied):
                self._settled(task, partial(self._take_back, task, phase, step), step)
        except Exception as unreachable:  # noqa: BLE001 - the error itself matters more
            error.add_note(f"and what had been readied stays, until it is rolled back: {type(unreachable).__name__}")

    def _take_back(self, task: Task, phase: Phase, step: Transaction | ConcurrentIndex, connection: Connection) -> None:
        writer = self._writer(connection)
        there = writer.done if isinstance(step, Transaction) else writer.begun
        if not there(phase, task.move.direction, step.key):
            return
        if isinstance(step, ConcurrentIndex):
            with locks.patient(connection):
                _run(connection, step.inverse)
        with connection.transaction():
            leases.hold(connection, self._lease)
            if isinstance(step, Transaction) and step.inverse:
                self._lock(connection, task, step)
                _run(connection, step.inverse)
            writer.forget(phase, task.move.direction, step.key)

    def _called_off(self, task: Task, begun: Position, error: Exception) -> bool:
        """Whether a rollback was refused before it undid anything: the plan may go forward as before.

        A proof refuses; and where contract kept the old structure, so does a statement that finds it changed by
        somebody: then to drop what is left of it may be the only way.
        """
        move = task.move
        refuses = (VerificationError, StatementFailedError) if begun.kept else VerificationError
        if move.direction is Direction.FORWARD or not isinstance(error, refuses):
            return False
        # A rollback that resumes does not tell any more what it was that it began to take back; the move does.
        given_up = Position(state=move.origin, phase=move.phases[0], direction=Direction.FORWARD)
        before = given_up if move.origin is move.target else replace(begun, phase=None, direction=None)

        def call_off(connection: Connection) -> bool:
            if self._has_undone(connection, task):
                return False
            self._transaction(connection, lambda again: self._writer(again).call_off(begun, before))
            return True

        try:
            return bool(self._settled(task, call_off))
        except Exception as unreachable:  # noqa: BLE001 - the error itself matters more
            error.add_note(f"and the journal could not be told: {type(unreachable).__name__}")
            return False

    def _past_return(self, connection: Connection) -> bool:
        """Whether a rollback has begun to give rows back what they held: there is no way forward from then on."""
        steps = journal.steps(connection, self._lease.plan)
        return any(step.direction is Direction.BACK and step.key.startswith(f"{RESTORE} ") for step in steps)

    def _has_undone(self, connection: Connection, task: Task) -> bool:
        """Whether a rollback did anything but look, and ready what was taken back again."""
        known = {(phase, step.key): step for phase, steps in task.steps for step in steps}

        def looks(record: journal.StepRecord) -> bool:
            step = known.get((record.phase, record.key))
            if isinstance(step, Transaction):
                return record.finished_at is None  # it commits with its record, or not at all
            return isinstance(step, Proof)

        steps = journal.steps(connection, self._lease.plan)
        return not all(looks(step) for step in steps if step.direction is Direction.BACK)

    def _remember(self, error: Exception) -> None:
        """Keep the error for `status`; the journal may be out of reach, and the error itself matters more."""
        try:
            self._writer(self._link.connection).fail(str(error))
        except Exception as unreachable:  # noqa: BLE001 - see above
            error.add_note(f"and the journal could not be told: {type(unreachable).__name__}")

    # ------------------------------------------------------------ steps

    def _step(
        self,
        task: Task,
        phase: Phase,
        step: Step,
        data: dict[str, Any],
        complete: Callable[[Connection], None] | None,
    ) -> None:
        direction = task.move.direction
        started, self._waited = monotonic(), 0.0
        title = told(step, back=direction is Direction.BACK)
        self._observer(StepStarted(key=step.key, title=title))

        def attempt(connection: Connection) -> bool:
            writer = self._writer(connection)
            # Only what committed with its record is done for good: an index is judged by the catalog, and a
            # proof from before an interruption proves nothing about what was written since.
            for_good = isinstance(step, Transaction) and not step.counting
            if (for_good and writer.done(phase, direction, step.key)) or (
                complete is not None and self._is_complete(connection, task)
            ):
                return True
            # A count that is only taken back may be the move's last step, which completes it.
            proving = _proves(step) and (isinstance(step, Proof) or step.on_return)
            if proving and direction is Direction.BACK and not self._was_begun(connection, task, phase):
                return True  # there is nothing to prove of what never committed
            if isinstance(step, ConcurrentIndex) and not indexing.owns(writer, phase, direction, step):
                return True
            writer.intend(phase, direction, step.key, step.title, [s.as_string(None) for s in _sent(step, direction)])
            match step:
                case Transaction():
                    self._run_transaction(connection, task, phase, step, complete)
                    return False
                case ConcurrentIndex():
                    self._run_index(connection, task, step)
                case Sweep():
                    data[step.key] = self._run_sweep(task, step)
                case Proof():
                    data[step.key] = self._run_proof(task, step)
            connection = self._link.connection
            self._transaction(
                connection,
                lambda again: self._writer(again).finish(phase, direction, step.key, lock_wait=self._waited),
            )
            return False

        already = self._settled(task, attempt, step)
        self._observer(
            StepFinished(
                key=step.key,
                title=title,
                seconds=monotonic() - started,
                lock_wait=self._waited,
                already_done=already,
                lock=step.lock.value if isinstance(step, Transaction) and step.lock else None,
            )
        )

    def _settled(self, task: Task, work: Callable[[Connection], Any], step: Step | None = None) -> Any:
        """Do something until it is settled: again after a lost session, and after a lock that was not to be had."""
        began = monotonic()
        attempts = 0
        try:
            for attempt in locks.patience(self._passes, sleep=self._sleep, before_sleep=self._waits):
                with attempt:
                    attempts += 1
                    self._attempts = attempts
                    return work(self._link.connection)
        except locks.REFUSED as error:
            seconds = monotonic() - began
            if isinstance(step, ConcurrentIndex):
                raise indexing.held_up(
                    self._link.connection, self._lease, step, attempts=attempts, seconds=seconds
                ) from error
            tables = step.tables if step else ()
            raise locks.gave_up(
                self._link.connection,
                tables,
                budget=task.lock_timeout,
                attempts=attempts,
                seconds=seconds,
                before=self._done_before(task),
            ) from error
        raise AssertionError  # Retrying either returns or raises

    def _passes(self, error: BaseException) -> bool:
        return isinstance(error, locks.REFUSED) or self._link.lost(error)

    def _waits(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        why = "locked by another session" if isinstance(error, locks.REFUSED) else "the connection was lost"
        self._observer(locks.waiting(state, what=self._branch, why=why))

    def _run_transaction(
        self,
        connection: Connection,
        task: Task,
        phase: Phase,
        step: Transaction,
        complete: Callable[[Connection], None] | None,
    ) -> None:
        direction = task.move.direction
        with connection.transaction():
            writer = self._writer(connection)
            leases.hold(connection, writer.lease)
            locks.set_local(connection, lock_timeout=locks.milliseconds(task.lock_timeout))
            self._lock(connection, task, step)
            # What never committed needs no undoing; a column of that name is someone else's by now.
            takes_back = direction is Direction.BACK and not step.on_return
            needs = step.follows or (step.key if takes_back else None)
            undo_nothing = (
                direction is Direction.BACK and needs is not None and not writer.done(phase, Direction.FORWARD, needs)
            )
            if not undo_nothing:
                self._lookout.all_is_well(connection, step)
                if not takes_back:
                    sentry.made(connection, chain.from_iterable(each.triggers for each in step.counting))
            locks.as_the_owner(connection)
            for statement in () if undo_nothing else _sent(step, direction):
                text = statement.as_string(None)
                try:
                    with explained(step.title, statement=text):
                        if statement in step.first:
                            self._if_there_is_time(connection, statement, task.lock_timeout)
                        else:
                            connection.execute(statement)
                except EcmError as error:
                    raise _placed(error, statement) from error.__cause__
            if not takes_back:
                self._lookout.count(connection, step)
            writer.finish(phase, direction, step.key, lock_wait=self._waited)
            if complete is not None:
                complete(connection)

    def _lock(self, connection: Connection, task: Task, step: Transaction) -> None:
        """Take a transaction's locks, before it does anything."""
        if step.lock is not None and step.tables:
            budget = locks.budget_for(connection, (*step.views, *step.tables), task.lock_timeout)
            asked = monotonic()
            try:
                with explained("lock on " + ", ".join(map(str, step.tables))):
                    locks.take(
                        connection,
                        step.tables,
                        step.lock,
                        budget,
                        views=step.views,
                        attempt=self._attempts,
                    )
            finally:
                self._waited += monotonic() - asked

    def _if_there_is_time(self, connection: Connection, statement: Statement, budget: timedelta) -> None:
        """Do what writes rows under the table's lock; what takes longer than anyone may be made to wait is left."""
        with suppress(errors.QueryCanceled), connection.transaction():
            # The rows are few, and there is an index of them that was made just now.
            locks.set_local(connection, statement_timeout=locks.milliseconds(budget), enable_seqscan="off")
            connection.execute(statement)
            # What deferred triggers have to say comes now: no table changes while that is pending.
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        locks.set_local(connection, statement_timeout="0", enable_seqscan="on")

    def _run_index(self, connection: Connection, task: Task, step: ConcurrentIndex) -> None:
        """Build or drop an index; where rows share their values that a sweep can repair, that first, and once more."""
        for left in reversed(range(ROUNDS)):
            try:
                indexing.settle(connection, self._lease, step, task.move.direction)
                break
            except StatementFailedError as error:
                if not isinstance(error.__cause__, errors.UniqueViolation):
                    raise
                # Left as it is, it would already refuse what old writers write.
                indexing.drop_remains(connection, self._lease, step)
                if step.again is None or not left:
                    raise
                self._run_sweep(task, step.again)
                connection = self._link.connection

    def _run_sweep(self, task: Task, step: Sweep) -> dict[str, Any]:
        sweeper = Sweeper(
            link=self._link,
            writer=self._writer,
            plan=self._lease.plan,
            step=step,
            settings=task.backfill,
            lock_timeout=task.lock_timeout,
            observer=self._observer,
            sleep=self._sleep,
        )
        self._lookout.sweep(self._link.connection, step)
        outcome = sweeper.run()
        return self._measured(outcome.verdict) | outcome.measured

    def _run_proof(self, task: Task, step: Proof) -> dict[str, Any]:
        def progress(done: int, total: int, rows: int) -> None:
            self._observer(Progress(what=step.key, done=done, total=total, rows=rows))

        with explained(step.title):
            self._lookout.prove(self._link.connection, step)
            self._transaction(self._link.connection, lambda connection: self._even(connection, task, step))
            verdict = verify(self._link, step, workers=task.backfill.workers, progress=progress)
            if verdict.mismatches and (required := step.required):
                # Where the sides agree in every row, it is NOT NULL alone that some of them break.
                differing = verify(self._link, replace(step, closing=False), workers=task.backfill.workers)
                if not differing.mismatches:
                    step = replace(step, complaint=f"{listed(required)} may not be NULL in the end, and is")
        if verdict.mismatches:
            for_good = task.move.direction is Direction.BACK and self._past_return(self._link.connection)
            raise unproven(verdict, replace(step, instead="") if for_good else step)
        return self._measured(verdict)

    def _even(self, connection: Connection, task: Task, step: Proof) -> None:
        """Do what comes before a proof; it locks rows that the application wants, and gives way to it."""
        if step.evening:
            leases.hold(connection, self._lease)
            longest = min(task.lock_timeout, locks.deadlock_timeout(connection) / 4)
            locks.set_local(connection, lock_timeout=locks.milliseconds(longest))
            _run(connection, step.evening)

    def _measured(self, verdict: Verdict) -> dict[str, Any]:
        connection = self._link.connection
        self._transaction(connection, lambda again: self._writer(again).verified())
        return {"table": str(verdict.table), "rows": verdict.rows, "mismatches": verdict.mismatches}


def _run(connection: Connection, statements: Iterable[Statement]) -> None:
    for statement in statements:
        connection.execute(statement)


def _breaks_a_rule(error: Exception) -> bool:
    return isinstance(error, StatementFailedError) and isinstance(error.__cause__, errors.IntegrityError)


_WITH_READERS = (Phase.MIGRATE_READS, Phase.CONTRACT)
"""The phases that ready something after their proof, for the moment in which one side gives way to the other."""


def _proves(step: Step) -> TypeGuard[Proof | Transaction]:
    return isinstance(step, Proof) or (isinstance(step, Transaction) and bool(step.counting))


def _proof_of(todo: list[tuple[Phase, Step]], phase: Phase) -> int | None:
    """Return the place where a phase's proof begins, with the step that counts from there on; None without a proof."""
    return next((place for place, (its, step) in enumerate(todo) if its is phase and _proves(step)), None)


def _placed(error: EcmError, statement: Statement) -> EcmError:
    """Return an error with the place in the plan of its statement, where the plan's author wrote that."""
    if not isinstance(statement, Written):
        return error
    cause = error.__cause__
    position = cause.diag.statement_position if isinstance(cause, psycopg.Error) else None
    place = statement.place(int(position) if position else None)
    _, _, why = error.message.rpartition(": ") if cause is None else ("", "", str(cause).splitlines()[0])
    return type(error)(f"{place}: {why}", details=error.details, hint=error.hint)


def _sent(step: Step, direction: Direction) -> tuple[Statement, ...]:
    return sent(step, back=direction is Direction.BACK)
