"""What runs in a cluster is killed while a model is tuned on two chips; ``chaos.py`` does more of it, by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.tuner.cluster.chaos import CHIPS, Chaos, overlaps, verify
from tests.tuner.cluster.conftest import NODES


def test_killed_measurers_nodes_and_jobs_lose_and_double_nothing(made: Any, tmp_path: Path) -> None:
    chaos = Chaos(made, NODES, tmp_path, trials=3, seed=0)
    chaos.tune("killed", kills=3)
    found = verify(chaos, "killed")
    assert dict(chaos.killed) == {"measurer": 1, "node": 1, "job": 1}
    for chip in CHIPS:
        assert len(found[chip]["champions"]) == 3


def test_two_measurements_at_once_are_found_out() -> None:
    def trial(device: str, began: float, ended: float) -> Any:
        return SimpleNamespace(evidence={"device": device, "began": began, "ended": ended})

    one_by_one = [trial("a", 1.0, 2.0), trial("a", 2.0, 3.0), trial("b", 1.5, 2.5)]
    assert overlaps(one_by_one) == []
    assert overlaps([*one_by_one, trial("a", 2.9, 4.0)]) == ["a"]
