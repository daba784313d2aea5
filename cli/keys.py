"""``headstart keys``: the keys that a vendor signs submissions with."""

from __future__ import annotations

from pathlib import Path

import click

from cli._output import echo_json, json_option
from cli._passphrase import VARIABLE, from_environment, passphrase


@click.group()
def command() -> None:
    """Make and show keys to sign submissions with.

    \b
    Example:
      headstart keys new acme-2026
      headstart keys show acme-2026.pub
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
