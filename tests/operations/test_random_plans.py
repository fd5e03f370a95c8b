"""Random tables, random plans, random writers of both versions, and moves in any order: nothing is lost or left."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from fingerprint import Fingerprint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operations.conftest import Journeys
from operations.harness import BOTH_RUN, Db, Journey, rows, run, undone
from operations.players import Cell, Draw, Player, Values
from operations.players_in_place import (
    Checked,
    Distinct,
    Loosened,
    Pointing,
    Relabelled,
    Required,
    RetypedInPlace,
    TableRenamed,
)
from operations.players_two_sides import Added, Dropped, Merged, Renamed, Retyped, Split
from psycopg import sql

from orchestrator.plan.lifecycle import State

PLAYERS: list[type[Player]] = [
    Renamed,
    Split,
    Merged,
    Added,
    Retyped,
    Dropped,
    RetypedInPlace,
    Relabelled,
    Required,
    Checked,
    Pointing,
    Distinct,
    Loosened,
    TableRenamed,
]
"""Every kind whose change stays on one table."""
EXAMPLES, LONG = 2, 150
"""How many games are played for each kind; and in a long run, under the hypothesis profile of that name."""

TABLES = {
    "books": "books",
    '"odd schema"."odd.table"': '"odd schema"."odd.table"',
}
"""A table as a plan has it, and as SQL does."""
SHAPES = ["", "WITH (fillfactor = 50)", "PARTITION BY RANGE (id)"]
TRIGGERS = {
    "none": "",
    "before": "CREATE TRIGGER looks BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION looks()",
    "after": "CREATE TRIGGER looks AFTER INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION looks()",
}
LOOKS = "CREATE OR REPLACE FUNCTION looks() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"

WRITES = st.lists(st.sampled_from(["insert", "update", "update", "delete"]), max_size=6)
TURNS = st.tuples(WRITES, st.sampled_from(["forward", "forward", "backward"])).map(lambda turn: [*turn[0], turn[1]])


@dataclass
class Game:
    """A table, a plan of several changes on it, and what plain reasoning says of its rows.

    Args:
        journey: moves the plan.
        draw: draws everything that varies.
        kind: plays in any case; others may join.
    """

    journey: Journey
    draw: Draw
    kind: type[Player]
    model: dict[int, list[Cell]] = field(default_factory=dict[int, list[Cell]])
    state: State = State.PLANNED
    both: Fingerprint = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.numbers = count(1)
        name = self.draw(st.sampled_from(sorted(TABLES)))
        self.table = TABLES[name]
        companions = _companions(self.kind)
        others = self.draw(st.lists(st.sampled_from(companions), max_size=2) if companions else st.just([]))
        kinds = self.draw(st.permutations([self.kind, *others]))
        self.players: list[Player] = [kind(name, number, self.draw) for number, kind in enumerate(kinds)]
        self.other_name = next((player.other_name for player in self.players if player.other_name), self.table)
        self._make()
        self.undoable = self.draw(st.booleans())
        window = {"undo_window": "1h" if self.undoable else "0s"}
        self.journey.with_plan(changes=[player.planned for player in self.players], contract=window)

    @property
    def db(self) -> Db:
        return self.journey.db

    def _make(self) -> None:
        keyed = any(player.keyed for player in self.players)
        shape = self.draw(st.sampled_from(SHAPES[: 2 if keyed else 3]))
        key = self.draw(st.sampled_from(["PRIMARY KEY", "NOT NULL"][: 1 if keyed else 2]))
        unlogged = "UNLOGGED" if not shape and self.draw(st.booleans()) else ""
        columns = [f"id integer {key}", *(player.columns for player in self.players), "note text"]
        run(
            self.db,
            'DROP SCHEMA IF EXISTS ecm, "odd schema", public CASCADE; CREATE SCHEMA public; CREATE SCHEMA "odd schema"',
        )
        for statement in (LOOKS, *(each for player in self.players for each in player.objects)):
            run(self.db, statement)
        run(self.db, f"CREATE {unlogged} TABLE {self.table} ({', '.join(columns)}) {shape}")
        if shape.startswith("PARTITION"):
            run(self.db, f"CREATE TABLE low PARTITION OF {self.table} FOR VALUES FROM (MINVALUE) TO (4)")
            run(self.db, f"CREATE TABLE high PARTITION OF {self.table} DEFAULT")
        for index in [each for player in self.players for each in player.indexes if self.draw(st.booleans())]:
            run(self.db, f"CREATE INDEX ON {self.table} {index}")
        run(self.db, TRIGGERS[self.draw(st.sampled_from(sorted(TRIGGERS)))].format(table=self.table))

    @property
    def direct(self) -> list[str]:
        """The statements that do the same at once; the table has its name until the last of them."""
        players = sorted(self.players, key=lambda player: player.other_name is not None)
        return [statement for player in players for statement in player.direct(self.table)]

    # ---- the applications

    @property
    def both_run(self) -> bool:
        return self.state in BOTH_RUN

    def insert(self) -> None:
        by_new, number = self._is_new(), next(self.numbers)
        given = [player.new_values() if by_new else player.old_values() for player in self.players]
        values: Values = {"id": number, **{name: value for each in given for name, value in each.items()}}
        self.db.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                self._name(by_new=by_new),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(map(sql.Literal, values.values())),
            )
        )
        self.model[number] = [
            player.inserted(values, by_new=by_new, both_run=self.both_run)
            for player, values in zip(self.players, given, strict=True)
        ]

    def update(self) -> None:
        if not self.model:
            return
        by_new, number = self._is_new(), self.draw(st.sampled_from(sorted(self.model)))
        place = self.draw(st.integers(-1, len(self.players) - 1))
        values: Values = {"note": "x"}
        for other, (player, cell) in enumerate(zip(self.players, self.model[number], strict=True)):
            if other == place:
                values = player.new_values() if by_new else player.old_values()
                one = self.draw(st.sampled_from(sorted(values)))
                values = {one: values[one]} if self.draw(st.booleans()) else values
                player.updated(cell, values, by_new=by_new, both_run=self.both_run)
            elif self.both_run:
                player.touched(cell)
        names = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in values.items()
        )
        self.db.execute(
            sql.SQL("UPDATE {} SET {} WHERE id = {}").format(self._name(by_new=by_new), names, sql.Literal(number))
        )

    def delete(self) -> None:
        if self.model:
            number = self.draw(st.sampled_from(sorted(self.model)))
            name = self._name(by_new=self._is_new())
            self.db.execute(sql.SQL("DELETE FROM {} WHERE id = {}").format(name, sql.Literal(number)))
            del self.model[number]

    def _is_new(self) -> bool:
        return self.state is State.CONTRACTED or (self.both_run and self.draw(st.booleans()))

    def _name(self, *, by_new: bool) -> sql.SQL:
        """Return the table as one of the applications calls it."""
        return sql.SQL(self.other_name if by_new else self.table)

    # ---- the plan

    def forward(self, to: State | None = None) -> None:
        if self.state is State.READS_MIGRATED:
            self.both = self.journey.fingerprint
        self._reached(self.journey.advance(to))
        if self.state is not State.EXPANDED:
            self._each(lambda player, cell: player.touched(cell))

    def backward(self) -> None:
        contracted = self.state is State.CONTRACTED
        self._reached(self.journey.rollback())
        if contracted:
            assert self.journey.fingerprint == self.both, "after contract was undone"
        if self.state is State.PLANNED:
            self._each(lambda player, cell: player.taken_back(cell))

    def _reached(self, state: State) -> None:
        self.state = state
        for player in self.players:
            player.state = state

    def _each(self, what: Callable[[Player, Cell], None]) -> None:
        for cells in self.model.values():
            for player, cell in zip(self.players, cells, strict=True):
                what(player, cell)

    # ---- what must be so

    def holds(self) -> None:
        """Each row reads as plain reasoning says, under the name that the new application has for the table too."""
        names = {self.other_name} if self.state is State.CONTRACTED else {self.table}
        for name in {*names, self.other_name} if self.both_run else names:
            found = {row["id"]: row for (row,) in rows(self.db, f"SELECT to_jsonb(t) FROM {name} t")}
            assert found.keys() == self.model.keys()
            for place, player in enumerate(self.players):
                player.compare({number: cells[place] for number, cells in self.model.items()}, found)


def _companions(kind: type[Player]) -> list[type[Player]]:
    """Return the kinds that may be in a plan with one; a view bound by column number stands no exchange of names."""
    others = [] if kind.alone else [other for other in PLAYERS if not (other.alone or other is TableRenamed)]
    return [other for other in others if not (kind is TableRenamed and other.moves_readers)]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", PLAYERS)
def test_no_write_is_lost_and_nothing_is_left(journeys: Journeys, kind: type[Player]) -> None:
    """Old and new writers in any order with moves forward and back: rows as reasoned, schemas to the letter."""
    journey = journeys("", {"kind": "rename_column", "table": "t", "column": "a", "to": "b"})
    examples = LONG if settings.get_current_profile_name() == "long" else EXAMPLES

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(data=st.data(), turns=st.lists(TURNS, min_size=3, max_size=8))
    def play(data: Any, turns: list[list[str]]) -> None:
        game = Game(journey, data.draw, kind)
        start = journey.fingerprint
        with undone(journey.db):
            for statement in game.direct:
                run(journey.db, statement)
            end = journey.fingerprint
        for turn in (turn for several in turns for turn in several):
            if turn == "forward" and game.state is (State.CONTRACTED if game.undoable else State.READS_MIGRATED):
                continue  # what cannot be undone comes last
            if turn == "backward" and game.state is State.PLANNED:
                continue
            getattr(game, turn)()
            game.holds()
            if game.state is State.PLANNED:
                assert journey.fingerprint == start
        if game.state is not State.CONTRACTED:
            game.forward(State.CONTRACTED)
        game.holds()
        if game.undoable:
            journey.finalize()
            game.holds()
        assert journey.fingerprint == end

    play()
