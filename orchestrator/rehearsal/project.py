"""A project of one branch, for a rehearsal: the plan as it is, without what is about the real branches."""

import json
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from orchestrator.plan.model import Plan
from orchestrator.plan.phases import PHASE_SETTINGS, Hooks, Requirements
from orchestrator.plan.project import Project
from orchestrator.workspace import Environment, Workspace, replace_file

_URL = "ECM_REHEARSAL_URL"


def apart(workspace: Workspace, plan: Plan, branch: str, url: SecretStr, folder: Path, *, actor: str) -> Workspace:
    """Return a project that has a plan and one branch, and a ledger of its own.

    The branch has the name of the one that it is a copy of, so that what is refused is said as it would be there.

    Args:
        workspace: the real project.
        plan: as it would be run there.
        branch: the name of the branch.
        url: where the copy is.
        folder: where its files are made.
        actor: who does it.
    """
    project = Project.model_validate(
        {"project": workspace.project.project, "branches": {branch: {"url_env": _URL, "requires": []}}}
    )
    here = Workspace(
        root=folder,
        project=project,
        environment=Environment({**workspace.environment, _URL: url.get_secret_value(), "ECM_ACTOR": actor}),
        rehearsal=True,
    )
    # JSON is YAML.
    text = json.dumps(as_rehearsed(plan).model_dump(mode="json"), ensure_ascii=False, indent=1)
    replace_file(here.folder / f"{plan.plan}.yaml", text)
    return here


def as_rehearsed(plan: Plan) -> Plan:
    """Return a plan without what waits, asks or tells: soak, hooks, and what is required besides."""
    phases = {
        name: plan.phase(name).model_copy(update={"hooks": Hooks(), "require": Requirements()})
        for name in PHASE_SETTINGS
    }
    return plan.model_copy(
        update={**phases, "migrate_reads": phases["migrate_reads"].model_copy(update={"soak": timedelta(0)})}
    )
