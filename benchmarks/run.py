"""The backfill against the ways it is done by hand, side by side in one run, on a server of its own.

    make bench                      the whole table: minutes to an hour
    python -m benchmarks.run --quick        a tenth of the rows, for a look

Each method fills `publication_year` in a fresh copy of the same table while an application writes at a
fixed rate, half of it under the old name. Written: time, WAL, growth, and what the application felt.
Only ratios within one run mean anything; machines differ.
"""

import argparse
import importlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from orchestrator.branches.server import EmbeddedServer

Db = psycopg.Connection[Any]
HERE = Path(__file__).parent
SERVER = {"max_wal_size": "16GB", "max_connections": "40"}
"""Everything else is PostgreSQL's default: fsync on, shared_buffers 128 MB."""
RATE = 200
"""Writes a second of the application, over all its sessions."""
SESSIONS = 4
ECM = Path(sys.executable).parent / "ecm"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A table to fill."""

    key: str
    indexes: int
    rows: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.key} key + {self.indexes} indexes, {self.rows / 1e6:g}M rows"


@dataclass(kw_only=True)
class Result:
    """What a method took. Seconds, bytes, milliseconds."""

    shape: str
    method: str
    seconds: float
    wal: int
    heap: float
    indexes: float
    rows_per_second: float
    p50: float | None = None
    p99: float | None = None
    longest: float | None = None
    writes: int = 0
    errors: int = 0
    memory: int | None = None
    remark: str = ""
    extra: dict[str, Any] = field(default_factory=dict[str, Any])


# ---------------------------------------------------------------- the table

COLUMNS = ("author_id", "isbn", "price", "title")


def create(db: Db, shape: Shape) -> None:
    """Make the table anew."""
    key = {"bigint": "bigint", "uuid": "uuid"}[shape.key]
    value = {"bigint": "g", "uuid": "gen_random_uuid()"}[shape.key]
    do(db, "DROP SCHEMA IF EXISTS ecm CASCADE")
    do(db, "DROP TABLE IF EXISTS books CASCADE")
    do(
        db,
        f"CREATE TABLE books (id {key} PRIMARY KEY, title text NOT NULL, author_id integer NOT NULL, isbn text,"
        " published_year integer, price numeric, created_at timestamptz NOT NULL DEFAULT now())",
    )
    do(
        db,
        f"INSERT INTO books (id, title, author_id, isbn, published_year, price) SELECT {value}, 'Title of book ' || g,"
        f" (g::bigint * 7919) % 50000, md5(g::text), 1900 + g % 120, (g % 100)::numeric / 3"
        f" FROM generate_series(1, {shape.rows}) g",
    )
    for number, column in enumerate(COLUMNS[: shape.indexes]):
        do(db, f"CREATE INDEX books_{number} ON books ({column})")
    do(db, "CREATE TABLE IF NOT EXISTS keys (n integer PRIMARY KEY, id text)")
    do(db, "TRUNCATE keys")
    do(
        db,
        "INSERT INTO keys SELECT row_number() OVER (), id::text FROM"
        " (SELECT id FROM books TABLESAMPLE BERNOULLI (100) LIMIT 20000) AS picked",
    )
    do(db, "VACUUM ANALYZE books")


def do(db: Db, statement: str) -> None:
    """Run a statement of this file's own."""
    db.execute(cast("LiteralString", statement))


def ask(db: Db, query: str) -> Any:
    """Return a query's first value."""
    row = db.execute(cast("LiteralString", query)).fetchone()
    return row[0] if row else None


# ---------------------------------------------------------------- the application


class Application(threading.Thread):
    """Writes rows here and there at a fixed rate, and measures each from when it was due."""

    def __init__(self, url: str, column: Callable[[int], str], number: int) -> None:
        super().__init__(daemon=True)
        self._url, self._column, self._number = url, column, number
        self.over = threading.Event()
        self.took: list[float] = []
        self.errors = 0

    def run(self) -> None:
        """Write until it is over."""
        with psycopg.connect(self._url, autocommit=True) as db:
            keys = [row[0] for row in db.execute("SELECT id FROM keys ORDER BY n").fetchall()]
            kind = sql.SQL("uuid" if "-" in keys[0] else "bigint")
            every, step = SESSIONS / RATE, 0
            due = time.monotonic() + every * self._number / SESSIONS
            while not self.over.is_set():
                time.sleep(max(0.0, due - time.monotonic()))
                step += 1
                column = self._column(step)
                key = keys[(step * 7919 + self._number * 104729) % len(keys)]
                began = time.monotonic()
                try:
                    db.execute(
                        sql.SQL("UPDATE books SET {} = %s WHERE id = %s::{}").format(sql.Identifier(column), kind),
                        [1900 + step % 120, key],
                    )
                except psycopg.Error:
                    self.errors += 1
                # A write that had to wait behind its predecessor is as late as a request would be.
                self.took.append(time.monotonic() - min(due, began))
                due += every


@contextmanager
def application(url: str, *, both: bool) -> Generator[list[Application]]:
    """Run the application; half of its writes are under the new name, where there is one."""
    columns = ["published_year", "publication_year" if both else "published_year"]
    threads = [Application(url, lambda step: columns[step % 2], number) for number in range(SESSIONS)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.over.set()
        for thread in threads:
            thread.join()


def felt(threads: list[Application]) -> dict[str, Any]:
    """Return what the application felt."""
    took = sorted(second * 1000 for thread in threads for second in thread.took)
    if not took:
        return {}
    return {
        "p50": statistics.median(took),
        "p99": took[int(len(took) * 0.99)],
        "longest": took[-1],
        "writes": len(took),
        "errors": sum(thread.errors for thread in threads),
    }


# ---------------------------------------------------------------- the methods


def by_hand(url: str) -> Db:
    """Open a session that spares itself the sync trigger, as ecm's own do: the best that can be done by hand."""
    db = psycopg.connect(url, autocommit=True)
    do(
        db,
        "SELECT set_config('ecm.backfill', (SELECT tgname FROM pg_trigger WHERE tgname LIKE '%ecm%' LIMIT 1), false)",
    )
    return db


def one_update(url: str, folder: Path) -> dict[str, Any]:
    """The statement that everybody writes first."""
    del folder
    with by_hand(url) as db:
        do(db, "UPDATE books SET publication_year = published_year")
    return {}


def key_ranges(url: str, folder: Path) -> dict[str, Any]:
    """By key, 10,000 rows at a time: what most tools and blog posts do."""
    del folder
    with by_hand(url) as db:
        last, after = ask(db, "SELECT id FROM books ORDER BY id LIMIT 1"), sql.SQL(">=")
        while True:
            row = db.execute(
                sql.SQL(
                    "SELECT id FROM (SELECT id FROM books WHERE id {} %s ORDER BY id LIMIT 10000) AS picked"
                    " ORDER BY id DESC LIMIT 1"
                ).format(after),
                [last],
            ).fetchone()
            if row is None:
                return {}
            db.execute(
                sql.SQL("UPDATE books SET publication_year = published_year WHERE id {} %s AND id <= %s").format(after),
                [last, row[0]],
            )
            last, after = row[0], sql.SQL(">")


def through_trigger(url: str, folder: Path) -> dict[str, Any]:
    """A CTE of 1,000 keys and an UPDATE that fires the sync trigger: how known tools of this kind do it."""
    del folder
    with psycopg.connect(url, autocommit=True) as db:
        last = None
        while True:
            row = db.execute(
                sql.SQL(
                    "WITH batch AS (SELECT id FROM books {} ORDER BY id LIMIT 1000 FOR NO KEY UPDATE),"
                    " done AS (UPDATE books b SET id = b.id FROM batch WHERE b.id = batch.id RETURNING b.id)"
                    " SELECT id FROM done ORDER BY id DESC LIMIT 1"
                ).format(sql.SQL("") if last is None else sql.SQL("WHERE id > {}").format(sql.Literal(last)))
            ).fetchone()
            if row is None:
                return {}
            last = row[0]


def ecm(url: str, folder: Path) -> dict[str, Any]:
    """`ecm advance` from expanded to backfilled: the real command; its phase is what is timed, proof included."""
    began = time.monotonic()
    done = subprocess.run(
        [str(ECM), "advance", "rename", "--branch", "main", "--json"],
        cwd=folder,
        env={**os.environ, "URL": url, "ECM_ACTOR": "bench"},
        check=True,
        capture_output=True,
        text=True,
    )
    (move,) = json.loads(done.stdout)["moves"]
    (sweep,) = (value for value in move["measured"].values() if isinstance(value, dict) and "filled" in value)
    return {
        "seconds": move["seconds"],
        "command": time.monotonic() - began,
        "sweep": sweep,
        "memory": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
    }


METHODS: dict[str, Callable[[str, Path], dict[str, Any]]] = {
    "one UPDATE": one_update,
    "ecm": ecm,
    "key ranges of 10,000": key_ranges,
    "CTE of 1,000 through the trigger": through_trigger,
}


# ---------------------------------------------------------------- one run


def project(folder: Path) -> None:
    """Write the project that ecm runs in."""
    (folder / "plans").mkdir(parents=True, exist_ok=True)
    (folder / "ecm.yaml").write_text("project: bench\nbranches: {main: {url_env: URL}}\n")
    (folder / "plans" / "rename.yaml").write_text(
        "plan: rename\nchanges:\n  - {kind: rename_column, table: books, column: published_year, to: publication_year}\n"
    )


def expand(url: str, folder: Path) -> None:
    """Bring the table to where the backfill begins: both columns, kept in step."""
    for state in ("expanded",):
        subprocess.run(
            [str(ECM), "advance", "rename", "--branch", "main", "--to", state],
            cwd=folder,
            env={**os.environ, "URL": url, "ECM_ACTOR": "bench"},
            check=True,
            capture_output=True,
        )


def measure(
    server: EmbeddedServer, shape: Shape, method: str, *, loaded: bool, pinned: bool = False, folder: Path
) -> Result:
    """Run one method on a fresh table."""
    server.ensure_database("bench")
    url = server.url("bench")
    with psycopg.connect(url, autocommit=True) as db:
        create(db, shape)
        expand(url, folder)
        # What a batch leaves to autovacuum would fall on one method or the other by chance.
        do(db, "ALTER TABLE books SET (autovacuum_enabled = off)")
        do(db, "VACUUM books")
        do(db, "CHECKPOINT")
        time.sleep(1)
        before = sizes(db)
        pin = psycopg.connect(url)
        if pinned:
            pin.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            pin.execute("SELECT count(*) FROM keys")
        began = time.monotonic()
        if loaded:
            with application(url, both=True) as threads:
                time.sleep(1)
                began = time.monotonic()
                extra = METHODS[method](url, folder)
                seconds = time.monotonic() - began
        else:
            threads = []
            extra = METHODS[method](url, folder)
            seconds = time.monotonic() - began
        seconds = extra.pop("seconds", seconds)
        after = sizes(db)
        wrong = ask(db, "SELECT count(*) FROM books WHERE publication_year IS DISTINCT FROM published_year")
        pin.close()
        result = Result(
            shape=shape.name,
            method=method + (", a transaction open" if pinned else ""),
            seconds=seconds,
            wal=after[2] - before[2],
            heap=after[0] / before[0],
            indexes=after[1] / before[1],
            rows_per_second=shape.rows / seconds,
            memory=extra.pop("memory", None),
            extra=extra,
            **felt(threads),
        )
        if wrong:
            result.remark = f"{wrong:,} rows differ"
    line = f"{result.shape:34} {result.method:34} {seconds:7.2f} s  WAL {result.wal / 1e6:6.0f} MB"
    line += f"  heap ×{result.heap:.2f}  indexes ×{result.indexes:.2f}"
    line += f"  p99 {result.p99:.0f} ms  max {result.longest:.0f} ms" if result.p99 is not None else ""
    print(line, result.remark, flush=True)
    return result


def sizes(db: Db) -> tuple[int, int, int]:
    """Return the bytes of the heap and of the indexes, and the place in the WAL."""
    row = db.execute(
        "SELECT pg_relation_size('books'), pg_indexes_size('books'), (pg_current_wal_lsn() - '0/0')::bigint"
    ).fetchone()
    return row or (0, 0, 0)


def undisturbed(server: EmbeddedServer, shape: Shape, folder: Path, seconds: float = 10) -> Result:
    """Return what the application feels with no backfill."""
    server.ensure_database("bench")
    url = server.url("bench")
    with psycopg.connect(url, autocommit=True) as db:
        create(db, shape)
        expand(url, folder)
    with application(url, both=True) as threads:
        time.sleep(seconds)
    return Result(
        shape=shape.name,
        method="no backfill",
        seconds=seconds,
        wal=0,
        heap=1,
        indexes=1,
        rows_per_second=0,
        **felt(threads),
    )


def main() -> None:
    """Run it all, and write RESULTS.md, results.json and chart.png beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows; nothing is saved")
    parser.add_argument("--postgres", type=int, default=16, help="major version of the embedded server")
    parser.add_argument("--large", action="store_true", help="10M rows too")
    given = parser.parse_args()
    million = 100_000 if given.quick else 1_000_000
    results: list[Result] = []

    def keep(result: Result) -> None:
        results.append(result)
        if given.quick:
            return
        # After each, so that what was measured survives an interruption.
        told = {"machine": machine(version), "results": [asdict(each) for each in results]}
        (HERE / "results.json").write_text(json.dumps(told, indent=1, default=str) + "\n")

    with tempfile.TemporaryDirectory(prefix="ecm-bench-") as scratch:
        folder = Path(scratch) / "project"
        project(folder)
        server = EmbeddedServer(Path(scratch) / "server", given.postgres)
        server.start(SERVER)
        try:
            with psycopg.connect(server.url("postgres")) as db:
                version = ask(db, "SHOW server_version")
            shapes = [
                Shape(key="bigint", indexes=4, rows=million),
                Shape(key="bigint", indexes=0, rows=million),
                Shape(key="bigint", indexes=2, rows=million),
                Shape(key="uuid", indexes=2, rows=million),
            ]
            for shape in shapes:
                for method in METHODS:
                    keep(measure(server, shape, method, loaded=False, folder=folder))
            keep(measure(server, shapes[0], "ecm", loaded=False, pinned=True, folder=folder))
            keep(undisturbed(server, shapes[0], folder))
            for method in METHODS:
                keep(measure(server, shapes[0], method, loaded=True, folder=folder))
            if given.large:
                large = Shape(key="bigint", indexes=4, rows=10 * million)
                for method in ("ecm", "one UPDATE"):
                    keep(measure(server, large, method, loaded=False, folder=folder))
        finally:
            server.destroy()
    if not given.quick:
        importlib.import_module("benchmarks.report").write(HERE)


def machine(version: str) -> dict[str, Any]:
    """Describe what it ran on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "postgres": version,
        "settings": SERVER,
        "date": time.strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    main()
