"""SIGKILL at every event of a contract that can be undone, of its undo and of what drops the rest: all carry on."""

from collections.abc import Callable
from itertools import count
from typing import Any

import psycopg
import pytest
from servers import Server

from crash.harness import KILLED, NEW, OLD, Project, fill, moves, position, schema, sessions

WINDOW = {"contract": "undo_window: 1h"}
CHANGES = f"""\
  - {{kind: rename_column, table: books, column: {OLD}, to: {NEW}}}
  - {{kind: add_column, table: books, column: slug, type: text, using: "left(title, 1)", not_null: true}}
"""
FINALIZE: dict[str, Any] = {"command": "finalize", "arguments": {"now": True}}
MOVES = {
    "contract": ("reads_migrated", {"command": "advance", "to": "contracted"}, "contracted"),
    "undo": ("contracted", {"command": "rollback", "to": "reads_migrated"}, "reads_migrated"),
    "finalize": ("contracted", FINALIZE, "contracted"),
}
"""By what is killed: the state before, the command, and the state after."""


@pytest.mark.parametrize("move", MOVES)
def test_the_same_command_finishes_after_a_kill_at_any_event(
    server: Server, project: Callable[..., Project], move: str
) -> None:
    """In between, whatever was killed, the new version reads and writes, and what it wrote is on the old side too."""
    origin, command, target = MOVES[move]
    name = f"undo_{move}"
    server.create_database(name)
    fill(server.url(name), 20)
    ecm = project(WINDOW, CHANGES, development=server.url(name))
    ecm.done("advance", to="reads_migrated")
    both = schema(server.url(name))
    if origin == "contracted":
        ecm.done("advance", to=origin)
    before = moves(server.url(name))
    for number in count(1):
        copy = f"{name}_{number}"
        server.create_database(copy, template=name)
        url = server.url(copy)
        mine = project(WINDOW, CHANGES, development=url)
        killed = mine.run(**command, at=number, signal="SIGKILL")
        assert killed.code in (0, KILLED), str(killed)
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(f"UPDATE books SET {NEW} = 1234, slug = 's' WHERE id = 1")
        again = mine.run(**command)
        assert again.code == 0 or (again.code == 4 and move == "finalize" and not _kept(url)), str(again)
        assert position(url) == (target, None, None)
        assert moves(url) == [*before, ("back" if move == "undo" else "forward", target)]
        assert _kept(url) is (move == "contract")
        if move == "contract":
            mine.done("rollback")
        with psycopg.connect(url, autocommit=True) as db:
            old = f", {OLD}" if move != "finalize" else ""
            wrote = db.execute(f"SELECT {NEW}, slug{old} FROM books WHERE id = 1").fetchone()
            assert wrote == (1234, "s", 1234)[: 3 if old else 2]
        if move != "finalize":
            assert schema(url) == both
        assert not sessions(url)
        server.drop_database(copy)
        if killed.code == 0:
            break
    assert number > 2, "there were events to be killed at"


def _kept(url: str) -> bool:
    with psycopg.connect(url, autocommit=True) as db:
        return db.execute("SELECT undo_until IS NOT NULL FROM ecm.plans").fetchone() == (True,)
