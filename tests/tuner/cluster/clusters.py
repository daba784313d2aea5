"""Clusters of several nodes on one machine, whose Python processes know the chips of ``chips``."""

from __future__ import annotations

import os
import runpy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from targets import Target, detect, resolve
from tuner.cluster.connection import ENVIRONMENT, resource

CHIPS = Path(__file__).parent / "chips"
SECOND: Target = runpy.run_path(str(CHIPS / "backends" / "second.py"))["chip"]()


@contextmanager
def chips(*folders: Path) -> Iterator[None]:
    """This process and those it starts know the chips, and what is in other folders with a ``sitecustomize``."""
    import tuner.backends

    path = os.pathsep.join([*map(str, (CHIPS, *folders)), os.environ.get("PYTHONPATH", ".")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        patch.setattr(tuner.backends, "__path__", [*tuner.backends.__path__, str(CHIPS / "backends")])
        tuner.backends._makers.cache_clear()
        yield
    tuner.backends._makers.cache_clear()


# A chip of another make, which a node may claim to have; no machine has it.
CLAIMED = replace(detect.host(), name="claimed", vector_bits=64)


def chip(name: str) -> Target:
    """A chip of these tests, or any other."""
    return {"second": SECOND, "claimed": CLAIMED}.get(name) or resolve(name)


def carrying(devices: Mapping[str, int]) -> dict[str, float]:
    """The resources of a node with so many devices of each chip."""
    return {resource(chip(name)): float(number) for name, number in devices.items()}


@contextmanager
def cluster(*nodes: Mapping[str, float], cpus: int = 2) -> Iterator[Any]:
    """A head that only builds, and a node for each mapping of resources, its ``workers`` in this order."""
    os.environ.update(ENVIRONMENT)
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, "include_dashboard": False})
    try:
        made.workers = [made.add_node(num_cpus=0, resources=dict(resources)) for resources in nodes]
        yield made
    finally:
        made.shutdown()
