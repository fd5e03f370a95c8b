"""The hash of an entry, worked out by hand and agreed on by both kinds of database."""

import hashlib

import pytest
from hypothesis import given
from pydantic import ValidationError
from vandals import MOMENT, STAMP, event, events

from orchestrator.ledger import Event, Ledger, entry_hash
from orchestrator.ledger.chain import GENESIS, seal, unseal


def test_the_recipe_can_be_followed_without_ecm() -> None:
    """The documented text, written out by hand, gives the hash."""
    text = (
        r'{"actor":"ci","branch":"development","checksum":null,"data":{"a":[1,2.5,null],"z":"\u00e9"},'
        r'"ecm_version":"0.1.0","happened_at":"2025-11-19T10:02:00.000000Z",'
        r'"id":"00000000-0000-0000-0000-000000000007","kind":"transition","plan":"rename-published-year",'
        rf'"previous_hash":"{GENESIS}","recorded_at":"2025-11-19T10:02:00.000000Z","seq":1}}'
    )
    happened = event(7, checksum=None, data={"z": "é", "a": [1, 2.5, None]})
    record = seal(happened, seq=1, recorded_at=STAMP, previous_hash=GENESIS)
    assert hashlib.sha256(text.encode()).hexdigest() == record.hash


def test_sqlite_and_postgresql_agree_on_the_hash_of_an_event(sqlite_url: str, database: str) -> None:
    """An event read back from either gives its stored hash, and at the same time the same hash."""
    happened = event(1, data={"float": 0.1, "big": 10**30, "text": "naïve \U0001f600 \0", "nested": [{"b": 1, "a": 2}]})
    hashes: set[str] = set()
    for url in (sqlite_url, database):
        with Ledger(url) as ledger:
            ledger.append([happened])
            (entry,) = ledger.entries()
        assert entry.hash == entry_hash(entry)
        hashes.add(entry_hash(entry.model_copy(update={"recorded_at": MOMENT})))
    assert len(hashes) == 1


@given(events)
def test_every_event_comes_back_as_it_was(happened: Event) -> None:
    """Sealing and unsealing loses nothing, down to the kind of number."""
    record = seal(happened, seq=1, recorded_at=STAMP, previous_hash=GENESIS)
    entry = unseal(record)
    assert happened.model_dump_json() == Event(**entry.model_dump(include=set(Event.model_fields))).model_dump_json()
    assert record.hash == entry_hash(entry)


@pytest.mark.parametrize(
    ("field", "value"),
    [("actor", "a\0b"), ("happened_at", MOMENT.replace(tzinfo=None)), ("data", {"x": float("nan")}), ("colour", "red")],
)
def test_an_event_that_could_not_be_kept_exactly_is_refused(field: str, value: object) -> None:
    """NUL, a time without a zone, NaN and unknown fields are refused when the event is made."""
    with pytest.raises(ValidationError, match=field):
        event(1, **{field: value})


def test_an_event_is_cut_loose_from_the_dict_it_was_made_of() -> None:
    """Changing the caller's dict afterwards changes nothing."""
    inner = [1]
    happened = event(1, data={"inner": inner})
    inner.append(2)
    assert happened.data == {"inner": [1]}
