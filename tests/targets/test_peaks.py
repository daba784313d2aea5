"""Measuring: one short real run, and that a kernel which computes something wrong is noticed."""

import dataclasses

import numpy as np
import pytest

from targets import catalogue, detect, peak_kernels, peaks
from targets.errors import HeadstartError


def test_a_short_measurement_is_plausible():
    target = detect.host()
    found = peaks.measure(target, seconds=0.05)
    expected = {loop.arithmetic for loop in peak_kernels.loops(target)}
    assert expected <= set(found.flops)
    # No lower bound but zero: on a busy machine one short run may be as slow as it likes.
    assert all(0 < value < 1e15 for value in found.flops.values())
    assert 0 < found.dram < 1e13
    assert 0 <= found.cache < 1e14
    assert found.source.startswith("measured")


def test_only_this_machine_can_be_measured():
    with pytest.raises(HeadstartError, match="CPUs only; h100 is a cuda target"):
        peaks.measure(catalogue.target("h100"))
    other = dataclasses.replace(detect.host(), name="other", cores=detect.host().cores + 1)
    with pytest.raises(HeadstartError, match="other is not this one"):
        peaks.measure(other)


def test_a_failure_in_the_measuring_process_is_one_line():
    broken = dataclasses.replace(detect.host(), tvm={"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": 7})
    with pytest.raises(HeadstartError, match=r"could not measure the peaks of .*: .+") as caught:
        peaks.measure(broken)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("loop", peak_kernels.loops(detect.host()), ids=lambda loop: loop.arithmetic)
def test_every_step_is_done_and_checked(loop, monkeypatch):
    target = dataclasses.replace(detect.host(), cores=1, tvm={**detect.host().tvm, "num-cores": 1})
    probe = peaks._arithmetic(target, loop)
    for steps in (1, 2, 1000):
        assert probe.run(steps) > 0
    right = peak_kernels.Loop.end
    monkeypatch.setattr(peak_kernels.Loop, "end", lambda self, steps: right(self, steps + 1))
    with pytest.raises(RuntimeError, match=f"the {loop.arithmetic} kernel computed a wrong result"):
        probe.run(1000)


def test_half_precision_counts_to_2048():
    """The chip need not have it: LLVM emulates."""
    target = dataclasses.replace(detect.host(), cores=1)
    probe = peaks._arithmetic(target, peak_kernels.Loop("float16", "float16", 8, 4))
    for steps in (1, 1500, 5000):
        assert probe.run(steps) > 0
    assert np.all(peak_kernels.Loop("float16", "float16", 8, 4).end(5000) == 2048)


def test_every_element_is_read(monkeypatch):
    target = dataclasses.replace(detect.host(), cores=1)
    probe = peaks.reading(target, "dram", 4 * 8 * peak_kernels.PERIOD, slices=4)
    assert probe.work == 4 * 2 * peak_kernels.PERIOD
    for times in (1, 1, 1, 1, 3):
        assert probe.run(times) > 0
    monkeypatch.setattr(peak_kernels, "read_total", lambda elements, times: 1)
    with pytest.raises(RuntimeError, match="the dram kernel computed a wrong result"):
        probe.run(1)


def test_read_totals_by_numpy():
    x = np.arange(peak_kernels.PERIOD * 3) % 1024
    assert peak_kernels.read_total(x.size, 7) == int(x.sum()) * 7 % 2**32
