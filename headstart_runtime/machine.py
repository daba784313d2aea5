"""What an operating system says about the machine: one record, whichever system it came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """A machine as this process may use it.

    Attributes:
        arch: ``x86_64``, ``aarch64``, ``riscv64``, ...
        vendor, model: as people say them.
        features: instruction set extensions that the operating system reports, LLVM's spelling, code-changing or not.
        cpus: numbers of the CPUs to run on: one for each physical core that this process may use.
        l1d, l2, l3: data cache bytes: per core, per core (its share where cores share one), in all.
        memory: bytes of memory that this process may use.
        vector_bits: length of the scalable vectors that are enabled, 0 when there are none or it is not known.
    """

    arch: str
    vendor: str
    model: str
    features: frozenset[str]
    cpus: tuple[int, ...]
    l1d: int = 0
    l2: int = 0
    l3: int = 0
    memory: int = 0
    vector_bits: int = 0

    @property
    def cores(self) -> int:
        """Physical cores that this process may use."""
        return len(self.cpus)
