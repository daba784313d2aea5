"""URLs of services: which are some, and where a token may go."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import httpx

from targets.errors import InputError
from tuning_db.reasons import printable


def check_url(where: str, token: str | None, plain_http: bool) -> None:
    """See that a URL is one of a service, and that a token may be sent there.

    Raises:
        InputError: it is none, or others could read the token.
    """
    try:
        url = urlsplit(where)
        usable = bool(url.hostname) and url.port != 0 and str(httpx.URL(where)) != ""
    except (ValueError, httpx.InvalidURL):
        raise InputError(f"{printable(where)} is no URL of a service") from None
    if url.scheme not in ("http", "https") or not usable or url.query or url.fragment:
        raise InputError(f"{printable(where)} is no URL of a service: https://HOST, perhaps with a port and a path")
    if url.username is not None:
        raise InputError("a URL of a service holds no name or password; a token goes into a file: --token-file")
    if token is None:
        return
    if not token or not all("!" <= letter <= "~" for letter in token):
        raise InputError("the token is none: it is one word, as `headstart accounts token` prints it")
    if url.scheme == "http" and not plain_http and not is_loopback(url.hostname or ""):
        raise InputError(f"{where} has no TLS, so that others could read the token: use https, or say --plain-http")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
