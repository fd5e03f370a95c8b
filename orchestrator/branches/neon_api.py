"""A client of Neon's API v2: as much of it as branches need, with retries exactly where they are safe.

https://api-docs.neon.tech/reference
"""

import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import sleep as _sleep
from typing import Any, TypeVar, final
from uuid import uuid4

import httpx
from pydantic import SecretStr, ValidationError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_before_delay,
    wait_exponential,
    wait_random_exponential,
)

from orchestrator.branches.neon_answers import (
    Branch,
    Branches,
    Changed,
    ConnectionUri,
    Database,
    Databases,
    Endpoint,
    Endpoints,
    OneOperation,
    Operation,
    Operations,
    Refused,
    content,
    read,
)
from orchestrator.errors import (
    ConfigurationError,
    ConnectionFailedError,
    EcmError,
    PreconditionError,
    PrivilegeError,
)

HOST = "https://console.neon.tech/api/v2"

PATIENCE = 90.0
"""Seconds to go on with one request that Neon turns away for now."""
DEADLINE = 600.0
"""Seconds for the operations of one request to be finished."""

_PAGE = 100
_TRIES = 3
"""How often a request is sent that was not answered, and left no trace."""
_CALLS = 4
"""How often a request is sent in a row that may be sent again, and that nobody answers."""
_PASSING = frozenset({423, 429, 503})
"""Neon did nothing: other operations run on the project, too many requests, out of service."""
_UNCERTAIN = frozenset({500, 502, 504})
"""Neon, or somebody on the way to it, broke down: whether it acted is not known."""
_REPEATABLE = frozenset({"GET", "DELETE"})
_DONE = frozenset({"finished", "skipped"})
_GIVEN_UP = frozenset({"error", "cancelled"})
"""`failed` is not among them: Neon may take the operation up again."""

T = TypeVar("T")


class UnansweredError(ConnectionFailedError):
    """A request was sent and no answer came: whether Neon acted is not known."""


class MissingError(ConfigurationError):
    """Neon has no such project, branch or compute, or the key does not reach it."""


class _AgainError(Exception):
    """A request may be sent again, after so many seconds where Neon says so."""

    def __init__(self, reason: EcmError, after: float | None = None) -> None:
        super().__init__(reason.message)
        self.reason = reason
        self.after = after

    @property
    def unanswered(self) -> bool:
        """Whether it is the network, which is seldom away for as long as Neon may be busy."""
        return isinstance(self.reason, UnansweredError)


_LATER = "run the same command again; https://neonstatus.com tells of outages"
_KINDS: Mapping[int, tuple[type[EcmError], str]] = {
    401: (ConfigurationError, "set NEON_API_KEY to a key that is valid (Neon's console, API keys)"),
    403: (PrivilegeError, "use an API key that may do this in the project"),
    404: (MissingError, "check provider.project_id in ecm.yaml, and that NEON_API_KEY reaches that project"),
    423: (ConnectionFailedError, "other operations run on this project; run the same command again"),
    429: (ConnectionFailedError, "run the same command again in a minute"),
    503: (ConnectionFailedError, _LATER),
}
"""By an answer's status: the error, and what to do."""


@final
class NeonApi:
    """Neon's API for one project.

    Args:
        project: its id.
        key: an API key that reaches it.
        host: the API's address.
        patience: seconds to go on with a request that Neon turns away for now.
        deadline: seconds for the operations of a request.
        sleep: how to wait, in seconds.
        transport: sends requests, instead of the network.
    """

    def __init__(
        self,
        project: str,
        key: SecretStr,
        *,
        host: str = HOST,
        patience: float = PATIENCE,
        deadline: float = DEADLINE,
        sleep: Callable[[float], None] = _sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        address = httpx.URL(host)
        near = address.host in ("localhost", "127.0.0.1", "::1")
        if address.scheme != "https" and not (address.scheme == "http" and near):
            # The key would cross the network for everybody to read.
            raise ConfigurationError(f"{host} is not an address of Neon's API: it does not begin with https://")
        self._project = f"/projects/{project}"
        self._host = address.host
        self._patience, self._deadline, self._sleep = patience, deadline, sleep
        self._client = httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {key.get_secret_value()}", "Accept": "application/json"},
            timeout=httpx.Timeout(30.0, connect=10.0),
            transport=transport,
            trust_env=not near,
        )
        weakref.finalize(self, self._client.close)

    # ------------------------------------------------------------ reading

    def branches(self) -> tuple[Branch, ...]:
        """Return all branches of the project, page by page."""
        found: dict[str, Branch] = {}
        cursor: str | None = None
        while True:
            # By the time of creation, ascending: one that is made meanwhile comes last, and none is passed over.
            query = {"limit": str(_PAGE), "sort_by": "created_at", "sort_order": "asc"}
            query |= {"cursor": cursor} if cursor else {}
            page = read(Branches, self._send("GET", "/branches", query=query))
            found |= {branch.id: branch for branch in page.branches}
            if not page.branches or page.pagination.next in (None, "", cursor):
                return tuple(found.values())
            cursor = page.pagination.next

    def endpoints(self, branch: str | None = None) -> tuple[Endpoint, ...]:
        """Return the computes of the project, or of one branch by its id."""
        path = "/endpoints" if branch is None else f"/branches/{branch}/endpoints"
        return read(Endpoints, self._send("GET", path)).endpoints

    def databases(self, branch: str) -> tuple[Database, ...]:
        """Return the databases of a branch."""
        return read(Databases, self._send("GET", f"/branches/{branch}/databases")).databases

    def uri(self, branch: str, *, database: str, role: str) -> SecretStr:
        """Return the URI by which a role connects to a database of a branch directly, not through the pooler."""
        query = {"branch_id": branch, "database_name": database, "role_name": role, "pooled": "false"}
        return read(ConnectionUri, self._send("GET", "/connection_uri", query=query)).uri

    def under_way(self, branch: str) -> tuple[Operation, ...]:
        """Return the latest operations on a branch that are not over."""
        latest = read(Operations, self._send("GET", "/operations", query={"limit": str(_PAGE)})).operations
        over = _DONE | _GIVEN_UP
        return tuple(each for each in latest if each.branch_id == branch and each.status not in over)

    # ------------------------------------------------------------ changing

    def create_branch(self, request: Mapping[str, Any]) -> Changed:
        """Create a branch; raises UnansweredError where it may or may not have been."""
        return read(Changed, self._send("POST", "/branches", body=request))

    def restore_branch(self, branch: str, request: Mapping[str, Any]) -> Changed:
        """Make a branch what it, or another, was or is; raises UnansweredError where it may or may not have been."""
        return read(Changed, self._send("POST", f"/branches/{branch}/restore", body=request))

    def delete_branch(self, branch: str) -> tuple[Operation, ...]:
        """Delete a branch. By its id it can be deleted once only: what is not answered is sent again."""
        try:
            return read(Operations, self._send("DELETE", f"/branches/{branch}") or {}).operations
        except MissingError:
            return ()

    def start_endpoint(self, endpoint: str) -> tuple[Operation, ...]:
        """Start a compute; raises UnansweredError where it may or may not have been."""
        return read(Operations, self._send("POST", f"/endpoints/{endpoint}/start")).operations

    def once(self, act: Callable[[], T], done: Callable[[], T | None]) -> T:
        """Do what must not be done twice.

        Args:
            act: sends the request; one that raises UnansweredError may or may not have been carried out.
            done: looks whether it was; returns what `act` would have, or None.

        Raises:
            UnansweredError: no answer came, several times, and nothing was done.
        """
        unanswered: UnansweredError | None = None
        for _ in range(_TRIES):
            try:
                return act()
            except UnansweredError as error:
                unanswered = error
            except PreconditionError:
                # The request that was not answered was carried out late, and this one is in its own way.
                if unanswered is None or (found := done()) is None:
                    raise
                return found
            self._sleep(1.0)
            if (found := done()) is not None:
                return found
        assert unanswered is not None  # noqa: S101 - the loop comes here through it alone
        raise unanswered

    def settle(self, operations: Iterable[Operation], *, within: float | None = None) -> None:
        """Return when operations are finished, within so many seconds, or by the deadline.

        Raises:
            PreconditionError: Neon gave one of them up.
            ConnectionFailedError: they were not finished in time.
        """
        latest = {operation.id: operation for operation in operations}
        seconds = self._deadline if within is None else min(within, self._deadline)

        def finished() -> bool:
            for operation in tuple(latest.values()):
                if operation.status not in _DONE | _GIVEN_UP:
                    answer = self._send("GET", f"/operations/{operation.id}")
                    latest[operation.id] = read(OneOperation, answer).operation
                _refuse_given_up(latest[operation.id])
            return all(operation.status in _DONE for operation in latest.values())

        self.wait(finished, lambda: _late(latest.values(), seconds), within=seconds)

    def wait(self, look: Callable[[], bool], late: Callable[[], EcmError], *, within: float) -> None:
        """Look again until it is so; what `late` returns is raised where it is not within so many seconds.

        A network that is away meanwhile changes nothing: what is waited for goes on without it.
        """

        def too_late(_: RetryCallState) -> bool:
            raise late()

        Retrying(
            retry=retry_if_result(lambda so: not so) | retry_if_exception_type(UnansweredError),
            wait=wait_exponential(multiplier=0.1, max=3.0),
            stop=stop_before_delay(within),
            sleep=self._sleep,
            retry_error_callback=too_late,
        )(look)

    # ------------------------------------------------------------ sending

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            return Retrying(
                retry=retry_if_exception_type(_AgainError),
                wait=_pause,
                stop=self._is_enough,
                sleep=self._sleep,
                reraise=True,
            )(self._send_once, method, self._project + path, query, body)
        except _AgainError as error:
            raise error.reason from None

    def _send_once(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Mapping[str, Any] | None
    ) -> Any:
        request_id = str(uuid4())
        try:
            answer = self._client.request(method, path, params=query, json=body, headers={"X-Request-ID": request_id})
        except httpx.TransportError as error:
            unanswered = self._unanswered(f"{method} {path}: {error or type(error).__name__}", request_id)
            # What was never sent cannot have been done, and reading or deleting twice does no harm.
            if method in _REPEATABLE or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                raise _AgainError(unanswered) from None
            raise unanswered from None
        status = answer.status_code
        if answer.is_success:
            return content(answer)
        refusal = _refusal(answer, request_id)
        if status in _PASSING or (method in _REPEATABLE and status in _UNCERTAIN):
            raise _AgainError(refusal, _retry_after(answer))
        raise refusal

    def _is_enough(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        in_vain = isinstance(error, _AgainError) and error.unanswered and state.attempt_number >= _CALLS
        return in_vain or stop_before_delay(self._patience)(state)

    def _unanswered(self, what: str, request_id: str) -> UnansweredError:
        return UnansweredError(
            f"Neon's API at {self._host} does not answer",
            details=(what, f"request id {request_id}"),
            hint=_LATER,
        )


def _pause(state: RetryCallState) -> float:
    """Wait as long as Neon says, and a moment more so that not all come back at once; else longer each time."""
    error = state.outcome.exception() if state.outcome else None
    jitter: float = wait_random_exponential(multiplier=0.25, max=10.0)(state)
    return error.after + min(jitter, 1.0) if isinstance(error, _AgainError) and error.after is not None else jitter


def _retry_after(answer: httpx.Response) -> float | None:
    """Return the seconds of a Retry-After header, which has them or a date (RFC 9110, 10.2.3)."""
    value = answer.headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _refusal(answer: httpx.Response, request_id: str) -> EcmError:
    """Return what Neon refused a request with, with its own id for the request."""
    try:
        told = Refused.model_validate_json(answer.content)
    except ValidationError:
        told = Refused()  # somebody on the way answered, with a page
    message = told.message or answer.reason_phrase or "no reason given"
    code = f" ({told.code})" if told.code else ""
    known_as = told.request_id or answer.headers.get("x-neon-ret-request-id") or request_id
    status = answer.status_code
    details = (
        f"{answer.request.method} {answer.url.path}: {status}{code}",
        f"Neon's request id {known_as}",
    )
    usual = (PreconditionError if answer.is_client_error else ConnectionFailedError), None
    kind, hint = (UnansweredError, _LATER) if status in _UNCERTAIN else _KINDS.get(status, usual)
    return kind(f"Neon says: {message}", details=details, hint=hint)


def _refuse_given_up(operation: Operation) -> None:
    if operation.status in _GIVEN_UP:
        raise PreconditionError(
            f"Neon did not carry out {operation.action}: {operation.error or operation.status}",
            details=(f"Neon's operation id {operation.id}, {operation.failures_count} failures",),
            hint="look at the project's operations in Neon's console",
        )


def _late(operations: Iterable[Operation], deadline: float) -> EcmError:
    waiting = [each for each in operations if each.status not in _DONE]
    return ConnectionFailedError(
        f"Neon has not finished after {deadline:.0f} s",
        details=tuple(
            f"{each.action} is {each.status}" + (f": {each.error}" if each.error else "") + f"; operation id {each.id}"
            for each in waiting
        ),
        hint="look at the project's operations in Neon's console, then run the same command again",
    )
