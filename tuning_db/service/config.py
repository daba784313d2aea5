"""What a service is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tuning_db.note import SigningKey


@dataclass(frozen=True)
class Config:
    """What a service needs to know.

    Attributes:
        db: the database file, which is there.
        key: signs checkpoints and receipts; its name is that of the service.
        clock: seconds since 1970; every window opens by it.
        readers: threads that answer questions, each with a connection of its own.
        spaces: versions of spaces by name that submissions may have schedules of; None for those of this Headstart.
    """

    db: Path
    key: SigningKey
    clock: Callable[[], float] = time.time
    readers: int = 4
    spaces: Mapping[str, int] | None = None
