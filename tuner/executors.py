"""Which executor a job gets: the devices of this machine, or those of a cluster."""

from __future__ import annotations

from contextlib import AbstractContextManager

from targets import Target, resolve
from targets.errors import InputError
from tuner.executor import Executor
from tuner.local_executor import LocalExecutor
from tuning_db.records import Policy


def chip_for(name: str, ray: str | None = None) -> Target:
    """The target of a name, see ``targets.resolve``; or, with a cluster, the chip that one of its nodes is.

    Raises:
        InputError: there is no such target.
        HeadstartError: the cluster cannot be reached.
    """
    try:
        return resolve(name)
    except InputError:
        if ray is None:
            raise
    from tuner.cluster.chips import chip_of_cluster

    return chip_of_cluster(ray, name)


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
