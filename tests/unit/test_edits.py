"""Edits of a schema, as values."""

import pytest

from orchestrator.sql.edits import ChangeLabels
from orchestrator.sql.identifiers import TableName

CHANGE = ChangeLabels(
    type=TableName.parse("state"),
    before=("in print", "draft", "gone", "it's"),
    rename={"in print": "draft", "draft": 'said "so"'},
    remove={"gone": "draft"},
    add=("gone",),
    tables=(TableName.parse("books"),),
)


@pytest.mark.parametrize(
    ("default", "then"),
    [
        ("'in print'", "'draft'"),
        ("'in print'::public.state", "'draft'::public.state"),
        ("'it''s'", "'it''s'"),
        ("'gone'", "'draft'"),
        (r"""'{"in print",draft,NULL,it''s}'""", r"""'{draft,"said \"so\"",NULL,it''s}'"""),
        ("'{}'", "'{}'"),
        ("some_state()", "some_state()"),
    ],
)
def test_a_default_has_the_labels_of_the_end(default: str, then: str) -> None:
    """One value or an array of them, with what stands behind it; what is no constant stays as it is."""
    assert CHANGE.default(default) == then


def test_labels_make_room_for_one_another() -> None:
    """Each rename finds its name free: what goes is out of the way, and what is exchanged has a name in between."""
    labels, renames = list(CHANGE.before), [each.as_string(None) for each in CHANGE.statements]
    for statement in (each for each in renames if each.startswith("ALTER TYPE")):
        _, old, _, new, _ = statement.replace("''", "\0").split("'")
        assert new not in labels, statement
        labels[labels.index(old)] = new
    assert labels[:2] == ["draft", 'said "so"']
    assert "gone" not in labels, "its name is for the one that comes"
    assert CHANGE.labels == ("draft", 'said "so"', "it's", "gone")
