"""Does a statement name what contract takes away? Told from its text, as pg_stat_statements keeps it.

What a name means is decided as PostgreSQL decides it: by the tables of the innermost query that has such a column. A
statement was run, so a column that is named without its table is of one table alone. Where a text cannot be
understood, that is the answer, and not a guess.
"""

import logging
import re
from collections.abc import Iterable
from typing import Any

from orchestrator.sql.identifiers import JOURNAL_SCHEMA, words
from orchestrator.sql.references import Holders, OldSide, Reading, readings


def reading(text: str, old: Iterable[OldSide], holders: Holders | None = None) -> Reading | None:
    """Return what a statement does with the old side; None where it does not touch it.

    Args:
        text: one statement; constants may be `$1`.
        old: what goes, of each table.
        holders: who else has columns of the same names.
    """
    said = words(text)
    sides = [side for side in old if side.table.name in said]
    if not sides:
        return None
    text = _unwrapped(text)
    parsed = _parsed(text)
    if parsed is None:
        return _by_words(text, sides)
    try:
        found = set(readings(parsed, sides, holders or {}))
    except (AttributeError, KeyError, TypeError, RecursionError):
        return _by_words(text, sides)  # a tree of a shape that nobody here has seen
    return next((each for each in (Reading.NAMES, Reading.WHOLE, Reading.UNCLEAR) if each in found), None)


OWN = "~ecm"
"""How ecm calls a table in queries of its own that are like an application's: names stay in pg_stat_statements."""

_OWN = (
    re.compile(r"\bctid >= [$']\w*'?::pg_catalog\.tid\b"),
    re.compile(rf'(?<![\w.])"?{JOURNAL_SCHEMA}"?\s*\.'),
    re.compile(r'\ALOCK TABLE (?:ONLY )?"[^"]+"\."'),
    re.compile(r'"~(?:ecm|value|wanted|wrote|partner|their value)"'),
    re.compile(r"\bpg_catalog\.record_image_(?:eq|ne)\(ROW\("),
    # PostgreSQL's own, for foreign keys (ri_triggers.c); they follow a column wherever it goes.
    re.compile(r'\A(?:SELECT 1 FROM|UPDATE|DELETE FROM) ONLY "[^"]+"\."[^"]+" .*OPERATOR\(', re.DOTALL),
)


def is_own(text: str) -> bool:
    """Whether a statement is ecm's own, or PostgreSQL's.

    ecm's has to do with schema ecm, in which an application has no rights; goes over a table by ranges of pages, with a
    cast that nobody writes by hand; locks a table that is named in full and in quotes; compares images of rows; or has
    ecm's own names in it. A comment would not tell: it may be cut off with what is around the statement.
    """
    return any(pattern.search(text) for pattern in _OWN)


# ---------------------------------------------------------------- taking the text apart

_WRAPPINGS = re.compile(
    r"""\A\s*(?:
      explain\s*(?:\([^)]*\)|(?:analyze|verbose)\b|\s)*
    | prepare\s+(?:"[^"]+"|[\w$]+)\s*(?:\([^)]*\))?\s*as\b
    | declare\s+(?:"[^"]+"|[\w$]+)\s+[^()]*?\bfor\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""What may stand before a query that PostgreSQL runs later, or only plans."""

_PARAMETER = re.compile(r"""("(?:[^"]|"")*"|'(?:[^']|'')*')|\$\d+""")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def _unwrapped(text: str) -> str:
    return _WRAPPINGS.sub("", text, count=1)


def _parsed(text: str) -> Any | None:
    """Return the statement's tree; None where it cannot be understood as a whole."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    # What it cannot parse it says to whoever listens; here the answer says it.
    logging.getLogger("sqlglot").addHandler(logging.NullHandler())
    logging.getLogger("sqlglot").propagate = False
    try:
        # A parameter may stand where only a constant may (`date $1`), and two of them would quote what is between.
        constant = _PARAMETER.sub(lambda found: found[1] or "'1'", _COMMENT.sub(" ", text))
        parsed = sqlglot.parse(constant, read="postgres")
    except (SqlglotError, RecursionError, ValueError):
        return None
    statements = (
        exp.Query,
        exp.Insert,
        exp.Update,
        exp.Delete,
        exp.Merge,
        exp.Copy,
        exp.Create,
        exp.Alter,
        exp.Drop,
        exp.TruncateTable,
        exp.Comment,
    )
    (tree,) = parsed if len(parsed) == 1 else (None,)
    return tree if isinstance(tree, statements) and tree.find(exp.Command) is None else None


def _by_words(text: str, sides: Iterable[OldSide]) -> Reading | None:
    """Tell of a text that cannot be understood: with neither an old column's name nor whole rows it is not about it."""
    said = words(text)
    for side in sides:
        if side.whole or side.columns & said or "*" in _COMMENT.sub("", text):
            return Reading.UNCLEAR
    return None
