"""Projects with a migration tool of their own, and the tools themselves."""

import shutil

import packages
import pytest
from cli.conftest import make_project, project

__all__ = ["make_project", "project"]


@pytest.fixture(params=list(packages.DRIZZLE))
def drizzle(request: pytest.FixtureRequest) -> str:
    """A line of drizzle-kit, as the folder of its node_modules; in turn each."""
    if shutil.which("npm") is None:
        pytest.skip("drizzle-kit comes from npm, and there is no npm here: install Node.js with npm")
    return str(packages.installed(f"drizzle-{request.param}", packages.DRIZZLE[request.param]))
