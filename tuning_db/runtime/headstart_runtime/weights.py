"""Weights that stay the same from call to call: laid out once for each layout that a kernel wants, then kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import prod
from typing import Any

from headstart_runtime.errors import HeadstartError
from headstart_runtime.family import Family, PreparedFamily
from headstart_runtime.kernel import Kernel, Prepared


def dtype_name(dtype: Any) -> str:
    """The common name of a dtype of numpy, torch or another library: ``bfloat16``, ``float8_e4m3fn``."""
    return str(getattr(dtype, "name", dtype)).removeprefix("torch.")


class Weights:
    """The weights of one layer, for ``apply``: ``kernels.apply("linear", (x, Weights(w)), fallback)``.

    A kernel lays weights out in an order of its own. That is done once for each layout, when a kernel first asks or
    when ``prepare`` is called, and kernels of equal layouts (those of one family, say) share what was laid out. Calls
    that have no kernel get the arrays as they were given. It may be used by several threads at once.

    Args:
        arrays: in the operator's order: a matrix, or codes and scales. They must stay as they are.
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise TypeError("weights are at least one array")
        self._arrays: tuple[Any, ...] | None = arrays
        self.signature: tuple[Any, ...] = tuple(part for a in arrays for part in (a.shape, a.dtype))
        self._prepared: dict[Kernel | Family, Prepared | PreparedFamily] = {}
        self._by_layout: dict[str, Prepared] = {}
        self._lock = threading.Lock()

    @property
    def arrays(self) -> tuple[Any, ...]:
        """What was given.

        Raises:
            HeadstartError: it was released.
        """
        if self._arrays is None:
            raise HeadstartError("these weights were released: only kernels that they were prepared for can use them")
        return self._arrays

    @property
    def released(self) -> bool:
        """Whether the arrays as they were given are gone."""
        return self._arrays is None

    @property
    def nbytes(self) -> int:
        """Bytes of all that was laid out, beside the arrays as they were given."""
        sizes = dict[int, int]()
        for prepared in list(self._prepared.values()):
            if isinstance(prepared, PreparedFamily):
                kept = [tensors for layout, tensors in prepared.kept.items() if layout is not None]
            else:
                kept = [] if prepared.kernel.layout is None else [prepared.kept]
            sizes |= {t.data_ptr(): prod(t.shape) * t.dtype.itemsize for tensors in kept for t in tensors}
        return sum(sizes.values())

    def prepare(self, kernel: Kernel | Family) -> Callable[..., Any]:
        """The kernel with these weights, laid out the first time that it, or one with its layout, is asked for.

        Raises:
            TypeError, ValueError: they are not what the kernel takes.
            HeadstartError: they were released before they were laid out for it.
        """
        found = self._prepared.get(kernel)
        if found is None:
            with self._lock:
                found = self._prepared.get(kernel) or self._lay_out(kernel)
                self._prepared[kernel] = found
        return found

    def _lay_out(self, kernel: Kernel | Family) -> Prepared | PreparedFamily:
        if isinstance(kernel, Family) or kernel.layout is None or kernel.layout.id is None:
            return kernel.prepare(*self.arrays)
        layout = kernel.layout.id
        if layout in self._by_layout:
            return Prepared(kernel, self._by_layout[layout].kept)
        return self._by_layout.setdefault(layout, kernel.prepare(*self.arrays))

    def release(self) -> None:
        """Let go of the arrays as they were given, to save memory; a call that has no kernel is an error then."""
        self._arrays = None
