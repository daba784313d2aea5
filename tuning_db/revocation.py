"""Revoking a key with a date in the past: what it signed from then on is not to be believed, and is taken back."""

from __future__ import annotations

from targets.errors import InputError
from tuning_db.accounts import Account
from tuning_db.logs import log_of
from tuning_db.store import Store


def revoke(store: Store, owner: Account, id: str, since: float, by: Account, now: float) -> list[str]:
    """Revoke a key of a vendor from a date on, and withdraw the claims that came in with its signature since.

    That is one transaction, with an entry in the ledger for each batch that loses claims. Deadlines for withdrawing do
    not count: who has the key may have sent anything, and all can see afterwards what was taken back, and by whom.

    Args:
        owner: whose key it is.
        id: of the key.
        since: seconds since 1970, not later than ``now``; where the key is revoked from an earlier time, that stays.
        by: who says so: the owner, or an operator.
        now: seconds since 1970.

    Returns:
        Ids of the claims that were withdrawn by this.

    Raises:
        InputError: the owner has no such key, or ``since`` is still to come.
    """
    if since > now:
        raise InputError("a key is revoked from now on or from a time in the past")
    withdrawn: list[str] = []
    with store.transaction():
        store.revoke_key(owner, id, since)
        for row in store.signed_since(id, since):
            entry = store.entry(row["log"], row["seq"])
            gone = store.disown(owner.id, entry.payload["claims"], now, f"key {id} is revoked from before it came")
            if not gone:
                continue
            told = {"batch": row["batch"], "claims": gone, "key": id, "since": since}
            store.append(log_of(store, entry.payload["release"], owner.id, now), by.name, "revoke", told, now)
            withdrawn += gone
    return withdrawn
