"""Reports as screens. Pure: a report goes in, something rich can lay out for any width comes out."""

from collections.abc import Mapping
from importlib import import_module

from rich.console import RenderableType

from orchestrator import reports


def screen(report: reports.Report, *, detailed: bool = False) -> RenderableType:
    """Return a report's screen.

    Args:
        report: any that a command returns.
        detailed: where a report has an overview and a closer view (status, history, a dry run): the closer one.
    """
    if isinstance(report, reports.StatusReport) and report.stalled_after is not None:
        return _laid_out("stalled.stalled", report)
    name = type(report).__name__
    closer = _CLOSER.get(name) if detailed else None
    return _laid_out(closer or _SCREENS[name], report)


def _laid_out(where: str, report: reports.Report) -> RenderableType:
    """Have a report laid out by a function of a module here, which is imported for that: a command shows one report."""
    module, _, function = where.partition(".")
    shown: RenderableType = getattr(import_module(f"{__name__}.{module}"), function)(report)
    return shown


_SCREENS: Mapping[str, str] = {
    "AdvanceReport": "moves.moved",
    "ApprovalReport": "testimony.approval",
    "AttestReport": "testimony.attested",
    "AuditReport": "records.audit",
    "BranchChangeReport": "branches.change",
    "BranchDiffReport": "branches.difference",
    "BranchListReport": "branches.branch_list",
    "DetectReport": "detected.detected",
    "DoctorReport": "records.doctor",
    "DraftReport": "plans.draft",
    "EmitReport": "emitting.emitted",
    "ExportReport": "records.export",
    "GateReport": "moves.gate",
    "HistoryReport": "records.history",
    "InspectReport": "inspected.inspected",
    "PauseReport": "moves.paused",
    "PlanListReport": "plans.plan_list",
    "PreviewReport": "plans.preview",
    "PullRequestReport": "pull_requests.pull_request",
    "ReadersReport": "readers.readers",
    "RehearsalReport": "rehearsal.rehearsal",
    "SchemaEditReport": "inspected.schema_edit",
    "StatusReport": "status.status",
    "TextReport": "testimony.text",
    "VerifyReport": "records.verification",
}

_CLOSER: Mapping[str, str] = {
    "AdvanceReport": "moves.rehearsed",
    "HistoryReport": "records.statements",
    "PlanListReport": "plans.validation",
    "StatusReport": "status.plan_status",
}
