"""What an operating system says about the machine: one record, whichever system it came from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Extensions whose presence changes the code of a tensor program; the rest (virtualisation, keys, cache hints) would
# only give equal chips different fingerprints.
CODE_FEATURES = {
    "x86_64": r"avx.*|amx-.*|fma|f16c|gfni|bmi2?|lzcnt|popcnt|sse4\.[12]",
    "aarch64": r"neon|fullfp16|fp16fml|dotprod|bf16|i8mm|complxnum|rdm|lse|f(32|64)mm|sve(2(p\d)?)?|sme.*",
    "riscv64": r"[mafdcv]|zv(e|l|f|dot).*|zfh.*|zb[abs]|xsmt.*|xthead.*",
}


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


def code_features(arch: str, features: Iterable[str]) -> set[str]:
    """Those of ``features`` that change the code of tensor programs, LLVM's spelling in and out."""
    pattern = CODE_FEATURES.get(arch, ".*")
    return {name for name in features if re.fullmatch(pattern, name)}
