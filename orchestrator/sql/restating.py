"""How a text about values of one type reads over another that takes its place.

PostgreSQL keeps constants by what they are, not by how they are written. So in a transaction that is rolled back the
type gets the other one's labels and name, and PostgreSQL prints its texts (`orchestrator.engine.enums`): nothing of
them is ever edited.
"""

from dataclasses import dataclass

from orchestrator.sql.identifiers import TableName

Labels = tuple[tuple[str, str | None], ...]
"""Each label of a type with what it is in another one; None where that has nothing to put in its place."""


@dataclass(frozen=True, kw_only=True)
class Restated:
    """A type whose constants are to be printed as another's.

    Attributes:
        type: the one that columns have, under the name that the application knows.
        successor: the one they get, under the name it has until it takes that one over, whether it is there or not.
        aside: the name that the first one has from then on.
        labels: of the first, in terms of the second.
    """

    type: TableName
    successor: TableName
    aside: TableName
    labels: Labels

    def gone(self, text: str) -> tuple[str, ...]:
        """Return the labels that a text, printed over the successor, mentions though that has nothing for them."""
        return tuple(label for label, new in self.labels if new is None and self.marker(label) in text)

    def marker(self, label: str) -> str:
        """Return how a label is printed while PostgreSQL is asked: as no other label, and without what to escape."""
        return f"ecm asks for label {self._place(label)} here"

    def _place(self, label: str) -> int:
        return [old for old, _ in self.labels].index(label)
