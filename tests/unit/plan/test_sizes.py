"""Sizes are read and written as PostgreSQL does, in powers of 1024."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.sizes import format_size, humanize_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0B", 0), ("1B", 1), ("64kB", 65536), ("1.5 MB", 1572864), ("10GB", 10 * 1024**3), (" 2TB ", 2 * 1024**4)],
)
def test_what_people_write(text, size):
    """A number with its unit, and a fraction where it helps."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", [5, "5", "5KB", "5 mb", "-1GB", "", None, True, ["5MB"], "1e3MB"])
def test_what_is_refused(text):
    """A unit is needed, because nobody can tell bytes from megabytes."""
    with pytest.raises(ValueError, match="expected a size with its unit"):
        parse_size(text)


@given(st.integers(0, 2**60))
def test_written_back_in_one_form(size):
    """What is written reads back as the same, and is the same the second time."""
    text = format_size(size)
    assert parse_size(text) == size
    assert format_size(parse_size(text)) == text


def test_for_people():
    """Three digits and the unit that fits."""
    assert [humanize_size(each) for each in (0, 5, 2048, 1.25 * 1024**3)] == ["0 B", "5 B", "2 kB", "1.25 GB"]
