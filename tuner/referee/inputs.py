"""Inputs that a kernel is tried on: drawn from a secret seed, or of a structure that random ones do not have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from schedules.workload import Workload, numpy_dtype

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Structure:
    """A way to change the float inputs of a workload; integers, which may be indices, stay as they were drawn."""

    name: str
    change: Callable[[int, np.ndarray, np.random.Generator], np.ndarray]

    def inputs(self, drawn: Sequence[np.ndarray], rng: np.random.Generator) -> Arrays:
        """Inputs of this structure, made from random ones."""
        floats = [at for at, array in enumerate(drawn) if is_float(array.dtype)]
        return [
            self.change(floats.index(at), array, rng).astype(array.dtype) if at in floats else array
            for at, array in enumerate(drawn)
        ]


def structures(workload: Workload, drawn: Sequence[np.ndarray]) -> list[Structure]:
    """Those that say something of a workload.

    Where outputs are integers or codes of few bits, equal and nearly equal values may go either way, and structured
    inputs are full of them: a right kernel would be called wrong.
    """
    exact = any(not is_float(numpy_dtype(a.dtype)) for a in workload.output_arguments)
    if exact or any(t.fraction < 1 for t in workload.tolerances) or not any(is_float(a.dtype) for a in drawn):
        return []
    return list(STRUCTURES)


def is_float(dtype: np.dtype) -> bool:
    """Whether it is a kind of float, those of ``ml_dtypes`` included."""
    try:
        ml_dtypes.finfo(dtype)
    except ValueError:
        return False
    return True


def _zeros(at: int, array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.zeros_like(array)


def _ones(at: int, array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.ones_like(array)


def _one_hot(at: int, array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of the first input one element of each row, the others as they were drawn."""
    if at or not array.ndim or not array.size:
        return array
    rows = array.reshape(-1, array.shape[-1])
    kept = rng.integers(0, rows.shape[1], rows.shape[0])
    made = np.zeros_like(rows)
    made[np.arange(len(rows)), kept] = rows[np.arange(len(rows)), kept]
    return made.reshape(array.shape)


def _denormals(at: int, array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of a type of few bits all; of a wide one half of the elements: instructions that take them for zeros are right
    within any tolerance only where others outweigh them."""
    info = ml_dtypes.finfo(array.dtype)
    if at:
        return array
    least = rng.integers(1, 4, array.shape).astype(np.float32) * np.float32(info.smallest_subnormal)
    small = least.astype(array.dtype)
    return small if float(info.max) < 1e4 else np.where(rng.random(array.shape, np.float32) < 0.5, small, array)


def _extremes(at: int, array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Large and small by turns: a quarter of the exponents that there are, so that products do not overflow."""
    most = int(math.log2(float(ml_dtypes.finfo(array.dtype).max))) // 4
    exponents = rng.choice(np.array([-most, most], np.float32), array.shape)
    return np.exp2(exponents) * rng.choice(np.array([-1, 1], np.float32), array.shape)


STRUCTURES = (
    Structure("zeros", _zeros),
    Structure("ones", _ones),
    Structure("one-hot", _one_hot),
    Structure("denormals", _denormals),
    Structure("extremes", _extremes),
)
