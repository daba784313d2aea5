"""Backends: how kernels run on chips that are not this machine's CPU.

Each module of this package that has a function ``backend(target)`` says there whether it is for a chip; a chip of a
plug-in has its plug-in's. The CPU of this machine needs none: kernels are called in the worker's own process
(``tuner/measure.py``).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from functools import cache

from targets import Target, plugins
from targets.backend import Backend
from targets.errors import InputError, one_line
from targets.host import host

HOST_DEVICE = "cpu:0"


def backend_for(target: Target) -> Backend | None:
    """The backend for a chip; None for the CPU of this machine, and for a chip that nothing here can run.

    Raises:
        InputError: the chip's plug-in cannot be used; says why, and what to do.
    """
    if is_host(target):
        return None
    if (chip := plugins.chip_of(target)) is not None:
        return _of_plugin(chip)
    return next((found for make in _makers() if (found := make(target)) is not None), None)


def devices(target: Target) -> Sequence[str]:
    """What this machine has to run kernels for a chip on, each of which runs one at a time.

    Raises:
        InputError: nothing; the message says what is missing.
    """
    if is_host(target):
        return [HOST_DEVICE]
    backend = backend_for(target)
    if backend is None:
        raise InputError(f"{target.name} is not the chip of this machine, and nothing here can run kernels for it")
    if found := backend.devices(target):
        return found
    raise InputError(f"no kernels for {target.name} can be run here: {backend.lacks(target)}")


def is_untimed(target: Target) -> bool:
    """Whether something stands in for the chip on this machine, so that times here are none of it."""
    backend = backend_for(target)
    return backend is not None and not backend.timed


def is_host(target: Target) -> bool:
    """Whether a target is the CPU of this machine, under whatever name."""
    return target.fingerprint == host().fingerprint


def _of_plugin(chip: plugins.Chip) -> Backend:
    try:
        made = chip.plugin.backend(chip.target)
    except Exception as error:
        raise InputError(f"{chip.origin} has no backend for it ({one_line(error)}): ask its maker") from error
    if not isinstance(made, Backend):
        raise InputError(f"{chip.origin}: its backend is of type {type(made).__name__}, not targets.backend.Backend")
    return made


@cache
def _makers() -> tuple[Callable[[Target], Backend | None], ...]:
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return tuple(module.backend for module in modules if hasattr(module, "backend"))
