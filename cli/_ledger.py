"""What the commands of ``headstart ledger`` share: verdicts, and figures as they are shown."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from cli._moment import moment
from cli._output import echo_json, say
from targets.errors import HeadstartError, InputError
from tuning_db.reasons import printable

if TYPE_CHECKING:
    from cli._service import Connection
    from tuning_db.checkpoint import Checkpoint
    from tuning_db.entry import Entry
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


def verify_service(
    connection: Connection, log: str, known: VerifierKey, kept: bytes | None, keep: Path | None, as_json: bool
) -> None:
    """Fetch a log of a service and verify it here, against a kept checkpoint where there is one, and say so.

    Args:
        known: key of any log of the service.
        keep: where to write the checkpoint of what was verified, so that the next time it is the kept one.

    Raises:
        HeadstartError: it does not verify.
    """
    from tuning_db.checkpoint import verifier_of_log
    from tuning_db.fetching import fetch_log
    from tuning_db.files import whole_file

    with wrong_input():
        verifier = verifier_of_log(known, log)
    with connection.open() as client, _verdict(f"{log} of {connection.where}"):
        signed, said = fetch_log(client, log, verifier, kept)
    if keep:
        with whole_file(keep) as part:
            part.write_text(signed)
    since = ", continues the older checkpoint" if kept else ""
    if as_json:
        echo_json({"url": connection.where, "log": log, **_facts(said)})
    else:
        say(f"{log}: whole, size {said.size:,}, root {base64_of(said.root)}{since}")


def shown_by_service(connection: Connection, log: str, start: int | None, count: int) -> tuple[int, list[Entry]]:
    """Size of a log of a service, and ``count`` entries of it, the last ones where no ``start`` is given."""
    from tuning_db.answers import ENTRIES
    from tuning_db.checkpoint import Checkpoint
    from tuning_db.client import at
    from tuning_db.entry import Entry
    from tuning_db.fetching import fetch_checkpoint
    from tuning_db.note import split_note

    with connection.open() as client, unverified(connection.where):
        size = Checkpoint.loads(split_note(fetch_checkpoint(client, log))[0]).size
        first = max(0, size - count) if start is None else start
        page = client.get(at("ledgers", log, "entries"), ENTRIES, start=first, count=min(count, 1000))
        return size, [Entry.loads(text.encode()) for text in page["entries"]]


def print_checkpoint(log: str, signed: str, as_json: bool) -> None:
    """Print what a service signed, as it came: nothing of it is verified."""
    from tuning_db.checkpoint import Checkpoint
    from tuning_db.note import split_note

    with unverified("the service"):
        said = Checkpoint.loads(split_note(signed)[0])
    if as_json:
        echo_json({"log": log, "size": said.size, "root": base64_of(said.root), "checkpoint": signed})
    else:
        click.echo(signed, nl=False)


@contextmanager
def unverified(where: str) -> Iterator[None]:
    """What is wrong in the block is what a service says, which was to be taken as it is."""
    try:
        yield
    except ValueError as error:
        raise HeadstartError(printable(f"{where} answers as no Headstart does: {error}")) from None


def needed_key(path: Path | None) -> Path:
    """The file of a key that an option gives.

    Raises:
        InputError: it is left out.
    """
    if path is None:
        raise InputError("what is printed of a file is signed: give the signing key with --key-file")
    return path


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
