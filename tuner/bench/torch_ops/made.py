"""The form in which operators are written for torch, and arrays of numpy as tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import nn

# numpy's own types go over as they are; these share memory as integers and are viewed.
VIEWED = {
    np.dtype(ml_dtypes.bfloat16): (np.int16, torch.bfloat16),
    np.dtype(ml_dtypes.float8_e4m3fn): (np.uint8, torch.float8_e4m3fn),
}


@dataclass(frozen=True)
class Made:
    """An operator in torch.

    Attributes:
        module: what is called; weights are its parameters, so that ``freezing`` may lay them out anew.
        arguments: what it is called with.
        stand_in: whether it computes nearly the same from operands of another type.
    """

    module: nn.Module
    arguments: tuple[torch.Tensor, ...]
    stand_in: bool = False


# Ways to compute an operator, by what to call them; the fastest that is right is the peer.
Ways = dict[str, Callable[[Sequence[np.ndarray]], Made]]


class Function(nn.Module):
    """A function of its arguments, then of parameters, as a module."""

    def __init__(self, function: Callable[..., Any], *parameters: torch.Tensor) -> None:
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(nn.Parameter(p, requires_grad=False) for p in parameters)

    def forward(self, *arguments: torch.Tensor) -> Any:
        """The function of arguments and parameters."""
        return self.function(*arguments, *self.weights)


def tensor(array: np.ndarray) -> torch.Tensor:
    """A tensor over the memory of an array."""
    if array.dtype in VIEWED:
        integer, dtype = VIEWED[array.dtype]
        return torch.from_numpy(array.view(integer)).view(dtype)
    return torch.from_numpy(array)


def array(value: torch.Tensor, like: np.ndarray) -> np.ndarray:
    """A tensor as an array of the type of ``like``: torch counts in 64 bits, and stand-ins end in other floats."""
    value = value.detach().contiguous()
    for dtype, (integer, kind) in VIEWED.items():
        if value.dtype == kind:
            found = value.view({np.int16: torch.int16, np.uint8: torch.uint8}[integer]).numpy().view(dtype)
            break
    else:
        found = value.numpy()
    return found if found.dtype == like.dtype else found.astype(like.dtype)


def float32(x: np.ndarray) -> torch.Tensor:
    """The values of an array of any float type, in float32."""
    return torch.from_numpy(x.astype(np.float32))


def function(body: Callable[..., Any], inputs: Sequence[np.ndarray], parameters: Sequence[int] = ()) -> Made:
    """``body`` of all inputs; those numbered in ``parameters``, which must be the last, are parameters."""
    arguments = [tensor(x) for at, x in enumerate(inputs) if at not in parameters]
    return Made(Function(body, *(tensor(inputs[at]) for at in parameters)), tuple(arguments))
