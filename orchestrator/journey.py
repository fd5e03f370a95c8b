"""Making moves on a branch: judge, ask, take the lease, judge again, run, record."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import psycopg

from orchestrator import instep, reports
from orchestrator.around import Around
from orchestrator.engine import journal, sentry, usage
from orchestrator.engine.connection import Link
from orchestrator.engine.runner import Runner, Task
from orchestrator.errors import EcmError, LeaseError
from orchestrator.judgement import uncarried, unseen
from orchestrator.missing import remedied
from orchestrator.plan import compile as compiler
from orchestrator.plan import drift, obstacles, scope, window
from orchestrator.plan.checksum import checksum
from orchestrator.plan.lifecycle import STATES, Direction, Move, Phase, State
from orchestrator.records import MOMENT
from orchestrator.reporting import move_report, step_preview
from orchestrator.sql.steps import Step
from orchestrator.stage import Scene, Stage
from orchestrator.telling import Telling

Consent = Callable[[reports.AdvanceReport], None]


class Journey:
    """Makes moves on a stage's branches."""

    def __init__(self, stage: Stage, telling: Telling) -> None:
        self._stage = stage
        self._telling = telling

    def make(
        self,
        scene: Scene,
        moves: Callable[[Scene], tuple[Move, ...]],
        *,
        dry_run: bool,
        consent: Consent,
        entering: Callable[[Scene], None] = lambda _: None,
    ) -> reports.AdvanceReport:
        """Judge, ask, take the lease, judge again, and make the moves one by one; where there are none, say so.

        Args:
            scene: the plan on the branch.
            moves: what is to be made of it, judged anew each time.
            dry_run: say what would be done.
            consent: asked once.
            entering: told of each move under the lease, before anything is run or touched.
        """
        try:
            proposed = moves(scene)
            proposal = self._proposal(scene, proposed)
        except (EcmError, psycopg.Error) as error:
            # The journal and the catalog are read one after the other; another ecm may have changed both in between.
            now = self._stage.now(scene, scene.connection).position
            if now == scene.position:
                raise
            raise _overtaken(scene.position.state, now.state) from error
        if not proposed:
            return proposal.model_copy(
                update={
                    "dry_run": dry_run,
                    "next_command": self._stage.next_command(scene.plan.plan, scene.branch, scene.position),
                }
            )
        if dry_run:
            return proposal
        consent(proposal)
        journal.prepare(scene.connection)
        link = self._stage.link(scene.branch, scene.connection)
        done: list[reports.MoveReport] = []
        untold: tuple[str, ...] = ()
        with link, self._stage.lease(link, scene) as lease:
            runner = Runner(link, lease, scene.branch, observer=self._stage.observer, sleep=self._stage.sleep)
            around = Around(self._stage, link)

            def judged(meant: Move) -> tuple[Scene, Move | None]:
                now = link.do(lambda connection: self._stage.now(scene, connection))
                move = self._still(meant, moves(now))
                if move is not None:
                    entering(now)
                return now, move

            for meant in proposed:
                now, move = judged(meant)
                if move is not None and around.before(now, move, again=_command(scene, meant, proposed)):
                    # They take their time, and may do anything.
                    now, move = judged(meant)
                if move is None:
                    break
                self._mark(now, move, around)
                started = time.monotonic()
                with self._telling.moving(now, move, link), remedied(link, scene.plan.plan):
                    measured = runner.run(self._task(now, move, link))
                seconds = time.monotonic() - started
                scene.made.append(move.target)
                self._look_out(now, move, link)
                two_sides = all(each.two_sides for each in proposal.moves)
                sides = proposal.moves[0].sides
                done.append(
                    move_report(move, scene.plan, seconds=seconds, measured=measured, two_sides=two_sides, sides=sides)
                )
                untold = link.do(self._stage.tell_ledger)
                around.after(now, move)
            tools = link.do(partial(instep.unpullable, self._stage.workspace, scene.plan))
            warnings = (*proposal.warnings, *around.warnings, *untold, *tools)
            reached = link.do(lambda connection: self._stage.now(scene, connection))
            position = reached.position
        return reports.AdvanceReport(
            plan=scene.plan.plan,
            branch=scene.branch,
            dry_run=False,
            moves=tuple(done),
            state=position.state,
            undo_until=reached.record.undo_until if reached.record else None,
            next_command=self._stage.next_command(scene.plan.plan, scene.branch, position),
            warnings=warnings,
        )

    @staticmethod
    def _still(meant: Move, now: tuple[Move, ...]) -> Move | None:
        """Return the next move, judged anew, if it is the one consented to; None where another ecm made the rest."""
        if not now:
            return None
        if (now[0].origin, now[0].target) != (meant.origin, meant.target):
            raise _overtaken(meant.origin, now[0].origin)
        return now[0]

    def _proposal(self, scene: Scene, moves: tuple[Move, ...]) -> reports.AdvanceReport:
        # Where nothing is left to do, the tables may have their final names by now.
        facts: scope.Facts = self._stage.facts_of(scene, texts=any(map(_moves_readers, moves))) if moves else {}
        return reports.AdvanceReport(
            plan=scene.plan.plan,
            branch=scene.branch,
            dry_run=True,
            moves=tuple(
                move_report(
                    move,
                    scene.plan,
                    steps=tuple(
                        step_preview(step, move.direction)
                        for _, steps in self._steps(scene, move, facts, self._watch(scene, move, facts))
                        for step in steps
                    ),
                    two_sides=scope.has_two_sides(scene.plan, facts),
                    sides=scope.sides(scene.plan, facts),
                )
                for move in moves
            ),
            state=scene.position.state,
            undo_until=scene.record.undo_until if scene.record else None,
            next_command=None,
            warnings=(
                *self._stage.notes(scene),
                *_out_of_step(self._stage, scene, moves),
                *(_at_contract(scene, facts) if contracts(moves) else ()),
            ),
        )

    def _task(self, scene: Scene, move: Move, link: Link) -> Task:
        forward = move.direction is Direction.FORWARD
        texts = _moves_readers(move)
        facts = link.do(lambda connection: self._stage.facts_of(replace(scene, connection=connection), texts=texts))
        watch = link.do(lambda connection: self._watch(replace(scene, connection=connection), move, facts))
        recorded = scene.record.recorded if scene.record and not forward else scene.plan.model_dump(mode="json")
        return Task(
            move=move,
            position=scene.position,
            checksum=checksum(scene.plan),
            recorded=recorded,
            looks_at=drift.subjects(scene.plan),
            rehearsed=self._stage.workspace.rehearsal,
            actor=self._stage.actor,
            steps=self._steps(scene, move, facts, watch),
            lock_timeout=scene.plan.phase(move.phases[0]).lock_timeout,
            backfill=scene.plan.backfill,
            keeping=compiler.keeping_old(scene.plan, facts) if move.keeps else (),
            window=scene.plan.contract.undo_window,
            watch=watch,
            bookkeeping=instep.rows(self._stage.workspace, scene.plan, move),
        )

    def _mark(self, scene: Scene, move: Move, around: Around) -> None:
        """Note where the branch's history stands before contract; one that is carried on began where it was noted."""
        if not contracts((move,)) or move.resumes:
            return
        try:
            moment = self._stage.moment(scene.branch)
            if moment is not None:
                at = moment.time.isoformat() if moment.time else None
                self._stage.note(scene, MOMENT, {"before": Phase.CONTRACT.value, "time": at, "lsn": moment.lsn})
        except EcmError as error:
            # Nothing is lost by it that ecm itself gives: it holds no contract up.
            around.warnings.append(
                f"the moment before contract is not noted, to restore the branch to: {error.message}"
            )

    def _look_out(self, scene: Scene, move: Move, link: Link) -> None:
        """Begin to look for who still uses the old side; what cannot be done now is done by the first look."""
        if _moves_readers(move):
            with suppress(Exception):  # the move is made, and recorded
                facts = self._stage.facts_of(scene)
                link.do(lambda connection: usage.begin(connection, scene.plan, facts))

    def _watch(self, scene: Scene, move: Move, facts: scope.Facts) -> sentry.Watch | None:
        """Return the versions of what keeps the old side true, where they are those of when contract hid it.

        Where the rows are in the same files, too, every write since has passed by there, and contract can be undone
        without a look at the rows.

        Raises:
            PreconditionError: the names of the old side are taken.
            VerificationError: one of these triggers is not on its post.
        """
        undoes = move.direction is Direction.BACK and move.phases == (Phase.CONTRACT,)
        if not undoes or not any(table.kept for table in facts.values()):
            return None
        for error in window.taken(scene.plan, facts):
            raise error
        found = sentry.on_post(scene.connection, compiler.keeping_old(scene.plan, facts))
        then = scene.record.undo_watch if scene.record else None
        return found if sentry.lasting(scene.connection, found) == then else None

    def _steps(
        self, scene: Scene, move: Move, facts: scope.Facts, watch: sentry.Watch | None
    ) -> tuple[tuple[Phase, tuple[Step, ...]], ...]:
        plan = scene.plan
        if move.direction is Direction.FORWARD:
            return tuple((phase, compiler.steps(plan, phase, facts)) for phase in move.phases)
        filled = STATES.index(move.origin) >= STATES.index(State.BACKFILLED)
        return tuple(
            (phase, compiler.undo(plan, phase, facts, filled=filled, in_step=watch is not None))
            for phase in move.phases
        )


def _at_contract(scene: Scene, facts: scope.Facts) -> tuple[str, ...]:
    return (
        *obstacles.left_behind(scene.plan, facts),
        *window.sent(scene.plan, facts),
        *uncarried(scene, facts),
        *unseen(scene),
    )


def _out_of_step(stage: Stage, scene: Scene, moves: tuple[Move, ...]) -> tuple[str, ...]:
    return (
        *instep.left(stage.workspace, scene.plan, moves, scene.connection),
        *instep.outdated(stage.workspace, scene.plan, moves),
    )


def contracts(moves: tuple[Move, ...]) -> bool:
    """Whether moves end in contract."""
    return any(move.direction is Direction.FORWARD and Phase.CONTRACT in move.phases for move in moves)


def _command(scene: Scene, meant: Move, proposed: tuple[Move, ...]) -> str:
    """Return the command that makes what is left of the moves proposed."""
    verb = "advance" if meant.direction is Direction.FORWARD else "rollback"
    far = f" --to {proposed[-1].target}" if meant is not proposed[-1] else ""
    return f"ecm {verb} {scene.plan.plan} --branch {scene.branch}{far}"


def _moves_readers(move: Move) -> bool:
    """Whether the texts of readers over the new columns are wanted: to ask for them may lock a table for a moment."""
    return move.direction is Direction.FORWARD and Phase.MIGRATE_READS in move.phases


def _overtaken(judged: State, found: State) -> LeaseError:
    moved = f"moved the plan from {judged.words} to {found.words}" if judged is not found else "began to move the plan"
    return LeaseError(f"another ecm {moved} in the meantime", details=["this one did nothing"], hint="ecm status")
