"""Which plans stand still is judged from what status reports and what the ledger holds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.plan.evidence import Passage
from orchestrator.plan.lifecycle import PHASES, Direction
from orchestrator.reports import BranchStatus, InProgress, PlanStatus, StatusReport
from orchestrator.stalling import stalled

NOON = datetime(2025, 11, 19, 12, tzinfo=UTC)
LONG, LATELY = NOON - timedelta(days=40), NOON - timedelta(days=2)


def on(state: str | None = "planned", since: datetime | None = LONG, **more: Any) -> BranchStatus:
    given: dict[str, Any] = {"branch": "production", "source": "journal", "as_of": NOON, "requires": ("development",)}
    return BranchStatus(state=state, state_since=since, **given | more)


def phase(holder: str | None, heartbeat: datetime, error: str | None = None, direction: str = "forward") -> InProgress:
    return InProgress(
        phase="backfill", direction=direction, started_at=LONG, holder=holder, heartbeat_at=heartbeat, error=error
    )


def contracted(at: datetime, *, checksum: str = "sha256:a", direction: Direction = Direction.FORWARD) -> Passage:
    return Passage(branch="development", checksum=checksum, direction=direction, phases=PHASES, at=at)


def said(branch: BranchStatus, *passages: Passage) -> tuple[str, str] | None:
    """What is said of a plan on a branch; None where it does not stand still."""
    plan = PlanStatus(plan="p", checksum="sha256:a", description="", branches=(branch,))
    report = StatusReport(project="x", ledger="l", branches=(branch.branch,), plans=(plan,))
    found = stalled(report, {"p": passages}, longer_than=timedelta(days=30), now=NOON)
    if not found.plans:
        return None
    (each,) = found.plans[0].branches
    assert each.stalled_for == timedelta(days=40).total_seconds()
    return each.stalled_why or "", each.stalled_remedy or ""


ADVANCE, ROLLBACK = "ecm advance p --branch production", "ecm rollback p --branch production"
EITHER = f"{ADVANCE}, or {ROLLBACK}"
UNBEGUN = "not begun though contracted on development for 40 days"


@pytest.mark.parametrize(
    ("branch", "passages", "expected"),
    [
        (on("expanded"), (), ("expanded for 40 days", EITHER)),
        (on("reads_migrated"), (), ("reads migrated for 40 days", EITHER)),
        (on("reads_migrated", LATELY), (), None),
        (on("contracted"), (), None),
        (on("contracted", undo_until=LONG), (), ("contracted, and its undo window over, for 40 days", ADVANCE)),
        (on("contracted", undo_until=NOON + timedelta(days=1)), (), None),
        (on("expanded", in_progress=phase("somebody", LONG)), (), None),
        (on("expanded", in_progress=phase(None, LONG)), (), ("interrupted in backfill for 40 days", EITHER)),
        (on("expanded", in_progress=phase(None, LATELY)), (), None),
        (on("expanded", in_progress=phase(None, LONG, "no space")), (), ("stopped in backfill for 40 days", EITHER)),
        (
            on("backfilled", in_progress=phase(None, LONG, direction="back")),
            (),
            ("interrupted in the rollback of backfill for 40 days", ROLLBACK),
        ),
        (on(), (), None),
        (on(since=None), (contracted(LONG),), (UNBEGUN, ADVANCE)),
        (on(since=LONG - timedelta(days=9)), (contracted(LONG),), (UNBEGUN, ADVANCE)),
        (on(since=LATELY), (contracted(LONG),), None),
        (on(since=None), (contracted(LATELY),), None),
        (on(since=None), (contracted(LONG, checksum="sha256:b"),), None),
        (on(since=None), (contracted(LONG), contracted(LONG, direction=Direction.BACK)), None),
        (on(since=None, requires=("development", "staging")), (contracted(LONG),), None),
        (on("expanded", since=None, as_of=LONG, error="gone"), (), ("expanded for 40 days", "ecm doctor --branch production")),
        (
            on(None, since=None, as_of=None, error="gone"),
            (contracted(LONG),),
            (
                "not begun, as far as the ledger knows, though contracted on development for 40 days",
                "ecm doctor --branch production",
            ),
        ),
    ],
)  # fmt: skip
def test_what_stands_still(
    branch: BranchStatus, passages: tuple[Passage, ...], expected: tuple[str, str] | None
) -> None:
    """Half way, interrupted, kept to undo, or finished where it is required and never begun; never what is at work."""
    assert said(branch, *passages) == expected
