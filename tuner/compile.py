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
from targets.errors import HeadstartError, InputError
from tuner.task import DEFAULT
from tuner.toolchain import toolchain
from tuning_db import bundle, manifest
from tuning_db.bundle import Manifest
from tuning_db.kernel import Kernel, Layout, use_threads
from tuning_db.place import replacing
from tuning_db.selection import SelectedKernel, Selection
from tuning_db.signature import KernelArgument

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
    selection: Selection,
    target: Target,
    destination: Path,
    listener: Callable[[Workload], None] = lambda workload: None,
) -> Built:
    """Compile what was selected for a model into a bundle.

    A workload without a candidate is compiled with its default schedule, and the manifest says so.

    Args:
        selection: what to build, with at most one candidate a workload (``Selection.chosen``).
        target: the chip that it is for.
        destination: directory to make; a bundle that is there is replaced once the new one is whole.
        listener: called with each workload before it is compiled.

    Raises:
        InputError: the destination is there and not a bundle, or cannot be written; a workload that is unknown here.
        HeadstartError: a chip that this machine cannot link for, another toolchain than the selection's, no C compiler
            to link with, or a schedule that does not compile.
    """
    _check_buildable(selection, target)
    with replacing(destination, bundle.is_bundle) as work:
        with tempfile.TemporaryDirectory() as objects:
            kernels, files = [], []
            for selected in selection.kernels:
                workload = _workload(selected)
                listener(workload)
                described = _describe(selected, workload)
                schedule = selected.candidates[0].schedule if selected.candidates else DEFAULT
                compiled, made = _compile(workload, schedule, target, described.function)
                kernels.append(replace(described, prepared=made))
                files.append(f"{objects}/{described.function}.o")
                compiled.mod.write_to_file(files[-1])
            _link(work / LIBRARY, files)
        listed = _manifest(selection, target, kernels)
        (work / bundle.MANIFEST).write_text(listed.dumps())
        digest = bundle.write_sums(work)
    return Built(destination, digest, listed)


def _check_buildable(selection: Selection, target: Target) -> None:
    _check_linkable(target)
    if target.fingerprint != selection.target:
        raise HeadstartError(
            f"the selection is for {selection.target_name} ({selection.target}), "
            f"and not for {target.name} ({target.fingerprint})"
        )
    if (here := toolchain(target)).id != selection.toolchain.id:
        asked, found = (", ".join(f"{k} {v}" for k, v in t.versions.items()) for t in (selection.toolchain, here))
        raise HeadstartError(f"what was selected was tuned with {asked}; this machine has {found}")
    assert all(len(kernel.candidates) <= 1 for kernel in selection.kernels)


def _workload(selected: SelectedKernel) -> Workload:
    """The computation that a selection names; that it is the very one follows from its id.

    Raises:
        InputError: an operator that is unknown here, or another computation.
    """
    workload = Workload.load(selected.operator, selected.params, selected.label)
    if workload.id != selected.workload:
        raise InputError(f"{selected.operator} {selected.label} is workload {workload.id}, not {selected.workload}")
    return workload


def _manifest(selection: Selection, target: Target, kernels: Sequence[manifest.BundleKernel]) -> Manifest:
    return Manifest(
        schema=manifest.SCHEMA,
        model=manifest.BundleModel(selection.model, selection.source, dict(selection.step)),
        target=manifest.BundleTarget(target.fingerprint, target.name, _spec(target)),
        toolchain=manifest.BundleToolchain(selection.toolchain.id, dict(selection.toolchain.versions)),
        policy=manifest.BundlePolicy(selection.policy.id, **selection.policy.to_json()),
        library=LIBRARY,
        kernels=tuple(kernels),
        missing=dict(selection.missing),
    )


def _describe(selected: SelectedKernel, workload: Workload) -> manifest.BundleKernel:
    """What the manifest says of one kernel, but for how it lays out weights, which compiling tells."""
    chosen = selected.candidates[0] if selected.candidates else None
    schedule = chosen.schedule if chosen else DEFAULT
    return manifest.BundleKernel(
        names=selected.names,
        workload=workload.id,
        operator=workload.operator,
        label=workload.label,
        params=dict(workload.params),
        function=workload.id,
        arguments=_arguments(workload),
        weights=_weights(workload),
        prepared=(),
        schedule=manifest.BundleSchedule(schedule.id, schedule.space, schedule.version, dict(schedule.config)),
        tuned=chosen is not None,
        seconds=chosen.seconds if chosen else None,
        default_seconds=chosen.default_seconds if chosen else None,
        provenance=manifest.Provenance(chosen.trial, chosen.author, chosen.machine, chosen.created) if chosen else None,
        calls=selected.calls,
    )


def _arguments(workload: Workload) -> tuple[KernelArgument, ...]:
    roles = ["input"] * len(workload.input_arguments) + ["output"] * workload.outputs
    return tuple(
        KernelArgument(argument.name, role, argument.shape, argument.dtype)
        for argument, role in zip(workload.arguments, roles, strict=True)
    )


def _weights(workload: Workload) -> tuple[str, ...]:
    return tuple(workload.arguments[at].name for at in workload.weights)


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
