"""From what was offered to files in the cache: fetched where somebody built them, else built here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from headstart_runtime.digests import SUMS
from targets.errors import HeadstartError
from tuning_db.deploy.cache import Cache
from tuning_db.deploy.lock import HERE, THERE, Lock
from tuning_db.deploy.offer import Offer, trusted
from tuning_db.deploy.trust import Repository, Told
from tuning_db.published import BundleFile, Prebuilt, blob_path
from tuning_db.selection import Selection

# Builds a selection into a directory that is not there yet.
Builder = Callable[[Selection, Path], None]


@dataclass(frozen=True)
class Plan:
    """What a pull would take of an offer.

    Attributes:
        offer: what was found.
        selection: what the bundle is, or will be, built of.
        made: whether the bundle is ``prebuilt`` or to be built ``here``.
    """

    offer: Offer
    selection: Selection
    made: str


def plan(offer: Offer, builds: bool, told: Told) -> Plan:
    """Take the bundle that was built there if it has what was chosen, or if nothing is built here.

    Args:
        offer: what was found.
        builds: whether a bundle can and may be built here.
        told: what to say.

    Raises:
        HeadstartError: there is no bundle, and none is built here; or what there is is not trusted enough.
    """
    name, chip = offer.selection.model, offer.selection.target_name
    if offer.built is not None and not offer.stale:
        return Plan(offer, offer.in_bundle, THERE)
    if builds:
        return Plan(offer, offer.selection, HERE)
    if offer.built is None:
        rows = " and any number of rows" if offer.selection.smaller else ""
        raise HeadstartError(
            f"nobody built a bundle of {name} for {chip}{rows} there, and none is built here: that takes TVM, a chip "
            "that Headstart knows by name, and no --prebuilt"
        )
    if not trusted(offer.built, offer.tier):
        raise HeadstartError(
            f"the bundle of {name} that was built there holds kernels that are trusted less than {offer.tier}, and "
            "none is built here"
        )
    told.say(
        f"the bundle that was built there lacks what is chosen now for {', '.join(offer.stale)}; it is taken as it is, "
        "since nothing is built here"
    )
    return Plan(offer, replace(offer.built, smaller=offer.selection.smaller), THERE)


def obtain(plan: Plan, cache: Cache, repository: Repository | None, build: Builder | None, told: Told) -> Lock:
    """Bring the files of a plan into the cache.

    Raises:
        HeadstartError: they cannot be fetched or built.
    """
    if plan.made == THERE:
        assert repository is not None
        assert plan.offer.prebuilt is not None
        bundle = plan.offer.prebuilt
        _fetch(bundle, cache, repository, told)
    else:
        assert build is not None
        bundle = _build(plan.selection, cache, build)
    return Lock(plan.offer.origin, plan.offer.tier, plan.offer.offered, plan.selection, plan.made, bundle)


def reproduce(
    lock: Lock,
    cache: Cache,
    repository: Callable[[], AbstractContextManager[Repository]] | None,
    build: Builder | None,
    told: Told,
) -> None:
    """Bring the very files that a lock pins into the cache: from there, or built again to the byte.

    Args:
        lock: what is wanted.
        cache: where most of it may be.
        repository: opens where it came from; None to do without.
        build: builds what was built here; None to do without.
        told: what to say.

    Raises:
        HeadstartError: they are not to be had; the message says what changed.
    """
    if not (lacking := _lacking(lock.bundle, cache)):
        return
    source = repository if lock.made == THERE else build
    if source is None:
        raise HeadstartError(
            f"the cache in {cache.folder} lacks {', '.join(lacking)} of bundle {lock.bundle.bundle}: "
            + (
                "pull once with a connection"
                if lock.made == THERE
                else "it was built where TVM is, and is not built here"
            )
        )
    if lock.made == THERE:
        assert repository is not None
        with repository() as opened:
            gone = [name for name, file in lacking.items() if not opened.has(blob_path(file.sha256))]
            if gone:
                raise HeadstartError(
                    f"{lock.origin.where} no longer has {', '.join(gone)} of bundle {lock.bundle.bundle}, which the "
                    "lock file pins; `headstart update` says what it has now"
                )
            _fetch(lock.bundle, cache, opened, told)
        return
    assert build is not None
    made = _build(lock.selection, cache, build)
    if made != lock.bundle:
        changed = ", ".join(
            f"{name} has SHA-256 {made.files[name].sha256 if name in made.files else 'of nothing'}, not {file.sha256}"
            for name, file in lock.bundle.files.items()
            if made.files.get(name) != file
        )
        raise HeadstartError(
            f"what the lock file pins was built again from the same schedules with the same toolchain and came out "
            f"otherwise: {changed}; the C compiler or linker is another one"
        )


def _lacking(bundle: Prebuilt, cache: Cache) -> dict[str, BundleFile]:
    return {name: file for name, file in bundle.files.items() if cache.lacks(file)}


def _fetch(bundle: Prebuilt, cache: Cache, repository: Repository, told: Told) -> None:
    lacking = _lacking(bundle, cache)
    if lacking:
        told.expected(sum(max(0, file.length - cache.begun(file.sha256)) for file in lacking.values()))
    for file in lacking.values():
        repository.fetch(blob_path(file.sha256), file.sha256, file.length)


def _build(selection: Selection, cache: Cache, build: Builder) -> Prebuilt:
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        path = Path(folder) / "bundle"
        build(selection, path)
        files = {file.name: cache.add(file) for file in sorted(path.iterdir())}
    return Prebuilt(files[SUMS].sha256, files)
