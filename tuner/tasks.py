"""From a model to its tasks: distinct workloads with their calls, and what the database knows of each."""

from __future__ import annotations

from collections.abc import Sequence

from schedules.workload import Workload
from targets import Target
from tuner.frontend.model import Model
from tuner.policy import policy_for
from tuner.task import Task, load_task, read_task
from tuner.toolchain import toolchain
from tuning_db.records import Policy, Toolchain
from tuning_db.store import Store


def register(store: Store, target: Target, policy: Policy) -> Toolchain:
    """Record the target, the policy and this machine's toolchain; returns the toolchain."""
    tools = toolchain(target)
    store.add_target(target.fingerprint, target.name, target.vendor, target.spec())
    store.add_toolchain(tools)
    store.add_policy(policy)
    return tools


def model_tasks(store: Store, model: Model, target: Target, policy: Policy | None = None) -> list[Task]:
    """One task for each distinct workload of the model that Headstart has an operator for."""
    policy = policy or policy_for(model.step.phase, target)
    tools = register(store, target, policy)
    return [load_task(store, w, target, policy, tools, calls) for w, calls in distinct(model).items()]


def step_tasks(store: Store, models: Sequence[Model], target: Target, policy: Policy) -> list[list[Task]]:
    """``model_tasks`` of a model at several steps; what they have in common is one task."""
    found: dict[str, Task] = {}
    steps = []
    for model in models:
        tasks = model_tasks(store, model, target, policy)
        steps.append([found.setdefault(task.workload.id, task) for task in tasks])
    return steps


def known_tasks(
    store: Store, model: Model, target: Target, policy: Policy | None = None, tools: Toolchain | None = None
) -> list[Task]:
    """``model_tasks`` as the database has them, with this machine's toolchain unless said; writes nothing."""
    policy, tools = policy or policy_for(model.step.phase, target), tools or toolchain(target)
    return [read_task(store, w, target, policy, tools, calls) for w, calls in distinct(model).items()]


def distinct(model: Model) -> dict[Workload, int]:
    """The workloads of the model that Headstart has an operator for, with how often a step calls each."""
    calls: dict[Workload, int] = {}
    for op in model.ops:
        if op.tunable:
            calls[op.workload] = calls.get(op.workload, 0) + op.calls
    return calls
