"""A statement's pieces, read from the front: words, marks and names."""

from orchestrator.sql.identifiers import TableName
from orchestrator.sql.lexer import Token


class Words:
    """Pieces of a statement, and how far they were read.

    Args:
        tokens: the pieces.
    """

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def next(self) -> Token | None:
        """The piece that comes."""
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    @property
    def rest(self) -> tuple[Token, ...]:
        """What was not read yet."""
        return self._tokens[self._at :]

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

    def name(self) -> str | None:
        """Read a name of one part."""
        token = self.next
        if token is None or token.kind not in ("word", "name"):
            return None
        self._at += 1
        return token.text

    def table(self) -> TableName | None:
        """Read a name with or without a schema; without one it is public, as everywhere in a plan."""
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
        """Read names of tables between commas."""
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

    def _words(self, number: int) -> list[str | None]:
        return [as_word(token) for token in self.rest[:number]]


def as_word(token: Token) -> str | None:
    """Return a piece's text where it is a word; None where it is a name in quotes, a string or a mark."""
    return token.text if token.kind == "word" else None
