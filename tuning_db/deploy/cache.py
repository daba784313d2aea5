"""Files by the SHA-256 of what is in them, and the beginnings of those that were not fetched whole yet.

Nothing that is read here is believed: a file goes out only as what its name says, and is thrown away if it is not.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from targets.errors import HeadstartError
from tuning_db.published import PIECE, BundleFile


class Cache:
    """A folder of files; it may be deleted at any time, and many processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lacks(self, file: BundleFile) -> bool:
        """Whether a file is not there whole; what is found to be damaged is dropped."""
        try:
            if BundleFile.of(self._path(file.sha256)) == file:
                return False
        except OSError:
            return True
        self.drop(file.sha256)
        return True

    def begun(self, sha256: str) -> int:
        """How many bytes of a file that was not fetched whole are here."""
        try:
            return self._part(sha256).stat().st_size
        except OSError:
            return 0

    def read(self, sha256: str, most: int) -> bytes | None:
        """What is in a file; None where it is not there whole."""
        try:
            with self._path(sha256).open("rb") as file:
                data = file.read(most + 1)
        except OSError:
            return None
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
        self.drop(sha256)
        return None

    def copy(self, file: BundleFile, destination: Path) -> bool:
        """Write a file elsewhere, and say whether it is what it should be; where it is not, it leaves the cache.

        Raises:
            HeadstartError: it cannot be written there.
        """
        digest, length = hashlib.sha256(), 0
        try:
            source = self._path(file.sha256).open("rb")
        except OSError:
            return False
        with source, _explained(destination.parent), destination.open("wb") as copy:
            # One byte more than it should have is enough to know.
            while piece := source.read(min(PIECE, file.length + 1 - length)):
                digest.update(piece)
                copy.write(piece)
                length += len(piece)
        if (digest.hexdigest(), length) == (file.sha256, file.length):
            return True
        self.drop(file.sha256)
        return False

    def add(self, source: Path) -> BundleFile:
        """Keep a copy of a file.

        Raises:
            HeadstartError: it cannot be written.
        """
        with self.temporary() as copy, _explained(self.folder):
            shutil.copyfile(source, copy)
            added = BundleFile.of(copy)
            self.keep(copy, added.sha256)
        return added

    def keep(self, path: Path, sha256: str) -> None:
        """Take a file that lies in this folder and was found to be what its digest says.

        Raises:
            HeadstartError: it cannot be moved.
        """
        # Not made sure to be on the disk: what is read here is looked at before it is believed.
        with _explained(self.folder):
            self._path(sha256).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, self._path(sha256))

    def drop(self, sha256: str) -> None:
        """Forget a file, and the beginning of it."""
        for path in (self._path(sha256), self._part(sha256)):
            with suppress(OSError):
                path.unlink()

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """A path in this folder to write a file to; what is left there is removed.

        Raises:
            HeadstartError: the folder cannot be written.
        """
        with _explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix="new-", dir=self.folder)
            os.close(descriptor)
        try:
            yield Path(name)
        finally:
            with suppress(OSError):
                os.unlink(name)

    @contextmanager
    def part(self, sha256: str) -> Iterator[IO[bytes]]:
        """What was fetched of a file so far, to read and to add to; who else fetches the same is waited for.

        Raises:
            HeadstartError: it cannot be written.
        """
        with _explained(self.folder):
            path = self._part(sha256)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file

    def drop_part(self, sha256: str) -> None:
        """Forget the beginning of a file."""
        with suppress(OSError):
            self._part(sha256).unlink()

    @contextmanager
    def locked(self, folder: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """A folder in here for this process alone.

        Args:
            folder: made where it is not there.
            waiting: called where another process has it, which is waited for.

        Raises:
            HeadstartError: it cannot be written.
        """
        with _explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / "lock").open("ab")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _path(self, sha256: str) -> Path:
        return self.folder / "blobs" / sha256[:2] / sha256

    def _part(self, sha256: str) -> Path:
        return self.folder / "parts" / sha256


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Errors of the file system in one line."""
    try:
        yield
    except OSError as error:
        raise HeadstartError(f"cannot write in {folder}: {error.strerror or error}") from None
