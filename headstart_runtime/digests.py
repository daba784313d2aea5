"""``SHA256SUMS``: the digest of every other file of a folder, as ``sha256sum`` writes it; its own names the folder."""

from __future__ import annotations

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


def write_sums(folder: Path) -> str:
    """Write ``SHA256SUMS`` over every file in the folder; returns its own digest."""
    names = sorted(name for name in os.listdir(folder) if name != SUMS)
    text = "".join(f"{_digest(folder, name)}  {name}\n" for name in names).encode()
    (folder / SUMS).write_bytes(text)
    return hashlib.sha256(text).hexdigest()


def check_sums(folder: Path) -> tuple[frozenset[str], str]:
    """Read every byte in the folder.

    Returns:
        The names of the files that ``SHA256SUMS`` lists, and its own digest: SHA-256 in hex.

    Raises:
        InputError: a file missing, changed, unexpected or not a plain file; the message names it.
    """
    text = read_text(folder, SUMS)
    sums = _parse(folder, text)
    for name in sorted(os.listdir(folder)):
        if name != SUMS and name not in sums:
            raise InputError(f"{folder / name} is not listed in {SUMS}; a bundle holds nothing else")
    for name, expected in sums.items():
        found = _digest(folder, name)
        if found != expected:
            raise InputError(f"{folder / name} was changed or damaged: SHA-256 is {found}, {SUMS} says {expected}")
    return frozenset(sums), hashlib.sha256(text).hexdigest()


def read_text(folder: Path, name: str) -> bytes:
    """What is in a plain file that is no longer than a manifest may be.

    Raises:
        InputError: no such file, a link, something that is not a plain file, one that is too long.
    """
    with os.fdopen(_open(folder, name), "rb") as file:
        text = file.read(LARGEST_TEXT + 1)
    if len(text) > LARGEST_TEXT:
        raise InputError(f"{folder / name} is larger than {LARGEST_TEXT} bytes")
    return text


def _parse(folder: Path, text: bytes) -> dict[str, str]:
    sums: dict[str, str] = {}
    for number, line in enumerate(text.decode("ascii", "replace").splitlines(keepends=True), 1):
        match = LINE.fullmatch(line.removesuffix("\n")) if line.endswith("\n") else None
        if match is None or not FILE_NAME.fullmatch(match[2]) or match[2] in (SUMS, *sums):
            raise InputError(f"{folder / SUMS} line {number} is not a digest and a plain file name")
        sums[match[2]] = match[1]
    return sums


def _open(folder: Path, name: str) -> int:
    """A file descriptor of a plain file, never through a link."""
    path = folder / name
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = "it is a symbolic link" if path.is_symlink() else error.strerror
        raise InputError(f"cannot read {path}: {reason}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise InputError(f"cannot read {path}: it is not a plain file")
    return fd


def _digest(folder: Path, name: str) -> str:
    total = hashlib.sha256()
    with os.fdopen(_open(folder, name), "rb") as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return total.hexdigest()
