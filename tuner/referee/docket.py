"""A claim to judge, as a service hands it out, and what keeps a machine from judging it at all."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target, plugins
from targets.errors import HeadstartError, InputError, one_line
from targets.host import Host, host
from targets.roofline import IMPOSSIBLE, floor_seconds
from targets.units import seconds
from tuner.referee.causes import Cause
from tuner.task import traffic
from tuner.toolchain import lowering, toolchain
from tuning_db.reasons import Reason
from tuning_db.records import Policy, Toolchain
from tuning_db.screening import catalogue_by_fingerprint, check_schedule, space_versions

# Attributes of a chip that a vendor declares which a compiler may be given; others steer LLVM itself.
ATTRIBUTES = {"kind", "mtriple", "mcpu", "mattr", "num-cores"}
# Shares of the machine's memory that arguments may take: they are held twice, by each side.
SHARE = 0.2


@dataclass(frozen=True)
class Claimed:
    """A claim with all that is needed to judge it.

    Attributes:
        id, vendor, release: of the claim.
        schedule: what is claimed to take ``median`` seconds.
        workload: the server's row: ``id``, ``operator``, ``params``, ``flops``, ``bytes``, ...
        target: the chip as it was declared.
        toolchain, policy: what it was built with, and how it was timed.
        incumbent: id and schedule of the claim that leads for the same key, where that is another.
    """

    id: str
    vendor: str
    release: str
    schedule: Schedule
    median: float
    workload: Mapping[str, Any]
    target: Target
    toolchain: Toolchain
    policy: Policy
    incumbent: tuple[str, Schedule] | None = None

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Claimed:
        """Read an entry of ``GET /v1/pending``.

        Raises:
            HeadstartError: it is none.
        """
        try:
            claim, first = given["claim"], given["incumbent"]
            return cls(
                claim["id"],
                claim["vendor"],
                claim["release"],
                _schedule(claim),
                float(claim["median"]),
                given["workload"],
                Target.from_spec(given["target"]),
                Toolchain(given["toolchain"]),
                Policy(**given["policy"]),
                (first["id"], _schedule(first)) if first else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise HeadstartError(f"the service hands out what is no claim: {one_line(error)}") from None


@dataclass(frozen=True)
class Case:
    """A claim that can be judged here.

    Attributes:
        workload: made again from the server's row, by the code of this Headstart.
        target: the chip, from the catalogue or this machine rather than from the vendor where that is known.
        untimed: why it cannot be timed here; empty where it can.
        floor_s: seconds that the chip takes at least, by this Headstart's own count; None where that is not known.
        corrections: what the server's row says otherwise than this Headstart: ``[the row, here]`` by field.
    """

    claimed: Claimed
    workload: Workload
    target: Target
    untimed: str
    floor_s: float | None
    corrections: Mapping[str, Any]

    @property
    def meant(self) -> bool:
        """Whether a CPU runs what the kernel means, one thread after the other, in place of the kernel."""
        return self.target.kind == "cuda"


class Obstacle(HeadstartError):
    """A claim cannot be judged here, or is refused as it stands."""

    def __init__(self, cause: Cause, said: str) -> None:
        super().__init__(said)
        self.cause = cause


def require_judgeable(target: Target) -> None:
    """See, before anything is asked for, that claims for a chip can be judged at all.

    Raises:
        InputError: a plug-in adds the chip. What builds and runs its kernels is the plug-in's, a compiler and a driver
            that the sandbox would have to let out; and a service takes no claim with a schedule of its spaces.
    """
    if (chip := plugins.chip_of(target)) is not None:
        raise InputError(
            f"no referee can judge claims for {target.name}: its kernels are built and run by {chip.origin}"
        )


def admit(claimed: Claimed) -> Case:
    """Hold a claim against what is known here, before anything of it is built.

    Raises:
        Obstacle: it is refused, or cannot be judged by this machine.
    """
    found = check_schedule(claimed.schedule, space_versions())
    if found is not None:
        unknown = found[0] is Reason.UNKNOWN_SPACE
        raise Obstacle(Cause.UNKNOWN_SPACE if unknown else Cause.SCHEDULE_NOT_ALLOWED, found[1])
    target = _chip(claimed.target)
    here = lowering(target) if target.kind == "cuda" else toolchain(target)
    if target.kind == "cuda":
        # TVM and LLVM alone say what a kernel means.
        same = here.versions.items() <= claimed.toolchain.versions.items()
    else:
        same = here.id == claimed.toolchain.id
    if not same:
        raise Obstacle(Cause.OTHER_TOOLCHAIN, f"{_versions(claimed.toolchain)}; here {_versions(here)}")
    workload = _workload(claimed.workload)
    floor_s = _floor(workload, target, claimed)
    own = {"flops": workload.flops, "bytes": workload.bytes}
    corrections = {name: [claimed.workload[name], n] for name, n in own.items() if claimed.workload[name] != n}
    return Case(claimed, workload, target, _untimed(claimed, target), floor_s, corrections)


def _schedule(claim: Mapping[str, Any]) -> Schedule:
    return Schedule(*(claim["schedule"][name] for name in ("space", "version", "config")))


def _versions(tools: Toolchain) -> str:
    return " ".join(f"{name} {version}" for name, version in sorted(tools.versions.items()))


def _chip(declared: Target) -> Target:
    """The chip that a claim is for: this machine's, one whose code runs here, or a GPU of the catalogue, whose kernels
    are looked at for what they mean."""
    here = host()
    if declared.fingerprint == here.fingerprint:
        return here
    target = catalogue_by_fingerprint().get(declared.fingerprint, declared)
    if target.name in plugins.names():
        # Not even loaded for a stranger's asking: see ``require_judgeable``.
        raise Obstacle(Cause.OTHER_CHIP, f"{target.name} is a chip of a plug-in here; this is {here.name}")
    if target.kind == "cuda" and declared.fingerprint in catalogue_by_fingerprint():
        return target
    machine = platform.machine().replace("AMD64", "x86_64")
    arch = str(target.tvm.get("mtriple", machine)).partition("-")[0]
    if target.kind != "llvm" or arch != machine or target.vector_bits > here.vector_bits:
        raise Obstacle(Cause.OTHER_CHIP, f"{target.name}; this is {here.name}")
    if missing := sorted(set(target.features) - set(here.features)):
        raise Obstacle(Cause.OTHER_CHIP, f"{target.name} has {', '.join(missing[:5])}; this is {here.name}")
    if odd := sorted(set(target.tvm) - ATTRIBUTES):
        raise Obstacle(Cause.OTHER_CHIP, f"{target.name} is declared with {', '.join(odd[:5])}")
    return target


def _workload(row: Mapping[str, Any]) -> Workload:
    try:
        workload = Workload.load(row["operator"], row["params"], row["label"])
        found = workload.id
    except Exception as error:  # TVM's own, for a program that it cannot read
        raise Obstacle(Cause.UNKNOWN_WORKLOAD, f"{row['operator']} {row['label']}: {one_line(error)}") from None
    if found != row["id"]:
        raise Obstacle(Cause.OTHER_WORKLOAD, f"{row['operator']} {row['label']} is {found}, and not {row['id']}")
    size = sum(argument.nbytes for argument in workload.arguments)
    if size > SHARE * psutil.virtual_memory().total:
        raise Obstacle(Cause.TOO_LARGE, f"{size} bytes")
    return workload


def _floor(workload: Workload, target: Target, claimed: Claimed) -> float | None:
    """The floor, which the claim must not be below."""
    cost = (workload.flops, *traffic(workload, claimed.policy), workload.arithmetic)
    least = floor_seconds(target, *cost) if target.peaks else None
    if least is not None and claimed.median < IMPOSSIBLE * least and isinstance(target, Host):
        # The peaks may have been measured in a busy minute: before calling a time a lie, look again.
        target.measure_again()
        least = floor_seconds(target, *cost)
    if least is not None and claimed.median < IMPOSSIBLE * least:
        raise Obstacle(
            Cause.BELOW_FLOOR,
            f"{seconds(claimed.median)} claimed, {seconds(least)} at best: {workload.flops} operations and "
            f"{workload.bytes} bytes",
        )
    return least


def _untimed(claimed: Claimed, target: Target) -> str:
    here = host()
    if target.fingerprint != here.fingerprint:
        return f"it is for {target.name}, and this is {here.name}"
    policy = claimed.policy
    if policy.clock != "wall" or policy.cache not in ("warm", "cold"):
        return f"nothing here times by {policy.cache} cache and {policy.clock} clock"
    if policy.threads != here.cores:
        return f"it was timed with {policy.threads} threads, and this machine times with {here.cores}"
    return ""
