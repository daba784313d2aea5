"""Which GPU is the target, what stands in for one, and what a bad kernel costs; the driver is one of our own."""

from __future__ import annotations

import numpy as np
import pytest
from tvm.support import cc

from schedules.operators.add import Add
from schedules.operators.linear import Linear
from schedules.operators.linear_fp8 import LinearFp8
from schedules.space import spaces
from schedules.workload import Workload
from targets import catalogue
from targets.errors import HeadstartError, InputError
from tests.tuner.cuda.fake import surroundings
from tuner.backends import backend_for, cuda, devices
from tuner.backends.bench import BackendBench
from tuner.cuda import cubin, driver
from tuner.executor import Limits
from tuner.local_executor import LocalExecutor
from tuner.toolchain import toolchain
from tuning_db.records import Policy, Status

H100 = catalogue.target("h100")
BF16 = "bfloat16"
needs_compiler = pytest.mark.skipif(cc.get_cc() is None, reason="no C compiler on this machine")
needs_nvcc = pytest.mark.skipif(cubin.nvcc() is None, reason="no nvcc on this machine")


@pytest.fixture(autouse=True)
def fresh():
    """What was found of GPUs in one test is nothing to the next."""
    cuda.gpus.cache_clear()
    yield
    cuda.gpus.cache_clear()


@pytest.fixture
def h100(tmp_path, monkeypatch):
    """A machine with CUDA and an H100, as far as this process and those that it starts can see."""
    for name, value in surroundings(tmp_path).items():
        monkeypatch.setenv(name, value)
    # The search path of libraries is read when a process starts; this one did long ago.
    monkeypatch.setattr(driver, "LIBRARY", str(tmp_path / "libcuda.so.1"))


@pytest.fixture
def no_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "LIBRARY", str(tmp_path / "libcuda.so.1"))


@needs_compiler
def test_a_gpu_that_is_the_target(h100, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_COUNT", "2")
    assert devices(H100) == ["cuda:0", "cuda:1"] and backend_for(H100).timed
    monkeypatch.setattr(driver, "KERNEL_MODULE", tmp_path / "version")
    assert backend_for(H100).versions(H100) == {"cuda": "13.0", "driver": "cuda-13.1"}
    line = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build\n"
    (tmp_path / "version").write_text(line)
    assert backend_for(H100).versions(H100) == {"cuda": "13.0", "driver": "580.159.04"}


@needs_compiler
@pytest.mark.parametrize(
    ("name", "capability", "multiprocessors"),
    [("NVIDIA A100-SXM4-80GB", 80, 108), ("NVIDIA H200", 90, 132), ("NVIDIA H100 PCIe", 90, 114)],
)
def test_another_gpu_is_refused_with_both_named(h100, monkeypatch, name, capability, multiprocessors):
    monkeypatch.setenv("FAKE_GPU", name)
    monkeypatch.setenv("FAKE_CAPABILITY", str(capability))
    monkeypatch.setenv("FAKE_MULTIPROCESSORS", str(multiprocessors))
    both = rf"{name} \(sm_{capability}, {multiprocessors} multi.*, and h100 is NVIDIA H100 \(sm_90, 132 multi"
    with pytest.raises(InputError, match=both):
        devices(H100)
    # Whoever only reads what was found for an H100 has nothing to do with that.
    assert set(toolchain(H100).versions) == {"tvm", "llvm", "lowering", "cuda"} and not backend_for(H100).timed
    fitting = {"NVIDIA A100-SXM4-80GB": "a100", "NVIDIA H200": "h200"}
    if name in fitting:
        assert devices(catalogue.target(fitting[name])) == ["cuda:0"]


@needs_compiler
def test_a_driver_that_does_not_work_is_said_where_it_is_needed(h100, monkeypatch):
    monkeypatch.setenv("FAKE_INIT", "803")
    with pytest.raises(HeadstartError, match="cuInit: another error"):
        devices(H100)
    assert "driver" not in toolchain(H100).versions


@needs_compiler
def test_a_driver_without_a_gpu_is_no_gpu(h100, monkeypatch):
    monkeypatch.setenv("FAKE_COUNT", "0")
    assert devices(H100) == ["serial:0"] and not backend_for(H100).timed


def test_without_nvcc_it_is_said_what_to_install(no_gpu, monkeypatch):
    monkeypatch.setattr(cubin, "nvcc", lambda: None)
    with pytest.raises(InputError, match=r"no kernels for h100 can be run here: .* install the CUDA toolkit"):
        devices(H100)


def test_results_of_tensor_cores_may_be_off_by_more_where_they_are_used(no_gpu, monkeypatch):
    arithmetic = Workload.of(LinearFp8(16, 128, 128)).arithmetic
    assert backend_for(H100).slack(arithmetic) == 1
    monkeypatch.setattr(cuda.CudaBackend, "timed", True)
    assert (backend_for(H100).slack(arithmetic), backend_for(H100).slack("bfloat16")) == (2, 1)


@needs_compiler
def test_a_kernel_that_faults_or_hangs_costs_one_trial(h100):
    workload = Workload.of(Add(2048, "float32"))
    space = spaces()["cuda_elementwise"](workload, H100)
    add, fault, hang, spill = (
        space.schedule({"threads": threads, "vector": 1, "steps": 1}) for threads in (64, 128, 256, 512)
    )
    with LocalExecutor(H100, Policy("cold", 1), Limits(build=60, run=5, load=120)) as executor:
        (device,) = executor.devices()
        session = device.open(workload, seed=1)
        first = session.incumbent(add)
        assert (first.status, first.error) == (Status.OK, "") and set(first.samples) == {0.001}
        assert first.notes["resources"][0]["registers"] == 16 and "untimed" not in first.notes
        lost = session.trial(fault)
        assert lost.status is Status.RUN_ERROR and "illegal memory access" in lost.error
        after = session.trial(add)
        assert after.status is Status.OK and set(after.ratios) == {1.0}
        over = session.trial(spill)
        assert over.status is Status.OVER_LIMIT and "spills: 40 bytes a thread" in over.error
        assert session.trial(hang).status is Status.TIMEOUT and not device.alive


@needs_nvcc
def test_without_a_gpu_a_kernel_is_compiled_and_its_meaning_run(no_gpu, monkeypatch):
    workload = Workload.of(Linear(3, 96, 512, BF16, BF16))
    bench = BackendBench(backend_for(H100), "serial:0", workload, H100, Policy("cold", 1), seed=0)
    schedule = spaces()["cuda_skinny"](workload, H100).seeds()[0]
    kernel = bench.build(schedule)
    bench.run(kernel)
    timing = bench.measure(kernel, None)
    total = kernel.program.artefact.launches[0].blocks
    assert timing.wrong is None and timing.samples == [] and bench.untimed == "serial:0"
    assert timing.notes["thread_blocks"] == [total, total] and timing.notes["resources"][0]["registers"] > 16
    # Too much for this machine: a few thread blocks are run, and compared.
    monkeypatch.setattr("tuner.cuda.serial_program.WHOLE_S", 0.0)
    bench.run(kernel)
    timing = bench.measure(kernel, None)
    assert timing.wrong is None and timing.notes["thread_blocks"] == [3, total] and total > 3
    bench.expected[0] = np.zeros_like(bench.expected[0])
    assert "elements wrong" in bench.measure(kernel, None).wrong
