"""What was recorded of a plan on any branch, as the gates weigh it.

Pure values, made from the ledger's entries (`orchestrator.records`). A reset of a branch takes none of them away.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from orchestrator.plan.claims import Claim
from orchestrator.plan.lifecycle import Direction, Phase


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Something that was recorded of a text of the plan on a branch.

    Attributes:
        at: when, by the branch's clock.
        actor: who did or said it.
        seq: its place in the ledger, by which a rollback is before or after what else was recorded.
    """

    branch: str
    checksum: str
    at: datetime
    actor: str = ""
    seq: int = 0


@dataclass(frozen=True, kw_only=True)
class Passage(Recorded):
    """One move that was completed."""

    direction: Direction
    phases: tuple[Phase, ...]


@dataclass(frozen=True, kw_only=True)
class Attestation(Recorded):
    """Somebody's word on the application that is deployed beside a branch.

    Attributes:
        claim: what it does, or does no more.
        version: the version that is deployed, a commit's hash most often.
        withdrawn: whether it says that this is no longer so.
    """

    claim: Claim
    version: str
    withdrawn: bool = False


@dataclass(frozen=True, kw_only=True)
class Approval(Recorded):
    """Somebody's consent to contract, bound to what was shown.

    Attributes:
        shown: the digest of the evidence that was shown, `gates.digest`.
        expires_at: until when it counts, by the branch's clock.
    """

    expires_at: datetime
    shown: str


@dataclass(frozen=True, kw_only=True)
class Override(Recorded):
    """An unmet condition that somebody let a plan pass, and why."""

    phase: Phase
    code: str
    message: str
    reason: str
    details: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    """Of each of the details, what tells it from another that reads the same; none where an older ecm wrote it."""


@dataclass(frozen=True, kw_only=True)
class Rehearsal(Recorded):
    """A plan's cycle on a copy of a branch.

    Attributes:
        stopped: where it stopped, for a person; None where it went through.
    """

    stopped: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it went through."""
        return self.stopped is None


@dataclass(frozen=True, kw_only=True)
class History:
    """Everything recorded of a plan, on any branch and of any text, oldest first."""

    passages: tuple[Passage, ...] = ()
    attestations: tuple[Attestation, ...] = ()
    approvals: tuple[Approval, ...] = ()
    overrides: tuple[Override, ...] = ()
    rehearsals: tuple[Rehearsal, ...] = ()

    def completed(self, *, branch: str, checksum: str) -> frozenset[Phase]:
        """Return the phases a branch has completed for a text and not rolled back since.

        A reset of the branch is no passage, so what it proved before stays proven.
        """
        done: set[Phase] = set()
        for passage in self._passages(branch, checksum):
            if passage.direction is Direction.FORWARD:
                done.update(passage.phases)
            else:
                done.difference_update(passage.phases)
        return frozenset(done)

    def attested(self, *, branch: str, checksum: str) -> tuple[Attestation, ...]:
        """Return what is attested of the application beside a branch and stands, one for each claim.

        A rollback ends them: whoever rolls back may have gone back to an older application too. So does a beginning,
        after a reset of the branch.
        """
        since = max(self._rolled_back(branch, checksum), self._begun(branch, checksum))
        last = {
            each.claim: each
            for each in self.attestations
            if (each.branch, each.checksum) == (branch, checksum) and each.seq >= since
        }
        return tuple(each for each in last.values() if not each.withdrawn)

    def approved(self, *, branch: str, checksum: str, shown: str, now: datetime | None) -> tuple[Approval, ...]:
        """Return the approvals that stand, the last of each person: of this text, of what is shown, not expired."""
        last = {each.actor: each for each in self.approvals if (each.branch, each.checksum) == (branch, checksum)}
        return tuple(each for each in last.values() if each.shown == shown and (now is None or now < each.expires_at))

    def overridden(self, *, branch: str, checksum: str) -> tuple[Override, ...]:
        """Return the conditions of a text that were overridden on a branch, since it was last begun there."""
        begun = self._rolled_back(branch, checksum, to_the_start=True)
        return tuple(
            each for each in self.overrides if (each.branch, each.checksum) == (branch, checksum) and each.seq >= begun
        )

    def rehearsed(self, *, branch: str, checksum: str) -> Rehearsal | None:
        """Return the last rehearsal of a text from a branch's data; None where there was none."""
        found = (each for each in self.rehearsals if (each.branch, each.checksum) == (branch, checksum))
        return max(found, key=lambda each: each.at, default=None)

    def _passages(self, branch: str, checksum: str) -> Iterable[Passage]:
        return (each for each in self.passages if (each.branch, each.checksum) == (branch, checksum))

    def _begun(self, branch: str, checksum: str) -> int:
        """Return the place in the ledger of the last expand; 0 where there was none."""
        begun = (
            each.seq
            for each in self._passages(branch, checksum)
            if each.direction is Direction.FORWARD and Phase.EXPAND in each.phases
        )
        return max(begun, default=0)

    def _rolled_back(self, branch: str, checksum: str, *, to_the_start: bool = False) -> int:
        """Return the place in the ledger of the last rollback; 0 where there was none."""
        back = (
            each.seq
            for each in self._passages(branch, checksum)
            if each.direction is Direction.BACK and (Phase.EXPAND in each.phases or not to_the_start)
        )
        return max(back, default=0)
