"""Shared by the tests of model families."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tuner.frontend.model import Model, ModelOp

ASSETS = Path(__file__).with_name("assets")


def asset(name: str) -> dict[str, Any]:
    """A config that transformers 5.23 wrote: the defaults of a config class, ``to_json_file(use_diff=False)``."""
    return json.loads((ASSETS / f"{name}.json").read_text())


def op(model: Model, name: str) -> ModelOp:
    """The one operator of that name."""
    [found] = [op for op in model.ops if op.name == name]
    return found


def shape(model: Model, name: str) -> tuple[int, ...]:
    """Calls, then the sizes that a linear of any kind has."""
    found = op(model, name)
    return (found.calls, *(found.params[size] for size in ("m", "n", "k") if size in found.params))


def active_parameters(model: Model, topk: int) -> int:
    """Weights that a token meets in linear layers: all of dense ones, ``topk`` experts of grouped ones."""
    total = 0
    for item in model.ops:
        copies = {
            "linear": 1,
            "linear_fp8": 1,
            "grouped_linear": topk,
        }
        copies |= dict.fromkeys(("batched_linear", "batched_linear_fp8"), item.params.get("batch"))
        if item.operator in copies:
            total += copies[item.operator] * item.params["n"] * item.params["k"] * item.calls
    return total
