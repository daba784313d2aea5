"""Schedules of a MetaSchedule database, tried here like any others: built, compared with the reference, timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from schedules.workload import Workload
from targets import Target
from targets.errors import HeadstartError
from tuner.frontend.model import Model, ModelOp, Step
from tuner.frontend.stored import store_model
from tuner.job import Budget, Event, Job
from tuner.local_executor import LocalExecutor
from tuner.metaschedule.reading import Found
from tuner.tasks import model_tasks
from tuning_db.records import Policy
from tuning_db.store import Store


def model_of(found: Found, name: str, folder: Path) -> Model:
    """The workloads of a database as a model, each called once.

    Raises:
        HeadstartError: nothing of the database can be used.
    """
    if not found.schedules:
        first = f": {found.refused[0]}" if found.refused else ""
        raise HeadstartError(f"nothing in {folder} can be tried here{first}")
    return Model(name, f"MetaSchedule, {folder.name}", Step(), tuple(map(_op, found.schedules)))


@contextmanager
def trying(
    store: Store,
    model: Model,
    found: Found,
    policy: Policy,
    target: Target,
    listener: Callable[[Event], None] = lambda event: None,
) -> Iterator[Job]:
    """A job that tries the schedules of a model, the default of each workload first; a champion falls only in a duel.

    Args:
        store: where trials go, and where the model is kept.
        model: of ``model_of``.
        found: its schedules.
        policy: how to time them.
        target: the chip of this machine.
        listener: called after each trial.
    """
    store_model(store, model)
    tasks = model_tasks(store, model, target, policy)
    given = {workload.id: schedules for workload, schedules in found.schedules.items()}
    for task in tasks:
        task.within = 0.0  # none is left out because one is near the floor already
    with LocalExecutor(target, policy) as executor:
        yield Job(store, executor, tasks, Budget(), listener=listener, given=given)


def _op(workload: Workload) -> ModelOp:
    known = workload.instance is not None
    name = workload.operator if known else workload.label
    return ModelOp(name, workload.operator, workload.params, 1, None if known else workload)
