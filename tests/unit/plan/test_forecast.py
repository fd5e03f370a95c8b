"""What a backfill will take, as arithmetic over what is known: ranges, and None for what nobody can know."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.forecast import Extent, Forecast, Measured, Span, builds, forecast, measured
from orchestrator.sql.identifiers import TableName
from orchestrator.sql.mapping import Conversion, Copy, Filling, Mapping, Value
from orchestrator.sql.steps import ConcurrentIndex

MB = 1 << 20
BOOKS = TableName("public", "books")
COPY = Copy(old="year", new="published", type="integer", default=None)
EXTENT = Extent(
    rows=1_000_000, heap=100 * MB, indexes=50 * MB, toast=0, widths={"year": 4.0}, index_sizes={"i": 20 * MB}
)
THERE = Measured(
    branch="development",
    rows=100_000,
    rows_per_second=50_000,
    share_in_place=0.8,
    heap_before=10 * MB,
    heap_after=12 * MB,
    indexes_before=5 * MB,
    indexes_after=6 * MB,
    wal=20 * MB,
)


def index(name: str, like: str | None = None) -> ConcurrentIndex:
    return ConcurrentIndex(key=name, title=name, table=BOOKS, name=name, unique=False, tail="", like=like)


def of(extent: Extent = EXTENT, pair: Mapping = COPY, *built: ConcurrentIndex, by: Measured | None = None) -> Forecast:
    return forecast(extent, (pair,), built, by)


def test_without_a_measure_it_is_a_wide_guess() -> None:
    """A million rows take between the pace of a large server and that of a small one."""
    found = of()
    assert found.seconds == Span(least=5, most=50)
    assert found.pace == Span(least=20_000, most=200_000)
    assert found.measured is None


def test_wide_rows_are_told_by_their_bytes() -> None:
    """Where a table is large for its rows, the bytes decide."""
    assert of(replace(EXTENT, rows=1000)).seconds == Span(least=2, most=20)


def test_a_table_that_was_never_analyzed_has_no_number_of_rows() -> None:
    """Nothing is said in rows then: no pace, and nothing of the new column's size."""
    found = of(replace(EXTENT, rows=None))
    assert (found.pace, found.added) == (None, None)
    assert found.seconds == Span(least=2, most=20)
    assert found.disk.least > 0


def test_a_measured_pace_is_taken_over() -> None:
    """As development did: its pace at the least, and a margin; as it grew, or twice where nothing can be pruned."""
    found = of(by=THERE)
    assert found.seconds == Span(least=20, most=30)
    assert found.pace == Span(least=50_000, most=50_000)
    assert found.heap == Span(least=pytest.approx(20 * MB), most=100 * MB + 4_000_000)
    assert found.indexes == Span(least=pytest.approx(10 * MB), most=50 * MB)
    assert found.wal.least == 200 * MB


def test_a_table_far_larger_than_the_measured_one_has_a_wider_margin() -> None:
    """What fits into memory there may not fit here."""
    found = of(replace(EXTENT, rows=100_000_000, heap=10_000 * MB), by=THERE)
    assert found.seconds == Span(least=2000, most=6000)


def test_a_measure_scales_by_bytes_where_rows_are_unknown() -> None:
    """Ten times the heap takes ten times as long."""
    assert of(replace(EXTENT, rows=None), by=THERE).seconds.least == 20


def test_what_has_nothing_to_fill_takes_no_disk() -> None:
    """A column with a constant default is a matter of the catalog; its rows are read once."""
    found = of(EXTENT, Filling(new=Value(column="flag", type="boolean", expression=None)))
    assert (found.writes, found.disk.most, found.wal.most, found.pace) == (False, 0, 0, None)
    assert found.seconds.most > 0


def test_new_columns_are_as_wide_as_their_types_or_what_they_are_made_of() -> None:
    """A copy is as wide as its source, a bigint always eight bytes; of parts only the most is known, or nothing."""

    def split(*types: str) -> Conversion:
        new = tuple(Value(column=f"c{place}", type=name, expression="x") for place, name in enumerate(types))
        return Conversion(old=(Value(column="year", type="integer", expression=None),), new=new)

    assert of().added == Span(least=4_000_000, most=4_000_000)
    assert of(EXTENT, split("bigint", "timestamp(3)")).added == Span(least=16_000_000, most=16_000_000)
    assert of(EXTENT, split("text", "text")).added == Span(least=0, most=8_000_000)
    assert of(replace(EXTENT, widths={}), split("text")).added is None
    assert of(EXTENT, Filling(new=Value(column="slug", type="text", expression="f(x)"))).added is None


def test_indexes_that_are_built_are_told_by_their_twins() -> None:
    """A twin is no larger than what it is like; a new one follows from its values, where they are known."""
    found = of(EXTENT, COPY, index("a", like="i"), index("b", like="gone"), index("c"))
    assert found.built["a"] == Span(least=10 * MB, most=20 * MB)
    assert found.built["b"] is None
    assert found.built["c"] == Span(least=20_000_000, most=28_000_000)
    assert found.disk.most == found.heap.most + found.indexes.most + 20 * MB + 28_000_000


def test_the_twins_on_partitions_are_one() -> None:
    """However many partitions hold it, the index that is there is counted once."""
    assert [each.name for each in builds((index("p1", "i"), index("p2", "i"), index("u")))] == ["p1", "u"]


def test_the_branch_itself_is_the_best_measure_then_the_largest() -> None:
    """Rows that are too few, and sweeps that wrote nothing, say nothing of the pace."""

    def swept(rows: int, pace: int | None = 1000) -> dict[str, Any]:
        return {"sweep books": {"filled": rows, "rows_per_second": pace}}

    moves = [
        ("development", swept(20_000)),
        ("staging", swept(90_000)),
        ("tiny", swept(500, 9)),
        ("again", swept(10**6, None)),
        ("other", {"sweep authors": {"filled": 10**7, "rows_per_second": 1}}),
        ("empty", {}),
    ]
    best = measured("sweep books", moves, here="production")
    own = measured("sweep books", moves, here="development")
    assert best
    assert own
    assert (best.branch, own.branch) == ("staging", "development")
    assert measured("sweep books", [("production", swept(9_999))], here="production") is None
    assert measured("sweep cats", moves, here="production") is None


extents = st.builds(
    Extent,
    rows=st.none() | st.integers(0, 10**12),
    heap=st.integers(0, 1 << 50),
    indexes=st.integers(0, 1 << 50),
    toast=st.integers(0, 1 << 50),
    widths=st.dictionaries(st.sampled_from(["year"]), st.floats(0, 1e6)),
    index_sizes=st.dictionaries(st.sampled_from(["i"]), st.integers(0, 1 << 50)),
)
measures = st.builds(
    Measured,
    branch=st.just("b"),
    rows=st.integers(10_000, 10**12),
    rows_per_second=st.floats(1, 1e7),
    share_in_place=st.none() | st.floats(0, 1),
    heap_before=st.integers(0, 1 << 50),
    heap_after=st.integers(0, 1 << 50),
    indexes_before=st.integers(0, 1 << 50),
    indexes_after=st.integers(0, 1 << 50),
    wal=st.integers(0, 1 << 50),
)


@given(extents, st.none() | measures)
def test_the_least_is_never_more_than_the_most(extent: Extent, by: Measured | None) -> None:
    """Whatever is known, a range is one, and nothing is negative."""
    found = of(extent, COPY, index("a", like="i"), index("c"), by=by)
    spans = (found.seconds, found.heap, found.indexes, found.wal, found.disk, found.pace, found.added)
    assert all(0 <= span.least <= span.most for span in (*spans, *found.built.values()) if span is not None)
