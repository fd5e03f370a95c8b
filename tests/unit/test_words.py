"""Words for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.words import counted, did_you_mean, kebab, listed, nearest


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("boks", ["books", "authors"], ("books",)),
        ("BOOKS", ["Books"], ("Books",)),
        ("xyz", ["books", "authors"], ()),
        ("book", [], ()),
    ],
)
def test_nearest(word: str, known: list[str], expected: tuple[str, ...]) -> None:
    """The names it may have meant, in their own spelling."""
    assert nearest(word, known) == expected


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("boks", ["books", "authors"], "did you mean books?"),
        ("yeer", ["year", "years", "title"], "did you mean year or years?"),
        ("zzz", ["books", "authors"], "there is authors, books"),
        ("zzz", [], ""),
        ("zzz", [f"t{n:02}" for n in range(13)], "there is " + ", ".join(f"t{n:02}" for n in range(12)) + " …"),
    ],
)
def test_did_you_mean(word: str, known: list[str], expected: str) -> None:
    """Near names where there are any, else what there is, as many as fit on a line."""
    assert did_you_mean(word, known) == expected


@pytest.mark.parametrize(
    ("names", "expected"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_listed(names: list[str], expected: str) -> None:
    """As one would say it."""
    assert listed(names) == expected


@pytest.mark.parametrize(("number", "expected"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (12_400, "12,400 rows")])
def test_counted(number: int, expected: str) -> None:
    """One row, many rows."""
    assert counted(number, "row") == expected


def test_counted_in_its_own_plural() -> None:
    """Not every plural ends in s."""
    assert counted(2, "branch", "branches") == "2 branches"


@pytest.mark.parametrize(
    ("name", "expected"), [("Published_Year", "published-year"), ("__x__", "x"), ("日本", "column"), ("a%b", "a-b")]
)
def test_kebab(name: str, expected: str) -> None:
    """A column's name made fit for a file."""
    assert kebab(name) == expected


@given(st.text())
def test_kebab_is_always_a_plan_name(name: str) -> None:
    """Whatever the column is called, the name can be a plan's."""
    made = kebab(name)
    assert made
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert made[0] != "-"
