"""The devices of a cluster that are the target, as nodes join and leave."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from targets import Target
from targets.errors import HeadstartError, InputError, first_line
from tuner.backends import devices
from tuner.cluster.builder import build
from tuner.cluster.connection import LOCAL, connected, resource
from tuner.cluster.device import RayDevice
from tuner.cluster.measurer import Measurer
from tuner.executor import DeviceStatus, Limits
from tuner.local_executor import limits_for
from tuner.toolchain import toolchain
from tuning_db.records import Policy

# Seconds between two looks at the nodes; after which a measurer that was lost is started again; without any device
# after which a job that had some gives up.
LOOK_S, AGAIN_S, PATIENCE_S = 0.5, 2.0, 600.0
# Measurers in a row that may be lost without a trial before a place is left alone.
TRIES = 5


@dataclass(eq=False)
class _Place:
    """Room for a measurer on a node: one for each device that the node says it has.

    Attributes:
        actor, begun: the measurer, and its answer to come.
        device: once it is ready.
        refused: why this place is not used.
        losses: measurers lost in a row, none of which made a trial.
        again: when the next one may be started, by the monotonic clock.
    """

    node: str
    machine: str
    actor: Any = None
    begun: Any = None
    device: RayDevice | None = None
    refused: str = ""
    losses: int = 0
    again: float = 0.0


class RayExecutor:
    """Every device of a cluster that is the target; used as a context manager.

    Args:
        address: ``HOST:PORT`` of the cluster's head, or ``local`` for one of this machine alone.

    Raises:
        HeadstartError: the cluster cannot be reached.
    """

    elastic = True
    measurer: type = Measurer

    def __init__(self, address: str, target: Target, policy: Policy, limits: Limits | None = None) -> None:
        self.address, self.target, self.policy = address, target, policy
        self.limits = limits or limits_for(target)
        self.versions = dict(toolchain(target).versions)
        self._places: dict[tuple[str, int], _Place] = {}
        self._builders = False
        self._looked = self._last = 0.0
        self._had = False
        self._stack = ExitStack()

    def __enter__(self) -> RayExecutor:
        carried = {resource(self.target): float(len(devices(self.target)))} if self.address == LOCAL else {}
        self.ray = self._stack.enter_context(connected(self.address, carried))
        self._measurer = self.ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)(self.measurer)
        self._build = self.ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(build)
        self._last = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        for place in self._places.values():
            self._end(place)
        self._stack.close()

    def devices(self) -> Sequence[RayDevice]:
        """Those whose measurers are ready now.

        Raises:
            HeadstartError: no node has such a chip, every one was refused, or all have been away for long.
        """
        now = time.monotonic()
        lost = any(place.device and place.device.gone for place in self._places.values())
        if lost or now - self._looked >= LOOK_S:
            self._looked = now
            self._look(now)
        ready = [place.device for place in self._places.values() if place.device is not None]
        if ready:
            self._last, self._had = now, True
        elif not any(not place.refused for place in self._places.values()):
            self._nobody(now)
        return ready

    def status(self) -> list[DeviceStatus]:
        """What each device does, by machine."""
        found = [_status(place) for place in list(self._places.values())]
        return sorted(found, key=lambda status: (status.machine, status.device))

    def _nobody(self, now: float) -> None:
        """Nothing can be measured now: an error where nothing is to be hoped for."""
        if self._had and now - self._last < PATIENCE_S:
            return
        name, reasons = self.target.name, list(dict.fromkeys(place.refused for place in self._places.values()))
        if reasons:
            raise HeadstartError(f"no {name} of the cluster at {self.address} can be used: {'; '.join(reasons)}")
        raise InputError(
            f"no node of the cluster at {self.address} has {name}: "
            f"run `headstart worker --ray {self.address}` on a machine that has one"
        )

    def _look(self, now: float) -> None:
        """Take up what changed: nodes, and measurers that are ready, refused or lost."""
        try:
            nodes = [node for node in self.ray.nodes() if node["Alive"]]
        except Exception as error:
            raise HeadstartError(f"the cluster at {self.address} is gone: {first_line(error)}") from None
        self._builders = any(node["Resources"].get("CPU", 0) >= 1 for node in nodes)
        here = {}
        for node in nodes:
            for at in range(int(node["Resources"].get(resource(self.target), 0))):
                here[node["NodeID"], at] = node["NodeManagerHostname"]
        for key in [key for key in self._places if key not in here]:
            place = self._places.pop(key)
            if place.device is not None:
                place.device.gone = place.device.gone or "its node left"
        for key, machine in here.items():
            place = self._places.setdefault(key, _Place(key[0], machine))
            self._move(place, now)

    def _move(self, place: _Place, now: float) -> None:
        """Bring one place on, as far as that goes without waiting."""
        if place.device is not None:
            place.device.builders = self._builders
            if place.device.gone:
                self._lost(place, place.device.gone, now)
        elif place.begun is not None:
            ready, _ = self.ray.wait([place.begun], timeout=0)
            if ready:
                self._begun(place, now)
        elif not place.refused and now >= place.again:
            place.actor = self._measurer.options(
                resources={resource(self.target): 1}, scheduling_strategy=self._on(place.node)
            ).remote(self._job())
            place.begun = place.actor.begin.remote()

    def _begun(self, place: _Place, now: float) -> None:
        try:
            answer = json.loads(self.ray.get(place.begun))
        except self.ray.exceptions.RayError as error:
            self._lost(place, first_line(error), now)
            return
        place.begun = None
        if "refused" in answer:
            place.refused = answer["refused"]
            self._end(place)
            return
        spec = self.target.spec()
        place.device = RayDevice(
            self.ray, answer["name"], answer["machine"], place.node, place.actor, self.limits, spec, self.versions,
            self._build, self._builders,
        )  # fmt: skip

    def _lost(self, place: _Place, reason: str, now: float) -> None:
        """Start anew a little later, unless it never comes to anything."""
        made = place.device.trials if place.device is not None else 0
        place.losses = 1 if made else place.losses + 1
        self._end(place)
        place.device = place.begun = None
        place.again = now + AGAIN_S
        if place.losses >= TRIES:
            place.refused = f"{TRIES} measurers in a row were lost on {place.machine}, the last: {reason}"

    def _end(self, place: _Place) -> None:
        if place.actor is not None:
            self.ray.kill(place.actor)
            place.actor = None

    def _on(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node, soft=False)

    def _job(self) -> str:
        """What a measurer has to know."""
        asked = {"target": self.target.spec(), "policy": self.policy.to_json(), "versions": self.versions}
        return json.dumps({**asked, "limits": asdict(self.limits)})


def _status(place: _Place) -> DeviceStatus:
    device = place.device
    if device is not None:
        state = "lost" if device.gone else "measuring" if device.doing else "ready"
        detail = device.gone or device.doing or device.last
        return DeviceStatus(device.machine, device.name, state, device.trials, device.utilisation, detail)
    state = "refused" if place.refused else "starting" if place.begun is not None else "lost"
    return DeviceStatus(place.machine, "", state, 0, 0.0, place.refused)
