"""A kernel for a GPU as files: its machine code, how it is started, and what it means in terms of a CPU."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schedules.cuda.launch import Launch
from schedules.cuda.serial import plain, serial
from tuner.cuda.cubin import Cubin, Resources

if TYPE_CHECKING:
    import tvm

CODE, MEANING = "kernel.cubin", "meaning.json"


@dataclass(frozen=True)
class Artefact:
    """What ``write`` wrote.

    Attributes:
        folder: where it is.
        arguments: names of the buffers, inputs before outputs.
        launches: kernels in the order in which they run.
        scratch: as of ``schedules.cuda.launch.Source``.
        resources: of each kernel, by ptxas.
    """

    folder: Path
    arguments: tuple[str, ...]
    launches: tuple[Launch, ...]
    scratch: Mapping[str, int]
    resources: tuple[Resources, ...]

    @property
    def code(self) -> bytes:
        """The ELF file that the driver loads."""
        return (self.folder / CODE).read_bytes()

    def meaning(self, blocks: int) -> tvm.IRModule:
        """The program without thread bindings, of so many thread blocks along each axis; 0: of all."""
        import tvm

        return serial(tvm.ir.load_json((self.folder / MEANING).read_text()), blocks)

    @property
    def notes(self) -> dict[str, Any]:
        """What the evidence of a trial says of it."""
        return {"resources": [asdict(each) for each in self.resources]}


def write(folder: Path, module: tvm.IRModule, made: Cubin) -> Path:
    """Write a scheduled module and what was compiled of it; the file that ``read`` takes."""
    import tvm

    arguments = [buffer.name for buffer in module["main"].params]
    (folder / CODE).write_bytes(made.code)
    (folder / MEANING).write_text(tvm.ir.save_json(plain(module)))
    written = folder / "kernel.json"
    program = made.source
    told = {"launches": program.launches, "scratch": program.scratch, "resources": made.resources}
    written.write_text(json.dumps({"arguments": arguments, **told}, default=asdict))
    return written


def read(file: Path) -> Artefact:
    """Read what ``write`` wrote."""
    told = json.loads(file.read_text())
    launches: Sequence[Launch] = [Launch.from_json(launch) for launch in told["launches"]]
    resources = [Resources(**each) for each in told["resources"]]
    return Artefact(file.parent, tuple(told["arguments"]), tuple(launches), told["scratch"], tuple(resources))
