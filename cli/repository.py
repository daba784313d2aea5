"""``headstart repository``: what a service publishes for deployments to pull, and who vouches for it."""

from __future__ import annotations

import hashlib
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli._moment import moment
from cli._output import echo_json, json_option, progress_console, say, table
from cli._passphrase import passphrase
from cli._repository import (
    days_options,
    finish,
    keys_option,
    online_of,
    opened,
    public_of,
    read_draft,
    release_option,
    repository_key_option,
    signing_options,
    state_of,
    trusted_of,
    trusted_state_of,
)
from cli._service import Connection, plain_options
from targets.errors import InputError

if TYPE_CHECKING:
    from tuning_db.keys import PrivateKey


@click.group()
def command() -> None:
    """Publish bundles for deployments to pull, signed so that neither a server nor a network can pass off another.

    A repository has keys of people, for the roles root and targets, and one of the service, which tells by itself what
    is the latest. Each release has a repository of its own, which is there for everybody from the launch on.

    \b
    Example:
      headstart keys new ops-2026 --encrypt
      headstart repository init --root-key ops-2026.key --targets-key ops-2026.key -o root.json --db https://race.example
      headstart repository publish v4-flash.bundle --root root.json --key ops-2026.key --db https://race.example
    """


@command.command()
@click.option(
    "--root-key",
    "root_keys",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Key that signs who signs what; a .pub file for a key of somebody else.",
)
@click.option(
    "--targets-key",
    "targets_keys",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Key that signs which bundles there are; a .pub file for one of somebody else.",
)
@click.option("--root-threshold", type=click.IntRange(1, 20), default=1, show_default=True, help="How many must sign.")
@click.option(
    "--targets-threshold", type=click.IntRange(1, 20), default=1, show_default=True, help="How many must sign."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Where to write the root that clients begin with, or a draft where others have to sign.",
)
@days_options
@release_option
@plain_options
@json_option
def init(
    root_keys: tuple[Path, ...],
    targets_keys: tuple[Path, ...],
    output: Path,
    days: dict[str, float],
    release: str,
    repository_key: Path | None,
    connection: Connection,
    as_json: bool,
    **thresholds: int,
) -> None:
    """Begin the repository of a release, `public` unless said, with the keys of the people who vouch for it.

    Private keys sign at once. Where more must sign, a draft is written: `headstart repository sign` on their machines,
    then `headstart repository send`.

    \b
    Example:
      headstart repository init --root-key ops-2026.key --targets-key ops-2026.key -o root.json
      headstart repository init --root-key a.key --root-key b.pub --root-threshold 2 --targets-key a.key -o first.draft
    """
    from tuning_db.repository.drafting import begin

    private: dict[Path, PrivateKey] = {}
    keys = {
        "root": [public_of(file, private) for file in root_keys],
        "targets": [public_of(file, private) for file in targets_keys],
    }
    many = {role: thresholds[f"{role}_threshold"] for role in keys}
    with opened(connection, repository_key) as client:
        there, state = state_of(client, release)
        there.require_trusted(None)
        draft = begin(there.release, online_of(state), keys, many, days, time.time())
        draft.sign(list(private.values()))
        finish(client, draft, output, output, as_json)


@command.command()
@click.argument("bundles", nargs=-1, metavar="[BUNDLE]...", type=click.Path(path_type=Path, file_okay=False))
@click.option("--remove", multiple=True, metavar="PATH", help="A bundle's path that is to be there no more.")
@signing_options
@json_option
def publish(
    bundles: tuple[Path, ...],
    remove: tuple[str, ...],
    keys: tuple[Path, ...],
    root: Path,
    draft: Path | None,
    days: dict[str, float],
    release: str,
    repository_key: Path | None,
    connection: Connection,
    as_json: bool,
) -> None:
    """Publish BUNDLEs, signed with a key of the role targets; without any, say for longer what is said already.

    Each is verified first. Files that are there are not sent again, and an upload that broke off goes on where it was.
    A bundle for the same model, step, chip, toolchain and policy takes the place of the one before.

    \b
    Example:
      headstart repository publish v4-flash.bundle --root root.json --key ops-2026.key
      headstart repository publish --root root.json --key ops-2026.key
    """
    from rich.progress import Progress

    from tuning_db.keys import PrivateKey
    from tuning_db.repository.drafting import next_targets
    from tuning_db.repository.uploading import remaining, send, upload_of

    signers = [PrivateKey.read(file, passphrase) for file in keys]
    uploads = [upload_of(folder) for folder in bundles]
    with opened(connection, repository_key) as client:
        made, state = trusted_state_of(client, release, root)
        replaced = made.files.keys() & {upload.address.prebuilt for upload in uploads}
        files = remaining(made.files, state["bundles"], {*remove, *replaced})
        for upload in uploads:
            files |= upload.targets
        next_targets(made, files, days["targets"], time.time())
        made.sign(signers)
        with Progress(console=progress_console, transient=True, disable=as_json) as progress:
            for upload in uploads:
                task = progress.add_task(str(upload.folder), total=upload.length)
                send(client, made.release, upload, partial(progress.advance, task))
        finish(client, made, draft, None, as_json)


@command.command()
@click.argument("role", type=click.Choice(["root", "targets", "online"]))
@click.option("--add", multiple=True, type=click.Path(path_type=Path), help="Key that signs from then on: a .pub file.")
@click.option(
    "--remove", multiple=True, metavar="KEY", help="Name of a key that signs no more, or the start of its id."
)
@click.option("--threshold", type=click.IntRange(1, 20), help="How many must sign from then on; as before unless said.")
@signing_options
@json_option
def rotate(
    role: str,
    keys: tuple[Path, ...],
    root: Path,
    draft: Path | None,
    days: dict[str, float],
    release: str,
    repository_key: Path | None,
    connection: Connection,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Change who signs for ROLE, with a new root; without any change, the root is only said for longer.

    A new root takes keys of the role root: enough of those before, and enough of those from then on. With targets and
    online it takes keys of the role targets too, as they are from then on. `online` is the key of the service: start it
    with the new one first.

    \b
    Example:
      headstart repository rotate root --root root.json --key ops-2026.key
      headstart repository rotate targets --add new.pub --remove ops-2026 --root root.json --key root.key --key new.key
    """
    from tuning_db.keys import PrivateKey
    from tuning_db.repository.drafting import rotate as change
    from tuning_db.repository.drafting import rotate_online

    if role == "online" and any(wanted.values()):
        raise InputError(
            "the service has the key that it was started with: online takes no --add, --remove, --threshold"
        )
    signers = [PrivateKey.read(file, passphrase) for file in keys]
    add = [public_of(file, {}) for file in wanted["add"]]
    with opened(connection, repository_key) as client:
        made, state = trusted_state_of(client, release, root)
        if role == "online":
            rotate_online(made, online_of(state), days, time.time())
        else:
            change(made, role, add, wanted["remove"], wanted["threshold"], days, time.time())
        made.sign(signers)
        finish(client, made, draft, None, as_json)


@command.command()
@click.argument("draft", type=click.Path(path_type=Path, dir_okay=False))
@keys_option
@click.option(
    "--root",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Root that you trust; none before there is a repository.",
)
@click.option("--yes", is_flag=True, help="Sign without being asked.")
@json_option
def sign(draft: Path, keys: tuple[Path, ...], root: Path | None, yes: bool, as_json: bool) -> None:
    """Sign DRAFT, which somebody else prepared, with your keys; what would change is shown first. Asks no service.

    What the draft says is published must follow from the root that you trust. The first draft of a repository has
    nothing before it, and takes no --root.

    \b
    Example:
      headstart repository sign next.draft --root root.json --key ben.key
    """
    from tuning_db.files import whole_file
    from tuning_db.keys import PrivateKey

    made = read_draft(draft)
    made.require_trusted(trusted_of(root) if root else None)
    changes = list(made.changes())
    if not as_json:
        for line in (f"repository {made.release}:", *changes):
            say(line)
    if not yes:
        click.confirm("Sign this?", abort=True, err=True)
    made.sign([PrivateKey.read(file, passphrase) for file in keys])
    with whole_file(draft) as part:
        part.write_bytes(made.dumps())
    lacking = made.lacking()
    if as_json:
        echo_json({"release": made.release, "changes": changes, "lacking": lacking})
        return
    for line in lacking or ["it has all signatures: `headstart repository send` publishes it"]:
        say(line)


@command.command()
@click.argument("draft", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to write a first root for clients."
)
@repository_key_option
@plain_options
@json_option
def send(draft: Path, output: Path | None, connection: Connection, repository_key: Path | None, as_json: bool) -> None:
    """Publish DRAFT, which has all signatures by now.

    \b
    Example:
      headstart repository send next.draft --db https://race.example --token-file root.token
    """
    made = read_draft(draft)
    if lacking := made.lacking():
        raise InputError("; ".join(lacking))
    with opened(connection, repository_key) as client:
        finish(client, made, None, output, as_json)


@command.command()
@release_option
@plain_options
@json_option
def status(release: str, repository_key: Path | None, connection: Connection, as_json: bool) -> None:
    """Show who signs for a repository, until when what they signed holds, and what is published.

    \b
    Example:
      headstart repository status --db https://race.example --token-file root.token
    """
    from tuning_db.keys import PublicKey
    from tuning_db.repository.metadata import key_of, name_of

    with opened(connection, repository_key) as client:
        made, state = state_of(client, release)
    if made.root is None:
        raise InputError(f"{release} has no repository yet; `headstart repository init` begins it")
    root = made.root.signed
    fingerprint = hashlib.sha256(made.roots[0].encode()).hexdigest()
    online = key_of(PublicKey.from_line(state["online_key"])).keyid if state["online_key"] else None
    signs = root.roles["timestamp"].keyids == [online]
    roles = {}
    for role, last in state["roles"].items():
        of = root.roles["timestamp" if role == "champions" else role]
        keys = [name_of(root.keys[id]) for id in of.keyids]
        roles[role] = {**last, "threshold": of.threshold, "keys": keys}
    files = {path: length for path, (_, length) in made.files.items()}
    if as_json:
        whole = {"release": made.release, "fingerprint": fingerprint, "roles": roles, "online_key_is_used": signs}
        echo_json({**whole, "files": files})
        return
    rows = [
        (
            role,
            str(row["version"]),
            # What the service signs is signed anew when somebody asks.
            moment(row["expires"])
            + (" EXPIRED" if row["expires"] <= time.time() and role in ("root", "targets") else ""),
            f"{row['threshold']} of {len(row['keys'])}",
            "\n".join(row["keys"]),
        )
        for role, row in roles.items()
    ]
    table(f"Repository of {release}", ("role", "version", "until (UTC)", "signatures", "keys"), rows, left=5)
    say(f"{len(state['bundles'])} bundles, {sum(files.values()):,} bytes of files")
    for path in state["bundles"]:
        say(f"  {path}")
    say(f"SHA-256 of the first root: {fingerprint}")
    if not signs:
        say("the service signs with another key than the root says, or with none: nothing is signed anew")
