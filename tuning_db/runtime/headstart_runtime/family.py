"""A family of kernels that is called with any number of rows; needs numpy and tvm-ffi, no compiler."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tvm_ffi

from headstart_runtime.argument import KernelArgument
from headstart_runtime.dlpack import rows_of, tensor
from headstart_runtime.kernel import Kernel, Prepared
from headstart_runtime.memory import empty
from headstart_runtime.row_plan import BundleFamily, Slice, slices
from headstart_runtime.signature import Signature

# Numbers of rows whose plan is kept ready.
READY = 1024


class Family:
    """Kernels of one operator for a few numbers of rows, called with any: ``out = family(x)``, ``family(x, out)``.

    ``linear = family.prepare(w)`` keeps the weights for calls of any number of rows. It may be called from several
    threads at once. Rows that several kernels share are slices of the arrays, never copies; only where there are fewer
    rows than the smallest useful kernel has, they are copied into an array that is padded with the last of them.

    Args:
        entry: what the manifest says of it.
        kernels: by rows.
        layouts: how the kernel for so many rows wants its weights; equal ids share what was prepared.
        functions: those that take any number of rows, as ``entry.any`` names them.
    """

    def __init__(
        self,
        entry: BundleFamily,
        kernels: Mapping[int, Kernel],
        layouts: Mapping[int, str | None],
        functions: Sequence[Callable[..., Any]] = (),
    ) -> None:
        self.entry, self.kernels, self.layouts, self.functions = entry, dict(kernels), dict(layouts), tuple(functions)
        one = next(iter(self.kernels.values()))
        self.name, self.weights, self.inputs, self.outputs = entry.operator, one.weights, one.inputs, one.outputs
        self._runs = [(), *(plan.run for plan in entry.plans for _ in range(plan.first, plan.last + 1))]
        self._scratch = threading.local()
        self._ready = None if self.weights else self.prepare()
        # Without weights there is nothing to prepare, and calls go the shortest way.
        self._whole = self._ready.whole if self._ready else {}
        self._first = self._ready.first if self._ready else 0

    def __call__(self, *arrays: Any) -> Any:
        """Run it on arrays as a ``Kernel`` takes them, but with as many rows as they have.

        Args:
            arrays: the inputs, then the outputs or none of them. Weights are laid out in each call: ``prepare`` them.

        Returns:
            The output, or a tuple of them where there are several.

        Raises:
            TypeError, ValueError: as for a call of a kernel, and where arrays differ in their rows. Nothing was
                computed.
        """
        try:
            whole = self._whole.get(arrays[self._first].shape[0])
        except (AttributeError, IndexError, TypeError):
            whole = None
        if whole is not None:
            return whole(*arrays)
        if self._ready is not None:
            return self._ready.in_parts(*arrays)
        named = [*self.inputs, *self.outputs][: len(arrays)]
        if len(arrays) not in (len(self.inputs), len(self.inputs) + len(self.outputs)):
            raise _count(self.name, self.inputs, self.outputs, len(arrays))
        given = [array for array, a in zip(arrays, named, strict=True) if a in self.weights]
        return self.prepare(*given)(*(array for array, a in zip(arrays, named, strict=True) if a not in self.weights))

    def prepare(self, *weights: Any) -> PreparedFamily:
        """Keep the weights, laid out once for each way that kernels want them (one, unless built with more).

        Raises:
            TypeError, ValueError: as for a call.
        """
        made: dict[str | None, Prepared] = {}
        for rows, kernel in self.kernels.items():
            if self.layouts[rows] not in made:
                made[self.layouts[rows]] = kernel.prepare(*weights)
        if self.functions and None not in made:
            made[None] = self.kernel(self.entry.any[0].first).prepare(*weights)
        return PreparedFamily(self, {layout: prepared.kept for layout, prepared in made.items()})

    def kernel(self, rows: int) -> Kernel:
        """The kernel for so many rows that takes any number, called as one for just these."""
        for one, function in zip(self.entry.any, self.functions, strict=True):
            if one.first <= rows <= one.last:
                weights = [argument.name for argument in self.weights]
                return Kernel(self.name, self.arguments(rows), function, weights)
        raise KeyError(rows)

    def scratch(self, rows: int) -> dict[str, tuple[np.ndarray, int]]:
        """Arrays of so many rows for calls of this thread, in place of those that have rows, and their addresses."""
        kept: dict[int, dict[str, tuple[np.ndarray, int]]] = vars(self._scratch).setdefault("kept", {})
        if rows not in kept:
            sliced = [a for a in self.arguments(rows) if a.name in self.entry.sliced]
            made = {a.name: empty(a.shape, a.numpy_dtype) for a in sliced}
            kept[rows] = {name: (array, array.ctypes.data) for name, array in made.items()}
        return kept[rows]

    def slices(self, rows: int) -> list[Slice]:
        """Which kernels run on which rows."""
        return slices(self._runs, rows)

    def arguments(self, rows: int) -> tuple[KernelArgument, ...]:
        """The arguments of so many rows, weights included."""
        return tuple(
            replace(a, shape=(rows, *a.shape[1:])) if a.name in self.entry.sliced else a
            for a in (*self.inputs, *self.outputs)
        )

    def __repr__(self) -> str:
        counts = ", ".join(map(str, self.kernels))
        return f"<Family {self.name} of any rows, by kernels of {counts}>"


@dataclass(frozen=True)
class _Plan:
    """What a number of rows comes to: kernels, each for a slice of the arrays."""

    parts: list[tuple[Slice, Prepared]]
    signature: Signature


class PreparedFamily:
    """A family that has its weights: ``out = prepared(x)`` for any number of rows; from ``Family.prepare``.

    Args:
        family: what was prepared.
        kept: the weights as kernels of each layout take them.
    """

    def __init__(self, family: Family, kept: Mapping[str | None, Sequence[tvm_ffi.Tensor]]) -> None:
        self.family, self.kept = family, dict(kept)
        self.inputs = tuple(a for a in family.inputs if a not in family.weights)
        self._named = (*self.inputs, *family.outputs)
        self._sliced = tuple(a.name in family.entry.sliced for a in self._named)
        self.first = self._sliced.index(True)
        self._kernels = {
            rows: Prepared(kernel, self.kept[family.layouts[rows]]) for rows, kernel in family.kernels.items()
        }
        self.whole: dict[int, Prepared] = {}
        self._plans: dict[int, _Plan] = {}

    def __call__(self, *arrays: Any) -> Any:
        """Run it on the inputs that are no weights, in order, and the outputs where they are not to be allocated.

        Raises:
            TypeError, ValueError: as for a call of the family.
        """
        try:
            whole = self.whole.get(arrays[self.first].shape[0])
        except (AttributeError, IndexError, TypeError):
            whole = None
        return whole(*arrays) if whole is not None else self.in_parts(*arrays)

    def in_parts(self, *arrays: Any) -> Any:
        """A call for any number of rows; ``whole`` has a quicker way for those that one kernel takes as they are."""
        given, inputs = len(arrays), len(self.inputs)
        if given != inputs and given != len(self._named):
            raise _count(self.family.name, self.inputs, self.family.outputs, given)
        try:
            rows = int(arrays[self.first].shape[0])
        except (AttributeError, IndexError, TypeError):
            rows = 1
        plan = self._plans.get(rows) or self._plan(rows)
        if rows in self.whole:
            return self.whole[rows](*arrays)
        signature = plan.signature
        if given == inputs:
            arrays = (*arrays, *_allocate(signature.arguments[inputs:], arrays[0]))
        self._check_shapes(signature, arrays)
        # Outputs may overlap what other parts read; the rest each kernel checks of its own rows before it computes.
        signature.call(_nothing, arrays, fresh=given == inputs)
        try:
            self._run(plan, arrays)
        except (TypeError, ValueError) as error:
            raise signature.problem(signature.tensors(arrays)) or error from None
        results = arrays[inputs:]
        return results[0] if len(results) == 1 else tuple(results)

    def _plan(self, rows: int) -> _Plan:
        """What to do with so many rows, kept for the next time."""
        parts, named = self.family.slices(rows), {argument.name for argument in self._named}
        one = len(parts) == 1 and parts[0].kernel in (0, rows)
        signature = Signature(self.family.name, [a for a in self.family.arguments(rows) if a.name in named])
        made = _Plan([(part, self._kernel(part)) for part in parts], signature)
        if len(self._plans) < READY:
            self._plans[rows] = made
            if one:
                self.whole[rows] = made.parts[0][1]
        return made

    def _kernel(self, part: Slice) -> Prepared:
        if part.kernel:
            return self._kernels[part.kernel]
        return Prepared(self.family.kernel(part.rows), self.kept[None])

    def _run(self, plan: _Plan, arrays: Sequence[Any]) -> None:
        for part, kernel in plan.parts:
            if part.rows < part.kernel:
                self._padded(part, plan.signature, arrays)
                continue
            first, end = part.first, part.first + part.rows
            kernel(*(_rows(a, first, end) if rows else a for a, rows in zip(arrays, self._sliced, strict=True)))

    def _padded(self, part: Slice, signature: Signature, arrays: Sequence[Any]) -> None:
        """Run a kernel that has more rows than there are; the last is there as often as needed, so all are valid."""
        tensors = signature.tensors(arrays)
        # The kernel sees copies of bytes only, whatever they were.
        if (problem := signature.problem(tensors)) is not None:
            raise problem
        scratch = self.family.scratch(part.kernel)
        passed: list[Any] = []
        for argument, given, sliced in zip(signature.arguments, tensors, self._sliced, strict=True):
            passed.append(scratch[argument.name][0] if sliced else given)
            if sliced and argument.role == "input":
                _fill(scratch[argument.name][1], given.data_ptr(), argument.nbytes, part)
        self._kernels[part.kernel](*passed)
        for argument, given in zip(signature.arguments, tensors, strict=True):
            if argument.role == "output":
                ctypes.memmove(given.data_ptr(), scratch[argument.name][1], argument.nbytes)

    def _check_shapes(self, signature: Signature, arrays: Sequence[Any]) -> None:
        """That all arrays have as many rows: a kernel sees its own only, and would say so of these."""
        for argument, array in zip(signature.arguments, arrays, strict=True):
            if tuple(getattr(array, "shape", ())) != argument.shape:
                raise signature.problem(signature.tensors(arrays)) or ValueError(f"{self.family.name}: not an array")

    def __repr__(self) -> str:
        return f"<Prepared {self.family!r}>"


def _nothing(*passed: Any) -> None:
    """In place of a kernel, where only what is checked before one is wanted."""


def _fill(to: int, start: int, size: int, part: Slice) -> None:
    """Copy the rows of a slice, ``size`` bytes from address ``start``, and its last until the kernel has enough."""
    ctypes.memmove(to, start, size)
    row = size // part.rows
    done, whole = 1, part.kernel - part.rows + 1
    last = to + size - row
    while done < whole:
        # Twice as many each time, from the first on.
        more = min(done, whole - done)
        ctypes.memmove(last + done * row, last, more * row)
        done += more


def _count(name: str, inputs: Sequence[KernelArgument], outputs: Sequence[KernelArgument], given: int) -> TypeError:
    names = ", ".join(a.name for a in (*inputs, *outputs))
    return TypeError(
        f"{name} takes {len(inputs)} arrays, or {len(inputs) + len(outputs)} with outputs, not {given}: {names}"
    )


def _allocate(outputs: Sequence[KernelArgument], like: Any) -> tuple[Any, ...]:
    """New arrays, not filled: torch tensors where ``like`` is one, else numpy arrays."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(like, torch.Tensor):
        return tuple(torch.empty(a.shape, dtype=getattr(torch, a.dtype), device="cpu") for a in outputs)
    return tuple(empty(a.shape, a.numpy_dtype) for a in outputs)


def _rows(array: Any, first: int, end: int) -> Any:
    """Consecutive rows, sharing memory."""
    torch = sys.modules.get("torch")
    if isinstance(array, np.ndarray) or (torch is not None and isinstance(array, torch.Tensor)):
        return array[first:end]
    return rows_of(array if isinstance(array, tvm_ffi.Tensor) else tensor(array), first, end)
