"""What a fake Neon project is made of, as Neon describes it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from neon.relay import Relay

ID = "quiet-moon-12345678"


class RefusalError(Exception):
    """What Neon answers instead: a status, a code and a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def now() -> datetime:
    return datetime.now(UTC)


def written(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(kw_only=True)
class Operation:
    """What is done after the answer. Every request that comes in brings it a step on.

    Attributes:
        action: as Neon calls it.
        then: the states that it goes through, the last of them for good.
        finish: called when it is finished.
    """

    action: str
    branch: str
    endpoint: str | None
    then: list[str]
    finish: Callable[[], None] = lambda: None
    status: str = "running"
    failures: int = 0
    id: str = field(default_factory=lambda: str(uuid4()))
    created_at: datetime = field(default_factory=now)

    def step(self) -> None:
        if not self.then:
            return
        self.status = self.then.pop(0)
        if self.status == "failed":
            self.failures += 1
        if self.status == "finished":
            self.finish()

    @property
    def over(self) -> bool:
        return not self.then

    def described(self) -> dict[str, Any]:
        value = {
            "id": self.id,
            "project_id": ID,
            "branch_id": self.branch,
            "action": self.action,
            "status": self.status,
            "failures_count": self.failures,
            "created_at": written(self.created_at),
            "updated_at": written(now()),
            "total_duration_ms": 1,
        }
        if self.endpoint:
            value["endpoint_id"] = self.endpoint
        if self.status in ("failed", "error"):
            value |= {"error": "the compute did not come up", "retry_at": written(now())}
        return value


@dataclass(kw_only=True)
class Endpoint:
    """A compute."""

    id: str
    branch: str
    relay: Relay
    limits: tuple[float, float] = (0.25, 2)
    state: str = "init"
    pending: str | None = "active"
    started_at: datetime | None = None
    disabled: bool = False

    def described(self) -> dict[str, Any]:
        value = {
            "host": "127.0.0.1",
            "id": self.id,
            "project_id": ID,
            "branch_id": self.branch,
            "region_id": "aws-eu-central-1",
            "autoscaling_limit_min_cu": self.limits[0],
            "autoscaling_limit_max_cu": self.limits[1],
            "type": "read_write",
            "current_state": self.state,
            "pooler_enabled": False,
            "pooler_mode": "transaction",
            "disabled": self.disabled,
            "passwordless_access": True,
            "creation_source": "console",
            "created_at": written(now()),
            "updated_at": written(now()),
            "settings": {"pg_settings": {}},
            "proxy_host": "127.0.0.1",
            "suspend_timeout_seconds": 0,
            "provisioner": "k8s-neonvm",
        }
        if self.pending:
            value["pending_state"] = self.pending
        if self.started_at:
            value["started_at"] = written(self.started_at)
        return value


@dataclass(kw_only=True)
class Branch:
    """A branch; its database has one name as long as it lives."""

    id: str
    name: str
    database: str
    parent: str | None = None
    lsn: str | None = None
    protected: bool = False
    default: bool = False
    state: str = "ready"
    schema_only: bool = False
    expires_at: str | None = None
    reset_at: datetime | None = None
    restricted: list[dict[str, str]] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)
    history: list[tuple[datetime, int, str]] = field(default_factory=list)
    """What is kept of it: when, where in the WAL, and the database that holds it."""

    def described(self, size: int) -> dict[str, Any]:
        value = {
            "id": self.id,
            "project_id": ID,
            "name": self.name,
            "current_state": self.state,
            "state_changed_at": written(self.created_at),
            "logical_size": size,
            "creation_source": "console",
            "created_at": written(self.created_at),
            "updated_at": written(now()),
            "default": self.default,
            "protected": self.protected,
            "init_source": "schema-only" if self.schema_only else "parent-data",
            "cpu_used_sec": 0,
            "active_time_seconds": 0,
            "compute_time_seconds": 0,
            "written_data_bytes": 0,
            "data_transfer_bytes": 0,
        }
        optional = {
            "parent_id": self.parent,
            "parent_lsn": self.lsn,
            "expires_at": self.expires_at,
            "last_reset_at": written(self.reset_at) if self.reset_at else None,
            "restricted_actions": self.restricted or None,
        }
        return value | {key: each for key, each in optional.items() if each is not None}
