"""`ecm verify`: a fresh scan of a plan's tables, between phases."""

from collections.abc import Callable
from dataclasses import replace

from orchestrator import reports
from orchestrator.engine import journal, sentry
from orchestrator.engine.connection import explained
from orchestrator.engine.verification import Verdict, verify
from orchestrator.errors import EcmError, RefusedError
from orchestrator.events import Progress
from orchestrator.missing import remedied
from orchestrator.plan import compile as compiler
from orchestrator.plan.lifecycle import State
from orchestrator.sql.steps import Proof
from orchestrator.stage import Scene, Stage
from orchestrator.testimony import Testimony
from orchestrator.words import NOTHING_TO_COPY


class Proving:
    """Verifies plans on a stage, and has it taken down."""

    def __init__(self, stage: Stage, testimony: Testimony) -> None:
        self._stage = stage
        self._testimony = testimony

    def verify(self, scene: Scene) -> reports.VerifyReport:
        """Scan a plan's tables for rows whose two sides do not follow from one another.

        Raises:
            RefusedError: there are no two sides to compare.
            VerificationError: a sync trigger is not on its post.
        """
        name, branch = scene.plan.plan, scene.branch
        if scene.position.state in (State.PLANNED, State.CONTRACTED) and not scene.position.kept:
            raise RefusedError(
                f"{name} is {scene.position.state.words} on {branch}; there are no two sides to compare",
                hint="ecm status",
            )
        facts = self._stage.facts_of(scene)
        proofs = compiler.proofs(scene.plan, facts, "verify")
        with explained(f"verification of {name}"):
            sentry.on_post(scene.connection, compiler.sync_triggers(scene.plan, facts))
        if proofs and scene.position.state is State.EXPANDED:
            raise RefusedError(
                f"{name} is not backfilled yet on {branch}; rows that nobody filled are not wrong",
                details=["the sync trigger is in order, so what is written now reaches both sides"],
                hint=f"ecm advance {name} --branch {branch}",
            )
        link = self._stage.link(branch, scene.connection)
        with link, remedied(link, name), explained(f"verification of {name}"):
            workers = scene.plan.backfill.workers
            verdicts = [verify(link, proof, workers=workers, progress=self._told(proof)) for proof in proofs]
            found = self._report(scene, verdicts)
            return link.do(lambda connection: self._recorded(replace(scene, connection=connection), found))

    def _told(self, proof: Proof) -> Callable[[int, int, int], None]:
        return lambda done, total, rows: self._stage.observer(
            Progress(what=f"verify {proof.table}", done=done, total=total, rows=rows)
        )

    def _report(self, scene: Scene, verdicts: list[Verdict]) -> reports.VerifyReport:
        name, branch = scene.plan.plan, scene.branch
        return reports.VerifyReport(
            plan=name,
            branch=branch,
            rows=sum(verdict.rows for verdict in verdicts),
            mismatches=sum(verdict.mismatches for verdict in verdicts),
            samples=tuple(
                reports.SampleReport(table=str(v.table), key=s.key, old=s.old, new=s.new)
                for v in verdicts
                for s in v.samples
            ),
            not_invertible=sum(verdict.not_invertible for verdict in verdicts),
            expressions=tuple(each for verdict in verdicts for each in verdict.expressions),
            nothing_to_compare=None if verdicts else NOTHING_TO_COPY,
            next_command=self._stage.next_command(name, branch, scene.position),
        )

    def _recorded(self, scene: Scene, found: reports.VerifyReport) -> reports.VerifyReport:
        """Record what was found, for gates that ask for it; what was found is told whether that works or not."""
        journal.verified(scene.connection, scene.plan.plan, scene.position, sound=not found.mismatches)
        try:
            self._testimony.verified(scene, found)
        except EcmError as error:
            return found.model_copy(update={"warnings": (f"the ledger was not told: {error.message}",)})
        return found
