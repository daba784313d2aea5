"""A second kind of chip that this machine plays: like its own, under another fingerprint, with two devices."""

from __future__ import annotations

import time
from dataclasses import replace

from targets import Target, detect
from targets.backend import Backend, Program

DEVICES = ("second:0", "second:1")


def chip() -> Target:
    """The target: as many cores as this machine has, and one more."""
    host = detect.host()
    return replace(host, name="second", cores=host.cores + 1)


def backend(target: Target) -> Backend | None:
    """The backend for it."""
    return Second() if target.fingerprint == chip().fingerprint else None


class Second(Backend):
    """Builds libraries with the host's LLVM, and calls them in the worker's process."""

    def versions(self, target):
        return {"second": "1"}

    def devices(self, target):
        return DEVICES

    def build(self, module, target, folder):
        import tvm

        library = folder / "kernel.so"
        tvm.compile(module, target=detect.host().to_tvm()).export_library(str(library))
        return library

    def load(self, artefact, target, device):
        import tvm

        return Loaded(tvm.runtime.load_module(str(artefact)))


class Loaded(Program):
    """A kernel of it."""

    def __init__(self, module) -> None:
        self.module = module

    def call(self, inputs, outputs, calls, cold):
        from headstart_runtime.dlpack import tensor

        arrays, seconds = [tensor(array) for array in (*inputs, *outputs)], []
        for _ in range(calls):
            start = time.perf_counter()
            self.module["main"](*arrays)
            seconds.append(time.perf_counter() - start)
        return seconds
