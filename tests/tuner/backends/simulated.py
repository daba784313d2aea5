"""A backend for a chip that this process plays: it builds with the host's LLVM, in process, and times as told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import tvm

from headstart_runtime.dlpack import tensor
from targets import Target, detect
from targets.backend import Backend, Program


def chip() -> Target:
    """A chip like this machine's, by another name and with one core more."""
    host = detect.host()
    return replace(host, name="simulated", cores=host.cores + 1)


class Simulated(Backend):
    """Runs kernels in this process.

    Args:
        timed: as of ``Backend``.
        seconds: of a call, as the device says.
    """

    def __init__(self, timed: bool = True, seconds: float = 0.001) -> None:
        self.timed, self.seconds = timed, seconds
        self.built: dict[Path, tvm.runtime.Module] = {}
        self.calls = 0

    def versions(self, target):
        return {"simulator": "1"}

    def devices(self, target):
        return ["simulated:0"]

    def build(self, module, target, folder):
        artefact = folder / "kernel"
        self.built[artefact] = tvm.compile(module, target=detect.host().to_tvm()).jit()
        return artefact

    def load(self, artefact, target, device):
        return Loaded(self, self.built[artefact])


class Loaded(Program):
    """A kernel of it."""

    def __init__(self, backend: Simulated, module: tvm.runtime.Module) -> None:
        self.backend, self.module = backend, module

    def call(self, inputs, outputs, calls, cold):
        self.backend.calls += calls
        for _ in range(calls):
            self.module["main"](*(tensor(array) for array in (*inputs, *outputs)))
        return [self.backend.seconds] * calls if self.backend.timed else []
