"""Somebody between a client and a service: a server that passes on what it is asked for, or something else instead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.tuning_db.service.running import Service, call


@dataclass
class Mirror:
    """What somebody in between does.

    Attributes:
        port: where to ask it.
        instead: by the end of a path, what is answered in place of what the service answers, given that.
        seen: what the service answered, by path.
        endless: ends of paths for which the answer never ends.
    """

    port: int = 0
    instead: dict[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    seen: dict[str, bytes] = field(default_factory=dict)
    endless: set[str] = field(default_factory=set)

    def last(self, end: str) -> bytes:
        """What the service answered last to a path that ends so."""
        return next(body for path, body in reversed(self.seen.items()) if path.endswith(end))


@contextmanager
def mirrored(service: Service) -> Iterator[Mirror]:
    """Somebody in between for as long as the block lasts; they know what everybody knows."""
    mirror = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = call(service.port, "GET", self.path)
            body = answer.body
            if answer.status == 200:
                mirror.seen.pop(self.path, None)
                mirror.seen[self.path] = body
            status = answer.status
            for end, change in mirror.instead.items():
                if self.path.endswith(end):
                    status, body = 200, change(body)
            endless = any(self.path.endswith(end) for end in mirror.endless)
            self.send_response(200 if endless else status)
            if endless:
                self.end_headers()
                try:
                    while True:
                        self.wfile.write(bytes(1 << 16))
                except OSError:
                    return
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is written down."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        mirror.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield mirror
        finally:
            server.shutdown()
            thread.join()
