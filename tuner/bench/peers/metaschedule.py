"""TVM's own MetaSchedule with its default spaces, builder, runner and cost model."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from schedules.workload import Workload
from targets import Target, detect
from tuner.bench.loaded import Loaded, Request
from tuner.bench.peers.headstart import of_module

# Trials that it proposes at a time. Its own default, 64, would leave it with nothing where time is short.
BATCH = 16


class Enough(Exception):
    """Trials are used up."""


def load(request: Request) -> Loaded:
    """Build the schedule that ``search`` kept in the file that ``options`` name."""
    import tvm

    module = tvm.ir.load_json(Path(request.options["module"]).read_text())
    return of_module(request, module, request.options.get("note", ""))


def search(workload: Workload, target: Target, trials: int, seconds: float | None, folder: str) -> dict[str, Any]:
    """Tune, and keep the best schedule of all and the best of those found within ``seconds``.

    Args:
        trials: how many.
        seconds: where the second schedule is cut off, None for no such schedule. A batch under way then counts.
        folder: where ``trials.json`` and ``seconds.json`` go, modules as TVM writes them.

    Returns:
        For both: ``trials`` and ``seconds`` that they took, and whether any trial ran (``found``).

    Raises:
        RuntimeError: none did.
    """
    import tvm
    from tvm.ir.utils import derived_object
    from tvm.s_tir import meta_schedule as ms

    load_intrinsics()
    work = Path(folder, "metaschedule")
    seen: list[tuple[float, float, Any]] = []
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(detect.cpus()))  # its builders and runners take over what this process may use
    start = time.monotonic()

    @derived_object
    class Watch(ms.measure_callback.PyMeasureCallback):
        """Notes when each candidate was measured, how fast it was and what it is."""

        def apply(  # TVM passes its own objects
            self, scheduler: Any, task: int, candidates: Any, builds: Any, results: Sequence[Any]
        ) -> None:
            spent = time.monotonic() - start
            for candidate, result in zip(candidates, results, strict=True):
                times = [] if result.run_secs is None else [float(s) for s in result.run_secs]
                seen.append((spent, min(times, default=float("inf")), candidate.sch))

    module = tvm.IRModule({"main": workload.prim_func.with_attr("global_symbol", "main")})
    logging.getLogger("tvm.s_tir.meta_schedule").setLevel(logging.ERROR)
    ms.tune_tir(
        module,
        target=target.to_tvm(),
        work_dir=str(work),
        builder=ms.builder.LocalBuilder(max_workers=target.cores, initializer=load_intrinsics),
        max_trials_global=trials,
        num_trials_per_iter=min(BATCH, trials),
        measure_callbacks=[Watch()],
        num_tuning_cores=target.cores,
        seed=0,
    )
    shutil.rmtree(work, ignore_errors=True)
    for child in psutil.Process().children(recursive=True):
        child.kill()  # its builders and runners, which would wait for more
    end = seen[-1][0] if seen else time.monotonic() - start
    kept = {"trials": _keep(seen, end, Path(folder, "trials.json"))}
    if not kept["trials"]["found"]:
        raise RuntimeError(f"none of its {len(seen)} trials ran")
    if seconds is not None:
        batch_end = next((spent for spent, *_ in seen if spent >= seconds), end)
        kept["seconds"] = _keep(seen, batch_end, Path(folder, "seconds.json"))
    return kept


def load_intrinsics() -> None:
    """Import what each of its builders imports within the time limit of its first build.

    The parser of scripts asks ``inspect`` for the module of every frame, which goes through all modules there are: half
    a minute and more, so that builds end for lack of time. It needs no answer.
    """
    before = inspect.getmodule
    inspect.getmodule = lambda *_, **__: None
    try:
        importlib.import_module("tvm.s_tir.tensor_intrin")
    finally:
        inspect.getmodule = before


def _keep(seen: Sequence[tuple[float, float, Any]], end: float, path: Path) -> dict[str, Any]:
    """Write the best of what was measured until ``end``."""
    import tvm

    counted = [one for one in seen if one[0] <= end]
    best = min(counted, key=lambda one: one[1], default=None)
    found = best is not None and best[1] < float("inf")
    if best is not None and found:
        path.write_text(tvm.ir.save_json(best[2].mod))
    return {"trials": len(counted), "seconds": end, "found": found}
