"""What there is for a model at a step on a chip: the schedules that a tier of trust chooses, and a bundle of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
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
from tuning_db.selection import MEASURED, RANKS, Candidate, SelectedKernel, Selection, joined, step_key


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
        smaller: steps with fewer tokens that are wanted too, by tokens ascending: any number of rows up to the most.
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
    smaller: tuple[Mapping[str, Any], ...] = ()

    @property
    def steps(self) -> tuple[Mapping[str, Any], ...]:
        """Every step that is wanted, by tokens ascending."""
        return (*self.smaller, self.step)


class NotOffered(HeadstartError):
    """A repository has nothing for a wish."""


@dataclass(frozen=True)
class Offer:
    """What was found.

    Attributes:
        origin: where.
        tier: that the selection was chosen by.
        offered: digest of all that was offered.
        selection: what is chosen of it; with families where plans were made of it.
        prebuilt: a bundle that was built there; None where there is none.
        built: what that bundle was built of.
        steps: what is chosen at each step, by tokens ascending.
    """

    origin: Origin
    tier: str
    offered: str
    selection: Selection
    prebuilt: Prebuilt | None = None
    built: Selection | None = None
    steps: tuple[Selection, ...] = ()

    @property
    def stale(self) -> tuple[str, ...]:
        """Names of kernels that the bundle should have otherwise; empty where there is no bundle.

        What its publisher measured is vouched for by whoever signed the bundle, and gives way only to what is faster.
        A claim is good for as long as it is offered: one that was refused since is offered no more.
        Where no plans were made, a family of the bundle is as good as a kernel that it does without.
        """
        if self.built is None:
            return ()
        there = {kernel.workload: kernel for kernel in self.built.kernels}
        planned = self.selection.families
        found = [
            kernel.names[0]
            for kernel in self.selection.kernels
            if (
                gives_way(there[kernel.workload].only, kernel.only)
                if kernel.workload in there
                else planned or self.built.family_of(kernel) is None
            )
        ]
        known = [(family.operator, family.params) for family in self.built.families]
        found += [family.names[0] for family in planned if (family.operator, family.params) not in known]
        return tuple(dict.fromkeys(found))

    @property
    def in_bundle(self) -> Selection:
        """The selection with what the bundle was built of."""
        assert self.built is not None
        if self.built.families:
            named = {kernel.workload: kernel for kernel in self.selection.kernels}
            kernels = [replace(named.get(one.workload, one), candidates=one.candidates) for one in self.built.kernels]
        else:
            there = {kernel.workload: kernel.candidates for kernel in self.built.kernels}
            kernels = [replace(one, candidates=there[one.workload]) for one in self.selection.kernels]
        return replace(self.selection, kernels=tuple(kernels), families=self.built.families)


def offered(
    repository: Repository, where: str, release: str, wish: Wish, say: Callable[[str], None] = lambda line: None
) -> Offer:
    """What a repository has for a wish.

    The bundle is that of the step with the most tokens, and of several steps only one that has families.

    Args:
        say: told of a step that is left out, since that bundle does without what is offered for it.

    Raises:
        NotOffered: nothing; the message says what it has instead.
        HeadstartError: nothing that is what it should be.
    """
    named = f"{where}, repository {release}"
    last, prebuilt, built = _offered(repository, named, wish)
    if wish.smaller and not (built and built.families):
        prebuilt = built = None
    steps = []
    for step in wish.smaller:
        ids = last.toolchain.id, last.policy.id
        one = replace(wish, step=step, toolchain=ids[0], policy=ids[1])
        try:
            steps.append(_offered(repository, named, one)[0])
        except NotOffered as error:
            if built is None:
                raise
            say(f"{error}; the bundle for {step_key(wish.step)} has what takes any number of rows all the same")
    steps.append(last)
    origin = Origin(where, release, repository.root, repository.versions())
    chosen = tuple(step.chosen(wish.tier) for step in steps)
    digests = "".join(step.digest for step in steps)
    digest = last.digest if len(steps) == 1 else hashlib.sha256(digests.encode()).hexdigest()
    return Offer(origin, wish.tier, digest, joined(chosen, wish.smaller), prebuilt, built, chosen)


def _offered(repository: Repository, named: str, wish: Wish) -> tuple[Selection, Prebuilt | None, Selection | None]:
    """What is offered at one step, the bundle that was built there, and what of."""
    address, there, built = _find(repository, wish)
    prebuilt, made, selection = None, None, None
    if there:
        selection = _loads(named, address.selection, Selection, repository.read(address.selection, Selection.MOST))
        _check_address(named, address.selection, selection, address, wish)
    if built:
        prebuilt = _loads(named, address.prebuilt, Prebuilt, repository.read(address.prebuilt, Prebuilt.MOST))
        # Read as if it came as it is: a lock file is going to hold it.
        text = built_of(_manifest(repository, named, prebuilt)).dumps()
        made = _loads(named, f"bundle {prebuilt.bundle}", Selection, text)
        _check_address(named, address.prebuilt, made, address, wish)
    selection = selection or made
    assert selection is not None
    return selection, prebuilt, made


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
        families=manifest.families,
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
        raise NotOffered(_miss(selections | prebuilt, wish, step))
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


def gives_way(built: Candidate | None, chosen: Candidate | None) -> bool:
    """Whether what a bundle was built of is to be replaced by what is chosen now; None for the default schedule."""
    if built is None or chosen is None:
        return built is not chosen and (built is None or built.tier != MEASURED)
    if built.trial == chosen.trial:
        return False
    return built.tier != MEASURED or (RANKS[chosen.tier] >= RANKS[MEASURED] and chosen.seconds < built.seconds)
