"""Options of ``headstart repository``, and what its commands share."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli._output import echo_json, say
from cli._passphrase import passphrase
from cli._service import Connection, plain_options
from targets.errors import InputError
from targets.units import DAY

if TYPE_CHECKING:
    from tuning_db.client import Client
    from tuning_db.keys import PrivateKey, PublicKey
    from tuning_db.repository.draft import Draft

F = TypeVar("F", bound=Callable[..., Any])

keys_option = click.option(
    "--key",
    "keys",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Private key to sign with; several times for several.",
)
root_option = click.option(
    "--root",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Root that you trust, of any version: what the service says must follow from it.",
)
draft_option = click.option(
    "--draft",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write a draft where others have to sign too.",
)
repository_key_option = click.option(
    "--repository-key", type=click.Path(path_type=Path), help="The service's key, where the database is a file."
)


def days_options(function: F) -> F:
    """``--root-days`` and ``--targets-days``, as one argument ``days``."""

    @click.option(
        "--root-days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long a new root holds."
    )
    @click.option(
        "--targets-days",
        type=click.IntRange(1, 3650),
        default=90,
        show_default=True,
        help="How long it holds which bundles there are.",
    )
    @functools.wraps(function)
    def with_days(root_days: int, targets_days: int, **arguments: Any) -> Any:
        return function(days={"root": root_days * DAY, "targets": targets_days * DAY}, **arguments)

    return with_days  # type: ignore[return-value]


def release_option(function: F) -> F:
    """``--release`` and, for a database that is a file, ``--repository-key``."""
    return click.option(
        "--release", default="public", show_default=True, help="Whose repository: a release by name or id, or public."
    )(repository_key_option(function))


def signing_options(function: F) -> F:
    """What a change of what is published takes: keys, the root to start from, and where it goes."""
    for option in (plain_options, release_option, days_options, draft_option, root_option, keys_option):
        function = option(function)
    return function


@contextmanager
def opened(connection: Connection, repository_key: Path | None) -> Iterator[Client]:
    """A client of the database."""
    from tuning_db.keys import PrivateKey

    with connection.open(PrivateKey.read(repository_key, passphrase) if repository_key else None) as client:
        yield client


def public_of(file: Path, private: dict[Path, PrivateKey]) -> PublicKey:
    """The public key of a file; where it holds a private one, that is put among ``private``."""
    from tuning_db.keys import PrivateKey, is_private, read_public

    if not is_private(file):
        return read_public(file)
    if file not in private:
        private[file] = PrivateKey.read(file, passphrase)
    return private[file].public


def trusted_of(file: Path) -> str:
    """The text of a root that somebody keeps."""
    from tuning_db.files import read_small
    from tuning_db.repository.metadata import MAX_ROOT

    try:
        return read_small(file, MAX_ROOT).decode()
    except UnicodeDecodeError:
        raise InputError(f"{file} is no root: it is not text") from None


def read_draft(file: Path) -> Draft:
    """The draft in a file."""
    from tuning_db.files import read_small
    from tuning_db.repository.draft import MAX_DRAFT, Draft

    data = read_small(file, MAX_DRAFT)
    try:
        return Draft.loads(data)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def state_of(client: Client, release: str) -> tuple[Draft, dict[str, Any]]:
    """What a service says that is published, as a draft without changes and as it says it."""
    from tuning_db.answers import REPOSITORY
    from tuning_db.client import at
    from tuning_db.repository.draft import Draft

    state = client.get(at("repositories", release), REPOSITORY)
    return Draft(state["release"], list(state["roots"]), state["targets"]), state


def trusted_state_of(client: Client, release: str, root: Path) -> tuple[Draft, dict[str, Any]]:
    """``state_of``, which must follow from a root that somebody keeps."""
    draft, state = state_of(client, release)
    draft.require_trusted(trusted_of(root))
    return draft, state


def online_of(state: Mapping[str, Any]) -> PublicKey:
    """What a service says that it signs with."""
    from tuning_db.keys import PublicKey

    if state["online_key"] is None:
        raise InputError("the service has no key for repositories: it takes --repository-key")
    return PublicKey.from_line(state["online_key"])


def finish(client: Client, draft: Draft, unsigned: Path | None, first_root: Path | None, as_json: bool) -> None:
    """Publish a draft that has all signatures, or write it down for others to sign.

    Args:
        client: of the service.
        draft: what is to be published.
        unsigned: where to write it while signatures are to come.
        first_root: where to write the root that clients begin with, where this is the first.
        as_json: whether to print JSON.
    """
    from tuning_db.answers import PUBLISHED
    from tuning_db.client import at
    from tuning_db.files import whole_file

    lacking, changes = draft.lacking(), list(draft.changes())
    if lacking:
        if unsigned is None:
            raise InputError(f"{'; '.join(lacking)}: --draft FILE writes it down for others to sign")
        with whole_file(unsigned) as part:
            part.write_bytes(draft.dumps())
        if as_json:
            echo_json({"release": draft.release, "changes": changes, "draft": str(unsigned), "lacking": lacking})
            return
        for line in (*changes, *lacking, f"{unsigned}: for `headstart repository sign`, then `send`"):
            say(line)
        return
    told = client.post(at("repositories", draft.release, "metadata"), draft.texts, PUBLISHED, again=False)
    first = draft.texts["root"] if not draft.roots else None
    if first is not None and first_root is not None:
        with whole_file(first_root) as part:
            part.write_text(first)
    fingerprint = hashlib.sha256((first or draft.roots[0]).encode()).hexdigest()
    if as_json:
        echo_json({**told, "changes": changes, "fingerprint": fingerprint})
        return
    for line in changes:
        say(line)
    say(f"published: root version {told['root']}, targets version {told['targets']}")
    if first is not None:
        kept = f"{first_root}: give it to those who pull; " if first_root else ""
        say(f"{kept}its SHA-256 is {fingerprint}")
