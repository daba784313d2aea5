"""Kernels on a GPU as this process drives it, with a driver of our own in place of NVIDIA's: what is copied, when, what
is noticed and what is timed. What a GPU does with it, only a GPU can say."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from tvm.support import cc

from schedules.cuda.launch import Launch
from targets.backend import DeviceLost
from targets.errors import HeadstartError
from tests.tuner.cuda.fake import SOURCE, driver
from tuner.cuda import cubin
from tuner.cuda import driver as real
from tuner.cuda.artefact import Artefact
from tuner.cuda.device import IN_A_ROW, Device
from tuner.cuda.program import GpuProgram

COUNT = 64
pytestmark = pytest.mark.skipif(cc.get_cc() is None, reason="no C compiler on this machine")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def gpu(library, tmp_path, monkeypatch):
    """A GPU of its own for each test: a library that is loaded by another path has a state of its own."""
    own = tmp_path / "libcuda.so.1"
    own.write_bytes(library.read_bytes())
    monkeypatch.setattr(real, "LIBRARY", str(own))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    return Device(0)


@pytest.fixture
def log(tmp_path):
    """What the driver was asked to do since the last call."""
    seen = 0

    def news():
        nonlocal seen
        lines = (tmp_path / "log").read_text().split() if (tmp_path / "log").exists() else []
        found, seen = lines[seen:], len(lines)
        return found

    return news


def program(gpu: Device, folder, name: str, launches=("ABC",), scratch=None) -> GpuProgram:
    """A program of ``fake_driver.c``; each launch takes three arrays, of which it writes the last."""
    started = tuple(Launch("main_kernel", tuple(names), (2, 1, 1), (32, 1, 1)) for names in launches)
    made = Artefact(("A", "B", "C"), started, scratch or {}, (), name.encode(), "")
    return GpuProgram(Artefact.read(made.write(folder / "kernel.json")), gpu)


def arrays():
    """Two inputs that nobody may write to, and an output."""
    a, b = np.arange(COUNT, dtype=np.float32), np.ones(COUNT, np.float32)
    a.flags.writeable = b.flags.writeable = False
    return [a, b], np.full(COUNT, np.nan, np.float32)


def test_a_kernel_runs_and_inputs_are_copied_once(gpu, tmp_path, log):
    kernel, (inputs, output) = program(gpu, tmp_path, "add"), arrays()
    assert kernel.call(inputs, [output], 1, cold=False) == [0.001]
    assert np.array_equal(output, inputs[0] + 1)
    assert log() == ["upload"] * 3
    output.fill(np.nan)
    kernel.call(inputs, [output], 1, cold=False)
    assert np.array_equal(output, inputs[0] + 1) and log() == ["upload"]
    other = program(gpu, tmp_path, "add")
    other.call(inputs, [output], 1, cold=False)
    assert log() == ["upload"]


def test_cold_calls_come_behind_a_flush_and_warm_ones_in_a_row(gpu, tmp_path, log):
    kernel, (inputs, output) = program(gpu, tmp_path, "add"), arrays()
    kernel.call(inputs, [output], 1, cold=False)
    log()
    assert kernel.call(inputs, [output], 3, cold=True) == pytest.approx([0.001] * 3)
    assert log() == ["upload", "flush", "flush", "flush"]
    assert kernel.call(inputs, [output], 2 * IN_A_ROW, cold=False) == pytest.approx([0.001] * 2 * IN_A_ROW)
    assert log() == ["upload", "graph", "graph", "graph"]


def test_one_kernel_hands_on_to_another(gpu, tmp_path):
    kernel, (inputs, output) = program(gpu, tmp_path, "add", ("ABS", "SBC"), {"S": 4 * COUNT}), arrays()
    assert kernel.call(inputs, [output], 1, cold=True) == pytest.approx([0.002])
    assert np.array_equal(output, inputs[0] + 2)
    small = program(gpu, tmp_path, "add", ("ABS", "SBC"), {"S": 4 * COUNT - 4})
    with pytest.raises(HeadstartError, match="S: memory behind it was written"):
        small.call(inputs, [output], 1, cold=True)


def test_what_is_not_written_keeps_what_it_was(gpu, tmp_path):
    kernel, (inputs, output) = program(gpu, tmp_path, "nothing"), arrays()
    output[:] = 7
    kernel.call(inputs, [output], 1, cold=False)
    assert (output == 7).all()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("overrun", "C: memory behind it was written"),
        ("underrun", "C: memory before it was written"),
        ("overwrite", "B: overwritten"),
    ],
)
def test_writing_where_it_must_not(gpu, tmp_path, name, reason):
    inputs, output = arrays()
    with pytest.raises(HeadstartError, match=reason):
        program(gpu, tmp_path, name).call(inputs, [output], 1, cold=False)
    # The next kernel finds everything as it was.
    program(gpu, tmp_path, "add").call(inputs, [output], 1, cold=False)
    assert np.array_equal(output, inputs[0] + 1)


def test_after_a_fault_the_gpu_is_lost(gpu, tmp_path):
    inputs, output = arrays()
    with pytest.raises(DeviceLost, match="illegal memory access"):
        program(gpu, tmp_path, "fault").call(inputs, [output], 1, cold=False)
    with pytest.raises(DeviceLost):
        program(gpu, tmp_path, "add").call(inputs, [output], 1, cold=False)


def test_memory_that_is_not_there(gpu, tmp_path, monkeypatch):
    kernel, (inputs, output) = program(gpu, tmp_path, "add"), arrays()
    monkeypatch.setenv("FAKE_MEMORY", "2000")
    with pytest.raises(MemoryError, match="out of memory"):
        kernel.call(inputs, [output], 1, cold=False)
    monkeypatch.delenv("FAKE_MEMORY")
    kernel.call(inputs, [output], 1, cold=False)
    assert np.array_equal(output, inputs[0] + 1)


def test_memory_goes_with_its_array(gpu, tmp_path, log):
    kernel, (inputs, output) = program(gpu, tmp_path, "add"), arrays()
    kernel.call(inputs, [output], 1, cold=False)
    log()
    del output
    assert log() == ["free"]


@pytest.mark.skipif(cubin.nvcc() is None, reason="no nvcc on this machine, and so no cuda.h")
def test_the_driver_of_our_own_has_the_functions_of_nvidias(tmp_path):
    """Every function that we call is declared in cuda.h as the stand-in has it: a wrong width of an argument shows."""
    options = [
        "-x",
        "c",
        "-DWITH_CUDA_H",
        "-Xcompiler",
        "-Wall,-Wno-unused,-Werror",
        "-c",
        "-o",
        str(tmp_path / "driver.o"),
    ]
    done = subprocess.run([cubin.nvcc(), *options, str(SOURCE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
