"""Tampering is found, told apart, and pointed at."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vandals import STAMP, Vandal, chained, event, events, head_of

from orchestrator.ledger import Event, Ledger
from orchestrator.ledger.audit import examine
from orchestrator.ledger.chain import EMPTY, GENESIS, Head, Record, digest, seal

Edit = Callable[[list[Record]], list[Record]]
Found = list[tuple[int, str]]


def found(records: list[Record], head: Head | None) -> Found:
    return [(problem.seq, problem.kind) for problem in examine(records, head).problems]


def by_seq(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.seq)


def change(seq: int, **new: Any) -> Edit:
    return lambda records: [replace(each, **new) if each.seq == seq else each for each in records]


def rehash(record: Record) -> Record:
    return replace(record, hash=digest(record))


def rewrite(seq: int, **new: Any) -> Edit:
    """Change an entry and give it a hash that fits."""
    return lambda records: [rehash(each) if each.seq == seq else each for each in change(seq, **new)(records)]


def remove(*seqs: int) -> Edit:
    return lambda records: [each for each in records if each.seq not in seqs]


def move(**places: int) -> Edit:
    """Renumber entries, given as e4=5."""
    return lambda records: by_seq([replace(each, seq=places.get(f"e{each.seq}", each.seq)) for each in records])


def shift(start: int, by: int) -> Edit:
    """Renumber all entries from `start` on."""
    return lambda records: [replace(each, seq=each.seq + by) if each.seq >= start else each for each in records]


def insert(seq: int, *, after: int) -> Edit:
    """Put in a sound entry that claims to follow another."""

    def edit(records: list[Record]) -> list[Record]:
        previous = next((each.hash for each in records if each.seq == after), GENESIS)
        return by_seq([*records, seal(event(99), seq=seq, recorded_at=STAMP, previous_hash=previous)])

    return edit


def bend(seq: int, *, to: int) -> Edit:
    """Let an entry claim to follow another."""
    return lambda records: change(seq, previous_hash=next(each.hash for each in records if each.seq == to))(records)


def in_turn(*edits: Edit) -> Edit:
    def edit(records: list[Record]) -> list[Record]:
        for one in edits:
            records = one(records)
        return records

    return edit


DEEDS: dict[str, tuple[Edit, Found]] = {
    "a field changed": (change(4, actor="someone else"), [(4, "changed")]),
    "a field emptied": (change(4, plan=None), [(4, "changed")]),
    "the first entry changed": (change(1, kind="rollback"), [(1, "changed")]),
    "the last entry changed": (change(8, kind="rollback"), [(8, "changed")]),
    "the time of recording changed": (change(4, recorded_at="2024-11-19T10:02:00.000000Z"), [(4, "changed")]),
    "the hash overwritten": (change(4, hash="f" * 64), [(4, "changed")]),
    "the last hash overwritten": (change(8, hash="f" * 64), [(8, "changed")]),
    "the link overwritten": (change(4, previous_hash="f" * 64), [(4, "changed")]),
    "the link overwritten with another entry's": (
        lambda records: change(6, previous_hash=records[1].hash)(records),
        [(6, "changed")],
    ),
    "the hash overwritten with another entry's": (
        lambda records: change(6, hash=records[1].hash)(records),
        [(6, "changed")],
    ),
    "data changed in its writing only": (change(4, data='{"number": 4}'), [(4, "changed")]),
    "data given a second key of the same name": (change(4, data='{"number":9,"number":4}'), [(4, "changed")]),
    "data made unreadable": (change(4, data="{"), [(4, "changed")]),
    "an entry rewritten, hash and all": (rewrite(4, actor="someone else"), [(4, "changed")]),
    "the last entry rewritten, hash and all": (rewrite(8, actor="someone else"), [(8, "changed")]),
    "an entry removed": (remove(4), [(4, "removed")]),
    "neighbours removed": (remove(4, 5), [(4, "removed")]),
    "the first entry removed": (remove(1), [(1, "removed")]),
    "the last entries removed": (remove(7, 8), [(7, "truncated")]),
    "all removed": (remove(*range(9)), [(1, "truncated")]),
    "an entry removed, the gap closed": (in_turn(remove(4), shift(5, -1)), [(4, "removed")]),
    "neighbours swapped": (move(e4=5, e5=4), [(4, "reordered"), (5, "reordered")]),
    "distant entries swapped": (move(e2=7, e7=2), [(2, "reordered"), (7, "reordered")]),
    "the first and the last swapped": (move(e1=8, e8=1), [(1, "reordered"), (8, "reordered")]),
    "an entry moved to the end": (move(e4=9), [(9, "reordered")]),
    "an entry put in at the end": (insert(9, after=8), [(9, "inserted")]),
    "an entry put in far behind the end": (insert(50, after=3), [(50, "inserted")]),
    "an entry put in before the first": (insert(0, after=0), [(0, "inserted")]),
    "an entry put in the middle": (in_turn(shift(4, 1), insert(4, after=3)), [(4, "inserted")]),
    "an entry put in the middle, its successor bent to it": (
        in_turn(shift(4, 1), insert(4, after=3), bend(5, to=4)),
        [(4, "inserted"), (5, "changed")],
    ),
    "a copy put in the middle": (
        lambda records: by_seq([*shift(4, 1)(records), replace(records[2], seq=4, id=str(UUID(int=99)))]),
        [(4, "inserted")],
    ),
    "one changed, one removed": (in_turn(change(2, actor="x"), remove(6)), [(2, "changed"), (6, "removed")]),
    "one changed, the next removed": (in_turn(change(4, actor="x"), remove(5)), [(4, "changed"), (5, "removed")]),
    "two swapped, one put in at the end": (
        in_turn(move(e2=3, e3=2), insert(9, after=8)),
        [(2, "reordered"), (3, "reordered"), (9, "inserted")],
    ),
    "two swapped beside a gap": (
        in_turn(move(e2=3, e3=2), remove(4)),
        [(2, "reordered"), (3, "reordered"), (4, "removed")],
    ),
    "every second removed": (remove(2, 4, 6), [(2, "removed"), (4, "removed"), (6, "removed")]),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_each_kind_of_tampering_is_told_apart(ledger: Ledger, vandal: Callable[[], Vandal], deed: str) -> None:
    """On either database, with the triggers off: what was done, and where."""
    edit, expected = DEEDS[deed]
    ledger.append(event(number) for number in range(1, 9))
    assert ledger.verify().problems == ()
    someone = vandal()
    columns = ", ".join(field.name for field in fields(Record))
    names = [field.name for field in fields(Record)]
    rows = someone.query(f"SELECT {columns} FROM entries ORDER BY seq")
    someone.rewrite(edit([Record(**dict(zip(names, row, strict=True))) for row in rows]))
    assert expected == [(problem.seq, problem.kind) for problem in ledger.verify().problems]


@pytest.mark.parametrize("deed", DEEDS)
def test_every_message_names_the_entry(deed: str) -> None:
    """A person reads in the message itself which entry it is about."""
    edit, _ = DEEDS[deed]
    records = chained(event(number) for number in range(1, 9))
    for problem in examine(edit(records), head_of(records)).problems:
        assert str(problem.seq) in problem.message


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (None, [(9, "truncated")]),
        (Head(seq=8, hash="f" * 64), [(8, "changed")]),
        (Head(seq=10, hash="f" * 64), [(9, "truncated")]),
        (Head(seq=2**63 - 1, hash="f" * 64), [(9, "truncated")]),
    ],
    ids=["gone", "another hash", "further on", "very far on"],
)
def test_tampering_with_the_head_shows(head: Head | None, expected: Found) -> None:
    """The note of the last entry is evidence too."""
    assert expected == found(chained(event(number) for number in range(1, 9)), head)


def test_a_chain_made_anew_from_another_start_shows() -> None:
    """A whole chain has to start from the one beginning."""
    records = chained((event(1), event(2)), after=Head(seq=0, hash="f" * 64))
    assert found(records, head_of(records)) == [(1, "changed")]


def test_a_chain_whose_start_was_cut_off_and_mended_shows() -> None:
    """The numbers before the new first entry are missing."""
    records = chained((event(1), event(2)), after=Head(seq=5, hash=GENESIS))
    assert found(records, head_of(records)) == [(1, "removed")]


def test_an_empty_ledger_is_whole() -> None:
    """No entries, and a head that says so."""
    assert found([], EMPTY) == []


def test_appending_goes_on_after_a_forged_entry(ledger: Ledger, vandal: Callable[[], Vandal]) -> None:
    """A forged entry at the end is not built upon, and stays visible after true ones came."""
    ledger.append([event(1), event(2)])
    someone = vandal()
    someone.query(
        "INSERT INTO entries SELECT 3, ?, kind, plan, branch, checksum, 'forger', happened_at, data,"
        " ecm_version, recorded_at, hash, hash FROM entries WHERE seq = 2",
        str(UUID(int=99)),
    )
    ledger.append([event(4)])
    ledger.append([event(5)])
    assert [(problem.seq, problem.kind) for problem in ledger.verify().problems] == [(3, "inserted")]
    someone.disarm()
    someone.query("DELETE FROM entries WHERE seq = 3")
    assert ledger.verify().problems == ()


def test_appending_does_not_heal_a_cut_off_end(ledger: Ledger, vandal: Callable[[], Vandal]) -> None:
    """Entries removed from the end are still missed when others came after them."""
    ledger.append([event(1), event(2), event(3)])
    someone = vandal()
    someone.disarm()
    someone.query("DELETE FROM entries WHERE seq > 1")
    ledger.append([event(4)])
    assert [(problem.seq, problem.kind) for problem in ledger.verify().problems] == [(2, "removed")]


def test_text_that_is_no_utf8_is_found(sqlite_url: str) -> None:
    """SQLite keeps any bytes as text; the audit names the entry instead of failing."""
    with Ledger(sqlite_url) as ledger:
        ledger.append([event(1), event(2)])
        someone = Vandal(sqlite_url)
        someone.disarm()
        someone.query("UPDATE entries SET actor = CAST(x'ff' AS TEXT), data = x'00' WHERE seq = 2")
        someone.close()
        assert [(problem.seq, problem.kind) for problem in ledger.verify().problems] == [(2, "changed")]


TEXT_FIELDS = [field.name for field in fields(Record) if field.name != "seq"]


@st.composite
def tampered(draw: st.DrawFn) -> tuple[list[Event], list[Record], Found]:
    """Any list of events, one edit of its chain, and what must be found."""
    happened = draw(st.lists(events, min_size=2, max_size=12, unique_by=lambda one: one.id))
    records = chained(happened)
    last = len(records)
    deed = draw(st.sampled_from(["change", "remove", "cut", "swap", "insert"]))
    at = draw(st.integers(1, last - 1)) if deed == "remove" else draw(st.integers(1, last))
    if deed == "change":
        field = draw(st.sampled_from(TEXT_FIELDS))
        new = draw(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
        new = draw(st.sampled_from([new, *(getattr(record, field) or "" for record in records)]))
        if new == getattr(records[at - 1], field) or (field == "id" and any(new == one.id for one in records)):
            new += "~"
        return happened, change(at, **{field: new})(records), [(at, "changed")]
    if deed == "remove":
        return happened, remove(at)(records), [(at, "removed")]
    if deed == "cut":
        return happened, remove(*range(at, last + 1))(records), [(at, "truncated")]
    if deed == "swap":
        other = draw(st.integers(1, last).filter(lambda seq: seq != at))
        swap = move(**{f"e{at}": other, f"e{other}": at})
        return happened, swap(records), [(seq, "reordered") for seq in sorted([at, other])]
    forged = draw(events.filter(lambda one: all(one.id != other.id for other in happened)))
    at = draw(st.integers(1, last + 1))
    previous = records[at - 2].hash if at > 1 else GENESIS
    entry = seal(forged, seq=at, recorded_at=STAMP, previous_hash=previous)
    if draw(st.booleans()):
        entry = replace(entry, hash=draw(st.text("0123456789abcdef", min_size=64, max_size=64)))
    return happened, by_seq([*shift(at, 1)(records), entry]), [(at, "inserted")]


@settings(max_examples=200)
@given(tampered())
def test_any_single_edit_is_found_where_it_was_made(case: tuple[list[Event], list[Record], Found]) -> None:
    """A field changed, an entry removed, the end cut off, two swapped or one forged: exactly that is reported."""
    happened, records, expected = case
    assert expected == found(records, head_of(chained(happened)))


@settings(max_examples=30)
@given(tampered())
def test_any_single_edit_of_a_file_is_found(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[list[Event], list[Record], Found]
) -> None:
    """The same through a ledger on disk, written with the triggers off."""
    happened, records, expected = case
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db"
    with Ledger(url) as ledger:
        ledger.append(happened)
        someone = Vandal(url)
        someone.rewrite(records)
        # The entries' own time of recording is not known beforehand, so the head is made to fit.
        head = head_of(chained(happened))
        someone.query("UPDATE head SET seq = ?, hash = ?", head.seq, head.hash)
        someone.close()
        assert expected == [(problem.seq, problem.kind) for problem in ledger.verify().problems]


@settings(max_examples=300)
@given(st.data())
def test_the_audit_ends_whatever_was_done(data: st.DataObject) -> None:
    """Any number of edits of any sort: a verdict without an error, whole only if the chain is."""
    original = chained(event(number) for number in range(1, 7))
    records = list(original)
    hashes = [GENESIS, "x", *(record.hash for record in original)]
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(1, 7))
        edits: list[Edit] = [
            remove(at),
            change(at, hash=data.draw(st.sampled_from(hashes))),
            rewrite(at, previous_hash=data.draw(st.sampled_from(hashes))),
            change(at, actor="?"),
            move(**{f"e{at}": 20 + at}),
        ]
        records = data.draw(st.sampled_from(edits))(records)
        if len({record.seq for record in records}) < len(records):
            return
    whole = records == original
    assert whole == (found(records, head_of(original)) == [])
