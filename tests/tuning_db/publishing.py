"""A repository in a database, without a service: who signs for it, and a bundle that is published."""

from __future__ import annotations

from tests.tuning_db.claims import key
from tuning_db.keys import PrivateKey
from tuning_db.published import BundleFile, Prebuilt, blob_path
from tuning_db.releases import DAY
from tuning_db.repository.draft import Draft
from tuning_db.repository.drafting import begin, next_targets
from tuning_db.repository.metadata import online_key
from tuning_db.repository.publishing import checked, publish
from tuning_db.store import Store
from tuning_db.windows import PUBLIC

NOW = 1.8e9
LIFETIMES = {"root": 365 * DAY, "targets": 90 * DAY}
ROOT, TARGETS, ONLINE = key("root-1", bytes(32)), key("targets-1", bytes([1] * 32)), key("service-1", bytes([2] * 32))
BUNDLE = "bundles/tiny/decode-t1-b1-kv1-tp1-ep1/c0/x0/p0.json"


def first() -> Draft:
    """The beginning, signed."""
    online = online_key(ONLINE, PUBLIC).public
    made = begin(PUBLIC, online, {"root": [ROOT.public], "targets": [TARGETS.public]}, {"root": 1, "targets": 1},
                 LIFETIMES, NOW)  # fmt: skip
    made.sign([ROOT, TARGETS])
    return made


def take(store: Store, draft: Draft, now: float = NOW, key: PrivateKey = ONLINE) -> None:
    """Publish a draft."""
    online = online_key(key, PUBLIC)
    publish(store, PUBLIC, checked(store, PUBLIC, draft.texts["root"], draft.texts["targets"], online.public, now),
            online, now)  # fmt: skip


def present(store: Store) -> Draft:
    """What is published, as a draft without changes."""
    targets = store.metadata(PUBLIC, "targets")
    return Draft(PUBLIC, store.roots(PUBLIC), targets.content if targets else None)


def bundled(store: Store, library: bytes, now: float = NOW) -> Draft:
    """The next targets, with a bundle of one file, which is here."""
    file = store.keep_blob(PUBLIC, library, now)
    said = Prebuilt("0" * 64, {"kernels.so": BundleFile(file.digest, file.length)})
    store.keep_blob(PUBLIC, said.dumps(), now)
    draft = present(store)
    files = {blob_path(file.digest): (file.digest, file.length), BUNDLE: (said.digest, len(said.dumps()))}
    next_targets(draft, files, LIFETIMES["targets"], now)
    draft.sign([TARGETS])
    return draft


def populate(store: Store) -> None:
    """The repository of the public, with one bundle."""
    take(store, first())
    take(store, bundled(store, b"a library"))
