"""Fixtures for the ledger: every test that takes `url` runs on SQLite and on PostgreSQL."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest
from vandals import Vandal

from orchestrator.ledger import Ledger


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite ledger that does not exist yet, in a folder that does not either."""
    return f"sqlite:///{tmp_path}/new/ledger.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a ledger that does not exist yet."""
    fixture: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "database")
    return fixture


@pytest.fixture
def ledger(url: str) -> Generator[Ledger]:
    """A ledger that does not exist yet."""
    with Ledger(url) as opened:
        yield opened


@pytest.fixture
def vandal(url: str) -> Generator[Callable[[], Vandal]]:
    """Lets a vandal at the ledger, once it exists."""
    with ExitStack() as stack:

        def come() -> Vandal:
            arrived = Vandal(url)
            stack.callback(arrived.close)
            return arrived

        yield come
