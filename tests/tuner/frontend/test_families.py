"""Shapes and calls of each family, against published tensor shapes and kernel tests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from frontend.helpers import asset, op, shape
from targets.errors import InputError
from tuner.frontend import catalogue
from tuner.frontend.config import model_from_config
from tuner.frontend.families import families
from tuner.frontend.model import Model, Step

DECODE = Step("decode", tokens=16, batch=16, kv_len=4096)
PREFILL = Step("prefill", tokens=2048, batch=2, kv_len=4096)


def names(model: Model) -> set[str]:
    return {item.name for item in model.ops}


def test_families_are_found() -> None:
    assert {"llama", "qwen3_moe", "mixtral", "deepseek_v3", "deepseek_v32", "deepseek_v4", "resnet"} <= set(families())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qkv_a", (61, 16, 2112, 7168)),
        ("q_b", (61, 16, 24576, 1536)),
        ("o_proj", (61, 16, 7168, 16384)),
        ("shared_w13", (58, 16, 4096, 7168)),
        ("shared_w2", (58, 16, 7168, 2048)),
        ("dense_w13", (3, 16, 36864, 7168)),
        ("dense_w2", (3, 16, 7168, 18432)),
        ("router", (58, 16, 256, 7168)),
        ("lm_head", (1, 16, 129280, 7168)),
        ("w_uk", (61, 16, 512, 128)),
        ("w_uv", (61, 16, 128, 512)),
    ],
)
@pytest.mark.parametrize("model", ["deepseek-v3", "deepseek-v3.2"])
def test_deepseek_v3(model: str, name: str, expected: tuple[int, ...]) -> None:
    # The (n, k) pairs that DeepGEMM's tests/generators.py enumerates.
    assert shape(catalogue.load(model, DECODE), name) == expected


def test_deepseek_v3_prefill_multiplies_latents_out() -> None:
    model = catalogue.load("deepseek-v3", PREFILL)
    assert shape(model, "kv_b") == (61, 2048, 32768, 512)
    assert op(catalogue.load("deepseek-v3", DECODE), "attention").operator == "mla_decode"
    attention = op(model, "attention")
    assert attention.operator == "mha_prefill"
    assert (attention.params["dim"], attention.params["value_dim"], attention.params["keys"]) == (192, 128, 4096)
    assert not {"w_uk", "w_uv"} & names(model)
    # The head sees the last token of each sequence.
    assert shape(model, "lm_head") == (1, 2, 129280, 7168)
    assert op(model, "lm_head").params["out"] == "float32"


def test_deepseek_v3_2_indexer() -> None:
    model = catalogue.load("deepseek-v3.2", PREFILL)
    assert shape(model, "index_wq_b") == (61, 2048, 8192, 1536)
    assert shape(model, "index_wk") == (61, 2048, 128, 7168)
    assert shape(model, "index_weights") == (61, 2048, 64, 7168)
    assert op(model, "index_weights").params["out"] == "float32"
    logits = op(model, "index_logits")
    # Two sequences, which do not share keys.
    assert (logits.calls, logits.params["tokens"], logits.params["keys"]) == (122, 1024, 4096)
    rope = op(model, "index_q_rope").params
    assert (rope["layout"], rope["place"], rope["dim"], rope["rotary"]) == ("half", "first", 128, 64)
    attention = op(model, "attention")
    assert attention.operator == "sparse_mqa"
    assert (attention.params["dim"], attention.params["topk"], attention.params["sink"]) == (576, 2048, False)
    assert "kv_b" not in names(model)


def test_deepseek_gate() -> None:
    gate = op(catalogue.load("deepseek-v3", DECODE), "gate").params
    assert (gate["score"], gate["groups"], gate["topk_groups"], gate["topk"]) == ("sigmoid", 8, 4, 8)
    assert gate["scale"] == 2.5


FLASH: dict[str, tuple[int, ...]] = {
    "wqa_wkv": (43, 16, 1536, 4096),
    "wq_b": (43, 16, 32768, 1024),
    "wo_b": (43, 16, 4096, 8192),
    "csa_compress_linear": (21, 16, 2048, 4096),
    "hca_compress_linear": (20, 16, 1024, 4096),
    "index_wq_b": (21, 16, 8192, 1024),
    "index_compress_linear": (21, 16, 512, 4096),
    "index_weights": (21, 16, 64, 4096),
    "router": (43, 16, 256, 4096),
    "shared_w13": (43, 16, 4096, 4096),
    "shared_w2": (43, 16, 4096, 2048),
    "hc_fn": (86, 16, 24, 16384),
    "hc_head_fn": (1, 16, 4, 16384),
    "lm_head": (1, 16, 129280, 4096),
    "wo_a": (43, 16, 1024, 4096),
}
PRO: dict[str, tuple[int, ...]] = {
    "wqa_wkv": (61, 16, 2048, 7168),
    "wq_b": (61, 16, 65536, 1536),
    "wo_b": (61, 16, 7168, 16384),
    "csa_compress_linear": (30, 16, 2048, 7168),
    "hca_compress_linear": (31, 16, 1024, 7168),
    "index_wq_b": (30, 16, 8192, 1536),
    "router": (61, 16, 384, 7168),
    "shared_w13": (61, 16, 6144, 7168),
    "shared_w2": (61, 16, 7168, 3072),
    "hc_fn": (122, 16, 24, 28672),
    "wo_a": (61, 16, 1024, 4096),
}


@pytest.mark.parametrize(
    ("model", "name", "expected"),
    [("deepseek-v4-flash", *row) for row in FLASH.items()] + [("deepseek-v4-pro", *row) for row in PRO.items()],
)
def test_deepseek_v4(model: str, name: str, expected: tuple[int, ...]) -> None:
    # Shapes of the checkpoint's tensors; those that read one input are one linear.
    assert shape(catalogue.load(model, DECODE), name) == expected


def test_deepseek_v4_attention() -> None:
    model = catalogue.load("deepseek-v4-flash", DECODE)
    seen = {kind: op(model, f"{kind}_attention") for kind in ("swa", "csa", "hca")}
    assert {kind: item.calls for kind, item in seen.items()} == {"swa": 2, "csa": 21, "hca": 20}
    assert {kind: item.params["extra"] for kind, item in seen.items()} == {"swa": 0, "csa": 512, "hca": 32}
    assert all(item.params["topk"] == 128 and item.params["sink"] for item in seen.values())
    assert op(model, "index_logits").params["keys"] == 1024
    assert (op(model, "gate").calls, op(model, "hash_gate").calls) == (40, 3)
    assert op(model, "q_head_norm").params | {"weight": False, "tokens": 1024} == op(model, "q_head_norm").params
    turned = op(model, "o_rope_quant")
    assert (turned.operator, turned.params["heads"], turned.params["rotary"]) == ("inverse_rope_quant", 64, 64)
    assert op(model, "wo_a").operator == "batched_linear_fp8"
    assert op(catalogue.load("deepseek-v4-pro", DECODE), "csa_attention").params["extra"] == 1024


def test_deepseek_v4_short_context() -> None:
    model = catalogue.load("deepseek-v4-flash", Step("decode", 2, 2, 3))
    assert op(model, "csa_attention").params["extra"] == 0
    assert op(model, "swa_attention").params["topk"] == 3
    assert not {"index_logits", "index_topk"} & names(model)


def test_deepseek_v4_experts() -> None:
    model = catalogue.load("deepseek-v4-pro", DECODE)
    up, down = op(model, "experts_w13"), op(model, "experts_w2")
    assert up.params == {
        "rows": 96,
        "groups": 384,
        "n": 6144,
        "k": 7168,
        "block": 1,
        "dtype": "float4_e2m1fn",
        "group": 128,
    }
    assert (down.params["n"], down.params["k"]) == (7168, 3072)
    assert op(model, "experts_swiglu").params["limit"] == 10.0
    assert op(model, "experts_swiglu").params["tokens"] == 96
    assert op(model, "experts_swiglu").params["weighted"] and not op(model, "shared_swiglu").params["weighted"]


def test_deepseek_v4_in_bfloat16() -> None:
    config = json.loads(catalogue.path_of("deepseek-v4-flash").read_text())
    del config["quantization_config"]
    model = model_from_config(config, DECODE)
    assert op(model, "o_rope").params["inverse"] and op(model, "o_rope").params["place"] == "last"
    assert op(model, "wo_a").operator == "batched_linear" and op(model, "wo_a").params["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("tokens", "ep", "rows", "groups", "block"),
    # 8192 tokens a device on 8 devices are 1024 rows for each expert; the largest block is 128.
    [(1, 1, 6, 384, 1), (64, 1, 384, 384, 1), (1024, 1, 6144, 384, 16), (65536, 8, 49152, 48, 128), (96, 8, 72, 48, 1)],
)
def test_blocks_of_rows(tokens: int, ep: int, rows: int, groups: int, block: int) -> None:
    params = op(catalogue.load("deepseek-v4-pro", Step("decode", tokens, tokens, 4096, ep=ep)), "experts_w13").params
    assert (params["rows"], params["groups"], params["block"]) == (rows, groups, block)
    # Every expert gets a block, as far as there are rows.
    assert -(-rows // block) >= min(rows, groups)


def test_tensor_parallel() -> None:
    model = catalogue.load("deepseek-v4-flash", Step("decode", 16, 16, 4096, tp=8))
    assert shape(model, "wq_b") == (43, 16, 4096, 1024)
    assert shape(model, "wo_b") == (43, 16, 4096, 1024)
    assert shape(model, "wqa_wkv") == (43, 16, 1536, 4096), "replicated"
    assert op(model, "wo_a").params["batch"] == 1
    assert shape(model, "lm_head") == (1, 16, 16160, 4096)
    # Without expert parallelism every expert is cut; with it they stay whole.
    assert op(model, "experts_w13").params["n"] == 512
    whole = catalogue.load("deepseek-v4-flash", Step("decode", 16, 16, 4096, tp=8, ep=8))
    assert (op(whole, "experts_w13").params["n"], op(whole, "experts_w13").params["groups"]) == (4096, 32)


@pytest.mark.parametrize(
    ("name", "step", "says"),
    [
        ("deepseek-v4-flash", Step("decode", 16, 16, 4096, tp=16), "o_groups 8 does not divide over 16"),
        ("deepseek-v4-flash", Step("decode", 16, 16, 4096, ep=7), "routed experts 256 does not divide over 7"),
        ("qwen3-8b", Step("decode", 16, 16, 4096, tp=3), "num_attention_heads 32 does not divide over 3"),
        ("resnet-50", Step("decode", 1, 1, 1), "no decode step"),
        ("bert-base", Step("decode", 16, 16, 16), "no decode step"),
        ("bert-base", Step("prefill", 1024, 1, 1024), "longer than max_position_embeddings"),
        ("qwen3-8b", Step("decode", 0, 1, 1), "tokens must be"),
        ("qwen3-8b", Step("decode", 10, 4, 64), "does not divide over a batch"),
        ("qwen3-8b", Step("prefill", 64, 1, 32), "kv_len 32 is less than the 64 new tokens"),
        ("qwen3-8b", Step("training", 1, 1, 1), "phase 'training'"),
    ],
)
def test_impossible_steps(name: str, step: Step, says: str) -> None:
    with pytest.raises(InputError, match=says):
        catalogue.load(name, step)


def test_llama() -> None:
    model = model_from_config(asset("llama"), DECODE)
    assert shape(model, "qkv") == (32, 16, 3 * 4096, 4096)
    assert shape(model, "o_proj") == (32, 16, 4096, 4096)
    assert shape(model, "mlp_w13") == (32, 16, 2 * 11008, 4096)
    assert op(model, "qkv").params["dtype"] == "bfloat16"
    assert op(model, "attn_norm").calls == 31 and op(model, "attn_norm").params["residual"]
    assert op(model, "first_norm").calls == 1
    assert op(model, "attention").params["keys"] == 4096
    assert "q_norm" not in names(model)


def test_key_value_heads_are_copied_where_devices_are_more() -> None:
    model = catalogue.load("llama-3.1-8b", Step("decode", 16, 16, 4096, tp=16))
    assert shape(model, "qkv") == (32, 16, (2 + 2) * 128, 4096)


def test_qwen3_normalises_heads() -> None:
    model = catalogue.load("qwen3-8b", DECODE)
    assert op(model, "q_norm").params["tokens"] == 16 * 32
    assert op(model, "k_norm").params["tokens"] == 16 * 8
    config = asset("qwen3")
    del config["head_dim"]
    assert shape(model_from_config(config | {"hidden_size": 2048}, DECODE), "o_proj") == (32, 16, 2048, 4096)


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "mixtral", "qwen2_moe", "qwen3_moe"])
@pytest.mark.parametrize("step", [DECODE, PREFILL])
def test_configs_that_transformers_wrote(name: str, step: Step) -> None:
    model = model_from_config(asset(name), step)
    assert {"embedding", "qkv", "o_proj", "lm_head"} <= names(model)


def test_mistral_window() -> None:
    model = model_from_config(asset("mistral"), Step("decode", 4, 4, 32768))
    assert op(model, "window_attention").calls == 32
    assert op(model, "window_attention").params["keys"] == 4096
    assert "attention" not in names(model)


def test_qwen_window() -> None:
    config: dict[str, Any] = asset("qwen2") | {"use_sliding_window": True, "sliding_window": 512}
    config.pop("layer_types", None)
    model = model_from_config(config | {"max_window_layers": 20, "num_hidden_layers": 32}, DECODE)
    assert (op(model, "attention").calls, op(model, "window_attention").calls) == (20, 12)
    mixed = ["full_attention", "sliding_attention"] * 16
    model = model_from_config(config | {"layer_types": mixed, "num_hidden_layers": 32}, PREFILL)
    assert op(model, "window_attention").calls == 16
    assert op(model, "window_attention").params["keys"] == 512 + 1023


def test_mixtral() -> None:
    model = model_from_config(asset("mixtral"), DECODE)
    up = op(model, "experts_w13")
    assert (up.calls, up.params["rows"], up.params["groups"], up.params["block"]) == (32, 32, 8, 4)
    assert (up.params["n"], up.params["k"], up.params["dtype"]) == (2 * 14336, 4096, "bfloat16")
    assert op(model, "gate").params["score"] == "softmax"


def test_qwen2_moe_has_a_shared_expert() -> None:
    model = model_from_config(asset("qwen2_moe"), DECODE)
    assert shape(model, "shared_w13") == (24, 16, 2 * 5632, 2048)
    assert shape(model, "shared_gate") == (24, 16, 1, 2048)
    assert "mlp_w13" not in names(model)


def test_qwen3_moe_dense_layers() -> None:
    model = model_from_config(asset("qwen3_moe") | {"mlp_only_layers": [0, 1, 99], "decoder_sparse_step": 2}, DECODE)
    # Of 24 layers every second has experts, and layer 1 is one of those.
    assert op(model, "experts_w13").calls == 11
    assert op(model, "mlp_w13").calls == 13


def test_deepseek_v3_dense_layers() -> None:
    plain = {"mlp_layer_types": None, "first_k_dense_replace": 2, "num_hidden_layers": 9}
    model = model_from_config(asset("deepseek_v3") | plain | {"moe_layer_freq": 3}, DECODE)
    # Layers 3 and 6 have experts.
    assert (op(model, "dense_w13").calls, op(model, "experts_w13").calls) == (7, 2)
    listed = {"mlp_layer_types": ["dense", "sparse", "dense", "sparse", "tail"], "num_hidden_layers": 4}
    model = model_from_config(asset("deepseek_v3") | listed, DECODE)
    assert (op(model, "dense_w13").calls, op(model, "experts_w13").calls) == (2, 2)


def test_direct_query_projection() -> None:
    model = model_from_config(asset("deepseek_v3") | {"q_lora_rank": None}, DECODE)
    assert shape(model, "q_proj") == (61, 16, 24576, 7168)
    assert shape(model, "kv_a") == (61, 16, 576, 7168)
