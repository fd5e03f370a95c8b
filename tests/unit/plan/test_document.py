"""Files that are wrong: every fault by line and column, in words."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_strategies import contents

from orchestrator.errors import InvalidFileError
from orchestrator.operations import KINDS
from orchestrator.plan.document import parse
from orchestrator.plan.model import Plan
from orchestrator.plan.project import Project
from orchestrator.words import listed

GOOD = """\
plan: rename-published-year
changes:
  - kind: rename_column
    table: books
    column: published_year
    to: publication_year
"""


def faults(text, model=Plan):
    with pytest.raises(InvalidFileError) as caught:
        parse(text, file="p.yaml", model=model)
    assert caught.value.hint is not None
    return [line.removeprefix("p.yaml:") for line in caught.value.details]


def outcome(text, model):
    """Return the faults of any text, none where it is right; no other error may come."""
    try:
        parse(text, file="p", model=model)
    except InvalidFileError as error:
        return error.details
    return None


def test_a_good_file_is_read():
    """The contract's example reads as it is meant."""
    plan = parse(GOOD, file="p.yaml", model=Plan)
    assert plan.plan == "rename-published-year"
    assert plan.changes[0].to == "publication_year"


def test_the_message_names_the_file_and_counts():
    """Someone who sees the first line only knows which file to open."""
    with pytest.raises(InvalidFileError, match=r"^plans/x\.yaml has 2 problems$"):
        parse("a: 1\nplan: x\n", file="plans/x.yaml", model=Plan)


MODEL_FAULTS = {
    "a key one letter off": (
        GOOD.replace("column: p", "colum: p"),
        [
            "3:5: key 'column' is missing in changes[0] (rename_column)",
            "5:5: unknown key 'colum' in changes[0] (rename_column); did you mean 'column'?",
        ],
    ),
    "a key like no other": (
        GOOD + "contract: {zzz: 1}\n",
        [
            "7:12: unknown key 'zzz' in contract; its keys are deploy, checks, require, hooks, lock_timeout and"
            " undo_window"
        ],
    ),
    "a kind one letter off": (
        GOOD.replace("rename_column", "rename_colum"),
        ["3:11: unknown kind 'rename_colum' in changes[0]; did you mean 'rename_column'?"],
    ),
    "no kind": (
        GOOD.replace("kind: rename_column\n    ", ""),
        [f"3:5: changes[0]: key 'kind' is missing; the kinds are {listed(KINDS)}"],
    ),
    "a number for text": (
        GOOD + "contract: {deploy: 5}",
        ["7:20: contract.deploy: expected text, found the number 5; put it in quotes"],
    ),
    "text for a list": (
        GOOD + "expand:\n  acknowledge: a.b",
        ["8:16: expand.acknowledge: expected a list, such as [a.b], found 'a.b'"],
    ),
    "a number for a section": (GOOD + "expand: 5", ["7:9: expand: expected keys and values, found the number 5"]),
    "a list for a single value": (
        GOOD + "contract: {checks: [{name: a, sql: b, expect: [1]}]}",
        ["7:47: contract.checks[0].expect: expected true or false, a whole number, a number or text, found a list"],
    ),
    "a duration without its unit": (
        GOOD + "backfill: {batch_time: 5}",
        ["7:24: backfill.batch_time: expected a duration with its unit, such as 200ms, 1s, 10m, 24h or 7d, found 5"],
    ),
    "a lock timeout that PostgreSQL takes for none": (
        GOOD + "expand: {lock_timeout: 0s}",
        ["7:24: expand.lock_timeout: expected a duration between 1ms and 1h, found 0s"],
    ),
    "a choice that does not exist": (
        GOOD + "expand: {strategy: shadow}",
        ["7:20: expand.strategy: expected copy or facade, found 'shadow'"],
    ),
    "a facade for more than names": (
        GOOD + "  - {kind: add_column, table: t, column: c, type: text}\nexpand: {strategy: facade}",
        ["7:5: strategy: facade shows a column under two names, and add_column makes another value"],
    ),
    "no changes": ("plan: a\nchanges: []", ["2:10: changes: expected at least 1 entry, found an empty list"]),
    "a change that is nothing": (
        "plan: a\nchanges: [null]",
        ["2:11: changes[0]: expected keys and values, found nothing"],
    ),
    "a name in capitals": (
        GOOD.replace("rename-published-year", "Year"),
        ["1:7: plan: expected lower-case letters, digits and hyphens, such as rename-published-year, found 'Year'"],
    ),
    "an empty file": ("# nothing\n", ["1:1: expected keys at the top, such as plan: and changes:; the file is empty"]),
    "a list at the top": ("\n- a", ["2:1: expected keys at the top, such as plan: and changes:; found a list"]),
}


@pytest.mark.parametrize(("text", "expected"), MODEL_FAULTS.values(), ids=MODEL_FAULTS)
def test_what_the_model_refuses(text, expected):
    """Each fault is told once, at the key or value concerned."""
    assert expected == faults(text)


YAML_FAULTS = {
    "a tab": (GOOD.replace("column: p", "\tcolumn: p"), ["5:5: a tab character; YAML is indented with spaces"]),
    "a bad indent": (
        GOOD.replace("    to:", "   to:"),
        ["6:4: this line is indented differently from those it belongs with"],
    ),
    "an open quote": ("plan: 'x\nchanges: []\n", ["1:7: the quote that opens here is not closed"]),
    "an open list": ("plan: [x\n", ["1:7: the list that opens here is not closed with ]"]),
    "a duplicate key": (GOOD + "    to: x\n", ["7:5: key 'to' is given twice; the first is on line 6, column 5"]),
    "a tag": (
        "a: !!python/object:os.system x",
        ["1:4: the YAML tag !python/object:os.system has no meaning here; leave it out"],
    ),
    "a key that is a number": ("1: a", ["1:1: a key must be text; put 1 in quotes"]),
    "a merge key": ("a: &a {}\n<<: *a", ["2:1: merge keys (<<) are not part of YAML 1.2; write the keys out"]),
    "two documents": ("a: 1\n---\nb: 1", ["2:1: a second document begins here; one file holds one"]),
    "a control character": ("a: 1\nb: x\x00", ["2:5: an unprintable character (U+0000) cannot be in YAML"]),
    "an unknown alias": ("a: *b", ["1:4: found undefined alias 'b'"]),
    "a number beyond reading": (
        "a: " + "9" * 5000,
        ["1:4: this number cannot be read; put it in quotes if it is text"],
    ),
    "an escape beyond Unicode": ('a: "\\UFFFFFFFF"', ["1:1: this is not YAML (OverflowError)"]),
    "several at once": (
        "1: a\nb: 1\nb: 2",
        ["1:1: a key must be text; put 1 in quotes", "3:1: key 'b' is given twice; the first is on line 2, column 1"],
    ),
}


@pytest.mark.parametrize(("text", "expected"), YAML_FAULTS.values(), ids=YAML_FAULTS)
def test_what_yaml_refuses(text, expected):
    """Faults of syntax are told in plain words, where a person has to act."""
    assert expected == faults(text)


def test_aliases_may_not_explode():
    """A few lines that expand to a billion values are refused at once."""
    letters = "abcdefghij"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in pairwise(letters)]
    (only,) = faults("\n".join(lines))
    assert only.endswith("aliases in this file expand to more than 50000 values")


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: " + "[" * 5000, "a: " + "{x: " * 5000])
def test_depth_has_an_end(text):
    """Nesting without end, by alias or by hand, is refused and does not exhaust the stack."""
    (only,) = faults(text)
    assert only.endswith("lists and mappings are nested more than 50 deep")


def test_aliases_and_anchors_work():
    """A check written once may be used in two phases, and an anchor may be given again."""
    text = GOOD + "expand: {deploy: &d x, checks: [&c {name: a, sql: b, expect: &d 1}]}\ncontract: {checks: [*c]}\n"
    plan = parse(text, file="p.yaml", model=Plan)
    assert plan.expand.checks == plan.contract.checks != ()


@given(contents)
def test_json_is_yaml(values):
    """A plan written by a program as JSON is read like one written by hand, tabs and escapes included."""
    expected = Plan.model_validate(values)
    assert expected == parse(json.dumps(values, indent="\t"), file="p.json", model=Plan)


def test_words_of_older_yaml_are_text():
    """`no` and `on` are words, and a date is its characters."""
    text = GOOD.replace("published_year", "no") + "expand: {deploy: on, acknowledge: [2020-01-01, =]}"
    plan = parse(text, file="p.yaml", model=Plan)
    assert plan.changes[0].column == "no"
    assert plan.expand.deploy == "on"
    assert plan.expand.acknowledge == ("2020-01-01", "=")


def test_passwords_are_not_shown():
    """A URL put where it does not belong is named without its password."""
    text = "project: b\nbranches: {a: {url_env: 'postgres://me:pa:s@s@h/d'}}\n'postgres://me:pa:s@s@h/d': 1\n"
    text += "provider: {kind: 'postgres://me:pa:s@s@h/d'}"
    lines = faults(text, Project)
    assert len(lines) == 3
    assert not [line for line in lines if "pa:s" in line or "s@s" in line]


spliced = st.builds(
    lambda text, start, length: GOOD[:start] + text + GOOD[start + length :],
    st.text("ab: -[]{}\n\t&*!|>'\"#,%@0\\", max_size=6),
    st.integers(0, len(GOOD)),
    st.integers(0, 12),
)


@given(spliced | st.text() | st.text("abplnchges: -[]{}\n\t&*!|>'\"#,%@`?0123456789<=\\"))
def test_no_text_breaks_the_reader(text):
    """Whatever the text, the outcome is a plan or an InvalidFileError with a place."""
    for model in (Plan, Project):
        assert outcome(text, model) != ()


keys = st.sampled_from(
    [
        "plan",
        "changes",
        "kind",
        "table",
        "column",
        "to",
        "expand",
        "checks",
        "name",
        "sql",
        "expect",
        "lock_timeout",
        "rename_column",
        "project",
        "branches",
        "requires",
        "parent",
        "defaults",
        "ledger",
        "ledger_env",
        "provider",
    ]
) | st.text(max_size=3)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
)
shapes = st.fixed_dictionaries(
    {},
    optional={
        "plan": json_values,
        "changes": st.lists(st.dictionaries(keys, json_values) | json_values) | json_values,
        "expand": st.dictionaries(keys, json_values) | json_values,
        "project": json_values,
        "branches": st.dictionaries(st.sampled_from(["a", "b", "c"]), st.dictionaries(keys, json_values)) | json_values,
        "defaults": json_values,
    },
)


@given(shapes)
def test_no_values_break_the_messages(values):
    """Whatever stands where, each fault has a place inside the text."""
    text = json.dumps(values, indent=1)
    lines = text.count("\n") + 1
    for model in (Plan, Project):
        for detail in outcome(text, model) or ():
            assert 1 <= int(detail.split(":")[1]) <= lines
