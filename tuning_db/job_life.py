"""How a job stands: what people ask of it, and whether whoever runs it is still there."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import psutil

from tuning_db.jobs import Jobs

# A heartbeat comes every few seconds, but from `headstart tune` only between trials, which may take minutes.
OLD_S = 900.0
# What was asked for, as far as both kinds of jobs keep it.
ASKED = ("model", "chip", "cache", "seconds", "trials", "within", "ray")


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


def standing(db: Jobs, job: Mapping[str, Any], now: float) -> dict[str, Any]:
    """A job with what it made so far, JSON types.

    Args:
        db: where it is.
        job: a row of the table ``job``.
        now: seconds since 1970.
    """
    spec = job["spec"]
    steps = spec.get("steps") or [step["step"] for step in spec.get("plan", {}).get("steps", ())]
    asked = {name: spec.get(name) for name in ASKED}
    asked["limits"] = {"seconds": asked.pop("seconds"), "trials": asked.pop("trials"), "within": asked.pop("within")}
    progress = job["progress"]
    if progress is None and asked["limits"]["seconds"]:
        progress = min(job["spent"] / asked["limits"]["seconds"], 1.0)
    return {
        "id": job["id"],
        **asked,
        "steps": steps,
        "state": job["state"],
        "lost": is_lost(job, now),
        "in_queue": job["queued"] is not None,
        "share": job["share"],
        "progress": 1.0 if job["state"] == "done" else progress,
        "spent_s": job["spent"],
        **db.job_trials(job["id"]),
        **{name: job[name] for name in ("queued", "started", "heartbeat", "host", "pid")},
    }
