"""``SHA256SUMS``: the digest of every other file of a folder, as ``sha256sum`` writes it; its own names the folder."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from pathlib import Path

from headstart_runtime.errors import InputError

SUMS = "SHA256SUMS"
# A name that cannot leave the directory it is in, on any system.
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
LINE = re.compile(r"([0-9a-f]{64})  (.+)")
# More than any manifest of a model; libraries are read in pieces and may be of any size.
LARGEST_TEXT = 64 << 20


class Folder:
    """A directory that is read as the one that it was when it was opened, whatever takes its name meanwhile.

    Raises:
        InputError: it is no directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            reason = "not a directory" if error.errno in (errno.ENOENT, errno.ENOTDIR) else error.strerror
            raise InputError(f"no bundle at {path}: {reason}") from None

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    @property
    def in_place(self) -> bool:
        """Whether its name still leads to it."""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self.fd))

    @property
    def names(self) -> list[str]:
        """What is in it, sorted."""
        return sorted(os.listdir(self.fd))

    @property
    def loadable(self) -> str:
        """A path to it for the system's loader, which goes to this very directory where the system has such paths."""
        return f"/proc/self/fd/{self.fd}" if os.path.isdir("/proc/self/fd") else str(self.path)

    def read(self, name: str) -> bytes:
        """What is in a plain file that is no longer than a manifest may be.

        Raises:
            InputError: no such file, a link, something that is not a plain file, one that is too long.
        """
        with os.fdopen(self._open(name), "rb") as file:
            text = file.read(LARGEST_TEXT + 1)
        if len(text) > LARGEST_TEXT:
            raise InputError(f"{self.path / name} is larger than {LARGEST_TEXT} bytes")
        return text

    def digest(self, name: str) -> str:
        """SHA-256 of a plain file, in hex.

        Raises:
            InputError: as of ``read``.
        """
        total = hashlib.sha256()
        with os.fdopen(self._open(name), "rb") as file:
            while piece := file.read(1 << 20):
                total.update(piece)
        return total.hexdigest()

    def _open(self, name: str) -> int:
        """A file descriptor of a plain file, never through a link."""
        path = self.path / name
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.fd)
        except OSError as error:
            reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
            raise InputError(f"cannot read {path}: {reason}") from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise InputError(f"cannot read {path}: it is not a plain file")
        return fd


def write_sums(path: Path) -> str:
    """Write ``SHA256SUMS`` over every file in a folder; returns its own digest."""
    with Folder(path) as folder:
        text = "".join(f"{folder.digest(name)}  {name}\n" for name in folder.names if name != SUMS).encode()
    (path / SUMS).write_bytes(text)
    return hashlib.sha256(text).hexdigest()


def check_sums(folder: Folder) -> tuple[frozenset[str], str]:
    """Read every byte in a folder.

    Returns:
        The names of the files that ``SHA256SUMS`` lists, and its own digest: SHA-256 in hex.

    Raises:
        InputError: a file missing, changed, unexpected or not a plain file; the message names it.
    """
    text = folder.read(SUMS)
    sums = _parse(folder.path, text)
    for name in folder.names:
        if name != SUMS and name not in sums:
            raise InputError(f"{folder.path / name} is not listed in {SUMS}; a bundle holds nothing else")
    for name, expected in sums.items():
        found = folder.digest(name)
        if found != expected:
            raise InputError(f"{folder.path / name} was changed or damaged: SHA-256 is {found}, {SUMS} says {expected}")
    return frozenset(sums), hashlib.sha256(text).hexdigest()


def _parse(folder: Path, text: bytes) -> dict[str, str]:
    sums: dict[str, str] = {}
    for number, line in enumerate(text.decode("ascii", "replace").splitlines(keepends=True), 1):
        match = LINE.fullmatch(line.removesuffix("\n")) if line.endswith("\n") else None
        if match is None or not FILE_NAME.fullmatch(match[2]) or match[2] in (SUMS, *sums):
            raise InputError(f"{folder / SUMS} line {number} is not a digest and a plain file name")
        sums[match[2]] = match[1]
    return sums
