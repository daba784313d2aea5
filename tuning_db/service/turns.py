"""What is waited for, in turns: whoever asks for much waits for it, and nobody else does."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from tuning_db.store import Store


@dataclass
class Task:
    """Something to be done with a database, and what came of it.

    Attributes:
        what: it.
        whose: any text that tells one who asks from another.
        future: what it returned or raised.
        asked: when, in seconds of ``time.perf_counter``.
    """

    what: Callable[[Store], Any]
    whose: str
    future: Future[Any] = field(default_factory=Future)
    asked: float = field(default_factory=time.perf_counter)


class Turns:
    """Tasks of many, taken by threads: the oldest of each in turn, and those of one in the order they came in."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[Task]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, task: Task) -> None:
        """Let a task wait."""
        with self._lock:
            self._waiting.setdefault(task.whose, deque()).append(task)

    def take(self) -> Task | None:
        """The next task, which is running then; None where there is none."""
        with self._lock:
            while self._waiting:
                whose, tasks = self._waiting.popitem(last=False)
                task = tasks.popleft()
                if tasks:
                    self._waiting[whose] = tasks
                # One that nobody waits for any more and that has not begun is not begun.
                if task.future.set_running_or_notify_cancel():
                    return task
        return None
