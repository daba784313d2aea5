"""What follows from the figures of a run."""

from __future__ import annotations

import json

import pytest

from tests.tuner.bench.example import TWO, result
from tuner.bench.result import SCHEMA


def test_best_of_torch_is_chosen_for_each_workload() -> None:
    assert [case.best_torch for case in TWO] == ["compile", "torch"]
    best = result(*TWO).best_torch
    assert best is not None and best.median == pytest.approx((1.5 * 0.5) ** 0.5)


def test_a_peer_that_was_not_timed_counts_nowhere() -> None:
    run = result(*TWO)
    assert TWO[0].ratio("default") == [] and TWO[1].ratio("default") == [4.0] * 3
    mean = run.geomean("default")
    assert mean is not None and mean.median == pytest.approx(4.0)
    assert run.geomean("nobody") is None


def test_roofline_is_of_the_same_rounds() -> None:
    assert TWO[0].roofline("tuned") == pytest.approx([0.5, 0.25, 0.5])


def test_json_has_everything() -> None:
    document = json.loads(json.dumps(result(*TWO, absent={"numpy": "gone"}).to_json(), allow_nan=False))
    assert document["schema"] == SCHEMA and document["absent"] == {"numpy": "gone"}
    assert document["geomean"]["over_tuned"]["torch"].keys() == {"median", "low", "high"}
    first = document["workloads"][0]
    assert first["best_torch"] == "compile" and first["cache"] == "cold"
    peers = {peer["name"]: peer for peer in first["peers"]}
    assert peers["torch"]["rounds"] == [2e-3, 4e-3, 3e-3] and peers["torch"]["seconds"] == 3e-3
    assert peers["torch"]["over_tuned"] == {"median": 2.0, "low": 2.0, "high": 3.0}
    assert peers["torch"]["bytes_per_second"] == pytest.approx(20_000_000 / 3e-3)
    assert peers["default"]["status"] == "failed" and peers["default"]["over_tuned"] is None
