"""What the commands of ``headstart ledger`` share: verdicts, and figures as they are shown."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from cli._output import echo_json
from targets.errors import HeadstartError, InputError

if TYPE_CHECKING:
    from tuning_db.checkpoint import Checkpoint
    from tuning_db.note import VerifierKey
    from tuning_db.store import Store


def verify_one_file(file: IO[bytes], verifier: VerifierKey, kept: bytes | None, as_json: bool) -> None:
    """Verify a receipt or a log, against a kept checkpoint where there is one, and say what it proves.

    Raises:
        HeadstartError: it does not verify.
    """
    from tuning_db.receipt import verify_file

    name = click.format_filename(file.name)
    with _verdict(name):
        entry, signed = verify_file(file, verifier, kept)
    since = " and continues the older checkpoint" if kept else ""
    if as_json:
        proved = {"entry": vars(entry)} if entry else {}
        echo_json({"path": name, "kind": "receipt" if entry else "log", **_facts(signed), **proved})
    elif entry:
        done = f"entry {entry.seq} of {entry.log} ({entry.actor} {entry.action} at {moment(entry.created)} UTC)"
        click.echo(f"{name}: {done} is in the log of size {signed.size:,} that {signed.origin} signed{since}")
    else:
        click.echo(f"{name}: whole, the log of size {signed.size:,} that {signed.origin} signed{since}")


def verify_logs_of(db: Path, log: str | None, verifier: VerifierKey | None, kept: bytes | None, as_json: bool) -> None:
    """Go over the logs of a database, or over one, say what was found, and exit with 1 where something is wrong.

    Raises:
        InputError: there is no such log.
        HeadstartError: the kept checkpoint does not verify.
    """
    from tuning_db.audit import audit
    from tuning_db.checkpoint import verify_checkpoint
    from tuning_db.store import Store

    older = None
    if verifier and kept is not None:
        with _verdict("checkpoint"):
            older = verify_checkpoint(kept, verifier)
        if log not in (None, older.log):
            raise InputError(f"the checkpoint is of log {older.log}, not {log}")
        log = older.log
    with Store.open(db, create=False) as store:
        if log and not older:
            require(store, log)
        found = [audit(store, one, older) for one in ([log] if log else store.logs())]
    if as_json:
        listed = [{**vars(one), "root": base64_of(one.root) if one.root else None} for one in found]
        echo_json({"path": str(db), "logs": listed})
    else:
        since = ", continues the older checkpoint" if older else ""
        for one in found:
            for problem in one.problems:
                click.echo(f"{one.log}: {problem}")
            if one.root:
                click.echo(f"{one.log}: whole, size {one.size:,}, root {base64_of(one.root)}{since}")
        if not found:
            click.echo(f"{db} has no log")
    sys.exit(1 if any(one.problems for one in found) else 0)


def require(store: Store, log: str) -> None:
    """See that a log is there: a mistyped name must not be signed as a log that is empty.

    Raises:
        InputError: it is not.
    """
    if log not in (there := store.logs()):
        raise InputError(f"{store.path} has no log {log!r}; it has {', '.join(there) or 'none'}")


def verifier_key(text: str) -> VerifierKey:
    """The key that an option gives.

    Raises:
        InputError: it is none.
    """
    from tuning_db.note import VerifierKey

    with wrong_input():
        return VerifierKey.loads(text)


def read_note_file(file: IO[bytes]) -> bytes:
    """A checkpoint that is to be verified: no more of a file than a note may have."""
    from tuning_db.note import MAX_NOTE

    return file.read(MAX_NOTE + 1)


@contextmanager
def wrong_input() -> Iterator[None]:
    """What is wrong in the block is the caller's input."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from None


@contextmanager
def _verdict(name: str) -> Iterator[None]:
    """What is wrong in the block is why a file does not verify."""
    try:
        yield
    except ValueError as error:
        raise HeadstartError(f"{name} does not verify: {error}") from None


def _facts(signed: Checkpoint) -> dict[str, Any]:
    return {"origin": signed.origin, "size": signed.size, "root": base64_of(signed.root)}


def base64_of(value: bytes) -> str:
    """A hash as checkpoints have it."""
    return base64.b64encode(value).decode()


def moment(value: float) -> str:
    """Seconds since 1970 as date and time in UTC."""
    return f"{datetime.fromtimestamp(value, timezone.utc):%Y-%m-%d %H:%M:%S}"
