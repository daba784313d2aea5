"""From what a person types to what is asked for: the model's step, the chip, toolchain and policy."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from targets import Target, resolve
from targets.errors import HeadstartError, InputError
from tuner.frontend import catalogue
from tuner.frontend.load import load_model, step_for
from tuner.frontend.model import Step
from tuner.frontend.step import complete_step
from tuner.policy import CACHE, policy_for
from tuning_db.deploy.lock import Lock
from tuning_db.deploy.offer import Wish
from tuning_db.files import is_url
from tuning_db.records import Policy

FINGERPRINT = re.compile("c[0-9a-f]{24}")


def wish_for(
    where: str,
    model: str,
    given: Mapping[str, Any],
    target: str,
    tier: str,
    toolchain: str | None = None,
    cache: str | None = None,
) -> Wish:
    """What a person asks for.

    Args:
        where: URL of a service, or path of a database.
        model: name, or, of a database, whatever ``load_model`` takes.
        given: fields of the step that were said, the others None; ``tokens`` are several numbers, ascending, or None.
        target: ``host``, a name of the catalogue, or, of a service, the fingerprint of any chip.
        tier: how far a schedule must be trusted at least.
        toolchain: id, of a service; this machine's unless said, or whichever there is where it has none.
        cache: of the policy, ``warm`` or ``cold``; the phase's own unless said.

    Raises:
        InputError: no such target, or one that is not known without TVM; no such model; a step that makes no sense.
    """
    steps = [_step(where, model, {**given, "tokens": tokens}) for tokens in given["tokens"] or (None,)]
    *smaller, fields = (dict(vars(step)) for step in steps)
    step, fewer = steps[-1], tuple(smaller)
    if is_url(where) and FINGERPRINT.fullmatch(target):
        return Wish(model, fields, target, target, tier, toolchain, smaller=fewer)
    chip = _resolve(target)
    if not is_url(where):
        name = load_model(model, step, db=Path(where)).name
        return Wish(name, fields, chip.fingerprint, chip.name, tier, spec=model, cache=cache, smaller=fewer)
    if has_tvm():
        from tuner.toolchain import chip_toolchain

        toolchain = toolchain or chip_toolchain(chip).id
        policy = policy_for(step.phase, chip, cache)
    else:
        # Without TVM nothing here knows of a chip of another make, whose times are by a clock of its own.
        policy = Policy(cache or CACHE[step.phase], chip.cores)
    return Wish(model, fields, chip.fingerprint, chip.name, tier, toolchain, policy.id, smaller=fewer)


def wish_again(lock: Lock) -> Wish:
    """What was asked for when a lock file was written."""
    pinned = lock.selection
    ids = pinned.toolchain.id, pinned.policy.id
    chip = pinned.target, pinned.target_name
    return Wish(pinned.model, pinned.step, *chip, lock.tier, *ids, smaller=pinned.smaller)


def check_chip(lock: Lock, target: str, path: Path) -> None:
    """See that what is pinned is for the chip that is meant.

    Raises:
        InputError: it is for another one.
    """
    pinned = lock.selection
    if target == pinned.target:
        return
    chip = _resolve(target)
    if chip.fingerprint != pinned.target:
        raise InputError(
            f"{path} pins a bundle for {pinned.target_name} ({pinned.target}), and {target} is {chip.name} "
            f"({chip.fingerprint}); to place it all the same, say --target {pinned.target}"
        )


def has_tvm() -> bool:
    """Whether TVM is installed."""
    return importlib.util.find_spec("tvm") is not None


def chip_of(name: str, fingerprint: str) -> Target:
    """The chip of a fingerprint.

    Raises:
        HeadstartError: it is not known here.
    """
    for known in (name, "host"):
        try:
            chip = resolve(known)
        except InputError:
            continue
        if chip.fingerprint == fingerprint:
            return chip
    raise HeadstartError(f"{name} ({fingerprint}) is not known here, so that nothing can be built for it")


def _step(where: str, model: str, given: Mapping[str, Any]) -> Step:
    """The step that is meant, blanks filled in as suits the model where it is known here."""
    if is_url(where) and model not in catalogue.names():
        return complete_step(**given)
    return step_for(model, None if is_url(where) else Path(where), **given)


def _resolve(target: str) -> Target:
    try:
        return resolve(target)
    except ModuleNotFoundError:
        raise InputError(
            f"whether this machine is {target!r} is not known without TVM: say --target with the name of a chip that "
            "Headstart knows, or with its fingerprint"
        ) from None
