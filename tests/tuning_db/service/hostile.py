"""A server that answers whatever a test wants, byte by byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = bytes | Callable[[socket.socket], None]


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """An answer with a body of the length that it says."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@contextmanager
def hostile(*answers: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """Its URL, and the requests that it got; it gives one answer after the other, the last one for ever.

    An answer of no bytes is a connection that is closed without one.
    """
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection = listening.accept()[0]
                except OSError:
                    return
                with connection:
                    if not (request := whole_request(connection)):
                        return
                    answer = answers[min(len(got), len(answers) - 1)]
                    got.append(request)
                    try:
                        if isinstance(answer, bytes):
                            connection.sendall(answer)
                        else:
                            answer(connection)
                    except OSError:
                        continue  # the client has gone

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}", got
        finally:
            # A connection that asks nothing ends it.
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join(60)
    assert not thread.is_alive()


def whole_request(connection: socket.socket) -> bytes:
    """What a client sends, up to the end of its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (part := connection.recv(65536)):
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    size = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < size:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
