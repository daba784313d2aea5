"""Quotas: what was sent in the last 24 hours and no more counts, and a batch is told when it fits."""

from __future__ import annotations

import secrets
from datetime import datetime, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets.errors import InputError
from tests.tuning_db.claims import batch, claim
from tuning_db.accounts import Account
from tuning_db.quotas import DAY, Quota
from tuning_db.reasons import Reason, Refused
from tuning_db.store import Store

NOW = 1.75e9
Sent = list[tuple[float, int, int]]


def vendor(store: Store) -> Account:
    """A new one, with a key that is called as it is."""
    account = store.add_account(f"v{secrets.token_hex(8)}", "vendor", NOW)
    store.add_key(account, account.id, "a public key", NOW)
    return account


def send(store: Store, who: Account, at: float, n: int, claims: int, bytes: int) -> None:
    """Keep a submission of so many claims and bytes, of which nothing else is there."""
    made = batch(*(claim(100 * n + i) for i in range(claims)), nonce=f"{n:032x}", vendor=who.name)
    entry = store.append("public", who.name, "submit", {"n": n}, at)
    store.add_submission(made, who.id, who.id, bytes, entry, [])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    earlier=st.lists(st.tuples(st.floats(0, 3 * DAY), st.integers(1, 3), st.integers(1, 9000)), max_size=6),
    more=st.tuples(st.integers(1, 4), st.integers(1, 9000)),
    claims=st.integers(0, 12),
    bytes=st.integers(0, 30_000),
)
def test_whoever_is_told_when_it_fits_is_told_right(
    store: Store, earlier: Sent, more: tuple[int, int], claims: int, bytes: int
) -> None:
    quota = Quota(claims=claims, bytes=bytes)
    acme = vendor(store)
    with store.transaction():
        for n, (ago, of, size) in enumerate(sorted(earlier, reverse=True)):
            send(store, acme, NOW - ago, n, of, size)
    counted = [(of, size) for ago, of, size in earlier if ago < DAY]
    sent = tuple(map(sum, zip(*counted, strict=True))) if counted else (0, 0)
    assert tuple(store.sent(acme.id, NOW).values()) == sent
    fits = sent[0] + more[0] <= claims and sent[1] + more[1] <= bytes
    try:
        store.require_room(acme.id, quota, NOW, *more)
        assert fits
    except Refused as refused:
        assert not fits
        assert refused.reason is Reason.OVER_QUOTA
        _, sep, told = str(refused).partition("it fits from ")
        if not sep:
            assert more[0] > claims or more[1] > bytes
            return
        at = datetime.fromisoformat(told.removesuffix(" UTC on")).replace(tzinfo=timezone.utc).timestamp()
        assert NOW < at <= NOW + DAY + 1
        # It is of what is short first; by then at the latest that is no longer what is in the way.
        short = "claims" if sent[0] + more[0] > claims else "bytes"
        only = Quota(**{short: getattr(quota, short)})
        store.require_room(acme.id, only, at, *more)
        with pytest.raises(Refused):
            store.require_room(acme.id, only, at - 2, *more)


def test_what_is_said_of_an_account_goes_before_what_is_said_of_all(store: Store) -> None:
    acme = store.add_account("acme", "vendor", NOW)
    default = Quota(requests=50, claims=100, bytes=10**6)
    assert store.quota(acme.id, default) == default
    assert store.set_quota(acme, claims=5, requests=0.5) == Quota(0.5, 5, None)
    assert store.quota(acme.id, default) == Quota(0.5, 5, 10**6)
    assert store.set_quota(acme, requests=None, bytes=0) == Quota(None, 5, 0)
    assert store.quota(acme.id, default) == Quota(50, 5, 0)
    assert store.quota(store.add_account("other", "vendor", NOW).id, default) == default
    for wrong in ({"claims": -1}, {"bytes": 2**53}, {"requests": float("nan")}, {"requests": 0}):
        with pytest.raises(InputError, match="a quota of"):
            store.set_quota(acme, **wrong)


def test_only_what_a_vendor_sent_itself_counts(store: Store) -> None:
    quota = Quota(claims=3)
    acme, other = vendor(store), vendor(store)
    send(store, acme, NOW, 1, 3, 10)
    store.require_room(other.id, quota, NOW, 3, 10)
    with pytest.raises(Refused, match="3 of 3 claims in 24 hours are used, and this batch has 1"):
        store.require_room(acme.id, quota, NOW, 1, 10)
