"""Run a plan on this machine's GPU: every schedule checked against the reference, the best timed beside torch.

    python -m tuner.cuda.run FOLDER OUT.json [SECONDS]

The plan is built (``tuner/cuda/build.py``). Needs numpy, ml_dtypes, torch and the driver. A child process does the work
and says line by line what it did; if a kernel takes it down or hangs, another one goes on behind that kernel.
"""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# A child that says nothing for so long hangs; torch.compile takes its time with the first operators.
SILENCE_S = 40
# So many lost kernels, and no more are tried that wait for the tensor memory unit.
LOST = 4


def run(folder: Path, out: Path, seconds: float) -> None:
    """Run the plan in ``folder`` until it is done or the time is up, and write what was found to ``out``."""
    deadline = time.monotonic() + seconds
    lines: list[dict[str, Any]] = []
    skip: list[str] = []
    while time.monotonic() < deadline:
        done = sorted({line["case"] for line in lines if line["event"] == "case"})
        # Each lost process costs seconds: after a few, those kernels are left out that a run most likely loses.
        request = {
            "folder": str(folder), "done": done, "skip": skip, "boxes": len(skip) < LOST,
            "seconds": deadline - time.monotonic(),
        }  # fmt: skip
        ended, last = _child(request, lines, deadline)
        out.write_text(json.dumps(lines))
        if ended or last is None:
            break
        skip.append(last)
        lines.append({"event": "lost", "at": last})
        print(f"lost at {last}", flush=True)
    print(f"{sum(line['event'] == 'case' for line in lines)} cases in {out}", flush=True)


def _child(request: dict[str, Any], lines: list[dict[str, Any]], deadline: float) -> tuple[bool, str | None]:
    """Whether a child got to the end, and what it was at when it last said something."""
    command = [sys.executable, "-u", "-m", "tuner.cuda.child"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(request).encode())
    process.stdin.close()
    selector = selectors.DefaultSelector()
    selector.register(process.stdout, selectors.EVENT_READ)
    last, rest = None, b""
    try:
        while selector.select(max(0.0, min(SILENCE_S, deadline - time.monotonic()))):
            read = process.stdout.read1(1 << 20)  # type: ignore[attr-defined]
            if not read:
                return process.wait() == 0, last
            *whole, rest = (rest + read).split(b"\n")
            for text in whole:
                if not text.startswith(b"{"):
                    print(text.decode(), flush=True)
                    continue
                line = json.loads(text)
                if line["event"] == "at":
                    last = line["at"]
                else:
                    lines.append(line)
        return time.monotonic() >= deadline, last
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """The command above; a third argument is the most seconds to take."""
    run(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 200.0)


if __name__ == "__main__":
    main()
