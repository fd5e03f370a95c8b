"""A compute as connections see it: a port that leads to PostgreSQL while it is open."""

import socket
import threading
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
        self.passed = 0
        """Bytes that clients have sent since it was last opened."""
        self._reached = threading.Condition(self._lock)
        self.port = 0

    def open(self) -> None:
        """Let connections in, at the port that it had before."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
            self.passed = 0
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

    def wait_for(self, amount: int) -> None:
        """Return when clients have sent so many bytes since it was opened."""
        with self._reached:
            assert self._reached.wait_for(lambda: self.passed >= amount, 60), f"only {self.passed} bytes came"

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
            for source, target, counted in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass, args=(source, target, counted), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if counted:
                    with self._reached:
                        self.passed += len(data)
                        self._reached.notify_all()
                target.sendall(data)
        for each in (source, target):
            _end(each)
        with self._lock:
            self._open -= {source, target}


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
