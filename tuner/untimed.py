"""Which of two right schedules to use where nobody could time either: an order of guesses, and never a time.

The cost model has learned from other chips of the kind; where it knows the spaces of both, what it expects to be faster
is preferred. Where it does not, a seed of a space, which a person chose, comes before what was drawn, and that before
the default schedule. ``docs/cross.md`` says what this is worth.
"""

from __future__ import annotations

from schedules.schedule import Schedule
from tuner.cost_model import CostModel
from tuner.task import DEFAULT, Task

MODEL, ORDER = "cost model", "seeds first"


def preferred(task: Task, model: CostModel, challenger: Schedule, champion: Schedule) -> str:
    """By what a challenger is preferred to the champion, ``MODEL`` or ``ORDER``; empty where it is not."""
    expected = [model.predict(task.context, [schedule]) for schedule in (challenger, champion)]
    if expected[0] is not None and expected[1] is not None:
        return MODEL if expected[0][0] < expected[1][0] else ""
    return ORDER if _place(task, challenger) < _place(task, champion) else ""


def _place(task: Task, schedule: Schedule) -> int:
    if schedule == DEFAULT:
        return 2
    space = task.spaces.get(schedule.space)
    return 0 if space is not None and schedule in space.seeds() else 1
