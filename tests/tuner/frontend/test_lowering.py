"""What an imported module computes after it was lowered to operators is what torch computes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tvm  # noqa: E402
from tvm import relax  # noqa: E402

from tuner.frontend.lowering import operator_of  # noqa: E402
from tuner.frontend.relax import lowered  # noqa: E402
from tuner.frontend.torch_export import to_relax  # noqa: E402


class Attention(torch.nn.Module):  # type: ignore[name-defined,misc]
    """Norm, projections, attention with a mask, residual."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.RMSNorm(32, eps=1e-5)
        self.q, self.k, self.v = (torch.nn.Linear(32, 32, bias=bias) for bias in (True, False, True))
        self.last = torch.nn.LayerNorm(32)

    def forward(self, x: Any) -> Any:
        h = self.norm(x)
        q, k, v = (f(h).view(2, 5, 4, 8).transpose(1, 2) for f in (self.q, self.k, self.v))
        a = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.last(x + a.transpose(1, 2).reshape(2, 5, 32))


class Images(torch.nn.Module):  # type: ignore[name-defined,misc]
    """Convolutions with and without groups, pooled, classified."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.second = torch.nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.uneven = torch.nn.Conv2d(8, 4, (1, 3), padding=(0, 1))
        self.head = torch.nn.Linear(4, 6)

    def forward(self, x: Any) -> Any:
        x = self.uneven(torch.relu(self.second(torch.relu(self.first(x)))))
        return torch.softmax(self.head(x.mean((2, 3))), -1)


class Tokens(torch.nn.Module):  # type: ignore[name-defined,misc]
    """Embedding, a product of two activations, softmax over another axis, GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(20, 16)
        self.gain = torch.nn.Parameter(torch.rand(16, 12))

    def forward(self, ids: Any) -> Any:
        x = torch.nn.functional.gelu(self.table(ids))
        return torch.softmax(x @ x.transpose(-1, -2), 1) @ (x @ self.gain)


CASES = {
    "attention": (
        Attention,
        lambda: torch.randn(2, 5, 32),
        {"rmsnorm", "linear", "batched_linear", "softmax", "layernorm"},
    ),
    "images": (Images, lambda: torch.randn(1, 3, 9, 9), {"conv2d", "linear", "softmax"}),
    "tokens": (Tokens, lambda: torch.randint(0, 20, (2, 6)), {"embedding", "gelu", "linear", "batched_linear"}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_lowered_modules_compute_what_torch_does(name: str, dtype: str) -> None:
    make, example, expected = CASES[name]
    torch.manual_seed(0)
    module, x = make().eval().to(getattr(torch, dtype)), example()
    x = x.to(getattr(torch, dtype)) if x.is_floating_point() else x
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (x,))
        reference = module(x).float().numpy()
        mod = lowered(to_relax(program))
    made = {
        operator_of(func).name
        for _, func in mod.functions_items()
        if isinstance(func, tvm.tirx.PrimFunc) and operator_of(func)
    }
    assert made >= (expected if dtype == "float32" else expected - {"rmsnorm"})
    machine = relax.VirtualMachine(tvm.compile(mod, tvm.target.Target({"kind": "llvm", "opt-level": 0})), tvm.cpu())
    tensors = [x, *dict(program.named_parameters()).values()]
    result = machine["main"](*(tvm.runtime.from_dlpack(tensor.detach()) for tensor in tensors))
    output = torch.from_dlpack(result[0]).float().numpy()
    scale = np.sqrt(np.mean(reference**2))
    np.testing.assert_allclose(output, reference, rtol=0, atol=scale * (1e-4 if dtype == "float32" else 0.05))
