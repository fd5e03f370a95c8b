"""Branches of a Neon project, through the provider, on a fake that is held to Neon's own description."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from neon.conftest import NeonPart, OpenNeon
from neon.fake import KEY, Fake

from orchestrator.branches import Making, Moment, Provider, provider_for
from orchestrator.errors import ConfigurationError, ConnectionFailedError, EcmError, PreconditionError, UsageError


@pytest.fixture
def books(neon: Fake) -> Fake:
    """The fake, with ten books in production."""
    with psycopg.connect(neon.project.url("production"), autocommit=True) as connection:
        connection.execute("CREATE TABLE books AS SELECT n AS id FROM generate_series(1, 10) n")
    return neon


def count(provider: Provider, branch: str) -> int:
    return run(provider, branch, "SELECT count(*) FROM books")


def run(provider: Provider, branch: str, statement: str) -> int:
    with psycopg.connect(provider.address(branch).url.get_secret_value(), autocommit=True) as connection:
        cursor = connection.execute(statement)  # pyright: ignore[reportArgumentType, reportCallIssue]
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else 0


def told(error: EcmError) -> str:
    return " ".join((error.message, *error.details, error.hint or ""))


def changes(neon: Fake) -> list[str]:
    return [f"{each.method} {each.path}" for each in neon.requests if each.method != "GET"]


# --- making, opening, resetting, deleting ---------------------------------------------------------


def test_a_branch_is_made_opened_reset_and_deleted(books: Fake, open_neon: OpenNeon) -> None:
    """What is made has its parent's rows; a reset brings them back; nothing is left after a delete."""
    provider = open_neon().provider
    made = provider.create("development", Making(compute=(0.5, 1)))
    assert (made.name, made.parent, made.note) == ("development", "production", None)
    assert books.project.compute("development").limits == (0.5, 1)
    run(provider, "development", "DELETE FROM books WHERE id > 3")
    provider.reset("development")
    assert count(provider, "development") == 10
    provider.delete("development")
    provider.delete("development")
    assert [each.name for each in provider.found()] == ["production"]
    assert len(books.acted("DELETE", "/branches/")) == 1


def test_a_branch_is_made_without_rows_for_a_time_and_from_a_moment(books: Fake, open_neon: OpenNeon) -> None:
    """Neon is asked for each as it has it: schema-only, expires_at, and an LSN or a time of the parent."""
    provider = open_neon().provider
    books.project.remember("production")
    then = provider.moment("production")
    run(provider, "production", "DELETE FROM books")
    empty = provider.create("empty", Making(schema_only=True, expires_in=timedelta(hours=2)))
    assert empty.parent is None
    assert empty.expires_at is not None
    assert timedelta(hours=1, minutes=59) < empty.expires_at - datetime.now(UTC) <= timedelta(hours=2)
    for name, at in (("by-lsn", Moment(lsn=then.lsn)), ("by-time", Moment(time=then.time))):
        provider.create(name, Making(parent="production", at=at))
    assert [count(provider, name) for name in ("empty", "by-lsn", "by-time")] == [0, 10, 10]


def test_branches_are_listed_page_by_page_with_those_of_the_project_first(neon: Fake, open_neon: OpenNeon) -> None:
    """However few a page has, none is passed over; a compute that sleeps is told."""
    provider = open_neon().provider
    for name in ("a", "development", "z"):
        provider.create(name, Making())
    neon.project.suspend("production")
    neon.page = 1
    found = provider.found()
    assert [each.name for each in found] == ["development", "production", "a", "z"]
    assert (found[1].note, found[0].note) == ("its compute is suspended", None)
    assert all(each.size for each in found)


def test_the_default_branch_may_have_any_name(neon: Fake, open_neon: OpenNeon) -> None:
    """A branch without a parent in ecm.yaml is made from the project's default branch."""
    neon.project.named("production").name = "trunk"
    provider = open_neon().provider
    assert provider.create("scratch", Making()).parent == "trunk"
    with pytest.raises(UsageError, match="there is no branch production in the Neon project"):
        provider.address("production")


def test_a_url_is_asked_for_once_while_the_compute_stays(books: Fake, open_neon: OpenNeon) -> None:
    """Nothing is stored, and nothing asked twice; a compute that sleeps is started, one that moved is found."""
    opened = open_neon()
    fetched = lambda: len(books.acted("GET", "/connection_uri"))  # noqa: E731
    assert [count(opened.provider, "production") for _ in range(3)] == [10] * 3
    assert fetched() == 1
    books.project.suspend("production")
    assert (count(opened.provider, "production"), len(books.acted("POST", "/start$"))) == (10, 1)
    books.project.move("production")
    assert count(opened.provider, "production") == 10
    assert len(opened.learned) == fetched() == 3


def test_a_branch_that_was_made_anew_by_somebody_else_is_found(books: Fake, open_neon: OpenNeon) -> None:
    """Its id is another one: the name counts."""
    provider, another = open_neon().provider, open_neon().provider
    provider.create("development", Making())
    assert count(provider, "development") == 10
    another.delete("development")
    run(another, "production", "DELETE FROM books WHERE id > 4")
    another.create("development", Making())
    assert count(provider, "development") == 4


# --- a bad day ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [423, 429, 503])
def test_what_is_turned_away_for_now_is_sent_again(books: Fake, open_neon: OpenNeon, status: int) -> None:
    """Each of Neon's answers that mean later is waited out, whatever was asked, and the branch is made once."""
    for method, path in (("POST", "/branches$"), ("GET", "/operations/"), ("GET", "/branches$"), ("DELETE", "/br-")):
        books.fails(method, path, status=status, times=2, headers={"Retry-After": "0"})
    provider = open_neon().provider
    provider.create("development", Making())
    provider.delete("development")
    assert [len(books.acted(*each)) for each in (("POST", "/branches$"), ("DELETE", "/br-"))] == [1, 1]


@pytest.mark.parametrize("cut", ["before", "after"])
def test_what_was_not_answered_is_done_once(books: Fake, open_neon: OpenNeon, cut: str) -> None:
    """The connection breaks before or after Neon acts, on each change there is: each is done, and once."""
    provider = open_neon().provider
    for method, path in (("POST", "/branches$"), ("POST", "/restore$"), ("POST", "/start$"), ("DELETE", "/br-")):
        books.fails(method, path, cut=cut)
    provider.create("development", Making())
    run(provider, "development", "DELETE FROM books")
    provider.reset("development")
    books.project.suspend("development")
    assert count(provider, "development") == 10
    provider.delete("development")
    for each in (("POST", "/branches$"), ("POST", "/restore$"), ("POST", "/start$"), ("DELETE", "/br-")):
        assert len(books.acted(*each)) == 1, each
    assert not any(fault.times for fault in books.faults)


def test_a_restore_that_was_not_answered_is_done_once(books: Fake, open_neon: OpenNeon) -> None:
    """What was kept under its name tells that it happened."""
    provider = open_neon().provider
    books.project.remember("production")
    then = provider.moment("production")
    books.fails("POST", "/restore$", cut="after")
    provider.restore("production", then, keep_as="before")
    assert len(books.acted("POST", "/restore$")) == 1
    assert {each.name for each in provider.found()} == {"production", "before"}


def test_operations_that_finish_late_are_waited_for(books: Fake, open_neon: OpenNeon) -> None:
    """Nothing is opened before it is ready, one that failed and is taken up again included."""
    books.project.course = ["scheduling", "running", "running", "failed", "running", "finished"]
    provider = open_neon().provider
    provider.create("development", Making())
    assert count(provider, "development") == 10
    provider.reset("development")
    assert (count(provider, "development"), provider.found()[0].note) == (10, None)


def test_a_branch_that_neon_does_not_finish_is_not_left_behind(books: Fake, open_neon: OpenNeon) -> None:
    """The error has Neon's words, and the name is free again."""
    books.project.course = ["running", "error"]
    provider = open_neon().provider
    with pytest.raises(PreconditionError, match="the compute did not come up"):
        provider.create("development", Making())
    assert [each.name for each in provider.found()] == ["production"]


def test_a_branch_that_is_interrupted_while_it_is_made_is_not_left_behind(books: Fake, open_neon: OpenNeon) -> None:
    """Ctrl-C while Neon is at work on it: the name is free again."""
    books.project.course = ["running", "running", "finished"]
    pressed = iter([True])

    def press() -> None:
        if next(pressed, False):
            raise KeyboardInterrupt

    provider = open_neon(waits=press).provider
    with pytest.raises(KeyboardInterrupt):
        provider.create("development", Making())
    assert [each.name for each in provider.found()] == ["production"]


def test_a_compute_that_never_starts_is_told(books: Fake, open_neon: OpenNeon) -> None:
    """After the deadline, with what Neon still has to do."""
    books.project.suspend("production")
    books.project.course = ["running"] * 1000
    with pytest.raises(ConnectionFailedError, match="Neon has not finished") as caught:
        open_neon(deadline=0.3).provider.address("production")
    assert "start_compute is running" in told(caught.value)


# --- what is said before the call -----------------------------------------------------------------


def test_what_neon_would_refuse_is_told_before_the_call(neon: Fake, open_neon: OpenNeon) -> None:
    """Protection, children, a root, the default branch, a name that is taken: nothing is sent, and each says why."""
    provider = open_neon().provider
    for name, parent in (("development", "production"), ("grandchild", "development"), ("guarded", "production")):
        provider.create(name, Making(parent=parent))
    neon.project.named("guarded").protected = True
    neon.project.named("grandchild").restricted = [{"name": "restore", "reason": "it is being moved"}]
    before = len(changes(neon))
    refused = {
        "guarded is protected at Neon, and cannot be reset": lambda: provider.reset("guarded"),
        "guarded is protected at Neon, and cannot be deleted": lambda: provider.delete("guarded"),
        "development cannot be reset while it has children": lambda: provider.reset("development"),
        "development cannot be deleted while it has children": lambda: provider.delete("development"),
        "production is a root branch": lambda: provider.reset("production"),
        "production is the default branch": lambda: provider.delete("production"),
        "Neon does not restore branch grandchild": lambda: provider.reset("grandchild"),
        "there is a branch development already": lambda: provider.create("development", Making()),
        "there is a branch guarded already": lambda: provider.restore(
            "production", Moment(lsn="0/1"), keep_as="guarded"
        ),
    }
    for words, act in refused.items():
        with pytest.raises(PreconditionError, match=words):
            act()
    with pytest.raises(UsageError, match="there is no branch producton") as caught:
        provider.create("new", Making(parent="producton"))
    assert "did you mean production" in told(caught.value)
    assert len(changes(neon)) == before


def test_a_branch_without_a_compute_or_with_a_disabled_one_says_so(neon: Fake, open_neon: OpenNeon) -> None:
    """Neon would refuse the connection with less to go by."""
    provider = open_neon().provider
    neon.project.compute("production").disabled = True
    with pytest.raises(PreconditionError, match="the compute of production is disabled"):
        provider.address("production")
    compute = neon.project.compute("production")
    compute.relay.close()
    del neon.project.endpoints[compute.id]
    with pytest.raises(PreconditionError, match="branch production has no compute"):
        provider.address("production")
    assert provider.found()[0].note == "it has no compute"


def test_the_database_that_ecm_yaml_names_must_be_there(neon: Fake, open_neon: OpenNeon) -> None:
    """A wrong name is answered with the right one, before any connection."""
    with pytest.raises(ConfigurationError, match="branch production has no database neonbd") as caught:
        open_neon(database="neonbd").provider.address("production")
    assert "did you mean neondb?" in told(caught.value)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "NEON_API_KEY is not set"),
        ({"NEON_API_KEY": "napi_of-yesterday"}, "credentials do not pass"),
    ],
)
def test_a_key_that_is_missing_or_wrong_is_told(neon: Fake, environment: dict[str, str], words: str) -> None:
    """When it is needed, not before; and it is not shown."""
    provider = provider_for("neon", {}, Path(), environment | {"NEON_API_HOST": neon.host}, settings=NeonPart())
    assert provider.names() == ()
    with pytest.raises(ConfigurationError, match=words) as caught:
        provider.found()
    assert not any(secret in told(caught.value) for secret in (KEY, "napi_of-yesterday"))


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["lsn", "time"])
def test_a_branch_is_restored_to_a_moment_and_what_it_was_is_kept(books: Fake, open_neon: OpenNeon, by: str) -> None:
    """Also the protected one with children, for which it is there; development still comes from production after it."""
    provider = open_neon().provider
    provider.create("development", Making())
    books.project.named("production").protected = True
    books.project.remember("production")
    moment = provider.moment("production")
    assert moment.time is not None
    assert abs(moment.time - datetime.now(UTC)) < timedelta(minutes=1)
    run(provider, "production", "DELETE FROM books WHERE id > 3")
    only = Moment(lsn=moment.lsn) if by == "lsn" else Moment(time=moment.time)
    provider.restore("production", only)
    (kept,) = (each.name for each in provider.found() if each.name.startswith("production-before-"))
    assert (count(provider, "production"), books.project.named(kept).name) == (10, kept)
    run(provider, "production", "DELETE FROM books WHERE id > 8")
    provider.reset("development")
    assert count(provider, "development") == 8


def test_a_moment_that_is_not_kept_any_more_is_neons_to_refuse(neon: Fake, open_neon: OpenNeon) -> None:
    """Its words and its id for the request are told, and nothing has changed."""
    provider = open_neon().provider
    with pytest.raises(PreconditionError, match="outside the history") as caught:
        provider.restore("production", Moment(time=datetime(2001, 1, 1, tzinfo=UTC)))
    assert "Neon's request id" in told(caught.value)
    assert [each.name for each in provider.found()] == ["production"]


@pytest.mark.parametrize("key", ["napi_first\nnapi_second", "napi_first second", "napi_first…"])
def test_a_key_that_no_request_can_carry_is_refused_and_not_shown(key: str) -> None:
    """Two lines that were pasted for one, or a character of a page: the error names the variable, and quotes nothing."""
    provider = provider_for("neon", {}, Path(), {"NEON_API_KEY": key}, settings=NeonPart(project_id="p-1"))
    with pytest.raises(ConfigurationError, match="NEON_API_KEY cannot be a key of Neon's") as caught:
        provider.found()
    assert "napi" not in told(caught.value)
