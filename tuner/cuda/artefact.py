"""A kernel for a GPU as one file: its machine code, how it is started, and what it means in terms of a CPU."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schedules.cuda.launch import Launch
from schedules.cuda.serial import plain, serial
from tuner.cuda.cubin import Cubin, Resources

if TYPE_CHECKING:
    import tvm


@dataclass(frozen=True)
class Artefact:
    """What is in such a file.

    Attributes:
        arguments: names of the buffers, inputs before outputs.
        launches: kernels in the order in which they run.
        scratch: as of ``schedules.cuda.launch.Source``.
        resources: of each kernel, by ptxas.
        code: the ELF file that the driver loads.
        program: the scheduled module in plain terms, as TVM's JSON.
    """

    arguments: tuple[str, ...]
    launches: tuple[Launch, ...]
    scratch: Mapping[str, int]
    resources: tuple[Resources, ...]
    code: bytes
    program: str

    @classmethod
    def of(cls, module: tvm.IRModule, made: Cubin) -> Artefact:
        """A scheduled module and what was compiled of it."""
        import tvm

        source, arguments = made.source, tuple(buffer.name for buffer in module["main"].params)
        program = tvm.ir.save_json(plain(module))
        return cls(arguments, source.launches, source.scratch, made.resources, made.code, program)

    def meaning(self, blocks: int) -> tvm.IRModule:
        """The program without thread bindings, of so many thread blocks along each axis; 0: of all."""
        import tvm

        return serial(tvm.ir.load_json(self.program), blocks)

    @property
    def notes(self) -> dict[str, Any]:
        """What the evidence of a trial says of it."""
        return {"resources": [asdict(each) for each in self.resources]}

    def write(self, file: Path) -> Path:
        """Write it, as JSON; returns the file."""
        file.write_text(json.dumps(asdict(self) | {"code": base64.b64encode(self.code).decode()}))
        return file

    @classmethod
    def read(cls, file: Path) -> Artefact:
        """Read what ``write`` wrote."""
        told = json.loads(file.read_text())
        return cls(
            tuple(told["arguments"]),
            tuple(Launch.from_json(launch) for launch in told["launches"]),
            told["scratch"],
            tuple(Resources(**each) for each in told["resources"]),
            base64.b64decode(told["code"]),
            told["program"],
        )
