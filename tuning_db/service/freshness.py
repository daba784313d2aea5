"""Keeping what the service signs of repositories fresh: when somebody asks for it, and by nobody's doing otherwise.

Whether there are other champions is looked at once in a while, and whenever another release has been launched. When
that is depends on the clock and on who asked, and on nothing that is hidden.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from enum import Enum

from targets.errors import HeadstartError, InputError
from tuning_db.keys import PrivateKey
from tuning_db.repository.metadata import online_key
from tuning_db.repository.online import Due, due, renew, stale
from tuning_db.repository.selections import launched
from tuning_db.service.config import Config
from tuning_db.service.lanes import Lanes
from tuning_db.service.logs import say
from tuning_db.service.storage import storage_problem
from tuning_db.store import Store

# Seconds from one look at champions to the next; after one that takes long, so many times as long, so that no more
# than a hundredth of the time goes by with looking.
LOOK_S, PART_OF_TIME = 60.0, 100.0


class Need(Enum):
    """Whether something of a repository may have to be signed anew.

    With ``SOON`` what is there still holds: where somebody sees to it already, nobody else waits for that.
    """

    NONE, SOON, NOW = "none", "soon", "now"


@dataclass(frozen=True)
class Looked:
    """A look at the champions of a repository.

    Attributes:
        at: seconds since 1970.
        launched: how many releases were launched then.
        wait: seconds until the next look.
        basis: what the selections followed from, as ``Due`` has it.
    """

    at: float
    launched: int
    wait: float
    basis: str | None


class Freshness:
    """When each repository was looked at, and who looks at the moment."""

    def __init__(self, config: Config, lanes: Lanes) -> None:
        self._config, self._lanes = config, lanes
        self._looked: dict[str, Looked] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._keys: dict[str, PrivateKey] = {}

    def key(self, release: str) -> PrivateKey:
        """What the service signs the repository of a release with, by its id.

        Raises:
            InputError: it has no key.
        """
        if release not in self._keys:
            self._keys[release] = online_key(self._config.repository_signer, release)
        return self._keys[release]

    def need(self, store: Store, release: str, now: float) -> Need:
        """Whether something of a repository may have to be signed anew: quick, and never wrong where it says no."""
        if self._config.repository_key is None:
            return Need.NONE
        last = self._looked.get(release)
        if last is None or launched(store, now) != last.launched or stale(store, release, now):
            return Need.NOW
        return Need.SOON if self._must_look(store, release, now) else Need.NONE

    def forget(self, release: str) -> None:
        """Have whoever asks next look again: something was published."""
        self._looked.pop(release, None)

    async def see_to(self, release: str, need: Need) -> None:
        """Sign anew what has to be; where the storage does not let that be kept, what is there stays."""
        turn = self._turns[release]
        if need is Need.NONE or (need is Need.SOON and turn.locked()):
            return
        async with turn:
            now, began = self._config.clock(), time.perf_counter()
            key = self.key(release)

            def question(store: Store) -> tuple[Looked, Due]:
                look, last = self._must_look(store, release, now), self._looked.get(release)
                found = due(store, release, key, now, look, last.basis if last else None)
                if not look and last:
                    return last, found
                wait = max(LOOK_S, PART_OF_TIME * (time.perf_counter() - began))
                return Looked(now, launched(store, now), wait, found.basis), found

            looked, found = await self._lanes.read(question)
            if found.too_many:
                say("there are more selections than clients read of, and those that were published stay")
            try:
                if found:
                    await self._lanes.write(
                        lambda store: renew(store, release, key, now, found.champions, found.snapshot)
                    )
                self._looked[release] = looked
            except InputError as error:
                if storage_problem(error) is None:
                    return  # somebody published meanwhile: whoever asks next looks again
                self._failed(looked, release, error)
            except HeadstartError as error:
                self._failed(looked, release, error)

    def _failed(self, looked: Looked, release: str, error: HeadstartError) -> None:
        say("a repository cannot be signed anew, and stays as it is", error=storage_problem(error) or "busy")
        self._looked[release] = replace(looked, basis=None)

    def _must_look(self, store: Store, release: str, now: float) -> bool:
        last = self._looked.get(release)
        return last is None or not 0 <= now - last.at < last.wait or launched(store, now) != last.launched
