"""What the process of a peer does when asked: load a workload, time a block of calls, compute a reference, search."""

from __future__ import annotations

import gc
import importlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from headstart_runtime.memory import aligned
from schedules.operator import Arrays
from schedules.workload import Workload, numpy_dtype
from targets import Target, detect
from targets.errors import one_line
from tuner.bench.evict import Evictor, evicts_itself
from tuner.bench.loaded import Request, Unsupported, wrong
from tuner.bench.timing import Timer
from tuner.measure import unscheduled


class Server:
    """Answers requests about one workload at a time.

    Args:
        module: of ``tuner.bench.peers``.
        target: the chip of this machine.
    """

    def __init__(self, module: str, target: Target) -> None:
        self.module, self.target = importlib.import_module(f"tuner.bench.peers.{module}"), target
        self.evictor = Evictor(target, detect.cpus())
        self.timer: Timer | None = None
        self.roof: Any = None

    def do_hello(self) -> dict[str, Any]:
        """Nothing; an answer shows that the process is ready."""
        return {}

    def do_load(
        self, workload: Mapping[str, Any], seed: int, cold: bool, reference: str, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Make a workload ready, run it, check it.

        Returns:
            ``status``: ``ok``, ``unsupported``, ``failed`` or ``wrong``, with the reason as ``error``; ``seconds`` of
            making it ready, ``note`` and ``stand_in`` of ``Loaded``.
        """
        self.timer = None
        gc.collect()  # the last workload's memory first
        of = Workload.load(**workload)
        start = time.perf_counter()
        try:
            alone = not cold or evicts_itself(of.bytes, self.target)
            copies = [_inputs(of, seed) for _ in range(1 if alone else 2)]
            start = time.perf_counter()
            request = Request(of, copies, _read(of, reference), self.target, options)
            loaded = self.module.load(request)
            for call in loaded.calls:
                call()
            seconds = time.perf_counter() - start
            problem = wrong(loaded.outputs(), request, loaded.stand_in)
            self.timer = Timer(loaded, None if alone else self.evictor, cold)
        except Unsupported as error:
            return {"status": "unsupported", "error": str(error)}
        except Exception as error:
            return {"status": "failed", "error": one_line(error)}
        result = {"seconds": seconds, "note": loaded.note, "stand_in": loaded.stand_in}
        if problem is not None:
            self.timer = None
            return {"status": "wrong", "error": problem, **result}
        return {"status": "ok", "error": "", **result}

    def do_block(self, seconds: float) -> dict[str, Any]:
        """Time some calls of what was loaded."""
        assert self.timer is not None
        return {"samples": self.timer.block(seconds)}

    def do_reference(self, workload: Mapping[str, Any], seed: int, path: str) -> dict[str, Any]:
        """Write the right outputs to a file."""
        of = Workload.load(**workload)
        inputs = _inputs(of, seed)
        outputs = of.reference(inputs)
        if outputs is None:
            outputs = unscheduled(of, self.target, inputs)
        with open(path, "wb") as file:
            for output in outputs:
                file.write(output.tobytes())
        return {}

    def do_roof(self, nbytes: int) -> dict[str, Any]:
        """Get ready to measure the machine, and reads of ``nbytes``."""
        if self.roof is None:
            self.roof = self.module.Roof(self.target, self.evictor)
        self.roof.load(nbytes)
        return {}

    def do_roof_block(self, seconds: float) -> dict[str, Any]:
        """Measure the machine."""
        return dict(self.roof.block(seconds))

    def do_search(self, workload: Mapping[str, Any], **arguments: Any) -> dict[str, Any]:
        """Let the module tune the workload its own way."""
        try:
            return dict(self.module.search(Workload.load(**workload), self.target, **arguments))
        except Exception as error:
            return {"error": one_line(error)}


def _inputs(workload: Workload, seed: int) -> Arrays:
    return [aligned(array) for array in workload.inputs(np.random.default_rng(seed))]


def _read(workload: Workload, path: str) -> Arrays:
    """The outputs that ``do_reference`` wrote."""
    data, at, outputs = np.frombuffer(Path(path).read_bytes(), np.uint8), 0, []
    for argument in workload.output_arguments:
        part = data[at : at + argument.nbytes]
        outputs.append(part.view(numpy_dtype(argument.dtype)).reshape(argument.shape))
        at += argument.nbytes
    return outputs


def server_of(module: str, target: Target) -> Any:
    """What answers for a module of ``tuner.bench.peers``: a server of its own, or one for workloads."""
    own = getattr(importlib.import_module(f"tuner.bench.peers.{module}"), "Server", None)
    return own(target) if own is not None else Server(module, target)


def serve(server: Any, requests: IO[str], replies: IO[str]) -> None:
    """Answer until the other side closes."""
    for line in requests:
        request = json.loads(line)
        answer = getattr(server, "do_" + request.pop("do"))(**request)
        replies.write(json.dumps(answer) + "\n")
        replies.flush()
