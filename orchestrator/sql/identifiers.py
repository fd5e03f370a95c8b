"""Names as PostgreSQL has them: exact, quoted when composed, at most 63 bytes.

A name in a plan is taken to the letter, never folded to lower case, because that is how the
catalog keeps it ("Identifiers and Key Words", PostgreSQL manual, section 4.1.1).
"""

import hashlib
import re
from dataclasses import dataclass
from typing import LiteralString, Self, cast

from psycopg import sql

NAME_BYTES = 63
"""NAMEDATALEN - 1: PostgreSQL cuts a longer name in silence."""

JOURNAL_SCHEMA = "ecm"
"""The schema in each branch that holds the journal and the sync functions."""

SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema", "pg_toast", JOURNAL_SCHEMA})
"""Schemas whose tables are PostgreSQL's or ecm's own."""

SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""What every table has besides its columns ("System Columns", manual 5.5); no column can have one of these names."""


@dataclass(frozen=True, order=True)
class TableName:
    """A table's schema and name."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str, *, schema: str = "public") -> Self:
        """Read `table`, `schema.table` or `"any.name"."any name"`; without a schema it is in `schema`.

        Raises:
            ValueError: the text is not one or two names.
        """
        parts: list[str] = []
        rest = text
        while True:
            if rest.startswith('"'):
                name, rest = _quoted(rest, text)
            else:
                name, dot, after = rest.partition(".")
                rest = dot + after
            if not name:
                raise ValueError(f"{text!r} is not a table name: write table or schema.table")
            parts.append(name)
            if not rest:
                break
            if not rest.startswith("."):
                raise ValueError(f"{text!r} is not a table name: a dot is missing after the quoted part")
            rest = rest[1:]
        match parts:
            case [name]:
                return cls(schema, name)
            case [own, name]:
                return cls(own, name)
            case _:
                raise ValueError(f"{text!r} is not a table name: write table or schema.table")

    @property
    def identifier(self) -> sql.Identifier:
        """The name, qualified and quoted."""
        return sql.Identifier(self.schema, self.name)

    @property
    def spelled(self) -> str:
        """The name as SQL has to have it, for a person: the schema only where it is not public."""
        return spelled(self.name) if self.schema == "public" else spelled(self.schema, self.name)

    @property
    def qualified(self) -> str:
        """The schema and the name as one text that no other table has."""
        return f"{_written(self.schema)}.{_written(self.name)}"

    def __str__(self) -> str:
        """Return the name as a plan writes it: the schema only where it is not public; `parse` reads it back."""
        parts = (self.name,) if self.schema == "public" else (self.schema, self.name)
        return ".".join(_written(part) for part in parts)


_RESERVED = frozenset(
    re.findall(
        r"\w+",
        """
        all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate
        collation column concurrently constraint create cross current_catalog current_date current_role
        current_schema current_time current_timestamp current_user default deferrable desc distinct do else end
        except false fetch for foreign freeze from full grant group having ilike in initially inner intersect into
        is isnull join lateral leading left like limit localtime localtimestamp natural not notnull null offset on
        only or order outer overlaps placing primary references returning right select session_user similar some
        symmetric system_user table tablesample then to trailing true union unique user using variadic verbose when
        where window with
        """,
    )
)
"""Key words that are no table's or column's name without quotes ("SQL Key Words", manual appendix C)."""


def spelled(*parts: str) -> str:
    """Return a name as SQL has to have it, for a person: parts joined by dots, quoted where that is needed."""
    return ".".join(
        part
        if re.fullmatch(r"[a-z_][a-z0-9_$]*", part) and part not in _RESERVED
        else sql.Identifier(part).as_string(None)
        for part in parts
    )


def _written(part: str) -> str:
    plain = part and "." not in part and not part.startswith('"')
    return part if plain else '"' + part.replace('"', '""') + '"'


def _quoted(rest: str, text: str) -> tuple[str, str]:
    """Split a quoted name off the front (a quote in it is doubled); return the name and what follows."""
    position, name = 1, ""
    while True:
        end = rest.find('"', position)
        if end < 0:
            raise ValueError(f"{text!r} is not a table name: a quote is not closed")
        name += rest[position:end]
        if rest[end + 1 : end + 2] != '"':
            return name, rest[end + 1 :]
        name += '"'
        position = end + 2


_HIDDEN = "ecm_hidden"


def aside(table: TableName) -> TableName:
    """Return the name that a table has while a view of ecm's has its own."""
    return TableName(table.schema, bounded(table.name, JOURNAL_SCHEMA))


def hidden(column: str) -> str:
    """Return the name that an old column has while contract keeps it out of sight."""
    return bounded(column, _HIDDEN)


def is_hidden(column: str) -> bool:
    """Whether it is the name that a column has while contract keeps it out of sight; a very long one is not known."""
    return column.endswith(f"_{_HIDDEN}")


def verbatim(text: str) -> sql.SQL:
    """Return SQL text that comes from PostgreSQL itself (pg_get_…def) or from the plan's author.

    Neither is data: it is meant to be executed as it stands, and it is never assembled from values.
    """
    return sql.SQL(cast("LiteralString", text))


_WORD = re.compile(r"""[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"((?:[^"]|"")+)"|([^\W\d][\w$]*)""", re.DOTALL)
"""Text in quotes, a quoted name, or a word."""


def words(*expressions: str) -> frozenset[str]:
    """Return every word of SQL expressions that may be a column's name: more than are, but none too few.

    Quoted names are as they stand; others PostgreSQL folds to lower case.
    """
    found = (pair for expression in expressions for pair in _WORD.findall(expression))
    return frozenset(
        quoted.replace('""', '"') if quoted else plain.lower() for quoted, plain in found if quoted or plain
    )


def naming(*names: str) -> str:
    """Return a regular expression of PostgreSQL's for a text that has one of some names as a word of its own.

    In any case, since unquoted names fold; a quote within a name may be doubled, as it is where the name is quoted.
    """
    # Of ASCII alone: a letter after a backslash would be an escape ("Regular Expression Details", manual 9.7.3).
    escaped = (re.sub(r"([^A-Za-z0-9_\x80-\U0010ffff])", r"\\\1", name).replace('\\"', '""?') for name in names)
    return f"(?i)(^|[^[:alnum:]_$])({'|'.join(escaped)})($|[^[:alnum:]_$])"


def bounded(*parts: str) -> str:
    """Join parts with `_` into a name of at most 63 bytes; a longer one ends in a digest, so that it stays unique."""
    name = "_".join(parts)
    encoded = name.encode()
    if len(encoded) <= NAME_BYTES:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    return encoded[: NAME_BYTES - 9].decode(errors="ignore") + "_" + digest
