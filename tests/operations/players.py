"""Players: for each kind of change, what an old and a new application write and read, by plain reasoning.

A player owns a few columns of a table, and knows no PostgreSQL beyond their types. The tests let several
play on one table, in any order, while a plan moves forward and back. Those of kinds with an old and a new side
are in `players_two_sides`, those of kinds whose values stay where they are in `players_in_place`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st

from orchestrator.plan.lifecycle import State

Values = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

WORDS = st.sampled_from(["", "a", "Ada", "Löwe", "o'hara", 'quo"te', "100%", "back\\slash"])
PARTS = st.sampled_from(["a", "Ada", "Löwe", "o'hara", 'quo"te', "100%s"])
"""Words that come again from what is made of them."""
SMALL = st.integers(-3, 12)


@dataclass
class Cell:
    """A player's part of a row.

    Attributes:
        old: what old readers see, and what is there after a rollback.
        new: what new readers see, where the row is filled.
        filled: whether a write or the sweep has come by since expand.
    """

    old: Values
    new: Values = field(default_factory=dict[str, Any])
    filled: bool = False


class Player(ABC):
    """One change of a plan, and both applications' part in it.

    Args:
        table: its name as it stands in a plan.
        number: tells its columns from those of others.
        draw: draws what may vary.
    """

    keyed: ClassVar[bool] = False
    """Whether the table needs a primary key, and has to be in one piece."""
    alone: ClassVar[bool] = False
    """Whether no other change of the table may be in the plan."""
    moves_readers: ClassVar[bool] = False
    """Whether a name of its means something else from migrate reads on."""
    other_name: str | None = None
    """The table's name for new applications, as SQL has it, where that is another."""

    def __init__(self, table: str, number: int, draw: Draw) -> None:
        self.table = table
        self.number = number
        self.draw = draw
        self.state = State.PLANNED

    @property
    def switched(self) -> bool:
        """Whether readers were moved."""
        return self.state in (State.READS_MIGRATED, State.CONTRACTED)

    def name(self, word: str) -> str:
        """Return the name of one of its columns."""
        return f"{word} {self.number}"

    def quoted(self, word: str) -> str:
        """Return the same, as SQL has it."""
        return f'"{self.name(word)}"'

    @property
    @abstractmethod
    def columns(self) -> str:
        """Its columns as CREATE TABLE takes them."""

    @property
    def objects(self) -> list[str]:
        """The statements that make what it needs besides its columns, such as a type."""
        return []

    @property
    @abstractmethod
    def change(self) -> dict[str, Any]:
        """Its change as a plan has it, without the table where that is the players'."""

    @property
    def planned(self) -> dict[str, Any]:
        """Its change as a plan has it."""
        return {"table": self.table, **self.change}

    @abstractmethod
    def direct(self, table: str) -> list[str]:
        """The statements that do the same at once."""

    @property
    def indexes(self) -> list[str]:
        """What may be indexed at the start, as SQL."""
        return []

    @abstractmethod
    def old_values(self) -> Values:
        """What an old writer puts into a new row."""

    @abstractmethod
    def new_values(self) -> Values:
        """What a new writer puts into a new row."""

    @abstractmethod
    def forward(self, old: Values) -> Values:
        """What new readers see of what an old writer wrote."""

    @abstractmethod
    def back(self, new: Values) -> Values:
        """What old readers see of what a new writer wrote."""

    def finished(self, cell: Cell) -> Values:
        """What is there in the end."""
        return cell.new

    # ---- what writes make of a cell

    def inserted(self, values: Values, *, by_new: bool, both_run: bool) -> Cell:
        """A row that one of the applications adds."""
        if by_new:
            return Cell(old=self.back(values), new=values, filled=True)
        return Cell(old=values, new=self.forward(values) if both_run else {}, filled=both_run)

    def updated(self, cell: Cell, values: Values, *, by_new: bool, both_run: bool) -> None:
        """An application gives some columns of a row other values; the same value is no change of a filled row."""
        if cell.filled:
            seen = self.seen(cell)
            values = {name: value for name, value in values.items() if value != seen[name]}
        if not values:
            return
        if by_new:
            self.touched(cell)
            cell.new = {**cell.new, **values}
            cell.old = self.back(cell.new)
            return
        cell.old = {**cell.old, **values}
        if both_run:
            cell.new, cell.filled = self.forward(cell.old), True

    def touched(self, cell: Cell) -> None:
        """Something else of the row was written, or the sweep came by."""
        if not cell.filled:
            cell.new, cell.filled = self.forward(cell.old), True

    def taken_back(self, cell: Cell) -> None:
        """The plan was rolled back to its beginning."""
        cell.new, cell.filled = {}, False

    def seen(self, cell: Cell) -> Values:
        """What is in the row while both versions run, of what can be told."""
        return {**cell.old, **cell.new} if cell.filled else cell.old

    def compare(self, cells: dict[int, Cell], found: dict[int, Values]) -> None:
        """Each row reads as plain reasoning says."""
        for number, cell in cells.items():
            expected = self.finished(cell) if self.state is State.CONTRACTED else self.seen(cell)
            assert {name: found[number][name] for name in expected} == expected, (self.state, self.change)
