"""Contract that can be undone: it hides the old structure, keeps it true, gives it back at once, or drops it."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from operations.conftest import Journeys
from operations.harness import Db, Journey, contents, rows, run, undone

from orchestrator.plan.lifecycle import State

WINDOW = {"undo_window": "1d"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kind of change, and what either version of an application does with it.

    Attributes:
        start: the schema, and rows from before.
        change: as in a plan.
        direct: the DDL that does the same at once.
        new: what new writers write, none of whom knows the old side.
        old: the same of old ones, who do not know the new side.
        reads: what old readers ask for.
        found: what that gives once the new writers have written.
        again: what a query as new readers ask it gives once the old writers have written too.
        gone: a statement of the old version, which fails as long as the old side is out of sight; if any does.
        settings: of the plan's phases.
    """

    start: str
    change: dict[str, Any]
    direct: str
    new: tuple[str, ...]
    old: tuple[str, ...]
    reads: str
    found: list[tuple[Any, ...]]
    again: tuple[str, list[tuple[Any, ...]]]
    gone: str | None = None
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


BOOKS = "CREATE TABLE books (id integer PRIMARY KEY, title text, year integer); INSERT INTO books VALUES (1, 'One', 1901), (2, 'Two', NULL)"

CASES = {
    "rename_column": Case(
        start=BOOKS + "; CREATE INDEX books_year_idx ON books (year)",
        change={"kind": "rename_column", "table": "books", "column": "year", "to": "published"},
        direct="ALTER TABLE books RENAME COLUMN year TO published",
        new=("INSERT INTO books (id, published) VALUES (3, 1903)", "UPDATE books SET published = NULL WHERE id = 1"),
        old=("UPDATE books SET year = 1902 WHERE id = 2",),
        reads="SELECT id, year FROM books ORDER BY 1",
        found=[(1, None), (2, None), (3, 1903)],
        again=("SELECT id, published FROM books ORDER BY 1", [(1, None), (2, 1902), (3, 1903)]),
        gone="SELECT year FROM books",
    ),
}

kinds = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@kinds
def test_round(case: Case, journeys: Journeys) -> None:
    """Contract, undo, contract again and finalize: nothing that new or old writers wrote is lost, nothing is left."""
    journey = journeys(case.start, case.change, contract=WINDOW, **case.settings)
    with undone(journey.db):
        run(journey.db, case.direct)
        schema = journey.fingerprint
    assert journey.advance(State.READS_MIGRATED) is State.READS_MIGRATED
    both = journey.fingerprint

    assert journey.advance() is State.CONTRACTED
    if case.gone is not None:
        with pytest.raises(Exception, match="does not exist"):
            run(journey.db, case.gone)
    for statement in case.new:
        run(journey.db, statement)
    assert journey.rollback() is State.READS_MIGRATED
    assert journey.fingerprint == both
    assert rows(journey.db, case.reads) == case.found
    for statement in case.old:
        run(journey.db, statement)
    query, found = case.again
    assert rows(journey.db, query) == found

    assert journey.advance() is State.CONTRACTED
    assert journey.finalize() is State.CONTRACTED
    assert journey.fingerprint == schema
    assert rows(journey.db, query) == found
    assert _left(journey.db) == []


def _left(db: Db) -> list[tuple[Any, ...]]:
    """Return what is in ecm's schema besides its journal."""
    return rows(
        db,
        "SELECT proname FROM pg_proc WHERE pronamespace = 'ecm'::regnamespace UNION ALL SELECT relname FROM pg_class"
        " WHERE relnamespace = 'ecm'::regnamespace AND relkind IN ('r', 'S', 'v') AND relname NOT IN"
        " ('plans', 'leases', 'steps', 'sweeps', 'moves', 'moves_seq_seq', 'alembic_version')",
    )
