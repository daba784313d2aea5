"""The catalogue reproduces totals that were published for its models."""

from __future__ import annotations

import json

import pytest

from frontend.helpers import active_parameters, asset, op, shape
from schedules.operator import make_operator
from targets.errors import InputError
from tuner.frontend import catalogue
from tuner.frontend.config import model_from_config
from tuner.frontend.families import families
from tuner.frontend.load import step_for
from tuner.frontend.model import Model, Step

DECODE = Step("decode", tokens=16, batch=16, kv_len=4096)
PREFILL = Step("prefill", tokens=2048, batch=2, kv_len=4096)


def billions(name: str, topk: int) -> float:
    return active_parameters(catalogue.load(name, DECODE), topk) / 1e9


def test_names() -> None:
    expected = {"deepseek-v3", "deepseek-v3.2", "deepseek-v4-flash", "deepseek-v4-pro", "resnet-50", "bert-base"}
    assert expected <= set(catalogue.names())


@pytest.mark.parametrize("name", catalogue.names())
def test_every_file_says_where_it_is_from(name: str) -> None:
    source = json.loads(catalogue.path_of(name).read_text())["_source"]
    assert source and all(isinstance(text, str) and len(text) > 20 for text in source.values())


STEPS = [
    (name, phase)
    for name in catalogue.names()
    for phase in families()[json.loads(catalogue.path_of(name).read_text())["model_type"]].phases
]


@pytest.mark.parametrize(("name", "phase"), STEPS)
def test_operators_exist_and_take_the_parameters(name: str, phase: str) -> None:
    for item in catalogue.load(name, step_for(name, phase=phase)).ops:
        assert item.calls > 0 and item.tunable
        made = make_operator(item.operator, dict(item.params))
        assert made.params() == dict(item.params), "a parameter is left to its default"


@pytest.mark.parametrize("name", catalogue.names())
def test_names_of_operators_are_distinct(name: str) -> None:
    ops = catalogue.load(name, step_for(name)).ops
    assert len({item.name for item in ops}) == len(ops)


def test_unknown_name_says_what_is_close() -> None:
    with pytest.raises(InputError, match=r"deepseek-v4-flsh.*closest.*deepseek-v4-flash"):
        catalogue.load("deepseek-v4-flsh", DECODE)


def test_deepseek_v3_active_parameters() -> None:
    # README_WEIGHTS.md of DeepSeek-V3: 36.6B, of which 0.9B the output head.
    assert billions("deepseek-v3", 8) == pytest.approx(36.6, abs=0.05)


def test_deepseek_v4_active_parameters() -> None:
    # 49.8B and 13.8B with the embedding, published as 49B and 13B.
    embedding = 129280 * 7168 / 1e9
    assert billions("deepseek-v4-pro", 6) + embedding == pytest.approx(49.8, abs=0.05)
    assert billions("deepseek-v4-flash", 6) == pytest.approx(13.3, abs=0.05)


def test_qwen3_active_parameters() -> None:
    # The model card of Qwen3-30B-A3B: 3.3B activated, embedding included.
    assert billions("qwen3-30b-a3b", 8) + 151936 * 2048 / 1e9 == pytest.approx(3.35, abs=0.05)
    # Llama 3.1 8B has 8.03B parameters, of which 0.53B are the embedding.
    assert billions("llama-3.1-8b", 1) == pytest.approx(7.50, abs=0.01)


@pytest.mark.parametrize(("name", "written"), [("deepseek-v3", "deepseek_v3"), ("deepseek-v3.2", "deepseek_v32")])
def test_agrees_with_the_defaults_of_transformers(name: str, written: str) -> None:
    quantized = json.loads(catalogue.path_of(name).read_text())["quantization_config"]
    theirs = asset(written) | {"quantization_config": quantized}
    for step in (DECODE, PREFILL):
        assert model_from_config(theirs, step).ops == catalogue.load(name, step).ops


def test_v4_flash_agrees_with_transformers_but_for_its_schedule() -> None:
    ours = json.loads(catalogue.path_of("deepseek-v4-flash").read_text())
    taken = ("quantization_config", "expert_dtype", "compress_ratios")
    theirs = asset("deepseek_v4") | {key: ours[key] for key in taken}
    assert model_from_config(theirs, DECODE).ops == catalogue.load("deepseek-v4-flash", DECODE).ops


def resnet() -> Model:
    return catalogue.load("resnet-50", step_for("resnet-50"))


def test_resnet_50_convolutions() -> None:
    convs = [item for item in resnet().ops if item.operator == "conv2d"]
    assert len(convs) == 23
    assert sum(item.calls for item in convs) == 53
    total = 0
    for item in convs:
        size = {name: value for name, value in item.params.items() if isinstance(value, int)}
        out = (size["height"] + 2 * size["padding"] - size["kernel"]) // size["stride"] + 1
        total += 2 * out**2 * size["channels_in"] * size["channels_out"] * size["kernel"] ** 2 * item.calls
    assert total / 1e9 == pytest.approx(8.17, abs=0.005)


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("conv7x7_224_3_64_s2", 1),
        ("conv1x1_56_64_256", 4),
        ("conv3x3_56_64_64", 3),
        ("conv3x3_56_128_128_s2", 1),
        ("conv1x1_56_256_512_s2", 1),
        ("conv1x1_28_128_512", 4),
        ("conv1x1_14_1024_256", 5),
        ("conv3x3_7_512_512", 2),
    ],
)
def test_resnet_50_layers(name: str, calls: int) -> None:
    assert op(resnet(), name).calls == calls


def test_resnet_50_the_rest() -> None:
    model = resnet()
    assert sum(item.calls for item in model.ops if item.operator == "add") == 16
    assert op(model, "max_pool").params["height"] == 112
    assert op(model, "mean").params["kernel"] == 7
    assert shape(model, "classifier") == (1, 1, 1000, 2048)


def test_bert_base() -> None:
    model = catalogue.load("bert-base", step_for("bert-base"))
    assert shape(model, "qkv") == (36, 128, 768, 768)
    assert shape(model, "attn_out") == (12, 128, 768, 768)
    assert shape(model, "ffn_up") == (12, 128, 3072, 768)
    assert shape(model, "ffn_down") == (12, 128, 768, 3072)
    assert shape(model, "scores") == (12, 128, 128, 64)
    assert shape(model, "weighted_values") == (12, 128, 64, 128)
    assert op(model, "scores").params["batch"] == 12
    assert op(model, "softmax").params["rows"] == 12 * 128
    assert op(model, "layer_norm").calls == 24
