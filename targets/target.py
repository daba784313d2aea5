"""A target is one kind of chip: how to build for it, what it can do, how fast it can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from targets.digest import canonical_json, digest

if TYPE_CHECKING:
    from tvm.target import Target as TvmTarget


@dataclass(frozen=True)
class Peaks:
    """What a chip can reach at best.

    Attributes:
        flops: operations per second by arithmetic: ``float32``, ``bfloat16``, ``int8``, ... (2 per multiply-add).
        dram: bytes per second read from memory.
        cache: bytes per second read from the second-level caches by all cores, 0 when unknown.
        source: ``measured`` or the document the figures are from.
    """

    flops: Mapping[str, float]
    dram: float
    cache: float = 0.0
    source: str = "measured"

    def bound(self, arithmetic: str) -> float:
        """Operations per second that no kernel over values of this type can pass.

        A type without a figure of its own is computed in one that holds its values exactly, whichever is fastest;
        8-bit integers at worst as four to a float32 lane.
        """
        if arithmetic in self.flops:
            return self.flops[arithmetic]
        if arithmetic == "int8":
            return 4 * self.flops["float32"]
        wider: tuple[str, ...] = ()
        if arithmetic.startswith("float8"):
            wider = ("float16", "bfloat16")
        elif arithmetic.startswith("float4"):
            wider = ("float16", "bfloat16", "float8_e4m3fn", "int8")
        return max(self.flops.get(name, 0.0) for name in ("float32", *wider))


@dataclass(frozen=True)
class Target:
    """One kind of chip.

    Attributes:
        name: catalogue name such as ``zen4``; ``host`` is resolved to the name of the chip found.
        vendor, model: as people say them.
        tvm: attributes of the TVM target, e.g. ``{"kind": "llvm", "mcpu": "znver4", "num-cores": 2}``.
        cores: physical cores (CPU) or streaming multiprocessors / compute units (GPU) that a kernel may use.
        vector_bits: width of the widest vector register, in bits.
        features: instruction set extensions that change code, sorted, LLVM's spelling (``avx512bf16``).
        l1d, l2, l3: data cache sizes in bytes: per core, per core, in all; 0 when absent.
        memory: bytes of memory, 0 when unknown; not part of the fingerprint.
        peaks: roofline figures, ``None`` when neither measured nor published.
    """

    name: str
    vendor: str
    model: str
    tvm: Mapping[str, Any]
    cores: int
    vector_bits: int
    features: tuple[str, ...] = ()
    l1d: int = 0
    l2: int = 0
    l3: int = 0
    memory: int = 0
    peaks: Peaks | None = field(default=None, compare=False)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the fields that change code or speed; names, memory size and measured peaks are not in it."""
        fields = {
            "tvm": dict(self.tvm),
            "cores": self.cores,
            "vector_bits": self.vector_bits,
            "features": sorted(self.features),
            "caches": [self.l1d, self.l2, self.l3],
        }
        return digest("c", canonical_json(fields))

    @property
    def kind(self) -> str:
        """TVM's target kind: ``llvm``, ``cuda``, ``rocm``, ..."""
        return str(self.tvm["kind"])

    def has(self, feature: str) -> bool:
        """Whether the chip has an instruction set extension, by LLVM's name for it."""
        return feature in self.features

    @property
    def lanes(self) -> int:
        """float32 lanes of the widest vector register, at least 1."""
        return max(1, self.vector_bits // 32)

    @property
    def registers(self) -> int:
        """Vector registers of a CPU: 16 with AVX2; 32 with AVX-512, on Arm and on RISC-V."""
        return 16 if self.vector_bits == 256 and self.has("avx2") else 32

    def to_tvm(self) -> TvmTarget:
        """The TVM target to build with."""
        import tvm

        attributes = dict(self.tvm)
        if str(attributes.get("mtriple", "")).startswith("riscv") and self.has("v"):
            # Where it sees V, TVM makes every vector loop one of scalable vectors under masks, and refuses programs
            # whose vectors have a width. The extensions that V consists of stay, and LLVM's code is the same.
            attributes["mattr"] = [*attributes.get("mattr", ()), "-v"]
            # A chip has registers of one width, which need not be asked for where vectors are spilled.
            attributes["cl-opt"] = [f"-riscv-v-vector-bits-max:int={self.vector_bits}"]
        return tvm.target.Target(attributes)

    def spec(self) -> dict[str, Any]:
        """Every field as JSON types; ``Target.from_spec`` reads it back."""
        return asdict(self)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Target:
        """Read what ``spec`` wrote, or a catalogue file (other keys are ignored)."""
        names = {f for f in cls.__dataclass_fields__ if f in spec}
        values = {name: spec[name] for name in names}
        values["features"] = tuple(sorted(spec.get("features", ())))
        peaks = spec.get("peaks")
        values["peaks"] = Peaks(**peaks) if peaks else None
        return cls(**values)
