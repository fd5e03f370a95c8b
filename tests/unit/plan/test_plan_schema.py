"""The schema editors use, and the text of a new plan."""

import json

from hypothesis import given
from hypothesis import strategies as st
from plan_strategies import plans

from orchestrator.operations import KINDS
from orchestrator.plan.document import parse
from orchestrator.plan.model import Plan
from orchestrator.plan.phases import PHASE_SETTINGS
from orchestrator.plan.schema import Notes, editor_comment, json_schema, render_plan
from orchestrator.sql.facts import Dependent


@given(plans)
def test_a_rendered_plan_reads_back(plan):
    """Whatever the plan holds, its file means the same."""
    assert plan == parse(render_plan(plan), file="p.yaml", model=Plan)


@given(plans, st.text(min_size=1))
def test_notes_change_nothing(plan, name):
    """Whatever names are in its comments, a file means what the plan says."""
    found = [Dependent(kind="function", name=name, why=f"its body names {name}")]
    text = render_plan(plan, notes=Notes.of(plan.changes[0], unfollowed=found))
    assert plan == parse(text, file="p.yaml", model=Plan)


def test_a_new_plan_is_one_to_keep():
    """Commented, with the keys that say something, a query in a block, and nothing else."""
    plan = Plan.model_validate(
        {
            "plan": "rename-published-year",
            "description": "books.published_year becomes publication_year",
            "changes": [
                {"kind": "rename_column", "table": "books", "column": "published_year", "to": "publication_year"}
            ],
            "expand": {"deploy": "nothing yet", "strategy": "copy"},
            "migrate_reads": {
                "soak": "24h",
                "checks": [{"name": "quiet", "sql": "select null\n  from books\n", "expect": None}],
            },
        }
    )
    assert render_plan(plan, schema="../../x.json") == (
        """\
# yaml-language-server: $schema=../../x.json
plan: rename-published-year
description: books.published_year becomes publication_year

# One or more changes; they move through the phases together.
changes:
  - kind: rename_column
    table: books
    column: published_year
    to: publication_year

# The new structure appears beside the old one; both are written from here on.
expand:
  deploy: nothing yet

# Readers move to the new structure; the old one is still written.
migrate_reads:
  checks:
    - name: quiet
      sql: |
        select null
          from books
      expect: null
  soak: 1d
"""
    )


def test_blanks_at_the_end_of_a_line_are_seen():
    """A block would hide them, so such a text is quoted."""
    change = {"kind": "rename_column", "table": "books", "column": "a", "to": "b"}
    plan = Plan.model_validate({"plan": "a", "changes": [change], "expand": {"deploy": "first \nsecond"}})
    assert 'deploy: "first \\nsecond"' in render_plan(plan)


def objects(schema):
    """Return what describes sections of a file; a word of several is no section."""
    return [schema, *(each for each in schema["$defs"].values() if each["type"] == "object")]


def test_every_object_is_closed_and_explained():
    """An editor can complete every key, mark every other, and say what each section is for."""
    for described in objects(json_schema()):
        assert described["additionalProperties"] is False
        assert described["description"]
        assert described["title"]


def test_every_kind_of_change_must_name_itself():
    """The key that picks the kind is required, and has one value."""
    kinds = [each for each in objects(json_schema()) if "kind" in each["properties"]]
    assert {each["properties"]["kind"]["const"] for each in kinds} == set(KINDS)
    assert all("kind" in each["required"] and "default" not in each["properties"]["kind"] for each in kinds)


def test_every_setting_is_explained_and_its_default_can_be_written():
    """Defaults stand in the schema as they would in a file."""
    definitions = json_schema()["$defs"]
    for phase, settings in PHASE_SETTINGS.items():
        properties = definitions[settings.__name__]["properties"]
        assert all(each["description"] for each in properties.values())
        defaults = {name: each["default"] for name, each in properties.items()}
        assert settings() == settings.model_validate(defaults), phase


def test_a_section_may_be_empty():
    """A section is a mapping or nothing, and has no default to fill in."""
    for phase, settings in PHASE_SETTINGS.items():
        either = {"anyOf": [{"$ref": f"#/$defs/{settings.__name__}"}, {"type": "null"}]}
        assert json_schema()["properties"][phase].items() >= either.items()
        assert "default" not in json_schema()["properties"][phase]


def test_the_schema_is_json():
    """It can be written to a file, and says which draft it is in."""
    assert json.loads(json.dumps(json_schema()))["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert editor_comment("a.json") == "# yaml-language-server: $schema=a.json"
