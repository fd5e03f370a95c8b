"""An export holds the ledger to the letter, and shows what was done to it as the ledger does."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vandals import STAMP, chained, event, events, head_of

from orchestrator.errors import InvalidFileError
from orchestrator.ledger import Event, Ledger
from orchestrator.ledger.chain import Record, seal
from orchestrator.ledger.export import Snapshot, check, render

Found = list[tuple[int, str]]


def exported(happened: list[Event], *, plan: str | None = None) -> list[str]:
    records = chained(happened)
    snapshot = Snapshot(records=tuple(records), head=head_of(records), taken_at=STAMP)
    return list(render(snapshot, ledger=".ecm/ledger.db", plan=plan, exported_at=STAMP))


def found(lines: list[str], *, end: str = "\n") -> Found:
    report = check("\n".join(lines) + end, file="x.jsonl").report
    return [(problem.seq, problem.kind) for problem in report.problems]


def line(record: Record) -> str:
    return json.dumps(asdict(record) | {"data": json.loads(record.data)}, sort_keys=True, separators=(",", ":"))


def test_a_line_can_be_checked_without_ecm() -> None:
    """Take the hash out, write the rest as the recipe says, hash it: there it is again."""
    header, *lines = exported([event(1), event(2, actor="Zoë", data={"größe": 1.5})])

    assert json.loads(header)["head"] == {"seq": 2, "hash": json.loads(lines[1])["hash"]}
    previous = "0" * 64
    for each in lines:
        fields = json.loads(each)
        stated = fields.pop("hash")
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        assert hashlib.sha256(text.encode()).hexdigest() == stated
        assert fields["previous_hash"] == previous
        previous = stated


def test_a_ledger_is_exported_as_it_is(ledger: Ledger) -> None:
    """From either database, an empty one too; what is whole there is whole in the file."""
    nothing = list(render(ledger.snapshot(), ledger="l", plan=None, exported_at=STAMP))
    assert (len(nothing), found(nothing)) == (1, [])

    ledger.append([event(1), event(2, plan=None)])
    lines = list(render(ledger.snapshot(), ledger="l", plan=None, exported_at=STAMP))
    assert [json.loads(each)["hash"] for each in lines[1:]] == [entry.hash for entry in ledger.entries()]
    assert found(lines) == []


@st.composite
def tampered(draw: st.DrawFn) -> tuple[list[str], Found]:
    """The lines of any export, one deed done to them, and what must be found."""
    happened = draw(st.lists(events, min_size=2, max_size=8, unique_by=lambda one: one.id))
    lines = exported(happened)
    at = draw(st.integers(1, len(happened)))
    if draw(st.booleans()):
        lines[at] = draw(rewritten(lines[at], at, len(happened)))
        return lines, [(at, "changed")]
    return draw(rearranged(happened, lines, at))


@st.composite
def rewritten(draw: st.DrawFn, line: str, at: int, last: int) -> str:
    """A line with other contents, or the same contents written otherwise."""
    deed = draw(st.sampled_from(["field", "number", "spacing", "garbage"]))
    if deed == "spacing":
        return line.replace(",", ", ", 1)
    if deed == "garbage":
        return draw(st.sampled_from(["x", "[]", "{}", "null", '"', line[:-1]]))
    fields = json.loads(line)
    name = "seq" if deed == "number" else draw(st.sampled_from(sorted(fields.keys() - {"seq"})))
    numbers = [*(seq for seq in range(1, last + 1) if seq != at), None, "1", 1.5, True]
    other: Any = st.none() | st.text(max_size=5) | st.integers() | st.lists(st.none(), max_size=2)
    new = draw(st.sampled_from(numbers) if deed == "number" else other)
    fields[name] = "~" if new == fields[name] else new
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


@st.composite
def rearranged(draw: st.DrawFn, happened: list[Event], lines: list[str], at: int) -> tuple[list[str], Found]:
    """Lines of which some are gone, elsewhere, or more."""
    last = len(happened)
    match draw(st.sampled_from(["remove", "cut", "swap", "copy", "insert"])):
        case "remove":
            del lines[at]
            expected = [(at, "truncated" if at == last else "removed")]
        case "cut":
            del lines[at:]
            expected = [(at, "truncated")]
        case "swap":
            other = draw(st.integers(1, last).filter(lambda seq: seq != at))
            lines[at], lines[other] = lines[other], lines[at]
            expected = [(seq, "reordered") for seq in sorted([at, other])]
        case "copy":
            lines.insert(draw(st.integers(1, last + 1)), lines[at])
            expected = [(at, "inserted")]
        case _:
            forged = draw(events.filter(lambda one: all(one.id != other.id for other in happened)))
            previous = json.loads(lines[at])["previous_hash"]
            lines.insert(at, line(seal(forged, seq=last + 1, recorded_at=STAMP, previous_hash=previous)))
            expected = [(last + 1, "inserted")]
    return lines, expected


@settings(max_examples=200)
@given(tampered())
def test_any_single_deed_is_told_as_what_it_is(case: tuple[list[str], Found]) -> None:
    """Changed, removed, inserted, reordered and truncated are told apart, and each is found where it was done."""
    lines, expected = case
    assert found(lines) == expected


def test_a_file_cut_anywhere_is_truncated() -> None:
    """In the middle of a line too; the header alone says how many there were."""
    header, *lines = exported([event(number) for number in range(1, 5)])
    assert found([header, *lines[:2], lines[2][:50]], end="") == [(3, "truncated")]
    assert found([header], end="") == [(1, "truncated")]
    assert found([header, *lines], end="") == []
    assert found([f"{each}\r" for each in (header, *lines)]) == []


def test_a_header_that_does_not_fit_shows() -> None:
    """Its count and its writing are evidence too; a file without one is no export."""
    header, *lines = exported([event(1), event(2)])
    assert found([header.replace('"entries":2', '"entries":3'), *lines]) == [(0, "changed")]
    assert found([header.replace(STAMP, STAMP + '" ,"x":"'), *lines]) == [(0, "changed")]
    for first in ("", lines[0], "[1]", '{"head":{}}'):
        with pytest.raises(InvalidFileError, match="not an export"):
            check(first, file="x.jsonl")
    with pytest.raises(InvalidFileError, match="another ecm"):
        check(header.replace('"format_version":1', '"format_version":2'), file="x.jsonl")


def test_one_plans_entries_are_checked_each_by_itself() -> None:
    """The chain between them is not in the file; what can be told is told."""
    header, *lines = exported([event(n, plan="a" if n % 2 else "b") for n in range(1, 7)], plan="a")
    assert len(lines) == 3
    assert found([header, *lines]) == []
    assert found([header, lines[0], lines[1].replace('"ci"', '"me"'), lines[2]]) == [(3, "changed")]
    assert found([header, lines[1], lines[0], lines[2]]) == [(1, "reordered")]
    assert found([header, *lines[:2]]) == [(3, "removed")]
    assert found([header, lines[0], *lines]) == [(1, "inserted"), (5, "inserted")]
