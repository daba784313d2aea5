"""Reading /proc and /sys of machines that were recorded."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart_runtime import linux

QUOTA = "sys/fs/cgroup/kubepods/pod1/cpu.max"


def test_virtual_machine_without_smt(recorded):
    machine = linux.read("x86_64", None, recorded("zen4-vm"))
    assert (machine.vendor, machine.model, machine.cores) == ("AMD", "AMD EPYC", 2)
    assert (machine.l1d, machine.l2, machine.l3) == (32 << 10, 1 << 20, 32 << 20)
    assert {"avx512bf16", "avx512vnni", "lzcnt", "bmi", "sse4.2"} <= machine.features
    assert 20 << 30 < machine.memory < 24 << 30


def test_siblings_count_once_and_quota_is_respected(recorded):
    machine = linux.read("x86_64", None, recorded("sapphire-rapids-smt"))
    assert machine.cpus == (0, 1, 2)  # 12 CPUs are 6 cores, of which 3.5 are granted by a group above this one
    assert (machine.l1d, machine.l2, machine.l3) == (48 << 10, 2 << 20, 105 << 20)
    assert machine.memory == 16 << 30


def test_without_quota_every_core_counts(recorded):
    assert linux.read("x86_64", None, recorded("sapphire-rapids-smt", {QUOTA: "max 100000"})).cores == 6


def test_quota_below_one_cpu_is_one_core(recorded):
    assert linux.read("x86_64", None, recorded("sapphire-rapids-smt", {QUOTA: "20000 100000"})).cores == 1


def test_quota_of_the_first_version_of_control_groups(recorded):
    changed = {
        "proc/self/cgroup": "2:cpu,cpuacct:/docker/abc\n1:memory:/docker/abc\n",
        # A container sees its own group as the root of the hierarchy, not at the host's path.
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": str(4 << 30),
    }
    machine = linux.read("x86_64", None, recorded("sapphire-rapids-smt", changed))
    assert (machine.cores, machine.memory) == (2, 4 << 30)


def test_affinity_limits_cores_and_caches(recorded):
    root = recorded("spacemit-k1")
    machine = linux.read("riscv64", frozenset({0, 1}), root)
    assert machine.cpus == (0, 1)
    assert linux.read("x86_64", frozenset({1, 7, 9}), recorded("sapphire-rapids-smt", {QUOTA: "max 1"})).cpus == (1, 9)


def test_graviton(recorded):
    machine = linux.read("aarch64", None, recorded("graviton3"))
    assert (machine.vendor, machine.cores, machine.vector_bits) == ("Arm", 8, 256)
    assert machine.model == "Arm part 0xd40 in c7g.2xlarge"
    assert {"neon", "sve", "bf16", "i8mm", "dotprod", "fullfp16", "fp16fml", "lse"} <= machine.features


def test_shared_second_level_is_shared_out(recorded):
    machine = linux.read("riscv64", None, recorded("spacemit-k1"))
    assert (machine.cores, machine.l2, machine.l3) == (8, 128 << 10, 0)
    assert {"v", "zfh", "zvfh", "zba"} <= machine.features
    assert machine.model == "Spacemit(R) X60"


def test_empty_system_is_one_unknown_core(tmp_path):
    machine = linux.read("x86_64", None, tmp_path)
    assert (machine.cores, machine.model, machine.l3) == (1, "unknown", 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.text(max_size=400), st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_read_without_an_exception(tmp_path, cpuinfo, small, other):
    texts = {"proc/cpuinfo": cpuinfo, "proc/meminfo": "MemTotal: " + small, "proc/self/cgroup": other}
    texts |= {"sys/devices/system/cpu/online": small, "sys/devices/system/cpu/cpu0/cache/index0/size": other}
    texts |= {"sys/devices/system/cpu/cpu0/topology/core_cpus_list": other, "sys/fs/cgroup/cpu.max": small}
    for path, text in texts.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8", errors="replace")
    assert linux.read("x86_64", None, tmp_path).cores >= 1
