"""What notices say: of moves made, refusals, phases that stopped, and plans that stand still."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psycopg

from orchestrator.engine.connection import Connection, Link, clock
from orchestrator.errors import DeclinedError, EcmError, RefusedError, VerificationError
from orchestrator.plan.lifecycle import PHASES, STATES, Direction, Move
from orchestrator.reports import StatusReport
from orchestrator.stage import Scene, Stage


class Telling:
    """Tells of what happens on a stage, to whom the project names; nothing where it names nobody."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._notices = stage.notices
        self._told: EcmError | None = None

    @contextmanager
    def moving(self, scene: Scene, move: Move, link: Link) -> Generator[None]:
        """Tell of a move that is made in the block, or of why it was not."""
        if not self._notices.wanted:
            yield
            return
        values = {"phase": move.phases[0].value, "direction": move.direction.value}
        try:
            yield
        except EcmError as error:
            self._told = error
            doing = ("" if move.direction is Direction.FORWARD else "the rollback of ") + move.phases[0].words
            self._send(
                "failed",
                scene,
                f"stopped in {doing}: {error.message}",
                {**values, **_reasons(error), "state": move.origin.value, "at": _now(link.current)},
            )
            raise
        back = "" if move.direction is Direction.FORWARD else ", rolled back"
        self._send(
            "transition",
            scene,
            f"{move.origin.words} → {move.target.words}{back}",
            {**values, "origin": move.origin.value, "state": move.target.value, "at": _now(link.current)},
        )

    @contextmanager
    def refusing(self, scene: Scene, direction: Direction, *, dry_run: bool) -> Generator[None]:
        """Tell of a refusal that comes out of the block; not of an answer somebody gave, nor of one to a dry run."""
        try:
            yield
        except EcmError as error:
            refused = error.exit_code == RefusedError.exit_code or isinstance(error, VerificationError)
            known = dry_run or error is self._told or isinstance(error, DeclinedError)
            if self._notices.wanted and refused and not known:
                state = scene.reached
                ahead = PHASES[STATES.index(state) :] if direction is Direction.FORWARD else ()
                self._send(
                    "refused",
                    scene,
                    "; ".join((f"refused: {error.message}", *error.details[:1])),
                    {
                        "phase": ahead[0].value if ahead else None,
                        "direction": direction.value,
                        "state": state.value,
                        "at": _now(scene.connection),
                        **_reasons(error),
                    },
                )
            raise

    def stalled(self, report: StatusReport) -> None:
        """Tell of each plan that stands still on a branch."""
        for plan in report.plans if self._notices.wanted else ():
            for branch in plan.branches:
                self._notices.send(
                    "stalled",
                    f"{report.project}: {plan.plan} on {branch.branch} is stalled: {branch.stalled_why};"
                    f" {branch.stalled_remedy}",
                    {
                        "project": report.project,
                        "plan": plan.plan,
                        "branch": branch.branch,
                        "phase": branch.in_progress.phase if branch.in_progress else None,
                        "state": branch.state,
                        "actor": self._stage.actor,
                        "at": (branch.as_of or datetime.now(UTC)).astimezone(UTC).isoformat(),
                        "stalled_for": branch.stalled_for,
                        "why": branch.stalled_why,
                        "remedy": branch.stalled_remedy,
                    },
                )

    def _send(self, event: str, scene: Scene, said: str, values: dict[str, Any]) -> None:
        project, plan = self._stage.project.project, scene.plan.plan
        text = f"{project}: {plan} on {scene.branch}: {said}, by {self._stage.actor}"
        shared = {"project": project, "plan": plan, "branch": scene.branch, "actor": self._stage.actor}
        self._notices.send(event, text, {**shared, **values})


def _reasons(error: EcmError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "details": list(error.details), "hint": error.hint}


def _now(connection: Connection | None) -> str:
    """Return the time by the branch's database; by this machine where that cannot be asked."""
    now = datetime.now(UTC)
    with suppress(psycopg.Error):
        if connection is not None and not connection.closed:
            now = clock(connection)
    return now.astimezone(UTC).isoformat()
