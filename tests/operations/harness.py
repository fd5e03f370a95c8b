"""One plan on one branch of a project of its own, and the round trip that every kind of change must survive.

journey = journeys(START, {"kind": "rename_column", "table": "books", "column": "year", "to": "published"})
round_trip(journey, direct="ALTER TABLE books RENAME COLUMN year TO published")
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, LiteralString, cast
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from fingerprint import Fingerprint, fingerprint
from psycopg import sql
from pydantic import SecretStr

from orchestrator.conductor import Conductor
from orchestrator.engine import catalog
from orchestrator.engine.connection import connect
from orchestrator.events import Event
from orchestrator.plan import compile as compiler
from orchestrator.plan.facade import changes
from orchestrator.plan.lifecycle import Phase, State
from orchestrator.plan.model import Plan
from orchestrator.sql.facts import Table
from orchestrator.sql.identifiers import TableName, aside
from orchestrator.sql.steps import Step
from orchestrator.workspace import Workspace

Db = psycopg.Connection[Any]
Holds = Callable[[Db], None]
"""What must hold while both versions run; whatever it writes is rolled back."""

BRANCH = "main"
BOTH_RUN = (State.EXPANDED, State.BACKFILLED, State.READS_MIGRATED)
"""The states in which both versions of the application are at work."""


def run(db: Db, statements: str) -> None:
    """Run SQL, several statements if need be."""
    db.execute(cast("LiteralString", statements))


def ask(db: Db, query: str) -> Any:
    """Return the only value that a query gives; None where it gives no row."""
    row = db.execute(cast("LiteralString", query)).fetchone()
    return row[0] if row else None


def rows(db: Db, query: str) -> list[tuple[Any, ...]]:
    """Return the rows that a query gives."""
    return db.execute(cast("LiteralString", query)).fetchall()


@contextmanager
def undone(db: Db) -> Generator[None]:
    """Roll back what the block does."""
    with db.transaction(force_rollback=True):
        yield


def contents(db: Db) -> dict[str, Counter[str]]:
    """Return every row of every table outside schema ecm, to the letter, whatever the order of columns and rows.

    A table behind a facade counts under the name that it has for the application.
    """
    tables = rows(
        db,
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'ecm')"
        " AND n.nspname NOT LIKE 'pg\\_%'",
    )
    views = rows(db, "SELECT schemaname, viewname FROM pg_views WHERE schemaname NOT LIKE 'pg\\_%'")
    shown = {aside(TableName(*view)): TableName(*view) for view in views}
    names = {TableName(*table): shown.get(TableName(*table), TableName(*table)) for table in tables}
    return {f"{name.schema}.{name.name}": _rows_of(db, table.identifier) for table, name in names.items()}


def _rows_of(db: Db, table: sql.Identifier) -> Counter[str]:
    found = db.execute(sql.SQL("SELECT row_to_json(t)::text FROM ONLY {} t").format(table)).fetchall()
    # Numbers stay as they are written: -0, 1.0 and 1.00 are three.
    values = (json.loads(text, parse_float=str, parse_int=str, parse_constant=str) for (text,) in found)
    return Counter(json.dumps(row, sort_keys=True) for row in values)


def as_role(url: str, role: str) -> str:
    """Return the URL for another role; its password is its name."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{quote(role)}:{quote(role)}@{parts.netloc.rpartition('@')[2]}"))


@dataclass
class Journey:
    """A plan that can be moved forward and back on a real database.

    Attributes:
        folder: the project's.
        url: of the database; what ecm connects with.
        plan: as in its file.
        db: a session of the tests' own, as superuser.
        events: what ecm told so far.
        on_event: called with each event as it happens, in ecm's own thread, while it waits.
        longest_sleep: seconds that ecm waits at most before it asks for a lock again.
    """

    folder: Path
    url: str = field(repr=False)
    plan: Plan = field(repr=False)
    db: Db
    events: list[Event] = field(default_factory=list[Event], repr=False)
    on_event: Callable[[Event], None] | None = field(default=None, repr=False)
    longest_sleep: float = 0.05

    @cached_property
    def conductor(self) -> Conductor:
        """What a person's commands go through."""
        (self.folder / "plans").mkdir(parents=True, exist_ok=True)
        (self.folder / "ecm.yaml").write_text(f"project: test\nbranches: {{{BRANCH}: {{url_env: URL}}}}\n")
        self._write()
        workspace = Workspace.find(self.folder, None, {"URL": self.url, "ECM_ACTOR": "tests"})
        return Conductor(
            workspace, observer=self._heard, sleep=lambda seconds: time.sleep(min(seconds, self.longest_sleep))
        )

    def _heard(self, event: Event) -> None:
        self.events.append(event)
        if self.on_event is not None:
            self.on_event(event)

    def _write(self) -> None:
        # JSON is YAML.
        text = json.dumps(self.plan.model_dump(mode="json", exclude_defaults=False))
        (self.folder / "plans" / f"{self.plan.plan}.yaml").write_text(text)

    def with_plan(self, **settings: Any) -> None:
        """Give the plan other settings."""
        self.plan = Plan.model_validate({**self.plan.model_dump(mode="json"), **settings})
        if "conductor" in self.__dict__:
            self._write()

    def advance(self, to: State | None = None) -> State:
        """Go forward, one phase or as far as a state."""
        return State(self.conductor.advance(self.plan.plan, BRANCH, to=to).state)

    def rollback(self, to: State | None = None) -> State:
        """Go back, one step or as far as a state."""
        return State(self.conductor.rollback(self.plan.plan, BRANCH, to=to).state)

    def finalize(self) -> State:
        """Drop for good what contract keeps."""
        return State(self.conductor.finalize(self.plan.plan, BRANCH, now=True).state)

    @property
    def state(self) -> State:
        """Where the journal says the plan is."""
        return State(self.conductor.status(self.plan.plan).plans[0].branches[0].state)

    @property
    def fingerprint(self) -> Fingerprint:
        """The schema as it is now."""
        return fingerprint(self.db)

    def facts(self) -> dict[TableName, Table]:
        """Read the facts of the plan's tables as they are now."""
        with connect(SecretStr(self.url), branch=BRANCH) as connection:
            return catalog.read_tables(connection, changes(self.plan))

    def steps(self, phase: Phase) -> tuple[Step, ...]:
        """Compile a phase for the database as it is now."""
        return compiler.steps(self.plan, phase, self.facts())


def make_plan(name: str, changes: Iterable[Mapping[str, Any]], **settings: Any) -> Plan:
    """Make a plan of changes as they stand in a file."""
    return Plan.model_validate({"plan": name, "changes": list(changes), **settings})


def round_trip(
    journey: Journey, *, direct: str, holds: Holds | None = None, writes: Iterable[str] = (), repairs: bool = False
) -> None:
    """Take a plan forward and back from every state, then to its end.

    Args:
        journey: the plan, on a database with its start schema and rows.
        direct: the DDL that does the same at once.
        holds: asserts what must be so in each state in which both versions run; its writes are undone.
        writes: run, and kept, in every such state before the rollback from it.
        repairs: whether values are changed in place; the rollback then leaves what the writes alone would have.

    After each rollback the schema is what it was, and every row is as the writes left it. At the end the
    schema and the rows are those that the direct DDL gives.
    """
    start = journey.fingerprint
    columns = _columns(journey.db)

    def visit(state: State) -> None:
        assert journey.advance(state) is state
        if holds is not None:
            with undone(journey.db):
                holds(journey.db)
        for statement in writes:
            run(journey.db, statement)

    def written_alone(times: int) -> dict[str, Counter[str]]:
        with undone(journey.db):
            for statement in (*writes,) * times:
                run(journey.db, statement)
            return contents(journey.db)

    def give_up(state: State, written: dict[str, Counter[str]] | None) -> None:
        written = written or _only(contents(journey.db), columns)
        assert journey.rollback() is State.PLANNED
        assert journey.fingerprint == start, f"after the rollback from {state.words}"
        assert contents(journey.db) == written, f"rows after the rollback from {state.words}"

    alone = written_alone(1) if repairs else None
    visit(State.EXPANDED)
    give_up(State.EXPANDED, alone)
    alone = written_alone(2) if repairs else None
    visit(State.BACKFILLED)
    filled = journey.fingerprint
    visit(State.READS_MIGRATED)
    assert journey.rollback() is State.BACKFILLED
    assert journey.fingerprint == filled, "after the rollback from reads migrated"
    give_up(State.BACKFILLED, alone)
    with undone(journey.db):
        run(journey.db, direct)
        schema, data = journey.fingerprint, contents(journey.db)
    assert journey.advance(State.CONTRACTED) is State.CONTRACTED
    assert journey.fingerprint == schema
    assert contents(journey.db) == data


def _columns(db: Db) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for table, column in rows(
        db,
        "SELECT format('%s.%s', n.nspname, c.relname), a.attname FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'm')",
    ):
        found.setdefault(table, set()).add(column)
    return found


def _only(found: dict[str, Counter[str]], columns: dict[str, set[str]]) -> dict[str, Counter[str]]:
    """Leave out the columns that were not there at the start."""
    return {
        table: Counter(
            json.dumps(
                {name: value for name, value in json.loads(text).items() if name in columns[table]}, sort_keys=True
            )
            for text in counted.elements()
        )
        for table, counted in found.items()
        if table in columns
    }
