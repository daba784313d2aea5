"""Whether the service can write: what the last try came to, and a new one where that is a while ago."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import Callable
from pathlib import Path

from targets.errors import HeadstartError
from tuning_db.batch_format import MAX_BYTES
from tuning_db.service.lanes import Lanes
from tuning_db.service.storage import FULL, READ_ONLY, storage_problem
from tuning_db.store import Store

# Seconds for which an answer is given again: whoever asks cannot keep the disk busy.
FRESH_S = 5.0


class Readiness:
    """What ``GET /readyz`` says."""

    def __init__(self, db: Path, lanes: Lanes, clock: Callable[[], float]) -> None:
        self._db, self._lanes, self._clock = db, lanes, clock
        self._problem: str | None = None
        self._looked = float("-inf")
        self._turn = asyncio.Lock()

    def note(self, error: Exception) -> None:
        """Remember what kept somebody from writing, where that was the storage."""
        if problem := storage_problem(error):
            self._problem, self._looked = problem, self._clock()

    async def problem(self) -> str | None:
        """What keeps the service from writing, in a word or two; None where nothing does."""
        async with self._turn:
            if not 0 <= self._clock() - self._looked < FRESH_S:
                try:
                    await self._lanes.write(_write)
                    self._problem = await asyncio.to_thread(_room, self._db.absolute().parent)
                except HeadstartError as error:
                    self._problem = storage_problem(error) or "cannot be written"
                self._looked = self._clock()
            return self._problem


def _write(store: Store) -> None:
    """Write something that changes nothing: a page with the number that is there."""
    store.execute(f"PRAGMA user_version = {int(store.value('PRAGMA user_version'))}")


def _room(folder: Path) -> str | None:
    """What is in the way of a file as large as the largest batch: SQLite may have had a page to spare."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(MAX_BYTES))
            file.flush()
    except OSError as error:
        return FULL if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else READ_ONLY
    return None
