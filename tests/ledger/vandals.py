"""What the ledger's tests need: events, and someone with every right who tampers with a ledger."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from hypothesis import strategies as st

from orchestrator.ledger import Event
from orchestrator.ledger.chain import EMPTY, Head, Record, seal

MOMENT = datetime(2025, 11, 19, 10, 2, tzinfo=UTC)
NAIVE = MOMENT.replace(tzinfo=None)
ZONES = (UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11)))
STAMP = "2025-11-19T10:02:00.000000Z"

words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
events = st.builds(
    Event,
    id=st.uuids(),
    kind=words,
    plan=st.none() | words,
    branch=st.none() | words,
    checksum=st.none() | words,
    actor=words,
    happened_at=st.datetimes(
        min_value=NAIVE.replace(year=2), max_value=NAIVE.replace(year=9998), timezones=st.sampled_from(ZONES)
    ),
    data=st.dictionaries(words, json_values, max_size=3),
    ecm_version=words,
)


def event(number: int, **fields: Any) -> Event:
    """Make an event that differs from others by its number."""
    return Event(
        **{
            "id": UUID(int=number),
            "kind": "transition",
            "plan": "rename-published-year",
            "branch": "development",
            "checksum": "sha256:1",
            "actor": "ci",
            "happened_at": MOMENT,
            "data": {"number": number},
            "ecm_version": "0.1.0",
            **fields,
        }
    )


def chained(happened: Iterable[Event], after: Head = EMPTY) -> list[Record]:
    """Chain events up as a ledger does."""
    records: list[Record] = []
    for seq, each in enumerate(happened, after.seq + 1):
        previous = records[-1].hash if records else after.hash
        records.append(seal(each, seq=seq, recorded_at=STAMP, previous_hash=previous))
    return records


def head_of(records: Sequence[Record]) -> Head:
    return Head(seq=records[-1].seq, hash=records[-1].hash) if records else EMPTY


class Vandal:
    """Someone with every right on the ledger's database, who switches its triggers off."""

    def __init__(self, url: str) -> None:
        if url.startswith("sqlite"):
            path = url.removeprefix("sqlite:///")
            self._connection: Any = sqlite3.connect(f"{Path(path).as_uri()}?mode=rw", uri=True, isolation_level=None)
            self._mark = "?"
        else:
            self._connection = psycopg.connect(url, autocommit=True, options="-c search_path=ecm_ledger")
            self._mark = "%s"

    def close(self) -> None:
        self._connection.close()

    def query(self, statement: str, *values: Any) -> list[Any]:
        cursor = self._connection.execute(statement.replace("?", self._mark), values or None or ())
        return cursor.fetchall() if cursor.description else []

    def disarm(self) -> None:
        """Switch off what refuses changes."""
        if self._mark == "?":
            for (trigger,) in self.query("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
                self.query(f"DROP TRIGGER {trigger}")
        else:
            self.query("ALTER TABLE entries DISABLE TRIGGER ALL")
            self.query("ALTER TABLE head DISABLE TRIGGER ALL")

    def rewrite(self, records: Iterable[Record]) -> None:
        """Put other rows in place of all entries, and leave the head alone."""
        self.disarm()
        self.query("DELETE FROM entries")
        for record in records:
            row = asdict(record)
            marks = ", ".join("?" for _ in row)
            self.query(f"INSERT INTO entries ({', '.join(row)}) VALUES ({marks})", *row.values())
