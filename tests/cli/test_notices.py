"""Notices tell a webhook what happens; whatever becomes of them, the phase goes through."""

import json
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cli.runs import PLAN, Project, said

HERE = ("--branch", "development")
KEY = "T0000000000/B1111111111/XnotToBeSeenXXXXXXXX"


@dataclass
class Hearer:
    """A webhook on this machine, that answers as it is told to."""

    manners: str = "ok"
    heard: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    url: str = ""
    enough: threading.Event = field(default_factory=threading.Event)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests += 1
        body = handler.rfile.read(int(handler.headers["content-length"]))
        if self.manners == "silent":
            self.enough.wait(60)
            return
        if self.manners == "drops" or (self.manners == "drops once" and self.requests == 1):
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            handler.connection.close()
            return
        answers = {"500": 500, "404": 404, "redirects": 302, "500 once": 500 if self.requests == 1 else 200}
        status = answers.get(self.manners, 200)
        if status == 200:
            self.heard.append(json.loads(body))
        handler.send_response(status)
        handler.send_header("location", "http://127.0.0.1:1/elsewhere")
        handler.send_header("content-length", "0")
        handler.end_headers()


@contextmanager
def listening(hearer: Hearer) -> Generator[Hearer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with suppress(OSError):
                hearer.answer(self)

        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    server.handle_error = lambda *_: None  # a connection that it dropped itself is no error here
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hearer.url = f"http://127.0.0.1:{server.server_address[1]}/services/{KEY}"
    try:
        yield hearer
    finally:
        hearer.enough.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def webhook() -> Generator[Hearer]:
    with listening(Hearer()) as hearer:
        yield hearer


@pytest.fixture
def told(project: Project) -> Project:
    """A project that tells a webhook."""
    config = project.root / "ecm.yaml"
    config.write_text(config.read_text() + "notices: {webhook_env: ECM_WEBHOOK_URL, timeout: 1s}\n")
    return project


def test_moves_refusals_and_failures_are_told(told: Project, webhook: Hearer) -> None:
    """Each transition there and back, a refusal, and a phase that stopped; a dry run tells nothing."""

    def ecm(*arguments: str, **options: Any) -> int:
        return told.ecm(*arguments, ECM_WEBHOOK_URL=webhook.url, **options).code

    assert ecm("advance", PLAN, *HERE, "--dry-run") == 0
    assert ecm("advance", PLAN, "--branch", "production", "--yes", "--dry-run") == 4
    assert webhook.requests == 0

    assert ecm("advance", PLAN, *HERE, "--to", "backfilled") == 0
    assert ecm("rollback", PLAN, *HERE) == 0
    assert ecm("advance", PLAN, "--branch", "production", "--yes") == 4
    # Told at the same time, and so in any order.
    heard = sorted(webhook.heard, key=lambda notice: notice["at"])
    about = {"format_version": 1, "project": "bookstore", "plan": PLAN, "actor": "tester"}
    assert all(about.items() <= notice.items() for notice in heard)
    assert [(n["event"], n["branch"], n["phase"], n["direction"], n["state"]) for n in heard] == [
        ("transition", "development", "expand", "forward", "expanded"),
        ("transition", "development", "backfill", "forward", "backfilled"),
        ("transition", "development", "backfill", "back", "planned"),
        ("refused", "production", "expand", "forward", "planned"),
    ]
    assert heard[0]["text"] == f"bookstore: {PLAN} on development: planned → expanded, by tester"
    assert heard[2]["text"] == f"bookstore: {PLAN} on development: backfilled → planned, rolled back, by tester"
    assert "development has completed 0 of 4 phases of the plan" in heard[3]["text"]
    assert heard[3]["hint"] == f"ecm advance {PLAN} --branch development"

    webhook.heard.clear()
    with _locked(told):
        assert ecm("advance", PLAN, *HERE, attempts=1) == 5
    (stopped,) = webhook.heard
    assert (stopped["event"], stopped["phase"], stopped["code"]) == ("failed", "expand", "lock_timeout")
    assert "stopped in expand: books could not be locked" in stopped["text"]


def test_a_refusal_half_way_is_told_of_where_it_was(told: Project, webhook: Hearer) -> None:
    """A command that completed a phase and was refused the next tells of the state in between, as the ledger does."""
    file = told.root / "plans" / f"{PLAN}.yaml"
    file.write_text(file.read_text() + "backfill: {hooks: {before: [{run: ./missing}]}}\n")
    assert told.ecm("advance", PLAN, *HERE, "--to", "reads_migrated", ECM_WEBHOOK_URL=webhook.url).code == 4
    (refused,) = (notice for notice in webhook.heard if notice["event"] == "refused")
    assert (refused["phase"], refused["state"]) == ("backfill", "expanded")
    recorded = told.ecm("history", PLAN, "--json").json["entries"][-1]
    assert (recorded["kind"], recorded["data"]["state"]) == ("refused", "expanded")


@contextmanager
def _locked(project: Project) -> Generator[None]:
    import psycopg

    with psycopg.connect(project.urls["development"]) as connection:
        connection.execute("SELECT FROM books LIMIT 1")
        yield


@pytest.mark.parametrize(
    ("manners", "requests", "why"),
    [
        ("ok", 1, None),
        ("500 once", 2, None),
        ("drops once", 2, None),
        ("silent", 1, "no answer within 1 s"),
        ("500", 2, "the webhook answered 500"),
        ("404", 1, "the webhook answered 404"),
        ("drops", 2, "the connection to the webhook broke"),
        ("redirects", 1, "the webhook answered 302, and a redirect is not followed"),
        ("nobody there", 0, "the webhook could not be reached"),
        ("no URL", 0, "its URL is not one of http or https"),
    ],
)
def test_delivery_never_stops_a_phase(
    told: Project, webhook: Hearer, manners: str, requests: int, why: str | None
) -> None:
    """Slow, refusing or gone: the phase goes through, stderr says what did not arrive, and the URL is nowhere."""
    webhook.manners = manners
    url = {"nobody there": f"http://127.0.0.1:1/services/{KEY}", "no URL": f"ftp://127.0.0.1/{KEY}"}.get(
        manners, webhook.url
    )

    done = told.ecm("advance", PLAN, *HERE, "--json", ECM_WEBHOOK_URL=url)

    assert done.code == 0
    assert done.json["state"] == "expanded"
    assert webhook.requests == requests
    if why is None:
        assert len(webhook.heard) == 1
        assert "not delivered" not in done.err
    else:
        assert f"a notice was not delivered: {why}" in said(done.err)
    everything = done.out + done.err + told.ecm("history", "--json", ECM_WEBHOOK_URL=url).out
    assert not any(piece in everything for piece in KEY.split("/"))


def test_the_url_is_kept_secret(told: Project, webhook: Hearer, caplog: pytest.LogCaptureFixture) -> None:
    """What a hook prints of it is struck out, and so is it from the logs of whoever turns logging on."""
    import logging

    from orchestrator.notices import Notices

    plan = told.root / "plans" / f"{PLAN}.yaml"
    plan.write_text(plan.read_text() + "expand: {hooks: {before: [{run: [printenv]}]}}\n")
    assert told.ecm("advance", PLAN, *HERE, ECM_WEBHOOK_URL=webhook.url).code == 0
    history = told.ecm("history", "--json").out
    assert "ECM_WEBHOOK_URL=***" in history
    assert not any(piece in history for piece in KEY.split("/"))

    notices = Notices(webhook.url, timeout=5, observer=print)
    with caplog.at_level(logging.DEBUG), notices.delivered():
        notices.send("transition", "<b> & more", {"plan": "p"})
    assert webhook.heard[-1]["text"] == "&lt;b&gt; &amp; more"
    assert not any(piece in caplog.text for piece in KEY.split("/"))


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("", 0, "ECM_WEBHOOK_URL is not set here, so nobody is told of anything"),
        ("https://example.org/hook", 0, "ECM_WEBHOOK_URL is told of what happens"),
        ("example.org/hook", 1, "ECM_WEBHOOK_URL cannot be used: its URL is not one of http or https"),
    ],
)
def test_doctor_looks_at_the_webhook(told: Project, url: str, code: int, says: str) -> None:
    """It sends nothing; a URL that cannot be one is a finding."""
    found = told.ecm("doctor", "--branch", "development", ECM_WEBHOOK_URL=url)

    assert (found.code, says in said(found.out)) == (code, True), found.out
