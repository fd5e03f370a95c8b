r"""The chain of hashes: how an event becomes a record that holds fast to the one before it. Pure.

**The recipe**, so that anyone can check a ledger without ecm. The columns hold exactly the text
that is hashed. For each row of `entries` in the order of `seq`, make a JSON object of all its
columns but `hash`:

- `seq` as a number; `data` as the JSON it is; every other column as a string, or null;
- timestamps are UTC with six decimals (`2025-11-19T10:02:00.000000Z`), ids lower-case UUIDs with hyphens;
- written as Python's `json.dumps(…, sort_keys=True, separators=(",", ":"), ensure_ascii=True)` does:
  keys sorted by code point, no spaces, all beyond ASCII as `\uXXXX`, a float as the shortest text that
  reads back as the same float.

`hash` is the SHA-256 of that text, in lower-case hex. `previous_hash` is the `hash` of the row
before; the first row has 64 zeros. The one row of `head` holds the `seq` and `hash` of the last entry,
so that entries missing at the end are noticed too.

What a chain cannot show: someone who may write to the database and computes every hash anew from
some entry on, and `head` as well, leaves a whole chain. The last hash, noted elsewhere, gives them
away; `audit` reports it for that.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from orchestrator.ledger.events import Entry, Event, canonical, timestamp

GENESIS = "0" * 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One row of `entries`, just as the table holds it; after tampering, a column may hold anything."""

    seq: int
    id: str
    kind: str
    plan: str | None
    branch: str | None
    checksum: str | None
    actor: str
    happened_at: str
    data: str
    ecm_version: str
    recorded_at: str
    previous_hash: str
    hash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The place and hash of the last entry."""

    seq: int
    hash: str


EMPTY = Head(seq=0, hash=GENESIS)


def seal(event: Event, *, seq: int, recorded_at: str, previous_hash: str) -> Record:
    """Make the record of an event at its place in the chain; `recorded_at` as `timestamp` writes it."""
    record = Record(
        seq=seq,
        id=str(event.id),
        kind=event.kind,
        plan=event.plan,
        branch=event.branch,
        checksum=event.checksum,
        actor=event.actor,
        happened_at=timestamp(event.happened_at),
        data=canonical(event.data),
        ecm_version=event.ecm_version,
        recorded_at=recorded_at,
        previous_hash=previous_hash,
        hash="",
    )
    return replace(record, hash=digest(record))


def digest(record: Record, *, seq: int | None = None, previous_hash: str | None = None) -> str:
    """Compute a record's hash by the recipe above.

    With `seq` or `previous_hash`, the hash it would have at that place or after that entry.

    Raises:
        ValueError: a column holds what ecm never writes.
    """
    fields = asdict(record)
    del fields["hash"]
    fields["seq"] = record.seq if seq is None else seq
    fields["previous_hash"] = record.previous_hash if previous_hash is None else previous_hash
    fields["data"] = _data(record)
    try:
        return hashlib.sha256(canonical(fields).encode("ascii")).hexdigest()
    except TypeError as error:
        raise ValueError(str(error)) from error


def _data(record: Record) -> object:
    """Read the JSON of `data`, which must be in its canonical form: two texts may not share a hash."""
    try:
        data = json.loads(record.data)
        unfit = canonical(data) != record.data
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if unfit:
        msg = "data is not canonical JSON"
        raise ValueError(msg)
    return data


def entry_hash(entry: Entry) -> str:
    """Compute the hash that an entry must have, from its other fields."""
    stamp = timestamp(entry.recorded_at)
    return seal(entry, seq=entry.seq, recorded_at=stamp, previous_hash=entry.previous_hash).hash


def unseal(record: Record) -> Entry:
    """Read a record back.

    Raises:
        ValueError: a column holds what ecm never writes.
    """
    return Entry.model_validate(asdict(record) | {"data": _data(record)})
