"""Values of one enum type for those of another, as expressions."""

import pytest

from orchestrator.sql import relabeling

SAME = '"s"::pg_catalog.text::t'


def test_a_value() -> None:
    """Labels that are the same in both types need no word; what the type does not have is NULL."""
    assert relabeling.of_value("s", {}, "t") == SAME
    assert (
        relabeling.of_value("s", {"b": "it's", "a": "c"}, "t", unknown=["x"])
        == """(CASE "s"::pg_catalog.text WHEN 'a' THEN 'c' WHEN 'b' THEN 'it''s' WHEN 'x' THEN NULL"""
        """ ELSE "s"::pg_catalog.text END)::t"""
    )


@pytest.mark.parametrize(
    "labels", [{"a": "b", "b": "a"}, {"a": "b", "b": "c"}, {"a": "b"}, {"a": "c", "b": "c"}, {"b": "a", "c": "b"}]
)
def test_an_array_whatever_takes_whose_place(labels: dict[str, str]) -> None:
    """Replacing one label after the other gives what replacing all at once does."""
    found = ["a", "b", "c", "d"]
    for old, new in relabeling.one_by_one(labels):
        found = [new if label == old else label for label in found]
    assert found == [labels.get(label, label) for label in ["a", "b", "c", "d"]]


def test_the_order_of_a_plan_does_not_matter() -> None:
    """The journal keeps a plan's mappings in another order, and its functions are compared to the letter."""
    one, other = {"a": "b", "bb": "a"}, {"bb": "a", "a": "b"}
    for how in (relabeling.of_value, relabeling.of_array):
        assert how("s", one, "t") == how("s", other, "t")
