"""Weights in panels: every format decodes every code, tails of any size, layouts that are made once."""

from __future__ import annotations

import dataclasses

import ml_dtypes
import numpy as np
import pytest
import tvm

from schedules import panel_plan
from schedules.operators.grouped_linear_masked import GroupedLinearMasked
from schedules.operators.linear import Linear
from schedules.operators.linear_fp4 import LinearFp4
from schedules.operators.linear_fp8 import LinearFp8
from schedules.operators.linear_int8 import LinearInt8
from schedules.operators.linear_mxfp8 import LinearMxfp8
from schedules.panel_codes import E2m1Bytes, E2m1Half, E2m1Shuffled, E4m3Bytes, E4m3Half
from schedules.panel_formats import format_for
from schedules.panel_int8 import Int8Dot, Int8Vnni, Int8Words
from schedules.spaces.panels import Panels
from schedules.workload import Workload
from targets import detect, resolve
from tests.schedules.emulation import emulate
from tests.schedules.running import run, wrong, wrong_at

HOST = detect.host()
ZEN4 = resolve("zen4")
BF16 = "bfloat16"
BASE = {"tiles": 1, "panels": 1, "block": 128, "unroll": 1, "split": 1, "fetch": 0, "rows_outer": 0, "ahead": 0}


def panels(op, **knobs):
    """A workload, its space on this machine, and a configuration with these knobs."""
    workload = Workload.of(op)
    space = Panels(workload, HOST)
    return workload, space, space.nearest(BASE | {"mr": 4, "vectors": 2} | knobs)


@pytest.mark.parametrize(
    "op, knobs",
    [
        (Linear(13, 29, 67), {"tiles": 4, "panels": 2, "block": 64}),
        (Linear(13, 29, 67, BF16, BF16), {"mr": 3, "vectors": 3, "tiles": 2, "fetch": 1}),
        (Linear(5, 40, 300), {"block": 64, "split": 2}),
        (Linear(5, 41, 300, BF16, "float32"), {"block": 64, "split": 4, "fetch": 1}),
        (Linear(1, 131, 257), {"mr": 1, "vectors": 8, "unroll": 4, "panels": 2}),
        (Linear(9, 300, 64), {"tiles": 1, "panels": 4, "block": 64, "rows_outer": 1}),
        (LinearFp8(7, 131, 259), {"block": 256, "unroll": 2}),
        (LinearFp8(7, 131, 259), {"mr": 3, "tiles": 3, "block": 128, "ahead": 1, "fetch": 1}),
        (Linear(13, 29, 67, BF16, BF16), {"mr": 3, "vectors": 3, "tiles": 5, "unroll": 2, "ahead": 1}),
        (GroupedLinearMasked(3, 9, 37, 128, 5, "float4_e2m1fn"), {"mr": 4, "tiles": 3, "ahead": 1}),
        (LinearInt8(9, 131, 259), {"mr": 3, "tiles": 2, "block": 64}),
        (GroupedLinearMasked(3, 9, 37, 128, 5), {"tiles": 3}),
    ],
    ids=lambda value: value.label if hasattr(value, "label") else "",
)
def test_sizes_that_divide_by_nothing(op, knobs):
    workload, space, schedule = panels(op, **knobs)
    assert schedule is not None, "the knobs are not of this space"
    assert wrong(workload, space.apply(schedule), HOST) is None


def spell_out(monkeypatch):
    """Kernels of AVX-512 in plain LLVM, for any x86 processor."""
    plain = panel_plan.module
    monkeypatch.setattr(panel_plan, "module", lambda *args: emulate(plain(*args)))


def codes_workload(dtype: str):
    """A linear layer whose weights have every code, in every place of a unit, and its inputs."""
    n, k = 64, 256
    op = LinearFp8(4, n, k) if dtype == "float8_e4m3fn" else LinearFp4(4, n, k)
    workload = Workload.of(op)
    inputs = workload.inputs(np.random.default_rng(3))
    codes = (np.arange(k)[None] + 37 * np.arange(n)[:, None]).astype(np.uint8)
    # The two codes of NaN are left out: the reference has NaN there, kernels 480.
    codes[(codes & 0x7F) == 0x7F] = 0x7E
    inputs[2] = codes.view(ml_dtypes.float8_e4m3fn) if dtype == "float8_e4m3fn" else codes[:, : k // 2].copy()
    # One activation at a time tells the weights apart.
    return workload, inputs


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float4_e2m1fn"])
@pytest.mark.parametrize("emulated", [False, True], ids=["host", "avx512"])
@pytest.mark.parametrize("ahead", [0, 1])
def test_every_code_is_decoded(dtype, emulated, ahead, monkeypatch):
    target = dataclasses.replace(ZEN4, tvm=HOST.tvm) if emulated else HOST
    if emulated:
        spell_out(monkeypatch)
    workload, inputs = codes_workload(dtype)
    if not Panels.supports(workload, target):
        pytest.skip("this chip has no fast way to decode codes")
    space = Panels(workload, target)
    schedule = space.nearest(BASE | {"mr": 2, "vectors": 4, "block": 256, "tiles": 1 + ahead, "ahead": ahead})
    assert schedule is not None
    assert schedule.config["ahead"] == ahead
    expected = workload.reference(inputs)
    found = run(workload, space.apply(schedule), HOST, inputs)
    scale = np.sqrt(np.mean(expected[0].astype(np.float64) ** 2))
    error = np.abs(found[0].astype(np.float64) - expected[0].astype(np.float64))
    assert (error <= 0.01 * scale).all()


@pytest.mark.parametrize("op", [LinearMxfp8(3, 37, 101), LinearFp4(7, 130, 288, 32)], ids=["mxfp8", "fp4"])
def test_scales_that_are_powers_of_two_go_with_the_activations(op, monkeypatch):
    spell_out(monkeypatch)
    assert wrong_at(Panels, op, dataclasses.replace(ZEN4, tvm=HOST.tvm), {}) is None


@pytest.mark.parametrize("emulated", [False, True], ids=["host", "vnni"])
@pytest.mark.parametrize("split", [1, 2])
def test_sums_of_int8_are_exact(emulated, split, monkeypatch):
    target = dataclasses.replace(ZEN4, tvm=HOST.tvm) if emulated else HOST
    if emulated:
        spell_out(monkeypatch)
    op = LinearInt8(5, 70, 700)
    workload, space = Workload.of(op), Panels(Workload.of(op), target)
    a, sa, w, sw = op.inputs(np.random.default_rng(1))
    # The largest sums there are, and codes that nothing but a sign tells apart; -128 is a code, too.
    a[0], w[0], a[1], w[1], a[2], w[2] = 127, 127, -128, 127, -128, -128
    sa[:], sw[:] = 1, 1
    schedule = space.nearest(BASE | {"mr": 5, "vectors": 2, "block": 128, "split": split})
    assert schedule is not None
    assert schedule.config["split"] == split
    found = run(workload, space.apply(schedule), HOST, [a, sa, w, sw])
    exact = (a.astype(np.int64) @ w.astype(np.int64).T).astype(np.float32).astype(ml_dtypes.bfloat16)
    assert (found[0] == exact).all()


def test_the_formats_of_chips():
    assert isinstance(format_for("int8", ZEN4), Int8Vnni)
    assert isinstance(format_for("int8", resolve("kunpeng-920")), Int8Dot)
    assert isinstance(format_for("int8", resolve("spacemit-k1")), Int8Words)
    assert isinstance(format_for("float8_e4m3fn", ZEN4), E4m3Bytes)
    assert isinstance(format_for("float4_e2m1fn", ZEN4), E2m1Bytes)
    assert isinstance(format_for("float8_e4m3fn", resolve("graviton3")), E4m3Half)
    assert isinstance(format_for("float4_e2m1fn", resolve("kunpeng-920")), E2m1Half)
    avx2 = dataclasses.replace(HOST, vector_bits=256, features=("avx2", "f16c", "fma"))
    assert isinstance(format_for("float4_e2m1fn", avx2), E2m1Shuffled)
    assert isinstance(format_for("float8_e4m3fn", avx2), E4m3Half)
    plain = dataclasses.replace(HOST, tvm={"kind": "llvm", "num-cores": 2}, vector_bits=128, features=())
    assert format_for("float8_e4m3fn", plain) is None


@pytest.mark.parametrize("name", ["zen4", "sapphire-rapids", "graviton3", "kunpeng-920", "spacemit-k1"])
@pytest.mark.parametrize(
    "op", [Linear(16, 64, 256), Linear(16, 64, 256, BF16, BF16), LinearFp8(16, 64, 256), LinearInt8(16, 64, 256)]
)
def test_other_chips_compile(name, op):
    target, workload = resolve(name), Workload.of(op)
    if not Panels.supports(workload, target):
        pytest.skip("this chip has no fast way to decode codes")
    space = Panels(workload, target)
    assert tvm.compile(space.apply(space.seeds()[0]), target=target.to_tvm()) is not None


def test_what_is_beyond_the_weights_is_zero():
    _, space, schedule = panels(Linear(4, 19, 21), block=64)
    module = space.apply(schedule)
    built = tvm.compile(module, target=HOST.to_tvm())
    (shape, dtype) = space.plan(schedule.config).packed()["WP"]
    out = tvm.runtime.tensor(np.full(shape, np.nan, dtype))
    built["prepare"](tvm.runtime.tensor(np.ones((19, 21), np.float32)), out)
    values = out.numpy()
    assert np.isfinite(values).all()
    assert values.sum() == 19 * 21


def test_seeds_differ_and_fit():
    for op in (Linear(1, 4096, 4096), Linear(16, 4096, 4096), Linear(1024, 1024, 1024), LinearFp8(16, 4096, 4096)):
        space = Panels(Workload.of(op), HOST)
        seeds = space.seeds()
        assert len(seeds) >= 2
        assert len({seed.id for seed in seeds}) == len(seeds)
        for seed in seeds:
            space.check(seed)
