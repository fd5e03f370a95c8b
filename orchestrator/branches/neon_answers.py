"""What Neon's API v2 answers, as values: as much of it as is looked at.

States are strings here, because what Neon adds to an enum later must be let through.
"""

from typing import Any, TypeVar

import httpx
from pydantic import AwareDatetime, BaseModel, ConfigDict, SecretStr, ValidationError

from orchestrator.errors import ConnectionFailedError


class Answer(BaseModel):
    """An answer, or a part of one; what is not looked at is not read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Restriction(Answer):
    """What cannot be done with a branch now, and why."""

    name: str
    reason: str = ""


class Branch(Answer):
    """A branch as Neon describes it."""

    id: str
    name: str
    parent_id: str | None = None
    parent_lsn: str | None = None
    parent_timestamp: AwareDatetime | None = None
    current_state: str = "ready"
    created_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    last_reset_at: AwareDatetime | None = None
    logical_size: int | None = None
    protected: bool = False
    default: bool = False
    restricted_actions: tuple[Restriction, ...] = ()


class Endpoint(Answer):
    """A compute: what a branch is connected to by."""

    id: str
    branch_id: str
    host: str
    type: str
    current_state: str
    pending_state: str | None = None
    disabled: bool = False
    started_at: AwareDatetime | None = None


class Operation(Answer):
    """Something that Neon does for a request, after it was answered."""

    id: str
    action: str = "operation"
    status: str
    branch_id: str | None = None
    error: str | None = None
    failures_count: int = 0


class Database(Answer):
    """A database of a branch."""

    name: str
    owner_name: str


class Refused(Answer):
    """Why a request was refused."""

    message: str = ""
    code: str = ""
    request_id: str = ""


class Page(Answer):
    """Where a list goes on."""

    next: str | None = None


class Branches(Answer):
    """A page of branches."""

    branches: tuple[Branch, ...]
    pagination: Page = Page()


class Endpoints(Answer):
    """Computes."""

    endpoints: tuple[Endpoint, ...]


class Databases(Answer):
    """Databases."""

    databases: tuple[Database, ...]


class Operations(Answer):
    """Operations."""

    operations: tuple[Operation, ...] = ()


class OneOperation(Answer):
    """An operation."""

    operation: Operation


class ConnectionUri(Answer):
    """A connection string."""

    uri: SecretStr


class Changed(Answer):
    """A branch after a request to change it, and what Neon still does for it."""

    branch: Branch
    operations: tuple[Operation, ...] = ()


A = TypeVar("A", bound=Answer)


def content(answer: httpx.Response) -> Any:
    """Return what an answer holds; None where it holds nothing."""
    try:
        return answer.json() if answer.content else None
    except ValueError:
        raise _unreadable(f"{answer.request.method} {answer.url.path} gave no JSON") from None


def read(model: type[A], value: Any) -> A:
    """Return an answer as a value.

    Raises:
        ConnectionFailedError: it lacks what the API's description provides for.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # The input is not shown: it may be a URI with its password.
        places = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False))
        raise _unreadable(*places) from None


def _unreadable(*why: str) -> ConnectionFailedError:
    return ConnectionFailedError(
        "Neon's API gave an answer that its description does not provide for", details=why[:5], hint="update ecm"
    )
