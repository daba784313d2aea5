"""What builds and times trials here: versions of TVM and LLVM, of our own lowering, and of a backend's tools."""

from __future__ import annotations

from schedules.lower import VERSION
from targets import Target
from targets.toolchain import versions
from tuner.backends import backend_for
from tuning_db.records import Toolchain


def lowering(target: Target) -> Toolchain:
    """What says what a schedule means here: TVM, LLVM and our own lowering."""
    return Toolchain({**versions(target.kind), "lowering": str(VERSION)})


def toolchain(target: Target) -> Toolchain:
    """The toolchain of this machine for a target: part of the key of every trial."""
    backend = backend_for(target)
    tools = {} if backend is None else backend.versions(target)
    return Toolchain({**lowering(target).versions, **tools})


def chip_toolchain(target: Target) -> Toolchain:
    """That of a machine which is the chip, with the versions of this one: what its times are kept under.

    Where this machine only stands in for a chip, its own toolchain says so; selections and bundles are for the chip.
    """
    backend = backend_for(target)
    return toolchain(target) if backend is None or backend.timed else lowering(target)
