"""Neon suspends a compute, or moves it, in the middle of a backfill by the real command."""

import psycopg
import pytest
from neon.conftest import NeonCommand, OpenNeon
from neon.fake import Fake

from orchestrator.branches import Making

PLAN = "rename-published-year"
ROWS = 20000


@pytest.mark.parametrize("happening", ["suspend", "move"])
def test_a_compute_that_goes_away_in_a_backfill_is_come_back_to(
    neon: Fake, open_neon: OpenNeon, bookstore: NeonCommand, happening: str
) -> None:
    """The same command carries on: no row is lost or written wrong, no phase is recorded twice, no password is shown."""
    with psycopg.connect(neon.project.url("production"), autocommit=True) as connection:
        connection.execute("CREATE TABLE books (id int PRIMARY KEY, title text, published_year int DEFAULT 2000)")
        connection.execute(f"INSERT INTO books SELECT n, 'book ' || n, n FROM generate_series(1, {ROWS}) n")
    opened = open_neon()
    opened.provider.create("development", Making())
    happened: list[str] = []

    def happen() -> None:
        happened.append(happening)
        getattr(neon.project, happening)("development")

    neon.project.compute("development").relay.when(b"ctid", 5, happen)
    answer = bookstore.ecm("advance", PLAN, "--branch", "development", "--to", "backfilled")
    assert (answer.code, happened) == (0, [happening]), answer.out + answer.err
    with psycopg.connect(neon.project.url("development")) as connection:
        right = connection.execute("SELECT count(*) FROM books WHERE publication_year = published_year").fetchone()
    assert right == (ROWS,)
    moves = [each for each in bookstore.ecm("history", PLAN, "--json").json["entries"] if each["kind"] == "move"]
    assert [each["data"]["target"] for each in moves] == ["expanded", "backfilled"]
    if happening == "suspend":
        assert len(neon.acted("POST", "/start$")) == 1
    opened.provider.address("development")
    password = psycopg.conninfo.conninfo_to_dict(opened.learned[-1])["password"]
    assert str(password) not in answer.out + answer.err
