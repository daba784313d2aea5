"""How often somebody may ask: buckets that fill by the clock, and that each request takes one from.

They are kept in memory and are full after a restart. What a request is about plays no part: one that finds something
costs what one costs that finds nothing, and nobody's bucket depends on what anybody else does, but for those who share
an address.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tuning_db.service.errors import ApiError, response

# Seconds' worth of requests that may come at once.
BURST_S = 4.0
# Buckets that are kept of a kind: whoever came longest ago has a full one again when there are more.
MOST = 20_000
# In the scope of a request: whether an account has opened it, whose bucket it then was.
OPENED = "headstart.opened"


@dataclass(frozen=True)
class Rates:
    """Requests a second; 0 for no limit.

    Attributes:
        account: of each account, where nothing else is said of it (``Quota.requests``).
        address: of each client address without a token.
        failures: of each client address with a token that opens nothing, or on a path where no token is looked at.
    """

    account: float = 0.0
    address: float = 0.0
    failures: float = 0.0


NO_RATES = Rates()


class Buckets:
    """Buckets by the name of whose they are. What is kept of one is when it will be full again."""

    def __init__(self, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._full: OrderedDict[str, float] = OrderedDict()
        # Accounts are known to the threads that read, addresses to the one that listens.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._full)

    def take(self, who: str, rate: float, pay: bool = True) -> float:
        """Take one from a bucket, where one is in it.

        Args:
            who: whose bucket.
            rate: how many a second it gains, up to ``BURST_S`` seconds' worth and at least one; 0 for no limit.
            pay: whether one is taken; else it is only looked whether one is there.

        Returns:
            Seconds until there will be one; 0 where there was.
        """
        if rate <= 0:
            return 0.0
        each, now = 1 / rate, self._clock()
        with self._lock:
            full = max(now, self._full.get(who, now)) + each
            wait = full - now - max(BURST_S, each)
            # Rounding costs nobody who waited as long as was said.
            if wait > each * 1e-6:
                return wait
            if pay:
                self._full[who] = full
                self._full.move_to_end(who)
                if len(self._full) > self._most:
                    self._full.popitem(last=False)
        return 0.0


class Limits:
    """The buckets of a service."""

    def __init__(self, rates: Rates, clock: Callable[[], float] = time.monotonic) -> None:
        self.rates = rates
        self._accounts, self._addresses, self._failures = (Buckets(clock=clock) for _ in range(3))

    def account(self, scope: Scope, id: str, rate: float | None) -> None:
        """Let an account, by its id, open a request, once; ``rate`` is its own, where it has one.

        Raises:
            ApiError: 429, it asks too often.
        """
        if scope.get(OPENED):
            return
        scope[OPENED] = True
        _require(self._accounts.take(id, self.rates.account if rate is None else rate))

    def begin(self, address: str, token: bool) -> None:
        """Let a request begin, before anything of it is looked at.

        Raises:
            ApiError: 429: without a token, too many came from the address; with one, too many that opened nothing did.
        """
        if token:
            _require(self._failures.take(address, self.rates.failures, pay=False))
        else:
            _require(self._addresses.take(address, self.rates.address))

    def failed(self, address: str) -> None:
        """Note that a request with a token was opened by no account."""
        self._failures.take(address, self.rates.failures)


class Limited:
    """A layer of an app that turns away who asks too often."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        address = address_of(scope)
        token = any(name == b"authorization" for name, _ in scope["headers"])
        try:
            self.limits.begin(address, token)
        except ApiError as error:
            await response(error)(scope, receive, send)
            return

        async def paid(message: Message) -> None:
            # Before the answer is on its way, so that nobody has two for one.
            if message["type"] == "http.response.start" and token and not scope.get(OPENED):
                self.limits.failed(address)
            await send(message)

        await self.app(scope, receive, paid)


def address_of(scope: Scope) -> str:
    """Whom a request is from: an address, of IPv6 the network that one customer has; empty where it is none."""
    host = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address.packed, 64), strict=False))


def _require(wait: float) -> None:
    if wait > 0:
        raise ApiError(429, "too_many_requests", "too many requests; try again later", retry(wait))


def retry(wait: float) -> dict[str, str]:
    """The header that says when to try again: whole seconds, one at least."""
    return {"Retry-After": str(max(1, math.ceil(wait)))}
