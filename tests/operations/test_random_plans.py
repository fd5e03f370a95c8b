"""Random tables, random plans, random writers of both versions, and moves in any order: nothing is lost or left."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operations.conftest import Journeys
from operations.harness import BOTH_RUN, Db, Journey, rows, run, undone
from operations.players import PLAYERS, Cell, Draw, Player, Values
from psycopg import sql

from orchestrator.plan.lifecycle import State

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
    """

    journey: Journey
    draw: Draw
    model: dict[int, list[Cell]] = field(default_factory=dict[int, list[Cell]])
    state: State = State.PLANNED

    def __post_init__(self) -> None:
        self.numbers = count(1)
        name = self.draw(st.sampled_from(sorted(TABLES)))
        self.table = TABLES[name]
        kinds = self.draw(st.lists(st.sampled_from(PLAYERS), min_size=1, max_size=3))
        self.players: list[Player] = [kind(name, number, self.draw) for number, kind in enumerate(kinds)]
        self._make()
        self.journey.with_plan(changes=[{**player.change, "table": name} for player in self.players])

    @property
    def db(self) -> Db:
        return self.journey.db

    def _make(self) -> None:
        shape = self.draw(st.sampled_from(SHAPES))
        key = self.draw(st.sampled_from(["PRIMARY KEY", "NOT NULL"]))
        unlogged = "UNLOGGED" if not shape and self.draw(st.booleans()) else ""
        columns = [f"id integer {key}", *(player.columns for player in self.players), "note text"]
        run(
            self.db,
            f'DROP SCHEMA IF EXISTS ecm, "odd schema" CASCADE; CREATE SCHEMA "odd schema"; DROP TABLE IF EXISTS books; {LOOKS}',
        )
        run(self.db, f"CREATE {unlogged} TABLE {self.table} ({', '.join(columns)}) {shape}")
        if shape.startswith("PARTITION"):
            run(self.db, f"CREATE TABLE low PARTITION OF {self.table} FOR VALUES FROM (MINVALUE) TO (4)")
            run(self.db, f"CREATE TABLE high PARTITION OF {self.table} DEFAULT")
        for index in [each for player in self.players for each in player.indexes if self.draw(st.booleans())]:
            run(self.db, f"CREATE INDEX ON {self.table} {index}")
        run(self.db, TRIGGERS[self.draw(st.sampled_from(sorted(TRIGGERS)))].format(table=self.table))

    # ---- the applications

    @property
    def both_run(self) -> bool:
        return self.state in BOTH_RUN

    def insert(self) -> None:
        by_new, number = self._is_new(), next(self.numbers)
        given = [player.new_values() if by_new else player.old_values() for player in self.players]
        self._send(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})"),
            {"id": number, **{k: v for each in given for k, v in each.items()}},
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
            sql.SQL("UPDATE {} SET {} WHERE id = {}").format(sql.SQL(self.table), names, sql.Literal(number))
        )

    def delete(self) -> None:
        if self.model:
            number = self.draw(st.sampled_from(sorted(self.model)))
            run(self.db, f"DELETE FROM {self.table} WHERE id = {number}")
            del self.model[number]

    def _is_new(self) -> bool:
        return self.state is State.CONTRACTED or (self.both_run and self.draw(st.booleans()))

    def _send(self, statement: sql.SQL, values: Values) -> None:
        names = sql.SQL(", ").join(map(sql.Identifier, values))
        self.db.execute(
            statement.format(sql.SQL(self.table), names, sql.SQL(", ").join(map(sql.Literal, values.values())))
        )

    # ---- the plan

    def forward(self, to: State | None = None) -> None:
        self.state = self.journey.advance(to)
        if self.state is not State.EXPANDED:
            self._each(Player.touched)

    def backward(self) -> None:
        self.state = self.journey.rollback()
        if self.state is State.PLANNED:
            self._each(Player.taken_back)

    def _each(self, what: Callable[[Player, Cell], None]) -> None:
        for cells in self.model.values():
            for player, cell in zip(self.players, cells, strict=True):
                what(player, cell)

    # ---- what must be so

    def holds(self) -> None:
        """Each row reads as plain reasoning says."""
        found = {row["id"]: row for (row,) in rows(self.db, f"SELECT to_jsonb(t) FROM {self.table} t")}
        assert found.keys() == self.model.keys()
        for number, cells in self.model.items():
            for player, cell in zip(self.players, cells, strict=True):
                expected = player.finished(cell) if self.state is State.CONTRACTED else player.seen(cell)
                assert {name: found[number][name] for name in expected} == expected, (self.state, player.change)


@pytest.mark.timeout(900)
def test_no_write_is_lost_and_nothing_is_left(journeys: Journeys) -> None:
    """Old and new writers in any order with moves forward and back: rows as reasoned, schemas to the letter."""
    journey = journeys("", {"kind": "rename_column", "table": "t", "column": "a", "to": "b"})

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(data=st.data(), turns=st.lists(TURNS, min_size=3, max_size=8))
    def play(data: Any, turns: list[list[str]]) -> None:
        game = Game(journey, data.draw)
        start = journey.fingerprint
        with undone(journey.db):
            for statement in (each for player in game.players for each in player.direct(game.table)):
                run(journey.db, statement)
            end = journey.fingerprint
        for turn in (turn for several in turns for turn in several):
            if turn == "forward" and game.state is State.READS_MIGRATED:
                continue  # contract comes last
            if turn == "backward" and game.state is State.PLANNED:
                continue
            getattr(game, turn)()
            game.holds()
            if game.state is State.PLANNED:
                assert journey.fingerprint == start
        game.forward(State.CONTRACTED)
        game.holds()
        assert journey.fingerprint == end

    play()
