"""Search strategies on recorded spaces: nothing is measured, and a search is the same each time."""

from __future__ import annotations

from pathlib import Path
from statistics import geometric_mean

import pytest

from schedules.space import spaces_for
from tuner.propose import EVERYTHING
from tuner.recording import Recording, read
from tuner.replay import FILLED, STRATEGIES, compare_strategies, replay

RECORDINGS = [read(path) for path in sorted((Path(__file__).parent / "recordings").glob("*.jsonl"))]
TRIALS = 24


@pytest.fixture(scope="module")
def regrets() -> dict[str, float]:
    """How far the best of eight candidates is from the best recorded, by strategy: geometric mean over recordings."""
    found = compare_strategies(RECORDINGS, TRIALS, 3, ("random", "everything", FILLED))
    names = {comparison.strategy for comparison in found}
    return {name: geometric_mean(c.few for c in found if c.strategy == name) for name in names}


def test_there_are_recordings_of_several_operators() -> None:
    assert len({recording.workload.operator for recording in RECORDINGS}) >= 2
    assert all(len(recording.outcomes) > 100 for recording in RECORDINGS)


@pytest.mark.parametrize("strategy", ["everything", FILLED])
def test_what_guides_a_search_finds_sooner_than_chance(regrets: dict[str, float], strategy: str) -> None:
    assert regrets[strategy] < 0.8 * regrets["random"]


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
