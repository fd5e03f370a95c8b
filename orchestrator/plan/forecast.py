"""Say beforehand what a backfill will take: time, disk and WAL, as ranges.

Pure arithmetic over what the catalog says of a table and what the ledger recorded of the same sweep elsewhere.
What nobody can know is None, and never a number.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from orchestrator.sql.conversion import Conversion
from orchestrator.sql.filling import Filling
from orchestrator.sql.mapping import Copy
from orchestrator.sql.mapping import Mapping as Pair
from orchestrator.sql.steps import ConcurrentIndex, Step

_PACE = (20_000, 200_000)
"""Rows a second, slow and fast, where nothing was measured: what small and large servers do with two workers."""
_BYTES = (5 << 20, 50 << 20)
"""Bytes of heap a second, slow and fast, for tables whose rows are wide."""
_LEAST_MEASURED = 10_000
"""Rows below which a pace says nothing: the sweep's first batches find theirs."""
_ALIKE = 10
"""How many times larger a table may be than the measured one, and its pace still be taken for the same."""
_MARGIN, _WIDE_MARGIN = 1.5, 3.0
"""How much longer than measured it may take; the larger one where the table may not fit into memory any more."""
_HEAP_IN_PLACE, _INDEXES_IN_PLACE = 0.2, 0.1
"""The least by which heap and indexes grow, where most rows can stay on their page (measured in benchmarks/)."""
_WAL = (1.5, 2.0)
"""WAL for each byte of heap: a full page, and half of its rows, or all of them ("full_page_writes")."""
_INDEX_ENTRY = (16, 24)
"""Bytes of a btree entry without its value, packed and at the fill of a fresh build."""

_WIDTHS = {
    "boolean": 1, "bool": 1, "smallint": 2, "int2": 2, "integer": 4, "int": 4, "int4": 4, "bigint": 8, "int8": 8,
    "real": 4, "float4": 4, "double precision": 8, "float8": 8, "date": 4, "time": 8, "timestamp": 8,
    "timestamp without time zone": 8, "timestamp with time zone": 8, "timestamptz": 8, "interval": 16, "uuid": 16,
}  # fmt: skip
"""Bytes of the types that are always as wide (pg_type.typlen)."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """From the least to the most."""

    least: float
    most: float

    def plus(self, other: "Span") -> "Span":
        """Return both together."""
        return Span(least=self.least + other.least, most=self.most + other.most)

    def times(self, factor: float) -> "Span":
        """Return a multiple of it."""
        return Span(least=self.least * factor, most=self.most * factor)


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How large a table is, its partitions included. Bytes."""

    rows: int | None
    """The planner's estimate for the size it has now; None where it was never analyzed."""
    heap: int
    indexes: int
    toast: int
    widths: Mapping[str, float] = field(default_factory=dict[str, float])
    """Bytes a row spends on each column, on average; without those that were never analyzed."""
    index_sizes: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a sweep of the same plan on the same table took. Bytes and seconds."""

    branch: str
    rows: int
    rows_per_second: float
    share_in_place: float | None
    heap_before: int
    heap_after: int
    indexes_before: int
    indexes_after: int
    wal: int


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a table's backfill will take. Bytes and seconds."""

    writes: bool
    """Whether there is anything to write; otherwise the rows are only read."""
    seconds: Span
    pace: Span | None
    """Rows a second; None where the number of rows is not known."""
    measured: Measured | None
    """What it was estimated from; None where it is a guess."""
    added: Span | None
    """What the new columns' values take; None where nobody can tell before they are made."""
    heap: Span
    indexes: Span
    """By how much heap and existing indexes grow."""
    built: Mapping[str, Span | None]
    """The indexes that are built, by name."""
    wal: Span

    @property
    def disk(self) -> Span:
        """What is needed beyond what the table takes now, at the peak, without WAL and what is not known."""
        known = [span for span in self.built.values() if span is not None]
        return _total((self.heap, self.indexes, *known))


def forecast(
    extent: Extent, pairs: Iterable[Pair], indexes: Iterable[ConcurrentIndex], measured: Measured | None
) -> Forecast:
    """Return what a table's backfill will take.

    Args:
        extent: of the table.
        pairs: its mappings.
        indexes: those that are built before contract is over.
        measured: what it took elsewhere, if that is known.
    """
    pairs = tuple(pairs)
    writes = any(map(_writes, pairs))
    added = _added(extent, pairs) if writes else Span(least=0, most=0)
    grown = Span(least=0, most=0)
    return Forecast(
        writes=writes,
        seconds=_seconds(extent, measured) if writes else _read(extent),
        pace=_pace(extent, measured) if writes else None,
        measured=measured if writes else None,
        added=added,
        heap=_heap(extent, measured, added) if writes else grown,
        indexes=_indexes(extent, measured) if writes else grown,
        built=_built(extent, pairs, indexes),
        wal=_wal(extent, measured) if writes else grown,
    )


def measured(sweep: str, moves: Iterable[tuple[str, Mapping[str, Any]]], *, here: str) -> Measured | None:
    """Return the best of what was recorded of a sweep: on the branch itself, else where it wrote the most rows.

    Args:
        sweep: the step's key.
        moves: a plan's moves in the ledger, oldest first: (branch, what was measured).
        here: the branch that it is asked for.
    """
    found = [
        Measured(
            branch=branch,
            rows=values["filled"],
            rows_per_second=values["rows_per_second"],
            share_in_place=values.get("share_in_place"),
            heap_before=values.get("heap_before", 0),
            heap_after=values.get("heap_after", 0),
            indexes_before=values.get("indexes_before", 0),
            indexes_after=values.get("indexes_after", 0),
            wal=values.get("wal", 0),
        )
        for branch, data in moves
        for values in [cast("dict[str, Any]", data.get(sweep) or {})]
        if values.get("rows_per_second") and values.get("filled", 0) >= _LEAST_MEASURED
    ]
    # The last of equals is the newest.
    return max(reversed(found), key=lambda each: (each.branch == here, each.rows), default=None)


def builds(steps: Iterable[Step]) -> tuple[ConcurrentIndex, ...]:
    """Return the indexes among steps; of those on partitions, one for all of them."""
    found: dict[str, ConcurrentIndex] = {}
    for step in steps:
        if isinstance(step, ConcurrentIndex):
            found.setdefault(step.like or step.name, step)
    return tuple(found.values())


def _total(spans: Iterable[Span]) -> Span:
    several = tuple(spans)
    return Span(least=sum(span.least for span in several), most=sum(span.most for span in several))


def _writes(pair: Pair) -> bool:
    return not (isinstance(pair, Filling) and pair.new.expression is None)


def _seconds(extent: Extent, measured: Measured | None) -> Span:
    slow, fast = _BYTES
    if measured is None:
        by_heap = Span(least=extent.heap / fast, most=extent.heap / slow)
        if extent.rows is None:
            return by_heap
        slow, fast = _PACE
        return Span(least=max(by_heap.least, extent.rows / fast), most=max(by_heap.most, extent.rows / slow))
    took = measured.rows / measured.rows_per_second
    by_heap_ratio = extent.heap / measured.heap_before if measured.heap_before else 0.0
    ratio = extent.rows / measured.rows if extent.rows is not None else by_heap_ratio
    largest = max(ratio, by_heap_ratio)
    return Span(least=took * ratio, most=took * largest * (_MARGIN if largest <= _ALIKE else _WIDE_MARGIN))


def _read(extent: Extent) -> Span:
    """The proof's scan alone; it reads about ten times as fast as a sweep writes."""
    slow, fast = _BYTES
    return Span(least=extent.heap / fast / 10, most=extent.heap / slow / 10)


def _pace(extent: Extent, measured: Measured | None) -> Span | None:
    if measured is not None:
        return Span(least=measured.rows_per_second, most=measured.rows_per_second)
    slow, fast = _PACE
    return Span(least=slow, most=fast) if extent.rows is not None else None


def _added(extent: Extent, pairs: tuple[Pair, ...]) -> Span | None:
    """What the values of the new columns take, from their types, or from the columns that they are made of."""
    if extent.rows is None:
        return None
    spans = [_width(extent, pair) for pair in pairs]
    known = [span for span in spans if span is not None]
    return _total(known).times(extent.rows) if len(known) == len(spans) else None


def _width(extent: Extent, pair: Pair) -> Span | None:
    if isinstance(pair, Copy):
        width = extent.widths.get(pair.old, _fixed(pair.type))
        return None if width is None else Span(least=width, most=width)
    values = pair.new if isinstance(pair, Conversion) else (pair.new,) if isinstance(pair, Filling) else ()
    fixed = [_fixed(value.type) for value in values]
    if values and all(width is not None for width in fixed):
        whole = sum(width for width in fixed if width is not None)
        return Span(least=whole, most=whole)
    made_of = [extent.widths.get(old) for old in pair.olds]
    if not made_of or any(width is None for width in made_of):
        return None
    # Parts of a value are about as wide as the whole together; what else an expression makes, nobody knows.
    return Span(least=0, most=2 * sum(width for width in made_of if width is not None))


def _fixed(type_name: str) -> int | None:
    return _WIDTHS.get(type_name.lower().partition("(")[0].strip())


def _heap(extent: Extent, measured: Measured | None, added: Span | None) -> Span:
    if measured is not None and measured.heap_before:
        share = max(0.0, measured.heap_after / measured.heap_before - 1)
        return Span(least=extent.heap * share, most=extent.heap * max(share, 1.0) + (added.most if added else 0))
    values = added or Span(least=0, most=0)
    return Span(least=extent.heap * _HEAP_IN_PLACE, most=float(extent.heap)).plus(values)


def _indexes(extent: Extent, measured: Measured | None) -> Span:
    share = _INDEXES_IN_PLACE
    if measured is not None and measured.indexes_before:
        share = max(0.0, measured.indexes_after / measured.indexes_before - 1)
    return Span(least=extent.indexes * share, most=extent.indexes * max(share, 1.0))


def _wal(extent: Extent, measured: Measured | None) -> Span:
    least, most = (extent.heap * factor for factor in _WAL)
    worst = most + 2 * extent.indexes
    if measured is None or not measured.wal:
        return Span(least=least, most=worst)
    if extent.rows is not None:
        least = measured.wal / measured.rows * extent.rows
    elif measured.heap_before:
        least = measured.wal / measured.heap_before * extent.heap
    return Span(least=least, most=max(least, worst))


def _built(extent: Extent, pairs: tuple[Pair, ...], indexes: Iterable[ConcurrentIndex]) -> dict[str, Span | None]:
    return {index.name: _index(extent, pairs, index) for index in indexes}


def _index(extent: Extent, pairs: tuple[Pair, ...], index: ConcurrentIndex) -> Span | None:
    if index.like is not None:
        # A fresh build is packed; the one that is there has grown with its table.
        size = extent.index_sizes.get(index.like)
        return None if size is None else Span(least=size / 2, most=size)
    widths = [_width(extent, pair) for pair in pairs]
    known = [span for span in widths if span is not None]
    if extent.rows is None or not known or len(known) < len(widths):
        return None
    packed, loose = _INDEX_ENTRY
    return _total(known).plus(Span(least=packed, most=loose)).times(extent.rows)
