"""A bundle whose manifest is right and whose library is any bytes: enough for everything that runs before loading."""

from __future__ import annotations

from pathlib import Path

from headstart_runtime import bundle
from headstart_runtime.argument import KernelArgument
from headstart_runtime.chip import here
from headstart_runtime.digests import write_sums
from headstart_runtime.machine import code_features
from headstart_runtime.manifest import (
    SCHEMA,
    BundleKernel,
    BundleModel,
    BundlePolicy,
    BundleSchedule,
    BundleTarget,
    BundleToolchain,
    Manifest,
    Provenance,
)
from headstart_runtime.row_plan import AnyKernel, BundleFamily, FamilyKernel, RowRange

# This machine, but for the name of its chip.
TARGET = BundleTarget(
    fingerprint="c0123",
    name="tiny",
    vendor="nobody",
    model="Tiny 1",
    tvm={"kind": "llvm", "mcpu": "generic"},
    cores=here().cores,
    vector_bits=128,
    features=tuple(sorted(code_features(here().arch, here().features))),
    l1d=here().l1d,
    l2=here().l2,
    l3=here().l3,
    arch=here().arch,
    instructions=(),
)
KERNEL = BundleKernel(
    names=("up", "down"),
    workload="w0123",
    operator="linear",
    label="2x3x4 fp32",
    params={"m": 2, "n": 3, "k": 4, "dtype": "float32", "out": "float32"},
    function="w0123",
    arguments=(
        KernelArgument("A", "input", (2, 4), "float32"),
        KernelArgument("W", "input", (3, 4), "bfloat16"),
        KernelArgument("C", "output", (2, 3), "float32"),
    ),
    weights=("W",),
    prepared=(KernelArgument("WP", "prepared", (1, 4, 8), "uint16"),),
    layout="l0123",
    schedule=BundleSchedule("s0123", "default", 1, {}),
    tuned=True,
    seconds=1e-5,
    default_seconds=2e-5,
    provenance=Provenance("t0123", "measured", "someone", "somewhere", 1e9),
    calls=3,
)
FAMILY = BundleFamily(
    names=("up", "down"),
    operator="linear",
    params={"n": 3, "k": 4, "dtype": "float32", "out": "float32"},
    row_parameter="m",
    sliced=("A", "C"),
    largest=9,
    kernels=(FamilyKernel(2, "w0123"),),
    any=(AnyKernel(6, 9, "w0123_any"),),
    plans=(RowRange(1, 2, (2,)), RowRange(3, 4, (2, 2)), RowRange(5, 5, (2, 2, 2)), RowRange(6, 9, ())),
)
MANIFEST = Manifest(
    schema=SCHEMA,
    model=BundleModel("tiny", "a test", {"phase": "decode", "tokens": 2}),
    target=TARGET,
    toolchain=BundleToolchain("x0", {"tvm": "0", "llvm": "0"}),
    policy=BundlePolicy("p0", "cold", 2, "wall"),
    library="kernels.so",
    kernels=(KERNEL,),
    missing={"topk": 4},
    families=(FAMILY,),
)


def seal(folder: Path, manifest: str | None = None, library: bytes = bytes(range(256)) * 4) -> Path:
    """Write a bundle with digests that fit."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / bundle.MANIFEST).write_text(MANIFEST.dumps() if manifest is None else manifest)
    (folder / "kernels.so").write_bytes(library)
    write_sums(folder)
    return folder
