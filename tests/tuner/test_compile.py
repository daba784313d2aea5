"""Compiled kernels, in this process and from a bundle in a process of its own."""

from __future__ import annotations

import ctypes
import json
import math
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart_runtime import bundle, dlpack
from headstart_runtime.chip import OtherChipError
from headstart_runtime.kernel import Kernel
from schedules.operator import make_operator
from schedules.schedule import Schedule
from schedules.spaces.panels import Panels
from schedules.workload import Workload, numpy_dtype
from targets import Target, detect, resolve
from targets.errors import HeadstartError, InputError
from tests.tuning_db.runtime.sealed import seal
from tuner.compile import Built, _compile, build_bundle, compile_kernel
from tuner.frontend.model import Model, ModelOp, Step
from tuner.frontend.stored import store_workload
from tuner.policy import policy_for
from tuner.selecting import select
from tuner.task import DEFAULT
from tuner.tasks import register
from tuner.toolchain import chip_toolchain
from tuning_db.records import Key, Status, Toolchain, Trial
from tuning_db.selection import Selection
from tuning_db.store import Store

LINEAR = {"m": 4, "n": 48, "k": 128, "dtype": "bfloat16", "out": "bfloat16"}
OPS = (
    ModelOp("up", "linear", LINEAR, 2),
    ModelOp("down", "linear", LINEAR, 1),
    ModelOp("norm", "rmsnorm", {"tokens": 3, "dim": 64, "dtype": "float32"}, 2),
    ModelOp("quant", "act_quant", {"tokens": 2, "dim": 128, "group": 128, "dtype": "bfloat16"}, 1),
    ModelOp("later", "an_operator_of_the_future", {}, 5),
)
MODEL = Model("tiny", "a test", Step(), OPS)


@pytest.fixture(scope="module")
def target() -> Target:
    return detect.host()


def packed(target: Target) -> Schedule:
    """A schedule of the first operator that lays its weights out anew."""
    return Panels(OPS[0].workload, target).seeds()[0]


@pytest.fixture(scope="module")
def db(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The first operator has a champion, the others have none."""
    path = tmp_path_factory.mktemp("db") / "tiny.db"
    with Store.open(path) as store:
        crown(store, target)
    yield path


def crown(store: Store, target: Target) -> None:
    """Have a champion of the first operator, as a machine that is the chip has it."""
    workload, policy, toolchain, best = (
        OPS[0].workload,
        policy_for("decode", target),
        chip_toolchain(target),
        packed(target),
    )
    register(store, target, policy)
    store.add_toolchain(toolchain)
    store_workload(store, workload)
    store.add_schedule(best.id, best.space, best.version, dict(best.config))
    key = Key(workload.id, target.fingerprint, toolchain.id, policy.id)
    samples = (2e-5, 2e-5, 2e-5)
    trial = Trial(key, best.id, Status.OK, samples, 2e-5, 0.0, author="someone", machine="somewhere")
    store.add_trial(trial, crown=True)


@pytest.fixture(scope="module")
def selection(db: Path, target: Target) -> Selection:
    with Store.open(db, create=False) as store:
        return select(store, MODEL, target)


@pytest.fixture(scope="module")
def built(selection: Selection, target: Target, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build_bundle(selection, target, tmp_path_factory.mktemp("out") / "tiny.bundle")


@pytest.fixture(scope="module", params=["as stored", "packed"])
def linear(target: Target, request: pytest.FixtureRequest) -> Kernel:
    """A linear layer that takes its weights as they are stored, and one that lays them out anew."""
    schedule = packed(target) if request.param == "packed" else DEFAULT
    return compile_kernel(OPS[0].workload, schedule, target)


def arguments(kernel: Kernel) -> list[Any]:
    operator = make_operator("linear", LINEAR)
    return [*operator.inputs(np.random.default_rng(0)), *kernel.allocate()]


def test_manifest_says_what_is_inside(built: Built, target: Target) -> None:
    manifest, digest = bundle.verify(built.path)
    assert (manifest, digest) == (built.manifest, built.digest)
    assert manifest.target.fingerprint == target.fingerprint
    assert manifest.missing == {"an_operator_of_the_future": 5}
    up, norm, quant = manifest.kernels
    assert up.names == ("up", "down")
    assert (up.calls, up.tuned, up.seconds, up.default_seconds) == (3, True, 2e-5, None)
    assert (up.weights, [argument.role for argument in up.prepared]) == (("W",), ["prepared"])
    assert (up.layout or "").startswith("l") and norm.layout is None
    assert manifest.target.arch == platform.machine()
    assert set(target.features) <= set(manifest.target.instructions)
    assert up.provenance is not None and up.provenance.tier == "measured"
    assert (up.provenance.author, up.provenance.machine) == ("someone", "somewhere")
    assert [str(argument) for argument in up.arguments] == ["bfloat16[4, 128]", "bfloat16[48, 128]", "bfloat16[4, 48]"]
    assert [kernel.workload for kernel in manifest.untuned] == [norm.workload, quant.workload]
    assert norm.seconds is None and norm.provenance is None and norm.schedule.id == DEFAULT.id


def test_a_layout_is_known_again(target: Target) -> None:
    """Its id is of how weights lie, not of the kernel: other rows leave it alone, other panels do not."""
    seeds = [seed for seed in Panels(OPS[0].workload, target).seeds() if seed.config["vectors"] in (2, 4)]
    more = Workload.of(make_operator("linear", {**LINEAR, "m": 8}))
    ids = {}
    for workload in (OPS[0].workload, more):
        for seed in seeds:
            compiled = _compile(workload, seed, target, "f")
            ids[workload.id, seed.id] = (compiled.layout, compiled.prepared[0].shape)
    layouts = set(ids.values())
    assert len(layouts) == len({layout for layout, _ in layouts}) == len({shape for _, shape in layouts})
    assert all(ids[OPS[0].workload.id, seed.id] == ids[more.id, seed.id] for seed in seeds)


def test_same_champions_same_bytes(built: Built, selection: Selection, target: Target, tmp_path: Path) -> None:
    again = build_bundle(selection, target, seal(tmp_path / "old"))
    assert again.digest == built.digest
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


RUN = """
import json, sys
import numpy as np
from schedules.operator import make_operator
from schedules.compare import mismatch
from headstart_runtime import bundle

loaded = bundle.load(sys.argv[1])
assert "tvm" not in sys.modules
wrong = {}
for entry in loaded.manifest.kernels:
    operator, kernel = make_operator(entry.operator, entry.params), loaded[entry.workload]
    inputs = operator.inputs(np.random.default_rng(1))
    expected = operator.reference(inputs)
    results = {"numpy": kernel(*inputs)}
    outputs = kernel.allocate()
    if entry.weights:
        weights = [x for x, a in zip(inputs, kernel.inputs) if a in kernel.weights]
        kept = [x for x, a in zip(inputs, kernel.inputs) if a not in kernel.weights]
        prepared = kernel.prepare(*weights)
        results["prepared"] = prepared(*kept)
        given = kernel.allocate()
        prepared(*kept, *given)
        results["prepared, given outputs"] = given
    returned = kernel(*inputs, *outputs)
    returned = returned if isinstance(returned, tuple) else (returned,)
    assert all(one is other for one, other in zip(returned, outputs, strict=True))
    results["given outputs"] = outputs
    for skew in (0, 1, 3):  # arrays that start at any element
        def move(array):
            memory = np.empty(array.size + 64, array.dtype)
            start = -memory.ctypes.data // array.itemsize % (64 // array.itemsize) + skew
            moved = memory[start : start + array.size].reshape(array.shape)
            moved[...] = array
            moved.flags.writeable = False
            return moved
        results[f"read-only, {skew} elements off"] = kernel(*map(move, inputs))
    if sys.argv[2] == "torch":
        import torch
        def to_torch(array):
            name = array.dtype.name
            same = torch.from_numpy(array.view(f"uint{8 * array.itemsize}"))
            return same.view(getattr(torch, name))
        tensors = [to_torch(array) for array in inputs]
        out = kernel(*tensors)
        out = out if isinstance(out, tuple) else (out,)
        assert all(isinstance(tensor, torch.Tensor) for tensor in out)
        given = [torch.empty_like(tensor) for tensor in out]
        pointers = [tensor.data_ptr() for tensor in given]
        kernel(*tensors, *given)
        assert pointers == [tensor.data_ptr() for tensor in given]
        def to_numpy(tensor, like):
            return tensor.view(getattr(torch, f"uint{8 * like.itemsize}")).numpy().view(like.dtype)
        results["torch"] = [to_numpy(t, e) for t, e in zip(out, expected)]
        results["torch, given outputs"] = [to_numpy(t, e) for t, e in zip(given, expected)]
    for how, got in results.items():
        got = got if isinstance(got, (tuple, list)) else [got]
        wrong[f"{entry.operator}, {how}"] = mismatch(got, expected, operator.tolerances)
print(json.dumps(wrong))
"""


def loaded_elsewhere(path: Path, library: str) -> dict[str, Any]:
    """Run every kernel of a bundle in a fresh process; what was wrong, by kernel and way of calling."""
    command = [sys.executable, "-c", RUN, str(path), library]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_fresh_process_numpy(built: Built) -> None:
    wrong = loaded_elsewhere(built.path, "numpy")
    assert len(wrong) == 3 * 5 + 2
    assert not any(wrong.values()), wrong


def test_fresh_process_torch(built: Built) -> None:
    pytest.importorskip("torch")
    wrong = loaded_elsewhere(built.path, "torch")
    assert len(wrong) == 3 * 7 + 2
    assert not any(wrong.values()), wrong


def test_changed_library_is_refused(built: Built, tmp_path: Path) -> None:
    import shutil

    path = Path(shutil.copytree(built.path, tmp_path / "copy"))
    library = bytearray((path / "kernels.so").read_bytes())
    library[len(library) // 2] ^= 1
    (path / "kernels.so").write_bytes(library)
    with pytest.raises(InputError, match=r"kernels\.so was changed"):
        bundle.load(path)


def test_library_without_a_listed_function(built: Built, tmp_path: Path) -> None:
    text = built.manifest.dumps().replace(f'"function": "{OPS[0].workload.id}"', '"function": "absent"')
    path = seal(tmp_path / "b", text, (built.path / "kernels.so").read_bytes())
    with pytest.raises(InputError, match="has no function absent"):
        bundle.load(path)


def test_no_compiler(selection: Selection, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for names, told in (({"PATH": ""}, "none was found"), ({"CXX": "/no/such/c++"}, "/no/such/c.. cannot be run")):
        with monkeypatch.context() as patched:
            patched.delenv("CC", raising=False)
            patched.delenv("CXX", raising=False)
            for name, value in names.items():
                patched.setenv(name, value)
            with pytest.raises(HeadstartError, match=told):
                build_bundle(selection, target, tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_chips_that_cannot_be_linked_for(db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.link.zig_version", lambda: None)
    for name, told in (
        ("h100", "holds kernels for CPUs, and h100"),
        ("spacemit-k1", r"bundle for spacemit-k1 \(riscv64\) on x86_64: it takes Zig, which pip install"),
    ):
        with Store.open(db, create=False) as store:
            selection = select(store, MODEL, resolve(name))
        with pytest.raises(HeadstartError, match=told):
            build_bundle(selection, resolve(name), tmp_path / "b")
    assert not list(tmp_path.iterdir())


# With the number of the architecture in the header of ELF files.
@pytest.mark.parametrize(
    ("name", "arch", "machine"), [("kunpeng-920", "aarch64", 183), ("spacemit-k1", "riscv64", 243)]
)
def test_for_another_architecture(name: str, arch: str, machine: int, tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    chip = resolve(name)
    with Store.open(tmp_path / "theirs.db") as store:
        crown(store, chip)
        selection = select(store, MODEL, chip)
    made = [build_bundle(selection, chip, tmp_path / name) for name in ("a.bundle", "b.bundle")]
    assert made[0].digest == made[1].digest
    manifest, _ = bundle.verify(made[0].path)
    assert (manifest.target.name, manifest.target.arch) == (name, arch)
    assert [kernel.tuned for kernel in manifest.kernels] == [True, False, False]
    header = (made[0].path / manifest.library).read_bytes()[:20]
    assert header[:4] == b"\x7fELF" and int.from_bytes(header[18:], "little") == machine
    with pytest.raises(OtherChipError, match=rf"{name} .*, {arch}; this machine is"):
        bundle.load(made[0].path, any_chip=True)


def test_what_is_not_the_selections_own_is_not_built(selection: Selection, target: Target, tmp_path: Path) -> None:
    """Another chip, another toolchain, and a workload that computes something else than its id says."""
    other = replace(selection.kernels[0], params={**LINEAR, "m": 5})
    for changed, told in (
        (replace(selection, target="c" + "0" * 24, target_name="other"), f"for other .* not for {target.name}"),
        (replace(selection, toolchain=Toolchain({"tvm": "0"})), "tuned with tvm 0; this machine has tvm"),
        (replace(selection, kernels=(other,)), "linear 4x48x128 bf16 is workload w.*, not w"),
    ):
        with pytest.raises(HeadstartError, match=told):
            build_bundle(changed, target, tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_destination_that_is_something_else(selection: Selection, target: Target, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    for destination in (tmp_path, tmp_path / "precious", tmp_path / "absent" / "b"):
        with pytest.raises(InputError):
            build_bundle(selection, target, destination)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_model_of_nothing_known(db: Path, target: Target) -> None:
    with Store.open(db, create=False) as store, pytest.raises(HeadstartError, match="no operator"):
        select(store, Model("far", "", Step(), OPS[-1:]), target)


def test_a_schedule_that_does_not_compile(target: Target) -> None:
    with pytest.raises(InputError):
        compile_kernel(Workload.of(make_operator("linear", LINEAR)), Schedule("nowhere", 1, {}), target)


MANY = {"rows": 2, "n": 4096, "k": 7168, "groups": 80, "block": 1, "group": 128, "dtype": "float8_e4m3fn"}


def test_more_elements_than_32_bits_number(target: Target) -> None:
    """Weights of 2.3 GB, of which pages that are not zero are few, and of these only take memory."""
    workload = Workload.of(make_operator("grouped_linear", MANY))
    a, scales_a, _, w, scales_w = (np.zeros(x.shape, numpy_dtype(x.dtype)) for x in workload.input_arguments)
    a[:], w[-1, -1] = 1, 0.5
    scales_a[:] = scales_w[:] = 1
    found = compile_kernel(workload, DEFAULT, target)(a, scales_a, np.array([0, 79], np.int32), w, scales_w)
    assert (found[0] == 0).all() and (found[1, :-1] == 0).all() and found[1, -1] == 3584


def test_weights_of_more_elements_than_32_bits_number_are_laid_out(target: Target) -> None:
    workload = Workload.of(make_operator("grouped_linear", MANY))
    compiled = _compile(workload, Panels(workload, target).seeds()[0], target, "main")
    assert compiled.layout and max(math.prod(argument.shape) for argument in compiled.prepared) > 1 << 31


class OnGpu:
    """Claims that memory is on a GPU."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self) -> Any:
        shape = (ctypes.c_int64 * 2)(*self.array.shape)
        view = dlpack._Tensor(
            self.array.ctypes.data, dlpack._Device(2, 0), 2, dlpack._DataType(4, 16, 1), shape, None, 0
        )
        managed = dlpack._ManagedTensor(view, None, dlpack._release)
        address = ctypes.addressof(managed)
        dlpack._exported[address] = (managed, shape, self.array)
        return dlpack._capsule(address, b"dltensor", None)


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (lambda a, w, c: (a,), TypeError, "takes 2 arrays, or 3 with outputs, not 1"),
        (lambda a, w, c: (a, w, c, c), TypeError, "not 4"),
        (lambda a, w, c: ([1.0], w, c), TypeError, "input 'A': a list is not an array"),
        (lambda a, w, c: (None, w, c), TypeError, "not an array"),
        (lambda a, w, c: (a.astype(np.float32), w, c), TypeError, r"'A' is float32\[4, 128\], must be bfloat16"),
        (lambda a, w, c: (a[:3], w, c), ValueError, r"'A' is bfloat16\[3, 128\], must be bfloat16\[4, 128\]"),
        (lambda a, w, c: (a.reshape(-1), w, c), ValueError, r"'A' is bfloat16\[512\]"),
        (lambda a, w, c: (w, a, c), ValueError, "'A' is"),
        (lambda a, w, c: (a.T.copy().T, w, c), ValueError, "contiguous"),
        (lambda a, w, c: (OnGpu(a), w, c), ValueError, "'A' is on cuda:0, must be in CPU memory"),
        (lambda a, w, c: (a, w, a.reshape(-1)[:192].reshape(4, 48)), ValueError, "'C' shares memory with 'A'"),
    ],
)
def test_wrong_arguments(linear: Kernel, change: Any, error: type[Exception], told: str) -> None:
    a, w, c = arguments(linear)
    c[...] = 7
    with pytest.raises(error, match=told) as refused:
        linear(*change(a, w, c))
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("linear 4x48x128 bf16")
    assert (c == 7).all()


def test_read_only_output(linear: Kernel) -> None:
    a, w, c = arguments(linear)
    c.flags.writeable = False
    with pytest.raises(ValueError, match="output 'C': the array is read-only"):
        linear(a, w, c)


def test_part_of_an_element(linear: Kernel) -> None:
    a, w, c = arguments(linear)
    odd = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    with pytest.raises(ValueError, match="does not start at a whole bfloat16"):
        linear(odd, w, c)


def test_prepared_weights(linear: Kernel) -> None:
    a, w, c = arguments(linear)
    expected = linear(a, w)
    given = w.copy()
    prepared = linear.prepare(given)
    if linear.layout is not None:
        given[...] = 0  # they are not needed any more
    assert (prepared(a) == expected).all()
    assert prepared(a, c) is c and (c == expected).all()
    assert "A: bfloat16[4, 128]" in repr(prepared) and "W" not in repr(prepared)
    for call, error, told in (
        (linear.prepare, TypeError, "takes 1 array, not 0: W: bfloat16"),
        (lambda: linear.prepare(a)(a), ValueError, r"'W' is bfloat16\[4, 128\], must be bfloat16\[48, 128\]"),
        (lambda: prepared(a, w, c), TypeError, "takes 1 array, or 2 with outputs, not 3"),
        (lambda: prepared(w), ValueError, "input 'A' is"),
        (lambda: prepared(a, a.reshape(-1)[:192].reshape(4, 48)), ValueError, "'C' shares memory with 'A'"),
    ):
        with pytest.raises(error, match=told):
            call()


def test_allocated_outputs(linear: Kernel) -> None:
    (out,) = linear.allocate()
    assert out.ctypes.data % 64 == 0
    assert (out.shape, out.dtype.name) == ((4, 48), "bfloat16")
    assert "A: bfloat16[4, 128]" in repr(linear)
