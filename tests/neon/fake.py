"""A fake of Neon's API, over HTTP on the loopback; every message is held to Neon's own description."""

import base64
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from neon.description import PREFIX, Description
from neon.objects import ID, Branch, Operation, RefusalError, written
from neon.project import DATABASE, Project

KEY = "napi_k3y-of-the-t3sts-0123456789"

Answer = tuple[int, dict[str, Any] | None]


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with a request.

    Attributes:
        method: which requests.
        path: a pattern for their paths, after the project's.
        times: how many of them.
        status: the answer, instead of acting.
        headers: with that answer.
        cut: end the connection: `before` acting on the request, or `after` it.
    """

    method: str
    path: str
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: Literal["before", "after"] | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that came in."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any]
    acted: bool


class Fake:
    """A server for one project. A context manager.

    Args:
        project: what it serves.
        description: Neon's.
    """

    def __init__(self, project: Project, description: Description) -> None:
        self.project = project
        self.description = description
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.page = 100
        """How many branches a page has at most."""
        fake = self

        class Handler(_Handler):
            served = fake

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.host = f"http://127.0.0.1:{self._http.server_address[1]}{PREFIX}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)

    def fails(self, method: str, path: str, **how: Any) -> None:
        """Let the next requests of a kind go wrong."""
        self.faults.append(Fault(method=method, path=path, **how))

    def acted(self, method: str, path: str) -> list[Request]:
        """The requests of a kind that were carried out."""
        return [each for each in self.requests if each.method == method and re.search(path, each.path) and each.acted]

    def fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None

    # ------------------------------------------------------------ what it answers

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Answer:
        for verb, pattern, act in self._routes():
            if verb == method and (match := re.fullmatch(pattern, path)):
                if method != "GET" and self.project.busy:
                    raise RefusalError(423, "PROJECT_LOCKED", "project already has running conflicting operations")
                return act(*match.groups(), query=query, body=body)
        raise RefusalError(404, "NOT_FOUND", f"the fake has no {method} {path}")

    def _routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        name = "([a-z0-9-]+)"
        return [
            ("GET", "", self._project),
            ("GET", "/branches", self._list),
            ("POST", "/branches", self._create),
            ("GET", f"/branches/{name}", self._show),
            ("DELETE", f"/branches/{name}", self._delete),
            ("POST", f"/branches/{name}/restore", self._restore),
            ("GET", f"/branches/{name}/endpoints", self._branch_endpoints),
            ("GET", f"/branches/{name}/databases", self._databases),
            ("GET", f"/branches/{name}/roles", self._roles),
            ("GET", "/endpoints", self._endpoints),
            ("POST", f"/endpoints/{name}/start", self._start),
            ("GET", "/operations", self._operations),
            ("GET", f"/operations/{name}", self._operation),
            ("GET", "/connection_uri", self._uri),
        ]

    def _described(self, branch: Branch) -> dict[str, Any]:
        return branch.described(self.project.size(branch))

    def _list(self, *, query: dict[str, str], body: Any) -> Answer:
        wanted = query.get("search", "")
        found = [each for each in self.project.branches.values() if wanted in each.name or wanted in each.id]
        found.sort(
            key=lambda each: each.name if query.get("sort_by") == "name" else written(each.created_at),
            reverse=query.get("sort_order", "desc") == "desc",
        )
        start = int(base64.b64decode(query["cursor"])) if query.get("cursor") else 0
        until = start + min(int(query.get("limit", 10000)), self.page)
        page = found[start:until]
        following = base64.b64encode(str(until).encode()).decode() if len(page) == until - start else None
        return 200, {
            "branches": [self._described(each) for each in page],
            "annotations": {},
            "pagination": {"sort_by": "created_at", **({"next": following} if following else {})},
        }

    def _create(self, *, query: Any, body: dict[str, Any]) -> Answer:
        branch, operations = self.project.create(body.get("branch", {}), body.get("endpoints", []))
        computes = [each for each in self.project.endpoints.values() if each.branch == branch.id]
        return 201, {
            "branch": self._described(branch),
            "endpoints": [each.described() for each in computes],
            "operations": _all(operations),
            "roles": [self._role(branch)],
            "databases": [self._database(branch)],
        }

    def _show(self, known_as: str, **_: Any) -> Answer:
        branch = self.project.branch(known_as)
        moment = written(branch.created_at)
        annotation = {"object": {"type": "console/branch", "id": branch.id}, "value": {}, "created_at": moment}
        return 200, {"branch": self._described(branch), "annotation": annotation | {"updated_at": moment}}

    def _delete(self, known_as: str, **_: Any) -> Answer:
        if known_as not in self.project.branches:
            return 204, None
        branch = self.project.branches[known_as]
        described = self._described(branch)
        return 200, {"branch": described, "operations": _all(self.project.delete(branch))}

    def _restore(self, known_as: str, *, query: Any, body: dict[str, Any]) -> Answer:
        branch = self.project.branch(known_as)
        operations = self.project.restore(branch, body)
        return 200, {"branch": self._described(branch), "operations": _all(operations)}

    def _endpoints(self, **_: Any) -> Answer:
        return 200, {"endpoints": [each.described() for each in self.project.endpoints.values()]}

    def _branch_endpoints(self, known_as: str, **_: Any) -> Answer:
        branch = self.project.branch(known_as)
        found = [each.described() for each in self.project.endpoints.values() if each.branch == branch.id]
        return 200, {"endpoints": found}

    def _start(self, known_as: str, **_: Any) -> Answer:
        if known_as not in self.project.endpoints:
            raise RefusalError(404, "ENDPOINT_NOT_FOUND", "endpoint not found")
        endpoint = self.project.endpoints[known_as]
        operations = self.project.start(endpoint)
        return 200, {"endpoint": endpoint.described(), "operations": _all(operations)}

    def _operations(self, **_: Any) -> Answer:
        return 200, {"operations": _all(reversed(self.project.operations)), "pagination": {"cursor": "end"}}

    def _operation(self, known_as: str, **_: Any) -> Answer:
        for operation in self.project.operations:
            if operation.id == known_as:
                return 200, {"operation": operation.described()}
        raise RefusalError(404, "OPERATION_NOT_FOUND", "operation not found")

    def _uri(self, *, query: dict[str, str], body: Any) -> Answer:
        assert query.get("pooled") == "false", "a pooled URI was asked for"
        branch = self.project.branch(query["branch_id"])
        return 200, {"uri": self.project.uri(branch, query["role_name"])}

    def _databases(self, known_as: str, **_: Any) -> Answer:
        return 200, {"databases": [self._database(self.project.branch(known_as))]}

    def _roles(self, known_as: str, **_: Any) -> Answer:
        return 200, {"roles": [self._role(self.project.branch(known_as))]}

    def _database(self, branch: Branch) -> dict[str, Any]:
        moment = written(branch.created_at)
        owner = {"owner_name": self.project.role, "created_at": moment, "updated_at": moment}
        return {"id": 1, "branch_id": branch.id, "name": DATABASE, **owner}

    def _role(self, branch: Branch) -> dict[str, Any]:
        moment = written(branch.created_at)
        return {"branch_id": branch.id, "name": self.project.role, "created_at": moment, "updated_at": moment}

    def _project(self, **_: Any) -> Answer:
        raise RefusalError(404, "NOT_FOUND", "the fake does not describe its project")


def _all(operations: Any) -> list[dict[str, Any]]:
    return [each.described() for each in operations if isinstance(each, Operation)]


class _Handler(BaseHTTPRequestHandler):
    served: Fake
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Write nothing: what came in is in `requests`."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_DELETE = do_PATCH = do_PUT = do_GET  # noqa: N815

    def _serve(self) -> None:
        fake, target = self.served, urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = target.path.removeprefix(f"{PREFIX}/projects/{ID}")
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        with fake.project.lock:
            fake.project.tick()
            fault = fake.fault(self.command, path)
            status, value = self._answer(path, query, raw, fault)
            body = json.loads(raw or b"{}")
            acted = status < 300
            fake.requests.append(
                Request(method=self.command, path=path, query=query, body=body, acted=acted and status != 204)
            )
        if fault and fault.cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        content = b"" if value is None else json.dumps(value).encode()
        wrong = fake.description.wrong(self.command, self.path, dict(self.headers), raw, (status, content))
        if wrong and status != 204:
            fake.violations.append(f"answer to {wrong}")
        self.send_response(status)
        for name, text in (fault.headers if fault else {}).items():
            self.send_header(name, text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, path: str, query: dict[str, str], raw: bytes, fault: Fault | None) -> Answer:
        fake = self.served
        try:
            self._judge(raw, fault)
            if fault and fault.cut == "before":
                return 503, None
            return fake.answer(self.command, path, query, json.loads(raw or b"{}"))
        except RefusalError as refusal:
            known_as = self.headers.get("X-Request-ID") or str(uuid4())
            return refusal.status, {"request_id": known_as, "code": refusal.code, "message": str(refusal)}

    def _judge(self, raw: bytes, fault: Fault | None) -> None:
        """Refuse what Neon would, or what this request was to be refused with."""
        if wrong := self.served.description.wrong(self.command, self.path, dict(self.headers), raw):
            self.served.violations.append(f"request {wrong}")
            raise RefusalError(400, "BAD_REQUEST", wrong)
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            raise RefusalError(401, "", "supplied credentials do not pass authentication")
        if fault and fault.status:
            raise RefusalError(fault.status, "", "the fake was told to say so")
