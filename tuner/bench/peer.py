"""The process of one peer: answers requests about workloads, and otherwise sleeps on a read.

Reads one JSON request a line on standard input and answers each with one JSON line on standard output. Run by
``tuner/bench/process.py`` as ``python -m tuner.bench.peer MODULE``.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from contextlib import suppress

# PR_SET_PDEATHSIG of Linux's prctl.
SIGNAL_WHEN_PARENT_ENDS = 1


def main() -> None:
    """Keep standard output for replies: whatever a library prints goes to standard error."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(SIGNAL_WHEN_PARENT_ENDS, signal.SIGKILL)
    module = sys.argv[1]
    if not module.startswith("torch"):
        # TVM imports torch where it is installed: seconds, and a pool of threads that nobody here uses.
        sys.modules["torch"] = None  # type: ignore[assignment]
    from targets import Target, detect, threads
    from tuner.bench.server import serve, server_of

    if module in ("headstart", "metaschedule", "roof"):
        threads.bind(detect.cpus())
    target = Target.from_spec(json.loads(sys.stdin.readline()))
    server = server_of(module, target)
    replies.write(json.dumps({"ready": True}) + "\n")
    replies.flush()
    serve(server, sys.stdin, replies)


if __name__ == "__main__":
    main()
