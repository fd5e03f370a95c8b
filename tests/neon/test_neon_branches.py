"""Branches of a Neon project, through the provider, on a fake that is held to Neon's own description."""

import psycopg
import pytest
from neon.conftest import OpenNeon
from neon.fake import Fake

from orchestrator.branches import Making
from orchestrator.errors import PreconditionError


def rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM books").fetchone()
    return row[0] if row else -1


def fill(neon: Fake) -> None:
    with psycopg.connect(neon.project.url("production"), autocommit=True) as connection:
        connection.execute("CREATE TABLE books AS SELECT n AS id FROM generate_series(1, 10) n")


def test_a_branch_is_made_opened_reset_and_deleted(neon: Fake, open_neon: OpenNeon) -> None:
    """What is made has its parent's rows; a reset brings them back; nothing is left after a delete."""
    fill(neon)
    neon_ = open_neon().provider
    made = neon_.create("development", Making(compute=(0.5, 1)))
    assert (made.name, made.parent, made.note) == ("development", "production", None)
    url = neon_.address("development").url.get_secret_value()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM books WHERE id > 3")
    neon_.reset("development")
    assert rows(neon_.address("development").url.get_secret_value()) == 10
    neon_.delete("development")
    assert [each.name for each in neon_.found()] == ["production"]


@pytest.mark.parametrize("status", [423, 429, 503])
def test_what_is_turned_away_for_now_is_sent_again(neon: Fake, open_neon: OpenNeon, status: int) -> None:
    """Each of Neon's answers that mean later is waited out, and the branch is made once."""
    fill(neon)
    neon.fails("POST", "/branches$", status=status, times=2, headers={"Retry-After": "0"})
    open_neon().provider.create("development", Making())
    assert len(neon.acted("POST", "/branches$")) == 1


def test_what_was_done_without_an_answer_is_not_done_twice(neon: Fake, open_neon: OpenNeon) -> None:
    """The connection breaks after Neon acted: the branch is found by its name, and a reset by its time."""
    fill(neon)
    provider = open_neon().provider
    neon.fails("POST", "/branches$", cut="after")
    provider.create("development", Making())
    assert len(neon.acted("POST", "/branches$")) == 1
    neon.fails("POST", "/restore$", cut="after")
    provider.reset("development")
    assert len(neon.acted("POST", "/restore$")) == 1
    assert rows(provider.address("development").url.get_secret_value()) == 10


def test_protection_is_told_before_the_call(neon: Fake, open_neon: OpenNeon) -> None:
    """A protected branch is neither reset nor deleted, and Neon is not asked to."""
    provider = open_neon().provider
    provider.create("development", Making())
    neon.project.named("development").protected = True
    for act in (provider.reset, provider.delete):
        with pytest.raises(PreconditionError, match="branch development is protected at Neon"):
            act("development")
    assert not [each for each in neon.requests if each.method == "DELETE" or each.path.endswith("/restore")]
