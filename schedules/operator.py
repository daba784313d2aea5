"""An operator is a family of computations with parameters; to add one is to add a file to ``schedules/operators``."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, ABCMeta, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx

Arrays = list[np.ndarray]

_TYPES: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "str": str}


@dataclass(frozen=True)
class Tolerance:
    """How far an output may be from the reference.

    An element is right when ``|out - ref| <= atol * scale + rtol * |ref|``, where ``scale`` is the root mean
    square of that reference output, so that zeros can never pass; ``fraction`` of the elements must be right
    (below 1 only where rounding to few bits flips codes).
    """

    rtol: float
    atol: float
    fraction: float = 1.0


@dataclass(frozen=True)
class Operator(ABC):
    """One operator at one shape and dtype.

    A subclass is a frozen dataclass whose fields are the parameters (ints, floats, strings, booleans), with
    ``name`` and ``summary`` as class variables. Arguments of the PrimFunc are the inputs in order, then the outputs.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The values that a string parameter may have."""
    weights: ClassVar[tuple[str, ...]] = ()
    """Names of the inputs that stay the same from call to call: a schedule may lay them out anew, once, at load.

    An instance need not have all of them: bfloat16 weights come without scales.
    """

    row_parameter: ClassVar[str] = ""
    """The parameter that counts rows which need nothing of each other, or "" where there is none.

    It is the extent of the first axis of every output and of some inputs, and of no other axis and no weights. Row
    ``i`` of an output depends on row ``i`` of those inputs and on the inputs without rows (``schedules/rows.py``).
    """

    def __post_init__(self) -> None:
        """Check the parameters: declared types, sizes of at least 1 (0 where that is the default), known choices.

        Raises:
            InputError: a parameter is none of that.
        """
        for field in fields(self):
            value, kind = getattr(self, field.name), _TYPES[str(field.type)]
            ok = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
            if ok and kind is int:
                ok = value >= (0 if field.default == 0 else 1)
            if not ok or (field.name in self.choices and value not in self.choices[field.name]):
                takes = " or ".join(self.choices.get(field.name, (f"a positive {field.type}",)))
                raise InputError(f"operator {self.name!r}: {field.name} is {value!r}, must be {takes}")

    @abstractmethod
    def prim_func(self) -> tirx.PrimFunc:
        """The computation, unscheduled, static shapes; argument buffers in the order inputs, outputs."""

    @abstractmethod
    def inputs(self, rng: np.random.Generator) -> Arrays:
        """Random inputs such as the model would see, one array per input, C-contiguous."""

    @abstractmethod
    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        """The outputs in numpy, by the semantics the docstring cites, independent of the TIR."""

    @property
    @abstractmethod
    def flops(self) -> int:
        """Arithmetic operations of one call, a multiply-add counting two."""

    @property
    @abstractmethod
    def tolerances(self) -> tuple[Tolerance, ...]:
        """One tolerance per output."""

    @property
    def arithmetic(self) -> str:
        """The type whose peak bounds it: a key of ``Peaks.flops`` (``float32``, ``bfloat16``, ``int8``).

        Float32 unless an operator multiplies matrices of another type.
        """
        return "float32"

    @property
    @abstractmethod
    def label(self) -> str:
        """Shape and dtype for people, e.g. ``16x4096x4096 bf16``; not part of any id."""

    @property
    def traffic(self) -> int | None:
        """Bytes that one call must move, where that is less than all of its arguments (a gather); else None."""
        return None

    @classmethod
    @abstractmethod
    def examples(cls) -> Iterable[Operator]:
        """A few small instances, odd sizes included, for the contract tests and the documentation."""

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[Operator]:
        """Instances that a PrimFunc with these ``(shape, dtype)`` arguments might be; ids decide whether it is."""
        return ()

    def params(self) -> dict[str, Any]:
        """The parameters as JSON types."""
        return asdict(self)


def fill(rng: np.random.Generator, shape: Sequence[int], dtype: Any = np.float32, scale: float = 1.0) -> np.ndarray:
    """A normal array of any size, quickly.

    Only the first four million values are drawn; larger arrays repeat them with a prime period, so that no row or
    tile of a power-of-two size equals its neighbour.
    """
    size = int(np.prod(shape, dtype=np.int64))
    period = 4_000_037
    drawn = (rng.standard_normal(min(size, period), dtype=np.float32) * np.float32(scale)).astype(dtype)
    return np.resize(drawn, tuple(shape))


@cache
def operators() -> dict[str, type[Operator]]:
    """Every operator by name, from the modules of ``schedules.operators``."""
    import schedules.operators as package

    found: dict[str, type[Operator]] = {}
    for module in pkgutil.iter_modules(package.__path__):
        for value in vars(importlib.import_module(f"{package.__name__}.{module.name}")).values():
            if isinstance(value, ABCMeta) and issubclass(value, Operator) and value.__dict__.get("name"):
                found[value.name] = value
    return dict(sorted(found.items()))


def make_operator(name: str, params: dict[str, Any]) -> Operator:
    """Build an operator from its name and parameters.

    Raises:
        InputError: no such operator, or parameters it does not take or misses.
    """
    known = operators()
    if name not in known:
        raise InputError(f"unknown operator {name!r}; known: {', '.join(known)}")
    try:
        return known[name](**params)
    except TypeError as error:
        takes = ", ".join(f.name for f in fields(known[name]))
        raise InputError(f"operator {name!r} takes {takes}: {error}") from None
