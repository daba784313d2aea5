"""What runs trials, seen from a job: an executor has devices, a device loads a workload, a session tries schedules."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target
from targets.errors import HeadstartError
from tuning_db.records import Key, Policy, Status, Trial


@dataclass(frozen=True)
class Limits:
    """Seconds that a stage of a trial may take before the worker is killed.

    Attributes:
        build: scheduling and compiling; a few candidates compile for minutes and are never the best.
        run: the first call and the timed calls.
        load: starting a worker, making inputs, computing the reference.
    """

    build: float = 5.0
    run: float = 20.0
    load: float = 300.0

    def of(self, schedule: Schedule) -> tuple[float, float, float]:
        """Of the stages of a trial: building, the first call, the timed calls."""
        # The default schedule of a big workload may take seconds a call; a challenger that slow has lost already.
        least = self.load if schedule.space == "default" else 0.0
        build, run = max(self.build, least), max(self.run, least)
        return build, run, run


@dataclass(frozen=True)
class Outcome:
    """What came of building and timing one schedule; fields as in ``tuning_db.records.Trial``.

    Attributes:
        ratios: samples over the incumbent's, pair by pair as they were timed; empty where there was none.
        notes: what else the trial's evidence is to say: on which ``device`` it ran, when it ``began`` and ``ended``
            (seconds since 1970, by the clock of the machine that has the device), and what was out of the ordinary.
    """

    status: Status
    samples: tuple[float, ...] = ()
    error: str = ""
    build_s: float = 0.0
    ratios: tuple[float, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    def trial(self, key: Key, schedule: Schedule, **rest: Any) -> Trial:
        """The record of it; ``rest`` are fields of ``Trial`` that say who, where and what else."""
        return Trial(
            key=key,
            schedule=schedule.id,
            status=self.status,
            samples=self.samples,
            median=self.median,
            spread=self.spread,
            error=self.error,
            build_s=self.build_s,
            **rest,
        )

    @property
    def median(self) -> float | None:
        """Median of the samples in seconds."""
        return statistics.median(self.samples) if self.samples else None

    @property
    def spread(self) -> float | None:
        """Interquartile range of the samples in seconds."""
        if not self.samples:
            return None
        if len(self.samples) == 1:
            return 0.0
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return high - low


class DeviceGone(HeadstartError):
    """A device is gone, whatever it was at: nothing is known of the schedule in flight, which is to be tried again."""


class Session(Protocol):
    """One workload loaded on a device, ready for trials.

    Every method blocks until it is done, and raises ``DeviceGone`` where the device is gone. What a schedule does to
    the process that runs it is no loss of the device but the outcome of its trial.
    """

    def incumbent(self, schedule: Schedule) -> Outcome:
        """Time the champion again, now, and keep it to time others against."""

    def ahead(self, schedules: Sequence[Schedule]) -> None:
        """Say which schedules will be tried next, so that they can be built before it is their turn."""

    def trial(self, schedule: Schedule) -> Outcome:
        """Build, run, check and time a schedule, in turn with the incumbent if there is one."""

    def crown(self) -> None:
        """Make the last good trial the incumbent."""


class Device(Protocol):
    """Something that runs kernels, one at a time.

    Attributes:
        name: which of its machine's it is.
        machine: that it is in, as the network calls it.
    """

    @property
    def name(self) -> str: ...

    @property
    def machine(self) -> str: ...

    def open(self, workload: Workload, seed: int) -> Session:
        """Load a workload with inputs drawn from ``seed``.

        Raises:
            HeadstartError: its arguments do not fit into memory, or a worker cannot be started.
            DeviceGone: the device is gone.
        """


@dataclass(frozen=True)
class DeviceStatus:
    """What a device does, for people.

    Attributes:
        machine, device: which; no device as long as none is taken.
        state: ``starting``, ``ready``, ``measuring``, ``lost`` or ``refused``.
        trials: measurements that it made for this job.
        utilisation: what part of the time since it was ready it measured.
        detail: what it does, or why it does nothing.
    """

    machine: str
    device: str
    state: str
    trials: int
    utilisation: float
    detail: str

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return asdict(self)


class Executor(Protocol):
    """The devices of one kind of chip.

    Attributes:
        elastic: whether devices may come and go.
    """

    @property
    def target(self) -> Target: ...

    @property
    def policy(self) -> Policy: ...

    @property
    def elastic(self) -> bool: ...

    def devices(self) -> Sequence[Device]:
        """Those there are now, the same objects as long as they are there.

        Raises:
            HeadstartError: there is none, and none is to be expected.
        """

    def status(self) -> Sequence[DeviceStatus]:
        """What each device does; may be asked by any thread, and is empty where all are of this machine."""
