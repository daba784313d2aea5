"""What schedules for GPUs compute, on a CPU: right ones pass, wrong ones are refused."""

from __future__ import annotations

import numpy as np
import pytest

from schedules.operators.act_quant import ActQuant
from schedules.operators.linear import Linear
from schedules.space import spaces, spaces_for
from schedules.spaces import cuda_tensor
from schedules.workload import Workload
from tests.schedules.test_cuda import BF16, CASES, H100, IDS
from tuner.cuda.meaning import wrong


@pytest.mark.parametrize(("name", "operator"), CASES, ids=IDS)
def test_what_a_space_gives_computes_the_workload(name, operator):
    workload = Workload.of(operator)
    space = spaces()[name](workload, H100)
    schedule = space.sample(np.random.default_rng(3))
    assert wrong(workload, schedule, H100) is None, dict(schedule.config)


@pytest.mark.parametrize("operator", [Linear(4, 32, 64, BF16, BF16), ActQuant(4, 256)])
def test_the_default_computes_the_workload(operator):
    workload = Workload.of(operator)
    default = spaces_for(workload, H100)["default"]
    assert wrong(workload, default.seeds()[0], H100) is None


def test_a_few_thread_blocks_of_a_large_workload():
    workload = Workload.of(Linear(300, 4096, 256, BF16, BF16))
    space = spaces()["cuda_tensor"](workload, H100)
    assert wrong(workload, space.seeds()[0], H100, blocks=2) is None


def test_a_wrong_program_is_refused(monkeypatch):
    """An operand read from the column beside the right one, in the last thread blocks as in the others."""

    def shifted(self, buffers, name, row, k):
        return buffers[name][row, (k + (name == "W")) % self.tiles.k]

    workload = Workload.of(Linear(300, 512, 256, BF16, BF16))
    schedule = spaces()["cuda_tensor"](workload, H100).seeds()[0]
    monkeypatch.setattr(cuda_tensor._Dense, "element", shifted)
    reason = wrong(workload, schedule, H100, blocks=1)
    assert reason is not None and "elements wrong" in reason


def test_tiles_that_are_overwritten_before_they_are_multiplied_show(monkeypatch):
    """Copies one step too far ahead land in the place of the tiles that are next."""
    workload = Workload.of(Linear(64, 64, 512, BF16, BF16))
    space = spaces()["cuda_tensor"](workload, H100)
    schedule = space.nearest(dict(space.seeds()[0].config) | {"stages": 3, "wgmma": 0, "pending": 0})
    assert wrong(workload, schedule, H100) is None
    monkeypatch.setattr(cuda_tensor.Tiles, "ahead", property(lambda tiles: tiles.stages))
    assert "elements wrong" in wrong(workload, schedule, H100)
