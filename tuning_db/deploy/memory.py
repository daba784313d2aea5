"""What was pulled last for a wish, so that the cache alone answers it again."""

from __future__ import annotations

from pathlib import Path

from targets.digest import canonical_json, digest
from tuning_db.deploy.cache import Cache
from tuning_db.deploy.lock import Lock, Origin
from tuning_db.deploy.offer import Wish


def remember(cache: Cache, lock: Lock) -> None:
    """Note what was pulled."""
    selection = lock.selection
    chip = selection.target, selection.target_name
    wish = Wish(selection.model, selection.step, *chip, lock.tier, smaller=selection.smaller)
    path = _path(cache, lock.origin, wish)
    if recall(cache, lock.origin, wish) != lock:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.write(path)


def recall(cache: Cache, origin: Origin, wish: Wish) -> Lock | None:
    """What was pulled last from there; None where nothing was, or it cannot be read."""
    try:
        return Lock.loads(_path(cache, origin, wish).read_bytes())
    except (OSError, ValueError):
        return None


def _path(cache: Cache, origin: Origin, wish: Wish) -> Path:
    asked = [origin.where, origin.release, wish.model, dict(wish.step), wish.target, wish.tier]
    asked += [dict(step) for step in wish.smaller]
    return cache.folder / "pulled" / f"{digest('q', canonical_json(asked))}.lock"
