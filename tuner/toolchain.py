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
