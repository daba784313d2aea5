"""The options that say which shared database is meant, a file or a service, and as whom it is used."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from targets.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from tuning_db.client import Client

F = TypeVar("F", bound=Callable[..., Any])

TOKEN = "HEADSTART_TOKEN"
MAX_TOKEN = 1000
FIELDS = ("where", "token_file", "account", "ledger_key", "ca", "plain_http")


@dataclass(frozen=True)
class Connection:
    """Where a shared database is, and who uses it.

    Attributes:
        where: a URL, or the path of a file.
        token: of a service, from ``HEADSTART_TOKEN``; None to ask as anybody.
        token_file: what holds the token, rather than the environment.
        account: of a file, whom to act as.
    """

    where: str
    token: str | None = None
    token_file: Path | None = None
    account: str = ""
    ledger_key: Path | None = None
    ca: Path | None = None
    plain_http: bool = False

    @property
    def is_url(self) -> bool:
        """Whether it is a service, and not a file."""
        return "://" in self.where

    @property
    def path(self) -> Path:
        """The file, for commands that read one themselves.

        Raises:
            InputError: it is a service.
        """
        if self.is_url:
            raise InputError(f"{self.where} is a service, and this takes a file")
        return Path(self.where)

    @contextmanager
    def open(self) -> Iterator[Client]:
        """A client, for as long as the block lasts.

        Raises:
            InputError: as ``client.connect``.
            MissingExtra: the extra ``client`` is not installed.
        """
        try:
            from tuning_db.client import connect
        except ModuleNotFoundError:
            raise MissingExtra("a shared database", "client") from None
        token = _read_token(self.token_file) if self.token_file else self.token
        if not self.is_url and not self.token_file:
            token = None  # the environment may hold one for elsewhere
        with connect(
            self.where,
            token,
            self.account,
            self.ledger_key,
            ca=self.ca,
            plain_http=self.plain_http,
            say=lambda line: click.echo(line, err=True),
        ) as client:
            yield client


def service_options(function: F) -> F:
    """``--db FILE|URL`` and who one is there, as one argument ``connection``."""

    @functools.wraps(function)
    def connected(**arguments: Any) -> Any:
        import os

        given = {field: arguments.pop(field) for field in FIELDS}
        connection = Connection(**given, token=os.environ.get(TOKEN) or None)
        return function(connection=connection, **arguments)

    options = [
        click.option(
            "--db",
            "where",
            metavar="FILE|URL",
            default="headstart.db",
            envvar="HEADSTART_DB",
            show_default=True,
            show_envvar=True,
            help="Shared database: a file, or the URL of a service.",
        ),
        click.option(
            "--token-file",
            type=click.Path(path_type=Path),
            help=f"File with your token for the service; or {TOKEN} holds it. Without one you are anybody.",
        ),
        click.option("--as", "account", metavar="NAME", default="", help="Account to act as, where it is a file."),
        click.option(
            "--ledger-key",
            type=click.Path(path_type=Path),
            help="Signing key, where it is a file and something is to be signed.",
        ),
        click.option("--ca", type=click.Path(path_type=Path), help="Certificates of who issued that of the service."),
        click.option("--plain-http", is_flag=True, help="Send the token to another machine without TLS."),
    ]
    for option in reversed(options):
        connected = option(connected)
    return connected  # type: ignore[return-value]


def _read_token(path: Path) -> str:
    """The token in a file.

    Raises:
        InputError: it cannot be read.
    """
    from tuning_db.files import read_small

    try:
        return read_small(path, MAX_TOKEN, private=True).decode("ascii").strip()
    except UnicodeDecodeError:
        raise InputError(f"{path} holds no token") from None
