"""Ask before a protected branch is touched."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import DeclinedError, UsageError
from orchestrator.plan.lifecycle import Direction, Phase, command_of
from orchestrator.words import listed

if TYPE_CHECKING:
    from orchestrator.cli.desk import Desk
    from orchestrator.reports import AdvanceReport


@dataclass(frozen=True, kw_only=True)
class Consent:
    """What the command line says about asking.

    Attributes:
        yes: not to ask; contract on a protected branch wants more.
        confirm: the plan's name, given again for that.
    """

    yes: bool
    confirm: str | None

    def give(self, desk: "Desk", preview: "AdvanceReport", *, protected: bool) -> None:
        """Return if what the report says may be done.

        Raises:
            UsageError: there is nobody to ask, or `confirm` names another plan.
            DeclinedError: the answer was no.
        """
        if self.confirm is not None and self.confirm != preview.plan:
            raise UsageError(
                f"--confirm says {self.confirm}, and the plan is {preview.plan}",
                hint=f"--confirm {preview.plan}",
            )
        ends = {Phase.CONTRACT, Phase.FINALIZE}
        contracts = any(
            move.direction == Direction.FORWARD and ends.intersection(move.phases) for move in preview.moves
        )
        if not protected or self.confirm is not None or (self.yes and not contracts):
            return
        if not desk.interactive:
            raise _nobody_to_ask(preview, contracts=contracts)
        desk.put(desk.screen(preview), to=sys.stderr)
        if contracts:
            kept = any(move.keeps for move in preview.moves)
            last = "The old version stops working." if kept else "There is no way back."
            question, wanted = f"\n{last} Type the plan's name to go on: ", preview.plan
        else:
            question, wanted = f"\nDo this on {preview.branch}? [y/N] ", "y"
        desk.write(question, to=sys.stderr, end="")
        answer = sys.stdin.readline()
        if not answer.endswith("\n"):
            desk.write("", to=sys.stderr)
        if answer.strip() != wanted and (contracts or answer.strip().lower() not in {"y", "yes"}):
            raise DeclinedError(f"nothing was done on {preview.branch}", details=["the answer was not yes"])


def _nobody_to_ask(preview: "AdvanceReport", *, contracts: bool) -> UsageError:
    command = command_of(preview.moves[0].direction, preview.moves[0].phases)
    kept = any(move.keeps for move in preview.moves)
    ends = listed(preview.moves[-1].phases)
    wants = "contract takes the old structure out of sight; it wants the plan's name"
    far = f" --to {preview.moves[-1].target}" if len(preview.moves) > 1 else ""
    again = f"ecm {command} {preview.plan} --branch {preview.branch}{far}"
    consent = f"--confirm {preview.plan}" if contracts else "--yes"
    return UsageError(
        f"{preview.branch} is protected, and there is no terminal to ask on",
        details=[wants if kept else f"{ends} cannot be undone; it wants the plan's name"] if contracts else [],
        hint=f"{preview.next_command or again} {consent}",
    )
