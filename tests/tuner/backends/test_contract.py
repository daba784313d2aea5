"""What every backend must do, whatever the chip; ``cases.py`` lists them. One without a device here is skipped."""

from __future__ import annotations

import numpy as np
import pytest

from schedules.compare import mismatch, poison
from schedules.lower import lower
from schedules.operator import Operator
from schedules.operators.linear import Linear
from schedules.space import spaces_for
from schedules.workload import Workload, numpy_dtype
from targets import Target, resolve
from targets.backend import Backend
from targets.errors import HeadstartError, InputError
from targets.toolchain import versions
from tests.tuner.backends.cases import CASES, Case
from tuner.backends import backend_for, devices
from tuner.backends.bench import BackendBench
from tuner.task import DEFAULT
from tuner.toolchain import toolchain
from tuning_db.records import Policy

PAIRS = [(case, operator) for case in CASES for operator in case.operators]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.target)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def target(case: Case, example: None) -> Target:
    return resolve(case.target)


@pytest.fixture(scope="module")
def backend(target: Target) -> Backend:
    """The backend for the chip, which has a device here."""
    found = backend_for(target)
    assert found is not None, f"nothing is a backend for {target.name}"
    try:
        devices(target)
    except InputError as error:
        pytest.skip(str(error))
    return found


def test_devices_have_names_of_their_own(target, backend):
    names = backend.devices(target)
    assert len(set(names)) == len(names) and all(isinstance(name, str) and name for name in names)
    assert devices(target) == names


def test_without_a_device_it_is_said_what_is_missing(target, monkeypatch):
    found = backend_for(target)
    monkeypatch.setattr(type(found), "devices", lambda self, target: [])
    with pytest.raises(InputError, match=f"no kernels for {target.name} can be run here: .+"):
        devices(target)


def test_the_toolchain_has_the_versions_of_its_tools(target, backend):
    tools = backend.versions(target)
    assert tools and all(isinstance(value, str) and value for pair in tools.items() for value in pair)
    assert tools == backend.versions(target)
    assert (versions(target.kind) | tools).items() <= toolchain(target).versions.items()


def test_default_schedules_are_right(case, target, backend):
    for operator in case.operators:
        bench = opened(backend, target, operator)
        kernel = bench.build(DEFAULT)
        bench.run(kernel)
        timing = bench.measure(kernel, None)
        assert timing.wrong is None, operator
        if backend.timed:
            assert len(timing.samples) >= 3 and all(0 < sample < 60 for sample in timing.samples)
            assert not bench.untimed
        else:
            assert timing.samples == [] and bench.untimed


def test_what_its_spaces_draw_is_right(case, target, backend):
    rng = np.random.default_rng(0)
    for operator in case.operators:
        bench = opened(backend, target, operator)
        for space in spaces_for(bench.workload, target).values():
            for schedule in {*space.seeds()[:1], *filter(None, [space.sample(rng)])}:
                kernel = bench.build(schedule)
                bench.run(kernel)
                assert bench.measure(kernel, None).wrong is None, (operator, schedule.to_json())


def test_outputs_are_written_in_place_and_inputs_left_alone(target, backend, tmp_path):
    workload = Workload.of(Linear(6, 32, 64))
    folder = tmp_path / "build"
    folder.mkdir()
    artefact = backend.build(lower(workload, DEFAULT, target), target, folder)
    assert artefact.is_relative_to(folder) and artefact.is_file()
    inputs = [np.ascontiguousarray(array) for array in workload.inputs(np.random.default_rng(0))]
    before, expected = [array.copy() for array in inputs], workload.reference(inputs)
    output = np.empty(workload.output_arguments[0].shape, numpy_dtype(workload.output_arguments[0].dtype))
    # As it comes from a builder of a cluster: its bytes, and nothing that lay beside it.
    carried = tmp_path / "elsewhere"
    carried.write_bytes(artefact.read_bytes())
    for path in (artefact, carried):
        program = backend.load(path, target, devices(target)[0])
        for calls, cold in ((1, True), (3, False)):
            poison(output)
            times = program.call(inputs, [output], calls, cold)
            assert len(times) == (calls if backend.timed else 0)
            assert mismatch([output], expected, workload.tolerances) is None
    assert all(np.array_equal(now, then) for now, then in zip(inputs, before, strict=True))


def test_a_kernel_outlives_the_file_that_it_came_in(case, target, backend, tmp_path):
    """A builder of a cluster sends one after the other."""
    bench = opened(backend, target, case.operators[0])
    path = backend.build(lower(bench.workload, DEFAULT, target), target, tmp_path)
    bench.take(DEFAULT, path, 0.5)
    kernel = bench.build(DEFAULT)
    path.write_bytes(b"the next one")
    bench.run(kernel)
    assert bench.measure(kernel, None).wrong is None and kernel.build_s == 0.5


def test_inputs_are_read_anew_at_every_call(target, backend, tmp_path):
    """A device may keep an array that nobody can write to, and no other."""
    workload = Workload.of(Linear(6, 32, 64))
    program = backend.load(
        backend.build(lower(workload, DEFAULT, target), target, tmp_path), target, devices(target)[0]
    )
    output = np.empty(workload.output_arguments[0].shape, np.float32)
    inputs = workload.inputs(np.random.default_rng(0))
    for seed in (1, 2):
        for array, fresh in zip(inputs, workload.inputs(np.random.default_rng(seed)), strict=True):
            array[:] = fresh
        poison(output)
        program.call(inputs, [output], 1, False)
        assert mismatch([output], workload.reference(inputs), workload.tolerances) is None


def test_what_cannot_be_built_is_an_error_of_one_line(target, backend, tmp_path):
    with pytest.raises(HeadstartError) as refused:
        backend.build(calling("headstart_has_no_such_function"), target, tmp_path)
    assert str(refused.value) and "\n" not in str(refused.value)


def test_a_kernel_that_ends_the_device_is_an_error_of_one_line(case, target, backend, tmp_path):
    if not case.trap:
        pytest.skip("no kernel can end this device")
    program = backend.load(backend.build(calling(case.trap), target, tmp_path), target, devices(target)[0])
    arrays = [np.zeros(4, np.float32), np.zeros(4, np.float32)]
    with pytest.raises(HeadstartError) as refused:
        program.call(arrays[:1], arrays[1:], 1, False)
    assert str(refused.value) and "\n" not in str(refused.value)


def opened(backend: Backend, target: Target, operator: Operator) -> BackendBench:
    device, policy = devices(target)[0], Policy("cold", target.cores)
    return BackendBench(backend, device, Workload.of(operator), target, policy, seed=0)


def calling(function: str):
    """A module whose ``main`` copies four numbers, and then calls a C function without arguments."""
    from tvm.script import ir as I
    from tvm.script import tirx as T

    @I.ir_module
    class Module:
        @T.prim_func(s_tir=True)
        def main(A: T.Buffer((4,), "float32"), B: T.Buffer((4,), "float32")):
            T.func_attr({"global_symbol": "main", "tirx.noalias": True})
            for i in range(4):
                with T.sblock("B"):
                    at = T.axis.spatial(4, i)
                    B[at] = A[at]
            T.evaluate(T.call_extern("void", function))

    return Module
