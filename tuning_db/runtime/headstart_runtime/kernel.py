"""A compiled kernel that is called on arrays, checked and without a copy; needs numpy and tvm-ffi, no compiler."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tvm_ffi

from headstart_runtime.argument import KernelArgument
from headstart_runtime.memory import empty
from headstart_runtime.signature import Signature


@dataclass(frozen=True)
class Layout:
    """How a kernel wants its weights: a function that writes them into other arrays, once.

    Attributes:
        arguments: of those arrays.
        function: takes the weights, then those arrays.
        id: the same for layouts that are interchangeable; None where nobody knows.
    """

    arguments: tuple[KernelArgument, ...]
    function: Callable[..., Any]
    id: str | None = None


class Kernel:
    """A compiled kernel: ``kernel(a, w, out)`` writes into ``out``; ``out = kernel(a, w)`` allocates it.

    ``linear = kernel.prepare(w)`` keeps the weights, laid out as the kernel wants them, and then ``out = linear(a)``.
    A kernel that has a layout of its own lays the weights out in each call that passes them.

    It may be called from several threads at once.

    Args:
        name: what errors call it.
        arguments: inputs, then outputs.
        function: the compiled function; it checks shapes, types, strides and device itself before it computes. It
            takes the arguments or, with a layout, the inputs that are no weights, the arrays of the layout, and the
            outputs.
        weights: names of the inputs that stay the same from call to call.
        layout: how the function wants the weights; None as they are.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[KernelArgument],
        function: Callable[..., Any],
        weights: Sequence[str] = (),
        layout: Layout | None = None,
    ) -> None:
        self.name, self.arguments, self.function, self.layout = name, tuple(arguments), function, layout
        self.inputs = tuple(a for a in self.arguments if a.role == "input")
        self.outputs = tuple(a for a in self.arguments if a.role == "output")
        self.weights = tuple(a for a in self.inputs if a.name in weights)
        self.signature = Signature(name, self.arguments)
        self._torch: list[tuple[tuple[int, ...], Any]] = []  # shapes and torch's dtypes of outputs, once asked for

    def __call__(self, *arrays: Any) -> Any:
        """Run it on arrays of numpy or any DLPack library in CPU memory, none of them copied.

        Args:
            arrays: the inputs, then the outputs; or the inputs only, and the outputs are allocated, as torch
                tensors where the first input is one and as numpy arrays otherwise.

        Returns:
            The output, or a tuple of them where there are several.

        Raises:
            TypeError: a wrong number of arrays, something that is no array, a wrong dtype.
            ValueError: a wrong shape or device, not contiguous, a read-only output, an output that overlaps another
                argument. Nothing was computed.
        """
        fresh = len(arrays) == len(self.inputs)
        arrays = self._with_outputs(self.inputs, arrays)
        if self.layout is None:
            self.signature.call(self.function, arrays, fresh)
        else:
            kept = [array for array, a in zip(arrays, self.arguments, strict=True) if a not in self.weights]
            given = [array for array, a in zip(arrays, self.arguments, strict=True) if a in self.weights]
            # What neither of two calls would see: outputs that overlap weights, inputs in each other's place.
            problem = self.signature.problem(self.signature.tensors(arrays))
            if problem is not None:
                raise problem
            self.prepare(*given)(*kept)
        return _result(arrays[len(self.inputs) :])

    def prepare(self, *weights: Any) -> Prepared:
        """Keep the weights, laid out as the function wants them, for calls with the other inputs only.

        Args:
            weights: an array for each of ``self.weights``. They are not needed any more afterwards where the kernel has
                a layout of its own; otherwise they are kept, and must stay as they are.

        Raises:
            TypeError, ValueError: as for a call.
        """
        if len(weights) != len(self.weights):
            raise self._count(self.weights, len(weights))
        if self.layout is None:
            signature = Signature(self.name, self.weights)
            kept = signature.tensors(weights)
            if (problem := signature.problem(kept)) is not None:
                raise problem
            return Prepared(self, kept)
        made = [empty(argument.shape, argument.numpy_dtype) for argument in self.layout.arguments]
        outputs = [KernelArgument(a.name, "output", a.shape, a.dtype) for a in self.layout.arguments]
        signature = Signature(self.name, (*self.weights, *outputs))
        signature.call(self.layout.function, [*weights, *made], fresh=True)
        return Prepared(self, Signature(self.name, self.layout.arguments).tensors(made))

    def allocate(self, like: Any = None) -> tuple[Any, ...]:
        """New arrays for the outputs, not filled: torch tensors where ``like`` is one, else numpy arrays."""
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(like, torch.Tensor):
            # Quicker than torch.empty; a first input on another device is refused with its outputs.
            self._torch = self._torch or [(a.shape, getattr(torch, a.dtype)) for a in self.outputs]
            return tuple([like.new_empty(shape, dtype=dtype) for shape, dtype in self._torch])
        return tuple(empty(a.shape, a.numpy_dtype) for a in self.outputs)

    def _with_outputs(self, inputs: Sequence[KernelArgument], arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(arrays) == len(inputs):
            return (*arrays, *self.allocate(like=arrays[0] if arrays else None))
        if len(arrays) != len(inputs) + len(self.outputs):
            raise self._count((*inputs, *self.outputs), len(arrays), len(inputs))
        return arrays

    def _count(self, arguments: Sequence[KernelArgument], given: int, least: int | None = None) -> TypeError:
        signature = ", ".join(f"{a.name}: {a}" for a in arguments)
        inputs = len(arguments) if least is None else least
        takes = f"{inputs} array{'s' * (inputs != 1)}" + (
            "" if least is None else f", or {len(arguments)} with outputs,"
        )
        return TypeError(f"{self.name} takes {takes}{',' * (least is None)} not {given}: {signature}")

    def __repr__(self) -> str:
        signature = ", ".join(f"{a.name}: {a}" for a in self.inputs)
        return f"<Kernel {self.name} ({signature}) -> {', '.join(map(str, self.outputs))}>"


class Prepared:
    """A kernel that has its weights: ``out = prepared(a)``, or ``prepared(a, out)``; from ``Kernel.prepare``."""

    def __init__(self, kernel: Kernel, kept: Sequence[tvm_ffi.Tensor]) -> None:
        self.kernel, self.kept = kernel, list(kept)
        weights = kernel.weights if kernel.layout is None else kernel.layout.arguments
        self.inputs = tuple(a for a in kernel.inputs if a not in kernel.weights)
        order = kernel.arguments if kernel.layout is None else (*self.inputs, *weights, *kernel.outputs)
        self.signature = Signature(kernel.name, order)
        # Where each argument of the function comes from: one of the kept, or the next that is given.
        self._kept = [weights.index(argument) if argument in weights else None for argument in order]

    def __call__(self, *arrays: Any) -> Any:
        """Run it on the inputs that are no weights, in order, and the outputs where they are not to be allocated.

        Raises:
            TypeError, ValueError: as for a call of the kernel.
        """
        fresh = len(arrays) == len(self.inputs)
        arrays = self.kernel._with_outputs(self.inputs, arrays)
        rest = iter(arrays)
        given = [next(rest) if at is None else self.kept[at] for at in self._kept]
        self.signature.call(self.kernel.function, given, fresh)
        return _result(arrays[len(self.inputs) :])

    def __repr__(self) -> str:
        signature = ", ".join(f"{a.name}: {a}" for a in self.inputs)
        return f"<Prepared {self.kernel.name} ({signature}) -> {', '.join(map(str, self.kernel.outputs))}>"


def _result(outputs: Sequence[Any]) -> Any:
    return outputs[0] if len(outputs) == 1 else tuple(outputs)
