"""Who asks: a bearer token, the account that it is of, and what that may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request

from tuning_db.accounts import Account
from tuning_db.logs import log_of
from tuning_db.readers import Reader, parse, schema_of
from tuning_db.service.config import Config
from tuning_db.service.errors import ApiError, not_found, too_large, unauthorized
from tuning_db.service.lanes import Lanes
from tuning_db.service.limits import Limits
from tuning_db.store import Store
from tuning_db.windows import PUBLIC, Viewer

T = TypeVar("T")


def json_body(reader: Reader) -> dict[str, Any]:
    """What the OpenAPI document says of a body, which ``reader`` reads: strictly and by hand, after the token."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema_of(reader)}}}}


@dataclass(frozen=True)
class Caller:
    """Who asks, and when.

    Attributes:
        now: seconds since 1970.
        account: None for anybody.
        reads: log and subject of what they are shown of releases that are not launched.
    """

    now: float
    account: Account | None
    reads: list[tuple[str, str]] = field(default_factory=list)

    @property
    def viewer(self) -> Viewer:
        """As whom the windows see them."""
        return Viewer(self.now, self.account.id if self.account else "")

    @property
    def known(self) -> Account:
        """The account, where there must be one."""
        if self.account is None:
            raise unauthorized()
        return self.account

    def is_shown(self, store: Store, release: str, subject: str) -> None:
        """Say that something of a release, by its id, is in the answer: until its launch a ledger will have it."""
        if self.account and (log := log_of(store, release, self.account.id, self.now)) != PUBLIC:
            self.reads.append((log, subject))


def service(request: Request) -> tuple[Config, Lanes]:
    """What the app of a request works with."""
    return request.app.state.config, request.app.state.lanes


async def ask(request: Request, question: Callable[[Store, Caller], T], *scopes: str) -> T:
    """Ask the database something, as whoever the request is from, in one snapshot.

    Without scopes anybody may ask, and a token that is shown must be one that may read. What is shown of a release
    before its launch is in a ledger before it is on its way.

    Raises:
        ApiError: 401 for a token that opens nothing, or none where one is needed; 403 for one that has no such scope.
    """
    config, lanes = service(request)

    def asked(store: Store) -> tuple[T, Caller]:
        caller = _caller(request, store, config.clock())
        if scopes or caller.account:
            _require(caller, *(scopes or ("read",)))
        return question(store, caller), caller

    answer, caller = await lanes.read(asked, _whose(request))
    if caller.reads:
        await lanes.write(lambda store: _note(store, caller), _whose(request))
    return answer


async def ask_hidden(request: Request, question: Callable[[Store, Caller], T], scope: str) -> T:
    """As ``ask``, on a path that is there for accounts with a scope; for others it is as if it were not.

    Raises:
        ApiError: 404 where the request is from none with the scope.
    """
    config, lanes = service(request)
    if "authorization" not in request.headers:
        raise not_found()

    def asked(store: Store) -> T:
        now = config.clock()
        account = _account(request, store, now)
        if account is None or scope not in account.scopes:
            raise not_found()
        _open(request, store, account)
        return question(store, Caller(now, account))

    return await lanes.read(asked, _whose(request))


async def admit(request: Request, *scopes: str) -> None:
    """See that the request is from an account with one of some scopes, before anything of its body is read.

    Raises:
        ApiError: 401 where it is from none, 403 where it has none of the scopes.
    """
    await ask(request, lambda store, caller: None, *scopes)


async def act(request: Request, deed: Callable[[Store, Caller], T], *scopes: str) -> T:
    """Change the database, as whoever the request is from, in one transaction; the clock is read when its turn comes.

    Raises:
        ApiError: as ``admit``.
    """
    config, lanes = service(request)

    def done(store: Store) -> T:
        caller = _caller(request, store, config.clock())
        _require(caller, *scopes)
        return deed(store, caller)

    return await lanes.write(done, _whose(request))


async def body(request: Request, limit: int) -> bytes:
    """The body of a request, no more of which is held than ``limit`` bytes.

    Raises:
        ApiError: 413 as soon as it is known to be longer.
    """
    said = request.headers.get("content-length", "")
    if said.isdecimal() and (len(said) > 12 or int(said) > limit):
        raise too_large(limit)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
    return b"".join(parts)


def read_json(reader: Reader, data: bytes, depth: int = 12) -> dict[str, Any]:
    """The fields of a body.

    Raises:
        ApiError: 400 where it is not the JSON that ``reader`` reads.
    """
    try:
        given: dict[str, Any] = reader(parse(data, depth))
    except ValueError as error:
        raise ApiError(400, "malformed", f"the body: {error}") from None
    return given


def _whose(request: Request) -> str:
    """Who takes turns with others: a token, else an address, before it is known whether the token is one."""
    return request.headers.get("authorization") or (request.client.host if request.client else "")


def _caller(request: Request, store: Store, now: float) -> Caller:
    if trusted := service(request)[0].trusted:
        return Caller(now, store.full_account(trusted, now))
    if "authorization" not in request.headers and not hasattr(request.state, "token"):
        return Caller(now, None)
    account = _account(request, store, now)
    if account is None:
        raise unauthorized()
    _open(request, store, account)
    return Caller(now, account)


def _account(request: Request, store: Store, now: float) -> Account | None:
    """Whose token a request has; None where it opens nothing."""
    if "authorization" not in request.headers:
        # A page takes it from a cookie (``pages.session``), and only a page.
        return store.authenticate(request.state.token, now)
    scheme, _, token = request.headers["authorization"].partition(" ")
    return store.authenticate(token.strip(), now) if scheme.lower() == "bearer" else None


def _open(request: Request, store: Store, account: Account) -> None:
    """Let an account do what it asks, where it does not ask too often."""
    limits: Limits = request.app.state.limits
    limits.account(request.scope, account.id, store.own_quota(account.id).requests)


def _note(store: Store, caller: Caller) -> None:
    for log, subject in caller.reads:
        store.append(log, caller.known.name, "read", {"subject": subject}, caller.now)


def _require(caller: Caller, *scopes: str) -> None:
    if not set(scopes) & set(caller.known.scopes):
        raise ApiError(403, "forbidden", f"this takes a token with the scope {' or '.join(scopes)}")
