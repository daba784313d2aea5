"""Search strategies on recorded spaces: nothing is measured, and a search is the same each time."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest

from schedules.space import spaces_for
from tuner.propose import EVERYTHING
from tuner.recording import Recording, read
from tuner.replay import FILLED, STRATEGIES, compare_strategies, replay

RECORDINGS = [read(path) for path in sorted((Path(__file__).parent / "recordings").glob("*.jsonl"))]
TRIALS = 48


@pytest.fixture(scope="module")
def means() -> dict[str, float]:
    """Mean over recordings of the trials that each strategy needed, the median of some searches."""
    found = compare_strategies(RECORDINGS, TRIALS, 4, ("random", "evolution", "everything", FILLED))
    return {name: mean(c.needed for c in found if c.strategy == name) for name in {c.strategy for c in found}}


def test_there_are_recordings_of_several_operators() -> None:
    assert len({recording.workload.operator for recording in RECORDINGS}) >= 2
    assert all(len(recording.outcomes) > 100 for recording in RECORDINGS)


def test_the_whole_strategy_needs_less_than_its_parts(means: dict[str, float]) -> None:
    assert means["everything"] < means["random"]
    assert means["everything"] <= means["evolution"]


def test_what_other_shapes_taught_helps(means: dict[str, float]) -> None:
    assert means[FILLED] <= means["everything"]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.workload.operator)
def test_a_search_is_never_worse_than_its_seeds(recording: Recording) -> None:
    run = replay(recording, EVERYTHING, TRIALS, 0)
    spaces = spaces_for(recording.workload, recording.target)
    seeds = [seed for name, space in spaces.items() if name != "default" for seed in space.seeds()]
    medians = [recording.outcomes[seed].median for seed in seeds if seed in recording.outcomes]
    assert run.regret[-1] <= min(median for median in medians if median is not None) / recording.best_s


def test_the_same_seed_gives_the_same_search() -> None:
    for name in ("random", "everything"):
        first, again = (replay(RECORDINGS[0], STRATEGIES[name], 24, 3) for _ in range(2))
        assert first == again
    assert replay(RECORDINGS[0], STRATEGIES["random"], 24, 4) != replay(RECORDINGS[0], STRATEGIES["random"], 24, 3)
