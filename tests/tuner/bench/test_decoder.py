"""A decoder with and without kernels in it: what is compared, how, and one small run of it all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from cli.speedup import command
from headstart_runtime.bundle import Bundle
from targets import detect
from targets.errors import HeadstartError, InputError
from tests.tuning_db.runtime.bundles import config
from tuner.bench.decoder import decoder_config, swapped_model
from tuner.bench.decoder_result import PHASES, Agreement, DecoderResult, PhaseResult, Way, agreement


def test_configs(tmp_path: Path) -> None:
    found = decoder_config("qwen3-1.7b", 2)
    assert (found["num_hidden_layers"], found["hidden_size"], "_source" in found) == (2, 2048, False)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config(layer_types=["full_attention"] * 2)))
    assert decoder_config(str(tmp_path), 1)["layer_types"] == ["full_attention"]
    assert decoder_config(str(path), None)["num_hidden_layers"] == 2
    with pytest.raises(InputError, match="has 2 layers, not 3"):
        decoder_config(str(path), 3)
    path.write_text(json.dumps(config(quantization_config={"quant_method": "fp8"})))
    with pytest.raises(InputError, match="is a quantised model; name the one in bfloat16"):
        decoder_config(str(path), None)


@pytest.mark.parametrize(
    ("phase", "fmt", "expected"),
    [
        ("decode", "bf16", {"norm": 5, "qkv": 2, "q_norm": 2, "k_norm": 2, "o_proj": 2, "mlp_w13": 2, "lm_head": 1}),
        ("prefill", "fp8", {"attn_quant": 2, "o_quant": 2, "ffn_quant": 2, "mlp_swiglu": 2, "norm": 5, "lm_head": 1}),
    ],
)
def test_what_is_swapped(phase: str, fmt: str, expected: dict[str, int]) -> None:
    ops = {op.name: op for op in swapped_model(config(), "tiny", phase, 6, fmt).ops}
    assert {name: ops[name].calls for name in expected} == expected
    assert not any(op.params.get("residual") or op.operator in ("rope", "embedding") for op in ops.values())
    assert ops["norm"].params["tokens"] == (1 if phase == "decode" else 6)
    assert ops["o_proj"].operator == ("linear" if fmt == "bf16" else "linear_fp8")
    assert ops["lm_head"].params["m"] == 1


def test_no_decoder() -> None:
    with pytest.raises(InputError):
        swapped_model({"model_type": "resnet", "num_hidden_layers": 2}, "net", "decode", 6, "bf16")


def test_agreement() -> None:
    right = np.random.default_rng(0).standard_normal((4, 50)).astype(np.float32)
    found = right + 0.01
    assert agreement(right, right) == Agreement(0.0, 0.0, 4, 0, 4)
    one = agreement(found, right)
    assert one.same == 4 and one.largest == pytest.approx(0.01 / right.std(), rel=1e-3) and one.right("bf16")
    # Two that are as large: either may come first.
    right[2, :2] = 5.0
    found = right.copy()
    found[2, 1] += 0.01
    tie = agreement(found, right)
    assert (tie.same, tie.tied, tie.right("bf16")) == (3, 1, True)
    wrong = agreement(np.roll(right, 1, 1), right)
    assert not wrong.right("bf16") and not wrong.right("fp8")
    assert not agreement(np.zeros_like(right), right).right("fp8")


def phase(**rounds: tuple[float, ...]) -> PhaseResult:
    return PhaseResult({k.replace("_", "-"): v for k, v in rounds.items()}, {}, (3e10,), {"bf16": 2**20}, 0.0, 0.0)


def test_speedups_are_of_rounds() -> None:
    one = phase(torch=(2.0, 4.0, 2.0), torch_compile=(1.0, 3.0, 1.0), bf16=(1.0, 1.0, 2.0))
    assert one.best_torch == "torch-compile"
    found = one.speedup("bf16", "torch")
    assert found is not None and (found.median, found.low, found.high) == (2.0, 1.0, 4.0)
    assert one.speedup("fp8", "torch") is None
    ways = (Way("torch", "torch"), Way("bf16", "kernels", agreement=Agreement(0.05, 0.01, 8, 0, 8)))
    result = DecoderResult("tiny", {}, "chip", ways, {"decode": one}, {})
    document = json.loads(json.dumps(result.to_json()))
    assert document["right"] and document["phases"]["decode"]["speedup"]["bf16"]["best_torch"]["median"] == 1.0
    bad = DecoderResult("tiny", {}, "chip", (Way("bf16", "k", agreement=Agreement(0.5, 0.01, 8, 0, 8)),), {}, {})
    assert not bad.right


def test_formats_are_known() -> None:
    ran = CliRunner().invoke(command, ["qwen3-1.7b", "--weights", "bf16,int4"])
    assert isinstance(ran.exception, InputError) and "--weights bf16,int4 must be of bf16, fp8" in str(ran.exception)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.bench.lineup._installed", lambda name: name != "transformers")
    ran = CliRunner().invoke(command, ["qwen3-1.7b", "--layers", "1"])
    assert isinstance(ran.exception, HeadstartError) and "headstart[hf]" in str(ran.exception)


def test_what_does_not_fit_is_refused_before_anything_is_tuned() -> None:
    ran = CliRunner().invoke(command, ["deepseek-v3", "--layers", "4"])
    assert isinstance(ran.exception, InputError)  # quantised already, and no plain decoder
    ran = CliRunner().invoke(command, ["qwen3-8b", "--for", "1h"])
    if ran.exception is not None and psutil.virtual_memory().available < 200 << 30:
        assert isinstance(ran.exception, HeadstartError) and "compare with fewer --layers" in str(ran.exception)


def test_one_way_after_the_other(bf16: Bundle, fp8: Bundle, tmp_path: Path) -> None:
    """What the processes do, in this one: the same weights, logits that agree, steps that can be timed."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tuner.bench.peers.torch_decoder import Server

    how = {"config": config(), "compiled": False, "prompt": 6, "tokens": 4, "pool": "auto", "folder": str(tmp_path)}
    for fmt, bundles in (("torch", []), ("bf16", [str(bf16.path)]), ("fp8", [str(fp8.path)])):
        server = Server(detect.host())
        answer = server.do_decoder(bundles=bundles, fmt=fmt, **how)
        assert "error" not in answer, answer
        right = np.load(tmp_path / ("fp8-reference.npy" if fmt == "fp8" else "torch.npy"))
        assert agreement(np.load(answer["logits"]), right).right("fp8" if fmt == "fp8" else "bf16")
        assert fmt == "torch" or "swapped 2 joined" in answer["note"]
        for name in PHASES:
            server.do_phase(name)
            samples = server.do_block(0.001)["samples"]
            assert len(samples) >= 3 and min(samples) > 0
    assert not agreement(np.load(tmp_path / "torch.npy"), np.load(tmp_path / "fp8-reference.npy")).right("bf16")


def test_a_model_that_fails_is_said(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tuner.bench.peers.torch_decoder import Server

    how = {"compiled": False, "prompt": 6, "tokens": 4, "pool": "auto", "folder": str(tmp_path), "fmt": "torch"}
    answer = Server(detect.host()).do_decoder(config={"model_type": "nothing"}, bundles=[], **how)
    assert "nothing" in answer["error"] and "\n" not in answer["error"]
