"""A directory with a bundle and the lock file that says which; both change together, or can be told apart and mended.

The order is: files in the cache, a note for the way back, the directory (in one step), the lock file (in one step). A
process that ends between the last two leaves a whole new bundle with the old lock file. The next pull writes the lock
file; ``--locked`` puts the old bundle back.
"""

from __future__ import annotations

from pathlib import Path

from headstart_runtime.verify import is_bundle, verify
from targets.errors import HeadstartError, InputError
from tuning_db.deploy.cache import Cache
from tuning_db.deploy.history import Deployed, History
from tuning_db.deploy.lock import Lock, read_lock
from tuning_db.deploy.offer import Wish
from tuning_db.place import replacing
from tuning_db.selection import step_key


class Deployment:
    """What a lock file pins, in a directory.

    Attributes:
        lock_path: of the lock file.
        lock: what it says; None where there is none.
    """

    def __init__(self, cache: Cache, lock_path: Path, directory: Path | None) -> None:
        """Args:
        cache: where files and the way back are kept.
        lock_path: of the lock file.
        directory: where the bundle goes; None for where this lock file had one on this machine before.

        Raises:
            InputError: the lock file is damaged.
        """
        self.lock_path, self.lock = lock_path, read_lock(lock_path)
        self._cache, self._history = cache, History(cache, lock_path)
        self._directory = directory.absolute() if directory else None

    @property
    def directory(self) -> Path:
        """Where the bundle goes.

        Raises:
            InputError: it was not said, and is not known on this machine.
        """
        if self._directory is not None:
            return self._directory
        known = self._history.current(self.lock)
        if known is None:
            raise InputError(f"where the bundle of {self.lock_path} goes is not known on this machine: say -o DIR")
        return known.directory

    def check_pins(self, wish: Wish) -> None:
        """See that the lock file, if there is one, is for the same model, steps and chip.

        Raises:
            InputError: it is for another.
        """
        if self.lock is None:
            return
        pinned = self.lock.selection
        steps, wished = ([dict(step) for step in one.steps] for one in (pinned, wish))
        if (pinned.model, steps, pinned.target) != (wish.model, wished, wish.target):
            raise InputError(
                f"{self.lock_path} pins {pinned.model} at {', '.join(map(step_key, steps))} for {pinned.target_name} "
                f"({pinned.target}), which is not what was asked for; name another file with --lock"
            )

    def take(self, lock: Lock, forward: bool = True) -> bool:
        """Put the bundle of a lock in its place, and the lock file beside; the cache has all of it.

        Args:
            lock: what is to be there.
            forward: whether the way back from there is to where it is now; false where that way is being gone.

        Returns:
            Whether anything but the versions of metadata changed.

        Raises:
            HeadstartError: the cache lacks something, or what is there is not what it should be.
            InputError: something that is no bundle is in the way.
        """
        directory = self.directory
        changed = self.lock is None or not self.lock.same(lock)
        with self._cache.locked(self._history.folder):
            if forward:
                self._history.add(self.lock, Deployed(lock, directory))
            placed = self._place(lock, directory)
            # Metadata is signed anew every day; that alone is no reason to change a file under version control.
            if changed:
                lock.write(self.lock_path)
                self.lock = lock
        return placed or changed

    def before(self) -> Deployed:
        """What was deployed before this.

        Raises:
            HeadstartError: nothing is known of that.
        """
        return self._history.before(self.lock)

    def _place(self, lock: Lock, directory: Path) -> bool:
        """Make the directory the bundle of a lock; returns whether it was not that already."""
        try:
            if verify(directory)[1] == lock.bundle.bundle:
                return False
        except InputError:
            pass
        with replacing(directory, is_bundle) as work:
            for name, file in lock.bundle.files.items():
                if not self._cache.copy(file, work / name):
                    raise HeadstartError(f"the cache in {self._cache.folder} lacks {name}; pull again")
            manifest, digest = verify(work)
            if digest != lock.bundle.bundle:
                raise HeadstartError(f"the bundle is {digest}, and should be {lock.bundle.bundle}: refused")
            if manifest.target.fingerprint != lock.selection.target:
                raise HeadstartError(
                    f"the bundle is for {manifest.target.name} ({manifest.target.fingerprint}), and should be for "
                    f"{lock.selection.target_name} ({lock.selection.target}): refused"
                )
        return True
