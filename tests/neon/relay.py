"""A compute as connections see it: a port that leads to PostgreSQL while it is open."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress


class Relay:
    """Passes bytes between a port of its own and a server.

    Args:
        host: the server's.
        port: the server's.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.port = 0
        self._watched: tuple[bytes, int, Callable[[], None]] | None = None

    def open(self) -> None:
        """Let connections in, at the port that it had before."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """End all connections and let none in."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            listener.close()
        with self._lock:
            ended, self._open = self._open, set()
        for each in ended:
            _end(each)

    def when(self, text: bytes, times: int, act: Callable[[], None]) -> None:
        """Do something when clients have sent a text so many times, before the last of them arrives."""
        self._watched = (text, times, act)

    def _look(self, data: bytes) -> None:
        with self._lock:
            if self._watched is None or self._watched[0] not in data:
                return
            text, times, act = self._watched
            self._watched = (text, times - 1, act) if times > 1 else None
        if times == 1:
            act()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            with self._lock:
                late = self._listener is not listener
                if not late:
                    self._open |= {client, server}
            if late:
                _end(client)
                _end(server)
                continue
            for source, target, watched in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass, args=(source, target, watched), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, watched: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if watched:
                    self._look(data)
                target.sendall(data)
        for each in (source, target):
            _end(each)
        with self._lock:
            self._open -= {source, target}


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
