"""A workload is one computation at one shape and dtype: an operator instance, or any schedulable PrimFunc."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from schedules.canonical import canonical
from schedules.operator import Arrays, Operator, Tolerance, make_operator
from targets.digest import digest

if TYPE_CHECKING:
    from tvm import tirx


class Argument(NamedTuple):
    """One buffer of a PrimFunc's signature: its name there, shape and TVM dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Bytes the buffer holds."""
        return int(np.prod(self.shape, dtype=np.int64)) * numpy_dtype(self.dtype).itemsize


def numpy_dtype(dtype: str) -> np.dtype:
    """The numpy dtype of a TVM dtype; ``ml_dtypes`` gives bfloat16 and the float8 kinds.

    Raises:
        TypeError: numpy has no such type.
    """
    import ml_dtypes

    if dtype == "bool":
        return np.dtype(np.bool_)
    return np.dtype(getattr(ml_dtypes, dtype, None) or dtype)


@dataclass(frozen=True, eq=False)
class Workload:
    """A computation with everything needed to tune it: id, program, inputs, reference, cost.

    Make one with ``Workload.of(operator)`` or, for a PrimFunc from anywhere, ``schedules.recognise.workload_of``.

    Attributes:
        operator: family name, ``primfunc`` where no operator matches.
        params: operator parameters, or ``{"ir": ...}`` (TVM's JSON of the PrimFunc).
        label: for people.
        prim_func: the computation; arguments are inputs, then outputs.
        outputs: how many of the last arguments are outputs.
    """

    operator: str
    params: Mapping[str, Any]
    label: str
    prim_func: tirx.PrimFunc
    outputs: int
    instance: Operator | None = None

    @classmethod
    def of(cls, operator: Operator) -> Workload:
        """The workload of an operator instance."""
        func = operator.prim_func()
        return cls(operator.name, operator.params(), operator.label, func, len(operator.tolerances), operator)

    @classmethod
    def load(cls, operator: str, params: Mapping[str, Any], label: str = "") -> Workload:
        """Make it again from what was stored of it.

        Raises:
            InputError: no such operator, or parameters it does not take.
        """
        if operator == "primfunc":
            from schedules.recognise import load_prim_func

            return load_prim_func(params, label)
        return cls.of(make_operator(operator, dict(params)))

    @cached_property
    def canonical(self) -> str:
        """The canonical text of the computation."""
        return canonical(self.prim_func)

    @cached_property
    def id(self) -> str:
        """Hash of the canonical text."""
        return digest("w", self.canonical)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Workload) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    @cached_property
    def arguments(self) -> tuple[Argument, ...]:
        """Every argument in order, inputs before outputs."""
        # In this TVM a parameter is itself the buffer.
        buffers = self.prim_func.params
        return tuple(Argument(b.name, tuple(int(d) for d in b.shape), str(b.dtype)) for b in buffers)

    @property
    def input_arguments(self) -> tuple[Argument, ...]:
        """The arguments that are read."""
        return self.arguments[: len(self.arguments) - self.outputs]

    @property
    def output_arguments(self) -> tuple[Argument, ...]:
        """The arguments that are written."""
        return self.arguments[len(self.arguments) - self.outputs :]

    @cached_property
    def weights(self) -> tuple[int, ...]:
        """Positions of the inputs that a schedule may lay out anew, once; see ``Operator.weights``."""
        names = type(self.instance).weights if self.instance is not None else ()
        return tuple(at for at, argument in enumerate(self.input_arguments) if argument.name in names)

    def laid_out(self, inputs: Sequence[Any], prepared: Sequence[Any]) -> list[Any]:
        """What a kernel takes before its outputs where a schedule lays out weights: the other inputs, then those."""
        return [value for at, value in enumerate(inputs) if at not in self.weights] + list(prepared)

    @cached_property
    def flops(self) -> int:
        """Arithmetic operations of one call."""
        if self.instance is not None:
            return self.instance.flops
        from schedules.recognise import count_flops

        return count_flops(self.prim_func)

    @cached_property
    def bytes(self) -> int:
        """Bytes that one call must move at least."""
        if self.instance is not None and self.instance.traffic is not None:
            return self.instance.traffic
        return sum(argument.nbytes for argument in self.arguments)

    @property
    def arithmetic(self) -> str:
        """The type whose peak bounds it, a key of ``Peaks.flops``."""
        return self.instance.arithmetic if self.instance is not None else "float32"

    def inputs(self, rng: np.random.Generator) -> Arrays:
        """Random inputs such as the model would see."""
        if self.instance is not None:
            return self.instance.inputs(rng)
        from schedules.recognise import random_inputs

        return random_inputs(self.prim_func, self.input_arguments, rng)

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays | None:
        """The outputs in numpy; None for a PrimFunc, whose reference is its own unscheduled build."""
        return self.instance.reference(inputs) if self.instance is not None else None

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        """One tolerance per output."""
        if self.instance is not None:
            return self.instance.tolerances
        from schedules.recognise import default_tolerance

        return tuple(default_tolerance(argument.dtype) for argument in self.output_arguments)
