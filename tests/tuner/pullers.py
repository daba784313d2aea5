"""Somebody who pulls, with a folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuner.pulling import Puller, Source
from tuning_db.client import connect
from tuning_db.deploy.cache import Cache
from tuning_db.deploy.deployment import Deployment
from tuning_db.deploy.trust import Told


def at(folder: Path, where: str, **options: Any) -> tuple[Puller, Callable[[], Deployment], list[str]]:
    """What pulls from a service or file, what then gives the deployment in the folder, and all that was said."""
    folder.mkdir(exist_ok=True)
    said: list[str] = []
    source = Source(where, "public", lambda: connect(where))
    puller = Puller(source, Cache(folder / "cache"), Told(say=said.append), **options)
    return puller, lambda: Deployment(puller.cache, folder / "headstart.lock", folder / "tiny.bundle"), said
