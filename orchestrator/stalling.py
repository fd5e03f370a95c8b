"""Which plans stand still: begun and neither finished nor taken back, or finished where it is proven and nowhere else.

Pure: takes what status reports, the moves that the ledger holds and a time, and returns the report of those that
have not moved for too long.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from orchestrator.plan.durations import humanize
from orchestrator.plan.evidence import Passage
from orchestrator.plan.lifecycle import Direction, Phase, State
from orchestrator.reports import BranchStatus, InProgress, PlanStatus, StatusReport
from orchestrator.words import listed


def stalled(
    report: StatusReport, passages: Mapping[str, Sequence[Passage]], *, longer_than: timedelta, now: datetime
) -> StatusReport:
    """Return what of a report has not moved for that long, with why and what to do about it.

    Args:
        report: where plans are, of any branches.
        passages: each plan's moves, oldest first, as the ledger tells them.
        longer_than: how long a plan may stand still.
        now: for branches that did not answer; those that did have their own clock.
    """
    plans = tuple(
        plan.model_copy(update={"branches": branches})
        for plan in report.plans
        if (branches := tuple(_standing(plan, passages.get(plan.plan, ()), longer_than, now)))
    )
    silent = tuple(dict.fromkeys(each.branch for plan in report.plans for each in plan.branches if each.error))
    return report.model_copy(
        update={"plans": plans, "stalled_after": longer_than.total_seconds(), "unanswered": silent}
    )


def _standing(
    plan: PlanStatus, passages: Sequence[Passage], longer_than: timedelta, now: datetime
) -> Iterator[BranchStatus]:
    for branch in plan.branches:
        since, why = _since(plan, branch, passages)
        # A branch's clock and that of the ledger's word on another may differ; by less than anyone would wait for.
        clock = now if branch.error or branch.as_of is None else branch.as_of
        if since is None or clock - since < longer_than:
            continue
        seconds = (clock - since).total_seconds()
        yield branch.model_copy(
            update={
                "stalled_for": seconds,
                "stalled_why": f"{why} for {humanize(timedelta(seconds=round(seconds)))}",
                "stalled_remedy": _remedy(plan, branch),
            }
        )


def _since(plan: PlanStatus, branch: BranchStatus, passages: Sequence[Passage]) -> tuple[datetime | None, str]:
    """Return since when a plan has not moved on a branch, where it should, and what it has been since."""
    if branch.in_progress is not None:
        return _interrupted(branch.in_progress)
    moved = branch.as_of if branch.error else branch.state_since
    state = State(branch.state or State.PLANNED)
    if state is State.CONTRACTED:
        return branch.undo_until, "contracted, and its undo window over,"
    if state is not State.PLANNED:
        return moved, state.words
    ahead = [_contracted_since(passages, required, plan.checksum) for required in branch.requires]
    known = [each for each in ahead if each is not None]
    if not known or len(known) < len(ahead):
        return None, ""
    where = listed(branch.requires)
    begun = "not begun" if not branch.error else "not begun, as far as the ledger knows,"
    return max((*known, *([moved] if moved else []))), f"{begun} though contracted on {where}"


def _interrupted(under_way: InProgress) -> tuple[datetime | None, str]:
    """Return since when nobody is at work on a phase; one that is held back by a pause is not worked on either."""
    since = max((each for each in (under_way.started_at, under_way.heartbeat_at) if each), default=None)
    doing = ("in " if under_way.direction == Direction.FORWARD else "in the rollback of ") + Phase(
        under_way.phase
    ).words
    if under_way.holder is not None and not under_way.error:
        return None, ""
    return since, f"{'stopped' if under_way.error else 'interrupted'} {doing}"


def _contracted_since(passages: Iterable[Passage], branch: str, checksum: str | None) -> datetime | None:
    """Return when a text of the plan was contracted on a branch, which a reset of the branch does not undo."""
    at: datetime | None = None
    for passage in passages:
        if passage.branch == branch and passage.checksum == checksum and Phase.CONTRACT in passage.phases:
            at = passage.at if passage.direction is Direction.FORWARD else None
    return at


def _remedy(plan: PlanStatus, branch: BranchStatus) -> str:
    if branch.error:
        return f"ecm doctor --branch {branch.branch}"
    onward = f"ecm advance {plan.plan} --branch {branch.branch}"
    back = f"ecm rollback {plan.plan} --branch {branch.branch}"
    if branch.state == State.PLANNED and branch.in_progress is None:
        return onward
    if branch.in_progress is not None and branch.in_progress.direction == Direction.BACK:
        return back
    if branch.state == State.CONTRACTED:
        return onward
    return f"{branch.next_command or onward}, or {back}" if branch.next_command != back else back
