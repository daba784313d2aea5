"""A database file behind the app of the service, for as long as a command runs.

The app listens on a Unix socket in a folder that only its owner may enter, and takes every request as from one account:
who may write the file may do with it what they like anyway. It goes well beside a service that runs on the file, since
SQLite lets writers in one after the other.
"""

from __future__ import annotations

import logging
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from targets.errors import HeadstartError, InputError, MissingExtra, one_line
from tuning_db.keys import PrivateKey
from tuning_db.store import Store

if TYPE_CHECKING:
    from tuning_db.client import ServiceError


@contextmanager
def served(
    db: Path, account: str = "", ledger_key: Path | None = None, repository_key: PrivateKey | None = None
) -> Iterator[tuple[httpx.Client, Callable[[ServiceError], HeadstartError]]]:
    """A connection to an app that serves a file, and what makes its errors plainer: here nothing is to be hidden.

    Args:
        db: the file.
        account: name of who every request is from; empty for anybody.
        ledger_key: file of the key that signs where something is to be signed.
        repository_key: what signs the service's part of a repository.

    Raises:
        InputError: no such file or account, or no key.
        MissingExtra: the extra ``serve`` is not installed.
    """
    try:
        from tuning_db.service.config import Config
        from tuning_db.service.server import make_server
    except ModuleNotFoundError:
        raise MissingExtra("a shared database in a file", "serve") from None
    from tuning_db.keyfile import read_key

    key = read_key(ledger_key) if ledger_key else None
    # What is wrong with the file or the name is said here, before there is a server; and an older schema is upgraded.
    with Store.open(db, create=False) as store:
        if account:
            store.account(account)
    ready, heard = threading.Event(), _Heard()
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder, heard.listening():
        # A folder of its own for copies: those of a service that runs on the file are not to be cleared away.
        config = Config(db, key, readers=1, trusted=account, copies=Path(folder), repository_key=repository_key)
        server = make_server(config, ready.set)
        path = f"{folder}/socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bound:
            try:
                bound.bind(path)
            except OSError as error:
                raise InputError(f"cannot make a socket in {folder}: {error}; TMPDIR names another folder") from None
            thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
            thread.start()
            try:
                while not ready.wait(0.05):
                    if not thread.is_alive():
                        raise HeadstartError(f"{db} cannot be served: {heard.last or 'the server did not start'}")
                transport = httpx.HTTPTransport(uds=path)
                # SQLite waits half a minute for its turn, and so does who waits for SQLite.
                with httpx.Client(transport=transport, base_url="http://headstart", timeout=300) as http:
                    yield http, heard.explain
            finally:
                server.should_exit = True
                thread.join()


class _Heard(logging.Handler):
    """Listens to what the app would write into its log, to tell whoever runs the command."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the reason of an error."""
        if record.exc_info and record.exc_info[1]:
            self.last = one_line(record.exc_info[1])
        elif record.levelno >= logging.ERROR and len(lines := record.getMessage().strip().splitlines()) > 1:
            self.last = lines[-1]  # a traceback as text, of an app that did not start
        self.last = str(getattr(record, "fields", {}).get("error", "")) or self.last

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear everything in the block; nothing of it is printed."""
        loggers = [logging.getLogger(name) for name in ("headstart.service", "uvicorn")]
        before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
        for logger in loggers:
            logger.handlers, logger.propagate = [self], False
            logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
                logger.handlers, logger.propagate = handlers, propagate
                logger.setLevel(level)

    def explain(self, error: ServiceError) -> HeadstartError:
        """An error with its reason, which a service keeps to itself, and with what to do about it."""
        if error.status == 401:
            return InputError("this is for accounts: say with --as NAME who you are")
        if error.status >= 500 and self.last:
            return HeadstartError(self.last)
        return error
