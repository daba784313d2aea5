"""Files: those that appear whole or not at all, small ones, and what is none."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from targets.errors import InputError


@contextmanager
def whole_file(path: Path, new: bool = False) -> Iterator[Path]:
    """A path to write to, which takes the place of ``path`` at the end of the block; an error in it leaves no trace.

    Args:
        path: the file.
        new: refuse to replace a file that is there, even one that appears meanwhile.

    Raises:
        InputError: ``path`` cannot be written.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: {folder} is not a folder")
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder")
    try:
        # Beside its destination: only a rename within one file system is atomic.
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{path.name[:100]}.") as temporary:
            part = Path(temporary) / "part"
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            # Unlike a rename, a link never replaces what is there.
            (os.link if new else os.replace)(part, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def new_file(path: Path, data: bytes, mode: int) -> None:
    """Make a file that nobody may read meanwhile who may not read it afterwards; it replaces nothing.

    Raises:
        InputError: it cannot be made, or there is one.
    """
    with whole_file(path, new=True) as part:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
        part.chmod(mode)  # whatever the umask took away


def read_small(path: Path, most: int, private: bool = False) -> bytes:
    """What is in a small regular file; with ``private``, in one that only its owner may read.

    Args:
        path: the file.
        most: bytes that it may have.
        private: whether nobody else may.

    Raises:
        InputError: no such file, one that is longer, or with ``private`` one that others may read or change.
    """
    try:
        # Opened without waiting: a named pipe would otherwise wait for somebody to write to it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{path} is not a file")
            if private and status.st_mode & 0o077:
                raise InputError(f"others may read or change {path}: chmod 600 it, or make a new key")
            data = file.read(most + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > most:
        raise InputError(f"{path} is too long to be a key")
    return data


def is_url(where: str) -> bool:
    """Whether a place is a service, and not a file."""
    return "://" in where
