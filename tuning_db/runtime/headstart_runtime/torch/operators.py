"""Kernels as operators of torch: an opaque node each for ``torch.compile``, nothing copied, no gradients."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch

from headstart_runtime.kernel import Kernel, Prepared

# ``custom_op`` of torch.library takes three times as long a call as what it is made of.
_library = torch.library.Library("headstart", "DEF")
_library.define("call(Tensor[] inputs, int number) -> Tensor")
_library.define("call_many(Tensor[] inputs, int number) -> Tensor[]")

_numbers = itertools.count()
# What is called, and what its outputs look like, by number: a graph of torch holds the number.
_called: dict[int, tuple[Callable[..., Any], Callable[..., Any]]] = {}


class Operator:
    """A function of tensors that torch takes for one of its own operators.

    In ``torch.compile``, with ``fullgraph`` too, and in ``torch.export`` it is one node that is not looked into, and
    outside of them it is the function. It must not be called with tensors that need a gradient: there is none.

    Args:
        function: takes tensors in CPU memory by position, and returns one or a tuple of them, new ones.
        shapes: takes the same and returns empty tensors of the shapes and dtypes that the function gives, such as
            ``lambda x: x.new_empty(x.shape)``.
        outputs: how many tensors the function returns.
    """

    def __init__(self, function: Callable[..., Any], shapes: Callable[..., Any], outputs: int = 1) -> None:
        self.function, self.outputs = function, outputs
        self.number = next(_numbers)
        _called[self.number] = function, shapes
        weakref.finalize(self, _called.pop, self.number, None)

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """Call the function: a tensor, or a tuple of them.

        Raises:
            RuntimeError: a tensor needs a gradient.
        """
        if not torch.compiler.is_compiling() and all(type(x) in PLAIN for x in inputs):
            _refuse_gradients(inputs)
            return self.function(*inputs)
        if self.outputs == 1:
            return torch.ops.headstart.call(inputs, self.number)
        return tuple(torch.ops.headstart.call_many(inputs, self.number))


# Other kinds of tensors (fake ones, say) are there to be seen by torch's dispatcher.
PLAIN = (torch.Tensor, torch.nn.Parameter)


def operator(kernel: Kernel | Prepared) -> Operator:
    """A kernel of a bundle, or one that has its weights, as an operator of torch.

    It is called with the inputs only, and always of the same shapes.
    """
    arguments = (kernel if isinstance(kernel, Kernel) else kernel.kernel).outputs
    made = [(tuple(a.shape), getattr(torch, a.dtype)) for a in arguments]

    def shapes(*inputs: torch.Tensor) -> Any:
        outputs = tuple(inputs[0].new_empty(shape, dtype=dtype) for shape, dtype in made)
        return outputs[0] if len(outputs) == 1 else outputs

    return Operator(kernel, shapes, len(made))


def _refuse_gradients(inputs: Sequence[torch.Tensor]) -> None:
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        raise RuntimeError(
            "Headstart's kernels have no gradient: call them under torch.inference_mode() or torch.no_grad(), "
            "or with tensors that need none"
        )


def _of(number: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    try:
        return _called[number]
    except KeyError:
        raise RuntimeError(
            "the kernel that this graph calls is gone: keep the module that it was traced from"
        ) from None


def _run(inputs: list[torch.Tensor], number: int) -> Any:
    _refuse_gradients(inputs)
    return _of(number)[0](*inputs)


def _shape(inputs: list[torch.Tensor], number: int) -> Any:
    _refuse_gradients(inputs)
    return _of(number)[1](*inputs)


def _listed(function: Callable[..., Any]) -> Callable[..., list[torch.Tensor]]:
    return lambda inputs, number: list(function(inputs, number))


for name, wrapped in (("call", lambda f: f), ("call_many", _listed)):
    _library.impl(name, wrapped(_run), "CPU")
    torch.library.register_fake(f"headstart::{name}", wrapped(_shape), lib=_library)
