"""Every kind of change is found by itself and keeps the promises that the rest relies on."""

import importlib
import inspect
import re
import shlex
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
import typer
from pydantic import ValidationError

import orchestrator.operations
from orchestrator.cli.main import app
from orchestrator.cli.plans import Kinds
from orchestrator.operations import KINDS, Operation
from orchestrator.plan.document import parse
from orchestrator.plan.lifecycle import PHASES
from orchestrator.plan.model import Plan
from orchestrator.plan.schema import Notes, render_plan
from orchestrator.previews import new_plan
from orchestrator.sql.facts import Dependent

EXAMPLES = {
    "add_column": {"kind": "add_column", "table": "books", "column": "slug", "type": "text", "using": "lower(title)"},
    "drop_column": {"kind": "drop_column", "table": "books", "column": "year", "reverse": "1900"},
    "drop_not_null": {"kind": "drop_not_null", "table": "books", "column": "isbn"},
    "extract_table": {
        "kind": "extract_table",
        "table": "books",
        "columns": ["publisher", "city"],
        "into": {"table": "publishers", "key": "id"},
        "reference": "publisher_id",
    },
    "move_column": {
        "kind": "move_column",
        "table": "users",
        "column": "bio",
        "to": {"table": "profiles", "column": "bio"},
        "on": {"id": "user_id"},
    },
    "change_enum": {
        "kind": "change_enum",
        "type": "status",
        "rename": {"draft": "pending"},
        "remove": {"gone": "live"},
        "add": ["archived"],
    },
    "change_type": {"kind": "change_type", "table": "events", "column": "amount", "type": "bigint"},
    "rename_column": {"kind": "rename_column", "table": "books", "column": "year", "to": "published"},
    "rename_table": {"kind": "rename_table", "table": "books", "to": "volumes"},
    "sql": {
        "kind": "sql",
        "expand": "ALTER TABLE books ADD COLUMN slug text",
        "rollback": {"expand": "ALTER TABLE books DROP COLUMN slug"},
        "backfill": {"table": "books", "set": {"slug": "lower(title)"}},
    },
    "add_check": {"kind": "add_check", "table": "books", "name": "dated", "check": "year > 0", "using": {"year": "1"}},
    "add_foreign_key": {
        "kind": "add_foreign_key",
        "table": "books",
        "name": "by",
        "columns": ["author"],
        "references": {"table": "authors", "columns": ["id"]},
        "using": {"author": "NULL"},
    },
    "add_unique": {
        "kind": "add_unique",
        "table": "books",
        "name": "one_isbn",
        "columns": ["isbn"],
        "using": {"isbn": "isbn || '-' || id"},
    },
    "set_not_null": {"kind": "set_not_null", "table": "books", "column": "year", "using": "2000"},
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


def test_every_kind_has_a_file_of_its_name() -> None:
    """A module of the package that makes a kind is named like it; the others are what several kinds share."""
    folder = Path(inspect.getfile(orchestrator.operations)).parent
    modules = [importlib.import_module(f"orchestrator.operations.{path.stem}") for path in folder.glob("[a-z]*.py")]
    makers = {
        module.__name__.rpartition(".")[2]
        for module in modules
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Operation) and not inspect.isabstract(value) and value.__module__ == module.__name__
    }
    assert set(KINDS) == makers == set(EXAMPLES)


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
def test_a_new_plan_says_what_each_phase_is(kind: str) -> None:
    """Its file reads back as the plan that it is, also with every offer taken up and what was found acknowledged."""
    change: Operation = KINDS[kind].model_validate(EXAMPLES[kind])
    plan = new_plan(change, "example")
    found = Dependent(kind="function", name="public.f", why="its plpgsql body names it")
    text = render_plan(plan, notes=Notes.of(change, unfollowed=[found]))
    assert parse(text, file="example.yaml", model=Plan) == plan
    said = {
        phase for phase, guide in change.guide().items() if guide.about in " ".join(text.replace("\n# ", " ").split())
    }
    assert said == set(change.guide()) == set(PHASES)
    assert all(plan.phase(phase).deploy == guide.deploy != "" for phase, guide in change.guide().items())

    offered = re.sub(
        r"^  # ((?:acknowledge|workers|throttle|soak|checks|  .*):?.*)$", r"  \1", text, flags=re.MULTILINE
    )
    taken_up = parse(offered, file="example.yaml", model=Plan)
    assert taken_up.expand.acknowledge == ("public.f",)
    assert taken_up.migrate_reads.soak
    assert len(taken_up.migrate_reads.checks) == (change.suggested_check() is not None)


WITHOUT_A_FILL = (
    *EXAMPLES.values(),
    {"kind": "add_check", "table": "books", "name": "dated", "check": "year > 0"},
    {"kind": "drop_column", "table": "books", "column": "year"},
    {"kind": "sql", "expand": "CREATE TABLE shelves ()", "rollback": {"expand": "DROP TABLE shelves"}},
)
"""What may find nothing to fill, as some of the examples do."""


@pytest.mark.parametrize("fields", WITHOUT_A_FILL, ids=[str(fields["kind"]) for fields in WITHOUT_A_FILL])
def test_what_may_be_deployed_after_expand_still_may_after_a_backfill_with_nothing_to_do(
    fields: dict[str, str],
) -> None:
    """The backfill's word is expand's again: nobody who was to deploy something is told of nothing."""
    guide = KINDS[fields["kind"]].model_validate(fields).guide()
    before, after = guide["expand"].deploy, guide["backfill"].deploy

    assert "nothing" not in after
    if "nothing to fill" in guide["backfill"].about and not before.startswith("nothing yet"):
        assert after.startswith(f"as since expand, {before.partition(' may be deployed')[0]}")


def test_a_default_that_stays_goes_on_filling_a_column() -> None:
    """A version that leaves the column out may run after contract, where the default or NULL is its value."""
    added = {"kind": "add_column", "table": "books", "column": "slug", "type": "text"}
    ends = {
        key: KINDS["add_column"].model_validate({**added, **more}).guide()["contract"]
        for key, more in {
            "using": {"using": "title"},
            "required": {"not_null": True},
            "default": {"default": "''", "not_null": True},
            "nullable": {},
        }.items()
    }

    assert {key: end.deploy == "nothing" for key, end in ends.items()} == {
        "using": False, "required": False, "default": True, "nullable": True,
    }  # fmt: skip
    assert "nothing fills it" not in ends["default"].about


@kinds
def test_its_example_can_be_typed(kind: str) -> None:
    """The example on the command line is one change of the kind, as it stands in its help and in usage errors."""
    example = KINDS[kind].example
    program, *arguments = shlex.split(f"ecm plan {kind.replace('_', '-')} {example} --offline")
    assert program == "ecm"
    made: list[Operation] = []
    conductor = SimpleNamespace(draft=lambda change, **_: made.append(change))
    desk = SimpleNamespace(watched=lambda: nullcontext(conductor))
    desk.show = lambda _: None
    typer.main.get_command(app).main(arguments, standalone_mode=False, obj=desk)
    assert [type(each) for each in made] == [KINDS[kind]]


@kinds
def test_speaks_for_itself(kind: str) -> None:
    """Nothing that a person reads of it is what is said of every kind, and `ecm plan --help` says where it belongs."""
    cls = KINDS[kind]
    change: Operation = cls.model_validate(EXAMPLES[kind])
    assert cls.ending is not Operation.ending
    assert cls.example
    changed = change.touched(change.target) - set(change.made())
    assert not changed or cls.fate != Operation.fate
    assert kind.replace("_", "-") in {name for names in Kinds.SECTIONS.values() for name in names}


@kinds
def test_says_what_it_is_about(kind: str) -> None:
    """Its line names its table, its slug can be a plan's name, and what it claims is on its tables, or its type."""
    change: Operation = KINDS[kind].model_validate(EXAMPLES[kind])
    assert str(change.target) in change.summary
    assert Plan.model_validate({"plan": change.slug, "changes": [EXAMPLES[kind]]})
    of_types = tuple(filter(None, (change.type_changed(),)))
    own = (*change.tables(), *change.relations(), *of_types)
    assert {table for table, _ in change.claims()} == {str(table) for table in own}
    assert all(fields.description for name, fields in KINDS[kind].model_fields.items() if name != "kind")
