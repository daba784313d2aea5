"""A database in which many vendors have claimed much: made in bulk, in the state that the service itself leaves.

``honest`` goes through ``intake``, a claim at a time; ``bulk`` writes the same rows many at a time, with
what leads kept in memory. ``test_crowded`` compares the two, table by table.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from targets.digest import canonical_json, digest
from tests.tuning_db.crowd import WORKLOADS, chip, claim, computation, model
from tuning_db.accounts import Account
from tuning_db.batch import Batch, ClaimedTrial
from tuning_db.claim import Claim, leader
from tuning_db.claimed import ADD, likeness
from tuning_db.entry import SALT_BYTES, Entry
from tuning_db.history import Turn, turn, write
from tuning_db.intake import _keep
from tuning_db.keys import PrivateKey, PublicKey
from tuning_db.ledger import COLUMNS as ENTRY
from tuning_db.merkle import Frontier, leaf_hash
from tuning_db.records import Key, Trial
from tuning_db.releases import DAY, Release, Rules
from tuning_db.store import Store
from tuning_db.trials import COLUMNS, to_row

NOW = 1.78e9
# Vendors that are invited to one release, and trials in a batch.
INVITED, TRIALS = 20, 20


@dataclass(frozen=True)
class Parcel:
    """A batch that is to be kept, with what ``intake`` knows of it by then."""

    batch: Batch
    signer: PublicKey
    account: Account
    release: str
    now: float


@dataclass(frozen=True)
class Crowd:
    """Everybody: each vendor with its key and the number of its release; a referee that is invited everywhere."""

    lab: Account
    referee: Account
    releases: list[Release]
    vendors: list[tuple[Account, PublicKey, int]]


def gather(store: Store, vendors: int) -> Crowd:
    """People and releases. The last release is not launched at ``NOW``, all others are."""
    with store.transaction():
        lab = store.add_account("lab", "publisher", NOW - 100 * DAY)
        referee = store.add_account("referee", "referee", NOW - 100 * DAY)
        releases = []
        count = max(2, vendors // INVITED)
        for n in range(count):
            work = [computation(n, at) for at in range(WORKLOADS)]
            for one in work:
                store.add_workload(**one)
            launch = NOW + 30 * DAY if n == count - 1 else NOW - DAY - n
            races = store.add_release(f"release-{n}", lab, launch, Rules(), [model(n)], NOW - 90 * DAY)
            store.describe(races.id, [{name: one[name] for name in one if name != "id"} for one in work])
            store.invite(races, referee, NOW - 80 * DAY)
            releases.append(races)
        made = []
        for n in range(vendors):
            account = store.add_account(f"vendor-{n}", "vendor", NOW - 100 * DAY)
            key = PrivateKey.new(f"vendor-{n}-1").public
            store.add_key(account, key.id, key.line, NOW - 100 * DAY)
            store.invite(releases[n % count], account, NOW - 80 * DAY)
            made.append((account, key, n % count))
    return Crowd(lab, referee, releases, made)


def parcels(crowd: Crowd, trials: int, seed: int = 0) -> Iterator[Parcel]:
    """Batches of all vendors in turn, for days before the first launch."""
    rng = random.Random(seed)
    count = trials // TRIALS
    for at in range(count):
        account, key, of = crowd.vendors[at % len(crowd.vendors)]
        release = crowd.releases[of]
        # A chip of its own, and one that some others have too.
        number = at % len(crowd.vendors)
        chips = (chip(number), chip(number // 5 * 5, 1))
        first = at // len(crowd.vendors) * TRIALS
        claims = tuple(
            claim(rng, computation(of, n % WORKLOADS), chips[n // WORKLOADS % 2], n)
            for n in range(first, first + TRIALS)
        )
        batch = Batch(account.name, claims, release.name, f"{at:032x}", NOW - 40 * DAY)
        # What its bytes hash to takes longer than all the rest, and is nothing to any query.
        vars(batch)["id"] = digest("b", f"batch {at}")
        yield Parcel(batch, key, account, release.id, NOW - 40 * DAY + at * 30 * DAY / max(1, count))


def honest(store: Store, some: Iterable[Parcel]) -> None:
    """Keep them as the service does."""
    for one in some:
        with store.transaction():
            _keep(store, one.batch, one.signer, 0, one.account, one.release, one.now, [])


def bulk(store: Store, some: Iterable[Parcel], together: int = 500) -> None:
    """Keep them many at a time; the database has no claims yet."""
    logs: dict[str, Frontier] = {}
    last: dict[tuple[str, Key, str], Turn] = {}
    waiting: list[Parcel] = []
    for one in some:
        waiting.append(one)
        if len(waiting) == together:
            _flush(store, waiting, logs, last)
            waiting = []
    _flush(store, waiting, logs, last)


def _flush(store: Store, some: list[Parcel], logs: dict[str, Frontier], last: dict[tuple[str, Key, str], Turn]) -> None:
    schedules: dict[str, tuple[Any, ...]] = {}
    trials, claims, known, entries, submissions = [], [], [], [], []
    turns: list[tuple[str, Key, Turn]] = []
    begun: set[str] = set()
    with store.transaction():
        for one in some:
            ids = []
            for target in {c.target.fingerprint: c.target for c in one.batch.claims}.values():
                store.declare(one.release, one.account.id, target)
            store.add_toolchain(one.batch.claims[0].toolchain)
            store.add_policy(one.batch.claims[0].policy)
            for claimed in one.batch.claims:
                plan, trial = claimed.schedule, claimed.trial(one.account.name)
                schedules[plan.id] = (plan.id, plan.space, plan.version, canonical_json(dict(plan.config)))
                trials.append(to_row(trial))
                claims.append(_claim(one, trial))
                known += [(one.account.id, one.release, what, plan.id) for what in _whats(claimed)]
                turns += _turns(last, Claim(trial, one.release, one.account.id, one.batch.id, one.now))
                ids.append(trial.id)
            log = f"{one.release}.{one.account.id}"
            frontier = logs.setdefault(log, Frontier())
            payload = {"batch": one.batch.id, "claims": ids, "content": one.batch.content, "key": one.signer.id}
            payload["release"] = one.release
            salt = os.urandom(SALT_BYTES).hex()
            entry = Entry(log, frontier.size, one.account.name, "submit", payload, one.now, salt)
            hashes = frontier.append(leaf_hash(entry.content.encode()))
            entries.append((*_entry(entry), b"".join(hashes)))
            if not entry.seq:
                begun.add(log)
            submissions.append(
                (
                    *(one.batch.id, one.account.id, one.batch.nonce, one.batch.content, log, entry.seq, "[]"),
                    *(one.signer.id, one.now, len(ids), 0),
                )
            )
        many = store.connection.executemany
        many("INSERT INTO schedule VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", schedules.values())
        many(f"INSERT INTO trial ({', '.join(COLUMNS)}) VALUES ({_marks(len(COLUMNS))})", trials)
        many(f"INSERT INTO claim VALUES ({_marks(12)})", claims)
        many(ADD, known)
        many("INSERT INTO ledger VALUES (?, 0)", [(log,) for log in begun])
        for row in entries:  # the triggers want each to be the next
            store.execute(f"INSERT INTO ledger_entry ({', '.join(ENTRY)}, hashes) VALUES ({_marks(8)})", row)
            store.execute("UPDATE ledger SET size = size + 1 WHERE log = ?", (row[0],))
        many(
            "INSERT INTO submission (batch, vendor, nonce, content, log, seq, notes, key, received, claims, bytes)"
            f" VALUES ({_marks(11)})",
            submissions,
        )
        for release, key, one_turn in turns:
            write(store.connection, release, key, [one_turn], [one_turn])


def _turns(last: dict[tuple[str, Key, str], Turn], claim: Claim) -> Iterator[tuple[str, Key, Turn]]:
    """As ``Leads.arrives``."""
    key = claim.trial.key
    for whose in ("", claim.vendor):
        before = last.get((claim.release, key, whose))
        led = before.claim(claim.release, key) if before else None
        now = turn(before, whose, leader([*([led] if led else []), claim]), claim.received, None)
        if now:
            last[claim.release, key, whose] = now
            yield claim.release, key, now


def _claim(one: Parcel, trial: Trial) -> tuple[Any, ...]:
    of = (trial.id, one.release, one.account.id, one.batch.id, *vars(trial.key).values())
    return (*of, one.now, "claimed", "standing", "")


def _whats(claimed: ClaimedTrial) -> tuple[str, str]:
    return claimed.id, likeness(claimed.key, claimed.essence)


def _entry(entry: Entry) -> tuple[Any, ...]:
    return tuple(canonical_json(entry.payload) if name == "payload" else getattr(entry, name) for name in ENTRY)


def _marks(count: int) -> str:
    return ", ".join("?" * count)
