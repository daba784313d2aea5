"""Measure ``results/rows.json``: plans for 1 to 256 rows of four operators against the default schedule for each count.

``python docs/rows.py`` tunes, builds a bundle and times it, in about ten minutes on an idle machine; ``--quick`` is a
look at whether it works. ``python docs/figures.py`` draws what was found.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from headstart_runtime import bundle
from targets import resolve
from tuner.bench.rows import FamilyResult, bench_rows
from tuner.compile import build_bundle
from tuner.frontend.model import Model, ModelOp, Step
from tuner.job import Budget, Event
from tuner.local_executor import LocalExecutor
from tuner.policy import policy_for
from tuner.row_job import job_for
from tuner.row_selecting import select_rows
from tuner.tasks import step_tasks
from tuning_db.store import Store

DOCS = Path(__file__).resolve().parent
# Warm, as a plan's second kernel finds its weights.
CACHE = "warm"
# Rows that are asked for, seconds of tuning, and rows that are timed.
FULL = ((1, 16, 64, 256), 180.0, range(1, 257))
QUICK = ((1, 8, 32), 40.0, (*range(1, 18), 24, 31, 32))


def model(rows: int, size: int) -> Model:
    """Four operators of a decoder, of so many rows."""
    linear = {"m": rows, "n": size, "k": size, "dtype": "bfloat16", "out": "bfloat16"}
    ops = (
        ModelOp("linear", "linear", linear, 1),
        ModelOp("linear_fp8", "linear_fp8", {"m": rows, "n": size // 2, "k": size}, 1),
        ModelOp("rmsnorm", "rmsnorm", {"tokens": rows, "dim": size}, 1),
        ModelOp("swiglu", "swiglu", {"tokens": rows, "dim": size}, 1),
    )
    return Model("rows", "docs/rows.py", Step(tokens=rows, batch=rows), ops)


def main(quick: bool) -> None:
    """Tune, build, measure, write."""
    asked, length, timed = QUICK if quick else FULL
    chip, models = resolve("host"), [model(rows, 512 if quick else 2048) for rows in asked]
    policy = policy_for("decode", chip, CACHE)

    def tell(event: Event) -> None:
        print(f"\r{event.task.workload.operator} {event.task.workload.label}\033[K", end="", flush=True)

    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        with Store.open(Path(folder, "rows.db")) as store:
            steps = step_tasks(store, models, chip, policy)
            tasks = list({task.workload.id: task for step in steps for task in step}.values())
            with LocalExecutor(chip, policy) as executor:
                job_for(store, executor, tasks, Budget(length), models, listener=tell, seed=0).run()
            selected = select_rows(store, models, chip, CACHE)
        built = build_bundle(selected.selection, chip, Path(folder, "b"))
        size = Path(built.path, built.manifest.library).stat().st_size
        rounds = 3 if quick else 7
        results = bench_rows(
            bundle.load(built.path), (), timed, rounds, lambda name, rows: print(f"\r{name} {rows}\033[K", end="")
        )
    print("\r\033[K", end="")
    for result in results:
        print(summary(result))
    found = {"target": chip.name, "asked": list(asked), "bytes": size, "families": [r.to_json() for r in results]}
    path = Path("rows-quick.json") if quick else DOCS / "results" / "rows.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(path)


def summary(result: FamilyResult) -> str:
    """One family in a line."""
    kernels: list[Any] = [*result.kernels, *["any"] * bool(result.any)]
    return (
        f"{result.operator} {result.label}: kernels {', '.join(map(str, kernels))}; {result.geomean:.2f}x over the "
        f"default, least {result.worst.speedup:.2f}x at {result.worst.rows}, default better at {result.worse or 'none'}"
    )


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])
