"""What there is for a model at a step on a chip: the schedules that a tier of trust chooses, and a bundle of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headstart_runtime.digests import LARGEST_TEXT
from headstart_runtime.manifest import Manifest
from headstart_runtime.verify import MANIFEST
from schedules.schedule import Schedule
from targets.errors import HeadstartError
from tuning_db.deploy.lock import Origin
from tuning_db.deploy.trust import Repository
from tuning_db.published import Address, Prebuilt, blob_path
from tuning_db.records import Policy, Toolchain
from tuning_db.selection import MEASURED, RANKS, Candidate, SelectedKernel, Selection, step_key


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        model: name.
        step: fields of ``Step``.
        target, target_name: fingerprint of the chip, and what it is called.
        tier: how far a schedule must be trusted at least.
        toolchain, policy: ids; None for whichever there is.
        spec, cache: of a database: how a person named the model, and the cache of the policy; the spec is empty where
            the workloads are those of a lock file.
    """

    model: str
    step: Mapping[str, Any]
    target: str
    target_name: str
    tier: str
    toolchain: str | None = None
    policy: str | None = None
    spec: str = ""
    cache: str | None = None


@dataclass(frozen=True)
class Offer:
    """What was found.

    Attributes:
        origin: where.
        tier: that the selection was chosen by.
        offered: digest of all that was offered.
        selection: what is chosen of it.
        prebuilt: a bundle that was built there; None where there is none.
        built: what that bundle was built of.
    """

    origin: Origin
    tier: str
    offered: str
    selection: Selection
    prebuilt: Prebuilt | None = None
    built: Selection | None = None

    @property
    def stale(self) -> tuple[str, ...]:
        """Names of kernels that the bundle should have otherwise; empty where there is no bundle.

        What its publisher measured is vouched for by whoever signed the bundle, and gives way only to what is faster.
        A claim is good for as long as it is offered: one that was refused since is offered no more.
        """
        there = {kernel.workload: kernel for kernel in self.built.kernels} if self.built else {}
        return tuple(
            kernel.names[0]
            for kernel in (self.selection.kernels if self.built else ())
            if kernel.workload not in there or _gives_way(_only(there[kernel.workload]), _only(kernel))
        )

    @property
    def in_bundle(self) -> Selection:
        """The selection with what the bundle was built of."""
        assert self.built is not None
        there = {kernel.workload: kernel.candidates for kernel in self.built.kernels}
        kernels = (replace(kernel, candidates=there[kernel.workload]) for kernel in self.selection.kernels)
        return replace(self.selection, kernels=tuple(kernels))


def offered(repository: Repository, where: str, release: str, wish: Wish) -> Offer:
    """What a repository has for a wish.

    Raises:
        HeadstartError: nothing, or nothing that is what it should be; the message says what it has instead.
    """
    address, there, built = _find(repository, wish)
    named = f"{where}, repository {release}"
    prebuilt, made, selection = None, None, None
    if there:
        selection = _loads(named, address.selection, Selection, repository.read(address.selection, Selection.MOST))
        _check_address(named, address.selection, selection, address, wish)
    if built:
        prebuilt = _loads(named, address.prebuilt, Prebuilt, repository.read(address.prebuilt, Prebuilt.MOST))
        made = built_of(_manifest(repository, named, prebuilt))
        _check_address(named, address.prebuilt, made, address, wish)
    selection = selection or made
    assert selection is not None
    origin = Origin(where, release, repository.root, repository.versions())
    return Offer(origin, wish.tier, selection.digest, selection.chosen(wish.tier), prebuilt, made)


def built_of(manifest: Manifest) -> Selection:
    """The selection that a bundle was built of, by its own word."""
    kernels = []
    for kernel in manifest.kernels:
        candidates: tuple[Candidate, ...] = ()
        if kernel.tuned and kernel.provenance is not None and kernel.seconds is not None:
            schedule = Schedule(kernel.schedule.space, kernel.schedule.version, kernel.schedule.config)
            times = {"seconds": kernel.seconds, "default_seconds": kernel.default_seconds}
            candidates = (Candidate(schedule=schedule, **times, **vars(kernel.provenance)),)  # type: ignore[arg-type]
        what = kernel.workload, kernel.operator, kernel.label, kernel.params
        kernels.append(SelectedKernel(kernel.names, *what, kernel.calls, candidates))
    policy = manifest.policy
    return Selection(
        model=manifest.model.name,
        source=manifest.model.source,
        step=dict(manifest.model.step),
        target=manifest.target.fingerprint,
        target_name=manifest.target.name,
        toolchain=Toolchain(manifest.toolchain.versions),
        policy=Policy(policy.cache, policy.threads, policy.clock),
        kernels=tuple(kernels),
        missing=manifest.missing,
    )


def trusted(selection: Selection, tier: str) -> bool:
    """Whether all that was chosen is trusted at least as far as a tier."""
    return all(RANKS[one.tier] >= RANKS[tier] for kernel in selection.kernels for one in kernel.candidates)


def _find(repository: Repository, wish: Wish) -> tuple[Address, bool, bool]:
    """The one address that fits, and whether it has a selection and a bundle."""
    selections, prebuilt = repository.addresses()
    step = step_key(wish.step)
    fitting = {
        one
        for one in selections | prebuilt
        if (one.model, one.step, one.target) == (wish.model, step, wish.target)
        and wish.toolchain in (None, one.toolchain)
        and wish.policy in (None, one.policy)
    }
    if not fitting:
        raise HeadstartError(_miss(selections | prebuilt, wish, step))
    if len(fitting) > 1 and len(fitting & prebuilt) == 1:
        fitting &= prebuilt
    if len(fitting) > 1:
        ids = ", ".join(sorted({one.toolchain for one in fitting}))
        raise HeadstartError(f"there are several for {wish.model} on {wish.target_name}: say --toolchain, one of {ids}")
    address = fitting.pop()
    return address, address in selections, address in prebuilt


def _miss(there: set[Address], wish: Wish, step: str) -> str:
    """What is said where nothing fits: the first thing that differs, and what there is of it."""
    left = there
    for what, asked, name in (
        ("model", wish.model, wish.model),
        ("step", step, step),
        ("target", wish.target, f"{wish.target_name} ({wish.target})"),
        ("toolchain", wish.toolchain, f"toolchain {wish.toolchain}"),
        ("policy", wish.policy, f"policy {wish.policy}"),
    ):
        fitting = {one for one in left if asked in (None, getattr(one, what))}
        if not fitting:
            has = ", ".join(sorted({getattr(one, what) for one in left})[:8]) or "nothing"
            of = "" if what == "model" else f" of {wish.model}"
            hint = "; --toolchain ID takes what another one built" if what == "toolchain" else ""
            return f"nothing{of} for {name}; there is {has}{hint}"
        left = fitting
    raise AssertionError("something fits")


def _loads(where: str, path: str, kind: Any, data: bytes) -> Any:
    try:
        return kind.loads(data)
    except ValueError as error:
        raise HeadstartError(f"{where}: {path} {error}") from None


def _check_address(where: str, path: str, selection: Selection, address: Address, wish: Wish) -> None:
    """That something lies where it belongs: one chip's kernels under the name of another are refused."""
    if selection.target != wish.target:
        raise HeadstartError(
            f"{where}: what is said to be for {wish.target_name} ({wish.target}) is for {selection.target_name} "
            f"({selection.target}): refused"
        )
    if (found := Address.of(selection)) != address:
        raise HeadstartError(f"{where}: {path} holds what belongs at {found.selection}: refused")


def _manifest(repository: Repository, where: str, prebuilt: Prebuilt) -> Manifest:
    if MANIFEST not in prebuilt.files:
        raise HeadstartError(f"{where}: bundle {prebuilt.bundle} lacks its {MANIFEST}")
    file = prebuilt.files[MANIFEST]
    path = blob_path(file.sha256)
    repository.fetch(path, file.sha256, file.length)
    try:
        return Manifest.loads(repository.read(path, LARGEST_TEXT).decode())
    except (UnicodeDecodeError, HeadstartError) as error:
        raise HeadstartError(f"{where}: bundle {prebuilt.bundle}: {error}") from None


def _only(kernel: SelectedKernel) -> Candidate | None:
    return kernel.candidates[0] if kernel.candidates else None


def _gives_way(built: Candidate | None, chosen: Candidate | None) -> bool:
    if built is None or chosen is None:
        return built is not chosen and (built is None or built.tier != MEASURED)
    if built.trial == chosen.trial:
        return False
    return built.tier != MEASURED or (RANKS[chosen.tier] >= RANKS[MEASURED] and chosen.seconds < built.seconds)
