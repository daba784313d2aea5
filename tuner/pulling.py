"""Pull: what is tuned for a model on a chip comes from a service or a database into a directory, pinned by a lock file.

TVM is loaded only to build what nobody built before, or to know a chip or a toolchain that was not named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from targets import resolve
from targets.errors import HeadstartError
from tuner.frontend.load import load_model
from tuner.frontend.model import Step
from tuner.wishing import chip_of, has_tvm
from tuning_db.deploy.cache import Cache
from tuning_db.deploy.changes import Changes, changes
from tuning_db.deploy.deployment import Deployment
from tuning_db.deploy.history import Deployed
from tuning_db.deploy.lock import HERE, Lock, Origin
from tuning_db.deploy.memory import recall, remember
from tuning_db.deploy.obtain import Builder, Plan, obtain, plan, reproduce
from tuning_db.deploy.offer import Offer, Wish, offered
from tuning_db.deploy.trust import Repository, Told, repository
from tuning_db.files import is_url
from tuning_db.selection import Selection
from tuning_db.store import Store

if TYPE_CHECKING:
    from tuner.row_selecting import PlannedFamily
    from tuning_db.client import Client


@dataclass(frozen=True)
class Source:
    """Where to pull from.

    Attributes:
        where: URL of a service, or path of a database.
        release: whose repository of the service.
        connect: opens a client of the service.
        root: root metadata that trust starts from; None for what was trusted before, or is seen first.
        offline: whether nothing is asked of anybody.
    """

    where: str
    release: str
    connect: Callable[[], AbstractContextManager[Client]]
    root: bytes | None = None
    offline: bool = False

    @property
    def origin(self) -> Origin:
        """The source as a lock file names it, without what is trusted of it."""
        return Origin(self.where, self.release if is_url(self.where) else "")


@dataclass
class Traffic:
    """What went over the network: requests, bytes of bodies that came, answers that nothing changed."""

    requests: int = 0
    received: int = 0
    unchanged: int = 0


@dataclass(frozen=True)
class Pulled:
    """What a pull came to.

    Attributes:
        directory: where the bundle is.
        lock: what it is.
        changed: whether anything is other than before.
        traffic: what went over the network.
    """

    directory: Path
    lock: Lock
    changed: bool
    traffic: Traffic


@dataclass
class Puller:
    """Pulls from one source.

    Attributes:
        source: where from.
        cache: where what came is kept.
        told: what is said as it goes.
        prebuilt: take bundles as they were built there, and build nothing.
        traffic: what went over the network so far.
    """

    source: Source
    cache: Cache
    told: Told
    prebuilt: bool = False
    traffic: Traffic = field(default_factory=Traffic)

    def pull(self, deployment: Deployment, wish: Wish) -> Pulled:
        """Take what there is for a wish.

        Raises:
            InputError: the lock file pins something else.
            HeadstartError: there is nothing, or it is not to be trusted, fetched or built.
        """
        deployment.check_pins(wish)
        if not self.source.offline:
            with self.plan(deployment, wish) as (found, opened):
                return self.take(deployment, found, opened)
        lock = deployment.lock or recall(self.cache, self.source.origin, wish)
        if lock is None:
            raise HeadstartError(
                f"the cache in {self.cache.folder} has nothing of {wish.model} for {wish.target_name} from "
                f"{self.source.where}: pull once with a connection"
            )
        return self._reproduced(deployment, lock)

    @contextmanager
    def plan(self, deployment: Deployment, wish: Wish) -> Iterator[tuple[Plan, Repository | None]]:
        """What a pull would take, and the repository that it is in."""
        builds = self._builder(wish.target_name, wish.target) is not None
        if not is_url(self.source.where):
            selection = self._select(deployment, wish)
            offer = Offer(self.source.origin, wish.tier, selection.digest, selection.chosen(wish.tier))
            yield plan(offer, builds, self.told), None
            return
        known = deployment.lock.origin if deployment.lock else None
        if known is not None and (known.where, known.release) != (self.source.where, self.source.release):
            known = None
        with self._open(known) as opened:
            offer = offered(opened, self.source.where, self.source.release, wish, self.told.say)
            yield plan(self._planned(offer) if builds else offer, builds, self.told), opened

    def take(self, deployment: Deployment, found: Plan, opened: Repository | None) -> Pulled:
        """Take what was planned."""
        build = self._builder(found.selection.target_name, found.selection.target)
        lock = self._built_before(deployment, found) or obtain(found, self.cache, opened, build, self.told)
        remember(self.cache, lock)
        return self._taken(deployment, lock)

    def is_pinned(self, deployment: Deployment, found: Plan) -> bool:
        """Whether a plan comes to what the lock file pins already."""
        lock = deployment.lock
        if lock is None or (lock.made, lock.selection) != (found.made, found.selection):
            return False
        return found.made == HERE or lock.bundle == found.offer.prebuilt

    def changes(self, deployment: Deployment, found: Plan) -> Changes:
        """What taking a plan would change of what the lock file pins."""
        assert deployment.lock is not None
        return changes(deployment.lock.selection, found.selection)

    def reproduce(self, deployment: Deployment) -> Pulled:
        """Make the directory what the lock file says, to the byte.

        Raises:
            HeadstartError: that is not to be had any more; the message says what changed.
        """
        assert deployment.lock is not None
        return self._reproduced(deployment, deployment.lock)

    def back(self, deployment: Deployment, to: Deployed) -> Pulled:
        """Make the directory and the lock file what they were before.

        Raises:
            HeadstartError: the cache does not have that any more.
        """
        return self._reproduced(deployment, to.lock, forward=False)

    def _reproduced(self, deployment: Deployment, lock: Lock, forward: bool = True) -> Pulled:
        ask = None if self.source.offline else lambda: self._open(lock.origin)
        build = self._builder(lock.selection.target_name, lock.selection.target)
        reproduce(lock, self.cache, ask, None if self.source.offline else build, self.told)
        return self._taken(deployment, lock, forward)

    def _taken(self, deployment: Deployment, lock: Lock, forward: bool = True) -> Pulled:
        changed = deployment.take(lock, forward)
        return Pulled(deployment.directory, lock, changed, self.traffic)

    @contextmanager
    def _open(self, known: Origin | None) -> Iterator[Repository]:
        """The repository, refreshed; what a lock file knows of it already is held against it."""
        with (
            self.source.connect() as client,
            repository(
                client,
                self.source.release,
                self.cache,
                self.source.root,
                known.root if known else None,
                self.told,
            ) as opened,
        ):
            try:
                opened.check_versions((known.versions if known else None) or {})
                yield opened
            finally:
                self.traffic.requests += opened.fetcher.requests
                self.traffic.received += opened.fetcher.received
                self.traffic.unchanged += opened.fetcher.unchanged

    def _select(self, deployment: Deployment, wish: Wish) -> Selection:
        """What the champions of a database come to."""
        from tuner.row_selecting import select_rows, select_rows_again

        path, chip = Path(self.source.where), chip_of(wish.target_name, wish.target)
        self.told.doing("Planning")
        with Store.open(path, create=False) as store:
            if wish.spec:
                models = [load_model(wish.spec, Step(**step), db=path) for step in wish.steps]
                found = select_rows(store, models, chip, wish.cache)
            else:
                assert deployment.lock is not None
                found = select_rows_again(store, deployment.lock.selection, chip)
        if deployment.lock is None or deployment.lock.selection != found.selection:
            self._tell(found.families)
        return found.selection

    def _planned(self, offer: Offer) -> Offer:
        """With plans for any number of rows, where they are wanted, or there already, and can be made here."""
        wanted = offer.selection
        if not wanted.smaller and not (offer.built and offer.built.families):
            return offer
        from tuner.row_offers import planned
        from tuner.toolchain import chip_toolchain

        try:
            chip = chip_of(wanted.target_name, wanted.target)
        except HeadstartError:
            return offer
        if chip_toolchain(chip).id != wanted.toolchain.id:
            return offer
        self.told.doing("Planning")
        found, families = planned(offer, chip)
        if found.stale or found.built is None:
            self._tell(families)
        return found

    def _tell(self, families: Sequence[PlannedFamily]) -> None:
        for family in families:
            for line in family.lacks():
                self.told.say(line)

    def _built_before(self, deployment: Deployment, found: Plan) -> Lock | None:
        """What the lock file pins, where that was built here of the very same: it need not be built again."""
        lock, offer = deployment.lock, found.offer
        if lock is None or found.made != HERE or (lock.made, lock.selection) != (HERE, found.selection):
            return None
        if any(self.cache.lacks(file) for file in lock.bundle.files.values()):
            return None
        return replace(lock, origin=offer.origin, tier=offer.tier, offered=offer.offered)

    def _builder(self, name: str, fingerprint: str) -> Builder | None:
        """What builds for a chip here; None where nothing can or may."""
        if self.prebuilt or not has_tvm():
            return None

        def build(selection: Selection, path: Path) -> None:
            from tuner.compile import build_bundle
            from tuner.proving import prove

            chip = chip_of(name, fingerprint)
            built = build_bundle(
                selection, chip, path, lambda work: self.told.doing(f"Compiling {work.operator} {work.label}")
            )
            if chip.fingerprint == resolve("host").fingerprint:
                prove(built.path, lambda label: self.told.doing(f"Checking {label}"))
            else:
                self.told.say(f"built for {chip.name}, which this machine is not: its kernels were not run here")

        return build
