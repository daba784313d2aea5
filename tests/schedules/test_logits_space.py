"""What the general tests of spaces do not reach: pairs of bfloat16, windows that hide tiles, every code."""

from __future__ import annotations

import dataclasses

import ml_dtypes
import numpy as np
import pytest
import tvm

from schedules.block_scaled import decoded
from schedules.operators.mqa_logits import MqaLogits
from schedules.operators.mqa_logits_paged import MqaLogitsPaged
from schedules.spaces.mqa_logits import IndexLogits
from schedules.tile_kernel import Tile
from schedules.workload import Workload
from targets import catalogue, detect
from tests.schedules.dot_pairs import emulated
from tests.schedules.running import wrong_at

HOST = detect.host()
PAIRS = dataclasses.replace(HOST, vector_bits=512, features=("avx512bf16",))
ODD = [
    MqaLogits(1, 77, 20, 21),
    MqaLogits(3, 70, 33, 40, "float8_e4m3fn", True),
    MqaLogits(2, 131, 3, 64, "float4_e2m1fn"),
    MqaLogitsPaged(3, 2, 90, 9, 33, "float8_e4m3fn", 16),
    MqaLogitsPaged(2, 1, 65, 4, 32, "float4_e2m1fn", 64),
]


@pytest.mark.parametrize("operator", ODD, ids=lambda op: f"{op.name}-{op.label}")
def test_pairs_of_bfloat16(operator, monkeypatch):
    if not HOST.has("avx512bf16"):
        monkeypatch.setattr(Tile, "_step", emulated)
    assert IndexLogits(Workload.of(operator), PAIRS).pairs
    assert wrong_at(IndexLogits, operator, PAIRS, {"keys": 64}) is None


@pytest.mark.parametrize("operator", ODD, ids=lambda op: f"{op.name}-{op.label}")
@pytest.mark.parametrize("config", [{"keys": 64, "key_rows": 6}, {"queries": 2, "keys": 128, "vectors": 1}], ids=str)
def test_odd_sizes(operator, config):
    assert wrong_at(IndexLogits, operator, HOST, config) is None


def test_windows_anywhere():
    operator = MqaLogits(9, 200, 4, 32, "bfloat16", True)
    inputs = list(operator.inputs(np.random.default_rng(0)))
    inputs[-2] = np.array([0, 5, 64, 70, 190, 130, 199, 0, 128], np.int32)
    inputs[-1] = np.array([1, 6, 128, 71, 200, 130, 200, 200, 140], np.int32)
    for queries in (1, 4):
        assert wrong_at(IndexLogits, operator, HOST, {"queries": queries, "keys": 64, "key_rows": 6}, inputs) is None


@pytest.mark.parametrize("pairs", [False, True], ids=["float32", "pairs"])
def test_every_e4m3_code(pairs, monkeypatch):
    if not HOST.has("avx512bf16"):
        monkeypatch.setattr(Tile, "_step", emulated)
    codes = np.arange(256, dtype=np.uint8)
    values = decoded(codes.view(ml_dtypes.float8_e4m3fn))
    # The codes of NaN decode to 480, as in the operator's own program.
    values[[127, 255]] = 480.0, -480.0
    # A key has one code, and a query is one, so the two heads give both signs.
    keys = np.zeros((256, 32), np.uint8)
    keys[codes, codes % 32] = codes
    one = np.array([1.0, -1.0], ml_dtypes.float8_e4m3fn)
    queries = np.repeat(one[None, :, None], 32, axis=2)
    inputs = [
        queries,
        keys.view(ml_dtypes.float8_e4m3fn),
        np.ones(256, np.float32),
        np.array([[1.0, -1.0]], np.float32),
    ]
    operator = MqaLogits(1, 256, 2, 32, "float8_e4m3fn")
    space = IndexLogits(Workload.of(operator), PAIRS if pairs else HOST)
    output = tvm.runtime.tensor(np.zeros((1, 256), np.float32))
    built = tvm.compile(space.apply(space.seeds()[0]), target=HOST.to_tvm())
    built["main"](*[tvm.runtime.tensor(array) for array in inputs], output)
    assert np.array_equal(output.numpy()[0], values)


@pytest.mark.parametrize("chip", ["zen4", "granite-rapids", "graviton3", "spacemit-k1"])
def test_seeds_compile_for_other_chips(chip):
    target = catalogue.target(chip)
    for dtype in ("bfloat16", "float8_e4m3fn", "float4_e2m1fn"):
        space = IndexLogits(Workload.of(MqaLogits(1, 70, 64, 128, dtype)), target)
        tvm.compile(space.apply(space.seeds()[0]), target=target.to_tvm())
