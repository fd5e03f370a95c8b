"""Check the chain, and where it does not hold, find out what was done to it.

Pure: takes the records as the table holds them, returns a verdict.

What each deed leaves behind. An entry's hash covers its fields, its number and the hash before it,
and is repeated in the next entry (for the last one, in the head), so every entry has a witness:

- *changed*: the entry no longer gives its own hash, but the next one still holds that hash; or it
  gives its hash, and the next one holds another: then it was rewritten, hash and all.
- *removed*: the next entry holds a hash that no entry has, and there is no entry in that place.
- *truncated*: the head holds a hash that no entry has, and there is no entry in that place: the end was cut off.
- *reordered*: the entry does not give its hash under the number it has, but does under the number
  that its neighbours in the chain give it.
- *inserted*: the entry may be sound in itself, but going back from the head, nothing leads to it.

So the chain is walked backwards from the head, by hashes and not by numbers, and what the walk
does not meet does not belong. Renumbering that merely closes the gap of a removal, or makes room
for an insertion, is not reported again for each entry after it.
"""

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Literal

from pydantic import BaseModel, ConfigDict

from orchestrator.ledger.chain import GENESIS, Head, Record, digest

Fault = Literal["changed", "removed", "reordered", "inserted", "truncated"]


class ChainProblem(BaseModel):
    """One fault in the chain.

    `seq` is the number that the entry has now or, if it was removed, had. `changed`: it is not as
    it was written. `removed`: it is gone, perhaps with others after it, which the message counts. `truncated`:
    it and all after it are gone.
    `reordered`: it was written at another place. `inserted`: it is not one that the chain leads to.
    """

    model_config = ConfigDict(frozen=True)

    seq: int
    kind: Fault
    message: str


class ChainReport(BaseModel):
    """The verdict on a ledger: how many entries it holds, the hash to note elsewhere, and the faults by `seq`."""

    model_config = ConfigDict(frozen=True)

    entries: int
    head: str
    problems: tuple[ChainProblem, ...]


def examine(records: Iterable[Record], head: Head | None) -> ChainReport:
    """Check the chain and tell its faults apart as well as what is left allows.

    Args:
        records: all rows of `entries`, in the order of `seq`.
        head: the row of `head`, or None if it is gone.
    """
    rows = tuple(records)
    last = rows[-1] if rows else None
    if _whole(rows, head):
        problems = ()
    elif head is None:
        # Without a head the last entry is its own and only witness.
        place = last.seq if last else 0
        lost = ChainProblem(seq=place + 1, kind="truncated", message=_HEAD_GONE.format(place=place))
        problems = (*_Inquest(rows, Head(seq=place, hash=last.hash if last else GENESIS)).problems(), lost)
    else:
        problems = _Inquest(rows, head).problems()
    return ChainReport(entries=len(rows), head=head.hash if head else last.hash if last else GENESIS, problems=problems)


_HEAD_GONE = "the ledger's note of its last entry is gone; entries after {place} may be missing"
_CHANGED = "entry {seq} was changed after it was written: its fields no longer give its hash"
_CHANGED_HASH = "entry {seq} had its hash overwritten: its fields still give the one that its successor holds"
_CHANGED_LINK = "entry {seq} had its previous_hash overwritten: with the hash of the entry before it, its own is right"
_REWRITTEN = "entry {seq} was rewritten and given a new hash, perhaps with entries before it: {witness} holds another"
_REMOVED = "entry {first} was removed: {witness} follows from an entry that is no longer there"
_REMOVED_MANY = "entries {first} to {last} were removed: {witness} follows from an entry that is no longer there"
_CUT = "the end was cut off: entry {first} is missing, which {witness} tells of"
_CUT_MANY = "the end was cut off: entries {first} to {last} are missing, of which {witness} tells"
_NO_START = "the first entry does not start from 64 zeros: the chain was made anew"
_REORDERED = "entry {seq} was moved here: it was written as entry {place}"
_INSERTED = "entry {seq} was inserted: no entry after it, nor the note of the last one, leads back to it"


def _whole(rows: Sequence[Record], head: Head | None) -> bool:
    seq, previous = 0, GENESIS
    for row in rows:
        if row.seq != seq + 1 or row.previous_hash != previous or not _gives_hash(row):
            return False
        seq, previous = row.seq, row.hash
    return head == Head(seq=seq, hash=previous)


class _Inquest:
    """One walk back through a chain that does not hold. A row is named by the `seq` it has now."""

    def __init__(self, rows: Sequence[Record], head: Head) -> None:
        self._rows = {row.seq: row for row in rows}
        self._by_hash: dict[str, list[Record]] = defaultdict(list)
        self._by_previous: dict[str, list[Record]] = defaultdict(list)
        for row in rows:
            self._by_hash[row.hash].append(row)
            self._by_previous[row.previous_hash].append(row)
        self._head = head
        self._written = self._find_places()
        self._at_place: dict[int, list[Record]] = defaultdict(list)
        for seq, place in self._written.items():
            self._at_place[place].append(self._rows[seq])
        self._claimed: dict[int, int] = {}  # the rows that the walk met, and the place each has in the chain
        self._ascending = sorted(rows, key=self._place)
        self._gaps: list[range] = []
        self._found: list[ChainProblem] = []

    def problems(self) -> tuple[ChainProblem, ...]:
        """Walk, then judge what was met in the wrong place and what was not met at all."""
        self._walk()
        inserted = sorted(self._rows.keys() - self._claimed.keys())
        for seq in inserted:
            self._report(seq, "inserted", _INSERTED.format(seq=seq))
        gaps = sorted(self._gaps, key=lambda gap: gap.start)
        starts, removed = [gap.start for gap in gaps], [0, *accumulate(gap.stop - gap.start for gap in gaps)]
        accused = {problem.seq for problem in self._found if problem.kind == "changed"}
        for seq, place in self._claimed.items():
            renumbering = bisect_left(inserted, seq) - removed[bisect_left(starts, place)]
            if seq - place not in {0, renumbering} and seq not in accused:
                self._report(seq, "reordered", _REORDERED.format(seq=seq, place=place))
        return tuple(sorted(self._found, key=lambda problem: (problem.seq, problem.kind)))

    def _report(self, seq: int, kind: Fault, message: str) -> None:
        self._found.append(ChainProblem(seq=seq, kind=kind, message=message))

    def _find_places(self) -> dict[int, int]:
        """For each row that still gives its hash under some number, find that number.

        It is the one it has or, if the row was renumbered, the one its neighbours in the chain give it.
        """
        written = {seq: seq for seq, row in self._rows.items() if _gives_hash(row)}
        waiting = deque((row, row.seq) for row in self._rows.values() if row.seq in written)
        leads = [(row, 1) for row in self._by_previous.get(GENESIS, ())]
        leads += [(row, self._head.seq) for row in self._by_hash.get(self._head.hash, ())]
        while leads or waiting:
            for row, place in leads:
                if row.seq not in written and _gives_hash(row, seq=place):
                    written[row.seq] = place
                    waiting.append((row, place))
            leads = list(self._neighbours(*waiting.popleft())) if waiting else []
        return written

    def _neighbours(self, row: Record, place: int) -> Iterator[tuple[Record, int]]:
        yield from ((after, place + 1) for after in self._by_previous.get(row.hash, ()))
        yield from ((before, place - 1) for before in self._by_hash.get(row.previous_hash, ()))

    def _walk(self) -> None:
        expected, place = self._head.hash, self._head.seq
        witness = "the note of the last entry"
        while place > 0:
            row = self._bearer(expected, place)
            if row is not None and row.seq in self._written:
                place = self._written[row.seq]
                previous = row.previous_hash
            elif row is not None:
                previous = self._accuse_bearer(row, place)
            elif (row := self._occupant(place)) is not None:
                previous = self._accuse_occupant(row, expected, witness)
            else:
                row = self._resume_below(place, witness)
                expected, place = (row.hash, self._place(row)) if row else (GENESIS, 0)
                continue
            self._claimed[row.seq] = place
            expected, place, witness = previous, place - 1, f"entry {row.seq}"
        if expected != GENESIS:
            self._report(min(self._claimed, default=0), "changed", _NO_START)

    def _place(self, row: Record) -> int:
        return self._written.get(row.seq, row.seq)

    def _bearer(self, expected: str, place: int) -> Record | None:
        """Find the row that has the expected hash, an unharmed one first."""
        bearers = [row for row in self._by_hash.get(expected, ()) if row.seq not in self._claimed]
        return min(bearers, key=lambda row: (row.seq not in self._written, row.seq != place), default=None)

    def _occupant(self, place: int) -> Record | None:
        """Find the row that stands where the expected one should, unless it is known to belong elsewhere."""
        row = self._rows.get(place)
        return None if row is None or row.seq in self._claimed or self._place(row) != place else row

    def _accuse_bearer(self, row: Record, place: int) -> str:
        """Report a row that has the right hash and other fields; return the hash to look for next."""
        before = [row.hash for row in self._at_place.get(place - 1, ())] if place > 1 else [GENESIS]
        for hash_before in before:
            if _gives_hash(row, seq=place, previous_hash=hash_before):
                self._report(row.seq, "changed", _CHANGED_LINK.format(seq=row.seq))
                return hash_before
        self._report(row.seq, "changed", _CHANGED.format(seq=row.seq))
        return row.previous_hash

    def _accuse_occupant(self, row: Record, expected: str, witness: str) -> str:
        """Report a row that does not have the hash it should; return the hash to look for next."""
        if _digest(row) == expected:
            message = _CHANGED_HASH.format(seq=row.seq)
        elif row.seq in self._written:
            message = _REWRITTEN.format(seq=row.seq, witness=witness)
        else:
            message = _CHANGED.format(seq=row.seq)
        self._report(row.seq, "changed", message)
        return row.previous_hash

    def _resume_below(self, place: int, witness: str) -> Record | None:
        """Report the gap that ends at `place`, and return the row before it, from where the walk goes on."""
        while self._ascending and (
            self._ascending[-1].seq in self._claimed or self._place(self._ascending[-1]) >= place
        ):
            self._ascending.pop()
        row = self._ascending[-1] if self._ascending and self._place(self._ascending[-1]) > 0 else None
        first = self._place(row) + 1 if row else 1
        self._gaps.append(range(first, place + 1))
        # What only the head tells of had nothing after it.
        at_end = place == self._head.seq
        one, many = (_CUT, _CUT_MANY) if at_end else (_REMOVED, _REMOVED_MANY)
        said = (one if first == place else many).format(first=first, last=place, witness=witness)
        self._report(first, "truncated" if at_end else "removed", said)
        return row


def _gives_hash(row: Record, *, seq: int | None = None, previous_hash: str | None = None) -> bool:
    return _digest(row, seq=seq, previous_hash=previous_hash) == row.hash


def _digest(row: Record, *, seq: int | None = None, previous_hash: str | None = None) -> str:
    """Compute a row's hash; something that is no hash for a row that ecm cannot have written."""
    try:
        return digest(row, seq=seq, previous_hash=previous_hash)
    except ValueError:
        return "unreadable"
