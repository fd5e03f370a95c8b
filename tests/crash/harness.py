"""What the tests hold in their hands: processes of ecm, a project on disk, and what a database looks like."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

TESTS = Path(__file__).parents[1]
PLAN = "rename-published-year"
OLD, NEW = "published_year", "publication_year"
STATES = ("planned", "expanded", "backfilled", "reads_migrated", "contracted")
KILLED, UNEXPLAINED = -signal.SIGKILL, 70
EAGER = 0.05
"""Seconds that ecm waits at most before it tries again, in tests where it is the tests that wait for it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a process of ecm ended: its exit code, and what it had to tell unless it was killed."""

    code: int
    told: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        return self.told.get("error", {})

    @property
    def words(self) -> str:
        """The error as a person reads it."""
        return "\n".join(
            filter(None, (self.error.get("message"), *self.error.get("details", ()), self.error.get("hint")))
        )

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.words}\n{self.told.get('traceback', '')}"


class Processes:
    """Starts processes of ecm, by the driver, and hears what becomes of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_URL", "PG"))}
        self._driver = subprocess.Popen(
            [sys.executable, "-m", "crash.driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**environment, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
        )
        self._facts: list[dict[str, Any]] = []

    def start(self, job: dict[str, Any]) -> "Process":
        number = next(self._numbers)
        result, here = self._folder / f"{number}.result", self._folder / f"{number}.here"
        assert self._driver.stdin is not None
        self._driver.stdin.write(json.dumps({**job, "result": str(result), "here": str(here)}) + "\n")
        self._driver.stdin.flush()
        fact = self.hear(lambda fact: fact["now"] == "started")
        return Process(pid=fact["pid"], processes=self, result=result, here=here)

    def hear(self, wanted: Any) -> dict[str, Any]:
        """Wait until something of the kind is told, and take it off the list."""
        while True:
            for number, fact in enumerate(self._facts):
                if wanted(fact):
                    return self._facts.pop(number)
            assert self._driver.stdout is not None
            line = self._driver.stdout.readline()
            assert line, "the driver is gone"
            self._facts.append(json.loads(line))

    def close(self) -> None:
        assert self._driver.stdin is not None
        self._driver.stdin.close()
        self._driver.wait(10)
        if self._driver.stdout is not None:
            self._driver.stdout.close()


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of ecm."""

    pid: int
    processes: Processes
    result: Path
    here: Path

    def stopped(self) -> dict[str, Any] | None:
        """Wait until it stopped itself; return the event at which it did, or None where it ended instead."""
        fact = self.processes.hear(lambda fact: fact["pid"] == self.pid and fact["now"] in ("stopped", "ended"))
        if fact["now"] == "ended":
            self.processes._facts.append(fact)
            return None
        return json.loads(self.here.read_text())

    @property
    def killed_after(self) -> str:
        """The key of the step at the end of which it killed itself."""
        return json.loads(self.here.read_text())["key"]

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> Outcome:
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> Outcome:
        fact = self.processes.hear(lambda fact: fact["pid"] == self.pid and fact["now"] == "ended")
        return Outcome(code=fact["code"], told=json.loads(self.result.read_text()) if self.result.exists() else {})


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project folder whose branches are these databases."""

    root: Path
    urls: Mapping[str, str]
    processes: Processes
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        root: Path,
        urls: Mapping[str, str],
        processes: Processes,
        *,
        phases: Mapping[str, str] | None = None,
        changes: str = f"  - {{kind: rename_column, table: books, column: {OLD}, to: {NEW}}}\n",
        **settings: Any,
    ) -> "Project":
        (root / "plans").mkdir(parents=True)
        (root / "ecm.yaml").write_text("project: bookstore\nbranches:\n" + "".join(f"  {name}:\n" for name in urls))
        text = "".join(f"{phase}: {{{said}}}\n" for phase, said in (phases or {}).items())
        (root / "plans" / f"{PLAN}.yaml").write_text(f"plan: {PLAN}\nchanges:\n{changes}{text}")
        return cls(root=root, urls=urls, processes=processes, settings=settings)

    @property
    def environment(self) -> dict[str, str]:
        return {f"DATABASE_URL_{name.upper()}": url for name, url in self.urls.items()} | {"ECM_ACTOR": "tests"}

    def start(self, command: str, *, branch: str | None = "development", to: str | None = None, **job: Any) -> Process:
        given = {"plan": PLAN, "branch": branch, "to": to} | job.pop("arguments", {})
        arguments = {name: value for name, value in given.items() if value is not None}
        return self.processes.start(
            {
                "root": str(self.root),
                "environment": self.environment,
                "command": command,
                "arguments": arguments,
                "longest_sleep": EAGER,
                **self.settings,
                **job,
            }
        )

    def run(self, command: str, **job: Any) -> Outcome:
        return self.start(command, **job).wait()

    def done(self, command: str, **job: Any) -> Outcome:
        """Run a command that has to succeed."""
        outcome = self.run(command, **job)
        assert outcome.code == 0, str(outcome)
        return outcome

    def ledger_moves(self) -> list[tuple[str, str, str]]:
        """Return (branch, direction, state reached) of every move that the ledger holds."""
        report = self.done("history", branch=None).told["report"]
        return [
            (entry["branch"], entry["data"]["direction"], entry["data"]["target"])
            for entry in report["entries"]
            if entry["kind"] == "move"
        ]


# ---------------------------------------------------------------- the table

BOOKS = f"""
CREATE TABLE books (
  id integer PRIMARY KEY, title text NOT NULL, {OLD} integer DEFAULT 2000 CHECK ({OLD} <> -1), isbn text UNIQUE
) WITH (fillfactor = 20);
COMMENT ON COLUMN books.{OLD} IS 'when it came out';
CREATE INDEX books_year ON books ({OLD}, title) WHERE {OLD} > 1900;
CREATE VIEW recent AS SELECT id, {OLD} FROM books WHERE {OLD} > 1990;
"""


def fill(url: str, rows: int, *, wide: int = 1000) -> None:
    """Make the table, with rows of some width, so that few of them take many pages; every seventh has no year."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(BOOKS)
        connection.execute(
            f"INSERT INTO books SELECT n, rpad('t', {wide}, 'x'), CASE WHEN n %% 7 <> 0 THEN 1900 + n %% 120 END,"
            " 'isbn ' || n FROM generate_series(1, %s) n",
            [rows],
        )


def rename_directly(url: str) -> None:
    """Make the table as the direct DDL would have left it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(BOOKS)
        connection.execute(f"ALTER TABLE books RENAME COLUMN {OLD} TO {NEW}")


_SCHEMA = {
    "columns": """
      SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
        a.attstattarget, a.attacl::text, col_description(c.oid, a.attnum)
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
      WHERE n.nspname = 'public' AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v')""",
    "indexes": """
      SELECT pg_get_indexdef(indexrelid), indisvalid, indisready FROM pg_index JOIN pg_class c ON c.oid = indrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public'""",
    "constraints": """
      SELECT conname, pg_get_constraintdef(k.oid), convalidated FROM pg_constraint k
      JOIN pg_namespace n ON n.oid = k.connamespace WHERE n.nspname = 'public'""",
    "triggers": """
      SELECT pg_get_triggerdef(t.oid), tgenabled::text FROM pg_trigger t WHERE NOT tgisinternal""",
    "functions": """
      SELECT n.nspname, p.proname, p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')""",
    "views": """
      SELECT c.relname, pg_get_viewdef(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'public' AND c.relkind = 'v'""",
}


def schema(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a database's schema is, but for the order of columns and ecm's own records."""
    with psycopg.connect(url, autocommit=True) as connection:
        return {kind: sorted(connection.execute(query).fetchall(), key=repr) for kind, query in _SCHEMA.items()}


def sessions(url: str, *, application: str = "ecm%") -> list[tuple[int, str, str | None, str]]:
    """Return (pid, state, what it waits for, query) of the sessions on a database, ecm's unless told otherwise."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(
            "SELECT pid, coalesce(state, ''), wait_event_type, query FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE %s AND pid <> pg_backend_pid()",
            [application],
        ).fetchall()


def end_sessions(url: str) -> int:
    """End all of ecm's sessions on a database, and wait until they are gone; return how many there were."""
    with psycopg.connect(url, autocommit=True) as connection:
        return len(
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'ecm%'"
            ).fetchall()
        )


def moves(url: str) -> list[tuple[str, str]]:
    """Return (direction, state reached) of every move in a database's journal."""
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('ecm.moves') IS NULL").fetchone() == (True,):
            return []
        return connection.execute("SELECT direction, target FROM ecm.moves ORDER BY seq").fetchall()


def position(url: str) -> tuple[str, str | None, str | None]:
    """Return (state, phase under way, direction) from a database's journal."""
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('ecm.plans') IS NULL").fetchone() == (True,):
            return ("planned", None, None)
        row = connection.execute("SELECT state, phase, direction FROM ecm.plans").fetchone()
        return row or ("planned", None, None)


def records(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return everything in a database's journal, to see whether anything changed; heartbeats aside."""
    with psycopg.connect(url, autocommit=True) as connection:
        queries = {name: f"SELECT * FROM ecm.{name}" for name in ("plans", "steps", "moves", "sweeps")}
        queries["leases"] = "SELECT plan, fence, holder FROM ecm.leases"
        return {name: sorted(connection.execute(query).fetchall(), key=repr) for name, query in queries.items()}


@contextmanager
def holding(url: str, *statements: str, **options: Any) -> Generator[psycopg.Connection[Any]]:
    """Hold a transaction open that has run some statements."""
    with psycopg.connect(url, **options) as connection:
        for statement in statements:
            connection.execute(statement)
        yield connection
        connection.rollback()
