"""Which log of the ledger holds what, and who may read it.

A release has logs of its own until its launch: one of each account that it is open to, called ``RELEASE.ACCOUNT`` by
their ids, so that its size tells nobody else what the account does, and one of its publisher, called ``RELEASE``. Each
has what the account did and what it read. From the launch on they are everybody's to read, and what happens then is in
``public``.
"""

from __future__ import annotations

from tuning_db.store import Store
from tuning_db.windows import PUBLIC, Viewer, open_release


def log_of(store: Store, release: str, account: str, now: float) -> str:
    """Name of the log for what an account does in a release, both by id; the release is there."""
    found = store.rows("SELECT launch, publisher FROM release WHERE id = ?", (release,))[0]
    if found["launch"] <= now:
        return PUBLIC
    return release if found["publisher"] == account else f"{release}.{account}"


def embargoed_logs(store: Store, now: float) -> list[str]:
    """Names of the logs that have entries and are not everybody's to read."""
    found = store.rows(
        "SELECT l.log FROM release r JOIN ledger l ON l.log = r.id"
        " OR (l.log > r.id || '.' AND l.log < r.id || '/') WHERE r.launch > ? ORDER BY l.log",
        (now,),
    )
    return [row["log"] for row in found]


def open_log(store: Store, viewer: Viewer, log: str) -> bool:
    """Whether there is such a log for the viewer: one that is theirs may still be empty, others' may not."""
    if log == PUBLIC:
        return True
    release, _, owner = log.partition(".")
    values = {**viewer.values, "release": release, "owner": owner}
    if store.value("SELECT 1 FROM release r WHERE r.id = :release AND r.launch <= :now", values):
        return store.size(log) > 0
    mine = "r.publisher = :account" if not owner else f":owner = :account AND {open_release('r')}"
    return store.value(f"SELECT 1 FROM release r WHERE r.id = :release AND {mine}", values) is not None
