"""SIGKILL at every event of a plan behind a facade: the application goes on, and the same command finishes."""

from collections.abc import Callable
from itertools import count

import psycopg
import pytest
from servers import Server

from crash.harness import KILLED, NEW, OLD, Project, fill, moves, position, rename_directly, schema, sessions

FACADE = {"expand": "strategy: facade"}
MOVES = [
    ("advance", "planned", "expanded"),
    ("advance", "expanded", "backfilled"),
    ("advance", "reads_migrated", "contracted"),
    ("rollback", "backfilled", "planned"),
]


def works(url: str, *names: str) -> None:
    """Each name reads and writes the row that the other one shows."""
    with psycopg.connect(url, autocommit=True) as db:
        for year, name in enumerate(names, 1990):
            assert db.execute(f"UPDATE books SET {name} = {year} WHERE id = 1 RETURNING {names[-1]}").fetchone() == (
                year,
            )
            db.execute(f"INSERT INTO books (id, title, {name}) VALUES (-1, 't', 1)")
            db.execute(f"DELETE FROM books WHERE {names[0]} = 1 AND id = -1")


@pytest.mark.parametrize(("command", "origin", "target"), MOVES)
def test_the_same_command_finishes_after_a_kill_at_any_event(
    server: Server, project: Callable[..., Project], command: str, origin: str, target: str
) -> None:
    """In between, whatever was killed, the table answers to the names of either end, with the rows it had."""
    name = f"facade_{command}_{origin}"
    server.create_database(name)
    fill(server.url(name), 20)
    planned = schema(server.url(name))
    ecm = project(FACADE, development=server.url(name))
    if origin != "planned":
        ecm.done("advance", to=origin)
    before = moves(server.url(name))
    for number in count(1):
        copy = f"{name}_{number}"
        server.create_database(copy, template=name)
        url = server.url(copy)
        mine = project(FACADE, development=url)
        killed = mine.run(command, to=target, at=number, signal="SIGKILL")
        assert killed.code in (0, KILLED), str(killed)
        with psycopg.connect(url, autocommit=True) as db:
            assert db.execute("SELECT count(*), count(isbn) FROM books").fetchone() == (20, 20)
        again = mine.run(command, to=target)
        assert again.code == 0 or (again.code == 4 and position(url) == (target, None, None)), str(again)
        assert position(url) == (target, None, None)
        assert moves(url) == [*before, ("back" if command == "rollback" else "forward", target)]
        works(url, *{"planned": [OLD], "contracted": [NEW]}.get(target, [OLD, NEW]))
        if target == "planned":
            assert {**schema(url), "functions": []} == {**planned, "functions": []}
        if target == "contracted":
            server.create_database(f"{copy}_direct")
            rename_directly(server.url(f"{copy}_direct"))
            assert schema(url) == schema(server.url(f"{copy}_direct"))
            server.drop_database(f"{copy}_direct")
        assert not sessions(url)
        server.drop_database(copy)
        if killed.code == 0:
            break
    assert number > 2, "there were events to be killed at"
