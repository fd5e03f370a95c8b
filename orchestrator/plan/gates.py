"""Decide whether a plan may enter a phase on a branch.

Pure: takes the recorded history and what was measured, returns every unmet condition at once.
Nothing here opens a connection, so every rule can be read, and tested, as a table.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from math import ceil

from orchestrator.errors import UsageError
from orchestrator.plan.drift import Drift
from orchestrator.plan.durations import humanize
from orchestrator.plan.evidence import Approval, History
from orchestrator.plan.lifecycle import PHASES, Phase, Position, State
from orchestrator.plan.model import Plan
from orchestrator.plan.phases import Requirements
from orchestrator.plan.usage import Usage
from orchestrator.words import counted, listed, nearest


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One unmet condition: a code for scripts, what is not so, and what would make it so."""

    code: str
    message: str
    remedy: str = ""
    subject: str = ""
    """What it is about, where there may be several of a code: a branch, a plan, a check."""
    details: tuple[str, ...] = ()
    """What a person needs to see of it, a line each."""
    marks: tuple[str, ...] = ()
    """Of each of these lines, what tells it from another that reads the same."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What a check's query gave, and what the plan expects."""

    name: str
    expected: str
    found: str
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Case:
    """Everything that is weighed when a plan asks to enter a phase on a branch.

    Attributes:
        checksum: of the plan's text as it is now.
        recorded_checksum: of the text that was begun on this branch; None where nothing was.
        required: the branches that have to be ahead.
        history: what the ledger holds of this plan, on any branch and of any text.
        texts: how the plan differs on branches that are on another text of it, by branch, a line each.
        require: what the phase asks for besides.
        actor: who asks.
        approvals: how many others have to approve of contract.
        drift: how the tables differ from those that the plan was proven on.
        usage: who still relies on what contract takes away; None where nobody looked.
        verified_at: when every row was proven last on the branch.
        state_since: when the branch reached its state (its database's clock), for the soak.
        now: by the same clock.
    """

    plan: str
    branch: str
    phase: Phase
    position: Position
    checksum: str
    recorded_checksum: str | None
    actor: str = ""
    required: tuple[str, ...] = ()
    history: History = field(default_factory=History)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    require: Requirements = field(default_factory=Requirements)
    approvals: int = 0
    drift: tuple[Drift, ...] = ()
    usage: Usage | None = None
    verified_at: datetime | None = None
    checks: tuple[CheckResult, ...] = ()
    soak: timedelta = timedelta(0)
    state_since: datetime | None = None
    now: datetime | None = None
    open_plans: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Other plans under way on this branch that touch the same columns, with these, as table.column."""
    paused_by: str | None = None
    """Who asked the backfill to pause, where somebody did."""
    undo_until: datetime | None = None
    """Until when contract can be undone, by the same clock."""
    hurried: bool = False
    """Whether it is said to be dropped for good before that (`ecm finalize --now`)."""


UNYIELDING: Mapping[str, str] = {
    "requires": "that production follows is what ecm is for; a branch that is not to go first is taken out of"
    " `requires` in ecm.yaml",
    "plan_changed": "what was begun would be carried on by another text, and values could be lost",
    "overlap": "two plans would write the same columns, and values could be lost",
    "paused": "the backfill goes on with ecm resume",
    "approval": "it is the second pair of eyes",
    "undo_window": "the window is cut short with ecm finalize --now",
}
"""Conditions that nobody can override, and why."""
YIELDING = frozenset({"soak", "check", "attestation", "verified", "drift", "readers", "rehearsal"})
"""Conditions that --override can let a plan pass, with a reason that is kept."""


def overridable(codes: Iterable[str]) -> frozenset[str]:
    """Return the codes as they may be overridden.

    Raises:
        UsageError: there is no such condition, or it cannot be overridden.
    """
    given = frozenset([codes] if isinstance(codes, str) else codes)
    for code in sorted(given - YIELDING):
        if code in UNYIELDING:
            raise UsageError(f"{code} cannot be overridden", details=[UNYIELDING[code]])
        raise UsageError(
            f"there is no condition {code} to override",
            details=[
                *(f"did you mean {listed(near, 'or')}?" for near in [nearest(code, YIELDING)] if near),
                f"those that can be overridden: {', '.join(sorted(YIELDING))}",
            ],
        )
    return given


def judge(case: Case) -> tuple[Reason, ...]:
    """Return every condition that is not met; none means the phase may be entered."""
    if case.phase is Phase.FINALIZE:
        # All else was judged when contract was entered, and since then only the new side was written.
        return (*_text_unchanged(case), *_undo_window_over(case))
    return (
        *_text_unchanged(case),
        *_required_ahead(case),
        *_no_neighbour(case),
        *_not_paused(case),
        *_alike(case),
        *_soaked(case),
        *_verified(case),
        *_rehearsed(case),
        *_attested(case),
        *_unused(case),
        *_checked(case),
        *_approved(case),
    )


def asked(plan: Plan, phase: Phase) -> tuple[str, ...]:
    """Return what a plan asks for before a phase, besides what always has to be, a line each for a person."""
    require = plan.requirements(phase)
    soak = plan.migrate_reads.soak if phase is Phase.CONTRACT else timedelta(0)
    lines = [f"{humanize(soak)} in reads migrated"] if soak else []
    lines += [f"{claim} attested: the application {claim.words}" for claim in require.attestations]
    if require.verified is not None:
        lines.append(f"every row proven within {humanize(require.verified)}")
    if require.no_readers is not None and phase is Phase.CONTRACT:
        lines.append(f"nobody has used the old side for {humanize(require.no_readers)}")
    return (*lines, *(f"check {check.name!r} gives {check.expect}" for check in plan.phase(phase).checks))


def evidence(case: Case) -> tuple[str, ...]:
    """Return what somebody who approves consents to, a line each: it says nothing that passes with time alone."""
    lines = [
        f"{case.plan} with checksum {case.checksum}",
        f"{case.branch} is {case.position.state.words}"
        + (f" since {_moment(case.state_since)}" if case.state_since else ""),
    ]
    for branch in case.required:
        done = case.history.completed(branch=branch, checksum=case.checksum)
        last = max(
            (p.at for p in case.history.passages if p.branch == branch and p.checksum == case.checksum), default=None
        )
        phases = listed([phase.words for phase in PHASES if phase in done] or ["nothing"])
        lines.append(f"{branch} has completed {phases}" + (f"; its last move was {_moment(last)}" if last else ""))
    lines += [
        f"{each.claim} is attested of version {each.version} by {each.actor}"
        for each in case.history.attested(branch=case.branch, checksum=case.checksum)
    ]
    lines += [
        f"not as on {each.branch}: {line}" + (f" ({mark})" if mark else "")
        for each in case.drift
        for line, mark in each.told
    ]
    return tuple(lines)


def digest(lines: tuple[str, ...]) -> str:
    """Return the SHA-256 of evidence, in hex: what an approval is bound to."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def standing_approvals(case: Case) -> tuple[Approval, ...]:
    """Return the approvals that count for who asks: of others than that, and of what would be shown now."""
    approved = case.history.approved(
        branch=case.branch, checksum=case.checksum, shown=digest(evidence(case)), now=case.now
    )
    return tuple(each for each in approved if each.actor != case.actor)


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _text_unchanged(case: Case) -> Iterable[Reason]:
    begun = case.position != Position()
    if begun and case.recorded_checksum is not None and case.recorded_checksum != case.checksum:
        yield Reason(
            code="plan_changed",
            message=f"the plan was edited after it began on {case.branch}",
            remedy=f"restore its text, or ecm rollback {case.plan} --branch {case.branch} and begin again",
            details=case.texts.get(case.branch, ()),
        )


def _required_ahead(case: Case) -> Iterable[Reason]:
    for branch in case.required:
        done = case.history.completed(branch=branch, checksum=case.checksum).intersection(PHASES)
        needed = PHASES[: PHASES.index(case.phase) + 1]
        if missing := [phase for phase in needed if phase not in done]:
            other_text = branch in case.texts or any(
                p.branch == branch and p.checksum != case.checksum for p in case.history.passages
            )
            text = "this text of the plan" if other_text else "the plan"
            lacking = listed(phase.words for phase in missing) + (" is" if len(missing) == 1 else " are")
            yield Reason(
                code="requires",
                message=f"{branch} has completed {len(done)} of {len(PHASES)} phases of {text}: {lacking} missing",
                remedy=f"ecm advance {case.plan} --branch {branch}",
                subject=branch,
                details=tuple(f"on {branch}: {line}" for line in case.texts.get(branch, ())),
            )


def _no_neighbour(case: Case) -> Iterable[Reason]:
    for other, shared in case.open_plans.items():
        yield Reason(
            code="overlap",
            message=f"{other} is under way on {case.branch} and changes {listed(shared)} too",
            remedy=f"ecm advance {other} --branch {case.branch}",
            subject=other,
        )


def _not_paused(case: Case) -> Iterable[Reason]:
    if case.phase is Phase.BACKFILL and case.paused_by is not None:
        yield Reason(
            code="paused",
            message=f"the backfill was paused by {case.paused_by}",
            remedy=f"ecm resume {case.plan} --branch {case.branch}",
        )


def _alike(case: Case) -> Iterable[Reason]:
    """A difference that somebody accepted stays accepted: the next phase finds it again, and has nothing to add."""
    accepted = {
        told
        for each in case.history.overridden(branch=case.branch, checksum=case.checksum)
        if each.code == "drift"
        for told in zip_longest(each.details, each.marks)
    }
    for drift in case.drift:
        # What an older ecm recorded has no marks.
        new = [told for told in drift.told if told not in accepted and (told[0], None) not in accepted]
        if lines := tuple(line for line, _ in new):
            yield Reason(
                code="drift",
                message=f"{case.branch} is not as {drift.branch} was when {case.phase.words} was proven there:"
                f" {counted(len(lines), 'difference')}",
                remedy="make them alike; or accept it: --override drift --reason …",
                subject=drift.branch,
                details=lines,
                marks=tuple(mark for _, mark in new),
            )


def _soaked(case: Case) -> Iterable[Reason]:
    if case.phase is not Phase.CONTRACT or not case.soak:
        return
    since = case.state_since if case.position.state is State.READS_MIGRATED else None
    passed = case.now - since if since is not None and case.now is not None else timedelta(0)
    if passed < case.soak:
        yield Reason(
            code="soak",
            message=f"the soak of {humanize(case.soak)} in reads migrated is not over:"
            f" {_left(case.soak - passed)} left",
            remedy="wait",
        )


def _verified(case: Case) -> Iterable[Reason]:
    """What lies on the way proves every row itself, so that only where the phase begins there is anything to ask."""
    within = case.require.verified
    if within is None or not case.position.begins(case.phase) or case.position == Position():
        return
    verified, now = case.verified_at, case.now
    if verified is not None and now is not None and now - verified <= within:
        return
    ago = None if verified is None or now is None else humanize(_rounded(now - verified))
    when = f"it was {ago} ago" if ago else "no proof of them stands"
    yield Reason(
        code="verified",
        message=f"every row has to be proven within {humanize(within)} before {case.phase.words}; {when}",
        remedy=f"ecm verify {case.plan} --branch {case.branch}",
    )


def _rehearsed(case: Case) -> Iterable[Reason]:
    """What was begun goes on: how old the rehearsal is by then is no matter."""
    within = case.require.rehearsal
    if within is None or case.position.phase is case.phase:
        return
    last = case.history.rehearsed(branch=case.branch, checksum=case.checksum)
    age = None if last is None or case.now is None else case.now - last.at
    if last is not None and last.passed and age is not None and age <= within:
        return
    asked = f"the plan has to be rehearsed from {case.branch} within {humanize(within)} before {case.phase.words}"
    if last is None:
        other = any(each.branch == case.branch for each in case.history.rehearsals)
        found = "it was, but with another text" if other else "it was not"
    else:
        how = "passed" if last.passed else f"stopped at {last.stopped}"
        ago = "" if age is None else f" {humanize(_rounded(age))} ago"
        found = f"the last time was{ago}, and {how}"
    yield Reason(
        code="rehearsal",
        message=f"{asked}; {found}",
        remedy=f"ecm rehearse {case.plan} --from {case.branch}",
    )


def _attested(case: Case) -> Iterable[Reason]:
    standing = {each.claim for each in case.history.attested(branch=case.branch, checksum=case.checksum)}
    ahead = case.position.state is State.PLANNED
    for claim in case.require.attestations:
        if claim not in standing:
            attest = f"ecm attest {case.plan} --branch {case.branch} --as {claim} --version VERSION"
            yield Reason(
                code="attestation",
                message=f"nobody has attested that the application beside {case.branch} {claim.words} ({claim})"
                + (", which can be said from expanded on" if ahead else ""),
                remedy=f"ecm advance {case.plan} --branch {case.branch}" if ahead else attest,
                subject=claim,
            )


_USES_SHOWN = 5


def _unused(case: Case) -> Iterable[Reason]:
    within = case.require.no_readers
    if within is None or case.phase is not Phase.CONTRACT:
        return
    remedy = f"ecm readers {case.plan} --branch {case.branch}"
    if case.position.state is not State.READS_MIGRATED:
        message = (
            f"nobody may have used the old side for {humanize(within)}, and that is watched from reads migrated on"
        )
        yield Reason(code="readers", message=message, remedy=f"ecm advance {case.plan} --branch {case.branch}")
        return
    usage = case.usage
    if usage is None or (usage.quiet_since is not None and usage.now - usage.quiet_since >= within):
        return
    holding = [use for use in usage.uses if use.holds]
    shown = tuple(use.line for use in holding[:_USES_SHOWN])
    more = (f"and {len(holding) - _USES_SHOWN} more",) if len(holding) > _USES_SHOWN else ()
    if usage.quiet_since is None:
        message = "the old side is still in use"
    else:
        left = _left(within - (usage.now - usage.quiet_since))
        message = f"nobody may have used the old side for {humanize(within)}: {left} left"
    yield Reason(code="readers", message=message, remedy=remedy, details=(*shown, *more))


def _approved(case: Case) -> Iterable[Reason]:
    if case.phase is not Phase.CONTRACT or not case.approvals:
        return
    standing = standing_approvals(case)
    if len(standing) < case.approvals:
        by = f" ({listed([each.actor for each in standing])})" if standing else ""
        lapsed = _lapsed(case)
        yield Reason(
            code="approval",
            message=f"{len(standing)} of {counted(case.approvals, 'approval')} by others than {case.actor}{by}",
            remedy=f"someone else: ecm approve {case.plan} --branch {case.branch} --to contracted",
            details=lapsed,
        )


def _lapsed(case: Case) -> tuple[str, ...]:
    """Return why approvals that were given do not count."""
    given = [a for a in case.history.approvals if a.branch == case.branch]
    standing = {(each.actor, each.at) for each in standing_approvals(case)}
    shown = digest(evidence(case))
    lines: list[str] = []
    for each in given:
        if (each.actor, each.at) in standing:
            continue
        if each.checksum != case.checksum:
            why = "is of another text of the plan"
        elif each.actor == case.actor:
            why = "is your own"
        elif each.shown != shown:
            why = "was given when the evidence was another"
        else:
            why = "has expired"
        lines.append(f"the approval by {each.actor} of {_moment(each.at)} {why}")
    return tuple(lines)


def _rounded(span: timedelta) -> timedelta:
    return timedelta(seconds=round(span.total_seconds()))


def _left(span: timedelta) -> str:
    """Return what is left of a time for a person, in whole seconds: as long as there is any, it is not nothing."""
    return humanize(timedelta(seconds=ceil(span.total_seconds())))


def _undo_window_over(case: Case) -> Iterable[Reason]:
    if case.hurried or case.undo_until is None or case.now is None or case.now >= case.undo_until:
        return
    left = _left(case.undo_until - case.now)
    yield Reason(
        code="undo_window",
        message=f"the time in which contract can be undone is not over: {left} left",
        remedy=f"wait; or give the way back up: ecm finalize {case.plan} --branch {case.branch} --now",
    )


def _checked(case: Case) -> Iterable[Reason]:
    for check in case.checks:
        if not check.passed:
            yield Reason(
                code="check",
                message=f"check {check.name!r} found {check.found}, not {check.expected}",
                # In a plan that has begun, another check would be another text.
                remedy="make it so, or correct the check in the plan"
                if case.position == Position()
                else "make it so; or let it pass: --override check --reason …",
                subject=check.name,
            )
