"""Files that hold a signing key: one line, readable by their owner alone."""

from __future__ import annotations

from pathlib import Path

from targets.errors import InputError
from tuning_db.files import new_file, read_small
from tuning_db.note import SigningKey

MAX_KEY_FILE = 4096


def write_key(path: Path, key: SigningKey) -> None:
    """Make a file of a key.

    Raises:
        InputError: it cannot be made, or there is one: a key that is lost cannot be made again.
        MissingExtra: the extra ``serve`` is not installed.
    """
    if path.exists():
        raise InputError(f"{path} is there already; a signing key is never overwritten")
    new_file(path, f"{key.dumps()}\n".encode(), 0o600)


def read_key(path: Path) -> SigningKey:
    """The key in a file.

    Raises:
        InputError: it cannot be read, others may read it, or it holds no key.
        MissingExtra: the extra ``serve`` is not installed.
    """
    line = read_small(path, MAX_KEY_FILE, private=True)
    try:
        return SigningKey.loads(line.decode().removesuffix("\n"))
    except ValueError as error:
        why = "it is not text" if isinstance(error, UnicodeDecodeError) else error
        raise InputError(f"{path} holds no signing key: {why}") from None
