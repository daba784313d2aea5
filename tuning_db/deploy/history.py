"""What was deployed before: the lock files of one path in their order, so that the way back needs but the cache."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from targets.digest import digest
from targets.errors import HeadstartError
from tuning_db.deploy.cache import Cache
from tuning_db.deploy.lock import Lock
from tuning_db.files import whole_file

LONGEST = 20


@dataclass(frozen=True)
class Deployed:
    """A lock, and the directory that its bundle went to."""

    lock: Lock
    directory: Path


class History:
    """The deployments that a lock file had on this machine, oldest first.

    Attributes:
        folder: where they are noted.
    """

    def __init__(self, cache: Cache, lock_path: Path) -> None:
        self.folder = cache.folder / "deployments" / digest("d", str(lock_path.absolute()))
        self._path, self._lock_path = self.folder / "history.json", lock_path

    def entries(self) -> list[Deployed]:
        """All of them; what cannot be read is none."""
        try:
            found = json.loads(self._path.read_bytes())
            return [Deployed(Lock.loads(one["lock"].encode()), Path(one["directory"])) for one in found]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return []

    def add(self, current: Lock | None, new: Deployed) -> None:
        """Note what is about to be deployed: after the current one, in place of all that had come after that.

        Args:
            current: what the lock file says now.
            new: what it is going to say.
        """
        entries = self.entries()
        at = _last(entries, current)
        kept = entries[: at + 1] if at is not None else []
        if current is not None and at is None:
            kept = [Deployed(current, new.directory)]
        if not (kept and kept[-1].lock.same(new.lock)):
            kept.append(new)
        if kept != entries:
            self._write(kept[-LONGEST:])

    def before(self, current: Lock | None) -> Deployed:
        """What was deployed before what the lock file says now.

        Raises:
            HeadstartError: nothing is known of that.
        """
        entries = self.entries()
        at = _last(entries, current)
        if not at:
            raise HeadstartError(f"nothing is known on this machine that {self._lock_path} pinned before")
        return entries[at - 1]

    def current(self, lock: Lock | None) -> Deployed | None:
        """Where what the lock file says now was deployed; None where that is not known."""
        entries = self.entries()
        at = _last(entries, lock)
        return None if at is None else entries[at]

    def _write(self, entries: Sequence[Deployed]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [{"lock": one.lock.dumps().decode(), "directory": str(one.directory)} for one in entries]
        with whole_file(self._path) as part:
            part.write_text(json.dumps(rows))


def _last(entries: Sequence[Deployed], lock: Lock | None) -> int | None:
    found = [at for at, one in enumerate(entries) if lock is not None and one.lock.same(lock)]
    return found[-1] if found else None
