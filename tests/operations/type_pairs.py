"""Pairs of types, one to become the other, and what the values of each are on the other side."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, ClassVar

from hypothesis import strategies as st
from operations.players import Draw, Player


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A type, and the one that it becomes.

    Attributes:
        old: the type at the start.
        new: the type in the end.
        values: of the old type; never NULL.
        to_new: makes a new value of an old one.
        to_old: makes an old value of a new one that came of one.
        using: the same in SQL, over `{}`; a cast where it is empty.
        reverse: likewise.
    """

    old: str
    new: str
    values: st.SearchStrategy[Any]
    to_new: Callable[[Any], Any]
    to_old: Callable[[Any], Any]
    using: str = ""
    reverse: str = ""

    def forward(self, value: Any) -> Any:
        """Return what is on the new side of a value of the old."""
        return None if value is None else self.to_new(value)

    def back(self, value: Any) -> Any:
        """Return what is on the old side of a value of the new."""
        return None if value is None else self.to_old(value)

    def made_of(self, column: str) -> str:
        """Return the new value in SQL."""
        return self.using.format(column) if self.using else f"{column}::{self.new}"

    def expressions(self, old: str, new: str) -> dict[str, str]:
        """Return what a plan says of them, over these columns."""
        given = {"using": self.using.format(old), "reverse": self.reverse.format(new)}
        return {key: expression for key, expression in given.items() if expression}


def _same(value: Any) -> Any:
    return value


def _rounded(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))


_NUMBERS = st.integers(-3, 12)
_WORDS = st.sampled_from(["", "a", "Ada", "Löwe", "o'hara", 'quo"te', "100%", "back\\slash"])

PAIRS = [
    Pair(old="integer", new="bigint", values=_NUMBERS, to_new=_same, to_old=_same),
    Pair(old="integer", new="text", values=_NUMBERS, to_new=str, to_old=int),
    Pair(
        # Quarters, which JSON keeps; more than one of them comes to the same number.
        old="numeric(8,2)",
        new="integer",
        values=st.integers(-9, 9).map(lambda quarters: Decimal(quarters) / 4),
        to_new=_rounded,
        to_old=Decimal,
        using="round({})",
        reverse="{}::numeric",
    ),
    Pair(
        old="boolean",
        new="integer",
        values=st.booleans(),
        to_new=int,
        to_old=bool,
        using="{}::integer",
        reverse="{} <> 0",
    ),
    Pair(old="varchar(20)", new="varchar(40)", values=_WORDS, to_new=_same, to_old=_same),
    Pair(old="text", new="varchar(40)", values=_WORDS, to_new=_same, to_old=_same),
]


class OfPair(Player):
    """One whose column has the types of a pair, drawn when the game begins."""

    source: ClassVar[str]
    """The column's name at the start."""

    def __init__(self, table: str, number: int, draw: Draw) -> None:
        super().__init__(table, number, draw)
        self.pair = draw(st.sampled_from(PAIRS))
        self.required = draw(st.booleans())

    @property
    def columns(self) -> str:
        return f"{self.quoted(self.source)} {self.pair.old}{' NOT NULL' if self.required else ''}"

    def retyped(self, table: str) -> str:
        """Return what gives the column its type at once."""
        column = self.quoted(self.source)
        return f"ALTER TABLE {table} ALTER {column} TYPE {self.pair.new} USING {self.pair.made_of(column)}"

    def drawn(self) -> Any:
        """Return a value of the old type, or NULL where that may be."""
        return self.draw(self.pair.values if self.required else st.none() | self.pair.values)
