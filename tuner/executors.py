"""Which executor a job gets: the devices of this machine, or those of a cluster."""

from __future__ import annotations

from contextlib import AbstractContextManager

from targets import Target
from tuner.executor import Executor
from tuner.local_executor import LocalExecutor
from tuning_db.records import Policy


def executor_for(target: Target, policy: Policy, ray: str | None = None) -> AbstractContextManager[Executor]:
    """An executor for a target, to be used as a context manager.

    Args:
        ray: address of a Ray cluster, or ``local`` for one of this machine's own; None for this machine without Ray.

    Raises:
        HeadstartError: this machine, or the cluster, has no such chip, or the cluster cannot be reached.
    """
    if ray is None:
        return LocalExecutor(target, policy)
    from tuner.cluster.executor import RayExecutor

    return RayExecutor(ray, target, policy)
