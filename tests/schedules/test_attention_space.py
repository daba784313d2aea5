"""What the general tests of spaces do not reach: pairs of bfloat16, splits, rows and keys that nothing is there for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tvm

from schedules.operators.gqa_attention import GqaAttention
from schedules.operators.mha_prefill import MhaPrefill
from schedules.operators.mla_decode import MlaDecode
from schedules.operators.sparse_mqa import SparseMqa
from schedules.operators.sparse_mqa_fp8 import SparseMqaFp8
from schedules.space import spaces
from schedules.spaces.attention import Attention
from schedules.tile_kernel import Tile
from schedules.workload import Workload
from targets import catalogue, detect
from tests.schedules.dot_pairs import emulated
from tests.schedules.running import wrong_at

HOST = detect.host()
# This machine as a space sees a chip with AVX512-BF16; the multiplication itself is replaced where there is none.
PAIRS = dataclasses.replace(HOST, vector_bits=512, features=("avx512bf16",))

ODD = [
    SparseMqa(3, 1, 5, 33, 17, 7, 4, True),
    SparseMqa(1, 2, 20, 18, 18, 90, 11, True),
    SparseMqa(1, 1, 70, 64, 40, 130, 0, False),
    SparseMqaFp8(2, 1, 5, 149, 149, 37, 9, True, rotary=21, group=64),
    SparseMqaFp8(1, 2, 20, 133, 90, 41, 0, False, rotary=5, group=32, scale="float32"),
    MlaDecode(2, 3, 150, 9, 35, 30),
    GqaAttention(1, 9, 130, 6, 2, 20),
    GqaAttention(2, 1, 77, 8, 8, 31),
    MhaPrefill(1, 33, 70, 2, 21, 13),
]


@pytest.mark.parametrize("operator", ODD, ids=lambda op: f"{op.name}-{op.label}")
@pytest.mark.parametrize("config", [{}, {"splits": 4, "keys": 32, "depth": 64}], ids=["one", "split"])
def test_pairs_of_bfloat16(operator, config, monkeypatch):
    if not HOST.has("avx512bf16"):
        monkeypatch.setattr(Tile, "_step", emulated)
    # Rows with float32 scales are no bfloat16 numbers.
    assert Attention(Workload.of(operator), PAIRS).pairs == (getattr(operator, "scale", "ue8m0") == "ue8m0")
    if Attention(Workload.of(operator), PAIRS).view(operator, 1).keys // 4 < 32:
        config = {**config, "splits": 1}
    assert wrong_at(Attention, operator, PAIRS, config) is None


@pytest.mark.parametrize("splits", [2, 4])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_split_keys_are_joined(splits, dtype):
    operator = SparseMqa(2, 1, 6, 24, 24, 130, 11, True, dtype)
    assert wrong_at(Attention, operator, HOST, {"splits": splits, "keys": 32}) is None


def test_a_token_without_rows_gets_zeros():
    operator = SparseMqa(2, 1, 4, 16, 16, 70, 0, True, "float32")
    inputs = list(operator.inputs(np.random.default_rng(0)))
    inputs[2] = inputs[2].copy()
    inputs[2][1] = -1
    for splits in (1, 2):
        assert wrong_at(Attention, operator, HOST, {"splits": splits, "keys": 32}, inputs) is None


def test_large_logits_and_a_large_sink():
    operator = SparseMqa(1, 1, 4, 16, 16, 70, 0, True, "float32")
    q, kv, idx, scale = operator.inputs(np.random.default_rng(0))[:4]
    inputs = [q * 30, kv * 30, idx, scale, np.array([-300.0, 0.0, 60.0, 85.0], np.float32)]
    assert wrong_at(Attention, operator, HOST, {"splits": 2, "keys": 32}, inputs) is None


def test_nan_in_a_key_is_not_hidden():
    operator = GqaAttention(1, 1, 40, 4, 2, 16, "float32")
    inputs = list(operator.inputs(np.random.default_rng(0)))
    inputs[1][0, 7, 1, 3] = np.nan
    assert wrong_at(Attention, operator, HOST, {"splits": 1, "keys": 32}, inputs) is None


@pytest.mark.parametrize("chip", ["zen4", "granite-rapids", "graviton3", "spacemit-k1"])
def test_seeds_compile_for_other_chips(chip):
    target = catalogue.target(chip)
    for operator in (SparseMqa(1, 1, 64, 96, 96, 40, 8, True), GqaAttention(1, 7, 40, 8, 2, 48)):
        workload = Workload.of(operator)
        space = spaces()["attention"](workload, target)
        tvm.compile(space.apply(space.seeds()[0]), target=target.to_tvm())
