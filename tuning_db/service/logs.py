"""What a service writes down of each request, and the headers that every answer has.

A line is JSON and has the route as it is documented, not the path or the query: nothing that a client sends is in it,
so no token, name or id can be.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
import traceback
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
LOGGER = logging.getLogger("headstart.service")


def say(event: str, **fields: Any) -> None:
    """Write a line."""
    LOGGER.info(event, extra={"fields": fields})


class JsonLines(logging.Formatter):
    """Log records as JSON, one a line, whoever wrote them."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line = {"at": round(record.created, 3), "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0]:
            # Where it was, and not what it said: that may quote anything.
            kind, _, frames = record.exc_info
            line["traceback"] = "".join([*traceback.format_tb(frames), kind.__name__])
        return json.dumps(line, default=str)


class Requests:
    """The outermost layer of an app: an id for every request, a line for each, and an answer where all else fails."""

    def __init__(self, app: ASGIApp, answered: Callable[[str, str, int, float], None]) -> None:
        """Around an app; ``answered`` is told method, route, status and seconds of each request."""
        self.app, self.answered = app, answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        id, began, status = secrets.token_hex(8), time.perf_counter(), 0

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(b"x-request-id", id.encode())]
                if not any(name == b"cache-control" for name, _ in message["headers"]):
                    own.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        try:
            await self.app(scope, receive, named)
        except Exception:
            LOGGER.exception("a request failed", extra={"fields": {"request": id}})
            if not status:
                body = b'{"error":{"code":"internal","message":"something went wrong here"}}'
                headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
                await named({"type": "http.response.start", "status": 500, "headers": headers})
                await named({"type": "http.response.body", "body": body})
        taken, method = time.perf_counter() - began, scope["method"] if scope["method"] in METHODS else "other"
        route = getattr(scope.get("route"), "path", None)
        self.answered(method, route or "none", status, taken)
        say("request", request=id, method=method, route=route, status=status, ms=round(taken * 1000, 2))
