"""How Drizzle's snapshots write types and defaults, and names within SQL."""

import re

from psycopg import sql

from orchestrator.sql.lexer import scan

_NAMES = {
    "bool": "boolean",
    "bpchar": "char",
    "character": "char",
    "character varying": "varchar",
    "decimal": "numeric",
    "float4": "real",
    "float8": "double precision",
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "time without time zone": "time",
    "timestamp without time zone": "timestamp",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
}
_COUNTING = {"serial": "integer", "bigserial": "bigint", "smallserial": "smallint"}
_TYPE = re.compile(r"(?P<name>[^()\[\]]+?)\s*(?P<length>\([^()]*\))?(?P<rest>[^()\[\]]*?)\s*(?P<array>(?:\[\d*\])*)")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def type_name(given: str) -> str:
    """Return a type as a snapshot has it: `character varying(10)` is `varchar(10)`, whatever its array brackets."""
    found = _TYPE.fullmatch(" ".join(given.split()))
    if found is None:
        return given
    plain = found["name"] + found["rest"]
    plain = plain if '"' in plain else plain.lower()  # as PostgreSQL reads it
    name = _NAMES.get(plain, plain)
    length = found["length"] or ""
    if found["rest"] and name.startswith("timestamp") and length:
        return f"timestamp {length}{name.removeprefix('timestamp')}{found['array']}"
    return f"{name}{length}{found['array']}"


def uncounted(given: str) -> str:
    """Return the type of a column that gets its values from another one that counts."""
    return _COUNTING.get(given, given)


def default_value(expression: str) -> str | int | float | bool:
    """Return a default as a snapshot of version 7 has it: a number or a boolean as such, all else as SQL."""
    if expression.lower() in ("true", "false"):
        return expression.lower() == "true"
    if (found := _NUMBER.fullmatch(expression)) is not None:
        return float(expression) if found[1] else int(expression)
    return expression


def renamed(text: str, names: dict[str, str]) -> str:
    """Return SQL with other names for some: wherever one stands as a name, and nowhere in a string."""
    parts: list[str] = []
    end = 0
    for token in scan(text, key="snapshot"):
        if token.kind in ("name", "word") and token.text in names:
            parts += [text[end : token.start], sql.Identifier(names[token.text]).as_string(None)]
            end = token.end
    return "".join([*parts, text[end:]])


def mentions(text: str, name: str) -> bool:
    """Whether SQL has a name in it."""
    return any(token.kind in ("name", "word") and token.text == name for token in scan(text, key="snapshot"))
