"""Taking a batch into a shared database: everything that is checked of it, and what is stored, all or nothing.

The order is that of cost and of trust: who signed it, whether it was taken before, whether the windows are open, and
only then what it says. A release that is not open to a vendor is answered as one that does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from targets.errors import InputError
from tuning_db.accounts import Account
from tuning_db.batch import Batch
from tuning_db.claim import Claim
from tuning_db.keys import PublicKey
from tuning_db.logs import log_of
from tuning_db.note import SigningKey
from tuning_db.quotas import NO_QUOTA, Quota
from tuning_db.reasons import Finding, Reason, Refused
from tuning_db.receipt import receipt
from tuning_db.records import Key
from tuning_db.screening import Computation, Known, catalogue_by_fingerprint, screen, space_versions
from tuning_db.store import Store
from tuning_db.submission import check_replay, is_retry, open_batch
from tuning_db.windows import PUBLIC, Viewer


class Rejected(InputError):
    """A batch is refused for what trials of it say; ``findings`` has everything, the message is one line."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        wrong = [finding for finding in findings if finding.reason.refuses]
        first = wrong[0]
        super().__init__(f"{len(wrong)} problems, the first in entry {first.entry}: {first.said}")
        self.findings = list(findings)


def open_submission(store: Store, data: bytes, account: Account, now: float) -> tuple[Batch, PublicKey]:
    """Read an envelope that an account sent; only reads the database.

    Raises:
        Refused: as ``open_batch``, where the valid keys are those of the account.
    """
    ids = [row["id"] for row in store.keys(account)]
    keys = [PublicKey.from_line(line) for line in store.good_keys(account, ids, now)]
    batch, signer = open_batch(data, dict.fromkeys(keys, account.name))
    # Worked out here, where it holds up nobody who writes; what is asked for again is kept.
    batch.content  # noqa: B018
    return batch, signer


def take(
    store: Store,
    batch: Batch,
    signer: PublicKey,
    size: int,
    account: Account,
    now: float,
    key: SigningKey,
    spaces: Mapping[str, int] | None = None,
    quota: Quota = NO_QUOTA,
) -> dict[str, Any]:
    """Keep the claims of a batch with an entry in the ledger, in one transaction; a retry changes nothing.

    Args:
        batch, signer: what ``open_submission`` returned.
        size: bytes of the envelope.
        account: who sent it, a vendor.
        now: seconds since 1970, when it was received.
        key: the service's, which signs the receipt.
        spaces: versions of spaces by name; those of this Headstart unless said.
        quota: what everybody may send of whom nothing else is said.

    Returns:
        ``batch``, ``received``, ``claims`` (ids of trials, in the order of the batch), ``notes`` and ``receipt``, the
        same for every retry.

    Raises:
        Refused: the key was revoked meanwhile, the nonce was another batch's, an earlier batch claimed the same, or it
            is more than the vendor may send in a day.
        Rejected: of any of its trials something is wrong.
        InputError: several releases that are open to the vendor have the name.
    """
    with store.transaction():
        if not store.good_keys(account, [signer.id], now):
            raise Refused(Reason.UNKNOWN_KEY, f"key {signer.id} is not valid any more")
        earlier = store.submission(account.id, batch.nonce)
        if is_retry(batch, {batch.nonce: earlier["batch"]} if earlier else {}):
            return _answer(store, account, batch.nonce, key)
        check_replay(batch, {batch.content} if store.has_content(account.id, batch.content) else ())
        store.require_room(account.id, store.quota(account.id, quota), now, len(batch.claims), size)
        release, findings = _screened(store, batch, account, now, space_versions() if spaces is None else spaces)
        if any(finding.reason.refuses for finding in findings):
            raise Rejected(findings)
        _keep(store, batch, signer, size, account, release, now, [told(finding) for finding in findings])
        return _answer(store, account, batch.nonce, key)


def told(finding: Finding) -> dict[str, Any]:
    """A finding as the vendor gets it."""
    return {"code": finding.reason.value, "entry": finding.entry, "message": finding.said}


def _screened(
    store: Store, batch: Batch, account: Account, now: float, spaces: Mapping[str, int]
) -> tuple[str, list[Finding]]:
    """Id of the release, empty where none is open, and what is to be said of the trials."""
    viewer = Viewer(now, account.id)
    found = store.release(viewer, batch.release) if batch.release else None
    release = PUBLIC if batch.release is None else found.id if found else ""
    workloads: dict[str, Computation] = {}
    taken: set[Key] = set()
    for key in {claim.key for claim in batch.claims}:
        # Nothing is read of what is not open: not even the time that it takes may tell that it is there.
        if store.takes(viewer, release, key) and (said := store.said(release, key.workload, now)):
            taken.add(key)
            workloads[key.workload] = Computation.of_row(said)
    earlier = store.claimed(release, account.id)
    findings = screen(batch, Known(workloads, spaces=spaces, claims=earlier, schedules=earlier))
    # A window may be open for one target and not for another; what is said is the same as for an unknown workload.
    findings += [
        Finding(Reason.UNKNOWN_WORKLOAD, at, f"no workload {claim.workload}")
        for at, claim in enumerate(batch.claims, 1)
        if claim.key not in taken and claim.workload in workloads
    ]
    return release, sorted(findings, key=lambda finding: finding.entry)


def _keep(
    store: Store,
    batch: Batch,
    signer: PublicKey,
    size: int,
    account: Account,
    release: str,
    now: float,
    notes: Sequence[Mapping[str, Any]],
) -> None:
    for chip in {claim.target.fingerprint: claim.target for claim in batch.claims}.values():
        # What a vendor declares is not kept for a chip that everybody knows.
        if target := catalogue_by_fingerprint().get(chip.fingerprint):
            store.add_target(target.fingerprint, target.name, target.vendor, target.spec())
        else:
            store.declare(release, account.id, chip)
    for toolchain in {claim.toolchain.id: claim.toolchain for claim in batch.claims}.values():
        store.add_toolchain(toolchain)
    for policy in {claim.policy.id: claim.policy for claim in batch.claims}.values():
        store.add_policy(policy)
    for plan in {claim.schedule.id: claim.schedule for claim in batch.claims}.values():
        store.add_schedule(plan.id, plan.space, plan.version, plan.config)
    trials = []
    for claim in batch.claims:
        trial = claim.trial(account.name)
        store.add_claim(Claim(trial, release, account.id, batch.id, now))
        trials.append(trial.id)
    store.add_claimed(release, account.id, batch.claims)
    payload = {"batch": batch.id, "claims": trials, "content": batch.content, "key": signer.id, "release": release}
    entry = store.append(log_of(store, release, account.id, now), account.name, "submit", payload, now)
    store.add_submission(batch, account.id, signer.id, size, entry, notes)


def _answer(store: Store, account: Account, nonce: str, key: SigningKey) -> dict[str, Any]:
    """From what is stored, and as of the size of then, so that it is the same whenever it is asked for."""
    row = store.submission(account.id, nonce)
    assert row is not None
    entry = store.entry(row["log"], row["seq"])
    return {
        "batch": row["batch"],
        "received": entry.created,
        "claims": entry.payload["claims"],
        "notes": row["notes"],
        "receipt": receipt(store, row["log"], row["seq"], key, size=row["seq"] + 1),
    }
