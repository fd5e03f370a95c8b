"""Random writers of two tables, while a column moves from one to the other or a lookup table is made of some.

As in test_random_plans: moves in any order with writes of both versions, and plain reasoning says what each row holds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, LiteralString, cast

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operations.conftest import Journeys
from operations.harness import BOTH_RUN, Db, Journey, rows, run, undone
from operations.players import WORDS, Draw

from orchestrator.plan.lifecycle import State

EXAMPLES, LONG = 3, 150
"""How many games are played for each kind; and in a long run, under the hypothesis profile of that name."""
WRITES = ["insert", "old", "old", "new", "new", "touch", "delete"]
TURNS = st.lists(st.sampled_from(WRITES), max_size=6)
MOVES = st.sampled_from(["forward", "forward", "backward"])


def execute(db: Db, statement: str, *values: Any) -> psycopg.Cursor[Any]:
    """Run a statement with values."""
    return db.execute(cast("LiteralString", statement), values)


@dataclass
class Row:
    """What a row holds, and whether a write or the sweep has come by since expand."""

    holds: Any
    filled: bool = False


@dataclass
class Game(ABC):
    """Two tables, a plan, and what plain reasoning says of their rows, by number.

    Args:
        journey: moves the plan.
        draw: draws everything that varies.
    """

    journey: Journey
    draw: Draw
    rows: dict[int, Row] = field(default_factory=dict[int, Row])
    state: State = State.PLANNED

    start: str = field(init=False, default="")
    """What makes the tables."""
    direct: str = field(init=False, default="")
    """What does the same at once."""

    def __post_init__(self) -> None:
        self.numbers = count(1)
        run(self.db, "DROP SCHEMA IF EXISTS ecm, public CASCADE; CREATE SCHEMA public")
        self.journey.with_plan(changes=[self.make()])
        run(self.db, self.start)

    @property
    def db(self) -> Db:
        return self.journey.db

    @property
    def both_run(self) -> bool:
        return self.state in BOTH_RUN

    @abstractmethod
    def make(self) -> dict[str, Any]:
        """Draw the tables and the plan's change."""

    @abstractmethod
    def insert(self) -> None:
        """Either application adds a row."""

    @abstractmethod
    def old(self) -> None:
        """The old application writes a row."""

    @abstractmethod
    def new(self) -> None:
        """The new application writes a row."""

    @abstractmethod
    def touch(self) -> None:
        """Something else of a row is written."""

    @abstractmethod
    def delete(self) -> None:
        """A row goes."""

    @abstractmethod
    def seen(self) -> tuple[dict[int, Any] | None, dict[int, Any] | None]:
        """What the old application reads, and what the new one does; None where it is not at work."""

    def wrote(self, number: int, holds: Any) -> None:
        """A row got a value, by either side."""
        self.rows[number] = Row(holds=holds, filled=self.both_run)

    def turn(self, name: str) -> None:
        """Make a write, where the application that does so is at work."""
        absent = {"old": self.state is State.CONTRACTED, "new": self.state is State.PLANNED}
        if not absent.get(name) and (self.rows or name == "insert"):
            getattr(self, name)()

    def forward(self, to: State | None = None) -> None:
        self.state = self.journey.advance(to)
        if self.state is not State.EXPANDED:
            for row in self.rows.values():
                row.filled = True

    def backward(self) -> None:
        self.state = self.journey.rollback()
        if self.state is State.PLANNED:
            for row in self.rows.values():
                row.filled = False

    def holds(self) -> None:
        """Both applications read what was written; the new one, of rows that nobody filled, nothing yet."""
        old, new = self.seen()
        if old is not None:
            assert old == {number: row.holds for number, row in self.rows.items()}, self.state
        if new is not None:
            filled = {number: row.holds for number, row in self.rows.items() if row.filled}
            assert {number: new[number] for number in filled} == filled, self.state

    def any_row(self) -> int:
        return self.draw(st.sampled_from(sorted(self.rows)))

    def is_new(self) -> bool:
        return self.state is State.CONTRACTED or (self.both_run and self.draw(st.booleans()))


class Moved(Game):
    """A column of users moves to their profiles; each user has one."""

    def make(self) -> dict[str, Any]:
        key = self.draw(st.sampled_from(["integer", "bigint", "text"]))
        cast = "" if key == "text" else f"::{key}"
        self.number = f"%s::text{cast}"
        self.profiles = self.draw(st.sampled_from(["profiles", '"Profiles of"']))
        unlogged = self.draw(st.sampled_from(["", "UNLOGGED"]))
        reference = self.draw(st.sampled_from(["REFERENCES users (id)", ""]))
        self.start = f"""
            CREATE {unlogged} TABLE users (id {key} PRIMARY KEY, name text, bio text);
            CREATE {unlogged} TABLE {self.profiles} (user_id {key} NOT NULL UNIQUE {reference}, theme text);
        """
        self.direct = f"""
            ALTER TABLE {self.profiles} ADD COLUMN about text;
            UPDATE {self.profiles} SET about = bio FROM users WHERE users.id = user_id;
            ALTER TABLE users DROP COLUMN bio
        """
        to = {"table": self.profiles, "column": "about"}
        return {"kind": "move_column", "table": "users", "column": "bio", "to": to, "on": {"id": "user_id"}}

    def insert(self) -> None:
        number, value = next(self.numbers), self.draw(st.none() | WORDS)
        users = [("users", "id", "bio", not self.is_new()), (self.profiles, "user_id", "about", True)]
        by_old = users[0][3]
        for table, key, column, _ in users:
            mine = (table == "users") is by_old
            names, values = (f"{key}, {column}", [number, value]) if mine else (key, [number])
            given = ", ".join([self.number, "%s"][: len(values)])
            execute(self.db, f"INSERT INTO {table} ({names}) VALUES ({given})", *values)
        self.wrote(number, value)

    def old(self) -> None:
        number, value = self.any_row(), self.draw(st.none() | WORDS)
        self._execute("UPDATE users SET bio = %s WHERE id = {}", value, number)
        self.wrote(number, value)

    def new(self) -> None:
        # NULL by a new writer before the backfill has been there cannot be told from nothing given.
        number, value = self.any_row(), self.draw(WORDS)
        self._execute(f"UPDATE {self.profiles} SET about = %s WHERE user_id = {{}}", value, number)
        self.wrote(number, value)

    def touch(self) -> None:
        number = self.any_row()
        touched = self.draw(
            st.sampled_from(["users SET name = %s WHERE id", f"{self.profiles} SET theme = %s WHERE user_id"])
        )
        self._execute(f"UPDATE {touched} = {{}}", "x", number)
        self.rows[number].filled |= self.both_run and touched.startswith(self.profiles)

    def delete(self) -> None:
        number = self.any_row()
        execute(self.db, f"DELETE FROM {self.profiles} WHERE user_id = {self.number}", number)
        execute(self.db, f"DELETE FROM users WHERE id = {self.number}", number)
        del self.rows[number]

    def seen(self) -> tuple[dict[int, Any] | None, dict[int, Any] | None]:
        old = "SELECT id::text::integer, bio FROM users"
        new = f"SELECT user_id::text::integer, about FROM {self.profiles}"
        return (
            None if self.state is State.CONTRACTED else dict(rows(self.db, old)),
            None if self.state is State.PLANNED else dict(rows(self.db, new)),
        )

    def _execute(self, statement: str, value: str | None, number: int) -> None:
        execute(self.db, statement.format(self.number), value, number)


class Extracted(Game):
    """Publisher and city of a book become a row of a lookup table."""

    def make(self) -> dict[str, Any]:
        self.lookup = self.draw(st.sampled_from(["publishers", '"Pub Lishers"']))
        text = self.draw(st.sampled_from(["text", "varchar(40)", 'text COLLATE "C"']))
        unlogged = self.draw(st.sampled_from(["", "UNLOGGED"]))
        self.start = (
            f"CREATE {unlogged} TABLE books (id integer PRIMARY KEY, title text, publisher {text}, city {text})"
        )
        self.direct = f"""
            CREATE TABLE {self.lookup} (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
              publisher {text}, city {text}, UNIQUE (publisher, city));
            ALTER TABLE books ADD COLUMN publisher_id bigint REFERENCES {self.lookup} (id);
            ALTER TABLE books DROP COLUMN publisher, DROP COLUMN city
        """
        into = {"table": self.lookup, "key": "id"}
        columns = ["publisher", "city"]
        return {
            "kind": "extract_table",
            "table": "books",
            "columns": columns,
            "into": into,
            "reference": "publisher_id",
        }

    def insert(self) -> None:
        number = next(self.numbers)
        execute(self.db, "INSERT INTO books (id) VALUES (%s)", number)
        self.wrote(number, (None, None))
        if self.is_new():
            self._refer(number)
        else:
            self._write(number)

    def old(self) -> None:
        self._write(self.any_row())

    def new(self) -> None:
        self.draw(st.sampled_from([self._refer_to_any, self._refer_to_none, self._rename]))()

    def touch(self) -> None:
        number = self.any_row()
        execute(self.db, "UPDATE books SET title = 'x' WHERE id = %s", number)
        self.rows[number].filled |= self.both_run

    def delete(self) -> None:
        number = self.any_row()
        execute(self.db, "DELETE FROM books WHERE id = %s", number)
        del self.rows[number]

    def seen(self) -> tuple[dict[int, Any] | None, dict[int, Any] | None]:
        joined = f"FROM books b LEFT JOIN {self.lookup} p ON p.id = publisher_id"

        def read(query: str) -> dict[int, Any]:
            return {number: (publisher, city) for number, publisher, city in rows(self.db, query)}

        return (
            None if self.state is State.CONTRACTED else read("SELECT id, publisher, city FROM books"),
            None if self.state is State.PLANNED else read(f"SELECT b.id, p.publisher, p.city {joined}"),
        )

    def _write(self, number: int) -> None:
        publisher, city = self.rows[number].holds
        which = self.draw(st.sampled_from(["publisher", "city", "publisher = %s, city"]))
        values = [self.draw(st.none() | WORDS) for _ in range(which.count("%s") + 1)]
        execute(self.db, f"UPDATE books SET {which} = %s WHERE id = %s", *values, number)
        if which == "publisher":
            self.wrote(number, (values[0], city))
        else:
            self.wrote(number, (values[0] if len(values) > 1 else publisher, values[-1]))

    def _refer_to_any(self) -> None:
        self._refer(self.any_row())

    def _refer_to_none(self) -> None:
        number = self.any_row()
        execute(self.db, "UPDATE books SET publisher_id = NULL WHERE id = %s", number)
        # Where the backfill has not been yet, that is nothing new, and the row is filled.
        self.wrote(number, (None, None) if self.rows[number].filled else self.rows[number].holds)

    def _refer(self, number: int) -> None:
        """A book gets the publisher that it should have, which is made where there is none."""
        holds = (self.draw(WORDS), self.draw(WORDS))
        ((key,),) = execute(
            self.db,
            f"INSERT INTO {self.lookup} (publisher, city) VALUES (%s, %s)"
            " ON CONFLICT (publisher, city) DO UPDATE SET city = excluded.city RETURNING id",
            *holds,
        ).fetchall()
        execute(self.db, "UPDATE books SET publisher_id = %s WHERE id = %s", key, number)
        self.wrote(number, holds)

    def _rename(self) -> None:
        """A publisher moves to another city, and with it all its books."""
        there = rows(self.db, f"SELECT id, publisher, city FROM {self.lookup} ORDER BY publisher, city")
        if not there:
            return
        key, publisher, city = self.draw(st.sampled_from(there))
        other = self.draw(WORDS)
        if any(each[1:] == (publisher, other) for each in there):
            return
        execute(self.db, f"UPDATE {self.lookup} SET city = %s WHERE id = %s", other, key)
        for row in self.rows.values():
            if row.filled and row.holds == (publisher, city):
                row.holds = (publisher, other)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", [Moved, Extracted])
def test_no_write_is_lost_and_nothing_is_left(journeys: Journeys, kind: Callable[..., Game]) -> None:
    """Old and new writers in any order with moves forward and back: rows as reasoned, schemas to the letter."""
    journey = journeys("", {"kind": "rename_column", "table": "t", "column": "a", "to": "b"})
    examples = LONG if settings.get_current_profile_name() == "long" else EXAMPLES

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(data=st.data(), turns=st.lists(st.tuples(TURNS, MOVES), min_size=3, max_size=8))
    def play(data: Any, turns: list[tuple[list[str], str]]) -> None:
        game = kind(journey, data.draw)
        start = journey.fingerprint
        with undone(journey.db):
            run(journey.db, game.direct)
            end = journey.fingerprint
        for writes, move in turns:
            for write in writes:
                game.turn(write)
                game.holds()
            if move == "forward" and game.state is not State.READS_MIGRATED:  # contract comes last
                game.forward()
            if move == "backward" and game.state is not State.PLANNED:
                game.backward()
            game.holds()
            if game.state is State.PLANNED:
                assert journey.fingerprint == start
        game.forward(State.CONTRACTED)
        for write in turns[0][0]:
            game.turn(write)
            game.holds()
        assert journey.fingerprint == end

    play()
