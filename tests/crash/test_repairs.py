"""SIGKILL while rows are repaired, given back, or held to a rule: the same command finishes, and no value is lost."""

from collections.abc import Callable, Generator
from itertools import count

import psycopg
import pytest
from servers import Server

from crash.harness import KILLED, Processes, Project, moves, position, schema

CHANGES = """
  - {kind: set_not_null, table: users, column: name, using: "'user ' || id"}
  - {kind: add_unique, table: users, name: users_email_key, columns: [email], using: {email: "id || '.' || email"}}
  - kind: add_foreign_key
    table: users
    name: users_of_fkey
    columns: [team]
    references: {table: teams, columns: [id]}
    using: {team: "NULL"}
"""
START = """
CREATE TABLE teams (id integer PRIMARY KEY); INSERT INTO teams SELECT generate_series(1, 5);
CREATE TABLE users (id integer PRIMARY KEY, email text, name text, team integer, wide text) WITH (fillfactor = 20);
INSERT INTO users SELECT n, 'mail ' || n % 50, CASE WHEN n % 3 > 0 THEN 'name ' || n END, n % 8, repeat('x', 500)
  FROM generate_series(1, 60) n;
"""
DIRECT = """
UPDATE users SET name = 'user ' || id WHERE name IS NULL;
UPDATE users u SET email = id || '.' || email WHERE EXISTS (SELECT FROM users o WHERE o.email = u.email AND o.id < u.id);
UPDATE users SET team = NULL WHERE team NOT IN (SELECT id FROM teams);
ALTER TABLE users ALTER name SET NOT NULL, ADD CONSTRAINT users_email_key UNIQUE (email),
  ADD CONSTRAINT users_of_fkey FOREIGN KEY (team) REFERENCES teams (id);
"""
WRITTEN = (
    "INSERT INTO users VALUES (%s, 'mail 1', NULL, 9, 'w') ON CONFLICT (id) DO UPDATE SET wide = excluded.wide || 'w'"
)
"""What an old writer writes; each of its values breaks a rule, and it writes the row again and again."""

Row = tuple[int, str | None, str | None, int | None]


def contents(url: str) -> list[Row]:
    """Return what the application knows of its rows."""
    with psycopg.connect(url, autocommit=True) as db:
        return db.execute("SELECT id, email, name, team FROM users ORDER BY id").fetchall()


@pytest.fixture(scope="module")
def states(
    server: Server, tmp_path_factory: pytest.TempPathFactory, processes: Processes
) -> Generator[Callable[[str], str]]:
    """Copies a database that is in a state of the plan: `states("backfilled")`."""
    numbers, names = count(1), list[str]()

    def create(name: str, template: str | None = None) -> str:
        server.create_database(name, template)
        names.append(name)
        return server.url(name)

    work = create("repairs_work")
    project = Project.make(
        tmp_path_factory.mktemp("repairs") / "project", {"development": work}, processes, changes=CHANGES
    )
    with psycopg.connect(work, autocommit=True) as db:
        db.execute(START)
    create("repairs_planned", "repairs_work")
    for state in ("backfilled", "reads_migrated"):
        project.done("advance", to=state)
        create(f"repairs_{state}", "repairs_work")
    yield lambda state: create(f"repairs_copy_{next(numbers)}", f"repairs_{state}")
    for name in names:
        server.drop_database(name)


def test_a_rollback_that_is_killed_gives_every_row_its_own_value_back(
    states: Callable[[str], str], project: Callable[..., Project]
) -> None:
    """Killed at each event in turn, and with rows that old writers write in between, until none was left out."""
    start = contents(states("planned")), schema(states("planned"))
    for number in count(1):
        url = states("backfilled")
        ecm = project(development=url, changes=CHANGES)
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(WRITTEN, [101])
            killed = ecm.run("rollback", to="planned", at=number, signal="SIGKILL")
            for row in (101, 102, 102, 7, 30):
                db.execute(WRITTEN, [row])
        again = ecm.run("rollback", to="planned")
        assert killed.code in (0, KILLED), str(killed)
        assert again.code == 0 or position(url) == ("planned", None, None), str(again)
        assert moves(url)[-1] == ("back", "planned")
        assert contents(url) == [*start[0], *((row, "mail 1", None, 9) for row in (101, 102))]
        assert schema(url) == start[1]
        if killed.code == 0:
            break
    assert number > 8, "there were events to be killed at"


def test_a_contract_that_is_killed_is_finished_by_the_same_command(
    states: Callable[[str], str], project: Callable[..., Project]
) -> None:
    """Killed at each event in turn, it ends like the direct DDL; old writers may still be there until it does."""
    direct = states("planned")
    with psycopg.connect(direct, autocommit=True) as db:
        db.execute(DIRECT)
    for number in count(1):
        url = states("reads_migrated")
        ecm = project(development=url, changes=CHANGES)
        killed = ecm.run("advance", to="contracted", at=number, signal="SIGKILL")
        if position(url)[0] != "contracted":
            with psycopg.connect(url, autocommit=True) as db:
                db.execute("INSERT INTO users VALUES (101, 'mail 1', NULL, 9, 'w')")
                db.execute("UPDATE users SET name = NULL, team = 8 WHERE id = 101")
        again = ecm.run("advance", to="contracted")
        assert killed.code in (0, KILLED), str(killed)
        assert again.code == 0 or position(url) == ("contracted", None, None), str(again)
        assert schema(url) == schema(direct)
        found = contents(url)
        assert found[:60] == contents(direct)
        assert found[60:] in ([], [(101, "101.mail 1", "user 101", None)])
        if killed.code == 0:
            break
    assert number > 8, "there were events to be killed at"
