"""Fixtures for the tests that take a plan through a real database."""

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import psycopg
import pytest
from operations.harness import Journey, as_role, make_plan, run
from psycopg import sql
from servers import Server

from orchestrator.engine import journal

_numbers = count(1)


class Journeys(Protocol):
    """Makes a database of the start schema and a plan for it."""

    def __call__(
        self,
        start: str,
        *changes: Mapping[str, Any],
        role: str | None = None,
        fresh: bool = False,
        plan: str = ...,
        **settings: Any,
    ) -> Journey: ...


class Roles(Protocol):
    """Makes a login role whose password is its name; returns the name."""

    def __call__(self, options: str = "") -> str: ...


_with_journal: set[str] = set()
"""The servers, by the URL of their template, on which there is a database to copy with a journal and nothing else."""


def _template(postgres: Server) -> str:
    """Return the name of a database with a journal: to make one anew takes longer than to copy it."""
    name = "with_journal"
    if (url := postgres.url(name)) not in _with_journal:
        postgres.create_database(name)
        with psycopg.connect(url, autocommit=True) as connection:
            journal.prepare(connection)
        _with_journal.add(url)
    return name


@pytest.fixture
def journeys(databases: Callable[..., Any], tmp_path: Path, postgres: Server) -> Generator[Journeys]:
    """Makes journeys: `journeys(start, change, …, role=…, expand={…})`.

    Where ecm connects as a role of its own, the database has no journal yet: it belongs to who makes it. Nor has one
    that is to be `fresh`.
    """
    with ExitStack() as stack:

        def make(
            start: str,
            *changes: Mapping[str, Any],
            role: str | None = None,
            fresh: bool = False,
            plan: str = "change",
            **settings: Any,
        ) -> Journey:
            (url,) = databases(1, template=None if role or fresh else _template(postgres))
            db = stack.enter_context(psycopg.connect(url, autocommit=True))
            run(db, start)
            return Journey(
                folder=tmp_path / f"project-{next(_numbers)}",
                url=as_role(url, role) if role else url,
                plan=make_plan(plan, changes, **settings),
                db=db,
            )

        yield make


@pytest.fixture
def roles(postgres: Server) -> Roles:
    """Makes login roles. They stay until the server goes: every database that mentions them goes first."""

    def make(options: str = "") -> str:
        name = f"role_{uuid4().hex[:12]}"
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} {}").format(
                    sql.Identifier(name), sql.Literal(name), sql.SQL(options)
                )
            )
        return name

    return make
