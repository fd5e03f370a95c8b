"""A statement's pieces, read from the front."""

from collections.abc import Iterator

from orchestrator.sql.lexer import Token, statements
from orchestrator.sql.words import Words, as_word

_OPENS = {"(": 1, "[": 1, ")": -1, "]": -1}


class Phrase(Words):
    """Pieces of a text, and how far they were read.

    Args:
        source: the text that the pieces' places are in.
        tokens: the pieces.
    """

    def __init__(self, source: str, tokens: tuple[Token, ...]) -> None:
        super().__init__(tokens)
        self._source = source

    @classmethod
    def several(cls, text: str) -> "tuple[Phrase, ...]":
        """Return the statements of a text.

        Raises:
            UnreadableSqlError: a quote, comment or parenthesis is not closed.
        """
        return tuple(cls(text, each.tokens) for each in statements(text, key="statement"))

    @property
    def text(self) -> str:
        """The text of what was not read yet, as it was written."""
        return self._source[self.rest[0].start : self.rest[-1].end] if self.rest else ""

    def has(self, *words: str) -> bool:
        """Whether words stand one after another somewhere outside of parentheses."""
        depth, run = 0, 0
        for token in self.rest:
            depth += _OPENS.get(token.text, 0) if token.kind == "mark" else 0
            run = run + 1 if depth == 0 and as_word(token) == words[run] else 0
            if run == len(words):
                return True
        return False

    def seek(self, *words: str) -> bool:
        """Go past the first of several words outside of parentheses, where one comes."""
        depth = 0
        for number, token in enumerate(self.rest):
            depth += _OPENS.get(token.text, 0) if token.kind == "mark" else 0
            if depth == 0 and as_word(token) in words:
                self._at += number + 1
                return True
        return False

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


def unquoted(text: str) -> str:
    """Return a string's value: `'it''s'` → `it's`."""
    return text[text.index("'") + 1 : -1].replace("''", "'")
