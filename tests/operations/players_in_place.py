"""Players of kinds whose values stay where they are: both applications use the same columns."""

from itertools import count
from typing import Any, ClassVar

from hypothesis import strategies as st
from operations.players import SMALL, WORDS, Cell, Draw, Player, Values
from operations.type_pairs import OfPair

from orchestrator.plan.lifecycle import State


class InPlace(Player):
    """One whose old and new applications differ in what they write, not in where."""

    def new_values(self) -> Values:
        return self.old_values()

    def forward(self, old: Values) -> Values:
        return old

    def back(self, new: Values) -> Values:
        return new


# ---------------------------------------------------------------- what is in the row looks otherwise once readers moved


class Exchanged(InPlace):
    """One whose columns exchange their names at migrate reads: what is remembered is the old side alone."""

    moves_readers: ClassVar[bool] = True

    def inserted(self, values: Values, *, by_new: bool, both_run: bool) -> Cell:
        return Cell(old=self.back(values) if self.switched else values)

    def updated(self, cell: Cell, values: Values, *, by_new: bool, both_run: bool) -> None:
        seen = self.seen(cell)
        changed = {name: value for name, value in values.items() if value != seen[name]}
        cell.old = {**cell.old, **(self.back(changed) if self.switched else changed)}

    def touched(self, cell: Cell) -> None:
        """Nothing that can be seen."""

    def seen(self, cell: Cell) -> Values:
        return self.forward(cell.old) if self.switched else cell.old

    def finished(self, cell: Cell) -> Values:
        return self.seen(cell)


class RetypedInPlace(OfPair, Exchanged):
    """A column of another type, under its name."""

    source: ClassVar[str] = "amount"

    @property
    def change(self) -> dict[str, Any]:
        given = self.pair.expressions(self.quoted("amount"), self.quoted("amount"))
        return {"kind": "change_type", "column": self.name("amount"), "type": self.pair.new, **given}

    def direct(self, table: str) -> list[str]:
        return [self.retyped(table)]

    @property
    def indexes(self) -> list[str]:
        return [f"({self.quoted('amount')})", f"(id, {self.quoted('amount')} DESC)"]

    def old_values(self) -> Values:
        value = self.drawn()
        return {self.name("amount"): self.pair.forward(value) if self.switched else value}

    def forward(self, old: Values) -> Values:
        return {name: self.pair.forward(value) for name, value in old.items()}

    def back(self, new: Values) -> Values:
        return {name: self.pair.back(value) for name, value in new.items()}


class Relabelled(Exchanged):
    """A column of an enum type, one label of which gets another name, and one another in its place."""

    alone: ClassVar[bool] = True

    @property
    def objects(self) -> list[str]:
        return [f"CREATE TYPE {self.quoted('mood')} AS ENUM ('draft', 'live', 'gone', 'kept')"]

    @property
    def columns(self) -> str:
        return f"{self.quoted('state')} {self.quoted('mood')}"

    @property
    def change(self) -> dict[str, Any]:
        change = {"rename": {"draft": "pending"}, "remove": {"gone": "live"}, "add": ["archived"]}
        return {"kind": "change_enum", "type": f"public.{self.quoted('mood')}", **change}

    @property
    def planned(self) -> dict[str, Any]:
        return self.change

    def direct(self, table: str) -> list[str]:
        state, mood = self.quoted("state"), self.quoted("mood")
        case = f"CASE {state}::text WHEN 'draft' THEN 'pending' WHEN 'gone' THEN 'live' ELSE {state}::text END"
        return [
            f"ALTER TYPE {mood} RENAME TO former",
            f"CREATE TYPE {mood} AS ENUM ('pending', 'live', 'kept', 'archived')",
            f"ALTER TABLE {table} ALTER {state} TYPE {mood} USING ({case})::{mood}",
            "DROP TYPE former",
        ]

    @property
    def indexes(self) -> list[str]:
        return [f"({self.quoted('state')})"]

    def old_values(self) -> Values:
        known = ["pending", "live", "kept"] if self.switched else ["draft", "live", "gone", "kept"]
        return {self.name("state"): self.draw(st.none() | st.sampled_from(known))}

    def forward(self, old: Values) -> Values:
        renamed = {"draft": "pending", "gone": "live"}
        return {name: renamed.get(value, value) for name, value in old.items()}

    def back(self, new: Values) -> Values:
        return {name: "draft" if value == "pending" else value for name, value in new.items()}


# ---------------------------------------------------------------- a rule


class Ruled(InPlace):
    """A rule for a value: `old` is what the applications wrote, `new` what stands there after repairs."""

    heals: ClassVar[bool] = False
    """Whether a row is judged anew, by what was written to it, whatever column of it is written."""

    @property
    def columns(self) -> str:
        return f"{self.quoted('value')} integer, {self.quoted('limit')} integer NOT NULL"

    @property
    def indexes(self) -> list[str]:
        return [f"({self.quoted('value')})", f"({self.quoted('value')}, {self.quoted('limit')})"]

    def old_values(self) -> Values:
        return {self.name("value"): self.draw(st.none() | SMALL), self.name("limit"): self.draw(SMALL)}

    def keeps(self, values: Values) -> bool:
        """Whether values keep the rule."""
        raise NotImplementedError

    def forward(self, old: Values) -> Values:
        return old if self.keeps(old) else {**old, self.name("value"): old[self.name("limit")]}

    def new_values(self) -> Values:
        limit = self.draw(SMALL)
        return {self.name("value"): self.draw(st.integers(-3, limit)), self.name("limit"): limit}

    def inserted(self, values: Values, *, by_new: bool, both_run: bool) -> Cell:
        return super().inserted(values, by_new=by_new and not both_run, both_run=both_run)

    def updated(self, cell: Cell, values: Values, *, by_new: bool, both_run: bool) -> None:
        if self.state is State.CONTRACTED:
            cell.new = {**cell.new, **values}
            return
        seen = self.seen(cell)
        changed = {name: value for name, value in values.items() if value != seen[name]}
        cell.old = {**cell.old, **changed}
        if not both_run:
            return
        stays = cell.filled and not self.heals and self.name("value") not in changed
        cell.new, cell.filled = {**cell.new, **changed} if stays else self.forward(cell.old), True


class Required(Ruled):
    """A column that may not be NULL."""

    @property
    def change(self) -> dict[str, Any]:
        return {"kind": "set_not_null", "column": self.name("value"), "using": self.quoted("limit")}

    def direct(self, table: str) -> list[str]:
        value = self.quoted("value")
        return [
            f"UPDATE {table} SET {value} = {self.quoted('limit')} WHERE {value} IS NULL",
            f"ALTER TABLE {table} ALTER {value} SET NOT NULL",
        ]

    def keeps(self, values: Values) -> bool:
        return values[self.name("value")] is not None


class Checked(Ruled):
    """A value that may not be greater than another one of the row."""

    heals: ClassVar[bool] = True

    @property
    def _check(self) -> str:
        return f"{self.quoted('value')} <= {self.quoted('limit')}"

    @property
    def change(self) -> dict[str, Any]:
        using = {self.name("value"): self.quoted("limit")}
        return {"kind": "add_check", "name": self.name("holds"), "check": self._check, "using": using}

    def direct(self, table: str) -> list[str]:
        value, limit = self.quoted("value"), self.quoted("limit")
        return [
            f"UPDATE {table} SET {value} = {limit} WHERE NOT {self._check}",
            f"ALTER TABLE {table} ADD CONSTRAINT {self.quoted('holds')} CHECK ({self._check})",
        ]

    def keeps(self, values: Values) -> bool:
        value = values[self.name("value")]
        return value is None or value <= values[self.name("limit")]

    def new_values(self) -> Values:
        # A new writer that gives one of the two has looked at the other: below every limit, and above every value.
        return {self.name("value"): self.draw(st.integers(-9, -3)), self.name("limit"): self.draw(st.integers(12, 15))}


class Pointing(Ruled):
    """A value that has to be in another table."""

    @property
    def objects(self) -> list[str]:
        teams = self.quoted("teams")
        return [
            f"CREATE TABLE {teams} (id integer PRIMARY KEY)",
            f"INSERT INTO {teams} SELECT generate_series(-3, 5)",
        ]

    @property
    def change(self) -> dict[str, Any]:
        return {
            "kind": "add_foreign_key",
            "name": self.name("points"),
            "columns": [self.name("value")],
            "references": {"table": f"public.{self.quoted('teams')}", "columns": ["id"]},
            "using": {self.name("value"): f"least({self.quoted('limit')}, 5)"},
        }

    def direct(self, table: str) -> list[str]:
        value, teams = self.quoted("value"), self.quoted("teams")
        return [
            f"UPDATE {table} SET {value} = least({self.quoted('limit')}, 5) WHERE {value} NOT BETWEEN -3 AND 5",
            f"ALTER TABLE {table} ADD CONSTRAINT {self.quoted('points')} FOREIGN KEY ({value}) REFERENCES {teams} (id)",
        ]

    def keeps(self, values: Values) -> bool:
        value = values[self.name("value")]
        return value is None or value <= 5

    def forward(self, old: Values) -> Values:
        return old if self.keeps(old) else {**old, self.name("value"): min(old[self.name("limit")], 5)}

    def new_values(self) -> Values:
        return {self.name("value"): self.draw(st.none() | st.integers(-3, 5)), self.name("limit"): self.draw(SMALL)}


class Distinct(InPlace):
    """A value that no two rows share. Which of them keeps it depends on all of them, so that is looked up."""

    keyed: ClassVar[bool] = True

    def __init__(self, table: str, number: int, draw: Draw) -> None:
        super().__init__(table, number, draw)
        self._fresh = count(1)

    @property
    def columns(self) -> str:
        return f"{self.quoted('code')} text"

    @property
    def indexes(self) -> list[str]:
        return [f"({self.quoted('code')})", f"({self.quoted('code')} DESC, id)"]

    @property
    def change(self) -> dict[str, Any]:
        code = self.quoted("code")
        return {
            "kind": "add_unique",
            "name": self.name("own"),
            "columns": [self.name("code")],
            "using": {self.name("code"): f"{code} || '#' || id"},
        }

    def direct(self, table: str) -> list[str]:
        code = self.quoted("code")
        return [
            f"UPDATE {table} t SET {code} = {code} || '#' || id WHERE EXISTS"
            f" (SELECT FROM {table} o WHERE o.{code} = t.{code} AND o.id < t.id)",
            f"ALTER TABLE {table} ADD CONSTRAINT {self.quoted('own')} UNIQUE ({code})",
        ]

    def old_values(self) -> Values:
        return {self.name("code"): self.draw(st.none() | WORDS)}

    def new_values(self) -> Values:
        return {self.name("code"): f"new {next(self._fresh)}"}

    def inserted(self, values: Values, *, by_new: bool, both_run: bool) -> Cell:
        return Cell(old=values, new=values)

    def updated(self, cell: Cell, values: Values, *, by_new: bool, both_run: bool) -> None:
        if values != cell.new:  # what stands there already is not written
            cell.old = cell.new = values

    def touched(self, cell: Cell) -> None:
        """Seen when it is looked up."""

    def taken_back(self, cell: Cell) -> None:
        cell.new = cell.old

    def compare(self, cells: dict[int, Cell], found: dict[int, Values]) -> None:
        """Each row has what was written, or what repairs that where another has the same."""
        name = self.name("code")
        for number, cell in cells.items():
            written, stands = cell.old[name], found[number][name]
            repaired = f"{written}#{number}" if written is not None and self.state is not State.PLANNED else written
            assert stands in (written, repaired), (self.state, self.change)
            cell.new = {name: stands}
        if self.state not in (State.PLANNED, State.EXPANDED):
            all_of_them = [cell.new[name] for cell in cells.values() if cell.new[name] is not None]
            assert len(all_of_them) == len(set(all_of_them)), (self.state, self.change)


# ---------------------------------------------------------------- the end of a rule, and of a name


class Loosened(InPlace):
    """A column that may be NULL from expand on; a rollback gives a value where it is."""

    @property
    def columns(self) -> str:
        return f"{self.quoted('value')} integer NOT NULL, {self.quoted('seed')} integer NOT NULL"

    @property
    def change(self) -> dict[str, Any]:
        return {"kind": "drop_not_null", "column": self.name("value"), "reverse": f"{self.quoted('seed')} * 3"}

    def direct(self, table: str) -> list[str]:
        return [f"ALTER TABLE {table} ALTER {self.quoted('value')} DROP NOT NULL"]

    def old_values(self) -> Values:
        return {self.name("value"): self.draw(SMALL), self.name("seed"): self.draw(SMALL)}

    def new_values(self) -> Values:
        return {self.name("value"): self.draw(st.none() | SMALL), self.name("seed"): self.draw(SMALL)}

    def inserted(self, values: Values, *, by_new: bool, both_run: bool) -> Cell:
        return Cell(old=values)

    def updated(self, cell: Cell, values: Values, *, by_new: bool, both_run: bool) -> None:
        cell.old = {**cell.old, **values}

    def touched(self, cell: Cell) -> None:
        """Nothing is done to it."""

    def taken_back(self, cell: Cell) -> None:
        if cell.old[self.name("value")] is None:
            cell.old = {**cell.old, self.name("value"): 3 * cell.old[self.name("seed")]}

    def finished(self, cell: Cell) -> Values:
        return cell.old


class TableRenamed(Loosened):
    """The table gets another name; its rows stay as they are."""

    def __init__(self, table: str, number: int, draw: Draw) -> None:
        super().__init__(table, number, draw)
        self.other_name = '"odd schema"."other.name"' if table.startswith('"odd schema"') else '"other.name"'

    @property
    def columns(self) -> str:
        return f"{self.quoted('value')} integer, {self.quoted('seed')} integer"

    @property
    def change(self) -> dict[str, Any]:
        return {"kind": "rename_table", "to": self.other_name}

    def direct(self, table: str) -> list[str]:
        return [f'ALTER TABLE {table} RENAME TO "other.name"']

    def taken_back(self, cell: Cell) -> None:
        """Nothing is done to it."""
