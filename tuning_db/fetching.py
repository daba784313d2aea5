"""Fetching a whole ledger from a service, verified as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from targets.digest import canonical_json
from tuning_db.answers import CHECKPOINT, ENTRIES
from tuning_db.checkpoint import Checkpoint
from tuning_db.client import Client, at
from tuning_db.note import VerifierKey, split_note
from tuning_db.receipt import LOG, verify_log


def fetch_checkpoint(client: Client, log: str) -> str:
    """The signed checkpoint of a log as it is now; nothing of it is verified."""
    signed: str = client.get(at("ledgers", log, "checkpoint"), CHECKPOINT)["checkpoint"]
    return signed


def fetch_log(
    client: Client, log: str, verifier: VerifierKey | None, older: bytes | None = None, file: IO[bytes] | None = None
) -> tuple[str, Checkpoint]:
    """Fetch a whole log, a page at a time, verify it and perhaps write it down as ``receipt.write_log`` does.

    Args:
        client: of the service.
        log: its name.
        verifier: the log's key; None to believe the service.
        older: a signed checkpoint that was kept, which the log must continue.
        file: where to write it.

    Returns:
        The signed checkpoint of what was fetched, and what it says.

    Raises:
        ValueError: it does not verify; the message says what is wrong.
        HeadstartError: as ``Client``.
    """
    signed = fetch_checkpoint(client, log)
    said = Checkpoint.loads(split_note(signed)[0])
    if file is not None:
        file.write(canonical_json({"schema": LOG, "checkpoint": signed}).encode() + b"\n")
    entries = _entries(client, log, said.size, file)
    if verifier is not None:
        return signed, verify_log(entries, signed, verifier, older)
    if (count := sum(1 for _ in entries)) != said.size:
        raise ValueError(f"there are {count} entries, and the checkpoint is of {said.size}")
    return signed, said


def _entries(client: Client, log: str, size: int, file: IO[bytes] | None) -> Iterator[bytes]:
    """The texts of the first ``size`` entries; later ones, added meanwhile, are left for another time."""
    start = 0
    while start < size:
        page = client.get(at("ledgers", log, "entries"), ENTRIES, start=start, count=min(1000, size - start))
        if not page["entries"]:
            return
        for text in page["entries"]:
            line = text.encode()
            if file is not None:
                if b"\n" in line:
                    raise ValueError(f"entry {start} is more than one line")
                file.write(line + b"\n")
            yield line
        start += len(page["entries"])
