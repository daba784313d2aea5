"""A thread that says every few seconds that a job is alive, and hears whether it is still to be run."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

from targets.errors import HeadstartError
from tuning_db.store import Store

BEAT_S = 2.0


class Heart:
    """Beats while a block runs. A pause or the end of a job is heard here, whatever its trial is doing.

    Args:
        path: of the database, opened once more for the thread.
        job: id.
        progress: how much of it is done, 0 to 1, or None; called in the thread.
        stop: called in the thread, again and again, once the job is not to be run any more.
    """

    def __init__(self, path: Path, job: str, progress: Callable[[], float | None], stop: Callable[[], None]) -> None:
        self.path, self.job, self.progress, self.stop = path, job, progress, stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        # A database that is locked or full is for whoever writes trials to complain of.
        with contextlib.suppress(HeadstartError), Store.open(self.path, create=False) as store:
            while not self._ended.wait(BEAT_S):
                with contextlib.suppress(HeadstartError):
                    if not store.heartbeat(self.job, self.progress()):
                        self.stop()
