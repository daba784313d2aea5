"""Chips that a cluster has, as their nodes recognise them: what a job can be for that runs elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from targets import Target, detect
from targets.errors import HeadstartError, InputError
from targets.host import stored_peaks
from tuner.cluster.connection import LOCAL, connected

# Seconds in which a node says what it is.
TELL_S = 60.0


def chip_of_cluster(address: str, name: str) -> Target:
    """A chip by the name or fingerprint that a node of a cluster has for its own.

    Raises:
        InputError: no node's chip is called so; those there are are named.
        HeadstartError: the cluster cannot be reached.
    """
    found: dict[str, Target] = {}
    if address != LOCAL:
        with connected(address, {}) as ray:
            found = {chip.fingerprint: chip for chip in map(Target.from_spec, _specs(ray))}
    for chip in found.values():
        if name in (chip.name, chip.fingerprint):
            return chip
    known = ", ".join(sorted(f"{chip.name} ({chip.fingerprint})" for chip in found.values())) or "none"
    raise InputError(f"no chip {name!r} in the catalogue or the cluster at {address}; the cluster has {known}")


def own_chip() -> str:
    """The chip of the node that this runs on, as JSON, with its peaks where they were measured."""
    chip = detect.host()
    return json.dumps(replace(chip, peaks=stored_peaks(chip)).spec())


def _specs(ray: Any) -> list[dict[str, Any]]:
    """What the nodes that measure say of their chips."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(own_chip)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and _measures(node)]
    where = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
    asked = [task.options(scheduling_strategy=there).remote() for there in where]
    ready, _ = ray.wait(asked, num_returns=len(asked), timeout=TELL_S) if asked else ([], [])
    try:
        return [json.loads(answer) for answer in ray.get(ready)]
    except ray.exceptions.RayError as error:
        raise HeadstartError(f"a node of the cluster does not say what chip it has: {error}") from None


def _measures(node: dict[str, Any]) -> bool:
    return any(name.startswith("headstart:") for name in node["Resources"])
