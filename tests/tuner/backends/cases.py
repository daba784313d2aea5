"""Chips whose backends are held to the contract in ``test_contract.py``; a backend joins with one line."""

from __future__ import annotations

from dataclasses import dataclass

from schedules.operator import Operator
from schedules.operators.linear import Linear
from schedules.operators.rmsnorm import RmsNorm

SMALL: tuple[Operator, ...] = (
    Linear(6, 32, 64),
    Linear(3, 32, 64, "bfloat16", "bfloat16"),
    RmsNorm(5, 64, "float32", residual=True),
)


@dataclass(frozen=True)
class Case:
    """A backend, by a chip that it is for.

    Attributes:
        target: name of the chip.
        operators: that its default schedules are tried with.
        trap: name of a C function that a kernel can call to end the device, without arguments; "" where there is none.
    """

    target: str
    operators: tuple[Operator, ...] = SMALL
    trap: str = "abort"


CASES = (
    Case("example-npu"),  # the plug-in in docs/
    # Its kernels need thread bindings, so none of a few lines ends the device: test_cuda_backend.py has such.
    Case("h100", SMALL[1:], trap=""),
    Case("kunpeng-920", operators=SMALL[1:]),
    Case("spacemit-k1", operators=SMALL[2:]),
)
