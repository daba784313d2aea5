"""What is verified without the database: a receipt for one entry, and a whole log.

**A receipt** is a JSON object:

    schema       "headstart-receipt/1"
    entry        the text of the entry (see ``tuning_db.entry``); its ``seq`` is where it is in the log
    inclusion    hashes in hex that lead from the entry to the checkpoint's root (RFC 9162, 2.1.3)
    checkpoint   a signed checkpoint (see ``tuning_db.checkpoint``)
    consistency  only where one was asked for: ``{"old": SIZE, "proof": [hashes in hex]}``, which shows that the log
                 began with what it was at that size (RFC 9162, 2.1.4)

**A log** is lines: first a JSON object ``{"checkpoint": a signed checkpoint, "schema": "headstart-log/1"}``, then the
text of each entry, in order. SHA-256 of a zero byte and such a line, without its newline, is a leaf of the tree.

Verifying raises ``ValueError`` with the reason for whatever is not as it must be, however hostile, and no other error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from targets.digest import canonical_json
from tuning_db.checkpoint import Checkpoint, key_of_log, sign_checkpoint, verify_checkpoint
from tuning_db.entry import Entry
from tuning_db.ledger import Ledgers
from tuning_db.merkle import HASH_BYTES, Frontier, leaf_hash, verify_consistency, verify_inclusion
from tuning_db.note import SigningKey, VerifierKey
from tuning_db.readers import count, parse, record, sequence, text

RECEIPT = "headstart-receipt/1"
LOG = "headstart-log/1"
# A receipt holds one entry and about sixty hashes.
MAX_RECEIPT = 16 << 20
MAX_LINE = 16 << 20


def checkpoint_of(ledgers: Ledgers, log: str, key: SigningKey, size: int | None = None) -> str:
    """A signed checkpoint of a log as it is now, or was at ``size``; ``key`` is the service's.

    Raises:
        InputError: the log has fewer entries.
        MissingExtra: the extra ``serve`` is not installed.
    """
    named = key_of_log(key, log)
    whole = ledgers.size(log) if size is None else size
    return sign_checkpoint(Checkpoint(named.name, whole, ledgers.root(log, whole)), named)


def receipt(
    ledgers: Ledgers, log: str, seq: int, key: SigningKey, old: int | None = None, size: int | None = None
) -> dict[str, Any]:
    """A receipt for an entry against the log as it is now, or was at ``size``; ``key`` is the service's.

    Args:
        old: a size of which the receipt is to show that the log continues it.

    Raises:
        InputError: the log has no such entry or size.
        MissingExtra: the extra ``serve`` is not installed.
    """
    whole = ledgers.size(log) if size is None else size
    document: dict[str, Any] = {
        "schema": RECEIPT,
        "entry": ledgers.entry(log, seq).content,
        "inclusion": _hexes(ledgers.inclusion(log, seq, whole)),
        "checkpoint": checkpoint_of(ledgers, log, key, whole),
    }
    if old is not None:
        document["consistency"] = {"old": old, "proof": _hexes(ledgers.consistency(log, old, whole))}
    return document


def verify_receipt(document: bytes, key: VerifierKey, older: str | bytes | None = None) -> tuple[Entry, Checkpoint]:
    """The entry that a receipt proves, and the checkpoint that it is in.

    Args:
        document: the JSON text.
        key: the log's verifier key.
        older: a signed checkpoint that somebody has kept; the receipt must show that its log continues it.

    Raises:
        ValueError: the receipt proves nothing; the message says why.
        MissingExtra: the extra ``serve`` is not installed.
    """
    fields = _read_receipt(document)
    with _about("entry"):
        entry = Entry.loads(fields["entry"].encode())
    checkpoint = _checkpoint("checkpoint", fields["checkpoint"], key)
    if entry.log != checkpoint.log:
        raise ValueError(f"the entry is of log {entry.log}, the checkpoint of {checkpoint.log}")
    if not verify_inclusion(entry.leaf, entry.seq, checkpoint.size, fields["inclusion"], checkpoint.root):
        raise ValueError(f"the proof does not show that entry {entry.seq} is in the log that the checkpoint signs")
    if older is not None:
        before = _checkpoint("older checkpoint", older, key)
        shown = fields.get("consistency", {"old": None, "proof": ()})
        # Of nothing, and of the same size, there is nothing to prove but that the roots are what they must be.
        needed = 0 < before.size < checkpoint.size
        if needed and shown["old"] != before.size:
            raise ValueError(
                f"it has no proof that its log continues the {before.size} entries of the older checkpoint"
            )
        verify_growth(before, checkpoint, shown["proof"] if needed else ())
    return entry, checkpoint


def verify_growth(older: Checkpoint, newer: Checkpoint, proof: Sequence[bytes]) -> None:
    """See by a consistency proof that one checkpoint of a log continues another, both verified before.

    Raises:
        ValueError: the proof does not show it.
    """
    _ordered(older, newer)
    if not verify_consistency(older.size, newer.size, older.root, newer.root, proof):
        raise ValueError(f"nothing shows that the {newer.size} entries begin with the {older.size} signed before")


def write_log(ledgers: Ledgers, log: str, key: SigningKey, file: IO[bytes]) -> int:
    """Write a whole log as lines, with a checkpoint that ``key``, the service's, signs.

    Returns:
        The number of entries.

    Raises:
        MissingExtra: the extra ``serve`` is not installed.
    """
    with ledgers.snapshot():
        signed = checkpoint_of(ledgers, log, key)
        file.write(canonical_json({"schema": LOG, "checkpoint": signed}).encode() + b"\n")
        for entry in ledgers.entries(log):
            file.write(entry.content.encode() + b"\n")
        return ledgers.size(log)


def verify_file(file: IO[bytes], key: VerifierKey, older: str | bytes | None = None) -> tuple[Entry | None, Checkpoint]:
    """``verify_receipt`` or ``verify_log`` of a file, whichever it is; a log is read a line at a time.

    Returns:
        The entry of a receipt, None for a log; and the checkpoint.

    Raises:
        ValueError: it is neither, or does not verify.
        MissingExtra: the extra ``serve`` is not installed.
    """
    first = file.readline(MAX_LINE + 1)
    signed = _log_head(first)
    if signed is None:
        return verify_receipt(first + file.read(MAX_RECEIPT), key, older)
    return None, verify_log(_lines(file), signed, key, older)


def verify_log(
    entries: Iterable[bytes], checkpoint: str | bytes, key: VerifierKey, older: str | bytes | None = None
) -> Checkpoint:
    """See that entries are those of a whole log, no more, no fewer, and in this order.

    Args:
        entries: their texts.
        checkpoint: a signed checkpoint of them.
        key: the log's verifier key.
        older: a signed checkpoint that somebody has kept; the same entries must begin with what it signs. That takes no
            consistency proof: its root is computed from the entries themselves.

    Returns:
        The checkpoint, verified.

    Raises:
        ValueError: they are not; the message says which entry, or what else.
        MissingExtra: the extra ``serve`` is not installed.
    """
    signed = _checkpoint("checkpoint", checkpoint, key)
    awaited = {signed.size: signed.root}
    if older is not None:
        before = _checkpoint("older checkpoint", older, key)
        _ordered(before, signed)
        if awaited.setdefault(before.size, before.root) != before.root:
            raise ValueError(f"two checkpoints of {signed.size} entries sign different roots: there are two logs")
    frontier = Frontier()
    _expect(frontier, awaited)
    for content in entries:
        number = frontier.size
        if number == signed.size:
            raise ValueError(f"there are more entries than the {signed.size} that the checkpoint signs")
        with _about(f"entry {number}"):
            entry = Entry.loads(content)
            if (entry.log, entry.seq) != (signed.log, number):
                raise ValueError(f"says that it is entry {entry.seq} of log {entry.log}")
        frontier.append(leaf_hash(content))
        _expect(frontier, awaited)
    if frontier.size < signed.size:
        raise ValueError(f"there are {frontier.size} entries, fewer than the {signed.size} that the checkpoint signs")
    return signed


def _expect(frontier: Frontier, roots: Mapping[int, bytes]) -> None:
    """See that a tree has the root that was signed for its size, where one was."""
    if frontier.size in roots and frontier.root() != roots[frontier.size]:
        raise ValueError(f"the first {frontier.size} entries do not hash to the root that was signed for that size")


def _ordered(older: Checkpoint, newer: Checkpoint) -> None:
    if older.size > newer.size:
        raise ValueError(
            f"the checkpoint is of {newer.size} entries, the older one of {older.size}: "
            "it is not the older one, or entries were taken away"
        )


def _checkpoint(where: str, note: str | bytes, key: VerifierKey) -> Checkpoint:
    with _about(where):
        return verify_checkpoint(note, key)


@contextmanager
def _about(where: str) -> Iterator[None]:
    """Say of what the block is where something is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _read_receipt(document: bytes) -> dict[str, Any]:
    """The fields of a receipt, proofs as bytes."""
    if len(document) > MAX_RECEIPT:
        raise ValueError(f"is larger than {MAX_RECEIPT >> 20} MiB")
    value = parse(document)
    if value.get("schema") != RECEIPT:
        raise ValueError(f"has schema {str(value.get('schema'))[:40]!r}, not {RECEIPT!r}")
    fields = {"schema": text, "entry": text, "inclusion": sequence(_hash), "checkpoint": text}
    if "consistency" in value:
        fields["consistency"] = record({"old": count, "proof": sequence(_hash)})
    whole: dict[str, Any] = record(fields)(value)
    return whole


def _log_head(line: bytes) -> str | None:
    """The signed checkpoint of a log whose first line this is, None where it is not the first line of one."""
    try:
        head = parse(line)
    except ValueError:
        return None
    if head.get("schema") != LOG:
        return None
    signed: str = record({"schema": text, "checkpoint": text})(head)["checkpoint"]
    return signed


def _hash(value: Any) -> bytes:
    if not re.fullmatch(f"[0-9a-f]{{{2 * HASH_BYTES}}}", text(value)):
        raise ValueError(f"must be {2 * HASH_BYTES} hexadecimal digits")
    return bytes.fromhex(value)


def _hexes(proof: Iterable[bytes]) -> list[str]:
    return [one.hex() for one in proof]


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file without their newlines."""
    while line := file.readline(MAX_LINE + 1):
        if not line.endswith(b"\n"):
            raise ValueError(f"a line is longer than {MAX_LINE >> 20} MiB, or the last one was cut short")
        yield line[:-1]
