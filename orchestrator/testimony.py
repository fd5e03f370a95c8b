"""What people say of a plan on a branch, and what is refused or proven there: the ledger's events that are no moves."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace

import psycopg

from orchestrator import reports
from orchestrator.engine.connection import clock
from orchestrator.errors import DeclinedError, EcmError, RefusedError, UsageError, VerificationError
from orchestrator.judgement import Judgement
from orchestrator.plan.checksum import checksum
from orchestrator.plan.claims import Claim
from orchestrator.plan.evidence import Attestation
from orchestrator.plan.gates import Reason, evidence, judge, standing_approvals
from orchestrator.plan.lifecycle import Direction, Phase, State
from orchestrator.records import APPROVAL, ATTESTATION, OVERRIDE, REFUSED, VERIFIED, history
from orchestrator.redaction import redact
from orchestrator.reporting import reason_report
from orchestrator.stage import Scene, Stage
from orchestrator.words import did_you_mean

_LONGEST = 2000
"""Characters of what a person may write."""


class Testimony:
    """Takes down what is said, on a stage."""

    def __init__(self, stage: Stage, judgement: Judgement) -> None:
        self._stage = stage
        self._judgement = judgement

    def attest(self, scene: Scene, claim: str, version: str, *, withdrawn: bool = False) -> reports.AttestReport:
        """Record what somebody attests of the application that is deployed beside a branch.

        Raises:
            UsageError: there is no such claim, or no version is named.
            RefusedError: nothing has begun there that an application could know of, or it is over.
        """
        if claim not in set(Claim):
            raise UsageError(f"nobody can attest {claim}", details=[did_you_mean(claim, Claim)])
        version = self._redacted(_written(version, "version"))
        state, where = scene.position.state, f"{scene.plan.plan} on {scene.branch}"
        if state in (State.PLANNED, State.CONTRACTED):
            raise RefusedError(
                f"there is nothing to attest of {where}: it is {state.words}",
                details=["an application can know both sides from expanded until contracted"],
                hint=f"ecm advance {scene.plan.plan} --branch {scene.branch}"
                if state is State.PLANNED
                else "ecm status",
            )
        if claim != Claim.WRITES_BOTH and state is State.EXPANDED:
            raise RefusedError(
                f"nobody can do without the old side of {where} yet: it is expanded",
                details=["rows from before have nothing on the new side until they are backfilled"],
                hint=f"ecm advance {scene.plan.plan} --branch {scene.branch}",
            )
        if scene.position.direction is Direction.BACK:
            raise RefusedError(
                f"{where} is being rolled back, which ends what is attested",
                hint=f"ecm rollback {scene.plan.plan} --branch {scene.branch}",
            )
        if withdrawn and claim not in {each.claim for each in self._attested(scene)}:
            raise RefusedError(
                f"there is nothing to withdraw: {claim} is not attested of {where}",
                details=["an attestation ends with a rollback, and with an edit of the plan, by itself"],
                hint=f"ecm gate {scene.plan.plan} --branch {scene.branch}",
            )
        self._stage.note(
            scene, ATTESTATION, {"claim": claim, "version": version, "withdrawn": withdrawn, "state": state.value}
        )
        return reports.AttestReport(
            plan=scene.plan.plan,
            branch=scene.branch,
            claim=claim,
            says=Claim(claim).words,
            version=version,
            withdrawn=withdrawn,
            actor=self._stage.actor,
            standing=tuple(
                reports.AttestationReport(claim=each.claim, version=each.version, actor=each.actor, at=each.at)
                for each in self._attested(scene)
            ),
            next_command=f"ecm gate {scene.plan.plan} --branch {scene.branch}",
        )

    def _attested(self, scene: Scene) -> tuple[Attestation, ...]:
        """Return what stands attested of a plan's text on a branch."""
        recorded = history(self._stage.entries(scene.plan.plan))
        return recorded.attested(branch=scene.branch, checksum=checksum(scene.plan))

    def approve(self, scene: Scene, *, consent: Callable[[reports.ApprovalReport], None]) -> reports.ApprovalReport:
        """Record somebody's consent to contract, after the evidence was shown.

        Raises:
            RefusedError: the branch asks for no approvals, or the plan is not there yet.
        """
        plan, branch = scene.plan.plan, scene.branch
        settings = self._stage.project.branch(branch)
        if not settings.approvals:
            raise RefusedError(
                f"{branch} asks for no approvals",
                details=["`approvals: N` of a branch in ecm.yaml says how many others have to approve of contract"],
                hint=f"ecm gate {plan} --branch {branch}",
            )
        # A contract that stopped before it took anything away may be approved of as before it began.
        back = scene.position.direction is Direction.BACK
        if scene.position.state is not State.READS_MIGRATED or back:
            raise RefusedError(
                f"{plan} is {'being rolled back' if back else scene.position.state.words} on {branch};"
                " approvals are given in reads migrated",
                details=["an approval is bound to the evidence that is shown, and much of it is still to come"],
                hint=f"ecm advance {plan} --branch {branch}" if scene.position.phase is None else "ecm status",
            )
        case = self._judgement.case(scene, Phase.CONTRACT)
        lines = evidence(case)
        others = tuple(reason for reason in judge(case) if reason.code != "approval")
        shown = reports.ApprovalReport(
            plan=plan,
            branch=branch,
            to=State.CONTRACTED,
            actor=self._stage.actor,
            evidence=lines,
            unmet=tuple(map(reason_report, others)),
            given=len(standing_approvals(replace(case, actor=""))),
            needed=settings.approvals,
        )
        consent(shown)
        # What counts is the clock of the branch, by which it will be judged.
        expires = clock(scene.connection) + settings.approvals_expire
        self._stage.note(
            scene,
            APPROVAL,
            {"to": State.CONTRACTED.value, "shown": list(lines), "expires_at": expires.isoformat()},
        )
        known = replace(case, actor="", history=history(self._stage.entries(plan)))
        return shown.model_copy(
            update={
                "given": len(standing_approvals(known)),
                "expires_at": expires,
                "next_command": f"ecm gate {plan} --branch {branch}",
            }
        )

    def override(self, scene: Scene, found: Mapping[tuple[Phase, str, str], Reason], reason: str) -> None:
        """Record the conditions that are let pass, before anything is done.

        Args:
            scene: the plan on the branch.
            found: by the phase that they would keep it from, and their code and subject.
            reason: why.
        """
        reason = self._redacted(reason)
        for (phase, _, _), unmet in found.items():
            self._stage.note(
                scene,
                OVERRIDE,
                {
                    "phase": phase.value,
                    "code": unmet.code,
                    "subject": unmet.subject,
                    "message": self._redacted(unmet.message),
                    "details": [self._redacted(line) for line in unmet.details],
                    "marks": list(unmet.marks),
                    "reason": reason,
                },
            )

    @contextmanager
    def refusals(self, scene: Scene, command: str, *, dry_run: bool) -> Generator[None]:
        """Record what is refused in the block; that it cannot be recorded is told with it, and changes nothing."""
        try:
            yield
        except EcmError as error:
            refused = error.exit_code == RefusedError.exit_code or isinstance(error, VerificationError)
            # A person's answer is no refusal of ecm's.
            if refused and not dry_run and not isinstance(error, DeclinedError):
                self._refused(scene, command, error)
            raise

    def _refused(self, scene: Scene, command: str, error: EcmError) -> None:
        try:
            self._stage.note(
                scene,
                REFUSED,
                {
                    "command": command,
                    "state": scene.reached.value,
                    "code": error.code,
                    "message": self._redacted(error.message),
                    "details": [self._redacted(line) for line in error.details if line],
                },
            )
        except (EcmError, psycopg.Error) as unreachable:
            error.add_note(f"and the ledger could not be told: {type(unreachable).__name__}")

    def _redacted(self, text: str) -> str:
        """Return a text without passwords: what PostgreSQL says may quote one, and nothing leaves the ledger again."""
        return redact(text, self._stage.workspace.secrets)

    def verified(self, scene: Scene, found: reports.VerifyReport) -> None:
        """Record what a fresh scan of a plan's tables found."""
        numbers = {"rows": found.rows, "mismatches": found.mismatches, "not_invertible": found.not_invertible}
        self._stage.note(scene, VERIFIED, {**numbers, "state": scene.position.state.value})


def given_reason(codes: Iterable[str], reason: str | None) -> str:
    """Return why conditions are overridden.

    Raises:
        UsageError: nobody says why, or there is nothing to say it of.
    """
    codes = tuple(codes)
    if codes and not (reason or "").strip():
        raise UsageError("--override needs --reason: why is that condition let pass?", hint='--reason "…"')
    if reason is not None and not codes:
        raise UsageError("--reason says why a condition is overridden, and none is", hint="--override CODE --reason …")
    return _written(reason, "reason") if codes else ""


def _written(text: str | None, what: str) -> str:
    """Return what a person wrote, as it can be kept.

    Raises:
        UsageError: nothing was written, or it holds what is no text.
    """
    text = (text or "").strip()
    if not text or len(text) > _LONGEST or not text.replace("\n", " ").isprintable():
        raise UsageError(f"--{what} has to be text of 1 to {_LONGEST} characters")
    return text
