"""Reports as screens. Pure: a report goes in, something rich can lay out for any width comes out."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from rich.console import RenderableType

from orchestrator import branch_reports, detection_reports, rehearsal_reports, reports
from orchestrator.cli.render import (
    branches,
    detected,
    emitting,
    inspected,
    moves,
    plans,
    pull_requests,
    readers,
    records,
    rehearsal,
    stalled,
    status,
    testimony,
)


def screen(report: reports.Report, *, detailed: bool = False) -> RenderableType:
    """Return a report's screen.

    Args:
        report: any of `orchestrator.reports` that a command returns.
        detailed: where a report has an overview and a closer view (status, history, a dry run): the closer one.
    """
    if isinstance(report, reports.StatusReport) and report.stalled_after is not None:
        return stalled.stalled(report)
    closer = _CLOSER.get(type(report)) if detailed else None
    return (closer or _SCREENS[type(report)])(report)


_Screens = Mapping[type[reports.Report], Callable[[Any], RenderableType]]

_SCREENS = cast(
    "_Screens",
    {
        reports.AdvanceReport: moves.moved,
        reports.ApprovalReport: testimony.approval,
        reports.AttestReport: testimony.attested,
        reports.AuditReport: records.audit,
        branch_reports.BranchChangeReport: branches.change,
        branch_reports.BranchDiffReport: branches.difference,
        branch_reports.BranchListReport: branches.branch_list,
        detection_reports.DetectReport: detected.detected,
        reports.DoctorReport: records.doctor,
        reports.DraftReport: plans.draft,
        reports.EmitReport: emitting.emitted,
        reports.ExportReport: records.export,
        reports.GateReport: moves.gate,
        reports.HistoryReport: records.history,
        detection_reports.InspectReport: inspected.inspected,
        reports.PauseReport: moves.paused,
        reports.PlanListReport: plans.plan_list,
        reports.PreviewReport: plans.preview,
        reports.ReadersReport: readers.readers,
        rehearsal_reports.PullRequestReport: pull_requests.pull_request,
        rehearsal_reports.RehearsalReport: rehearsal.rehearsal,
        detection_reports.SchemaEditReport: inspected.schema_edit,
        reports.StatusReport: status.status,
        reports.TextReport: testimony.text,
        reports.VerifyReport: records.verification,
    },
)

_CLOSER = cast(
    "_Screens",
    {
        reports.AdvanceReport: moves.rehearsed,
        reports.HistoryReport: records.statements,
        reports.PlanListReport: plans.validation,
        reports.StatusReport: status.plan_status,
    },
)
