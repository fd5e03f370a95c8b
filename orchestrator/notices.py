"""Deliver notices to a webhook: in the background, within a time limit, and never at the expense of what they tell of.

What is sent is JSON with a line of `text`, which is what Slack and those that imitate it show. The webhook's URL is a
key to its channel, so it is in no text that leaves here.
"""

import html
import json
import logging
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from orchestrator.events import Observer, Undelivered
from orchestrator.redaction import redact

FORMAT_VERSION = 1
_LONGEST = 600
"""Characters of the line that a channel shows."""
_THREAD = "ecm notice"
_AGAIN_AFTER = 0.3
"""Seconds between the two tries of a delivery."""
_TOO_MANY, _SERVER_ERROR, _MULTIPLE_CHOICES, _BAD_REQUEST = 429, 500, 300, 400


@dataclass(frozen=True, kw_only=True)
class _Delivery:
    """A notice on its way; `outcome` holds why it did not arrive, or "" where it did, as soon as that is known."""

    what: str
    thread: Thread
    outcome: list[str]


class Notices:
    """Sends notices to a project's webhook; does nothing where there is none.

    Args:
        url: the webhook; None where there is none.
        timeout: seconds that a delivery may take, and for which the end of a command waits for those under way.
        observer: told of those that did not arrive.
        secrets: what is struck from every text.
        post: delivers; returns why it could not, or "".
    """

    def __init__(
        self,
        url: str | None,
        *,
        timeout: float,
        observer: Observer,
        secrets: Iterable[str] = (),
        post: "Callable[[str, bytes, float], str] | None" = None,
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._observer = observer
        self._secrets = secrets
        self._post = post or _post
        self._under_way: list[_Delivery] = []

    @property
    def wanted(self) -> bool:
        """Whether there is anybody to tell."""
        return self._url is not None

    def send(self, event: str, text: str, values: Mapping[str, Any]) -> None:
        """Begin to deliver a notice; returns at once.

        Args:
            event: its kind, for programs.
            text: one line, for people.
            values: what else programs want to know; JSON values.
        """
        if self._url is None:
            return
        line = redact(" ".join(text.split()), self._secrets)
        line = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
        # Slack takes these three for its own markup.
        shown = html.escape(line, quote=False)
        notice = {"text": shown, "format_version": FORMAT_VERSION, "id": str(uuid4()), "event": event, **values}
        body = json.dumps(_scrubbed(notice, self._secrets)).encode()
        url, outcome = self._url, list[str]()
        thread = Thread(target=lambda: outcome.append(self._post(url, body, self._timeout)), name=_THREAD, daemon=True)
        self._under_way.append(_Delivery(what=line, thread=thread, outcome=outcome))
        try:
            thread.start()
        except RuntimeError:  # the machine has no room for one more; that stops nobody's phase
            outcome.append("it could not be sent from this machine")

    @contextmanager
    def delivered(self) -> Generator[None]:
        """Wait at the end of the block, for a limited time, for what was sent in it; tell what did not arrive."""
        try:
            yield
        finally:
            # Whoever is tired of waiting has the report of what was done all the same.
            with suppress(KeyboardInterrupt):
                self._settle()
            under_way, self._under_way = self._under_way, []
            for each in under_way:
                why = each.outcome[0] if each.outcome else f"no answer within {self._timeout:g} s"
                if why:
                    self._observer(Undelivered(notice=each.what, why=why))

    def _settle(self) -> None:
        until = time.monotonic() + self._timeout
        for each in (each for each in self._under_way if not each.outcome):
            each.thread.join(max(0.0, until - time.monotonic()))


def fault(url: str) -> str:
    """Return what is wrong with a webhook's URL, without showing it; empty where nothing is."""
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    return "" if usable else "its URL is not one of http or https"


def _scrubbed(value: Any, secrets: Iterable[str]) -> Any:
    match value:
        case str():
            return redact(value, secrets)
        case dict():
            return {key: _scrubbed(item, secrets) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list() | tuple():
            return [_scrubbed(item, secrets) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


def _post(url: str, body: bytes, timeout: float) -> str:
    """Deliver a notice, with a second try after what may pass; return why it could not be, or an empty text."""
    if wrong := fault(url):
        return wrong
    why = ""
    try:
        import httpx

        _keep_out_of_logs()
        with httpx.Client(timeout=timeout, follow_redirects=False) as client:
            for attempt in range(2):
                if attempt:
                    time.sleep(_AGAIN_AFTER)
                try:
                    headers = {"content-type": "application/json"}
                    # What it answers is not read: it says nothing to us, and may have no end.
                    with client.stream("POST", url.strip(), content=body, headers=headers) as response:
                        status = response.status_code
                except httpx.TimeoutException:
                    return f"no answer within {timeout:g} s"
                except httpx.TransportError as error:
                    why = _broken(error)
                    continue
                why = _refused(status)
                if status != _TOO_MANY and status < _SERVER_ERROR:
                    return why
    except Exception as error:  # noqa: BLE001 - whatever it is, the phase is done; its text may hold the URL
        return f"it cannot be sent ({type(error).__name__})"
    return why


def _refused(status: int) -> str:
    if status < _MULTIPLE_CHOICES:
        return ""
    if status < _BAD_REQUEST:
        return f"the webhook answered {status}, and a redirect is not followed"
    return f"the webhook answered {status}"


def _broken(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.ConnectError):
        return "the webhook could not be reached"
    return f"the connection to the webhook broke ({type(error).__name__})"


class _NotOurs(logging.Filter):
    """Lets pass what is not said in a thread that delivers a notice."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        return record.threadName != _THREAD


_NOT_OURS = _NotOurs()


def _keep_out_of_logs() -> None:
    """Have httpx say nothing of our requests: it logs the URL of each, for whoever has logging turned on."""
    for name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy"):
        logging.getLogger(name).addFilter(_NOT_OURS)  # the same filter is added once only
