"""Compile what a plan holds, wherever nvcc is: a cubin beside each text, and ``built.json`` with what ptxas says.

python -m tuner.cuda.build FOLDER
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from schedules.cuda.launch import Launch, Source
from targets import Target
from targets.errors import HeadstartError
from tuner.cuda.cubin import compile_source


def launches(line: Mapping[str, Any]) -> tuple[Launch, ...]:
    """The kernels of a line of a plan."""
    return tuple(Launch.from_json(launch) for launch in line["launches"])


def build(folder: Path, jobs: int) -> dict[str, Any]:
    """Compile every text that has no cubin yet; by file, the resources of its kernels or the reason there are none."""
    plan = json.loads((folder / "plan.json").read_text())
    target = Target.from_spec(plan["target"])
    report = folder / "built.json"
    built: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
    lines = [line for case in plan["cases"] for line in case["schedules"] if "file" in line]

    def one(line: Mapping[str, Any]) -> None:
        name = line["file"]
        try:
            made = compile_source(Source((folder / f"{name}.cu").read_text(), launches(line)), target)
        except HeadstartError as error:
            built[name] = {"error": str(error)}
            return
        (folder / f"{name}.cubin").write_bytes(made.code)
        built[name] = {"resources": [asdict(resources) for resources in made.resources]}

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, (line for line in lines if line["file"] not in built)))
    report.write_text(json.dumps(built))
    return built


def main() -> None:
    """The command above."""
    began = time.monotonic()
    built = build(Path(sys.argv[1]), os.cpu_count() or 1)
    refused = [value["error"] for value in built.values() if "error" in value]
    print(f"{len(built)} programs, {len(refused)} refused, {time.monotonic() - began:.1f} s", flush=True)
    print(*sorted({reason[:150] for reason in refused})[:5], sep="\n", flush=True)


if __name__ == "__main__":
    main()
