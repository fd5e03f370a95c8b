"""The proof: a fresh scan for rows whose two sides do not follow from one another.

Read in ranges of pages, each in a statement of its own: no snapshot is held for long, so VACUUM
and pruning go on. A row that moves between two ranges while this runs was written under the sync
trigger, and what is written under the trigger is right.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Any

from psycopg import errors, sql

from orchestrator.engine import catalog, locks
from orchestrator.engine.connection import Connection, Link
from orchestrator.engine.crew import Crew
from orchestrator.errors import ConnectionFailedError, VerificationError
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.mapping import PAST_THE_TRIGGER
from orchestrator.sql.steps import Proof, region
from orchestrator.words import counted, listed

REGION = 4096
"""Pages a statement reads (32 MB)."""
SAMPLES = 5
_EVERY = 0.5
"""Seconds between two looks at whether there is something to keep."""
_KEPT_EVERY = 2.0
"""Seconds between two notes of how far the proof is."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A row whose two sides differ."""

    key: dict[str, str | None]
    """Its primary key, or its ctid where the table has none."""
    old: dict[str, str | None]
    new: dict[str, str | None]

    @property
    def line(self) -> str:
        """The row for a person."""
        # A column of the key may be on a side as well: it is told once.
        told = self.key | self.old | self.new
        return "  ".join(f"{name}={'NULL' if value is None else value}" for name, value in told.items())


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a scan found."""

    table: TableName
    rows: int
    mismatches: int
    samples: tuple[Sample, ...]
    not_invertible: int
    """Rows that are right, but whose new side would not come again from the old one. None, for a copy."""
    expressions: tuple[str, ...] = ()
    """What has to hold in every row, for a person."""
    advice: tuple[str, ...] = ()
    """What to do about rows that are not right, where that is not the same for all."""
    in_place: bool = False
    """Whether rows have one side only, which something is demanded of."""


def pages(connection: Connection, table: TableName) -> int:
    """Return the number of pages in the table's heap now."""
    row = connection.execute(
        sql.SQL(
            "SELECT pg_catalog.pg_relation_size({}::pg_catalog.regclass)"
            " / pg_catalog.current_setting('block_size')::pg_catalog.int8"
        ).format(sql.Literal(table.identifier.as_string(None)))
    ).fetchone()
    return int(row[0]) if row else 0


@dataclass(frozen=True, kw_only=True)
class Proven:
    """How far a proof is: every row on the pages before `page` is right.

    Attributes:
        filenode: the file that these pages are in (`catalog.filenode`).
    """

    page: int = 0
    rows: int = 0
    filenode: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What was found in a part of a table."""

    rows: int
    mismatches: int
    samples: list[Sample]
    not_invertible: int


@dataclass(frozen=True, kw_only=True)
class _Read(_Found):
    """What was found on the pages from `first` on."""

    first: int


def verify(
    link: Link,
    proof: Proof,
    *,
    workers: int = 2,
    begun: Callable[[TableName], Proven] = lambda _: Proven(),
    progress: Callable[[int, int, int], None] = lambda _done, _total, _rows: None,
    keep: Callable[[TableName, Proven], None] = lambda _heap, _proven: None,
) -> Verdict:
    """Scan a table and all its partitions, several ranges of pages at a time.

    Args:
        link: opens a session for each worker.
        proof: the table, and what must hold in each of its rows.
        workers: how many ranges are read at a time.
        begun: where an earlier scan of a heap was, if nothing can have passed the sync triggers by since.
        progress: called with pages done, pages in all, rows seen.
        keep: called now and then with what is proven, as long as all is right.
    """
    heaps = link.do(lambda connection: catalog.heaps(connection, proof.table))
    verdicts = [
        _verify_heap(
            link,
            proof,
            heap,
            workers=workers,
            begun=begun(heap),
            progress=progress,
            keep=partial(keep, heap),
        )
        for heap in heaps
    ]
    samples = [sample for verdict in verdicts for sample in verdict.samples]
    return Verdict(
        table=proof.table,
        rows=sum(verdict.rows for verdict in verdicts),
        mismatches=sum(verdict.mismatches for verdict in verdicts),
        samples=tuple(samples[:SAMPLES]),
        not_invertible=sum(verdict.not_invertible for verdict in verdicts),
        expressions=tuple(line for mapping in proof.mappings for line in mapping.says),
        advice=tuple(mapping.advice for mapping in proof.mappings if mapping.advice is not None),
        in_place=all(mapping.in_place for mapping in proof.mappings),
    )


def _verify_heap(
    link: Link,
    proof: Proof,
    heap: TableName,
    *,
    workers: int,
    begun: Proven,
    progress: Callable[[int, int, int], None],
    keep: Callable[[Proven], None],
) -> _Found:
    while True:
        filenode = link.do(lambda connection: catalog.filenode(connection, heap))
        begun = begun if begun.filenode == filenode else Proven(filenode=filenode)
        found = _scan(link, proof, heap, workers=workers, begun=begun, progress=progress, keep=keep)
        if link.do(lambda connection: catalog.filenode(connection, heap)) == filenode:
            return found
        # VACUUM FULL or CLUSTER put its rows elsewhere meanwhile, onto pages that had been read already.


def _scan(
    link: Link,
    proof: Proof,
    heap: TableName,
    *,
    workers: int,
    begun: Proven,
    progress: Callable[[int, int, int], None],
    keep: Callable[[Proven], None],
) -> _Found:
    total = link.do(lambda connection: pages(connection, heap))
    begun = begun if begun.page <= total else Proven(filenode=begun.filenode)
    starts = range(begun.page, total + 1, REGION)
    tally = _Tally(begun)
    ranges, guard = iter(starts), threading.Lock()
    unread: list[int] = []

    def read(connection: Connection) -> _Read | None:
        with guard:
            first = unread.pop() if unread else next(ranges, None)
        if first is None:
            return None
        where = region(first, None if first + REGION > total else first + REGION)
        try:
            return _region(connection, proof, heap, where, first)
        except BaseException:
            with guard:
                unread.append(first)
            raise

    def found(each: _Read) -> None:
        tally.add(each)
        progress(min(tally.done, total), total, tally.rows)

    if len(starts) == 1:
        found(link.do(read) or _Read(first=0, rows=0, mismatches=0, samples=[], not_invertible=0))
        return tally.found
    kept = monotonic()
    with Crew[_Read](link, min(workers, len(starts)), read, prepare=lambda _: None) as crew:
        for told in crew.told(_EVERY):
            if told is not None:
                found(told)
            if monotonic() - kept > _KEPT_EVERY and not tally.mismatches:
                kept = monotonic()
                keep(tally.proven)
    if tally.ranges < len(starts):
        raise crew.unreachable or ConnectionFailedError("the scan could not go on", hint="run the same command again")
    return tally.found


def _region(connection: Connection, proof: Proof, heap: TableName, where: sql.Composable, first: int) -> _Read:
    """Read one range of pages."""
    with connection.transaction():
        if any(mapping.runs_code for mapping in proof.mappings):
            locks.as_the_owner(connection)
        rows, mismatches, *one_way = connection.execute(proof.count(heap, where)).fetchone() or (0, 0)
        samples = _samples(connection, proof, heap, where, SAMPLES) if mismatches else []
    return _Read(first=first, rows=rows, mismatches=mismatches, samples=samples, not_invertible=sum(one_way))


class _Tally:
    """What the workers found, put together."""

    def __init__(self, begun: Proven) -> None:
        self.proven = begun
        self.rows = begun.rows
        self.done = begun.page
        self.mismatches = self.not_invertible = 0
        self.ranges = 0
        self._samples: list[tuple[int, Sample]] = []
        self._beyond: dict[int, _Read] = {}

    def add(self, read: _Read) -> None:
        """Add a range; they come in any order, and what is proven ends at the first that is missing."""
        self.rows, self.mismatches = self.rows + read.rows, self.mismatches + read.mismatches
        self.ranges, self.done = self.ranges + 1, self.done + REGION
        self.not_invertible += read.not_invertible
        self._samples += [(read.first, sample) for sample in read.samples]
        self._beyond[read.first] = read
        while (following := self._beyond.pop(self.proven.page, None)) is not None:
            self.proven = replace(self.proven, page=self.proven.page + REGION, rows=self.proven.rows + following.rows)

    @property
    def found(self) -> _Found:
        """What was found in all."""
        samples = [sample for _, sample in sorted(self._samples, key=lambda each: each[0])]
        return _Found(
            rows=self.rows,
            mismatches=self.mismatches,
            samples=samples[:SAMPLES],
            not_invertible=self.not_invertible,
        )


def glance(connection: Connection, proof: Proof, *, seconds: float) -> Verdict | None:
    """Look for wrong rows all at once, before anything is begun; None where that takes too long, or writes.

    Args:
        connection: a session with the branch.
        proof: the table, and what must hold in each of its rows.
        seconds: the longest look.
    """
    proof = replace(proof, mappings=tuple(mapping.at_once for mapping in proof.mappings))
    everything, until = sql.SQL("true"), monotonic() + seconds
    rows = mismatches = 0
    samples: list[Sample] = []
    try:
        for heap in catalog.heaps(connection, proof.table):
            with locks.looking(connection, seconds=max(0.001, until - monotonic())):
                counted_rows, wrong, *_ = connection.execute(proof.count(heap, everything)).fetchone() or (0, 0)
                rows, mismatches = rows + counted_rows, mismatches + wrong
                if wrong and len(samples) < SAMPLES:
                    samples += _samples(connection, proof, heap, everything, SAMPLES - len(samples))
    except (errors.QueryCanceled, errors.ReadOnlySqlTransaction):
        return None
    return Verdict(
        table=proof.table,
        rows=rows,
        mismatches=mismatches,
        samples=tuple(samples),
        not_invertible=0,
        expressions=tuple(line for mapping in proof.mappings for line in mapping.says),
        in_place=True,
    )


def unproven(verdict: Verdict, proof: Proof | None = None) -> VerificationError:
    """Return the error for a table with rows whose two sides differ, or that lack what is demanded of them."""
    if verdict.in_place and not (proof and proof.complaint):
        return VerificationError(
            f"{verdict.mismatches:,} of {counted(verdict.rows, 'row')} of {verdict.table} do not have"
            f" {listed(verdict.expressions)}",
            details=[sample.line for sample in verdict.samples],
            hint="set these rows right, or have the plan repair them with using; then go on",
        )
    complaint = proof.complaint if proof and proof.complaint else "the two sides differ"
    told = proof is not None and any(complaint == mapping.overflow for mapping in proof.mappings)
    return VerificationError(
        f"{complaint} in {verdict.mismatches:,} of {counted(verdict.rows, 'row')} of {verdict.table}",
        details=[
            *(sample.line for sample in verdict.samples),
            *(() if told else (f"each row should have {listed(verdict.expressions)}",)),
        ],
        hint=(proof.remedy + proof.instead if proof else "")
        or "; ".join(verdict.advice)
        or f"{PAST_THE_TRIGGER}: set these rows right, then run the same command again",
    )


def _samples(connection: Connection, proof: Proof, heap: TableName, where: sql.Composable, most: int) -> list[Sample]:
    keys = catalog.primary_key(connection, heap) or ("ctid",)
    old = [name for mapping in proof.mappings for name in mapping.olds]
    new = [name for mapping in proof.mappings for name in mapping.news]
    shown = [*keys, *old, *new]
    columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in shown)
    found = connection.execute(
        sql.SQL("SELECT {} FROM ONLY {} WHERE {} AND ({}) LIMIT {}").format(
            columns, heap.identifier, where, proof.mismatch, sql.Literal(most)
        )
    ).fetchall()

    def part(row: tuple[Any, ...], start: int, names: Sequence[str]) -> dict[str, str | None]:
        return dict(zip(names, row[start : start + len(names)], strict=True))

    return [
        Sample(key=part(row, 0, keys), old=part(row, len(keys), old), new=part(row, len(keys) + len(old), new))
        for row in found
    ]
