"""Put a finished directory in its place in one step: whoever looks sees the old one or the new one, whole."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from targets.errors import InputError

# Linux: renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE); macOS: renamex_np(a, b, RENAME_SWAP).
AT_FDCWD, EXCHANGE = -100, 2


@contextmanager
def replacing(destination: Path, may_replace: Callable[[Path], bool], what: str = "a bundle") -> Iterator[Path]:
    """An empty directory that becomes ``destination`` when the block ends, and vanishes when an error leaves it.

    Args:
        destination: where it goes; what is there is replaced, and removed afterwards.
        may_replace: whether a directory that is there already may be replaced.
        what: such a directory is, for messages.

    Raises:
        InputError: something that may not be replaced is there, or its parent is not there or cannot be written.
    """
    destination = destination.absolute()
    if destination.is_symlink() or (destination.exists() and not may_replace(destination)):
        raise InputError(f"{destination} exists and is not {what}; choose another directory, or remove it")
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    except OSError as error:
        raise InputError(f"cannot write in {destination.parent}: {error.strerror}") from None
    try:
        yield work
        work.chmod(0o755)  # mkdtemp makes it private
        _sync(work)
        if destination.exists():
            _exchange(work, destination)
        else:
            work.rename(destination)
    finally:
        shutil.rmtree(work, ignore_errors=True)  # on success, what was there before


def _exchange(new: Path, old: Path) -> None:
    """Swap two directories; where the system cannot do that at once, there is a moment with neither."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(new), os.fsencode(old)
    if sys.platform == "darwin" and libc.renamex_np(*names, EXCHANGE) == 0:
        return
    if hasattr(libc, "renameat2") and libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], EXCHANGE) == 0:
        return
    aside = new.with_name(new.name + ".old")
    old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        aside.rename(old)
        raise
    aside.rename(new)


def _sync(folder: Path) -> None:
    """Ask the disk to keep the files before the name points at them."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
