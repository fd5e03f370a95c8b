"""Durations as people write them: `200ms`, `1s`, `1.5s`, `10m`, `24h`, `7d`.

A number without a unit is refused, because nobody can tell whether `lock_timeout: 5` is seconds or
(as in postgresql.conf) milliseconds.
"""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

_PATTERN = r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?(ms|s|m|h|d)"

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_NAMES = {"d": "day", "h": "h", "m": "min", "s": "s", "ms": "ms"}

_MICROSECOND = timedelta(microseconds=1)


def parse_duration(text: object) -> timedelta:
    """Read `1.5s` and its like; a timedelta is returned as it is.

    Raises:
        ValueError: it is not a number with a unit, is finer than a microsecond, or too long to count.
    """
    if isinstance(text, timedelta):
        return text
    match = re.fullmatch(_PATTERN, text.strip()) if isinstance(text, str) else None
    if match is None:
        shown = (
            repr(text) if isinstance(text, str) else "a list or a mapping" if isinstance(text, list | dict) else text
        )
        raise ValueError(f"expected a duration with its unit, such as 200ms, 1s, 10m, 24h or 7d, found {shown}")
    number, unit = match.groups()
    microseconds = Decimal(number) * (_UNITS[unit] // _MICROSECOND)
    if microseconds != microseconds.to_integral_value():
        raise ValueError(f"expected a duration in whole microseconds, found {text!r}")
    try:
        return timedelta(microseconds=int(microseconds))
    except OverflowError:
        raise ValueError(f"expected a duration that fits a calendar, found {text!r}") from None


def format_duration(duration: timedelta) -> str:
    """Return the one way to write a duration: the largest unit that divides it (`90m`, `1500ms`, `0s`)."""
    if not duration:
        return "0s"
    for unit, size in _UNITS.items():
        if not duration % size:
            return f"{duration // size}{unit}"
    return f"{Decimal(duration // _MICROSECOND) / 1000}ms"


def humanize(duration: timedelta) -> str:
    """Return a duration for a person, in at most two units, cut and not rounded: `2 days`, `1 h 30 min`, `1.5 s`."""
    if duration < timedelta(minutes=1):
        unit, size = ("s", _UNITS["s"]) if not duration or duration >= _UNITS["s"] else ("ms", _UNITS["ms"])
        return f"{duration / size:.3g} {unit}"
    parts: list[str] = []
    for unit in ("d", "h", "m", "s"):
        count, duration = divmod(duration, _UNITS[unit])
        if count:
            parts.append(f"{count} {_NAMES[unit]}{'s' if unit == 'd' and count > 1 else ''}")
        elif parts:
            break
        if len(parts) == 2:  # noqa: PLR2004 - two units say enough
            break
    return " ".join(parts)


def between(shortest: timedelta, longest: timedelta) -> AfterValidator:
    """Return a validator that keeps a duration between two others, both included."""

    def check(duration: timedelta) -> timedelta:
        if not shortest <= duration <= longest:
            bounds = f"between {format_duration(shortest)} and {format_duration(longest)}"
            raise ValueError(f"expected a duration {bounds}, found {format_duration(duration)}")
        return duration

    return AfterValidator(check)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_PATTERN}$", "examples": ["200ms", "1s", "10m", "24h", "7d"]}),
]
"""A length of time with its unit; written back in its one canonical form."""
