"""Compile schedules for use: one as a kernel in this process, those of a model into a bundle."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schedules.lower import PREPARE, lower, prepared
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target
from targets.errors import HeadstartError
from tuner.frontend.model import Model
from tuner.task import DEFAULT, Task
from tuner.tasks import known_tasks, policy_for
from tuner.toolchain import toolchain
from tuning_db import bundle, manifest
from tuning_db.bundle import Manifest
from tuning_db.kernel import Kernel, Layout, use_threads
from tuning_db.place import replacing
from tuning_db.records import Policy
from tuning_db.signature import KernelArgument
from tuning_db.store import Store

if TYPE_CHECKING:
    from tvm.runtime import Executable

LIBRARY = "kernels.so"


@dataclass(frozen=True)
class Built:
    """A bundle that was built: where it is, the digest that names it, and what it says of itself."""

    path: Path
    digest: str
    manifest: Manifest


def compile_kernel(workload: Workload, schedule: Schedule, target: Target) -> Kernel:
    """Compile a schedule in this process, ready to be called; ``target`` must be the chip it runs on.

    Raises:
        InputError: the schedule does not fit the workload and target.
        HeadstartError: TVM or LLVM cannot compile it.
    """
    use_threads(target.cores)
    compiled, made = _compile(workload, schedule, target, "main")
    module = compiled.jit()
    layout = Layout(made, module["main" + PREPARE]) if made else None
    name = f"{workload.operator} {workload.label}"
    return Kernel(name, _arguments(workload), module["main"], _weights(workload), layout)


def build_bundle(
    store: Store,
    model: Model,
    target: Target,
    destination: Path,
    listener: Callable[[Workload], None] = lambda workload: None,
    cache: str | None = None,
) -> Built:
    """Compile the champion of every workload of a model into a bundle.

    Champions are those of exactly this target, toolchain and policy. A workload without one is compiled with its
    default schedule, and the manifest says so.

    Args:
        store: where the champions are; nothing is written to it.
        model: at the step to build for.
        target: chip to build for.
        destination: directory to make; a bundle that is there is replaced once the new one is whole.
        listener: called with each workload before it is compiled.
        cache: of the policy, ``warm`` or ``cold``; the phase's own if not said.

    Raises:
        InputError: the destination is there and not a bundle, or cannot be written.
        HeadstartError: nothing to compile, a chip that this machine cannot link for, no C compiler to link with, or a
            schedule that does not compile.
    """
    _check_linkable(target)
    policy = policy_for(model.step.phase, target, cache)
    tasks = known_tasks(store, model, target, policy)
    if not tasks:
        raise HeadstartError(f"model {model.name} has no operator that Headstart has kernels for")
    with replacing(destination, bundle.is_bundle) as work:
        with tempfile.TemporaryDirectory() as objects:
            kernels, files = [], []
            for task in tasks:
                listener(task.workload)
                described = _describe(store, model, task)
                compiled, made = _compile(task.workload, task.champion or DEFAULT, target, described.function)
                kernels.append(replace(described, prepared=made))
                files.append(f"{objects}/{described.function}.o")
                compiled.mod.write_to_file(files[-1])
            _link(work / LIBRARY, files)
        listed = _manifest(model, target, policy, kernels)
        (work / bundle.MANIFEST).write_text(listed.dumps())
        digest = bundle.write_sums(work)
    return Built(destination, digest, listed)


def _manifest(model: Model, target: Target, policy: Policy, kernels: Sequence[manifest.BundleKernel]) -> Manifest:
    tools = toolchain(target)
    return Manifest(
        schema=manifest.SCHEMA,
        model=manifest.BundleModel(model.name, model.source, dict(vars(model.step))),
        target=manifest.BundleTarget(target.fingerprint, target.name, _spec(target)),
        toolchain=manifest.BundleToolchain(tools.id, dict(tools.versions)),
        policy=manifest.BundlePolicy(policy.id, **policy.to_json()),
        library=LIBRARY,
        kernels=tuple(kernels),
        missing=_missing(model),
    )


def _describe(store: Store, model: Model, task: Task) -> manifest.BundleKernel:
    """What the manifest says of one kernel, but for how it lays out weights, which compiling tells."""
    workload, schedule = task.workload, task.champion or DEFAULT
    trial = store.champion(task.key)
    provenance = manifest.Provenance(trial.id, trial.author, trial.machine, trial.created) if trial else None
    return manifest.BundleKernel(
        names=tuple(dict.fromkeys(op.name for op in model.ops if op.tunable and op.workload == workload)),
        workload=workload.id,
        operator=workload.operator,
        label=workload.label,
        params=dict(workload.params),
        function=workload.id,
        arguments=_arguments(workload),
        weights=_weights(workload),
        prepared=(),
        schedule=manifest.BundleSchedule(schedule.id, schedule.space, schedule.version, dict(schedule.config)),
        tuned=trial is not None,
        seconds=task.champion_s,
        default_seconds=task.default_s,
        provenance=provenance,
        calls=task.calls,
    )


def _arguments(workload: Workload) -> tuple[KernelArgument, ...]:
    roles = ["input"] * len(workload.input_arguments) + ["output"] * workload.outputs
    return tuple(
        KernelArgument(argument.name, role, argument.shape, argument.dtype)
        for argument, role in zip(workload.arguments, roles, strict=True)
    )


def _weights(workload: Workload) -> tuple[str, ...]:
    return tuple(workload.arguments[at].name for at in workload.weights)


def _missing(model: Model) -> dict[str, int]:
    """Operators that Headstart does not have, with their calls a step."""
    missing: dict[str, int] = {}
    for op in model.ops:
        if not op.tunable:
            missing[op.operator] = missing.get(op.operator, 0) + op.calls
    return missing


def _spec(target: Target) -> dict[str, Any]:
    """The target without its peaks, which say nothing of the code and differ from one measurement to the next."""
    spec = {field.name: getattr(target, field.name) for field in fields(target) if field.name != "peaks"}
    return spec | {"tvm": dict(target.tvm), "features": list(target.features)}


def _compile(
    workload: Workload, schedule: Schedule, target: Target, name: str
) -> tuple[Executable, tuple[KernelArgument, ...]]:
    """The code of a schedule, and the arrays it lays out weights in."""
    import tvm

    try:
        module = lower(workload, schedule, target, name)
        made = tuple(KernelArgument(a.name, "prepared", a.shape, a.dtype) for a in prepared(workload, module, name))
        return tvm.compile(module, target=target.to_tvm()), made
    except HeadstartError:
        raise
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise HeadstartError(
            f"{workload.operator} {workload.label} ({workload.id}) does not compile with schedule {schedule.id} "
            f"for {target.name}: {lines[-1].strip()[:300]}"
        ) from error


def _check_linkable(target: Target) -> None:
    """The compiler that links is this machine's own, so only its architecture is possible."""
    here = platform.machine().replace("AMD64", "x86_64")
    arch = str(target.tvm.get("mtriple", here)).partition("-")[0] if target.kind == "llvm" else target.kind
    if arch != here:
        raise HeadstartError(
            f"cannot build a bundle for {target.name} ({arch}) on {here} yet; build it on such a machine"
        )


def _link(library: Path, objects: Sequence[str]) -> None:
    """Link object files into a shared library with the system's C or C++ compiler.

    Raises:
        HeadstartError: there is no compiler, or it cannot link these.
    """
    from tvm.support import cc

    compiler = cc.get_cc()
    try:
        if compiler is None:
            raise FileNotFoundError
        cc.create_shared(str(library), list(objects), cc=compiler)
    except FileNotFoundError:
        found = "none was found" if compiler is None else f"{compiler} is not there"
        raise HeadstartError(
            f"linking a bundle needs a C compiler and {found}: install gcc or clang, or name one in CXX"
        ) from None
    except RuntimeError as error:
        told = [line for line in str(error).splitlines() if "error" in line and "collect2" not in line] or ["?"]
        raise HeadstartError(f"{compiler} cannot link the kernels: {told[-1].strip()[:300]}") from None
