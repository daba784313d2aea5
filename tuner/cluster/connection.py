"""Finding a Ray cluster, and what its nodes say they have."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from targets import Target
from targets.errors import HeadstartError, InputError, MissingExtra, first_line

# Seconds that the head of a cluster may take to answer at all.
REACH_S = 5.0
LOCAL = "local"
# What Ray is told before it is loaded: to keep to itself what it would tell and ask of the world, and to leave the
# devices that a process sees as they are.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
}


def resource(target: Target) -> str:
    """The custom resource that nodes with such a chip carry, one for each device."""
    return f"headstart:{target.fingerprint}"


def check_address(address: str) -> None:
    """Find out quickly whether somebody listens there.

    Raises:
        InputError: it is no address.
        HeadstartError: nobody answers.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise InputError(f"{address!r} is no address of a Ray cluster: write HOST:PORT, as 10.0.0.7:6379, or local")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()
    except OSError as error:
        reason = error.strerror or str(error) or "no answer"
        raise HeadstartError(
            f"no Ray cluster can be reached at {address}: {reason}; start one there with `ray start --head`"
        ) from None


@contextmanager
def connected(address: str, resources: Mapping[str, float]) -> Iterator[Any]:
    """Connect this process to a cluster; the module ``ray``.

    Args:
        address: ``HOST:PORT``, or ``local`` for a cluster of this machine and process alone.
        resources: what this machine carries in a local one.

    Raises:
        MissingExtra: Ray is not installed.
        HeadstartError: no cluster can be reached, or it is of another version of Ray or Python.
    """
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
    try:
        import ray
    except ImportError:
        raise MissingExtra("a Ray cluster", "cluster") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    told = {"log_to_driver": False, "configure_logging": False}
    try:
        if address == LOCAL:
            # The CPUs of this machine are what is measured: nothing is built beside that.
            ray.init(address=LOCAL, num_cpus=0, resources=dict(resources), include_dashboard=False, **told)
        else:
            check_address(address)
            ray.init(address=address, **told)
    except HeadstartError:
        raise
    except Exception as error:
        raise HeadstartError(f"the Ray cluster at {address} cannot be joined: {first_line(error)}") from None
    try:
        yield ray
    finally:
        ray.shutdown()
