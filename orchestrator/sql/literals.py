"""Which labels a function's text has as string literals: also within an array, or in statements that are a string.

PostgreSQL does not track what a text says. So it is read by PostgreSQL's lexical rules ("Lexical Structure", manual
4.1), and every string in it once more as a text of its own: it may be dynamic SQL, or a piece of that.
"""

import re
from collections.abc import Iterable, Iterator

from orchestrator.sql.lexer import UnreadableSqlError, scan

_KNOWN = ("plpgsql", "sql")
"""Languages that are read by the rules of SQL."""
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def mentioned(text: str, labels: Iterable[str], *, language: str) -> tuple[str, ...]:
    """Return those of some labels that a function's text has as a literal.

    Args:
        text: the function's body.
        labels: as PostgreSQL has them, without quotes.
        language: what the body is written in; where that is another than SQL, a label in quotes of any kind counts.
    """
    try:
        values = tuple(_strings(text)) if language in _KNOWN else (text,)
    except UnreadableSqlError:
        values = (text,)
    marks = "'" if language in _KNOWN else "['\"]"
    return tuple(label for label in labels if any(_has(value, label, marks) for value in values))


def _strings(text: str) -> Iterator[str]:
    """Give what each string of a text stands for, and each string in that."""
    for token in scan(text, key="the body"):
        if token.kind != "string":
            continue
        value = _value(token.text)
        yield value
        try:
            yield from _strings(value)
        except UnreadableSqlError:
            continue  # a piece of a statement; whoever asks looks for quotes in it, too


def _value(token: str) -> str:
    if token.startswith("$"):
        mark = token[: token.index("$", 1) + 1]
        return token[len(mark) : -len(mark)]
    value = token[token.index("'") + 1 : -1].replace("''", "'")
    return _ESCAPED.sub(r"\1", value) if token[0] in "eE" else value


def _has(value: str, label: str, marks: str) -> bool:
    """Whether a string is a label, an array with it ("Array Input and Output Syntax"), or has it in quotes."""
    if value == label:
        return True
    if value.startswith("{") and re.search(rf'[{{,]\s*"?{re.escape(label)}"?\s*[,}}]', value):
        return True
    # In a piece of a statement, a quote in the label may be doubled more than once.
    quoted = "'+".join(map(re.escape, label.split("'")))
    return re.search(f"{marks}{quoted}{marks}", value) is not None
