"""What is known of casts between types, by their names."""

import re

_NUMBERS = ("smallint", "integer", "bigint", "numeric")
"""Each holds every value of those before it."""
INTEGERS = _NUMBERS[:3]
"""The types that a sequence can feed."""
_ALIASES = {"int2": "smallint", "int": "integer", "int4": "integer", "int8": "bigint", "decimal": "numeric"}
_LENGTH = re.compile(r"(?i)\b(character varying|varchar|character|char|bpchar|bit varying|varbit|bit)\s*\(\s*\d+\s*\)")
"""The length of a type that a cast cuts off at, where an assignment refuses."""
_DATED = re.compile(r"(?i)\b(timestamp|timestamptz|time|timetz|date|interval)\b")
_ZONED = re.compile(r"(?i)\b(timestamptz|timetz)\b|\bwith time zone\b")


def always_works(before: str, after: str) -> bool:
    """Whether a cast works for every value, and so needs no attempt."""
    if after == "text":
        return _DATED.search(before) is None
    return before in _NUMBERS and after in _NUMBERS and _NUMBERS.index(before) <= _NUMBERS.index(after)


def asks_the_session(before: str, after: str) -> bool:
    """Whether a cast gives another value where TimeZone or DateStyle is another ("Date/Time Types", manual 8.5)."""
    dated = [_DATED.search(kind) is not None for kind in (before, after)]
    zoned = [_ZONED.search(kind) is not None for kind in (before, after)]
    return dated[0] != dated[1] or zoned[0] != zoned[1]


def without_length(type_name: str) -> str:
    """Return a type that a cast to does not cut off; `character` alone is one character, and `bit` one bit."""
    unbounded = {"character": "bpchar", "char": "bpchar", "bit": "varbit"}
    return _LENGTH.sub(lambda found: unbounded.get(found[1].lower(), found[1]), type_name)


def plain(type_name: str) -> str:
    """Return a type's name as PostgreSQL has it, where it is a number's."""
    return _ALIASES.get(type_name.lower(), type_name)
