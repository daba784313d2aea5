"""Many vendors with chips and work of their own, for measuring a shared database that is as full as one would be.

All of it follows from numbers, so that two who draw with the same seed make the same.
"""

from __future__ import annotations

import random
from typing import Any

from schedules.schedule import Schedule
from targets import Target
from targets.digest import digest
from targets.target import Peaks
from tests.tuning_db.selecting import STEP
from tuning_db.batch import ClaimedTrial
from tuning_db.records import Policy, Toolchain

# A decoder has about this many distinct workloads at one step, and a chip maker a chip or two for it.
WORKLOADS = 60
SAMPLES = 12
TOOLCHAIN = Toolchain({"tvm": "0.27.0", "llvm": "22.1", "lowering": "7"})
POLICY = Policy("cold", 16)
# One claim in so many is of a trace: longer, and what is the same in it takes longer to tell.
TRACED = 10
# As long as the texts of linear layers are.
CANONICAL = 900


def computation(release: int, n: int) -> dict[str, Any]:
    """Workload number ``n`` of a release's model, as ``Store.add_workload`` takes it."""
    m, cols, k = 1 + n % 16, 256 * (1 + n), 4096 + release
    canonical = f"computation {release}.{n} ".ljust(CANONICAL, ".")
    return {
        "id": digest("w", canonical),
        "operator": "linear",
        "label": f"{m}x{cols}x{k} fp32",
        "params": {"m": m, "n": cols, "k": k, "dtype": "float32", "out": "float32"},
        "canonical": canonical,
        "flops": 2 * m * cols * k,
        "bytes": 4 * (m * k + cols * k + m * cols),
    }


def model(release: int, workloads: int = WORKLOADS) -> dict[str, Any]:
    """The model of a release, as ``Store.add_release`` takes it."""
    made = [computation(release, n) for n in range(workloads)]
    ops = [
        {"name": f"layer.{n}", "operator": "linear", "params": one["params"], "calls": 61, "workload": one["id"]}
        for n, one in enumerate(made)
    ]
    return {"name": f"model-{release}", "source": "lab", "step": STEP, "ops": ops}


def chip(vendor: int, n: int = 0) -> Target:
    """Chip number ``n`` of a vendor."""
    return Target(
        name=f"chip-{vendor}-{n}",
        vendor=f"vendor-{vendor}",
        model=f"Example(R) {vendor}.{n} @ 2.0 GHz",
        tvm={"kind": "llvm", "mcpu": "x86-64-v4", "num-cores": 16, "mattr": ["+avx2", "-sse4a"]},
        cores=16,
        vector_bits=512,
        features=("avx2", "avx512f", "fma"),
        l1d=32 << 10,
        l2=1 << 20,
        l3=(32 << 20) + (vendor << 12) + (n << 11),
        peaks=Peaks({"float32": 1e12 + vendor, "bfloat16": 2e12}, 2e11, 1e12),
    )


def schedule(n: int) -> Schedule:
    """Schedule number ``n``: another program than any other number's."""
    if n % TRACED:
        knobs = ("mr", "vectors", "tiles", "panels", "block", "unroll", "split", "fetch", "rows_outer")
        return Schedule("panels", 2, {knob: n if knob == "block" else n % (2 + at) for at, knob in enumerate(knobs)})
    instructions: list[Any] = [["GetSBlock", [], ["C", "main"], ["b0"]], ["GetLoops", ["b0"], [], ["l1", "l2", "l3"]]]
    decisions: list[Any] = []
    for loop in range(1, 4):
        made = [f"v{loop}{part}" for part in range(4)]
        instructions.append(["SamplePerfectTile", [f"l{loop}"], [4, 64], made])
        decisions.append([len(instructions) - 1, [1 + n, 1 + n % 7, 4, 2]])
        instructions.append(["Split", [f"l{loop}", *made], [1, 0], [f"l{loop}{part}" for part in range(4)]])
    for part in range(4):
        instructions.append(["Annotate", [f"l1{part}", n % 1024], ["pragma_auto_unroll_max_step"], []])
    return Schedule("generic", 1, {"trace": [instructions, decisions]})


def claim(rng: random.Random, workload: dict[str, Any], target: Target, n: int) -> ClaimedTrial:
    """A claim with schedule number ``n``: between twice and ten times what the chip takes at least."""
    assert target.peaks
    floor = max(workload["flops"] / target.peaks.flops["float32"], workload["bytes"] / target.peaks.dram)
    typical = floor * rng.uniform(2, 10)
    samples = tuple(float(f"{typical * rng.gauss(1, 0.02):.6g}") for _ in range(SAMPLES))
    ordered = sorted(samples)
    half = SAMPLES // 2
    return ClaimedTrial(
        workload=workload["id"],
        target=target,
        toolchain=TOOLCHAIN,
        policy=POLICY,
        schedule=schedule(n),
        samples=samples,
        median=(ordered[half - 1] + ordered[half]) / 2,
        spread=ordered[3 * SAMPLES // 4] - ordered[SAMPLES // 4],
        build_s=0.25,
        machine=f"lab of {target.vendor}",
        evidence={"prepare_s": 0.125, "settled": True},
        created=1.75e9 + n,
    )
