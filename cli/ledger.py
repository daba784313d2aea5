"""``headstart ledger``: logs that nobody can change unseen, and what proves it."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import click

from cli._ledger import (
    base64_of,
    moment,
    needed_key,
    print_checkpoint,
    read_note_file,
    require,
    shown_by_service,
    unverified,
    verifier_key,
    verify_logs_of,
    verify_one_file,
    verify_service,
    wrong_input,
)
from cli._output import echo_json, json_option, table
from cli._service import Connection, url_options
from targets.digest import canonical_json
from targets.errors import InputError

PUBLIC = "public"


def _log_name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    from tuning_db.checkpoint import log_name

    try:
        return None if value is None else log_name(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


log_option = click.option("--log", default="public", show_default=True, callback=_log_name, help="Which log.")
key_file_option = click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    help="Signing key, as `headstart ledger key` makes it; for a file. A service has its own.",
)


@click.group()
def command() -> None:
    """Verify and show ledgers: logs of who did what, which are only ever added to.

    \b
    Example:
      headstart ledger verify --db headstart.db
      headstart ledger show --log public
    """


@command.command()
@click.argument("file", type=click.File("rb"), required=False)
@url_options
@click.option("--log", callback=_log_name, help="Which log of the database; all of them where it is left out.")
@click.option("--key", help="Verifier key of the log, NAME+ID+KEY: whose signature is believed.")
@click.option("--since", type=click.File("rb"), help="Checkpoint that was kept: the log must continue it.")
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Of a service: keep the checkpoint here, for the next --since."
)
@json_option
def verify(
    file: IO[bytes] | None,
    connection: Connection,
    log: str | None,
    key: str | None,
    since: IO[bytes] | None,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Verify FILE, a receipt or a whole log, without the database; or, without FILE, the logs of a database.

    Of a service, one log is fetched, `public` unless said, and verified here, with the key of any of its logs. Exits
    with 1 where it does not verify.

    \b
    Example:
      headstart ledger verify receipt.json --key "$(cat public.vkey)"
      headstart ledger verify --db headstart.db --key "$(cat public.vkey)" --since last-week.txt
      headstart ledger verify --db https://race.example --key "$(cat public.vkey)" --since kept.txt --keep kept.txt
    """
    if connection.is_url and not file:
        if key is None:
            raise InputError("what a service says is verified with its verifier key: give it with --key")
        verify_service(
            connection, log or PUBLIC, verifier_key(key), read_note_file(since) if since else None, keep, as_json
        )
        return
    if keep:
        raise InputError("--keep is for the log of a service; `headstart ledger checkpoint` prints one of a file")
    if (file or since) and key is None:
        raise InputError("a signature is verified with the verifier key of the log: give it with --key")
    if file and log:
        raise InputError("--log chooses a log of a database; the log of FILE is that of --key")
    if key and not (file or since):
        raise InputError("a database holds no signature to verify with --key; give FILE or --since")
    verifier = verifier_key(key) if key else None
    kept = read_note_file(since) if since else None
    if file and verifier:
        verify_one_file(file, verifier, kept, as_json)
    else:
        verify_logs_of(connection.path, log, verifier, kept, as_json)


@command.command()
@log_option
@click.option("--start", type=click.IntRange(0), help="First entry to show; without it, the last ones are shown.")
@click.option("--count", type=click.IntRange(1), default=20, show_default=True, help="Entries to show.")
@url_options
@json_option
def show(log: str, start: int | None, count: int, connection: Connection, as_json: bool) -> None:
    """Show entries of a log.

    \b
    Example:
      headstart ledger show --log public --start 0 --count 5
    """
    from tuning_db.store import Store

    if connection.is_url:
        size, entries = shown_by_service(connection, log, start, count)
    else:
        with Store.open(connection.path, create=False) as store:
            require(store, log)
            size = store.size(log)
            entries = list(store.entries(log, max(0, size - count) if start is None else start, count))
    if as_json:
        echo_json({"log": log, "size": size, "entries": [vars(entry) for entry in entries]})
        return
    rows = [
        (str(entry.seq), moment(entry.created), entry.actor, entry.action, canonical_json(entry.payload))
        for entry in entries
    ]
    table(f"{log}, {size:,} entries", ("entry", "UTC", "actor", "action", "payload"), rows, left=5)


@command.command()
@log_option
@click.option("--key-file", type=click.Path(path_type=Path), help="Sign with this key, of `headstart ledger key`.")
@url_options
@json_option
def checkpoint(log: str, key_file: Path | None, connection: Connection, as_json: bool) -> None:
    """Print a checkpoint of a log: its size and root hash, signed where a key is given.

    Without a key, the first line is the log's name alone.

    \b
    Example:
      headstart ledger checkpoint --key-file service.key > today.txt
      headstart ledger checkpoint --db https://race.example > today.txt
    """
    if connection.is_url:
        from tuning_db.fetching import fetch_checkpoint

        with connection.open() as client:
            signed = fetch_checkpoint(client, log)
        print_checkpoint(log, signed, as_json)
        return
    from tuning_db.checkpoint import Checkpoint
    from tuning_db.keyfile import read_key
    from tuning_db.receipt import checkpoint_of
    from tuning_db.store import Store

    with Store.open(connection.path, create=False) as store, store.snapshot():
        require(store, log)
        made = Checkpoint(log, store.size(log), store.root(log))
        text = checkpoint_of(store, log, read_key(key_file)) if key_file else str(made)
    if as_json:
        echo_json({"log": log, "size": made.size, "root": base64_of(made.root), "checkpoint": text})
    else:
        click.echo(text, nl=False)


@command.command()
@click.argument("seq", type=click.IntRange(0))
@log_option
@key_file_option
@click.option("--since", type=click.IntRange(0), metavar="SIZE", help="Prove that the log continues what it was then.")
@url_options
@json_option
def receipt(
    seq: int, log: str, key_file: Path | None, since: int | None, connection: Connection, as_json: bool
) -> None:
    """Print a receipt for entry SEQ, a JSON document: anyone with the log's verifier key can verify it.

    \b
    Example:
      headstart ledger receipt 17 --key-file service.key > receipt.json
    """
    if connection.is_url:
        from tuning_db.client import at

        with connection.open() as client:
            echo_json(client.get(at("ledgers", log, "receipts", str(seq)), old=since))
        return
    from tuning_db.keyfile import read_key
    from tuning_db.receipt import receipt as receipt_of
    from tuning_db.store import Store

    with Store.open(connection.path, create=False) as store, store.snapshot():
        require(store, log)
        document = receipt_of(store, log, seq, read_key(needed_key(key_file)), since)
    echo_json(document)


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@log_option
@key_file_option
@url_options
@json_option
def export(file: Path, log: str, key_file: Path | None, connection: Connection, as_json: bool) -> None:
    """Write a whole log to FILE with a signed checkpoint: anyone with the log's verifier key can verify it.

    \b
    Example:
      headstart ledger export public.log --key-file service.key
      headstart ledger export public.log --db https://race.example
    """
    from tuning_db.files import whole_file
    from tuning_db.keyfile import read_key
    from tuning_db.receipt import write_log
    from tuning_db.store import Store

    if connection.is_url:
        from tuning_db.fetching import fetch_log

        with (
            connection.open() as client,
            whole_file(file) as part,
            part.open("wb") as opened,
            unverified(connection.where),
        ):
            written = fetch_log(client, log, None, file=opened)[1].size
    else:
        key = read_key(needed_key(key_file))
        with Store.open(connection.path, create=False) as store:
            require(store, log)
            with whole_file(file) as part, part.open("wb") as opened:
                written = write_log(store, log, key, opened)
    if as_json:
        echo_json({"path": str(file), "log": log, "entries": written})
    else:
        click.echo(f"{file}: {written:,} entries of {log}")


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@log_option
@click.option("--new", "name", metavar="NAME", help="Make FILE with a new key; NAME is the service's, as in a URL.")
@json_option
def key(file: Path, log: str, name: str | None, as_json: bool) -> None:
    """Print the verifier key of a log, whose signing key is in FILE. The same key signs every log of a service.

    \b
    Example:
      headstart ledger key service.key --new headstart.example
    """
    from tuning_db.checkpoint import key_of_log
    from tuning_db.keyfile import read_key, write_key
    from tuning_db.note import SigningKey

    with wrong_input():
        if name is not None:
            write_key(file, SigningKey.new(name))
        verifier = key_of_log(read_key(file), log).verifier
    if as_json:
        echo_json({"log": log, "key": str(verifier)})
    else:
        click.echo(str(verifier))
