"""Players of kinds with an old side and a new one: other columns, of which each follows from the others."""

from typing import Any, ClassVar

from hypothesis import strategies as st
from operations.players import PARTS, SMALL, WORDS, Cell, Draw, Player, Values
from operations.type_pairs import OfPair


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


class Retyped(OfPair):
    """A column of another type, under another name."""

    moves_readers: ClassVar[bool] = True
    source: ClassVar[str] = "was"

    @property
    def change(self) -> dict[str, Any]:
        given = self.pair.expressions(self.quoted("was"), self.quoted("is"))
        return {
            "kind": "change_type",
            "column": self.name("was"),
            "to": self.name("is"),
            "type": self.pair.new,
            **given,
        }

    def direct(self, table: str) -> list[str]:
        return [
            self.retyped(table),
            f"ALTER TABLE {table} RENAME {self.quoted('was')} TO {self.quoted('is')}",
        ]

    @property
    def indexes(self) -> list[str]:
        return [f"({self.quoted('was')})", f"(id, {self.quoted('was')})"]

    def old_values(self) -> Values:
        return {self.name("was"): self.drawn()}

    def new_values(self) -> Values:
        # NULL as for a rename; and only what the old type can hold.
        return {self.name("is"): self.pair.forward(self.draw(self.pair.values))}

    def forward(self, old: Values) -> Values:
        return {self.name("is"): self.pair.forward(old[self.name("was")])}

    def back(self, new: Values) -> Values:
        return {self.name("was"): self.pair.back(new[self.name("is")])}


class Dropped(Player):
    """A column that new writers leave out."""

    def __init__(self, table: str, number: int, draw: Draw) -> None:
        super().__init__(table, number, draw)
        self.required = draw(st.booleans())
        self.stands_in = self.required or draw(st.booleans())

    @property
    def columns(self) -> str:
        return (
            f"{self.quoted('code')} text{' NOT NULL' if self.required else ''}, {self.quoted('seed')} integer NOT NULL"
        )

    @property
    def change(self) -> dict[str, Any]:
        reverse = {"reverse": f"'of ' || {self.quoted('seed')}"} if self.stands_in else {}
        return {"kind": "drop_column", "column": self.name("code"), **reverse}

    def direct(self, table: str) -> list[str]:
        return [f"ALTER TABLE {table} DROP COLUMN {self.quoted('code')}"]

    @property
    def indexes(self) -> list[str]:
        return [f"({self.quoted('code')})", f"({self.quoted('seed')}, {self.quoted('code')})"]

    def old_values(self) -> Values:
        code = self.draw(WORDS if self.required else st.none() | WORDS)
        return {self.name("code"): code, self.name("seed"): self.draw(SMALL)}

    def new_values(self) -> Values:
        return {self.name("seed"): self.draw(SMALL)}

    def forward(self, old: Values) -> Values:
        return {self.name("seed"): old[self.name("seed")]}

    def back(self, new: Values) -> Values:
        return {self.name("code"): f"of {new[self.name('seed')]}" if self.stands_in else None, **new}

    def inserted(self, values: Values, *, by_new: bool, both_run: bool) -> Cell:
        # NULL in a row that is added is taken for not given.
        left_out = by_new or (both_run and self.stands_in and values[self.name("code")] is None)
        return Cell(old=self.back(self.forward(values)) if left_out else values)

    def updated(self, cell: Cell, values: Values, *, by_new: bool, both_run: bool) -> None:
        cell.old = {**cell.old, **values}

    def touched(self, cell: Cell) -> None:
        """Rows that were there have what their writer gave them."""

    def finished(self, cell: Cell) -> Values:
        return self.forward(cell.old)
