"""A Neon project whose branches are databases on a server of the tests."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import count
from threading import RLock
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import psycopg
from neon.objects import Branch, Endpoint, Operation, RefusalError, now
from neon.relay import Relay
from psycopg import sql
from servers import Server

DATABASE = "neondb"

_numbers = count(1)


class Project:
    """A project with one branch, the default one.

    Args:
        server: holds the databases.
        default: the name of the branch that is there from the beginning.
    """

    def __init__(self, server: Server, default: str = "production") -> None:
        self.server = server
        self.lock = RLock()
        self.branches: dict[str, Branch] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.operations: list[Operation] = []
        self.course: list[str] = ["finished"]
        """The states that each new operation goes through, after `running`."""
        self._made: list[str] = []
        self._address = urlsplit(server.url("postgres"))
        root = self._new_branch(default, None)
        root.default = True
        self._create_database(root.database, None)
        self._new_endpoint(root).finish()
        self.operations.clear()

    def close(self) -> None:
        for endpoint in self.endpoints.values():
            endpoint.relay.close()
        for name in self._made:
            self.server.drop_database(name)

    # ------------------------------------------------------------ for tests

    def named(self, name: str) -> Branch:
        return next(each for each in self.branches.values() if each.name == name)

    def url(self, name: str) -> str:
        """A branch's database, past its compute."""
        return self.server.url(self.named(name).database)

    def compute(self, name: str) -> Endpoint:
        return next(each for each in self.endpoints.values() if each.branch == self.named(name).id)

    def suspend(self, name: str) -> None:
        """Do what Neon does after five idle minutes, or at will."""
        with self.lock:
            compute = self.compute(name)
            compute.relay.close()
            compute.state, compute.pending = "idle", None

    def move(self, name: str) -> None:
        """Start the compute again somewhere else."""
        with self.lock:
            compute = self.compute(name)
            compute.relay.close()
            compute.relay = self._relay()
            compute.relay.open()
            compute.started_at = now()

    def remember(self, name: str) -> None:
        """Keep what a branch is now, so that it can be restored to this moment."""
        branch = self.named(name)
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            time_, lsn = connection.execute(  # pyright: ignore[reportGeneralTypeIssues]
                "SELECT clock_timestamp(), pg_current_wal_flush_lsn() - '0/0'::pg_lsn"
            ).fetchone()
        kept = f"kept_{next(_numbers)}"
        self._create_database(kept, branch.database)
        branch.history.append((time_, int(lsn), kept))

    # ------------------------------------------------------------ what requests do

    def tick(self) -> None:
        """Bring every operation a step on: time goes by with requests."""
        for operation in self.operations:
            operation.step()

    @property
    def busy(self) -> bool:
        return any(not operation.over for operation in self.operations)

    def branch(self, known_as: str) -> Branch:
        if known_as not in self.branches:
            raise RefusalError(404, "BRANCH_NOT_FOUND", "branch not found")
        return self.branches[known_as]

    def create(self, wanted: dict[str, Any], endpoints: list[dict[str, Any]]) -> tuple[Branch, list[Operation]]:
        name = wanted.get("name") or f"br-{next(_numbers)}"
        if any(each.name == name for each in self.branches.values()):
            raise RefusalError(409, "BRANCH_ALREADY_EXISTS", f"branch {name} already exists")
        default = next(each for each in self.branches.values() if each.default)
        parent = self.branch(wanted.get("parent_id") or default.id)
        source = self._as_it_was(parent, wanted.get("parent_lsn"), wanted.get("parent_timestamp"))
        branch = self._new_branch(name, parent)
        branch.expires_at = wanted.get("expires_at")
        branch.protected = wanted.get("protected", False)
        self._create_database(branch.database, source)
        if wanted.get("init_source") == "schema-only":
            branch.parent, branch.lsn, branch.schema_only = None, None, True
            self._empty(branch.database)
        made = [self._operation("create_branch", branch)]
        for each in endpoints:
            limits = each.get("autoscaling_limit_min_cu", 0.25), each.get("autoscaling_limit_max_cu", 2)
            made.append(self._new_endpoint(branch, limits))
        return branch, made

    def restore(self, branch: Branch, wanted: dict[str, Any]) -> list[Operation]:
        source = self.branch(wanted["source_branch_id"])
        lsn, moment = wanted.get("source_lsn"), wanted.get("source_timestamp")
        keep = wanted.get("preserve_under_name")
        children = [each for each in self.branches.values() if each.parent == branch.id]
        if branch.protected and source is not branch:
            raise RefusalError(422, "BRANCH_PROTECTED", "a protected branch cannot be reset")
        if source is branch and not (lsn or moment):
            raise RefusalError(400, "BAD_REQUEST", "source_lsn or source_timestamp is required")
        if (children or source is branch) and not keep:
            raise RefusalError(400, "BAD_REQUEST", "preserve_under_name is required")
        was = self._as_it_was(source, lsn, moment)
        copy = f"copy_{next(_numbers)}"
        self._create_database(copy, was)
        if keep:
            self._preserve(branch, keep, children, from_itself=source is branch)
        else:
            self.server.drop_database(branch.database)
        self._rename(copy, branch.database)
        branch.reset_at, branch.lsn, branch.state = now(), self._lsn(), "resetting"
        operation = self._operation("create_branch", branch)
        operation.finish = lambda: setattr(branch, "state", "ready")
        return [operation]

    def _preserve(self, branch: Branch, name: str, children: Iterable[Branch], *, from_itself: bool) -> None:
        kept = self._new_branch(name, None)
        kept.parent, kept.default = branch.parent, False
        self._rename(branch.database, kept.database)
        kept.history, branch.history = branch.history, []
        for child in children:
            child.parent = kept.id
        if from_itself:
            branch.parent = kept.id

    def delete(self, branch: Branch) -> list[Operation]:
        if branch.protected or branch.default:
            raise RefusalError(422, "BRANCH_PROTECTED", "the branch is protected, or the project's default")
        if any(each.parent == branch.id for each in self.branches.values()):
            raise RefusalError(422, "BRANCH_HAS_CHILDREN", "the branch has children")
        for endpoint in [each for each in self.endpoints.values() if each.branch == branch.id]:
            endpoint.relay.close()
            del self.endpoints[endpoint.id]
        del self.branches[branch.id]
        self.server.drop_database(branch.database)
        return [self._operation("delete_timeline", branch)]

    def start(self, endpoint: Endpoint) -> list[Operation]:
        if endpoint.state == "active":
            return []
        endpoint.pending = "active"
        return [self._starting(endpoint)]

    def uri(self, branch: Branch, role: str) -> str:
        compute = next((each for each in self.endpoints.values() if each.branch == branch.id), None)
        if compute is None:
            raise RefusalError(404, "ENDPOINT_NOT_FOUND", "the branch has no read-write endpoint")
        password = quote(unquote(self._address.password or ""), safe="")
        return f"postgresql://{role}:{password}@127.0.0.1:{compute.relay.port}/{branch.database}"

    @property
    def role(self) -> str:
        return unquote(self._address.username or "postgres")

    def size(self, branch: Branch) -> int:
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            row = connection.execute("SELECT pg_database_size(%s)", [branch.database]).fetchone()
        return row[0] if row else 0

    # ------------------------------------------------------------ how

    def _new_branch(self, name: str, parent: Branch | None) -> Branch:
        number = next(_numbers)
        branch = Branch(
            id=f"br-calm-leaf-{number:08}",
            name=name,
            database=f"neon_{number}",
            parent=parent.id if parent else None,
            lsn=self._lsn() if parent else None,
        )
        self.branches[branch.id] = branch
        return branch

    def _new_endpoint(self, branch: Branch, limits: tuple[float, float] = (0.25, 2)) -> Operation:
        endpoint = Endpoint(id=f"ep-dry-hill-{next(_numbers):08}", branch=branch.id, relay=self._relay(), limits=limits)
        self.endpoints[endpoint.id] = endpoint
        return self._starting(endpoint)

    def _starting(self, endpoint: Endpoint) -> Operation:
        def started() -> None:
            endpoint.relay.open()
            endpoint.state, endpoint.pending, endpoint.started_at = "active", None, now()

        operation = self._operation("start_compute", self.branches[endpoint.branch], endpoint.id)
        operation.finish = started
        return operation

    def _operation(self, action: str, branch: Branch, endpoint: str | None = None) -> Operation:
        operation = Operation(action=action, branch=branch.id, endpoint=endpoint, then=list(self.course))
        self.operations.append(operation)
        return operation

    def _relay(self) -> Relay:
        return Relay(self._address.hostname or "127.0.0.1", self._address.port or 5432)

    def _as_it_was(self, branch: Branch, lsn: str | None, moment: str | None) -> str:
        if not (lsn or moment):
            return branch.database
        high, _, low = (lsn or "0/0").partition("/")
        place = (int(high, 16) << 32) + int(low, 16)
        for then, where, kept in reversed(branch.history):
            if (where <= place) if lsn else (then <= datetime.fromisoformat(str(moment))):
                return kept
        raise RefusalError(400, "BAD_REQUEST", "that moment is outside the history that is kept")

    def _lsn(self) -> str:
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        return row[0] if row else "0/0"

    def _create_database(self, name: str, source: str | None) -> None:
        self._made.append(name)
        self._quietly(source, lambda: self.server.create_database(name, source))

    def _rename(self, name: str, new: str) -> None:
        def rename() -> None:
            with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
                statement = sql.SQL("ALTER DATABASE {} RENAME TO {}")
                connection.execute(statement.format(sql.Identifier(name), sql.Identifier(new)))

        self._made.append(new)
        self._quietly(name, rename)

    def _quietly(self, database: str | None, act: Callable[[], None]) -> None:
        """Do what PostgreSQL does only where nobody is connected; Neon copies under its users' feet."""
        until = time.monotonic() + 30
        while True:
            with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database or ""]
                )
            try:
                return act()
            except psycopg.errors.ObjectInUse:
                assert time.monotonic() < until, f"{database} is never left alone"

    def _empty(self, database: str) -> None:
        with psycopg.connect(self.server.url(database), autocommit=True) as connection:
            tables = connection.execute(
                "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
                " WHERE relkind IN ('r', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            if tables:
                names = sql.SQL(", ").join(sql.SQL(name) for (name,) in tables)  # as PostgreSQL quoted them
                connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(names))
