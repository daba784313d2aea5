"""The selection that the champions of a database make for a model."""

from __future__ import annotations

from dataclasses import replace

from schedules.workload import Workload
from targets import Target
from targets.errors import HeadstartError
from tuner.frontend.model import Model
from tuner.policy import policy_for
from tuner.task import Task, read_task
from tuner.tasks import known_tasks
from tuner.toolchain import chip_toolchain
from tuning_db.selection import MEASURED, Candidate, SelectedKernel, Selection
from tuning_db.store import Store


def select(store: Store, model: Model, target: Target, cache: str | None = None) -> Selection:
    """The champion of every workload of a model, of exactly this target, this machine's versions and the policy.

    A workload without one has no candidate: only its default schedule is left.

    Args:
        store: where the champions are; nothing is written to it.
        model: at the step that is wanted.
        target: chip that they are for.
        cache: of the policy, ``warm`` or ``cold``; the phase's own if not said.

    Raises:
        HeadstartError: the model has no operator that Headstart has kernels for.
    """
    policy, tools = policy_for(model.step.phase, target, cache), chip_toolchain(target)
    tasks = known_tasks(store, model, target, policy, tools)
    if not tasks:
        raise HeadstartError(f"model {model.name} has no operator that Headstart has kernels for")
    return Selection(
        model=model.name,
        source=model.source,
        step=dict(vars(model.step)),
        target=target.fingerprint,
        target_name=target.name,
        toolchain=tools,
        policy=policy,
        kernels=tuple(_kernel(store, model, task) for task in tasks),
        missing=_missing(model),
    )


def select_again(store: Store, before: Selection, target: Target) -> Selection:
    """The champions of today for the workloads of a selection that was made before."""
    tools, kernels = chip_toolchain(target), []
    for kernel in before.kernels:
        workload = Workload.load(kernel.operator, kernel.params, kernel.label)
        task = read_task(store, workload, target, before.policy, tools, kernel.calls)
        kernels.append(replace(kernel, candidates=_candidates(store, task)))
    return replace(before, toolchain=tools, kernels=tuple(kernels))


def _kernel(store: Store, model: Model, task: Task) -> SelectedKernel:
    workload = task.workload
    return SelectedKernel(
        names=tuple(dict.fromkeys(op.name for op in model.ops if op.tunable and op.workload == workload)),
        workload=workload.id,
        operator=workload.operator,
        label=workload.label,
        params=dict(workload.params),
        calls=task.calls,
        candidates=_candidates(store, task),
    )


def _candidates(store: Store, task: Task) -> tuple[Candidate, ...]:
    """The champion, unless it is of a version of its space that nobody here could build."""
    trial = store.champion(task.key)
    if trial is None or task.champion is None or task.champion_s is None:
        return ()
    return (
        Candidate(
            tier=MEASURED,
            schedule=task.champion,
            seconds=task.champion_s,
            default_seconds=task.default_s,
            trial=trial.id,
            author=trial.author,
            machine=trial.machine,
            created=trial.created,
        ),
    )


def _missing(model: Model) -> dict[str, int]:
    """Operators that Headstart does not have, with their calls a step."""
    missing: dict[str, int] = {}
    for op in model.ops:
        if not op.tunable:
            missing[op.operator] = missing.get(op.operator, 0) + op.calls
    return missing
