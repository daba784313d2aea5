"""Machine code for GPUs: what nvcc makes where there is one, what its report says, and what is over a chip's limits."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from schedules.cuda.launch import Launch, Source
from schedules.cuda.source import source
from schedules.operators.linear import Linear
from schedules.space import apply, spaces
from schedules.workload import Workload
from targets.errors import HeadstartError
from tests.schedules.test_cuda import A100, B200, BF16, H100
from tuner.cuda import cubin
from tuner.cuda.build import build
from tuner.cuda.cubin import OverLimit, Resources, compile_source, report
from tuner.cuda.driver import Driver
from tuner.cuda.plan import make

needs_nvcc = pytest.mark.skipif(cubin.nvcc() is None, reason="no nvcc on this machine")

LAUNCH = Launch("main_kernel", ("A", "C"), (8, 1, 1), (256, 1, 1), 65536)
# As ptxas of CUDA 13.0 writes it.
REPORT = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'main_kernel' for 'sm_90a'
ptxas info    : Function properties for main_kernel
    16 bytes stack frame, 24 bytes spill stores, 40 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers, 16 bytes cumulative stack size, 1024 bytes smem
ptxas info    : Compile time = 120.708 ms
"""


def test_the_report_of_ptxas():
    # Some is spilled although a thread may have 255 registers: ptxas's own choice.
    (found,) = report(REPORT, [LAUNCH], H100)
    assert found == Resources(registers=168, shared=66560, spilled=64, stack=16, threads=256, resident=1)


def test_spills_for_want_of_registers():
    large = replace(LAUNCH, block=(384, 1, 1))
    with pytest.raises(
        OverLimit, match=r"spills: 64 bytes a thread .* 168 registers are all that one of 384 threads gets"
    ):
        report(REPORT, [large], H100)


def test_a_kernel_that_the_report_lacks():
    with pytest.raises(HeadstartError, match="nothing of kernel other"):
        report(REPORT, [Launch("other", (), (1, 1, 1), (32, 1, 1))], H100)


@pytest.mark.parametrize(
    ("block", "shared", "reason"),
    [
        ((32, 64, 1), 0, "takes 2048 threads a block; h100 has 1024"),
        ((32, 1, 1), 300_000, "takes 300000 bytes of shared memory a block; h100 has 232448"),
    ],
)
def test_over_the_limits_before_nvcc_is_asked(block, shared, reason):
    program = Source("", (Launch("main_kernel", (), (1, 1, 1), block, shared),))
    with pytest.raises(OverLimit, match=reason):
        compile_source(program, H100)


def test_registers_that_a_block_has_not():
    large = Launch("main_kernel", (), (1, 1, 1), (512, 1, 1))
    with pytest.raises(OverLimit, match="takes 86016 registers a block; h100 has 65536"):
        report(REPORT, [large], H100)


@needs_nvcc
@pytest.mark.parametrize("chip", [A100, H100, B200], ids=lambda chip: chip.name)
def test_a_cubin_for_each_chip(chip):
    workload = Workload.of(Linear(64, 64, 128, BF16, BF16))
    seed = spaces()["cuda_tensor"](workload, chip).seeds()[0]
    made = compile_source(source(apply(workload, seed, chip), chip), chip)
    # An ELF file for NVIDIA's machine.
    assert made.code[:4] == b"\x7fELF" and int.from_bytes(made.code[18:20], "little") == 190
    (resources,) = made.resources
    assert resources.registers > 16 and resources.spilled == 0 and resources.resident >= 1
    assert resources.shared >= made.source.launches[0].shared > 0


@needs_nvcc
def test_what_nvcc_refuses_is_said_in_one_line():
    program = Source('extern "C" __global__ void main_kernel(float* A) { A[0] = nothing; }', (LAUNCH,))
    with pytest.raises(HeadstartError, match=r'nvcc: kernel\.cu\(1\): error: identifier "nothing" is undefined'):
        compile_source(program, H100)


@needs_nvcc
def test_shared_memory_that_ptxas_refuses():
    text = (
        'extern "C" __global__ void main_kernel(float* A, float* C) {'
        " __shared__ float all[100000]; all[threadIdx.x] = A[0]; __syncthreads(); C[0] = all[(int)A[1]]; }"
    )
    with pytest.raises(OverLimit, match="too much shared data"):
        compile_source(Source(text, (LAUNCH,)), H100)


def test_no_nvcc(monkeypatch):
    monkeypatch.setattr(cubin, "nvcc", lambda: None)
    with pytest.raises(HeadstartError, match="no nvcc on this machine"):
        compile_source(Source("", ()), H100)


@needs_nvcc
def test_a_plan_and_what_is_built_of_it(tmp_path, capsys):
    plan = make(tmp_path, [Linear(1, 64, 256, BF16, BF16)], H100, count=2)
    assert json.loads((tmp_path / "plan.json").read_text()) == json.loads(json.dumps(plan))
    (case,) = plan["cases"]
    assert [line["schedule"]["space"] for line in case["schedules"]] == ["cuda_skinny", "cuda_skinny"]
    (tmp_path / f"{case['schedules'][1]['file']}.cu").write_text("no C at all")
    built = build(tmp_path, 2)
    good, bad = (built[line["file"]] for line in case["schedules"])
    assert good["resources"][0]["registers"] > 0 and "error" in bad
    assert [path.stem for path in tmp_path.glob("*.cubin")] == [case["schedules"][0]["file"]]


def test_no_gpu_is_said():
    try:
        Driver()
    except HeadstartError as error:
        assert "\n" not in str(error)
    else:
        pytest.skip("there is a GPU here")
