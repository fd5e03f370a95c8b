"""What the ledger holds: events, as they are handed in and as they are chained.

Pure values. An `Event` says what happened on a branch; an `Entry` is that event with its place
in the chain. How an entry becomes a hash is in `chain`.
"""

import json
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, JsonValue


def canonical(value: object) -> str:
    r"""Give the one JSON text of a value: keys sorted, no spaces, everything beyond ASCII as `\uXXXX`.

    Raises:
        ValueError: the value holds NaN or an infinity, which JSON does not know.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def timestamp(moment: datetime) -> str:
    """Give the one text of a moment: UTC, six decimals, `2025-11-19T10:02:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _storable(text: str) -> str:
    """Refuse what PostgreSQL's text type cannot hold, so that both kinds of ledger hold the same."""
    if "\x00" in text:
        msg = "may not contain a NUL character"
        raise ValueError(msg)
    return text


def _plain_json(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse NaN and infinities, and cut the value loose from the caller's own dict."""
    copy: dict[str, JsonValue] = json.loads(canonical(data))
    return copy


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Words = Annotated[str, AfterValidator(_storable)]
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Data = Annotated[dict[str, JsonValue], AfterValidator(_plain_json)]


class Event(BaseModel):
    """Something that happened on a branch, with its evidence.

    `id` is chosen by the caller and makes sending the same event again harmless. `happened_at` is
    when it happened on the branch, with a time zone; it is kept in UTC, to the microsecond. `kind`
    is a word such as transition, rollback, refused, verified or adopted. `data` is any JSON; put
    no secret into it, for nothing that was appended can be taken out again.

    Raises:
        pydantic.ValidationError: a field is missing, unknown, or not storable as given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: UUID
    kind: Words
    plan: Words | None = None
    branch: Words | None = None
    checksum: Words | None = None
    actor: Words
    happened_at: Moment
    data: Data
    ecm_version: Words


class Entry(Event):
    """An event at its place in the chain.

    `seq` counts from 1. `recorded_at` is the time of the ledger's database. `previous_hash` is the
    hash of the entry before (`chain.GENESIS` for the first), `hash` this entry's own; both are 64
    lower-case hex digits.
    """

    seq: int
    recorded_at: Moment
    previous_hash: str
    hash: str
