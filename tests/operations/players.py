"""Players: for each kind of change, what an old and a new application write and read, by plain reasoning.

A player owns a few columns of a table, and knows no PostgreSQL beyond their types. The tests let several
play on one table, in any order, while a plan moves forward and back.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st

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

    in_place: ClassVar[bool] = False
    """Whether old and new writers use the same columns."""

    def __init__(self, table: str, number: int, draw: Draw) -> None:
        self.table = table
        self.number = number
        self.draw = draw

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
    @abstractmethod
    def change(self) -> dict[str, Any]:
        """Its change as a plan has it, without the table."""

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
        """An application gives some columns of a row other values."""
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


class Renamed(Player):
    """A column gets another name."""

    def __init__(self, table: str, number: int, draw: Draw) -> None:
        super().__init__(table, number, draw)
        self.type, self.values = draw(
            st.sampled_from([("integer", st.none() | SMALL), ("text", st.none() | WORDS), ("boolean", st.booleans())])
        )

    @property
    def columns(self) -> str:
        return f"{self.quoted('was')} {self.type}"

    @property
    def change(self) -> dict[str, Any]:
        return {"kind": "rename_column", "column": self.name("was"), "to": self.name("is")}

    def direct(self, table: str) -> list[str]:
        return [f"ALTER TABLE {table} RENAME COLUMN {self.quoted('was')} TO {self.quoted('is')}"]

    @property
    def indexes(self) -> list[str]:
        return [f"({self.quoted('was')})", f"(id, {self.quoted('was')} DESC)"]

    def old_values(self) -> Values:
        return {self.name("was"): self.draw(self.values)}

    def new_values(self) -> Values:
        # NULL by a new writer before the backfill has been there cannot be told from nothing given: see test_both_sides.
        return {self.name("is"): self.draw(self.values.filter(lambda value: value is not None))}

    def forward(self, old: Values) -> Values:
        return {self.name("is"): old[self.name("was")]}

    def back(self, new: Values) -> Values:
        return {self.name("was"): new[self.name("is")]}


class Split(Player):
    """`Ada Lovelace` becomes `Ada` and `Lovelace`."""

    @property
    def columns(self) -> str:
        return f"{self.quoted('full')} text NOT NULL"

    @property
    def change(self) -> dict[str, Any]:
        full = self.quoted("full")
        return {
            "kind": "split_column",
            "column": self.name("full"),
            "into": [
                {"column": self.name("first"), "type": "text", "using": f"split_part({full}, ' ', 1)"},
                {"column": self.name("last"), "type": "text", "using": f"split_part({full}, ' ', 2)", "not_null": True},
            ],
            "reverse": f"{self.quoted('first')} || ' ' || {self.quoted('last')}",
        }

    def direct(self, table: str) -> list[str]:
        full, first, last = map(self.quoted, ("full", "first", "last"))
        return [
            f"ALTER TABLE {table} ADD COLUMN {first} text, ADD COLUMN {last} text",
            f"UPDATE {table} SET {first} = split_part({full}, ' ', 1), {last} = split_part({full}, ' ', 2)",
            f"ALTER TABLE {table} ALTER COLUMN {last} SET NOT NULL, DROP COLUMN {full}",
        ]

    @property
    def indexes(self) -> list[str]:
        return [f"({self.quoted('full')})"]

    def old_values(self) -> Values:
        return {self.name("full"): f"{self.draw(PARTS)} {self.draw(PARTS)}"}

    def new_values(self) -> Values:
        return {self.name("first"): self.draw(PARTS), self.name("last"): self.draw(PARTS)}

    def forward(self, old: Values) -> Values:
        first, last = old[self.name("full")].split(" ")
        return {self.name("first"): first, self.name("last"): last}

    def back(self, new: Values) -> Values:
        return {self.name("full"): f"{new[self.name('first')]} {new[self.name('last')]}"}


class Merged(Player):
    """A street and a number become a line."""

    @property
    def columns(self) -> str:
        return f"{self.quoted('street')} text NOT NULL, {self.quoted('house')} text NOT NULL"

    @property
    def change(self) -> dict[str, Any]:
        street, house, line = map(self.quoted, ("street", "house", "line"))
        return {
            "kind": "merge_columns",
            "columns": [self.name("street"), self.name("house")],
            "into": {"column": self.name("line"), "type": "text", "using": f"{street} || ' ' || {house}"},
            "reverse": {
                self.name("street"): f"split_part({line}, ' ', 1)",
                self.name("house"): f"split_part({line}, ' ', 2)",
            },
        }

    def direct(self, table: str) -> list[str]:
        street, house, line = map(self.quoted, ("street", "house", "line"))
        return [
            f"ALTER TABLE {table} ADD COLUMN {line} text",
            f"UPDATE {table} SET {line} = {street} || ' ' || {house}",
            f"ALTER TABLE {table} DROP COLUMN {street}, DROP COLUMN {house}",
        ]

    def old_values(self) -> Values:
        return {self.name("street"): self.draw(PARTS), self.name("house"): self.draw(PARTS)}

    def new_values(self) -> Values:
        return {self.name("line"): f"{self.draw(PARTS)} {self.draw(PARTS)}"}

    def forward(self, old: Values) -> Values:
        return {self.name("line"): f"{old[self.name('street')]} {old[self.name('house')]}"}

    def back(self, new: Values) -> Values:
        street, house = new[self.name("line")].split(" ")
        return {self.name("street"): street, self.name("house"): house}


class Added(Player):
    """A column that old writers do not know; it follows the row until a new writer writes it."""

    @property
    def columns(self) -> str:
        return f"{self.quoted('seed')} integer NOT NULL"

    @property
    def change(self) -> dict[str, Any]:
        return {
            "kind": "add_column",
            "column": self.name("grown"),
            "type": "integer",
            "using": f"{self.quoted('seed')} * 2",
            "not_null": True,
        }

    def direct(self, table: str) -> list[str]:
        seed, grown = map(self.quoted, ("seed", "grown"))
        return [
            f"ALTER TABLE {table} ADD COLUMN {grown} integer",
            f"UPDATE {table} SET {grown} = {seed} * 2",
            f"ALTER TABLE {table} ALTER COLUMN {grown} SET NOT NULL",
        ]

    def old_values(self) -> Values:
        return {self.name("seed"): self.draw(SMALL)}

    def new_values(self) -> Values:
        # Odd, so that what a new writer wrote is never what the expression gives.
        return {self.name("seed"): self.draw(SMALL), self.name("grown"): 2 * self.draw(SMALL) + 1}

    def forward(self, old: Values) -> Values:
        return {self.name("seed"): old[self.name("seed")], self.name("grown"): 2 * old[self.name("seed")]}

    def back(self, new: Values) -> Values:
        return {self.name("seed"): new[self.name("seed")]}

    def updated(self, cell: Cell, values: Values, *, by_new: bool, both_run: bool) -> None:
        if self.name("grown") in values or not both_run:
            super().updated(cell, values, by_new=by_new, both_run=both_run)
            return
        self.touched(cell)
        follows = cell.new == self.forward(cell.old)
        cell.old = {**cell.old, **values}
        cell.new = self.forward(cell.old) if follows else {**cell.new, **values}


PLAYERS: list[type[Player]] = [Renamed, Split, Merged, Added]
"""Every kind whose change stays on its own columns of one table."""
