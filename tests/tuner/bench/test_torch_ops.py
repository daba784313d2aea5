"""Every operator that is written for torch computes what the reference does, in every way that it is written."""

from __future__ import annotations

import numpy as np
import pytest

from schedules.compare import mismatch
from schedules.operator import Operator, operators
from schedules.workload import Workload
from targets import resolve
from tuner.bench.loaded import Request, Unsupported, wrong

torch = pytest.importorskip("torch")

from tuner.bench import torch_ops  # noqa: E402
from tuner.bench.peers import numpy as numpy_peer  # noqa: E402
from tuner.bench.peers import torch_eager  # noqa: E402
from tuner.bench.torch_ops.made import array  # noqa: E402

EXAMPLES = [example for cls in operators().values() for example in cls.examples()]
WRITTEN = [example for example in EXAMPLES if torch_ops.ways(example)]


def name_of(operator: Operator) -> str:
    return f"{operator.name} {operator.label}"


def request_of(operator: Operator, copies: int = 1) -> Request:
    inputs = [operator.inputs(np.random.default_rng(5)) for _ in range(copies)]
    return Request(Workload.of(operator), inputs, operator.reference(inputs[0]), resolve("zen4"))


def test_what_the_table_of_the_benchmark_needs_is_written() -> None:
    needed = ("linear", "linear_fp8", "linear_fp4", "grouped_linear", "rmsnorm", "swiglu", "moe_gate", "moe_hash_gate")
    needed += ("hc_pre", "hc_post", "hc_head", "sinkhorn", "mqa_logits", "sparse_mqa")
    assert set(needed) <= {operator.name for operator in WRITTEN}


@pytest.mark.parametrize("operator", WRITTEN, ids=name_of)
def test_every_way(operator: Operator) -> None:
    request = request_of(operator)
    with torch.no_grad():
        for make in torch_ops.ways(operator).values():
            made = make(request.copies[0])
            found = made.module(*made.arguments)
            found = found if isinstance(found, tuple) else (found,)
            outputs = [array(value, like) for value, like in zip(found, request.reference, strict=True)]
            assert wrong(outputs, request, made.stand_in) is None
            zeros = [np.zeros_like(output) for output in outputs]
            assert wrong(zeros, request, made.stand_in) is not None


@pytest.mark.parametrize("operator", EXAMPLES, ids=name_of)
def test_numpy(operator: Operator) -> None:
    request = request_of(operator, copies=2)
    loaded = numpy_peer.load(request)
    for call in loaded.calls:
        call()
    assert len(loaded.calls) == 2
    assert mismatch(loaded.outputs(), request.reference, operator.tolerances) is None


def test_the_fastest_right_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = next(example for example in WRITTEN if example.name == "linear_fp8")
    request = request_of(operator, copies=2)
    right = torch_ops.ways(operator)["a dense float32 layer"]
    monkeypatch.setattr(torch_ops, "ways", lambda operator: {"zero": _zero(right), "right": right})
    loaded = torch_eager.load(request)
    loaded.calls[0]()
    assert loaded.note == "right" and loaded.stand_in
    assert wrong(loaded.outputs(), request, True) is None
    monkeypatch.setattr(torch_ops, "ways", lambda operator: {"zero": _zero(right), "null": _zero(right)})
    with pytest.raises(ValueError, match=r"zero: output 0.*null: output 0"):
        torch_eager.load(request)


def _zero(make):
    def made(inputs):
        found = make(inputs)
        torch.nn.init.zeros_(found.module.weights[0])
        return found

    return made


def test_what_is_not_written_is_said() -> None:
    operator = next(example for example in EXAMPLES if not torch_ops.ways(example))
    with pytest.raises(Unsupported, match=f"{operator.name} is not written for torch"):
        torch_eager.load(request_of(operator))
