"""What to try next: the default, what is known to be good, what the cost model likes, and a little chance."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from schedules.schedule import Schedule
from schedules.space import Space
from tuner.cost_model import CostModel, Example
from tuner.task import DEFAULT, Task

# Candidates the cost model chooses from, for each that is measured.
POOL = 24
# Candidates that an opening's predictions are chosen from, and how many of these are tried.
OPENING_POOL, LIKED = 384, 6
# Other workloads whose best schedules are moved to a new one.
NEIGHBOURS = 4
# Seconds after which the model chooses from the candidates that there are: some spaces find legal ones slowly.
PATIENCE_S = 0.5
# One in so many is drawn without asking the model, so that what it is wrong about can be found out.
CHANCE = 6


@dataclass(frozen=True)
class Strategy:
    """What guides a search; everything is the default, less is for comparisons.

    Attributes:
        known: begin with seeds, what is best for similar workloads, and what the model likes.
        model: ask the cost model.
        evolve: draw neighbours of the best schedules so far.
    """

    known: bool = True
    model: bool = True
    evolve: bool = True


EVERYTHING = Strategy()


def opening(task: Task, model: CostModel, others: Sequence[Example], rng: np.random.Generator) -> list[Schedule]:
    """What is tried first: the default, then in turn a prediction and a seed, the most promising first.

    Predictions are what the model likes best of a pool that holds the champions of the most similar workloads too;
    where there is no model, these champions take their place.

    Args:
        task: what to begin with.
        model: may know nothing.
        others: what was tried for other workloads.
        rng: of what is drawn.
    """
    seeds: list[list[Schedule]] = []
    moved: list[list[Schedule]] = []
    liked: list[Schedule] = []
    scores: dict[Schedule, float] = {}
    champions = neighbours(task, others)
    for name, space in task.spaces.items():
        own = task.untried(space.seeds())
        fitting = task.untried(space.nearest(s.config) for s in champions if _same(s, space))
        seeds.append(own)
        moved.append(fitting)
        scored = _scored(task, model, [*own, *fitting, *task.untried(_fresh(task, name, space, model, rng))])
        scores |= scored
        liked += sorted(scored, key=scored.__getitem__)[:LIKED] if scored else fitting
    # A space without a model comes after those with one, in the order of its own.
    predicted = sorted(dict.fromkeys(liked), key=lambda s: scores.get(s, np.inf))
    proven = sorted(dict.fromkeys([*_in_turn(seeds), *_in_turn(moved)]), key=lambda s: scores.get(s, np.inf))
    mixed = [s for pair in zip(predicted, proven, strict=False) for s in pair]
    return task.untried([DEFAULT, *mixed, *proven, *predicted])


def _in_turn(lists: Sequence[Sequence[Schedule]]) -> list[Schedule]:
    """The first of each list, then the second of each, and so on: no space waits for another's last seed."""
    return [schedule for row in zip_longest(*lists) for schedule in row if schedule is not None]


def neighbours(task: Task, others: Sequence[Example]) -> list[Schedule]:
    """The best schedule in each space for the workloads, chips and policies that are most like the task's."""
    best: dict[tuple[str, ...], dict[str, Example]] = {}
    for example in others:
        if example.seconds is None or example.context.workload.operator != task.workload.operator:
            continue
        of_group = best.setdefault(example.group, {})
        before = of_group.get(example.schedule.space)
        if before is None or example.seconds < (before.seconds or 0.0):
            of_group[example.schedule.space] = example

    def distance(found: Mapping[str, Example]) -> float:
        position = next(iter(found.values())).context.position
        return float(np.abs(position - task.context.position).sum())

    nearest = sorted(best.values(), key=distance)[:NEIGHBOURS]
    return list(dict.fromkeys(example.schedule for found in nearest for example in found.values()))


def propose(
    task: Task, model: CostModel, count: int, rng: np.random.Generator, strategy: Strategy = EVERYTHING
) -> list[Schedule]:
    """Up to ``count`` schedules that were not tried; none when the spaces have no more to give."""
    pools: list[Schedule] = []
    scores: dict[Schedule, float] = {}
    ranked: list[list[Schedule]] = []
    for name, space in task.spaces.items():
        pool = task.untried(_pool(task, name, space, POOL * count, rng, strategy.evolve))
        scored = _scored(task, model, pool) if strategy.model else {}
        scores |= scored
        pools += pool
        order = sorted(pool, key=scored.__getitem__) if scored else [pool[at] for at in rng.permutation(len(pool))]
        ranked.append(order[:count])
    chosen = [schedule for order in ranked for schedule in order]
    if all(schedule in scores for schedule in chosen):
        # Predictions of all spaces are over the same best time: the better space gets more trials.
        chosen.sort(key=scores.__getitem__)
    else:
        rng.shuffle(chosen)
    chosen = [
        pools[int(rng.integers(len(pools)))] if rng.integers(CHANCE) == 0 else schedule for schedule in chosen[:count]
    ]
    return list(dict.fromkeys(chosen))


def _scored(task: Task, model: CostModel, schedules: Sequence[Schedule]) -> dict[Schedule, float]:
    """What the model expects of schedules of one space, lower is better; empty where it does not know the space."""
    scores = model.predict(task.context, schedules)
    return {} if scores is None else dict(zip(schedules, scores.tolist(), strict=True))


def _fresh(
    task: Task, name: str, space: Space, model: CostModel, rng: np.random.Generator
) -> Iterator[Schedule | None]:
    """Points of a space for a task of which nothing is known: many at random, then neighbours of what the model likes.

    None at all where the model does not know the space: it would have nothing to choose them by.
    """
    if name not in model.spaces:
        return
    drawn = task.untried(_pool(task, name, space, OPENING_POOL, rng, evolve=False))
    yield from drawn
    scored = _scored(task, model, drawn)
    parents = sorted(scored, key=scored.__getitem__)[:16]
    for parent in parents:
        yield from (space.mutate(parent, rng) for _ in range(8))


def _pool(
    task: Task, name: str, space: Space, size: int, rng: np.random.Generator, evolve: bool
) -> Iterator[Schedule | None]:
    """Neighbours of the best schedules tried so far, better ones more often, and a third drawn at random."""
    good = sorted(
        (e for e in task.examples if e.seconds is not None and e.schedule.space == name), key=lambda e: e.seconds or 0.0
    )[:8]
    parents = [e.schedule for e in good]
    end = time.monotonic() + PATIENCE_S
    for at in range(size):
        if time.monotonic() > end:
            return
        if evolve and parents and at % 3:
            yield space.mutate(parents[min(int(rng.exponential(2.0)), len(parents) - 1)], rng)
        else:
            yield space.sample(rng)


def _same(schedule: Schedule, space: Space) -> bool:
    """Whether a schedule is of this space, and means the same there."""
    return (schedule.space, schedule.version) == (space.name, space.version)
