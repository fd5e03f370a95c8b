"""Fixtures for the whole suite: a server a worker, an empty database a test."""

import os
import signal
from collections.abc import Callable, Generator
from contextlib import ExitStack
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Protocol, overload

import hypothesis
import psycopg
import pytest
from servers import OwnServer, Server, scratch_folder, scratch_parent, shared_server

hypothesis.settings.register_profile("ecm", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("long", deadline=None, database=None, print_blob=True)
"""Many more games in tests/operations/test_random_plans.py: ECM_TEST_PROFILE=long."""
hypothesis.settings.load_profile(os.environ.get("ECM_TEST_PROFILE") or ("ci" if os.environ.get("CI") else "ecm"))

# A shell starts what it runs in the background with Ctrl-C ignored, and so would be every ecm that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A person's own settings for PostgreSQL's clients must not send a test elsewhere.
for _name in [name for name in os.environ if name.startswith("PG")]:
    del os.environ[_name]

# Each test has a ledger too, and a file on disk costs it a wait at every commit.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(scratch_parent()))

_numbers = count(1)
_LONG = (("crash", "test_demo.py"), ("docs", "toolchains", "rehearsal", "neon", "branches", "test_rehearse.py"))
"""Folders and files whose tests take seconds each, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that at the end no worker waits for another's long test."""

    def place(item: pytest.Item) -> int:
        return next((n for n, names in enumerate(_LONG) if set(names) & set(item.path.parts)), len(_LONG))

    items.sort(key=place)


class Databases(Protocol):
    """Makes databases and gives their URLs: so many of them, or one for each name; empty, or copies of a template."""

    @overload
    def __call__(self, wanted: int, /, *, template: str | None = None) -> tuple[str, ...]: ...

    @overload
    def __call__(self, *names: str, template: str | None = None) -> dict[str, str]: ...


class Connect(Protocol):
    """Opens an autocommit connection that is closed at the test's end; options are psycopg's."""

    def __call__(self, url: str, **options: Any) -> psycopg.Connection[Any]: ...


@pytest.fixture(scope="session")
def scratch() -> Generator[Path]:
    """A folder for the worker's servers; what is in it is stopped and removed even if the worker is killed."""
    with scratch_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def servers(scratch: Path) -> Generator[Callable[[int | None], Server]]:
    """Gives the server that this worker's tests share, or one of a certain version; each starts when first asked for."""
    with ExitStack() as stack:

        @cache
        def started(version: int | None) -> Server:
            environment = os.environ if version is None else {"ECM_TEST_POSTGRES": str(version)}
            return stack.enter_context(shared_server(scratch / f"shared-{version or 'usual'}", environment))

        yield started


@pytest.fixture(scope="session")
def server(servers: Callable[[int | None], Server]) -> Server:
    """The server that this worker's tests share."""
    return servers(None)


@pytest.fixture
def postgres(servers: Callable[[int | None], Server], request: pytest.FixtureRequest) -> Server:
    """The server that this test runs on: the shared one, or in a test marked `both_versions` each in turn."""
    return servers(getattr(request, "param", None))


@pytest.fixture
def databases(postgres: Server) -> Generator[Databases]:
    """Makes databases for this test: `databases(2)` or `databases("development", "production")`."""
    with ExitStack() as stack:

        def make(name: str, template: str | None) -> str:
            unique = f"{name}_{next(_numbers)}"
            postgres.create_database(unique, template)
            stack.callback(postgres.drop_database, unique)
            return postgres.url(unique)

        def several(*wanted: Any, template: str | None = None) -> Any:
            if wanted and isinstance(wanted[0], int):
                return tuple(make("test", template) for _ in range(wanted[0]))
            return {name: make(name, template) for name in wanted}

        yield several


@pytest.fixture
def database(databases: Databases) -> str:
    """The URL of an empty database of this test's own."""
    return databases(1)[0]


@pytest.fixture
def connect() -> Generator[Connect]:
    """Opens connections: `connect(url).execute(...)`."""
    with ExitStack() as stack:

        def open_connection(url: str, **options: Any) -> psycopg.Connection[Any]:
            connection = psycopg.connect(url, **{"autocommit": True, **options})
            stack.callback(connection.close)
            return connection

        yield open_connection


@pytest.fixture
def server_folder(scratch: Path) -> Callable[[], Path]:
    """Names new folders for servers; none exists yet."""
    return lambda: scratch / f"server-{next(_numbers)}"


@pytest.fixture
def own_server(server_folder: Callable[[], Path]) -> Generator[OwnServer]:
    """A running server for this test alone, to stop, kill and restart. Never a container."""
    server = OwnServer.chosen(server_folder(), os.environ)
    try:
        server.start()
        yield server
    finally:
        server.embedded.destroy()
