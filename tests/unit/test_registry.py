"""Every kind of change is found by itself and keeps the promises that the rest relies on."""

import inspect
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

import orchestrator.operations
from orchestrator.operations import KINDS, Operation
from orchestrator.plan.model import Plan

EXAMPLES = {
    "add_column": {"kind": "add_column", "table": "books", "column": "slug", "type": "text", "using": "lower(title)"},
    "change_type": {"kind": "change_type", "table": "events", "column": "amount", "type": "bigint"},
    "rename_column": {"kind": "rename_column", "table": "books", "column": "year", "to": "published"},
    "split_column": {
        "kind": "split_column",
        "table": "users",
        "column": "full_name",
        "into": [{"column": "first_name", "type": "text", "using": "split_part(full_name, ' ', 1)"}],
        "reverse": "first_name",
    },
    "merge_columns": {
        "kind": "merge_columns",
        "table": "addresses",
        "columns": ["street", "number"],
        "into": {"column": "line", "type": "text", "using": "concat_ws(' ', street, number)"},
        "reverse": {"street": "line", "number": "''"},
    },
}
"""One change of each kind, as it stands in a file."""

kinds = pytest.mark.parametrize("kind", sorted(KINDS))


def test_every_file_is_a_kind() -> None:
    """A file in the package is a kind of change, what several of them share apart."""
    folder = Path(inspect.getfile(orchestrator.operations)).parent
    shared = {"__init__", "at_once", "base", "building", "casts", "constraints", "converting", "feeding"} | {
        "succession",
        "trying",
    }
    files = {path.stem for path in folder.glob("*.py")} - shared
    assert set(KINDS) == files == set(EXAMPLES)


@kinds
def test_file_key_and_class_have_one_name(kind: str) -> None:
    """`rename_column.py`, `kind: rename_column`, `RenameColumn`."""
    cls = KINDS[kind]
    assert cls.__name__ == "".join(word.capitalize() for word in kind.split("_"))
    assert get_args(cls.model_fields["kind"].annotation) == (kind,)
    assert cls.__doc__


@kinds
def test_is_a_frozen_value(kind: str) -> None:
    """A change is a value: equal when it says the same, and never altered."""
    change = KINDS[kind].model_validate(EXAMPLES[kind])
    assert change == KINDS[kind].model_validate(EXAMPLES[kind])
    assert hash(change) == hash(KINDS[kind].model_validate(EXAMPLES[kind]))
    with pytest.raises(ValidationError, match="frozen"):
        change.kind = "other"
    with pytest.raises(ValidationError, match="Extra inputs"):
        KINDS[kind].model_validate({**EXAMPLES[kind], "unheard": 1})


@kinds
def test_survives_json(kind: str) -> None:
    """The journal keeps a plan as JSON and reads it back as it was."""
    plan = Plan.model_validate({"plan": "example", "changes": [EXAMPLES[kind]]})
    again = Plan.model_validate(plan.model_dump(mode="json"))
    assert again == plan
    assert isinstance(again.changes[0], KINDS[kind])


@kinds
def test_says_what_it_is_about(kind: str) -> None:
    """Its line names its table, its slug can be a plan's name, and what it claims is on its table."""
    change: Operation = KINDS[kind].model_validate(EXAMPLES[kind])
    assert str(change.target) in change.summary
    assert Plan.model_validate({"plan": change.slug, "changes": [EXAMPLES[kind]]})
    assert {table for table, _ in change.claims()} == {str(change.target)}
    assert all(fields.description for name, fields in KINDS[kind].model_fields.items() if name != "kind")
