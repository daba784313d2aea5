"""A measurer without a cluster: kernels that builders sent it one after the other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from schedules.operators.linear import Linear
from schedules.spaces.panels import Panels
from schedules.workload import Workload
from targets import detect
from tuner.cluster import builder
from tuner.cluster.measurer import Measurer
from tuner.executor import Limits
from tuner.toolchain import toolchain
from tuning_db.records import Policy


def test_each_kernel_is_the_one_that_was_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_LOCKS", str(tmp_path))  # a measurer keeps its device until its process ends
    monkeypatch.setattr(builder, "_limit_memory", lambda: None)  # of this process, for good
    target, workload = detect.host(), Workload.of(Linear(16, 64, 128))
    versions = dict(toolchain(target).versions)
    policy = Policy("warm", target.cores)
    limits = dataclasses.asdict(Limits(build=60.0, run=60.0))
    measurer = Measurer(
        json.dumps({"target": target.spec(), "policy": policy.to_json(), "limits": limits, "versions": versions})
    )
    assert "refused" not in json.loads(measurer.begin())
    described = {"operator": workload.operator, "params": dict(workload.params)}
    assert "error" not in json.loads(measurer.open(json.dumps(described), 0))
    space = Panels(workload, target)
    # Weights laid out for one are of no use to the other, so the wrong kernel computes something else.
    schedules = {seed.config["vectors"]: seed for seed in space.seeds()}
    assert len(schedules) > 1
    try:
        for schedule in schedules.values():
            asked = {"workload": described, "target": target.spec(), "versions": versions}
            made = builder.build(json.dumps({**asked, "schedule": schedule.to_json()}))
            outcome = json.loads(measurer.trial(json.dumps(schedule.to_json()), made))
            assert (outcome["status"], outcome["error"]) == ("ok", "")
            measurer.crown()
    finally:
        assert measurer.device is not None
        measurer.device.close()
