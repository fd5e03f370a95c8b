"""A fake Neon over the suite's own PostgreSQL."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from branches.settings import Settings
from cli.runs import Project as CliProject
from neon import published
from neon.description import Description
from neon.fake import KEY, Fake
from neon.objects import ID
from neon.project import Project
from pydantic import SecretStr
from servers import Server

from orchestrator.branches.neon import NeonProvider
from orchestrator.branches.neon_api import NeonApi


@dataclass(frozen=True, kw_only=True)
class NeonPart:
    """`provider` in ecm.yaml, as the provider sees it."""

    project_id: str | None = ID
    database: str | None = None
    role: str | None = None


@dataclass(kw_only=True)
class Opened:
    """A provider on the fake, and what it told."""

    provider: NeonProvider
    learned: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def description() -> Description:
    """Neon's description of its API, read once; without npm there is none, and these tests are skipped."""
    try:
        return Description(published.description())
    except published.UnpublishedError as why:
        pytest.skip(str(why))


@pytest.fixture
def neon(server: Server, description: Description) -> Generator[Fake]:
    """A fake Neon with one branch, production; what it was sent and what it answered was all as Neon describes it."""
    project = Project(server)
    with Fake(project, description) as fake:
        try:
            yield fake
        finally:
            project.close()
    assert fake.violations == []


OpenNeon = Callable[..., Opened]


@pytest.fixture
def open_neon(neon: Fake) -> OpenNeon:
    """Open the fake's project: `open_neon(database=…, deadline=…)`; `waits` is called wherever it waits."""

    def opened(
        *, patience: float = 20, deadline: float = 20, waits: Callable[[], object] = lambda: None, **settings: Any
    ) -> Opened:
        def sleep(seconds: float) -> None:
            waits()
            time.sleep(min(seconds, 0.05))

        api = NeonApi(ID, SecretStr(KEY), host=neon.host, patience=patience, deadline=deadline, sleep=sleep)
        branches = {"development": Settings(parent="production"), "production": Settings()}
        learned: list[str] = []
        provider = NeonProvider(branches, NeonPart(**settings), api=lambda: api, learn=learned.append)
        return Opened(provider=provider, learned=learned)

    return opened


class NeonCommand(CliProject):
    """A folder with ecm.yaml for the fake's project, and the command run in it."""

    def write_alone(self, branch: str) -> None:
        """Make it the project's only branch."""
        text = f"project: bookstore\nprovider: {{kind: neon, project_id: {ID}}}\nbranches:\n  {branch}: {{}}\n"
        (self.root / "ecm.yaml").write_text(text)

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(**(self.urls | more))


@pytest.fixture
def bookstore(neon: Fake, tmp_path: Path) -> NeonCommand:
    """A project whose branches are the fake's, with one plan."""
    root = tmp_path / "bookstore"
    (root / "plans").mkdir(parents=True)
    (root / "ecm.yaml").write_text(
        f"project: bookstore\nprovider: {{kind: neon, project_id: {ID}}}\n"
        "branches:\n  development: {parent: production}\n  production: {requires: [development]}\n"
    )
    (root / "plans" / "rename-published-year.yaml").write_text(
        "plan: rename-published-year\nchanges:\n"
        "  - {kind: rename_column, table: books, column: published_year, to: publication_year}\n"
    )
    return NeonCommand(root=root, urls={"NEON_API_KEY": KEY, "NEON_API_HOST": neon.host})
