"""Durations: what people write, what is kept, what is shown."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.durations import format_duration, humanize, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200ms", timedelta(milliseconds=200)),
        ("1s", timedelta(seconds=1)),
        ("1.5s", timedelta(milliseconds=1500)),
        ("10m", timedelta(minutes=10)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("0s", timedelta(0)),
        (" 2 s ", timedelta(seconds=2)),
    ],
)
def test_every_unit_is_read(text, expected):
    """Each unit means what it says."""
    assert expected == parse_duration(text)


@pytest.mark.parametrize(
    "wrong", [5, 0, 1.5, "5", "5 parsecs", "-1s", "", "1e3s", None, True, [], {}, "٣s", "0.0000001s"]
)
def test_anything_else_is_refused_with_an_example(wrong):
    """A number without a unit, above all, is refused."""
    with pytest.raises(ValueError, match=r"such as 200ms, 1s|whole microseconds"):
        parse_duration(wrong)


def test_a_duration_beyond_counting_is_refused():
    """Python's own overflow does not come through."""
    with pytest.raises(ValueError, match="fits a calendar"):
        parse_duration("999999999999d")


@given(st.timedeltas(min_value=timedelta(0)))
def test_what_is_written_reads_back(duration):
    """The canonical form loses nothing."""
    assert duration == parse_duration(format_duration(duration))


@pytest.mark.parametrize(
    ("text", "canonical", "shown"),
    [
        ("24h", "1d", "1 day"),
        ("90m", "90m", "1 h 30 min"),
        ("1.5s", "1500ms", "1.5 s"),
        ("60s", "1m", "1 min"),
        ("200ms", "200ms", "200 ms"),
        ("0.5ms", "0.5ms", "0.5 ms"),
        ("0h", "0s", "0 s"),
        ("49h", "49h", "2 days 1 h"),
        ("86401s", "86401s", "1 day"),
    ],
)
def test_one_way_to_write_and_one_to_show(text, canonical, shown):
    """Equal durations are written alike; people see at most two units."""
    assert (canonical, shown) == (format_duration(parse_duration(text)), humanize(parse_duration(text)))
