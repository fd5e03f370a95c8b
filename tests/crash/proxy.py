"""A proxy that cuts the connection between ecm and PostgreSQL at one message, before or after it arrives.

It understands as much of the protocol as it takes to see where a client's request ends: a simple
query ends itself, an extended one ends with Sync ("Message Flow", PostgreSQL manual, chapter 55).
"""

import selectors
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import quote, unquote, urlsplit

Cut = Literal["before", "after"] | None
"""Whether to cut before a request is forwarded, or after it and before its answer is."""


@dataclass(kw_only=True)
class _Pair:
    """A client's connection and the server's that belongs to it."""

    client: socket.socket
    server: socket.socket
    begun: bool = False
    """Whether the startup message has passed, which has no type."""
    queries: list[str] = field(default_factory=list[str])
    held: bytearray = field(default_factory=bytearray)


class Proxy:
    """A proxy in front of a server. A context manager.

    Args:
        url: the server's, over TCP.
        judge: called with the text of each request before it is forwarded; says whether to cut there.
    """

    def __init__(self, url: str, judge: Callable[[str], Cut]) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._judge = judge
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self.error: BaseException | None = None
        user = f"{parts.username}:{quote(unquote(parts.password or ''), safe='')}"
        port = self._listener.getsockname()[1]
        self.url = f"postgresql://{user}@127.0.0.1:{port}{parts.path}?sslmode=disable&gssencmode=disable"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # pyright: ignore[reportAttributeAccessIssue]
        self._selector.close()
        assert self.error is None, repr(self.error)

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                for key, _ in self._selector.select(0.05):
                    self._serve(key)
        except BaseException as error:  # noqa: BLE001 - told at the end
            self.error = error

    def _serve(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._listener:
            self._accept()
            return
        pair: _Pair = key.data
        source = pair.client if key.fileobj is pair.client else pair.server
        if source.fileno() < 0:
            return  # cut a moment ago
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._cut(pair)
        elif source is pair.server:
            self._send(pair, pair.client, data)
        else:
            pair.held += data
            self._forward(pair)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            server = socket.create_connection(self._server)
        except OSError:
            client.close()
            return
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = _Pair(client=client, server=server)
        for each in (client, server):
            self._selector.register(each, selectors.EVENT_READ, pair)

    def _forward(self, pair: _Pair) -> None:
        """Forward whole messages; judge each request at its end, and forward it in one piece or not at all."""
        end, start = 0, 0
        while (size := self._size(pair, end)) is not None:
            kind = bytes(pair.held[end : end + 1]) if pair.begun else b""
            body = bytes(pair.held[end + 5 : end + size])
            pair.begun, end = True, end + size
            if kind == b"Q":
                pair.queries.append(body.rstrip(b"\0").decode())
            elif kind == b"P":
                pair.queries.append(body.split(b"\0")[1].decode())
            if kind not in (b"Q", b"S", b"", b"p", b"X"):
                continue  # a part of an extended query, which goes on to its Sync
            text, pair.queries = "; ".join(pair.queries), []
            cut = self._judge(text) if kind in (b"Q", b"S") else None
            if cut != "before":
                self._send(pair, pair.server, bytes(pair.held[start:end]))
            if cut is not None:
                self._cut(pair, answered=cut == "after")
                return
            start = end
        del pair.held[:start]

    @staticmethod
    def _size(pair: _Pair, start: int) -> int | None:
        """The length of the message that begins there, if all of it has come."""
        head = 1 if pair.begun else 0
        if len(pair.held) < start + head + 4:
            return None
        (length,) = struct.unpack_from("!I", pair.held, start + head)
        return head + length if len(pair.held) >= start + head + length else None

    def _send(self, pair: _Pair, target: socket.socket, data: bytes) -> None:
        try:
            target.sendall(data)
        except OSError:
            self._cut(pair)

    def _cut(self, pair: _Pair, *, answered: bool = False) -> None:
        """End both connections; with `answered`, not before the server has done what it was asked last."""
        if pair.client.fileno() < 0:
            return
        for each in (pair.client, pair.server):
            self._selector.unregister(each)
        pair.client.close()
        if answered:
            pair.server.settimeout(30)
            # ReadyForQuery is the end of an answer: Z, its length of 5, the transaction's status.
            tail = b""
            while tail[-6:-1] != b"Z\x00\x00\x00\x05":
                read = pair.server.recv(65536)
                if not read:
                    break
                tail = (tail + read)[-64:]
        pair.server.close()
