"""What machines are taken to be."""

from dataclasses import replace

import pytest

from headstart_runtime import linux, macos
from targets import catalogue, detect
from targets.target import Target


def test_zen4_virtual_machine(recorded):
    target = detect.describe(linux.read("x86_64", None, recorded("zen4-vm")), "znver4", "x86_64-linux-gnu")
    assert target.name == "zen4-2c"
    assert target.tvm == {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "znver4", "num-cores": 2}
    assert (target.cores, target.vector_bits, target.lanes) == (2, 512, 16)
    assert target.has("avx512bf16") and not target.has("amx-int8")


def test_hidden_features_are_not_claimed(recorded):
    machine = linux.read("x86_64", None, recorded("sapphire-rapids-smt"))
    target = detect.describe(machine, "sapphirerapids", "x86_64-linux-gnu")
    assert target.name == "sapphire-rapids-3c"
    assert target.tvm["mattr"] == ["-amx-bf16", "-amx-int8", "-amx-tile"]
    assert not target.has("amx-int8") and target.has("avx512fp16")
    from tvm.target.codegen import llvm_get_cpu_features

    assert not any(str(name).startswith("amx") for name in llvm_get_cpu_features(target.to_tvm()))


def test_a_machine_without_avx512_is_narrower(recorded):
    machine = linux.read("x86_64", None, recorded("zen4-vm"))
    masked = frozenset(name for name in machine.features if not name.startswith("avx512"))
    target = detect.describe(replace(machine, features=masked), "znver4", "x86_64-linux-gnu")
    assert target.vector_bits == 256
    assert "-avx512f" in target.tvm["mattr"]
    assert "znver4" in str(target.to_tvm())


def test_features_that_the_name_lacks_are_added(recorded):
    machine = linux.read("x86_64", None, recorded("zen4-vm"))
    target = detect.describe(machine, "x86-64-v3", "x86_64-linux-gnu")
    assert target.name == "cpu-x86-64-v3-2c"
    assert "+avx512bf16" in target.tvm["mattr"]


def test_graviton(recorded):
    machine = linux.read("aarch64", None, recorded("graviton3"))
    target = detect.describe(machine, "neoverse-v1", "aarch64-linux-gnu")
    assert target.name == "graviton3-8c"
    assert "mattr" not in target.tvm
    assert (target.cores, target.vector_bits) == (8, 256)
    assert target.features == catalogue.target("graviton3").features


def test_riscv_extensions_that_another_brings_are_kept(recorded):
    machine = linux.read("riscv64", None, recorded("spacemit-k1"))
    target = detect.describe(machine, "spacemit-x60", "riscv64-linux-gnu")
    assert target.name == catalogue.target("spacemit-k1").name  # eight cores, the whole chip
    without = replace(machine, features=machine.features - {"v"})
    assert detect.describe(without, "spacemit-x60", "riscv64-linux-gnu").vector_bits == 64


def test_a_whole_chip_of_the_catalogue_has_its_name(recorded):
    machine = replace(linux.read("x86_64", None, recorded("zen4-vm")), cpus=tuple(range(96)), l3=384 << 20)
    target = detect.describe(machine, "znver4", "x86_64-linux-gnu")
    assert target.name == "zen4"
    assert target.fingerprint == catalogue.target("zen4").fingerprint
    assert detect.describe(replace(machine, cpus=tuple(range(95))), "znver4", "x86_64-linux-gnu").name == "zen4-95c"


def test_macos_counts_performance_cores():
    values = {
        "machdep.cpu.brand_string": "Apple M2 Pro",
        "hw.memsize": str(16 << 30),
        "hw.physicalcpu": "10",
        "hw.l2cachesize": str(4 << 20),
        "hw.perflevel0.physicalcpu": "6",
        "hw.perflevel0.l1dcachesize": "131072",
        "hw.perflevel0.l2cachesize": str(16 << 20),
        "hw.perflevel0.cpusperl2": "3",
    }
    machine = macos.read("arm64", values, frozenset({"neon", "bf16"}))
    assert (machine.arch, machine.vendor, machine.cores) == ("aarch64", "Apple", 6)
    assert (machine.l1d, machine.l2, machine.l3) == (131072, (16 << 20) // 3, 0)
    target = detect.describe(machine, "apple-m2", "arm64-apple-macosx13.0.0")
    assert target.name == "cpu-apple-m2-6c"


def test_this_machine_is_recognised_and_builds():
    import tvm
    from tvm import te

    target = detect.host()
    assert isinstance(target, Target) and target.kind == "llvm" and target.cores >= 1
    a = te.placeholder((8,), "float32", "A")
    func = te.create_prim_func([a, te.compute((8,), lambda i: a[i] + 1.0, "B")])
    assert tvm.compile(tvm.IRModule({"main": func}), target.to_tvm()) is not None


@pytest.mark.parametrize("flags", [(), ("avx",), ("avx", "avx2", "fma")])
def test_vector_width_follows_the_flags(recorded, flags):
    machine = replace(linux.read("x86_64", None, recorded("zen4-vm")), features=frozenset(flags))
    target = detect.describe(machine, "znver4", "x86_64-linux-gnu")
    assert target.vector_bits == (256 if flags else 128)


def test_instructions_are_all_that_code_may_use(recorded):
    machine = linux.read("x86_64", None, recorded("zen4-vm"))
    target = detect.describe(machine, "znver4", "x86_64-linux-gnu")
    assert set(detect.instructions(target)) - set(target.features) == {"movbe", "sse3", "sse4a", "ssse3"}
    assert set(detect.instructions(target)) <= machine.features
    arm = linux.read("aarch64", None, recorded("graviton3"))
    target = detect.describe(arm, "neoverse-v1", "aarch64-linux-gnu")
    assert detect.instructions(target) == target.features
