"""What only psql reads in a file: its own commands, which begin with a backslash, and the data after COPY."""

import re
from dataclasses import dataclass, field

from orchestrator.errors import InvalidFileError
from orchestrator.sql.lexer import UnreadableSqlError, scan

_COMMAND = re.compile(r"\\(?P<name>\w*)[^\n]*")
_DATA_ENDS = re.compile(r"^\\\.[ \t\r]*$", re.MULTILINE)
_SENDS = frozenset({"g", "gx", "gset", "gdesc", "crosstabview", "watch"})
"""Commands that send what was written before them, as a semicolon does."""
_HIDES = frozenset({"i", "ir", "include", "include_relative", "gexec"})
"""Commands that run what is in another file, or what a query returns."""


@dataclass
class _Text:
    """A text, how far it was read, and the words of the statement at hand."""

    text: str
    at: int = 0
    words: list[str] = field(default_factory=list[str])

    def put(self, start: int, end: int, instead: str = "") -> None:
        """Write something over a piece of the text, and blanks over its rest; lines stay where they are."""
        piece = self.text[start:end]
        blank = "".join("\n" if each == "\n" else " " for each in piece[len(instead) :])
        self.text = self.text[:start] + instead + blank + self.text[end:]
        self.at = start + len(instead)
        self.words = []

    def after_data(self, start: int) -> int:
        """Return the place after the data that begins on the next line."""
        ends = _DATA_ENDS.search(self.text, start)
        return ends.end() if ends else len(self.text)


def without_psql(text: str, *, where: str) -> str:
    """Return a text without psql's own commands and data, its lines as they were.

    A command that runs what is not in the text is left, as a statement of its own.

    Args:
        text: of the file.
        where: the file, for messages.

    Raises:
        InvalidFileError: a quote or comment is not closed.
    """
    found = _Text(text)
    try:
        while "\\" in found.text[found.at :] and _next(found, where):
            pass
    except UnreadableSqlError as error:
        raise InvalidFileError(f"{where} cannot be read as SQL", details=[str(error)]) from None
    return found.text


def _next(found: _Text, where: str) -> bool:
    """Take the next command, or the data after the next COPY, out of a text; whether there was any."""
    begun = found.at
    for token in scan(found.text[begun:], key=where):
        start = begun + token.start
        if token.kind == "mark" and token.text == "\\":
            _command(found, start)
            return True
        if token.kind == "mark" and token.text == ";":
            if _has_data(found.words):
                found.put(start + 1, found.after_data(start))
                return True
            found.words = []
        else:
            found.words.append(token.text)
    return False


def _has_data(words: list[str]) -> bool:
    return words[:1] == ["copy"] and any(words[n : n + 2] == ["from", "stdin"] for n in range(len(words)))


def _command(found: _Text, start: int) -> None:
    command = _COMMAND.match(found.text, start)
    name, end = (command["name"], command.end()) if command else ("", start + 1)
    if name == "copy" and _has_data(found.text[start + 1 : end].lower().split()):
        found.put(start, found.after_data(start))
    elif name in _HIDES:
        # The backslash and a semicolon at each side; a quote in a file's name is none of SQL's.
        found.put(start, end, instead=f";\\{name};")
    else:
        found.put(start, end, instead=";" if name in _SENDS else "")
