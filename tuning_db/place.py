"""Put a finished directory in its place in one step: whoever looks sees the old one or the new one, whole."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from targets.errors import InputError

# Linux: renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE); macOS: renamex_np(a, b, RENAME_SWAP).
AT_FDCWD, EXCHANGE = -100, 2


@contextmanager
def replacing(destination: Path, may_replace: Callable[[Path], bool], what: str = "a bundle") -> Iterator[Path]:
    """An empty directory that becomes ``destination`` when the block ends, and vanishes when an error leaves it.

    What a process left that ended in the middle of it is cleared away by the next one.

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
        work, held = _begin(destination)
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
        os.close(held)


def _begin(destination: Path) -> tuple[Path, int]:
    """A directory to work in, and a lock on it that ends with this process."""
    prefix, parent = f".{destination.name}.placing-", os.open(destination.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks: nothing is cleared away there
            fcntl.flock(parent, fcntl.LOCK_EX)
            _clear(destination.parent, prefix)
        work = Path(tempfile.mkdtemp(prefix=prefix, dir=destination.parent))
        held = os.open(work, os.O_RDONLY)
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return work, held
    finally:
        os.close(parent)


def _clear(folder: Path, prefix: str) -> None:
    """Remove directories of processes that are no more: nobody holds a lock on them."""
    for path in folder.iterdir():
        if path.name.startswith(prefix) and path.is_dir() and not path.is_symlink():
            held = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            except BlockingIOError:
                pass
            finally:
                os.close(held)


def _exchange(new: Path, old: Path) -> None:
    """Swap two directories; where the system cannot do that at once, there is a moment with neither."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(new), os.fsencode(old)
    if sys.platform == "darwin" and libc.renamex_np(*names, EXCHANGE) == 0:
        return
    if hasattr(libc, "renameat2") and libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], EXCHANGE) == 0:
        return
    # Not called as what is cleared away is: for a moment it is all that there is.
    aside = old.with_name(f".{old.name}.before")
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
