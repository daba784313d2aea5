"""Kernels in programs of torch: as operators of torch, and in the place of a model's layers."""

from headstart_runtime.torch.operators import Operator, operator
from headstart_runtime.torch.swapping import Swapped, swap

__all__ = ["Operator", "Swapped", "operator", "swap"]
