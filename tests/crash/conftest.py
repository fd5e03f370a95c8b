"""Fixtures for the tests with faults: processes of ecm, and databases that were brought to each state once."""

from collections.abc import Callable, Generator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from servers import Server

from crash.harness import STATES, Processes, Project, fill, rename_directly, schema

ROWS = 120
_numbers = count(1)


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Processes]:
    """Starts processes of ecm."""
    running = Processes(tmp_path_factory.mktemp("processes"))
    yield running
    running.close()


@pytest.fixture
def project(tmp_path: Path, processes: Processes) -> Callable[..., Project]:
    """Makes projects: `project(development=url)`."""

    def make(phases: dict[str, str] | None = None, changes: str | None = None, **given: Any) -> Project:
        urls = {name: value for name, value in given.items() if isinstance(value, str)}
        settings = {name: value for name, value in given.items() if name not in urls}
        more = {"changes": changes} if changes else {}
        return Project.make(tmp_path / f"project-{next(_numbers)}", urls, processes, phases=phases, **more, **settings)

    return make


class Stages:
    """A database in each state of the plan, to be copied; and the schema that each state has."""

    def __init__(self, server: Server, folder: Path, processes: Processes) -> None:
        self._server = server
        self.project = Project.make(folder, {"development": server.url("stage_work")}, processes)
        server.create_database("stage_work")
        fill(server.url("stage_work"), ROWS)
        self.schemas: dict[str, Any] = {}
        self._keep("planned")
        for state in STATES[1:]:
            self.project.done("advance", to=state)
            self._keep(state)
        server.create_database("stage_direct")
        rename_directly(server.url("stage_direct"))
        self.direct = schema(server.url("stage_direct"))

    def _keep(self, state: str) -> None:
        self.schemas[state] = schema(self._server.url("stage_work"))
        self._server.create_database(f"stage_{state}", template="stage_work")

    def copy(self, state: str) -> str:
        """Return the URL of a new database in a state."""
        name = f"copy_{next(_numbers)}"
        self._server.create_database(name, template=f"stage_{state}")
        return self._server.url(name)

    def drop(self, url: str) -> None:
        self._server.drop_database(url.partition("?")[0].rpartition("/")[2])


@pytest.fixture(scope="session")
def stages(server: Server, tmp_path_factory: pytest.TempPathFactory, processes: Processes) -> Stages:
    """Databases in each state."""
    return Stages(server, tmp_path_factory.mktemp("stages") / "project", processes)
