"""Records that are right, for the tests of this folder.

``python -m tests.tuning_db.example FILE`` makes a small database of today's schema, one for ``assets`` when the schema
takes a new step.
"""

from __future__ import annotations

import sys
from typing import Any

from schedules.schedule import Schedule
from targets import Target
from targets.digest import digest
from tuning_db.misses import Missed
from tuning_db.records import Key, Policy, Status, Toolchain, Trial
from tuning_db.store import Store

TARGET = Target(
    name="example",
    vendor="nobody",
    model="Example 1",
    tvm={"kind": "llvm", "mcpu": "x86-64"},
    cores=2,
    vector_bits=256,
    features=("avx2", "fma"),
)
TOOLCHAIN = Toolchain({"tvm": "0.27.0", "llvm": "22.1"})
POLICY = Policy("warm", 2)


def schedule(knob: int) -> Schedule:
    """A schedule of a space that does not exist."""
    return Schedule("example", 1, {"knob": knob, "other": [1, 2]})


def fill(store: Store, workloads: int = 1) -> list[Key]:
    """Add everything that trials name but schedules, and return a key per workload."""
    with store.transaction():
        store.add_target(TARGET.fingerprint, TARGET.name, TARGET.vendor, TARGET.spec())
        store.add_toolchain(TOOLCHAIN)
        store.add_policy(POLICY)
        keys = []
        for n in range(workloads):
            canonical = f"computation {n}"
            id = digest("w", canonical)
            store.add_workload(id, "linear", f"16x{n}x64 fp32", {"m": 16, "n": n, "k": 64}, canonical, 2048 * n, 64)
            keys.append(Key(id, TARGET.fingerprint, TOOLCHAIN.id, POLICY.id))
    return keys


def trial(key: Key, knob: int = 0, seconds: float | None = 1e-3, **fields: Any) -> Trial:
    """A trial of ``schedule(knob)``: ok where it has ``seconds``, a build error where it is None."""
    if seconds is None:
        return Trial(key, schedule(knob).id, Status.BUILD_ERROR, error="does not fit", build_s=0.1, **fields)
    samples = (seconds, seconds * 1.5, seconds * 0.9)
    return Trial(key, schedule(knob).id, Status.OK, samples, seconds, seconds * 0.2, build_s=0.1, **fields)


def add(
    store: Store, key: Key, knob: int = 0, seconds: float | None = 1e-3, crown: bool = False, **fields: Any
) -> Trial:
    """Add ``trial(...)`` with its schedule."""
    made = trial(key, knob, seconds, **fields)
    plan = schedule(knob)
    with store.transaction():
        store.add_schedule(plan.id, plan.space, plan.version, plan.config)
        store.add_trial(made, crown)
    return made


def populate(store: Store) -> list[Key]:
    """A little of everything."""
    keys = fill(store, 3)
    add(store, keys[0], 1, 2e-3, crown=True)
    add(store, keys[0], 2, None, job="j1", machine="here", author="someone")
    add(store, keys[0], 3, 1e-3, crown=True, evidence={"ratios": [2.0, 1.9]})
    add(store, keys[1], 1, 5e-3, crown=True)
    ops = [
        {"name": "layer.q", "operator": "linear", "params": {"m": 16}, "calls": 61, "workload": keys[0].workload},
        {"name": "layer.magic", "operator": "magic", "params": {}, "calls": 1, "workload": None},
        {"name": "layer.k", "operator": "linear", "params": {"m": 16}, "calls": 61, "workload": keys[2].workload},
    ]
    store.add_model("tiny", "catalogue", {"phase": "decode", "tokens": 16}, ops)
    store.save_cost_model("example", "llvm", 3, {"rank correlation": 0.5}, b"{}")
    store.append("public", "someone", "tuned", {"model": "tiny", "trials": 4})
    store.append("public", "somebody", "read", {"model": "tiny"})
    store.append("r0123", "someone", "read", {"release": "r0123"})
    store.finish_job(store.start_job({"model": "tiny"}))
    store.queue_job({"model": "tiny"}, 2.0)
    store.tell_misses("0" * 32, [Missed(keys[2].workload, "linear", {"m": 16}, TARGET.fingerprint, 7)], 1.75e9)
    return keys


if __name__ == "__main__":
    from tests.tuning_db import publishing, race

    with Store.open(sys.argv[1]) as made:
        populate(made)
        race.populate(made)
        publishing.populate(made)
