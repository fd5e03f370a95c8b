"""A statement's pieces, read from the front."""

from collections.abc import Iterator

from orchestrator.sql.identifiers import TableName
from orchestrator.sql.lexer import Token, statements

_OPENS = {"(": 1, "[": 1, ")": -1, "]": -1}


class Phrase:
    """Pieces of a text, and how far they were read.

    Args:
        source: the text that the pieces' places are in.
        tokens: the pieces.
    """

    def __init__(self, source: str, tokens: tuple[Token, ...]) -> None:
        self._source = source
        self._tokens = tokens
        self._at = 0

    @classmethod
    def several(cls, text: str) -> "tuple[Phrase, ...]":
        """Return the statements of a text.

        Raises:
            UnreadableSqlError: a quote, comment or parenthesis is not closed.
        """
        return tuple(cls(text, each.tokens) for each in statements(text, key="statement"))

    @property
    def next(self) -> Token | None:
        """The piece that comes."""
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    @property
    def rest(self) -> tuple[Token, ...]:
        """What was not read yet."""
        return self._tokens[self._at :]

    @property
    def text(self) -> str:
        """The text of what was not read yet, as it was written."""
        return self._source[self.rest[0].start : self.rest[-1].end] if self.rest else ""

    def begins(self, *heads: str) -> bool:
        """Whether the words of one of several heads come."""
        return any(self._words(len(head.split())) == head.split() for head in heads)

    def take(self, *heads: str) -> str | None:
        """Go past the first of several heads whose words come; return it."""
        for head in heads:
            if self.begins(head):
                self._at += len(head.split())
                return head
        return None

    def mark(self, text: str) -> bool:
        """Go past a character, where it comes."""
        token = self.next
        if token is None or token.kind != "mark" or token.text != text:
            return False
        self._at += 1
        return True

    def has(self, *words: str) -> bool:
        """Whether words stand one after another somewhere outside of parentheses."""
        depth, run = 0, 0
        for token in self.rest:
            depth += _OPENS.get(token.text, 0) if token.kind == "mark" else 0
            run = run + 1 if depth == 0 and token.kind == "word" and token.text == words[run] else 0
            if run == len(words):
                return True
        return False

    def seek(self, *words: str) -> bool:
        """Go past the first of several words outside of parentheses, where one comes."""
        depth = 0
        for number, token in enumerate(self.rest):
            depth += _OPENS.get(token.text, 0) if token.kind == "mark" else 0
            if depth == 0 and token.kind == "word" and token.text in words:
                self._at += number + 1
                return True
        return False

    def name(self) -> str | None:
        """Read a name of one part."""
        token = self.next
        if token is None or token.kind not in ("word", "name"):
            return None
        self._at += 1
        return token.text

    def table(self) -> TableName | None:
        """Read a name with or without a schema; without one it is public, as in a plan."""
        parts = [self.name()]
        while parts[-1] is not None and self.mark("."):
            parts.append(self.name())
        match parts:
            case [str(name)]:
                return TableName("public", name)
            case [str(schema), str(name)]:
                return TableName(schema, name)
            case _:
                return None

    def tables(self) -> tuple[TableName, ...]:
        """Read names between commas."""
        found: list[TableName] = []
        while True:
            self.take("only")
            if (name := self.table()) is None:
                break
            found.append(name)
            self.mark("*")
            if not self.mark(","):
                break
        return tuple(found)

    def within(self) -> "Phrase | None":
        """Read parentheses; return what is in them."""
        if not self.mark("("):
            return None
        start, depth = self._at, 1
        while depth and (token := self.next) is not None:
            depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "mark" else 0
            self._at += 1
        return Phrase(self._source, self._tokens[start : self._at - 1])

    def until(self, *ends: str) -> "Phrase":
        """Read at least one piece, up to the first of several heads outside of parentheses; return what was read."""
        start, depth = self._at, 0
        while (token := self.next) is not None:
            if depth == 0 and self._at > start and self.begins(*ends):
                break
            depth += _OPENS.get(token.text, 0) if token.kind == "mark" else 0
            self._at += 1
        return Phrase(self._source, self._tokens[start : self._at])

    def parts(self) -> Iterator["Phrase"]:
        """Give what stands between the commas outside of parentheses."""
        depth, part = 0, list[Token]()
        for token in self.rest:
            depth += _OPENS.get(token.text, 0) if token.kind == "mark" else 0
            if token.text == "," and token.kind == "mark" and depth == 0:
                yield Phrase(self._source, tuple(part))
                part = []
            else:
                part.append(token)
        if part:
            yield Phrase(self._source, tuple(part))

    def names(self) -> tuple[str, ...] | None:
        """Return the names between commas; None where something is more than a name."""
        found: list[str] = []
        for part in self.parts():
            name = part.name()
            if name is None or part.rest:
                return None
            found.append(name)
        return tuple(found)

    def skip(self) -> None:
        """Go past one piece."""
        self._at += 1

    def _words(self, number: int) -> list[str | None]:
        return [token.text if token.kind == "word" else None for token in self.rest[:number]]


def unquoted(text: str) -> str:
    """Return a string's value: `'it''s'` → `it's`."""
    return text[text.index("'") + 1 : -1].replace("''", "'")
