"""Tokens open what they should until they end, and nothing else; keys are their owner's until their date."""

from __future__ import annotations

import pytest

from targets.errors import InputError
from tests.tuning_db.race import DAY, START
from tuning_db.accounts import PREFIX, ROLES, SCOPES, Account
from tuning_db.store import Store


@pytest.fixture
def acme(store: Store) -> Account:
    return store.add_account("acme", "vendor", START)


def test_accounts_are_found_by_name_and_id(store: Store, acme: Account) -> None:
    assert store.account("acme") == store.account(acme.id) == acme
    assert [row["name"] for row in store.accounts()] == ["acme"]
    with pytest.raises(InputError, match="there is an account 'acme' already"):
        store.add_account("acme", "referee", START)
    with pytest.raises(InputError, match="no role 'king'"):
        store.add_account("other", "king", START)
    with pytest.raises(InputError, match="no account 'other'"):
        store.account("other")


def test_nobody_is_found_by_a_name_like_the_id_of_another(store: Store, acme: Account) -> None:
    store.add_account(acme.id, "vendor", START)
    assert store.account(acme.id) == acme


@pytest.mark.parametrize(
    "name", ["", "Acme", "a b", "-a", "a/b", "\u0430cme", "a\n", "a" * 65, "a\0", "a-", "a..b", "a.-b"]
)
def test_names_that_could_pass_for_others(store: Store, name: str) -> None:
    with pytest.raises(InputError, match="cannot be a name"):
        store.add_account(name, "vendor", START)


@pytest.mark.parametrize("role", ROLES)
def test_a_token_opens_until_the_second_it_expires(store: Store, role: str) -> None:
    account = store.add_account("x", role, START)
    id, token = store.issue_token(account, START, DAY)
    assert token.startswith(PREFIX)
    shown = store.authenticate(token, START + DAY - 1)
    assert shown == Account(account.id, "x", role, SCOPES[role])
    assert store.authenticate(token, START + DAY) is None
    assert [row["id"] for row in store.tokens(account)] == [id]


def test_the_token_is_not_in_the_file(store: Store, acme: Account) -> None:
    id, token = store.issue_token(acme, START, DAY)
    dump = "\n".join(store.connection.iterdump())
    assert id in dump
    assert token.removeprefix(f"{PREFIX}{id}_") not in dump
    assert "hash" not in store.tokens(acme)[0]


def test_what_is_not_a_token_opens_nothing(store: Store, acme: Account) -> None:
    id, token = store.issue_token(acme, START, DAY)
    _, other = store.issue_token(acme, START, DAY)
    swapped = f"{PREFIX}{id}_{other.rpartition('_')[2]}"
    hash = store.value("SELECT hash FROM token WHERE id = ?", (id,))
    wrong = ("", PREFIX, token[:-1], token + "x", token.upper(), swapped, f"{PREFIX}{id}_{hash}", hash, "é", "\ud800")
    for text in (*wrong, token.removeprefix(PREFIX), "0" * 64, f"{PREFIX}{id}_", f"{PREFIX}_"):
        assert store.authenticate(text, START) is None, text


def test_a_revoked_token_and_a_closed_account(store: Store, acme: Account) -> None:
    id, token = store.issue_token(acme, START, DAY)
    _, other = store.issue_token(acme, START, DAY)
    store.revoke_token(id, START + 10)
    store.revoke_token(id, START + 20)
    assert store.authenticate(token, START + 9) == store.authenticate(other, START + 9)
    assert store.authenticate(token, START + 10) is None
    assert store.authenticate(other, START + 10)
    store.close_account("acme", START + 30)
    assert store.authenticate(other, START + 30) is None
    with pytest.raises(InputError, match="acme is closed"):
        store.issue_token(acme, START + 30, DAY)
    with pytest.raises(InputError, match="acme is closed"):
        store.add_key(acme, "k", "p", START + 30)
    with pytest.raises(InputError, match="no token k0"):
        store.revoke_token("k0", START)


def test_scopes_are_those_of_the_role_or_fewer(store: Store, acme: Account) -> None:
    _, token = store.issue_token(acme, START, DAY, ["read", "read"])
    shown = store.authenticate(token, START)
    assert shown and shown.scopes == ("read",)
    for scopes, why in (
        (["admin"], "cannot have admin"),
        (["read", "judge"], "cannot have judge"),
        ([], "at least one"),
    ):
        with pytest.raises(InputError, match=why):
            store.issue_token(acme, START, DAY, scopes)
    for lifetime in (0.0, -1.0, 11 * 365 * DAY, float("nan"), float("inf")):
        with pytest.raises(InputError, match="lives for"):
            store.issue_token(acme, START, lifetime)


def test_keys_are_rotated_and_revoked_with_a_date(store: Store, acme: Account) -> None:
    store.add_key(acme, "old", "OLD", START)
    store.add_key(acme, "new", "NEW", START + 1)
    store.add_key(acme, "old", "OLD", START + 2)
    assert [row["id"] for row in store.keys(acme)] == ["old", "new"]
    assert store.good_keys(acme, ["new", "other", "old"], START) == ["NEW", "OLD"]
    store.revoke_key(acme, "old", START + 100)
    assert store.good_keys(acme, ["old", "new"], START + 99) == ["OLD", "NEW"]
    assert store.good_keys(acme, ["old", "new"], START + 100) == ["NEW"]
    store.revoke_key(acme, "old", START + 200)
    assert store.good_keys(acme, ["old"], START + 150) == []
    store.revoke_key(acme, "old", START + 50)
    assert store.good_keys(acme, ["old"], START + 50) == []
    store.add_key(acme, "old", "OLD", START + 300)
    assert store.good_keys(acme, ["old"], START + 300) == []


def test_keys_of_others(store: Store, acme: Account) -> None:
    other = store.add_account("other", "vendor", START)
    store.add_key(acme, "k", "P", START)
    with pytest.raises(InputError, match="not for other"):
        store.add_key(other, "k", "P", START)
    with pytest.raises(InputError, match="other has no key k"):
        store.revoke_key(other, "k", START)
    assert store.good_keys(other, ["k"], START) == []
