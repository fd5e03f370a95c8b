"""`ecm ci`: the plans that a pull request changes, each rehearsed on a branch that is kept for it."""

import hashlib
from pathlib import Path

from orchestrator.errors import EcmError, RefusedError, UsageError, VerificationError
from orchestrator.linter import lint
from orchestrator.rehearsal import changes
from orchestrator.rehearsal.copies import LONGEST_NAME
from orchestrator.rehearsal.rehearsing import NothingLeftError, Rehearsing
from orchestrator.rehearsal_reports import CheckedPlan, PullRequestReport
from orchestrator.reports import ReasonReport
from orchestrator.stage import Stage

_LAST = "production"
_GRAVEST = (VerificationError.exit_code, RefusedError.exit_code)
"""Exit codes that say most, the gravest first."""


def branch_for(number: int, plan: str) -> str:
    """Return the name of the branch that a pull request has for a plan; no two plans' are the same."""
    name = f"pr-{number}-{plan}"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


class PullRequests:
    """Checks pull requests on a stage.

    Args:
        stage: the project.
        rehearsing: rehearses there.
    """

    def __init__(self, stage: Stage, rehearsing: Rehearsing) -> None:
        self._stage, self._rehearsing = stage, rehearsing

    def check(self, branch: str | None, *, base: str | None, pull_request: int | None) -> PullRequestReport:
        """Rehearse what was changed; see `Conductor.check_pull_request`."""
        workspace, environment = self._stage.workspace, self._stage.workspace.environment
        source = self._source(branch)
        since = changes.base(base, environment)
        paths = changes.changed(workspace.root, self._stage.project.plans, since)
        if not paths:
            return PullRequestReport(pull_request=pull_request, base=since, branch=source)
        number = changes.pull_request(pull_request, environment, hint="ecm ci --pr NUMBER")
        checked = tuple(self._checked(path, source, number) for path in paths)
        codes = {each.exit_code for each in checked}
        code = next((each for each in _GRAVEST if each in codes), max(codes))
        return PullRequestReport(pull_request=number, base=since, branch=source, plans=checked, exit_code=code)

    def clear(self, pull_request: int | None) -> PullRequestReport:
        """Delete a pull request's branches; see `Conductor.clear_pull_request`."""
        number = changes.pull_request(
            pull_request, self._stage.workspace.environment, hint="ecm ci --cleanup --pr NUMBER"
        )
        provider = self._stage.provider
        found = [each.name for each in provider.found() if each.name.startswith(f"pr-{number}-")]
        made = tuple(name for name in found if name not in self._stage.project.branches)
        for name in made:
            provider.delete(name)
        return PullRequestReport(pull_request=number, base=None, branch=None, deleted=made)

    def _source(self, branch: str | None) -> str:
        if branch is None and _LAST not in self._stage.project.branches:
            raise UsageError(
                f"there is no branch {_LAST} whose data the plans could be tried on",
                details=[f"branches in ecm.yaml: {', '.join(self._stage.project.branches)}"],
                hint="ecm ci --from BRANCH",
            )
        self._stage.project.branch(branch or _LAST)
        return branch or _LAST

    def _checked(self, path: str, source: str, number: int) -> CheckedPlan:
        name = Path(path).stem
        linted: tuple[str, ...] = ()
        try:
            linted = lint(self._stage.workspace.plan(name))
            report = self._rehearsing.rehearse(
                name, source, keep=True, copy_name=branch_for(number, name), previewed=True
            )
        except EcmError as error:
            reason = ReasonReport(
                code=error.code, message=error.message, remedy=error.hint or "", details=tuple(error.details)
            )
            # A comment may be corrected in the file of a plan that is through.
            code = 0 if isinstance(error, NothingLeftError) else error.exit_code
            return CheckedPlan(plan=name, path=path, error=reason, linted=linted, exit_code=code)
        return CheckedPlan(plan=name, path=path, linted=linted, rehearsal=report, exit_code=report.exit_code)
