"""Chips of other architectures under QEMU: what is right there is right, what is wrong is found, what crashes costs
one trial, and nothing is ever timed."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schedules.lower import lower
from schedules.operator import Operator, operators
from schedules.operators.linear import Linear
from schedules.operators.sinkhorn import Sinkhorn
from schedules.schedule import Schedule
from schedules.space import Space, spaces_for
from schedules.workload import Workload
from targets import Target, detect, resolve
from targets.backend import OverTime
from targets.errors import HeadstartError, InputError
from tuner.backends import backend_for, devices
from tuner.backends.bench import BackendBench
from tuner.backends.emulated import Emulated
from tuner.emulator import tools
from tuner.emulator.arrays import ArrayFile, Kept
from tuner.task import DEFAULT
from tuning_db.records import Policy

CHIPS = ("kunpeng-920", "spacemit-k1")
HARMFUL = runpy.run_path(str(Path(__file__).parents[1] / "hostile" / "spaces" / "hostile.py"))["harmful"]
# What a decode step of deepseek-v4-flash is made of.
QUICKSTART = (
    "act_quant", "act_quant_fp4", "batched_linear_fp8", "compress", "embedding", "grouped_linear",
    "hadamard", "hc_head", "hc_post", "hc_pre", "inverse_rope_quant", "linear",
    "linear_fp8", "moe_gate", "moe_hash_gate", "mqa_logits_paged", "rmsnorm", "rope",
    "sinkhorn", "sparse_mqa_fp8", "swiglu", "topk",
)  # fmt: skip


def chip(name: str) -> Target:
    """A chip that can be emulated here, or else the test is skipped with what is missing."""
    target = resolve(name)
    backend = backend_for(target)
    if backend is None:
        pytest.skip(f"this machine is a {name}")
    if not backend.devices(target):
        pytest.skip(backend.lacks(target))
    return target


def bench(target: Target, operator: Operator) -> BackendBench:
    backend = backend_for(target)
    assert backend is not None
    return BackendBench(backend, "emulated:0", Workload.of(operator), target, Policy("cold", target.cores), seed=0)


def wrong(made: BackendBench, schedule: Schedule) -> str | None:
    """What is wrong with the outputs of a schedule."""
    kernel = made.build(schedule)
    made.run(kernel)
    timing = made.measure(kernel, None)
    assert timing.samples == [] and timing.ratios == [] and made.untimed == "emulated:0"
    return timing.wrong


def own_spaces(operator: Operator, target: Target) -> list[Space]:
    """The spaces that are made for an operator."""
    found = spaces_for(Workload.of(operator), target)
    return [space for name, space in found.items() if name not in ("default", "generic")]


@pytest.mark.parametrize("name", QUICKSTART)
@pytest.mark.parametrize("at", CHIPS)
def test_every_operator_of_the_quickstart_is_right(at, name, monkeypatch):
    """A schedule drawn from a space that is made for it, on the smallest example that has one, whole and in part."""
    target = chip(at)
    examples = sorted(operators()[name].examples(), key=lambda example: Workload.of(example).bytes)
    has = [(example, spaces[0]) for example in examples if (spaces := own_spaces(example, target))]
    drawn = has[0][1].sample(np.random.default_rng(0)) if has else DEFAULT
    assert has or name == "embedding" or (at, name) == ("spacemit-k1", "batched_linear_fp8")
    assert drawn is not None
    made = bench(target, has[0][0] if has else examples[0])
    assert wrong(made, drawn) is None
    monkeypatch.setattr("tuner.backends.emulated.WHOLE_S", 0.0)
    assert wrong(made, drawn) is None


LARGE = Linear(2, 1024, 256, "bfloat16")


@pytest.mark.parametrize("at", CHIPS)
def test_of_a_large_kernel_some_parts_are_run(at, monkeypatch):
    target = chip(at)
    made = bench(target, LARGE)
    panels = next(space for space in own_spaces(LARGE, target) if space.name == "panels")
    rng, found = np.random.default_rng(0), {}
    while {1, 2} - set(found):
        drawn = panels.sample(rng)
        assert drawn is not None
        if drawn.config["panels"] == 1:  # many tasks
            found.setdefault(drawn.config["split"], drawn)
    for schedule in (DEFAULT, found[1], found[2]):
        kernel = made.build(schedule)
        made.run(kernel)
        whole = made.measure(kernel, None)
        assert whole.wrong is None and whole.notes == {} and kernel.program.whole
        with monkeypatch.context() as patch:
            patch.setattr("tuner.backends.emulated.WHOLE_S", 0.0)
            made.run(kernel)
            some = made.measure(kernel, None)
        assert some.wrong is None and some.notes == {"parts": [4, target.cores]}
        written = (made.written[0].view(np.uint8) != 0xFF).mean()
        assert 0.01 < written < 0.9
        made.written[0][0, 0] += 1000
        assert "elements wrong" in (made.check(kernel.program) or "")


def test_which_loop_may_be_run_in_part():
    import tvm
    from tvm.script import tirx as T

    target = chip("kunpeng-920")
    workload = Workload.of(LARGE)
    assert tools.last_loop(lower(workload, DEFAULT, target)) == 1

    def last(text):
        header = "@T.prim_func(s_tir=True)\ndef main(A: T.Buffer((8,), 'float32'), B: T.Buffer((8,), 'float32')):\n"
        program = tvm.script.from_source(header + text, extra_vars={"T": T})
        return tools.last_loop(tvm.IRModule({"main": program}))

    parallel, serial = (f"    for i in T.{kind}(8):\n        B[i] = A[i]\n" for kind in ("parallel", "serial"))
    nested = "    for j in T.serial(2):\n        for i in T.parallel(8):\n            B[i] = A[i]\n"
    assert last(parallel) == 1 and last(serial + parallel) == 1 and last(parallel + parallel) == 2
    assert last(serial) == last(parallel + serial) == last(nested) == last(nested + parallel) == 0


def test_vectors_of_a_width_are_built_for_risc_v():
    """TVM makes vectors scalable where it sees the extension V, and refuses this program then.

    It also has conversions towards zero, which QEMU 7.2 ends with.
    """
    made = bench(chip("spacemit-k1"), Sinkhorn(16))
    assert wrong(made, Schedule("sinkhorn", 1, {"rows": 2})) is None


@pytest.fixture(scope="module", params=CHIPS)
def linear(request):
    """A small linear layer on each chip."""
    return bench(chip(request.param), Linear(4, 8, 32))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("lie", "32 of 32 elements wrong"),
        ("skip", "32 of 32 elements wrong"),
        ("partial", "elements wrong"),
    ],
)
def test_a_wrong_kernel_is_found(linear, monkeypatch, kind, reason):
    monkeypatch.setattr("tuner.backends.bench.lower", lambda *_: HARMFUL(kind))
    assert reason in (wrong(linear, DEFAULT) or "")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("spill", "SIGSEGV"),
        ("stray", "SIGSEGV"),
        ("scribble", "SIGSEGV"),
        ("reach", "output 0: written before its start"),
    ],
)
def test_a_kernel_that_goes_astray_dies_alone(linear, monkeypatch, kind, reason):
    monkeypatch.setattr("tuner.backends.bench.lower", lambda *_: HARMFUL(kind))
    with pytest.raises(HeadstartError, match=reason):
        wrong(linear, DEFAULT)


def test_one_that_never_ends_is_stopped(linear, monkeypatch):
    import tvm
    from tvm import tirx

    function = HARMFUL("spill")["main"]
    always = tirx.While(tirx.const(True), tirx.Evaluate(tirx.call_extern("int32", "memset", 0, 0, 0)))
    endless = tvm.IRModule({"main": function.with_body(always)})
    monkeypatch.setattr("tuner.backends.bench.lower", lambda *_: endless)
    monkeypatch.setattr(Emulated, "call_limit_s", 0.5)
    with pytest.raises(OverTime, match=r"longer than 0.5 s"):
        wrong(linear, DEFAULT)


def test_a_kernel_the_linker_knows_no_function_for_is_refused(linear, monkeypatch):
    monkeypatch.setattr("tuner.backends.bench.lower", lambda *_: HARMFUL("chat"))
    with pytest.raises(HeadstartError, match="undefined symbol: puts"):
        linear.build(DEFAULT)


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(tools, "emulator_version", lambda arch: None)
    monkeypatch.setattr("tuner.backends.emulated.zig_version", lambda: None)
    target = replace(resolve("kunpeng-920"), cores=63)
    assert Emulated().devices(target) == []
    with pytest.raises(
        InputError, match=r"QEMU \(apt-get install qemu-user\) and Zig \(pip install 'headstart\[cross\]'\)"
    ):
        devices(target)


def test_the_chip_itself_is_not_emulated():
    assert backend_for(detect.host()) is None
    assert isinstance(backend_for(replace(resolve("kunpeng-920"), cores=63)), Emulated)


def test_an_array_comes_back_from_its_file_and_harm_beside_it_is_seen():
    array = np.arange(1000, dtype=np.float32).reshape(10, 100)
    file, read = ArrayFile.of(array), np.empty_like(array)
    file.read(read)
    assert np.array_equal(array, read) and file.harm() is None
    with open(f"/proc/self/fd/{file.descriptor}", "r+b") as memory:
        memory.seek(file.start - 1)
        memory.write(b"\0")
    assert file.harm() == "written before its start"
    file.close()


def test_the_file_of_an_array_goes_when_the_array_does():
    kept, array = Kept(), np.zeros(10)
    file = kept.file(array)
    assert kept.file(array) is file
    del array
    with pytest.raises(OSError):
        file.harm()
