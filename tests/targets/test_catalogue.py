"""The data files of known chips."""

import pytest

from headstart_runtime.machine import code_features
from targets import catalogue, detect, peak_kernels
from targets.target import Target

NAMES = list(catalogue.specs())
CPUS = [name for name in NAMES if catalogue.target(name).kind == "llvm"]
FIELDS = set(Target.__dataclass_fields__)


def figures(spec: dict) -> set[str]:
    """Dotted names of everything in a file that somebody must have read or computed somewhere."""
    flops = {f"peaks.flops.{name}" for name in spec["peaks"]["flops"]}
    return {"tvm", "features", "cores", "vector_bits", "l1d", "l2", "l3", "memory", "peaks.dram", "peaks.cache"} | flops


def test_the_chips_that_were_promised_are_there():
    promised = {"zen4", "sapphire-rapids", "graviton3", "kunpeng-920", "spacemit-k1", "h100", "h200", "b200", "mi300x"}
    assert promised <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_source_and_nothing_else(name):
    spec = catalogue.specs()[name]
    assert spec["name"] == name
    assert set(spec) == FIELDS | {"sources"}
    assert set(spec["sources"]) == figures(spec)
    assert all(len(source) >= 10 for source in spec["sources"].values())


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_plausible_and_read_back(name):
    target = catalogue.target(name)
    assert Target.from_spec(target.spec()) == target
    assert target.cores > 0 and target.vector_bits % 64 == 0
    assert target.peaks.dram > 1e9 and 1e10 < target.peaks.flops["float32"] < 1e15
    assert all(value >= target.peaks.flops["float32"] for value in target.peaks.flops.values())
    assert target.peaks.cache == 0 or target.peaks.cache > target.peaks.dram


@pytest.mark.parametrize("name", CPUS)
def test_features_are_those_of_llvm(name):
    target = catalogue.target(name)
    triple, cpu = target.tvm["mtriple"], target.tvm["mcpu"]
    arch = triple.split("-")[0]
    assert set(target.features) == code_features(arch, detect.llvm_features(triple, cpu))
    assert target.tvm["num-cores"] == target.cores


def test_fingerprints_differ():
    """H100 and H200 too, which share a die and not a memory bandwidth."""
    assert len({target.fingerprint for target in catalogue.targets()}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_tvm_accepts_the_target(name):
    target = catalogue.target(name)
    assert target.to_tvm().kind.name == target.kind


@pytest.mark.parametrize("name", CPUS)
def test_the_peak_kernels_compile_to_objects(name, tmp_path):
    import tvm

    target = catalogue.target(name)
    machines = {"x86_64": 62, "aarch64": 183, "riscv64": 243}
    for number, loop in enumerate(peak_kernels.loops(target)):
        built = tvm.compile(tvm.IRModule({"main": loop.kernel(2)}), target.to_tvm())
        path = tmp_path / f"{number}.o"
        built.mod.write_to_file(str(path))
        header = path.read_bytes()[:20]
        assert header[:4] == b"\x7fELF"
        assert int.from_bytes(header[18:20], "little") == machines[target.tvm["mtriple"].split("-")[0]]
