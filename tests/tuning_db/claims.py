"""A vendor, its key and a batch that is right in everything, for tests that change one thing of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from schedules.schedule import Schedule
from targets import Target
from targets.digest import canonical_json, digest
from targets.target import Peaks
from tests.tuning_db.example import POLICY, TOOLCHAIN
from tuning_db.batch import Batch, ClaimedTrial
from tuning_db.keys import PrivateKey
from tuning_db.screening import Computation, Known

# The pair of RFC 8032, section 7.1, test 1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
VENDOR = "acme"
WORKLOAD = digest("w", "a computation")
CHIP = Target(
    name="example-2c",
    vendor="nobody",
    model="Example(R) 1 @ 2.0 GHz",
    tvm={"kind": "llvm", "mcpu": "x86-64", "num-cores": 2, "mattr": ["+avx2", "-sse4a"]},
    cores=2,
    vector_bits=256,
    features=("avx2", "fma"),
    l1d=32 << 10,
    l2=1 << 20,
    peaks=Peaks({"float32": 1e11, "bfloat16": 2e11}, 2e10, 0.0),
)
# 1 ms of arithmetic at the peak of float32, half of it of bfloat16.
COMPUTATION = Computation(flops=10**8, bytes=10**6, arithmetic="float32")
SPACES = {"knobs": 1, "generic": 1, "default": 1}
TRACE: list[Any] = [
    [
        ["GetSBlock", [], ["C", "main"], ["b0"]],
        ["GetLoops", ["b0"], [], ["l1", "l2", "l3"]],
        ["SamplePerfectTile", ["l1"], [2, 16], ["v4", "v5"]],
        ["Split", ["l1", "v4", "v5"], [1, 0], ["l6", "l7"]],
        ["Parallel", ["l6"], [], []],
        ["SampleCategorical", [], [[0, 16, 64], [0.25, 0.25, 0.5]], ["v8"]],
        ["Annotate", ["b0", "v8"], ["meta_schedule.unroll_explicit"], []],
    ],
    [[2, [4, 2]], [5, 1]],
]


def key(name: str = "acme-2026", seed: bytes = SEED) -> PrivateKey:
    """The pair of a seed."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return PrivateKey(Ed25519PrivateKey.from_private_bytes(seed), name)


def knobs(**values: int) -> Schedule:
    """A schedule of a space of knobs that does not exist."""
    return Schedule("knobs", 1, values)


def traced(trace: Any) -> Schedule:
    """A schedule with a trace."""
    return Schedule("generic", 1, {"trace": copy.deepcopy(trace)})


def claim(n: int = 0, **fields: Any) -> ClaimedTrial:
    """A claim of 1.5 ms; those of different ``n`` are of different schedules and times."""
    samples = (1.5e-3 + n * 1e-6, 1.55e-3 + n * 1e-6, 1.6e-3 + n * 1e-6)
    whole: dict[str, Any] = {
        "workload": WORKLOAD,
        "target": CHIP,
        "toolchain": TOOLCHAIN,
        "policy": POLICY,
        "schedule": knobs(mr=n, fetch=1),
        "samples": samples,
        "median": samples[len(samples) // 2],
        "spread": 5e-5,
        "build_s": 0.5,
        "machine": "somewhere",
        "evidence": {"incumbent": knobs(mr=99).id, "ratios": [0.9, 0.8], "prepare_s": 0.25},
        "created": 1.75e9 + n,
    }
    if "samples" in fields and "median" not in fields:
        ordered = sorted(fields["samples"])
        fields |= {"median": (ordered[len(ordered) // 2] + ordered[(len(ordered) - 1) // 2]) / 2, "spread": 0.0}
    return ClaimedTrial(**whole | fields)


def batch(*claims: ClaimedTrial, **fields: Any) -> Batch:
    """A batch of these claims, or of three, one of them with a trace."""
    given = claims or (claim(1), claim(2, schedule=traced(TRACE)), claim(3, schedule=Schedule("default", 1, {})))
    return Batch(**{"vendor": VENDOR, "claims": given, "nonce": "0" * 32, "created": 1.75e9, "release": "r1"} | fields)


def known(**fields: Any) -> Known:
    """What a server knows that the claims above pass."""
    return Known(**{"workloads": {WORKLOAD: COMPUTATION}, "targets": {}, "spaces": SPACES} | fields)


def changed(change: Callable[[dict[str, Any]], object], of: Batch | None = None) -> bytes:
    """The bytes of a batch after a change of its JSON, in canonical form again as far as that is possible."""
    document = json.loads((of or batch()).dumps())
    change(document)
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def reschedule(document: dict[str, Any], at: int, **fields: Any) -> None:
    """Change the schedule of a trial, with an id that is right again, whatever it holds now."""
    trial = document["trials"][at]
    row = next(row for row in document["schedules"] if row["id"] == trial["schedule"])
    row |= fields
    row["id"] = trial["schedule"] = digest(
        "s", canonical_json({name: row[name] for name in ("space", "version", "config")})
    )
    document["schedules"].sort(key=lambda one: one["id"])
