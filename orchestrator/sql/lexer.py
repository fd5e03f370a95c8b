"""SQL text taken apart into statements, by PostgreSQL's lexical rules ("Lexical Structure", manual 4.1).

psycopg sends what it is given as it is, several statements as one, and a general SQL parser does not know all that
PostgreSQL writes between two semicolons. So only that is read here: strings of every kind, dollar quoting, quoted
names, nested comments, parentheses and the bodies of BEGIN ATOMIC, as psql itself does.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, LiteralString, cast

from psycopg import sql
from typing_extensions import override

Kind = Literal["word", "name", "string", "mark"]


class UnreadableSqlError(ValueError):
    """Text that PostgreSQL would not read as statements."""


@dataclass(frozen=True, kw_only=True)
class Token:
    """A piece of a statement that means something.

    Attributes:
        kind: an unquoted word, a quoted name, a string of any kind, or another character.
        text: a word in lower case, as PostgreSQL folds it; a quoted name without its quotes; else as written.
        start: its place in the whole text.
        end: the place after it.
    """

    kind: Kind
    text: str
    start: int
    end: int


class Written(sql.SQL):
    """A statement as the plan's author wrote it, which knows where."""

    def __init__(self, text: str, *, tokens: tuple[Token, ...], key: str, number: int, line: int) -> None:
        super().__init__(cast("LiteralString", text))
        self.tokens = tokens
        self.key = key
        self.number = number
        self.line = line

    @property
    def text(self) -> str:
        """The statement, without the semicolon."""
        return self.as_string(None)

    def place(self, position: int | None = None) -> str:
        """Return where it stands in the plan, or a character of it, counted from 1."""
        line = self.line + (self.text.count("\n", 0, position - 1) if position else 0)
        return f"{self.key}, statement {self.number}, line {line}"

    # Two statements are the same when they read the same, wherever they stand.

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, sql.SQL) and self.as_string(None) == other.as_string(None)

    @override
    def __hash__(self) -> int:
        return hash(self.text)


_SPACE = re.compile(r"\s+")
_LINE_COMMENT = re.compile(r"--[^\n\r]*")
_WORD = re.compile(r"[^\W\d][\w$]*")
_NUMBER = re.compile(r"\d[\w.]*")
_PARAMETER = re.compile(r"\$\d+")
_DOLLAR = re.compile(r"\$(?:[^\W\d]\w*)?\$")
_STRING = re.compile(r"(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'")
_ESCAPED = re.compile(r"[eE]'(?:[^'\\]|\\.|'')*'", re.DOTALL)
_NAME = re.compile(r'(?:[uU]&)?"((?:[^"]|"")*)"')
_STRING_BEGINS = re.compile(r"(?:[bBxXnNeE]|[uU]&)?'")
_NAME_BEGINS = re.compile(r'(?:[uU]&)?"')


def statements(text: str, *, key: str) -> tuple[Written, ...]:
    """Return the statements of a text, without their semicolons; those of nothing but comments are left out.

    Args:
        text: as it stands in the plan.
        key: where in the plan, for messages.

    Raises:
        UnreadableSqlError: a quote, comment, parenthesis or BEGIN ATOMIC is not closed.
    """
    found: list[Written] = []
    for tokens in _groups(text, key):
        first = tokens[0].start
        words = text[first : tokens[-1].end]
        found.append(Written(words, tokens=tuple(tokens), key=key, number=len(found) + 1, line=_line(text, first)))
    return tuple(found)


def _groups(text: str, key: str) -> Iterator[list[Token]]:
    group: list[Token] = []
    depth, atomic = 0, 0
    for token in scan(text, key=key):
        if token.text == ";" and token.kind == "mark" and depth == 0 and atomic == 0:
            if group:
                yield group
            group = []
            continue
        if token.kind == "mark":
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            depth = max(depth, 0)
        atomic = _atomic(group, token, atomic)
        group.append(token)
    if depth or atomic:
        what = "BEGIN ATOMIC" if atomic else "a parenthesis"
        raise UnreadableSqlError(f"{key}, line {_line(text, group[0].start)}: {what} is not closed")
    if group:
        yield group


def _atomic(group: list[Token], token: Token, depth: int) -> int:
    """Return how deep in BEGIN ATOMIC … END the text is after a token, counting CASE … END inside of it."""
    if token.kind != "word":
        return depth
    before = [each.text for each in group[:4] if each.kind == "word"]
    routine = before[:1] == ["create"] and {"function", "procedure"}.intersection(before)
    if routine and token.text == "atomic" and group[-1].text == "begin" and group[-1].kind == "word":
        return depth + 1
    if depth and token.text == "case":
        return depth + 1
    return depth - 1 if depth and token.text == "end" else depth


def scan(text: str, *, key: str) -> Iterator[Token]:
    """Give the pieces of a text one after the other, as far as it can be read.

    Args:
        text: SQL or PL/pgSQL, which has the same lexical rules.
        key: where it stands, for messages.

    Raises:
        UnreadableSqlError: a quote or comment is not closed.
    """
    at = 0
    while at < len(text):
        if (match := _SPACE.match(text, at) or _LINE_COMMENT.match(text, at)) is not None:
            at = match.end()
            continue
        if text.startswith("/*", at):
            at = _after_comment(text, at, key)
            continue
        kind, value, end = _token(text, at, key)
        yield Token(kind=kind, text=value, start=at, end=end)
        at = end


def _token(text: str, at: int, key: str) -> tuple[Kind, str, int]:
    if (match := _ESCAPED.match(text, at) or _STRING.match(text, at)) is not None:
        return "string", match[0], match.end()
    if (match := _NAME.match(text, at)) is not None:
        return "name", match[1].replace('""', '"'), match.end()
    if _STRING_BEGINS.match(text, at) or _NAME_BEGINS.match(text, at):
        raise UnreadableSqlError(f"{key}, line {_line(text, at)}: a quote is not closed")
    if (match := _DOLLAR.match(text, at)) is not None:
        end = text.find(match[0], match.end())
        if end < 0:
            raise UnreadableSqlError(f"{key}, line {_line(text, at)}: {match[0]} is not closed")
        end += len(match[0])
        return "string", text[at:end], end
    if (match := _WORD.match(text, at)) is not None:
        return "word", match[0].lower(), match.end()
    match = _NUMBER.match(text, at) or _PARAMETER.match(text, at)
    end = match.end() if match else at + 1
    return "mark", text[at:end], end


def _after_comment(text: str, at: int, key: str) -> int:
    """Return the place after a comment, which may have others in it."""
    depth, position = 0, at
    for mark in re.finditer(r"/\*|\*/", text[at:]):
        depth += 1 if mark[0] == "/*" else -1
        position = at + mark.end()
        if depth == 0:
            return position
    raise UnreadableSqlError(f"{key}, line {_line(text, at)}: a comment is not closed")


def _line(text: str, at: int) -> int:
    return 1 + text.count("\n", 0, at)
