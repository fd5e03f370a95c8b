"""Amounts of data as PostgreSQL writes them: `64kB`, `50MB`, `10GB` ("Parameter Names and Values", manual 20.1.1)."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

_PATTERN = r"([0-9]{1,19}(?:\.[0-9]{1,6})?) ?(B|kB|MB|GB|TB)"
_UNITS = {  # powers of 1024
    "TB": 1024**4,
    "GB": 1024**3,
    "MB": 1024**2,
    "kB": 1024,
    "B": 1,
}


def parse_size(text: object) -> int:
    """Read `50MB` and its like into bytes.

    Raises:
        ValueError: it is not a number with a unit.
    """
    match = re.fullmatch(_PATTERN, text.strip()) if isinstance(text, str) else None
    if match is None:
        shown = "a list or a mapping" if isinstance(text, list | dict) else repr(text)
        raise ValueError(f"expected a size with its unit, such as 64kB, 50MB or 10GB, found {shown}")
    number, unit = match.groups()
    return int(Decimal(number) * _UNITS[unit])


def format_size(size: float) -> str:
    """Return the one way to write a size: the largest unit that divides it (`50MB`, `1536kB`)."""
    whole = int(size)
    return (
        next(f"{whole // each}{unit}" for unit, each in _UNITS.items() if whole and not whole % each) if whole else "0B"
    )


def humanize_size(size: float) -> str:
    """Return a size for a person, in three digits: `1.25 GB`."""
    unit, each = next(((unit, each) for unit, each in _UNITS.items() if abs(size) >= each), ("B", 1))
    return f"{size / each:.3g} {unit}"


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    Field(ge=0),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_PATTERN}$", "examples": ["64kB", "50MB", "10GB"]}),
]
"""Bytes, with a unit where a person writes them; written back in its one canonical form."""
