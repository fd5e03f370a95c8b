"""`ecm plan KIND`: from what is typed to a plan that one would keep."""

import pytest
from cli.runs import Project

SPLIT = ("plan", "split-column", "users", "full_name")
REVERSE = ("--reverse", "concat_ws(' ', first, last)")
IN_SHORT = ("--into", "first text = split_part(full_name, ' ', 1)", "--into", "last varchar(9) NOT NULL = lower('a=b')")
AS_YAML = (
    "--into",
    """[{column: first, type: text, using: "split_part(full_name, ' ', 1)"},"""
    """ {column: last, type: varchar(9), using: "lower('a=b')", not_null: true}]""",
)


def written(project: Project, *arguments: str) -> str:
    answer = project.ecm(*arguments, "--offline", "--json")
    assert answer.code == 0, answer.out
    (project.root / answer.json["path"]).unlink()
    return answer.json["text"]


@pytest.mark.parametrize("given", [AS_YAML, (*IN_SHORT[:2], "--into", "{column: last, type: varchar(9), using: \"lower('a=b')\", not_null: true}")])  # fmt: skip
def test_what_has_parts_is_taken_in_short_and_as_yaml(offline: Project, given: tuple[str, ...]) -> None:
    """Once for each, or all at once; mixed too. It is the same plan."""
    assert written(offline, *SPLIT, *IN_SHORT, *REVERSE) == written(offline, *SPLIT, *given, *REVERSE)


def test_a_mapping_is_taken_in_short_and_as_yaml(offline: Project) -> None:
    """`street = line`, once for each; what comes after the first = is the value."""
    merge = ("plan", "merge-columns", "addresses", "--columns", "street", "--columns", "number")
    into = ("--into", "line text = concat_ws(' ', street, number)")
    short = written(offline, *merge, *into, "--reverse", "street = line", "--reverse", "number = 'a = b'")
    assert short == written(offline, *merge, *into, "--reverse", "{street: line, number: \"'a = b'\"}")
    assert "number: \"'a = b'\"" in short


def test_a_reference_is_taken_in_short(offline: Project) -> None:
    """As it stands in REFERENCES."""
    add = ("plan", "add-column", "books", "author", "integer", "--references")
    assert written(offline, *add, "people(id)") == written(offline, *add, "{table: people, columns: [id]}")
    assert "table: people" in written(offline, *add, "people")


def test_a_new_plan_names_what_a_person_has_to_take_care_of(project: Project) -> None:
    """It is offered for acknowledgement and not acknowledged; with the # taken away the plan can begin."""
    body = "CREATE FUNCTION since(y int) RETURNS bigint LANGUAGE plpgsql AS"
    project.sql("development", f"{body} 'BEGIN RETURN (SELECT count(*) FROM books WHERE title > $1::text); END'")
    answer = project.ecm("plan", "rename-column", "books", "title", "heading")
    file = project.root / "plans" / "rename-title.yaml"

    assert answer.code == 0
    assert "function public.since cannot follow" in answer.out
    assert "ecm advance" not in answer.out.rpartition("next")[2]
    assert "\n  # acknowledge: [public.since]\n" in file.read_text()
    assert project.ecm("advance", "rename-title", "--branch", "development").code == 4
    file.write_text(file.read_text().replace("# acknowledge", "acknowledge"))
    assert project.ecm("plan", "validate", "rename-title").code == 0
    assert project.ecm("advance", "rename-title", "--branch", "development").code == 0


def test_names_that_are_not_there_are_met_with_those_that_are(project: Project) -> None:
    """A table or column that does not exist is an error with the nearest name; nothing is written."""
    for arguments, meant in ((("bookz", "title", "heading"), "books"), (("books", "titel", "heading"), "title")):
        answer = project.ecm("plan", "rename-column", *arguments)
        assert (answer.code, answer.out) == (1, "")
        assert f"did you mean {meant}?" in answer.err
    assert len(list((project.root / "plans").iterdir())) == 1
