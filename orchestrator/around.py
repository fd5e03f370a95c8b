"""What runs around a phase: the plan's hooks, and their place in the ledger.

Hooks before a phase run when all is judged and the lease is held, and nothing is touched yet: one that fails keeps
the phase from beginning. Hooks after it run when it is complete and recorded: one that fails is told of. A rollback
runs none, for a way back must not hang on a script; and a phase that is carried on runs those before it again.
"""

import shlex
from dataclasses import replace
from time import monotonic
from typing import Literal

from orchestrator import hooks
from orchestrator.engine.connection import Link
from orchestrator.errors import EcmError, RefusedError
from orchestrator.events import HookFinished, HookStarted
from orchestrator.hooks import HookResult
from orchestrator.plan.checksum import checksum
from orchestrator.plan.lifecycle import Direction, Move
from orchestrator.plan.phases import Hook
from orchestrator.records import HOOK
from orchestrator.redaction import redact
from orchestrator.stage import Scene, Stage

When = Literal["before", "after"]


class Around:
    """Runs the hooks of one command's moves.

    Args:
        stage: the project.
        link: the session with the branch, for its clock.
    """

    def __init__(self, stage: Stage, link: Link) -> None:
        self._stage = stage
        self._link = link
        self.warnings: list[str] = []
        """What did not go well and holds nothing up."""

    def before(self, scene: Scene, move: Move, *, again: str) -> bool:
        """Run the hooks before a move's phase; return whether there were any.

        Args:
            scene: the plan and the branch.
            move: what is about to be done.
            again: the command that tries it once more.

        Raises:
            RefusedError: one failed, and those after it were not run.
        """
        several = self._hooks(scene, move, "before")
        for hook in several:
            result = self._run(scene, move, "before", hook)
            if not result.ok:
                where = f"{move.phases[0].words} on {scene.branch}"
                raise RefusedError(
                    f"{scene.plan.plan} may not enter {where}: a hook before it failed",
                    details=[
                        f"{self._shown(hook)} {result.outcome}",
                        *(f"  {line}" for line in result.said),
                        "the phase was not begun; the hooks before it are all run again",
                    ],
                    hint=again,
                )
        return bool(several)

    def after(self, scene: Scene, move: Move) -> None:
        """Run the hooks after a move's phase; each that fails is a warning."""
        for hook in self._hooks(scene, move, "after"):
            result = self._run(scene, move, "after", hook)
            if not result.ok:
                last = f": {result.said[-1]}" if result.said else ""
                self.warnings.append(f"hook after {move.phases[0].words}: {self._shown(hook)} {result.outcome}{last}")

    @staticmethod
    def _hooks(scene: Scene, move: Move, when: When) -> tuple[Hook, ...]:
        if move.direction is Direction.BACK:
            return ()
        around = scene.plan.phase(move.phases[0]).hooks
        return around.before if when == "before" else around.after

    def _run(self, scene: Scene, move: Move, when: When, hook: Hook) -> HookResult:
        workspace, phase, command = self._stage.workspace, move.phases[0], self._shown(hook)
        self._stage.observer(
            HookStarted(plan=scene.plan.plan, branch=scene.branch, phase=phase, when=when, command=command)
        )
        started = monotonic()
        try:
            result = hooks.run(
                hook,
                folder=workspace.root,
                environment={**workspace.environment, **self._told(scene, move, when)},
                secrets=workspace.secrets,
            )
        except KeyboardInterrupt:
            # It may have done half of what it does, and somebody will want to know.
            argv = tuple(redact(each, workspace.secrets) for each in hook.run)
            ended = HookResult(
                argv=argv, exit_code=None, seconds=monotonic() - started, problem="ended by an interrupt"
            )
            self._record(scene, move, when, ended)
            raise
        self._stage.observer(
            HookFinished(
                phase=phase,
                when=when,
                command=command,
                seconds=result.seconds,
                ok=result.ok,
                outcome=result.outcome,
            )
        )
        self._record(scene, move, when, result)
        return result

    def _shown(self, hook: Hook) -> str:
        """Return a hook as it would be typed, without a password that somebody put into a plan."""
        return redact(shlex.join(hook.run), self._stage.workspace.secrets)

    def _told(self, scene: Scene, move: Move, when: When) -> dict[str, str]:
        """Return what a hook finds in its environment, beside what ecm itself has there."""
        return {
            "ECM_PROJECT": self._stage.project.project,
            "ECM_PLAN": scene.plan.plan,
            "ECM_BRANCH": scene.branch,
            "ECM_PHASE": move.phases[0].value,
            "ECM_DIRECTION": move.direction.value,
            "ECM_CHECKSUM": checksum(scene.plan),
            "ECM_STATE": move.origin.value,
            "ECM_TARGET": move.target.value,
            "ECM_ACTOR": self._stage.actor,
            "ECM_HOOK": when,
            **({"ECM_RESULT": "done"} if when == "after" else {}),
        }

    def _record(self, scene: Scene, move: Move, when: When, result: HookResult) -> None:
        """Put a result into the ledger; where that is out of reach, the phase goes on all the same."""
        data = {
            "phase": move.phases[0].value,
            "direction": move.direction.value,
            "when": when,
            "argv": [redact(word, self._stage.workspace.secrets) for word in result.argv],
            "ok": result.ok,
            "exit_code": result.exit_code,
            "timed_out": result.timed_out,
            "problem": result.problem,
            "outcome": result.outcome,
            "seconds": round(result.seconds, 3),
            "stdout": result.stdout,
            "stderr": result.stderr,
        }
        try:
            self._link.do(lambda connection: self._stage.note(replace(scene, connection=connection), HOOK, data))
        except EcmError as error:
            self.warnings.append(f"the hook {when} {move.phases[0].words} is not in the ledger: {error.message}")
