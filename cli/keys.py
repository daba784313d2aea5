"""``headstart keys``: the keys that a vendor signs submissions with, here and at a service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli._moment import MOMENT, moment
from cli._output import echo_json, json_option, say, table
from cli._passphrase import VARIABLE, from_environment, passphrase
from cli._service import Connection, service_options, verifier_option
from targets.errors import HeadstartError

if TYPE_CHECKING:
    from tuning_db.note import VerifierKey


@click.group()
def command() -> None:
    """Make and show keys to sign submissions with; register, list and revoke them at a service.

    \b
    Example:
      headstart keys new acme-2026
      headstart keys register acme-2026.key --db https://race.example --token-file acme.token
    """


@command.command()
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), default=".", show_default=True, help="Where to write."
)
@click.option("--encrypt", is_flag=True, help=f"Ask for a passphrase, or take that in {VARIABLE}.")
@json_option
def new(name: str, folder: Path, encrypt: bool, as_json: bool) -> None:
    """Make a pair of keys: NAME.key, which is to stay secret, and NAME.pub, a line to register.

    NAME is of lower-case letters and digits, with single '.', '_' or '-' between them. Files that are there already
    stay. The secret key is encrypted with --encrypt, or where HEADSTART_KEY_PASSPHRASE is set.

    \b
    Example:
      headstart keys new acme-2026 --encrypt
    """
    from tuning_db.keys import PrivateKey

    key = PrivateKey.new(name)
    secret, public = key.write(folder, passphrase(new=True) if encrypt else from_environment())
    if as_json:
        files = {"private_file": str(secret), "public_file": str(public)}
        echo_json({"id": key.public.id, "name": name, "public": key.public.line, **files})
        return
    click.echo(f"{secret}: keep it secret, and keep a copy")
    click.echo(f"{public}: key {key.public.id}, register this line:")
    click.echo(key.public.line)


@command.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def show(files: tuple[Path, ...], as_json: bool) -> None:
    """Show the public line and the id of each FILE, a public or a private key.

    For a private key that is encrypted, its passphrase is asked for, or taken from HEADSTART_KEY_PASSPHRASE.

    \b
    Example:
      headstart keys show acme-2026.pub
      headstart keys show acme-2026.key --json
    """
    from tuning_db.keys import PrivateKey, is_private, read_public

    keys = [PrivateKey.read(file, passphrase).public if is_private(file) else read_public(file) for file in files]
    if as_json:
        echo_json({"keys": [{"id": key.id, "name": key.name, "public": key.line} for key in keys]})
        return
    for key in keys:
        click.echo(f"{key.id}  {key.line}")


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@verifier_option
@service_options
@json_option
def register(file: Path, verifier: VerifierKey | None, connection: Connection, as_json: bool) -> None:
    """Register the public key of FILE, your private key, so that batches that it signs are yours.

    What is sent is the public key and a proof that you hold the private one, for your account at this service. With
    --verifier it is made for the service of that name and no other.

    \b
    Example:
      headstart keys register acme-2026.key --db https://race.example --token-file acme.token
    """
    from tuning_db.answers import ACCOUNT, HEALTH, KEY
    from tuning_db.client import at
    from tuning_db.keys import PrivateKey
    from tuning_db.possession import prove

    key = PrivateKey.read(file, passphrase)
    with connection.open() as client:
        account, service = client.get(at("account"), ACCOUNT)["name"], client.get("/healthz", HEALTH)["service"]
        if verifier is not None and verifier.name.rpartition("/")[0] != service:
            raise HeadstartError(f"{connection.where} says that it is {service}, and the key is of {verifier.name}")
        answer = client.post(at("keys"), prove(key, account, service).dumps(), KEY)
    if as_json:
        echo_json(answer)
        return
    say(f"key {answer['id']} signs for {account} at {service or connection.where}")


@command.command("list")
@service_options
@json_option
def list_(connection: Connection, as_json: bool) -> None:
    """List your keys at a service, the oldest first.

    \b
    Example:
      headstart keys list --db https://race.example --token-file acme.token
    """
    from tuning_db.answers import KEYS
    from tuning_db.client import at

    with connection.open() as client:
        answer = client.get(at("keys"), KEYS)
    if as_json:
        echo_json(answer)
        return
    rows = [
        (
            row["id"],
            row["public"].rpartition(" ")[2],
            moment(row["created"]),
            "valid" if row["revoked"] is None else f"revoked since {moment(row['revoked'])}",
        )
        for row in answer["keys"]
    ]
    table("Keys", ("key", "name", "registered (UTC)", "state"), rows, left=4)


@command.command()
@click.argument("key")
@click.option(
    "--since",
    type=MOMENT,
    metavar="TIME",
    help="From a time in the past: 2026-06-01, -2d. What it signed since is withdrawn.",
)
@service_options
@json_option
def revoke(key: str, since: float | None, connection: Connection, as_json: bool) -> None:
    """Revoke KEY, one of yours by its id, at a service: from now on, or since it got into other hands.

    \b
    Example:
      headstart keys revoke k0123456789abcdef01234567 --since 2026-06-01T12:00
    """
    from tuning_db.answers import REVOKED
    from tuning_db.client import at

    with connection.open() as client:
        answer = client.delete(at("keys", key), REVOKED, since=since)
    if as_json:
        echo_json(answer)
        return
    count = len(answer["withdrawn"])
    say(f"key {answer['id']} is revoked since {moment(answer['revoked'])} UTC; {count} claims are withdrawn for it")
