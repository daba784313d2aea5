"""Small bundles that were really built, for what calls them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart_runtime.bundle import Bundle, load
from schedules.spaces.panels import Panels
from schedules.workload import Workload
from targets import Target, detect
from tuner.bench.decoder import swapped_model
from tuner.compile import build_bundle
from tuner.frontend.model import Model, Step
from tuner.policy import policy_for
from tuner.row_selecting import select_rows
from tuner.tasks import distinct
from tuner.toolchain import toolchain
from tuning_db.selection import Candidate, SelectedKernel, Selection
from tuning_db.store import Store

# Decoders of every kind that ``swap`` takes, as small as fp8's blocks allow.
SIZES = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 192,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "dtype": "bfloat16",
}
FP8 = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}


def config(model_type: str = "qwen3", **fields: Any) -> dict[str, Any]:
    """The ``config.json`` of a tiny decoder."""
    return {"model_type": model_type, "tie_word_embeddings": False, **SIZES, **fields}


def decoder(values: Mapping[str, Any], rows: Sequence[int] = (1, 6)) -> Model:
    """What a decoder calls with kernels in it, at some numbers of rows; one is decode, and the others are prefill."""
    fmt = "fp8" if "quantization_config" in values else "bf16"
    ops = [
        op
        for count in rows
        for op in swapped_model(values, "tiny", "decode" if count == 1 else "prefill", count, fmt).ops
    ]
    return Model("tiny", "a test", Step(), tuple(ops))


def build(model: Model, path: Path) -> Bundle:
    """Build and load a bundle, linear layers by schedules that lay out weights where there are such."""
    target = detect.host()
    names: dict[Workload, list[str]] = {}
    for op in model.ops:
        names.setdefault(op.workload, []).append(op.name)
    kernels = tuple(
        SelectedKernel(
            tuple(dict.fromkeys(names[of])), of.id, of.operator, of.label, dict(of.params), calls, _laid_out(of, target)
        )
        for of, calls in distinct(model).items()
    )
    policy = policy_for("decode", target)
    where = {"target": target.fingerprint, "target_name": target.name, "toolchain": toolchain(target), "policy": policy}
    selection = Selection("tiny", "a test", dict(vars(model.step)), kernels=kernels, missing={}, **where)
    build_bundle(selection, target, path)
    return load(path)


def _laid_out(workload: Workload, target: Target) -> tuple[Candidate, ...]:
    space = Panels(workload, target) if workload.operator == "linear" else None
    seeds = space.seeds() if space is not None else []
    if not seeds:
        return ()
    return (Candidate("measured", seeds[0], 1e-5, None, f"t{0:028x}", "someone", "somewhere", 1.7e9),)


def build_rows(values: Mapping[str, Any], path: Path, rows: Sequence[int] = (1, 6)) -> Bundle:
    """A bundle of families: the operators of a decoder with any number of rows."""
    target = detect.host()
    models = [swapped_model(values, "tiny", "prefill", count, "bf16") for count in rows]
    with Store.open(path.with_suffix(".db")) as store:
        selected = select_rows(store, models, target)
    laid_out = [
        replace(kernel, candidates=_laid_out(Workload.load(kernel.operator, kernel.params, kernel.label), target))
        for kernel in selected.selection.kernels
    ]
    build_bundle(replace(selected.selection, kernels=tuple(laid_out)), target, path)
    return load(path)
