"""Sending signed batches to a service, and seeing that what it answers is what it promised: a receipt that proves them.

An envelope is kept in a file before it is sent and until its receipt is, so that whatever happens on the way the very
same bytes can be sent again, which is one submission and not two.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from targets.errors import HeadstartError, InputError
from tuning_db.answers import CLAIMS, TAKEN
from tuning_db.batch import Batch, ClaimedTrial, read_batch
from tuning_db.batch_format import PAYLOAD_TYPE
from tuning_db.checkpoint import verifier_of_log
from tuning_db.client import Client, ServiceError, at
from tuning_db.entry import Entry
from tuning_db.envelope import MAX_ENVELOPE, read_envelope
from tuning_db.files import whole_file
from tuning_db.note import VerifierKey
from tuning_db.receipt import verify_receipt
from tuning_db.windows import PUBLIC

# By what a claim is known again: the same schedule may be timed anew.
KNOWN = ("workload", "target", "toolchain", "policy", "schedule", "median")


@dataclass(frozen=True)
class Parcel:
    """A batch in its envelope.

    Attributes:
        batch: what is claimed.
        data: the bytes of the envelope: what is sent, and sent again.
    """

    batch: Batch
    data: bytes

    @classmethod
    def of(cls, data: bytes) -> Parcel:
        """The parcel of an envelope. Who signed it is for the service to say.

        Raises:
            Refused: it is no envelope of a batch.
            InputError: it holds something else.
        """
        envelope = read_envelope(data)
        if envelope.payload_type != PAYLOAD_TYPE:
            raise InputError(f"the envelope holds {envelope.payload_type!r}, and no batch")
        return cls(read_batch(envelope.payload), data)

    @classmethod
    def read(cls, path: Path) -> Parcel:
        """The parcel in a file.

        Raises:
            InputError: no such file, or no envelope of a batch in it.
        """
        try:
            with path.open("rb") as file:
                return cls.of(file.read(MAX_ENVELOPE + 1))
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from None
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def write(self, folder: Path) -> Path:
        """Keep it in a file of its own; returns that.

        Raises:
            InputError: it cannot be written.
        """
        return _write(folder / f"{self.batch.id}.envelope.json", self.data)


@dataclass(frozen=True)
class Sent:
    """What became of a parcel.

    Attributes:
        parcel: what was sent.
        claims: ids of its trials at the service, in the order of the batch; none where it was refused.
        notes: what the service says of it besides: ``code``, ``entry``, ``message``.
        reasons: why it was refused: the same; none where it was taken.
        receipt: the file that has the receipt.
        verified: whether the receipt was verified.
    """

    parcel: Parcel
    claims: Sequence[str] = ()
    notes: Sequence[Mapping[str, Any]] = ()
    reasons: Sequence[Mapping[str, Any]] = ()
    receipt: Path | None = None
    verified: bool = False

    @property
    def taken(self) -> bool:
        """Whether the service has it."""
        return self.receipt is not None


def sent_before(client: Client, release: str | None, vendor: str) -> set[tuple[object, ...]]:
    """What a vendor has claimed for a release, or for the public, as ``known_by`` has it."""
    found: set[tuple[object, ...]] = set()
    after = None
    while True:
        page = client.get(at("claims"), CLAIMS, release=release or PUBLIC, vendor=vendor, after=after, count=500)
        found |= {tuple(row[name] for name in KNOWN) for row in page["claims"]}
        after = page["next"]
        if after is None or not page["claims"]:
            return found


def without(batches: Iterable[Batch], known: Container[object]) -> list[Batch]:
    """Batches without the trials that are ``known``, and without batches that have no other."""
    found = []
    for batch in batches:
        claims = tuple(claim for claim in batch.claims if known_by(claim) not in known)
        found += [replace(batch, claims=claims)] if claims else []
    return found


def known_by(claim: ClaimedTrial) -> tuple[object, ...]:
    """By what a claim is known again: the values of ``KNOWN``."""
    return (*vars(claim.key).values(), claim.schedule.id, claim.median)


def send(client: Client, parcel: Parcel, folder: Path, account: str, verifier: VerifierKey | None) -> Sent:
    """Send a parcel, and keep its receipt in a folder.

    Args:
        client: of the service.
        parcel: what to send.
        folder: where receipts are kept, and envelopes until they have one.
        account: id of the account that sends it.
        verifier: key of a log of the service, with which receipts are verified; None to believe them.

    Raises:
        HeadstartError: the service cannot be reached, or its receipt proves nothing of this batch. The envelope stays
            in the folder.
    """
    waiting = parcel.write(folder)
    try:
        answer = client.post(at("submissions"), parcel.data, TAKEN)
    except ServiceError as error:
        if error.code != "refused":
            raise HeadstartError(f"{error}; what was to be sent is in {waiting}") from None
        waiting.unlink()
        reasons = error.reasons or [{"code": error.code, "entry": None, "message": str(error)}]
        return Sent(parcel, reasons=reasons)
    except HeadstartError as error:
        raise HeadstartError(f"{error}; send it again with: headstart submit --file {waiting}") from None
    document = json.dumps(answer["receipt"]).encode()
    kept = _write(folder / f"{parcel.batch.id}.receipt.json", document)
    if verifier is not None:
        try:
            check_receipt(document, answer, parcel.batch, account, verifier)
        except ValueError as error:
            raise HeadstartError(f"{client.where} took the batch, but its receipt ({kept}) is wrong: {error}") from None
    waiting.unlink()
    return Sent(parcel, answer["claims"], answer["notes"], receipt=kept, verified=verifier is not None)


def check_receipt(
    document: bytes, answer: Mapping[str, Any], batch: Batch, account: str, verifier: VerifierKey
) -> Entry:
    """See that a receipt proves that a batch was taken, all of it, in a log that its vendor can read.

    Raises:
        ValueError: it does not; the message says what is wrong.
    """
    log = _log_of(document)
    if log != PUBLIC and not log.endswith(f".{account}"):
        raise ValueError(f"it is of log {log}, which is another account's")
    if log != PUBLIC and batch.release is None:
        raise ValueError(f"it is of log {log}, and the batch for the public")
    entry, _ = verify_receipt(document, verifier_of_log(verifier, log))
    told = entry.payload
    if (entry.action, told.get("batch"), told.get("content")) != ("submit", batch.id, batch.content):
        raise ValueError("its entry is of something else than this batch")
    if told.get("claims") != list(answer["claims"]) or len(answer["claims"]) != len(batch.claims):
        raise ValueError("its entry has other claims than the answer, or not as many as the batch")
    return entry


def _log_of(document: bytes) -> str:
    """The log that a receipt says it is of; nothing of it is believed yet."""
    try:
        log = json.loads(json.loads(document)["entry"])["log"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError("it has no entry") from None
    if not isinstance(log, str):
        raise ValueError("its entry is of no log")
    return log


def _write(path: Path, data: bytes) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path.parent}: {error.strerror}") from None
    with whole_file(path) as part:
        part.write_bytes(data)
    return path
