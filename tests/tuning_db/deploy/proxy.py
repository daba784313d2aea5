"""A proxy on a real socket that passes bytes on until it cuts the wire: after so many of what a server sends."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Between a client and a server.

    Attributes:
        port: where it listens.
        sent: every byte that went to clients, in order.
        cut: after how many bytes to clients the wire is cut, once; None for never.
    """

    def __init__(self, upstream: int) -> None:
        self.sent, self.cut = bytearray(), None  # type: tuple[bytearray, int | None]
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def run(self) -> None:
        """Take one client after the other, until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Take no more clients."""
        self._listener.close()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._upstream)) as server, suppress(OSError):
            selector = selectors.DefaultSelector()
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                    if not data:
                        return
                    if key.fileobj is server and self.cut is not None and len(self.sent) + len(data) >= self.cut:
                        client.sendall(data[: self.cut - len(self.sent)])
                        self.cut = None
                        return
                    if key.fileobj is server:
                        self.sent += data
                    key.data.sendall(data)


@contextmanager
def proxy(upstream: int) -> Iterator[Proxy]:
    """A proxy before a server on a port of this machine."""
    made = Proxy(upstream)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.close()
