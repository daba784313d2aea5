"""Whether whoever runs a job is still there."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import psutil

# A heartbeat comes every few seconds, or at each visit of `headstart tune` to a workload, which may take minutes.
OLD_S = 900.0


def is_lost(job: Mapping[str, Any], now: float) -> bool:
    """Whether a job is said to run and nobody runs it: the process that did was killed, or its machine lost its power.

    Args:
        job: a row of the table ``job``.
        now: seconds since 1970.
    """
    if job["state"] != "running":
        return False
    if job["pid"] is None or job["host"] != platform.node():
        return bool(now - job["heartbeat"] > OLD_S)
    try:
        # Another process may have got the number since.
        return bool(psutil.Process(job["pid"]).create_time() > job["heartbeat"] + 1.0)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
