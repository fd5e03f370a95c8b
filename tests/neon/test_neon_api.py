"""Neon's API as a client meets it on a bad day; the network is played, because these answers are in no description."""

import json
from typing import Any

import httpx
import pytest
from neon.fake import KEY
from neon.objects import ID
from pydantic import SecretStr

from orchestrator.branches.neon_api import MissingError, NeonApi, UnansweredError
from orchestrator.errors import ConfigurationError, ConnectionFailedError, EcmError, PreconditionError, PrivilegeError

BRANCH = {"id": "br-1", "name": "development", "of_next_year": {}}


def operation(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "o-1", "action": "an_action_of_next_year", "status": status, **more}


class Played:
    """A network that gives these answers one after the other, the last of them for good; it notes what was waited."""

    def __init__(self, *answers: httpx.Response | Exception, deadline: float = 30) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []
        self.api = NeonApi(
            ID,
            SecretStr(KEY),
            patience=30,
            deadline=deadline,
            sleep=self.slept.append,
            transport=httpx.MockTransport(self._answer),
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(status: int, value: Any = None, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=value, headers={name.replace("_", "-"): text for name, text in headers.items()})


def told(error: EcmError) -> str:
    return " ".join((error.message, *error.details, error.hint or ""))


def test_a_limit_is_waited_out_as_long_as_neon_says() -> None:
    """Retry-After counts, in seconds or as a date, and a moment more so that not all come back at once."""
    played = Played(
        answer(429, {}, Retry_After="7"),
        answer(429, {}, Retry_After="Thu, 01 Jan 2026 00:00:00 GMT"),
        answer(200, {"branches": [BRANCH]}),
    )
    assert [each.name for each in played.api.branches()] == ["development"]
    assert 7 <= played.slept[0] <= 8
    assert played.slept[1] <= 1


def test_a_limit_longer_than_the_patience_is_told_at_once() -> None:
    """Nobody waits for an hour without being asked; the answer names Neon's id for the request."""
    played = Played(answer(429, {"message": "too many", "code": "", "request_id": "r-77"}, Retry_After="3600"))
    with pytest.raises(ConnectionFailedError, match="too many") as caught:
        played.api.branches()
    assert (played.slept, "r-77" in told(caught.value)) == ([], True)


def test_reading_goes_on_after_a_network_error() -> None:
    """What only reads is sent again; where nobody answers at all, not for long."""
    played = Played(httpx.ReadError("reset"), answer(502), answer(200, {"branches": [BRANCH]}))
    assert len(played.api.branches()) == 1
    dead = Played(httpx.ReadTimeout("timed out"))
    with pytest.raises(UnansweredError, match=r"Neon's API at .* does not answer") as caught:
        dead.api.branches()
    assert len(dead.requests) == 4
    assert dead.requests[-1].headers["X-Request-ID"] in told(caught.value)


@pytest.mark.parametrize(
    "first", [httpx.ReadError("reset"), httpx.ReadTimeout("late"), answer(500), answer(504)], ids=str
)
def test_what_changes_something_is_not_sent_again_before_a_look(first: Any) -> None:
    """Where it is not known what came of a request that creates, it is sent once more only after a look."""
    played = Played(first, answer(201, {"branch": BRANCH}))
    looks: list[int] = []

    def look() -> None:
        looks.append(len(played.requests))

    made = played.api.once(lambda: played.api.create_branch({}), look)
    assert (made.branch.name, looks, len(played.requests)) == ("development", [1], 2)


def test_what_was_never_sent_may_be_sent_again() -> None:
    """A connection that was not made has done nothing."""
    played = Played(httpx.ConnectError("refused"), answer(201, {"branch": BRANCH}))
    assert played.api.create_branch({}).branch.id == "br-1"


def test_a_request_that_was_late_is_not_taken_for_another_ones() -> None:
    """The first was carried out after the look: the second is refused for it, and the first counts."""
    played = Played(httpx.ReadError("reset"), answer(409, {"message": "exists", "code": "X"}))
    looks = [None, "found"]
    assert played.api.once(lambda: played.api.create_branch({}), lambda: looks.pop(0)) == "found"
    with pytest.raises(PreconditionError, match="exists"):
        Played(answer(409, {"message": "exists", "code": "X"})).api.once(played.api.branches, lambda: None)


def test_operations_may_have_states_that_are_new() -> None:
    """A state that nobody knows is not the end, and neither is a failure that Neon takes up again."""
    states = ("scheduling", "a_state_of_next_year", "failed", "running", "finished")
    played = Played(*(answer(200, {"operation": operation(state)}) for state in states))
    started = answer(200, {"operations": [operation("running")]})
    played.api.settle(Played(started).api.start_endpoint("ep-1"))
    assert len(played.requests) == len(states)


def test_an_operation_that_neon_gives_up_is_an_error() -> None:
    """Neon's own words and the operation's id are told."""
    played = Played(answer(200, {"operation": operation("error", error="no such page", failures_count=3)}))
    running = Played(answer(200, {"operations": [operation("running")]})).api.start_endpoint("ep-1")
    with pytest.raises(PreconditionError, match="no such page") as caught:
        played.api.settle(running)
    assert "o-1, 3 failures" in told(caught.value)


def test_an_operation_that_does_not_end_has_a_deadline() -> None:
    """Also where it failed, and Neon never takes it up again, or where the network is away."""
    running = Played(answer(200, {"operations": [operation("running")]})).api.start_endpoint("ep-1")
    for last in (answer(200, {"operation": operation("failed", error="no room")}), httpx.ReadError("reset")):
        played = Played(last, deadline=0.2)
        with pytest.raises(ConnectionFailedError, match="Neon has not finished") as caught:
            played.api.settle(running)
        assert "operation id o-1" in told(caught.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, ConfigurationError), (403, PrivilegeError), (404, MissingError), (400, PreconditionError)],
)
def test_a_refusal_says_what_neon_said(status: int, kind: type[EcmError]) -> None:
    """Its message, its code and its id for the request, and never the key."""
    value = {"message": "so it is", "code": "WHY", "request_id": "r-5"}
    with pytest.raises(kind, match="so it is") as caught:
        Played(answer(status, value)).api.branches()
    words = told(caught.value)
    assert all(word in words for word in ("WHY", "r-5", str(status)))
    assert KEY not in words


def test_an_answer_of_another_kind_is_no_crash() -> None:
    """A page of somebody on the way, or an answer without what it must have, is told without what it holds."""
    with pytest.raises(ConnectionFailedError, match="does not provide for"):
        Played(httpx.Response(200, text="<html>")).api.branches()
    with pytest.raises(ConnectionFailedError) as caught:
        Played(answer(200, {"url": "postgresql://a:s3cret@b/c"})).api.uri("br-1", database="d", role="r")
    assert "s3cret" not in told(caught.value)


def test_pages_are_followed_to_the_end() -> None:
    """An empty page ends the list, and so does one that leads nowhere."""
    other = {"id": "br-2", "name": "production"}
    played = Played(
        answer(200, {"branches": [BRANCH], "pagination": {"next": "a"}}),
        answer(200, {"branches": [BRANCH, other], "pagination": {"next": "b"}}),
        answer(200, {"branches": [], "pagination": {"next": "b"}}),
    )
    assert [each.name for each in played.api.branches()] == ["development", "production"]
    assert [request.url.params.get("cursor") for request in played.requests] == [None, "a", "b"]


def test_the_key_is_sent_to_no_one_in_clear() -> None:
    """An address without TLS is refused, unless it is this machine."""
    with pytest.raises(ConfigurationError, match="does not begin with https"):
        NeonApi(ID, SecretStr(KEY), host="http://neon.example/api/v2")


def test_a_delete_may_be_sent_twice() -> None:
    """By its id a branch is deleted once only: no answer, or none left, is as good as the first one."""
    played = Played(httpx.ReadError("reset"), httpx.Response(204))
    assert played.api.delete_branch("br-1") == ()
    assert Played(answer(404, {"message": "gone", "code": ""})).api.delete_branch("br-1") == ()
    assert json.loads(played.requests[0].content or b"null") is None
