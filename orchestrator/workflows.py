"""Workflows for GitHub: pull requests are rehearsed, production is advanced by hand, what stands still is told.

What comes from outside (an input, a number) reaches a command through a variable of its environment. Written into the
command line it would be run by the shell ("Security hardening for GitHub Actions", script injections).
"""

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from orchestrator.plan.lifecycle import STATES, State
from orchestrator.plan.project import Project
from orchestrator.workspace import Workspace, write_new_file

FOLDER = Path(".github") / "workflows"
_PRODUCTION = "production"


def write(workspace: Workspace) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Write the workflows that are not there yet; return the files written, and those that were left as they are.

    They are for the repository that the project is in; where that begins above it, commands run in its folder.

    Raises:
        ConfigurationError: a file cannot be written.
    """
    root = _repository(workspace.root)
    below = PurePosixPath(workspace.root.relative_to(root).as_posix())
    written: list[Path] = []
    left: list[Path] = []
    for name, text in texts(workspace.project, below).items():
        path = root / FOLDER / name
        if path.exists():
            left.append(path)
        else:
            written.append(write_new_file(path, text))
    return tuple(written), tuple(left)


def texts(project: Project, below: PurePosixPath) -> dict[str, str]:
    """Return the workflows by file name.

    Args:
        project: what they are for.
        below: the project's folder, from the repository's.
    """
    last = _PRODUCTION if _PRODUCTION in project.branches else next(reversed(project.branches))
    run_in = f"defaults: {{run: {{working-directory: {_quoted(str(below))}}}}}\n" if below.parts else ""
    return {
        "ecm-pull-request.yml": _pull_request(last, run_in + _variables(project, [last])),
        "ecm-production.yml": _advance(last, run_in + _variables(project, project.branches)),
        "ecm-stalled.yml": _stalled(run_in + _variables(project, project.branches)),
    }


def _quoted(text: str) -> str:
    """Return a text as YAML takes it for one in any place: a folder may have a comma, a branch be called null."""
    return json.dumps(text, ensure_ascii=False)


def _repository(folder: Path) -> Path:
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)


def _variables(project: Project, branches: Iterable[str]) -> str:
    """Return the variables that ecm reads of the project's secrets."""
    names = [project.branches[branch].url_env for branch in branches] if project.provider.kind == "url" else []
    if project.provider.kind not in ("url", "embedded"):
        names.append(f"{project.provider.kind.upper()}_API_KEY")
    names += [project.ledger_env] if project.ledger_env else []
    names += [project.notices.webhook_env] if project.notices else []
    if not names:
        return ""
    return "env:\n" + "".join(f"  {name}: ${{{{ secrets.{name} }}}}\n" for name in dict.fromkeys(names))


_LEDGER = """\
# The ledger has to be one that all machines share: `ledger_env: ECM_LEDGER_URL` in ecm.yaml, a secret here.
"""

_SET_UP = """\
      - uses: actions/checkout@v4
        with: {fetch-depth: 0}
      - uses: actions/setup-python@v5
        with: {python-version: "3.12"}
      - run: pip install expand-contract
"""


def _pull_request(branch: str, variables: str) -> str:
    return f"""\
# Tries each plan that a pull request changes on a copy of {branch}, and deletes the copies when it is closed.
{_LEDGER}name: ecm pull request
on:
  pull_request:
    types: [opened, reopened, synchronize, closed]
    # Without paths: a pull request that drops its plan again leaves a copy to be deleted.
permissions: {{contents: read}}
concurrency: {{group: "ecm-pull-request-${{{{ github.event.number }}}}"}}
{variables}jobs:
  rehearse:
    # A pull request from a fork has no secrets, and its plans are not run against your data.
    if: github.event.action != 'closed' && github.event.pull_request.head.repo.full_name == github.repository
    runs-on: ubuntu-latest
    env: {{PULL_REQUEST: "${{{{ github.event.number }}}}"}}
    steps:
{_SET_UP}      - run: ecm ci --pr "$PULL_REQUEST" --from {branch}
  cleanup:
    if: github.event.action == 'closed' && github.event.pull_request.head.repo.full_name == github.repository
    runs-on: ubuntu-latest
    env: {{PULL_REQUEST: "${{{{ github.event.number }}}}"}}
    steps:
{_SET_UP}      - run: ecm ci --cleanup --pr "$PULL_REQUEST"
"""


def _advance(branch: str, variables: str) -> str:
    states = ", ".join(state for state in STATES if state is not State.PLANNED)
    return f"""\
# Takes a plan on in {branch}, by hand. Give the environment `{branch}` required reviewers in the repository's settings:
# the run then waits for them.
{_LEDGER}name: ecm {branch}
on:
  workflow_dispatch:
    inputs:
      plan: {{description: The plan, required: true, type: string}}
      state: {{description: As far as, required: true, type: choice, options: [{states}]}}
permissions: {{contents: read}}
concurrency: {{group: "ecm-{branch}"}}
{variables}jobs:
  advance:
    runs-on: ubuntu-latest
    environment: {_quoted(branch)}
    env:
      PLAN: ${{{{ inputs.plan }}}}
      STATE: ${{{{ inputs.state }}}}
    steps:
{_SET_UP}      - run: ecm gate --branch {branch} --to="$STATE" -- "$PLAN"
      - run: ecm advance --branch {branch} --to="$STATE" --confirm="$PLAN" -- "$PLAN"
"""


def _stalled(variables: str) -> str:
    return f"""\
# Tells every night of plans that were left half way: the job fails where there is one.
{_LEDGER}name: ecm stalled plans
on:
  schedule:
    - cron: "17 4 * * *"
  workflow_dispatch:
permissions: {{contents: read}}
{variables}jobs:
  stalled:
    runs-on: ubuntu-latest
    steps:
{_SET_UP}      - run: ecm status --exit-code --stalled 30d
"""
