"""Kernels as operators of torch: compiled whole, in inference mode, never in a gradient, nothing copied."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from headstart_runtime.bundle import Bundle
from headstart_runtime.dispatch import use
from headstart_runtime.weights import Weights

torch = pytest.importorskip("torch")
from headstart_runtime.torch import Operator, operator, quantised  # noqa: E402 torch first

N, K = 128, 256


@pytest.fixture
def given() -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, K, generator=generator).to(torch.bfloat16)
    return x, torch.randn(N, K, generator=generator).to(torch.bfloat16)


@pytest.fixture
def linear(bf16: Bundle, given: tuple[Any, Any]) -> Operator:
    """``o_proj`` with its weights, any number of rows."""
    kernels, weights = use(bf16), Weights(given[1])
    return Operator(
        lambda x: kernels.apply("linear", (x, weights), torch.nn.functional.linear),
        lambda x: x.new_empty((x.shape[0], N)),
    )


def right(found: Any, x: Any, w: Any) -> bool:
    return bool(torch.allclose(found.float(), (x.float() @ w.float().T), rtol=2e-2, atol=2e-2))


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_called_as_it_is(linear: Operator, given: tuple[Any, Any], mode: Callable[[], Any]) -> None:
    x, w = given
    with mode():
        assert right(linear(x), x, w) and right(linear(x[:5]), x[:5], w)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_compiled_whole(linear: Operator, given: tuple[Any, Any], mode: Callable[[], Any]) -> None:
    """One graph, with rows that have a kernel and rows that have none, and without a graph for each number of rows."""
    x = given[0]
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    def function(x: Any) -> Any:
        return linear(x * 2) + 1

    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend=backend)
    with mode():
        for rows in (6, 5, 3, 1):
            some = x[:rows].clone()  # of views torch makes graphs of their own
            assert torch.equal(compiled(some), function(some))
    assert sum(node.target is torch.ops.headstart.call for graph in graphs for node in graph.graph.nodes) == len(graphs)
    assert len(graphs) <= 2  # 1 is a size of its own to torch


def test_compiled_by_a_real_backend(fp8: Bundle) -> None:
    """Lowered to torch's own operators, with two outputs in types that few operators have."""
    quantise = operator(_kernel(fp8, "act_quant", 6, K))
    x = torch.randn(6, K).to(torch.bfloat16)
    torch._dynamo.reset()
    with torch.inference_mode():
        codes, scales = torch.compile(lambda x: quantise(x + 0), fullgraph=True, backend="aot_eager")(x)
        expected = quantised.quantise(x)
    assert codes.dtype == torch.float8_e4m3fn and torch.allclose(scales, expected[1])
    assert (codes.float() == expected[0].float()).float().mean() > 0.99


def _kernel(bundle: Bundle, name: str, rows: int, columns: int) -> Any:
    fits = [k for k in bundle.manifest.kernels if k.operator == name and k.arguments[0].shape == (rows, columns)]
    return bundle[fits[0].workload]


def test_a_gradient_is_refused(linear: Operator, given: tuple[Any, Any]) -> None:
    x = given[0].clone().requires_grad_()
    torch._dynamo.reset()
    # A test before this one may have turned gradients off for the whole process.
    with torch.enable_grad():
        with pytest.raises(RuntimeError, match=r"no gradient: call them under torch.inference_mode"):
            linear(x)
        with pytest.raises(Exception, match=r"no gradient: call them under torch.inference_mode"):
            torch.compile(lambda x: linear(x) * 2, fullgraph=True, backend="aot_eager")(x)
    with torch.no_grad():
        assert right(linear(x), *given)


def test_nothing_is_copied(given: tuple[Any, Any]) -> None:
    x, seen = given[0], []
    made = torch.empty(6, N)

    def function(x: Any) -> Any:
        seen.append(x.data_ptr())
        return made

    watched = Operator(function, lambda x: x.new_empty((6, N), dtype=torch.float32))
    torch._dynamo.reset()
    with torch.inference_mode():
        assert watched(x) is made
        assert torch.ops.headstart.call([x], watched.number).data_ptr() == made.data_ptr()
        torch.compile(watched.__call__, fullgraph=True, backend="aot_eager")(x)
    assert seen == [x.data_ptr()] * 3


def test_a_kernel_as_it_is(bf16: Bundle, given: tuple[Any, Any]) -> None:
    x, w = given
    kernel = next(bf16[k.workload] for k in bf16.manifest.kernels if "o_proj" in k.names and k.params["m"] == 6)
    with torch.inference_mode():
        assert right(operator(kernel)(x, w), x, w)
        assert right(operator(kernel.prepare(w))(x), x, w)
        with pytest.raises(ValueError, match=r"input 'A' is bfloat16\[5, 256\]"):
            operator(kernel.prepare(w))(x[:5])


def test_what_is_gone_is_said(given: tuple[Any, Any]) -> None:
    short = Operator(lambda x: x + 1, torch.empty_like)
    number = short.number
    del short
    gc.collect()
    with torch.inference_mode(), pytest.raises(RuntimeError, match="is gone: keep the module"):
        torch.ops.headstart.call([given[0]], number)


@pytest.mark.parametrize("shape", [(6, 256), (1, 128), (130, 300)])
def test_quantised_as_the_operator_is(shape: tuple[int, int]) -> None:
    """What stands in for kernels in torch computes what their references do."""
    from schedules.operators.act_quant import ActQuant
    from schedules.operators.linear_fp8 import LinearFp8

    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, dtype=np.float32)
    codes, scales = quantised.quantise(torch.from_numpy(x))
    expected = ActQuant(*shape, 128, "float32").reference([x])
    assert np.array_equal(scales.numpy(), expected[1])
    assert np.array_equal(codes.view(torch.uint8).numpy(), expected[0].view(np.uint8))
    m, k = shape
    a, sa, w, sw = LinearFp8(m, 140, k).inputs(rng)
    tensors = [torch.from_numpy(array.view(np.uint8)).view(torch.float8_e4m3fn) for array in (a, w)]
    found = quantised.linear(tensors[0], torch.from_numpy(sa), tensors[1], torch.from_numpy(sw))
    right = LinearFp8(m, 140, k).reference([a, sa, w, sw])[0].astype(np.float32)
    assert np.allclose(found.float().numpy(), right, rtol=1e-2, atol=1e-2)
    made = quantised.quantise_weights(torch.from_numpy(x))
    assert made[1].shape == (-(-m // 128), -(-k // 128))
    assert np.allclose(quantised.values(*made, 128).numpy(), x, rtol=2**-4, atol=1e-3 * np.abs(x).max())
