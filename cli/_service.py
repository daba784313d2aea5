"""The options that say which shared database is meant, a file or a service, and as whom it is used."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from targets.errors import InputError, MissingExtra
from tuning_db.files import is_url

if TYPE_CHECKING:
    from tuning_db.client import Client
    from tuning_db.keys import PrivateKey
    from tuning_db.note import VerifierKey

F = TypeVar("F", bound=Callable[..., Any])

TOKEN = "HEADSTART_TOKEN"
MAX_TOKEN = 1000


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

    def at(self, where: str) -> Connection:
        """The same, of another place."""
        return replace(self, where=where)

    @property
    def is_url(self) -> bool:
        """Whether it is a service, and not a file."""
        return is_url(self.where)

    @property
    def path(self) -> Path:
        """The file, for commands that read one themselves.

        Raises:
            InputError: it is a service.
        """
        if self.is_url:
            raise InputError(f"{self.where} is a service, and this takes a file")
        return Path(self.where)

    @property
    def is_shared(self) -> bool:
        """Whether what was claimed is meant: a service, or a file that is used as an account there."""
        return self.is_url or bool(self.account)

    @property
    def somebody(self) -> bool:
        """Whether it is used as an account, and not as anybody."""
        return bool(self.token_file or self.token) if self.is_url else bool(self.account)

    @contextmanager
    def open(self, repository_key: PrivateKey | None = None) -> Iterator[Client]:
        """A client, for as long as the block lasts; of a file perhaps with what signs its part of a repository.

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
            repository_key=repository_key,
            ca=self.ca,
            plain_http=self.plain_http,
            say=lambda line: click.echo(line, err=True),
        ) as client:
            yield client


def service_options(function: F) -> F:
    """``--db FILE|URL`` and who one is there, as one argument ``connection``."""
    return _connected(function, OPTIONS)


def url_options(function: F) -> F:
    """The same for a command that does something of its own with a file, whoever uses it."""
    return _connected(function, {name: OPTIONS[name] for name in ("where", "token_file", "ca", "plain_http")})


def plain_options(function: F) -> F:
    """The same as ``service_options`` for a command that has nothing signed by the key of the ledger."""
    return _connected(function, {name: option for name, option in OPTIONS.items() if name != "ledger_key"})


def source_options(function: F) -> F:
    """``--from FILE|URL`` and who one is there, as ``connection``, and ``--release``."""
    release = click.option(
        "--release", default="public", show_default=True, help="Whose repository, where it is a service."
    )
    source = click.option(
        "--from",
        "where",
        metavar="FILE|URL",
        default="headstart.db",
        envvar="HEADSTART_DB",
        show_default=True,
        show_envvar=True,
        help="Where from: a database, or the URL of a service.",
    )
    return _connected(release(function), {"where": source, **IDENTITY})


def identity_options(function: F) -> F:
    """Who one is at a place that is said elsewhere, as ``connection``."""
    return _connected(function, IDENTITY)


OPTIONS = {
    "where": click.option(
        "--db",
        "where",
        metavar="FILE|URL",
        default="headstart.db",
        envvar="HEADSTART_DB",
        show_default=True,
        show_envvar=True,
        help="Database: a file, or the URL of a service.",
    ),
    "token_file": click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        help=f"File with your token for the service; or {TOKEN} holds it. Without one you are anybody.",
    ),
    "account": click.option(
        "--as", "account", metavar="NAME", default="", help="Account to act as, where it is a file."
    ),
    "ledger_key": click.option(
        "--ledger-key",
        type=click.Path(path_type=Path),
        help="Signing key of the service, where it is a file and something is to be signed.",
    ),
    "ca": click.option(
        "--ca", type=click.Path(path_type=Path), help="Certificates in PEM of who issued that of the service."
    ),
    "plain_http": click.option("--plain-http", is_flag=True, help="Send the token to another machine without TLS."),
}
IDENTITY = {name: OPTIONS[name] for name in ("token_file", "ca", "plain_http")}


def _connected(function: F, options: Mapping[str, Callable[[Any], Any]]) -> F:
    """A command with some of these options."""

    @functools.wraps(function)
    def connected(**arguments: Any) -> Any:
        given = {"where": "", **{name: arguments.pop(name) for name in options}}
        return function(connection=Connection(**given, token=os.environ.get(TOKEN) or None), **arguments)

    for option in reversed([*options.values()]):
        connected = option(connected)
    return connected  # type: ignore[return-value]


def verifier_option(function: F) -> F:
    """``--verifier KEY``: the verifier key of the service, as ``verifier``; None where it is not given."""
    return click.option(
        "--verifier",
        metavar="KEY",
        envvar="HEADSTART_VERIFIER",
        show_envvar=True,
        callback=_verifier,
        help="Verifier key of the service, NAME+ID+KEY, from somebody you trust: what it signs is then verified.",
    )(function)


def _verifier(ctx: click.Context, param: click.Parameter, value: str | None) -> VerifierKey | None:
    from tuning_db.note import VerifierKey

    try:
        return None if value is None else VerifierKey.loads(value.strip())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


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
