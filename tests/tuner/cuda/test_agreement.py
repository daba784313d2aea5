"""What spaces expect kernels to take against what ptxas said of them, by the files of results: nvcc is not needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schedules.cuda.budget import Budget, most_registers, resident
from schedules.operators.linear import Linear
from schedules.space import spaces
from schedules.workload import Workload
from tests.schedules.test_cuda import BF16, H100
from tuner.cuda.agreement import compared, table

RESULTS = Path("docs/results")
PAGE = Path("docs/cuda.md")


@pytest.mark.parametrize("name", ["h100_resources", "h100"])
def test_guesses_agree_mostly(name):
    found = list(compared(json.loads((RESULTS / f"{name}.json").read_text()), H100))
    assert len(found) > 180
    for count in (sum(one.near for one in found), sum(one.resident for one in found)):
        assert count > 0.8 * len(found)
    assert sum(one.refused and not one.spills for one in found) <= 2


@pytest.mark.parametrize("names", [["h100_resources"], ["h100", "h100_rows"]])
def test_the_page_has_the_table_of_the_files(names):
    found = [one for name in names for one in compared(json.loads((RESULTS / f"{name}.json").read_text()), H100)]
    assert "\n".join(table(found)) in PAGE.read_text()


def test_shared_memory_of_tiles_is_known():
    for one in compared(json.loads((RESULTS / "h100_resources.json").read_text()), H100):
        if one.space in ("cuda_tensor", "cuda_logits"):
            assert one.guess.shared == one.resources["shared"]


@pytest.mark.parametrize(
    ("threads", "registers", "shared", "blocks"),
    [
        (256, 168, 66560, 1),  # registers: 43008 of 65536
        (128, 34, 0, 12),  # registers: 40 a thread, eight at a time
        (1024, 32, 0, 2),  # threads
        (32, 16, 0, 32),  # blocks
        (64, 56, 40960, 5),  # shared memory, with 1024 bytes for each block
        (1024, 96, 0, 0),  # one block does not fit
    ],
)
def test_blocks_of_a_multiprocessor(threads, registers, shared, blocks):
    assert resident(threads, registers, shared, H100) == blocks


def test_what_a_thread_may_have():
    assert [most_registers(threads, H100) for threads in (32, 256, 384, 512, 1000, 1024)] == [
        255,
        255,
        168,
        128,
        64,
        64,
    ]
    assert Budget(1024, 70).fits(H100) and not Budget(1024, 80).fits(H100)
    assert not Budget(32, 32, 300_000).fits(H100) and not Budget(2048, 16).fits(H100)


def test_what_would_spill_is_no_point_of_its_space():
    """One warp with 128 sums and pieces of 256 columns: ptxas spilled up to 2020 bytes."""
    space = spaces()["cuda_tensor"](Workload.of(Linear(48, 2048, 2048, BF16, BF16)), H100)
    tile = {"rows": 16, "columns": 256, "down": 1, "across": 1, "stages": 3, "group": 1}
    warp = tile | {"wgmma": 0, "pending": 0, "bulk": 0}
    assert not space.allows(warp) and space.allows(warp | {"across": 4})
    assert space.features(space.schedule(warp))["pressure"] > 1.2
