"""`ecm ci`: the plans that a pull request changes, each rehearsed on a branch that is kept for it."""

from contextlib import suppress
from pathlib import Path

from orchestrator.errors import EcmError, RefusedError, UsageError, VerificationError
from orchestrator.linter import lint
from orchestrator.rehearsal import changes
from orchestrator.rehearsal.rehearsing import NothingLeftError, Rehearsing
from orchestrator.rehearsal_reports import CheckedPlan, PullRequestReport
from orchestrator.reports import ReasonReport
from orchestrator.sql.identifiers import bounded
from orchestrator.stage import Stage
from orchestrator.words import kebab

_LAST = "production"
_LONGEST_PROJECT = 20
"""Characters of a project's name in those of its branches."""
_GRAVEST = (VerificationError.exit_code, RefusedError.exit_code)
"""Exit codes that say most, the gravest first."""


def _prefix(project: str, number: int) -> str:
    """Return how the names of a pull request's branches begin: those of another project may be on the same server."""
    return f"pr-{number}-{kebab(project)[:_LONGEST_PROJECT]}-"


def branch_for(project: str, number: int, plan: str) -> str:
    """Return the name of the branch that a pull request has for a plan; no two plans' are the same."""
    return bounded(f"{_prefix(project, number)}{plan}")


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
            return self._nothing(since, source, pull_request)
        number = changes.pull_request(pull_request, environment, hint="ecm ci --pr NUMBER")
        dropped = self._delete(number, but=frozenset(self._branch_for(number, Path(path).stem) for path in paths))
        checked = tuple(self._checked(path, source, number) for path in paths)
        codes = {each.exit_code for each in checked}
        code = next((each for each in _GRAVEST if each in codes), max(codes))
        return PullRequestReport(
            pull_request=number, base=since, branch=source, plans=checked, deleted=dropped, exit_code=code
        )

    def _nothing(self, since: str, source: str, pull_request: int | None) -> PullRequestReport:
        """Return that nothing is changed; a plan that was, and is no more, has left a branch behind."""
        number, dropped = None, tuple[str, ...]()
        # Whoever changes no plan need neither be a pull request nor have a database at hand.
        with suppress(EcmError):
            number = changes.pull_request(pull_request, self._stage.workspace.environment, hint="ecm ci --pr NUMBER")
            dropped = self._delete(number)
        return PullRequestReport(pull_request=number, base=since, branch=source, deleted=dropped)

    def clear(self, pull_request: int | None) -> PullRequestReport:
        """Delete a pull request's branches; see `Conductor.clear_pull_request`."""
        number = changes.pull_request(
            pull_request, self._stage.workspace.environment, hint="ecm ci --cleanup --pr NUMBER"
        )
        return PullRequestReport(pull_request=number, base=None, branch=None, deleted=self._delete(number))

    def _delete(self, number: int, *, but: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """Delete a pull request's branches but for some; return their names."""
        provider, prefix = self._stage.provider, _prefix(self._stage.project.project, number)
        found = [each.name for each in provider.found() if each.name.startswith(prefix)]
        made = tuple(name for name in found if name not in self._stage.project.branches and name not in but)
        for name in made:
            provider.delete(name)
        return made

    def _branch_for(self, number: int, plan: str) -> str:
        return branch_for(self._stage.project.project, number, plan)

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
                name, source, keep=True, copy_name=self._branch_for(number, name), previewed=True
            )
        except EcmError as error:
            reason = ReasonReport(
                code=error.code, message=error.message, remedy=error.hint or "", details=tuple(error.details)
            )
            # A comment may be corrected in the file of a plan that is through.
            code = 0 if isinstance(error, NothingLeftError) else error.exit_code
            return CheckedPlan(plan=name, path=path, error=reason, linted=linted, exit_code=code)
        return CheckedPlan(plan=name, path=path, linted=linted, rehearsal=report, exit_code=report.exit_code)
