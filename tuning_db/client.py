"""A client of a service: JSON in and out, patience with a server that is busy, one line for whatever goes wrong.

``connect`` takes the URL of a service or a database file. A file is served for as long as the client is open, by the
same app over a socket that nobody else can reach (``local``), so that both answer alike.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import random
import ssl
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx

from targets.errors import HeadstartError, InputError, causes
from tuning_db.files import is_url
from tuning_db.keys import PrivateKey
from tuning_db.readers import Reader, parse
from tuning_db.reasons import printable
from tuning_db.urls import check_url, is_loopback

T = TypeVar("T")

# A page of a ledger with the largest entries fits; what is longer is no answer of a service.
MAX_ANSWER = 64 << 20
DEPTH = 64
# Statuses by which a service says that nothing was done and that it may be asked again.
BUSY = (429, 503)


@dataclass(frozen=True)
class Patience:
    """How long a client waits; seconds.

    Attributes:
        connect_s: for a connection.
        read_s: for the next bytes of an answer.
        answer_s: for a whole answer.
        tries: how often a request is sent before it is given up.
        pause_s: before the second try; twice as long before each further one, less by chance.
        longest_s: a service that asks for a longer pause is not waited for.
    """

    connect_s: float = 10.0
    read_s: float = 60.0
    answer_s: float = 300.0
    tries: int = 5
    pause_s: float = 0.5
    longest_s: float = 60.0


PATIENCE = Patience()


class ServiceError(HeadstartError):
    """A service said no. The message is its own, in one line.

    Attributes:
        status: of HTTP.
        code: as docs/service.md lists them.
        reasons: of a submission that was refused: ``code``, ``entry`` and ``message`` of each.
    """

    def __init__(self, status: int, code: str, message: str, reasons: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(printable(message))
        self.status, self.code, self.reasons = status, code, reasons
        self.exit_code = 2 if status < 422 else 1


class Trouble(Exception):
    """A try failed in a way that the next one may not.

    Attributes:
        error: what it comes to where no further try is made.
        wait: seconds that the service asks for.
        undone: whether it is sure that nothing was done.
    """

    def __init__(self, error: HeadstartError, wait: float | None, undone: bool) -> None:
        self.error, self.wait, self.undone = error, wait, undone


class Client:
    """Asks a service. Make one with ``connect``.

    Paths are those of docs/service.md; ``at`` makes them. Queries leave out what is None. With ``form``, a reader, what
    an answer must be like is seen to. Everything raises ``ServiceError`` where the service says no, and
    ``HeadstartError`` where it cannot be reached or what it answers is no answer of a service.
    """

    def __init__(
        self,
        http: httpx.Client,
        where: str,
        patience: Patience = PATIENCE,
        say: Callable[[str], None] = lambda line: None,
        explain: Callable[[ServiceError], HeadstartError] = lambda error: error,
    ) -> None:
        self.where = where
        self.patience, self._http, self._say, self._explain = patience, http, say, explain

    def get(self, path: str, form: Reader | None = None, **query: Any) -> dict[str, Any]:
        """Ask."""
        return self._json("GET", path, None, form, query)

    def post(
        self, path: str, body: Mapping[str, Any] | bytes, form: Reader | None = None, again: bool = True
    ) -> dict[str, Any]:
        """Send JSON, or bytes as they are; each further try sends the very same bytes.

        Args:
            path: where to.
            body: what.
            form: of the answer.
            again: whether it may be sent once more where the connection broke, so that it may have been done already.
        """
        data = body if isinstance(body, bytes) else json.dumps(body, allow_nan=False).encode()
        return self._json("POST", path, data, form, {}, again)

    def put(self, path: str, body: bytes, form: Reader | None = None, **query: Any) -> dict[str, Any]:
        """Send bytes to where they belong; a second time does nothing."""
        return self._json("PUT", path, body, form, query)

    def delete(self, path: str, form: Reader | None = None, **query: Any) -> dict[str, Any]:
        """Take something back."""
        return self._json("DELETE", path, None, form, query)

    def download(self, path: str, file: IO[bytes]) -> int:
        """Write the body of an answer to a file as it comes, and see that it is what was sent; returns its bytes.

        Raises:
            HeadstartError: it is not what its ``Content-Digest`` (RFC 9530) says, where it has one.
        """

        def once() -> int:
            with self._answer("GET", path, None, {}) as response:
                size, digest = 0, hashlib.sha256()
                for part in self._parts(response, None, None):
                    file.write(part)
                    digest.update(part)
                    size += len(part)
                is_it = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
                if response.headers.get("content-digest", is_it) != is_it:
                    raise HeadstartError(f"{self.where}: what came is not what was sent; try again")
                return size

        # What was written cannot be taken back: once something came, a break is the end of it.
        return self.patiently(once, again=False)

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], also: Container[int] = ()
    ) -> Iterator[tuple[httpx.Response, Iterator[bytes]]]:
        """One try at asking: an answer with its body as it comes.

        Args:
            path: what for.
            headers: of the request, beside the usual ones.
            also: statuses that are no errors here.

        Raises:
            Trouble: another try may do better.
        """
        with self._answer("GET", path, None, {}, headers, also) as response:
            yield response, self._parts(response, None, None)

    def patiently(self, once: Callable[[], T], again: bool = True) -> T:
        """What ``once`` returns, which is tried again where it fails with ``Trouble``.

        Args:
            once: one try.
            again: whether it may be tried again where it may have been done already.
        """
        for failed in itertools.count(1):
            try:
                return once()
            except Trouble as trouble:
                if not (again or trouble.undone):
                    raise trouble.error from None
                self.wait(trouble, failed)
        raise AssertionError("it is tried without end, or raises")

    def wait(self, trouble: Trouble, failed: int) -> None:
        """Wait before another try, where there is to be one.

        Args:
            trouble: of the last try.
            failed: how many tries failed so far.

        Raises:
            HeadstartError: what the trouble comes to, where it was tried often enough, or is to be waited for too long.
        """
        # By chance, so that those who were turned away together do not come back together.
        pause = self.patience.pause_s * 2 ** (failed - 1) * random.uniform(0.5, 1)
        wait = pause if trouble.wait is None else trouble.wait
        if failed >= self.patience.tries or wait > self.patience.longest_s:
            raise trouble.error from None
        self._say(f"{trouble.error}; trying again in {wait:.1f} s")
        time.sleep(wait)

    def _json(
        self,
        method: str,
        path: str,
        body: bytes | None,
        form: Reader | None,
        query: Mapping[str, Any],
        again: bool = True,
    ) -> dict[str, Any]:
        deadline = time.monotonic() + self.patience.answer_s * self.patience.tries

        def once() -> dict[str, Any]:
            until = min(deadline, time.monotonic() + self.patience.answer_s)
            with self._answer(method, path, body, query) as response:
                data = b"".join(self._parts(response, MAX_ANSWER, until))
                return {} if response.status_code == 204 and not data else self._parsed(data, form)

        return self.patiently(once, again)

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        body: bytes | None,
        query: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        also: Container[int] = (),
    ) -> Iterator[httpx.Response]:
        """A response that is not an error, its body not read yet."""
        given = {name: value for name, value in query.items() if value is not None}
        try:
            with self._http.stream(method, path, content=body, params=given or None, headers=headers) as response:
                if not (response.is_success or response.status_code in also):
                    raise self._refusal(response)
                yield response
        except httpx.TimeoutException as error:
            what = "no connection" if isinstance(error, httpx.ConnectTimeout) else "no answer in time"
            raise HeadstartError(f"{self.where}: {what}") from None
        except httpx.TransportError as error:
            raise self._broken(error, method) from None
        except (httpx.InvalidURL, UnicodeEncodeError):
            raise InputError(f"{self.where}: {printable(path)} is no path") from None

    def _parts(self, response: httpx.Response, most: int | None, until: float | None) -> Iterator[bytes]:
        """The body, no more of which is held than ``most`` bytes, and none of it compressed."""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise HeadstartError(f"{self.where} answers with a compressed body, which was not asked for")
        size = 0
        for part in response.iter_raw():
            size += len(part)
            if most is not None and size > most:
                raise HeadstartError(f"{self.where} answers with more than {most >> 20} MiB")
            if until is not None and time.monotonic() > until:
                raise HeadstartError(f"{self.where}: the answer took longer than {self.patience.answer_s:g} s")
            yield part

    def _parsed(self, data: bytes, form: Reader | None = None) -> dict[str, Any]:
        try:
            value = parse(data, DEPTH)
            return value if form is None else form(value)
        except ValueError as error:
            raise HeadstartError(printable(f"{self.where} answers as no Headstart does: {error}")) from None

    def _refusal(self, response: httpx.Response) -> Exception:
        """What a response that is an error comes to."""
        status = response.status_code
        if response.is_redirect:
            to = printable(response.headers.get("location", "nowhere"))
            return HeadstartError(f"{self.where} says that it is at {to}; nothing was sent there: give that URL")
        data = b"".join(self._parts(response, MAX_ANSWER, time.monotonic() + self.patience.answer_s))
        try:
            told = self._parsed(data)["error"]
            error: HeadstartError = ServiceError(
                status, str(told["code"]), str(told["message"]), _reasons(told.get("reasons", ()))
            )
        except (HeadstartError, LookupError, TypeError, AttributeError):
            error = HeadstartError(f"{self.where} answers with status {status}, and not as a Headstart does")
        if isinstance(error, ServiceError):
            error = self._explain(error)
        return Trouble(error, _seconds(response.headers.get("retry-after")), True) if status in BUSY else error

    def _broken(self, error: httpx.TransportError, method: str) -> Exception:
        """What a connection that failed comes to."""
        chain = list(causes(error))
        for cause in chain:
            if isinstance(cause, ssl.SSLCertVerificationError):
                why = printable(cause.verify_message)
                return HeadstartError(f"{self.where}: its certificate is not trusted: {why}; --ca names another issuer")
        told = next((cause.strerror for cause in chain if isinstance(cause, OSError) and cause.strerror), "")
        unreached = isinstance(error, httpx.ConnectError)
        what = "cannot be reached" if unreached else "the connection was lost"
        known = f"{self.where}: {what}" + (f": {printable(told)}" if told else "")
        final = HeadstartError(known if unreached or method == "GET" else f"{known}; whether it was done is not known")
        # A name that nobody knows and TLS that does not come about stay so.
        if any(type(cause).__name__ == "gaierror" or isinstance(cause, ssl.SSLError) for cause in chain):
            return final
        return Trouble(final, None, unreached)


def at(*parts: str) -> str:
    """The path of ``/v1`` with these parts, whatever is in them."""
    return "/".join(["/v1", *(quote(part, safe="") for part in parts)])


@contextmanager
def connect(
    where: str,
    token: str | None = None,
    account: str = "",
    ledger_key: Path | None = None,
    *,
    repository_key: PrivateKey | None = None,
    ca: Path | None = None,
    plain_http: bool = False,
    patience: Patience = PATIENCE,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Client]:
    """A client of a service, or of a file.

    Args:
        where: ``https://`` or ``http://`` and so on, or the path of a database.
        token: of a service; None to ask as anybody.
        account: of a file: the name of the account to act as; empty to ask as anybody.
        ledger_key: of a file: what signs where something is to be signed.
        repository_key: of a file: what signs the service's part of a repository.
        ca: of a service: certificates in PEM of who may have issued its certificate, in place of the usual ones.
        plain_http: send the token without TLS, to others than this machine too.
        patience: how long to wait.
        say: told in a line when a try failed and another one follows.

    Raises:
        InputError: what is given does not go together, or is none.
        MissingExtra: a file is served with the extra ``serve``.
    """
    if not is_url(where):
        if token is not None or ca is not None or plain_http:
            raise InputError(f"{where} is a file: --as says who you are; tokens and TLS are for a URL")
        from tuning_db.local import served

        with served(Path(where), account, ledger_key, repository_key) as (http, explain):
            # SQLite itself waits for other writers.
            yield Client(http, where, Patience(tries=1), say, explain)
        return
    if account or ledger_key or repository_key:
        raise InputError(f"{where} is a service: a token says who you are, and it has its own keys")
    check_url(where, token, plain_http)
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    # Reading all certificates of a system takes a while, and without TLS there is nothing to verify.
    verify: ssl.SSLContext | bool = urlsplit(where).scheme != "http"
    if ca is not None:
        try:
            verify = ssl.create_default_context(cafile=ca)
        except (OSError, ValueError) as error:
            raise InputError(f"{ca} holds no certificates in PEM: {error}") from None
    timeout = httpx.Timeout(patience.read_s, connect=patience.connect_s)
    # No proxy of the environment stands between this machine and itself.
    trust = not is_loopback(urlsplit(where).hostname or "")
    with httpx.Client(base_url=where, headers=headers, timeout=timeout, verify=verify, trust_env=trust) as http:
        yield Client(http, where, patience, say, _hint_at_token if token is None else lambda error: error)


def _hint_at_token(error: ServiceError) -> HeadstartError:
    if error.status == 401:
        return ServiceError(401, error.code, f"{error}: give one with --token-file, or in HEADSTART_TOKEN")
    return error


def _reasons(given: Any) -> list[dict[str, Any]]:
    """Reasons of a refusal, each of the documented form."""
    return [
        {
            "code": printable(str(one["code"])),
            "entry": one["entry"] if isinstance(one["entry"], int) else None,
            "message": printable(str(one["message"])),
        }
        for one in given
    ]


def _seconds(header: str | None) -> float | None:
    """What ``Retry-After`` asks for, where it is a number of seconds."""
    return float(header) if header and header.isascii() and header.isdecimal() and len(header) < 10 else None
