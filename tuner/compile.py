"""Compile schedules for use: one as a kernel in this process, those of a model into a bundle."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from headstart_runtime import bundle, manifest
from headstart_runtime.argument import KernelArgument
from headstart_runtime.digests import write_sums
from headstart_runtime.kernel import Kernel, Layout
from headstart_runtime.manifest import Manifest
from headstart_runtime.row_plan import BundleFamily, check_families
from schedules.canonical import canonical
from schedules.lower import PREPARE, lower, prepared
from schedules.operator import make_operator
from schedules.rows import sliced
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target, detect
from targets.digest import digest
from targets.errors import HeadstartError, InputError
from targets.threads import environment
from tuner.any_rows import AnyRows, any_name, any_rows
from tuner.link import architecture, check_linkable, link
from tuner.task import DEFAULT
from tuner.toolchain import chip_toolchain
from tuning_db.place import replacing
from tuning_db.selection import SelectedKernel, Selection

if TYPE_CHECKING:
    import tvm
    from tvm.runtime import Executable

LIBRARY = "kernels.so"


@dataclass(frozen=True)
class Built:
    """A bundle that was built: where it is, the digest that names it, and what it says of itself."""

    path: Path
    digest: str
    manifest: Manifest


@dataclass(frozen=True)
class _Compiled:
    """The code of a schedule, the arrays it lays out weights in, and the id of how they lie there."""

    code: Executable
    prepared: tuple[KernelArgument, ...]
    layout: str | None


def compile_kernel(workload: Workload, schedule: Schedule, target: Target) -> Kernel:
    """Compile a schedule in this process, ready to be called; ``target`` must be the chip it runs on.

    Raises:
        InputError: the schedule does not fit the workload and target.
        HeadstartError: TVM or LLVM cannot compile it.
    """
    # Compiled in process, kernels run on TVM's own pool, which reads this when the first one runs.
    for name, value in environment(target.cores).items():
        os.environ.setdefault(name, value)
    compiled = _compile(workload, schedule, target, "main")
    module = compiled.code.jit()
    layout = Layout(compiled.prepared, module["main" + PREPARE], compiled.layout) if compiled.layout else None
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
        InputError: the destination is there and not a bundle, or cannot be written; a workload that is unknown here; a
            family that does not fit its kernels.
        HeadstartError: a chip that this machine cannot link for, another toolchain than the selection's, no C compiler
            to link with, a schedule that does not compile, or a function for any number of rows that is not made here.
    """
    _check_buildable(selection, target)
    with replacing(destination, bundle.is_bundle) as work:
        with tempfile.TemporaryDirectory() as objects:
            kernels, files = [], []
            for selected in selection.kernels:
                workload = workload_of(selected)
                listener(workload)
                described = _describe(selected, workload)
                schedule = selected.candidates[0].schedule if selected.candidates else DEFAULT
                compiled = _compile(workload, schedule, target, described.function)
                kernels.append(replace(described, prepared=compiled.prepared, layout=compiled.layout))
                files.append(f"{objects}/{described.function}.o")
                compiled.code.mod.write_to_file(files[-1])
            check_families(selection.families, kernels)
            for family in selection.families:
                for function, program in _programs(family, target).items():
                    files.append(f"{objects}/{function}.o")
                    _code(program.module(function), target).mod.write_to_file(files[-1])
            link(work / LIBRARY, files, selection.policy.threads, target)
        listed = _manifest(selection, target, kernels)
        (work / bundle.MANIFEST).write_text(listed.dumps())
        named = write_sums(work)
    return Built(destination, named, listed)


def _check_buildable(selection: Selection, target: Target) -> None:
    check_linkable(target)
    if target.fingerprint != selection.target:
        raise HeadstartError(
            f"the selection is for {selection.target_name} ({selection.target}), "
            f"and not for {target.name} ({target.fingerprint})"
        )
    if (here := chip_toolchain(target)).id != selection.toolchain.id:
        asked, found = (", ".join(f"{k} {v}" for k, v in t.versions.items()) for t in (selection.toolchain, here))
        raise HeadstartError(f"what was selected was tuned with {asked}; this machine has {found}")
    assert all(len(kernel.candidates) <= 1 for kernel in selection.kernels)


def workload_of(selected: SelectedKernel) -> Workload:
    """The computation that a selection names; that it is the very one follows from its id.

    Raises:
        InputError: an operator that is unknown here, or another computation.
    """
    workload = Workload.load(selected.operator, selected.params, selected.label)
    if workload.id != selected.workload:
        raise InputError(f"{selected.operator} {selected.label} is workload {workload.id}, not {selected.workload}")
    return workload


def _programs(family: BundleFamily, target: Target) -> dict[str, AnyRows]:
    """The programs of a family for any number of rows, made again, by the names of their functions.

    Raises:
        InputError: the operator is not known here, or has other rows.
        HeadstartError: one of the programs is not made here.
    """
    operator = make_operator(family.operator, {**family.params, family.row_parameter: family.largest})
    if (family.row_parameter, family.sliced) != (operator.row_parameter, sliced(operator)):
        raise InputError(f"{', '.join(family.names)}: {operator.name} has no rows as the selection says it has")
    if not family.any:
        return {}
    made = {
        (one.first, one.last, any_name(operator, one.first)): one for one in any_rows(operator, family.largest, target)
    }
    found = {}
    for one in family.any:
        program = made.get((one.first, one.last, one.function))
        if program is None:
            raise HeadstartError(
                f"{', '.join(family.names)}: the selection has a function {one.function} for {one.first} to {one.last} "
                "rows, which the default schedule makes otherwise here; select again"
            )
        found[one.function] = program
    return found


def _manifest(selection: Selection, target: Target, kernels: Sequence[manifest.BundleKernel]) -> Manifest:
    return Manifest(
        schema=manifest.SCHEMA,
        model=manifest.BundleModel(selection.model, selection.source, dict(selection.step)),
        target=_target(target),
        toolchain=manifest.BundleToolchain(selection.toolchain.id, dict(selection.toolchain.versions)),
        policy=manifest.BundlePolicy(selection.policy.id, **selection.policy.to_json()),
        library=LIBRARY,
        kernels=tuple(kernels),
        missing=dict(selection.missing),
        families=selection.families,
    )


def _describe(selected: SelectedKernel, workload: Workload) -> manifest.BundleKernel:
    """What the manifest says of one kernel, but for how it lays out weights, which compiling tells."""
    chosen = selected.candidates[0] if selected.candidates else None
    schedule = chosen.schedule if chosen else DEFAULT
    provenance = None
    if chosen:
        who = chosen.author, chosen.machine, chosen.created
        provenance = manifest.Provenance(chosen.trial, chosen.tier, *who)
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
        layout=None,
        schedule=manifest.BundleSchedule(schedule.id, schedule.space, schedule.version, dict(schedule.config)),
        tuned=chosen is not None,
        seconds=chosen.seconds if chosen else None,
        default_seconds=chosen.default_seconds if chosen else None,
        provenance=provenance,
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


def _target(target: Target) -> manifest.BundleTarget:
    """What the manifest says of the chip; not its peaks, which say nothing of the code."""
    kept = {field.name for field in fields(manifest.BundleTarget)} - {"arch", "instructions"}
    return manifest.BundleTarget(
        **{name: getattr(target, name) for name in kept} | {"tvm": dict(target.tvm)},
        arch=architecture(target),
        instructions=detect.instructions(target),
    )


def layout_of(workload: Workload, schedule: Schedule, target: Target) -> str | None:
    """Id of how a schedule lays the weights out, None where it takes them as they are; compiles nothing.

    Raises:
        HeadstartError: TVM cannot apply the schedule.
    """
    if not workload.weights:
        return None
    with _explained(workload, schedule, target):
        return _layout(workload, lower(workload, schedule, target), "main")


def _layout(workload: Workload, module: tvm.IRModule, name: str) -> str | None:
    return digest("l", canonical(module[name + PREPARE])) if prepared(workload, module, name) else None


def _compile(workload: Workload, schedule: Schedule, target: Target, name: str) -> _Compiled:
    with _explained(workload, schedule, target):
        module = lower(workload, schedule, target, name)
        made = tuple(KernelArgument(a.name, "prepared", a.shape, a.dtype) for a in prepared(workload, module, name))
        return _Compiled(_code(module, target), made, _layout(workload, module, name))


def _code(module: tvm.IRModule, target: Target) -> Executable:
    import tvm

    return tvm.compile(module, target=target.to_tvm())


@contextmanager
def _explained(workload: Workload, schedule: Schedule, target: Target) -> Iterator[None]:
    """Say in one line what TVM or LLVM say in many."""
    try:
        yield
    except HeadstartError:
        raise
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise HeadstartError(
            f"{workload.operator} {workload.label} ({workload.id}) does not compile with schedule {schedule.id} "
            f"for {target.name}: {lines[-1].strip()[:300]}"
        ) from error
