"""Making moves on a branch: judge, ask, take the lease, judge again, run, record."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property

import psycopg

from orchestrator import reports
from orchestrator.actor import actor
from orchestrator.engine import journal, usage
from orchestrator.engine.connection import Link
from orchestrator.engine.runner import Runner, Task
from orchestrator.errors import EcmError, LeaseError
from orchestrator.judgement import uncarried
from orchestrator.missing import remedied
from orchestrator.plan import compile as compiler
from orchestrator.plan import obstacles, scope
from orchestrator.plan.checksum import checksum
from orchestrator.plan.lifecycle import STATES, Direction, Move, Phase, State
from orchestrator.plan.model import Plan
from orchestrator.reporting import move_report, step_preview
from orchestrator.sql.steps import Step
from orchestrator.stage import Scene, Stage

Consent = Callable[[reports.AdvanceReport], None]


class Journey:
    """Makes moves on a stage's branches."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def make(
        self, scene: Scene, moves: Callable[[Scene], tuple[Move, ...]], *, dry_run: bool, consent: Consent
    ) -> reports.AdvanceReport:
        """Judge, ask, take the lease, judge again, and make the moves one by one; where there are none, say so."""
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
            for meant in proposed:
                now = link.do(lambda connection: self._stage.now(scene, connection))
                move = self._still(meant, moves(now))
                if move is None:
                    break
                started = time.monotonic()
                with remedied(link, scene.plan.plan):
                    measured = runner.run(self._task(now, move, link))
                seconds = time.monotonic() - started
                self._watch(now, move, link)
                two_sides = all(each.two_sides for each in proposal.moves)
                sides = proposal.moves[0].sides
                done.append(
                    move_report(move, scene.plan, seconds=seconds, measured=measured, two_sides=two_sides, sides=sides)
                )
                untold = link.do(self._stage.tell_ledger)
            warnings = (*proposal.warnings, *untold)
            position = link.do(lambda connection: self._stage.now(scene, connection)).position
        return reports.AdvanceReport(
            plan=scene.plan.plan,
            branch=scene.branch,
            dry_run=False,
            moves=tuple(done),
            state=position.state,
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
                        for _, steps in self._steps(scene.plan, move, facts)
                        for step in steps
                    ),
                    two_sides=scope.has_two_sides(scene.plan, facts),
                    sides=scope.sides(scene.plan, facts),
                )
                for move in moves
            ),
            state=scene.position.state,
            next_command=None,
            warnings=(*obstacles.left_behind(scene.plan, facts), *uncarried(scene, facts)) if contracts(moves) else (),
        )

    def _task(self, scene: Scene, move: Move, link: Link) -> Task:
        forward = move.direction is Direction.FORWARD
        texts = _moves_readers(move)
        facts = link.do(lambda connection: self._stage.facts_of(replace(scene, connection=connection), texts=texts))
        recorded = scene.record.recorded if scene.record and not forward else scene.plan.model_dump(mode="json")
        return Task(
            move=move,
            position=scene.position,
            checksum=checksum(scene.plan),
            recorded=recorded,
            actor=self._actor,
            steps=self._steps(scene.plan, move, facts),
            lock_timeout=scene.plan.phase(move.phases[0]).lock_timeout,
            backfill=scene.plan.backfill,
        )

    def _watch(self, scene: Scene, move: Move, link: Link) -> None:
        """Begin to look for who still uses the old side; what cannot be done now is done by the first look."""
        if _moves_readers(move):
            with suppress(Exception):  # the move is made, and recorded
                facts = self._stage.facts_of(scene)
                link.do(lambda connection: usage.begin(connection, scene.plan, facts))

    def _steps(self, plan: Plan, move: Move, facts: scope.Facts) -> tuple[tuple[Phase, tuple[Step, ...]], ...]:
        if move.direction is Direction.FORWARD:
            return tuple((phase, compiler.steps(plan, phase, facts)) for phase in move.phases)
        filled = STATES.index(move.origin) >= STATES.index(State.BACKFILLED)
        return tuple((phase, compiler.undo(plan, phase, facts, filled=filled)) for phase in move.phases)

    @cached_property
    def _actor(self) -> str:
        return actor(self._stage.workspace.environment, self._stage.workspace.root)


def contracts(moves: tuple[Move, ...]) -> bool:
    """Whether moves end in contract."""
    return any(move.direction is Direction.FORWARD and Phase.CONTRACT in move.phases for move in moves)


def _moves_readers(move: Move) -> bool:
    """Whether the texts of readers over the new columns are wanted: to ask for them may lock a table for a moment."""
    return move.direction is Direction.FORWARD and Phase.MIGRATE_READS in move.phases


def _overtaken(judged: State, found: State) -> LeaseError:
    moved = f"moved the plan from {judged.words} to {found.words}" if judged is not found else "began to move the plan"
    return LeaseError(f"another ecm {moved} in the meantime", details=["this one did nothing"], hint="ecm status")
