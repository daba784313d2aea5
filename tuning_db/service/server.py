"""The server: an app on a socket, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from targets.errors import InputError
from tuning_db.service.app import make_app
from tuning_db.service.config import Config
from tuning_db.service.logs import JsonLines, say

# Seconds that requests which are being answered have when the server is to stop.
GRACE_S = 10


class Server(uvicorn.Server):
    """A server that says when it takes requests."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @property
    def writable(self) -> bool:
        """Whether the database could be written when the server started; where not, it is read."""
        return bool(self.config.app.state.writable)  # type: ignore[union-attr]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            if threading.current_thread() is threading.main_thread():
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.renew)
            self._ready()

    def renew(self) -> None:
        """Read the certificate and its key again; connections that are open keep those that they began with."""
        cert, key = self.config.ssl_certfile, self.config.ssl_keyfile
        if cert is None or self.config.ssl is None:
            say("there is no certificate to read again")
            return
        try:
            # First where it does no harm: half of a pair would end every connection to come.
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
            self.config.ssl.load_cert_chain(cert, key)
        except OSError as error:  # errors of TLS are such
            say("the certificate cannot be used, and the one before stays", error=str(error.strerror or error))
        else:
            say("the certificate was read again")


def listen(host: str, port: int) -> socket.socket:
    """A socket to serve on; with port 0 the system chooses one.

    Raises:
        InputError: the address is none, or is taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot listen on {host} port {port}: {error}") from None
    # asyncio turns this on for sockets that say that they speak TCP, and those of ``create_server`` do not. Head and
    # body of an answer are sent apart: on a connection that stays open, the body would wait 40 ms to be asked for.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound


def make_server(config: Config, ready: Callable[[], None], cert: Path | None = None, key: Path | None = None) -> Server:
    """A server of a config, not started; with TLS where there are a certificate and its key.

    Raises:
        InputError: these cannot be read.
    """
    options: dict[str, Any] = {"ssl_certfile": cert, "ssl_keyfile": key} if cert and key else {}
    made = uvicorn.Config(
        make_app(config), lifespan="on", loop="asyncio", http="h11", ws="none", server_header=False,
        log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S,
        # Who sends these headers may call himself anybody, so that nobody is believed who was not named.
        proxy_headers=bool(config.proxies), forwarded_allow_ips=list(config.proxies), **options,
    )  # fmt: skip
    try:
        made.load()
    except OSError as error:  # errors of TLS are such
        raise InputError(f"cannot use the certificate {cert} with the key {key}: {error.strerror or error}") from None
    return Server(made, ready)


def log_to_stderr() -> None:
    """Write what the service and the server say as lines of JSON to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for name in ("headstart.service", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Where the server was told to stop by a signal, and has stopped, that is no error."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
