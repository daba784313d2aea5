"""The program in the sandbox: gives up what it does not need, and only then loads a compiler and reads requests.

Started by ``tuner/referee/sandbox.py``. Requests and answers are as in ``tuner/child.py``.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main() -> None:
    """Arguments: the scratch folder, limits as JSON, descriptors of inputs and outputs, ``confined`` or ``free``."""
    scratch, limits, given, made, how = sys.argv[1:]
    # Kernels read nothing, and what they or TVM print goes to standard error.
    requests, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    layers: dict[str, bool] = {}
    if how == "confined":
        from tuner.referee.confine import confine

        layers = confine(scratch, json.loads(limits))

    from tuner.referee.bench import Bench

    bench = Bench(int(given), int(made))
    _serve(bench, layers, requests, replies)


def _serve(bench: Any, layers: dict[str, bool], requests: Any, replies: Any) -> None:
    number = 0

    def reply(value: dict[str, Any]) -> None:
        replies.write(json.dumps({"to": number, **value}) + "\n")
        replies.flush()

    reply({"stage": "ready", "layers": layers, "unpinned": bench.unpinned})
    for line in requests:
        request = json.loads(line)
        number = request.pop("request")
        reply({"done": getattr(bench, "do_" + request.pop("do"))(**request)})
