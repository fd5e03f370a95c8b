"""Types by their names: which are the same, which change costs nothing, which values can become which."""

import re
from dataclasses import dataclass

ALIASES = {
    "int": "integer", "int2": "smallint", "int4": "integer", "int8": "bigint", "float4": "real",
    "float8": "double precision", "float": "double precision", "decimal": "numeric", "bool": "boolean",
    "varchar": "character varying", "char": "character", "bpchar": "character", "varbit": "bit varying",
    "timestamptz": "timestamp with time zone", "timetz": "time with time zone",
    "timestamp without time zone": "timestamp", "time without time zone": "time",
    "serial": "integer", "serial4": "integer", "bigserial": "bigint", "serial8": "bigint", "smallserial": "smallint",
    "serial2": "smallint",
}  # fmt: skip
_FAMILIES = (
    {"smallint", "integer", "bigint", "numeric", "real", "double precision", "money"},
    {"text", "character varying", "character", "citext", "name"},
    {"timestamp", "timestamp with time zone", "date"},
    {"time", "time with time zone", "interval"},
    {"json", "jsonb"},
    {"bit", "bit varying"},
    {"cidr", "inet"},
)
_TEXTS = _FAMILIES[1]
_LENGTHENED = {
    "character varying",
    "bit varying",
    "timestamp",
    "timestamp with time zone",
    "time",
    "time with time zone",
}
"""Types whose length or precision may grow, or go, without a look at any row."""


@dataclass(frozen=True, kw_only=True)
class Type:
    """A type's name, taken apart.

    Attributes:
        base: without its length, under its first name: `character varying`.
        sizes: its length, or precision and scale.
        array: whether it is an array.
    """

    base: str
    sizes: tuple[int, ...] = ()
    array: bool = False


def parse(text: str) -> Type:
    """Return a type's name taken apart; a schema `public` is left out, and so are quotes."""
    words = " ".join(text.replace('"', "").lower().split())
    array = words.endswith(("]", " array"))
    words = re.sub(r"(\s*\[\d*\])+$| array$", "", words)
    sizes = re.search(r"\(([\d\s,]+)\)", words)
    base = " ".join(re.sub(r"\s*\([\d\s,]+\)", "", words).split()).removeprefix("public.").removeprefix("pg_catalog.")
    return Type(
        base=ALIASES.get(base, base),
        sizes=tuple(int(size) for size in sizes[1].split(",")) if sizes else (),
        array=array,
    )


def same(one: str, other: str) -> bool:
    """Whether two names are those of one type."""
    return parse(one) == parse(other)


def costs_nothing(before: str, after: str) -> bool:
    """Whether a change of type holds for every row as it is, so that PostgreSQL reads none ("ALTER TABLE", Notes)."""
    old, new = parse(before), parse(after)
    if old == new:
        return True
    if old.array or new.array:
        return False
    if old.base == new.base == "numeric":
        return not new.sizes or (len(old.sizes) == len(new.sizes) and _grows(old.sizes, new.sizes))
    if old.base == new.base and old.base in _LENGTHENED:
        return not new.sizes or (bool(old.sizes) and new.sizes[0] >= old.sizes[0])
    if old.base in ("character varying", "text") and new.base in ("character varying", "text"):
        return not new.sizes
    return (old.base, new.base) == ("cidr", "inet")


def _grows(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    return new[0] >= old[0] and old[1:] == new[1:]


def castable(before: str, after: str) -> bool:
    """Whether the values of one type can be seen as the other's: of one family, or either is text."""
    old, new = parse(before), parse(after)
    if old.array != new.array:
        return False
    if old.base == new.base or old.base in _TEXTS or new.base in _TEXTS:
        return True
    return any(old.base in family and new.base in family for family in _FAMILIES)
